//! Grants: read them strictly, check them, derive Plans from them, compile them to Vault policies and roles.
//!
//! A Grant says what git allows; an [`Ask`] is what a pod's annotations want; [`derive()`] joins the two into the Plan
//! that the sidecar carries out, and [`compile()`] turns all Grants into what Vault enforces. Everything here is pure but
//! [`GrantSet::read_folder`], deterministic, and reports all faults at once, each with its place and its fix.
//! Out of scope: AdmissionReviews and patches (webhook), talking to Vault (cli, controller), other dialects.

mod ask;
pub mod bankvaults;
mod compile;
mod derive;
pub mod dropin;
mod fault;
mod fields;
mod grant;
mod leak;
mod lint;
pub mod manifest;
mod pod;
mod template;
pub mod yaml;

pub use self::ask::{ANNOTATION_BYTES, ANNOTATION_PREFIX, Ask, STATUS_ANNOTATION};
pub use self::compile::{Compiled, DEFAULT_AUDIENCE, compile, compile_for};
pub use self::derive::{Delivered, Derivation, Supervised, derive};
pub use self::fault::{At, Fault, Source};
pub use self::grant::{
    Deliver, EnvEntry, FileContent, FileEntry, Grant, GrantSecret, GrantSet, OnChange, SecretRef, VaultSettings, Window,
};
pub use self::lint::{Finding, lint};
pub use self::pod::{ContainerFacts, ContainerKind, Installation, PodFacts};
