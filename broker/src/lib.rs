//! The broker: the Vault API in front of an upstream, with audit and watch; and the embedded store.
//!
//! ```text
//! client --TLS--> server --> request (canonical form) --> route (class)
//!                              |                             |
//!                              v                             v
//!                  audit: intent, outcome  <----  front  ----> upstream: Vault, OpenBao or the embedded store
//!                              |                    |
//!                          Receipt ------------> answer      watch: own writes become Changes
//! ```
//! The broker has no token of its own: it passes on the caller's. Out of scope: caching, finding foreign writes by
//! polling, rotation.

pub mod answer;
pub mod audit;
pub mod config;
mod exchange;
pub mod facts;
mod front;
mod goodbye;
pub mod identity;
mod metrics;
mod poll;
mod program;
pub mod refusal;
pub mod request;
pub mod route;
pub mod server;
pub mod session;
pub mod store;
#[cfg(test)]
mod testing;
pub mod upstream;
pub mod verb;
pub mod watch;

pub use self::program::start;
pub use self::server::{Broker, BrokerOptions, Running, StartError};
