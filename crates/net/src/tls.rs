//! TLS: whom we trust, who we are, and why a handshake failed, in words.
//!
//! rustls with ring, TLS 1.3 and 1.2, ALPN `http/1.1`. No session is resumed: each connection proves both sides anew, so
//! a replaced root or certificate holds from the next connection on. Out of scope: making certificates.

mod explain;
mod identity;
mod validity;

use std::path::PathBuf;
use std::sync::Arc;

use rustls::client::Resumption;
use rustls::crypto::{CryptoProvider, ring};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::pem::PemObject as _;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use vouchsafe_model::Secret;

pub(crate) use self::explain::explain;
pub use self::identity::{Identity, server_config};

/// Why certificates or keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("read {}: {source}", .file.display())]
    Read {
        /// The file.
        file: PathBuf,
        /// The system's word.
        source: std::io::Error,
    },
    /// The files of a folder do not make an identity.
    #[error("{}: {source}", .folder.display())]
    Folder {
        /// The folder that holds `tls.crt` and `tls.key`.
        folder: PathBuf,
        /// What is wrong.
        source: Box<TlsError>,
    },
    /// No certificate in a PEM text.
    #[error("the {0} holds no certificate; it must be PEM with at least one BEGIN CERTIFICATE block")]
    NoCertificate(&'static str),
    /// A PEM text is broken.
    #[error("the {0} is no valid PEM; check that it was not cut or re-encoded")]
    Pem(&'static str),
    /// More certificates than anybody needs.
    #[error("the {0} holds more than {CERTIFICATES} certificates; name only the roots in use and their successors")]
    TooMany(&'static str),
    /// A root certificate that cannot be one.
    #[error("certificate {number} of the trust bundle cannot be used as a root: {problem}")]
    Root {
        /// Its place in the bundle, from 1.
        number: usize,
        /// What rustls says.
        problem: String,
    },
    /// No private key in a PEM text.
    #[error("the key is no PEM private key (PKCS#8, PKCS#1 or SEC1)")]
    NoKey,
    /// Certificate and key do not go together, or are of a kind we do not know.
    #[error("certificate and key cannot be used together: {0}")]
    Pair(String),
    /// rustls refuses the settings; a mistake of ours.
    #[error("TLS settings: {0}")]
    Settings(String),
}

/// Certificates that a server's chain must end in: a bundle, usually the root in use and its successor.
#[derive(Clone)]
pub struct TrustRoots {
    pem: Arc<str>,
    config: Arc<ClientConfig>,
}

impl TrustRoots {
    /// Reads PEM certificates: 1 to 256, nothing else is looked at.
    pub fn from_pem(pem: &str) -> Result<Self, TlsError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates(pem, BUNDLE)?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| TlsError::Root { number: index + 1, problem: error.to_string() })?;
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Settings(error.to_string()))?
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { pem: pem.into(), config: Arc::new(config) })
    }

    /// The same roots, and our own certificate and key (PEM) for servers that ask for one.
    pub fn with_identity(&self, certificate: &str, key: &Secret) -> Result<Self, TlsError> {
        let chain = certificates(certificate, "client certificate")?;
        // EXPOSE: the key signs our side of the handshake.
        let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| TlsError::NoKey)?;
        let mut roots = RootCertStore::empty();
        for (index, certificate) in certificates(&self.pem, BUNDLE)?.into_iter().enumerate() {
            roots.add(certificate).map_err(|error| TlsError::Root { number: index + 1, problem: error.to_string() })?;
        }
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Settings(error.to_string()))?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map_err(|error| TlsError::Pair(error.to_string()))?;
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        Ok(Self { pem: Arc::clone(&self.pem), config: Arc::new(config) })
    }

    /// The PEM text that they were read from.
    pub fn pem(&self) -> &str {
        &self.pem
    }
}

impl std::fmt::Debug for TrustRoots {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "<trust roots of {} bytes>", self.pem.len())
    }
}

impl PartialEq for TrustRoots {
    fn eq(&self, other: &Self) -> bool {
        self.pem == other.pem
    }
}

/// Settings of a client that trusts `roots`; the same for every call with clones of the same roots.
pub fn client_config(roots: &TrustRoots) -> Arc<ClientConfig> {
    Arc::clone(&roots.config)
}

/// The certificates of a PEM text: at least one.
fn certificates(pem: &str, what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let mut found = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem.as_bytes()) {
        found.push(certificate.map_err(|_| TlsError::Pem(what))?);
        if found.len() > CERTIFICATES {
            return Err(TlsError::TooMany(what));
        }
    }
    if found.is_empty() { Err(TlsError::NoCertificate(what)) } else { Ok(found) }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

/// The only protocol that we speak.
const ALPN: &[u8] = b"http/1.1";
/// Certificates in one PEM text: more than the 150 of a whole public root program.
const CERTIFICATES: usize = 256;
/// How messages call a set of roots.
const BUNDLE: &str = "trust bundle";

#[cfg(test)]
mod tests;
