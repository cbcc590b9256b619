//! The preflight of a move from vault-k8s: what would become of each workload's pods, before anything is switched over.
//!
//! The same function as at admission judges each pod template. Out of scope: reading manifests, printing (cli).

use serde_json::Value;

use vouchsafe_model::name::Namespace;
use vouchsafe_policies::GrantSet;
use vouchsafe_policies::manifest::Manifest;

use crate::config::Config;
use crate::inject::inject;

/// What would become of one workload's pods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Preflight {
    /// `Deployment shop/web`.
    pub workload: String,
    /// In a word.
    pub fate: Fate,
    /// What is wrong and how to mend it; empty where nothing is.
    pub messages: Vec<String>,
}

/// See [`Preflight`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fate {
    /// They start as before.
    Fine,
    /// They start, and something deserves a look.
    Warned,
    /// They are refused, or wait for ever with a reason.
    Refused,
}

impl Fate {
    /// The word of the summary.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fine => "OK",
            Self::Warned => "WARN",
            Self::Refused => "REFUSED",
        }
    }
}

/// Looks at one manifest; `None` where it makes no pods, or its pods do not ask in the drop-in dialect.
pub fn preflight(manifest: &Manifest, grants: &GrantSet, config: &Config) -> Option<Preflight> {
    let template = manifest.pod_template.as_ref()?;
    let asks = |text: &Value| vouchsafe_policies::dropin::value::boolean(text.as_str().unwrap_or("?")) != Ok(false);
    let annotations = template.pointer("/metadata/annotations")?.as_object()?;
    vouchsafe_policies::dropin::table::PREFIXES
        .iter()
        .any(|prefix| annotations.get(&format!("{prefix}agent-inject")).is_some_and(asks))
        .then_some(())?;
    let namespace = manifest.namespace.as_ref().map_or(DEFAULT_NAMESPACE, Namespace::as_str);
    let workload = format!("{} {namespace}/{}", manifest.kind, manifest.name);
    let (fate, messages) = match inject(template, &namespace.parse().ok()?, grants, config) {
        Err(faults) => (Fate::Refused, faults.iter().map(ToString::to_string).collect()),
        Ok(None) => (Fate::Fine, Vec::new()),
        Ok(Some(injection)) => {
            let agent = injection.derivation.plan.agent.as_ref();
            let hopeless = agent.map(|agent| agent.hopeless.clone()).unwrap_or_default();
            if !hopeless.is_empty() {
                (Fate::Refused, hopeless)
            } else if injection.warnings.is_empty() {
                (Fate::Fine, Vec::new())
            } else {
                (Fate::Warned, injection.warnings)
            }
        }
    };
    Some(Preflight { workload, fate, messages })
}

/// `OK 91  WARN 7  REFUSED 2`.
pub fn summary(found: &[Preflight]) -> String {
    let count = |fate: Fate| found.iter().filter(|one| one.fate == fate).count();
    let words = [Fate::Fine, Fate::Warned, Fate::Refused].map(|fate| format!("{} {}", fate.as_str(), count(fate)));
    words.join("  ")
}

/// Where objects without a namespace land.
const DEFAULT_NAMESPACE: &str = "default";
