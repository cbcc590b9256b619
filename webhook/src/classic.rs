//! `classic`: what a Plan becomes where kubelets know no native sidecars (before Kubernetes 1.29).
//!
//! | pod | containers of ours | |
//! |---|---|---|
//! | `restartPolicy: Always` | plain init container, ordinary container | the first makes all files before any container of the app starts; the second goes on from its state without a new login |
//! | `OnFailure`, `Never` (Jobs) | plain init container | an ordinary container would keep the pod from ending: files are made once |
//!
//! The setting decides, not the pod: the webhook cannot see kubelets. Out of scope: what the containers are made of
//! ([`crate::parts`]), what they do (sidecar).

use serde_json::{Map, Value};

use vouchsafe_model::plan::{Engine, Gate, Injection};
use vouchsafe_policies::Derivation;

use crate::config::InjectionMode;

/// Changes `derivation` for a pod with this `spec`.
pub fn adapt(derivation: &mut Derivation, spec: &Map<String, Value>, mode: InjectionMode) {
    if mode == InjectionMode::Native {
        return;
    }
    let policy = spec.get("restartPolicy").and_then(Value::as_str).unwrap_or(ALWAYS);
    if policy == ALWAYS {
        derivation.plan.injection = Injection::Classic;
        return;
    }
    derivation.plan.injection = Injection::Once;
    if policy == NEVER {
        // An init container that fails would fail the pod for good: it waits as long as it takes.
        derivation.plan.gate = Gate::Init;
    }
    let told = !derivation.plan.reactions.is_empty();
    derivation.plan.reactions.clear();
    derivation.supervised.clear();
    for delivered in &mut derivation.delivered {
        delivered.reaction.clear();
    }
    let leased = derivation.plan.secrets.iter().any(|secret| secret.engine == Engine::Generic);
    derivation.warnings.push(warning(policy, told, leased));
}

/// What is lost, and how to get it back.
fn warning(policy: &str, told: bool, leased: bool) -> String {
    let told = if told { ", onChange has no effect" } else { "" };
    let leased = if leased {
        ", leases are not renewed (a dynamic credential or certificate ends with its time, and a long run outlives it)"
    } else {
        ""
    };
    format!(
        "spec.restartPolicy is {policy} and Vouchsafe injects in classic form here: an ordinary sidecar would keep the pod from \
         ending, so its files are made once, before it starts: changes of a secret do not arrive{leased}{told}; where every node \
         runs Kubernetes 1.29 or later, start the webhook with --injection native"
    )
}

/// The restart policy of pods that name none.
const ALWAYS: &str = "Always";
/// The one under which a failed init container is final.
const NEVER: &str = "Never";
