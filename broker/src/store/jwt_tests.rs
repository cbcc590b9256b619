//! Vectors for the token reader: each attack, by name, and the tokens that must pass.

use proptest::prelude::*;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

use super::*;

/// A signer of tokens, as an API server is one.
pub(crate) struct Signer {
    pair: EcdsaKeyPair,
    /// Its public key.
    pub(crate) pem: String,
}

impl Signer {
    /// A new P-256 key.
    pub(crate) fn new() -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let ring =
            EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pair.serialized_der(), &SystemRandom::new())
                .unwrap();
        Self { pair: ring, pem: pair.public_key_pem() }
    }

    /// A token of this header and these claims, as written.
    pub(crate) fn sign_text(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims));
        let signature = self.pair.sign(&SystemRandom::new(), signed.as_bytes()).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.as_ref()))
    }

    /// A token of these claims.
    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_text(r#"{"alg":"ES256","kid":"k"}"#, &claims.to_string())
    }

    fn keys(&self) -> Vec<VerifyingKey> {
        vec![VerifyingKey::from_pem(&self.pem).unwrap()]
    }
}

/// Claims as a projected token has them.
pub(crate) fn claims(namespace: &str, name: &str, now: i64) -> Value {
    json!({
        "iss": "https://kubernetes.default.svc", "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "aud": ["vault"], "exp": now + 600, "nbf": now, "iat": now, "jti": "j",
        "kubernetes.io": {
            "namespace": namespace, "serviceaccount": {"name": name, "uid": "sa-uid"},
            "pod": {"name": "p", "uid": "pod-uid"}, "node": {"name": "n", "uid": "node-uid"},
        },
    })
}

const NOW: i64 = 1_700_000_000;

fn check(signer: &Signer, token: &str) -> Result<Claims, JwtError> {
    let now = Timestamp::from_second(NOW).unwrap();
    Unverified::parse(&Secret::from(token.to_owned()))?.verify(&signer.keys(), Judge::Us, now)
}

fn changed(pointer: &str, value: Value) -> Value {
    let mut claims = claims("ns", "app", NOW);
    *claims.pointer_mut(pointer).unwrap() = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims("ns", "app", NOW);
    claims.as_object_mut().unwrap().remove(name);
    claims
}

#[test]
fn a_projected_token_gives_its_account() {
    let signer = Signer::new();
    let found = check(&signer, &signer.sign(&claims("ns", "app", NOW))).unwrap();
    assert_eq!((found.namespace.as_str(), found.service_account.as_str(), found.uid.as_str()), ("ns", "app", "sa-uid"));
    assert_eq!(found.audiences, ["vault"]);
    assert_eq!(check(&signer, &signer.sign(&changed("/aud", json!("vault")))).unwrap().audiences, ["vault"]);
    // A key id is a hint and nothing more.
    let token = signer.sign_text(r#"{"alg":"ES256","kid":"../../x' OR 1"}"#, &claims("ns", "app", NOW).to_string());
    assert!(check(&signer, &token).is_ok());
}

#[test]
fn headers_that_choose_the_check_themselves_are_refused() {
    let signer = Signer::new();
    let body = claims("ns", "app", NOW).to_string();
    for header in [
        r#"{"alg":"none"}"#,
        r#"{"alg":"None"}"#,
        r#"{"alg":"NONE"}"#,
        r#"{"alg":""}"#,
        r#"{"alg":["ES256"]}"#,
        r#"{"alg":"es256"}"#,
        r#"{"alg":"HS256"}"#,
        r#"{"alg":"PS256"}"#,
        r#"{"alg":"ES512"}"#,
        r#"{"alg":"EdDSA"}"#,
        "{}",
        r#"{"alg":"ES256","alg":"ES256"}"#,
        r#"{"alg":"ES256","crit":["exp"]}"#,
        r#"{"alg":"ES256","jwk":{}}"#,
        r#"{"alg":"ES256","jku":"https://evil"}"#,
        r#"{"alg":"ES256","x5u":"https://evil"}"#,
        r#"{"alg":"ES256","x5c":[]}"#,
        r#"{"alg":"ES256","kid":7}"#,
        r#"["ES256"]"#,
        "x",
    ] {
        assert!(matches!(check(&signer, &signer.sign_text(header, &body)), Err(JwtError::Format(_))), "{header}");
    }
    let long = format!(r#"{{"alg":"ES256","kid":"{}"}}"#, "k".repeat(10_000));
    assert!(matches!(check(&signer, &signer.sign_text(&long, &body)), Err(JwtError::Format(_))));
    // An algorithm of the list, but not this key's.
    for header in [r#"{"alg":"RS256"}"#, r#"{"alg":"ES384"}"#] {
        assert_eq!(check(&signer, &signer.sign_text(header, &body)), Err(JwtError::Signature), "{header}");
    }
}

#[test]
fn an_hmac_made_with_the_public_key_is_refused() {
    let signer = Signer::new();
    let signed = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#),
        URL_SAFE_NO_PAD.encode(claims("ns", "app", NOW).to_string())
    );
    for key in [signer.pem.as_bytes(), signer.pair.public_key().as_ref()] {
        let tag = ring::hmac::sign(&ring::hmac::Key::new(ring::hmac::HMAC_SHA256, key), signed.as_bytes());
        let token = format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag.as_ref()));
        assert!(matches!(check(&signer, &token), Err(JwtError::Format(_))));
    }
}

#[test]
fn only_three_canonical_parts_are_a_token() {
    let signer = Signer::new();
    let good = signer.sign(&claims("ns", "app", NOW));
    assert!(check(&signer, &good).is_ok());
    let parts: Vec<&str> = good.split('.').collect();
    let [header, body, signature] = parts.as_slice() else { panic!() };
    for bad in [
        String::new(),
        "x".to_owned(),
        "..".to_owned(),
        format!("{header}.{body}"),
        format!("{header}.{body}."),
        format!("{good}."),
        format!("{good}.."),
        format!(".{good}"),
        format!("{good}.{signature}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("Bearer {good}"),
        format!("{header}=.{body}.{signature}"),
        format!("{header}.{body}==.{signature}"),
        format!("{header}.{body}.{signature}=="),
        format!("{header}+/.{body}.{signature}"),
        "a".repeat(1024 * 1024),
    ] {
        let shown: String = bad.chars().take(40).collect();
        assert!(matches!(check(&signer, &bad), Err(JwtError::Format(_))), "{shown}");
    }
    assert_eq!(parts.len(), 3);
}

#[test]
fn base64_with_stray_bits_is_refused() {
    let signer = Signer::new();
    let good = signer.sign(&claims("ns", "app", NOW));
    // 64 bytes are 86 characters; the last one carries two bits, so three other spellings decode to the same bytes.
    let (rest, last) = good.split_at(good.len() - 1);
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let position = alphabet.find(last).unwrap();
    let twin = alphabet.chars().nth(position ^ 1).unwrap();
    assert!(matches!(check(&signer, &format!("{rest}{twin}")), Err(JwtError::Format(_))));
}

#[test]
fn any_change_breaks_the_signature() {
    let (signer, other) = (Signer::new(), Signer::new());
    let token = signer.sign(&claims("ns", "app", NOW));
    let foreign = other.sign(&claims("ns", "root", NOW));
    let body = |token: &str| token.split('.').nth(1).unwrap().to_owned();
    assert_eq!(check(&signer, &token.replace(&body(&token), &body(&foreign))), Err(JwtError::Signature));
    assert_eq!(check(&signer, &foreign), Err(JwtError::Signature));
    assert!(Unverified::parse(&Secret::from(token)).unwrap().verify(&[], Judge::Us, Timestamp::UNIX_EPOCH).is_err());
}

#[test]
fn times_are_numbers_in_their_bounds() {
    let signer = Signer::new();
    let bad = |name: &str, value: Value| {
        let outcome = check(&signer, &signer.sign(&changed(&format!("/{name}"), value.clone())));
        assert!(matches!(outcome, Err(JwtError::Claim(_))), "{name} {value}");
    };
    for name in ["exp", "nbf", "iat"] {
        for value in [json!("1700000600"), json!(-1), Value::Null, json!([]), json!(true), json!(1.5e9)] {
            bad(name, value);
        }
        let huge = claims("ns", "app", NOW).to_string();
        for digits in ["1e30", "1000000000000000000000000000000", "9223372036854775808", "253402300800"] {
            let field = format!("\"{name}\":");
            let start = huge.find(&field).unwrap() + field.len();
            let end = huge[start..].find([',', '}']).unwrap() + start;
            let text = format!("{}{digits}{}", &huge[..start], &huge[end..]);
            let outcome = check(&signer, &signer.sign_text(r#"{"alg":"ES256"}"#, &text));
            assert!(matches!(outcome, Err(JwtError::Claim(_))), "{name} {digits}");
        }
    }
    assert!(check(&signer, &signer.sign(&without("exp"))).is_err());
    assert!(check(&signer, &signer.sign(&without("nbf"))).is_ok());
    let edge =
        |name: &str, offset: i64| check(&signer, &signer.sign(&changed(&format!("/{name}"), json!(NOW + offset))));
    assert!(edge("exp", -59).is_ok());
    assert_eq!(edge("exp", -60), Err(JwtError::Claim("expiration time (exp) claim: token is expired")));
    assert!(edge("nbf", 60).is_ok());
    assert_eq!(edge("nbf", 61), Err(JwtError::Claim("not before (nbf) claim: token not yet valid")));
    assert!(edge("iat", 60).is_ok() && edge("iat", 61).is_err());
}

#[test]
fn audiences_are_a_text_or_a_list_of_texts() {
    let signer = Signer::new();
    for bad in [json!([]), json!(7), json!([7]), json!(["vault", null]), Value::Null, json!({}), json!(""), json!([""])]
    {
        assert!(check(&signer, &signer.sign(&changed("/aud", bad.clone()))).is_err(), "{bad}");
    }
    assert!(check(&signer, &signer.sign(&without("aud"))).is_err());
    let several = check(&signer, &signer.sign(&changed("/aud", json!(["a", "vault"])))).unwrap();
    assert_eq!(several.audiences, ["a", "vault"]);
}

#[test]
fn the_account_must_be_whole_and_equal_to_the_subject() {
    let signer = Signer::new();
    for (pointer, value) in [
        ("/sub", json!("system:serviceaccount:other:app")),
        ("/sub", json!("system:serviceaccount:ns:app:x")),
        ("/sub", json!("system:serviceaccount:NS:app")),
        ("/sub", json!("system:node:n")),
        ("/sub", json!(7)),
        ("/kubernetes.io", json!("ns")),
        ("/kubernetes.io/namespace", json!("NS")),
        ("/kubernetes.io/namespace", json!(" ns")),
        ("/kubernetes.io/namespace", json!(7)),
        ("/kubernetes.io/serviceaccount", json!("app")),
        ("/kubernetes.io/serviceaccount/name", json!("app ")),
        ("/kubernetes.io/serviceaccount/uid", json!("")),
        ("/kubernetes.io/serviceaccount/uid", json!(7)),
        ("/iss", json!(7)),
    ] {
        let outcome = check(&signer, &signer.sign(&changed(pointer, value.clone())));
        assert!(matches!(outcome, Err(JwtError::Claim(_))), "{pointer} {value}");
    }
    for name in ["sub", "kubernetes.io", "iss"] {
        assert!(check(&signer, &signer.sign(&without(name))).is_err(), "{name}");
    }
}

#[test]
fn a_claim_that_stands_there_twice_is_refused() {
    let signer = Signer::new();
    let claims = claims("ns", "app", NOW).to_string();
    for twice in [
        claims.replacen('{', r#"{"aud":["x"],"#, 1),
        claims.replacen('{', r#"{"exp":9999999999,"#, 1),
        claims.replace(r#""uid":"sa-uid""#, r#""uid":"sa-uid","uid":"other""#),
    ] {
        let outcome = check(&signer, &signer.sign_text(r#"{"alg":"ES256"}"#, &twice));
        assert_eq!(outcome, Err(JwtError::Format("a part holds the same name twice")));
    }
    let deep = format!("{}{}{}", "[".repeat(5000), "", "]".repeat(5000));
    let token = signer.sign_text(r#"{"alg":"ES256"}"#, &claims.replacen('{', &format!("{{\"x\":{deep},"), 1));
    assert!(check(&signer, &token).is_err());
}

#[test]
fn a_token_of_the_old_kind_passes_only_before_a_review() {
    let signer = Signer::new();
    let old = json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:ns:app",
        "kubernetes.io/serviceaccount/namespace": "ns", "kubernetes.io/serviceaccount/service-account.name": "app",
        "kubernetes.io/serviceaccount/service-account.uid": "u", "kubernetes.io/serviceaccount/secret.name": "app-token-x",
    });
    let token = Secret::from(signer.sign(&old));
    assert!(check(&signer, token.expose_str().unwrap()).is_err());
    let now = Timestamp::from_second(NOW).unwrap();
    let found = Unverified::parse(&token).unwrap().before_review(now).unwrap();
    assert_eq!((found.uid.as_str(), found.secret_name.as_str()), ("u", "app-token-x"));
}

#[test]
fn rsa_tokens_verify_with_their_key_only() {
    // Made with openssl: a 2048-bit key, RS256 over the text below.
    let pem = include_str!("fixtures/rsa.pem");
    let key = VerifyingKey::from_pem(pem).unwrap();
    let signature = include_bytes!("fixtures/rsa256.sig");
    assert!(key.verifies(Algorithm::Rs256, include_bytes!("fixtures/message.txt"), signature));
    assert!(!key.verifies(Algorithm::Rs384, include_bytes!("fixtures/message.txt"), signature));
    assert!(!key.verifies(Algorithm::Es256, include_bytes!("fixtures/message.txt"), signature));
    assert!(!key.verifies(Algorithm::Rs256, b"other", signature));
    assert!(VerifyingKey::from_pem(include_str!("fixtures/rsa1024.pem")).is_err());
}

#[test]
fn no_error_repeats_the_token() {
    let signer = Signer::new();
    let token = signer.sign(&changed("/kubernetes.io/namespace", json!("HUNTER2")));
    let error = check(&signer, &token).unwrap_err().to_string();
    assert!(!error.contains("HUNTER2") && !error.contains(&token[..20]));
}

proptest! {
    #[test]
    fn no_text_makes_the_reader_panic(text in "[A-Za-z0-9._=-]{0,120}") {
        let _ = Unverified::parse(&Secret::from(text));
    }

    #[test]
    fn no_claims_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..120)) {
        let token = format!("{}.{}.AAAA", URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256"}"#), URL_SAFE_NO_PAD.encode(bytes));
        if let Ok(unverified) = Unverified::parse(&Secret::from(token)) {
            let _ = unverified.before_review(Timestamp::UNIX_EPOCH);
        }
    }
}
