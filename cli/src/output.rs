//! How results look: colour on terminals only, faults on standard error, one JSON document for machines.

use std::io::{IsTerminal, Write};

use crate::arguments::ColorChoice;

/// Decides once whether to use colour.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Style {
    color: bool,
}

impl Style {
    /// From the flag, `NO_COLOR` and whether standard output is a terminal.
    pub(crate) fn new(choice: ColorChoice) -> Self {
        let color = match choice {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|v| v.is_empty())
            }
        };
        Self { color }
    }

    pub(crate) fn bold(self, text: &str) -> String {
        self.paint("1", text)
    }

    pub(crate) fn dim(self, text: &str) -> String {
        self.paint("2", text)
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint("32", text)
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint("31", text)
    }

    pub(crate) fn warn(self, text: &str) -> String {
        self.paint("33", text)
    }

    fn paint(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}

/// Writes one line to standard output. A closed pipe (`| head`) ends the program quietly, as users expect.
pub(crate) fn line(text: impl AsRef<str>) {
    let mut out = std::io::stdout().lock();
    if writeln!(out, "{}", text.as_ref()).and_then(|()| out.flush()).is_err() {
        std::process::exit(0);
    }
}

/// Writes one line to standard error.
pub(crate) fn note(text: impl AsRef<str>) {
    let _ = writeln!(std::io::stderr().lock(), "{}", text.as_ref());
}

/// How the user starts this program, for commands that are shown to be typed: `cargo run` builds put it nowhere on PATH.
pub(crate) fn program() -> &'static str {
    let built = std::env::current_exe().is_ok_and(|path| {
        let mut folders = path.components().rev().skip(1).map(|part| part.as_os_str().to_owned());
        folders.next().is_some_and(|profile| profile == "release")
            && folders.next().is_some_and(|folder| folder == "target")
    });
    if built { "cargo run --release --" } else { "vouchsafe" }
}
