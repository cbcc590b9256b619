//! Opening and making the store's two files: the store, and the key file that opens it.
//!
//! ```text
//! store file   redb, mode 0600; header: "format" = "vouchsafe-store-1", "wrapped" = data key under the key file's key
//! key file     64 hex digits and a newline, mode 0400 or 0600
//! ```
//! First start, and only if allowed: both files are made, `secret/` is mounted (and in a cluster `auth/kubernetes/` set
//! up), a root token comes out once. A store
//! without its key file, or a key file that does not fit, is an error and never a new store.
//! Out of scope: backing them up ([`super::backup`]). Whoever has both files has every secret: keep them apart.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, DatabaseError, ReadableDatabase};
use vouchsafe_model::{Kind, Secret};

use super::barrier::{self, Barrier, KEY_BYTES, hex};
use super::clock::Clock;
use super::engine::write_shelves;
use super::fault::Fault;
use super::kubernetes;
use super::mount::{self, Mounts};
use super::policies;
use super::table::{HEADER, Session};
use super::token::{self, Token};

/// Where the store lies and whether it may be made.
#[derive(Clone, Debug)]
pub struct StoreOptions {
    /// The store file.
    pub file: PathBuf,
    /// The key file.
    pub key_file: PathBuf,
    /// Whether missing files are made.
    pub create: bool,
}

/// The token that may do everything. It comes out once, when the store is made.
#[derive(Debug)]
pub struct RootToken(pub Secret);

/// Why a store does not open.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no store and none may be made.
    #[error("store {}: there is no such file; check the path, or allow the store to be created", .0.display())]
    Missing(PathBuf),
    /// Another process has it open.
    #[error(
        "store {}: another process has it open; a store belongs to one process: stop that one \
         (`fuser {}` names it), or choose another file", .0.display(), .0.display()
    )]
    Held(PathBuf),
    /// The file cannot be opened, read or written.
    #[error("store {}: {problem}", file.display())]
    File {
        /// The store file.
        file: PathBuf,
        /// What the system says.
        problem: String,
    },
    /// The file is no store, or one of another version.
    #[error("store {}: this is no store of this version ({problem}); restore it from a backup", file.display())]
    Foreign {
        /// The store file.
        file: PathBuf,
        /// What was found.
        problem: String,
    },
    /// The key file is missing though the store is there.
    #[error("key file {}: it is missing, and store {} opens only with it; restore it from where you keep it", key_file.display(), file.display())]
    KeyMissing {
        /// The key file.
        key_file: PathBuf,
        /// The store file.
        file: PathBuf,
    },
    /// The key file cannot be used.
    #[error("key file {}: {problem}", key_file.display())]
    Key {
        /// The key file.
        key_file: PathBuf,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// A backup cannot be made or read.
    #[error("backup {}: {problem}", file.display())]
    Backup {
        /// The backup.
        file: PathBuf,
        /// What is wrong and how to mend it.
        problem: String,
    },
    /// The key file belongs to another store.
    #[error("key file {}: it does not open store {}; use the key file that was made with this store", key_file.display(), file.display())]
    WrongKey {
        /// The key file.
        key_file: PathBuf,
        /// The store file.
        file: PathBuf,
    },
}

impl StoreError {
    /// Decides the exit code.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Missing(_) | Self::KeyMissing { .. } => Kind::Missing,
            Self::Held(_) => Kind::Conflict,
            Self::File { .. } => Kind::Unavailable,
            Self::Foreign { .. } | Self::Key { .. } | Self::WrongKey { .. } | Self::Backup { .. } => Kind::Invalid,
        }
    }
}

/// An opened store.
pub(crate) struct Opened {
    pub(crate) database: Database,
    pub(crate) barrier: Barrier,
    pub(crate) cluster_id: String,
    pub(crate) root: Option<RootToken>,
}

/// Opens the store, or makes it.
pub(crate) fn open(options: &StoreOptions, clock: &Clock, api_server: Option<&str>) -> Result<Opened, StoreError> {
    let file_problem = |problem: String| StoreError::File { file: options.file.clone(), problem };
    let is_new = match std::fs::metadata(&options.file) {
        Ok(found) => found.len() == 0,
        Err(error) if error.kind() == io::ErrorKind::NotFound => true,
        Err(error) => return Err(file_problem(error.to_string())),
    };
    if is_new && !options.create {
        return Err(StoreError::Missing(options.file.clone()));
    }
    let database = open_database(options)?;
    let header = read_header(&database).map_err(|fault| file_problem(fault.to_string()))?;
    let (data_key, cluster_id, is_new) = match header {
        Some(header) => {
            let (data_key, cluster_id) = unlock(options, &header)?;
            (data_key, cluster_id, false)
        }
        None if !options.create => return Err(StoreError::Missing(options.file.clone())),
        None => (new_data_key()?, String::new(), true),
    };
    let barrier = Barrier::new(&data_key).map_err(|fault| file_problem(fault.to_string()))?;
    if !is_new {
        upgrade(&database, &barrier, clock).map_err(|fault| file_problem(fault.to_string()))?;
        return Ok(Opened { database, barrier, cluster_id, root: None });
    }
    let key = read_key(options)?.map_or_else(|| make_key(options), Ok)?;
    let (cluster_id, root) = initialise(&database, &barrier, &(key, data_key), clock, api_server)
        .map_err(|fault| file_problem(fault.to_string()))?;
    Ok(Opened { database, barrier, cluster_id, root: Some(RootToken(root)) })
}

fn open_database(options: &StoreOptions) -> Result<Database, StoreError> {
    let file_problem = |problem: String| StoreError::File { file: options.file.clone(), problem };
    let mut how = OpenOptions::new();
    how.read(true).write(true).mode(FILE_MODE).create(options.create);
    let file = how.open(&options.file).map_err(|error| file_problem(error.to_string()))?;
    let mut builder = Database::builder();
    builder.set_cache_size(CACHE_BYTES);
    FileBackend::new(file).and_then(|backend| builder.create_with_backend(backend)).map_err(|error| match error {
        DatabaseError::DatabaseAlreadyOpen => StoreError::Held(options.file.clone()),
        DatabaseError::Storage(redb::StorageError::Io(io)) if io.kind() != io::ErrorKind::InvalidData => {
            file_problem(io.to_string())
        }
        other => StoreError::Foreign { file: options.file.clone(), problem: other.to_string() },
    })
}

struct Header {
    format: Vec<u8>,
    wrapped: Vec<u8>,
    cluster_id: Vec<u8>,
}

/// The header; `None` in a file that was never initialised.
fn read_header(database: &Database) -> Result<Option<Header>, Fault> {
    let table = match database.begin_read()?.open_table(HEADER) {
        Ok(table) => table,
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    let field =
        |name: &[u8]| table.get(name).map(|value| value.map(|value| value.value().to_vec()).unwrap_or_default());
    Ok(Some(Header { format: field(FORMAT)?, wrapped: field(WRAPPED)?, cluster_id: field(CLUSTER)? }))
}

fn unlock(options: &StoreOptions, header: &Header) -> Result<(Secret, String), StoreError> {
    let (file, key_file) = (options.file.clone(), options.key_file.clone());
    if header.format != FORMAT_1 {
        return Err(StoreError::Foreign { file, problem: "unknown format".to_owned() });
    }
    let Some(key) = read_key(options)? else { return Err(StoreError::KeyMissing { key_file, file }) };
    let data_key = barrier::unwrap(&key, &header.wrapped)
        .map_err(|fault| StoreError::File { file: file.clone(), problem: fault.to_string() })?
        .ok_or(StoreError::WrongKey { key_file, file })?;
    Ok((data_key, String::from_utf8_lossy(&header.cluster_id).into_owned()))
}

fn new_data_key() -> Result<Secret, StoreError> {
    barrier::new_key().map_err(|fault| StoreError::File { file: PathBuf::new(), problem: fault.to_string() })
}

/// One transaction that makes the store: either all of it is there afterwards, or nothing.
fn initialise(
    database: &Database,
    barrier: &Barrier,
    (key, data_key): &(Secret, Secret),
    clock: &Clock,
    api_server: Option<&str>,
) -> Result<(String, Secret), Fault> {
    let transaction = database.begin_write()?;
    let (cluster_id, root);
    {
        let mut shelves = write_shelves(&transaction)?;
        let mut session = Session::new(&shelves, barrier, clock.now());
        let mut mounts = Mounts::initial(&session)?;
        if let Some(host) = api_server {
            let mount = mounts.add_kubernetes(&session)?;
            kubernetes::set_up_in_cluster(&mut session, &mount, host)?;
        }
        mounts.save(&mut session)?;
        policies::create_default(&mut session)?;
        policies::create_response_wrapping(&mut session)?;
        let mut token = Token::draft(session.now, "auth/token/root");
        token.policies = vec!["root".to_owned()];
        "root".clone_into(&mut token.display_name);
        root = token::issue(&mut session, &mut token, None)?;
        cluster_id = mount::uuid_of(session.barrier.random()?);
        let (writes, _) = session.into_writes();
        shelves.apply(writes)?;
        let mut header = transaction.open_table(HEADER)?;
        header.insert(FORMAT, FORMAT_1)?;
        header.insert(WRAPPED, barrier::wrap(key, data_key)?.as_slice())?;
        header.insert(CLUSTER, cluster_id.as_bytes())?;
    }
    transaction.commit()?;
    Ok((cluster_id, root))
}

/// Adds what a store of an earlier version lacks.
fn upgrade(database: &Database, barrier: &Barrier, clock: &Clock) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    {
        let mut shelves = write_shelves(&transaction)?;
        let mut session = Session::new(&shelves, barrier, clock.now());
        let mut mounts = Mounts::load(&session)?;
        if !mounts.add_cubbyhole(&session)? {
            return Ok(());
        }
        mounts.save(&mut session)?;
        policies::create_response_wrapping(&mut session)?;
        let (writes, _) = session.into_writes();
        shelves.apply(writes)?;
    }
    Ok(transaction.commit()?)
}

/// The key; `None` where the file is not there.
pub(crate) fn read_key(options: &StoreOptions) -> Result<Option<Secret>, StoreError> {
    let problem = |problem: String| StoreError::Key { key_file: options.key_file.clone(), problem };
    let file = match File::open(&options.key_file) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(problem(error.to_string())),
    };
    let found = file.metadata().map_err(|error| problem(error.to_string()))?;
    if !found.is_file() {
        return Err(problem("it is no regular file".to_owned()));
    }
    if found.mode() & OTHERS != 0 {
        let mode = found.mode() & 0o7777;
        return Err(problem(format!(
            "its mode is {mode:04o}, so others can read it; run `chmod 0600 {}`",
            options.key_file.display()
        )));
    }
    let mut bytes = Vec::with_capacity(KEY_FILE_BYTES);
    let read = file.take(KEY_FILE_LIMIT).read_to_end(&mut bytes);
    let text = Secret::new(bytes);
    read.map_err(|error| problem(error.to_string()))?;
    let key = parse_key(&text).ok_or_else(|| {
        problem("it must hold 64 hex digits; restore it from where you keep it (it cannot be guessed)".to_owned())
    })?;
    Ok(Some(key))
}

fn parse_key(text: &Secret) -> Option<Secret> {
    // EXPOSE: decoding the key.
    let digits = text.expose_str()?.trim_ascii();
    if digits.len() != KEY_BYTES * 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let bytes = (0..KEY_BYTES).map(|at| u8::from_str_radix(digits.get(at * 2..at * 2 + 2)?, 16).ok());
    bytes.collect::<Option<Vec<u8>>>().map(Secret::new)
}

/// Makes the key file, durable before the store that needs it is.
fn make_key(options: &StoreOptions) -> Result<Secret, StoreError> {
    let problem = |problem: String| StoreError::Key { key_file: options.key_file.clone(), problem };
    let key = barrier::new_key().map_err(|fault| problem(fault.to_string()))?;
    // EXPOSE: the key goes into its file.
    let text = Secret::from(format!("{}\n", hex(key.expose())));
    let write = || -> io::Result<()> {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&options.key_file)?;
        file.write_all(text.expose())?;
        file.sync_all()?;
        sync_folder(&options.key_file)?;
        sync_folder(&options.file)
    };
    write().map_err(|error| problem(format!("cannot be created: {error}")))?;
    Ok(key)
}

/// Makes the file's entry in its folder durable.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Both files are their owner's alone.
pub(crate) const FILE_MODE: u32 = 0o600;
/// Mode bits of a key file that others could use.
const OTHERS: u32 = 0o077;
/// Size of a key file that we made.
const KEY_FILE_BYTES: usize = KEY_BYTES * 2 + 1;
/// Most that is read of a key file.
const KEY_FILE_LIMIT: u64 = 4096;
/// Cache of the database: enough for a laptop's secrets, small for a container.
const CACHE_BYTES: usize = 8 * 1024 * 1024;
/// Header field: form of the file.
const FORMAT: &[u8] = b"format";
/// The form that this version writes.
const FORMAT_1: &[u8] = b"vouchsafe-store-1";
/// Header field: the wrapped data key.
pub(crate) const WRAPPED: &[u8] = b"wrapped";
/// Header field: identifies the store.
const CLUSTER: &[u8] = b"cluster";
