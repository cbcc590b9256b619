//! A backup of the store: every row of one moment, encrypted as it lies on the disk, in one stream that proves itself.
//!
//! ```text
//! "vouchsafe-backup-1\n"
//! shelf (1) | key length (4) | key | value length (4) | value      header rows first; numbers big endian
//! 0x00 | number of rows (8) | HMAC-SHA256 over everything before it, by a key out of the data key (32)
//! ```
//! The header holds the data key wrapped by the key file's key, so a backup opens with the key file of its store and with
//! nothing else: without it the backup is noise. Reading one back checks the HMAC (nothing cut, added or moved) and
//! decrypts every record. Out of scope: where backups are kept, and how old they may get.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use redb::{ReadTransaction, ReadableTable as _};
use ring::hmac;
use vouchsafe_model::Secret;

use super::barrier::{self, Barrier};
use super::fault::Fault;
use super::table::{EXPIRY, HEADER, NAMES, RECORDS};

/// What a backup begins with.
const MAGIC: &[u8] = b"vouchsafe-backup-1\n";
/// Marks the end of the rows.
const END: u8 = 0;
/// Bytes of the HMAC at the end.
const TAG_BYTES: usize = 32;
/// Longest key or value of a row: a secret of 1 MiB with its envelope, and room.
const FIELD_BYTES: u32 = 16 << 20;
/// Header rows at most; there are three.
const HEADER_ROWS: usize = 16;

/// A table of the file, as backups number it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// [`HEADER`].
    Header,
    /// [`RECORDS`].
    Records,
    /// [`NAMES`].
    Names,
    /// [`EXPIRY`].
    Expiry,
}

/// Why a backup cannot be made or read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SnapshotError {
    /// The stream itself.
    #[error("{0}")]
    Stream(#[from] io::Error),
    /// The store.
    #[error("{0}")]
    Store(#[from] Fault),
    /// It is no backup, or damaged.
    #[error("{0}")]
    Damaged(&'static str),
    /// The key file is of another store.
    #[error("the key file does not open it; use the one that belonged to the store when the backup was made")]
    WrongKey,
}

/// Takes a row: its table, key and value.
pub(crate) type Keep<'a> = dyn FnMut(Part, &[u8], &[u8]) -> Result<(), Fault> + 'a;

/// What a backup holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// Records: secrets, metadata, tokens, policies, settings.
    pub records: u64,
    /// Entries of listings.
    pub names: u64,
    /// All rows.
    pub rows: u64,
}

impl Part {
    const ALL: [Self; 4] = [Self::Header, Self::Records, Self::Names, Self::Expiry];

    fn number(self) -> u8 {
        match self {
            Self::Header => 1,
            Self::Records => 2,
            Self::Names => 3,
            Self::Expiry => 4,
        }
    }

    /// The table that it is.
    pub(crate) fn table(self) -> super::table::Definition {
        match self {
            Self::Header => HEADER,
            Self::Records => RECORDS,
            Self::Names => NAMES,
            Self::Expiry => EXPIRY,
        }
    }
}

/// Writes a backup of what `transaction` sees.
pub(crate) fn write(
    transaction: &ReadTransaction,
    barrier: &Barrier,
    out: &mut dyn Write,
) -> Result<Contents, SnapshotError> {
    let mut out = Signed { out, context: barrier.backup_context() };
    let mut contents = Contents::default();
    out.put(MAGIC)?;
    for part in Part::ALL {
        let table = transaction.open_table(part.table()).map_err(Fault::from)?;
        for row in table.iter().map_err(Fault::from)? {
            let (key, value) = row.map_err(Fault::from)?;
            out.put(&[part.number()])?;
            out.put_field(key.value())?;
            out.put_field(value.value())?;
            contents.count(part);
        }
    }
    out.put(&[END])?;
    out.put(&contents.rows.to_be_bytes())?;
    let Signed { out, context } = out;
    out.write_all(context.sign().as_ref())?;
    out.flush()?;
    Ok(contents)
}

/// Reads a backup with the key of its key file; hands every row to `keep` and checks all of it.
///
/// What was handed over counts only if this returns without an error: the proof stands at the end.
pub(crate) fn read(input: &mut dyn Read, key: &Secret, keep: &mut Keep<'_>) -> Result<Contents, SnapshotError> {
    let mut magic = vec![0; MAGIC.len()];
    input.read_exact(&mut magic).map_err(cut)?;
    if magic != MAGIC {
        return Err(SnapshotError::Damaged("it is no backup of a store of this version"));
    }
    let mut header = BTreeMap::new();
    let mut opened: Option<(Barrier, hmac::Context)> = None;
    let mut before = magic;
    let mut contents = Contents::default();
    loop {
        let row = Row::read(input)?;
        if row.part != Some(Part::Header) && opened.is_none() {
            let barrier = open(&header, key)?;
            let mut context = barrier.backup_context();
            context.update(&before);
            opened = Some((barrier, context));
        }
        match (&mut opened, row.part) {
            (None, _) => {
                before.extend(&row.bytes);
                header.insert(row.key.clone(), row.value.clone());
                if header.len() > HEADER_ROWS {
                    return Err(SnapshotError::Damaged("its header is too long"));
                }
            }
            (Some((barrier, context)), Some(part)) => {
                context.update(&row.bytes);
                check(barrier, part, &row.key, &row.value)?;
            }
            (Some((_, context)), None) => {
                context.update(&row.bytes);
                return finish(input, context.clone(), contents);
            }
        }
        if let Some(part) = row.part {
            keep(part, &row.key, &row.value)?;
            contents.count(part);
        }
    }
}

impl Contents {
    fn count(&mut self, part: Part) {
        self.rows += 1;
        match part {
            Part::Records => self.records += 1,
            Part::Names => self.names += 1,
            Part::Header | Part::Expiry => {}
        }
    }
}

fn open(header: &BTreeMap<Vec<u8>, Vec<u8>>, key: &Secret) -> Result<Barrier, SnapshotError> {
    let wrapped = header.get(super::open::WRAPPED).ok_or(SnapshotError::Damaged("its header has no key"))?;
    let data_key = barrier::unwrap(key, wrapped)?.ok_or(SnapshotError::WrongKey)?;
    Ok(Barrier::new(&data_key)?)
}

/// A record or a name must decrypt in its place.
fn check(barrier: &Barrier, part: Part, key: &[u8], value: &[u8]) -> Result<(), SnapshotError> {
    let shelf = match part {
        Part::Records => "records",
        Part::Names => "names",
        Part::Expiry => return Ok(()),
        Part::Header => return Err(SnapshotError::Damaged("a header row stands among the others")),
    };
    match barrier.decrypt(shelf, key, value) {
        Ok(_) => Ok(()),
        Err(_) => Err(SnapshotError::Damaged("a record in it does not decrypt")),
    }
}

fn finish(input: &mut dyn Read, mut context: hmac::Context, contents: Contents) -> Result<Contents, SnapshotError> {
    let (mut rows, mut tag) = ([0; 8], [0; TAG_BYTES]);
    input.read_exact(&mut rows).map_err(cut)?;
    input.read_exact(&mut tag).map_err(cut)?;
    context.update(&rows);
    let made = context.sign();
    let is_whole = u64::from_be_bytes(rows) == contents.rows
        && Secret::new(made.as_ref().to_vec()) == Secret::new(tag.to_vec())
        && input.read(&mut [0])? == 0;
    if is_whole {
        Ok(contents)
    } else {
        Err(SnapshotError::Damaged("its seal does not fit: it was changed or damaged"))
    }
}

fn cut(error: io::Error) -> SnapshotError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return SnapshotError::Damaged("it is cut off");
    }
    SnapshotError::Stream(error)
}

/// One row as read; `part` is `None` at the end.
struct Row {
    part: Option<Part>,
    key: Vec<u8>,
    value: Vec<u8>,
    bytes: Vec<u8>,
}

impl Row {
    fn read(input: &mut dyn Read) -> Result<Self, SnapshotError> {
        let mut number = [0];
        input.read_exact(&mut number).map_err(cut)?;
        let mut bytes = number.to_vec();
        let [number] = number;
        if number == END {
            return Ok(Self { part: None, key: Vec::new(), value: Vec::new(), bytes });
        }
        let part = Part::ALL.into_iter().find(|part| part.number() == number);
        let part = part.ok_or(SnapshotError::Damaged("it holds a row of an unknown kind"))?;
        let mut field = || -> Result<Vec<u8>, SnapshotError> {
            let mut length = [0; 4];
            input.read_exact(&mut length).map_err(cut)?;
            let count = u32::from_be_bytes(length);
            if count > FIELD_BYTES {
                return Err(SnapshotError::Damaged("it holds a row that is too long"));
            }
            let mut content = Vec::new();
            let read = (&mut *input).take(u64::from(count)).read_to_end(&mut content)?;
            if u32::try_from(read) != Ok(count) {
                return Err(SnapshotError::Damaged("it is cut off"));
            }
            bytes.extend(length);
            bytes.extend(&content);
            Ok(content)
        };
        let (key, value) = (field()?, field()?);
        Ok(Self { part: Some(part), key, value, bytes })
    }
}

/// Writes on, and remembers what for the seal.
struct Signed<'a> {
    out: &'a mut dyn Write,
    context: hmac::Context,
}

impl Signed<'_> {
    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.context.update(bytes);
        self.out.write_all(bytes)
    }

    fn put_field(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u32::try_from(bytes.len()).ok().filter(|length| *length <= FIELD_BYTES);
        let length = length.ok_or_else(|| io::Error::other("a record is longer than a backup can hold"))?;
        self.put(&length.to_be_bytes())?;
        self.put(bytes)
    }
}
