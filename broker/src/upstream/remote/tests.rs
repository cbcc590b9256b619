use std::net::{IpAddr, Ipv4Addr};

use super::*;
use crate::testing::upstream_request;

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3));

fn redirect(status: u16, location: &str) -> Response {
    let mut response = Response::empty(status);
    response.headers.insert(header::LOCATION, HeaderValue::from_str(location).unwrap());
    response
}

#[test]
fn the_wire_request_is_built_from_the_canonical_form_only() {
    let mut request = upstream_request(Operation::Write, "secret/data/a b/ä", CLIENT);
    request.query = vec![("version".to_owned(), "3&x".to_owned())];
    request.token = Some(vouchsafe_model::Secret::from("hvs.x".to_owned()));
    request.namespace = Some("ns".to_owned());
    request.wrap_ttl = Some("60".to_owned());
    request.body = vouchsafe_model::Secret::from("{}".to_owned());
    let wire = wire(&request).unwrap();
    assert_eq!((wire.method.as_str(), wire.path.as_str()), ("POST", "/v1/secret/data/a%20b/%C3%A4"));
    assert_eq!(wire.query.as_deref(), Some("version=3%26x"));
    for (name, value) in [
        ("x-vault-token", "hvs.x"),
        ("x-vault-namespace", "ns"),
        ("x-vault-wrap-ttl", "60"),
        ("x-vault-request", "true"),
        ("x-forwarded-for", "10.1.2.3"),
        ("content-type", "application/json"),
    ] {
        assert_eq!(wire.header(name), Some(value));
    }
    assert_eq!(wire.headers.len(), 6);
}

#[test]
fn lists_and_scans_are_parameters_of_a_get() {
    for (operation, expected) in [(Operation::List, "list=true"), (Operation::Scan, "scan=true")] {
        let wire = wire(&upstream_request(operation, "secret/metadata/", CLIENT)).unwrap();
        assert_eq!((wire.method.as_str(), wire.query.as_deref()), ("GET", Some(expected)));
    }
}

#[test]
fn a_redirect_may_change_the_server_and_nothing_else() {
    let request = upstream_request(Operation::Read, "secret/data/a", CLIENT);
    let target = |location: &str| redirect_target(&request, &redirect(307, location));
    let server = |text: &str| Some(text.parse::<ServerAddress>().unwrap());
    assert_eq!(target("https://v-1:8200/v1/secret/data/a").unwrap(), server("https://v-1:8200"));
    assert_eq!(target("https://v-1/v1/secret/data/a").unwrap(), server("https://v-1:443"));
    assert_eq!(redirect_target(&request, &Response::empty(200)).unwrap(), None);
    for bad in [
        "https://v-1:8200/v1/secret/data/b",
        "http://v-1:8200/v1/secret/data/a",
        "https://v-1:8200/x/v1/secret/data/a",
        "https://u:p@v-1:8200/v1/secret/data/a",
        "//v-1/v1/secret/data/a",
        "/v1/secret/data/a",
        "",
    ] {
        assert!(target(bad).is_err(), "{bad}");
    }
    assert!(redirect_target(&request, &redirect(302, "https://v-1:8200/v1/secret/data/a")).is_err());
}
