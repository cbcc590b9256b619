//! The nouns of Vouchsafe, pure: secrets, names, workloads, plans, wire envelopes, records.
//!
//! Everything else in the workspace is one of these, a step between them, or I/O. Nothing here reads a clock, a file
//! or a socket; time and randomness are arguments.
//! Out of scope: reading YAML (policies), rendering templates (template), talking to servers (net).

pub mod kind;
pub mod name;
pub mod path;
pub mod plan;
pub mod record;
pub mod refresh;
pub mod secret;
pub mod text;
pub mod wire;
pub mod workload;

pub use kind::{Code, Kind};
pub use secret::Secret;
pub use workload::Workload;
