//! The Kubernetes objects of the suite, as JSON.

use serde_json::{Value, json};

use super::canary::base64;
use super::cluster::ADDRESS;

/// A namespace with labels.
pub(crate) fn namespace(name: &str, labels: &Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
}

/// A service account.
pub(crate) fn service_account(namespace: &str, name: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"namespace": namespace, "name": name}})
}

/// A cluster role bound to one service account.
pub(crate) fn binding(name: &str, role: &str, namespace: &str, account: &str) -> Value {
    json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role},
        "subjects": [{"kind": "ServiceAccount", "namespace": namespace, "name": account}],
    })
}

/// The service account whose token reviews others' tokens.
pub(crate) fn reviewer() -> [Value; 2] {
    [
        service_account("vouchsafe", "reviewer"),
        binding("vouchsafe-reviewer", "system:auth-delegator", "vouchsafe", "reviewer"),
    ]
}

/// Spec of a pod that runs the stand-in app as the service account `account`.
pub(crate) fn spec(account: &str, arguments: &[&str]) -> Value {
    json!({
        "serviceAccountName": account,
        "terminationGracePeriodSeconds": 5,
        "containers": [{
            "name": "app", "image": "localhost/vouchsafe-app:dev", "imagePullPolicy": "Never", "args": arguments,
        }],
    })
}

/// The same in what Pod Security calls restricted.
pub(crate) fn restricted_spec(account: &str, command: &[&str]) -> Value {
    let mut spec = spec(account, &[]);
    spec["securityContext"] = json!({
        "runAsNonRoot": true, "runAsUser": 1000, "runAsGroup": 1000, "fsGroup": 1000,
        "seccompProfile": {"type": "RuntimeDefault"},
    });
    spec["containers"][0]["securityContext"] =
        json!({"allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]}});
    spec["containers"][0]["command"] = json!(command);
    spec
}

/// A pod that asks for the Grants `inject`.
pub(crate) fn pod(namespace: &str, name: &str, inject: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"namespace": namespace, "name": name, "annotations": {ANNOTATION: inject}},
        "spec": spec,
    })
}

/// A pod that asks for nothing.
pub(crate) fn bare_pod(namespace: &str, name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": {"namespace": namespace, "name": name},
        "spec": spec("default", &["sleep"]),
    })
}

/// A Deployment of one such pod, which carries the label `app: NAME`.
pub(crate) fn deployment(namespace: &str, name: &str, arguments: &[&str]) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {
                "metadata": {"labels": {"app": name}, "annotations": {ANNOTATION: name}},
                "spec": spec(name, arguments),
            },
        },
    })
}

/// A Job whose only pod ends with 0.
pub(crate) fn job(namespace: &str, name: &str) -> Value {
    let mut spec = spec(name, &["exit", "0"]);
    spec["restartPolicy"] = json!("Never");
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"namespace": namespace, "name": name},
        "spec": {
            "backoffLimit": 0,
            "template": {"metadata": {"labels": {"app": name}, "annotations": {ANNOTATION: name}}, "spec": spec},
        },
    })
}

/// The configuration that sends annotated pods of one namespace to the webhook at `port`.
pub(crate) fn webhook_configuration(name: &str, port: u16, namespace: &str, ca: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": name},
        "webhooks": [{
            "name": format!("{name}.vouchsafe.dev"),
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Fail",
            "timeoutSeconds": 5,
            "clientConfig": {"url": format!("https://{ADDRESS}:{port}/mutate"), "caBundle": base64(ca.as_bytes())},
            "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
            "matchConditions": [{
                "name": "asks",
                "expression":
                    "has(object.metadata.annotations) && 'vouchsafe.dev/inject' in object.metadata.annotations",
            }],
        }],
    })
}

/// The configuration that shows workloads of a namespace to the webhook at `port`, for warnings only.
pub(crate) fn warning_configuration(namespace: &str, port: u16, ca: &str) -> Value {
    json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingWebhookConfiguration",
        "metadata": {"name": "vouchsafe-warnings"},
        "webhooks": [{
            "name": "warnings.vouchsafe.dev",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "failurePolicy": "Ignore",
            "clientConfig": {"url": format!("https://{ADDRESS}:{port}/warn"), "caBundle": base64(ca.as_bytes())},
            "rules": [{"apiGroups": ["apps"], "apiVersions": ["v1"], "operations": ["CREATE", "UPDATE"], "resources": ["deployments"]}],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}},
        }],
    })
}

/// A kubeconfig that presents a token.
pub(crate) fn kubeconfig(ca_file: &str, token: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "smoke",
        "clusters": [{"name": "smoke", "cluster":
            {"server": format!("https://{ADDRESS}:6443"), "certificate-authority": ca_file}}],
        "users": [{"name": "smoke", "user": {"token": token}}],
        "contexts": [{"name": "smoke", "context": {"cluster": "smoke", "user": "smoke"}}],
    })
}

/// The annotation that asks.
pub(crate) const ANNOTATION: &str = "vouchsafe.dev/inject";
