//! Tokens shaped exactly like Kubernetes' projected ServiceAccount tokens.
//!
//! ```text
//! header {"alg":"ES256","kid":"…"}
//! claims {"aud":["vouchsafe"],"exp":…,"iat":…,"iss":"https://kubernetes.default.svc","jti":"…","kubernetes.io":
//!         {"namespace":"…","node":{"name":"…","uid":"…"},"pod":{"name":"…","uid":"…"},
//!          "serviceaccount":{"name":"…","uid":"…"}},"nbf":…,"sub":"system:serviceaccount:NS:SA"}
//! ```
//! The embedded store's kubernetes auth trusts the public key; nothing else does.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rcgen::{KeyPair, PublicKeyData};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::json;
use vouchsafe_model::{Secret, Workload};
use vouchsafe_net::{hash, random};

use super::state::State;

/// Signs tokens with the state folder's key.
pub(crate) struct Issuer {
    key: EcdsaKeyPair,
    key_id: String,
    public_key: String,
}

impl Issuer {
    /// Reads the state folder's key, or makes one.
    pub(crate) fn open(state: &State) -> Result<Self> {
        let pem = state.secret("issuer.key", || Ok(Secret::from(KeyPair::generate()?.serialize_pem())))?;
        // EXPOSE: the key library wants the PEM text.
        let pair = KeyPair::from_pem(pem.expose_str().context("issuer.key is not text; remove it")?)
            .context("issuer.key is no PEM key; remove it to get a new one")?;
        let key =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &pair.serialize_der(), &SystemRandom::new())
                .map_err(|_| anyhow!("issuer.key is no P-256 key; remove it to get a new one"))?;
        let key_id = hash::hex(&hash::sha256(&pair.subject_public_key_info()));
        Ok(Self { key, key_id, public_key: pair.public_key_pem() })
    }

    /// PEM of the public key, for the `pem_keys` of the kubernetes auth method.
    pub(crate) fn public_key(&self) -> &str {
        &self.public_key
    }

    /// A token for `workload`, valid from `now` for [`TOKEN_LIFE`].
    pub(crate) fn token(&self, workload: &Workload, audience: &str, now: SystemTime) -> Result<Secret> {
        let seconds = now.duration_since(UNIX_EPOCH).context("the clock stands before 1970")?.as_secs();
        let account_uid = stable_uid(&format!("serviceaccount/{}/{}", workload.namespace, workload.service_account));
        let header = json!({"alg": "ES256", "kid": self.key_id});
        let claims = json!({
            "aud": [audience],
            "exp": seconds + TOKEN_LIFE.as_secs(),
            "iat": seconds,
            "iss": ISSUER,
            "jti": random::identifier(),
            "kubernetes.io": {
                "namespace": workload.namespace,
                "node": {"name": NODE, "uid": stable_uid(NODE)},
                "pod": {"name": workload.pod, "uid": workload.pod_uid},
                "serviceaccount": {"name": workload.service_account, "uid": account_uid},
            },
            "nbf": seconds,
            "sub": format!("system:serviceaccount:{}:{}", workload.namespace, workload.service_account),
        });
        let signed =
            format!("{}.{}", URL_SAFE_NO_PAD.encode(header.to_string()), URL_SAFE_NO_PAD.encode(claims.to_string()));
        let signature = self
            .key
            .sign(&SystemRandom::new(), signed.as_bytes())
            .map_err(|_| anyhow!("sign a ServiceAccount token: no randomness"))?;
        Ok(Secret::from(format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))))
    }
}

/// A UID in the usual form, always the same for the same name.
pub(crate) fn stable_uid(name: &str) -> String {
    let hex = hash::hex(&hash::sha256(name.as_bytes()));
    let part = |from: usize, to: usize| hex.get(from..to).unwrap_or_default();
    format!("{}-{}-4{}-8{}-{}", part(0, 8), part(8, 12), part(13, 16), part(17, 20), part(20, 32))
}

/// Issuer of in-cluster tokens, as most clusters have it.
pub(crate) const ISSUER: &str = "https://kubernetes.default.svc";
/// Name of the node that `dev` pretends to be.
pub(crate) const NODE: &str = "dev";
/// Life of a projected token, as the webhook asks for it.
pub(crate) const TOKEN_LIFE: Duration = Duration::from_secs(3600);
