//! Requests to the auth method `kubernetes`.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::super::START;
use super::Step;
use crate::upstream::Operation::{Delete, List, Read, Write};

pub(super) fn kubernetes() -> Vec<Step> {
    let none = || Value::Null;
    let signer = super::super::super::jwt::tests::Signer::new();
    let jwt =
        |namespace: &str, name: &str| signer.sign(&super::super::super::jwt::tests::claims(namespace, name, START));
    // Both clocks must take it: it is valid from the test's beginning of time until tomorrow.
    let jwt_now = |namespace: &str, name: &str, audience: &str| {
        let mut claims = super::super::super::jwt::tests::claims(namespace, name, START);
        claims["exp"] = json!(Timestamp::now().as_second() + 86_400);
        claims["aud"] = json!([audience]);
        signer.sign(&claims)
    };
    let role = json!({
        "bound_service_account_names": "app", "bound_service_account_namespaces": "ns", "audience": "vault",
        "token_policies": ["p1"], "token_ttl": "10m",
    });
    let login = |role: &str, jwt: String| json!({"role": role, "jwt": jwt});
    let certificate = rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap().cert.pem();
    vec![
        ("root", Write, "sys/auth/kubernetes", json!({"type": "kubernetes"}), ""),
        ("root", Write, "sys/auth/kubernetes", json!({"type": "kubernetes"}), ""),
        ("root", Read, "auth/kubernetes/config", none(), ""),
        ("root", Write, "auth/kubernetes/config", json!({}), ""),
        ("root", List, "auth/kubernetes/role", none(), ""),
        ("root", Read, "auth/kubernetes/role/r", none(), ""),
        ("root", Write, "auth/kubernetes/role/r", json!({}), ""),
        ("root", Write, "auth/kubernetes/role/r", json!({"bound_service_account_names": "a"}), ""),
        ("root", Write, "auth/kubernetes/role/r", role, ""),
        ("root", Write, "auth/kubernetes/role/r", json!({"token_max_ttl": "5m"}), ""),
        ("root", Read, "auth/kubernetes/role/r", none(), ""),
        ("root", List, "auth/kubernetes/role", none(), ""),
        ("nobody", Write, "auth/kubernetes/login", json!({}), ""),
        ("nobody", Write, "auth/kubernetes/login", json!({"role": "r"}), ""),
        ("nobody", Write, "auth/kubernetes/login", login("none", jwt("ns", "app")), ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt("ns", "app")), ""),
        (
            "root",
            Write,
            "auth/kubernetes/config",
            json!({"kubernetes_host": "https://127.0.0.1:1", "kubernetes_ca_cert": certificate, "pem_keys": [signer.pem]}),
            "",
        ),
        ("root", Read, "auth/kubernetes/config", none(), ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", "x".to_owned()), ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("ns", "stranger", "vault")), ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("elsewhere", "app", "vault")), ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("ns", "app", "other")), ""),
        ("nobody", Write, "auth/kubernetes/login", login("r", jwt_now("ns", "app", "vault")), ""),
        ("root", Write, "auth/kubernetes/role/r", json!({"extra": 1}), ""),
        ("root", Delete, "auth/kubernetes/role/r", none(), ""),
        ("root", Delete, "auth/kubernetes/role/r", none(), ""),
        ("root", Read, "sys/auth", none(), ""),
        ("root", Delete, "sys/auth/kubernetes", none(), ""),
        ("root", Delete, "sys/auth/kubernetes", none(), ""),
    ]
}
