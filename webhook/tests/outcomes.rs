//! Defined outcomes of unusual reviews, and what injection keeps.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a suite fails by panicking")]

mod common;

use common::{classic, config, fixture, grants, is_allowed, message, patch, patched, pod_of, post, review, strict};
use proptest::prelude::*;
use serde_json::{Map, Value, json};
use vouchsafe_webhook::{Outcome, PatchOperation, inject, patch as patches, warn};

fn base() -> Value {
    serde_json::from_str(&fixture("review.json")).unwrap()
}

fn changed(changes: &[(&str, Value)]) -> Value {
    let mut review = base();
    for (path, value) in changes {
        let (parent, name) = path.rsplit_once('/').unwrap();
        review.pointer_mut(parent).unwrap()[name] = value.clone();
    }
    review
}

#[test]
fn what_is_not_ours_passes_untouched() {
    let pods = |sub: &str| ("/request/subResource", json!(sub));
    for (name, review) in [
        ("update", changed(&[("/request/operation", json!("UPDATE"))])),
        ("delete", changed(&[("/request/operation", json!("DELETE")), ("/request/object", Value::Null)])),
        (
            "connect",
            changed(&[
                ("/request/operation", json!("CONNECT")),
                ("/request/object", json!({"kind": "PodExecOptions"})),
            ]),
        ),
        ("binding", changed(&[pods("binding"), ("/request/kind/kind", json!("Binding"))])),
        ("ephemeral", changed(&[pods("ephemeralcontainers"), ("/request/operation", json!("UPDATE"))])),
        ("other resource", changed(&[("/request/resource", json!({"group": "", "resource": "configmaps"}))])),
        ("other group", changed(&[("/request/resource", json!({"group": "metrics.k8s.io", "resource": "pods"}))])),
        ("no annotations", changed(&[("/request/object/metadata", json!({}))])),
        ("null annotations", changed(&[("/request/object/metadata/annotations", Value::Null)])),
        ("no metadata", changed(&[("/request/object/metadata", Value::Null)])),
        ("foreign annotation not text", changed(&[("/request/object/metadata/annotations", json!({"x": 1}))])),
        (
            "mirror",
            changed(&[(
                "/request/object/metadata/annotations",
                json!({"vouchsafe.dev/inject": "web", "kubernetes.io/config.mirror": "abc"}),
            )]),
        ),
        (
            "spoofed status only",
            changed(&[("/request/object/metadata/annotations", json!({"vouchsafe.dev/status": "injected"}))]),
        ),
    ] {
        let answer = post(&review, &config());
        assert!(is_allowed(&answer), "{name}: {}", message(&answer));
        assert_eq!(patch(&answer), None, "{name}");
        assert_eq!(answer.line.outcome, Outcome::Ignored, "{name}");
        assert_eq!(answer.body["response"]["uid"], base()["request"]["uid"], "{name}");
    }
}

#[test]
fn a_spoofed_status_changes_nothing() {
    let honest = post(&base(), &config());
    let spoofed = post(
        &changed(&[(
            "/request/object/metadata/annotations",
            json!({"vouchsafe.dev/inject": "web", "vouchsafe.dev/status": "injected"}),
        )]),
        &config(),
    );
    assert_eq!(patch(&honest), patch(&spoofed));
    assert!(patch(&honest).is_some());
}

#[test]
fn a_dry_run_gets_the_same_patch() {
    let wet = post(&base(), &config());
    let dry = post(&changed(&[("/request/dryRun", json!(true))]), &config());
    assert_eq!(wet.body, dry.body);
    assert!(dry.line.dry_run);
}

#[test]
fn a_pod_that_mounts_no_default_token_gets_our_own() {
    let review = changed(&[("/request/object/spec/automountServiceAccountToken", json!(false))]);
    let answer = post(&review, &config());
    let pod = patched(&review["request"]["object"], &answer);
    let token = pod["spec"]["volumes"].as_array().unwrap().iter().find(|one| one["name"] == "vouchsafe-token").unwrap();
    assert_eq!(token["projected"]["sources"][0]["serviceAccountToken"]["audience"], "vouchsafe");
    let mounting: Vec<&Value> = ["initContainers", "containers"]
        .iter()
        .flat_map(|list| pod["spec"][list].as_array().unwrap())
        .filter(|one| one["volumeMounts"].to_string().contains("vouchsafe-token"))
        .map(|one| &one["name"])
        .collect();
    assert_eq!(mounting, [&json!("vouchsafe-sidecar")]);
}

#[test]
fn host_namespaces_are_answered_with_warnings_in_words() {
    for (field, expected) in [
        ("hostPID", "hostPID: true lets every process of the node"),
        ("shareProcessNamespace", "shareProcessNamespace: true lets the pod's containers see each other"),
        ("hostNetwork", "ClusterFirstWithHostNet"),
    ] {
        let answer = post(&changed(&[(&format!("/request/object/spec/{field}"), json!(true))]), &config());
        assert!(is_allowed(&answer), "{field}");
        assert!(answer.body["response"]["warnings"].to_string().contains(expected), "{field}: {}", answer.body);
    }
}

#[test]
fn what_injection_makes_meets_pod_security_restricted() {
    for config in [config(), strict()] {
        let answer = post(&base(), &config);
        let pod = patched(&base()["request"]["object"], &answer);
        assert!(pod["spec"]["securityContext"].is_null(), "nothing is set for the pod's own containers");
        for ours in pod["spec"]["initContainers"].as_array().unwrap() {
            let context = &ours["securityContext"];
            assert_eq!(context["runAsNonRoot"], true);
            assert_eq!(context["allowPrivilegeEscalation"], false);
            assert_eq!(context["capabilities"], json!({"drop": ["ALL"]}));
            assert_eq!(context["seccompProfile"], json!({"type": "RuntimeDefault"}));
            assert_eq!(context["readOnlyRootFilesystem"], true);
            assert_eq!((&context["runAsUser"], &context["runAsGroup"]), (&json!(65532), &json!(65532)));
            assert!(ours["resources"]["requests"]["cpu"].is_string());
        }
    }
}

#[test]
fn the_users_of_pod_platform_and_reader_come_before_ours() {
    let user = |spec: &[(&str, Value)], platform: bool| {
        let mut config = config();
        if platform {
            config.user = vouchsafe_webhook::SidecarUser::Platform;
        }
        let changes: Vec<(&str, Value)> = spec.to_vec();
        let review = changed(&changes);
        let pod = patched(&review["request"]["object"], &post(&review, &config));
        pod["spec"]["initContainers"][0]["securityContext"]["runAsUser"].clone()
    };
    let pod_user = ("/request/object/spec/securityContext", json!({"runAsUser": 1000}));
    let root = ("/request/object/spec/securityContext", json!({"runAsUser": 0}));
    let reader = ("/request/object/spec/containers/0/securityContext", json!({"runAsUser": 472}));
    assert_eq!(user(&[], false), json!(65532));
    assert_eq!(user(&[], true), Value::Null);
    assert_eq!(user(std::slice::from_ref(&pod_user), false), Value::Null);
    assert_eq!(user(&[root], false), json!(65532));
    assert_eq!(user(std::slice::from_ref(&reader), false), json!(472));
    assert_eq!(user(&[pod_user, reader], false), json!(472));
}

#[test]
fn another_webhook_that_puts_its_init_first_makes_ours_move_before_it() {
    for config in [config(), strict()] {
        let first = post(&base(), &config);
        let mut pod = patched(&base()["request"]["object"], &first);
        pod["spec"]["initContainers"].as_array_mut().unwrap().insert(0, json!({"name": "kuma-init"}));
        let answer = post(&review("apps", &pod), &config);
        assert!(is_allowed(&answer), "{}", message(&answer));
        let after = patched(&pod, &answer);
        let names: Vec<&str> = after["spec"]["initContainers"]
            .as_array()
            .unwrap()
            .iter()
            .map(|one| one["name"].as_str().unwrap())
            .collect();
        assert_eq!(names.first(), Some(&"vouchsafe-sidecar"));
        assert_eq!(names.last(), Some(&"kuma-init"));
        assert_eq!(patch(&post(&review("apps", &after), &config)), None, "a third pass changes nothing");
    }
}

#[test]
fn what_servers_and_other_webhooks_add_beside_ours_is_no_difference() {
    let mut pod = patched(&base()["request"]["object"], &post(&base(), &config()));
    let sidecar = &mut pod["spec"]["initContainers"][0];
    sidecar["terminationMessagePath"] = json!("/dev/termination-log");
    sidecar["env"].as_array_mut().unwrap().push(json!({"name": "HTTPS_PROXY", "value": "http://proxy"}));
    sidecar["env"][1]["valueFrom"]["fieldRef"]["apiVersion"] = json!("v1");
    sidecar["volumeMounts"].as_array_mut().unwrap().push(
        json!({"name": "kube-api-access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": true}));
    sidecar["resources"]["limits"]["cpu"] = json!("1");
    let answer = post(&review("apps", &pod), &config());
    assert!(is_allowed(&answer), "{}", message(&answer));
    assert_eq!(answer.line.outcome, Outcome::Unchanged);
}

#[test]
fn what_was_altered_after_injection_is_refused_naming_both() {
    let injected = patched(&base()["request"]["object"], &post(&base(), &config()));
    for (path, value, expected) in [
        (
            "/spec/initContainers/0/command",
            json!(["/bin/sh"]),
            "injection makes it \"[\\\"/vouchsafe-sidecar\\\",\\\"run\\\"]\"",
        ),
        ("/spec/initContainers/0/restartPolicy", Value::Null, "injection makes it \"Always\""),
        ("/spec/initContainers/0/lifecycle", Value::Null, "lifecycle: is null"),
        ("/spec/initContainers/0/securityContext/runAsNonRoot", json!(false), "is false, injection makes it true"),
        ("/spec/initContainers/0/env/0/value", json!("{}"), "is not the Plan that Grants and annotations give now"),
        ("/spec/volumes/0/emptyDir", json!({}), "spec.volumes[vouchsafe-state].emptyDir"),
        ("/spec/containers/0/volumeMounts/0/readOnly", json!(false), "is false, injection makes it true"),
        ("/spec/containers/0/volumeMounts/0/name", json!("vouchsafe-state"), "vouchsafe-state"),
        ("/spec/serviceAccountName", json!("intruder"), "does not list service account intruder"),
    ] {
        let mut pod = injected.clone();
        let (parent, name) = path.rsplit_once('/').unwrap();
        let parent = pod.pointer_mut(parent).unwrap();
        match name.parse::<usize>() {
            Ok(index) => parent[index] = value,
            Err(_) => parent[name] = value,
        }
        let answer = post(&review("apps", &pod), &config());
        assert!(!is_allowed(&answer), "{path}");
        assert!(message(&answer).contains(expected), "{path}: {}", message(&answer));
        assert!(!message(&answer).contains("BEGIN CERTIFICATE"), "{path}: the Plan is not repeated");
    }
}

#[test]
fn workloads_are_only_warned_about_by_the_same_judgement() {
    let workload = |kind: &str, resource: &str, group: &str, pod: Value| {
        let template = json!({"metadata": pod["metadata"], "spec": pod["spec"]});
        let spec = if kind == "CronJob" {
            json!({"jobTemplate": {"spec": {"template": template}}})
        } else {
            json!({"template": template})
        };
        let mut review = changed(&[
            ("/request/kind", json!({"group": group, "version": "v1", "kind": kind})),
            ("/request/resource", json!({"group": group, "version": "v1", "resource": resource})),
        ]);
        review["request"]["object"] =
            json!({"apiVersion": format!("{group}/v1"), "kind": kind, "metadata": {"name": "w"}, "spec": spec});
        review
    };
    let good = base()["request"]["object"].clone();
    let mut bad = good.clone();
    bad["metadata"]["annotations"]["vouchsafe.dev/inject"] = json!("nobody");
    for (kind, resource, group) in [
        ("Deployment", "deployments", "apps"),
        ("StatefulSet", "statefulsets", "apps"),
        ("Job", "jobs", "batch"),
        ("CronJob", "cronjobs", "batch"),
    ] {
        let answer = warn(workload(kind, resource, group, bad.clone()).to_string().as_bytes(), &grants(), &config());
        assert!(is_allowed(&answer), "{kind}");
        let warnings = answer.body["response"]["warnings"].to_string();
        assert!(
            warnings.contains(&format!(
                "the pods of this {kind} will be refused: vouchsafe.dev/inject: Grant apps/nobody does not exist"
            )),
            "{warnings}"
        );
        assert!(answer.body["response"].get("patch").is_none());
    }
    let mut misplaced = workload("Deployment", "deployments", "apps", good);
    misplaced["request"]["object"]["metadata"]["annotations"] = json!({"vouchsafe.dev/inject": "web"});
    let answer = warn(misplaced.to_string().as_bytes(), &grants(), &config());
    assert!(
        answer.body["response"]["warnings"].to_string().contains("has no effect on the Deployment itself"),
        "{}",
        answer.body
    );
    let ignored = warn(base().to_string().as_bytes(), &grants(), &config());
    assert_eq!(ignored.line.outcome, Outcome::Ignored);
}

#[test]
fn hostile_bodies_are_answered_quickly() {
    let begun = std::time::Instant::now();
    let mut volumes = base();
    volumes["request"]["object"]["spec"]["volumes"] = (0..10_000).map(|n| json!({"name": format!("v{n}")})).collect();
    volumes["request"]["object"]["spec"]["containers"] = (0..2000).map(|n| json!({"name": format!("c{n}")})).collect();
    let _ = post(&volumes, &config());
    let mut annotations = base();
    for n in 0..5000 {
        annotations["request"]["object"]["metadata"]["annotations"][format!("vouchsafe.dev/x{n}")] = json!("y");
    }
    let answer = post(&annotations, &config());
    assert!(message(&answer).len() < 64 * 1024, "{}", message(&answer).len());
    let mut long = base();
    long["request"]["object"]["metadata"]["annotations"]["vouchsafe.dev/files"] = json!("[".repeat(60_000));
    let _ = post(&long, &config());
    assert!(begun.elapsed() < std::time::Duration::from_secs(20), "{:?}", begun.elapsed());
}

/// Containers, volumes and foreign fields in any number and order.
fn pods() -> impl Strategy<Value = Value> {
    let extra = proptest::collection::btree_map("[a-z]{1,8}", "[ -~]{0,12}", 0..4);
    let container = (extra.clone(), proptest::bool::ANY, proptest::bool::ANY, 0..3_usize);
    (proptest::collection::vec(container, 1..4), proptest::collection::vec(0..5_usize, 0..4), extra, 0..3_usize, proptest::bool::ANY)
        .prop_map(|(containers, inits, extra, volumes, strange)| {
            let containers: Vec<Value> = containers.into_iter().enumerate().map(|(index, (extra, args, env, mounts))| {
                let mut container = json!({"name": format!("c{index}"), "futureField": extra, "image": "x"});
                if args { container["args"] = json!(["--a=$(B)", "1.50"]); }
                if env { container["env"] = json!([{"name": "A", "value": "1"}]); }
                if mounts > 0 {
                    container["volumeMounts"] = (0..mounts).map(|n| json!({"name": "v0", "mountPath": format!("/data{n}")})).collect();
                }
                container
            }).collect();
            let names = ["copyutil", "kuma-init", "*kuma-sidecar", "istio-init", "migrate"];
            let mut seen = Vec::new();
            let inits: Vec<Value> = inits.into_iter().filter(|index| { let new = !seen.contains(index); seen.push(*index); new })
                .map(|index| match names[index].strip_prefix('*') {
                    Some(name) => json!({"name": name, "restartPolicy": "Always"}),
                    None => json!({"name": names[index]}),
                }).collect();
            let mut spec: Map<String, Value> = serde_json::from_value(json!({
                "serviceAccountName": "web", "containers": containers, "newInKubernetes2": extra, "priority": 10_000_000_000_000_000_u64})).unwrap();
            if !inits.is_empty() { spec.insert("initContainers".to_owned(), json!(inits)); }
            if volumes > 0 { spec.insert("volumes".to_owned(), (0..volumes).map(|n| json!({"name": format!("v{n}")})).collect()); }
            let mut annotations = json!({"vouchsafe.dev/inject": "web, web-reload", "kubectl.kubernetes.io/default-container": "c0",
                "vouchsafe.dev/command": "{c0: [/app]}"});
            if strange { annotations["a/b~c"] = json!("x"); }
            json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"annotations": annotations, "managedFields": [{"x": 1.50}]}, "spec": spec})
        })
}

/// `before` is contained in `after`: every member, and every list entry by name or value, in order.
fn survives(before: &Value, after: &Value, path: &str) -> Result<(), String> {
    match (before, after) {
        (Value::Object(left), Value::Object(right)) => left.iter().try_for_each(|(name, value)| {
            let path = format!("{path}/{name}");
            if path.ends_with("/args") || path.ends_with("/command") {
                return Ok(());
            }
            survives(value, right.get(name).ok_or(format!("{path} is gone"))?, &path)
        }),
        (Value::Array(left), Value::Array(right)) => {
            let mut rest = right.iter();
            left.iter().enumerate().try_for_each(|(index, value)| {
                rest.by_ref()
                    .find(|other| value.get("name").is_none() || other.get("name") == value.get("name"))
                    .ok_or(format!("{path}/{index} is gone"))
                    .and_then(|other| survives(value, other, &format!("{path}/{index}")))
            })
        }
        // Numbers are compared as they are spelt: 1.50 stays 1.50.
        _ if before == after => Ok(()),
        _ => Err(format!("{path}: {before} became {after}")),
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn patches_apply_stay_in_bounds_keep_everything_and_are_idempotent(pod in pods(), is_strict in any::<bool>()) {
        let config = if is_strict { strict() } else { config() };
        let namespace = "apps".parse().unwrap();
        let injection = inject(&pod, &namespace, &grants(), &config).map_err(|faults| TestCaseError::fail(format!("{faults:?}")))?.unwrap();
        prop_assert!(injection.operations.iter().map(PatchOperation::path).all(patches::is_allowed));
        let operations: json_patch::Patch = serde_json::from_str(&patches::serialized(&injection.operations)).unwrap();
        let mut after = pod.clone();
        json_patch::patch(&mut after, &operations).unwrap();
        survives(&pod, &after, "").map_err(TestCaseError::fail)?;
        let again = inject(&after, &namespace, &grants(), &config).map_err(|faults| TestCaseError::fail(format!("{faults:?}")))?.unwrap();
        prop_assert_eq!(again.operations, vec![]);
        prop_assert_eq!(again.derivation.plan, injection.derivation.plan);
        prop_assert_eq!(again.derivation.supervised, injection.derivation.supervised);
        prop_assert_eq!(again.derivation.path_env, injection.derivation.path_env);
        let supervised = &after["spec"]["containers"][0];
        prop_assert_eq!(&supervised["command"][0], "/vouchsafe/internal/run/vouchsafe-sidecar");
    }

    #[test]
    fn no_pod_makes_injection_panic(text in "[\\[\\]{}\",:a-z0-9]{0,60}") {
        let pod = serde_json::from_str::<Value>(&text).unwrap_or(Value::Null);
        let wrapped = json!({"metadata": {"annotations": {"vouchsafe.dev/inject": "web", "vouchsafe.dev/files": text}}, "spec": pod});
        let _ = post(&review("apps", &wrapped), &config());
        let _ = post(&review("apps", &pod), &config());
    }

    #[test]
    fn a_flipped_byte_never_makes_the_reader_panic(place in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut body = fixture("review.json").into_bytes();
        let index = place.index(body.len());
        body[index] = byte;
        let answer = vouchsafe_webhook::admit(&body, &grants(), &config());
        prop_assert!(matches!(answer.status, 200 | 400));
    }
}

#[test]
fn one_pod_that_needs_everything_is_read_in_shapes() {
    let (namespace, pod) = pod_of(&fixture("supervised-guaranteed.yaml"));
    let answer = post(&review(&namespace, &pod), &config());
    let after = patched(&pod, &answer);
    let sidecar = &after["spec"]["initContainers"][0];
    assert_eq!(sidecar["resources"]["requests"], sidecar["resources"]["limits"], "a Guaranteed pod stays Guaranteed");
    assert_eq!(after["spec"]["containers"][0]["args"], json!([]));
    assert_eq!(
        after["spec"]["containers"][0]["command"],
        json!([
            "/vouchsafe/internal/run/vouchsafe-sidecar",
            "exec",
            "--",
            "/app/web",
            "--listen=$(POD_IP)",
            "--verbose"
        ])
    );
}

/// Everything of ours in a pod: init containers and ordinary ones, by name.
fn ours(pod: &Value) -> (Vec<&str>, Vec<&str>) {
    let names = |list: &str| -> Vec<&str> {
        let entries = pod["spec"][list].as_array().map(Vec::as_slice).unwrap_or_default();
        entries.iter().filter_map(|one| one["name"].as_str()).filter(|name| name.starts_with("vouchsafe-")).collect()
    };
    (names("initContainers"), names("containers"))
}

#[test]
fn the_classic_form_makes_files_first_and_keeps_them_fresh_beside_the_app() {
    let (namespace, pod) = pod_of(&fixture("supervised-guaranteed.yaml"));
    let answer = post(&review(&namespace, &pod), &classic());
    let patched = patched(&pod, &answer);
    assert_eq!(ours(&patched), (vec!["vouchsafe-init"], vec!["vouchsafe-sidecar"]));
    let containers = patched["spec"]["containers"].as_array().unwrap();
    assert_eq!(containers[0]["name"], "web", "kubectl takes the first container where none is named");
    let (init, sidecar) = (&patched["spec"]["initContainers"][0], &containers[1]);
    assert_eq!((init["command"][1].as_str(), sidecar["command"][1].as_str()), (Some("init"), Some("run")));
    for one in [init, sidecar] {
        assert_eq!(one["resources"]["limits"], one["resources"]["requests"], "the pod stays Guaranteed");
        assert_eq!(one["securityContext"]["runAsNonRoot"], json!(true));
        assert!(
            one.get("restartPolicy").is_none() && one.get("lifecycle").is_none() && one.get("livenessProbe").is_none()
        );
    }
    assert_eq!(init["volumeMounts"], sidecar["volumeMounts"], "both hold the same state, token and files");
    assert!(init["env"][0]["value"].as_str().unwrap().contains(r#""injection":"classic""#));
}

#[test]
fn a_pod_that_is_to_end_gets_its_files_once_with_a_warning_that_says_what_is_lost() {
    for policy in ["Never", "OnFailure"] {
        let (namespace, mut pod) = pod_of(&fixture("supervised-guaranteed.yaml"));
        pod["spec"]["restartPolicy"] = json!(policy);
        let answer = post(&review(&namespace, &pod), &classic());
        let patched = patched(&pod, &answer);
        assert_eq!(ours(&patched), (vec!["vouchsafe-init"], vec![]), "{policy}");
        assert_eq!(patched["spec"]["containers"][0]["command"], pod["spec"]["containers"][0]["command"], "no wrapper");
        let warnings = answer.body["response"]["warnings"].to_string();
        for word in [policy, "made once", "onChange has no effect", "--injection native"] {
            assert!(warnings.contains(word), "{policy}: {word}: {warnings}");
        }
        let plan = patched["spec"]["initContainers"][0]["env"][0]["value"].as_str().unwrap();
        assert!(plan.contains(r#""injection":"once""#), "{plan}");
        // A failed init container is final where the pod never restarts.
        let gate = if policy == "Never" { r#""gate":"init""# } else { r#""gate":"hook""# };
        assert!(plan.contains(gate), "{policy}: {plan}");
    }
}

#[test]
fn a_pod_injected_in_the_other_form_is_refused_and_says_so() {
    let (namespace, pod) = pod_of(&fixture("supervised-guaranteed.yaml"));
    let native = patched(&pod, &post(&review(&namespace, &pod), &config()));
    let again = post(&review(&namespace, &native), &classic());
    assert!(!is_allowed(&again) && message(&again).contains("vouchsafe-init"), "{}", message(&again));
    let classical = patched(&pod, &post(&review(&namespace, &pod), &classic()));
    let again = post(&review(&namespace, &classical), &config());
    assert!(
        !is_allowed(&again) && message(&again).contains("spec.containers[vouchsafe-sidecar]"),
        "{}",
        message(&again)
    );
}
