//! The auth method `kubernetes`: its configuration and the login of a service account.
//!
//! ```text
//! kube/UUID/config      Config      kube/UUID/reviewer   the reviewer's token      kube/UUID/role/NAME   Role (listed)
//! ```
//! Two ways to know that a token is genuine. With `pem_keys` and no `kubernetes_host` the signature is checked here and
//! every claim must be there (a deleted pod's token then works until it ends). With `kubernetes_host` the API server is
//! asked by TokenReview as well: the login stops here as a [`ReviewOf`] and goes on in [`finish`].
//! Out of scope: roles ([`super::kubernetes_role`]) and the call itself ([`super::review`]).

use std::net::IpAddr;

use serde::{Deserialize, Serialize};
use serde_json::json;
use vouchsafe_model::Secret;
use vouchsafe_model::path::ServerAddress;

use super::envelope::{Answer, FORBIDDEN, INTERNAL, Refusal, object};
use super::fault::Fault;
use super::fields::Fields;
use super::jwt::{Claims, Judge, JwtError, Unverified};
use super::key::VerifyingKey;
use super::kubernetes_role::{self, Role};
use super::mount::Mount;
use super::table::{Listed, Session};
use super::token::{self, Lifetime, Token, clean_policies};
use super::token_api;
use super::wrapping::Wish;
use crate::upstream::Operation;

/// Port of an API server whose address names none.
const API_SERVER_PORT: u16 = 443;

#[derive(Serialize, Deserialize)]
struct Config {
    host: String,
    ca_cert: String,
    pem_keys: Vec<String>,
    issuer: String,
    disable_iss_validation: bool,
    disable_local_ca_jwt: bool,
    reviewer_set: bool,
}

/// A login that waits for the API server's word.
pub(crate) struct ReviewOf {
    /// What a TokenReview must confirm.
    pub(crate) claims: Claims,
    /// The token under review.
    pub(crate) jwt: Secret,
    /// Audiences to ask for; empty asks for the API server's own.
    pub(crate) audiences: Vec<String>,
    /// The API server.
    pub(crate) server: ServerAddress,
    /// PEM roots of the API server; empty means the pod's own.
    pub(crate) ca_cert: String,
    /// Who asks: the configured token, else (`None`) the pod's own or the reviewed token itself.
    pub(crate) reviewer: Option<Secret>,
    /// Whether the pod's own token and roots may be used.
    pub(crate) local: bool,
    /// Whether the answer shall be wrapped.
    pub(crate) wish: Option<Wish>,
    mount: Mount,
    role: String,
    client: IpAddr,
}

/// How far a login got.
pub(crate) enum Login {
    /// Done.
    Answer(Answer),
    /// The API server must be asked.
    Review(Box<ReviewOf>),
}

/// Answers `auth/PATH/REST` but for the login.
pub(crate) fn handle(
    session: &mut Session<'_>,
    mount: &Mount,
    rest: &str,
    operation: Operation,
    fields: &Fields,
) -> Result<Answer, Refusal> {
    match (rest, operation) {
        ("config", Operation::Read) => read_config(session, mount),
        ("config", Operation::Write) => write_config(session, mount, fields),
        ("role" | "role/", Operation::List) => Answer::keys(session.list(&kubernetes_role::folder(mount))?),
        ("config" | "role" | "role/" | "login", _) => Err(Refusal::unsupported()),
        _ => match rest.strip_prefix("role/") {
            Some(name) if !name.contains('/') => kubernetes_role::handle(session, mount, name, operation, fields),
            _ => Err(Refusal::no_such_path()),
        },
    }
}

/// Configures a mount for the cluster that the store runs in: the pod's own roots, and its own token, which is read
/// again for each review.
pub(crate) fn set_up_in_cluster(session: &mut Session<'_>, mount: &Mount, host: &str) -> Result<(), Fault> {
    let config = Config {
        host: host.to_owned(),
        ca_cert: String::new(),
        pem_keys: Vec::new(),
        issuer: String::new(),
        disable_iss_validation: true,
        disable_local_ca_jwt: false,
        reviewer_set: false,
    };
    session.write("kubernetes config", &config_record(mount), &config, Listed::No)
}

/// Whether `host` is an API server's address.
pub(crate) fn check_host(host: &str) -> Result<(), String> {
    server(host).map(drop)
}

/// Removes everything of a mount.
pub(crate) fn remove_all(session: &mut Session<'_>, mount: &Mount) -> Result<(), Fault> {
    for name in session.list(&kubernetes_role::folder(mount))? {
        session.remove(&kubernetes_role::record(mount, &name), Listed::Yes)?;
    }
    session.remove(&config_record(mount), Listed::No)?;
    session.remove(&reviewer_record(mount), Listed::No)
}

/// `POST auth/PATH/login`.
pub(crate) fn login(
    session: &mut Session<'_>,
    mount: &Mount,
    fields: &Fields,
    client: IpAddr,
) -> Result<Login, Refusal> {
    let role_name = fields.text("role")?.filter(|text| !text.is_empty()).ok_or_else(|| Refusal::bad("missing role"))?;
    let jwt = fields.secret("jwt")?.ok_or_else(|| Refusal::bad("missing jwt"))?;
    let role = load_role(session, mount, &role_name)?;
    if !role.allows_address(client) {
        return Err(Refusal::unknown_token());
    }
    let config: Option<Config> = session.read("kubernetes config", &config_record(mount))?;
    let config = config.ok_or_else(|| Refusal::said(INTERNAL, "could not load backend configuration"))?;
    let claims = read_token(session, &config, &jwt)?;
    check_claims(&config, &role, &claims)?;
    if config.host.is_empty() {
        return issue(session, mount, &role_name, &role, &claims).map(Login::Answer);
    }
    let reviewer = if config.reviewer_set {
        session.read::<String>("kubernetes reviewer", &reviewer_record(mount))?.map(Secret::from)
    } else {
        None
    };
    let audiences = if role.audience.is_empty() { claims.audiences.clone() } else { vec![role.audience.clone()] };
    let server = server(&config.host).map_err(|problem| Refusal::said(INTERNAL, problem))?;
    Ok(Login::Review(Box::new(ReviewOf {
        claims,
        jwt,
        audiences,
        server,
        ca_cert: config.ca_cert,
        reviewer,
        local: !config.disable_local_ca_jwt,
        wish: None,
        mount: mount.clone(),
        role: role_name,
        client,
    })))
}

/// The rest of a login that the API server has confirmed. The role is read again: it may have changed meanwhile.
pub(crate) fn finish(session: &mut Session<'_>, review: &ReviewOf) -> Result<Answer, Refusal> {
    let role = load_role(session, &review.mount, &review.role)?;
    if !role.allows_address(review.client) {
        return Err(Refusal::unknown_token());
    }
    check_account(&role, &review.claims)?;
    issue(session, &review.mount, &review.role, &role, &review.claims)
}

fn load_role(session: &Session<'_>, mount: &Mount, name: &str) -> Result<Role, Refusal> {
    kubernetes_role::load(session, mount, name)?.ok_or_else(|| Refusal::bad(format!("invalid role name {name:?}")))
}

fn read_token(session: &Session<'_>, config: &Config, jwt: &Secret) -> Result<Claims, Refusal> {
    let refuse = |error: JwtError| match error {
        JwtError::Signature => Refusal::unknown_token(),
        other => Refusal::said(FORBIDDEN, other.to_string()),
    };
    let unverified = Unverified::parse(jwt).map_err(refuse)?;
    if config.pem_keys.is_empty() {
        if config.host.is_empty() {
            return Err(Refusal::said(INTERNAL, "could not load backend configuration"));
        }
        return unverified.before_review(session.now).map_err(refuse);
    }
    let keys: Result<Vec<_>, _> = config.pem_keys.iter().map(|pem| VerifyingKey::from_pem(pem)).collect();
    let keys = keys.map_err(|_| Fault::Shape("kubernetes config"))?;
    let judge = if config.host.is_empty() { Judge::Us } else { Judge::TokenReview };
    unverified.verify(&keys, judge, session.now).map_err(refuse)
}

fn check_claims(config: &Config, role: &Role, claims: &Claims) -> Result<(), Refusal> {
    if !config.disable_iss_validation && !config.issuer.is_empty() && claims.issuer.as_ref() != Some(&config.issuer) {
        return Err(Refusal::said(FORBIDDEN, "invalid issuer (iss) claim"));
    }
    if !role.audience.is_empty() && !claims.audiences.contains(&role.audience) {
        let text = "invalid audience (aud) claim: audience claim does not match any expected audience";
        return Err(Refusal::said(FORBIDDEN, text));
    }
    check_account(role, claims)
}

fn check_account(role: &Role, claims: &Claims) -> Result<(), Refusal> {
    if !matches_any(&role.bound_service_account_names, claims.service_account.as_str()) {
        return Err(Refusal::said(FORBIDDEN, "service account name not authorized"));
    }
    if !matches_any(&role.bound_service_account_namespaces, claims.namespace.as_str()) {
        return Err(Refusal::said(FORBIDDEN, "namespace not authorized"));
    }
    Ok(())
}

fn issue(
    session: &mut Session<'_>,
    mount: &Mount,
    role_name: &str,
    role: &Role,
    claims: &Claims,
) -> Result<Answer, Refusal> {
    let (namespace, name) = (claims.namespace.as_str(), claims.service_account.as_str());
    let mut token = Token::draft(session.now, &format!("{}login", mount.path));
    let meta = [
        ("role", role_name),
        ("service_account_name", name),
        ("service_account_namespace", namespace),
        ("service_account_secret_name", claims.secret_name.as_str()),
        ("service_account_uid", claims.uid.as_str()),
    ];
    token.meta = Some(meta.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect());
    token.policies = clean_policies(&role.token_policies, !role.token_no_default_policy);
    token.display_name = format!("{}-{namespace}-{name}", mount.short_path().trim_end_matches('/'));
    token.num_uses = role.token_num_uses;
    token.bound_cidrs.clone_from(&role.token_bound_cidrs);
    token.batch = role.token_type == "batch";
    token.renewable = !token.batch;
    token.max_ttl = role.token_max_ttl;
    token.explicit_max_ttl = role.token_explicit_max_ttl;
    token.period = role.token_period;
    token.role_record = Some(kubernetes_role::record(mount, role_name));
    let lifetime = Lifetime {
        increment: 0,
        ttl: role.token_ttl,
        period: role.token_period,
        max_ttl: role.token_max_ttl,
        explicit_max_ttl: role.token_explicit_max_ttl,
        issued: session.now,
    };
    let (ttl, warnings) = lifetime.seconds(session.now).ok_or_else(|| Refusal::said(INTERNAL, "past the max TTL"))?;
    token.ttl = ttl;
    let value = token::issue(session, &mut token, None)?;
    Ok(Answer::auth(token_api::auth_block(session, &token, Some(&value))).warn(warnings))
}

fn read_config(session: &Session<'_>, mount: &Mount) -> Result<Answer, Refusal> {
    let config: Option<Config> = session.read("kubernetes config", &config_record(mount))?;
    let config = config.ok_or_else(Refusal::nothing)?;
    Ok(Answer::data(object(json!({
        "kubernetes_host": config.host, "kubernetes_ca_cert": config.ca_cert, "pem_keys": config.pem_keys,
        "issuer": config.issuer, "disable_iss_validation": config.disable_iss_validation,
        "disable_local_ca_jwt": config.disable_local_ca_jwt, "token_reviewer_jwt_set": config.reviewer_set,
    }))))
}

/// A write replaces everything: what is left out is cleared.
fn write_config(session: &mut Session<'_>, mount: &Mount, fields: &Fields) -> Result<Answer, Refusal> {
    let reviewer = fields.secret("token_reviewer_jwt")?;
    let config = Config {
        host: fields.text("kubernetes_host")?.unwrap_or_default(),
        ca_cert: fields.text("kubernetes_ca_cert")?.unwrap_or_default(),
        pem_keys: fields.blocks("pem_keys")?.unwrap_or_default(),
        issuer: fields.text("issuer")?.unwrap_or_default(),
        disable_iss_validation: fields.flag("disable_iss_validation")?.unwrap_or(true),
        disable_local_ca_jwt: fields.flag("disable_local_ca_jwt")?.unwrap_or(false),
        reviewer_set: reviewer.is_some(),
    };
    if config.host.is_empty() && config.pem_keys.is_empty() {
        return Err(Refusal::bad("no host provided"));
    }
    if !config.host.is_empty() {
        server(&config.host).map_err(Refusal::bad)?;
        if config.disable_local_ca_jwt && config.ca_cert.is_empty() {
            return Err(Refusal::bad("kubernetes_ca_cert must be given when disable_local_ca_jwt is true"));
        }
    }
    for pem in &config.pem_keys {
        VerifyingKey::from_pem(pem).map_err(Refusal::bad)?;
    }
    session.write("kubernetes config", &config_record(mount), &config, Listed::No)?;
    // EXPOSE: encrypted at once.
    match reviewer.as_ref().and_then(Secret::expose_str) {
        Some(token) => session.write("kubernetes reviewer", &reviewer_record(mount), &token, Listed::No)?,
        None => session.remove(&reviewer_record(mount), Listed::No)?,
    }
    Ok(Answer::done())
}

/// Address of an API server: https, with port 443 where none is named.
fn server(host: &str) -> Result<ServerAddress, String> {
    let bare = host.trim_end_matches('/');
    let after_host = bare.rsplit_once(']').map_or(bare.strip_prefix("https://").unwrap_or(bare), |(_, rest)| rest);
    let full = if after_host.contains(':') { bare.to_owned() } else { format!("{bare}:{API_SERVER_PORT}") };
    full.parse().map_err(|error| format!("kubernetes_host: {error}"))
}

/// Whether one of `patterns` is `*`, equals `name`, or matches it with a `*` at its start or end.
fn matches_any(patterns: &[String], name: &str) -> bool {
    patterns.iter().any(|pattern| match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(""), _) => true,
        (Some(rest), Some(_)) => name.contains(rest.trim_end_matches('*')),
        (Some(end), None) => name.ends_with(end),
        (None, Some(start)) => name.starts_with(start),
        (None, None) => pattern == name,
    })
}

fn config_record(mount: &Mount) -> String {
    format!("kube/{}/config", mount.uuid)
}

fn reviewer_record(mount: &Mount) -> String {
    format!("kube/{}/reviewer", mount.uuid)
}

#[cfg(test)]
impl ReviewOf {
    /// A review of account `ns/app`.
    pub(crate) fn example(audiences: Vec<String>) -> Self {
        let claims = Claims {
            audiences: audiences.clone(),
            issuer: None,
            namespace: "ns".parse().unwrap(),
            service_account: "app".parse().unwrap(),
            uid: "sa-uid".to_owned(),
            secret_name: String::new(),
        };
        Self {
            claims,
            jwt: Secret::from("a.b.c".to_owned()),
            audiences,
            server: "https://127.0.0.1:1".parse().unwrap(),
            ca_cert: String::new(),
            reviewer: None,
            local: false,
            wish: None,
            mount: Mount::example(),
            role: "r".to_owned(),
            client: IpAddr::V4(std::net::Ipv4Addr::LOCALHOST),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bound_names_are_exact_or_globs() {
        let matches = |patterns: &[&str], name: &str| {
            matches_any(&patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>(), name)
        };
        assert!(matches(&["*"], "x") && matches(&["app"], "app") && matches(&["a", "app-*"], "app-1"));
        assert!(matches(&["*-x"], "a-x") && matches(&["*b*"], "abc"));
        for (patterns, name) in
            [(&["app"][..], "app-1"), (&["app-*"], "app"), (&["App"], "app"), (&[], "x"), (&[""], "x")]
        {
            assert!(!matches(patterns, name), "{patterns:?} {name}");
        }
    }

    #[test]
    fn api_servers_listen_on_443_unless_they_say_otherwise() {
        let address = |host: &str| server(host).map(|server| server.to_string());
        assert_eq!(address("https://kubernetes.default.svc").unwrap(), "https://kubernetes.default.svc:443");
        assert_eq!(address("https://10.0.0.1:6443/").unwrap(), "https://10.0.0.1:6443");
        assert_eq!(address("https://[::1]").unwrap(), "https://[::1]:443");
        assert_eq!(address("https://[::1]:6443").unwrap(), "https://[::1]:6443");
        for bad in ["http://x", "x", "", "https://x/y", "https://u@x"] {
            assert!(address(bad).is_err(), "{bad}");
        }
    }
}
