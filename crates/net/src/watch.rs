//! `FolderWatch`: notices changes in a folder.
//!
//! The folder is watched, not its files: kubelet swaps the link `..data`, and a watch on a file would see its end once and
//! then nothing. Every minute the watch speaks up in any case: inotify can be exhausted on a node, or a folder replaced. Where the system
//! has no inotify, it speaks up every few seconds instead.
//! Out of scope: what changed. Callers read again and compare contents.

#[cfg(target_os = "linux")]
mod events;
#[cfg(not(target_os = "linux"))]
#[path = "watch/no_events.rs"]
mod events;

use std::io;
use std::path::{Path, PathBuf};

use tokio::time::{Instant, sleep_until};

use self::events::{BELT, Source, events, subscribe};

/// Notices changes in a folder.
pub struct FolderWatch {
    folder: PathBuf,
    /// Absent where the system has no watch left, or the folder is gone: then only the belt works.
    events: Option<Source>,
    belt: Instant,
}

impl FolderWatch {
    /// Watches `folder`. Fails where it is no folder that can be read; a lack of inotify watches is no failure.
    pub fn new(folder: &Path) -> io::Result<Self> {
        std::fs::read_dir(folder)?;
        let mut watch = Self::polling(folder);
        watch.events = subscribe(folder).ok();
        Ok(watch)
    }

    /// Watches a folder that may not exist yet.
    pub(crate) fn polling(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), events: None, belt: Instant::now() + BELT }
    }

    /// Completes when something in the folder may have changed, at the latest a minute after the last time.
    ///
    /// Dropping the future loses nothing.
    pub async fn changed(&mut self) {
        tokio::select! {
            gone = events(self.events.as_ref()) => {
                if gone {
                    self.events = subscribe(&self.folder).ok();
                }
            }
            () = sleep_until(self.belt) => {
                if self.events.is_none() {
                    self.events = subscribe(&self.folder).ok();
                }
            }
        }
        self.belt = Instant::now() + BELT;
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::time::Duration;

    use super::*;

    /// Enough for an event on a busy machine, and far below the belt.
    const SOON: Duration = Duration::from_secs(5);

    async fn notices(watch: &mut FolderWatch) -> bool {
        tokio::time::timeout(SOON, watch.changed()).await.is_ok()
    }

    /// Takes what is left of earlier changes.
    async fn settle(watch: &mut FolderWatch) {
        while tokio::time::timeout(Duration::from_millis(50), watch.changed()).await.is_ok() {}
    }

    #[tokio::test]
    async fn each_swap_of_the_data_link_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        fs::create_dir(path.join("..1")).unwrap();
        symlink("..1", path.join("..data")).unwrap();
        let mut watch = FolderWatch::new(path).unwrap();
        for generation in 2..5 {
            fs::create_dir(path.join(format!("..{generation}"))).unwrap();
            symlink(format!("..{generation}"), path.join("..data_tmp")).unwrap();
            settle(&mut watch).await;
            fs::rename(path.join("..data_tmp"), path.join("..data")).unwrap();
            assert!(notices(&mut watch).await, "the swap itself, generation {generation}");
            fs::remove_dir_all(path.join(format!("..{}", generation - 1))).unwrap();
            settle(&mut watch).await;
        }
    }

    #[tokio::test]
    async fn writes_renames_and_removals_are_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("grant.yaml");
        let mut watch = FolderWatch::new(folder.path()).unwrap();
        fs::write(&file, "a").unwrap();
        assert!(notices(&mut watch).await);
        settle(&mut watch).await;
        fs::write(&file, "b").unwrap();
        assert!(notices(&mut watch).await);
        settle(&mut watch).await;
        fs::remove_file(&file).unwrap();
        assert!(notices(&mut watch).await);
    }

    #[tokio::test]
    async fn an_unchanged_folder_is_quiet() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::new(folder.path()).unwrap();
        assert!(tokio::time::timeout(Duration::from_millis(100), watch.changed()).await.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn the_belt_speaks_up_every_minute_even_where_the_folder_is_missing() {
        let folder = tempfile::tempdir().unwrap();
        let mut watch = FolderWatch::polling(&folder.path().join("later"));
        for _ in 0..3 {
            let begun = Instant::now();
            watch.changed().await;
            assert_eq!(begun.elapsed().as_secs(), BELT.as_secs());
        }
    }

    #[tokio::test]
    async fn a_folder_made_anew_is_watched_again() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("grants");
        fs::create_dir(&folder).unwrap();
        let mut watch = FolderWatch::new(&folder).unwrap();
        fs::remove_dir(&folder).unwrap();
        fs::create_dir(&folder).unwrap();
        assert!(notices(&mut watch).await);
        fs::write(folder.join("a"), "a").unwrap();
        assert!(notices(&mut watch).await);
        assert!(watch.events.is_some());
    }

    #[test]
    fn what_is_no_folder_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        assert!(FolderWatch::new(&folder.path().join("file")).is_err());
        assert!(FolderWatch::new(&folder.path().join("missing")).is_err());
    }
}
