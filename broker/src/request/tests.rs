use proptest::prelude::*;
use vouchsafe_model::Secret;
use vouchsafe_net::http::{HeaderName, HeaderValue};

use super::*;

const CLIENT: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

fn ask(method: &str, target: &str, headers: &[(&str, &str)]) -> Result<UpstreamRequest, Refusal> {
    let mut request = Request::new(method.parse().unwrap(), target);
    for (name, value) in headers {
        request.headers.append(name.parse::<HeaderName>().unwrap(), HeaderValue::from_str(value).unwrap());
    }
    canonical(request, CLIENT)
}

#[test]
fn methods_and_parameters_become_one_operation() {
    for (method, query, expected) in [
        ("GET", "", Operation::Read),
        ("GET", "?list=true", Operation::List),
        ("GET", "?list=1", Operation::List),
        ("GET", "?list=false", Operation::Read),
        ("GET", "?scan=T", Operation::Scan),
        ("LIST", "", Operation::List),
        ("LIST", "?list=true", Operation::List),
        ("SCAN", "", Operation::Scan),
        ("POST", "", Operation::Write),
        ("PUT", "", Operation::Write),
        ("PATCH", "", Operation::Patch),
        ("DELETE", "", Operation::Delete),
    ] {
        let request = ask(method, &format!("/v1/secret/metadata/a{query}"), &[]).unwrap();
        assert_eq!(request.operation, expected, "{method}{query}");
        assert!(request.query.is_empty(), "{method}{query}");
        let is_list = matches!(expected, Operation::List | Operation::Scan);
        assert_eq!(request.path.ends_with('/'), is_list, "{method}{query}");
    }
}

#[test]
fn contradicting_operations_are_refused() {
    for (method, query) in [
        ("GET", "?list=true&scan=true"),
        ("GET", "?list=true&list=false"),
        ("GET", "?list=true&list=true"),
        ("GET", "?list=yes"),
        ("GET", "?list="),
        ("GET", "?%6cist=true&scan=false"),
        ("POST", "?list=true"),
        ("DELETE", "?scan=true"),
        ("LIST", "?scan=true"),
        ("LIST", "?list=false"),
        ("SCAN", "?list=true"),
    ] {
        assert_eq!(ask(method, &format!("/v1/a/b{query}"), &[]).unwrap_err().status(), 400, "{method}{query}");
    }
    for method in ["OPTIONS", "TRACE", "CONNECT", "get", "FOO"] {
        assert_eq!(ask(method, "/v1/a", &[]).unwrap_err().status(), 405, "{method}");
    }
    assert_eq!(ask("HEAD", "/v1/secret/data/a", &[]).unwrap_err().status(), 405);
    assert_eq!(ask("HEAD", "/v1/sys/health", &[]).unwrap().operation, Operation::Head);
}

#[test]
fn an_encoded_switch_is_the_same_switch() {
    assert_eq!(ask("GET", "/v1/a?%6cist=tr%75e", &[]).unwrap().operation, Operation::List);
}

#[test]
fn paths_outside_of_the_api_are_not_found() {
    for target in ["/", "/v1", "/v2/a", "/ui/", "//v1/a", "/V1/a"] {
        assert_eq!(ask("GET", target, &[]).unwrap_err().status(), 404, "{target}");
    }
}

#[test]
fn a_token_comes_by_one_header_once() {
    let token = |headers| ask("GET", "/v1/a", headers).map(|request| request.token);
    let expected = || Some(Secret::from("hvs.x".to_owned()));
    assert_eq!(token(&[("x-vault-token", "hvs.x")]), Ok(expected()));
    assert_eq!(token(&[("X-Vault-Token", "hvs.x"), ("x-vault-request", "true")]), Ok(expected()));
    assert_eq!(token(&[("authorization", "Bearer hvs.x")]), Ok(expected()));
    assert_eq!(token(&[("authorization", "bearer hvs.x")]), Ok(expected()));
    assert_eq!(token(&[]), Ok(None));
    assert_eq!(token(&[("x-vault-token", "")]), Ok(None));
}

#[test]
fn header_tricks_are_refused() {
    let tricks: &[&[(&str, &str)]] = &[
        &[("x-vault-token", "a"), ("authorization", "Bearer b")],
        &[("x-vault-token", ""), ("authorization", "Bearer b")],
        &[("x-vault-token", "a"), ("authorization", "Basic b")],
        &[("x-vault-token", "a"), ("x-vault-token", "b")],
        &[("x-vault-token", "a"), ("x-vault-token", "a")],
        &[("x-vault-token", "a, b")],
        &[("x-vault-token", "a\tb")],
        &[("authorization", "Bearer a"), ("authorization", "Bearer b")],
        &[("authorization", "Basic a")],
        &[("authorization", "Bearer")],
        &[("authorization", "Bearer ")],
        &[("authorization", "Bearer a b")],
        &[("x-vault-namespace", "a"), ("x-vault-namespace", "b")],
        &[("x-vault-namespace", "a/../b")],
        &[("x-vault-namespace", "a//b")],
        &[("x-vault-namespace", "%2e%2e")],
        &[("x-vault-namespace", "a b")],
        &[("x-vault-namespace", "//a")],
        &[("x-vault-wrap-ttl", "1"), ("x-vault-wrap-ttl", "2")],
        &[("content-type", "a/b"), ("content-type", "c/d")],
        &[("x-vault-request", "false")],
        &[("x-vault-request", "true"), ("x-vault-request", "true")],
        &[("connection", "x-vault-token"), ("x-vault-token", "a")],
        &[("connection", "keep-alive, X-Vault-Namespace")],
        &[("connection", "upgrade"), ("upgrade", "h2c")],
        &[("content-length", "0"), ("transfer-encoding", "chunked")],
        &[("x-vault-inline-auth-path", "auth/kubernetes")],
        &[("x-vault-inline-auth-parameter-jwt", "x")],
    ];
    for trick in tricks {
        assert_eq!(ask("GET", "/v1/a", trick).unwrap_err().status(), 400, "{trick:?}");
    }
}

#[test]
fn headers_outside_of_the_list_do_not_pass() {
    let dropped = [
        "x-forwarded-for",
        "forwarded",
        "x-real-ip",
        "x-http-method-override",
        "x-original-url",
        "x-rewrite-url",
        "cookie",
        "host",
        "te",
        "trailer",
        "proxy-authorization",
        "keep-alive",
        "expect",
        "accept-encoding",
        "x-vault-unknown",
    ];
    let mut headers: Vec<(&str, &str)> = dropped.iter().map(|name| (*name, "x")).collect();
    headers.extend([("x-vault-mfa", "a"), ("x-vault-mfa", "b"), ("x-vault-index", "i"), ("x-vault-namespace", "/ns/")]);
    let request = ask("GET", "/v1/a", &headers).unwrap();
    let passed: Vec<(&str, &[u8])> = request.headers.iter().map(|(n, v)| (n.as_str(), v.as_bytes())).collect();
    assert_eq!(passed, [("x-vault-mfa", &b"a"[..]), ("x-vault-mfa", b"b"), ("x-vault-index", b"i")]);
    assert_eq!(request.namespace.as_deref(), Some("ns"));
}

#[test]
fn answers_lose_every_header_outside_of_the_list() {
    let mut headers = vouchsafe_net::http::HeaderMap::new();
    for name in ["content-type", "retry-after", "set-cookie", "location", "connection", "strict-transport-security"] {
        headers.insert(name.parse::<HeaderName>().unwrap(), HeaderValue::from_static("x"));
    }
    headers.insert("cache-control", HeaderValue::from_static("public"));
    let out = answer_headers(&headers);
    assert_eq!(out.len(), 3);
    assert_eq!(out.get("cache-control").unwrap(), "no-store");
}

#[test]
fn bodies_of_reads_and_deep_bodies_are_refused() {
    let send = |method: &str, body: &str| {
        let mut request = Request::new(method.parse().unwrap(), "/v1/a");
        request.body = Secret::from(body.to_owned());
        canonical(request, CLIENT).map(|_| ()).map_err(|refusal| refusal.status())
    };
    assert_eq!(send("GET", "{}"), Err(400));
    assert_eq!(send("LIST", "{}"), Err(400));
    assert_eq!(send("POST", &format!("{}{}", "[".repeat(JSON_DEPTH), "]".repeat(JSON_DEPTH))), Ok(()));
    assert_eq!(send("POST", &"[".repeat(JSON_DEPTH + 1)), Err(400));
    assert_eq!(send("POST", &format!(r#"{{"a":"{}\"["}}"#, "[".repeat(100))), Ok(()));
}

#[test]
fn no_debug_text_holds_a_token_or_a_body() {
    let mut request = Request::new(Method::POST, "/v1/a");
    request.headers.insert("x-vault-token", HeaderValue::from_static("hunter2"));
    request.body = Secret::from("hunter2".to_owned());
    assert!(!format!("{:?}", canonical(request, CLIENT).unwrap()).contains("hunter2"));
}

proptest! {
    #[test]
    fn no_request_makes_the_door_panic(
        method in "[A-Z]{1,8}",
        target in "/(v1/)?[ -~]{0,40}",
        name in "(x-vault-[a-z]{1,8}|authorization|connection|[a-z]{1,8})",
        value in "[ -~]{0,20}",
    ) {
        let _ = ask(&method, &target, &[(&name, &value)]);
    }
}
