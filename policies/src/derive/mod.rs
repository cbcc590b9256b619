//! From an [`Ask`], a pod and the Grants to the Plan: pure, deterministic, all faults at once.
//!
//! ```text
//! Ask + GrantSet ─ login ──▶ which Grants, which role        (login.rs)
//!                └ wanted ─▶ one entry per file and container (wanted.rs)
//!                    ├ content ─▶ secrets and templates       (content.rs)
//!                    ├ placing ─▶ volumes, clashes, variables (placing.rs)
//!                    ├ reader ──▶ modes                       (reader.rs)
//!                    └ reaction ▶ signals, calls, wrappers    (reaction.rs)
//! ```
//! Out of scope: judging the pod's host settings and changing it (webhook).

mod content;
#[cfg(test)]
mod examples;
mod login;
mod placing;
mod reaction;
mod reader;
#[cfg(test)]
mod tests;
mod wanted;

use vouchsafe_model::name::{Audience, ContainerName, EnvName, GrantName, SecretName};
use vouchsafe_model::plan::{PLAN_VERSION, Plan, PlanFile, PlanWorkload};

use self::content::{Resolved, Secrets};
use self::login::Used;
use crate::ask::{ANNOTATION_PREFIX, Ask};
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::GrantSet;
use crate::pod::{Installation, PodFacts};

/// What a pod gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Derivation {
    /// For the sidecar.
    pub plan: Plan,
    /// Audience of the sidecar's token.
    pub audience: Audience,
    /// Containers whose app must run under the supervising wrapper, in the pod's order.
    pub supervised: Vec<Supervised>,
    /// Variables that hold the path of a file: container, variable, absolute path. Replaces a variable of that name.
    pub path_env: Vec<(ContainerName, EnvName, String)>,
    /// User that the sidecar must run as so that the reader can read: set where there is no `fsGroup` and every reader
    /// runs as this one user, never 0.
    pub run_as_user: Option<i64>,
    /// What is allowed but deserves a look; for AdmissionReview warnings.
    pub warnings: Vec<String>,
    /// One entry per file of `plan.files`, in words, for `explain`.
    pub delivered: Vec<Delivered>,
}

/// A container that is started through the wrapper.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Supervised {
    /// Its name.
    pub container: ContainerName,
    /// What the wrapper starts: the pod's command, or the declared one where the pod has none, followed by the pod's
    /// args.
    pub command: Vec<String>,
}

/// Where one delivered file comes from and what happens when it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Container that gets it.
    pub container: ContainerName,
    /// Absolute path in the container.
    pub path: String,
    /// Secrets behind it: `grafana-sso/github`, sorted.
    pub secrets: Vec<String>,
    /// Who asked for it: `Grant monitoring/grafana-sso` or `annotation vouchsafe.dev/files`.
    pub origin: String,
    /// What happens after a change, in words.
    pub reaction: String,
}

/// Joins what is asked for with what is allowed.
pub fn derive(
    ask: &Ask,
    pod: &PodFacts,
    grants: &GrantSet,
    installation: &Installation,
) -> Result<Derivation, Vec<Fault>> {
    let mut faults = Vec::new();
    let used = Used::find(ask, pod, grants, &mut faults);
    let login = used.login(pod, &mut faults);
    let wanted = wanted::files(ask, pod, &used, &mut faults);
    wanted::refuse_env(ask, &used, &mut faults);
    let contents = content::resolve(&wanted, &used, &mut faults);
    let volumes = placing::volumes(&wanted, pod, &mut faults);
    placing::check_names(&wanted, &mut faults);
    let path_env = placing::path_env(&wanted, pod, &mut faults);
    let mut warnings = used.idle_warnings(&wanted);
    let modes = reader::modes(&wanted, pod, &mut warnings);
    let reactions = reaction::decide(ask, &wanted, &contents, &used, pod, &mut faults, &mut warnings);
    let (Some((login, audience)), true) = (login, faults.is_empty()) else {
        return Err(finish(faults));
    };
    let contents: Vec<Resolved<'_>> = contents.into_iter().flatten().collect();
    let secrets = Secrets::collect(&contents);
    let mut files = Vec::with_capacity(wanted.len());
    let mut delivered = Vec::with_capacity(wanted.len());
    for (((file, content), mode), reaction) in wanted.iter().zip(&contents).zip(modes.modes).zip(reactions.words) {
        let volume = volumes.iter().position(|volume| file.is_in(volume));
        if let (Some(volume), Some(content)) = (volume, secrets.index(content)) {
            files.push(PlanFile {
                volume,
                name: file.entry.name.clone(),
                mode,
                optional: file.entry.optional,
                content,
            });
        }
        delivered.push(file.delivered(content.labels(), reaction));
    }
    let plan = Plan {
        version: PLAN_VERSION,
        workload: PlanWorkload { namespace: pod.namespace.clone(), service_account: pod.service_account.clone() },
        server: installation.server.clone(),
        login,
        gate: installation.gate,
        wait_seconds: installation.wait_seconds,
        secrets: secrets.list,
        volumes,
        files,
        reactions: reactions.list,
    };
    within_limits(&plan)?;
    Ok(Derivation {
        plan,
        audience: audience.unwrap_or_else(|| installation.audience.clone()),
        supervised: reactions.supervised,
        path_env,
        run_as_user: modes.run_as_user,
        warnings,
        delivered,
    })
}

/// Sorted and without repetition, so that the same input gives the same text.
fn finish(mut faults: Faults) -> Vec<Fault> {
    faults.sort();
    faults.dedup();
    faults
}

fn within_limits(plan: &Plan) -> Result<(), Vec<Fault>> {
    let problem = plan.check().err().or_else(|| plan.to_json().err());
    match problem {
        Some(error) => Err(vec![Fault::new(None, format!("{ANNOTATION_PREFIX}inject"), error.to_string())]),
        None => Ok(()),
    }
}

/// Key of a secret of the Plan.
type SecretKey = (GrantName, SecretName);
