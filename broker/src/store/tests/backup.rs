//! A backup holds everything, gives nothing away, and a damaged one is never restored.

use std::fs;
use std::path::PathBuf;

use Operation::{Read, Write};

use super::super::{StoreError, backup, snapshot};
use super::*;

/// A store with a secret in it, and its backup.
async fn backed_up() -> (Fixture, Vec<u8>) {
    let f = Fixture::new();
    for number in 0..20 {
        let body = json!({"data": {"canary-key": format!("canary-value-{number}")}});
        f.as_root(Write, &format!("secret/data/canary/{number}"), body).await;
    }
    let response = f.store.call(request(Some(&f.root), Read, backup::SNAPSHOT_PATH, &Value::Null)).await.unwrap();
    assert_eq!(response.status, 200);
    assert_eq!(response.header("content-type"), Some("application/octet-stream"));
    let bytes = response.body.expose().to_vec();
    (f, bytes)
}

fn restore(folder: &TempDir, from: &[u8], name: &str) -> (Result<backup::Contents, StoreError>, StoreOptions) {
    let file = folder.path().join(format!("{name}.backup"));
    fs::write(&file, from).unwrap();
    let options = StoreOptions { file: folder.path().join(name), key_file: folder.path().join("key"), create: false };
    (backup::restore(&file, &options), options)
}

#[tokio::test]
async fn a_backup_of_a_running_store_restores_to_the_same_secrets_and_tokens() {
    let (f, bytes) = backed_up().await;
    // What comes later is not in it.
    f.as_root(Write, "secret/data/canary/later", json!({"data": {}})).await;
    for needle in ["canary", "secret/", &f.root] {
        assert!(!bytes.windows(needle.len()).any(|window| window == needle.as_bytes()), "{needle} in the backup");
    }
    let (contents, options) = restore(&f.folder, &bytes, "restored");
    let contents = contents.unwrap();
    assert!(contents.records > 40 && contents.names > 20, "{contents:?}");
    let (store, again) = Store::open(&options, clock_of(&f.clock)).unwrap();
    assert!(again.is_none());
    for number in 0..20 {
        let path = format!("secret/data/canary/{number}");
        let (_, body) = call(&store, request(Some(&f.root), Read, &path, &Value::Null)).await;
        assert_eq!(body["data"]["data"]["canary-key"], json!(format!("canary-value-{number}")));
    }
    let later = request(Some(&f.root), Read, "secret/data/canary/later", &Value::Null);
    assert_eq!(call(&store, later).await.0, 404);
    let list = request(Some(&f.root), Operation::List, "secret/metadata/canary/", &Value::Null);
    assert_eq!(call(&store, list).await.1["data"]["keys"].as_array().unwrap().len(), 20);
}

#[tokio::test]
async fn the_offline_backup_is_the_same_and_a_held_store_gives_none() {
    let (f, online) = backed_up().await;
    let options = options(&f.folder, false);
    assert!(matches!(backup::write(&options, &mut Vec::new()), Err(StoreError::Held(_))));
    drop(f.store);
    let mut offline = Vec::new();
    backup::write(&options, &mut offline).unwrap();
    assert!(offline == online, "the bytes at rest are the backup's");
}

#[tokio::test]
async fn only_who_may_read_and_sudo_gets_a_backup() {
    let f = Fixture::new();
    f.write_policy("read", "path \"sys/storage/snapshot\" { capabilities = [\"read\"] }").await;
    f.write_policy("both", "path \"sys/storage/snapshot\" { capabilities = [\"read\", \"sudo\"] }").await;
    let mut seen = Vec::new();
    for policy in ["default", "read", "both"] {
        let token = f.token(json!({"policies": [policy]})).await;
        let asked = request(Some(&token), Read, backup::SNAPSHOT_PATH, &Value::Null);
        seen.push(f.store.call(asked).await.unwrap().status);
    }
    assert_eq!(seen, [403, 403, 200]);
}

#[tokio::test]
async fn a_changed_byte_a_cut_or_a_longer_backup_is_refused_and_leaves_nothing() {
    let (f, bytes) = backed_up().await;
    let mut tried: Vec<Vec<u8>> = (0..bytes.len()).step_by(97).map(|at| flipped(&bytes, at)).collect();
    tried.extend((0..bytes.len()).step_by(997).map(|end| bytes[..end].to_vec()));
    tried.push([bytes.as_slice(), b"x"].concat());
    // The last bytes are the seal itself.
    tried.extend((bytes.len() - 41..bytes.len()).map(|at| flipped(&bytes, at)));
    for (index, bad) in tried.iter().enumerate() {
        let (result, options) = restore(&f.folder, bad, "bad");
        let error = result.unwrap_err();
        assert!(matches!(error, StoreError::Backup { .. }), "{index}: {error}");
        assert!(!options.file.exists() && !scratch(&options.file).exists(), "{index}");
    }
}

#[tokio::test]
async fn rows_of_two_backups_do_not_mix() {
    let (f, before) = backed_up().await;
    f.as_root(Write, "secret/data/canary/later", json!({"data": {}})).await;
    let response = f.store.call(request(Some(&f.root), Read, backup::SNAPSHOT_PATH, &Value::Null)).await.unwrap();
    let after = response.body.expose();
    // Newer rows under the older seal: each decrypts, but together they are no backup.
    let mixed = [&after[..after.len() - 40], &before[before.len() - 40..]].concat();
    assert!(matches!(restore(&f.folder, &mixed, "mixed").0, Err(StoreError::Backup { .. })));
}

#[tokio::test]
async fn a_restore_overwrites_nothing_and_needs_the_right_key() {
    let (f, bytes) = backed_up().await;
    let (result, _) = restore(&f.folder, &bytes, "store");
    assert!(result.unwrap_err().to_string().contains("overwrites nothing"));
    let elsewhere = tempfile::tempdir().unwrap();
    assert!(matches!(restore(&elsewhere, &bytes, "store").0, Err(StoreError::KeyMissing { .. })));
    let key = elsewhere.path().join("key");
    fs::write(&key, "ab".repeat(32)).unwrap();
    fs::set_permissions(&key, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let error = restore(&elsewhere, &bytes, "store").0.unwrap_err();
    assert!(error.to_string().contains("key file does not open it"), "{error}");
    assert!(matches!(restore(&f.folder, b"something else entirely", "other").0, Err(StoreError::Backup { .. })));
    let checked = backup::check(&f.folder.path().join("store.backup"), &f.folder.path().join("key")).unwrap();
    assert_eq!(checked, restore(&f.folder, &bytes, "fresh").0.unwrap());
}

proptest::proptest! {
    #[test]
    fn no_bytes_make_the_reader_panic_or_be_taken_for_a_backup(
        bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200)
    ) {
        let whole = [b"vouchsafe-backup-1\n".as_slice(), &bytes].concat();
        let key = Secret::new(vec![7; 32]);
        for input in [whole.as_slice(), &bytes] {
            proptest::prop_assert!(snapshot::read(&mut &*input, &key, &mut |_, _, _| Ok(())).is_err());
        }
    }
}

fn flipped(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1;
    changed
}

fn scratch(file: &std::path::Path) -> PathBuf {
    PathBuf::from(format!("{}.restoring", file.display()))
}
