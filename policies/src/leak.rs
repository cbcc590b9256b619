//! Refusing a Grant that holds what looks like a secret: it goes into git, and git never forgets.
//!
//! Known shapes only (tokens with a prefix, private keys); guessing by entropy would refuse hashes and paths.
//! The value itself is never repeated.

use crate::fault::Fault;
use crate::yaml::{Content, Node};

/// The first text in `node` that looks like a secret, as a fault.
pub(crate) fn first_secret(node: &Node) -> Option<Fault> {
    find(node, "")
}

fn find(node: &Node, path: &str) -> Option<Fault> {
    match &node.content {
        Content::Text(text) => looks_like(text).map(|what| {
            let message = format!(
                "looks like {what}; a Grant names secrets and never holds one: store it with 'vouchsafe put', and replace it where it came from, since it was written down"
            );
            Fault::new(node.at.clone(), path, message)
        }),
        Content::List(items) => {
            items.iter().enumerate().find_map(|(index, item)| find(item, &format!("{path}[{index}]")))
        }
        Content::Map(entries) => entries.iter().find_map(|entry| {
            let separator = if path.is_empty() { "" } else { "." };
            find(&entry.value, &format!("{path}{separator}{}", entry.key))
        }),
        _ => None,
    }
}

fn looks_like(text: &str) -> Option<&'static str> {
    for (prefix, length, what) in TOKENS {
        for (start, _) in text.match_indices(prefix) {
            let before = text.get(..start).and_then(|before| before.chars().next_back());
            let body = text.get(start + prefix.len()..).unwrap_or_default();
            let run = body.bytes().take_while(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-')).count();
            if run >= length && !before.is_some_and(|c| c.is_ascii_alphanumeric()) {
                return Some(what);
            }
        }
    }
    let (_, key) = text.split_once("PRIVATE KEY-----")?;
    let run = key.bytes().filter(|b| !b.is_ascii_whitespace()).take_while(|b| is_base64(*b)).count();
    (run >= PRIVATE_KEY_CHARACTERS).then_some("a private key")
}

fn is_base64(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'=')
}

/// Prefix, least number of characters behind it, and what it is.
const TOKENS: [(&str, usize, &str); 12] = [
    ("hvs.", 20, "a Vault token"),
    ("hvb.", 20, "a Vault batch token"),
    ("ghp_", 30, "a GitHub token"),
    ("gho_", 30, "a GitHub token"),
    ("ghs_", 30, "a GitHub token"),
    ("ghu_", 30, "a GitHub token"),
    ("ghr_", 30, "a GitHub token"),
    ("github_pat_", 30, "a GitHub token"),
    ("glpat-", 20, "a GitLab token"),
    ("xoxb-", 20, "a Slack token"),
    ("AKIA", 16, "an AWS access key"),
    ("eyJhbGciOi", 40, "a signed token"),
];
/// Base64 characters after the header that make a private key of what may be a template.
const PRIVATE_KEY_CHARACTERS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tokens_and_keys_are_recognised_and_never_repeated() {
        let token = format!("ghp_{}", "a1".repeat(18));
        let node = crate::yaml::documents("f", &format!("a: [x, \"token {token}\"]")).unwrap().remove(0);
        let shown = first_secret(&node).unwrap().to_string();
        assert!(shown.starts_with("f:1:8: a[1]: looks like a GitHub token; "), "{shown}");
        assert!(!shown.contains(&token));
        let key = format!("-----BEGIN RSA PRIVATE KEY-----\n{}\n", "MIIB".repeat(20));
        assert_eq!(looks_like(&key), Some("a private key"));
    }

    #[test]
    fn templates_paths_and_words_are_no_secrets() {
        for text in [
            "-----BEGIN PRIVATE KEY-----\n{{ .tls.key }}\n-----END PRIVATE KEY-----",
            "ghp_short",
            "secret/argocd/github-oauth",
            "{{ .github.ghp_token }}",
            "hvs.",
        ] {
            assert_eq!(looks_like(text), None, "{text}");
        }
    }
}
