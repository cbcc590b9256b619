//! From a [`DropIn`], a pod and the Grants to the Plan: pure, deterministic, all faults at once.
//!
//! What the templates surely read is found by compiling them, so that the sidecar reads it in parallel; what they compute comes
//! up there. Grants do not decide here (Vault's own policies do, as before): they are compared, as far as paths are known.
//! Out of scope: our container (webhook), annotations by themselves ([`super::DropIn::read`]).

use std::collections::BTreeSet;

use vouchsafe_model::name::{ContainerName, RoleName};
use vouchsafe_model::path::{AuthPath, FileMode, FileName, MountPath};
use vouchsafe_model::plan::{
    Action, AgentPath, AgentPlan, AgentRead, AgentSecret, AgentTemplate, Content, FILES, Gate, Injection, Login,
    LoginMethod, PLAN_VERSION, Plan, PlanFile, PlanSecret, PlanVolume, PlanWorkload, Reaction, SECRETS, Server,
    ServerKind,
};
use vouchsafe_model::text::quoted;
use vouchsafe_template::{ReadKind, Template};

use super::files::{self, TOKEN_FILE};
use super::{Command, DropIn, DropInFile, FileTemplate, Method, Moment, default_template};
use crate::derive::{Delivered, Derivation, Supervised};
use crate::fault::Fault;
use crate::grant::GrantSet;
use crate::pod::{ContainerFacts, ContainerKind, Installation, PodFacts};

/// What Grants mean for pods of this dialect.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GrantPolicy {
    /// Nothing.
    Off,
    /// A path that no Grant names is warned about.
    #[default]
    Warn,
    /// A path that no Grant names refuses the pod.
    Enforce,
}

/// Joins what is asked for with the pod.
pub fn derive_drop_in(
    drop_in: &DropIn,
    pod: &PodFacts,
    grants: &GrantSet,
    installation: &Installation,
    policy: GrantPolicy,
) -> Result<Derivation, Vec<Fault>> {
    let mut work = Work {
        drop_in,
        pod,
        faults: Vec::new(),
        warnings: drop_in.warnings.clone(),
        hopeless: drop_in.hopeless.clone(),
        paths: Vec::new(),
    };
    let readers = work.readers();
    let volumes = work.volumes(&readers);
    let method = work.method();
    let run_as_user = work.user();
    work.check_process_namespace();
    let (mut plan_files, delivered) = work.files(&volumes, &readers);
    let (reactions, supervised) = work.reactions(&plan_files);
    let secrets = work.secrets(grants, policy);
    if plan_files.len() > FILES || secrets.len() > SECRETS {
        work.hopeless.push(format!(
            "the pod asks for {} files of {} secrets, the limits are {FILES} and {SECRETS}; put several secrets into one file by a template",
            plan_files.len(),
            secrets.len()
        ));
    }
    let too_much = !work.hopeless.is_empty();
    if too_much {
        // The pod waits with the reason; a Plan that cannot be carried out needs no content.
        plan_files.clear();
    }
    let Some(login) = login(drop_in, &mut work.faults) else { return Err(sorted(work.faults)) };
    let plan = Plan {
        version: PLAN_VERSION,
        workload: PlanWorkload { namespace: pod.namespace.clone(), service_account: pod.service_account.clone() },
        server: server(drop_in, installation),
        login,
        injection: if drop_in.moment == Moment::Before { Injection::Once } else { Injection::Native },
        // A pod that waits with a reason waits, whatever it asked for.
        gate: if drop_in.moment == Moment::After && !too_much { Gate::Open } else { installation.gate },
        wait_seconds: installation.wait_seconds,
        secrets: if too_much { Vec::new() } else { secrets },
        volumes,
        files: plan_files,
        environments: Vec::new(),
        reactions: if too_much { Vec::new() } else { reactions },
        agent: Some(Box::new(AgentPlan {
            hopeless: work.hopeless.iter().take(SHOWN_PROBLEMS).cloned().collect(),
            refresh_seconds: Some(drop_in.render_seconds.unwrap_or(REFRESH_SECONDS)),
            revoke: drop_in.revoke,
            method,
            login_namespace: drop_in.auth_path.0.as_ref().and_then(|front| login_namespace(drop_in, front)),
            trust_files: [&drop_in.server.ca_file, &drop_in.server.ca_folder].into_iter().flatten().cloned().collect(),
            server_name: drop_in.server.server_name.clone(),
            client_certificate: drop_in.server.client_cert.clone().zip(drop_in.server.client_key.clone()),
        })),
    };
    if let Some(problem) = plan.check().err().or_else(|| plan.to_json().err()) {
        work.faults.push(Fault::new(None, drop_in.annotation.clone(), problem.to_string()));
    }
    if !work.faults.is_empty() {
        return Err(sorted(work.faults));
    }
    Ok(Derivation {
        plan,
        audience: None,
        supervised: if too_much { Vec::new() } else { supervised },
        path_env: Vec::new(),
        run_as_user,
        warnings: work.warnings,
        delivered: if too_much { Vec::new() } else { delivered },
        drop_in: Some(Box::new(drop_in.clone())),
    })
}

struct Work<'a> {
    drop_in: &'a DropIn,
    pod: &'a PodFacts,
    faults: Vec<Fault>,
    warnings: Vec<String>,
    hopeless: Vec<String>,
    /// What templates surely read, in order, each once.
    paths: Vec<AgentSecret>,
}

impl<'a> Work<'a> {
    /// Containers that mount the volumes: the chosen apps, and every init container.
    fn readers(&mut self) -> Vec<&'a ContainerFacts> {
        let pod = self.pod;
        if let Some(names) = &self.drop_in.containers {
            let apps: Vec<&str> = pod
                .containers
                .iter()
                .filter(|container| container.kind == ContainerKind::App)
                .map(|container| container.name.as_str())
                .collect();
            for name in names.iter().filter(|name| !apps.contains(&name.as_str())) {
                self.warnings.push(format!(
                    "agent-inject-containers: the pod has no app container {}, only {}",
                    quoted(name),
                    apps.join(", ")
                ));
            }
        }
        let is_reader = |container: &&ContainerFacts| match (&self.drop_in.containers, container.kind) {
            (Some(names), ContainerKind::App) => names.iter().any(|name| name == container.name.as_str()),
            _ => true,
        };
        pod.containers.iter().filter(is_reader).collect()
    }

    /// One volume per folder, mounted by all readers; a folder that one of them mounts itself is a fault.
    fn volumes(&mut self, readers: &[&ContainerFacts]) -> Vec<PlanVolume> {
        let mut folders: BTreeSet<&str> = self.drop_in.files.iter().map(|file| file.folder.as_str()).collect();
        folders.insert(&self.drop_in.folder);
        let mut volumes = Vec::new();
        for folder in folders {
            for reader in readers {
                if reader.mounts.iter().any(|mount| mount.trim_end_matches('/') == folder) {
                    let message = format!(
                        "container {} mounts {} itself, where its secrets would be mounted; set secret-volume-path, or mount that elsewhere",
                        reader.name,
                        quoted(folder)
                    );
                    self.fault(message);
                }
            }
            let names: Vec<ContainerName> = readers.iter().map(|reader| reader.name.clone()).collect();
            match (names.split_first(), MountPath::of_agent(folder)) {
                (Some((first, also)), Ok(mount_path)) => {
                    volumes.push(PlanVolume { container: first.clone(), mount_path, also: also.to_vec() });
                }
                (None, _) => {}
                (_, Err(error)) => self.hopeless.push(error.to_string()),
            }
        }
        volumes
    }

    fn files(&mut self, volumes: &[PlanVolume], readers: &[&ContainerFacts]) -> (Vec<PlanFile>, Vec<Delivered>) {
        let (mut files, mut delivered) = (Vec::new(), Vec::new());
        let Some(reader) = readers.first() else { return (files, delivered) };
        let place = |folder: &str| volumes.iter().position(|volume| volume.mount_path.as_str() == folder);
        for file in &self.drop_in.files {
            let (template, labels) = self.template(file);
            let (Some(volume), Ok(name), Some(mode)) =
                (place(&file.folder), FileName::of_agent(&file.file), FileMode::of_agent(file.mode))
            else {
                continue;
            };
            files.push(PlanFile { volume, name, mode, optional: false, content: Content::Agent(template) });
            delivered.push(Delivered {
                container: reader.name.clone(),
                path: format!("{}/{}", file.folder, file.file),
                secrets: labels,
                origin: format!("annotation {}", file.annotation),
                reaction: match &file.command {
                    Command::Signal { signal, .. } => {
                        format!("the file is replaced and the app is sent {}", signal.as_str())
                    }
                    _ => "the file is replaced; the app is not told and keeps what it has read until it reads again"
                        .to_owned(),
                },
            });
        }
        if let Some(folder) = &self.drop_in.token_folder
            && let (Some(volume), Ok(name), Some(mode)) =
                (place(folder), FileName::of_agent(TOKEN_FILE), FileMode::of_agent(TOKEN_MODE))
        {
            files.push(PlanFile { volume, name, mode, optional: false, content: Content::Token });
            delivered.push(Delivered {
                container: reader.name.clone(),
                path: format!("{folder}/{TOKEN_FILE}"),
                secrets: Vec::new(),
                origin: "annotation agent-inject-token".to_owned(),
                reaction: "the file is replaced at every login".to_owned(),
            });
        }
        (files, delivered)
    }

    /// A file's template, and the paths that it surely reads.
    fn template(&mut self, file: &DropInFile) -> (AgentTemplate, Vec<String>) {
        let (text, source, delimiters) = match &file.template {
            FileTemplate::Default { path, form } => (default_template(path, *form), None, None),
            FileTemplate::Inline(text) => (text.clone(), None, file.delimiters.clone()),
            FileTemplate::File(path) => (String::new(), Some(path.clone()), file.delimiters.clone()),
        };
        let options = files::options(delimiters.as_ref(), file.strict);
        // A template that does not compile was reported when it was read.
        let reads = match (&source, Template::compile(&file.name, &text, &options)) {
            (None, Ok(template)) => template.static_reads(),
            _ => Vec::new(),
        };
        let (mut indices, mut labels) = (Vec::new(), Vec::new());
        for read in reads.into_iter().filter(|read| !read.conditional) {
            let kind = match read.kind {
                ReadKind::Secret => AgentRead::Secret,
                ReadKind::List => AgentRead::List,
            };
            let Ok(path) = read.path.trim_matches('/').parse::<AgentPath>() else { continue };
            labels.push(path.to_string());
            let wanted = AgentSecret { path, read: kind };
            let index = self.paths.iter().position(|known| *known == wanted).unwrap_or_else(|| {
                self.paths.push(wanted);
                self.paths.len() - 1
            });
            if !indices.contains(&index) {
                indices.push(index);
            }
        }
        (AgentTemplate { text, source, delimiters, strict: file.strict, reads: indices }, labels)
    }

    /// The Plan's secrets; each is compared with the Grants of the pod's service account.
    fn secrets(&mut self, grants: &GrantSet, policy: GrantPolicy) -> Vec<PlanSecret> {
        let mut secrets = Vec::with_capacity(self.paths.len());
        let mut uncovered = Vec::new();
        for (number, wanted) in self.paths.clone().into_iter().enumerate() {
            let covering = grants
                .iter()
                .filter(|grant| grant.namespace == self.pod.namespace && grant.allows(&self.pod.service_account))
                .find(|grant| {
                    grant.secrets.iter().any(|secret| names(secret.mount.as_str(), secret.path.as_str(), &wanted))
                });
            if covering.is_none() {
                uncovered.push(wanted.path.to_string());
            }
            match PlanSecret::of_agent(number, wanted, None) {
                Ok(mut secret) => {
                    if let Some(grant) = covering {
                        secret.grant = grant.name.clone();
                    }
                    secrets.push(secret);
                }
                Err(error) => self.hopeless.push(error.to_string()),
            }
        }
        if !uncovered.is_empty() {
            let message = format!(
                "no Grant of namespace {} lets service account {} read {}; Vault's own policy decides alone: write a Grant, so that git knows",
                self.pod.namespace,
                self.pod.service_account,
                shown(&uncovered)
            );
            match policy {
                GrantPolicy::Off => {}
                GrantPolicy::Warn => self.warnings.push(message),
                GrantPolicy::Enforce => self.fault(message),
            }
        }
        secrets
    }

    /// Signals: each goes to the app that its command names, which must have a command that the wrapper can start.
    fn reactions(&mut self, files: &[PlanFile]) -> (Vec<Reaction>, Vec<Supervised>) {
        let mut list: Vec<Reaction> = Vec::new();
        let mut supervised: Vec<Supervised> = Vec::new();
        let pod = self.pod;
        for (index, file) in self.drop_in.files.iter().enumerate().filter(|(index, _)| *index < files.len()) {
            let Command::Signal { signal, program } = &file.command else { continue };
            let full = format!("{} (command)", file.annotation);
            let container = match target(pod, program.as_deref()) {
                Ok(container) => container,
                Err(problem) => {
                    self.warnings.push(format!("{full}: {} is not sent: {problem}", signal.as_str()));
                    continue;
                }
            };
            let Some(command) = &container.command else {
                self.warnings.push(format!(
                    "{full}: {} is not sent: container {} has no command, and what its image runs is not known here; write the command into the pod",
                    signal.as_str(),
                    container.name
                ));
                continue;
            };
            if !supervised.iter().any(|known| known.container == container.name) {
                let command = command.iter().chain(&container.args).cloned().collect();
                supervised.push(Supervised { container: container.name.clone(), command });
            }
            let action = Action::Signal(*signal);
            match list.iter_mut().find(|known| known.container == container.name && known.action == action) {
                Some(known) => known.files.push(index),
                None => list.push(Reaction { container: container.name.clone(), files: vec![index], action }),
            }
        }
        let place = |name: &ContainerName| pod.containers.iter().position(|container| container.name == *name);
        list.sort_by_key(|reaction| place(&reaction.container));
        supervised.sort_by_key(|one| place(&one.container));
        (list, supervised)
    }

    fn method(&mut self) -> LoginMethod {
        match &self.drop_in.login {
            Method::Kubernetes { volume: Some(volume), .. } => match self.pod.volumes.get(volume) {
                Some(Some(path)) => LoginMethod::TokenOf { file: format!("{GIVEN_TOKEN_FOLDER}/{path}") },
                Some(None) => {
                    self.fault(format!(
                        "agent-service-account-token-volume-name: volume {} is not projected or holds no service account token; name a projected volume with a serviceAccountToken source",
                        quoted(volume)
                    ));
                    LoginMethod::Kubernetes
                }
                None => {
                    let names: Vec<&str> = self.pod.volumes.keys().map(String::as_str).collect();
                    self.fault(format!(
                        "agent-service-account-token-volume-name: failed to find service account volume {}; the pod has {}",
                        quoted(volume),
                        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
                    ));
                    LoginMethod::Kubernetes
                }
            },
            Method::Kubernetes { token_file: Some(file), .. } | Method::Jwt { token_file: Some(file), .. } => {
                LoginMethod::TokenOf { file: file.clone() }
            }
            Method::Kubernetes { .. } | Method::Jwt { .. } => LoginMethod::Kubernetes,
            Method::AppRole { role_id_file, secret_id_file } => {
                LoginMethod::AppRole { role_id: role_id_file.clone(), secret_id: secret_id_file.clone() }
            }
            Method::Cert { name } => LoginMethod::Cert { name: name.clone() },
            Method::TokenFile { file } => LoginMethod::TokenFile { file: file.clone() },
        }
    }

    /// The uid of our container.
    fn user(&mut self) -> Option<i64> {
        let wish = self.drop_in.container.user;
        if !wish.same {
            return wish.set.then_some(wish.user);
        }
        let app = self.pod.containers.iter().find(|container| container.kind == ContainerKind::App)?;
        match self.pod.uid(app) {
            Some(uid) if uid > 0 => Some(uid),
            found => {
                let what = if found.is_some() {
                    "runs as root: the sidecar is not allowed to run as root"
                } else {
                    "does not say which user it runs as"
                };
                self.fault(format!(
                    "agent-run-as-same-user: the first app container, {}, {what}; set securityContext.runAsUser there, or agent-run-as-user here",
                    app.name
                ));
                None
            }
        }
    }

    fn check_process_namespace(&mut self) {
        if self.drop_in.container.share_process_namespace == Some(true)
            && self.pod.share_process_namespace == Some(false)
        {
            self.fault(
                "agent-share-process-namespace: is true, but spec.shareProcessNamespace is false; make them equal"
                    .to_owned(),
            );
        }
    }

    fn fault(&mut self, message: String) {
        // Messages that begin with an annotation's name get it as their field.
        let prefix = self.drop_in.annotation.trim_end_matches("agent-inject");
        let fault = match message.split_once(": ") {
            Some((name, rest)) if super::table::find(name).is_some() => {
                Fault::new(None, format!("{prefix}{name}"), rest)
            }
            _ => Fault::new(None, self.drop_in.annotation.clone(), message),
        };
        self.faults.push(fault);
    }
}

/// The container that a signal is meant for: the one whose name or program is named, else the only app.
fn target<'a>(pod: &'a PodFacts, program: Option<&str>) -> Result<&'a ContainerFacts, String> {
    let apps: Vec<&ContainerFacts> =
        pod.containers.iter().filter(|container| container.kind == ContainerKind::App).collect();
    let base = |text: &str| text.rsplit('/').next().unwrap_or_default().to_owned();
    let named = program.and_then(|program| {
        let wanted = base(program);
        let runs = |container: &&&ContainerFacts| {
            container.name.as_str() == wanted
                || container.command.iter().flatten().next().is_some_and(|command| base(command) == wanted)
        };
        apps.iter().find(runs).copied()
    });
    match (named, apps.as_slice()) {
        (Some(container), _) => Ok(container),
        (None, [container]) => Ok(*container),
        _ => Err(format!(
            "which of the containers {} runs {} is not known; give the container that name, or write its command into the pod",
            apps.iter().map(|container| container.name.as_str()).collect::<Vec<_>>().join(", "),
            program.map_or_else(|| "it".to_owned(), quoted)
        )),
    }
}

/// Whether a Grant's secret is what a template names, with `data/` or without.
fn names(mount: &str, path: &str, wanted: &AgentSecret) -> bool {
    let (plain, _) = wanted.path.as_str().split_once('?').unwrap_or((wanted.path.as_str(), ""));
    plain == format!("{mount}/{path}") || plain == format!("{mount}/data/{path}")
}

fn server(drop_in: &DropIn, installation: &Installation) -> Server {
    let wish = &drop_in.server;
    let own = &installation.server;
    let (kind, address) = match &wish.address {
        Some(address) if *address != own.address => (ServerKind::Direct, address.clone()),
        _ => (own.kind, own.address.clone()),
    };
    let mut trust = own.trust.clone();
    if !wish.trust.is_empty() {
        if !trust.is_empty() && !trust.ends_with('\n') {
            trust.push('\n');
        }
        trust.push_str(&wish.trust);
    }
    Server { kind, address, namespace: wish.namespace.clone(), trust }
}

fn login(drop_in: &DropIn, faults: &mut Vec<Fault>) -> Option<Login> {
    let role = match &drop_in.login {
        Method::Kubernetes { role, .. } | Method::Jwt { role, .. } => role.clone(),
        _ => None,
    };
    // A role that is none was reported; methods without one show their own name in messages.
    let fallback = match &drop_in.login {
        Method::Kubernetes { .. } | Method::Jwt { .. } => "default",
        Method::AppRole { .. } => "approle",
        Method::Cert { .. } => "cert",
        Method::TokenFile { .. } => "token-file",
    };
    let role: Option<RoleName> = role.or_else(|| fallback.parse().ok());
    match (drop_in.auth_path.1.parse::<AuthPath>(), role) {
        (Ok(auth_path), Some(role)) => Some(Login { auth_path, role }),
        (Err(error), _) => {
            faults.push(Fault::new(None, drop_in.annotation.clone(), error.to_string()));
            None
        }
        (_, None) => None,
    }
}

/// A namespace in front of the login's mount lies below the one that all requests work in.
fn login_namespace(drop_in: &DropIn, front: &str) -> Option<vouchsafe_model::path::VaultNamespace> {
    match &drop_in.server.namespace {
        Some(namespace) => format!("{namespace}/{front}").parse().ok(),
        None => front.parse().ok(),
    }
}

fn shown(paths: &[String]) -> String {
    let first: Vec<String> = paths.iter().take(SHOWN_PATHS).map(|path| quoted(path)).collect();
    match paths.len().checked_sub(SHOWN_PATHS) {
        Some(more) if more > 0 => format!("{} and {more} more", first.join(", ")),
        _ => first.join(", "),
    }
}

fn sorted(mut faults: Vec<Fault>) -> Vec<Fault> {
    faults.sort();
    faults.dedup();
    faults
}

/// Where our container mounts a projected volume that the pod names for the login: vault-k8s' own place for it.
pub const GIVEN_TOKEN_FOLDER: &str = "/var/run/secrets/vault.hashicorp.com/serviceaccount";
/// Mode of the token's own file, as an agent's sink has it.
const TOKEN_MODE: u32 = 0o640;
/// How often an agent reads secrets without lease again.
const REFRESH_SECONDS: u64 = 300;
/// Paths that one message names.
const SHOWN_PATHS: usize = 3;
/// Problems that a Plan carries: a termination message holds 4 KiB.
const SHOWN_PROBLEMS: usize = 8;
