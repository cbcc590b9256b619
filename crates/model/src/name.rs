//! Names: one newtype per kind of name, each with one door (`FromStr`; serde goes through it).
//!
//! Names are compared byte-exact and never normalised: `Root` and `root ` are errors, not spellings of `root`.
//! Out of scope: paths, see [`crate::path`].

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::text::quoted;

/// Why a text is not a name of its kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {}: {problem}", quoted(.value))]
pub struct NameError {
    /// What it should have been, for example "namespace".
    pub kind: &'static str,
    /// The rejected text; shown quoted and shortened.
    pub value: String,
    /// What is wrong and what is allowed.
    pub problem: String,
}

/// Declares a newtype over `String` whose only door is a checking function `fn(&str) -> Result<(), String>`.
macro_rules! checked_text {
    ($(#[$doc:meta])* $name:ident, $kind:literal, $check:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The name's text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = $crate::name::NameError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let check: fn(&str) -> Result<(), String> = $check;
                match check(text) {
                    Ok(()) => Ok(Self(text.to_owned())),
                    Err(problem) => Err($crate::name::NameError { kind: $kind, value: text.to_owned(), problem }),
                }
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl std::borrow::Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str(&quoted(&self.0))
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use checked_text;

checked_text!(
    /// Kubernetes namespace: an RFC 1123 label of at most 63 characters.
    Namespace, "namespace", dns_label
);
checked_text!(
    /// Kubernetes ServiceAccount: an RFC 1123 subdomain of at most 253 characters.
    ServiceAccount, "service account", dns_subdomain
);
checked_text!(
    /// Name of a pod: an RFC 1123 subdomain of at most 253 characters.
    PodName, "pod name", dns_subdomain
);
checked_text!(
    /// UID of a pod: letters, digits and dashes, at most 128.
    PodUid, "pod uid", |text| characters(text, 128, |c| c.is_ascii_alphanumeric() || c == '-', "letters, digits and '-'")
);
checked_text!(
    /// Name of a container: an RFC 1123 label of at most 63 characters.
    ContainerName, "container", dns_label
);
checked_text!(
    /// Name of a Grant: an RFC 1123 subdomain of at most 253 characters.
    GrantName, "grant", dns_subdomain
);
checked_text!(
    /// Name of a secret inside a Grant and root of its templates: an identifier of at most 63 characters.
    SecretName, "secret name", identifier
);
checked_text!(
    /// Key inside a secret: 1 to 253 bytes without control characters.
    KeyName, "key", |text| {
        if text.is_empty() || text.len() > SUBDOMAIN_CHARS {
            return Err(format!("must be 1 to {SUBDOMAIN_CHARS} bytes long, it is {}", text.len()));
        }
        match text.chars().find(|c| c.is_control()) {
            Some(found) => Err(format!("holds the control character U+{:04X}; remove it", u32::from(found))),
            None => Ok(()),
        }
    }
);
checked_text!(
    /// Name of an environment variable: letters, digits and underscores, not starting with a digit.
    EnvName, "environment variable", identifier_any_length
);
checked_text!(
    /// Vault role name: letters, digits, '.', '_' and '-', at most 330 characters (prefix, namespace, service account).
    RoleName, "role", |text| characters(
        text,
        330,
        |c| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-'),
        "letters, digits, '.', '_' and '-'"
    )
);
checked_text!(
    /// Audience of a token: 1 to 512 printable ASCII characters without space or quote.
    Audience, "audience", |text| characters(
        text,
        512,
        |c| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '`' | '\\'),
        "printable ASCII without spaces, quotes and backslashes"
    )
);

/// RFC 1123 label, as Kubernetes wants it.
pub fn dns_label(text: &str) -> Result<(), String> {
    characters(text, LABEL_CHARS, |c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-', "a-z, 0-9 and '-'")?;
    edges_alphanumeric(text)
}

/// RFC 1123 subdomain: labels joined by dots.
pub fn dns_subdomain(text: &str) -> Result<(), String> {
    characters(
        text,
        SUBDOMAIN_CHARS,
        |c| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.'),
        "a-z, 0-9, '-' and '.'",
    )?;
    text.split('.').try_for_each(|label| {
        if label.is_empty() {
            return Err("has an empty part between dots".to_owned());
        }
        edges_alphanumeric(label)
    })
}

fn identifier(text: &str) -> Result<(), String> {
    identifier_any_length(text)?;
    if text.len() > LABEL_CHARS {
        return Err(format!("is {} characters long, the limit is {LABEL_CHARS}", text.len()));
    }
    Ok(())
}

fn identifier_any_length(text: &str) -> Result<(), String> {
    characters(text, SUBDOMAIN_CHARS, |c| c.is_ascii_alphanumeric() || c == '_', "letters, digits and '_'")?;
    if text.starts_with(|c: char| c.is_ascii_digit()) {
        return Err("may not start with a digit".to_owned());
    }
    Ok(())
}

/// Non-empty, at most `limit` characters, each one `allowed`; `hint` says in words which those are.
pub(crate) fn characters(text: &str, limit: usize, allowed: fn(char) -> bool, hint: &str) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("is empty; use {hint}"));
    }
    if text.chars().count() > limit {
        return Err(format!("is {} characters long, the limit is {limit}", text.chars().count()));
    }
    match text.chars().find(|c| !allowed(*c)) {
        Some(found) => Err(format!("{} is not allowed; use {hint}", quoted(&found.to_string()))),
        None => Ok(()),
    }
}

fn edges_alphanumeric(label: &str) -> Result<(), String> {
    if label.starts_with('-') || label.ends_with('-') {
        return Err("must start and end with a letter or digit".to_owned());
    }
    Ok(())
}

/// Longest RFC 1123 label.
const LABEL_CHARS: usize = 63;
/// Longest RFC 1123 subdomain.
const SUBDOMAIN_CHARS: usize = 253;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_follow_rfc_1123_byte_exact() {
        assert!("argocd".parse::<Namespace>().is_ok());
        for bad in ["", "Argo", "argocd ", "-a", "a-", "a.b", "a/b", &"a".repeat(64), "ä"] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_refused_name_says_what_is_wrong_and_what_is_allowed() {
        let error = "Argo\n".parse::<Namespace>().unwrap_err();
        assert_eq!(error.to_string(), r#"namespace "Argo\n": "A" is not allowed; use a-z, 0-9 and '-'"#);
    }

    #[test]
    fn identifiers_do_not_start_with_a_digit() {
        assert!("github_2".parse::<SecretName>().is_ok());
        assert!("2github".parse::<SecretName>().is_err());
        assert!("a-b".parse::<EnvName>().is_err());
    }

    #[test]
    fn serde_goes_through_the_same_door() {
        assert!(serde_json::from_str::<Namespace>("\"a b\"").is_err());
        assert_eq!(serde_json::to_string(&"ab".parse::<Namespace>().unwrap()).unwrap(), "\"ab\"");
    }
}
