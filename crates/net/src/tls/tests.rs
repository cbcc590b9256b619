use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::time::{Duration, SystemTime};

use vouchsafe_model::Secret;

use super::*;
use crate::http::{Method, Request};
use crate::lifecycle::Lifecycle;
use crate::testing::{AMPLE, Authority, Pair, answering, client, der};

/// Writes a pair as kubelet does: a new generation, then the link `..data` swapped onto it, then the old one removed.
fn deliver(folder: &Path, generation: &str, pair: &Pair) {
    let new = folder.join(generation);
    fs::create_dir(&new).unwrap();
    fs::write(new.join("tls.crt"), &pair.chain).unwrap();
    fs::write(new.join("tls.key"), &pair.key).unwrap();
    let old = fs::read_link(folder.join("..data")).ok();
    symlink(generation, folder.join("..data_tmp")).unwrap();
    fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    for name in ["tls.crt", "tls.key"] {
        if old.is_none() {
            symlink(Path::new("..data").join(name), folder.join(name)).unwrap();
        }
    }
    if let Some(old) = old {
        fs::remove_dir_all(folder.join(old)).unwrap();
    }
}

/// Waits until the identity's certificate ends in `year`.
async fn until_year(identity: &Identity, year: u64) -> bool {
    for _ in 0..200 {
        let end = identity.not_after().unwrap().duration_since(SystemTime::UNIX_EPOCH).unwrap();
        if end.as_secs() / 31_556_952 + 1970 == year {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    false
}

#[tokio::test]
async fn a_rotated_certificate_is_taken_over_and_a_bad_one_is_not() {
    let (lifecycle, authority, folder) = (Lifecycle::new(), Authority::new(), tempfile::tempdir().unwrap());
    let names = ["127.0.0.1"];
    deliver(folder.path(), "..1", &authority.pair_with(&names, (2020, 2041)));
    let identity = Identity::from_folder(folder.path()).unwrap();
    let server = answering(&lifecycle, &identity, "HTTP/1.1 204 No Content\r\n\r\n").await;
    identity.follow(folder.path(), &lifecycle);
    assert!(until_year(&identity, 2041).await);

    deliver(folder.path(), "..2", &authority.pair_with(&names, (2020, 2042)));
    assert!(until_year(&identity, 2042).await);

    let stranger = Pair { key: authority.pair().key, ..authority.pair_with(&names, (2020, 2043)) };
    deliver(folder.path(), "..3", &stranger);
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(until_year(&identity, 2042).await, "a key that does not fit was taken over");
    let response = client(server, &authority.roots()).send(Request::new(Method::GET, "/"), AMPLE).await;
    assert_eq!(response.unwrap().status, 204);

    deliver(folder.path(), "..4", &authority.pair_with(&names, (2020, 2044)));
    assert!(until_year(&identity, 2044).await, "a good pair after a bad one was not taken over");
    lifecycle.stop("test");
}

#[test]
fn errors_name_the_file_or_the_folder_and_never_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let text = |result: Result<Identity, TlsError>| result.unwrap_err().to_string();
    assert!(text(Identity::from_folder(folder.path())).contains("tls.crt"));
    let pair = Authority::new().pair();
    fs::write(folder.path().join("tls.crt"), &pair.chain).unwrap();
    assert!(text(Identity::from_folder(folder.path())).contains("tls.key"));
    fs::write(folder.path().join("tls.key"), "canary").unwrap();
    let error = text(Identity::from_folder(folder.path()));
    assert!(error.contains(folder.path().to_str().unwrap()) && !error.contains("canary"), "{error}");
}

#[test]
fn pairs_that_do_not_fit_are_refused() {
    let authority = Authority::new();
    let (one, two) = (authority.pair(), authority.pair());
    assert!(matches!(Identity::from_pem(&one.chain, &two.secret_key()), Err(TlsError::Pair(_))));
    assert!(matches!(Identity::from_pem("", &one.secret_key()), Err(TlsError::NoCertificate(_))));
    assert!(matches!(Identity::from_pem(&one.chain, &Secret::new(Vec::new())), Err(TlsError::NoKey)));
    let identity = one.identity();
    assert!(identity.replace(&two.chain, &one.secret_key()).is_err());
    assert!(identity.replace(&two.chain, &two.secret_key()).is_ok());
}

#[test]
fn trust_bundles_hold_one_to_many_certificates_and_nothing_broken() {
    let (one, two) = (Authority::new(), Authority::new());
    let both = format!("# current\n{}# successor\n{}", one.pem, two.pem);
    assert_eq!(TrustRoots::from_pem(&both).unwrap().pem(), both);
    assert!(matches!(TrustRoots::from_pem(""), Err(TlsError::NoCertificate(_))));
    assert!(matches!(TrustRoots::from_pem(&one.pem.repeat(257)), Err(TlsError::TooMany(_))));
    let cut = one.pem.get(..one.pem.len() / 2).unwrap();
    assert!(TrustRoots::from_pem(cut).is_err());
    let no_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(TrustRoots::from_pem(no_der), Err(TlsError::Root { number: 1, .. })));
}

#[test]
fn the_end_of_validity_is_read_from_real_certificates() {
    let authority = Authority::new();
    for (year, seconds) in [(2030, 1_893_456_000), (2060, 2_840_140_800)] {
        let end = validity::not_after(&der(&authority.pair_with(&["x"], (2020, year)))).unwrap();
        assert_eq!(end, SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
    }
}
