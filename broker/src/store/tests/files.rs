//! The two files: what is made, what is refused, and that nothing readable lies in them.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::super::StoreError;
use super::*;

fn try_open(folder: &TempDir, create: bool) -> Result<(Store, bool), StoreError> {
    Store::open(&options(folder, create), Clock::system()).map(|(store, root)| (store, root.is_some()))
}

#[test]
fn a_new_store_gives_its_root_token_once_and_both_files_are_private() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(try_open(&folder, false), Err(StoreError::Missing(_))));
    assert!(!folder.path().join("store").exists());
    let (store, first) = try_open(&folder, true).unwrap();
    assert!(first);
    drop(store);
    for name in ["store", "key"] {
        assert_eq!(fs::metadata(folder.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
    assert!(!try_open(&folder, true).unwrap().1);
}

#[test]
fn a_second_opening_is_refused_while_the_first_lasts() {
    let folder = tempfile::tempdir().unwrap();
    let first = try_open(&folder, true).unwrap();
    let error = try_open(&folder, true).unwrap_err();
    assert!(matches!(error, StoreError::Held(_)), "{error}");
    assert!(error.to_string().contains("another process has it open"));
    drop(first);
    assert!(try_open(&folder, false).is_ok());
}

#[test]
fn the_key_file_must_be_private_whole_and_the_right_one() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("key");
    drop(try_open(&folder, true).unwrap());
    let good = fs::read(&key).unwrap();

    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    let error = try_open(&folder, true).unwrap_err().to_string();
    assert!(error.contains("0640") && error.contains("chmod 0600"), "{error}");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
    assert!(try_open(&folder, true).is_ok());

    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    for broken in [&good[..10], b"", b"zz", &[b'g'; 64]] {
        fs::write(&key, broken).unwrap();
        assert!(matches!(try_open(&folder, true), Err(StoreError::Key { .. })));
    }
    fs::write(&key, "ab".repeat(32)).unwrap();
    assert!(matches!(try_open(&folder, true), Err(StoreError::WrongKey { .. })));
    fs::remove_file(&key).unwrap();
    assert!(matches!(try_open(&folder, true), Err(StoreError::KeyMissing { .. })));
    assert!(!key.exists(), "a lost key is never replaced by a new one");
    fs::write(&key, &good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    assert!(try_open(&folder, false).is_ok());
}

#[test]
fn a_foreign_file_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = folder.path().join("store");
    fs::write(&store, vec![b'x'; 100_000]).unwrap();
    let error = try_open(&folder, true).unwrap_err();
    assert!(matches!(error, StoreError::Foreign { .. }), "{error}");
    assert_eq!(fs::read(&store).unwrap(), vec![b'x'; 100_000]);
}

#[tokio::test]
async fn neither_names_nor_values_nor_tokens_can_be_read_from_the_file() {
    let f = Fixture::new();
    let write = |path: &'static str, body| f.as_root(Operation::Write, path, body);
    write("secret/data/canary-name/canary-leaf", json!({"data": {"canary-key": "canary-value"}})).await;
    write("sys/policies/acl/canary-policy", json!({"policy": "path \"canary-path\" { policy = \"read\" }"})).await;
    write("sys/auth/canary-mount", json!({"type": "kubernetes", "description": "canary-text"})).await;
    let token = f.token(json!({"meta": {"canary-meta": "x"}})).await;
    let (root, folder) = (f.root.clone(), f.folder.path().to_owned());
    let bytes = |name: &str| fs::read(folder.join(name)).unwrap();
    drop(f.store);
    let key = String::from_utf8(bytes("key")).unwrap();
    let file = bytes("store");
    for needle in ["canary", "default", "secret/", &root, &token, &token[4..], key.trim()] {
        assert!(!file.windows(needle.len()).any(|window| window == needle.as_bytes()), "{needle}");
    }
}

#[tokio::test]
async fn a_sealed_store_answers_health_and_nothing_else() {
    let f = Fixture::new();
    f.as_root(Operation::Write, "secret/data/a", json!({"data": {}})).await;
    assert_eq!(f.call(None, Operation::Read, "sys/health", Value::Null).await.0, 200);
    assert_eq!(f.as_root(Operation::Write, "sys/seal", Value::Null).await.0, 204);
    let (status, body) = f.call(None, Operation::Read, "sys/health", Value::Null).await;
    assert_eq!((status, &body["sealed"]), (503, &json!(true)));
    assert_eq!(f.call(None, Operation::Read, "sys/seal-status", Value::Null).await.1["sealed"], json!(true));
    for operation in [Operation::Read, Operation::Write] {
        let (status, body) = f.as_root(operation, "secret/data/a", json!({"data": {}})).await;
        assert_eq!((status, errors(&body)), (503, vec!["Vault is sealed"]));
    }
    let f = f.reopen();
    assert_eq!(f.as_root(Operation::Read, "secret/data/a", Value::Null).await.0, 200);
}

#[tokio::test]
async fn a_store_made_in_a_cluster_reviews_tokens_at_its_api_server_from_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let clock = || Clock::new(|| Timestamp::from_second(START).unwrap());
    let open = || Store::open_in_cluster(&options(&folder, true), clock(), "https://10.96.0.1:443").unwrap();
    let (store, root) = open();
    let root = root.unwrap().0.expose_str().unwrap().to_owned();
    let read = |path: &'static str| request(Some(&root), Operation::Read, path, &Value::Null);
    let (status, config) = call(&store, read("auth/kubernetes/config")).await;
    assert_eq!((status, &config["data"]["kubernetes_host"]), (200, &json!("https://10.96.0.1:443")));
    assert_eq!(config["data"]["disable_local_ca_jwt"], json!(false));
    assert_eq!(call(&store, read("secret/config")).await.0, 200, "KV version 2 is there too");
    let off = request(Some(&root), Operation::Delete, "sys/auth/kubernetes", &Value::Null);
    assert_eq!(call(&store, off).await.0, 204);
    drop(store);
    let (store, again) = open();
    assert!(again.is_none());
    let (status, _) = call(&store, read("auth/kubernetes/config")).await;
    assert_eq!(status, 404, "a store that is there already stays as its owner left it");
    drop(store);
    let elsewhere = tempfile::tempdir().unwrap();
    let bad = Store::open_in_cluster(&options(&elsewhere, true), clock(), "http://10.96.0.1").unwrap_err();
    assert!(bad.to_string().contains("kubernetes_host"), "{bad}");
}

#[tokio::test]
async fn a_store_of_an_earlier_version_gets_what_it_lacks() {
    use super::super::mount::{MountKind, Mounts};
    use super::super::table::Session;
    use super::super::{engine, open};
    let f = Fixture::new();
    let (root, clock, folder) = (f.root.clone(), Arc::clone(&f.clock), f.folder);
    drop(f.store);
    {
        let opened = open::open(&options(&folder, false), &clock_of(&clock), None).unwrap();
        let transaction = opened.database.begin_write().unwrap();
        {
            let mut shelves = engine::write_shelves(&transaction).unwrap();
            let mut session = Session::new(&shelves, &opened.barrier, Timestamp::from_second(START).unwrap());
            let mut mounts = Mounts::load(&session).unwrap();
            mounts.0.retain(|mount| mount.kind != MountKind::Cubbyhole);
            mounts.save(&mut session).unwrap();
            let (writes, _) = session.into_writes();
            shelves.apply(writes).unwrap();
        }
        transaction.commit().unwrap();
    }
    for _ in 0..2 {
        let (store, _) = Store::open(&options(&folder, false), clock_of(&clock)).unwrap();
        let write = request(Some(&root), Operation::Write, "cubbyhole/a", &json!({"k": "v"}));
        assert_eq!(call(&store, write).await.0, 204);
        let mut read = request(Some(&root), Operation::Read, "cubbyhole/a", &Value::Null);
        read.wrap_ttl = Some("60".to_owned());
        assert_eq!(call(&store, read).await.0, 200);
    }
}
