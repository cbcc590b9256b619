//! A whole environment: what its variables need, each request once.

use super::error::{ReferenceError, ReferenceFault};
use super::parse::{Ciphertext, EnvValue, Fetch, Reference, whole};
use super::settings::Settings;

/// The variables of one container, taken apart.
///
/// Order of writing: what `VAULT_ENV_FROM_PATH` yields, path by path, then the container's own variables; the last writer
/// of a name counts, so a variable that the container sets itself is never replaced by a path.
#[derive(Debug)]
pub struct Environment<'t> {
    pub(super) variables: Vec<(&'t str, EnvValue<'t>)>,
    pub(super) whole: Vec<String>,
    pub(super) settings: Settings,
    pub(super) strips: bool,
}

/// What an environment needs from outside; equal requests stand here once, in the order of their first use.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Needs<'t> {
    /// Reads and writes.
    pub fetches: Vec<Fetch<'t>>,
    /// Transit ciphertexts.
    pub decrypts: Vec<Ciphertext<'t>>,
    /// Whether the token itself is wanted.
    pub login: bool,
}

impl<'t> Environment<'t> {
    /// Of a container that Bank-Vaults' wrapper would start: its settings count and are kept from the app.
    ///
    /// # Errors
    /// Every fault of every variable.
    pub fn bank_vaults(entries: &[(&'t str, &'t [u8])]) -> Result<Self, Vec<ReferenceError>> {
        let mut faults = Vec::new();
        let settings = Settings::read(entries.iter().copied(), &mut faults);
        Self::parse(entries, settings, true, faults)
    }

    /// References alone: no variable is a setting, and none is taken away.
    ///
    /// # Errors
    /// Every fault of every variable.
    pub fn plain(entries: &[(&'t str, &'t [u8])]) -> Result<Self, Vec<ReferenceError>> {
        Self::parse(entries, Settings::default(), false, Vec::new())
    }

    /// Of a repeated name the last value counts.
    fn parse(
        entries: &[(&'t str, &'t [u8])],
        settings: Settings,
        strips: bool,
        mut faults: Vec<ReferenceError>,
    ) -> Result<Self, Vec<ReferenceError>> {
        let too_many = |what| ReferenceError {
            variable: String::new(),
            fault: ReferenceFault::TooMany { what, limit: VARIABLES },
        };
        if entries.len() > VARIABLES {
            return Err(vec![too_many("variables")]);
        }
        let mut variables: Vec<(&'t str, EnvValue<'t>)> = Vec::with_capacity(entries.len());
        for (name, value) in entries {
            match EnvValue::parse(name, value) {
                Ok(value) => match variables.iter_mut().find(|(known, _)| known == name) {
                    Some(slot) => slot.1 = value,
                    None => variables.push((name, value)),
                },
                Err(fault) => faults.push(ReferenceError { variable: (*name).to_owned(), fault }),
            }
        }
        for text in &settings.from_path {
            if let Err(fault) = whole(text) {
                faults.push(ReferenceError { variable: FROM_PATH.to_owned(), fault });
            }
        }
        let whole = settings.from_path.clone();
        let environment = Self { variables, whole, settings, strips };
        if faults.is_empty() {
            match environment.needs() {
                needs if needs.fetches.len() > FETCHES => faults.push(ReferenceError {
                    variable: String::new(),
                    fault: ReferenceFault::TooMany { what: "different paths in the environment", limit: FETCHES },
                }),
                needs if needs.decrypts.len() > VARIABLES => faults.push(too_many("encrypted values")),
                _ => return Ok(environment),
            }
        }
        Err(faults)
    }

    /// What the settings say; the defaults for [`Environment::plain`].
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The variables in the order of their first appearance.
    pub fn variables(&self) -> impl Iterator<Item = (&'t str, &EnvValue<'t>)> {
        self.variables.iter().map(|(name, value)| (*name, value))
    }

    /// Whether every variable stays as it is.
    pub fn is_literal(&self) -> bool {
        self.whole.is_empty() && self.variables.iter().all(|(_, value)| value.is_literal())
    }

    /// What must be fetched. Variables that the app does not get are not resolved.
    pub fn needs(&self) -> Needs<'_> {
        let mut needs = Needs::default();
        for fetch in self.whole_fetches() {
            add(&mut needs.fetches, fetch);
        }
        for reference in self.references() {
            match reference {
                Reference::Value { fetch, .. } => add(&mut needs.fetches, fetch.clone()),
                Reference::Decrypt(ciphertext) => add(&mut needs.decrypts, *ciphertext),
                Reference::Login => needs.login = true,
            }
        }
        needs
    }

    fn references(&self) -> impl Iterator<Item = &Reference<'t>> {
        let has_login = self.has_login();
        let passed = self.variables.iter().filter(move |(name, _)| self.passes(name, has_login));
        passed.flat_map(|(_, value)| value.references())
    }

    /// The paths whose keys become variables; all of them parse, or there were no environment.
    pub(super) fn whole_fetches(&self) -> impl Iterator<Item = Fetch<'_>> {
        self.whole.iter().filter_map(|text| whole(text).ok())
    }

    /// Whether a variable is the token of the login.
    pub(super) fn has_login(&self) -> bool {
        self.variables.iter().any(|(_, value)| value.references().any(|reference| *reference == Reference::Login))
    }

    pub(super) fn passes(&self, name: &str, has_login: bool) -> bool {
        !self.strips || self.settings.passes(name, has_login)
    }
}

fn add<T: PartialEq>(list: &mut Vec<T>, entry: T) {
    if !list.contains(&entry) {
        list.push(entry);
    }
}

/// The variable whose paths become variables.
pub(super) const FROM_PATH: &str = "VAULT_ENV_FROM_PATH";
/// Most variables of one container; service links of a large namespace reach a few hundred.
pub const VARIABLES: usize = 4096;
/// Most different reads and writes of one container: as many as a Plan has secrets.
const FETCHES: usize = vouchsafe_model::plan::SECRETS;
