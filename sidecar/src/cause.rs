//! `Cause`: why something is not as it should be, in one line with one remedy and a stable code.
//!
//! The line ends in the pod's termination message, the log, `wait` and `status`:
//! `login: Vault has no role "vouchsafe.argocd.dex"; …: run 'vouchsafe apply' (E-VLT-010)`.
//! [`CODES`] lists every code, so that docs/errors.md can be checked against it. Never a value, never a body.
//! Out of scope: when what is reported (the machine decides).

use std::fmt;
use std::time::Duration;

use vouchsafe_model::plan::{Plan, ServerKind};
use vouchsafe_model::text::quoted;
use vouchsafe_model::{Code, Kind, Workload};

/// A failed exchange with the server, as far as decisions need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// What went wrong.
    pub fault: Fault,
    /// Decides about retries.
    pub kind: Kind,
    /// How long the server asked to be left alone.
    pub retry_after: Option<Duration>,
    /// One sanitised line about it: the server's own first error text, or the transport's.
    pub detail: String,
}

/// What went wrong in an exchange with the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The server's name has no address.
    Resolve,
    /// Nobody listens, or a rule rejects the connection.
    Connect,
    /// No answer in time.
    Timeout,
    /// The TLS handshake failed.
    Tls,
    /// The connection broke, or what came is not HTTP.
    Protocol,
    /// The answer is larger than we accept.
    TooLarge,
    /// The server is sealed.
    Sealed,
    /// A status that says no.
    Status(u16),
    /// A good status with an answer of the wrong shape.
    Malformed,
    /// The pod's own token cannot be read.
    TokenFile,
}

/// Why something is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cause {
    /// Heading in docs/errors.md.
    pub code: Code,
    /// What was being done, and to what: `read argocd-sso/github`.
    pub doing: String,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}; {} ({})", self.doing, self.problem, self.remedy, self.code)
    }
}

impl Cause {
    pub(crate) fn new(
        code: Code,
        doing: impl Into<String>,
        problem: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { code, doing: doing.into(), problem: problem.into(), remedy: remedy.into() }
    }

    /// A failed login.
    pub(crate) fn login(plan: &Plan, failure: &Failure) -> Self {
        let role = &plan.login.role;
        let identity = format!("{}/{}", plan.workload.namespace, plan.workload.service_account);
        match failure.fault {
            Fault::TokenFile => Self::new(
                TOKEN_FILE,
                "login",
                format!("the pod's own token cannot be read: {}", failure.detail),
                "check the volume vouchsafe-token of the pod and the kubelet's events",
            ),
            Fault::Status(400) => {
                Self::new(NO_ROLE, "login", format!("Vault has no role {}", quoted(role.as_str())), apply(plan))
            }
            Fault::Status(403) => Self::new(
                LOGIN_DENIED,
                "login",
                format!("Vault refuses {identity} as role {} ({})", quoted(role.as_str()), failure.detail),
                "compare the role's service accounts, namespace and audience with the pod: run 'vouchsafe apply --dry-run'",
            ),
            Fault::Status(404) => Self::new(
                NO_AUTH,
                "login",
                format!("nothing is mounted at {}", plan.login.auth_path),
                "enable the Kubernetes auth method there, or correct spec.vault.authPath of the Grant",
            ),
            _ => Self::exchange(plan, "login", failure),
        }
    }

    /// A failed read of `path`, known to people as `label` (`grant/secret`).
    pub(crate) fn read(plan: &Plan, label: &str, path: &str, failure: &Failure) -> Self {
        let doing = format!("read {label}");
        match failure.fault {
            Fault::Status(403) => Self::new(
                READ_DENIED,
                doing,
                format!("Vault denies {} to role {}", quoted(path), quoted(plan.login.role.as_str())),
                apply(plan),
            ),
            Fault::Status(404) => Self::missing(label, path),
            _ => Self::exchange(plan, &doing, failure),
        }
    }

    /// A lease of the secret `label` that was not renewed.
    pub(crate) fn lease(plan: &Plan, label: &str, failure: &Failure) -> Self {
        let doing = format!("renew the lease of {label}");
        match failure.fault {
            Fault::Status(403) => Self::new(
                RENEWAL_DENIED,
                doing,
                format!(
                    "Vault denies it to role {}; a new credential is fetched before the lease ends",
                    quoted(plan.login.role.as_str())
                ),
                "give the role's policy update on sys/leases/renew: run 'vouchsafe apply'",
            ),
            Fault::Status(400 | 404) => Self::new(
                LEASE_LOST,
                doing,
                format!("Vault does not know it any more ({}); a new credential is fetched", failure.detail),
                "look into the server's audit log for who revoked it",
            ),
            _ => Self::exchange(plan, &doing, failure),
        }
    }

    /// Nothing lies at `path`, given as users write it in `put`.
    pub(crate) fn missing(label: &str, path: &str) -> Self {
        Self::new(
            NO_SECRET,
            format!("read {label}"),
            format!("there is no secret at {}", quoted(path)),
            format!("run 'vouchsafe put {path}'"),
        )
    }

    /// What goes wrong in any exchange alike.
    pub(crate) fn exchange(plan: &Plan, doing: &str, failure: &Failure) -> Self {
        let address = &plan.server.address;
        let server = match plan.server.kind {
            ServerKind::Broker => "the broker",
            ServerKind::Direct => "Vault",
        };
        let detail = &failure.detail;
        match failure.fault {
            Fault::Resolve => Self::new(
                RESOLVE,
                doing,
                format!("{address} has no address"),
                "check the Service's name and that the NetworkPolicy allows DNS",
            ),
            Fault::Connect => Self::new(
                CONNECT,
                doing,
                format!("{server} at {address} cannot be reached"),
                "check that it runs and that a NetworkPolicy allows egress to it from this pod",
            ),
            Fault::Timeout => Self::new(
                TIMEOUT,
                doing,
                format!("{server} at {address} does not answer in time"),
                "check its load, and that a NetworkPolicy allows egress to it from this pod",
            ),
            Fault::Tls => Self::new(
                TLS,
                doing,
                format!("the TLS handshake with {address} fails ({detail})"),
                "the server's certificate must end in the trust bundle that the webhook hands out (--trust-file)",
            ),
            Fault::TooLarge => Self::new(
                ANSWER_TOO_LARGE,
                doing,
                format!("{server} at {address} sends more than is accepted"),
                "check what stands at that address, and the size of the secret",
            ),
            Fault::Sealed => Self::new(SEALED, doing, "Vault is sealed", "unseal it; this goes on by itself then"),
            Fault::Status(429) => Self::new(
                TOO_MANY,
                doing,
                "Vault asks for fewer requests",
                "raise its rate limit quota if this lasts; this goes on by itself",
            ),
            Fault::Status(status) if status >= 500 => Self::new(
                SERVER_ERROR,
                doing,
                format!("{server} at {address} answers {status} ({detail})"),
                "read the server's log; this goes on by itself when it recovers",
            ),
            Fault::Status(status) => Self::new(
                REFUSED,
                doing,
                format!("{server} at {address} answers {status} ({detail})"),
                "compare path, engine and mount in the Grant with the server: run 'vouchsafe check'",
            ),
            Fault::Protocol | Fault::Malformed | Fault::TokenFile => Self::new(
                GARBLED,
                doing,
                format!("{address} gives no answer that Vault would give ({detail})"),
                "check that no other server or proxy stands at that address",
            ),
        }
    }

    /// The line with code, program and pod in front, at most [`MESSAGE_BYTES`] long: `kubectl describe` and whoever joins
    /// messages of many pods find the code at its beginning.
    pub fn message(&self, workload: &Workload) -> String {
        let mut line = format!("{} vouchsafe-sidecar: {workload}: {self}", self.code);
        if line.len() > MESSAGE_BYTES {
            let mut end = MESSAGE_BYTES - '…'.len_utf8();
            while !line.is_char_boundary(end) {
                end -= 1;
            }
            line.truncate(end);
            line.push('…');
        }
        line
    }
}

/// What to run when the server does not know what the Grant allows.
fn apply(plan: &Plan) -> String {
    if plan.agent.is_some() {
        return format!(
            "compare role {} with the pod's namespace and service account, and its policies with the path, in Vault",
            quoted(plan.login.role.as_str())
        );
    }
    let workload = Workload {
        namespace: plan.workload.namespace.clone(),
        service_account: plan.workload.service_account.clone(),
        pod: None,
        pod_uid: None,
    };
    let mut grants: Vec<String> =
        plan.secrets.iter().map(|secret| format!("{}/{}", plan.workload.namespace, secret.grant)).collect();
    grants.sort();
    grants.dedup();
    if plan.login.role.as_str() != workload.role_name() {
        return format!(
            "the Grant names the unmanaged role {}: create it in Vault, or leave spec.vault.role out",
            quoted(plan.login.role.as_str())
        );
    }
    match grants.as_slice() {
        [one] => format!("Grant {one} exists but was never applied: run 'vouchsafe apply'"),
        many => format!("Grants {} exist but were never all applied: run 'vouchsafe apply'", many.join(", ")),
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $meaning:literal;)+) => {
        $($(#[$doc])* pub(crate) const $name: Code = Code::new($code);)+

        /// Every code that the sidecar can report, with its meaning; each has a heading in docs/errors.md.
        pub const CODES: &[(Code, &str)] = &[$((Code::new($code), $meaning)),+];
    };
}

codes! {
    RESOLVE = "E-NET-001", "the server's name has no address";
    CONNECT = "E-NET-002", "the server cannot be reached";
    TIMEOUT = "E-NET-003", "the server does not answer in time";
    TLS = "E-NET-004", "the server's certificate is not trusted";
    GARBLED = "E-NET-005", "the answer is not one that Vault would give";
    ANSWER_TOO_LARGE = "E-NET-006", "the answer is too large";
    SEALED = "E-VLT-001", "Vault is sealed";
    SERVER_ERROR = "E-VLT-002", "the server answers with an error of its own";
    TOO_MANY = "E-VLT-003", "the server asks for fewer requests";
    NO_ROLE = "E-VLT-010", "Vault has no such role";
    LOGIN_DENIED = "E-VLT-011", "Vault refuses the login";
    NO_AUTH = "E-VLT-012", "there is no auth method at that path";
    TOKEN_FILE = "E-VLT-013", "the pod's own token cannot be read";
    READ_DENIED = "E-VLT-020", "Vault denies the read";
    REFUSED = "E-VLT-021", "the server refuses the request";
    RENEWAL_DENIED = "E-VLT-022", "Vault denies the renewal of a lease";
    NO_SECRET = "E-SEC-001", "there is no secret at the path";
    NO_KEY = "E-SEC-002", "the secret has no such key";
    DELETED = "E-SEC-003", "the secret's newest version was deleted";
    WENT_BACK = "E-SEC-004", "the server offers an older version than was delivered";
    SECRET_TOO_LARGE = "E-SEC-005", "the secret is too large";
    VALUES_TOO_LARGE = "E-SEC-006", "the pod's secrets are too large in sum";
    LEASE_LOST = "E-SEC-007", "the server ended a credential's lease before its time";
    RENDER = "E-TPL-001", "the template cannot be rendered with these values";
    COMPILE = "E-TPL-002", "the template has a fault";
    FILE_TOO_LARGE = "E-TPL-003", "the rendered file is too large";
    FILES_TOO_LARGE = "E-TPL-004", "the pod's files are too large in sum";
    WRITE = "E-FIL-001", "files cannot be written";
    STATE = "E-FIL-002", "the state cannot be written";
    UNATTENDED = "E-GAT-001", "nobody waited for the files, so the app may be about to start without them";
    DESERTED = "E-GAT-002", "the waiting hook vanished, so the app may be about to start without its files";
    STARTING = "E-GAT-003", "the sidecar has only just started";
    NOT_SIGNALLED = "E-APP-001", "the app could not be signalled";
    NOT_CALLED = "E-APP-002", "the app's reload endpoint did not take the change";
    NOT_RESTARTED = "E-APP-003", "the app could not be started again";
    NOT_STARTED = "E-APP-004", "the app does not start with its new values";
    NO_VARIABLES = "E-ENV-001", "the wrapper got no variables, so the app does not start";
    VARIABLE = "E-ENV-002", "the value cannot be that of a variable";
    ANNOTATIONS = "E-CFG-002", "the pod's annotations cannot be carried out";
    CONFIGURATION = "E-CFG-001", "the sidecar's environment is not what the webhook makes";
}

/// Longest termination message that the kubelet keeps.
pub const MESSAGE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::tests::plan;

    fn failure(fault: Fault) -> Failure {
        Failure { fault, kind: Kind::Unavailable, retry_after: None, detail: "detail".to_owned() }
    }

    #[test]
    fn an_unknown_role_names_the_grant_and_the_command() {
        let line = Cause::login(&plan(1), &failure(Fault::Status(400))).to_string();
        assert_eq!(
            line,
            "login: Vault has no role \"vouchsafe.argocd.argocd-dex-server\"; Grant argocd/argocd-sso exists but was \
             never applied: run 'vouchsafe apply' (E-VLT-010)"
        );
    }

    #[test]
    fn an_unmanaged_role_is_never_applied_by_us() {
        let mut plan = plan(1);
        plan.login.role = "mine".parse().unwrap();
        assert!(!Cause::login(&plan, &failure(Fault::Status(400))).to_string().contains("vouchsafe apply"));
    }

    #[test]
    fn a_missing_secret_names_the_put_command() {
        let line = Cause::read(&plan(1), "argocd-sso/github", "secret/argocd/github", &failure(Fault::Status(404)));
        assert!(line.to_string().contains("run 'vouchsafe put secret/argocd/github'"), "{line}");
    }

    #[test]
    fn codes_are_unique_and_well_formed() {
        let mut texts: Vec<&str> = CODES.iter().map(|(code, _)| code.as_str()).collect();
        assert!(texts.iter().all(|code| code.len() == 9 && code.starts_with("E-")));
        texts.sort_unstable();
        texts.dedup();
        assert_eq!(texts.len(), CODES.len());
    }

    #[test]
    fn every_fault_has_one_line_with_a_listed_code() {
        let faults = [
            Fault::Resolve,
            Fault::Connect,
            Fault::Timeout,
            Fault::Tls,
            Fault::Protocol,
            Fault::TooLarge,
            Fault::Sealed,
            Fault::Status(400),
            Fault::Status(403),
            Fault::Status(404),
            Fault::Status(418),
            Fault::Status(429),
            Fault::Status(500),
            Fault::Malformed,
            Fault::TokenFile,
        ];
        for fault in faults {
            for cause in [
                Cause::login(&plan(2), &failure(fault)),
                Cause::read(&plan(2), "g/s", "secret/x", &failure(fault)),
                Cause::lease(&plan(2), "g/s", &failure(fault)),
            ] {
                assert!(CODES.iter().any(|(code, _)| *code == cause.code), "{cause}");
                assert!(!cause.to_string().contains('\n'), "{cause}");
            }
        }
    }

    #[test]
    fn a_message_fits_the_kubelet_and_keeps_its_code() {
        let cause = Cause::new(NO_KEY, "x", "ä".repeat(5000), "y");
        let workload = Workload {
            namespace: "argocd".parse().unwrap(),
            service_account: "dex".parse().unwrap(),
            pod: Some("dex-1".parse().unwrap()),
            pod_uid: None,
        };
        let line = cause.message(&workload);
        assert!(line.len() <= MESSAGE_BYTES && line.ends_with('…'));
        assert!(line.starts_with("E-SEC-002 vouchsafe-sidecar: argocd/dex-1: x: "));
    }
}
