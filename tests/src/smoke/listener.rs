//! Somebody who accepts connections, notes who called, and hangs up: it counts how often sidecars try.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;

use super::outcome::Outcome;

/// First argument of the program that becomes the listener: `smoke LISTEN ADDRESS FILE`.
pub(crate) const VERB: &str = "--listen-and-hang-up";

/// Listens until it is killed; one line for each caller, its address.
pub(crate) fn listen(address: &str, file: &Path) -> Outcome {
    let mut notes = File::create(file)?;
    let listener = TcpListener::bind(address)?;
    for connection in listener.incoming() {
        if let Ok(caller) = connection.and_then(|stream| stream.peer_addr()) {
            writeln!(notes, "{}", caller.ip())?;
        }
    }
    Ok(())
}

/// How often each address has called.
pub(crate) fn calls(file: &Path) -> Outcome<BTreeMap<String, usize>> {
    let mut calls = BTreeMap::new();
    for line in fs::read_to_string(file)?.lines() {
        *calls.entry(line.to_owned()).or_default() += 1;
    }
    Ok(calls)
}
