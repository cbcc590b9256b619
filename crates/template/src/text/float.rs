//! Floats to text as Go's `strconv` writes them.

/// `%g` without precision, which is what `print` and `%v` use: the shortest text that reads back as the same number,
/// with an exponent below 1e-4 and from 1e6 on (so a million is `1e+06`), at least two exponent digits.
pub(crate) fn shortest(float: f64) -> String {
    general_shortest(float, SHORTEST_EXPONENT_LIMIT)
}

/// As `encoding/json` writes: plain notation from 1e-6 to below 1e21, else an exponent without leading zero.
pub(crate) fn json(float: f64) -> String {
    let magnitude = float.abs();
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        return format!("{float:e}").replace('e', if magnitude >= 1.0 { "e+" } else { "e" });
    }
    format!("{float}")
}

/// `%e` with `precision` digits behind the point, or the shortest.
pub(crate) fn scientific(float: f64, precision: Option<usize>) -> String {
    if let Some(special) = special(float) {
        return special;
    }
    let text = match precision {
        Some(precision) => format!("{float:.precision$e}"),
        None => format!("{float:e}"),
    };
    two_digit_exponent(&text)
}

/// `%f` with `precision` digits behind the point, or the shortest.
pub(crate) fn fixed(float: f64, precision: Option<usize>) -> String {
    if let Some(special) = special(float) {
        return special;
    }
    match precision {
        Some(precision) => format!("{float:.precision$}"),
        None => format!("{float}"),
    }
}

/// `%g` with `precision` significant digits, or the shortest.
pub(crate) fn general(float: f64, precision: Option<usize>) -> String {
    let Some(precision) = precision else { return shortest(float) };
    if let Some(special) = special(float) {
        return special;
    }
    let digits = precision.max(1);
    let text = format!("{:.*e}", digits - 1, float);
    let (mantissa, exponent) = split(&text);
    let mantissa = without_trailing_zeros(mantissa);
    let significant = mantissa.bytes().filter(u8::is_ascii_digit).count();
    let signed_digits = i32::try_from(significant).unwrap_or(i32::MAX);
    let wanted = i32::try_from(digits).unwrap_or(i32::MAX);
    // with fewer digits than asked for, the exponent is judged by what is there
    let limit = if wanted > signed_digits && signed_digits > exponent { signed_digits } else { wanted };
    if exponent < -4 || exponent >= limit {
        return two_digit_exponent(&format!("{mantissa}e{exponent}"));
    }
    let behind = usize::try_from(wanted - 1 - exponent).unwrap_or(0);
    without_trailing_zeros(&format!("{float:.behind$}")).to_owned()
}

fn general_shortest(float: f64, limit: i32) -> String {
    if let Some(special) = special(float) {
        return special;
    }
    let magnitude = float.abs();
    if (1e-3..1e5).contains(&magnitude) {
        return format!("{float}"); // far from any exponent
    }
    let text = format!("{float:e}");
    let (_, exponent) = split(&text);
    if exponent < -4 || exponent >= limit { two_digit_exponent(&text) } else { format!("{float}") }
}

fn special(float: f64) -> Option<String> {
    let text = if float.is_nan() {
        "NaN"
    } else if float.is_infinite() {
        if float > 0.0 { "+Inf" } else { "-Inf" }
    } else {
        return None;
    };
    Some(text.to_owned())
}

fn split(text: &str) -> (&str, i32) {
    let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
    (mantissa, exponent.parse().unwrap_or(0))
}

fn two_digit_exponent(text: &str) -> String {
    let (mantissa, exponent) = split(text);
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.unsigned_abs())
}

fn without_trailing_zeros(text: &str) -> &str {
    if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { text }
}

/// From this exponent on, `%v` writes an exponent.
const SHORTEST_EXPONENT_LIMIT: i32 = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_floats_follow_encoding_json() {
        for (float, expected) in [
            (1e6, "1000000"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (1e-7, "1e-7"),
            (0.5, "0.5"),
            (0.0, "0"),
        ] {
            assert_eq!(json(float), expected);
        }
    }
}
