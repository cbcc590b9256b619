//! `VerifyingKey`: a public key out of a PEM block, and the check of a signature with it.
//!
//! ```text
//! PUBLIC KEY      SubjectPublicKeyInfo ::= SEQUENCE { SEQUENCE { OID, parameters }, BIT STRING }     RFC 5280 4.1
//! CERTIFICATE     SEQUENCE { SEQUENCE { [0]? serial sigAlg issuer validity subject SPKI … } … }
//! RSA PUBLIC KEY  RSAPublicKey, as it is
//! ```
//! RSA from 2048 bits, P-256 and P-384; ring has no P-521, so such a key is refused. Out of scope: validity of a
//! certificate; it is only a wrapping here, as in Vault.

use ring::signature::{self, UnparsedPublicKey, VerificationAlgorithm};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// How a token is signed. Only what public keys can check; `none` and HMACs do not exist here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    /// RSASSA-PKCS1-v1_5 with SHA-256.
    Rs256,
    /// RSASSA-PKCS1-v1_5 with SHA-384.
    Rs384,
    /// RSASSA-PKCS1-v1_5 with SHA-512.
    Rs512,
    /// ECDSA on P-256 with SHA-256.
    Es256,
    /// ECDSA on P-384 with SHA-384.
    Es384,
}

impl Algorithm {
    /// By its exact name in a JWS header.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "RS256" => Some(Self::Rs256),
            "RS384" => Some(Self::Rs384),
            "RS512" => Some(Self::Rs512),
            "ES256" => Some(Self::Es256),
            "ES384" => Some(Self::Es384),
            _ => None,
        }
    }
}

/// What a key is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
}

/// A public key.
#[derive(Debug)]
pub(crate) struct VerifyingKey {
    kind: Kind,
    bytes: Vec<u8>,
}

impl VerifyingKey {
    /// From one PEM block: a public key or a certificate.
    pub(crate) fn from_pem(pem: &str) -> Result<Self, String> {
        let bytes = pem.as_bytes();
        let problem = || "pem_keys: holds no PEM block PUBLIC KEY or CERTIFICATE with an RSA or ECDSA key".to_owned();
        if pem.contains("-----BEGIN RSA PUBLIC KEY-----") {
            let spki = rsa_block(pem).ok_or_else(problem)?;
            return Self { kind: Kind::Rsa, bytes: spki }.checked();
        }
        if let Ok(spki) = SubjectPublicKeyInfoDer::from_pem_slice(bytes) {
            return Self::from_spki(spki.as_ref()).ok_or_else(problem)?.checked();
        }
        let certificate = CertificateDer::from_pem_slice(bytes).map_err(|_| problem())?;
        let spki = spki_of_certificate(certificate.as_ref()).ok_or_else(problem)?;
        Self::from_spki(spki).ok_or_else(problem)?.checked()
    }

    /// Whether `signature` over `message` was made with this key's other half, by `algorithm`.
    pub(crate) fn verifies(&self, algorithm: Algorithm, message: &[u8], signature: &[u8]) -> bool {
        let algorithm: &'static dyn VerificationAlgorithm = match (self.kind, algorithm) {
            (Kind::Rsa, Algorithm::Rs256) => &signature::RSA_PKCS1_2048_8192_SHA256,
            (Kind::Rsa, Algorithm::Rs384) => &signature::RSA_PKCS1_2048_8192_SHA384,
            (Kind::Rsa, Algorithm::Rs512) => &signature::RSA_PKCS1_2048_8192_SHA512,
            (Kind::P256, Algorithm::Es256) => &signature::ECDSA_P256_SHA256_FIXED,
            (Kind::P384, Algorithm::Es384) => &signature::ECDSA_P384_SHA384_FIXED,
            _ => return false,
        };
        UnparsedPublicKey::new(algorithm, &self.bytes).verify(message, signature).is_ok()
    }

    fn from_spki(spki: &[u8]) -> Option<Self> {
        let (content, _) = element(spki, SEQUENCE)?;
        let (algorithm, rest) = element(content, SEQUENCE)?;
        let (bits, _) = element(rest, BIT_STRING)?;
        let (unused, bytes) = bits.split_first()?;
        let (oid, parameters) = element(algorithm, OID)?;
        let kind = match oid {
            RSA_OID => Kind::Rsa,
            EC_OID => match element(parameters, OID)?.0 {
                P256_OID => Kind::P256,
                P384_OID => Kind::P384,
                _ => return None,
            },
            _ => return None,
        };
        (*unused == 0).then(|| Self { kind, bytes: bytes.to_vec() })
    }

    /// Refuses keys that could never verify anything, so that a mistake shows when it is made.
    fn checked(self) -> Result<Self, String> {
        let fits = match self.kind {
            Kind::Rsa => rsa_bits(&self.bytes).is_some_and(|bits| (RSA_BITS_MIN..=RSA_BITS_MAX).contains(&bits)),
            Kind::P256 => self.bytes.len() == 65 && self.bytes.first() == Some(&4),
            Kind::P384 => self.bytes.len() == 97 && self.bytes.first() == Some(&4),
        };
        if fits {
            Ok(self)
        } else {
            Err(format!("pem_keys: an RSA key must have {RSA_BITS_MIN} to {RSA_BITS_MAX} bits, an ECDSA key be whole"))
        }
    }
}

fn rsa_block(pem: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let body = pem.split("-----BEGIN RSA PUBLIC KEY-----").nth(1)?.split("-----END RSA PUBLIC KEY-----").next()?;
    let text: String = body.split_ascii_whitespace().collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}

fn rsa_bits(key: &[u8]) -> Option<usize> {
    let (content, _) = element(key, SEQUENCE)?;
    let (modulus, _) = element(content, INTEGER)?;
    let significant = modulus.iter().skip_while(|byte| **byte == 0).count();
    let leading = modulus.iter().find(|byte| **byte != 0)?.leading_zeros();
    Some(significant * 8 - usize::try_from(leading).ok()?)
}

fn spki_of_certificate(certificate: &[u8]) -> Option<&[u8]> {
    let (content, _) = element(certificate, SEQUENCE)?;
    let (mut rest, _) = element(content, SEQUENCE)?;
    if let Some((_, after)) = element(rest, VERSION) {
        rest = after;
    }
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        (_, rest) = element(rest, tag)?;
    }
    let (_, after) = element(rest, SEQUENCE)?;
    rest.get(..rest.len() - after.len())
}

/// The content of a DER element of this tag, and what follows it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    if *found != tag {
        return None;
    }
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OID: u8 = 0x06;
const SEQUENCE: u8 = 0x30;
/// `[0]`, the version of a certificate.
const VERSION: u8 = 0xa0;
/// rsaEncryption, 1.2.840.113549.1.1.1.
const RSA_OID: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// id-ecPublicKey, 1.2.840.10045.2.1.
const EC_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// secp256r1, 1.2.840.10045.3.1.7.
const P256_OID: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// secp384r1, 1.3.132.0.34.
const P384_OID: &[u8] = &[0x2b, 0x81, 0x04, 0x00, 0x22];
/// Shortest RSA key that ring verifies with.
const RSA_BITS_MIN: usize = 2048;
/// Longest RSA key that ring verifies with.
const RSA_BITS_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn keys_come_out_of_certificates_and_public_keys_alike() {
        for algorithm in [&rcgen::PKCS_ECDSA_P256_SHA256, &rcgen::PKCS_ECDSA_P384_SHA384] {
            let pair = rcgen::KeyPair::generate_for(algorithm).unwrap();
            let certificate = rcgen::CertificateParams::default().self_signed(&pair).unwrap();
            let plain = VerifyingKey::from_pem(&pair.public_key_pem()).unwrap();
            let wrapped = VerifyingKey::from_pem(&certificate.pem()).unwrap();
            assert_eq!((plain.kind, &plain.bytes), (wrapped.kind, &wrapped.bytes));
        }
    }

    #[test]
    fn other_keys_and_no_keys_are_refused() {
        let ed25519 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
        assert!(VerifyingKey::from_pem(&ed25519.public_key_pem()).is_err());
        for bad in ["", "x", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
            assert!(VerifyingKey::from_pem(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_der_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let _ = (VerifyingKey::from_spki(&bytes), spki_of_certificate(&bytes), rsa_bits(&bytes));
        }
    }
}
