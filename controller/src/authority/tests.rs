//! The authority against a clock that runs for decades, damaged Secrets, and crashes between any two writes.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use proptest::prelude::*;
use rcgen::KeyPair;
use vouchsafe_model::Secret;

use super::leaf::{Serving, issue, verify};
use super::*;

const HOUR: Duration = Duration::from_secs(3600);

fn names() -> Vec<ServerName> {
    ["web.ns.svc", "web.ns.svc.cluster.local", "*.broker.ns.svc"].iter().map(|name| name.parse().unwrap()).collect()
}

fn terms() -> Terms {
    Terms::new(names(), 87_600 * HOUR, 720 * HOUR, 2160 * HOUR).unwrap()
}

fn begin() -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000)
}

fn serving() -> Serving {
    Serving { secret: "web-tls".to_owned(), names: names() }
}

/// Writes as the API server does.
fn write(data: &mut Data, changes: Changes) {
    for (key, value) in changes {
        match value {
            Some(value) => data.insert(key, value),
            None => data.remove(&key),
        };
    }
}

fn duplicate(data: &Data) -> Data {
    data.iter().map(|(key, value)| (key.clone(), value.duplicate())).collect()
}

fn step(data: &mut Data, bundles: &[String], terms: &Terms, now: SystemTime) -> Advance {
    let advance = advance(data, bundles, terms, now, &mut KeyPair::generate).unwrap();
    let changes = advance.changes.iter().map(|(key, value)| (key.clone(), value.as_ref().map(Secret::duplicate)));
    write(data, changes.collect());
    advance
}

/// An authority that signs, and its Secret.
fn settled(now: SystemTime) -> (Data, Authority) {
    let mut data = Data::new();
    let first = step(&mut data, &[], &terms(), now);
    let second = step(&mut data, &[first.authority.bundle()], &terms(), now);
    assert!(second.authority.since.is_some() && second.authority.published.is_some());
    (data, second.authority)
}

fn texts(notes: &[Note]) -> String {
    notes
        .iter()
        .map(|note| format!("{}{}", if note.is_fault { "!" } else { "" }, note.text))
        .collect::<Vec<_>>()
        .join("|")
}

#[test]
fn an_empty_secret_gets_a_root_and_a_successor_and_nothing_is_signed_before_they_are_published() {
    let mut data = Data::new();
    let first = step(&mut data, &[String::new()], &terms(), begin());
    assert_eq!(
        data.keys().map(String::as_str).collect::<Vec<_>>(),
        ["current.crt", "current.key", "next.crt", "next.key"]
    );
    let unsigned =
        issue(&serving(), &Data::new(), &first.authority, &terms(), begin(), &mut KeyPair::generate).unwrap();
    assert!(unsigned.changes.is_empty());
    let half = step(&mut data, &[first.authority.bundle(), String::new()], &terms(), begin());
    assert!(half.changes.is_empty(), "one place without the bundle is enough to wait");
    let second = step(&mut data, &[first.authority.bundle()], &terms(), begin());
    assert_eq!(texts(&second.notes), "the root is published and may sign|the next root is published");
    let signed = issue(&serving(), &Data::new(), &second.authority, &terms(), begin(), &mut KeyPair::generate).unwrap();
    assert_eq!(signed.changes.keys().map(String::as_str).collect::<Vec<_>>(), ["ca.crt", "tls.crt", "tls.key"]);
    assert!(step(&mut data, &[first.authority.bundle()], &terms(), begin()).changes.is_empty());
}

#[test]
fn a_root_vouches_for_its_names_alone() {
    let (_, authority) = settled(begin());
    let sign = |name: &str| {
        let names: Vec<ServerName> = vec![name.parse().unwrap()];
        let certificate = authority.current.sign(&names, &terms(), begin(), &KeyPair::generate().unwrap()).unwrap();
        verify(&certificate, &names, authority.roots(), begin())
    };
    for good in ["web.ns.svc", "web.ns.svc.cluster.local", "broker-0.broker.ns.svc"] {
        assert_eq!(sign(good), Ok(()), "{good}");
    }
    for bad in ["other.ns.svc", "example.com", "10.0.0.1", "fd00::1"] {
        assert!(sign(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_root_that_serves_addresses_vouches_for_those_alone() {
    let names: Vec<ServerName> = vec!["10.244.0.1".parse().unwrap(), "web.ns.svc".parse().unwrap()];
    let terms = Terms::new(names.clone(), 87_600 * HOUR, 720 * HOUR, 2160 * HOUR).unwrap();
    let root = Root::make(&terms, begin(), &KeyPair::generate().unwrap()).unwrap();
    assert_eq!(root.certificate.check_root(&names, begin()), Ok(()));
    let sign = |names: &[ServerName]| {
        let certificate = root.sign(names, &terms, begin(), &KeyPair::generate().unwrap()).unwrap();
        verify(&certificate, names, [&root.certificate], begin())
    };
    assert_eq!(sign(&names), Ok(()));
    assert!(sign(&["10.244.0.2".parse().unwrap()]).is_err());
}

#[test]
fn a_server_certificate_is_renewed_after_two_thirds_of_its_life_and_for_other_names() {
    let (_, authority) = settled(begin());
    let mut data = Data::new();
    let mut look = |authority: &Authority, serving: &Serving, now| {
        let found = issue(serving, &data, authority, &terms(), now, &mut KeyPair::generate).unwrap();
        let text = texts(&found.notes);
        write(&mut data, found.changes);
        text
    };
    assert_eq!(look(&authority, &serving(), begin()), "new certificate: there was none");
    assert_eq!(look(&authority, &serving(), begin() + 1400 * HOUR), "");
    let renewed = look(&authority, &serving(), begin() + 1441 * HOUR);
    assert_eq!(renewed, "new certificate: two thirds of the old one's life are over");
    let fewer = Serving { secret: "web-tls".to_owned(), names: names()[..1].to_vec() };
    assert!(
        look(&authority, &fewer, begin() + 1442 * HOUR).starts_with("new certificate: the old one was for web.ns.svc,")
    );
    let (_, other) = settled(begin());
    assert!(look(&other, &fewer, begin() + 1442 * HOUR).starts_with("!new certificate: clients would refuse"));
}

#[test]
fn damaged_content_of_a_servers_secret_is_named_and_replaced() {
    let (_, authority) = settled(begin());
    let mut good = Data::new();
    let made = issue(&serving(), &good, &authority, &terms(), begin(), &mut KeyPair::generate).unwrap();
    write(&mut good, made.changes);
    let (_, foreign) = settled(begin());
    let key = KeyPair::generate().unwrap().serialize_pem();
    let foreign_leaf = foreign.current.sign(&names(), &terms(), begin(), &KeyPair::generate().unwrap()).unwrap().pem;
    for (change, told) in [
        ((("tls.crt"), Some("garbage".to_owned())), "tls.crt is no PEM certificate"),
        (("tls.crt", Some(foreign_leaf)), "tls.key does not belong to the certificate beside it"),
        (("tls.key", Some(key)), "tls.key does not belong to the certificate beside it"),
        (("tls.key", Some("garbage".to_owned())), "tls.key is no PEM private key"),
        (("tls.key", None), "tls.key is missing"),
        (("tls.crt", None), "tls.crt is missing"),
    ] {
        let mut data = duplicate(&good);
        write(&mut data, BTreeMap::from([(change.0.to_owned(), change.1.map(Secret::from))]));
        let found = issue(&serving(), &data, &authority, &terms(), begin(), &mut KeyPair::generate).unwrap();
        assert_eq!(texts(&found.notes), format!("!new certificate: {told}"));
        write(&mut data, found.changes);
        let again = issue(&serving(), &data, &authority, &terms(), begin(), &mut KeyPair::generate).unwrap();
        assert!(again.changes.is_empty() && again.notes.is_empty());
    }
    let mut data = duplicate(&good);
    data.insert("ca.crt".to_owned(), Secret::from("x".to_owned()));
    let found = issue(&serving(), &data, &authority, &terms(), begin(), &mut KeyPair::generate).unwrap();
    assert_eq!(found.changes.keys().map(String::as_str).collect::<Vec<_>>(), ["ca.crt"]);
}

#[test]
fn damage_to_the_root_in_use_keeps_its_certificate_trusted_and_lets_the_successor_sign() {
    let (data, authority) = settled(begin());
    let now = begin() + HOUR;
    for (key, value, told) in [
        ("current.key", Some("garbage"), "!current.key is no PEM private key"),
        ("current.key", None, "!current.key is missing"),
    ] {
        let mut data = duplicate(&data);
        write(&mut data, BTreeMap::from([(key.to_owned(), value.map(|text| Secret::from(text.to_owned())))]));
        let found = step(&mut data, &[], &terms(), now);
        assert_eq!(
            texts(&found.notes),
            format!("{told}|!the next root takes over at once, since the one in use cannot sign")
        );
        assert_eq!(found.authority.current.certificate, authority.next.certificate);
        assert_eq!(found.authority.previous, std::slice::from_ref(&authority.current.certificate));
        assert_eq!(found.authority.since, Some(now), "it was published already");
    }
}

#[test]
fn damage_to_the_successor_leaves_the_root_in_use_alone() {
    let (data, authority) = settled(begin());
    for (key, value) in [("next.key", "garbage"), ("next.crt", "garbage"), ("next.published", "tomorrow")] {
        let mut data = duplicate(&data);
        data.insert(key.to_owned(), Secret::from(value.to_owned()));
        let found = step(&mut data, &[], &terms(), begin() + HOUR);
        assert!(found.notes.iter().any(|note| note.is_fault && note.text.starts_with(key)), "{}", texts(&found.notes));
        assert_eq!(found.authority.current.certificate, authority.current.certificate);
        assert_eq!(found.authority.since, authority.since);
        assert_eq!(found.authority.published, None);
    }
}

#[test]
fn foreign_roots_are_named_and_never_trusted() {
    let key = KeyPair::generate().unwrap();
    let mut parameters = rcgen::CertificateParams::default();
    parameters.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let foreign = parameters.self_signed(&key).unwrap().pem();
    let (mut data, authority) = settled(begin());
    data.insert("current.crt".to_owned(), Secret::from(foreign.clone()));
    data.insert("current.key".to_owned(), Secret::from(key.serialize_pem()));
    data.insert("previous.crt".to_owned(), Secret::from(foreign.clone()));
    let found = step(&mut data, &[], &terms(), begin() + HOUR);
    assert!(texts(&found.notes).starts_with("!current.crt vouches for every name"), "{}", texts(&found.notes));
    assert!(texts(&found.notes).contains("!previous.crt vouches for every name"));
    assert_eq!(found.authority.current.certificate, authority.next.certificate);
    assert!(!found.authority.bundle().contains(&foreign));
}

#[test]
fn new_names_make_new_roots_while_the_old_ones_stay_trusted() {
    let (mut data, authority) = settled(begin());
    let more: Vec<ServerName> = names().into_iter().chain(["new.ns.svc".parse().unwrap()]).collect();
    let terms = Terms::new(more, 87_600 * HOUR, 720 * HOUR, 2160 * HOUR).unwrap();
    let found = step(&mut data, &[], &terms, begin() + HOUR);
    assert!(texts(&found.notes).contains("!current.crt may not vouch for new.ns.svc"), "{}", texts(&found.notes));
    assert!(found.authority.previous.contains(&authority.current.certificate));
    assert_eq!(found.authority.since, None);
}

#[test]
fn a_clock_that_is_behind_changes_nothing() {
    let (data, _) = settled(begin());
    let wrong = begin() - 2 * 8760 * HOUR;
    let error = advance(&data, &[], &terms(), wrong, &mut KeyPair::generate).unwrap_err().to_string();
    assert!(error.contains("current.crt is not valid before") && error.contains("clock"), "{error}");
}

#[test]
fn keys_that_are_not_ours_are_left_alone() {
    let (mut data, _) = settled(begin());
    data.insert("note".to_owned(), Secret::from("kept".to_owned()));
    let found = step(&mut data, &[], &terms(), begin() + HOUR);
    assert!(found.changes.is_empty());
}

#[test]
fn no_text_of_the_authority_shows_a_key() {
    let (data, authority) = settled(begin());
    let shown = format!("{authority:?}{data:?}");
    assert!(!shown.contains("PRIVATE") && !shown.contains("BEGIN"), "{shown}");
}

/// A cluster with a controller that crashes, a server that takes over new certificates late, and clients that keep the
/// bundle that they were started with.
struct World {
    terms: Terms,
    now: SystemTime,
    authority: Data,
    leaf: Data,
    bundle: String,
    /// Bundles by the time at which they were replaced; the last one is in force.
    history: Vec<(SystemTime, String)>,
    /// Certificates that the server may still show, by the time until which it may.
    shown: Vec<(SystemTime, Certificate)>,
    promotions: usize,
}

/// Where a controller dies.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Crash {
    BeforeAuthority,
    AfterAuthority,
    AfterBundle,
    Never,
}

impl World {
    fn new(terms: Terms) -> Self {
        Self {
            terms,
            now: begin(),
            authority: Data::new(),
            leaf: Data::new(),
            bundle: String::new(),
            history: Vec::new(),
            shown: Vec::new(),
            promotions: 0,
        }
    }

    fn look(&mut self, crash: Crash) {
        let bundles = [self.bundle.clone()];
        let found = advance(&self.authority, &bundles, &self.terms, self.now, &mut KeyPair::generate).unwrap();
        assert!(found.notes.iter().all(|note| !note.is_fault), "{}", texts(&found.notes));
        if crash == Crash::BeforeAuthority {
            return;
        }
        self.promotions += usize::from(found.notes.iter().any(|note| note.text.contains("signs from now on")));
        write(&mut self.authority, found.changes);
        if crash == Crash::AfterAuthority {
            return;
        }
        let bundle = found.authority.bundle();
        if bundle != self.bundle {
            self.history.push((self.now, std::mem::replace(&mut self.bundle, bundle)));
        }
        if crash == Crash::AfterBundle {
            return;
        }
        let issued =
            issue(&serving(), &self.leaf, &found.authority, &self.terms, self.now, &mut KeyPair::generate).unwrap();
        if let Some(old) = self.certificate().filter(|_| issued.changes.contains_key("tls.crt")) {
            // The server takes the new certificate over at any time before the old one ends.
            self.shown.push((old.not_after, old));
        }
        write(&mut self.leaf, issued.changes);
    }

    fn certificate(&self) -> Option<Certificate> {
        Certificate::from_pem(text(&self.leaf, "tls.crt")?).ok()
    }

    /// Every client that took its bundle within the overlap accepts every certificate that the server may show now.
    fn check(&mut self) {
        let now = self.now;
        self.shown.retain(|(until, _)| *until > now);
        let Some(leaf) = self.certificate() else { return };
        assert!(leaf.not_after > now, "the certificate in use has expired");
        let oldest = now - self.terms.overlap();
        let bundles = self
            .history
            .iter()
            .filter(|(replaced, bundle)| *replaced >= oldest && !bundle.is_empty())
            .map(|(_, bundle)| bundle)
            .chain([&self.bundle]);
        for bundle in bundles {
            let roots = Certificate::all_from_pem(bundle);
            for certificate in self.shown.iter().map(|(_, certificate)| certificate).chain([&leaf]) {
                assert_eq!(verify(certificate, &names(), &roots, now), Ok(()), "at {}", stamp(now));
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Lifetimes of hours instead of years; looks at random distances up to a third of what a renewal leaves.
    #[test]
    fn through_three_rotations_every_client_accepts_the_server_at_every_instant(
        overlap in 4u32..30,
        leaf in 12u32..90,
        reserve in 0u32..100,
        looks in proptest::collection::vec((1u32..=100, 0usize..8), 600),
    ) {
        let ca = leaf + 3 * overlap + reserve;
        let terms = Terms::new(names(), ca * HOUR, overlap * HOUR, leaf * HOUR).unwrap();
        let mut world = World::new(terms);
        world.look(Crash::Never);
        world.look(Crash::Never);
        let mut crashes = 0;
        for (share, crash) in looks {
            // At most an eighth of a leaf's life between two looks, and at most two of them in vain.
            world.now += leaf * HOUR / 8 * share / 100;
            let crash = match crash {
                0 if crashes < 2 => Crash::BeforeAuthority,
                1 if crashes < 2 => Crash::AfterAuthority,
                2 if crashes < 2 => Crash::AfterBundle,
                _ => Crash::Never,
            };
            crashes = if crash == Crash::Never { 0 } else { crashes + 1 };
            world.check();
            world.look(crash);
            world.check();
            if world.promotions >= 3 {
                break;
            }
        }
        prop_assert!(world.promotions >= 2, "only {} rotations", world.promotions);
    }
}
