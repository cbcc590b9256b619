//! `Workload`: who asks. A pod, and the service account that it runs as.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::name::{Namespace, PodName, PodUid, ServiceAccount};

/// Who asks: namespace and service account, and where known the pod.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Workload {
    /// Kubernetes namespace.
    pub namespace: Namespace,
    /// Kubernetes ServiceAccount in that namespace.
    pub service_account: ServiceAccount,
    /// Name of the pod; absent where only the identity matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodName>,
    /// UID of the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pod_uid: Option<PodUid>,
}

impl Workload {
    /// Policy and role name that belong to this identity: `vouchsafe.<namespace>.<serviceaccount>`.
    ///
    /// Unambiguous, because a namespace holds no dot.
    pub fn role_name(&self) -> String {
        format!("{ROLE_PREFIX}.{}.{}", self.namespace, self.service_account)
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.pod {
            Some(pod) => write!(formatter, "{}/{pod}", self.namespace),
            None => write!(formatter, "{}/{}", self.namespace, self.service_account),
        }
    }
}

/// First part of the name of every policy and role that we manage.
pub const ROLE_PREFIX: &str = "vouchsafe";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn role_names_are_unambiguous_because_a_namespace_has_no_dot() {
        let workload = Workload {
            namespace: "argocd".parse().unwrap(),
            service_account: "a.b".parse().unwrap(),
            pod: None,
            pod_uid: None,
        };
        assert_eq!(workload.role_name(), "vouchsafe.argocd.a.b");
        assert!("a.b".parse::<Namespace>().is_err());
    }
}
