//! The Bank-Vaults dialect: `vault.security.banzaicloud.io/*` and `secrets-webhook.security.bank-vaults.io/*`.
//!
//! ```text
//! table.rs   every annotation: kind, default, meaning, difference ─▶ document.rs ─▶ docs/bank-vaults.md
//! read.rs    annotations ─▶ Asked, with faults and warnings
//! survey.rs  containers ─▶ which have references, which are made of others, which would show values
//! ```
//! A pod asks by the references in its variables; annotations only say how. The grammar of references is
//! [`vouchsafe_template::reference`]. Out of scope: changing the pod, ConfigMaps and Secrets as objects (their values would
//! lie in etcd).

mod document;
mod read;
mod survey;
pub mod table;
#[cfg(test)]
mod tests;

pub use self::document::{DOCUMENT_PATH, markdown};
pub use self::read::{Asked, BankVaults, Wish};
pub use self::survey::{Finding, Objects, Probe, Survey, is_marked, survey};
