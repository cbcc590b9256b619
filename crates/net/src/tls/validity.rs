//! End of validity of an X.509 certificate (RFC 5280 4.1), read without a parser crate.
//!
//! ```text
//! Certificate SEQ { TBSCertificate SEQ { [0] version?, serial INT, signature SEQ, issuer SEQ,
//!                                        validity SEQ { notBefore Time, notAfter Time }, … } … }
//! Time = UTCTime YYMMDDHHMMSSZ (tag 0x17) | GeneralizedTime YYYYMMDDHHMMSSZ (tag 0x18)
//! ```

use std::time::{Duration, SystemTime};

/// `notAfter` of a DER certificate; `None` where it is not one.
pub(super) fn not_after(certificate: &[u8]) -> Option<SystemTime> {
    let (_, certificate, _) = element(certificate)?;
    let (_, mut rest, _) = element(certificate)?;
    if rest.first() == Some(&VERSION_TAG) {
        rest = element(rest)?.2;
    }
    for _before_validity in ["serial", "signature", "issuer"] {
        rest = element(rest)?.2;
    }
    let (_, validity, _) = element(rest)?;
    let (tag, text, _) = element(element(validity)?.2)?;
    time(tag, text)
}

/// Splits off one DER element: tag, content, what follows.
fn element(input: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = input.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < LONG_FORM {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first - LONG_FORM))?;
        if digits.len() > LENGTH_BYTES {
            return None;
        }
        (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn time(tag: u8, text: &[u8]) -> Option<SystemTime> {
    let digits = std::str::from_utf8(text).ok()?.strip_suffix('Z')?;
    let (year, rest) = match tag {
        UTC_TIME => {
            let (year, rest) = digits.split_at_checked(2)?;
            let year: u64 = year.parse().ok()?;
            // RFC 5280 4.1.2.5.1: 50 to 99 are of the last century.
            (if year >= 50 { 1900 + year } else { 2000 + year }, rest)
        }
        GENERALIZED_TIME => {
            let (year, rest) = digits.split_at_checked(4)?;
            (year.parse().ok()?, rest)
        }
        _ => return None,
    };
    let pair = |at: usize| rest.get(at..at + 2)?.parse::<u64>().ok();
    let (month, day, hour, minute, second) = (pair(0)?, pair(2)?, pair(4)?, pair(6)?, pair(8)?);
    if year < 1970 || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    let seconds = ((days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

/// Days from 1970-01-01 to a date of the Gregorian calendar; `year` from 1970.
///
/// Years begin in March here, so that the leap day is a year's last one (H. Hinnant, "chrono-compatible low-level date
/// algorithms").
fn days(year: u64, month: u64, day: u64) -> u64 {
    let year = if month <= 2 { year - 1 } else { year };
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - EPOCH_DAYS
}

/// Tag of the optional version, `[0] EXPLICIT`.
const VERSION_TAG: u8 = 0xa0;
/// From here on a length byte counts the bytes of the length.
const LONG_FORM: u8 = 0x80;
/// Longest length that we read: certificates are far below 16 MiB.
const LENGTH_BYTES: usize = 3;
/// Tag of UTCTime.
const UTC_TIME: u8 = 0x17;
/// Tag of GeneralizedTime.
const GENERALIZED_TIME: u8 = 0x18;
/// Days from 0000-03-01 to 1970-01-01.
const EPOCH_DAYS: u64 = 719_468;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(tag: u8, text: &str) -> Option<u64> {
        Some(time(tag, text.as_bytes())?.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs())
    }

    #[test]
    fn both_spellings_of_a_time_are_read() {
        assert_eq!(seconds(UTC_TIME, "700101000000Z"), Some(0));
        assert_eq!(seconds(UTC_TIME, "240229235959Z"), Some(1_709_251_199));
        assert_eq!(seconds(GENERALIZED_TIME, "20991231235959Z"), Some(4_102_444_799));
        assert_eq!(seconds(GENERALIZED_TIME, "99991231235959Z"), Some(253_402_300_799));
        for bad in ["", "Z", "7001010000Z", "701301000000Z", "70010100000äZ"] {
            assert_eq!(seconds(UTC_TIME, bad), None, "{bad}");
        }
    }

    #[test]
    fn what_is_no_certificate_has_no_end() {
        for bad in [&b""[..], b"\x30", b"\x30\x84\xff\xff\xff\xff", b"\x30\x02\x30\x00", b"hello"] {
            assert_eq!(not_after(bad), None);
        }
    }
}
