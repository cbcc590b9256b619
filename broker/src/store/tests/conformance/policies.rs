//! Random policies, judged by the store and by real servers.

use serde_json::{Value, json};

use super::super::super::envelope::Object;
use super::super::Fixture;
use super::server::{OPENBAO, ROOT, Server};
use crate::upstream::Operation::Write;

/// Random policies, judged by both: we never allow what OpenBao refuses, and for paths without a slash at the end (where
/// versions of OpenBao do not differ) we say exactly the same.
#[tokio::test]
async fn random_policies_are_judged_as_a_real_openbao_judges_them() {
    let Some(bao) = Server::start(&OPENBAO) else { return };
    let f = Fixture::new();
    f.token(json!({"id": ROOT, "policies": ["root"], "no_parent": true})).await;
    let body = json!({"id": "fuzz-token", "policies": ["fuzz"], "no_default_policy": true, "no_parent": true});
    assert_eq!(f.as_root(Write, "auth/token/create", body.clone()).await.0, 200);
    assert_eq!(bao.call(Some(ROOT), Write, "auth/token/create", &body).status, 200);
    let mut dice = Dice(0x5eed);
    let (mut same, mut stricter) = (0, 0);
    for _ in 0..POLICIES {
        let mut policy = Object::new();
        for _ in 0..=dice.below(5) {
            let capabilities: Vec<&str> = (0..=dice.below(3)).map(|_| dice.pick(&CAPABILITIES)).collect();
            policy.insert(dice.pattern(), json!({ "capabilities": capabilities }));
        }
        let paths: Vec<String> = (0..12).map(|_| dice.path()).collect();
        let write = json!({"policy": json!({"path": policy}).to_string()});
        assert_eq!(f.as_root(Write, "sys/policies/acl/fuzz", write.clone()).await.0, 204);
        assert_eq!(bao.call(Some(ROOT), Write, "sys/policies/acl/fuzz", &write).status, 204);
        let ask = json!({"token": "fuzz-token", "paths": paths});
        let ours = f.as_root(Write, "sys/capabilities", ask.clone()).await.1;
        let theirs = bao.call(Some(ROOT), Write, "sys/capabilities", &ask).body;
        for path in &paths {
            let (one, other) = (granted(&ours["data"][path]), granted(&theirs["data"][path]));
            let shown = format!("{write} at {path}: ours {one:?}, theirs {other:?}");
            assert!(one.iter().all(|capability| other.contains(capability)), "we allow more: {shown}");
            assert!(one == other || path.ends_with('/'), "we allow less: {shown}");
            if one == other { same += 1 } else { stricter += 1 }
        }
    }
    println!("{POLICIES} random policies: {same} verdicts the same, {stricter} listings judged more strictly, 0 wider");
}

/// Policies in one run.
const POLICIES: usize = 400;
/// Capabilities to draw from; few denies, so that they meet grants.
const CAPABILITIES: [&str; 8] = ["read", "list", "create", "update", "delete", "sudo", "patch", "deny"];

fn granted(capabilities: &Value) -> Vec<String> {
    let names = capabilities.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned());
    names.filter(|name| name != "deny").collect()
}

/// A small generator of numbers, the same in every run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[usize::try_from(self.below(from.len() as u64)).unwrap()]
    }

    fn path(&mut self) -> String {
        let segments: Vec<&str> = (0..=self.below(4)).map(|_| self.pick(&["a", "b", "ab"])).collect();
        segments.join("/") + self.pick(&["", "", "/"])
    }

    fn pattern(&mut self) -> String {
        let segments: Vec<&str> = (0..=self.below(4)).map(|_| self.pick(&["a", "b", "ab", "+"])).collect();
        (segments.join("/") + self.pick(&["", "", "*", "/", "/*"])).replace("+*", "+/*")
    }
}
