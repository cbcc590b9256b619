//! Tests of the grammar, of resolution and of the kubelet's expansion.

mod cases;
mod expansion;
mod grammar;
mod properties;
mod resolution;
mod store;
