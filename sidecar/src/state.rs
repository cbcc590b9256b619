//! The state file: written whole or not at all, readable by us alone, in a memory volume that only we mount.

use std::fs::{File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use vouchsafe_model::Secret;

/// The state folder, held by one sidecar at a time.
pub(crate) struct StateFolder {
    folder: PathBuf,
    /// Locked as long as we live.
    _lock: File,
}

impl StateFolder {
    /// Takes the folder, making it where there is none; `None` while another sidecar holds it.
    pub(crate) fn take(folder: &Path) -> io::Result<Option<Self>> {
        std::fs::create_dir_all(folder)?;
        let lock =
            OpenOptions::new().create(true).truncate(false).write(true).mode(PRIVATE).open(folder.join(LOCK_FILE))?;
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Some(Self { folder: folder.to_owned(), _lock: lock })),
            Err(rustix::io::Errno::WOULDBLOCK) => Ok(None),
            Err(errno) => Err(errno.into()),
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// What an earlier process left, if anything readable of sane size.
    pub(crate) fn load(&self) -> Option<Secret> {
        let file = File::open(self.folder.join(STATE_FILE)).ok()?;
        let mut bytes = Vec::new();
        let read = file.take(STATE_BYTES + 1).read_to_end(&mut bytes).ok()?;
        let bytes = Secret::new(bytes);
        (u64::try_from(read).is_ok_and(|read| read <= STATE_BYTES)).then_some(bytes)
    }

    /// Replaces the state file.
    pub(crate) fn save(&self, bytes: &Secret) -> io::Result<()> {
        let next = self.folder.join(NEXT_FILE);
        let result = self.write(&next, bytes).and_then(|()| std::fs::rename(&next, self.folder.join(STATE_FILE)));
        if result.is_err() {
            // Half a file only takes room.
            let _ = std::fs::remove_file(&next);
        }
        result
    }

    #[expect(clippy::unused_self, reason = "a step of save")]
    fn write(&self, next: &Path, bytes: &Secret) -> io::Result<()> {
        let mut file = OpenOptions::new().create(true).truncate(true).write(true).mode(PRIVATE).open(next)?;
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
        // EXPOSE: the state file is where the sidecar keeps what a restart needs.
        file.write_all(bytes.expose())
    }
}

const STATE_FILE: &str = "state.json";
const NEXT_FILE: &str = "state.json.next";
const LOCK_FILE: &str = "lock";
/// Ours alone.
const PRIVATE: u32 = 0o600;
/// Largest state file taken: 8 MiB of values, escaped, and the rest.
const STATE_BYTES: u64 = 24 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Secret {
        Secret::from(text.to_owned())
    }

    #[test]
    fn state_is_kept_whole_and_private() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::take(folder.path()).unwrap().unwrap();
        assert!(state.load().is_none());
        state.save(&bytes("one")).unwrap();
        state.save(&bytes("two")).unwrap();
        assert_eq!(state.load(), Some(bytes("two")));
        let mode = std::fs::metadata(folder.path().join(STATE_FILE)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(!folder.path().join(NEXT_FILE).exists());
    }

    #[test]
    fn a_half_written_successor_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::take(folder.path()).unwrap().unwrap();
        state.save(&bytes("one")).unwrap();
        std::fs::write(folder.path().join(NEXT_FILE), "tw").unwrap();
        assert_eq!(state.load(), Some(bytes("one")));
        state.save(&bytes("three")).unwrap();
        assert_eq!(state.load(), Some(bytes("three")));
    }

    #[test]
    fn a_second_sidecar_does_not_get_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        let first = StateFolder::take(folder.path()).unwrap();
        assert!(first.is_some() && StateFolder::take(folder.path()).unwrap().is_none());
        drop(first);
        assert!(StateFolder::take(folder.path()).unwrap().is_some());
    }
}
