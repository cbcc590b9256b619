//! Hashes over ring: SHA-256, HMAC-SHA-256 and their hexadecimal form.
//!
//! Out of scope: passwords and signatures.

use ring::{digest, hmac};

/// Length of a SHA-256 digest.
pub const SHA256_BYTES: usize = 32;

/// SHA-256 (FIPS 180-4) of `data`.
pub fn sha256(data: &[u8]) -> [u8; SHA256_BYTES] {
    fixed(digest::digest(&digest::SHA256, data).as_ref())
}

/// SHA-256 of several pieces, as if they were one.
pub fn sha256_of(pieces: &[&[u8]]) -> [u8; SHA256_BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    for piece in pieces {
        context.update(piece);
    }
    fixed(context.finish().as_ref())
}

/// HMAC-SHA-256 (RFC 2104) of `data` under `key`.
pub fn hmac_sha256(key: &[u8], data: &[u8]) -> [u8; SHA256_BYTES] {
    fixed(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref())
}

/// Lower-case hexadecimal digits of `data`.
pub fn hex(data: &[u8]) -> String {
    let digit = |nibble: u8| char::from_digit(u32::from(nibble), 16).unwrap_or('0');
    data.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 0x0f)]).collect()
}

/// A digest as an array; ring promises its length by the algorithm.
fn fixed(digest: &[u8]) -> [u8; SHA256_BYTES] {
    let mut out = [0; SHA256_BYTES];
    out.iter_mut().zip(digest).for_each(|(to, from)| *to = *from);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_matches_the_published_vector() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(hex(&sha256(b"abc")), expected);
        assert_eq!(hex(&sha256_of(&[b"a", b"", b"bc"])), expected);
    }

    #[test]
    fn hmac_matches_rfc_4231_case_2() {
        assert_eq!(
            hex(&hmac_sha256(b"Jefe", b"what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"
        );
    }
}
