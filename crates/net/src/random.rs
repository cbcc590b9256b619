//! Randomness of the system, for the drivers; everything pure takes it as an argument.
//!
//! A program that cannot get randomness must not go on: these functions end it. Out of scope: keys (ring makes its own).

use ring::rand::{SecureRandom, SystemRandom};

/// Evenly spread over `[0, 1)`; for jitter.
pub fn share() -> f64 {
    // 53 bits are what an f64 holds exactly.
    let high = u32::from_le_bytes(bytes());
    let low = u32::from_le_bytes(bytes()) >> (u64::BITS - f64::MANTISSA_DIGITS);
    f64::from(high).mul_add(LOW_SHARES, f64::from(low)) / SHARES
}

/// `N` random bytes.
pub fn bytes<const N: usize>() -> [u8; N] {
    let mut out = [0; N];
    fill(&mut out);
    out
}

/// 128 random bits in hexadecimal: an identifier that nobody else has.
pub fn identifier() -> String {
    crate::hash::hex(&bytes::<16>())
}

/// Fills `out` from the system's generator.
#[expect(clippy::expect_used, reason = "Linux's getrandom fails only where seccomp forbids it; nothing is safe then")]
fn fill(out: &mut [u8]) {
    SystemRandom::new().fill(out).expect("the system gives no randomness (getrandom failed)");
}

/// Number of distinct lower parts: 2^21.
const LOW_SHARES: f64 = 2_097_152.0;
/// Number of distinct results of [`share`]: 2^53.
const SHARES: f64 = 9_007_199_254_740_992.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_lie_in_the_half_open_unit_interval_and_spread() {
        let shares: Vec<f64> = (0..2000).map(|_| share()).collect();
        assert!(shares.iter().all(|share| (0.0..1.0).contains(share)));
        let below = shares.iter().filter(|share| **share < 0.5).count();
        assert!((800..1200).contains(&below), "{below} of 2000 below one half");
    }

    #[test]
    fn identifiers_are_32_hexadecimal_digits_and_differ() {
        let (one, two) = (identifier(), identifier());
        assert_eq!(one.len(), 32);
        assert!(one.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_ne!(one, two);
    }
}
