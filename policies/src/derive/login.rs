//! Which Grants a pod uses, whether it may, and how it logs in.

use vouchsafe_model::name::Audience;
use vouchsafe_model::plan::Login;
use vouchsafe_model::text::nearest;
use vouchsafe_model::workload::Workload;

use super::variables::Variable;
use super::wanted::Wanted;
use crate::ask::{ANNOTATION_PREFIX, Ask};
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::{Grant, GrantSet};
use crate::pod::PodFacts;

/// The Grants of a pod, in the order in which it names them.
pub(super) struct Used<'a> {
    pub(super) grants: Vec<&'a Grant>,
    /// Whether all that the pod names exist; if not, a secret that is not found is no fault of its own.
    pub(super) complete: bool,
}

impl<'a> Used<'a> {
    /// Looks the Grants up and checks that each lists the pod's service account.
    pub(super) fn find(ask: &Ask, pod: &PodFacts, set: &'a GrantSet, faults: &mut Faults) -> Self {
        let mut used = Self { grants: Vec::new(), complete: true };
        for name in &ask.grants {
            if let Some(grant) = set.get(&pod.namespace, name) {
                if !grant.allows(&pod.service_account) {
                    faults.push(inject_fault(not_listed(grant, pod)));
                }
                used.grants.push(grant);
            } else {
                used.complete = false;
                faults.push(inject_fault(not_found(name.as_str(), pod, set)));
            }
        }
        used
    }

    /// The one login that all of them agree on, and their audience if they set one.
    pub(super) fn login(&self, pod: &PodFacts, faults: &mut Faults) -> Option<(Login, Option<Audience>)> {
        let first = self.grants.first()?;
        for other in self.grants.iter().skip(1).filter(|other| other.vault != first.vault) {
            faults.push(inject_fault(format!(
                "Grants {}{} and {}{} log in differently, but a pod logs in once; make their spec.vault equal",
                first.label(),
                first.place(),
                other.label(),
                other.place()
            )));
        }
        let role = if let Some(role) = &first.vault.role {
            role.clone()
        } else {
            let workload = Workload {
                namespace: pod.namespace.clone(),
                service_account: pod.service_account.clone(),
                pod: None,
                pod_uid: None,
            };
            match workload.role_name().parse() {
                Ok(role) => role,
                Err(error) => {
                    faults.push(inject_fault(format!("{error}; set spec.vault.role in the Grant")));
                    return None;
                }
            }
        };
        Some((Login { auth_path: first.vault.auth_path.clone(), role }, first.vault.audience.clone()))
    }

    /// One warning per Grant that gives the pod nothing.
    pub(super) fn idle_warnings(&self, wanted: &[Wanted<'_>], variables: &[Variable<'_>]) -> Vec<String> {
        let is_idle = |grant: &&&Grant| {
            let mut origins = wanted.iter().map(|file| file.grant).chain(variables.iter().map(|one| one.grant));
            !origins.any(|origin| origin.is_none_or(|origin| origin.name == grant.name))
        };
        self.grants
            .iter()
            .filter(is_idle)
            .map(|grant| {
                format!(
                    "Grant {}{} delivers nothing to this pod; give it deliver.files or deliver.env, or remove it from {ANNOTATION_PREFIX}inject",
                    grant.label(),
                    grant.place()
                )
            })
            .collect()
    }
}

/// A fault of the annotation that names the Grants.
pub(super) fn inject_fault(message: String) -> Fault {
    Fault::new(None, format!("{ANNOTATION_PREFIX}inject"), message)
}

fn not_listed(grant: &Grant, pod: &PodFacts) -> String {
    let listed: Vec<&str> = grant.service_accounts.iter().map(vouchsafe_model::name::ServiceAccount::as_str).collect();
    format!(
        "Grant {}{} does not list service account {}, only {}; add it to spec.serviceAccounts there, or run the pod as one of them",
        grant.label(),
        grant.place(),
        pod.service_account,
        listed.join(", ")
    )
}

fn not_found(name: &str, pod: &PodFacts, set: &GrantSet) -> String {
    let here: Vec<&str> =
        set.iter().filter(|grant| grant.namespace == pod.namespace).map(|grant| grant.name.as_str()).collect();
    let elsewhere = set.iter().find(|grant| grant.name.as_str() == name);
    let hint = match (nearest(name, here.iter().copied()), elsewhere) {
        (Some(near), _) => format!("did you mean {near}?"),
        (None, Some(other)) => format!(
            "there is one in namespace {}{}, but a pod uses only Grants of its own namespace: write one there",
            other.namespace,
            other.place()
        ),
        (None, None) if here.is_empty() => "that namespace has no Grants yet: write one".to_owned(),
        (None, None) => {
            let shown = here.get(..here.len().min(SHOWN_NAMES)).unwrap_or_default();
            format!("that namespace has {}", shown.join(", "))
        }
    };
    format!("Grant {}/{name} does not exist; {hint}", pod.namespace)
}

/// Most names that a message lists.
pub(super) const SHOWN_NAMES: usize = 10;
