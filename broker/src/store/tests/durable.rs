//! Killed at any instant, the store opens again with every write that was answered.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::*;

/// Set in the child: the folder of its store.
const FOLDER: &str = "VOUCHSAFE_TEST_STORE_FOLDER";
/// Lives and deaths in one run.
const ROUNDS: u64 = 12;
/// Writers that share commits in the child.
const WRITERS: u64 = 4;

/// Not a test of its own: the process that is killed. Writes counting values and says each answered one aloud.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let folder = std::path::PathBuf::from(folder);
    let options = StoreOptions { file: folder.join("store"), key_file: folder.join("key"), create: true };
    let (store, _) = Store::open(&options, Clock::system()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        tokio::join!(
            write_for_ever(&store, 0),
            write_for_ever(&store, 1),
            write_for_ever(&store, 2),
            write_for_ever(&store, 3)
        );
    });
}

async fn write_for_ever(store: &Store, writer: u64) {
    let path = format!("secret/data/w{writer}");
    for number in 1.. {
        let body = json!({"data": {"n": number}});
        let (status, seen) = call(store, request(Some("durable-root"), Operation::Write, &path, &body)).await;
        assert_eq!(status, 200, "{seen}");
        println!("answered {writer} {number} {}", seen["data"]["version"]);
    }
}

#[test]
fn every_answered_write_survives_a_kill_at_any_instant() {
    let folder = tempfile::tempdir().unwrap();
    let (store, root) = Store::open(&options(&folder, true), Clock::system()).unwrap();
    let root = root.unwrap().0.expose_str().unwrap().to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = json!({"id": "durable-root", "policies": ["root"]});
    let made = call(&store, request(Some(&root), Operation::Write, "auth/token/create", &body));
    assert_eq!(runtime.block_on(made).0, 200);
    drop(store);
    let mut answered_in_all = 0;
    for round in 0..ROUNDS {
        let lines = live_and_die(&folder, Duration::from_millis(30 + round * 37 % 200));
        answered_in_all += lines.len();
        let (store, _) = Store::open(&options(&folder, false), Clock::system()).unwrap();
        for writer in 0..WRITERS {
            let last = lines.iter().rev().find(|line| line[0] == writer);
            let Some([_, number, version]) = last.copied() else { continue };
            let path = format!("secret/data/w{writer}?version={version}");
            let (status, body) =
                runtime.block_on(call(&store, request(Some("durable-root"), Operation::Read, &path, &Value::Null)));
            assert_eq!((status, &body["data"]["data"]["n"]), (200, &json!(number)), "round {round} writer {writer}");
        }
    }
    println!("{answered_in_all} answered writes, {ROUNDS} kills, none lost");
    assert!(answered_in_all > 50, "only {answered_in_all} writes were answered: the test proves nothing");
}

/// Runs the child, kills it `after` its first answer, and gives what it said was answered.
fn live_and_die(folder: &TempDir, after: Duration) -> Vec<[u64; 3]> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "store::tests::durable::child_that_writes_until_it_is_killed",
            "--nocapture",
            "--test-threads=1",
        ])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut lines = Vec::new();
    let mut deadline = None;
    for line in BufReader::new(child.stdout.take().unwrap()).lines() {
        let line = line.unwrap_or_default();
        let Some(rest) = line.split("answered ").nth(1) else { continue };
        let numbers: Vec<u64> = rest.split(' ').filter_map(|word| word.parse().ok()).collect();
        // A line this short goes into the pipe whole or not at all.
        let Ok(numbers) = <[u64; 3]>::try_from(numbers) else { continue };
        lines.push(numbers);
        if Instant::now() >= *deadline.get_or_insert_with(|| Instant::now() + after) {
            let _ = child.kill();
        }
    }
    child.wait().unwrap();
    lines
}
