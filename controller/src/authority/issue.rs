//! Making roots and leaves. Pure: time and keys are arguments.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};
use vouchsafe_model::Secret;
use vouchsafe_net::hash::{hex, sha256_of};

use super::AuthorityError;
use super::certificate::Certificate;
use super::name::{ServerName, constraints};
use super::terms::Terms;

/// A root certificate with its key.
#[derive(Debug)]
pub struct Root {
    /// The certificate.
    pub certificate: Certificate,
    /// Its key, PEM (PKCS#8).
    pub(super) key: Secret,
}

impl Root {
    /// A root of `terms` with `key`, valid from now on.
    pub(super) fn make(terms: &Terms, now: SystemTime, key: &KeyPair) -> Result<Self, AuthorityError> {
        let mut parameters = CertificateParams::default();
        let name: String = hex(&sha256_of(&[key.public_key_raw()])).chars().take(NAME_DIGITS).collect();
        parameters.distinguished_name.push(DnType::CommonName, format!("Vouchsafe authority {name}"));
        parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        parameters.name_constraints = Some(constraints(terms.names()));
        validity(&mut parameters, now, super::later(now, terms.ca_lifetime()));
        let made = parameters.self_signed(key).map_err(AuthorityError::Make)?;
        let certificate = Certificate::from_der(made.der().clone()).map_err(AuthorityError::Unreadable)?;
        Ok(Self { certificate, key: Secret::from(key.serialize_pem()) })
    }

    /// Joins a certificate and its key; the text says why they do not fit.
    pub(super) fn join(certificate: Certificate, key: &Secret) -> Result<Self, String> {
        // EXPOSE: the certificate library wants the key's PEM text.
        let text = key.expose_str().ok_or_else(|| "is no text".to_owned())?;
        let pair = KeyPair::from_pem(text).map_err(|_| "is no PEM private key".to_owned())?;
        if rcgen::PublicKeyData::subject_public_key_info(&pair) != certificate.public_key {
            return Err("does not belong to the certificate beside it".to_owned());
        }
        Ok(Self { certificate, key: key.duplicate() })
    }

    /// A server certificate for `names`, which ends with this root at the latest.
    pub(super) fn sign(
        &self,
        names: &[ServerName],
        terms: &Terms,
        now: SystemTime,
        key: &KeyPair,
    ) -> Result<Certificate, AuthorityError> {
        let mut parameters = CertificateParams::default();
        for name in names {
            parameters.subject_alt_names.push(alternative(name)?);
        }
        if let Some(first) = names.first() {
            let common: String = first.as_str().chars().take(COMMON_NAME_CHARS).collect();
            parameters.distinguished_name.push(DnType::CommonName, common);
        }
        parameters.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        parameters.use_authority_key_identifier_extension = true;
        validity(&mut parameters, now, super::later(now, terms.leaf_lifetime()).min(self.certificate.not_after));
        // EXPOSE: the certificate library wants the root key's PEM text.
        let text = self.key.expose_str().unwrap_or_default();
        let root_key = KeyPair::from_pem(text).map_err(AuthorityError::Make)?;
        let issuer = Issuer::from_ca_cert_der(&self.certificate.der, root_key).map_err(AuthorityError::Make)?;
        let made = parameters.signed_by(key, &issuer).map_err(AuthorityError::Make)?;
        Certificate::from_der(made.der().clone()).map_err(AuthorityError::Unreadable)
    }
}

fn alternative(name: &ServerName) -> Result<SanType, AuthorityError> {
    Ok(match name.as_str().parse::<IpAddr>() {
        Ok(address) => SanType::IpAddress(address),
        Err(_) => SanType::DnsName(name.as_str().try_into().map_err(AuthorityError::Make)?),
    })
}

/// From a little before `now`, since clocks differ, to `end`.
fn validity(parameters: &mut CertificateParams, now: SystemTime, end: SystemTime) {
    let life = end.duration_since(now).unwrap_or_default();
    parameters.not_before = now.checked_sub(BACKDATE.min(life / BACKDATE_SHARE)).unwrap_or(now).into();
    parameters.not_after = end.into();
}

/// Clocks that differ by more break other things first.
const BACKDATE: Duration = Duration::from_secs(3600);
/// A short life is not backdated by more than this share of it, so that "two thirds of its life" means what it says.
const BACKDATE_SHARE: u32 = 20;
/// Digits of the key's digest in a root's name: roots in one bundle must not be taken for each other.
const NAME_DIGITS: usize = 12;
/// Longest common name (RFC 5280 appendix A, ub-common-name).
const COMMON_NAME_CHARS: usize = 64;
