//! `Unverified` and `Claims`: the token of a Kubernetes service account, read strictly.
//!
//! ```text
//! base64url(HEADER) "." base64url(CLAIMS) "." base64url(SIGNATURE)        no padding, canonical, exactly three parts
//! HEADER {"alg":"RS256","kid":"…"}                      alg from our own list, no crit, no embedded or linked keys
//! CLAIMS {"iss","sub":"system:serviceaccount:NS:NAME","aud":["…"],"exp","nbf","iat",
//!         "kubernetes.io":{"namespace","serviceaccount":{"name","uid"},"pod":{"name","uid"},"node":{…}}}
//! ```
//! An [`Unverified`] shows nothing: its claims come out only through a signature check, or for a TokenReview, where the
//! API server is the judge. A claim of a wrong type is never taken for an absent one, and no claim may stand there twice.
//! Out of scope: who may log in with it ([`super::kubernetes`]).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use vouchsafe_model::Secret;
use vouchsafe_model::name::{Namespace, ServiceAccount};

use super::key::{Algorithm, VerifyingKey};
use super::tree::Tree;

/// Longest token that is looked at; real ones have 1 to 2 KiB.
const TOKEN_BYTES: usize = 16 * 1024;
/// Longest key id; Kubernetes uses 43 characters.
const KEY_ID_BYTES: usize = 256;
/// How far clocks may differ, in seconds, as in Vault.
const LEEWAY: i64 = 60;
/// Latest time that a claim may name: the year 9999. Anything above is an attack or a mistake.
const TIME_MAX: i64 = 253_402_300_799;

/// Why a token is not accepted. Never repeats a claim of the token.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum JwtError {
    /// Not a token of the drawn form.
    #[error("malformed jwt: {0}")]
    Format(&'static str),
    /// The signature is not by one of our keys.
    #[error("error verifying token signature: no known key successfully validated the token signature")]
    Signature,
    /// A claim is missing, of a wrong type, or not what it must be.
    #[error("invalid {0}")]
    Claim(&'static str),
}

/// A token whose signature nobody checked yet.
pub(crate) struct Unverified {
    signed: Secret,
    algorithm: Algorithm,
    signature: Vec<u8>,
    claims: Tree,
}

/// What a checked token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claims {
    /// Who it is for.
    pub(crate) audiences: Vec<String>,
    /// Who issued it.
    pub(crate) issuer: Option<String>,
    /// The account's namespace.
    pub(crate) namespace: Namespace,
    /// The account.
    pub(crate) service_account: ServiceAccount,
    /// The account's uid.
    pub(crate) uid: String,
    /// The token's Secret, for tokens of the old kind.
    pub(crate) secret_name: String,
}

/// Who vouches for a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judge {
    /// We alone: every claim must be there.
    Us,
    /// The API server afterwards: tokens of the old kind lack `exp` and `aud`.
    TokenReview,
}

impl Unverified {
    /// Takes the token apart.
    pub(crate) fn parse(token: &Secret) -> Result<Self, JwtError> {
        // EXPOSE: taking the token apart is what it came for.
        let text = token.expose_str().ok_or(JwtError::Format("not UTF-8"))?;
        if text.len() > TOKEN_BYTES {
            return Err(JwtError::Format("longer than 16 KiB"));
        }
        let mut parts = text.split('.');
        let (Some(header), Some(claims), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(JwtError::Format("must have three parts joined by '.'"));
        };
        let decode =
            |part: &str| URL_SAFE_NO_PAD.decode(part).map_err(|_| JwtError::Format("a part is no canonical base64url"));
        let algorithm = read_header(&read_object(&decode(header)?)?)?;
        let signed = Secret::from(format!("{header}.{claims}"));
        let (claims, signature) = (read_object(&decode(claims)?)?, decode(signature)?);
        if signature.is_empty() {
            return Err(JwtError::Format("token must be signed"));
        }
        Ok(Self { signed, algorithm, signature, claims })
    }

    /// The claims, once one of `keys` has verified the signature.
    pub(crate) fn verify(self, keys: &[VerifyingKey], judge: Judge, now: Timestamp) -> Result<Claims, JwtError> {
        // EXPOSE: the signed bytes only enter the check.
        let message = self.signed.expose();
        if !keys.iter().any(|key| key.verifies(self.algorithm, message, &self.signature)) {
            return Err(JwtError::Signature);
        }
        read_claims(&self.claims, judge, now)
    }

    /// The claims as the bearer states them, for comparison with what a TokenReview will say. Nothing else may use them.
    pub(crate) fn before_review(self, now: Timestamp) -> Result<Claims, JwtError> {
        read_claims(&self.claims, Judge::TokenReview, now)
    }
}

fn read_object(bytes: &[u8]) -> Result<Tree, JwtError> {
    let tree = Tree::parse(bytes).map_err(|_| JwtError::Format("a part is no JSON"))?;
    if !matches!(tree, Tree::Object(_)) {
        return Err(JwtError::Format("a part is no JSON object"));
    }
    if tree.duplicate().is_some() {
        return Err(JwtError::Format("a part holds the same name twice"));
    }
    Ok(tree)
}

fn read_header(header: &Tree) -> Result<Algorithm, JwtError> {
    const DANGEROUS: [&str; 6] = ["crit", "jwk", "jku", "x5u", "x5c", "b64"];
    if DANGEROUS.iter().any(|name| header.get(name).is_some()) {
        return Err(JwtError::Format("the header brings keys or extensions of its own"));
    }
    match header.get("kid") {
        None => {}
        Some(Tree::Text(kid)) if kid.len() <= KEY_ID_BYTES => {}
        Some(_) => return Err(JwtError::Format("the key id is no text, or too long")),
    }
    let name = header.get("alg").and_then(Tree::as_text).unwrap_or_default();
    Algorithm::named(name).ok_or(JwtError::Format("token signed with unexpected algorithm"))
}

fn read_claims(claims: &Tree, judge: Judge, now: Timestamp) -> Result<Claims, JwtError> {
    check_times(claims, judge, now)?;
    let required = |name, value: Option<String>| match (value, judge) {
        (None, Judge::Us) => Err(JwtError::Claim(name)),
        (value, _) => Ok(value),
    };
    let issuer = required("issuer (iss) claim", text(claims, "iss", "issuer (iss) claim")?)?;
    let subject = text(claims, "sub", "subject (sub) claim")?.ok_or(JwtError::Claim("subject (sub) claim"))?;
    let (namespace, name, uid, secret_name) = read_account(claims)?;
    let namespace: Namespace = namespace.parse().map_err(|_| JwtError::Claim("kubernetes.io namespace claim"))?;
    let service_account: ServiceAccount =
        name.parse().map_err(|_| JwtError::Claim("kubernetes.io serviceaccount claim"))?;
    if subject != format!("system:serviceaccount:{namespace}:{service_account}") {
        return Err(JwtError::Claim("subject (sub) claim"));
    }
    Ok(Claims { audiences: read_audiences(claims, judge)?, issuer, namespace, service_account, uid, secret_name })
}

/// Namespace, name, uid and Secret: of the projected form, or of the old one.
fn read_account(claims: &Tree) -> Result<(String, String, String, String), JwtError> {
    const CLAIM: &str = "kubernetes.io claim";
    let found =
        |value: Result<Option<String>, JwtError>| value?.filter(|text| !text.is_empty()).ok_or(JwtError::Claim(CLAIM));
    if let Some(kubernetes) = claims.get("kubernetes.io") {
        let account = kubernetes.get("serviceaccount").ok_or(JwtError::Claim(CLAIM))?;
        let namespace = found(text(kubernetes, "namespace", CLAIM))?;
        return Ok((
            namespace,
            found(text(account, "name", CLAIM))?,
            found(text(account, "uid", CLAIM))?,
            String::new(),
        ));
    }
    Ok((
        found(text(claims, "kubernetes.io/serviceaccount/namespace", CLAIM))?,
        found(text(claims, "kubernetes.io/serviceaccount/service-account.name", CLAIM))?,
        found(text(claims, "kubernetes.io/serviceaccount/service-account.uid", CLAIM))?,
        text(claims, "kubernetes.io/serviceaccount/secret.name", CLAIM)?.unwrap_or_default(),
    ))
}

fn read_audiences(claims: &Tree, judge: Judge) -> Result<Vec<String>, JwtError> {
    const CLAIM: JwtError = JwtError::Claim("audience (aud) claim");
    let audiences = match claims.get("aud") {
        None if judge == Judge::TokenReview => return Ok(Vec::new()),
        Some(Tree::Text(one)) => vec![one.clone()],
        Some(Tree::List(items)) => {
            items.iter().map(|item| item.as_text().map(str::to_owned)).collect::<Option<_>>().ok_or(CLAIM)?
        }
        _ => return Err(CLAIM),
    };
    if audiences.is_empty() || audiences.iter().any(String::is_empty) { Err(CLAIM) } else { Ok(audiences) }
}

fn check_times(claims: &Tree, judge: Judge, now: Timestamp) -> Result<(), JwtError> {
    const EXPIRED: &str = "expiration time (exp) claim: token is expired";
    const EARLY: &str = "not before (nbf) claim: token not yet valid";
    const FUTURE: &str = "issued at (iat) claim: token issued in the future";
    let now = now.as_second();
    match time(claims, "exp", "expiration time (exp) claim")? {
        None if judge == Judge::Us => return Err(JwtError::Claim("expiration time (exp) claim")),
        Some(expires) if expires + LEEWAY <= now => return Err(JwtError::Claim(EXPIRED)),
        _ => {}
    }
    if time(claims, "nbf", "not before (nbf) claim")?.is_some_and(|start| start > now + LEEWAY) {
        return Err(JwtError::Claim(EARLY));
    }
    if time(claims, "iat", "issued at (iat) claim")?.is_some_and(|issued| issued > now + LEEWAY) {
        return Err(JwtError::Claim(FUTURE));
    }
    Ok(())
}

/// A text claim. Another type is an error, not an absence.
fn text(tree: &Tree, name: &str, claim: &'static str) -> Result<Option<String>, JwtError> {
    match tree.get(name) {
        None => Ok(None),
        Some(Tree::Text(text)) => Ok(Some(text.clone())),
        Some(_) => Err(JwtError::Claim(claim)),
    }
}

/// A time claim: whole seconds from 0 on. Another type is an error, not an absence.
fn time(tree: &Tree, name: &str, claim: &'static str) -> Result<Option<i64>, JwtError> {
    match tree.get(name) {
        None => Ok(None),
        Some(Tree::Number(number)) => match number.as_i64() {
            Some(seconds) if (0..=TIME_MAX).contains(&seconds) => Ok(Some(seconds)),
            _ => Err(JwtError::Claim(claim)),
        },
        Some(_) => Err(JwtError::Claim(claim)),
    }
}

#[cfg(test)]
#[path = "jwt_tests.rs"]
pub(crate) mod tests;
