//! `Moment`: a point in time as the machine sees it, counted from the node's boot.
//!
//! Boot time goes on while the node sleeps and is the same clock for every process of the pod, so lease times written into
//! the state volume stay true across a restart of the sidecar; the wall clock may jump as it likes.
//! Out of scope: reading the clock (the driver does).

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Time since the node's boot, in milliseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Moment(u64);

impl Moment {
    /// The moment `since_boot` after boot.
    pub fn new(since_boot: Duration) -> Self {
        Self(u64::try_from(since_boot.as_millis()).unwrap_or(u64::MAX))
    }

    /// The moment `wait` later.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago `earlier` was; zero where it lies ahead.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

/// Deterministic randomness from one seed (splitmix64): spreads waits, protects nothing.
#[derive(Clone, Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A share from 0 up to 1.
    pub(crate) fn share(&mut self) -> f64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        let high = u32::try_from((mixed ^ (mixed >> 31)) >> 32).unwrap_or(0);
        f64::from(high) / f64::from(u32::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_never_run_over_or_below_zero() {
        let end = Moment::new(Duration::MAX);
        assert_eq!(end.after(Duration::MAX), end);
        assert_eq!(Moment::default().since(end), Duration::ZERO);
    }

    #[test]
    fn shares_stay_between_zero_and_one_and_differ() {
        let mut dice = Dice::new(7);
        let shares: Vec<f64> = (0..1000).map(|_| dice.share()).collect();
        assert!(shares.iter().all(|share| (0.0..=1.0).contains(share)));
        assert!(shares.iter().any(|share| *share < 0.1) && shares.iter().any(|share| *share > 0.9));
    }
}
