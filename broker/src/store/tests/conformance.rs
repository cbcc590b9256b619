//! The same requests to the store and to a real OpenBao: status, error texts and the shape of the JSON must agree.
//!
//! Runs where `VOUCHSAFE_BAO` names a `bao` binary (2.4); otherwise it says that it did not. Values that differ by nature
//! (times, ids, accessors) are compared by their type only. Where we differ on purpose the step says `Status`.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use Compare::{Full, Status};
use Operation::{Delete, List, Patch, Read, Scan, Write};

use super::super::envelope::Object;
use super::*;

/// How much of two answers must agree.
#[derive(Clone, Copy, PartialEq)]
enum Compare {
    /// Status, error texts, and names and types of all fields.
    Full,
    /// The status only: the texts or fields differ on purpose.
    Status,
}

/// One request: who (`root`, a name under which a token was kept, or nobody), what, how to compare, and under which name
/// to keep the token that comes back.
type Step = (&'static str, Operation, &'static str, Value, Compare, &'static str);

#[tokio::test]
async fn answers_agree_with_a_real_openbao() {
    let Some(binary) = std::env::var_os("VOUCHSAFE_BAO") else {
        println!("skipped: VOUCHSAFE_BAO names no bao binary");
        return;
    };
    let bao = Bao::start(&binary);
    let f = Fixture::new();
    // A development server makes its root token by `create` with a chosen value; so do we, for equal look-ups.
    f.token(json!({"id": ROOT, "policies": ["root"], "no_parent": true})).await;
    let root = BTreeMap::from([("root".to_owned(), ROOT.to_owned())]);
    let (mut ours, mut theirs) = (root.clone(), root);
    let mut differences = Vec::new();
    let steps = steps();
    for (who, operation, path, body, compare, keep) in &steps {
        let (status, answer) =
            call(&f.store, request(ours.get(*who).map(String::as_str), *operation, path, &fill(body, &ours))).await;
        let (their_status, their_answer) =
            bao.call(theirs.get(*who).map(String::as_str), *operation, path, &fill(body, &theirs));
        let (mut one, mut other) = (vec![status.to_string()], vec![their_status.to_string()]);
        if *compare == Full {
            shape("", &answer, &mut one);
            shape("", &their_answer, &mut other);
        }
        if one != other {
            let only = |a: &[String], b: &[String]| a.iter().filter(|x| !b.contains(x)).cloned().collect::<Vec<_>>();
            differences.push(format!(
                "{operation:?} {path} as {who:?}\n    ours only:   {:?}\n    theirs only: {:?}",
                only(&one, &other),
                only(&other, &one)
            ));
        }
        for (tokens, answer) in [(&mut ours, &answer), (&mut theirs, &their_answer)] {
            if let Some(token) = answer["auth"]["client_token"].as_str().filter(|_| !keep.is_empty()) {
                tokens.insert((*keep).to_owned(), token.to_owned());
                let accessor = answer["auth"]["accessor"].as_str().unwrap_or_default();
                tokens.insert(format!("{keep}.accessor"), accessor.to_owned());
            }
        }
    }
    println!("{} requests compared with OpenBao", steps.len());
    assert!(differences.is_empty(), "{} differences:\n{}", differences.len(), differences.join("\n"));
}

/// Random policies, judged by both: we never allow what OpenBao refuses, and for paths without a slash at the end (where
/// versions of OpenBao do not differ) we say exactly the same.
#[tokio::test]
async fn random_policies_are_judged_as_a_real_openbao_judges_them() {
    let Some(binary) = std::env::var_os("VOUCHSAFE_BAO") else {
        println!("skipped: VOUCHSAFE_BAO names no bao binary");
        return;
    };
    let bao = Bao::start(&binary);
    let f = Fixture::new();
    f.token(json!({"id": ROOT, "policies": ["root"], "no_parent": true})).await;
    let body = json!({"id": "fuzz-token", "policies": ["fuzz"], "no_default_policy": true, "no_parent": true});
    assert_eq!(f.as_root(Write, "auth/token/create", body.clone()).await.0, 200);
    assert_eq!(bao.call(Some(ROOT), Write, "auth/token/create", &body).0, 200);
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
        assert_eq!(bao.call(Some(ROOT), Write, "sys/policies/acl/fuzz", &write).0, 204);
        let ask = json!({"token": "fuzz-token", "paths": paths});
        let ours = f.as_root(Write, "sys/capabilities", ask.clone()).await.1;
        let theirs = bao.call(Some(ROOT), Write, "sys/capabilities", &ask).1;
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

/// Replaces texts `$NAME` by what was kept under the name.
fn fill(body: &Value, kept: &BTreeMap<String, String>) -> Value {
    match body {
        Value::String(text) => match text.strip_prefix('$') {
            Some(name) => json!(kept.get(name).cloned().unwrap_or_default()),
            None => body.clone(),
        },
        Value::Object(map) => map.iter().map(|(name, value)| (name.clone(), fill(value, kept))).collect(),
        other => other.clone(),
    }
}

/// Names and types of all fields, with the texts of errors and warnings and the values that must be equal.
fn shape(at: &str, value: &Value, out: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            out.push(format!("{at}{{}}"));
            for (name, value) in map {
                let at = format!("{at}/{name}");
                if IGNORED.iter().any(|end| at.ends_with(end)) {
                    continue;
                }
                if EXACT.contains(&name.as_str()) {
                    out.push(format!("{at}={value}"));
                } else {
                    shape(&at, value, out);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| shape(&format!("{at}[]"), item, out)),
        Value::String(_) => out.push(format!("{at}:text")),
        Value::Number(_) => out.push(format!("{at}:number")),
        Value::Bool(_) => out.push(format!("{at}:flag")),
        Value::Null => out.push(format!("{at}:null")),
    }
}

/// Fields whose values must be equal.
const EXACT: [&str; 25] = [
    "errors",
    "warnings",
    "keys",
    "version",
    "destroyed",
    "custom_metadata",
    "subkeys",
    "current_version",
    "oldest_version",
    "max_versions",
    "cas_required",
    "delete_version_after",
    "current_metadata_version",
    "policies",
    "token_policies",
    "capabilities",
    "renewable",
    "lease_duration",
    "orphan",
    "num_uses",
    "token_type",
    "display_name",
    "path",
    "explicit_max_ttl",
    "meta",
];
/// Fields that differ by nature: identity (which the store has not), and versions of plugins.
const IGNORED: [&str; 4] = ["/deprecation_status", "/data/version", "/build_date", "/modified"];

const ROOT: &str = "conformance-root";

/// A development server of OpenBao on the loopback address.
struct Bao {
    child: Child,
    port: u16,
}

impl Bao {
    fn start(binary: &std::ffi::OsStr) -> Self {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(binary)
            .args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={ROOT}")])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let bao = Self { child, port };
        let deadline = Instant::now() + Duration::from_secs(45);
        while !bao.is_ready() {
            assert!(Instant::now() < deadline, "bao did not start");
            std::thread::sleep(Duration::from_millis(100));
        }
        bao
    }

    fn is_ready(&self) -> bool {
        TcpStream::connect(("127.0.0.1", self.port)).is_ok()
            && self.call(Some(ROOT), Read, "secret/config", &Value::Null).0 == 200
    }

    fn call(&self, token: Option<&str>, operation: Operation, path: &str, body: &Value) -> Seen {
        let method = match operation {
            Read => "GET",
            Operation::Head => "HEAD",
            Write => "POST",
            Patch => "PATCH",
            Delete => "DELETE",
            List => "LIST",
            Scan => "SCAN",
        };
        let kind = if operation == Patch { "application/merge-patch+json" } else { "application/json" };
        let token = token.map(|token| format!("X-Vault-Token: {token}\r\n")).unwrap_or_default();
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let message = format!(
            "{method} /v1/{path} HTTP/1.0\r\nHost: bao\r\n{token}Content-Type: {kind}\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        stream.write_all(message.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body.trim()).unwrap_or(Value::Null))
    }
}

impl Drop for Bao {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn steps() -> Vec<Step> {
    [kv_steps(), token_steps(), policy_steps(), kubernetes_steps(), sys_steps()].concat()
}

fn kv_steps() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("root", Read, "secret/data/a", none(), Full, ""),
        ("root", Write, "secret/data/a", json!({"data": {"k": "v", "n": 1, "deep": {"x": {"y": 1}}}}), Full, ""),
        ("root", Read, "secret/data/a", none(), Full, ""),
        ("root", Read, "secret/data/a?version=1", none(), Full, ""),
        ("root", Read, "secret/data/a?version=7", none(), Full, ""),
        ("root", Read, "secret/data/a?version=0", none(), Full, ""),
        ("root", Write, "secret/data/a", json!({}), Full, ""),
        ("root", Write, "secret/data/a", none(), Full, ""),
        ("root", Write, "secret/data/a", json!({"data": "x"}), Status, ""),
        ("root", Write, "secret/data/a", json!({"data": {}, "options": {"cas": 0}}), Full, ""),
        ("root", Write, "secret/data/a", json!({"data": {}, "options": {"cas": "x"}}), Full, ""),
        ("root", Write, "secret/data/a", json!({"data": {"k": "w"}, "options": {"cas": 1}}), Full, ""),
        ("root", Write, "secret/data/a", json!({"data": {"k": "w"}, "options": {"cas": "2"}}), Full, ""),
        ("root", Write, "secret/data/", json!({"data": {}}), Full, ""),
        ("root", Write, "secret/data", json!({"data": {}}), Full, ""),
        ("root", Patch, "secret/data/a", json!({"data": {"k": null, "z": {"q": 1}}}), Full, ""),
        ("root", Read, "secret/subkeys/a", none(), Full, ""),
        ("root", Read, "secret/subkeys/a?depth=1", none(), Full, ""),
        ("root", Patch, "secret/data/none", json!({"data": {}}), Full, ""),
        ("root", Read, "secret/metadata/a", none(), Full, ""),
        ("root", Read, "secret/metadata/none", none(), Full, ""),
        ("root", Write, "secret/metadata/a", json!({"max_versions": 3, "custom_metadata": {"o": "t"}}), Full, ""),
        ("root", Write, "secret/metadata/a", json!({}), Full, ""),
        ("root", Write, "secret/metadata/a", json!({"custom_metadata": {"": "t"}}), Status, ""),
        ("root", Write, "secret/metadata/a", json!({"delete_version_after": "90m"}), Full, ""),
        ("root", Patch, "secret/metadata/a", json!({"custom_metadata": {"p": "q"}}), Full, ""),
        ("root", Read, "secret/metadata/a", none(), Full, ""),
        ("root", Read, "secret/data/a", none(), Full, ""),
        ("root", Write, "secret/data/d/e", json!({"data": {}}), Full, ""),
        ("root", List, "secret/metadata/", none(), Full, ""),
        ("root", List, "secret/metadata", none(), Full, ""),
        ("root", List, "secret/metadata/d", none(), Full, ""),
        ("root", List, "secret/metadata/none", none(), Full, ""),
        ("root", Scan, "secret/metadata/", none(), Full, ""),
        ("root", List, "secret/detailed-metadata/", none(), Full, ""),
        ("root", Delete, "secret/data/d/e", none(), Full, ""),
        ("root", Delete, "secret/data/d/e", none(), Full, ""),
        ("root", Delete, "secret/data/none", none(), Full, ""),
        ("root", Read, "secret/data/d/e", none(), Full, ""),
        ("root", Read, "secret/subkeys/d/e", none(), Full, ""),
        ("root", Patch, "secret/data/d/e", json!({"data": {}}), Full, ""),
        ("root", Write, "secret/undelete/d/e", json!({"versions": [1]}), Full, ""),
        ("root", Read, "secret/data/d/e", none(), Full, ""),
        ("root", Write, "secret/delete/d/e", json!({"versions": []}), Full, ""),
        ("root", Write, "secret/undelete/d/e", json!({}), Full, ""),
        ("root", Write, "secret/destroy/d/e", json!({}), Full, ""),
        ("root", Write, "secret/destroy/d/e", json!({"versions": [1, 9]}), Full, ""),
        ("root", Read, "secret/data/d/e", none(), Full, ""),
        ("root", Read, "secret/metadata/d/e", none(), Full, ""),
        ("root", Delete, "secret/metadata/d/e", none(), Full, ""),
        ("root", Read, "secret/data/d/e", none(), Full, ""),
        ("root", Read, "secret/config", none(), Full, ""),
        ("root", Write, "secret/config", json!({"cas_required": true, "delete_version_after": "1h"}), Full, ""),
        ("root", Read, "secret/config", none(), Full, ""),
        ("root", Write, "secret/data/a", json!({"data": {}}), Full, ""),
        ("root", Write, "secret/metadata/a", json!({"cas_required": false}), Full, ""),
        ("root", Write, "secret/config", json!({"cas_required": false, "delete_version_after": "0s"}), Full, ""),
        ("root", Read, "secret/a", none(), Full, ""),
        ("root", Write, "secret/a", json!({"k": 1}), Full, ""),
        ("root", List, "secret/", none(), Full, ""),
        ("root", Delete, "secret/config", none(), Full, ""),
        ("root", List, "secret/data/", none(), Full, ""),
        ("root", Read, "nowhere/x", none(), Full, ""),
    ]
}

fn token_steps() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("nobody", Read, "secret/data/a", none(), Full, ""),
        ("nobody", Read, "auth/token/lookup-self", none(), Full, ""),
        ("root", Read, "auth/token/lookup-self", none(), Full, ""),
        ("root", Write, "auth/token/renew-self", none(), Full, ""),
        ("root", Write, "auth/token/create", json!({"policies": ["default"], "ttl": "1h"}), Full, "t"),
        ("t", Read, "auth/token/lookup-self", none(), Full, ""),
        ("t", Read, "secret/data/a", none(), Full, ""),
        ("t", Read, "nowhere/x", none(), Full, ""),
        ("t", Write, "auth/token/renew-self", json!({"increment": "30m"}), Full, ""),
        ("t", Write, "auth/token/create", json!({}), Full, ""),
        ("root", Write, "auth/token/lookup", json!({"token": "$t"}), Full, ""),
        ("root", Write, "auth/token/lookup", json!({"token": "bad"}), Full, ""),
        ("root", Write, "auth/token/lookup-accessor", json!({"accessor": "$t.accessor"}), Full, ""),
        ("root", Write, "auth/token/lookup-accessor", json!({"accessor": "bad"}), Full, ""),
        ("root", Write, "auth/token/lookup-accessor", json!({}), Full, ""),
        ("root", Write, "auth/token/renew", json!({"token": "$t"}), Full, ""),
        ("root", Write, "auth/token/renew", json!({"token": "bad"}), Full, ""),
        ("root", Write, "auth/token/renew", json!({}), Full, ""),
        ("root", Write, "auth/token/renew-accessor", json!({"accessor": "$t.accessor"}), Full, ""),
        ("root", Write, "auth/token/create", json!({"ttl": "9999h"}), Full, ""),
        ("root", Write, "auth/token/create", json!({"period": "1h", "policies": ["default"]}), Full, "p"),
        ("p", Read, "auth/token/lookup-self", none(), Full, ""),
        ("p", Write, "auth/token/renew-self", none(), Full, ""),
        ("root", Write, "auth/token/create", json!({"num_uses": -1}), Full, ""),
        ("root", Write, "auth/token/create", json!({"type": "x"}), Full, ""),
        ("root", Write, "auth/token/create", json!({"ttl": "x"}), Status, ""),
        ("root", Write, "auth/token/create", json!({"policies": ["none"], "ttl": "1h"}), Full, ""),
        ("root", Write, "auth/token/create", json!({"policies": ["default"], "renewable": false}), Full, "n"),
        ("n", Write, "auth/token/renew-self", none(), Full, ""),
        ("root", Write, "auth/token/create", json!({"policies": ["default"], "num_uses": 1}), Full, "u"),
        ("u", Read, "auth/token/lookup-self", none(), Full, ""),
        ("u", Read, "auth/token/lookup-self", none(), Full, ""),
        ("root", Write, "auth/token/create-orphan", json!({"policies": ["default"]}), Full, "o"),
        ("root", Write, "auth/token/create", json!({"policies": ["default"], "no_default_policy": true}), Status, ""),
        (
            "root",
            Write,
            "auth/token/create",
            json!({"policies": ["default"], "meta": {"a": "b"}, "display_name": "x y"}),
            Full,
            "",
        ),
        ("root", Write, "auth/token/revoke-accessor", json!({"accessor": "$o.accessor"}), Full, ""),
        ("root", Write, "auth/token/revoke-accessor", json!({"accessor": "bad"}), Full, ""),
        ("t", Write, "auth/token/revoke-self", none(), Full, ""),
        ("t", Read, "auth/token/lookup-self", none(), Full, ""),
        ("root", Write, "auth/token/revoke", json!({"token": "bad"}), Full, ""),
        ("root", Write, "auth/token/revoke", json!({}), Full, ""),
        ("root", Write, "auth/token/revoke-orphan", json!({"token": "bad"}), Full, ""),
        ("root", Read, "auth/token/none", none(), Full, ""),
        ("root", Read, "auth/token/create", none(), Full, ""),
    ]
}

fn policy_steps() -> Vec<Step> {
    let none = || Value::Null;
    let policy =
        r#"path "secret/data/x*" { capabilities = ["read", "create"] } path "secret/metadata/+/y" { policy = "read" }"#;
    vec![
        ("root", List, "sys/policies/acl", none(), Full, ""),
        ("root", Write, "sys/policies/acl/P1", json!({"policy": policy}), Full, ""),
        ("root", Read, "sys/policies/acl/p1", none(), Full, ""),
        ("root", Read, "sys/policies/acl/none", none(), Full, ""),
        ("root", Read, "sys/policies/acl/root", none(), Status, ""),
        ("root", Write, "sys/policies/acl/p2", json!({}), Full, ""),
        ("root", Write, "sys/policies/acl/p2", json!({"policy": "path \"x\" { capabilities = [\"raed\"] }"}), Full, ""),
        (
            "root",
            Write,
            "sys/policies/acl/p2",
            json!({"policy": "path \"x\" { capabilites = [\"read\"] }"}),
            Status,
            "",
        ),
        ("root", Write, "sys/policies/acl/p2", json!({"policy": "path \"x"}), Status, ""),
        ("root", Write, "sys/policies/acl/root", json!({"policy": policy}), Full, ""),
        ("root", Delete, "sys/policies/acl/root", none(), Full, ""),
        ("root", Delete, "sys/policies/acl/default", none(), Full, ""),
        ("root", Delete, "sys/policies/acl/none", none(), Full, ""),
        ("root", Read, "sys/policy", none(), Full, ""),
        ("root", Read, "sys/policy/p1", none(), Full, ""),
        ("root", Write, "auth/token/create", json!({"policies": ["p1"], "ttl": "1h"}), Full, "q"),
        ("q", Write, "secret/data/x1", json!({"data": {}}), Full, ""),
        ("q", Write, "secret/data/x1", json!({"data": {}}), Full, ""),
        ("q", Read, "secret/data/x1", none(), Full, ""),
        ("q", Delete, "secret/data/x1", none(), Full, ""),
        ("q", List, "secret/metadata/z/y", none(), Full, ""),
        ("q", List, "secret/metadata/", none(), Full, ""),
        (
            "q",
            Write,
            "sys/capabilities-self",
            json!({"paths": ["secret/data/x1", "secret/metadata/z/y", "o"]}),
            Full,
            "",
        ),
        ("q", Write, "sys/capabilities-self", json!({"path": "secret/data/x1"}), Full, ""),
        ("q", Write, "sys/capabilities-self", json!({}), Full, ""),
        ("root", Write, "sys/capabilities-self", json!({"paths": ["secret/data/x1"]}), Full, ""),
        ("q", Read, "sys/internal/ui/mounts/secret/x", none(), Full, ""),
        ("q", Read, "sys/internal/ui/mounts/none/x", none(), Full, ""),
        ("q", Read, "sys/mounts", none(), Full, ""),
    ]
}

fn kubernetes_steps() -> Vec<Step> {
    let none = || Value::Null;
    let signer = super::super::jwt::tests::Signer::new();
    let jwt = |namespace: &str, name: &str| signer.sign(&super::super::jwt::tests::claims(namespace, name, START));
    // Both clocks must take it: it is valid from the test's beginning of time until tomorrow.
    let jwt_now = |namespace: &str, name: &str, audience: &str| {
        let mut claims = super::super::jwt::tests::claims(namespace, name, START);
        claims["exp"] = json!(Timestamp::now().as_second() + 86_400);
        claims["aud"] = json!([audience]);
        signer.sign(&claims)
    };
    let role = json!({
        "bound_service_account_names": "app", "bound_service_account_namespaces": "ns", "audience": "vault",
        "token_policies": ["p1"], "token_ttl": "10m",
    });
    let login = |role: &str, jwt: String| json!({"role": role, "jwt": jwt});
    let certificate = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap().cert.pem();
    vec![
        ("root", Write, "sys/auth/kubernetes", json!({"type": "kubernetes"}), Full, ""),
        ("root", Write, "sys/auth/kubernetes", json!({"type": "kubernetes"}), Full, ""),
        ("root", Read, "auth/kubernetes/config", none(), Full, ""),
        ("root", Write, "auth/kubernetes/config", json!({}), Full, ""),
        ("root", List, "auth/kubernetes/role", none(), Full, ""),
        ("root", Read, "auth/kubernetes/role/r", none(), Full, ""),
        ("root", Write, "auth/kubernetes/role/r", json!({}), Full, ""),
        ("root", Write, "auth/kubernetes/role/r", json!({"bound_service_account_names": "a"}), Full, ""),
        ("root", Write, "auth/kubernetes/role/r", role, Full, ""),
        ("root", Write, "auth/kubernetes/role/r", json!({"token_max_ttl": "5m"}), Full, ""),
        ("root", Read, "auth/kubernetes/role/r", none(), Full, ""),
        ("root", List, "auth/kubernetes/role", none(), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", json!({}), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", json!({"role": "r"}), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", login("none", jwt("ns", "app")), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt("ns", "app")), Full, ""),
        (
            "root",
            Write,
            "auth/kubernetes/config",
            json!({"kubernetes_host": "https://127.0.0.1:1", "kubernetes_ca_cert": certificate, "pem_keys": [signer.pem]}),
            Full,
            "",
        ),
        ("root", Read, "auth/kubernetes/config", none(), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", "x".to_owned()), Status, ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("ns", "stranger", "vault")), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("elsewhere", "app", "vault")), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("ns", "app", "other")), Full, ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("ns", "app", "vault")), Full, ""),
        ("root", Delete, "auth/kubernetes/role/r", none(), Full, ""),
        ("root", Delete, "auth/kubernetes/role/r", none(), Full, ""),
        ("root", Read, "sys/auth", none(), Status, ""),
        ("root", Delete, "sys/auth/kubernetes", none(), Full, ""),
        ("root", Delete, "sys/auth/kubernetes", none(), Full, ""),
    ]
}

fn sys_steps() -> Vec<Step> {
    let none = || Value::Null;
    vec![
        ("nobody", Read, "sys/health", none(), Status, ""),
        ("nobody", Read, "sys/seal-status", none(), Status, ""),
        ("nobody", Read, "sys/leader", none(), Status, ""),
        ("nobody", Read, "sys/init", none(), Full, ""),
        ("root", Write, "sys/mounts/k2", json!({"type": "kv", "options": {"version": "2"}}), Full, ""),
        ("root", Write, "sys/mounts/k2", json!({"type": "kv", "options": {"version": "2"}}), Full, ""),
        ("root", Write, "sys/mounts/k3", json!({}), Full, ""),
        ("root", Write, "sys/mounts/k3", json!({"type": "nonsense"}), Status, ""),
        ("root", Read, "sys/internal/ui/mounts/k2/x", none(), Full, ""),
        ("root", Read, "sys/internal/ui/mounts/none/x", none(), Full, ""),
        ("nobody", Read, "sys/internal/ui/mounts", none(), Full, ""),
        ("root", Read, "sys/mounts/k2/tune", none(), Status, ""),
        ("root", Delete, "sys/mounts/k2", none(), Full, ""),
        ("root", Delete, "sys/mounts/k2", none(), Full, ""),
        ("root", Write, "sys/leases/lookup", json!({"lease_id": "none"}), Full, ""),
        ("root", Write, "sys/leases/lookup", json!({}), Full, ""),
        ("root", Write, "sys/leases/renew", json!({"lease_id": "none"}), Full, ""),
        ("root", Write, "sys/leases/renew", json!({}), Full, ""),
        ("root", Read, "sys/none", none(), Full, ""),
        ("root", Delete, "sys/capabilities-self", none(), Full, ""),
    ]
}
