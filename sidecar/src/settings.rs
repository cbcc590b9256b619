//! What the environment says: read once, all of it, before anything starts.

use std::time::Duration;

use vouchsafe_model::Workload;
use vouchsafe_model::plan::{Gate, PLAN_VARIABLE, POD_NAME_VARIABLE, POD_UID_VARIABLE, Plan, PlanError};

/// The sidecar's settings.
pub(crate) struct Settings {
    pub(crate) plan: Plan,
    pub(crate) workload: Workload,
}

/// Why there are no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsError {
    /// The Plan is not there.
    #[error("the environment has no {PLAN_VARIABLE}; the webhook sets it")]
    NoPlan,
    /// The Plan cannot be carried out.
    #[error(transparent)]
    Plan(#[from] PlanError),
}

impl Settings {
    pub(crate) fn read(environment: &dyn Fn(&str) -> Option<String>) -> Result<Self, SettingsError> {
        let plan = Plan::from_json(&environment(PLAN_VARIABLE).ok_or(SettingsError::NoPlan)?)?;
        let workload = Workload {
            namespace: plan.workload.namespace.clone(),
            service_account: plan.workload.service_account.clone(),
            // Only for messages: a pod without them works all the same.
            pod: environment(POD_NAME_VARIABLE).and_then(|name| name.parse().ok()),
            pod_uid: environment(POD_UID_VARIABLE).and_then(|uid| uid.parse().ok()),
        };
        Ok(Self { plan, workload })
    }

    /// How long `wait` waits: bounded as a hook, without end as a container of its own.
    pub(crate) fn wait_bound(&self) -> Option<Duration> {
        (self.plan.gate == Gate::Hook).then(|| Duration::from_secs(self.plan.wait_seconds.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::plan;

    #[test]
    fn the_plan_comes_from_the_environment_and_the_pod_for_messages_only() {
        let text = plan(1).to_json().unwrap();
        let read = |name: &str| match name {
            PLAN_VARIABLE => Some(text.clone()),
            POD_NAME_VARIABLE => Some("dex-0".to_owned()),
            _ => None,
        };
        let settings = Settings::read(&read).unwrap();
        assert_eq!(settings.workload.to_string(), "argocd/dex-0");
        assert_eq!(settings.wait_bound(), Some(Duration::from_secs(20)));
        assert!(matches!(Settings::read(&|_| None), Err(SettingsError::NoPlan)));
    }

    #[test]
    fn the_strict_gate_waits_without_end() {
        let mut strict = plan(1);
        strict.gate = Gate::Init;
        let text = strict.to_json().unwrap();
        let settings = Settings::read(&|name| (name == PLAN_VARIABLE).then(|| text.clone())).unwrap();
        assert_eq!(settings.wait_bound(), None);
    }
}
