//! Randomness that can be had again: one seed, printed by the run, gives the same instants and faults.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator (splitmix64). Not for secrets.
#[derive(Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    /// From a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The seed in `VOUCHSAFE_SEED`, else one from the clock.
    pub(crate) fn seed() -> u64 {
        let given = std::env::var("VOUCHSAFE_SEED").ok().and_then(|text| text.parse().ok());
        let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |time| u64::from(time.subsec_nanos()));
        given.unwrap_or_else(clock)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`; 0 where `end` is 0.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next().checked_rem(end).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_seed_gives_one_sequence_within_its_bounds() {
        let (mut one, mut same, mut other) = (Dice::new(7), Dice::new(7), Dice::new(8));
        let draw = |dice: &mut Dice| (0..50).map(|_| dice.below(1000)).collect::<Vec<_>>();
        let drawn = draw(&mut one);
        assert_eq!(drawn, draw(&mut same));
        assert_ne!(drawn, draw(&mut other));
        assert!(drawn.iter().all(|number| *number < 1000));
        assert_eq!(one.below(0), 0);
    }
}
