//! The controller: the only part with rights in Kubernetes beyond reading Grants.
//!
//! Today it keeps the `caBundle` of the webhook's configuration equal to the certificate authority in a mounted file,
//! and repairs it within seconds when somebody overwrites or empties it. Its right: `get` and `patch` on one
//! MutatingWebhookConfiguration, by name.
//! Out of scope so far: making certificates, SecretSync, Events, the status of Grants.

mod bundle;
pub mod config;
mod driver;

pub use bundle::{Repair, repair};
pub use driver::{run, start};
