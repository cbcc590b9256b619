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

/// Edit distance, ignoring ASCII case; a swap of two neighbours counts as one edit, since that is the usual slip.
fn distance(left: &str, right: &str) -> usize {
    let fold = |text: &str| -> Vec<char> { text.chars().map(|c| c.to_ascii_lowercase()).collect() };
    let (left, right) = (fold(left), fold(right));
    let mut before: Vec<usize> = Vec::new();
    let mut above: Vec<usize> = (0..=right.len()).collect();
    let mut previous_left = None;
    for (row, a) in left.iter().enumerate() {
        let mut current = vec![row + 1];
        let mut previous_right = None;
        for (column, b) in right.iter().enumerate() {
            let at = |line: &[usize], index: usize| line.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&above, column) + usize::from(a != b))
                .min(at(&above, column + 1) + 1)
                .min(at(&current, column) + 1);
            if previous_left == Some(b) && previous_right == Some(a) && column > 0 {
                best = best.min(at(&before, column - 1) + 1);
            }
            current.push(best);
            previous_right = Some(b);
        }
        before = std::mem::replace(&mut above, current);
        previous_left = Some(a);
    }
    above.last().copied().unwrap_or(0)
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
        for (slip, meant) in [("paht", "path"), ("kyes", "keys"), ("flies", "files"), ("evn", "env"), ("PATH", "path")]
        {
            assert_eq!(nearest(slip, ["path", "keys", "files", "env"]), Some(meant), "{slip}");
        }
    }
}
