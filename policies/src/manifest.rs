//! Kubernetes manifests: which objects, and which pods they make.
//!
//! Strict about YAML's syntax and lenient about content: what we do not know is kept as it is, since the API server is
//! the one to judge it. Out of scope: reading Grants from it ([`crate::GrantSet`]), what a pod gets ([`crate::derive()`]).

use serde_json::{Value, json};
use vouchsafe_model::name::Namespace;
use vouchsafe_model::text::quoted;

use crate::ask::{ANNOTATION_PREFIX, STATUS_ANNOTATION};
use crate::fault::{At, Fault, Source};
use crate::yaml::{self, Content, Node};

/// One object of a manifest.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    /// `apiVersion`.
    pub api_version: String,
    /// `kind`.
    pub kind: String,
    /// `metadata.namespace`, where it is set.
    pub namespace: Option<Namespace>,
    /// `metadata.name`, else `metadata.generateName`, else empty.
    pub name: String,
    /// `{metadata, spec}` of the pods that it makes; `None` for what makes no pods.
    pub pod_template: Option<Value>,
    /// The whole object.
    pub object: Value,
    /// Where it begins.
    pub at: At,
    /// Faults of our annotations that can be seen without Grants.
    annotation_faults: Vec<Fault>,
}

/// Reads a file of one or several documents; lists are taken apart. Documents without `kind` are faults.
pub fn read(name: &str, text: &str) -> Result<Vec<Manifest>, Vec<Fault>> {
    let documents = yaml::documents_as_kubectl(name, text).map_err(|fault| vec![fault])?;
    let mut manifests = Vec::new();
    let mut faults = Vec::new();
    for document in &documents {
        take(document, name, &mut manifests, &mut faults);
    }
    if faults.is_empty() { Ok(manifests) } else { Err(faults) }
}

/// Takes one object as the Kubernetes API sends it; `name` stands in its place for messages.
pub fn from_object(name: &str, object: &Value) -> Result<Manifest, Fault> {
    one(&Node::from_json(object), name)
}

/// Faults of a workload that its pods cannot show: our annotations where they have no effect, or that are no text.
pub fn check_workload(manifest: &Manifest) -> Vec<Fault> {
    manifest.annotation_faults.clone()
}

fn take(node: &Node, name: &str, manifests: &mut Vec<Manifest>, faults: &mut Vec<Fault>) {
    let is_list = text(node, &["kind"]).is_some_and(|kind| kind.ends_with("List"));
    match node.get("items").map(|items| &items.content) {
        Some(Content::List(items)) if is_list => items.iter().for_each(|item| match one(item, name) {
            Ok(manifest) => manifests.push(manifest),
            Err(fault) => faults.push(fault),
        }),
        _ => match one(node, name) {
            Ok(manifest) => manifests.push(manifest),
            Err(fault) => faults.push(fault),
        },
    }
}

fn one(node: &Node, name: &str) -> Result<Manifest, Fault> {
    let fail = |field: &str, message: String| Err(Fault::new(node.at.clone(), field, message));
    let Content::Map(_) = &node.content else {
        return fail("", format!("must be a Kubernetes object, it is {}", node.shape()));
    };
    let Some(kind) = text(node, &["kind"]) else {
        return fail("kind", "is missing; a Kubernetes object has apiVersion and kind".to_owned());
    };
    let Some(api_version) = text(node, &["apiVersion"]) else {
        return fail("apiVersion", "is missing; a Kubernetes object has apiVersion and kind".to_owned());
    };
    let namespace = match text(node, &["metadata", "namespace"]).map(str::parse::<Namespace>) {
        None => None,
        Some(Ok(namespace)) => Some(namespace),
        Some(Err(error)) => return fail("metadata.namespace", error.to_string()),
    };
    let template = template_path(kind, api_version).and_then(|path| {
        let template = descend(node, path)?;
        template.get("spec").map(|_| (path, template))
    });
    Ok(Manifest {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace,
        name: text(node, &["metadata", "name"])
            .or_else(|| text(node, &["metadata", "generateName"]))
            .unwrap_or_default()
            .to_owned(),
        pod_template: template.map(|(_, template)| {
            let part = |name: &str| template.get(name).map_or(json!({}), Node::to_json);
            json!({"metadata": part("metadata"), "spec": part("spec")})
        }),
        object: node.to_json(),
        at: node.at.clone().unwrap_or_else(|| At { file: Source::from(name), line: 1, column: 1 }),
        annotation_faults: template.map(|(path, _)| annotation_faults(node, kind, path)).unwrap_or_default(),
    })
}

/// Where a workload keeps its pod template; empty for a pod itself.
fn template_path(kind: &str, api_version: &str) -> Option<&'static [&'static str]> {
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (group, kind) {
        ("", "Pod") => Some(&[]),
        ("", "ReplicationController")
        | ("apps", "Deployment" | "StatefulSet" | "DaemonSet" | "ReplicaSet")
        | ("batch", "Job") => Some(&["spec", "template"]),
        ("batch", "CronJob") => Some(&["spec", "jobTemplate", "spec", "template"]),
        _ => None,
    }
}

fn annotation_faults(node: &Node, kind: &str, template: &[&str]) -> Vec<Fault> {
    let mut faults = Vec::new();
    let right = field(template, "metadata.annotations");
    // Every prefix of the template's path may have metadata: CronJob, its job template, and the pod template itself.
    for length in 0..=template.len() {
        let path = template.get(..length).unwrap_or_default();
        let annotations = descend(node, path).and_then(|part| descend(part, &["metadata", "annotations"]));
        let Some(Content::Map(entries)) = annotations.map(|annotations| &annotations.content) else { continue };
        let here = field(path, "metadata.annotations");
        let ours =
            entries.iter().filter(|entry| entry.key.starts_with(ANNOTATION_PREFIX) && entry.key != STATUS_ANNOTATION);
        for entry in ours {
            let name = format!("{here}.{}", quoted(&entry.key).trim_matches('"'));
            if length < template.len() {
                let message = format!("has no effect on the {kind} itself; move it to {right}");
                faults.push(Fault::new(entry.at.clone(), name, message));
            } else if entry.value.as_text().is_none() {
                let message = format!("must be text, it is {}; write the value in quotes", entry.value.shape());
                faults.push(Fault::new(entry.at.clone(), name, message));
            }
        }
    }
    faults
}

fn field(path: &[&str], last: &str) -> String {
    path.iter().copied().chain([last]).collect::<Vec<_>>().join(".")
}

fn descend<'a>(node: &'a Node, path: &[&str]) -> Option<&'a Node> {
    path.iter().try_fold(node, |node, name| node.get(name))
}

fn text<'a>(node: &'a Node, path: &[&str]) -> Option<&'a str> {
    descend(node, path).and_then(Node::as_text).filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRON_JOB: &str = "
apiVersion: batch/v1
kind: CronJob
metadata: {name: nightly, namespace: ci}
spec:
  jobTemplate:
    spec:
      template:
        metadata: {annotations: {vouchsafe.dev/inject: backup}}
        spec: {containers: [{name: app}]}
";

    #[test]
    fn every_kind_of_workload_shows_its_pod_template() {
        let found = read("f.yaml", CRON_JOB).unwrap().remove(0);
        assert_eq!(found.pod_template.unwrap()["spec"]["containers"][0]["name"], "app");
        for (version, kind) in [
            ("apps/v1", "Deployment"),
            ("apps/v1", "StatefulSet"),
            ("apps/v1", "DaemonSet"),
            ("apps/v1", "ReplicaSet"),
            ("batch/v1", "Job"),
        ] {
            let text = format!("{{apiVersion: {version}, kind: {kind}, spec: {{template: {{spec: {{}}}}}}}}");
            assert!(read("f", &text).unwrap()[0].pod_template.is_some(), "{kind}");
        }
        assert!(read("f", "{apiVersion: v1, kind: Pod, spec: {}}").unwrap()[0].pod_template.is_some());
        assert!(read("f", "{apiVersion: v1, kind: ConfigMap, data: {}}").unwrap()[0].pod_template.is_none());
    }

    #[test]
    fn lists_and_several_documents_are_taken_apart() {
        let text = "
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {}}
- {apiVersion: v1, kind: Secret, metadata: {name: b}}
---
{apiVersion: v1, kind: Pod, metadata: {generateName: c-}, spec: {}}
";
        let names: Vec<String> = read("f", text).unwrap().into_iter().map(|manifest| manifest.name).collect();
        assert_eq!(names, ["a", "b", "c-"]);
    }

    #[test]
    fn an_annotation_on_the_workload_itself_is_a_fault_that_names_the_right_place() {
        let text = "apiVersion: apps/v1
kind: Deployment
metadata:
  name: app
  annotations:
    vouchsafe.dev/inject: app
    vouchsafe.dev/status: injected
    other.example/x: y
spec: {template: {spec: {}}}
";
        let faults = check_workload(&read("f.yaml", text).unwrap()[0]);
        let shown: Vec<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            ["f.yaml:6:5: metadata.annotations.vouchsafe.dev/inject: has no effect on the Deployment itself; \
              move it to spec.template.metadata.annotations"]
        );
        assert_eq!(check_workload(&read("f.yaml", CRON_JOB).unwrap()[0]), []);
    }

    #[test]
    fn an_annotation_that_is_no_text_is_a_fault() {
        let text = "{apiVersion: v1, kind: Pod, metadata: {annotations: {vouchsafe.dev/inject: true}}, spec: {}}";
        let faults = check_workload(&read("f", text).unwrap()[0]);
        assert!(faults[0].to_string().ends_with("must be text, it is true or false; write the value in quotes"));
    }

    #[test]
    fn what_is_no_object_is_refused_with_its_place() {
        for (text, expected) in [
            ("- a", "f:1:1: must be a Kubernetes object, it is a list"),
            ("{apiVersion: v1}", "f:1:1: kind: is missing; a Kubernetes object has apiVersion and kind"),
            (
                "{apiVersion: v1, kind: Pod, metadata: {namespace: A}}",
                "f:1:1: metadata.namespace: namespace \"A\": \"A\" is not allowed; use a-z, 0-9 and '-'",
            ),
        ] {
            assert_eq!(read("f", text).unwrap_err()[0].to_string(), expected);
        }
    }

    #[test]
    fn an_object_of_the_api_is_read_like_a_file() {
        let object = json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"annotations": {"vouchsafe.dev/inject": "a"}}, "spec": {"template": {"spec": {}}}});
        let manifest = from_object("request", &object).unwrap();
        assert_eq!(manifest.at.to_string(), "request:1:1");
        assert_eq!(check_workload(&manifest).len(), 1);
    }
}
