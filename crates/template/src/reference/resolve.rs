//! From answers to values: every variable of an environment, or every fault of it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use vouchsafe_model::Secret;
use vouchsafe_model::wire::Document;
use zeroize::Zeroizing;

use super::environment::{Environment, FROM_PATH};
use super::error::{ReferenceError, ReferenceFault};
use super::parse::{Ciphertext, EnvValue, Fetch, Part, Reference};
use super::pick::{of_key, pick};
use super::settings::Settings;
use crate::error::ResolveError;

/// Hands in what an environment needs. Error texts must not hold values.
pub trait Source {
    /// A read or a write. For KV the document is the secret itself, whatever the mount's version: telling `data` the
    /// envelope from a key of that name is the source's business.
    ///
    /// # Errors
    /// Where the request failed; absence is no failure.
    fn fetch(&mut self, fetch: &Fetch<'_>) -> Result<Answer, ResolveError>;

    /// Decrypts by the transit key `key` of the mount `mount`: for each ciphertext the `plaintext` of the answer, which is
    /// base64.
    ///
    /// # Errors
    /// Where the request failed; by default always.
    fn decrypt(&mut self, _mount: &str, _key: &str, _ciphertexts: &[&str]) -> Result<Vec<Secret>, ResolveError> {
        Err(ResolveError::new("encrypted values are not available here"))
    }

    /// The token of the login.
    ///
    /// # Errors
    /// Where the app may not have it; by default always.
    fn token(&mut self) -> Result<Secret, ResolveError> {
        Err(ResolveError::new("the token of the login is not handed out here"))
    }
}

/// What lies at a path.
#[derive(Debug)]
pub enum Answer {
    /// A secret.
    Document(Document),
    /// A KV v2 version that was deleted or destroyed.
    Deleted,
    /// Nothing.
    Nothing,
}

/// What becomes of a variable whose secret is missing. It never reaches the app as a reference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnMissing {
    /// An error.
    Fail,
    /// The variable is left out, whole.
    Drop,
    /// The reference becomes an empty text.
    Empty,
    /// The reference becomes this text.
    Default(String),
}

/// One policy for everything that is missing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Nothing lies at the path.
    pub secret: OnMissing,
    /// The secret lacks the key, or its version is deleted.
    pub key: OnMissing,
    /// A template prints a missing field as `<no value>` instead of failing.
    pub allow_no_value: bool,
}

/// The app's environment.
#[derive(Debug)]
pub struct Resolved {
    /// Name and value, ordered as [`Environment`] says.
    pub variables: Vec<(String, Secret)>,
    /// Names that were left out because something is missing.
    pub dropped: Vec<String>,
}

impl Policy {
    /// Everything that is missing is an error.
    pub fn strict() -> Self {
        Self { secret: OnMissing::Fail, key: OnMissing::Fail, allow_no_value: false }
    }

    /// As the settings of a Bank-Vaults wrapper say: a missing secret may be ignored, a missing key may not.
    pub fn bank_vaults(settings: &Settings) -> Self {
        let secret = if settings.ignore_missing { OnMissing::Drop } else { OnMissing::Fail };
        Self { secret, ..Self::strict() }
    }
}

impl Environment<'_> {
    /// Fetches what is needed, each request once, and makes the app's environment.
    ///
    /// # Errors
    /// Every fault of every variable; there is no partial environment.
    pub fn resolve(&self, source: &mut dyn Source, policy: &Policy) -> Result<Resolved, Vec<ReferenceError>> {
        let answers = Answers::fetch(self, source);
        let mut writing = Writing { resolved: Resolved { variables: Vec::new(), dropped: Vec::new() }, bytes: 0 };
        let mut faults = Vec::new();
        for fetch in self.whole_fetches() {
            if let Err(fault) = whole(&fetch, &answers, policy, &mut writing) {
                faults.push(ReferenceError { variable: FROM_PATH.to_owned(), fault });
            }
        }
        let has_login = self.has_login();
        for (name, value) in self.variables.iter().filter(|(name, _)| self.passes(name, has_login)) {
            let result = one(value, &answers, policy).and_then(|value| {
                if let Some(value) = value {
                    return writing.put(name, value);
                }
                writing.drop(name);
                Ok(())
            });
            if let Err(fault) = result {
                faults.push(ReferenceError { variable: (*name).to_owned(), fault });
            }
        }
        if faults.is_empty() { Ok(writing.resolved) } else { Err(faults) }
    }
}

/// The answers to everything that an environment needs.
struct Answers<'n> {
    fetched: Vec<(Fetch<'n>, Result<Answer, ResolveError>)>,
    decrypted: Vec<(Ciphertext<'n>, Result<Secret, ReferenceFault>)>,
    token: Option<Result<Secret, ResolveError>>,
}

impl<'n> Answers<'n> {
    fn fetch(environment: &'n Environment<'_>, source: &mut dyn Source) -> Self {
        let needs = environment.needs();
        let fetched = needs.fetches.into_iter().map(|fetch| {
            let answer = source.fetch(&fetch);
            (fetch, answer)
        });
        let fetched = fetched.collect();
        let settings = environment.settings();
        let mut decrypted = Vec::with_capacity(needs.decrypts.len());
        for batch in needs.decrypts.chunks(settings.batch_size.max(1)) {
            let results = decrypt(batch, settings, source);
            decrypted.extend(batch.iter().copied().zip(results));
        }
        let token = needs.login.then(|| source.token());
        Self { fetched, decrypted, token }
    }

    fn of(&self, fetch: &Fetch<'_>) -> Result<&Answer, ReferenceFault> {
        let found = self.fetched.iter().find(|(known, _)| known == fetch);
        match found.map(|(_, answer)| answer) {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(problem)) => Err(ReferenceFault::Fetch { path: fetch.path.to_string(), problem: problem.clone() }),
            None => Ok(&Answer::Nothing),
        }
    }
}

/// One result per ciphertext of the batch.
fn decrypt(
    batch: &[Ciphertext<'_>],
    settings: &Settings,
    source: &mut dyn Source,
) -> Vec<Result<Secret, ReferenceFault>> {
    let all = |fault: &ReferenceFault| batch.iter().map(|_| Err(fault.clone())).collect();
    let Some(key) = &settings.transit_key else { return all(&ReferenceFault::NoTransitKey) };
    let texts: Vec<&str> = batch.iter().map(Ciphertext::as_str).collect();
    match source.decrypt(&settings.transit_path, key, &texts) {
        Err(problem) => {
            all(&ReferenceFault::Fetch { path: format!("{}/decrypt/{key}", settings.transit_path), problem })
        }
        Ok(plain) if plain.len() != batch.len() => all(&ReferenceFault::Transit("has another number of entries")),
        Ok(plain) => plain
            .iter()
            .map(|encoded| {
                // EXPOSE: decoding is what the plaintext came for; the result is a `Secret` again.
                let decoded = STANDARD.decode(encoded.expose());
                decoded.map(Secret::new).map_err(|_| ReferenceFault::Transit("is not base64"))
            })
            .collect(),
    }
}

/// The variables so far.
struct Writing {
    resolved: Resolved,
    bytes: usize,
}

impl Writing {
    /// The last writer of a name counts.
    fn put(&mut self, name: &str, value: Secret) -> Result<(), ReferenceFault> {
        check(name, &value)?;
        self.bytes = self.bytes.saturating_add(value.len());
        if self.bytes > RESOLVED_BYTES {
            return Err(ReferenceFault::TooMuch);
        }
        match self.resolved.variables.iter_mut().find(|(known, _)| known == name) {
            Some(slot) => slot.1 = value,
            None => self.resolved.variables.push((name.to_owned(), value)),
        }
        Ok(())
    }

    fn drop(&mut self, name: &str) {
        self.resolved.variables.retain(|(known, _)| known != name);
        self.resolved.dropped.push(name.to_owned());
    }
}

fn check(name: &str, value: &Secret) -> Result<(), ReferenceFault> {
    // `NAME=value` and the NUL behind it must fit.
    let bytes = name.len().saturating_add(value.len()).saturating_add(2);
    if bytes > VALUE_BYTES {
        return Err(ReferenceFault::TooLong { bytes });
    }
    // EXPOSE: only looked through for the one byte that the kernel does not take.
    if value.expose().contains(&0) { Err(ReferenceFault::Nul) } else { Ok(()) }
}

/// Every key of a secret becomes a variable, in the order of the keys.
fn whole(
    fetch: &Fetch<'_>,
    answers: &Answers<'_>,
    policy: &Policy,
    writing: &mut Writing,
) -> Result<(), ReferenceFault> {
    let path = fetch.path.to_string();
    let document = match answers.of(fetch)? {
        Answer::Document(document) => document,
        Answer::Deleted => return missing_or(&policy.key, ReferenceFault::Deleted { path, key: String::new() }),
        Answer::Nothing => return missing_or(&policy.secret, ReferenceFault::MissingSecret { path }),
    };
    for key in document.keys() {
        if key.is_empty() || key.contains(['=', '\0']) {
            return Err(ReferenceFault::KeyName { path, key: key.to_owned() });
        }
        writing.put(key, of_key(&path, key, document)?)?;
    }
    Ok(())
}

/// A whole path that is missing yields no variables, unless that is an error.
fn missing_or(policy: &OnMissing, fault: ReferenceFault) -> Result<(), ReferenceFault> {
    if *policy == OnMissing::Fail { Err(fault) } else { Ok(()) }
}

/// One variable; `None` where it is left out.
fn one(value: &EnvValue<'_>, answers: &Answers<'_>, policy: &Policy) -> Result<Option<Secret>, ReferenceFault> {
    // Grown by hand, since a growing `Vec` leaves unwiped copies behind.
    let mut pieces: Vec<Piece<'_>> = Vec::with_capacity(value.parts().len());
    let mut bytes = 0_usize;
    for part in value.parts() {
        let piece = match part {
            Part::Literal(text) => Piece::Literal(text),
            Part::Reference(reference) => match resolved(reference, answers, policy)? {
                Some(secret) => Piece::Secret(secret),
                None => return Ok(None),
            },
        };
        bytes = bytes.saturating_add(piece.bytes().len());
        if bytes > VALUE_BYTES {
            return Err(ReferenceFault::TooLong { bytes });
        }
        pieces.push(piece);
    }
    let mut joined = Zeroizing::new(Vec::with_capacity(bytes));
    for piece in &pieces {
        joined.extend_from_slice(piece.bytes());
    }
    Ok(Some(Secret::new(std::mem::take(&mut *joined))))
}

enum Piece<'t> {
    Literal(&'t [u8]),
    Secret(Secret),
}

impl Piece<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Literal(text) => text,
            // EXPOSE: the bytes go into the variable's own `Secret`.
            Self::Secret(secret) => secret.expose(),
        }
    }
}

/// One reference; `None` where the policy leaves the variable out.
fn resolved(
    reference: &Reference<'_>,
    answers: &Answers<'_>,
    policy: &Policy,
) -> Result<Option<Secret>, ReferenceFault> {
    match reference {
        Reference::Value { fetch, pick: part } => {
            let path = fetch.path.as_str();
            let named = || match part {
                super::parse::Pick::Key(key) => (*key).to_owned(),
                super::parse::Pick::Template(_) => "the template".to_owned(),
            };
            match answers.of(fetch)? {
                Answer::Document(document) => match pick(path, *part, document, policy.allow_no_value) {
                    Err(fault @ ReferenceFault::MissingKey { .. }) => instead(&policy.key, fault),
                    other => other.map(Some),
                },
                Answer::Deleted => {
                    instead(&policy.key, ReferenceFault::Deleted { path: path.to_owned(), key: named() })
                }
                Answer::Nothing => instead(&policy.secret, ReferenceFault::MissingSecret { path: path.to_owned() }),
            }
        }
        Reference::Decrypt(ciphertext) => {
            match answers.decrypted.iter().find(|(known, _)| known == ciphertext).map(|(_, result)| result) {
                Some(Ok(plain)) => Ok(Some(plain.duplicate())),
                Some(Err(fault)) => Err(fault.clone()),
                None => Err(ReferenceFault::Transit("is missing")),
            }
        }
        Reference::Login => match &answers.token {
            Some(Ok(token)) => Ok(Some(token.duplicate())),
            Some(Err(problem)) => Err(ReferenceFault::Login(problem.clone())),
            None => Err(ReferenceFault::Login(ResolveError::new("there was no login"))),
        },
    }
}

fn instead(policy: &OnMissing, fault: ReferenceFault) -> Result<Option<Secret>, ReferenceFault> {
    match policy {
        OnMissing::Fail => Err(fault),
        OnMissing::Drop => Ok(None),
        OnMissing::Empty => Ok(Some(Secret::new(Vec::new()))),
        OnMissing::Default(text) => Ok(Some(Secret::from(text.clone()))),
    }
}

/// Longest `NAME=value` with its NUL: Linux takes no longer string (`MAX_ARG_STRLEN`).
pub const VALUE_BYTES: usize = 128 * 1024;
/// Most bytes of all values together; the kernel takes 2 MiB for arguments and environment at the usual stack limit.
pub const RESOLVED_BYTES: usize = 2 << 20;
