//! Certificates of the dev servers: one authority per state folder, a fresh leaf at every start.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use vouchsafe_model::Secret;

use super::state::State;

/// The authority and how to sign with it.
pub(crate) struct Authority {
    /// PEM of the authority's certificate.
    pub(crate) certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

/// A server certificate with its key.
pub(crate) struct Leaf {
    /// PEM chain.
    pub(crate) chain: String,
    /// PEM key.
    pub(crate) key: Secret,
}

impl Authority {
    /// Reads the state folder's authority, or makes one.
    pub(crate) fn open(state: &State) -> Result<Self> {
        let key = state.secret("ca.key", || Ok(Secret::from(KeyPair::generate()?.serialize_pem())))?;
        // EXPOSE: the key library wants the PEM text.
        let key = KeyPair::from_pem(key.expose_str().context("ca.key is not text; remove it to get a new authority")?)
            .context("ca.key is no PEM key; remove ca.key and ca.crt to get a new authority")?;
        let path = state.path("ca.crt");
        let certificate = if let Ok(pem) = std::fs::read_to_string(&path) {
            pem
        } else {
            let pem = authority_parameters().self_signed(&key)?.pem();
            std::fs::write(&path, &pem).with_context(|| format!("write {}", path.display()))?;
            pem
        };
        let issuer = Issuer::from_ca_cert_pem(&certificate, key)
            .with_context(|| format!("{} is no certificate authority; remove ca.key and ca.crt", path.display()))?;
        Ok(Self { certificate, issuer })
    }

    /// A server certificate for this machine's loopback.
    pub(crate) fn leaf(&self, name: &str) -> Result<Leaf> {
        let key = KeyPair::generate()?;
        let mut parameters = CertificateParams::new(vec!["localhost".to_owned(), name.to_owned()])?;
        parameters.subject_alt_names.push(SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
        parameters.subject_alt_names.push(SanType::IpAddress(IpAddr::V6(Ipv6Addr::LOCALHOST)));
        parameters.distinguished_name.push(DnType::CommonName, name);
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        validity(&mut parameters, LEAF_DAYS);
        let certificate = parameters.signed_by(&key, &self.issuer)?;
        Ok(Leaf { chain: certificate.pem(), key: Secret::from(key.serialize_pem()) })
    }
}

fn authority_parameters() -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, "Vouchsafe dev authority");
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    validity(&mut parameters, AUTHORITY_DAYS);
    parameters
}

/// From an hour ago (clocks differ a little) for `days` days.
fn validity(parameters: &mut CertificateParams, days: u64) {
    let now = SystemTime::now();
    parameters.not_before = (now - Duration::from_secs(3600)).into();
    parameters.not_after = (now + Duration::from_secs(days * 24 * 3600)).into();
}

/// A year: a laptop's state folder should not break after a holiday.
const AUTHORITY_DAYS: u64 = 365;
/// A leaf is made anew at every start.
const LEAF_DAYS: u64 = 30;
