//! References in environment values: `vault:secret/data/app#password` and its kin, as Bank-Vaults spells them.
//!
//! ```text
//! value    = bare | text with inline references
//! bare     = [">>"] "vault:" path "#" key-or-template [ "#" version-or-body ]
//! transit  = "vault:v" digits ":" ciphertext
//! login    = "vault:login"                      only as the value of VAULT_TOKEN
//! inline   = "${" [">>"] "vault:" … "}"         ends at the first "}", or the first two where they touch; one line
//! template = Go template between "${" and "}"   over the secret's keys, with Sprig's functions
//! whole    = path [ "#" version ] { "," … }     VAULT_ENV_FROM_PATH: every key becomes a variable
//! ```
//! The path is the API path (KV v2 with its `data/`). What follows `vault:` is split at `#` into at most three parts, so a
//! key holds no `#` while a JSON body may. The grammar has no escape: text that is exactly a reference cannot be written.
//!
//! Two phases like templates: parsing finds every fault that needs no value, and [`Environment::needs`]
//! names what must be read, each once; [`Environment::resolve`] turns answers into values. Both are pure and bounded: a
//! [`Source`] hands in documents. [`kubelet`] is the other half: what the kubelet does to `$(NAME)` before anybody else
//! sees a value. Out of scope: requests, login, what a mount's version is (the source knows), starting the app.

mod environment;
mod error;
mod expression;
pub mod kubelet;
mod parse;
mod pick;
mod resolve;
mod settings;
#[cfg(test)]
mod tests;

pub use self::environment::{Environment, Needs, VARIABLES};
pub use self::error::{ReferenceError, ReferenceFault};
pub use self::parse::{EnvValue, Fetch, How, Part, Pick, Reference, Suspicion};
pub use self::resolve::{Answer, OnMissing, Policy, RESOLVED_BYTES, Resolved, Source, VALUE_BYTES};
pub use self::settings::{BATCH_SIZE, Settings, SettingsError};
