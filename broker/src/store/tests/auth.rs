//! Tokens, policies and the login of service accounts, as a client sees them.

use Operation::{Delete, List, Patch, Read, Write};

use super::super::jwt::tests::{Signer, claims};
use super::*;

const POLICY_SAID_NO: &str = "1 error occurred:\n\t* permission denied\n\n";

#[tokio::test]
async fn a_missing_or_unknown_token_is_told_apart_from_a_missing_right() {
    let f = Fixture::new();
    for token in [None, Some("hvs.unknown"), Some("")] {
        let (status, body) = f.call(token, Read, "secret/data/a", Value::Null).await;
        assert_eq!((status, errors(&body)), (403, vec!["permission denied"]), "{token:?}");
    }
    let token = f.token(json!({"policies": ["default"]})).await;
    let (status, body) = f.call(Some(&token), Read, "secret/data/a", Value::Null).await;
    assert_eq!((status, errors(&body)), (403, vec![POLICY_SAID_NO]));
    // Nor does a route that is not there show itself to those without rights.
    assert_eq!(f.call(Some(&token), Read, "nowhere/x", Value::Null).await.0, 403);
    assert_eq!(f.as_root(Read, "nowhere/x", Value::Null).await.0, 404);
}

#[tokio::test]
async fn create_and_update_are_two_rights() {
    let f = Fixture::new();
    f.write_policy("create", r#"path "secret/data/*" { capabilities = ["create"] }"#).await;
    f.write_policy("update", r#"path "secret/data/*" { capabilities = ["update"] }"#).await;
    f.write_policy("patch", r#"path "secret/data/*" { capabilities = ["patch"] }"#).await;
    let create = f.token(json!({"policies": ["create"]})).await;
    let update = f.token(json!({"policies": ["update"]})).await;
    let patch = f.token(json!({"policies": ["patch"]})).await;
    let body = || json!({"data": {"k": 1}});
    assert_eq!(f.call(Some(&update), Write, "secret/data/a", body()).await.0, 403);
    assert_eq!(f.call(Some(&create), Write, "secret/data/a", body()).await.0, 200);
    assert_eq!(f.call(Some(&create), Write, "secret/data/a", body()).await.0, 403);
    assert_eq!(f.call(Some(&update), Write, "secret/data/a", body()).await.0, 200);
    assert_eq!(f.call(Some(&update), Patch, "secret/data/a", body()).await.0, 403);
    assert_eq!(f.call(Some(&patch), Patch, "secret/data/a", body()).await.0, 200);
    assert_eq!(f.call(Some(&create), Read, "secret/data/a", Value::Null).await.0, 403);
}

#[tokio::test]
async fn policies_take_effect_at_once_and_only_strict_ones_load() {
    let f = Fixture::new();
    let token = f.token(json!({"policies": ["late"]})).await;
    f.as_root(Write, "secret/data/a", json!({"data": {}})).await;
    assert_eq!(f.call(Some(&token), Read, "secret/data/a", Value::Null).await.0, 403);
    f.write_policy("late", r#"{"path":{"secret/data/a":{"capabilities":["read"]}}}"#).await;
    assert_eq!(f.call(Some(&token), Read, "secret/data/a", Value::Null).await.0, 200);
    let bad = json!({"policy": "path \"x\" { capabilites = [\"read\"] }"});
    let (status, body) = f.as_root(Write, "sys/policies/acl/late", bad).await;
    assert_eq!(status, 400);
    assert!(errors(&body)[0].starts_with("failed to parse policy: path \"x\": invalid key"), "{body}");
    assert_eq!(f.call(Some(&token), Read, "secret/data/a", Value::Null).await.0, 200);
    assert_eq!(f.as_root(Delete, "sys/policies/acl/late", Value::Null).await.0, 204);
    assert_eq!(f.call(Some(&token), Read, "secret/data/a", Value::Null).await.0, 403);
    for fixed in ["root", "default"] {
        assert_eq!(f.as_root(Delete, &format!("sys/policies/acl/{fixed}"), Value::Null).await.0, 400);
    }
    let (_, body) = f.as_root(List, "sys/policies/acl", Value::Null).await;
    assert_eq!(body["data"]["keys"], json!(["default", "root"]));
}

#[tokio::test]
async fn a_deny_of_a_folder_holds_for_listing_it_too() {
    let f = Fixture::new();
    let text = r#"path "secret/metadata/*" { capabilities = ["list"] } path "secret/metadata/hidden/*" { capabilities = ["deny"] }"#;
    f.write_policy("p", text).await;
    let token = f.token(json!({"policies": ["p"]})).await;
    f.as_root(Write, "secret/data/hidden/x", json!({"data": {}})).await;
    f.as_root(Write, "secret/data/open/x", json!({"data": {}})).await;
    assert_eq!(f.call(Some(&token), List, "secret/metadata/open", Value::Null).await.0, 200);
    for spelling in ["secret/metadata/hidden", "secret/metadata/hidden/"] {
        assert_eq!(f.call(Some(&token), List, spelling, Value::Null).await.0, 403, "{spelling}");
    }
}

#[tokio::test]
async fn tokens_end_and_are_renewed_up_to_their_maximum() {
    let f = Fixture::new();
    let token = f.token(json!({"policies": ["default"], "ttl": "60s", "explicit_max_ttl": "100s"})).await;
    let renew = || f.call(Some(&token), Write, "auth/token/renew-self", json!({"increment": "90s"}));
    f.pass(50);
    let (status, body) = renew().await;
    assert_eq!(
        (status, &body["auth"]["lease_duration"], &body["auth"]["client_token"]),
        (200, &json!(50), &json!(token))
    );
    assert!(body["warnings"][0].as_str().unwrap().contains("exceeded the effective max_ttl"), "{body}");
    let (_, body) = f.call(Some(&token), Read, "auth/token/lookup-self", Value::Null).await;
    assert_eq!((&body["data"]["ttl"], &body["data"]["creation_ttl"]), (&json!(50), &json!(60)));
    f.pass(50);
    assert_eq!(renew().await.0, 403);
    let periodic = f.token(json!({"period": "60s"})).await;
    for _ in 0..5 {
        f.pass(59);
        let (_, body) = f.call(Some(&periodic), Write, "auth/token/renew-self", Value::Null).await;
        assert_eq!(body["auth"]["lease_duration"], json!(60));
    }
}

#[tokio::test]
async fn a_child_never_has_more_than_its_parent() {
    let f = Fixture::new();
    f.write_policy("maker", r#"path "auth/token/create*" { capabilities = ["update"] }"#).await;
    let maker = f.token(json!({"policies": ["maker"]})).await;
    let create = |body: Value| f.call(Some(&maker), Write, "auth/token/create", body);
    assert_eq!(errors(&create(json!({"policies": ["root"]})).await.1), ["child policies must be subset of parent"]);
    assert_eq!(errors(&create(json!({"policies": ["other"]})).await.1), ["child policies must be subset of parent"]);
    for body in [json!({"id": "mine"}), json!({"period": "1h"}), json!({"no_parent": true})] {
        let (status, seen) = create(body).await;
        assert!(status == 400 && errors(&seen)[0].starts_with("root or sudo privileges required"), "{seen}");
    }
    assert_eq!(f.call(Some(&maker), Write, "auth/token/create-orphan", json!({})).await.0, 403);
    let (status, body) = create(json!({"policies": ["maker"]})).await;
    assert_eq!((status, &body["auth"]["token_policies"]), (200, &json!(["default", "maker"])));
    let child = body["auth"]["client_token"].as_str().unwrap().to_owned();
    f.as_root(Write, "auth/token/revoke", json!({"token": maker})).await;
    assert_eq!(f.call(Some(&child), Read, "auth/token/lookup-self", Value::Null).await.0, 403);
}

#[tokio::test]
async fn tokens_are_found_and_ended_by_accessor() {
    let f = Fixture::new();
    let token = f.token(json!({"display_name": "my app!"})).await;
    let (_, body) = f.call(Some(&f.root), Write, "auth/token/lookup", json!({"token": token})).await;
    assert_eq!(body["data"]["display_name"], json!("token-my-app"));
    let accessor = json!({"accessor": body["data"]["accessor"]});
    let (_, body) = f.as_root(Write, "auth/token/lookup-accessor", accessor.clone()).await;
    assert_eq!((&body["data"]["id"], &body["data"]["display_name"]), (&json!(""), &json!("token-my-app")));
    assert_eq!(f.as_root(Write, "auth/token/revoke-accessor", accessor.clone()).await.0, 204);
    assert_eq!(f.as_root(Write, "auth/token/revoke-accessor", accessor.clone()).await.0, 200);
    assert_eq!(
        errors(&f.as_root(Write, "auth/token/lookup-accessor", accessor).await.1),
        ["1 error occurred:\n\t* invalid accessor\n\n"]
    );
    assert_eq!(errors(&f.as_root(Write, "auth/token/lookup", json!({"token": token})).await.1), ["bad token"]);
}

#[tokio::test]
async fn a_token_of_two_uses_works_twice_even_when_refused() {
    let f = Fixture::new();
    let token = f.token(json!({"policies": ["default"], "num_uses": 2})).await;
    assert_eq!(f.call(Some(&token), Read, "secret/data/a", Value::Null).await.0, 403);
    assert_eq!(f.call(Some(&token), Read, "auth/token/lookup-self", Value::Null).await.0, 200);
    let (status, body) = f.call(Some(&token), Read, "auth/token/lookup-self", Value::Null).await;
    assert_eq!((status, errors(&body)), (403, vec!["permission denied"]));
}

#[tokio::test]
async fn capabilities_are_told_for_each_path() {
    let f = Fixture::new();
    f.write_policy("p", r#"path "secret/data/a" { capabilities = ["read", "create"] }"#).await;
    let token = f.token(json!({"policies": ["p"]})).await;
    let body = json!({"paths": ["secret/data/a", "other"]});
    let (_, body) = f.call(Some(&token), Write, "sys/capabilities-self", body).await;
    assert_eq!(body["secret/data/a"], json!(["create", "read"]));
    assert_eq!(body["data"]["other"], json!(["deny"]));
    let (_, body) = f.as_root(Write, "sys/capabilities-self", json!({"path": "x"})).await;
    assert_eq!(body["capabilities"], json!(["root"]));
}

#[tokio::test]
async fn mounts_are_shown_to_those_who_may_reach_into_them() {
    let f = Fixture::new();
    f.write_policy("p", r#"path "secret/data/a" { capabilities = ["read"] }"#).await;
    let token = f.token(json!({"policies": ["p"]})).await;
    let nobody = f.token(json!({"policies": ["default"]})).await;
    let ask = |token, path: &'static str| f.call(token, Read, path, Value::Null);
    let (status, body) = ask(Some(&token), "sys/internal/ui/mounts/secret/a").await;
    assert_eq!(
        (status, &body["data"]["options"]["version"], &body["data"]["path"]),
        (200, &json!("2"), &json!("secret/"))
    );
    for path in ["sys/internal/ui/mounts/secret/a", "sys/internal/ui/mounts/none/a"] {
        let (status, body) = ask(Some(&nobody), path).await;
        assert!(status == 403 && errors(&body)[0].starts_with("preflight capability check returned 403"), "{body}");
    }
    assert!(ask(Some(&token), "sys/internal/ui/mounts").await.1["data"]["secret"]["secret/"].is_object());
    assert_eq!(ask(None, "sys/internal/ui/mounts").await.1["data"], json!({"auth": {}, "secret": {}}));
}

#[tokio::test]
async fn what_the_store_lacks_is_said_and_never_done_halfway() {
    let f = Fixture::new();
    let mut elsewhere = request(Some(&f.root), Read, "sys/mounts", &Value::Null);
    elsewhere.namespace = Some("team".to_owned());
    assert_eq!(call(&f.store, elsewhere).await.0, 404);
    for path in ["secret/data/../x", "secret/data/a\n", "secret/data/a/"] {
        assert_eq!(f.as_root(Write, path, json!({"data": {}})).await.0, 400, "{path:?}");
    }
    assert_eq!(errors(&f.as_root(Write, "sys/leases/renew", json!({"lease_id": "x"})).await.1), ["lease not found"]);
}

struct Kubernetes {
    f: Fixture,
    signer: Signer,
}

impl Kubernetes {
    async fn new() -> Self {
        let (f, signer) = (Fixture::new(), Signer::new());
        assert_eq!(f.as_root(Write, "sys/auth/kubernetes", json!({"type": "kubernetes"})).await.0, 204);
        let role = json!({
            "bound_service_account_names": "app,other-*", "bound_service_account_namespaces": ["ns"],
            "audience": "vault", "token_policies": ["P"], "token_ttl": "10m", "token_max_ttl": 900,
        });
        assert_eq!(f.as_root(Write, "auth/kubernetes/role/R", role).await.0, 204);
        Self { f, signer }
    }

    async fn configure(&self) {
        let config = json!({"pem_keys": [self.signer.pem]});
        assert_eq!(self.f.as_root(Write, "auth/kubernetes/config", config).await.0, 204);
    }

    async fn login(&self, role: &str, jwt: &str) -> Seen {
        self.f.call(None, Write, "auth/kubernetes/login", json!({"role": role, "jwt": jwt})).await
    }
}

#[tokio::test]
async fn a_service_account_logs_in_with_its_projected_token() {
    let k = Kubernetes::new().await;
    k.configure().await;
    let (status, body) = k.login("r", &k.signer.sign(&claims("ns", "app", START))).await;
    let auth = &body["auth"];
    assert_eq!(status, 200, "{body}");
    assert_eq!(auth["token_policies"], json!(["default", "p"]));
    assert_eq!(
        (&auth["lease_duration"], &auth["renewable"], &auth["orphan"]),
        (&json!(600), &json!(true), &json!(true))
    );
    assert_eq!(auth["metadata"]["service_account_uid"], json!("sa-uid"));
    assert_eq!(auth["metadata"]["role"], json!("r"));
    let token = auth["client_token"].as_str().unwrap();
    let (_, body) = k.f.call(Some(token), Read, "auth/token/lookup-self", Value::Null).await;
    assert_eq!(body["data"]["display_name"], json!("kubernetes-ns-app"));
    k.f.pass(500);
    let renewed = k.f.call(Some(token), Write, "auth/token/renew-self", Value::Null).await.1;
    assert_eq!(renewed["auth"]["lease_duration"], json!(400));
    k.f.as_root(Delete, "auth/kubernetes/role/r", Value::Null).await;
    assert_eq!(k.f.call(Some(token), Write, "auth/token/renew-self", Value::Null).await.0, 500);
}

#[tokio::test]
async fn a_login_is_refused_in_the_order_and_words_of_vault() {
    let k = Kubernetes::new().await;
    let good = k.signer.sign(&claims("ns", "app", START));
    let said = |seen: Seen| (seen.0, errors(&seen.1).join("|"));
    assert_eq!(said(k.login("", &good).await), (400, "missing role".to_owned()));
    assert_eq!(said(k.login("r", "").await), (400, "missing jwt".to_owned()));
    assert_eq!(said(k.login("x", &good).await), (400, "invalid role name \"x\"".to_owned()));
    assert_eq!(said(k.login("r", &good).await), (500, "could not load backend configuration".to_owned()));
    k.configure().await;
    let login = async |namespace: &str, name: &str| {
        let token = k.signer.sign(&claims(namespace, name, START));
        said(k.login("r", &token).await)
    };
    assert_eq!(login("ns", "stranger").await, (403, "service account name not authorized".to_owned()));
    assert_eq!(login("elsewhere", "app").await, (403, "namespace not authorized".to_owned()));
    assert!(login("ns", "other-1").await.0 == 200);
    let mut wrong = claims("ns", "app", START);
    wrong["aud"] = json!(["Vault", "vault ", "x"]);
    let (status, text) = said(k.login("r", &k.signer.sign(&wrong)).await);
    assert!(status == 403 && text.contains("audience claim does not match any expected audience"), "{text}");
    let foreign = Signer::new().sign(&claims("ns", "app", START));
    assert_eq!(said(k.login("r", &foreign).await), (403, "permission denied".to_owned()));
    k.f.pass(661);
    let (status, text) = said(k.login("r", &good).await);
    assert!(status == 403 && text.contains("token is expired"), "{text}");
}

#[tokio::test]
async fn an_unreachable_api_server_refuses_every_login() {
    let k = Kubernetes::new().await;
    // Port 1 of the loopback address: nobody listens there.
    let config = json!({
        "kubernetes_host": "https://127.0.0.1:1", "pem_keys": [k.signer.pem], "token_reviewer_jwt": "canary",
        "kubernetes_ca_cert": rcgen::generate_simple_self_signed(vec!["x".to_owned()]).unwrap().cert.pem(),
    });
    assert_eq!(k.f.as_root(Write, "auth/kubernetes/config", config).await.0, 204);
    let (status, body) = k.login("r", &k.signer.sign(&claims("ns", "app", START))).await;
    assert_eq!((status, errors(&body)), (403, vec!["permission denied"]));
    let (_, body) = k.f.as_root(Read, "auth/kubernetes/config", Value::Null).await;
    assert_eq!(body["data"]["token_reviewer_jwt_set"], json!(true));
    assert!(!body.to_string().contains("canary"));
}

#[tokio::test]
async fn roles_and_configurations_are_checked_when_they_are_written() {
    let k = Kubernetes::new().await;
    let bound = || json!({"bound_service_account_names": "a", "bound_service_account_namespaces": "b"});
    let with = |name: &str, value: Value| {
        let mut body = bound();
        body[name] = value;
        body
    };
    for (body, text) in [
        (json!({}), "\"bound_service_account_names\" can not be empty"),
        (json!({"bound_service_account_names": "a"}), "\"bound_service_account_namespaces\" can not be empty"),
        (with("bound_service_account_names", json!("*,a")), "can not mix"),
        (with("token_ttl", json!("-1h")), "negative"),
        (with("token_ttl", json!("x")), "duration"),
        (with("token_type", json!("x")), "token_type"),
        (with("token_bound_cidrs", json!("10.0.0.0/99")), "no network"),
        (with("alias_name_source", json!("x")), "alias_name_source"),
        (with("bound_service_account_namespace_selector", json!("{}")), "selector"),
    ] {
        let (status, seen) = k.f.as_root(Write, "auth/kubernetes/role/n", body.clone()).await;
        assert!(status == 400 && errors(&seen)[0].contains(text), "{body} {seen}");
    }
    for body in [json!({}), json!({"pem_keys": ["x"]}), json!({"kubernetes_host": "http://x"})] {
        assert_eq!(k.f.as_root(Write, "auth/kubernetes/config", body).await.0, 400);
    }
    let (_, body) = k.f.as_root(List, "auth/kubernetes/role", Value::Null).await;
    assert_eq!(body["data"]["keys"], json!(["r"]));
}

#[tokio::test]
async fn a_role_bound_to_networks_binds_login_and_token() {
    let k = Kubernetes::new().await;
    k.configure().await;
    k.f.as_root(Write, "auth/kubernetes/role/r", json!({"token_bound_cidrs": "127.0.0.0/8"})).await;
    let jwt = k.signer.sign(&claims("ns", "app", START));
    let (_, body) = k.login("r", &jwt).await;
    let token = body["auth"]["client_token"].as_str().unwrap();
    let mut elsewhere = request(Some(token), Read, "auth/token/lookup-self", &Value::Null);
    elsewhere.client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(call(&k.f.store, elsewhere).await.0, 403);
    let mut login = request(None, Write, "auth/kubernetes/login", &json!({"role": "r", "jwt": jwt}));
    login.client = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    assert_eq!(call(&k.f.store, login).await.0, 403);
}

#[tokio::test]
async fn batch_tokens_are_neither_renewed_nor_revoked() {
    let k = Kubernetes::new().await;
    k.configure().await;
    k.f.as_root(Write, "auth/kubernetes/role/r", json!({"token_type": "batch"})).await;
    let (_, body) = k.login("r", &k.signer.sign(&claims("ns", "app", START))).await;
    let auth = &body["auth"];
    assert_eq!(
        (&auth["token_type"], &auth["renewable"], &auth["accessor"]),
        (&json!("batch"), &json!(false), &json!(""))
    );
    let token = auth["client_token"].as_str().unwrap();
    let (_, body) = k.f.call(Some(token), Write, "auth/token/renew-self", Value::Null).await;
    assert_eq!(errors(&body), ["batch tokens cannot be renewed"]);
    assert_eq!(k.f.call(Some(token), Write, "auth/token/revoke-self", Value::Null).await.0, 400);
}
