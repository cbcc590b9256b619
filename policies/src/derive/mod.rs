//! From an [`Ask`], a pod and the Grants to the Plan: pure, deterministic, all faults at once.
//!
//! ```text
//! Ask + GrantSet ─ login ──▶ which Grants, which role        (login.rs)
//!                └ wanted ─▶ one entry per file and container (wanted.rs)
//!                    ├ content ─▶ secrets and templates       (content.rs)
//!                    ├ placing ─▶ volumes, clashes, variables (placing.rs)
//!                    ├ reader ──▶ modes                       (reader.rs)
//!                    └ reaction ▶ signals, calls, wrappers    (reaction.rs)
//!                └ variables ▶ the wrapper's variables         (variables.rs)
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
mod variables;
mod wanted;

use vouchsafe_model::name::{Audience, ContainerName, EnvName, GrantName, SecretName};
use vouchsafe_model::path::FileMode;
use vouchsafe_model::plan::{Injection, PLAN_VERSION, Plan, PlanFile, PlanWorkload};

use self::content::{Resolved, Secrets};
use self::login::Used;
use self::reaction::Subject;
use crate::ask::{ANNOTATION_PREFIX, Ask};
use crate::dropin::DropIn;
use crate::fault::Fault;
use crate::fields::Faults;
use crate::grant::GrantSet;
use crate::pod::{Installation, PodFacts};

/// What a pod gets.
#[derive(Clone, Debug, PartialEq)]
pub struct Derivation {
    /// For the sidecar.
    pub plan: Plan,
    /// Audience of the sidecar's token; `None` for the API server's own.
    pub audience: Option<Audience>,
    /// Containers whose app is started by the wrapper, in the pod's order.
    pub supervised: Vec<Supervised>,
    /// Variables that hold the path of a file: container, variable, absolute path. Replaces a variable of that name.
    pub path_env: Vec<(ContainerName, EnvName, String)>,
    /// User that the sidecar must run as so that the reader can read: set where there is no `fsGroup` and every reader
    /// runs as this one user, never 0.
    pub run_as_user: Option<i64>,
    /// What is allowed but deserves a look; for AdmissionReview warnings.
    pub warnings: Vec<String>,
    /// One entry per file and variable of `plan.files`, in words, for `explain`.
    pub delivered: Vec<Delivered>,
    /// What a pod of the drop-in dialect wants of the sidecar's container.
    pub drop_in: Option<Box<DropIn>>,
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
    /// Absolute path in the container, or `variable NAME`.
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
    let variables = variables::variables(ask, pod, &used, &mut faults);
    let contents = content::resolve(&wanted, &used, &mut faults);
    let values = variables::resolve(&variables, &used, &mut faults);
    let volumes = placing::volumes(&wanted, pod, &mut faults);
    placing::check_names(&wanted, &mut faults);
    let path_env = placing::path_env(&wanted, pod, &mut faults);
    variables::clashes(&variables, &wanted, &mut faults);
    let mut warnings = used.idle_warnings(&wanted, &variables);
    let environments = variables::environments(&variables, &mut faults, &mut warnings);
    let modes = reader::modes(&wanted, pod, &mut warnings);
    let subject = Subject {
        files: &wanted,
        contents: &contents,
        variables: &variables,
        values: &values,
        environments: &environments,
    };
    let reactions = reaction::decide(ask, &subject, &used, pod, &mut faults, &mut warnings);
    let (Some((login, audience)), true) = (login, faults.is_empty()) else {
        return Err(finish(faults));
    };
    let contents: Vec<Resolved<'_>> = contents.into_iter().chain(values).flatten().collect();
    let secrets = Secrets::collect(&contents);
    let mut words = reactions.words.into_iter();
    let mut files = Vec::with_capacity(wanted.len());
    let mut delivered = Vec::with_capacity(wanted.len());
    for ((file, content), mode) in wanted.iter().zip(&contents).zip(modes.modes) {
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
        delivered.push(file.delivered(content.labels(), words.next().unwrap_or_default()));
    }
    for (variable, content) in variables.iter().zip(contents.iter().skip(wanted.len())) {
        let environment = environments.iter().position(|known| known.container == variable.container.name);
        if let (Some(environment), Some(content)) = (environment, secrets.index(content)) {
            files.push(PlanFile {
                volume: volumes.len() + environment,
                name: variable.name.clone(),
                mode: FileMode::READ_GROUP,
                optional: variable.entry.optional,
                content,
            });
        }
        delivered.push(variable.delivered(content.labels(), words.next().unwrap_or_default()));
    }
    let plan = Plan {
        version: PLAN_VERSION,
        workload: PlanWorkload { namespace: pod.namespace.clone(), service_account: pod.service_account.clone() },
        server: installation.server.clone(),
        login,
        // How the sidecar stands in the pod is the webhook's business: it changes this where the cluster needs it.
        injection: Injection::Native,
        gate: installation.gate,
        wait_seconds: installation.wait_seconds,
        secrets: secrets.list,
        volumes,
        files,
        environments,
        reactions: reactions.list,
        agent: None,
    };
    within_limits(&plan)?;
    Ok(Derivation {
        plan,
        audience: Some(audience.unwrap_or_else(|| installation.audience.clone())),
        supervised: reactions.supervised,
        path_env,
        run_as_user: modes.run_as_user,
        warnings,
        delivered,
        drop_in: None,
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
