//! Watches, pure: what a watcher holds, what the upstream says, and what of it is a Change.
//!
//! A path may be watched by whoever may read it: the evidence is a read by the upstream with the watcher's own token, at
//! registration, at least every `auth_ttl` while it waits, and never older than that when a Change is told. The reads also
//! find writes that did not pass through this broker. Out of scope: waiting (front).

use std::time::{Duration, Instant};

use vouchsafe_model::text::quoted;
use vouchsafe_model::wire::extension::{Change, Held, WATCH_PATHS, WATCH_SECONDS, WatchRequest};

use crate::facts::Facts;
use crate::refusal::Refusal;
use crate::request::check_path;
use crate::route::{Class, classify};
use crate::upstream::Operation;

/// "Something happened to this path": what a write that passed through leaves behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hint {
    /// Vault namespace of the path.
    pub namespace: Option<String>,
    /// Path as it is read.
    pub path: String,
    /// Newest version, where the write said so.
    pub version: Option<u64>,
}

/// What a read says about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// The token may read it, and this is its version; 0 where there is none or it was deleted.
    At(u64),
    /// The token may not read it.
    Denied,
    /// The upstream could not say.
    Unknown,
}

/// A watcher's paths.
#[derive(Debug)]
pub(crate) struct Watched {
    namespace: Option<String>,
    held: Vec<Held>,
    /// When each path was last read with success.
    checked: Vec<Option<Instant>>,
}

impl Watched {
    /// Checks a request.
    pub(crate) fn new(request: WatchRequest, namespace: Option<String>) -> Result<Self, Refusal> {
        let invalid = |text: String| Err(Refusal::new(400, text));
        if request.paths.is_empty() || request.paths.len() > WATCH_PATHS {
            return invalid(format!("a watch names 1 to {WATCH_PATHS} paths, this one names {}", request.paths.len()));
        }
        for held in &request.paths {
            if let Err(problem) = check_path(&held.path) {
                return invalid(problem);
            }
            if classify(Operation::Read, &held.path) != Class::KvRead {
                return invalid(format!("{} is no path of a KV v2 secret; poll it instead", quoted(&held.path)));
            }
        }
        let checked = vec![None; request.paths.len()];
        Ok(Self { namespace, held: request.paths, checked })
    }

    /// Indices of all paths.
    pub(crate) fn all(&self) -> std::ops::Range<usize> {
        0..self.held.len()
    }

    /// Path at `index`.
    pub(crate) fn path(&self, index: usize) -> Option<&str> {
        self.held.get(index).map(|held| held.path.as_str())
    }

    /// Vault namespace of all paths.
    pub(crate) fn namespace(&self) -> Option<&str> {
        self.namespace.as_deref()
    }

    /// Takes in what a read said: a Change, nothing, or a refusal.
    pub(crate) fn learn(&mut self, index: usize, standing: Standing, now: Instant) -> Result<Option<Change>, Refusal> {
        let Some(held) = self.held.get(index) else { return Ok(None) };
        match standing {
            Standing::At(version) => {
                if let Some(checked) = self.checked.get_mut(index) {
                    *checked = Some(now);
                }
                Ok((version != held.version).then(|| Change { path: held.path.clone(), version }))
            }
            Standing::Denied => {
                Err(Refusal::new(403, format!("permission denied: this token may not read {}", quoted(&held.path))))
            }
            Standing::Unknown => Ok(None),
        }
    }

    /// What a hint means: nothing, a Change that may be told at once, or paths to read again.
    pub(crate) fn hear(&self, hint: &Hint, auth_ttl: Duration, now: Instant) -> Heard {
        if hint.namespace != self.namespace {
            return Heard::Nothing;
        }
        let Some(index) = self.held.iter().position(|held| held.path == hint.path) else { return Heard::Nothing };
        let held = self.held.get(index).map_or(0, |held| held.version);
        let checked = self.checked.get(index).copied().flatten();
        let is_fresh = checked.is_some_and(|checked| now.duration_since(checked) < auth_ttl);
        match hint.version {
            Some(version) if version == held => Heard::Nothing,
            Some(version) if is_fresh => Heard::Change(Change { path: hint.path.clone(), version }),
            _ => Heard::Read(index),
        }
    }
}

/// What a hint means for one watcher.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Nothing.
    Nothing,
    /// This, and the evidence for telling it is fresh.
    Change(Change),
    /// Read this path again first.
    Read(usize),
}

/// How long a watcher waits at most.
pub(crate) fn wait(seconds: u32) -> Duration {
    Duration::from_secs(u64::from(seconds.min(WATCH_SECONDS)))
}

/// What a read's answer says about the path.
pub(crate) fn standing(status: u16, facts: &Facts) -> Standing {
    match status {
        200 => facts.version.map_or(Standing::Unknown, Standing::At),
        404 => Standing::At(0),
        401 | 403 => Standing::Denied,
        _ => Standing::Unknown,
    }
}

/// Watchers at a time in one broker: as many as connections of a large cluster; each holds a few KiB.
pub const WATCHERS: usize = 10_000;
/// Hints that a slow watcher may lag behind; one that lags more reads all its paths again.
pub(crate) const HINTS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: Duration = Duration::from_secs(5);

    fn watched(paths: &[(&str, u64)]) -> Result<Watched, Refusal> {
        let paths = paths.iter().map(|(path, version)| Held { path: (*path).to_owned(), version: *version }).collect();
        Watched::new(WatchRequest { paths, wait_seconds: 60 }, None)
    }

    fn hint(path: &str, version: Option<u64>) -> Hint {
        Hint { namespace: None, path: path.to_owned(), version }
    }

    #[test]
    fn only_clean_paths_of_kv_secrets_can_be_watched() {
        assert!(watched(&[("secret/data/a", 1)]).is_ok());
        for bad in ["database/creds/a", "secret/data/../a", "secret/data/a/", "secret/metadata/a", "sys/mounts", ""] {
            assert_eq!(watched(&[(bad, 1)]).unwrap_err().status(), 400, "{bad}");
        }
        assert_eq!(watched(&[]).unwrap_err().status(), 400);
        assert_eq!(watched(&vec![("secret/data/a", 1); WATCH_PATHS + 1]).unwrap_err().status(), 400);
    }

    #[test]
    fn a_wait_ends_before_proxies_lose_patience() {
        assert_eq!(wait(u32::MAX), Duration::from_secs(55));
        assert_eq!(wait(3), Duration::from_secs(3));
    }

    #[test]
    fn a_hint_is_told_at_once_only_on_fresh_evidence() {
        let (mut watched, now) = (watched(&[("secret/data/a", 1)]).unwrap(), Instant::now());
        let two = Some(2);
        assert_eq!(watched.hear(&hint("secret/data/a", two), TTL, now), Heard::Read(0));
        assert_eq!(watched.learn(0, Standing::At(1), now), Ok(None));
        let change = Change { path: "secret/data/a".to_owned(), version: 2 };
        let later = |seconds| now + Duration::from_secs(seconds);
        assert_eq!(watched.hear(&hint("secret/data/a", two), TTL, later(4)), Heard::Change(change));
        assert_eq!(watched.hear(&hint("secret/data/a", two), TTL, later(5)), Heard::Read(0));
        assert_eq!(watched.hear(&hint("secret/data/a", two), Duration::ZERO, now), Heard::Read(0));
        assert_eq!(watched.hear(&hint("secret/data/a", None), TTL, now), Heard::Read(0));
    }

    #[test]
    fn hints_for_others_and_for_what_is_held_mean_nothing() {
        let (watched, now) = (watched(&[("secret/data/a", 1)]).unwrap(), Instant::now());
        assert_eq!(watched.hear(&hint("secret/data/b", Some(2)), TTL, now), Heard::Nothing);
        assert_eq!(watched.hear(&hint("secret/data/a", Some(1)), TTL, now), Heard::Nothing);
        let foreign = Hint { namespace: Some("ns".to_owned()), ..hint("secret/data/a", Some(2)) };
        assert_eq!(watched.hear(&foreign, TTL, now), Heard::Nothing);
    }

    #[test]
    fn what_cannot_be_read_is_refused_and_what_is_unknown_changes_nothing() {
        let (mut watched, now) = (watched(&[("secret/data/a", 3)]).unwrap(), Instant::now());
        assert_eq!(watched.learn(0, Standing::Denied, now).unwrap_err().status(), 403);
        assert_eq!(watched.learn(0, Standing::Unknown, now), Ok(None));
        let gone = Change { path: "secret/data/a".to_owned(), version: 0 };
        assert_eq!(watched.learn(0, Standing::At(0), now), Ok(Some(gone)));
    }

    #[test]
    fn an_answer_says_version_deletion_or_refusal() {
        let facts = Facts { version: Some(3), ..Facts::default() };
        assert_eq!(standing(200, &facts), Standing::At(3));
        assert_eq!(standing(404, &facts), Standing::At(0));
        assert_eq!(standing(403, &Facts::default()), Standing::Denied);
        for status in [200, 429, 500, 503] {
            assert_eq!(standing(status, &Facts::default()), Standing::Unknown, "{status}");
        }
    }
}
