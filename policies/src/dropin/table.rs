//! The table: every annotation of vault-k8s, what it holds, what it means and how it differs here.
//!
//! One declaration drives the parser (`read`), `docs/vault-k8s.md` (`document`), `explain` and the tests.
//! A name that does not stand here does not exist. Names are without their prefix; a family's name ends with `-` and takes a
//! suffix. Out of scope: the injector's settings (`settings`).

use self::Form::{Family, Single};
use self::Verdict::{Inert, Refused, Works};

/// One annotation, or one family of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Annotation {
    /// Name without prefix; a family's ends with `-`.
    pub name: &'static str,
    /// Chapter of the document.
    pub group: Group,
    /// Alone or with a suffix.
    pub form: Form,
    /// What a value must be.
    pub kind: Kind,
    /// Value where it is absent, in words; empty for none.
    pub default: &'static str,
    /// The injector's setting behind the default, without its prefix; empty for none.
    pub setting: &'static str,
    /// Whether it does what its author expects.
    pub verdict: Verdict,
    /// What it does here.
    pub meaning: &'static str,
    /// What differs from vault-k8s and why; empty for nothing.
    pub difference: &'static str,
}

/// Chapters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    /// Switches of the injector.
    Switches,
    /// Secrets and their files.
    Secrets,
    /// Login and connection.
    Connection,
    /// The container.
    Container,
    /// Tuning of the agent.
    Tuning,
}

/// Alone or with a suffix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// The whole name.
    Single,
    /// `NAME-SUFFIX`.
    Family,
}

/// What becomes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does what its author expects.
    Works,
    /// It is accepted and has no effect, or none is needed.
    Inert,
    /// The pod is refused, since what it asks for would silently not happen.
    Refused,
}

/// What a value must be. A value that is none refuses the pod where vault-k8s does, too; `Lenient` kinds are passed on there
/// unchecked, so that here `compat` decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Go's truth values; empty is false.
    Bool,
    /// The same, but a wrong one is false.
    LenientBool,
    /// Any text.
    Text,
    /// Text that may not be empty.
    Present,
    /// Whole number; empty is 0.
    Integer,
    /// Whole number from 0; not empty.
    Unsigned,
    /// Finite number; not empty.
    Float,
    /// Go's duration; empty is unset.
    Duration,
    /// Vault's duration, unchecked by vault-k8s.
    LenientDuration,
    /// Kubernetes quantity; empty leaves it out.
    Quantity,
    /// `map` or `json` in any case.
    DefaultTemplate,
    /// RFC 6902 operations; empty, `null` and `[]` are none.
    JsonPatch,
}

impl Kind {
    /// How the document names it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Bool | Self::LenientBool => "bool",
            Self::Text => "text",
            Self::Present => "text, not empty",
            Self::Integer => "whole number",
            Self::Unsigned => "whole number, not empty",
            Self::Float => "number",
            Self::Duration => "Go duration",
            Self::LenientDuration => "duration",
            Self::Quantity => "quantity",
            Self::DefaultTemplate => "`map` or `json`",
            Self::JsonPatch => "JSON Patch",
        }
    }
}

impl Verdict {
    /// How the document names it.
    pub fn words(self) -> &'static str {
        match self {
            Self::Works => "works",
            Self::Inert => "accepted, no effect",
            Self::Refused => "refused",
        }
    }
}

impl Group {
    /// All chapters in order.
    pub const ALL: [Self; 5] = [Self::Switches, Self::Secrets, Self::Connection, Self::Container, Self::Tuning];

    /// Title of the chapter.
    pub fn title(self) -> &'static str {
        match self {
            Self::Switches => "Switches",
            Self::Secrets => "Secrets and files",
            Self::Connection => "Login and connection",
            Self::Container => "The container",
            Self::Tuning => "Tuning",
        }
    }
}

/// Finds the entry of a name without prefix, and the suffix where it is a family's.
///
/// Whole names come first, then the longest family: `agent-inject-template-file-x` is a file of `x`, and
/// `agent-inject-template-file-` with nothing behind it is a template of `file-`, as in vault-k8s.
pub fn find(name: &str) -> Option<(&'static Annotation, &str)> {
    if let Some(entry) = ANNOTATIONS.iter().find(|entry| entry.form == Single && entry.name == name) {
        return Some((entry, ""));
    }
    ANNOTATIONS
        .iter()
        .filter(|entry| entry.form == Family)
        .filter_map(|entry| {
            name.strip_prefix(entry.name).filter(|suffix| !suffix.is_empty()).map(|suffix| (entry, suffix))
        })
        .max_by_key(|(entry, _)| entry.name.len())
}

/// Prefixes that are read alike.
pub const PREFIXES: [&str; 2] = ["vault.hashicorp.com/", "openbao.org/"];

/// An entry without default, setting and difference.
const fn entry(
    group: Group,
    form: Form,
    name: &'static str,
    kind: Kind,
    verdict: Verdict,
    meaning: &'static str,
) -> Annotation {
    Annotation { name, group, form, kind, default: "", setting: "", verdict, meaning, difference: "" }
}

impl Annotation {
    const fn default(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    const fn set_by(mut self, setting: &'static str) -> Self {
        self.setting = setting;
        self
    }

    const fn but(mut self, difference: &'static str) -> Self {
        self.difference = difference;
        self
    }
}

use self::Group::{Connection, Container, Secrets, Switches, Tuning};

/// Every annotation.
pub const ANNOTATIONS: &[Annotation] = &[
    // Switches
    entry(Switches, Single, "agent-inject", Kind::Bool, Works, "asks for injection; it counts on the pod, not on its Deployment")
        .default("false"),
    entry(Switches, Single, "agent-inject-status", Kind::Text, Works, "exactly `injected` means that another injector was here: the pod is left alone")
        .but("we never write it; our own mark is `vouchsafe.dev/status`, so both injectors can run side by side while namespaces move over"),
    entry(Switches, Single, "agent-request-namespace", Kind::Present, Inert, "may stand there; the request says which namespace the pod is made in"),
    entry(Switches, Single, "agent-configmap", Kind::Text, Refused, "names a ConfigMap with an agent configuration of one's own")
        .but("admission cannot read the ConfigMap, so neither volumes nor files are known: refused by strict, else the pod waits with that message. Write its templates as `agent-inject-template-NAME` and its `auto_auth` as `auth-*` annotations. Empty means none"),
    entry(Switches, Single, "agent-image", Kind::Present, Inert, "may stand there")
        .default("the installation's sidecar").set_by("VAULT_IMAGE")
        .but("the image is the installation's, by digest: a pod's author does not choose what handles its secrets"),
    entry(Switches, Single, "agent-init-first", Kind::Bool, Works, "our container stands before the pod's own init containers")
        .default("false").but("behind a mesh's native sidecar where there is one, since nothing has network before it"),
    entry(Switches, Single, "agent-pre-populate", Kind::Bool, Works, "the app waits until its files are there")
        .default("true").but("`false` starts the app at once and the files follow, as there; the pod's init containers get the files in either case"),
    entry(Switches, Single, "agent-pre-populate-only", Kind::Bool, Works, "files are written once before the app starts, and nothing keeps running")
        .default("false").but("a native sidecar ends with the pod's apps, so a Job does not need it. With `agent-pre-populate: \"false\"` nothing would be delivered at all: refused by strict, else files are written once"),
    entry(Switches, Single, "agent-inject-containers", Kind::Text, Works, "comma list of the app containers that get the files; all init containers always do")
        .default("all app containers").but("names are trimmed (`a, b` used to lose b); a name that the pod does not have is warned about"),
    entry(Switches, Single, "agent-copy-volume-mounts", Kind::Text, Works, "our container gets the mounts of that container, but those of a service account")
        .but("a name that the pod does not have is warned about"),
    entry(Switches, Single, "agent-json-patch", Kind::JsonPatch, Works, "is applied to our container")
        .but("operations on name, image, command, args, restart policy, start hook, the Plan and our own mounts are left out with a warning: they would break what the pod asks for"),
    entry(Switches, Single, "agent-init-json-patch", Kind::JsonPatch, Works, "is applied to our container, before `agent-json-patch`")
        .but("one native sidecar is both init container and sidecar, so both patches meet there"),
    // Secrets
    entry(Secrets, Family, "agent-inject-secret-", Kind::Text, Works, "a file with that secret: a path as an agent's template reads it, with `data/` on KV v2 or without")
        .but("the default template is made of data, not of pasted text: a quote in a path starts no template code. An empty value is passed over"),
    entry(Secrets, Family, "agent-inject-template-", Kind::Text, Works, "the template of that file; enough on its own. Empty means none")
        .default("the default template").but("compiled at admission: a fault has line and column. With `compat: warn` a faulty template still admits the pod, which then waits with that fault as its message"),
    entry(Secrets, Family, "agent-inject-template-file-", Kind::Text, Works, "the template is read from that path in our container; mount it with `agent-extra-secret` or `agent-copy-volume-mounts`"),
    entry(Secrets, Single, "agent-inject-default-template", Kind::DefaultTemplate, Works, "form of files without template: a line `key: value` per field, or JSON; on KV v2 both show the data and metadata wrapper")
        .default("map").set_by("DEFAULT_TEMPLATE"),
    entry(Secrets, Family, "agent-template-left-delim-", Kind::Text, Works, "left delimiter of that template").default("`{{`")
        .but("a default template is rendered whatever the delimiters are"),
    entry(Secrets, Family, "agent-template-right-delim-", Kind::Text, Works, "right delimiter of that template").default("`}}`"),
    entry(Secrets, Family, "agent-inject-file-", Kind::Text, Works, "name or sub-path of the file below its volume path").default("NAME in lower case")
        .but("a name that leaves the volume path is refused always"),
    entry(Secrets, Family, "agent-inject-perms-", Kind::Text, Works, "octal mode of the file").default("0644")
        .but("setuid, setgid and sticky bits are refused always. Readers are not the owner of the file: a mode that lets only the owner in needs `agent-run-as-same-user`"),
    entry(Secrets, Family, "agent-inject-command-", Kind::Text, Works, "after a change of the file: `kill -HUP $(pidof app)`, `pkill -HUP app` and the like send the app that signal")
        .but("the sidecar has no shell and runs nothing; other text is warned about with what does the same. The signal is sent inside of the app's container, so no shared process namespace is needed, but the pod must name the container's `command`"),
    entry(Secrets, Family, "error-on-missing-key-", Kind::Bool, Works, "an absent key is an error instead of `<no value>`").default("false"),
    entry(Secrets, Single, "secret-volume-path", Kind::Text, Works, "folder of all files").default("/vault/secrets")
        .but("relative or empty ones cannot be mounted: refused by strict, else the pod waits with that message"),
    entry(Secrets, Family, "secret-volume-path-", Kind::Text, Works, "folder of that file").default("`secret-volume-path`")
        .but("volumes are numbered in the order of their paths, alike on every pod"),
    entry(Secrets, Single, "preserve-secret-case", Kind::LenientBool, Works, "file names keep the case of NAME").default("false"),
    entry(Secrets, Family, "preserve-secret-case-", Kind::LenientBool, Works, "that file's name keeps the case of NAME").default("`preserve-secret-case`"),
    entry(Secrets, Single, "agent-inject-token", Kind::Bool, Works, "the token itself as file `token`, mode 0640").default("false")
        .but("with `agent-run-as-same-user` the app can read it"),
    // Connection
    entry(Connection, Single, "role", Kind::Text, Works, "role to log in with; compulsory for kubernetes unless `auth-config-role` stands there")
        .but("empty is refused for kubernetes only"),
    entry(Connection, Single, "auth-type", Kind::Present, Works, "login method: kubernetes, jwt, approle, cert or token_file").default("kubernetes").set_by("VAULT_AUTH_TYPE")
        .but("aws, azure, gcp, alicloud, cf, kerberos, ldap and oci are refused with a way out: a Kubernetes token proves the same without cloud credentials"),
    entry(Connection, Single, "auth-path", Kind::Present, Works, "mount of the login method").default("auth/kubernetes").set_by("VAULT_AUTH_PATH"),
    entry(Connection, Family, "auth-config-", Kind::Text, Works, "options of the method, with dashes or underscores: role, token_path; jwt: path; approle: role_id_file_path, secret_id_file_path; cert: name, client_cert, client_key; token_file: token_file_path")
        .but("options that remove or unwrap files are refused: nothing of the pod's is deleted. Unknown ones are warned about"),
    entry(Connection, Single, "namespace", Kind::Text, Works, "Vault namespace of the login").set_by("VAULT_NAMESPACE"),
    entry(Connection, Single, "service", Kind::Present, Works, "address of Vault: `https://HOST:PORT`").set_by("VAULT_ADDR")
        .but("plain HTTP is refused: secrets would travel in the clear. Text that is no address is refused by strict, else the pod waits with that message"),
    entry(Connection, Single, "proxy-address", Kind::Text, Inert, "an HTTP proxy").set_by("PROXY_ADDR")
        .but("not supported: the sidecar talks to its server directly. A value is warned about"),
    entry(Connection, Single, "tls-skip-verify", Kind::Bool, Inert, "asks not to check the server's certificate").default("false")
        .but("it is always checked, against `ca-cert`, the setting VAULT_CACERT_BYTES or the installation's trust bundle. `true` is warned about"),
    entry(Connection, Single, "tls-secret", Kind::Text, Works, "a Secret that our container alone mounts at /vault/tls"),
    entry(Connection, Single, "tls-server-name", Kind::Text, Works, "name in the server's certificate, if it is not the address's host"),
    entry(Connection, Single, "ca-cert", Kind::Text, Works, "file in our container with the certificates that the server's chain must end in")
        .default("the trust bundle").set_by("VAULT_CACERT_BYTES"),
    entry(Connection, Single, "ca-key", Kind::Text, Works, "folder in our container with such files, whatever its name says"),
    entry(Connection, Single, "client-cert", Kind::Text, Works, "file with our client certificate"),
    entry(Connection, Single, "client-key", Kind::Text, Works, "file with its key"),
    entry(Connection, Single, "client-max-retries", Kind::Text, Inert, "retries of one request")
        .but("every request is retried with back-off and jitter for as long as it makes sense; the app's files stay meanwhile"),
    entry(Connection, Single, "client-timeout", Kind::Text, Inert, "time for one request").but("a request has 30 s; a slow one is tried again"),
    entry(Connection, Single, "auth-min-backoff", Kind::Duration, Inert, "shortest wait between two tries to log in").set_by("AUTH_MIN_BACKOFF")
        .but("checked as there; the sidecar's own back-off has full jitter, begins at 0.1 s and ends at 30 s, so that it is there soon after a recovery"),
    entry(Connection, Single, "auth-max-backoff", Kind::Duration, Inert, "longest wait between two tries to log in").set_by("AUTH_MAX_BACKOFF"),
    entry(Connection, Single, "agent-auto-auth-exit-on-err", Kind::Bool, Inert, "end at a failed login").default("false")
        .but("a start that cannot log in ends after its waiting time with the reason as its message, and the kubelet tries again; a running pod keeps its files and the sidecar keeps trying"),
    entry(Connection, Single, "agent-service-account-token-volume-name", Kind::Text, Works, "projected volume of the pod whose token is used")
        .default("a token of our own").but("without it our container gets a token of its own, without audience as there, which the app cannot see; pods with `automountServiceAccountToken: false` therefore work"),
    // Container
    entry(Container, Single, "agent-limits-cpu", Kind::Quantity, Works, "limit of our container; empty leaves it out").default("500m").set_by("CPU_LIMIT"),
    entry(Container, Single, "agent-limits-mem", Kind::Quantity, Works, "limit of our container; empty leaves it out").default("128Mi").set_by("MEM_LIMIT")
        .but("never less than what the files of this pod can need, since memory volumes count against it"),
    entry(Container, Single, "agent-requests-cpu", Kind::Quantity, Works, "request of our container; empty leaves it out").default("250m").set_by("CPU_REQUEST")
        .but("the same default, so that nothing changes on the day of the cutover; 10m is plenty"),
    entry(Container, Single, "agent-requests-mem", Kind::Quantity, Works, "request of our container; empty leaves it out").default("64Mi").set_by("MEM_REQUEST")
        .but("the same default; 16Mi is plenty"),
    entry(Container, Single, "agent-limits-ephemeral", Kind::Quantity, Works, "limit of ephemeral storage").set_by("EPHEMERAL_LIMIT"),
    entry(Container, Single, "agent-requests-ephemeral", Kind::Quantity, Works, "request of ephemeral storage").set_by("EPHEMERAL_REQUEST"),
    entry(Container, Single, "agent-run-as-user", Kind::Integer, Works, "uid of our container").default("100").set_by("RUN_AS_USER")
        .but("empty would mean 0, the superuser: refused always. `\"0\"` written out works and is warned about"),
    entry(Container, Single, "agent-run-as-group", Kind::Integer, Works, "gid of our container").default("1000").set_by("RUN_AS_GROUP")
        .but("empty would mean 0: refused always"),
    entry(Container, Single, "agent-run-as-same-user", Kind::Bool, Works, "uid of the first app container; refused if that is not known or 0").default("false").set_by("RUN_AS_SAME_USER")
        .but("a uid of the pod's security context counts too"),
    entry(Container, Single, "agent-set-security-context", Kind::Bool, Works, "whether our container gets a security context").default("true").set_by("SET_SECURITY_CONTEXT")
        .but("it also has seccompProfile RuntimeDefault, so that Pod Security restricted accepts the pod. `false` leaves the whole context out, as there"),
    entry(Container, Single, "agent-share-process-namespace", Kind::Bool, Works, "sets the pod's shareProcessNamespace; refused if the pod says false and this true")
        .default("untouched").but("in every mode; not needed for signals here"),
    entry(Container, Single, "go-max-procs", Kind::Text, Inert, "threads of a Go program").but("the sidecar is none and has one thread"),
    entry(Container, Single, "log-level", Kind::Text, Works, "trace, debug, info, warn or error").default("info"),
    entry(Container, Single, "log-format", Kind::Text, Inert, "form of the log").but("always one line of text per event"),
    entry(Container, Single, "agent-extra-secret", Kind::Text, Works, "a Secret that our container alone mounts at /vault/custom"),
    // Tuning
    entry(Tuning, Single, "agent-revoke-on-shutdown", Kind::Bool, Works, "the token is revoked when the pod ends").default("false").set_by("REVOKE_ON_SHUTDOWN")
        .but("done by the process itself, without shell. Without it the token is given up as well, but only where no lease hangs on it: an app may still be running"),
    entry(Tuning, Single, "agent-revoke-grace", Kind::Unsigned, Inert, "seconds between the end of the app and the revocation").default("5")
        .but("a native sidecar ends after the app, so there is nothing to wait for"),
    entry(Tuning, Single, "agent-cache-enable", Kind::Bool, Inert, "a cache that init container and sidecar share").default("false")
        .but("one process is both, so there is one login and one set of leases in any case. Nothing listens on 127.0.0.1: an app that reads Vault through the agent's listener must talk to Vault or to the broker. `true` is warned about"),
    entry(Tuning, Single, "agent-cache-use-auto-auth-token", Kind::Text, Inert, "whether that listener adds the token").default("true"),
    entry(Tuning, Single, "agent-cache-listener-port", Kind::Text, Inert, "port of that listener").default("8200"),
    entry(Tuning, Single, "agent-cache-exit-on-err", Kind::Bool, Inert, "end if the shared cache cannot be read").default("false"),
    entry(Tuning, Single, "agent-enable-quit", Kind::Bool, Inert, "an endpoint that ends the agent").default("false")
        .but("not needed: a native sidecar ends with the pod's apps. A call to /agent/v1/quit fails, which scripts should allow (`|| true`). `true` is warned about"),
    entry(Tuning, Single, "template-config-exit-on-retry-failure", Kind::Bool, Inert, "end when rendering fails for good").default("true").set_by("TEMPLATE_CONFIG_EXIT_ON_RETRY_FAILURE")
        .but("each secret fails and recovers by itself: a start that cannot be completed ends with the reason, a running pod keeps its last good files"),
    entry(Tuning, Single, "template-static-secret-render-interval", Kind::LenientDuration, Works, "how often secrets without lease are read again").default("5m").set_by("TEMPLATE_STATIC_SECRET_RENDER_INTERVAL")
        .but("for each secret by itself; leased ones keep their own clock. Not below 5 s"),
    entry(Tuning, Single, "template-max-connections-per-host", Kind::Integer, Inert, "connections to the server").default("0, unset").set_by("TEMPLATE_MAX_CONNECTIONS_PER_HOST")
        .but("at most a handful, kept open between reads"),
    entry(Tuning, Single, "template-lease-renewal-threshold", Kind::Float, Inert, "share of a lease after which it is renewed").default("0, unset").set_by("TEMPLATE_LEASE_RENEWAL_THRESHOLD")
        .but("leases are renewed between 1/2 and 2/3 of their time, with jitter"),
    entry(Tuning, Single, "agent-disable-idle-connections", Kind::Text, Inert, "comma list of what opens each connection anew").set_by("DISABLE_IDLE_CONNECTIONS"),
    entry(Tuning, Single, "agent-disable-keep-alives", Kind::Text, Inert, "comma list of what uses a connection once").set_by("DISABLE_KEEP_ALIVES"),
    entry(Tuning, Family, "agent-telemetry-", Kind::Text, Inert, "where the agent sends its metrics")
        .but("the sidecar listens nowhere and sends nothing: webhook and broker have metrics, and each change of state is one line of the sidecar's log. Warned about once"),
];
