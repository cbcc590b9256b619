//! Backup and restore of a store's file, for the verbs of the program. A running store hands its own out by
//! `GET sys/storage/snapshot`.
//!
//! A restore is one rename: the new file stands whole and checked, or not at all. It never touches a file that is there.
//! Out of scope: the form of a backup (`snapshot`), and the key file, which no backup contains.

use std::fs::{File, OpenOptions};
use std::io::{BufReader, BufWriter, Read, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use redb::backends::FileBackend;
use redb::{Database, ReadableDatabase as _};
use vouchsafe_model::Secret;

use super::clock::Clock;
use super::fault::Fault;
use super::open::{self, FILE_MODE, StoreError, StoreOptions, read_key, sync_folder};
use super::snapshot::{self, Part, SnapshotError};

pub use super::engine::SNAPSHOT_BYTES;
pub use super::snapshot::Contents;

/// API path, without `/v1/`, at which a running store hands out a backup; needs `sudo`.
pub const SNAPSHOT_PATH: &str = super::sys::SNAPSHOT;

/// Writes a backup of a store that no process has open.
pub fn write(options: &StoreOptions, out: &mut dyn Write) -> Result<Contents, StoreError> {
    let options = StoreOptions { create: false, ..options.clone() };
    let opened = open::open(&options, &Clock::system(), None)?;
    let failed = |problem: String| StoreError::File { file: options.file.clone(), problem };
    let transaction = opened.database.begin_read().map_err(|error| failed(error.to_string()))?;
    let mut out = BufWriter::new(out);
    snapshot::write(&transaction, &opened.barrier, &mut out).map_err(|error| failed(error.to_string()))
}

/// Reads a whole backup and decrypts every record, without keeping anything.
pub fn check(backup: &Path, key_file: &Path) -> Result<Contents, StoreError> {
    let (mut input, key) = inputs(backup, key_file, backup)?;
    snapshot::read(&mut input, &key, &mut |_, _, _| Ok(())).map_err(|error| damaged(backup, &error))
}

/// Makes a store file of a backup. `options.file` must not be there yet; the key file is the one of the backup.
pub fn restore(backup: &Path, options: &StoreOptions) -> Result<Contents, StoreError> {
    let target = &options.file;
    let failed = |problem: String| StoreError::File { file: target.clone(), problem };
    if target.exists() {
        return Err(failed("it is there already, and a restore overwrites nothing; move it away first".to_owned()));
    }
    let (mut input, key) = inputs(backup, &options.key_file, target)?;
    let scratch = scratch_of(target);
    let result = rebuild(&scratch, &mut input, &key).and_then(|contents| {
        std::fs::rename(&scratch, target).and_then(|()| sync_folder(target)).map_err(SnapshotError::Stream)?;
        Ok(contents)
    });
    result.map_err(|error| {
        // Half a store is worth nothing; what cannot be removed is refused by the next attempt.
        let _ = std::fs::remove_file(&scratch);
        damaged(backup, &error)
    })
}

fn inputs(backup: &Path, key_file: &Path, store: &Path) -> Result<(BufReader<File>, Secret), StoreError> {
    let options = StoreOptions { file: store.to_owned(), key_file: key_file.to_owned(), create: false };
    let key = read_key(&options)?
        .ok_or_else(|| StoreError::KeyMissing { key_file: key_file.to_owned(), file: store.to_owned() })?;
    let file = File::open(backup)
        .map_err(|error| StoreError::Backup { file: backup.to_owned(), problem: error.to_string() })?;
    Ok((BufReader::new(file), key))
}

/// Fills a new file in one transaction, which is committed only when the whole backup was read and found sound.
fn rebuild(scratch: &Path, input: &mut dyn Read, key: &Secret) -> Result<Contents, SnapshotError> {
    let mut how = OpenOptions::new();
    let file = how.read(true).write(true).create_new(true).mode(FILE_MODE).open(scratch)?;
    let backend = FileBackend::new(file).map_err(|error| Fault::Disk(error.to_string()))?;
    let database = Database::builder().create_with_backend(backend).map_err(|e| Fault::Disk(e.to_string()))?;
    let transaction = database.begin_write().map_err(Fault::from)?;
    let contents = {
        let mut tables = Vec::new();
        for part in PARTS {
            tables.push((part, transaction.open_table(part.table()).map_err(Fault::from)?));
        }
        snapshot::read(input, key, &mut |part, row, value| {
            for (_, table) in tables.iter_mut().filter(|(of, _)| *of == part) {
                table.insert(row, value)?;
            }
            Ok(())
        })?
    };
    transaction.commit().map_err(Fault::from)?;
    Ok(contents)
}

fn damaged(backup: &Path, error: &SnapshotError) -> StoreError {
    StoreError::Backup { file: backup.to_owned(), problem: error.to_string() }
}

fn scratch_of(target: &Path) -> PathBuf {
    let mut name = target.file_name().unwrap_or_default().to_owned();
    name.push(".restoring");
    target.with_file_name(name)
}

/// Tables of a store.
const PARTS: [Part; 4] = [Part::Header, Part::Records, Part::Names, Part::Expiry];
