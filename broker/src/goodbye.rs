//! Goodbyes, pure: tokens whose pods said that they end, to be revoked later unless the pod comes back.
//!
//! Revoking a token ends every lease made with it, and a SIGTERM does not tell whether the pod or only its sidecar ends.
//! So a token is revoked [`GOODBYE_DELAY`] after its goodbye, unless the same token was used or the same pod logged in
//! again. When the broker itself ends, pending goodbyes are dropped: the token's own end comes anyway, and a pod that
//! still runs keeps its leases (promise P5).

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

use vouchsafe_model::Secret;
use vouchsafe_model::name::PodUid;

use crate::session::{Session, TokenKey};

/// Time between goodbye and revocation: longer than a sidecar's restart with its back-off.
pub(crate) const GOODBYE_DELAY: Duration = Duration::from_secs(60);
/// Most goodbyes that wait: a drained large cluster. One more is not kept; its token ends by itself.
pub(crate) const GOODBYES: usize = 10_000;

/// A token to be revoked.
#[derive(Debug)]
pub(crate) struct Pending {
    pub(crate) token: Secret,
    pub(crate) namespace: Option<String>,
    pub(crate) client: IpAddr,
    pub(crate) session: Session,
    pub(crate) due: Instant,
    /// Attempts that failed.
    pub(crate) failures: u32,
}

/// Goodbyes that wait.
#[derive(Default)]
pub(crate) struct Goodbyes {
    pending: HashMap<TokenKey, Pending>,
}

impl Goodbyes {
    /// Plans a revocation. `false` where there is no room.
    pub(crate) fn plan(&mut self, key: TokenKey, pending: Pending) -> bool {
        let has_room = self.pending.len() < GOODBYES || self.pending.contains_key(&key);
        if has_room {
            self.pending.insert(key, pending);
        }
        has_room
    }

    /// The token is used again.
    pub(crate) fn cancel_token(&mut self, key: TokenKey) -> bool {
        self.pending.remove(&key).is_some()
    }

    /// The pod is back.
    pub(crate) fn cancel_pod(&mut self, uid: &PodUid) -> bool {
        let before = self.pending.len();
        self.pending
            .retain(|_, pending| pending.session.workload.as_ref().and_then(|who| who.pod_uid.as_ref()) != Some(uid));
        self.pending.len() < before
    }

    /// Takes out what is due.
    pub(crate) fn due(&mut self, now: Instant) -> Vec<(TokenKey, Pending)> {
        self.pending.extract_if(|_, pending| pending.due <= now).collect()
    }

    /// Plans a failed revocation again, unless it failed too often.
    pub(crate) fn retry(&mut self, key: TokenKey, mut pending: Pending, now: Instant) -> bool {
        pending.failures += 1;
        pending.due = now + RETRY_DELAY;
        pending.failures < ATTEMPTS && self.plan(key, pending)
    }

    /// Number that wait.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }
}

/// Attempts at one revocation; the token's own end comes soon enough.
const ATTEMPTS: u32 = 5;
/// Time between them.
const RETRY_DELAY: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use vouchsafe_model::Workload;

    use super::*;
    use crate::session::Sessions;

    fn key(number: u8) -> TokenKey {
        Sessions::new(Secret::new(vec![1]), Secret::new(vec![2])).key(&Secret::new(vec![number]))
    }

    fn pending(uid: &str, due: Instant) -> Pending {
        let workload = Workload {
            namespace: "a".parse().unwrap(),
            service_account: "b".parse().unwrap(),
            pod: None,
            pod_uid: Some(uid.parse().unwrap()),
        };
        let session = Session { workload: Some(workload), ..Session::default() };
        let client = IpAddr::V4(Ipv4Addr::LOCALHOST);
        Pending { token: Secret::new(vec![9]), namespace: None, client, session, due, failures: 0 }
    }

    #[test]
    fn a_goodbye_is_due_after_its_delay_and_only_once() {
        let (mut goodbyes, now) = (Goodbyes::default(), Instant::now());
        assert!(goodbyes.plan(key(1), pending("u1", now + GOODBYE_DELAY)));
        assert_eq!(goodbyes.due(now + GOODBYE_DELAY / 2).len(), 0);
        assert_eq!(goodbyes.due(now + GOODBYE_DELAY).len(), 1);
        assert_eq!(goodbyes.due(now + GOODBYE_DELAY).len(), 0);
    }

    #[test]
    fn a_pod_that_comes_back_keeps_its_token() {
        let (mut goodbyes, now) = (Goodbyes::default(), Instant::now());
        goodbyes.plan(key(1), pending("u1", now));
        goodbyes.plan(key(2), pending("u2", now));
        assert!(goodbyes.cancel_pod(&"u1".parse().unwrap()));
        assert!(!goodbyes.cancel_pod(&"u1".parse().unwrap()));
        assert!(goodbyes.cancel_token(key(2)));
        assert!(goodbyes.due(now).is_empty());
    }

    #[test]
    fn a_failed_revocation_is_tried_again_a_bounded_number_of_times() {
        let (mut goodbyes, mut now) = (Goodbyes::default(), Instant::now());
        goodbyes.plan(key(1), pending("u1", now));
        for attempt in 1..=ATTEMPTS {
            let (key, pending) = goodbyes.due(now).pop().unwrap();
            assert_eq!(goodbyes.retry(key, pending, now), attempt < ATTEMPTS);
            now += RETRY_DELAY;
        }
        assert_eq!(goodbyes.len(), 0);
    }

    #[test]
    fn there_is_room_for_a_bounded_number() {
        let (mut goodbyes, now) = (Goodbyes::default(), Instant::now());
        let sessions = Sessions::new(Secret::new(vec![1]), Secret::new(vec![2]));
        for number in 0..GOODBYES {
            assert!(goodbyes.plan(sessions.key(&Secret::from(number.to_string())), pending("u", now)));
        }
        assert!(!goodbyes.plan(sessions.key(&Secret::from("more".to_owned())), pending("u", now)));
    }
}
