//! `Token`: records of tokens: issue, find, use, renew, revoke. The token itself is never stored, only its HMAC.
//!
//! ```text
//! token/TAG           record (listed)            accessor/TAG   tag of the token
//! child/TAG/TAG       child of a parent (listed)
//! ```
//! Out of scope: who may ask for what ([`super::token_api`]).

use std::collections::BTreeMap;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use vouchsafe_model::Secret;

use super::barrier::hex;
use super::fault::Fault;
use super::fields::short_duration;
use super::table::{Listed, Session};
use super::{cubbyhole, wrapping};

/// Longest life of a token that is not periodic, in seconds: 768 hours, as in Vault.
pub(crate) const MAX_TTL: i64 = 768 * 3600;
/// Life of a token whose maker says nothing, in seconds: the same, as in Vault.
const DEFAULT_TTL: i64 = MAX_TTL;
/// Ended tokens that each issue clears away: more than it adds, so the store does not grow.
const CLEAR_AT_ONCE: usize = 8;
/// Random bytes of a token: 192 bits.
const TOKEN_BYTES: usize = 24;

/// What is kept about a token.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Token {
    /// Identifies the token without being it.
    pub(crate) accessor: String,
    /// Tag of the parent; `None` for an orphan.
    pub(crate) parent: Option<String>,
    /// Policies, sorted.
    pub(crate) policies: Vec<String>,
    /// Path that made it.
    pub(crate) path: String,
    /// Facts about who holds it.
    pub(crate) meta: Option<BTreeMap<String, String>>,
    /// A name for people.
    pub(crate) display_name: String,
    /// Uses left; 0 without limit, -1 used up.
    pub(crate) num_uses: i64,
    /// When it was made.
    pub(crate) created: Timestamp,
    /// Seconds that it was made for; 0 for ever.
    pub(crate) ttl: i64,
    /// Seconds that its last renewal gave; 0 before the first.
    pub(crate) renewed_for: i64,
    /// Seconds after which it ends whatever is renewed; 0 for none.
    pub(crate) explicit_max_ttl: i64,
    /// Seconds that each renewal gives; 0 where it is not periodic.
    pub(crate) period: i64,
    /// Seconds after which no renewal helps; 0 for the system's own maximum.
    pub(crate) max_ttl: i64,
    /// When it ends; `None` for never.
    pub(crate) expires: Option<Timestamp>,
    /// Last renewal.
    pub(crate) renewed: Option<Timestamp>,
    /// Whether it can be renewed.
    pub(crate) renewable: bool,
    /// Whether it behaves as a batch token: not renewable, not revocable.
    pub(crate) batch: bool,
    /// The token role it came from.
    #[serde(default)]
    pub(crate) role: Option<String>,
    /// The kubernetes role it came from, as the name of the role's record.
    pub(crate) role_record: Option<String>,
    /// Networks that it may be used from; empty for all.
    pub(crate) bound_cidrs: Vec<String>,
}

impl Token {
    /// A token that never ends, with nothing set.
    pub(crate) fn draft(now: Timestamp, path: &str) -> Self {
        Self {
            accessor: String::new(),
            parent: None,
            policies: Vec::new(),
            path: path.to_owned(),
            meta: None,
            display_name: String::new(),
            num_uses: 0,
            created: now,
            ttl: 0,
            renewed_for: 0,
            explicit_max_ttl: 0,
            period: 0,
            max_ttl: 0,
            expires: None,
            renewed: None,
            renewable: false,
            batch: false,
            role: None,
            role_record: None,
            bound_cidrs: Vec::new(),
        }
    }

    /// Whether root's policy is its own.
    pub(crate) fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == "root")
    }

    /// `service` or `batch`.
    pub(crate) fn kind(&self) -> &'static str {
        if self.batch { "batch" } else { "service" }
    }

    /// Seconds left, from 0.
    pub(crate) fn seconds_left(&self, now: Timestamp) -> i64 {
        self.expires.map_or(0, |end| (end.as_second() - now.as_second()).max(0))
    }

    /// Whether it may be used from `address`.
    pub(crate) fn allows_address(&self, address: IpAddr) -> bool {
        self.bound_cidrs.is_empty() || self.bound_cidrs.iter().any(|cidr| cidr_contains(cidr, address))
    }

    fn has_ended(&self, now: Timestamp) -> bool {
        self.num_uses < 0 || self.expires.is_some_and(|end| end <= now)
    }
}

/// Stores a token and makes its value. `chosen` is the value that root asked for.
pub(crate) fn issue(session: &mut Session<'_>, token: &mut Token, chosen: Option<Secret>) -> Result<Secret, Fault> {
    clear_ended(session)?;
    let value = match chosen {
        Some(value) => value,
        None => new_value(session, if token.batch { "hvb." } else { "hvs." })?,
    };
    token.accessor = hex(&session.barrier.random::<12>()?);
    token.expires = (token.ttl > 0).then(|| later(token.created, token.ttl));
    let tag = session.barrier.token_tag(&value);
    let accessor_record = accessor_record(session, &token.accessor);
    session.write(KIND, &record(&tag), token, Listed::Yes)?;
    session.write(KIND, &accessor_record, &tag, Listed::No)?;
    if let Some(parent) = &token.parent {
        session.write(KIND, &child_record(parent, &tag), &(), Listed::Yes)?;
    }
    if let Some(end) = token.expires {
        session.note_expiry(end.as_second(), &tag);
    }
    Ok(value)
}

/// The token of this value and its tag, unless it is unknown or has ended.
pub(crate) fn find(session: &Session<'_>, value: &Secret) -> Result<Option<(String, Token)>, Fault> {
    find_by_tag(session, session.barrier.token_tag(value))
}

/// The token of this accessor and its tag, unless it is unknown or has ended.
pub(crate) fn find_by_accessor(session: &Session<'_>, accessor: &str) -> Result<Option<(String, Token)>, Fault> {
    match session.read::<String>(KIND, &accessor_record(session, accessor))? {
        Some(tag) => find_by_tag(session, tag),
        None => Ok(None),
    }
}

/// Accessors of all tokens that have not ended.
pub(crate) fn accessors(session: &Session<'_>) -> Result<Vec<String>, Fault> {
    let mut accessors = Vec::new();
    for tag in session.list("token/")? {
        if let Some((_, token)) = find_by_tag(session, tag)?.filter(|(_, token)| !token.batch) {
            accessors.push(token.accessor);
        }
    }
    Ok(accessors)
}

/// Counts a use of a limited token; its last use still works, and the caller revokes it after that.
pub(crate) fn count_use(session: &mut Session<'_>, tag: &str, token: &mut Token) -> Result<(), Fault> {
    match token.num_uses {
        0 => Ok(()),
        // Not revoked yet: what belongs to it must still be there for this request.
        1 => {
            token.num_uses = -1;
            session.write(KIND, &record(tag), token, Listed::Yes)
        }
        _ => {
            token.num_uses -= 1;
            session.write(KIND, &record(tag), token, Listed::Yes)
        }
    }
}

/// Gives a token `ttl` seconds from now.
pub(crate) fn extend(session: &mut Session<'_>, tag: &str, token: &mut Token, ttl: i64) -> Result<(), Fault> {
    if let Some(end) = token.expires {
        session.forget_expiry(end.as_second(), tag);
    }
    let end = later(session.now, ttl);
    token.expires = Some(end);
    token.renewed = Some(session.now);
    token.renewed_for = ttl;
    session.note_expiry(end.as_second(), tag);
    session.write(KIND, &record(tag), token, Listed::Yes)
}

/// Removes a token and all its children, however deep.
pub(crate) fn revoke(session: &mut Session<'_>, tag: &str) -> Result<(), Fault> {
    let mut doomed = vec![tag.to_owned()];
    while let Some(tag) = doomed.pop() {
        doomed.extend(session.list(&format!("child/{tag}/"))?);
        remove(session, &tag)?;
    }
    Ok(())
}

/// Removes a token; its children become orphans.
pub(crate) fn revoke_alone(session: &mut Session<'_>, tag: &str) -> Result<(), Fault> {
    for child in session.list(&format!("child/{tag}/"))? {
        if let Some(mut token) = session.read::<Token>(KIND, &record(&child))? {
            token.parent = None;
            session.write(KIND, &record(&child), &token, Listed::Yes)?;
        }
        session.remove(&child_record(tag, &child), Listed::Yes)?;
    }
    remove(session, tag)
}

/// How long a token made or renewed now lasts.
pub(crate) struct Lifetime {
    /// Seconds asked for with a renewal; 0 for none.
    pub(crate) increment: i64,
    /// Seconds that its maker says; 0 for the default.
    pub(crate) ttl: i64,
    /// See [`Token::period`].
    pub(crate) period: i64,
    /// See [`Token::max_ttl`].
    pub(crate) max_ttl: i64,
    /// See [`Token::explicit_max_ttl`].
    pub(crate) explicit_max_ttl: i64,
    /// When it was made.
    pub(crate) issued: Timestamp,
}

impl Lifetime {
    /// Seconds from now, and warnings about what was cut. `None` where even the longest life has passed.
    pub(crate) fn seconds(&self, now: Timestamp) -> Option<(i64, Vec<String>)> {
        let limits = [MAX_TTL, self.max_ttl, self.explicit_max_ttl];
        let max = limits.into_iter().filter(|limit| *limit > 0).min().unwrap_or(MAX_TTL);
        let mut warnings = Vec::new();
        let (mut ttl, bound) = if self.period > 0 {
            if self.period > max {
                warnings.push(capped("period", "period", self.period, max));
            }
            (self.period.min(max), (self.explicit_max_ttl > 0).then_some(self.explicit_max_ttl))
        } else {
            let asked = [self.increment, self.ttl].into_iter().find(|seconds| *seconds > 0);
            (asked.unwrap_or(DEFAULT_TTL), Some(max))
        };
        if let Some(bound) = bound {
            let left = self.issued.as_second().saturating_add(bound) - now.as_second();
            if left <= 0 {
                return None;
            }
            if ttl > left {
                warnings.push(capped("TTL", "TTL", ttl, left));
                ttl = left;
            }
        }
        Some((ttl, warnings))
    }
}

/// Sorted policies without duplicates, lower case; root stands alone; `default` is added where asked.
pub(crate) fn clean_policies(policies: &[String], add_default: bool) -> Vec<String> {
    let mut clean: Vec<String> =
        policies.iter().map(|policy| policy.trim().to_ascii_lowercase()).filter(|policy| !policy.is_empty()).collect();
    if clean.iter().any(|policy| policy == "root") {
        return vec!["root".to_owned()];
    }
    if add_default {
        clean.push("default".to_owned());
    }
    clean.sort();
    clean.dedup();
    clean
}

/// Whether `cidr` (`10.0.0.0/8`, or an address alone) is one.
pub(crate) fn is_cidr(cidr: &str) -> bool {
    split_cidr(cidr).is_some()
}

/// Whether `address` lies in `cidr`.
pub(crate) fn cidr_contains(cidr: &str, address: IpAddr) -> bool {
    let Some((network, length)) = split_cidr(cidr) else { return false };
    match (network, address.to_canonical()) {
        (IpAddr::V4(network), IpAddr::V4(address)) => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

fn split_cidr(cidr: &str) -> Option<(IpAddr, u32)> {
    let (address, length) = match cidr.split_once('/') {
        Some((address, length)) => (address, Some(length.parse::<u32>().ok()?)),
        None => (cidr, None),
    };
    let address: IpAddr = address.parse().ok()?;
    let bits = if address.is_ipv4() { 32 } else { 128 };
    let length = length.unwrap_or(bits);
    (length <= bits).then_some((address, length))
}

fn find_by_tag(session: &Session<'_>, tag: String) -> Result<Option<(String, Token)>, Fault> {
    let token: Option<Token> = session.read(KIND, &record(&tag))?;
    Ok(token.filter(|token| !token.has_ended(session.now)).map(|token| (tag, token)))
}

fn remove(session: &mut Session<'_>, tag: &str) -> Result<(), Fault> {
    let Some(token) = session.read::<Token>(KIND, &record(tag))? else { return Ok(()) };
    session.remove(&record(tag), Listed::Yes)?;
    let accessor_record = accessor_record(session, &token.accessor);
    session.remove(&accessor_record, Listed::No)?;
    if let Some(parent) = &token.parent {
        session.remove(&child_record(parent, tag), Listed::Yes)?;
    }
    if let Some(end) = token.expires {
        session.forget_expiry(end.as_second(), tag);
    }
    cubbyhole::forget(session, tag)?;
    wrapping::forget(session, tag)
}

fn clear_ended(session: &mut Session<'_>) -> Result<(), Fault> {
    for (second, tag) in session.expired(CLEAR_AT_ONCE)? {
        revoke(session, &tag)?;
        session.forget_expiry(second, &tag);
    }
    Ok(())
}

fn new_value(session: &Session<'_>, prefix: &str) -> Result<Secret, Fault> {
    let bytes = session.barrier.random::<TOKEN_BYTES>()?;
    Ok(Secret::from(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes))))
}

fn later(from: Timestamp, seconds: i64) -> Timestamp {
    from.saturating_add(SignedDuration::from_secs(seconds)).unwrap_or(Timestamp::MAX)
}

fn capped(what: &str, value: &str, asked: i64, limit: i64) -> String {
    format!(
        "{what} of {:?} exceeded the effective max_ttl of {:?}; {value} value is capped accordingly",
        short_duration(asked),
        short_duration(limit)
    )
}

fn record(tag: &str) -> String {
    format!("token/{tag}")
}

fn accessor_record(session: &Session<'_>, accessor: &str) -> String {
    format!("accessor/{}", session.barrier.token_tag(&Secret::from(accessor.to_owned())))
}

fn child_record(parent: &str, child: &str) -> String {
    format!("child/{parent}/{child}")
}

/// What the records are called in messages.
const KIND: &str = "token";

#[cfg(test)]
mod tests {
    use super::super::barrier::Barrier;
    use super::super::table::Nothing;
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn session(barrier: &Barrier) -> Session<'_> {
        Session::new(&Nothing, barrier, at(1000))
    }

    fn barrier() -> Barrier {
        Barrier::new(&Secret::new(vec![7; 32])).unwrap()
    }

    fn make(session: &mut Session<'_>, ttl: i64, parent: Option<&str>) -> (Secret, String) {
        let mut token = Token::draft(session.now, "auth/token/create");
        token.ttl = ttl;
        token.parent = parent.map(str::to_owned);
        let value = issue(session, &mut token, None).unwrap();
        let tag = session.barrier.token_tag(&value);
        (value, tag)
    }

    #[test]
    fn a_token_is_found_by_value_and_accessor_until_it_ends() {
        let barrier = barrier();
        let mut session = session(&barrier);
        let (value, _) = make(&mut session, 60, None);
        let (_, token) = find(&session, &value).unwrap().unwrap();
        assert!(find_by_accessor(&session, &token.accessor).unwrap().is_some());
        assert_eq!(accessors(&session).unwrap(), std::slice::from_ref(&token.accessor));
        session.now = at(1059);
        assert_eq!(find(&session, &value).unwrap().unwrap().1.seconds_left(session.now), 1);
        session.now = at(1060);
        assert!(find(&session, &value).unwrap().is_none());
        assert!(find_by_accessor(&session, &token.accessor).unwrap().is_none());
    }

    #[test]
    fn revoking_takes_all_descendants_along() {
        let barrier = barrier();
        let mut session = session(&barrier);
        let (parent, parent_tag) = make(&mut session, 60, None);
        let (child, child_tag) = make(&mut session, 60, Some(&parent_tag));
        let (grandchild, _) = make(&mut session, 60, Some(&child_tag));
        let (other, _) = make(&mut session, 60, None);
        revoke(&mut session, &parent_tag).unwrap();
        for gone in [&parent, &child, &grandchild] {
            assert!(find(&session, gone).unwrap().is_none());
        }
        assert!(find(&session, &other).unwrap().is_some());
    }

    #[test]
    fn revoking_alone_leaves_orphans() {
        let barrier = barrier();
        let mut session = session(&barrier);
        let (_, parent_tag) = make(&mut session, 60, None);
        let (child, _) = make(&mut session, 60, Some(&parent_tag));
        revoke_alone(&mut session, &parent_tag).unwrap();
        assert!(find(&session, &child).unwrap().unwrap().1.parent.is_none());
    }

    #[test]
    fn the_last_use_works_and_no_further_one() {
        let barrier = barrier();
        let mut session = session(&barrier);
        let mut token = Token::draft(session.now, "p");
        token.num_uses = 2;
        let value = issue(&mut session, &mut token, None).unwrap();
        for _ in 0..2 {
            let (tag, mut token) = find(&session, &value).unwrap().unwrap();
            count_use(&mut session, &tag, &mut token).unwrap();
        }
        assert!(find(&session, &value).unwrap().is_none());
    }

    #[test]
    fn ended_tokens_are_cleared_away_by_later_ones() {
        let barrier = barrier();
        let mut session = session(&barrier);
        for _ in 0..5 {
            make(&mut session, 10, None);
        }
        session.now = at(2000);
        make(&mut session, 10, None);
        assert_eq!(session.list("token/").unwrap().len(), 1);
    }

    #[test]
    fn lifetimes_are_cut_at_the_shortest_maximum() {
        let base = || Lifetime { increment: 0, ttl: 0, period: 0, max_ttl: 0, explicit_max_ttl: 0, issued: at(1000) };
        let seconds = |lifetime: Lifetime, now| lifetime.seconds(at(now)).map(|(ttl, warnings)| (ttl, warnings.len()));
        assert_eq!(seconds(base(), 1000), Some((MAX_TTL, 0)));
        assert_eq!(seconds(Lifetime { ttl: 60, ..base() }, 1000), Some((60, 0)));
        assert_eq!(seconds(Lifetime { ttl: 60, increment: 90, ..base() }, 1000), Some((90, 0)));
        assert_eq!(seconds(Lifetime { ttl: 60, max_ttl: 100, ..base() }, 1050), Some((50, 1)));
        assert_eq!(seconds(Lifetime { ttl: 60, max_ttl: 100, ..base() }, 1100), None);
        assert_eq!(seconds(Lifetime { period: 60, ..base() }, 900_000_000), Some((60, 0)));
        assert_eq!(seconds(Lifetime { period: 60, explicit_max_ttl: 100, ..base() }, 1090), Some((10, 1)));
    }

    #[test]
    fn networks_hold_their_addresses_only() {
        for (cidr, address, inside) in [
            ("10.0.0.0/8", "10.2.3.4", true),
            ("10.0.0.0/8", "11.0.0.1", false),
            ("10.0.0.1", "10.0.0.1", true),
            ("0.0.0.0/0", "1.2.3.4", true),
            ("fd00::/8", "fd12::1", true),
            ("fd00::/8", "::1", false),
            ("10.0.0.0/8", "::ffff:10.1.1.1", true),
            ("nonsense", "10.0.0.1", false),
            ("10.0.0.0/33", "10.0.0.1", false),
        ] {
            assert_eq!(cidr_contains(cidr, address.parse().unwrap()), inside, "{cidr} {address}");
        }
    }

    #[test]
    fn root_stands_alone_among_policies() {
        let policies = |list: &[&str]| list.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        assert_eq!(clean_policies(&policies(&["b", "A", "b", ""]), true), ["a", "b", "default"]);
        assert_eq!(clean_policies(&policies(&["x", "root"]), true), ["root"]);
    }
}
