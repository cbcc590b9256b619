//! Who works: one replica at a time holds a Lease. Pure.
//!
//! As Kubernetes' own components do it: the holder renews; others take the Lease when it is free, or when they have seen
//! it unchanged for its whole duration by their own clock, so clocks of nodes need not agree. Two holders for a moment
//! do no harm: every write to a Secret names the version that it is based on, and one of the two fails.
//! Out of scope: reading and writing the Lease (`driver`).

use std::time::Duration;

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// Version of the object; changes with each renewal.
    pub version: String,
    /// Who holds it; empty means nobody.
    pub holder: String,
    /// How long a holder may be silent.
    pub duration: Duration,
    /// How often it changed hands.
    pub transitions: i32,
}

/// What to do about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Move {
    /// Write again that we hold it.
    Renew,
    /// Write that we hold it now.
    Take,
    /// Somebody else works.
    Wait,
}

/// One replica's memory of the Lease. Times are since any fixed instant, by a clock that never goes back.
#[derive(Debug)]
pub struct Election {
    identity: String,
    seen: Option<(String, Duration)>,
    renewed: Option<Duration>,
}

impl Election {
    /// A replica that holds nothing.
    pub fn new(identity: impl Into<String>) -> Self {
        Self { identity: identity.into(), seen: None, renewed: None }
    }

    /// Decides after the Lease was read.
    pub fn observe(&mut self, lease: &View, now: Duration) -> Move {
        let since = match &self.seen {
            Some((version, since)) if *version == lease.version => *since,
            _ => {
                self.seen = Some((lease.version.clone(), now));
                now
            }
        };
        if lease.holder == self.identity {
            return Move::Renew;
        }
        self.renewed = None;
        let is_silent = now.saturating_sub(since) >= lease.duration;
        if lease.holder.is_empty() || is_silent { Move::Take } else { Move::Wait }
    }

    /// The Lease was written with us as holder; `begun` is when the request began.
    pub fn wrote(&mut self, begun: Duration) {
        self.renewed = Some(begun);
    }

    /// The write found another version: somebody else was faster.
    pub fn lost(&mut self) {
        self.renewed = None;
    }

    /// Whether we may work at `now`. Ends before others may take the Lease, also if the API cannot be reached.
    pub fn leads(&self, now: Duration) -> bool {
        self.renewed.is_some_and(|renewed| now.saturating_sub(renewed) < DEADLINE)
    }
}

/// How long a holder may be silent before another takes over.
pub const LEASE: Duration = Duration::from_secs(15);
/// A holder that could not renew stops working; with 5 s to spare, a request in flight has ended by then.
pub const DEADLINE: Duration = Duration::from_secs(10);
/// Time between two looks: three tries before the deadline.
pub const LOOK_AT_LEASE_EVERY: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    fn view(version: u32, holder: &str) -> View {
        View { version: version.to_string(), holder: holder.to_owned(), duration: LEASE, transitions: 0 }
    }

    fn at(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_free_lease_is_taken_and_then_renewed() {
        let mut one = Election::new("one");
        assert_eq!(one.observe(&view(1, ""), at(0)), Move::Take);
        assert!(!one.leads(at(0)));
        one.wrote(at(0));
        assert!(one.leads(at(1)));
        assert_eq!(one.observe(&view(2, "one"), at(3)), Move::Renew);
    }

    #[test]
    fn a_lease_is_stolen_only_after_its_whole_duration_without_a_change() {
        let mut two = Election::new("two");
        assert_eq!(two.observe(&view(1, "one"), at(100)), Move::Wait);
        assert_eq!(two.observe(&view(1, "one"), at(114)), Move::Wait);
        assert_eq!(two.observe(&view(2, "one"), at(115)), Move::Wait);
        assert_eq!(two.observe(&view(2, "one"), at(129)), Move::Wait);
        assert_eq!(two.observe(&view(2, "one"), at(130)), Move::Take);
    }

    #[test]
    fn a_holder_without_contact_stops_before_another_may_begin() {
        let mut one = Election::new("one");
        one.observe(&view(1, ""), at(0));
        one.wrote(at(0));
        let mut two = Election::new("two");
        two.observe(&view(2, "one"), at(0));
        for second in 0..60 {
            let taken = two.observe(&view(2, "one"), at(second)) == Move::Take;
            assert!(!(taken && one.leads(at(second))), "two leaders at {second} s");
        }
        assert_eq!(two.observe(&view(2, "one"), at(15)), Move::Take);
    }

    #[test]
    fn whoever_finds_another_holder_or_version_leads_no_more() {
        let mut one = Election::new("one");
        one.wrote(at(0));
        assert_eq!(one.observe(&view(7, "two"), at(1)), Move::Wait);
        assert!(!one.leads(at(1)));
        one.wrote(at(2));
        one.lost();
        assert!(!one.leads(at(2)));
    }

    #[test]
    fn a_restarted_replica_of_the_same_name_goes_on_at_once() {
        assert_eq!(Election::new("one").observe(&view(9, "one"), at(0)), Move::Renew);
    }
}
