//! Generations of files: a reader sees the old set or the new set, never a mixture, whenever the writer is killed.
//!
//! The layout is that of the kubelet's own volumes, so apps that follow those follow ours:
//! ```text
//! VOLUME/..g7-1f/client_secret      a generation
//! VOLUME/..data -> ..g7-1f          which one counts; replaced by one rename
//! VOLUME/client_secret -> ..data/client_secret
//! ```
//! The order is: new generation, links for names that are new (they lead nowhere until the swap), swap, links of names that
//! are gone, old generations. A memory volume needs no fsync. Whatever a killed writer left is removed by the next one.
//! Only our own files are opened, beneath the volume's handle and never through a symbolic link.
//! Out of scope: what the files hold (content), when they are written (machine).

use std::collections::BTreeSet;
use std::io::{self, Read as _, Write as _};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags};
use rustix::io::Errno;
use vouchsafe_model::Secret;
use vouchsafe_model::path::{FileMode, FileName};

/// One file of a generation.
pub(crate) struct NewFile<'a> {
    pub(crate) name: &'a FileName,
    pub(crate) mode: FileMode,
    pub(crate) bytes: &'a Secret,
}

/// Why files could not be written: the step, and the system's word.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub(crate) struct FilesError {
    doing: String,
    source: io::Error,
}

/// A volume that we fill.
pub(crate) struct Volume {
    folder: OwnedFd,
}

impl Volume {
    /// Opens a volume's folder; makes it where there is none (outside of containers).
    pub(crate) fn open(path: &Path) -> Result<Self, FilesError> {
        let doing = || format!("open {}", path.display());
        std::fs::create_dir_all(path).map_err(|source| FilesError { doing: doing(), source })?;
        let folder = rustix::fs::open(path, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        folder.map(|folder| Self { folder }).map_err(|errno| FilesError { doing: doing(), source: errno.into() })
    }

    /// Makes `files` the volume's content; says whether anything changed. `name` is new for each generation. `step` is
    /// called before each change in the volume; tests kill the writer there.
    pub(crate) fn replace(
        &self,
        files: &[NewFile<'_>],
        name: &str,
        step: &mut dyn FnMut(),
    ) -> Result<bool, FilesError> {
        let current = self.current();
        self.remove_leftovers(current.as_deref(), step)?;
        let same = current.as_deref().is_some_and(|current| self.holds(current, files));
        if same {
            self.link(files, step)?;
            self.unlink_others(files, step)?;
            return Ok(false);
        }
        let generation = format!("{GENERATION}{name}");
        if let Err(error) = self.write_generation(&generation, files, step) {
            // Half a generation only takes room.
            let _ = remove_tree(self.folder.as_fd(), &generation, step);
            return Err(error);
        }
        self.link(files, step)?;
        self.swap(&generation, step)?;
        self.unlink_others(files, step)?;
        self.remove_leftovers(Some(&generation), step)?;
        Ok(true)
    }

    /// The generation that counts now.
    fn current(&self) -> Option<String> {
        let target = rustix::fs::readlinkat(&self.folder, DATA, Vec::new()).ok()?;
        target.into_string().ok().filter(|name| name.starts_with(GENERATION) && !name.contains('/'))
    }

    fn write_generation(&self, name: &str, files: &[NewFile<'_>], step: &mut dyn FnMut()) -> Result<(), FilesError> {
        step();
        rustix::fs::mkdirat(&self.folder, name, Mode::from_raw_mode(FOLDER_MODE)).during("make", name)?;
        let generation = open_folder(self.folder.as_fd(), name).during("open", name)?;
        // The process's umask must not decide who can read.
        rustix::fs::fchmod(&generation, Mode::from_raw_mode(FOLDER_MODE)).during("open up", name)?;
        for file in files {
            self.write_file(&generation, file, step)?;
        }
        Ok(())
    }

    #[expect(clippy::unused_self, reason = "one of the steps of a volume")]
    fn write_file(&self, generation: &OwnedFd, file: &NewFile<'_>, step: &mut dyn FnMut()) -> Result<(), FilesError> {
        let path = file.name.as_str();
        let mut folder = generation.try_clone().map_err(|source| failed("open", path, source))?;
        let (folders, name) = path.rsplit_once('/').map_or(("", path), |(folders, name)| (folders, name));
        for component in folders.split('/').filter(|component| !component.is_empty()) {
            step();
            match rustix::fs::mkdirat(&folder, component, Mode::from_raw_mode(FOLDER_MODE)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(errno) => return Err(failed("make", component, errno.into())),
            }
            folder = open_folder(folder.as_fd(), component).during("open", component)?;
            rustix::fs::fchmod(&folder, Mode::from_raw_mode(FOLDER_MODE)).during("open up", component)?;
        }
        step();
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let handle = open_beneath(folder.as_fd(), name, flags, Mode::RUSR | Mode::WUSR).during("make", path)?;
        let mut writer = std::fs::File::from(handle);
        step();
        // EXPOSE: the file is where the value was asked for.
        writer.write_all(file.bytes.expose()).map_err(|source| failed("write", path, source))?;
        step();
        rustix::fs::fchmod(&writer, Mode::from_raw_mode(file.mode.bits())).during("open up", path)
    }

    /// Makes the visible links.
    fn link(&self, files: &[NewFile<'_>], step: &mut dyn FnMut()) -> Result<(), FilesError> {
        for name in visible(files) {
            let target = format!("{DATA}/{name}");
            let found = rustix::fs::readlinkat(&self.folder, name, Vec::new());
            match found {
                Ok(found) if found.as_bytes() == target.as_bytes() => continue,
                Err(Errno::NOENT) => {}
                _ => {
                    step();
                    rustix::fs::unlinkat(&self.folder, name, AtFlags::empty()).during("replace", name)?;
                }
            }
            step();
            rustix::fs::symlinkat(&target, &self.folder, name).during("link", name)?;
        }
        Ok(())
    }

    fn swap(&self, generation: &str, step: &mut dyn FnMut()) -> Result<(), FilesError> {
        step();
        rustix::fs::symlinkat(generation, &self.folder, DATA_NEXT).during("link", DATA_NEXT)?;
        step();
        rustix::fs::renameat(&self.folder, DATA_NEXT, &self.folder, DATA).during("swap", DATA)
    }

    /// Removes links of names that the generation does not have.
    fn unlink_others(&self, files: &[NewFile<'_>], step: &mut dyn FnMut()) -> Result<(), FilesError> {
        let wanted = visible(files);
        for (name, kind) in entries(self.folder.as_fd()).map_err(|errno| failed("list", "the volume", errno.into()))? {
            if kind == FileType::Symlink && !name.starts_with("..") && !wanted.contains(name.as_str()) {
                step();
                rustix::fs::unlinkat(&self.folder, name.as_str(), AtFlags::empty()).during("unlink", &name)?;
            }
        }
        Ok(())
    }

    /// Removes what a killed writer left, and generations that no longer count.
    fn remove_leftovers(&self, current: Option<&str>, step: &mut dyn FnMut()) -> Result<(), FilesError> {
        for (name, kind) in entries(self.folder.as_fd()).map_err(|errno| failed("list", "the volume", errno.into()))? {
            let old = name.starts_with(GENERATION) && Some(name.as_str()) != current;
            if old && kind == FileType::Directory {
                remove_tree(self.folder.as_fd(), &name, step).during("remove", &name)?;
            } else if old || name == DATA_NEXT {
                step();
                rustix::fs::unlinkat(&self.folder, name.as_str(), AtFlags::empty()).during("remove", &name)?;
            }
        }
        Ok(())
    }

    /// Whether a generation is exactly `files`: names, modes, bytes.
    fn holds(&self, generation: &str, files: &[NewFile<'_>]) -> bool {
        let Ok(folder) = open_folder(self.folder.as_fd(), generation) else { return false };
        let mut found = BTreeSet::new();
        if collect(folder.as_fd(), "", &mut found).is_err() {
            return false;
        }
        let wanted: BTreeSet<String> = files.iter().map(|file| file.name.to_string()).collect();
        found == wanted && files.iter().all(|file| is_same(folder.as_fd(), file))
    }
}

/// Removes a generation.
fn remove_tree(parent: BorrowedFd<'_>, name: &str, step: &mut dyn FnMut()) -> Result<(), Errno> {
    let folder = open_folder(parent, name)?;
    for (entry, kind) in entries(folder.as_fd())? {
        if kind == FileType::Directory {
            remove_tree(folder.as_fd(), &entry, step)?;
        } else {
            step();
            rustix::fs::unlinkat(&folder, entry.as_str(), AtFlags::empty())?;
        }
    }
    step();
    rustix::fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

fn is_same(folder: BorrowedFd<'_>, file: &NewFile<'_>) -> bool {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let Ok(handle) = open_beneath(folder, file.name.as_str(), flags, Mode::empty()) else { return false };
    let Ok(facts) = rustix::fs::fstat(&handle) else { return false };
    let length = u64::try_from(facts.st_size).unwrap_or(u64::MAX);
    if facts.st_mode & 0o7777 != file.mode.bits() || length != file.bytes.len() as u64 {
        return false;
    }
    let mut bytes = Vec::with_capacity(file.bytes.len());
    let limit = length.saturating_add(1);
    let read = std::fs::File::from(handle).take(limit).read_to_end(&mut bytes);
    read.is_ok() && Secret::new(bytes) == *file.bytes
}

/// Relative paths of all files below `folder`.
fn collect(folder: BorrowedFd<'_>, prefix: &str, found: &mut BTreeSet<String>) -> Result<(), Errno> {
    for (name, kind) in entries(folder)? {
        if kind == FileType::Directory {
            let inner = open_folder(folder, &name)?;
            collect(inner.as_fd(), &format!("{prefix}{name}/"), found)?;
        } else {
            found.insert(format!("{prefix}{name}"));
        }
    }
    Ok(())
}

/// Names and kinds in a folder, without `.` and `..`.
fn entries(folder: BorrowedFd<'_>) -> Result<Vec<(String, FileType)>, Errno> {
    let mut found = Vec::new();
    for entry in Dir::read_from(folder)? {
        let entry = entry?;
        let Ok(name) = entry.file_name().to_str() else { continue };
        if name != "." && name != ".." {
            found.push((name.to_owned(), entry.file_type()));
        }
    }
    Ok(found)
}

fn open_folder(parent: BorrowedFd<'_>, name: &str) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    open_beneath(parent, name, flags, Mode::empty())
}

/// Opens below `parent` without leaving it and without following any symbolic link.
#[cfg(target_os = "linux")]
fn open_beneath(parent: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    use rustix::fs::ResolveFlags;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    match rustix::fs::openat2(parent, path, flags, mode, resolve) {
        // Kernels before 5.6, and sandboxes that do not know the call.
        Err(Errno::NOSYS | Errno::PERM) => walk_beneath(parent, path, flags, mode),
        result => result,
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(parent: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    walk_beneath(parent, path, flags, mode)
}

/// The same, one component after the other. Names were checked: none is `..` or absolute.
fn walk_beneath(parent: BorrowedFd<'_>, path: &str, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let Some((folder, rest)) = path.split_once('/') else {
        return rustix::fs::openat(parent, path, flags | OFlags::NOFOLLOW, mode);
    };
    let through = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let folder = rustix::fs::openat(parent, folder, through, Mode::empty())?;
    walk_beneath(folder.as_fd(), rest, flags, mode)
}

/// First components of the names: what the app sees in its folder.
fn visible<'a>(files: &[NewFile<'a>]) -> BTreeSet<&'a str> {
    files.iter().filter_map(|file| file.name.as_str().split('/').next()).collect()
}

fn failed(verb: &str, name: &str, source: io::Error) -> FilesError {
    FilesError { doing: format!("{verb} {name}"), source }
}

trait During<T> {
    /// Names the step that failed.
    fn during(self, verb: &str, name: &str) -> Result<T, FilesError>;
}

impl<T> During<T> for Result<T, Errno> {
    fn during(self, verb: &str, name: &str) -> Result<T, FilesError> {
        self.map_err(|errno| failed(verb, name, errno.into()))
    }
}

/// The link that says which generation counts.
const DATA: &str = "..data";
/// Its successor before the swap.
const DATA_NEXT: &str = "..data_next";
/// How names of generations begin.
const GENERATION: &str = "..g";
/// Folders are open to every user of the app's container; the files' own modes decide who reads.
const FOLDER_MODE: u32 = 0o755;

#[cfg(test)]
mod tests;
