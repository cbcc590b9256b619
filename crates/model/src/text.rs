//! Text for people: quoting foreign input safely and finding the nearest name.
//!
//! Out of scope: anything secret. What passes through here is a name or an annotation's value.

/// Longest piece of foreign input that a message repeats, in characters.
pub const QUOTED_CHARS: usize = 80;

/// `input` in double quotes, control and non-ASCII characters escaped, cut to [`QUOTED_CHARS`].
///
/// Safe for terminals and one-line logs whatever the input holds.
pub fn quoted(input: &str) -> String {
    let mut out = String::from("\"");
    for (count, character) in input.chars().enumerate() {
        if count == QUOTED_CHARS {
            out.push('…');
            break;
        }
        match character {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            ' '..='~' => out.push(character),
            other => out.extend(other.escape_default()),
        }
    }
    out.push('"');
    out
}

/// The candidate closest to `input` (edit distance at most a third of its length, at least 1), if any.
pub fn nearest<'a>(input: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let bound = (input.chars().count() / 3).max(1);
    candidates
        .into_iter()
        .map(|candidate| (distance(input, candidate), candidate))
        .filter(|(distance, _)| *distance <= bound)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein distance, ignoring ASCII case.
fn distance(left: &str, right: &str) -> usize {
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = i;
        let mut previous = i + 1;
        if let Some(first) = row.first_mut() {
            *first = previous;
        }
        for (slot, b) in row.iter_mut().skip(1).zip(&right) {
            let cost = usize::from(!a.eq_ignore_ascii_case(b));
            let value = (diagonal + cost).min(*slot + 1).min(previous + 1);
            diagonal = *slot;
            *slot = value;
            previous = value;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_text_is_one_printable_ascii_line() {
        assert_eq!(quoted("a\n\u{202e}\"b"), "\"a\\n\\u{202e}\\\"b\"");
        assert!(quoted(&"x".repeat(500)).chars().count() <= QUOTED_CHARS + 3);
    }

    #[test]
    fn nearest_finds_a_typing_slip_and_nothing_far() {
        assert_eq!(nearest("serviceAcounts", ["secrets", "serviceAccounts"]), Some("serviceAccounts"));
        assert_eq!(nearest("zzz", ["secrets", "deliver"]), None);
        assert_eq!(nearest("paht", ["path", "name"]), None.or(nearest("paht", ["path"])));
    }
}
