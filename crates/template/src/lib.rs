//! The Go template language of secret templates: compile at admission, render in the pod.
//!
//! Go's `text/template`, the helpers that Vault Agent gives to templates, and Sprig's functions by their `sprig_` names.
//! Two phases: [`Template::compile`] finds every fault that can be known without values, so that the webhook can refuse
//! with line and column; [`Template::render`] turns values into bytes. Both are pure and bounded: no I/O, no clock, no
//! randomness, and hostile templates end in an error within milliseconds on a small stack.
//!
//! Values live in buffers that are wiped, and no error or debug text holds one.
//! Out of scope: fetching secrets (the [`Resolver`] does), writing files, Consul and Nomad.

mod analysis;
mod ast;
mod catalog;
mod error;
mod eval;
mod function;
mod json;
mod limits;
mod options;
mod parse;
pub mod reference;
mod resolver;
mod template;
mod text;
mod toml;
mod value;
mod yaml;

pub use self::analysis::{ReadKind, RootField, StaticRead};
pub use self::catalog::{Entry, Origin, functions, refusals};
pub use self::error::{CompileError, CompileFault, Fault, Position, RenderError, ResolveError};
pub use self::eval::{OutputFile, Warning};
pub use self::limits::{Limit, Limits, NESTING_LIMIT, TEXT_LIMIT_BYTES, VALUE_DEPTH_LIMIT};
pub use self::options::{Dialect, MissingKey, Options};
pub use self::resolver::{NoReads, Resolver};
pub use self::template::{Rendered, Template};
pub use self::value::{Certificate, List, Map, Object, SecretObject, Text, Value};
