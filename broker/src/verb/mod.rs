//! Verbs of `vouchsafe-broker` beside the server: what a person does with the files of the embedded store.
//!
//! ```text
//! root-token     prints the root token of a new store, once, and removes its file
//! store backup   writes a backup, of a running or of a stopped store
//! store check    proves a backup    store restore   makes a store of one
//! ```
//! They speak to a person: results on stdout, errors on stderr, exit code 1. Out of scope: the server ([`crate::config`]).

mod root_token;
mod store;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Subcommand;

/// What to do instead of serving.
#[derive(Subcommand, Debug)]
pub enum Verb {
    /// Print the root token of a store that was just made, once: its file is removed
    RootToken(root_token::RootToken),
    /// Back the embedded store up, prove a backup, restore it
    Store(store::StoreVerb),
}

impl Verb {
    /// Shown below the server's own help.
    pub const HELP: &'static str = "Verbs (vouchsafe-broker VERB --help):\n  \
        root-token      print the root token of a new store, once, and remove its file\n  \
        store           back the embedded store up, prove a backup, restore one";

    /// Whether a command line's first word is a verb.
    pub fn is_named(word: &str) -> bool {
        matches!(word, "root-token" | "store")
    }
}

/// Does what the verb says.
pub fn start(verb: Verb) -> ExitCode {
    let done = match verb {
        Verb::RootToken(verb) => verb.run(&mut std::io::stdout().lock()),
        Verb::Store(verb) => verb.run(&mut std::io::stdout().lock(), &mut std::io::stderr().lock()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "vouchsafe-broker: {error:#}");
            ExitCode::FAILURE
        }
    }
}
