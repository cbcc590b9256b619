//! The mutating admission webhook: review in, outcome out.
//!
//! The pure core ([`admit()`], [`inject()`], [`warn()`], [`explain()`]) needs no server: `vouchsafe admit`, `explain` and `dev`
//! call it directly. Around it: an HTTPS server ([`server`]), Grants from a folder or a Kubernetes watch ([`grants`]).
//! It holds no right but that watch and calls nothing else.
//! Out of scope: what Grants allow (policies), what happens in the pod (sidecar), certificates (controller).

pub mod admit;
pub mod bare;
pub mod classic;
pub mod config;
pub mod decision;
pub mod dropin;
pub mod explain;
pub mod grants;
pub mod inject;
pub mod json;
pub mod judge;
pub mod metrics;
pub mod names;
pub mod options;
pub mod parts;
pub mod patch;
pub mod place;
pub mod preflight;
pub mod program;
pub mod resources;
pub mod review;
pub mod run;
pub mod same;
pub mod server;
pub mod warn;

pub use crate::admit::{Answer, admit};
pub use crate::config::{Config, CpuShare, InjectionMode, PullPolicy, SidecarUser};
pub use crate::decision::{Decision, Outcome};
pub use crate::explain::{Explanation, Verdict, explain};
pub use crate::inject::{Injection, inject};
pub use crate::patch::Operation as PatchOperation;
pub use crate::program::start;
pub use crate::run::{Setup, run};
pub use crate::warn::warn;
