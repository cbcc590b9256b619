//! Malformed reviews and annotations, each with the message that it gets. None makes anything panic.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite fails by panicking")]

mod common;

use common::{config, fixture, grants, is_allowed, message, pod_of, post, review};
use serde_json::{Value, json};
use vouchsafe_webhook::{Outcome, admit};

fn base() -> String {
    fixture("review.json")
}

/// The base review with `path` set to `value` (or removed with null given as `None`).
fn with(path: &str, value: Option<Value>) -> String {
    let mut review: Value = serde_json::from_str(&base()).unwrap();
    let (parent, name) = path.rsplit_once('/').unwrap();
    let parent = review.pointer_mut(parent).unwrap().as_object_mut().unwrap();
    match value {
        Some(value) => parent.insert(name.to_owned(), value),
        None => parent.remove(name),
    };
    review.to_string()
}

#[test]
#[expect(clippy::too_many_lines, reason = "a table")]
fn what_is_no_review_is_answered_with_400_and_what_was_expected() {
    let deep = format!("{}{}", "{\"a\":".repeat(10_000), "1".to_owned() + &"}".repeat(10_000));
    let keys = format!("{{{}\"z\":1}}", (0..150_000).map(|n| format!("\"k{n}\":1,")).collect::<Vec<_>>().concat());
    let truncated = base()[..300].to_owned();
    let twice = base() + &base();
    let cases: Vec<(&str, Vec<u8>, &str)> = vec![
        ("B01 empty", b"".to_vec(), "empty body; expected an admission.k8s.io/v1 AdmissionReview"),
        ("B01 spaces", b" \n".to_vec(), "empty body"),
        ("B02 no JSON", b"hello".to_vec(), "byte 0: expected a JSON value"),
        ("B02 truncated", truncated.into_bytes(), "byte 300: the document ends too early (truncated)"),
        ("B02 trailing", b"{} x".to_vec(), "byte 3: more text after the end of the document"),
        ("B02 two documents", twice.into_bytes(), "more text after the end of the document; send exactly one"),
        ("B02 BOM", "\u{feff}{}".into(), "byte 0: a byte order mark"),
        ("B03 null", b"null".to_vec(), "expected object, found null"),
        ("B03 list", b"[]".to_vec(), "expected object, found a list"),
        ("B03 number", b"7".to_vec(), "expected object, found a number"),
        ("B03 text", b"\"x\"".to_vec(), "expected object, found a text"),
        ("B04 none", with("/request", None).into(), "request missing: expected an object, found nothing"),
        ("B04 null", with("/request", Some(Value::Null)).into(), "request missing: expected an object, found null"),
        ("B04 list", with("/request", Some(json!([]))).into(), "request missing: expected an object, found a list"),
        (
            "B05 v9",
            with("/apiVersion", Some(json!("admission.k8s.io/v9"))).into(),
            "apiVersion is \"admission.k8s.io/v9\"; supported is only admission.k8s.io/v1 AdmissionReview",
        ),
        (
            "B05 v9",
            with("/apiVersion", Some(json!("admission.k8s.io/v9"))).into(),
            "supported is only admission.k8s.io/v1",
        ),
        ("B05 none", with("/apiVersion", None).into(), "apiVersion is nothing; supported is only"),
        ("B05 kind", with("/kind", Some(json!("Pod"))).into(), "kind is \"Pod\"; supported is only"),
        ("B06 none", with("/request/uid", None).into(), "request.uid: missing"),
        ("B06 empty", with("/request/uid", Some(json!(""))).into(), "request.uid: missing"),
        (
            "B06 number",
            with("/request/uid", Some(json!(7))).into(),
            "request.uid: expected a text of 1 to 128 printable characters, found a number",
        ),
        (
            "B06 1 MiB",
            with("/request/uid", Some(json!("x".repeat(1 << 20)))).into(),
            "request.uid: 1048576 bytes long, the limit is 128",
        ),
        (
            "B06 newline",
            with("/request/uid", Some(json!("a\nb"))).into(),
            "request.uid: \"a\\nb\" holds characters other than printable ASCII",
        ),
        ("B07 none", with("/request/object", None).into(), "request.object: missing; expected the Pod that is created"),
        ("B07 null", with("/request/object", Some(Value::Null)).into(), "request.object: missing"),
        (
            "B07 text",
            with("/request/object", Some(json!("pod"))).into(),
            "request.object: expected an object, found a text",
        ),
        (
            "B07 other kind",
            with("/request/object/kind", Some(json!("Deployment"))).into(),
            "request.object: is a \"Deployment\"; expected a Pod",
        ),
        (
            "B07 kind number",
            with("/request/object/kind", Some(json!(1))).into(),
            "request.object: kind is a number; expected Pod",
        ),
        (
            "B07 request kind",
            with("/request/kind/kind", Some(json!("Binding"))).into(),
            "request.kind.kind: \"Binding\" is not Pod",
        ),
        ("B08 depth", deep.into(), "nested deeper than 64 levels, which is the limit"),
        ("B08 keys", keys.into(), "more than 100000 values, which is the limit"),
        (
            "B08 digits",
            with("/request/x", Some(json!(1))).replace("\"x\":1", &format!("\"x\":{}", "9".repeat(1000))).into(),
            "a number of 1000 characters, the limit is 64",
        ),
        (
            "B08 1e999",
            with("/request/x", Some(json!(1))).replace("\"x\":1", "\"x\":1e999").into(),
            "a number out of range",
        ),
        (
            "B08 duplicate",
            base().replacen("\"request\"", "\"kind\": \"AdmissionReview\", \"request\"", 1).into(),
            "duplicate key \"kind\"",
        ),
        (
            "B08 duplicate escaped",
            base().replacen("\"request\"", "\"\\u006bind\": 1, \"request\"", 1).into(),
            "duplicate key \"kind\"",
        ),
        ("B08 UTF-8", [base().as_bytes(), b"\xff"].concat(), "invalid UTF-8"),
        (
            "B08 surrogate",
            with("/request/name", Some(json!("NAME"))).replace("NAME", "\\ud800").into(),
            "half of a surrogate pair",
        ),
        (
            "B12 none",
            with("/request/namespace", None).into(),
            "request.namespace: missing; a pod is created in a namespace",
        ),
        ("B12 empty", with("/request/namespace", Some(json!(""))).into(), "request.namespace: missing"),
        (
            "B12 long",
            with("/request/namespace", Some(json!("n".repeat(64)))).into(),
            "is 64 characters long, the limit is 63",
        ),
        (
            "B12 slash",
            with("/request/namespace", Some(json!("a/b"))).into(),
            "request.namespace: namespace \"a/b\": \"/\" is not allowed",
        ),
        (
            "B12 contradiction",
            with("/request/object/metadata/namespace", Some(json!("kube-system"))).into(),
            "request.object.metadata.namespace: \"kube-system\" is not the request's namespace \"apps\"",
        ),
        (
            "operation",
            with("/request/operation", Some(json!("PATCH"))).into(),
            "\"PATCH\" is not CREATE, UPDATE, DELETE or CONNECT",
        ),
        ("no operation", with("/request/operation", None).into(), "request.operation: missing; expected CREATE"),
        ("no resource", with("/request/resource", None).into(), "request.resource: missing; expected an object"),
        (
            "resource text",
            with("/request/resource", Some(json!("pods"))).into(),
            "request.resource: expected an object, found a text",
        ),
        ("no kind", with("/request/kind/kind", None).into(), "request.kind.kind: missing; expected a kind such as Pod"),
        (
            "B19 dryRun text",
            with("/request/dryRun", Some(json!("true"))).into(),
            "request.dryRun: expected true or false, found a text",
        ),
        (
            "reserved key",
            base().replacen("\"uid\"", "\"$serde_json::private::Number\": \"1\", \"uid\"", 1).into(),
            "is reserved",
        ),
    ];
    assert!(cases.len() >= 45);
    for (name, body, expected) in cases {
        let answer = admit(&body, &grants(), &config());
        assert_eq!(answer.status, 400, "{name}");
        assert_eq!(answer.line.outcome, Outcome::Malformed, "{name}");
        assert!(message(&answer).contains(expected), "{name}: {}", message(&answer));
        assert!(message(&answer).len() < 400, "{name}: the message repeats too much");
        assert!(message(&answer).chars().all(|c| !c.is_control()), "{name}");
    }
}

/// A pod of the base review with one change to its annotations.
fn annotated(name: &str, value: &Value) -> Value {
    let mut review: Value = serde_json::from_str(&base()).unwrap();
    review["request"]["object"]["metadata"]["annotations"][name] = value.clone();
    review
}

#[test]
fn wrong_annotations_are_refused_with_their_name_their_value_and_a_way_out() {
    let file = |entry: &str| json!(format!("- {entry}"));
    let inject = "vouchsafe.dev/inject";
    let files = "vouchsafe.dev/files";
    let cases: Vec<(&str, &str, Value, &[&str])> = vec![
        ("B16", inject, json!(true), &["vouchsafe.dev/inject: is a boolean", "put the value in quotes"]),
        ("B16 number", inject, json!(1), &["vouchsafe.dev/inject: is a number"]),
        ("B20", inject, json!("true"), &["\"true\" is no name of a Grant"]),
        ("B20 yes", inject, json!(" Yes "), &["\"Yes\" is no name of a Grant"]),
        ("B20 empty", inject, json!(""), &["is empty; write the names of the pod's Grants"]),
        (
            "B22",
            "vouchsafe.dev/fils",
            json!("x"),
            &["vouchsafe.dev/fils: unknown annotation; did you mean vouchsafe.dev/files?"],
        ),
        (
            "B24",
            inject,
            json!("other"),
            &["Grant apps/other (grants.yaml:", "does not list service account web, only somebody-else"],
        ),
        ("B24 missing", inject, json!("webb"), &["Grant apps/webb does not exist; did you mean web?"]),
        ("B24 namespace", inject, json!("kube-system/web"), &["a pod uses only Grants of its own"]),
        ("B25 newline", inject, json!("web\nx"), &["\"web\\nx\""]),
        ("B25 RTL", inject, json!("web\u{202e}"), &["\\u{202e}"]),
        ("B25 NUL", inject, json!("web\0"), &["\"web\\u{0}\""]),
        ("B31 dotdot", files, file("{name: ../x, secret: db, key: url}"), &["file name \"../x\"", "component \"..\""]),
        ("B31 absolute", files, file("{name: /abs, secret: db, key: url}"), &["file name \"/abs\""]),
        ("B31 dash", files, file("{name: -rf, secret: db, key: url}"), &["may not start with '.' or '-'"]),
        ("B31 ..data", files, file("{name: ..data, secret: db, key: url}"), &["may not start with '.'"]),
        ("B31 empty", files, file("{name: \"\", secret: db, key: url}"), &["is empty"]),
        ("B32 control", files, file("{name: \"a\\nb\", secret: db, key: url}"), &["\"a\\nb\""]),
        (
            "B32 long",
            files,
            file(&format!("{{name: {}, secret: db, key: url}}", "x".repeat(256))),
            &["the limit is 128"],
        ),
        (
            "B33 root",
            files,
            file("{name: x, mountPath: /, secret: db, key: url}"),
            &["would replace the whole file system"],
        ),
        ("B33 proc", files, file("{name: x, mountPath: /proc/self, secret: db, key: url}"), &["collides with /proc"]),
        ("B33 relative", files, file("{name: x, mountPath: secrets, secret: db, key: url}"), &["must be absolute"]),
        (
            "B34 same file",
            files,
            json!("- {name: a, secret: db, key: url}\n- {name: a, secret: db, key: password}"),
            &["a"],
        ),
        ("B35 4777", files, file("{name: x, mode: \"4777\", secret: db, key: url}"), &["setuid"]),
        ("B35 0666", files, file("{name: x, mode: \"0666\", secret: db, key: url}"), &["everybody could write"]),
        ("B35 number", files, file("{name: x, mode: 0440, secret: db, key: url}"), &["mode"]),
        ("B40", files, json!("x".repeat(70_000)), &["is 70000 bytes long, the limit is 65536"]),
        ("B46 text", "vouchsafe.dev/command", json!("{web: /app/web; rm -rf /}"), &["vouchsafe.dev/command", "list"]),
        ("B46 empty", "vouchsafe.dev/command", json!("{web: []}"), &["is empty; write the program"]),
        ("B48", files, file("{name: x, secret: db, key: url, containers: [wbe]}"), &["wbe", "web"]),
        ("B50 template", files, file("{name: x, template: \"{{ with secret\"}"), &["vouchsafe.dev/files[0].template"]),
        ("key", files, file("{name: x, secret: db, key: nope}"), &["nope"]),
        ("secret", files, file("{name: x, secret: bd, key: url}"), &["has no secret \"bd\"; did you mean db?"]),
        ("unknown field", files, file("{name: x, secrte: db, key: url}"), &["secrte", "secret"]),
        ("yaml", files, json!("- [}"), &["vouchsafe.dev/files: line 1, column"]),
        ("alias", files, json!("- &a {name: x}\n- *a"), &["vouchsafe.dev/files"]),
    ];
    assert!(cases.len() >= 30);
    for (name, annotation, value, expected) in cases {
        let answer = post(&annotated(annotation, &value), &config());
        assert!(!is_allowed(&answer), "{name}");
        assert_eq!(answer.status, 200, "{name}");
        assert_eq!(answer.line.outcome, Outcome::Refused, "{name}");
        let message = message(&answer);
        for part in expected {
            assert!(message.contains(part), "{name}: {message}");
        }
        assert!(message.lines().all(|line| line.len() < 700), "{name}: {message}");
        assert!(!answer.line.to_line(0).contains("rm -rf"), "{name}: the log repeats an annotation");
    }
}

/// The base pod with one change.
fn pod_with(path: &str, value: Value) -> Value {
    let mut review: Value = serde_json::from_str(&base()).unwrap();
    let (parent, name) = path.rsplit_once('/').unwrap();
    review["request"]["object"].pointer_mut(parent).unwrap()[name] = value;
    review
}

#[test]
fn pods_that_injection_cannot_touch_are_refused_in_words() {
    let cases: Vec<(&str, Value, &[&str])> = vec![
        ("B13 no containers", pod_with("/spec/containers", json!([])), &["spec.containers: the pod has no containers"]),
        ("B13 null", pod_with("/spec/containers", Value::Null), &["the pod has no containers"]),
        (
            "containers object",
            pod_with("/spec/containers", json!({})),
            &["spec.containers: is an object; write a list"],
        ),
        (
            "container text",
            pod_with("/spec/containers", json!(["x"])),
            &["spec.containers[0]: is a text; write an object with a name"],
        ),
        ("container unnamed", pod_with("/spec/containers", json!([{}])), &["spec.containers[0]: has as name nothing"]),
        ("volumes text", pod_with("/spec/volumes", json!("x")), &["spec.volumes: is a text; write a list"]),
        ("no spec", pod_with("/spec", Value::Null), &["spec: is null; a pod needs an object"]),
        ("B14 account", pod_with("/spec/serviceAccountName", json!("A b")), &["spec.serviceAccountName", "\"A b\""]),
        (
            "B15 windows",
            pod_with("/spec/os", json!({"name": "windows"})),
            &["spec.os.name: is windows; the sidecar runs on Linux only"],
        ),
        (
            "B15 windows node",
            pod_with("/spec/nodeSelector", json!({"kubernetes.io/os": "windows"})),
            &["kubernetes.io/os"],
        ),
        (
            "B17 volume",
            pod_with("/spec/volumes", json!([{"name": "vouchsafe-state"}])),
            &[
                "spec.volumes[vouchsafe-state]: has the name \"vouchsafe-state\" that Vouchsafe gives to its memory volumes",
            ],
        ),
        (
            "B17 container",
            pod_with("/spec/containers/0/name", json!("vouchsafe-sidecar")),
            &["spec.containers[vouchsafe-sidecar]"],
        ),
        (
            "B17 wait",
            pod_with("/spec/initContainers", json!([{"name": "vouchsafe-wait"}])),
            &["spec.initContainers[vouchsafe-wait]"],
        ),
        (
            "B17 mount",
            pod_with("/spec/containers/0/volumeMounts", json!([{"name": "x", "mountPath": "/vouchsafe/secrets/sub"}])),
            &["mount path /vouchsafe/secrets overlaps \"/vouchsafe/secrets/sub\""],
        ),
        (
            "B43 altered",
            pod_with("/spec/initContainers", json!([{"name": "vouchsafe-sidecar", "image": "evil"}])),
            &[
                "spec.initContainers[vouchsafe-sidecar].image: is \"evil\", injection makes it \"registry.example/vouchsafe-sidecar@sha256:0123\"",
            ],
        ),
    ];
    for (name, review, expected) in cases {
        let answer = post(&review, &config());
        assert!(!is_allowed(&answer), "{name}");
        for part in expected {
            assert!(message(&answer).contains(part), "{name}: {}", message(&answer));
        }
    }
}

#[test]
fn all_faults_are_reported_at_once_one_a_line() {
    let mut review = annotated("vouchsafe.dev/files", &json!("- {name: ../x, secret: db, key: url}"));
    review["request"]["object"]["spec"]["os"] = json!({"name": "windows"});
    review["request"]["object"]["spec"]["volumes"] = json!([{"name": "vouchsafe-token"}]);
    let answer = post(&review, &config());
    let lines: Vec<&str> = message(&answer).lines().collect();
    assert_eq!(lines[0], "vouchsafe cannot inject pod apps/web-66f7d-, 3 faults:");
    assert_eq!(lines.len(), 4, "{lines:#?}");
    assert!(lines.iter().skip(1).all(|line| line.starts_with("- ")), "{lines:#?}");
}

#[test]
fn a_run_folder_that_is_taken_is_refused() {
    let (namespace, mut pod) = pod_of(&fixture("supervised-guaranteed.yaml"));
    pod["spec"]["containers"][0]["volumeMounts"][0]["mountPath"] = json!("/vouchsafe/internal");
    let answer = post(&review(&namespace, &pod), &config());
    assert!(message(&answer).contains("collides with /vouchsafe/internal/run"), "{}", message(&answer));
}
