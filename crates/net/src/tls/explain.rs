//! Why a handshake failed, in words that say what to do.

use std::io;

use rustls::{AlertDescription, CertificateError, Error};
use vouchsafe_model::text::quoted;

/// Explains the error of a handshake with `host`.
pub(crate) fn explain(error: &io::Error, host: &str) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(Error::InvalidCertificate(problem)) => certificate(problem, host),
        Some(Error::AlertReceived(alert)) => refused(*alert),
        Some(Error::InvalidMessage(_)) => "the server does not speak TLS on this port".to_owned(),
        Some(Error::PeerIncompatible(_)) => "the server offers neither TLS 1.3 nor 1.2 with a cipher we use".to_owned(),
        Some(other) => other.to_string(),
        None if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the server closed the connection during the handshake".to_owned()
        }
        None => error.to_string(),
    }
}

fn certificate(problem: &CertificateError, host: &str) -> String {
    match problem {
        CertificateError::UnknownIssuer => {
            "the server's certificate is not signed by a trusted root; check the trust bundle".to_owned()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the server's certificate has expired; renew it, or correct this machine's clock".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the server's certificate is not valid yet; correct this machine's clock or the server's".to_owned()
        }
        CertificateError::NotValidForName => other_name(host, &[]),
        CertificateError::NotValidForNameContext { presented, .. } => other_name(host, presented),
        CertificateError::BadSignature => {
            "the server's certificate carries a wrong signature; a root of the same name but with another key is trusted"
                .to_owned()
        }
        other => format!("the server's certificate is refused: {other}"),
    }
}

fn other_name(host: &str, presented: &[String]) -> String {
    let names: Vec<String> = presented.iter().take(NAMES).map(|name| shown(name)).collect();
    let names = if names.is_empty() { "other names".to_owned() } else { names.join(", ") };
    format!("the server's certificate is for {names}, not for {host}; use one of its names in the address")
}

/// A name as rustls gives it, `DnsName("a.b")` or `IpAddress(…)`, without that frame.
fn shown(name: &str) -> String {
    let inner = name.strip_prefix("DnsName(\"").and_then(|rest| rest.strip_suffix("\")"));
    match inner {
        Some(inner) if inner.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'*')) => {
            inner.chars().take(NAME_CHARS).collect()
        }
        _ => quoted(name),
    }
}

fn refused(alert: AlertDescription) -> String {
    format!("the server refused the handshake ({alert:?})")
}

/// Names of a certificate that a message repeats.
const NAMES: usize = 4;
/// Longest DNS name.
const NAME_CHARS: usize = 253;
