//! The program's flags and environment variables.
//!
//! Out of scope: what they do; each `--help` text says it for people.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, ValueEnum};

use vouchsafe_model::name::Audience;
use vouchsafe_model::path::{ServerAddress, VaultNamespace};
use vouchsafe_model::plan::{Gate, Server, ServerKind};
use vouchsafe_policies::dropin::{Compat, Defaults, GrantPolicy};
use vouchsafe_policies::{DEFAULT_AUDIENCE, Fault, Installation};

use crate::config::{Config, CpuShare, DEFAULT_USER, DropInSettings, InjectionMode, PullPolicy, SidecarUser};
use crate::grants::Source;

/// Mutating admission webhook: pods that ask for secrets by annotation get a sidecar that fetches them.
///
/// Needs no right in the cluster but to read Grants, and calls nothing else. Decisions leave as audit annotations and as
/// one JSON line each on standard output; the program's own log goes to standard error (VOUCHSAFE_LOG: error to trace).
#[derive(Debug, Parser)]
#[command(name = "vouchsafe-webhook", version)]
pub struct Options {
    /// Address and port to serve HTTPS on: /mutate, /warn, /healthz, /readyz, /metrics.
    #[arg(long, env = "VOUCHSAFE_LISTEN", default_value = "0.0.0.0:8443", value_name = "ADDRESS:PORT")]
    pub listen: SocketAddr,

    /// Folder with tls.crt and tls.key (PEM), as a mounted Secret has them. Read again whenever it changes.
    #[arg(long, env = "VOUCHSAFE_TLS_FOLDER", value_name = "FOLDER")]
    pub tls_folder: PathBuf,

    /// Where Grants come from: a folder of YAML files (read again whenever it changes; a broken file keeps its last good
    /// state), or the word "kubernetes" for the custom resources of the cluster.
    #[arg(long, env = "VOUCHSAFE_GRANTS", default_value = "kubernetes", value_name = "FOLDER|kubernetes")]
    pub grants: String,

    /// What sidecars are told.
    #[command(flatten)]
    pub server: ServerOptions,

    /// What is injected.
    #[command(flatten)]
    pub sidecar: SidecarOptions,

    /// Pods of vault-k8s' dialect.
    #[command(flatten)]
    pub drop_in: DropInOptions,
}

/// The server that sidecars talk to.
#[derive(Args, Debug)]
#[command(next_help_heading = "Server that sidecars read from")]
pub struct ServerOptions {
    /// Its address, as pods reach it: <https://vouchsafe-broker.vouchsafe.svc:8200>. Plain HTTP is refused.
    #[arg(long, env = "VOUCHSAFE_SERVER_ADDRESS", value_name = "https://HOST:PORT")]
    pub server_address: ServerAddress,

    /// What stands there: our broker, or Vault/OpenBao itself (no push of changes, no audit of ours).
    #[arg(long, env = "VOUCHSAFE_SERVER_KIND", value_enum, default_value_t = KindOption::Broker)]
    pub server_kind: KindOption,

    /// Vault namespace of every request; leave it out for the root namespace and for OpenBao without namespaces.
    #[arg(long, env = "VOUCHSAFE_SERVER_NAMESPACE", value_name = "NAMESPACE")]
    pub server_namespace: Option<VaultNamespace>,

    /// PEM file with the certificates that the server's chain must end in; sidecars trust nothing else. Read again whenever
    /// it changes; running pods keep what they have.
    #[arg(long, env = "VOUCHSAFE_TRUST_FILE", value_name = "FILE")]
    pub trust_file: PathBuf,

    /// Audience of the sidecars' tokens, unless a Grant says otherwise. The Vault roles must name the same.
    #[arg(long, env = "VOUCHSAFE_AUDIENCE", default_value = DEFAULT_AUDIENCE)]
    pub audience: Audience,
}

/// What is injected.
#[derive(Args, Debug)]
#[command(next_help_heading = "Sidecar")]
pub struct SidecarOptions {
    /// Image of the sidecar; best with its digest (NAME@sha256:…), so that nobody can exchange it.
    #[arg(long, env = "VOUCHSAFE_IMAGE", value_name = "IMAGE")]
    pub image: String,

    /// When kubelets pull the image.
    #[arg(long, env = "VOUCHSAFE_IMAGE_PULL_POLICY", value_enum, default_value_t = PullOption::IfNotPresent)]
    pub image_pull_policy: PullOption,

    /// How the sidecar stands in pods: "native" as a restartable init container (Kubernetes 1.29 and later on every node),
    /// "classic" as a plain init container and an ordinary container. Pods that end by themselves (Jobs) then get their files
    /// once and no sidecar, because an ordinary container would keep them from ending.
    #[arg(long, env = "VOUCHSAFE_INJECTION", value_enum, default_value_t = InjectionOption::Native)]
    pub injection: InjectionOption,

    /// How apps are held back until their files are there: "hook" is fast (0.15 s), "init" is strict (0.85 s; no window while
    /// a kubelet restarts, and waiting pods start within seconds of the server's recovery).
    #[arg(long, env = "VOUCHSAFE_GATE", value_enum, default_value_t = GateOption::Hook)]
    pub gate: GateOption,

    /// Seconds that one try to start a pod may wait for its files; afterwards the kubelet tries again with back-off. The start
    /// hook blocks a pod's deletion that long.
    #[arg(long, env = "VOUCHSAFE_WAIT_SECONDS", default_value_t = 20, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub wait_seconds: u32,

    /// User id of the sidecar where the pod names none, or "platform" where the platform assigns one (OpenShift).
    #[arg(long, env = "VOUCHSAFE_SIDECAR_USER", default_value_t = DEFAULT_USER.to_string(), value_name = "UID|platform", value_parser = user_text)]
    pub sidecar_user: String,

    /// Processor request in thousandths of a core. Always set: autoscalers cannot count pods without it.
    #[arg(long, env = "VOUCHSAFE_CPU_REQUEST_MILLIS", default_value_t = CpuShare::default().request_millis, value_parser = clap::value_parser!(u32).range(1..=16_000))]
    pub cpu_request_millis: u32,

    /// Processor limit in thousandths of a core for pods that are not Guaranteed. Leave it out unless a quota demands it: a
    /// limit slows the start of every pod.
    #[arg(long, env = "VOUCHSAFE_CPU_LIMIT_MILLIS", value_parser = clap::value_parser!(u32).range(1..=16_000))]
    pub cpu_limit_millis: Option<u32>,
}

/// Pods of vault-k8s' dialect.
#[derive(Args, Debug)]
#[command(next_help_heading = "Pods with the annotations of vault-k8s (vault.hashicorp.com/*, openbao.org/*)")]
pub struct DropInOptions {
    /// Whether such pods are injected. The AGENT_INJECT_* environment variables of vault-k8s are read with their own names
    /// and meanings (docs/vault-k8s.md). The webhook configuration must send these pods here, and only where vault-k8s no
    /// longer does (docs/guides/from-vault-k8s.md).
    #[arg(long, env = "VOUCHSAFE_DROP_IN", value_enum, default_value_t = SwitchOption::Off)]
    pub drop_in: SwitchOption,

    /// What becomes of annotations that vault-k8s accepts though they cannot work: "warn" admits the pod, "strict" refuses it.
    #[arg(long, env = "VOUCHSAFE_DROP_IN_COMPAT", value_enum, default_value_t = CompatOption::Warn)]
    pub drop_in_compat: CompatOption,

    /// What Grants mean for such pods: a path that no Grant names is passed over, warned about, or refuses the pod.
    #[arg(long, env = "VOUCHSAFE_DROP_IN_GRANTS", value_enum, default_value_t = GrantsOption::Warn)]
    pub drop_in_grants: GrantsOption,
}

/// `--drop-in`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum SwitchOption {
    /// Such pods are injected.
    On,
    /// They are left alone.
    Off,
}

/// `--drop-in-compat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum CompatOption {
    /// Admit with a warning.
    Warn,
    /// Refuse.
    Strict,
}

/// `--drop-in-grants`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GrantsOption {
    /// They mean nothing.
    Off,
    /// Paths without a Grant are warned about.
    Warn,
    /// Paths without a Grant refuse the pod.
    Enforce,
}

impl DropInOptions {
    /// The settings, with vault-k8s' own variables out of `environment`; `None` where the dialect is off.
    pub fn settings(&self, environment: &BTreeMap<String, String>) -> Result<Option<DropInSettings>, Vec<Fault>> {
        if self.drop_in == SwitchOption::Off {
            return Ok(None);
        }
        Ok(Some(DropInSettings {
            defaults: Defaults::read(environment, &BTreeMap::new())?,
            compat: match self.drop_in_compat {
                CompatOption::Warn => Compat::Warn,
                CompatOption::Strict => Compat::Strict,
            },
            grants: match self.drop_in_grants {
                GrantsOption::Off => GrantPolicy::Off,
                GrantsOption::Warn => GrantPolicy::Warn,
                GrantsOption::Enforce => GrantPolicy::Enforce,
            },
        }))
    }
}

/// `--server-kind`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum KindOption {
    /// Our broker.
    Broker,
    /// Vault or OpenBao itself.
    Direct,
}

/// `--injection`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum InjectionOption {
    /// Restartable init container.
    Native,
    /// Plain init container and ordinary container.
    Classic,
}

/// `--gate`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum GateOption {
    /// Start hook of the sidecar.
    Hook,
    /// An init container that waits.
    Init,
}

/// `--image-pull-policy`, spelt as in Kubernetes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "PascalCase")]
pub enum PullOption {
    /// Where the node has it not yet.
    IfNotPresent,
    /// At every start.
    Always,
    /// Never.
    Never,
}

impl Options {
    /// The source of Grants.
    pub fn source(&self) -> Source {
        match self.grants.as_str() {
            "kubernetes" => Source::Kubernetes,
            folder => Source::Folder(PathBuf::from(folder)),
        }
    }

    /// The configuration, with the trust bundle's text.
    pub fn config(&self, trust: String) -> Config {
        let (server, sidecar) = (&self.server, &self.sidecar);
        let kind = match server.server_kind {
            KindOption::Broker => ServerKind::Broker,
            KindOption::Direct => ServerKind::Direct,
        };
        let gate = match sidecar.gate {
            GateOption::Hook => Gate::Hook,
            GateOption::Init => Gate::Init,
        };
        let address = server.server_address.clone();
        let installation = Installation {
            server: Server { kind, address, namespace: server.server_namespace.clone(), trust },
            audience: server.audience.clone(),
            gate,
            wait_seconds: sidecar.wait_seconds,
        };
        let mut config = Config::new(installation, sidecar.image.clone());
        config.injection = match sidecar.injection {
            InjectionOption::Native => InjectionMode::Native,
            InjectionOption::Classic => InjectionMode::Classic,
        };
        config.pull_policy = match sidecar.image_pull_policy {
            PullOption::IfNotPresent => PullPolicy::IfNotPresent,
            PullOption::Always => PullPolicy::Always,
            PullOption::Never => PullPolicy::Never,
        };
        config.user = sidecar.sidecar_user.parse().map_or(SidecarUser::Platform, SidecarUser::Fixed);
        config.cpu.request_millis = sidecar.cpu_request_millis;
        config.cpu.limit_millis = sidecar.cpu_limit_millis;
        config
    }
}

fn user_text(text: &str) -> Result<String, String> {
    match text.parse::<u32>() {
        Ok(0) => {
            Err("0 is the superuser, which Pod Security \"restricted\" forbids; use another, or \"platform\""
                .to_owned())
        }
        Ok(_) => Ok(text.to_owned()),
        Err(_) if text == "platform" => Ok(text.to_owned()),
        Err(_) => Err("is neither a user id (1 to 4294967295) nor the word platform".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[&str]) -> Result<Options, clap::Error> {
        let needed = [
            "vouchsafe-webhook",
            "--tls-folder",
            "/tls",
            "--server-address",
            "https://broker:8200",
            "--trust-file",
            "/ca.crt",
            "--image",
            "sidecar@sha256:0",
        ];
        Options::try_parse_from(needed.iter().chain(more))
    }

    #[test]
    fn flags_become_the_configuration() {
        let flags =
            ["--gate", "init", "--sidecar-user", "platform", "--image-pull-policy", "Never", "--injection", "classic"];
        let options = parse(&flags).unwrap();
        let config = options.config("PEM".to_owned());
        assert_eq!(parse(&[]).unwrap().config(String::new()).injection, InjectionMode::Native);
        assert_eq!((config.installation.gate, config.injection), (Gate::Init, InjectionMode::Classic));
        assert_eq!(config.installation.server.trust, "PEM");
        assert_eq!((config.user, config.pull_policy), (SidecarUser::Platform, PullPolicy::Never));
        assert!(matches!(options.source(), Source::Kubernetes));
        let folder = parse(&["--grants", "/grants", "--sidecar-user", "7"]).unwrap();
        assert!(matches!(folder.source(), Source::Folder(path) if path == std::path::Path::new("/grants")));
        assert_eq!(folder.config(String::new()).user, SidecarUser::Fixed(7));
    }

    #[test]
    fn wrong_flags_are_refused_with_what_would_be_right() {
        for (flags, hint) in [
            (["--server-address", "http://broker"], "https://"),
            (["--sidecar-user", "root"], "platform"),
            (["--sidecar-user", "0"], "superuser"),
            (["--wait-seconds", "0"], "1..=600"),
            (["--gate", "probe"], "hook"),
        ] {
            let error = parse(&flags).unwrap_err().to_string();
            assert!(error.contains(hint), "{flags:?}: {error}");
        }
    }

    #[test]
    fn every_flag_has_a_help_text_and_an_environment_variable() {
        use clap::CommandFactory as _;
        for argument in
            Options::command().get_arguments().filter(|one| !matches!(one.get_id().as_str(), "help" | "version"))
        {
            assert!(argument.get_help().is_some_and(|help| help.to_string().len() > 20), "{argument:?}");
            let variable = argument.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            assert!(variable.starts_with("VOUCHSAFE_"), "{argument:?}");
        }
    }
}
