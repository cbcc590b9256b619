//! KV version 2 as a client sees it.

use Operation::{Delete, List, Patch, Read, Scan, Write};

use super::*;

#[tokio::test]
async fn a_written_secret_reads_back_with_its_version_and_exact_numbers() {
    let f = Fixture::new();
    let text = r#"{"data":{"n":12345678901234567890.10,"s":"a\n","z":null,"l":[1,{}]}}"#;
    let mut sent = request(Some(&f.root), Write, "secret/data/a/b", &Value::Null);
    sent.body = Secret::from(text.to_owned());
    let (status, body) = call(&f.store, sent).await;
    assert_eq!((status, &body["data"]["version"]), (200, &json!(1)));
    let (status, body) = f.as_root(Read, "secret/data/a/b", Value::Null).await;
    assert_eq!(status, 200);
    assert_eq!(body["data"]["data"]["n"].to_string(), "12345678901234567890.10");
    assert_eq!(body["data"]["data"]["s"], json!("a\n"));
    assert_eq!(body["data"]["metadata"]["version"], json!(1));
    assert_eq!(body["data"]["metadata"]["deletion_time"], json!(""));
    assert_eq!(body["data"]["metadata"]["custom_metadata"], Value::Null);
}

#[tokio::test]
async fn what_never_was_and_what_is_deleted_are_told_apart() {
    let f = Fixture::new();
    assert_eq!(f.as_root(Read, "secret/data/a", Value::Null).await, (404, json!({"errors": []})));
    f.as_root(Write, "secret/data/a", json!({"data": {"k": 1}})).await;
    assert_eq!(f.as_root(Delete, "secret/data/a", Value::Null).await, (204, Value::Null));
    let (status, body) = f.as_root(Read, "secret/data/a", Value::Null).await;
    assert_eq!((status, &body["data"]["data"], body.get("errors")), (404, &Value::Null, None));
    assert_ne!(body["data"]["metadata"]["deletion_time"], json!(""));
    assert_eq!(f.as_root(Read, "secret/data/a?version=2", Value::Null).await, (404, json!({"errors": []})));
    f.as_root(Write, "secret/undelete/a", json!({"versions": [1]})).await;
    assert_eq!(f.as_root(Read, "secret/data/a", Value::Null).await.0, 200);
    f.as_root(Write, "secret/destroy/a", json!({"versions": "1"})).await;
    let (status, body) = f.as_root(Read, "secret/data/a", Value::Null).await;
    assert_eq!((status, &body["data"]["metadata"]["destroyed"]), (404, &json!(true)));
    f.as_root(Write, "secret/undelete/a", json!({"versions": [1]})).await;
    assert_eq!(f.as_root(Read, "secret/data/a", Value::Null).await.0, 404);
}

#[tokio::test]
async fn check_and_set_lets_one_of_two_writers_win() {
    let f = Fixture::new();
    let write = |cas: Value| f.as_root(Write, "secret/data/a", json!({"data": {}, "options": {"cas": cas}}));
    assert_eq!(write(json!(0)).await.0, 200);
    let (status, body) = write(json!(0)).await;
    assert_eq!((status, errors(&body)), (400, vec!["check-and-set parameter did not match the current version"]));
    assert_eq!(write(json!("1")).await.0, 200);
    assert_eq!(errors(&write(json!("x")).await.1), ["error parsing check-and-set parameter"]);
    f.as_root(Write, "secret/config", json!({"cas_required": true})).await;
    let (_, body) = f.as_root(Write, "secret/data/a", json!({"data": {}})).await;
    assert_eq!(errors(&body), ["check-and-set parameter required for this call"]);
}

#[tokio::test]
async fn concurrent_check_and_set_has_exactly_one_winner() {
    let f = Fixture::new();
    let body = json!({"data": {"x": 1}, "options": {"cas": 0}});
    let calls = (0..64).map(|_| f.as_root(Write, "secret/data/a", body.clone()));
    let mut won = 0;
    let mut pending: Vec<_> = calls.map(Box::pin).collect();
    // Polled side by side, so that they share commits.
    let outcomes = std::future::poll_fn(move |context| {
        let mut done = Vec::new();
        pending.retain_mut(|call| match call.as_mut().poll(context) {
            std::task::Poll::Ready(seen) => {
                done.push(seen.0);
                false
            }
            std::task::Poll::Pending => true,
        });
        won += done.iter().filter(|status| **status == 200).count();
        if pending.is_empty() { std::task::Poll::Ready(won) } else { std::task::Poll::Pending }
    })
    .await;
    assert_eq!(outcomes, 1);
    assert_eq!(f.as_root(Read, "secret/data/a", Value::Null).await.1["data"]["metadata"]["version"], json!(1));
}

#[tokio::test]
async fn old_versions_go_when_there_are_too_many() {
    let f = Fixture::new();
    f.as_root(Write, "secret/metadata/a", json!({"max_versions": 2})).await;
    for number in 1..=3 {
        f.as_root(Write, "secret/data/a", json!({"data": {"n": number}})).await;
    }
    assert_eq!(f.as_root(Read, "secret/data/a?version=1", Value::Null).await, (404, json!({"errors": []})));
    assert_eq!(f.as_root(Read, "secret/data/a?version=2", Value::Null).await.0, 200);
    let (_, body) = f.as_root(Read, "secret/metadata/a", Value::Null).await;
    assert_eq!((&body["data"]["oldest_version"], &body["data"]["current_version"]), (&json!(2), &json!(3)));
    for number in 4..=20 {
        f.as_root(Write, "secret/data/b", json!({"data": {"n": number}})).await;
    }
    let (_, body) = f.as_root(Read, "secret/metadata/b", Value::Null).await;
    assert_eq!(body["data"]["versions"].as_object().unwrap().len(), 10);
}

#[tokio::test]
async fn versions_delete_themselves_by_age() {
    let f = Fixture::new();
    f.as_root(Write, "secret/metadata/a", json!({"delete_version_after": "1h"})).await;
    f.as_root(Write, "secret/data/a", json!({"data": {}})).await;
    f.pass(3599);
    assert_eq!(f.as_root(Read, "secret/data/a", Value::Null).await.0, 200);
    f.pass(1);
    assert_eq!(f.as_root(Read, "secret/data/a", Value::Null).await.0, 404);
}

#[tokio::test]
async fn patches_merge_and_remove() {
    let f = Fixture::new();
    assert_eq!(f.as_root(Patch, "secret/data/a", json!({"data": {"k": 1}})).await, (404, Value::Null));
    f.as_root(Write, "secret/data/a", json!({"data": {"k": 1, "gone": 1, "deep": {"x": 1, "y": 2}}})).await;
    let (status, body) = f.as_root(Patch, "secret/data/a", json!({"data": {"gone": null, "deep": {"x": null}}})).await;
    assert_eq!((status, &body["data"]["version"]), (200, &json!(2)));
    let (_, body) = f.as_root(Read, "secret/data/a", Value::Null).await;
    assert_eq!(body["data"]["data"], json!({"k": 1, "deep": {"y": 2}}));
    let mut plain = request(Some(&f.root), Patch, "secret/data/a", &json!({"data": {}}));
    plain.content_type = Some("application/json".to_owned());
    assert_eq!(call(&f.store, plain).await.0, 415);
}

#[tokio::test]
async fn listings_show_one_level_and_scans_all() {
    let f = Fixture::new();
    for path in ["a", "a/b", "a/c/d", "e"] {
        f.as_root(Write, &format!("secret/data/{path}"), json!({"data": {}})).await;
    }
    let keys = |seen: Seen| seen.1["data"]["keys"].clone();
    assert_eq!(keys(f.as_root(List, "secret/metadata/", Value::Null).await), json!(["a", "a/", "e"]));
    assert_eq!(keys(f.as_root(List, "secret/metadata", Value::Null).await), json!(["a", "a/", "e"]));
    assert_eq!(keys(f.as_root(List, "secret/metadata/a/", Value::Null).await), json!(["b", "c/"]));
    assert_eq!(keys(f.as_root(List, "secret/metadata/?after=a&limit=1", Value::Null).await), json!(["a/"]));
    assert_eq!(keys(f.as_root(Scan, "secret/metadata/", Value::Null).await), json!(["a", "e", "a/b", "a/c/d"]));
    assert_eq!(f.as_root(List, "secret/metadata/none/", Value::Null).await, (404, json!({"errors": []})));
    let (_, detailed) = f.as_root(List, "secret/detailed-metadata/a/", Value::Null).await;
    assert_eq!(detailed["data"]["key_info"]["b"]["current_version"], json!(1));
    assert_eq!(detailed["data"]["key_info"]["c/"], json!({}));
    f.as_root(Delete, "secret/metadata/a/c/d", Value::Null).await;
    assert_eq!(keys(f.as_root(List, "secret/metadata/a/", Value::Null).await), json!(["b"]));
}

#[tokio::test]
async fn subkeys_show_names_without_values() {
    let f = Fixture::new();
    f.as_root(Write, "secret/data/a", json!({"data": {"k": "hunter2", "d": {"x": {"y": 1}}}})).await;
    let (_, body) = f.as_root(Read, "secret/subkeys/a", Value::Null).await;
    assert_eq!(body["data"]["subkeys"], json!({"k": null, "d": {"x": {"y": null}}}));
    let (_, body) = f.as_root(Read, "secret/subkeys/a?depth=1", Value::Null).await;
    assert_eq!(body["data"]["subkeys"], json!({"k": null, "d": null}));
}

#[tokio::test]
async fn changes_are_announced_once_they_are_committed() {
    let f = Fixture::new();
    let mut changes = f.store.subscribe_changes();
    f.as_root(Write, "secret/data/a/b", json!({"data": {}})).await;
    f.as_root(Write, "secret/data/a/b", json!({"data": {}, "options": {"cas": 7}})).await;
    f.as_root(Write, "secret/data/a/b", json!({"data": {}})).await;
    f.as_root(Delete, "secret/data/a/b", Value::Null).await;
    f.as_root(Write, "secret/undelete/a/b", json!({"versions": [2]})).await;
    f.as_root(Write, "secret/delete/a/b", json!({"versions": [1]})).await;
    f.as_root(Delete, "secret/metadata/a/b", Value::Null).await;
    let mut seen = Vec::new();
    while let Ok(change) = changes.try_recv() {
        assert_eq!(change.path, "secret/data/a/b");
        seen.push(change.version);
    }
    assert_eq!(seen, [1, 2, 0, 2, 0]);
}

#[tokio::test]
async fn mounts_come_and_go_with_all_that_is_in_them() {
    let f = Fixture::new();
    let (status, body) = f.as_root(Write, "sys/mounts/team/x", json!({"type": "transit"})).await;
    assert_eq!(status, 400);
    assert!(errors(&body)[0].contains("kv-v1 and kv-v2 only"), "{body}");
    let kv = json!({"type": "kv", "options": {"version": "2"}});
    assert_eq!(f.as_root(Write, "sys/mounts/team/x", kv.clone()).await.0, 204);
    let (status, body) = f.as_root(Write, "sys/mounts/team/x", kv.clone()).await;
    assert_eq!((status, errors(&body)), (400, vec!["path is already in use at team/x/"]));
    f.as_root(Write, "team/x/data/a", json!({"data": {}})).await;
    assert_eq!(f.as_root(Read, "team/x/data/a", Value::Null).await.0, 200);
    let (_, body) = f.as_root(Read, "sys/mounts", Value::Null).await;
    assert_eq!(body["team/x/"]["type"], body["data"]["team/x/"]["type"]);
    assert_eq!(f.as_root(Delete, "sys/mounts/team/x", Value::Null).await.0, 204);
    assert_eq!(f.as_root(Delete, "sys/mounts/team/x", Value::Null).await.0, 204);
    assert_eq!(f.as_root(Read, "team/x/data/a", Value::Null).await.0, 404);
    f.as_root(Write, "sys/mounts/team/x", kv).await;
    assert_eq!(f.as_root(Read, "team/x/data/a", Value::Null).await, (404, json!({"errors": []})));
    for reserved in ["sys/x", "auth/x", "secret/x", "cubbyhole"] {
        let kv = json!({"type": "kv-v2"});
        assert_eq!(f.as_root(Write, &format!("sys/mounts/{reserved}"), kv).await.0, 400, "{reserved}");
    }
}

#[tokio::test]
async fn everything_survives_a_restart() {
    let f = Fixture::new();
    f.as_root(Write, "secret/data/a", json!({"data": {"k": "v"}})).await;
    let token = f.token(json!({"policies": ["root"]})).await;
    let f = f.reopen();
    assert_eq!(f.as_root(Read, "secret/data/a", Value::Null).await.1["data"]["data"], json!({"k": "v"}));
    assert_eq!(f.call(Some(&token), Read, "auth/token/lookup-self", Value::Null).await.0, 200);
}
