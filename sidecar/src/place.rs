//! Where things lie: every absolute path resolves below one root, so that `dev` can run containers as processes.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, OFlags};

/// A root folder: `/` in a container.
#[derive(Clone, Debug)]
pub(crate) struct Place(PathBuf);

impl Place {
    pub(crate) fn new(root: &Path) -> Self {
        Self(root.to_owned())
    }

    /// `absolute` below the root.
    pub(crate) fn at(&self, absolute: &str) -> PathBuf {
        self.0.join(absolute.trim_start_matches('/'))
    }

    /// The file of a program that a command names: below the root where containers run as processes.
    pub(crate) fn program(&self, program: &OsStr) -> OsString {
        if self.0.is_absolute() {
            return program.to_owned();
        }
        let below = Path::new(program).strip_prefix("/").unwrap_or(Path::new(program));
        self.0.join(below).into_os_string()
    }
}

/// A path for a unix socket `name` in `folder`, short enough for an address whatever the folder's length. The handle must
/// live as long as the path is used.
pub(crate) fn socket_path(folder: &Path, name: &str) -> io::Result<(PathBuf, Option<OwnedFd>)> {
    let path = folder.join(name);
    if path.as_os_str().len() < SOCKET_PATH_BYTES {
        return Ok((path, None));
    }
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let handle = rustix::fs::open(folder, flags, Mode::empty())?;
    Ok((PathBuf::from(format!("/proc/self/fd/{}/{name}", handle.as_raw_fd())), Some(handle)))
}

/// Size of `sun_path` (unix(7)), with its final zero byte. macOS has 104.
const SOCKET_PATH_BYTES: usize = 104;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absolute_paths_resolve_below_the_root() {
        assert_eq!(Place::new(Path::new("/tmp/x")).at("/a/b"), Path::new("/tmp/x/a/b"));
        assert_eq!(Place::new(Path::new("/")).at("/a/b"), Path::new("/a/b"));
    }

    #[test]
    fn programs_are_found_below_the_root_only_where_containers_are_processes() {
        let below = |root: &str, program: &str| Place::new(Path::new(root)).program(OsStr::new(program));
        assert_eq!(below("/", "/run.sh"), "/run.sh");
        assert_eq!(below("/", "dex"), "dex");
        assert_eq!(below(".", "/run.sh"), "./run.sh");
        assert_eq!(below(".", "dex"), "./dex");
    }

    #[test]
    fn a_socket_can_be_bound_in_a_deep_folder() {
        let folder = tempfile::tempdir().unwrap();
        let deep = folder.path().join("d".repeat(100)).join("e".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let (path, _handle) = socket_path(&deep, "gate.sock").unwrap();
        let _listener = std::os::unix::net::UnixListener::bind(path).unwrap();
        assert!(deep.join("gate.sock").exists());
    }
}
