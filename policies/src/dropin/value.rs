//! Values as Go and Kubernetes read them: truth values, whole numbers, floats, durations, quantities.
//!
//! vault-k8s is written in Go, so what its annotations mean is what Go's parsers say: `True` is true, `yes` is an error,
//! `1.5h` is a duration and `5` is none. Each function says what is wrong and shows how it is written.
//! Out of scope: what a value is for ([`super::table`]).

use std::time::Duration;

/// `strconv.ParseBool`, and the empty text, which is false.
pub fn boolean(text: &str) -> Result<bool, String> {
    match text {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err("is no truth value; write true or false".to_owned()),
    }
}

/// `strconv.ParseInt` with base 10; the empty text is 0.
pub fn integer(text: &str) -> Result<i64, String> {
    if text.is_empty() {
        return Ok(0);
    }
    text.parse().map_err(|_| "is no whole number; write it in digits, as in 1000".to_owned())
}

/// `strconv.ParseUint` with base 10: neither sign nor empty.
pub fn unsigned(text: &str) -> Result<u64, String> {
    let problem = || "is no whole number from 0 upwards; write digits without a unit, as in 5".to_owned();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(problem());
    }
    text.parse().map_err(|_| problem())
}

/// `strconv.ParseFloat`, finite.
pub fn float(text: &str) -> Result<f64, String> {
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.ok_or_else(|| "is no finite number; write it as in 0.90".to_owned())
}

/// `time.ParseDuration`: `90s`, `1h30m`, `-1.5h`, `0`. Signs and sizes are the caller's business.
pub fn duration(text: &str) -> Result<SignedDuration, String> {
    let problem = || "is no duration; write a number with a unit, as in 90s, 5m or 1h30m".to_owned();
    let (negative, rest) = match text.as_bytes().first() {
        Some(b'-') => (true, text.get(1..)),
        Some(b'+') => (false, text.get(1..)),
        _ => (false, Some(text)),
    };
    let mut rest = rest.unwrap_or_default();
    if rest == "0" {
        return Ok(SignedDuration { negative: false, size: Duration::ZERO });
    }
    if rest.is_empty() {
        return Err(problem());
    }
    let mut nanoseconds: u128 = 0;
    while !rest.is_empty() {
        let (part, after) = duration_part(rest).ok_or_else(problem)?;
        nanoseconds = nanoseconds.saturating_add(part);
        rest = after;
    }
    match u64::try_from(nanoseconds).ok().filter(|sum| *sum <= i64::MAX.unsigned_abs()) {
        Some(sum) => Ok(SignedDuration { negative: negative && sum > 0, size: Duration::from_nanos(sum) }),
        None => Err("is longer than 290 years; write a duration as in 5m".to_owned()),
    }
}

/// A duration with Go's sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignedDuration {
    /// Whether it points back.
    pub negative: bool,
    /// How long it is.
    pub size: Duration,
}

/// What Vault's own settings take: Go's duration, whole days (`2d`), or a bare number of seconds.
pub fn vault_duration(text: &str) -> Result<Duration, String> {
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        return unsigned(text).map(Duration::from_secs);
    }
    if let Some(days) = text.strip_suffix('d').and_then(|days| unsigned(days).ok()) {
        return Ok(Duration::from_secs(days.saturating_mul(DAY_SECONDS)));
    }
    let signed = duration(text)?;
    if signed.negative { Err("points back in time; write it without the sign".to_owned()) } else { Ok(signed.size) }
}

/// One `1.5h` of a duration, in nanoseconds, and what stands behind it.
fn duration_part(text: &str) -> Option<(u128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(end)?;
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || number.len() > NUMBER_CHARS {
        return None;
    }
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, after) = rest.split_at_checked(unit_end)?;
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let digits = |text: &str| if text.is_empty() { Some(0) } else { text.parse::<u128>().ok() };
    let mut sum = digits(whole)?.checked_mul(scale)?;
    if let Some(part) = digits(fraction)?.checked_mul(scale) {
        sum = sum.checked_add(part / 10_u128.checked_pow(u32::try_from(fraction.len()).ok()?)?)?;
    }
    Some((sum, after))
}

/// A Kubernetes quantity: the text as it was written, and its size.
#[derive(Clone, Debug, PartialEq)]
pub struct Quantity {
    /// As written; what goes into the pod.
    pub text: String,
    /// Its size in thousandths, for comparing; negative where the text is.
    pub thousandths: f64,
}

// Sizes come from finite texts, so none is NaN.
impl Eq for Quantity {}

/// `resource.ParseQuantity`: sign, digits, and one of `n u m k M G T P E Ki Mi Gi Ti Pi Ei` or an exponent.
pub fn quantity(text: &str) -> Result<Quantity, String> {
    let problem = || "is no quantity; write it as in 250m, 0.5, 64Mi or 1Gi".to_owned();
    let end = text
        .char_indices()
        .find(|(index, c)| !(c.is_ascii_digit() || *c == '.' || (*index == 0 && matches!(c, '+' | '-'))))
        .map_or(text.len(), |(index, _)| index);
    let (number, suffix) = text.split_at_checked(end).ok_or_else(problem)?;
    if number.len() > NUMBER_CHARS || !number.bytes().any(|byte| byte.is_ascii_digit()) {
        return Err(problem());
    }
    let number: f64 = number.parse().map_err(|_| problem())?;
    let scale = match suffix {
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "" => 1.0,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024.0,
        "Mi" => 1024.0 * 1024.0,
        "Gi" => 1024.0 * 1024.0 * 1024.0,
        "Ti" => 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "Pi" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        "Ei" => 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0 * 1024.0,
        exponent => {
            let digits = exponent.strip_prefix(['e', 'E']).ok_or_else(problem)?;
            let power: i32 = digits.parse().map_err(|_| problem())?;
            if power.abs() > EXPONENT {
                return Err(problem());
            }
            10_f64.powi(power)
        }
    };
    Ok(Quantity { text: text.to_owned(), thousandths: number * scale * 1000.0 })
}

/// Seconds of a day.
const DAY_SECONDS: u64 = 86_400;
/// Longest run of digits of one number: more than any quantity or duration that fits Go's 64 bits needs.
const NUMBER_CHARS: usize = 32;
/// Largest power of ten in a quantity: exbibytes are below 10^19.
const EXPONENT: i32 = 18;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn truth_is_what_go_says_it_is() {
        for yes in ["1", "t", "T", "true", "True", "TRUE"] {
            assert_eq!(boolean(yes), Ok(true), "{yes}");
        }
        for no in ["", "0", "f", "F", "false", "False", "FALSE"] {
            assert_eq!(boolean(no), Ok(false), "{no}");
        }
        for neither in ["yes", "no", "on", "tRuE", " true", "true ", "y", "2", "unknown"] {
            assert!(boolean(neither).is_err(), "{neither}");
        }
    }

    #[test]
    fn whole_numbers_are_decimal_and_only_the_signed_kind_may_be_empty() {
        assert_eq!((integer(""), integer("-5"), integer("+7")), (Ok(0), Ok(-5), Ok(7)));
        for bad in ["root", "1e3", "0x10", " 1", "1_000", "9223372036854775808"] {
            assert!(integer(bad).is_err(), "{bad}");
        }
        assert_eq!(unsigned("12"), Ok(12));
        for bad in ["", "-1", "+1", "5s", "1.0"] {
            assert!(unsigned(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn floats_are_finite() {
        assert_eq!((float("2.5"), float(".5"), float("1e-1")), (Ok(2.5), Ok(0.5), Ok(0.1)));
        for bad in ["", "NaN", "Inf", "-inf", "1e999", "0.9x"] {
            assert!(float(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn durations_need_units_as_in_go() {
        let of = |text: &str| duration(text).map(|d| (d.negative, d.size));
        assert_eq!(of("1h30m"), Ok((false, Duration::from_secs(5400))));
        assert_eq!(of("-1.5h"), Ok((true, Duration::from_secs(5400))));
        assert_eq!(of("0"), Ok((false, Duration::ZERO)));
        assert_eq!(of(".5s"), Ok((false, Duration::from_millis(500))));
        assert_eq!(of("3\u{b5}s"), Ok((false, Duration::from_micros(3))));
        for bad in ["", "5", "5m5", "NaN", "1d", "s", ".s", "1 s", "--1s", "1000000000h"] {
            assert!(of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn vaults_durations_may_be_seconds_or_days() {
        assert_eq!(vault_duration("10"), Ok(Duration::from_secs(10)));
        assert_eq!(vault_duration("2d"), Ok(Duration::from_secs(172_800)));
        assert_eq!(vault_duration("5m"), Ok(Duration::from_secs(300)));
        assert!(vault_duration("-1s").is_err());
        assert!(vault_duration("").is_err());
    }

    #[test]
    fn quantities_are_those_of_kubernetes() {
        let size = |text: &str| quantity(text).map(|q| q.thousandths);
        assert_eq!(size("250m"), Ok(250.0));
        assert_eq!(size("0.5"), Ok(500.0));
        assert_eq!(size("64Mi"), Ok(64.0 * 1024.0 * 1024.0 * 1000.0));
        assert_eq!(size("1e3"), Ok(1_000_000.0));
        assert_eq!(size("-1"), Ok(-1000.0));
        assert_eq!(size("0"), Ok(0.0));
        for bad in ["", "lots", "128mb", "1Zi", "1e1000", "m", "1 Gi", "1.2.3", "0x1"] {
            assert!(quantity(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_a_parser_panic(text in "\\PC{0,40}") {
            let _ = (boolean(&text), integer(&text), unsigned(&text), float(&text));
            let _ = (duration(&text), vault_duration(&text), quantity(&text));
        }

        #[test]
        fn what_go_prints_as_a_duration_is_read_back(hours in 0_u64..1000, minutes in 0_u64..60, seconds in 0_u64..60) {
            let text = format!("{hours}h{minutes}m{seconds}s");
            let size = Duration::from_secs(hours * 3600 + minutes * 60 + seconds);
            prop_assert_eq!(duration(&text), Ok(SignedDuration { negative: false, size }));
        }
    }
}
