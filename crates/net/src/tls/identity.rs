//! `Identity`: a server's certificate and key, replaceable while the server runs.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls_pki_types::PrivateKeyDer;
use rustls_pki_types::pem::PemObject as _;
use vouchsafe_model::Secret;

use super::validity::not_after;
use super::{ALPN, TlsError, certificates, provider};
use crate::hash::{SHA256_BYTES, sha256_of};
use crate::lifecycle::Lifecycle;
use crate::watch::FolderWatch;

/// A certificate chain and its key. Clones share replacements.
#[derive(Clone, Debug)]
pub struct Identity {
    current: Arc<Current>,
    settings: Arc<ServerConfig>,
}

impl Identity {
    /// From a PEM chain, leaf first, and its PEM key.
    pub fn from_pem(chain: &str, key: &Secret) -> Result<Self, TlsError> {
        let current = Arc::new(Current(ArcSwap::from_pointee(pair(chain, key)?)));
        let mut settings = ServerConfig::builder_with_provider(provider())
            .with_safe_default_protocol_versions()
            .map_err(|error| TlsError::Settings(error.to_string()))?
            .with_no_client_auth()
            .with_cert_resolver(Arc::<Current>::clone(&current));
        settings.alpn_protocols = vec![ALPN.to_vec()];
        settings.session_storage = Arc::new(NoServerSessionStorage {});
        settings.send_tls13_tickets = 0;
        Ok(Self { current, settings: Arc::new(settings) })
    }

    /// From `tls.crt` and `tls.key` of a folder, as Kubernetes mounts a TLS Secret.
    pub fn from_folder(folder: &Path) -> Result<Self, TlsError> {
        let files = Files::read(folder)?;
        Self::from_pem(&files.chain, &files.key).map_err(|source| in_folder(folder, source))
    }

    /// Uses another chain and key from the next handshake on. A pair that does not fit changes nothing.
    pub fn replace(&self, chain: &str, key: &Secret) -> Result<(), TlsError> {
        self.current.0.store(Arc::new(pair(chain, key)?));
        Ok(())
    }

    /// Follows `folder` until the lifecycle stops: a new pair is taken over, a bad one is reported once and not used.
    pub fn follow(&self, folder: &Path, lifecycle: &Lifecycle) {
        let (identity, folder, stop) = (self.clone(), folder.to_owned(), lifecycle.clone());
        lifecycle.spawn("certificates", async move {
            let mut follower = Follower::new(identity);
            let mut watch = FolderWatch::new(&folder).unwrap_or_else(|_| FolderWatch::polling(&folder));
            follower.look(&folder);
            loop {
                tokio::select! {
                    () = stop.stopping() => return,
                    () = watch.changed() => follower.look(&folder),
                }
            }
        });
    }

    /// End of validity of the certificate in use; `None` where it cannot be read.
    pub fn not_after(&self) -> Option<SystemTime> {
        not_after(self.current.0.load().cert.first()?)
    }
}

/// Settings of a server that shows `identity`; the same for every call.
pub fn server_config(identity: &Identity) -> Arc<ServerConfig> {
    Arc::clone(&identity.settings)
}

/// The pair in use, as rustls asks for it at each handshake.
#[derive(Debug)]
struct Current(ArcSwap<CertifiedKey>);

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.load_full())
    }
}

fn pair(chain: &str, key: &Secret) -> Result<CertifiedKey, TlsError> {
    let chain = certificates(chain, "certificate chain")?;
    // EXPOSE: rustls needs the key itself.
    let key = PrivateKeyDer::from_pem_slice(key.expose()).map_err(|_| TlsError::NoKey)?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|error| TlsError::Pair(error.to_string()))
}

/// The two files of a folder.
struct Files {
    chain: String,
    key: Secret,
}

impl Files {
    fn read(folder: &Path) -> Result<Self, TlsError> {
        let path = |name: &str| folder.join(name);
        let failed = |name: &str| {
            let file = path(name);
            move |source| TlsError::Read { file, source }
        };
        let chain = fs::read_to_string(path(CHAIN_FILE)).map_err(failed(CHAIN_FILE))?;
        let key = fs::read(path(KEY_FILE)).map(Secret::new).map_err(failed(KEY_FILE))?;
        Ok(Self { chain, key })
    }

    fn digest(&self) -> [u8; SHA256_BYTES] {
        // EXPOSE: only a digest of the key leaves this line.
        sha256_of(&[self.chain.as_bytes(), &[0], self.key.expose()])
    }
}

fn in_folder(folder: &Path, source: TlsError) -> TlsError {
    TlsError::Folder { folder: folder.to_owned(), source: Box::new(source) }
}

/// Takes over what changed in a folder.
struct Follower {
    identity: Identity,
    /// Digest of the files looked at last, good or bad.
    seen: Option<[u8; SHA256_BYTES]>,
    /// The complaint made last, so that it is not repeated every minute.
    complaint: Option<String>,
}

impl Follower {
    fn new(identity: Identity) -> Self {
        Self { identity, seen: None, complaint: None }
    }

    fn look(&mut self, folder: &Path) {
        match Files::read(folder) {
            Ok(files) => {
                let digest = files.digest();
                if self.seen.replace(digest) == Some(digest) {
                    return;
                }
                match self.identity.replace(&files.chain, &files.key) {
                    Ok(()) => self.took_over(folder),
                    Err(error) => self.complain(&in_folder(folder, error)),
                }
            }
            Err(error) => self.complain(&error),
        }
    }

    fn took_over(&mut self, folder: &Path) {
        self.complaint = None;
        let days = self.identity.not_after().and_then(|end| end.duration_since(SystemTime::now()).ok());
        let days = days.map_or(0, |left| left.as_secs() / DAY_SECONDS);
        tracing::info!(folder = %folder.display(), days_left = days, "certificate in use");
    }

    fn complain(&mut self, error: &TlsError) {
        let text = error.to_string();
        if self.complaint.as_deref() != Some(text.as_str()) {
            tracing::error!(error = %text, "new certificate cannot be used; the last good one stays");
            self.complaint = Some(text);
        }
    }
}

/// File names in a Kubernetes Secret of type `kubernetes.io/tls`.
const CHAIN_FILE: &str = "tls.crt";
const KEY_FILE: &str = "tls.key";
/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;
