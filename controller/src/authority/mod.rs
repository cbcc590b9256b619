//! The certificate authority: which roots there are, which one signs, and what comes next. Pure.
//!
//! ```text
//! Secret vouchsafe-ca     current.crt current.key current.since      signs, since when
//!                         next.crt next.key next.published           in every bundle, signs later
//!                         previous.crt previous.retired              in every bundle, signs no more
//! bundle                  current, next, previous: what clients trust
//! ```
//! The order that makes any crash harmless: a root is written here first, then published in the bundle, then stamped as
//! published, and only a stamped root signs. A successor always exists, waits at least the overlap, and is usually known for
//! years; a retired root stays until the last leaf that it signed has expired. Every step is one write, so a crash
//! between two of them is a state like any other. Content that cannot be used is named and replaced; a root of ours that
//! is still good never leaves the bundle early.
//! Out of scope: reading and writing objects (`driver`), certificates of servers ([`leaf`]).

mod certificate;
mod issue;
pub mod leaf;
mod name;
mod terms;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use rcgen::KeyPair;
use vouchsafe_model::Secret;

pub use self::certificate::Certificate;
pub use self::issue::Root;
pub use self::name::{ServerName, ServerNameError};
pub use self::terms::{Terms, TermsError};

/// Content of a Secret: keys and values.
pub type Data = BTreeMap<String, Secret>;
/// What to write to a Secret: values to set, `None` for keys to remove.
pub type Changes = BTreeMap<String, Option<Secret>>;
/// Makes private keys; the only randomness here.
pub type Keys<'a> = &'a mut dyn FnMut() -> Result<KeyPair, rcgen::Error>;

/// Why no decision about the authority is possible.
#[derive(Debug, thiserror::Error)]
pub enum AuthorityError {
    /// Our clock is behind, or the one that made the root was ahead.
    #[error(
        "{key} is not valid before {begin}, so the clock of this node or of an earlier one is wrong; nothing was changed: \
         correct the clock, or empty the Secret to begin anew"
    )]
    Clock {
        /// Key of the CA Secret.
        key: &'static str,
        /// Begin of validity, RFC 3339.
        begin: String,
    },
    /// The certificate library failed.
    #[error("make a certificate: {0}")]
    Make(rcgen::Error),
    /// What the certificate library made cannot be read: a mistake of ours.
    #[error("a new certificate {0}")]
    Unreadable(String),
}

/// Something worth one log line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Whether something was wrong, rather than due.
    pub is_fault: bool,
    /// The line.
    pub text: String,
}

/// The roots in use.
#[derive(Debug)]
pub struct Authority {
    current: Root,
    /// Since when `current` may sign; `None` until it was seen in every bundle.
    since: Option<SystemTime>,
    next: Root,
    /// Since when `next` is in every bundle.
    published: Option<SystemTime>,
    previous: Vec<Certificate>,
    /// When the newest of `previous` signed last.
    retired: Option<SystemTime>,
}

/// The authority as it should be now.
#[derive(Debug)]
pub struct Advance {
    /// The roots; to be used once `changes` are written.
    pub authority: Authority,
    /// What to write to the Secret; empty means that it is as it should be.
    pub changes: Changes,
    /// What to log once they are written.
    pub notes: Vec<Note>,
}

/// Decides what the authority should be, from the Secret's content and from the bundles as they stand at the places where
/// clients get them. At most one stage of a root's life per call.
pub fn advance(
    data: &Data,
    bundles: &[String],
    terms: &Terms,
    now: SystemTime,
    keys: Keys<'_>,
) -> Result<Advance, AuthorityError> {
    let mut notes = Vec::new();
    let mut authority = restore(data, terms, now, keys, &mut notes)?;
    authority.stamp(bundles, now, &mut notes);
    authority.promote(terms, now, keys, &mut notes)?;
    authority.forget(terms, now, &mut notes);
    let changes = changes(data, &authority.to_data());
    Ok(Advance { authority, changes, notes })
}

impl Authority {
    /// PEM of every root that a leaf in use may end in, and of the successor.
    pub fn bundle(&self) -> String {
        self.roots().map(|certificate| certificate.pem.as_str()).collect()
    }

    /// All roots of the bundle: current, next, previous.
    pub fn roots(&self) -> impl Iterator<Item = &Certificate> {
        [&self.current.certificate, &self.next.certificate].into_iter().chain(&self.previous)
    }

    /// The root that signs, and since when it may.
    pub fn current(&self) -> (&Certificate, Option<SystemTime>) {
        (&self.current.certificate, self.since)
    }

    /// The root that will sign next, and since when it is published.
    pub fn next(&self) -> (&Certificate, Option<SystemTime>) {
        (&self.next.certificate, self.published)
    }

    /// Roots that sign no more.
    pub fn previous(&self) -> &[Certificate] {
        &self.previous
    }

    /// Notes which roots stand in all bundles by now.
    fn stamp(&mut self, bundles: &[String], now: SystemTime, notes: &mut Vec<Note>) {
        let everywhere = |root: &Root| {
            !bundles.is_empty() && bundles.iter().all(|bundle| bundle.contains(root.certificate.pem.trim_end()))
        };
        if self.since.is_none() && everywhere(&self.current) {
            self.since = Some(now);
            notes.push(due("the root is published and may sign"));
        }
        if self.published.is_none() && everywhere(&self.next) {
            self.published = Some(now);
            notes.push(due("the next root is published"));
        }
    }

    /// The successor takes over when the root has signed for its period, and the successor was known for the overlap.
    fn promote(
        &mut self,
        terms: &Terms,
        now: SystemTime,
        keys: Keys<'_>,
        notes: &mut Vec<Note>,
    ) -> Result<(), AuthorityError> {
        let has_passed =
            |begin: Option<SystemTime>, time: Duration| begin.is_some_and(|begin| later(begin, time) <= now);
        if !has_passed(self.since, terms.signing_period()) || !has_passed(self.published, terms.overlap()) {
            return Ok(());
        }
        let fresh = Root::make(terms, now, &keys().map_err(AuthorityError::Make)?)?;
        let promoted = std::mem::replace(&mut self.next, fresh);
        let old = std::mem::replace(&mut self.current, promoted);
        self.since = Some(now);
        self.published = None;
        self.retire(old.certificate, now);
        notes
            .push(due("the next root signs from now on; the one before stays trusted until its last certificate ends"));
        Ok(())
    }

    /// Takes roots out of the bundle that nothing can depend on any more.
    fn forget(&mut self, terms: &Terms, now: SystemTime, notes: &mut Vec<Note>) {
        let is_over = self.retired.is_none_or(|retired| terms.forgotten_at(retired) <= now);
        let before = self.previous.len();
        self.previous.retain(|certificate| !is_over && certificate.not_after > now);
        if self.previous.is_empty() {
            self.retired = None;
        }
        if self.previous.len() < before {
            notes.push(due("a retired root left the trust bundle: every certificate that it signed has expired"));
        }
    }

    fn retire(&mut self, certificate: Certificate, now: SystemTime) {
        if certificate.not_after > now && !self.previous.contains(&certificate) {
            self.previous.push(certificate);
            if self.previous.len() > PREVIOUS {
                self.previous.remove(0);
            }
            self.retired = Some(now);
        }
    }

    /// The Secret's content; absent keys are those that it must not have.
    fn to_data(&self) -> Data {
        let mut data = Data::new();
        let mut put = |key: &str, value: String| data.insert(key.to_owned(), Secret::from(value));
        put(CURRENT_CERTIFICATE, self.current.certificate.pem.clone());
        put(NEXT_CERTIFICATE, self.next.certificate.pem.clone());
        for (key, time) in [(SINCE, self.since), (PUBLISHED, self.published), (RETIRED, self.retired)] {
            if let Some(time) = time {
                put(key, stamp(time));
            }
        }
        if !self.previous.is_empty() {
            put(PREVIOUS_CERTIFICATES, self.previous.iter().map(|certificate| certificate.pem.as_str()).collect());
        }
        data.insert(CURRENT_KEY.to_owned(), self.current.key.duplicate());
        data.insert(NEXT_KEY.to_owned(), self.next.key.duplicate());
        data
    }
}

/// The authority that the Secret holds, with what cannot be used replaced.
fn restore(
    data: &Data,
    terms: &Terms,
    now: SystemTime,
    keys: Keys<'_>,
    notes: &mut Vec<Note>,
) -> Result<Authority, AuthorityError> {
    let current = Slot::read(data, CURRENT_CERTIFICATE, CURRENT_KEY, terms, now, notes)?;
    let next = Slot::read(data, NEXT_CERTIFICATE, NEXT_KEY, terms, now, notes)?;
    let mut times = |key: &'static str| read_time(data, key, now, notes);
    let (since, published, retired) = (times(SINCE), times(PUBLISHED), times(RETIRED));
    let mut fresh = || Root::make(terms, now, &keys().map_err(AuthorityError::Make)?);
    let is_first = current.is_absent() && next.is_absent();
    let (current, lost) = current.split();
    let (next, lost_next) = next.split();
    let mut authority = match (current, next) {
        (Some(current), Some(next)) => {
            Authority { current, since, next, published, previous: Vec::new(), retired: None }
        }
        (Some(current), None) => {
            Authority { current, since, next: fresh()?, published: None, previous: Vec::new(), retired: None }
        }
        (None, Some(next)) => {
            notes.push(fault("the next root takes over at once, since the one in use cannot sign"));
            let since = published.map(|_| now);
            Authority { current: next, since, next: fresh()?, published: None, previous: Vec::new(), retired: None }
        }
        (None, None) => {
            let text = "made a new root and its successor";
            notes.push(if is_first { due(text) } else { fault(text) });
            Authority {
                current: fresh()?,
                since: None,
                next: fresh()?,
                published: None,
                previous: Vec::new(),
                retired: None,
            }
        }
    };
    read_previous(data, &mut authority, now, notes);
    if !authority.previous.is_empty() {
        authority.retired = Some(retired.unwrap_or(now));
    }
    // A certificate without its key signs nothing any more, but servers may still show what it signed.
    for certificate in lost.into_iter().chain(lost_next) {
        authority.retire(certificate, now);
    }
    Ok(authority)
}

/// One pair of certificate and key as found.
enum Slot {
    Absent,
    /// Can sign.
    Good(Root),
    /// Cannot sign; the certificate is ours and valid, so it stays trusted.
    Lost(Certificate),
    Useless,
}

impl Slot {
    fn read(
        data: &Data,
        certificate_key: &'static str,
        key_key: &'static str,
        terms: &Terms,
        now: SystemTime,
        notes: &mut Vec<Note>,
    ) -> Result<Self, AuthorityError> {
        let certificate = match (text(data, certificate_key), data.contains_key(key_key)) {
            (None, false) => return Ok(Self::Absent),
            (None, true) => Err("is missing".to_owned()),
            (Some(pem), _) => Certificate::from_pem(pem),
        };
        let certificate = match certificate {
            Ok(certificate) => certificate,
            Err(problem) => {
                notes.push(fault(&format!("{certificate_key} {problem}")));
                return Ok(Self::Useless);
            }
        };
        if certificate.not_before > now && certificate.check_kind().is_ok() {
            return Err(AuthorityError::Clock { key: certificate_key, begin: stamp(certificate.not_before) });
        }
        let judged = certificate.check_root(terms.names(), now).map_err(|problem| (certificate_key, problem));
        let key = data.get(key_key).ok_or((key_key, "is missing".to_owned()));
        let joined =
            judged.and(key).and_then(|key| Root::join(certificate.clone(), key).map_err(|problem| (key_key, problem)));
        Ok(match joined {
            Ok(root) => Self::Good(root),
            Err((culprit, problem)) => {
                notes.push(fault(&format!("{culprit} {problem}")));
                if certificate.check_kind().is_ok() { Self::Lost(certificate) } else { Self::Useless }
            }
        })
    }

    fn is_absent(&self) -> bool {
        matches!(self, Self::Absent)
    }

    fn split(self) -> (Option<Root>, Option<Certificate>) {
        match self {
            Self::Good(root) => (Some(root), None),
            Self::Lost(certificate) => (None, Some(certificate)),
            Self::Absent | Self::Useless => (None, None),
        }
    }
}

fn read_previous(data: &Data, authority: &mut Authority, now: SystemTime, notes: &mut Vec<Note>) {
    let Some(pem) = text(data, PREVIOUS_CERTIFICATES) else { return };
    let found = Certificate::all_from_pem(pem);
    if found.is_empty() {
        notes.push(fault(&format!("{PREVIOUS_CERTIFICATES} is no PEM certificate")));
    }
    for certificate in found {
        let is_known = authority.roots().any(|root| *root == certificate);
        match certificate.check_kind() {
            Err(problem) => notes.push(fault(&format!("{PREVIOUS_CERTIFICATES} {problem}"))),
            Ok(()) if is_known || certificate.not_after <= now => {}
            Ok(()) => authority.previous.push(certificate),
        }
    }
    authority.previous.truncate(PREVIOUS);
}

/// A stamp that we wrote. One from the future is no proof of anything that has happened.
fn read_time(data: &Data, key: &'static str, now: SystemTime, notes: &mut Vec<Note>) -> Option<SystemTime> {
    let text = text(data, key)?;
    match text.parse::<jiff::Timestamp>().map(SystemTime::from) {
        Ok(time) if time <= later(now, CLOCKS_DIFFER) => Some(time),
        Ok(_) => {
            notes.push(fault(&format!("{key} lies in the future")));
            None
        }
        Err(_) => {
            notes.push(fault(&format!("{key} is no time")));
            None
        }
    }
}

fn text<'a>(data: &'a Data, key: &str) -> Option<&'a str> {
    // EXPOSE: certificates and stamps, which are public, lie in the Secret beside the keys.
    let text = data.get(key)?.expose_str().unwrap_or(NOT_TEXT);
    if text.is_empty() { None } else { Some(text) }
}

/// What to write so that `present` becomes `wanted`. Keys that are not ours are left alone.
fn changes(present: &Data, wanted: &Data) -> Changes {
    let mut changes = Changes::new();
    for key in KEYS {
        match (present.get(key), wanted.get(key)) {
            (Some(old), Some(new)) if old == new => {}
            (_, Some(new)) => {
                changes.insert(key.to_owned(), Some(new.duplicate()));
            }
            (Some(_), None) => {
                changes.insert(key.to_owned(), None);
            }
            (None, None) => {}
        }
    }
    changes
}

fn due(text: &str) -> Note {
    Note { is_fault: false, text: text.to_owned() }
}

fn fault(text: &str) -> Note {
    Note { is_fault: true, text: text.to_owned() }
}

/// `time` after `begin`; times beyond the end of time are the end of time that a certificate can say.
fn later(begin: SystemTime, time: Duration) -> SystemTime {
    begin.checked_add(time).unwrap_or(begin)
}

/// RFC 3339 in whole seconds, as certificates count them.
fn stamp(time: SystemTime) -> String {
    let seconds = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    i64::try_from(seconds)
        .ok()
        .and_then(|seconds| jiff::Timestamp::from_second(seconds).ok())
        .map_or_else(|| "an unknown time".to_owned(), |time| time.to_string())
}

const CURRENT_CERTIFICATE: &str = "current.crt";
const CURRENT_KEY: &str = "current.key";
const SINCE: &str = "current.since";
const NEXT_CERTIFICATE: &str = "next.crt";
const NEXT_KEY: &str = "next.key";
const PUBLISHED: &str = "next.published";
const PREVIOUS_CERTIFICATES: &str = "previous.crt";
const RETIRED: &str = "previous.retired";
/// Every key that we write.
const KEYS: [&str; 8] =
    [CURRENT_CERTIFICATE, CURRENT_KEY, SINCE, NEXT_CERTIFICATE, NEXT_KEY, PUBLISHED, PREVIOUS_CERTIFICATES, RETIRED];
/// Retired roots that are kept: one in ordinary times, more after repairs. The bundle travels in every Plan (32 KiB).
const PREVIOUS: usize = 4;
/// How far the clocks of two nodes may differ before a stamp counts as wrong.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);
/// Stands for bytes that are no text; it is no PEM and no time either.
const NOT_TEXT: &str = "?";
