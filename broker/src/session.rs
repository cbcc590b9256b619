//! Sessions: tokens that were seen through this broker, and who holds them. Pure: time is an argument.
//!
//! A session is a label for records and nothing else: it grants nothing, and a token without one is passed through all
//! the same. Tokens are known by an HMAC under a key of this process, so a memory image of the table is no list of
//! tokens. Out of scope: caching.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use vouchsafe_model::{Secret, Workload};
use vouchsafe_net::hash::{SHA256_BYTES, hex, hmac_sha256};

use crate::identity::{Claims, Verified};

/// Most sessions kept: ten times a large cluster's pods behind one replica; about 400 bytes each.
pub const SESSIONS: usize = 50_000;
/// How long a token without an end of its own is remembered after it was last seen.
pub const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

/// Stands for a token.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TokenKey([u8; SHA256_BYTES]);

/// Who holds a token, as far as this broker knows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Who it is; only ever from verified claims.
    pub workload: Option<Workload>,
    /// HMAC of the token's accessor under the cluster's key.
    pub accessor: Option<String>,
    /// Role of the login.
    pub role: Option<String>,
}

/// The table.
pub struct Sessions {
    token_key: Secret,
    accessor_key: Secret,
    entries: HashMap<TokenKey, Entry>,
    capacity: usize,
}

struct Entry {
    session: Session,
    ends: SystemTime,
}

impl Sessions {
    /// An empty table. `token_key` belongs to this process, `accessor_key` to the cluster.
    pub fn new(token_key: Secret, accessor_key: Secret) -> Self {
        Self { token_key, accessor_key, entries: HashMap::new(), capacity: SESSIONS }
    }

    /// The key that stands for `token`.
    pub fn key(&self, token: &Secret) -> TokenKey {
        // EXPOSE: hashed only.
        TokenKey(hmac_sha256(self.token_key.expose(), token.expose()))
    }

    /// HMAC of an accessor under the cluster's key, in hex; `None` for the empty accessor of a batch token.
    pub fn accessor(&self, accessor: &str) -> Option<String> {
        // EXPOSE: hashed only.
        (!accessor.is_empty()).then(|| hex(&hmac_sha256(self.accessor_key.expose(), accessor.as_bytes())))
    }

    /// Remembers a token that was seen being made, renewed or described. What was known and is not said again is kept.
    pub fn saw(
        &mut self,
        key: TokenKey,
        claims: Option<&Verified<Claims>>,
        seen: Seen<'_>,
        now: SystemTime,
    ) -> Session {
        let accessor = self.accessor(seen.accessor);
        let known = self.find(key, now).cloned().unwrap_or_default();
        let session = Session {
            workload: claims.map(|claims| claims.workload().clone()).or(known.workload),
            accessor: accessor.or(known.accessor),
            role: seen.role.map(str::to_owned).or(known.role),
        };
        let lease = if seen.lease.is_zero() { FOREVER } else { seen.lease };
        let ends = now.checked_add(lease).unwrap_or(now);
        self.insert(key, Entry { session: session.clone(), ends }, now);
        session
    }

    /// Who holds the token; `None` for a token that was not seen here or has ended.
    pub fn find(&self, key: TokenKey, now: SystemTime) -> Option<&Session> {
        self.entries.get(&key).filter(|entry| entry.ends > now).map(|entry| &entry.session)
    }

    /// Forgets a token that was revoked.
    pub fn forget(&mut self, key: TokenKey) {
        self.entries.remove(&key);
    }

    /// Number of sessions, ended ones included until room is needed.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn insert(&mut self, key: TokenKey, entry: Entry, now: SystemTime) {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room(now);
        }
        self.entries.insert(key, entry);
    }

    /// Drops ended sessions; where none ended, an eighth of the table, those that end first. Seldom enough to be linear.
    fn make_room(&mut self, now: SystemTime) {
        self.entries.retain(|_, entry| entry.ends > now);
        if self.entries.len() < self.capacity {
            return;
        }
        let mut ends: Vec<SystemTime> = self.entries.values().map(|entry| entry.ends).collect();
        let at = ends.len() / 8;
        let (_, bound, _) = ends.select_nth_unstable(at);
        let bound = *bound;
        self.entries.retain(|_, entry| entry.ends > bound);
    }
}

/// What an answer says about a token.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Its accessor; may be empty.
    pub accessor: &'a str,
    /// How long it lasts; zero means for ever.
    pub lease: Duration,
    /// Role of the login.
    pub role: Option<&'a str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sessions(capacity: usize) -> Sessions {
        let mut sessions = Sessions::new(Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
        sessions.capacity = capacity;
        sessions
    }

    fn token(number: usize) -> Secret {
        Secret::from(format!("hvs.{number}"))
    }

    fn seen(lease: u64) -> Seen<'static> {
        Seen { accessor: "a", lease: Duration::from_secs(lease), role: Some("r") }
    }

    #[test]
    fn a_session_ends_with_its_token() {
        let (mut sessions, now) = (sessions(8), SystemTime::UNIX_EPOCH);
        let key = sessions.key(&token(1));
        sessions.saw(key, None, seen(10), now);
        assert_eq!(sessions.find(key, now + Duration::from_secs(9)).unwrap().role.as_deref(), Some("r"));
        assert!(sessions.find(key, now + Duration::from_secs(10)).is_none());
        assert!(sessions.find(sessions.key(&token(2)), now).is_none());
    }

    #[test]
    fn the_table_never_grows_over_its_bound_and_keeps_the_longest_living() {
        let (mut sessions, now) = (sessions(64), SystemTime::UNIX_EPOCH);
        for number in 0..1000 {
            let key = sessions.key(&token(number));
            sessions.saw(key, None, seen(1000 + number as u64), now);
            assert!(sessions.len() <= 64);
        }
        assert!(sessions.find(sessions.key(&token(999)), now).is_some());
        assert!(sessions.find(sessions.key(&token(0)), now).is_none());
    }

    #[test]
    fn equal_leases_cannot_overflow_the_table() {
        let (mut sessions, now) = (sessions(64), SystemTime::UNIX_EPOCH);
        for number in 0..1000 {
            let key = sessions.key(&token(number));
            sessions.saw(key, None, seen(3600), now);
            assert!(sessions.len() <= 64 && !sessions.is_empty());
        }
    }

    #[test]
    fn accessors_of_all_replicas_join_and_show_nothing() {
        let one = Sessions::new(Secret::new(vec![1; 32]), Secret::new(vec![2; 32]));
        let two = Sessions::new(Secret::new(vec![9; 32]), Secret::new(vec![2; 32]));
        assert_eq!(one.accessor("abc"), two.accessor("abc"));
        assert!(one.key(&token(1)) != two.key(&token(1)));
        assert_eq!(one.accessor(""), None);
        assert!(!one.accessor("abc").unwrap().contains("abc"));
    }
}
