//! The sidecar: a pure machine and its driver
