//! When to try again, renew and re-read: pure arithmetic on durations.
//!
//! Randomness comes in as a share between 0 and 1. Nothing here can return zero, so no caller can spin.
//! Out of scope: clocks and timers (the drivers own them).

use std::time::Duration;

/// Exponential back-off with full jitter, bounded below and above.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    /// Forgets earlier failures.
    pub fn reset(&mut self) {
        self.failures = 0;
    }

    /// Failures in a row so far.
    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// Counts a failure and says how long to wait. A server's `Retry-After` is a floor, capped at [`RETRY_AFTER_MAX`].
    pub fn after_failure(&mut self, random: f64, retry_after: Option<Duration>) -> Duration {
        let exponent = self.failures.min(16);
        self.failures = self.failures.saturating_add(1);
        let ceiling = BACKOFF_FIRST.saturating_mul(1 << exponent).min(BACKOFF_MAX);
        let jittered = BACKOFF_MIN + ceiling.saturating_sub(BACKOFF_MIN).mul_f64(share(random));
        match retry_after {
            Some(asked) => asked.min(RETRY_AFTER_MAX) + BACKOFF_FIRST.mul_f64(share(random)),
            None => jittered,
        }
    }
}

/// When to renew a token or lease of `lease`: at 60 to 70 % of it, never sooner than a second.
pub fn renew_after(lease: Duration, random: f64) -> Duration {
    lease.mul_f64(0.6 + 0.1 * share(random)).max(RENEW_MIN)
}

/// Whether a renewal of `granted`, first granted `first`, is near its maximum, so that a new login is due.
pub fn is_near_maximum(first: Duration, granted: Duration) -> bool {
    granted < first / 3
}

/// When to read an unleased secret again without a push: `interval`, give or take a tenth.
pub fn poll_after(interval: Duration, random: f64) -> Duration {
    interval.mul_f64(0.9 + 0.2 * share(random)).max(RENEW_MIN)
}

fn share(random: f64) -> f64 {
    if random.is_finite() { random.clamp(0.0, 1.0) } else { 0.5 }
}

/// Shortest wait between two attempts; keeps a fault from becoming a loop.
pub const BACKOFF_MIN: Duration = Duration::from_millis(100);
/// Ceiling of the first wait: most failures at pod start are a mesh or a rollout that is a moment away.
pub const BACKOFF_FIRST: Duration = Duration::from_millis(500);
/// Ceiling of every wait: after a healed partition nobody waits longer than this.
pub const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// Longest `Retry-After` that is honoured.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(300);
/// Shortest time between two renewals or polls.
pub const RENEW_MIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn retry_after_is_a_floor_with_a_cap() {
        let mut backoff = Backoff::default();
        assert!(backoff.after_failure(0.0, Some(Duration::from_secs(7))) >= Duration::from_secs(7));
        assert!(backoff.after_failure(1.0, Some(Duration::from_secs(9999))) <= RETRY_AFTER_MAX + BACKOFF_FIRST);
    }

    #[test]
    fn a_lease_near_its_maximum_asks_for_a_new_login() {
        assert!(is_near_maximum(Duration::from_secs(3600), Duration::from_secs(600)));
        assert!(!is_near_maximum(Duration::from_secs(3600), Duration::from_secs(3600)));
    }

    proptest! {
        #[test]
        fn no_wait_is_shorter_or_longer_than_its_bounds(failures in 0u32..200, random in any::<f64>()) {
            let mut backoff = Backoff { failures };
            let wait = backoff.after_failure(random, None);
            prop_assert!((BACKOFF_MIN..=BACKOFF_MAX).contains(&wait));
        }

        #[test]
        fn renewals_come_before_the_end_and_never_at_once(seconds in 2u64..1_000_000, random in any::<f64>()) {
            let lease = Duration::from_secs(seconds);
            let wait = renew_after(lease, random);
            prop_assert!(wait >= RENEW_MIN && wait < lease);
        }
    }
}
