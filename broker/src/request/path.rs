//! Paths and queries: percent-decoding, the one canonical form, and encoding it again.
//!
//! Vault's policies match the decoded path. Whatever a proxy and a server could read differently is refused instead of
//! normalised: `.`, `..` and empty segments, encoded slashes, dots, backslashes and percent signs, control characters.

use vouchsafe_model::text::quoted;

/// Longest path, in bytes as sent: far above real ones, low enough to log and to keep per watcher.
pub const PATH_BYTES: usize = 2 << 10;
/// Longest query, in bytes as sent: lists page by name and filters stay short.
pub const QUERY_BYTES: usize = 4 << 10;

/// Decodes and checks an API path as sent, without `/v1/`.
pub fn decode_path(raw: &str) -> Result<String, String> {
    if raw.len() > PATH_BYTES {
        return Err(format!("the path is {} bytes long, the limit is {PATH_BYTES}", raw.len()));
    }
    let path = decode(raw, false).map_err(|problem| format!("the path {} {problem}", quoted(raw)))?;
    check_path(&path)?;
    Ok(path)
}

/// Checks a path that is not percent-encoded: what [`decode_path`] gives, and what bodies of our extension name.
pub fn check_path(path: &str) -> Result<(), String> {
    let refuse = |problem: &str| Err(format!("the path {} {problem}", quoted(path)));
    if path.len() > PATH_BYTES {
        return Err(format!("the path is {} bytes long, the limit is {PATH_BYTES}", path.len()));
    }
    if path.chars().any(char::is_control) {
        return refuse("holds a control character; remove it");
    }
    if path.contains(['\\', '%']) {
        return refuse("holds a backslash or a percent sign, which servers read differently; remove it");
    }
    let segments = path.strip_suffix('/').unwrap_or(path).split('/');
    for segment in segments {
        match segment {
            "" => return refuse("has an empty segment; write it without double slashes"),
            "." | ".." => return refuse("has a segment '.' or '..'; write the path out"),
            _ => {}
        }
    }
    Ok(())
}

/// Decodes a query into its parameters, in order.
pub fn decode_query(raw: &str) -> Result<Vec<(String, String)>, String> {
    if raw.len() > QUERY_BYTES {
        return Err(format!("the query is {} bytes long, the limit is {QUERY_BYTES}", raw.len()));
    }
    let decoded = |text: &str| {
        let text = decode(text, true).map_err(|problem| format!("the query {problem}"))?;
        if text.chars().any(char::is_control) {
            return Err("the query holds a control character; remove it".to_owned());
        }
        Ok(text)
    };
    raw.split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decoded(name)?, decoded(value)?))
        })
        .collect()
}

/// Percent-encodes a canonical path for a request line; slashes stay.
pub fn encode_path(path: &str) -> String {
    encode(path, |byte| byte == b'/')
}

/// Percent-encodes parameters into a query; `None` where there are none.
pub fn encode_query(query: &[(String, String)]) -> Option<String> {
    let pairs: Vec<String> =
        query.iter().map(|(name, value)| format!("{}={}", encode(name, |_| false), encode(value, |_| false))).collect();
    (!pairs.is_empty()).then(|| pairs.join("&"))
}

/// Percent-decodes; in a query `+` is a blank and everything may be encoded, in a path slashes and dots may not.
fn decode(raw: &str, is_query: bool) -> Result<String, &'static str> {
    let mut out = Vec::with_capacity(raw.len());
    let mut bytes = raw.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let digits = [bytes.next(), bytes.next()];
                let byte = hex_pair(digits).ok_or("holds a '%' that two hexadecimal digits do not follow")?;
                if !is_query && matches!(byte, b'/' | b'.' | b'\\' | b'%') {
                    return Err("holds a percent-encoded slash, dot, backslash or percent sign; write it plainly");
                }
                out.push(byte);
            }
            b'+' if is_query => out.push(b' '),
            other => out.push(other),
        }
    }
    String::from_utf8(out).map_err(|_| "is not UTF-8 once decoded")
}

fn hex_pair(digits: [Option<u8>; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit?).to_digit(16));
    u8::try_from(high? * 16 + low?).ok()
}

fn encode(text: &str, keep: fn(u8) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~') || keep(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&vouchsafe_net::hash::hex(&[byte]).to_ascii_uppercase());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_everything_that_two_readers_could_read_differently() {
        for bad in [
            "", "/", "//", "a//b", "/a", "a//", "./a", "a/.", "a/..", "..", "a/../b", "a/./b", "a%2fb", "a%2Fb",
            "%2e%2e/a", "a/%2E", "a%5cb", "a\\b", "a%252fb", "a%25b", "a%", "a%2", "a%zz", "a%00b", "a%0ab", "a\u{7f}",
            "a%ff", "a%c0%af", "a\u{85}b",
        ] {
            assert!(decode_path(bad).is_err(), "{bad:?}");
        }
        assert!(decode_path(&"a".repeat(PATH_BYTES + 1)).unwrap_err().contains("limit"));
    }

    #[test]
    fn a_decoded_path_keeps_blanks_letters_and_its_trailing_slash() {
        assert_eq!(decode_path("secret/data/a%20b").unwrap(), "secret/data/a b");
        assert_eq!(decode_path("secret/metadata/%C3%A4/").unwrap(), "secret/metadata/ä/");
        assert_eq!(decode_path("a/.hidden/..x/x..").unwrap(), "a/.hidden/..x/x..");
        assert_eq!(decode_path("a+b").unwrap(), "a+b");
    }

    #[test]
    fn a_query_is_decoded_in_order() {
        let pairs = decode_query("version=3&a=b%20c+d&&flag").unwrap();
        let expected = [("version", "3"), ("a", "b c d"), ("flag", "")];
        assert_eq!(pairs, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert!(decode_query("a=%00").is_err() && decode_query("a=%ff").is_err());
    }

    proptest! {
        #[test]
        fn an_accepted_path_survives_encoding_and_is_a_fixed_point(raw in "[a-z./%\\\\ äÄ+?#;2eEfF5cC]{0,24}") {
            if let Ok(path) = decode_path(&raw) {
                prop_assert_eq!(decode_path(&encode_path(&path)).unwrap(), path.clone());
                prop_assert!(check_path(&path).is_ok());
                prop_assert!(path.trim_end_matches('/').split('/').all(|s| !matches!(s, "" | "." | "..")));
                prop_assert!(encode_path(&path).bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'?' | b'#')));
            }
        }

        #[test]
        fn a_query_survives_encoding(pairs in proptest::collection::vec(("\\PC{1,8}", "\\PC{0,8}"), 0..4)) {
            let encoded = encode_query(&pairs).unwrap_or_default();
            prop_assert_eq!(decode_query(&encoded).unwrap(), pairs);
        }

        #[test]
        fn no_text_makes_the_decoder_panic(raw in "\\PC{0,64}") {
            let _ = (decode_path(&raw), decode_query(&raw));
        }
    }
}
