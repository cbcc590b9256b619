//! `Certificate`: one X.509 certificate as read from PEM, and what we ask of it. Pure.
//!
//! Out of scope: whether a client accepts it, which rustls decides ([`super::leaf`]).

use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::name::ServerName;

/// A certificate and the facts about it that decisions need.
#[derive(Clone, PartialEq, Eq)]
pub struct Certificate {
    /// PEM text, one block, ending in a newline.
    pub pem: String,
    /// DER bytes.
    pub(super) der: CertificateDer<'static>,
    /// Begin of validity.
    pub not_before: SystemTime,
    /// End of validity.
    pub not_after: SystemTime,
    /// SubjectPublicKeyInfo, DER.
    pub(super) public_key: Vec<u8>,
    /// DNS names and addresses that its name constraints permit; empty where it has none.
    pub(super) permitted: Vec<String>,
    /// DNS names and addresses that it is for, as written.
    pub(super) names: Vec<String>,
    /// Whether it is a certificate authority that signed itself.
    pub(super) is_root: bool,
}

impl Certificate {
    /// Reads the first certificate of a PEM text; says in words why that is not possible.
    pub fn from_pem(pem: &str) -> Result<Self, String> {
        let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| "is no PEM certificate".to_owned())?;
        Self::from_der(der)
    }

    /// All certificates of a PEM text that can be read; what cannot be is passed over.
    pub fn all_from_pem(pem: &str) -> Vec<Self> {
        CertificateDer::pem_slice_iter(pem.as_bytes()).flatten().filter_map(|der| Self::from_der(der).ok()).collect()
    }

    pub(super) fn from_der(der: CertificateDer<'static>) -> Result<Self, String> {
        let (_, parsed) = X509Certificate::from_der(&der).map_err(|_| "is no X.509 certificate".to_owned())?;
        let is_root = parsed.is_ca() && parsed.subject() == parsed.issuer() && parsed.verify_signature(None).is_ok();
        let permitted = parsed
            .name_constraints()
            .map_err(|_| "has broken name constraints".to_owned())?
            .and_then(|found| found.value.permitted_subtrees.as_ref())
            .into_iter()
            .flatten()
            .filter_map(|subtree| shown(&subtree.base))
            .collect();
        let names = parsed
            .subject_alternative_name()
            .map_err(|_| "has broken names".to_owned())?
            .into_iter()
            .flat_map(|found| &found.value.general_names)
            .filter_map(shown)
            .collect();
        let (not_before, not_after) = (parsed.validity().not_before, parsed.validity().not_after);
        Ok(Self {
            not_before: time(not_before.timestamp()),
            not_after: time(not_after.timestamp()),
            public_key: parsed.public_key().raw.to_vec(),
            permitted,
            names,
            is_root,
            pem: to_pem(&der),
            der,
        })
    }

    /// Whether it is a root of our kind, for `names`, and valid at `now`; the text says what it lacks.
    pub(super) fn check_root(&self, names: &[ServerName], now: SystemTime) -> Result<(), String> {
        self.check_kind()?;
        if self.not_after <= now {
            return Err(format!("expired at {}", super::stamp(self.not_after)));
        }
        if self.not_before > now {
            return Err(format!("is not valid before {}; is this clock right?", super::stamp(self.not_before)));
        }
        match names.iter().find(|name| !name.is_permitted_by(&self.permitted)) {
            Some(name) => Err(format!("may not vouch for {name}, only for {}", self.permitted.join(", "))),
            None => Ok(()),
        }
    }

    /// Whether it is a root that is constrained to names: nobody but us makes such ones for this Secret.
    pub(super) fn check_kind(&self) -> Result<(), String> {
        if !self.is_root {
            return Err("is no self-signed certificate authority".to_owned());
        }
        if self.permitted.is_empty() {
            return Err("vouches for every name; only a root with name constraints is used here".to_owned());
        }
        Ok(())
    }
}

impl std::fmt::Debug for Certificate {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "<certificate until {}>", super::stamp(self.not_after))
    }
}

/// A DNS name or an address (of a constraint: the address without its mask, which is all ones in our roots).
fn shown(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        GeneralName::IPAddress(bytes) => match bytes {
            [a, b, c, d] | [a, b, c, d, 255, 255, 255, 255] => Some(Ipv4Addr::new(*a, *b, *c, *d).to_string()),
            _ => {
                let (address, mask) = bytes.split_at_checked(IPV6_BYTES)?;
                let is_one = mask.iter().all(|byte| *byte == u8::MAX);
                let address: [u8; IPV6_BYTES] = address.try_into().ok()?;
                is_one.then(|| Ipv6Addr::from(address).to_string())
            }
        },
        _ => None,
    }
}

fn time(unix_seconds: i64) -> SystemTime {
    u64::try_from(unix_seconds)
        .ok()
        .and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

/// One block of 64-column base64 (RFC 7468).
fn to_pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    for (index, character) in text.chars().enumerate() {
        if index > 0 && index % PEM_COLUMNS == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem.push_str("\n-----END CERTIFICATE-----\n");
    pem
}

/// Bytes of an IPv6 address.
const IPV6_BYTES: usize = 16;
/// Characters of a PEM line (RFC 7468 section 2).
const PEM_COLUMNS: usize = 64;
