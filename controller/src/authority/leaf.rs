//! Certificates of servers: whether the one in a Secret will do, and a new one where it will not. Pure.
//!
//! What counts is what clients do: rustls verifies the certificate against the root in use, for every name. A new
//! certificate is made at two thirds of the old one's life, so the servers have a third of it to take the new one over.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier as _;
use rustls::pki_types::UnixTime;
use vouchsafe_model::Secret;

use super::{
    Authority, AuthorityError, Certificate, Changes, Data, Keys, Note, Root, ServerName, Terms, due, fault, stamp, text,
};

/// A server whose certificate is made here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Serving {
    /// Name of the Secret with `tls.crt`, `tls.key` and `ca.crt`.
    pub secret: String,
    /// Names that clients use; the first one is the certificate's common name.
    pub names: Vec<ServerName>,
}

/// A server's Secret as it should be now.
#[derive(Debug)]
pub struct Issue {
    /// What to write; empty means that it is as it should be.
    pub changes: Changes,
    /// What to log once it is written.
    pub notes: Vec<Note>,
    /// End of the certificate that will be in use; `None` while there is none.
    pub not_after: Option<SystemTime>,
}

/// Decides about one server's Secret. Nothing is signed before the root is published.
pub fn issue(
    serving: &Serving,
    data: &Data,
    authority: &Authority,
    terms: &Terms,
    now: SystemTime,
    keys: Keys<'_>,
) -> Result<Issue, AuthorityError> {
    let mut issue = Issue { changes: Changes::new(), notes: Vec::new(), not_after: None };
    match judge(serving, data, authority, now) {
        Verdict::Keep(certificate) => issue.not_after = Some(certificate.not_after),
        _ if authority.since.is_none() => return Ok(issue),
        Verdict::Replace(note) => {
            let key = keys().map_err(AuthorityError::Make)?;
            let certificate = authority.current.sign(&serving.names, terms, now, &key)?;
            issue.not_after = Some(certificate.not_after);
            issue.notes.push(Note { is_fault: note.is_fault, text: format!("new certificate: {}", note.text) });
            issue.changes.insert(CERTIFICATE.to_owned(), Some(Secret::from(certificate.pem)));
            issue.changes.insert(KEY.to_owned(), Some(Secret::from(key.serialize_pem())));
        }
    }
    let bundle = authority.bundle();
    if text(data, AUTHORITY) != Some(bundle.as_str()) {
        issue.changes.insert(AUTHORITY.to_owned(), Some(Secret::from(bundle)));
    }
    Ok(issue)
}

/// Whether a client that trusts the PEM `bundle` accepts the PEM `certificate` for `host` at `now`; if not, why.
pub fn accepts(bundle: &str, certificate: &str, host: &str, now: SystemTime) -> Result<(), String> {
    let name: ServerName = host.parse().map_err(|error: super::ServerNameError| error.to_string())?;
    let roots = Certificate::all_from_pem(bundle);
    verify(&Certificate::from_pem(certificate)?, &[name], &roots, now)
}

enum Verdict {
    Keep(Certificate),
    Replace(Note),
}

fn judge(serving: &Serving, data: &Data, authority: &Authority, now: SystemTime) -> Verdict {
    let replace = |note: Note| Verdict::Replace(note);
    let (pem, key) = match (text(data, CERTIFICATE), data.get(KEY)) {
        (None, None) => return replace(due("there was none")),
        (None, Some(_)) => return replace(fault("tls.crt is missing")),
        (Some(_), None) => return replace(fault("tls.key is missing")),
        (Some(pem), Some(key)) => (pem, key),
    };
    let certificate = match Certificate::from_pem(pem) {
        Ok(certificate) => certificate,
        Err(problem) => return replace(fault(&format!("tls.crt {problem}"))),
    };
    let (certificate, _) = match Root::join(certificate, key) {
        Ok(root) => (root.certificate, root.key),
        Err(problem) => return replace(fault(&format!("tls.key {problem}"))),
    };
    let names: BTreeSet<&str> = serving.names.iter().map(ServerName::as_str).collect();
    if names != certificate.names.iter().map(String::as_str).collect() {
        return replace(due(&format!("the old one was for {}", certificate.names.join(", "))));
    }
    if certificate.not_after <= now {
        return replace(fault(&format!("the old one expired at {}", stamp(certificate.not_after))));
    }
    if let Err(problem) = verify(&certificate, &serving.names, [&authority.current.certificate], now) {
        let is_ours = verify(&certificate, &serving.names, authority.roots(), now).is_ok();
        return replace(if is_ours {
            due("the old one was signed by the root before")
        } else {
            fault(&format!("clients would refuse the old one: {problem}"))
        });
    }
    if renewal(&certificate) <= now {
        return replace(due("two thirds of the old one's life are over"));
    }
    Verdict::Keep(certificate)
}

/// When a certificate is replaced: two thirds into its life.
fn renewal(certificate: &Certificate) -> SystemTime {
    let life = certificate.not_after.duration_since(certificate.not_before).unwrap_or_default();
    certificate.not_after.checked_sub(life / 3).unwrap_or(certificate.not_after)
}

/// Whether a client that trusts `roots` accepts `certificate` for each of `names` at `now`. As strict as both rustls and
/// Go: roots that have expired do not count.
pub(super) fn verify<'a>(
    certificate: &Certificate,
    names: &[ServerName],
    roots: impl IntoIterator<Item = &'a Certificate>,
    now: SystemTime,
) -> Result<(), String> {
    let mut store = RootCertStore::empty();
    for root in roots.into_iter().filter(|root| root.not_before <= now && root.not_after >= now) {
        store.add(root.der.clone()).map_err(|error| error.to_string())?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|error| error.to_string())?;
    let time = UnixTime::since_unix_epoch(now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
    for name in names {
        let asked = name.example().try_into().map_err(|_| format!("{name} is no name that TLS knows"))?;
        verifier.verify_server_cert(&certificate.der, &[], &asked, &[], time).map_err(|error| error.to_string())?;
    }
    Ok(())
}

/// Certificate of the server, PEM.
const CERTIFICATE: &str = "tls.crt";
/// Its key, PEM (PKCS#8).
const KEY: &str = "tls.key";
/// The trust bundle, for programs that want it beside the certificate.
const AUTHORITY: &str = "ca.crt";
