//! The server, how to trust it, and how to log in.
//!
//! Out of scope: where a token comes from if the pod names none (the derivation projects one), reading any file.

use std::collections::BTreeMap;

use vouchsafe_model::name::RoleName;
use vouchsafe_model::path::{AuthPath, ServerAddress, VaultNamespace};
use vouchsafe_model::text::{nearest, quoted};

use super::read::Reading;
use super::settings::Defaults;

/// The server and how to trust it. Paths are paths in our container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerWish {
    /// Its address; `None` for the installation's.
    pub address: Option<ServerAddress>,
    /// Vault namespace.
    pub namespace: Option<VaultNamespace>,
    /// Name in its certificate.
    pub server_name: Option<String>,
    /// File with certificates that its chain must end in.
    pub ca_file: Option<String>,
    /// Folder with such files.
    pub ca_folder: Option<String>,
    /// PEM certificates of the same kind, from the injector's settings.
    pub trust: String,
    /// File with our certificate.
    pub client_cert: Option<String>,
    /// File with its key.
    pub client_key: Option<String>,
    /// Secret of the pod's namespace that our container mounts at /vault/tls.
    pub tls_secret: Option<String>,
}

/// How to log in. Paths are paths in our container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Method {
    /// The pod's service account.
    Kubernetes {
        /// Role.
        role: Option<RoleName>,
        /// File with a token; `None` for one of our own.
        token_file: Option<String>,
        /// Projected volume of the pod that holds the token.
        volume: Option<String>,
    },
    /// Any signed token.
    Jwt {
        /// Role; the mount's default role if there is none.
        role: Option<RoleName>,
        /// File with the token; `None` for one of our own.
        token_file: Option<String>,
    },
    /// A role id and a secret id.
    AppRole {
        /// File with the role id.
        role_id_file: String,
        /// File with the secret id.
        secret_id_file: Option<String>,
    },
    /// The client certificate of the connection.
    Cert {
        /// Certificate role; any that matches if there is none.
        name: Option<String>,
    },
    /// A token that something else puts there.
    TokenFile {
        /// File with the token.
        file: String,
    },
}

/// Reads the server's annotations.
pub(super) fn server(reading: &mut Reading<'_>, defaults: &Defaults) -> ServerWish {
    let given = reading.single("service");
    let address = match (&given, &defaults.address) {
        (Some(given), _) if given.value.is_empty() => {
            reading.refuse(given.full, "no Vault address found: an empty value unsets the injector's default; write https://HOST:8200 or remove the annotation");
            None
        }
        (Some(given), _) => address(reading, given.full, given.value),
        (None, Some(default)) => address(reading, "AGENT_INJECT_VAULT_ADDR", default),
        (None, None) => None,
    };
    let (cert, key) = (reading.text("client-cert"), reading.text("client-key"));
    if cert.is_some() != key.is_some() {
        let there = reading.single("client-cert").or_else(|| reading.single("client-key"));
        let full = there.map_or_else(String::new, |given| given.full.to_owned());
        reading.odd(&full, "client-cert and client-key belong together; write both or none");
    }
    ServerWish {
        address,
        namespace: namespace(reading, defaults),
        server_name: reading.text("tls-server-name"),
        ca_file: reading.text("ca-cert"),
        ca_folder: reading.text("ca-key"),
        trust: defaults.trust.clone(),
        client_cert: cert,
        client_key: key,
        tls_secret: object_name(reading, "tls-secret"),
    }
}

fn address(reading: &mut Reading<'_>, full: &str, text: &str) -> Option<ServerAddress> {
    // The path of an address is dropped there as well, if it is only a slash.
    match text.trim_end_matches('/').parse() {
        Ok(address) => Some(address),
        Err(error) => {
            let message = if text.starts_with("http://") {
                format!(
                    "{} is plain HTTP, over which no secret is sent; write https://HOST:8200, or put the broker in front",
                    quoted(text)
                )
            } else {
                format!("{error}; write it as in https://vault.vault.svc:8200")
            };
            reading.hopeless(full, message);
            None
        }
    }
}

fn namespace(reading: &mut Reading<'_>, defaults: &Defaults) -> Option<VaultNamespace> {
    let text = reading.text_or("namespace", &defaults.namespace)?;
    let clean = text.trim_matches('/');
    if clean.is_empty() || clean == "root" {
        return None;
    }
    match clean.parse() {
        Ok(namespace) => Some(namespace),
        Err(error) => {
            let full = reading.single("namespace").map_or("AGENT_INJECT_VAULT_NAMESPACE", |given| given.full);
            reading.hopeless(full, error.to_string());
            None
        }
    }
}

/// Reads the login's annotations: mount (with a namespace put in front) and method.
pub(super) fn login(reading: &mut Reading<'_>, defaults: &Defaults) -> ((Option<String>, String), Method) {
    let kind = reading.single("auth-type").map_or(defaults.auth_type.as_str(), |given| given.value);
    let path = auth_path(reading, defaults, kind);
    let options = options(reading);
    let method = match kind {
        "kubernetes" | "" => kubernetes(reading, &options),
        "jwt" => jwt(reading, &options),
        "approle" => app_role(reading, &options),
        "cert" => cert(reading, &options),
        "token_file" | "token-file" => token_file(reading, &options),
        other => foreign_method(reading, other),
    };
    report_options(reading, kind, &options);
    (path, method)
}

fn auth_path(reading: &mut Reading<'_>, defaults: &Defaults, kind: &str) -> (Option<String>, String) {
    let given = reading.single("auth-path");
    let full = given.as_ref().map_or("AGENT_INJECT_VAULT_AUTH_PATH", |given| given.full).to_owned();
    let text = given.as_ref().map_or(defaults.auth_path.as_str(), |given| given.value).trim_matches('/');
    if text.is_empty() {
        // An empty one was refused by its kind.
        return (None, format!("auth/{kind}"));
    }
    let (front, path) = match text.find("auth/") {
        Some(0) => (None, text),
        Some(at) if text.get(..at).is_some_and(|front| front.ends_with('/')) => {
            (text.get(..at).map(|front| front.trim_matches('/').to_owned()), text.get(at..).unwrap_or(text))
        }
        _ => (None, text),
    };
    let problem = path.parse::<AuthPath>().err().map(|error| error.to_string());
    let front_problem =
        front.as_ref().and_then(|front| front.parse::<VaultNamespace>().err()).map(|error| error.to_string());
    if let Some(problem) = problem.or(front_problem) {
        reading.hopeless(&full, problem);
        return (None, format!("auth/{kind}"));
    }
    (front, path.to_owned())
}

/// `auth-config-*`: option, with underscores, and its full name and value.
fn options<'a>(reading: &Reading<'a>) -> BTreeMap<String, (&'a str, &'a str)> {
    let members = reading.members("auth-config-").into_iter();
    members.map(|(suffix, given)| (suffix.replace('-', "_"), (given.full, given.value))).collect()
}

fn option(options: &BTreeMap<String, (&str, &str)>, name: &str) -> Option<String> {
    options.get(name).map(|(_, value)| (*value).to_owned()).filter(|value| !value.is_empty())
}

/// The role: the annotation's before the option's.
fn role(reading: &mut Reading<'_>, options: &BTreeMap<String, (&str, &str)>, compulsory: bool) -> Option<RoleName> {
    let given = reading.single("role").map(|given| (given.full, given.value));
    let (full, text) = match (given, options.get("role")) {
        (Some((full, "")), _) if compulsory => {
            reading.refuse(full, "no Vault role found: it is empty; write the role to log in with");
            return None;
        }
        (Some((full, text)), _) if !text.is_empty() => (full, text),
        (_, Some((full, text))) if !text.is_empty() => (*full, *text),
        _ if compulsory => {
            if reading.single("agent-configmap").is_none_or(|given| given.value.is_empty()) {
                reading.refuse(
                    "vault.hashicorp.com/role",
                    "no Vault role found: it is missing; write the role to log in with",
                );
            }
            return None;
        }
        _ => return None,
    };
    match text.parse() {
        Ok(role) => Some(role),
        Err(error) => {
            reading.hopeless(full, error.to_string());
            None
        }
    }
}

fn kubernetes(reading: &mut Reading<'_>, options: &BTreeMap<String, (&str, &str)>) -> Method {
    let role = role(reading, options, true);
    let token_file = option(options, "token_path").filter(|path| path != USUAL_TOKEN);
    let volume = reading.text("agent-service-account-token-volume-name");
    Method::Kubernetes { role, token_file, volume }
}

fn jwt(reading: &mut Reading<'_>, options: &BTreeMap<String, (&str, &str)>) -> Method {
    let role = role(reading, options, false);
    if role.is_none() {
        let full = reading.single("auth-type").map_or("AGENT_INJECT_VAULT_AUTH_TYPE", |given| given.full);
        reading.hopeless(full, "jwt needs a role; write the annotation role");
    }
    Method::Jwt { role, token_file: option(options, "path") }
}

fn app_role(reading: &mut Reading<'_>, options: &BTreeMap<String, (&str, &str)>) -> Method {
    let role_id_file = needed(reading, options, "role_id_file_path", "approle");
    Method::AppRole { role_id_file, secret_id_file: option(options, "secret_id_file_path") }
}

fn cert(reading: &mut Reading<'_>, options: &BTreeMap<String, (&str, &str)>) -> Method {
    let certificate = option(options, "client_cert").or_else(|| reading.text("client-cert"));
    if certificate.is_none() {
        let full = reading.single("auth-type").map_or("AGENT_INJECT_VAULT_AUTH_TYPE", |given| given.full);
        reading
            .hopeless(full, "cert needs a certificate: write client-cert and client-key, as in /vault/tls/client.crt");
    }
    Method::Cert { name: option(options, "name") }
}

fn token_file(reading: &mut Reading<'_>, options: &BTreeMap<String, (&str, &str)>) -> Method {
    Method::TokenFile { file: needed(reading, options, "token_file_path", "token_file") }
}

fn needed(reading: &mut Reading<'_>, options: &BTreeMap<String, (&str, &str)>, name: &str, method: &str) -> String {
    option(options, name).unwrap_or_else(|| {
        let full = reading.single("auth-type").map_or("AGENT_INJECT_VAULT_AUTH_TYPE", |given| given.full);
        reading.hopeless(
            full,
            format!("{method} needs auth-config-{}; write the file's path in the sidecar", name.replace('_', "-")),
        );
        String::new()
    })
}

fn foreign_method(reading: &mut Reading<'_>, kind: &str) -> Method {
    let full = reading.single("auth-type").map_or("AGENT_INJECT_VAULT_AUTH_TYPE", |given| given.full).to_owned();
    // An empty one was refused by its kind.
    if FOREIGN_METHODS.contains(&kind) {
        reading.refuse(&full, format!("login by {kind} is not supported; give the pod's service account a role of auth-type kubernetes (or jwt), which needs no cloud credentials"));
    } else {
        let hint = nearest(kind, METHODS)
            .map_or_else(|| format!("known are {}", METHODS.join(", ")), |near| format!("did you mean {near}?"));
        reading.refuse(&full, format!("{} is no login method; {hint}", quoted(kind)));
    }
    Method::TokenFile { file: String::new() }
}

/// Options that remove what is the pod's are refused; unknown ones are slips of the pen.
fn report_options(reading: &mut Reading<'_>, kind: &str, options: &BTreeMap<String, (&str, &str)>) {
    let known: &[&str] = match kind {
        "kubernetes" | "" => &["role", "token_path"],
        "jwt" => &["role", "path", "remove_jwt_after_reading", "remove_jwt_follows_symlinks", "skip_delete"],
        "approle" => &["role_id_file_path", "secret_id_file_path", "remove_secret_id_file_after_reading"],
        "cert" => &["name", "client_cert", "client_key", "ca_cert", "reload"],
        "token_file" | "token-file" => &["token_file_path"],
        _ => return,
    };
    for (name, (full, text)) in options {
        if name.starts_with("remove_") {
            if text.parse() != Ok(false) {
                reading.odd(full, "nothing is removed: the file is the pod's; write false");
            }
        } else if !known.contains(&name.as_str()) {
            let hint = nearest(name, known.iter().copied())
                .map_or_else(|| format!("known are {}", known.join(", ")), |near| format!("did you mean {near}?"));
            reading.odd(full, format!("has no effect on login by {kind}; {hint}"));
        }
    }
}

/// The name of a Secret that is mounted; one that cannot be a name is hopeless.
pub(super) fn object_name(reading: &mut Reading<'_>, name: &'static str) -> Option<String> {
    let given = reading.single(name).filter(|given| !given.value.is_empty())?;
    match vouchsafe_model::name::dns_subdomain(given.value) {
        Ok(()) => Some(given.value.to_owned()),
        Err(problem) => {
            reading.hopeless(given.full, format!("{} is no name of a Secret: {problem}", quoted(given.value)));
            None
        }
    }
}

/// Methods that work.
const METHODS: [&str; 5] = ["kubernetes", "jwt", "approle", "cert", "token_file"];
/// Methods that the agent knows and we do not.
const FOREIGN_METHODS: [&str; 11] =
    ["aws", "azure", "gcp", "alicloud", "cf", "kerberos", "ldap", "oci", "userpass", "github", "okta"];
/// Where a pod finds its usual token; a token of our own says the same.
const USUAL_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";
