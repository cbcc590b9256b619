//! `Defaults`: the injector-wide settings that an operator of vault-k8s already has, by their own names.
//!
//! Its environment variables are `AGENT_INJECT_*`, each with a flag; a variable beats its flag and an empty one is none. What
//! only concerns vault-k8s' own server (listening, certificates, leader election) is known, so that a Deployment's `env` can
//! be taken over as it is, and passed over. Everything is checked at start: vault-k8s refuses every pod for a bad quantity.
//! Out of scope: what one pod says ([`super::read`]).

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_model::text::{nearest, quoted};

use super::value::{self, Quantity};
use crate::fault::Fault;

/// One setting of the injector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Environment variable without [`SETTING_PREFIX`].
    pub name: &'static str,
    /// Flag without dashes; empty for none.
    pub flag: &'static str,
    /// Default, in words.
    pub default: &'static str,
    /// What it does here; empty: known and passed over, since it concerns vault-k8s' own server.
    pub meaning: &'static str,
}

/// What pods get that say nothing themselves.
#[derive(Clone, Debug, PartialEq)]
pub struct Defaults {
    /// Address of Vault.
    pub address: Option<String>,
    /// Login method.
    pub auth_type: String,
    /// Its mount.
    pub auth_path: String,
    /// Vault namespace of the login.
    pub namespace: String,
    /// HTTP proxy, which is not supported.
    pub proxy: String,
    /// PEM certificates that servers must end in, beside the installation's.
    pub trust: String,
    /// `map` or `json`.
    pub default_template: DefaultTemplate,
    /// Requests and limits of the container, as (annotation, quantity).
    pub resources: BTreeMap<&'static str, Quantity>,
    /// Uid of the container.
    pub run_as_user: i64,
    /// Gid of the container.
    pub run_as_group: i64,
    /// Whether the uid is that of the first app container.
    pub run_as_same_user: bool,
    /// Whether uid and gid are set at all.
    pub set_security_context: bool,
    /// Whether tokens are revoked when pods end.
    pub revoke_on_shutdown: bool,
    /// How often secrets without lease are read again, as text.
    pub render_interval: String,
    /// What an operator should know.
    pub warnings: Vec<String>,
}

/// Form of a file without template.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultTemplate {
    /// A line `key: value` per field.
    #[default]
    Map,
    /// The data as JSON.
    Json,
}

impl DefaultTemplate {
    /// `map` or `json` in any case.
    pub fn read(text: &str) -> Option<Self> {
        match text.to_ascii_lowercase().as_str() {
            "map" => Some(Self::Map),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

impl Default for Defaults {
    fn default() -> Self {
        let quantity = |text: &str| Quantity { text: text.to_owned(), thousandths: 0.0 };
        let resources = RESOURCES
            .iter()
            .filter(|(_, _, default)| !default.is_empty())
            .map(|(annotation, _, default)| {
                (*annotation, value::quantity(default).unwrap_or_else(|_| quantity(default)))
            })
            .collect();
        Self {
            address: None,
            auth_type: "kubernetes".to_owned(),
            auth_path: "auth/kubernetes".to_owned(),
            namespace: String::new(),
            proxy: String::new(),
            trust: String::new(),
            default_template: DefaultTemplate::Map,
            resources,
            run_as_user: USER,
            run_as_group: GROUP,
            run_as_same_user: false,
            set_security_context: true,
            revoke_on_shutdown: false,
            render_interval: String::new(),
            warnings: Vec::new(),
        }
    }
}

impl Defaults {
    /// Reads an environment and flags (without dashes) as vault-k8s does. Faults name the variable or the flag.
    ///
    /// Variables without [`SETTING_PREFIX`] are passed over; unknown ones with it are warned about.
    pub fn read(environment: &BTreeMap<String, String>, flags: &BTreeMap<String, String>) -> Result<Self, Vec<Fault>> {
        let mut defaults = Self::default();
        let mut faults = Vec::new();
        let ours =
            environment.iter().filter_map(|(name, text)| Some((name.strip_prefix(SETTING_PREFIX)?, text.as_str())));
        for (name, _) in ours.clone().filter(|(name, _)| !SETTINGS.iter().any(|setting| setting.name == *name)) {
            let hint = nearest(name, SETTINGS.iter().map(|setting| setting.name))
                .map(|near| format!("; did you mean {SETTING_PREFIX}{near}?"));
            let hint = hint.unwrap_or_default();
            defaults.warnings.push(format!("{SETTING_PREFIX}{name} is no setting of the injector{hint}"));
        }
        for setting in SETTINGS {
            let variable = ours.clone().find(|(name, text)| *name == setting.name && !text.is_empty());
            let flag = flags.get(setting.flag).filter(|text| !text.is_empty() && !setting.flag.is_empty());
            let (place, text) = match (variable, flag) {
                (Some((name, text)), _) => (format!("{SETTING_PREFIX}{name}"), text),
                (None, Some(text)) => (format!("-{}", setting.flag), text.as_str()),
                (None, None) => continue,
            };
            if let Err(problem) = defaults.take(setting.name, text) {
                faults.push(Fault::new(None, place, format!("{} {problem}", quoted(text))));
            }
        }
        if faults.is_empty() { Ok(defaults) } else { Err(faults) }
    }

    fn take(&mut self, name: &str, text: &str) -> Result<(), String> {
        if let Some((annotation, _, _)) = RESOURCES.iter().find(|(_, setting, _)| *setting == name) {
            let quantity = value::quantity(text)?;
            if quantity.thousandths < 0.0 {
                return Err("is negative; write 0 or more".to_owned());
            }
            self.resources.insert(annotation, quantity);
            return Ok(());
        }
        match name {
            "VAULT_ADDR" => self.address = Some(text.to_owned()),
            "VAULT_AUTH_TYPE" => text.clone_into(&mut self.auth_type),
            "VAULT_AUTH_PATH" => text.clone_into(&mut self.auth_path),
            "VAULT_NAMESPACE" => text.clone_into(&mut self.namespace),
            "PROXY_ADDR" => text.clone_into(&mut self.proxy),
            "VAULT_CACERT_BYTES" => self.trust = certificates(text)?,
            "DEFAULT_TEMPLATE" => {
                self.default_template =
                    DefaultTemplate::read(text).ok_or_else(|| "is no form; write map or json".to_owned())?;
            }
            "RUN_AS_USER" => self.run_as_user = user(text)?,
            "RUN_AS_GROUP" => self.run_as_group = user(text)?,
            "RUN_AS_SAME_USER" => self.run_as_same_user = value::boolean(text)?,
            "SET_SECURITY_CONTEXT" => self.set_security_context = value::boolean(text)?,
            "REVOKE_ON_SHUTDOWN" => self.revoke_on_shutdown = value::boolean(text)?,
            "TEMPLATE_CONFIG_EXIT_ON_RETRY_FAILURE" => drop(value::boolean(text)?),
            "TEMPLATE_STATIC_SECRET_RENDER_INTERVAL" => {
                value::vault_duration(text)?;
                text.clone_into(&mut self.render_interval);
            }
            "TEMPLATE_MAX_CONNECTIONS_PER_HOST" => drop(value::integer(text)?),
            "TEMPLATE_LEASE_RENEWAL_THRESHOLD" => drop(value::float(text)?),
            "AUTH_MIN_BACKOFF" | "AUTH_MAX_BACKOFF" => drop(value::duration(text)?),
            // The rest concerns vault-k8s' own server, or has no effect here.
            _ => {}
        }
        Ok(())
    }
}

/// PEM, or base64 of PEM.
fn certificates(text: &str) -> Result<String, String> {
    let problem = || "is neither PEM nor base64 of PEM; give the certificates that Vault's chain ends in".to_owned();
    if text.contains(PEM_START) {
        return Ok(text.to_owned());
    }
    let dense: String = text.split_whitespace().collect();
    let decoded = STANDARD.decode(dense).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.filter(|text| text.contains(PEM_START)).ok_or_else(problem)
}

fn user(text: &str) -> Result<i64, String> {
    let number = value::integer(text)?;
    if (0..=LARGEST_ID).contains(&number) {
        return Ok(number);
    }
    Err(format!("is no id; write 0 to {LARGEST_ID}"))
}

const fn setting(name: &'static str, flag: &'static str, default: &'static str, meaning: &'static str) -> Setting {
    Setting { name, flag, default, meaning }
}

/// Every setting of vault-k8s.
pub const SETTINGS: &[Setting] = &[
    setting("VAULT_ADDR", "vault-address", "the installation's server", "default of `service`"),
    setting("VAULT_AUTH_TYPE", "vault-auth-type", "kubernetes", "default of `auth-type`"),
    setting("VAULT_AUTH_PATH", "vault-auth-path", "auth/kubernetes", "default of `auth-path`"),
    setting("VAULT_NAMESPACE", "vault-namespace", "", "default of `namespace`"),
    setting(
        "VAULT_CACERT_BYTES",
        "vault-cacert-bytes",
        "the installation's trust bundle",
        "PEM or base64 of PEM: what servers' chains must end in",
    ),
    setting("PROXY_ADDR", "proxy-address", "", "not supported: pods are warned"),
    setting("DEFAULT_TEMPLATE", "default-template", "map", "default of `agent-inject-default-template`"),
    setting("CPU_REQUEST", "cpu-request", "250m", "default of `agent-requests-cpu`"),
    setting("CPU_LIMIT", "cpu-limit", "500m", "default of `agent-limits-cpu`"),
    setting("MEM_REQUEST", "memory-request", "64Mi", "default of `agent-requests-mem`"),
    setting("MEM_LIMIT", "memory-limit", "128Mi", "default of `agent-limits-mem`"),
    setting("EPHEMERAL_REQUEST", "ephemeral-storage-request", "", "default of `agent-requests-ephemeral`"),
    setting("EPHEMERAL_LIMIT", "ephemeral-storage-limit", "", "default of `agent-limits-ephemeral`"),
    setting("RUN_AS_USER", "run-as-user", "100", "default of `agent-run-as-user`"),
    setting("RUN_AS_GROUP", "run-as-group", "1000", "default of `agent-run-as-group`"),
    setting("RUN_AS_SAME_USER", "run-as-same-user", "false", "default of `agent-run-as-same-user`"),
    setting("SET_SECURITY_CONTEXT", "set-security-context", "true", "default of `agent-set-security-context`"),
    setting("REVOKE_ON_SHUTDOWN", "revoke-on-shutdown", "false", "default of `agent-revoke-on-shutdown`"),
    setting(
        "TEMPLATE_STATIC_SECRET_RENDER_INTERVAL",
        "template-static-secret-render-interval",
        "5m",
        "default of `template-static-secret-render-interval`",
    ),
    setting(
        "TEMPLATE_CONFIG_EXIT_ON_RETRY_FAILURE",
        "template-config-exit-on-retry-failure",
        "true",
        "checked; no effect, as the annotation",
    ),
    setting("TEMPLATE_MAX_CONNECTIONS_PER_HOST", "", "0", "checked; no effect, as the annotation"),
    setting("TEMPLATE_LEASE_RENEWAL_THRESHOLD", "", "0", "checked; no effect, as there"),
    setting("AUTH_MIN_BACKOFF", "auth-min-backoff", "", "checked; no effect, as the annotation"),
    setting("AUTH_MAX_BACKOFF", "auth-max-backoff", "", "checked; no effect, as the annotation"),
    setting("VAULT_IMAGE", "vault-image", "", "no effect: the image is the installation's"),
    setting("DISABLE_IDLE_CONNECTIONS", "disable-idle-connections", "", "no effect"),
    setting("DISABLE_KEEP_ALIVES", "disable-keep-alives", "", "no effect"),
    setting("LISTEN", "listen", ":8080", ""),
    setting("LOG_LEVEL", "log-level", "info", ""),
    setting("LOG_FORMAT", "log-format", "standard", ""),
    setting("TLS_AUTO", "tls-auto", "", ""),
    setting("TLS_AUTO_HOSTS", "tls-auto-hosts", "", ""),
    setting("TLS_CERT_FILE", "tls-cert-file", "", ""),
    setting("TLS_KEY_FILE", "tls-key-file", "", ""),
    setting("TLS_CA_CERT_FILE", "tls-ca-cert-file", "", ""),
    setting("TLS_MIN_VERSION", "tls-min-version", "tls12", ""),
    setting("TLS_CIPHER_SUITES", "tls-cipher-suites", "", ""),
    setting("USE_LEADER_ELECTOR", "use-leader-elector", "false", ""),
    setting("TELEMETRY_PATH", "telemetry-path", "", ""),
];

/// Resources: annotation, setting, default.
pub(super) const RESOURCES: [(&str, &str, &str); 6] = [
    ("agent-requests-cpu", "CPU_REQUEST", "250m"),
    ("agent-limits-cpu", "CPU_LIMIT", "500m"),
    ("agent-requests-mem", "MEM_REQUEST", "64Mi"),
    ("agent-limits-mem", "MEM_LIMIT", "128Mi"),
    ("agent-requests-ephemeral", "EPHEMERAL_REQUEST", ""),
    ("agent-limits-ephemeral", "EPHEMERAL_LIMIT", ""),
];
/// How the injector's environment variables begin.
pub const SETTING_PREFIX: &str = "AGENT_INJECT_";
/// Largest uid or gid that Kubernetes takes.
pub(super) const LARGEST_ID: i64 = 2_147_483_647;
/// How PEM begins.
const PEM_START: &str = "-----BEGIN ";
/// Uid of vault-k8s' containers.
const USER: i64 = 100;
/// Gid of vault-k8s' containers.
const GROUP: i64 = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_variable_beats_its_flag_and_an_empty_variable_is_none() {
        let flags = map(&[("vault-address", "https://flag:8200"), ("cpu-request", "1m"), ("run-as-user", "7")]);
        let environment = map(&[
            ("AGENT_INJECT_VAULT_ADDR", "https://env:8200"),
            ("AGENT_INJECT_CPU_REQUEST", ""),
            ("AGENT_INJECT_RUN_AS_GROUP", "8"),
            ("PATH", "/bin"),
        ]);
        let defaults = Defaults::read(&environment, &flags).unwrap();
        assert_eq!(defaults.address.as_deref(), Some("https://env:8200"));
        assert_eq!(defaults.resources["agent-requests-cpu"].text, "1m");
        assert_eq!(defaults.resources["agent-limits-mem"].text, "128Mi");
        assert_eq!((defaults.run_as_user, defaults.run_as_group), (7, 8));
        assert_eq!(defaults.warnings, Vec::<String>::new());
    }

    #[test]
    fn a_bad_setting_is_named_with_its_value_at_start() {
        let environment = map(&[
            ("AGENT_INJECT_CPU_LIMIT", "lots"),
            ("AGENT_INJECT_DEFAULT_TEMPLATE", "yaml"),
            ("AGENT_INJECT_RUN_AS_USER", "root"),
            ("AGENT_INJECT_AUTH_MIN_BACKOFF", "5"),
            ("AGENT_INJECT_VAULT_CACERT_BYTES", "nonsense"),
        ]);
        let flags = map(&[("set-security-context", "yes")]);
        let faults = Defaults::read(&environment, &flags).unwrap_err();
        let mut fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
        fields.sort_unstable();
        assert_eq!(
            fields,
            [
                "-set-security-context",
                "AGENT_INJECT_AUTH_MIN_BACKOFF",
                "AGENT_INJECT_CPU_LIMIT",
                "AGENT_INJECT_DEFAULT_TEMPLATE",
                "AGENT_INJECT_RUN_AS_USER",
                "AGENT_INJECT_VAULT_CACERT_BYTES",
            ]
        );
        assert!(
            faults.iter().any(|fault| fault.to_string().contains("AGENT_INJECT_CPU_LIMIT: \"lots\" is no quantity"))
        );
    }

    #[test]
    fn certificates_come_as_pem_or_as_base64_of_pem() {
        let pem = "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n";
        for text in [pem.to_owned(), STANDARD.encode(pem)] {
            let defaults = Defaults::read(&map(&[("AGENT_INJECT_VAULT_CACERT_BYTES", &text)]), &map(&[])).unwrap();
            assert_eq!(defaults.trust, pem);
        }
    }

    #[test]
    fn a_misspelt_setting_is_warned_about_with_the_nearest_name() {
        let defaults = Defaults::read(&map(&[("AGENT_INJECT_VAULT_ADR", "x")]), &map(&[])).unwrap();
        assert!(defaults.warnings[0].contains("did you mean AGENT_INJECT_VAULT_ADDR?"), "{:?}", defaults.warnings);
    }

    #[test]
    fn every_default_of_an_annotation_names_a_setting_that_exists() {
        for entry in super::super::table::ANNOTATIONS.iter().filter(|entry| !entry.setting.is_empty()) {
            assert!(SETTINGS.iter().any(|setting| setting.name == entry.setting), "{}", entry.name);
        }
    }
}
