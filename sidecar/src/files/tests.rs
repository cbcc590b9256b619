use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;

type Set = BTreeMap<String, String>;

fn set(entries: &[(&str, &str)]) -> Set {
    entries.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned())).collect()
}

/// Writes a set; `kill_at` ends the writer before its nth change, as SIGKILL would.
fn write(folder: &Path, wanted: &Set, name: &str, kill_at: Option<usize>) -> Option<bool> {
    let names: Vec<(FileName, Secret)> =
        wanted.iter().map(|(name, text)| (name.parse().unwrap(), Secret::from(text.clone()))).collect();
    let files: Vec<NewFile<'_>> =
        names.iter().map(|(name, bytes)| NewFile { name, mode: "0440".parse().unwrap(), bytes }).collect();
    let mut steps = 0;
    let mut step = || {
        assert_ne!(Some(steps), kill_at, "killed");
        steps += 1;
    };
    let writing = AssertUnwindSafe(|| Volume::open(folder).unwrap().replace(&files, name, &mut step).unwrap());
    catch_unwind(writing).ok()
}

/// What an app sees: every visible name, followed.
fn seen(folder: &Path) -> Set {
    fn walk(folder: &Path, prefix: &str, found: &mut Set) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with("..") {
                continue;
            }
            let path = folder.join(&name);
            if path.is_dir() {
                walk(&path, &format!("{prefix}{name}/"), found);
            } else if let Ok(text) = std::fs::read_to_string(&path) {
                found.insert(format!("{prefix}{name}"), text);
            }
        }
    }
    let mut found = Set::new();
    walk(folder, "", &mut found);
    found
}

fn hidden(folder: &Path) -> usize {
    let names = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.filter(|name| name.starts_with("..")).count()
}

#[test]
fn a_generation_is_swapped_in_as_a_whole_and_the_old_one_is_removed() {
    let folder = tempfile::tempdir().unwrap();
    let old = set(&[("a", "1"), ("conf.d/b.xml", "1"), ("gone", "1")]);
    let new = set(&[("a", "2"), ("conf.d/b.xml", "2"), ("conf.d/deep/c", "2")]);
    assert_eq!(write(folder.path(), &old, "1", None), Some(true));
    assert_eq!(seen(folder.path()), old);
    assert_eq!(write(folder.path(), &new, "2", None), Some(true));
    assert_eq!(seen(folder.path()), new);
    assert_eq!(hidden(folder.path()), 2, "one generation and ..data");
}

#[test]
fn an_equal_generation_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let same = set(&[("a", "1"), ("d/b", "2")]);
    write(folder.path(), &same, "1", None);
    assert_eq!(write(folder.path(), &same, "2", None), Some(false));
    assert!(folder.path().join("..g1").exists());
}

#[test]
fn modes_are_exact_whatever_the_umask() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &set(&[("d/a", "1")]), "1", None);
    let mode = |path: &str| std::fs::metadata(folder.path().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode("d/a"), 0o440);
    assert_eq!(mode("..data/d"), 0o755);
}

#[test]
fn a_writer_killed_at_any_step_leaves_the_old_set_or_the_new_set_and_the_next_one_repairs() {
    let old = set(&[("a", "old"), ("conf.d/b", "old"), ("gone", "old")]);
    let new = set(&[("a", "new"), ("conf.d/b", "new"), ("fresh", "new")]);
    let mut kills = 0;
    for kill_at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), &old, "1", None);
        let finished = write(folder.path(), &new, "2", Some(kill_at)).is_some();
        let found = seen(folder.path());
        assert!(found == old || found == new, "killed at {kill_at}: {found:?}");
        write(folder.path(), &new, "3", None).unwrap();
        assert_eq!(seen(folder.path()), new, "repair after {kill_at}");
        assert_eq!(hidden(folder.path()), 2, "leftovers after {kill_at}");
        if finished {
            break;
        }
        kills += 1;
    }
    assert!(kills > 15, "{kills}");
}

#[test]
fn the_very_first_writer_killed_at_any_step_leaves_nothing_or_everything() {
    let new = set(&[("a", "new"), ("conf.d/b", "new")]);
    for kill_at in 0.. {
        let folder = tempfile::tempdir().unwrap();
        let finished = write(folder.path(), &new, "1", Some(kill_at)).is_some();
        let found = seen(folder.path());
        assert!(found.is_empty() || found == new, "killed at {kill_at}: {found:?}");
        write(folder.path(), &new, "2", None).unwrap();
        assert_eq!(seen(folder.path()), new);
        if finished {
            break;
        }
    }
}

#[test]
fn a_symbolic_link_in_the_way_is_never_followed() {
    let folder = tempfile::tempdir().unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("..g1")).unwrap();
    assert_eq!(write(folder.path(), &set(&[("a", "1")]), "1", None), Some(true));
    assert_eq!(seen(folder.path()), set(&[("a", "1")]));
    assert!(std::fs::read_dir(outside.path()).unwrap().next().is_none());
    let volume = Volume::open(folder.path()).unwrap();
    std::os::unix::fs::symlink(outside.path(), folder.path().join("link")).unwrap();
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    for open in [open_beneath, walk_beneath] {
        assert!(open(volume.folder.as_fd(), "link/x", flags, Mode::empty()).is_err());
    }
}

#[test]
fn a_reader_who_holds_the_folder_open_sees_one_whole_set_while_sets_are_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let of = |number: usize| set(&[("a", &number.to_string()), ("b", &number.to_string())]);
    write(folder.path(), &of(0), "0", None);
    let path = folder.path().to_owned();
    let reader = std::thread::spawn(move || {
        for _ in 0..2000 {
            let Ok(generation) = std::fs::canonicalize(path.join("..data")) else { continue };
            let read = |name: &str| std::fs::read_to_string(generation.join(name));
            if let (Ok(a), Ok(b)) = (read("a"), read("b")) {
                assert_eq!(a, b);
            }
            assert!(std::fs::symlink_metadata(path.join("a")).is_ok());
        }
    });
    for number in 1..200 {
        write(folder.path(), &of(number), &number.to_string(), None).unwrap();
    }
    reader.join().unwrap();
}
