//! All shared I/O: TLS, HTTP server and client, Vault client, directory watch, task lifecycle.
//!
//! HTTP is HTTP/1.1 only: every peer speaks it, and it is the smaller target. Everything that waits has a bound, and no
//! error text holds a header or a body. Out of scope: what the bytes mean (model), who may ask for them (the roles).
//!
//! The sidecar links this crate and may use 3 MB in all: server and hot-reload code is reached only through
//! [`server::serve`] and [`tls::Identity`], so that the linker drops it where nobody calls it.

pub mod client;
pub mod hash;
pub mod http;
pub mod lifecycle;
pub mod log;
pub mod random;
pub mod server;
pub mod tls;
pub mod vault;
pub mod watch;

#[cfg(test)]
mod testing;
