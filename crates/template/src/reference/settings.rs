//! The settings that a Bank-Vaults wrapper takes from the environment, and which variables the app never sees.
//!
//! They are taken out of the app's environment whatever the mode; `VAULT_ENV_PASSTHROUGH` keeps named ones, and an app that
//! gets the token by `vault:login` keeps what it needs to connect. Out of scope: carrying them out.

use std::time::Duration;

use super::error::{ReferenceError, ReferenceFault};

/// What the variables say. Literals only: a reference in a setting is not resolved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// `VAULT_IGNORE_MISSING_SECRETS`.
    pub ignore_missing: bool,
    /// `VAULT_TRANSIT_KEY_ID`, if it is not empty.
    pub transit_key: Option<String>,
    /// `VAULT_TRANSIT_PATH`.
    pub transit_path: String,
    /// `VAULT_TRANSIT_BATCH_SIZE`, from 1.
    pub batch_size: usize,
    /// `VAULT_ENV_FROM_PATH`, each entry trimmed.
    pub from_path: Vec<String>,
    /// `VAULT_ENV_PASSTHROUGH`, each entry trimmed.
    pub passthrough: Vec<String>,
    /// `VAULT_ENV_DAEMON`.
    pub daemon: bool,
    /// `VAULT_ENV_DELAY`.
    pub delay: Duration,
    /// `VAULT_REVOKE_TOKEN`.
    pub revoke_token: bool,
}

/// A setting with a value that it cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("is no {wanted}; write it as in {example}")]
pub struct SettingsError {
    wanted: &'static str,
    example: &'static str,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            ignore_missing: false,
            transit_key: None,
            transit_path: "transit".to_owned(),
            batch_size: BATCH_SIZE,
            from_path: Vec::new(),
            passthrough: Vec::new(),
            daemon: false,
            delay: Duration::ZERO,
            revoke_token: false,
        }
    }
}

impl Settings {
    /// Reads all settings among `entries`; of a repeated name the last one counts.
    pub(super) fn read<'t>(
        entries: impl Iterator<Item = (&'t str, &'t [u8])>,
        faults: &mut Vec<ReferenceError>,
    ) -> Self {
        let mut settings = Self::default();
        for (name, value) in entries {
            let value = std::str::from_utf8(value).unwrap_or_default();
            if let Err(error) = settings.set(name, value) {
                let fault = ReferenceFault::Setting(format!("the setting {error}"));
                faults.push(ReferenceError { variable: name.to_owned(), fault });
            }
        }
        settings
    }

    /// Takes the variable `name` as setting; every other name is passed over.
    ///
    /// # Errors
    /// Where the value is none that the setting can have.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), SettingsError> {
        let value = value.trim();
        match name {
            "VAULT_IGNORE_MISSING_SECRETS" => self.ignore_missing = truth(value)?,
            "VAULT_TRANSIT_KEY_ID" => self.transit_key = Some(value.to_owned()).filter(|key| !key.is_empty()),
            "VAULT_TRANSIT_PATH" if !value.is_empty() => value.trim_matches('/').clone_into(&mut self.transit_path),
            "VAULT_TRANSIT_BATCH_SIZE" => self.batch_size = batch_size(value)?,
            "VAULT_ENV_FROM_PATH" | "VAULT_FROM_PATH" => self.from_path = list(value),
            "VAULT_ENV_PASSTHROUGH" | "VAULT_PASSTHROUGH" => self.passthrough = list(value),
            "VAULT_ENV_DAEMON" | "SECRET_INIT_DAEMON" => self.daemon = truth(value)?,
            "VAULT_ENV_DELAY" | "SECRET_INIT_DELAY" => self.delay = duration(value)?,
            "VAULT_REVOKE_TOKEN" => self.revoke_token = truth(value)?,
            _ => {}
        }
        Ok(())
    }

    /// Whether the app gets the variable `name`. `has_login`: one of its variables is the login's token.
    pub(super) fn passes(&self, name: &str, has_login: bool) -> bool {
        match STRIPPED.iter().find(|(stripped, _)| *stripped == name) {
            None => true,
            Some((_, is_connection)) => {
                has_login && *is_connection || self.passthrough.iter().any(|passed| passed == name)
            }
        }
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|entry| !entry.is_empty()).map(str::to_owned).collect()
}

/// Go's spellings.
fn truth(value: &str) -> Result<bool, SettingsError> {
    match value {
        "1" | "t" | "T" | "true" | "True" | "TRUE" => Ok(true),
        "" | "0" | "f" | "F" | "false" | "False" | "FALSE" => Ok(false),
        _ => Err(SettingsError { wanted: "truth value", example: "true" }),
    }
}

fn batch_size(value: &str) -> Result<usize, SettingsError> {
    match value {
        "" | "0" => Ok(BATCH_SIZE),
        digits => digits
            .parse()
            .ok()
            .filter(|size| (1..=BATCH_SIZE_MOST).contains(size))
            .ok_or(SettingsError { wanted: "number of ciphertexts from 1 to 1000", example: "25" }),
    }
}

/// Go's durations without sign: `1m30s`, `1.5s`, `250ms`; plain 0.
fn duration(value: &str) -> Result<Duration, SettingsError> {
    let fail = SettingsError { wanted: "duration up to 10 minutes", example: "3s" };
    if matches!(value, "" | "0") {
        return Ok(Duration::ZERO);
    }
    let mut rest = value;
    let mut sum = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(|| fail.clone())?;
        let (number, unit) = rest.split_at(digits);
        let length = unit.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(unit.len());
        let (unit, next) = unit.split_at(length);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" | "μs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            _ => return Err(fail),
        };
        let number: f64 = number.parse().map_err(|_| fail.clone())?;
        let piece = Duration::try_from_secs_f64(number * seconds).map_err(|_| fail.clone())?;
        sum = sum.checked_add(piece).filter(|sum| *sum <= LONGEST_DELAY).ok_or_else(|| fail.clone())?;
        rest = next;
    }
    Ok(sum)
}

/// Ciphertexts of one decryption request where nothing is said.
pub const BATCH_SIZE: usize = 25;
/// Vault's request size allows more, but a pod has no more variables than this.
const BATCH_SIZE_MOST: usize = 1000;
/// An app that starts later than this looks like one that hangs.
const LONGEST_DELAY: Duration = Duration::from_secs(600);

/// Variables that the app does not get, and whether they tell how to connect to Vault.
const STRIPPED: &[(&str, bool)] = &[
    ("VAULT_TOKEN", true),
    ("VAULT_TOKEN_FILE", false),
    ("VAULT_ADDR", true),
    ("VAULT_AGENT_ADDR", true),
    ("VAULT_CACERT", true),
    ("VAULT_CAPATH", true),
    ("VAULT_CLIENT_CERT", true),
    ("VAULT_CLIENT_KEY", true),
    ("VAULT_CLIENT_TIMEOUT", true),
    ("VAULT_SRV_LOOKUP", true),
    ("VAULT_SKIP_VERIFY", true),
    ("VAULT_NAMESPACE", true),
    ("VAULT_TLS_SERVER_NAME", true),
    ("VAULT_WRAP_TTL", true),
    ("VAULT_MFA", true),
    ("VAULT_MAX_RETRIES", true),
    ("VAULT_CLUSTER_ADDR", false),
    ("VAULT_REDIRECT_ADDR", false),
    ("VAULT_CLI_NO_COLOR", false),
    ("VAULT_RATE_LIMIT", false),
    ("VAULT_ROLE", false),
    ("VAULT_PATH", false),
    ("VAULT_AUTH_METHOD", false),
    ("VAULT_TRANSIT_KEY_ID", false),
    ("VAULT_TRANSIT_PATH", false),
    ("VAULT_TRANSIT_BATCH_SIZE", false),
    ("VAULT_IGNORE_MISSING_SECRETS", false),
    ("VAULT_ENV_PASSTHROUGH", false),
    ("VAULT_PASSTHROUGH", false),
    ("VAULT_JSON_LOG", false),
    ("VAULT_LOG_LEVEL", false),
    ("VAULT_ENV_LOG_SERVER", false),
    ("VAULT_REVOKE_TOKEN", false),
    ("VAULT_ENV_DAEMON", false),
    ("VAULT_ENV_FROM_PATH", false),
    ("VAULT_FROM_PATH", false),
    ("VAULT_ENV_DELAY", false),
    ("SECRET_INIT_DAEMON", false),
    ("SECRET_INIT_DELAY", false),
    ("SECRET_INIT_JSON_LOG", false),
    ("SECRET_INIT_LOG_LEVEL", false),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_as_go_writes_them() {
        for (text, expected) in [("1s", 1000), ("1m30s", 90_000), ("1.5s", 1500), ("250ms", 250), ("0", 0), ("", 0)] {
            assert_eq!(duration(text), Ok(Duration::from_millis(expected)), "{text}");
        }
        for bad in ["1", "s", "-1s", "1 s", "1d", "11m", "1e9s", "..s", "1s2"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_batch_size_that_is_not_set_is_no_division_by_zero() {
        assert_eq!(batch_size("").unwrap(), 25);
        assert_eq!(batch_size("0").unwrap(), 25);
        assert!(batch_size("-1").is_err() && batch_size("x").is_err());
    }
}
