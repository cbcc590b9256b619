//! One value, taken apart into literals and references.

use std::fmt;

use vouchsafe_model::path::VaultPath;

use super::error::ReferenceFault;
use super::expression;

/// A value as its parts, which borrow from the text: nothing of it is copied. `Debug` shows no literal.
#[derive(Debug)]
pub struct EnvValue<'t> {
    parts: Vec<Part<'t>>,
}

/// A piece of a value.
pub enum Part<'t> {
    /// Text that stays as it is.
    Literal(&'t [u8]),
    /// Something to be resolved.
    Reference(Reference<'t>),
}

/// What stands for a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference<'t> {
    /// A part of an answer of Vault.
    Value {
        /// The request.
        fetch: Fetch<'t>,
        /// The part.
        pick: Pick<'t>,
    },
    /// A transit ciphertext with its `vault:vN:` in front.
    Decrypt(Ciphertext<'t>),
    /// The token of the login itself.
    Login,
}

/// A read or a write; equal ones are made once.
#[derive(Clone, PartialEq, Eq)]
pub struct Fetch<'t> {
    /// API path without `/v1/`.
    pub path: VaultPath,
    /// Which kind.
    pub how: How<'t>,
}

/// A read or a write.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum How<'t> {
    /// A GET; `version` pins a KV v2 version.
    Read {
        /// From 1; `None` is the newest.
        version: Option<u64>,
    },
    /// A PUT with this JSON object as text.
    Write {
        /// `{}` where the reference has no body.
        body: &'t str,
    },
}

/// Which part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pick<'t> {
    /// The value of a key.
    Key(&'t str),
    /// A Go template over all keys.
    Template(&'t str),
}

/// `vault:v1:…`; its `Debug` shows nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Ciphertext<'t>(pub(super) &'t str);

/// Text that looks like a reference and is none: it reaches the app as it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Suspicion {
    /// `${vault:` that is not closed on its line.
    Unclosed,
    /// `vault:…#…` behind other text.
    NotAtStart,
}

impl<'t> EnvValue<'t> {
    /// Takes `value` of the variable `name` apart.
    ///
    /// # Errors
    /// The first fault of any reference in it.
    pub fn parse(name: &str, value: &'t [u8]) -> Result<Self, ReferenceFault> {
        let mut parts = Vec::new();
        let mut from = 0;
        while let Some(found) = next_inline(value, from) {
            push_literal(&mut parts, value.get(from..found.start).unwrap_or_default());
            parts.push(Part::Reference(reference(name, value.get(found.inner).unwrap_or_default())?));
            from = found.end;
            if parts.len() > PARTS {
                return Err(ReferenceFault::TooMany { what: "references in one value", limit: PARTS / 2 });
            }
        }
        if from == 0 && is_bare(value) {
            parts.push(Part::Reference(reference(name, value)?));
        } else {
            push_literal(&mut parts, value.get(from..).unwrap_or_default());
        }
        Ok(Self { parts })
    }

    /// Literals and references in their order; no two literals beside each other.
    pub fn parts(&self) -> &[Part<'t>] {
        &self.parts
    }

    /// The references in their order.
    pub fn references(&self) -> impl Iterator<Item = &Reference<'t>> {
        self.parts.iter().filter_map(|part| match part {
            Part::Reference(reference) => Some(reference),
            Part::Literal(_) => None,
        })
    }

    /// Whether the value stays as it is.
    pub fn is_literal(&self) -> bool {
        self.references().next().is_none()
    }

    /// Whether a literal of the value only looks like a reference.
    pub fn suspicion(&self) -> Option<Suspicion> {
        self.parts.iter().find_map(|part| match part {
            Part::Literal(text) if find(text, b"${vault:").is_some() || find(text, b"${>>vault:").is_some() => {
                Some(Suspicion::Unclosed)
            }
            Part::Literal(text) => find(text, PREFIX)
                .and_then(|at| text.get(at..))
                .filter(|rest| rest.contains(&b'#'))
                .map(|_| Suspicion::NotAtStart),
            Part::Reference(_) => None,
        })
    }
}

impl<'t> Ciphertext<'t> {
    /// The text for the transit engine.
    pub fn as_str(&self) -> &'t str {
        self.0
    }
}

impl fmt::Debug for Part<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Literal(_) => formatter.write_str("<literal>"),
            Self::Reference(reference) => reference.fmt(formatter),
        }
    }
}

impl fmt::Debug for Fetch<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.how {
            How::Read { version: None } => write!(formatter, "read {}", self.path),
            How::Read { version: Some(version) } => write!(formatter, "read {} version {version}", self.path),
            How::Write { .. } => write!(formatter, "write {}", self.path),
        }
    }
}

impl fmt::Debug for Ciphertext<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("<ciphertext>")
    }
}

/// `path[#version]` of `VAULT_ENV_FROM_PATH`.
pub(super) fn whole(text: &str) -> Result<Fetch<'_>, ReferenceFault> {
    let (path, version) = text.split_once('#').map_or((text, None), |(path, version)| (path, Some(version)));
    let path = api_path(path)?;
    let how = How::Read { version: version.map_or(Ok(None), |version| number(&path, version))? };
    Ok(Fetch { path, how })
}

/// An inline reference: where it starts and ends, and what stands between its braces.
struct Inline {
    start: usize,
    inner: std::ops::Range<usize>,
    end: usize,
}

fn next_inline(text: &[u8], from: usize) -> Option<Inline> {
    let mut from = from;
    loop {
        let start = from + find(text.get(from..)?, b"${")?;
        let body = start + 2;
        let rest = text.get(body..)?;
        let signs = rest.iter().take(2).take_while(|byte| **byte == b'>').count();
        if rest.get(signs..).is_some_and(|rest| rest.starts_with(PREFIX)) {
            let at = rest.iter().position(|byte| matches!(byte, b'}' | b'\n'))?;
            if rest.get(at) == Some(&b'}') {
                let doubled = usize::from(rest.get(at + 1) == Some(&b'}'));
                let inner_end = body + at + doubled;
                return Some(Inline { start, inner: body..inner_end, end: inner_end + 1 });
            }
            // No reference spans lines, so none that begins before this line's end closes either.
            from = body + at;
            continue;
        }
        from = body;
    }
}

/// Whether the whole value is one reference.
fn is_bare(value: &[u8]) -> bool {
    value.strip_prefix(b">>").unwrap_or(value).starts_with(PREFIX)
}

fn push_literal<'t>(parts: &mut Vec<Part<'t>>, text: &'t [u8]) {
    if !text.is_empty() {
        parts.push(Part::Literal(text));
    }
}

/// `[>>]vault:…`
fn reference<'t>(name: &str, text: &'t [u8]) -> Result<Reference<'t>, ReferenceFault> {
    let text = std::str::from_utf8(text).map_err(|_| ReferenceFault::NotText)?;
    let (is_write, text) = text.strip_prefix(">>").map_or((false, text), |rest| (true, rest));
    let Some(rest) = text.strip_prefix("vault:") else { return Err(ReferenceFault::OneSign) };
    if rest == "login" && name == TOKEN_VARIABLE && !is_write {
        return Ok(Reference::Login);
    }
    if is_transit(rest) {
        return Ok(Reference::Decrypt(Ciphertext(text)));
    }
    let mut pieces = rest.splitn(3, '#');
    let path = pieces.next().unwrap_or_default();
    let Some(key) = pieces.next() else { return Err(ReferenceFault::NoKey { path: path.to_owned() }) };
    let path = api_path(path)?;
    let how = match (is_write, pieces.next()) {
        (false, third) => How::Read { version: third.map_or(Ok(None), |version| number(&path, version))? },
        (true, None) => How::Write { body: "{}" },
        (true, Some(body)) => How::Write { body: object(&path, body)? },
    };
    Ok(Reference::Value { pick: pick(&path, key)?, fetch: Fetch { path, how } })
}

fn pick<'t>(path: &VaultPath, key: &'t str) -> Result<Pick<'t>, ReferenceFault> {
    if key.is_empty() {
        return Err(ReferenceFault::EmptyKey { path: path.to_string() });
    }
    if !(key.contains("${") && key.contains('}')) {
        return Ok(Pick::Key(key));
    }
    match expression::compile(key) {
        Ok(_) => Ok(Pick::Template(key)),
        Err(problem) => Err(ReferenceFault::Compile { path: path.to_string(), problem }),
    }
}

/// `v`, digits, `:`.
fn is_transit(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix('v') else { return false };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    digits > 0 && rest.get(digits..).is_some_and(|rest| rest.starts_with(':'))
}

/// Slashes around a path mean nothing to Vault.
fn api_path(path: &str) -> Result<VaultPath, ReferenceFault> {
    let path = path.trim_matches('/');
    if path.is_empty() {
        return Err(ReferenceFault::NoPath);
    }
    path.parse().map_err(|error: vouchsafe_model::name::NameError| ReferenceFault::Path { problem: error.to_string() })
}

/// A version; empty, 0 and -1 are the newest, as for Vault itself.
fn number(path: &VaultPath, version: &str) -> Result<Option<u64>, ReferenceFault> {
    match version {
        "" | "0" | "-1" => Ok(None),
        digits => match digits.parse() {
            Ok(version) if digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(Some(version)),
            _ => Err(ReferenceFault::Version { path: path.to_string(), version: version.to_owned() }),
        },
    }
}

fn object<'t>(path: &VaultPath, body: &'t str) -> Result<&'t str, ReferenceFault> {
    match serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(body) {
        Ok(_) => Ok(body),
        Err(_) => Err(ReferenceFault::Body { path: path.to_string() }),
    }
}

fn find(text: &[u8], wanted: &[u8]) -> Option<usize> {
    text.windows(wanted.len()).position(|window| window == wanted)
}

/// What every reference begins with.
const PREFIX: &[u8] = b"vault:";
/// The variable that may be the login's token.
const TOKEN_VARIABLE: &str = "VAULT_TOKEN";
/// Parts of one value: real ones have a handful of references.
const PARTS: usize = 256;
