//! The state folder of `dev`: what survives a restart, and the lock that keeps a second process out.
//!
//! ```text
//! .vouchsafe/lock            held while a process runs; holds its process id
//!            dev.json        address, CA and token file of the running servers (removed at the end)
//!            ca.crt ca.key   certificate authority of this machine's dev servers
//!            issuer.key      signs ServiceAccount tokens
//!            store.redb store.key root-token   embedded store, its key, its first token
//!            audit/ audit.key                  audit log and the key of its HMACs
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};
use vouchsafe_model::Secret;

/// A locked state folder.
pub(crate) struct State {
    folder: PathBuf,
    _lock: File,
}

/// Somebody else holds the state folder.
#[derive(Debug)]
pub(crate) struct InUse {
    folder: PathBuf,
    process: String,
}

impl std::fmt::Display for InUse {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            formatter,
            "the state folder {} is in use by process {}; stop that process, or choose another folder with --state DIR",
            self.folder.display(),
            self.process
        )
    }
}

impl std::error::Error for InUse {}

/// What `put` and other commands need to find the running `dev`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Running {
    /// `https://127.0.0.1:PORT` of the broker.
    pub(crate) address: String,
    /// PEM file of the certificate authority.
    pub(crate) ca_file: PathBuf,
    /// File that holds the token.
    pub(crate) token_file: PathBuf,
}

impl State {
    /// Creates the folder where needed (mode 0700) and locks it.
    pub(crate) fn open(folder: &Path) -> Result<Self> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).with_context(|| {
            format!("create the state folder {}; choose another with --state DIR", folder.display())
        })?;
        let folder = folder.canonicalize().with_context(|| format!("resolve {}", folder.display()))?;
        let mut lock = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(folder.join("lock"))
            .with_context(|| format!("open the lock of {}", folder.display()))?;
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_err() {
            let mut holder = String::new();
            let _ = lock.read_to_string(&mut holder);
            return Err(InUse { folder, process: holder.trim().to_owned() }.into());
        }
        lock.set_len(0)?;
        writeln!(lock, "{}", std::process::id())?;
        Ok(Self { folder, _lock: lock })
    }

    /// A path inside the folder.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Reads a private file, or makes it with `create` and mode 0600.
    pub(crate) fn secret(&self, name: &str, create: impl FnOnce() -> Result<Secret>) -> Result<Secret> {
        let path = self.path(name);
        match fs::read(&path) {
            Ok(bytes) => Ok(Secret::new(bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                let secret = create()?;
                self.write_secret(name, &secret)?;
                Ok(secret)
            }
            Err(error) => Err(error).with_context(|| format!("read {}", path.display())),
        }
    }

    /// Writes a private file with mode 0600, whole or not at all.
    pub(crate) fn write_secret(&self, name: &str, secret: &Secret) -> Result<()> {
        // EXPOSE: the file is the secret's home; its mode keeps others out.
        write_private(&self.path(name), secret.expose())
    }

    /// Tells other commands where the servers are.
    pub(crate) fn announce(&self, running: &Running) -> Result<()> {
        write_private(&self.path(RUNNING_FILE), &serde_json::to_vec_pretty(running)?)
    }
}

impl Drop for State {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.path(RUNNING_FILE));
    }
}

/// The running `dev` of a state folder, if there is one.
pub(crate) fn running(folder: &Path) -> Option<Running> {
    serde_json::from_slice(&fs::read(folder.join(RUNNING_FILE)).ok()?).ok()
}

fn write_private(path: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = path.with_extension("new");
    let context = || format!("write {}", path.display());
    let _ = fs::remove_file(&temporary);
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&temporary).with_context(context)?;
    file.write_all(bytes).with_context(context)?;
    file.sync_all().with_context(context)?;
    fs::rename(&temporary, path).with_context(context)
}

/// Where `dev` keeps its state unless told otherwise.
pub(crate) const DEFAULT_FOLDER: &str = ".vouchsafe";
/// File that announces a running `dev`.
const RUNNING_FILE: &str = "dev.json";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_process_is_refused_with_the_first_ones_id() {
        let folder = tempfile::tempdir().unwrap();
        let first = State::open(folder.path()).unwrap();
        let error = State::open(folder.path()).err().unwrap().to_string();
        assert!(error.contains(&std::process::id().to_string()) && error.contains("--state DIR"), "{error}");
        drop(first);
        State::open(folder.path()).unwrap();
    }

    #[test]
    fn a_secret_is_made_once_and_private() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let state = State::open(folder.path()).unwrap();
        let make = || Ok(Secret::new(vec![7]));
        assert_eq!(state.secret("k", make).unwrap(), Secret::new(vec![7]));
        assert_eq!(state.secret("k", || anyhow::bail!("must not be asked again")).unwrap(), Secret::new(vec![7]));
        assert_eq!(fs::metadata(state.path("k")).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
