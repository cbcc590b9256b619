//! What can be typed: every verb, flag and its help text.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Secrets from Vault into Kubernetes pods, so that no token is ever committed to git.
#[derive(Debug, Parser)]
#[command(name = "vouchsafe", version, about, long_about = LONG_ABOUT, max_term_width = 110, arg_required_else_help = true)]
pub(crate) struct Arguments {
    /// What to do.
    #[command(subcommand)]
    pub(crate) verb: Verb,
    /// When to use colour.
    #[arg(long, global = true, value_enum, default_value_t = ColorChoice::Auto, value_name = "WHEN")]
    pub(crate) color: ColorChoice,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Run the whole thing on this machine: store, broker, webhook, and pods with their sidecars
    Dev(Dev),
    /// Put a value into Vault, OpenBao or the running `dev`; the value is never an argument
    Put(Put),
    /// Answer an AdmissionReview from standard input, without any server
    Admit(Offline),
    /// Say in words what would be injected into the workloads of a file, from where, and why
    Explain(Explain),
    /// Check Grants and Kubernetes manifests, for CI
    Check(Check),
    /// Point at Grants that work but surprise: shared paths, unused secrets, readable modes
    Lint(Lint),
    /// Compile Grants to Vault policies and roles
    Compile(Compile),
    /// Make the policies and roles of a live Vault or OpenBao those of the Grants
    Apply(Apply),
    /// Ask a cluster whether the installation is well: webhook, certificates, admission, clocks, Vault
    Doctor(Doctor),
    /// Say why a pod does not get its secrets: one cause, one command to run
    Why(Why),
    /// Read and verify the broker's audit log
    Audit(Audit),
    /// Check and render templates offline
    Template(Template),
    /// Ask whether servers of ours are well, over TLS with the given roots (`helm test` does)
    #[command(hide = true)]
    Probe(Probe),
    /// Print a completion script for a shell
    Completions {
        /// Shell to complete for.
        shell: clap_complete::Shell,
    },
    /// Run the webhook (same as vouchsafe-webhook)
    #[command(hide = true)]
    Webhook(vouchsafe_webhook::options::Options),
    /// Run the broker (same as vouchsafe-broker)
    #[command(hide = true)]
    Broker(vouchsafe_broker::config::Config),
    /// Run the controller (same as vouchsafe-controller)
    #[command(hide = true)]
    Controller(vouchsafe_controller::config::Arguments),
    /// Run the sidecar (same as vouchsafe-sidecar)
    #[command(hide = true)]
    Sidecar {
        /// Arguments of vouchsafe-sidecar.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<std::ffi::OsString>,
    },
}

/// Where Grants come from.
#[derive(Debug, Args)]
pub(crate) struct Policies {
    /// Folder with Grants (*.yaml); may be given several times
    #[arg(
        long,
        value_name = "DIR",
        default_value = "policies/platform",
        env = "VOUCHSAFE_POLICIES",
        value_delimiter = ':'
    )]
    pub(crate) policies: Vec<PathBuf>,
}

/// How results are printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    #[default]
    Text,
    /// For machines: one JSON document.
    Json,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorChoice {
    /// On terminals, unless NO_COLOR is set.
    #[default]
    Auto,
    Always,
    Never,
}

#[derive(Debug, Args)]
#[command(after_help = DEV_HELP)]
pub(crate) struct Dev {
    /// Pods to run: a file or folder of manifests; may be given several times [default: the examples that ship with Vouchsafe]
    #[arg(long, value_name = "FILE")]
    pub(crate) pod: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) policies: Policies,
    /// Do one round, print a summary and exit
    #[arg(long)]
    pub(crate) once: bool,
    /// Folder for the store, keys and audit log; survives a restart
    #[arg(long, value_name = "DIR", default_value = crate::dev::DEFAULT_FOLDER)]
    pub(crate) state: PathBuf,
    /// Folder that stands in for the pods' file systems [default: a private folder in memory where there is one]
    #[arg(long, value_name = "DIR")]
    pub(crate) root: Option<PathBuf>,
    /// Address of the broker; port 0 takes any free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    pub(crate) listen: SocketAddr,
    /// Output for people, or one JSON summary at the end of the round
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
#[command(after_help = PUT_HELP)]
pub(crate) struct Put {
    /// Path of the secret with its mount, as in a Grant: secret/argocd/github-oauth
    pub(crate) path: String,
    /// Key to set; other keys of the secret are kept. Without it: every key that a Grant names, or a JSON object
    pub(crate) key: Option<String>,
    #[command(flatten)]
    pub(crate) source: PutSource,
    #[command(flatten)]
    pub(crate) server: Server,
    #[command(flatten)]
    pub(crate) policies: Policies,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Where the value comes from: exactly one, or a hidden prompt.
#[derive(Debug, Args)]
#[group(multiple = false)]
pub(crate) struct PutSource {
    /// Read the value from standard input, byte for byte
    #[arg(long)]
    pub(crate) stdin: bool,
    /// Read the value from a file, byte for byte
    #[arg(long, value_name = "FILE")]
    pub(crate) from_file: Option<PathBuf>,
    /// Read the value from a Kubernetes Secret, with your own kubeconfig
    #[arg(long, value_name = "NAMESPACE/NAME:KEY")]
    pub(crate) from_secret: Option<String>,
    /// Make a random value: 32 characters of letters and digits
    #[arg(long)]
    pub(crate) generate: bool,
}

/// Which server, and how to get in.
#[derive(Debug, Args)]
pub(crate) struct Server {
    /// Address of Vault, OpenBao or the broker [default: the running `dev`]
    #[arg(long, value_name = "URL", env = "VAULT_ADDR")]
    pub(crate) address: Option<String>,
    /// PEM file of the certificate authority to trust
    #[arg(long, value_name = "FILE", env = "VAULT_CACERT")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File that holds the token [default: VAULT_TOKEN, else ~/.vault-token]
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Vault namespace
    #[arg(long, value_name = "NAME", env = "VAULT_NAMESPACE")]
    pub(crate) namespace: Option<String>,
    /// State folder of `dev`, looked at when no address is given
    #[arg(long, value_name = "DIR", default_value = crate::dev::DEFAULT_FOLDER)]
    pub(crate) state: PathBuf,
}

/// What an offline verb needs to know about the installation.
#[derive(Debug, Args)]
pub(crate) struct Offline {
    #[command(flatten)]
    pub(crate) policies: Policies,
    /// Address that sidecars would talk to
    #[arg(long, value_name = "URL", default_value = "https://vouchsafe-broker.vouchsafe.svc:8200")]
    pub(crate) server_address: String,
    /// Audience of the sidecars' tokens
    #[arg(long, value_name = "TEXT", default_value = "vouchsafe")]
    pub(crate) audience: String,
    /// Image of the sidecar
    #[arg(long, value_name = "IMAGE", default_value = "vouchsafe-sidecar:dev")]
    pub(crate) image: String,
}

#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// Manifest with workloads; - for standard input
    pub(crate) file: PathBuf,
    #[command(flatten)]
    pub(crate) offline: Offline,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
#[command(after_help = "Exit codes: 0 nothing to object to, 1 faults found, 65 unreadable input.")]
pub(crate) struct Check {
    /// Grants and Kubernetes manifests, files or folders; - for standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) files: Vec<PathBuf>,
    /// Look at workloads with the annotations of vault-k8s instead, as a move to Vouchsafe would find them; ends with OK,
    /// WARN and REFUSED. AGENT_INJECT_* variables count as they do for vault-k8s
    #[arg(long)]
    pub(crate) drop_in: bool,
    /// With --drop-in: refuse what only deserves a warning
    #[arg(long, requires = "drop_in")]
    pub(crate) strict: bool,
    #[command(flatten)]
    pub(crate) offline: Offline,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Lint {
    #[command(flatten)]
    pub(crate) policies: Policies,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

#[derive(Debug, Args)]
pub(crate) struct Compile {
    #[command(flatten)]
    pub(crate) policies: Policies,
    /// Form of the result
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: CompileFormat,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompileFormat {
    /// Policies as Vault reads them, roles as comments with the write command.
    #[default]
    Hcl,
    /// One JSON document with every policy and role.
    Json,
}

#[derive(Debug, Args)]
#[command(after_help = APPLY_HELP)]
pub(crate) struct Apply {
    #[command(flatten)]
    pub(crate) policies: Policies,
    #[command(flatten)]
    pub(crate) server: Server,
    /// Audience of the sidecars' tokens, unless a Grant says otherwise
    #[arg(long, value_name = "TEXT", default_value = "vouchsafe")]
    pub(crate) audience: String,
    /// Show what would be written, write nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// With --dry-run: exit with 2 when something would be written
    #[arg(long, requires = "dry_run")]
    pub(crate) detailed_exitcode: bool,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Which cluster is asked, with the caller's own rights.
#[derive(Debug, Args)]
pub(crate) struct Cluster {
    /// Context of the kubeconfig [default: its current one]
    #[arg(long, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// Namespace that Vouchsafe is installed in
    #[arg(long, value_name = "NAME", env = "VOUCHSAFE_NAMESPACE", default_value = "vouchsafe")]
    pub(crate) installation: String,
    /// Audience of the sidecars' tokens, unless a Grant says otherwise
    #[arg(long, value_name = "TEXT", default_value = "vouchsafe")]
    pub(crate) audience: String,
    /// How the result is printed
    #[arg(short, long, value_enum, default_value_t)]
    pub(crate) output: Format,
}

/// Vault or OpenBao, where the caller can reach it.
#[derive(Debug, Args)]
#[command(next_help_heading = "Vault or OpenBao, if it is to be asked too")]
pub(crate) struct OptionalServer {
    /// Its address, as reached from here; without it the server is left out
    #[arg(long, value_name = "URL", env = "VAULT_ADDR")]
    pub(crate) address: Option<String>,
    /// PEM file of the certificate authority to trust
    #[arg(long, value_name = "FILE", env = "VAULT_CACERT")]
    pub(crate) ca_file: Option<PathBuf>,
    /// File that holds the token [default: VAULT_TOKEN, else ~/.vault-token]; without one only its health is asked
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<PathBuf>,
    /// Vault namespace
    #[arg(long, value_name = "NAME", env = "VAULT_NAMESPACE")]
    pub(crate) vault_namespace: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = DOCTOR_HELP)]
pub(crate) struct Doctor {
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) server: OptionalServer,
    /// Namespace in which an annotated pod is tried, as a dry run [default: that of the first Grant]
    #[arg(long, value_name = "NAME")]
    pub(crate) probe_namespace: Option<String>,
    /// Service account of Vault or OpenBao whose right to review tokens is looked at
    #[arg(long, value_name = "NAMESPACE/NAME")]
    pub(crate) reviewer: Option<String>,
    /// Name of the webhook configurations: NAME and NAME-warn
    #[arg(long, value_name = "NAME", default_value = "vouchsafe")]
    pub(crate) release: String,
}

#[derive(Debug, Args)]
#[command(after_help = WHY_HELP)]
pub(crate) struct Why {
    /// The pod, or the Deployment, StatefulSet, Job or ReplicaSet that should have made it
    pub(crate) pod: String,
    /// Its namespace [default: that of the kubeconfig's context]
    #[arg(short, long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    #[command(flatten)]
    pub(crate) cluster: Cluster,
    #[command(flatten)]
    pub(crate) server: OptionalServer,
}

#[derive(Debug, Args)]
pub(crate) struct Audit {
    #[command(subcommand)]
    pub(crate) verb: AuditVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Prove that no record was edited, removed, reordered or inserted
    #[command(after_help = "Exit codes: 0 the chain is whole, 1 tampering or damage found, 66 no such log.")]
    Verify {
        /// Folder of the audit log
        #[arg(value_name = "DIR", default_value = ".vouchsafe/audit")]
        folder: PathBuf,
        /// How the result is printed
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
    /// Who read what
    Query {
        /// Folder of the audit log
        #[arg(value_name = "DIR", default_value = ".vouchsafe/audit")]
        folder: PathBuf,
        /// Only records of this Vault path and what lies below it, as in a Grant: secret/argocd
        #[arg(long)]
        path: Option<String>,
        /// Only records from this time on, as in 2026-08-01T10:00:00Z
        #[arg(long, value_name = "TIME")]
        since: Option<String>,
        /// Only records before this time
        #[arg(long, value_name = "TIME")]
        until: Option<String>,
        /// Only records of this Kubernetes namespace
        #[arg(long)]
        namespace: Option<String>,
        /// Only records of this pod
        #[arg(long)]
        pod: Option<String>,
        /// Only the newest records
        #[arg(long, default_value_t = 100)]
        last: usize,
        /// How the result is printed
        #[arg(short, long, value_enum, default_value_t)]
        output: Format,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Probe {
    /// What to ask: https://HOST:PORT/PATH
    #[arg(required = true, value_name = "URL")]
    pub(crate) urls: Vec<String>,
    /// PEM file with roots that vouch for them; may be given several times
    #[arg(long, value_name = "FILE", required = true)]
    pub(crate) ca_file: Vec<PathBuf>,
    /// How long to try until one answers 200
    #[arg(long, value_name = "SECONDS", default_value_t = 30)]
    pub(crate) seconds: u64,
}

#[derive(Debug, Args)]
pub(crate) struct Template {
    #[command(subcommand)]
    pub(crate) verb: TemplateVerb,
}

#[derive(Debug, Subcommand)]
pub(crate) enum TemplateVerb {
    /// Compile a template; says line and column of what is wrong
    Check {
        /// Template; - for standard input
        file: PathBuf,
        #[command(flatten)]
        delimiters: Delimiters,
    },
    /// Render a template with data from a JSON file
    #[command(after_help = RENDER_HELP)]
    Render {
        /// Template file; - for standard input
        #[arg(long, value_name = "FILE")]
        template: PathBuf,
        /// JSON file: a map of paths to what a read gives as .Data, or of secret names to their keys
        #[arg(long, value_name = "FILE")]
        data: PathBuf,
        #[command(flatten)]
        delimiters: Delimiters,
        /// Fail on a missing key instead of printing `<no value>`; a Grant's template always does
        #[arg(long)]
        strict: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Delimiters {
    /// Left delimiter
    #[arg(long, default_value = "{{")]
    pub(crate) left: String,
    /// Right delimiter
    #[arg(long, default_value = "}}")]
    pub(crate) right: String,
}

const LONG_ABOUT: &str = "\
Secrets from Vault into Kubernetes pods, so that no token is ever committed to git.

A Grant in git says which service account may read which paths and how they are delivered. An annotated pod gets a \
sidecar that logs in with its own ServiceAccount token, writes the files before the app starts, and replaces them when \
they change. Every read is in an audit log that can be verified.

Start with:  vouchsafe dev";

const RENDER_HELP: &str = "\
Data of an annotation's template (the keys hold a slash or one of the prefixes):
  {\"secret/data/app\": {\"data\": {\"user\": \"app\"}}}        secret \"secret/data/app\"
  {\"database/creds/x|ttl=1h\": {\"password\": \"p\"}}         secret \"database/creds/x\" \"ttl=1h\"
  {\"list:secret/metadata/\": [\"a\", \"b\"]}                  secrets \"secret/metadata/\"
  {\"pki:pki/issue/web|ttl=1h\": {\"Cert\": \"…\", \"Key\": \"…\"}}  pkiCert \"pki/issue/web\" \"ttl=1h\"
Lease fields stand in \"_secret\" inside of a value. `env` sees this program's environment.
Data of a Grant's template: {\"github\": {\"client_secret\": \"example\"}} for {{ .github.client_secret }}.
What writeToFile would write is named on standard error.";

const DEV_HELP: &str = "\
Examples:
  vouchsafe dev                          run the examples, then stay up for `put` and other Vault clients
  vouchsafe dev --once                   one round, then exit 0 with a summary
  vouchsafe dev --pod my.yaml --policies my-grants/

A pod that asks for nothing is not passed over: `dev` says which annotation to add.
Exit codes: 0 every pod got its secrets, 1 some did not, 75 the state folder is in use.";

const DOCTOR_HELP: &str = "\
Only reads, and tries one pod as a server-side dry run: nothing is created. Uses your own rights; what they do not cover is
said, not guessed.
Exit codes: 0 everything is well, 1 something failed, 2 nothing failed but there are warnings, 69 no answer from the cluster.";

const WHY_HELP: &str = "\
Examples:
  vouchsafe why argocd-dex-server-5d4f -n argocd
  vouchsafe why my-deployment -n ci                 a workload whose pods were refused
Exit codes: 0 the pod has its secrets, 1 it has not and the cause is said, 66 there is no such pod or workload, 69 no answer
from the cluster.";

const APPLY_HELP: &str = "\
Creates and updates what is named vouchsafe.*, touches nothing else and deletes nothing.
+ is created, ~ is updated (what differs stands below), = is as it should be, ! is a role that a Grant names itself.

Examples:
  vouchsafe apply --policies grants/ --dry-run
  vouchsafe apply --policies grants/ --dry-run --detailed-exitcode      exit 2 when something would be written
Exit codes: 0 done, 65 faults in the Grants, 69 the server is sealed or away, 77 the token may not.";

const PUT_HELP: &str = "\
Examples:
  vouchsafe put secret/argocd/github-oauth client_secret        asks with a hidden prompt
  vouchsafe put secret/grafana/smtp password --generate
  vouchsafe put secret/dns/cloudflare api_token --from-file token.txt
  vouchsafe put secret/smtp password --from-secret monitoring/grafana:smtp-password
  pass show smtp | vouchsafe put secret/grafana/smtp password --stdin";
