//! The table: every annotation of Bank-Vaults' webhooks, what it holds, what it means and how it differs here.
//!
//! One declaration drives the parser (`read`), `docs/bank-vaults.md` (`document`) and the tests. Old names
//! carry [`OLD_PREFIX`], new ones [`NEW_PREFIX`]; the renamed product takes both.

use self::Kind::{Bool, Text};
use self::Verdict::{Inert, Refused, Works};

/// One annotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Name under the old prefix; empty for none.
    pub old: &'static str,
    /// Name under the new prefix; empty for none.
    pub new: &'static str,
    /// What a value must be.
    pub kind: Kind,
    /// Value where it is absent, in words; empty for none.
    pub default: &'static str,
    /// Whether it does what its author expects.
    pub verdict: Verdict,
    /// The wrapper's setting that it sets; empty for none.
    pub setting: &'static str,
    /// What it does.
    pub meaning: &'static str,
    /// What differs and why; empty for nothing.
    pub difference: &'static str,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what its author expects.
    Works,
    /// It is accepted and has no effect, or none is needed.
    Inert,
    /// The pod is refused where it asks for something, since that would silently not happen or would harm.
    Refused,
}

/// What a value must be; an empty one is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Go's truth values.
    Bool,
    /// A user or group id.
    Id,
    /// What a wrapper's setting takes.
    Setting,
    /// A role of Vault.
    Role,
    /// Mount of a login method, with or without `auth/`.
    Mount,
    /// `https://HOST[:PORT]`.
    Address,
    /// A Vault namespace.
    Namespace,
    /// `jwt` or `kubernetes`; others are refused.
    Method,
    /// `vault` or `bao`; `aws` is refused.
    Provider,
    /// Any text.
    Text,
}

impl Kind {
    /// For the document.
    pub fn words(self) -> &'static str {
        match self {
            Self::Bool => "bool",
            Self::Id => "number",
            Self::Setting | Self::Text => "text",
            Self::Role => "role",
            Self::Mount => "mount",
            Self::Address => "https address",
            Self::Namespace => "Vault namespace",
            Self::Method => "jwt, kubernetes",
            Self::Provider => "vault, bao",
        }
    }
}

impl Annotation {
    const fn default(mut self, text: &'static str) -> Self {
        self.default = text;
        self
    }

    const fn sets(mut self, variable: &'static str) -> Self {
        self.setting = variable;
        self
    }

    const fn but(mut self, difference: &'static str) -> Self {
        self.difference = difference;
        self
    }

    /// Whether the renamed product spells it otherwise.
    pub fn is_renamed(&self) -> bool {
        self.old != self.new
    }
}

const fn entry(
    old: &'static str,
    new: &'static str,
    kind: Kind,
    verdict: Verdict,
    meaning: &'static str,
) -> Annotation {
    Annotation { old, new, kind, default: "", verdict, setting: "", meaning, difference: "" }
}

const fn same(name: &'static str, kind: Kind, verdict: Verdict, meaning: &'static str) -> Annotation {
    entry(name, name, kind, verdict, meaning)
}

/// Prefix of the product that injects vault-env.
pub const OLD_PREFIX: &str = "vault.security.banzaicloud.io/";
/// Prefix of the product that injects secret-init.
pub const NEW_PREFIX: &str = "secrets-webhook.security.bank-vaults.io/";

/// Every annotation. A name that starts with `vault-` may start with `bao-` under the new prefix.
#[rustfmt::skip]
pub const ANNOTATIONS: &[Annotation] = &[
    same("mutate", Text, Works, "`skip` leaves the pod alone").default("on")
        .but("any other value is warned about, since it changes nothing"),
    entry("", "provider", Kind::Provider, Works, "whose references these are").default("vault")
        .but("`aws` is refused: its secrets are not read here. Without it the pod is read all the same"),
    same("mutate-probes", Bool, Works, "exec probes run through the wrapper and see the resolved variables").default("false")
        .but("the values come from the sidecar's memory, without a login for each probe"),
    same("vault-addr", Kind::Address, Works, "address of the store").default("the installation's")
        .but("only addresses that the installation lists; plain HTTP is refused"),
    same("vault-role", Kind::Role, Works, "role to log in with").default("the pod's service account")
        .but("a template as role is refused"),
    same("vault-path", Kind::Mount, Works, "mount of the login method").default("kubernetes"),
    same("vault-auth-method", Kind::Method, Works, "login method").default("jwt")
        .but("aws, gcp, azure and namespaced are refused: a Kubernetes token proves the same without cloud credentials"),
    same("vault-namespace", Kind::Namespace, Works, "Vault namespace"),
    same("vault-tls-secret", Text, Works, "a Secret whose `ca.crt` the server's chain must end in; our container alone mounts it")
        .default("the installation's trust bundle"),
    same("vault-serviceaccount", Text, Inert, "identity for objects that are not pods")
        .but("only pods are changed here, and a pod acts as itself"),
    same("vault-skip-verify", Bool, Refused, "asks not to check the server's certificate").default("false")
        .but("it is always checked"),
    same("vault-client-timeout", Text, Inert, "time to wait for a token").default("10s")
        .but("the start waits as long as the installation says and then ends with the reason"),
    same("vault-ignore-missing-secrets", Bool, Works, "a reference to a secret that does not exist removes its variable").default("false")
        .sets("VAULT_IGNORE_MISSING_SECRETS")
        .but("inline references too: an unresolved reference never reaches an app. A missing key of an existing secret stays an error"),
    entry("vault-env-passthrough", "vault-passthrough", Kind::Setting, Works, "comma list of settings that the app keeps")
        .sets("VAULT_ENV_PASSTHROUGH"),
    entry("vault-env-from-path", "vault-from-path", Kind::Setting, Works, "comma list of `path[#version]`, whose keys all become variables")
        .sets("VAULT_ENV_FROM_PATH")
        .but("the container's own variables count before them, and later paths before earlier ones; there both were passed"),
    entry("vault-env-daemon", "secret-init-daemon", Bool, Works, "the wrapper stays as parent").default("false")
        .sets("VAULT_ENV_DAEMON")
        .but("the settings are taken away from the app in this mode too; leases are renewed by the sidecar in either mode"),
    entry("vault-env-delay", "secret-init-delay", Kind::Setting, Works, "wait before the app starts").default("0")
        .sets("VAULT_ENV_DELAY").but("at most 10 minutes"),
    entry("transit-key-id", "vault-transit-key-id", Kind::Setting, Works, "key that decrypts `vault:v1:…` values").sets("VAULT_TRANSIT_KEY_ID"),
    entry("transit-path", "vault-transit-path", Kind::Setting, Works, "mount of the transit engine").default("transit").sets("VAULT_TRANSIT_PATH"),
    entry("transit-batch-size", "vault-transit-batch-size", Kind::Setting, Works, "values of one request").default("25").sets("VAULT_TRANSIT_BATCH_SIZE"),
    entry("token-auth-mount", "vault-token-auth-mount", Text, Refused, "`volume:file` with a token that somebody else got")
        .but("the pod logs in as itself; a token that lies around belongs to nobody"),
    entry("service-account-token-volume-name", "vault-service-account-token-volume-name", Text, Inert, "mount path of the token that logs in")
        .but("our container has a projected token of its own, which the app cannot see"),
    same("run-as-non-root", Bool, Works, "security context of our container").default("what the pod says"),
    same("run-as-user", Kind::Id, Works, "user of our container").default("what the pod says").but("0 is refused"),
    same("run-as-group", Kind::Id, Works, "group of our container").default("what the pod says").but("0 is refused"),
    same("readonly-root-fs", Bool, Inert, "read-only root of our container").default("false").but("it always is"),
    same("psp-allow-privilege-escalation", Bool, Inert, "privilege escalation of our container").default("false").but("never needed, never allowed"),
    same("registry-skip-verify", Bool, Inert, "no certificate check while the image is looked up").default("false")
        .but("no registry is asked: a container without command needs one, in the pod or as `vouchsafe.dev/command`"),
    entry("enable-json-log", "secret-init-json-log", Bool, Inert, "log format of the wrapper").default("false").but("one line of text per event"),
    entry("log-level", "vault-log-level", Text, Inert, "log level of the wrapper").default("info").but("the wrapper writes errors only"),
    entry("vault-env-image", "secret-init-image", Text, Inert, "image of the wrapper")
        .but("the image is the installation's, by digest: a pod's author does not choose what handles its secrets"),
    entry("vault-env-image-pull-policy", "secret-init-image-pull-policy", Text, Inert, "its pull policy").but("the installation's"),
    same("vault-agent", Bool, Inert, "an agent logs in before the wrapper").default("false").but("the sidecar logs in, once"),
    same("vault-image", Text, Inert, "image of that agent").but("there is none"),
    same("vault-image-pull-policy", Text, Inert, "its pull policy").but("there is none"),
    same("vault-agent-configmap", Text, Refused, "an agent as sidecar with a configuration of one's own")
        .but("admission cannot read the ConfigMap, so it is not known what would be read; write its templates as files of a Grant"),
    same("vault-agent-once", Bool, Inert, "that agent ends after the login").default("false").but("there is none"),
    same("vault-agent-share-process-namespace", Bool, Inert, "shared process namespace for it").but("it would show memory to the app; signals go through the wrapper"),
    same("vault-agent-cpu", Text, Inert, "its CPU").but("the sidecar's resources are the installation's"),
    same("vault-agent-cpu-limit", Text, Inert, "its CPU limit").but("as above"),
    same("vault-agent-cpu-request", Text, Inert, "its CPU request").but("as above"),
    same("vault-agent-memory", Text, Inert, "its memory").but("as above"),
    same("vault-agent-memory-limit", Text, Inert, "its memory limit").but("as above"),
    same("vault-agent-memory-request", Text, Inert, "its memory request").but("as above"),
    same("vault-agent-env-variables", Text, Inert, "its environment").but("there is none"),
    same("vault-configfile-path", Text, Inert, "folder of its files").but("files come from a Grant, with `mountPath`"),
    same("vault-ct-configmap", Text, Refused, "consul-template with a configuration of one's own")
        .but("admission cannot read the ConfigMap; write its templates as files of a Grant"),
    same("vault-ct-image", Text, Inert, "its image").but("there is none"),
    same("vault-ct-pull-policy", Text, Inert, "its pull policy").but("there is none"),
    same("vault-ct-once", Bool, Inert, "run once").default("false").but("there is none"),
    same("vault-ct-share-process-namespace", Bool, Inert, "shared process namespace for it").but("see above"),
    same("vault-ct-cpu", Text, Inert, "its CPU limit").but("there is none"),
    same("vault-ct-memory", Text, Inert, "its memory limit").but("there is none"),
    same("vault-ct-secrets-mount-path", Text, Inert, "folder of its files").but("files come from a Grant, with `mountPath`"),
    same("vault-ct-inject-in-initcontainers", Bool, Inert, "its files for init containers").default("false").but("files come from a Grant"),
    entry("", "aws-region", Text, Refused, "provider AWS").but("its secrets are not read here"),
    entry("", "aws-load-from-secret", Text, Refused, "provider AWS").but("its secrets are not read here"),
    entry("", "credentials-namespace", Text, Refused, "provider AWS").but("its secrets are not read here"),
    entry("", "credentials-secret-name", Text, Refused, "provider AWS").but("its secrets are not read here"),
    entry("", "aws-tls-secret-arn", Text, Refused, "provider AWS").but("its secrets are not read here"),
];

/// Names that stand in old manifests and that Bank-Vaults itself reads no more.
pub const FORGOTTEN: &[&str] = &["inline-mutation", "vault-env-daemon-exit-when-expired", "ttl-terminate"];
