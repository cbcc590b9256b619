//! The controller: the only part with rights in Kubernetes beyond reading Grants, each by the name of an object.
//!
//! It makes the certificates of webhook and broker under an authority that changes without anybody noticing
//! ([`authority`]), keeps the `caBundle` of the webhook configurations equal to the trust bundle and repairs it within
//! seconds ([`repair`]), and tells in each Grant's status whether it compiles ([`grants`]). Of several replicas one works
//! ([`election`]).
//! Out of scope so far: SecretSync, Events; for good: writing policies to Vault (`vouchsafe apply`), which is a role of
//! its own.

pub mod authority;
mod bundle;
pub mod config;
mod driver;
pub mod election;
pub mod grants;
pub mod metrics;
pub mod server;

pub use bundle::{Repair, bundles, repair};
pub use driver::{run, start};
