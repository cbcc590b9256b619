//! Every function of the language in words: what documentation, `template functions` and tests are made of.
//!
//! A row here holds what a person wants to know; the parameters come from the function itself, and a test holds the two
//! together. Nothing of it is linked into a program that does not ask.

mod go;
mod sprig;
mod vault;

use crate::function::{self, Function};

/// Where a function comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// Go's text/template.
    Go,
    /// The helpers of Vault Agent and consul-template.
    Vault,
    /// Sprig, with the prefix `sprig_`.
    Sprig,
}

/// One function.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Further names of the same.
    pub aliases: Vec<&'static str>,
    /// Where it comes from.
    pub origin: Origin,
    /// Types of its parameters, in order.
    pub parameters: Vec<&'static str>,
    /// How many of them must be there.
    pub least: usize,
    /// Type of any number of further arguments.
    pub rest: Option<&'static str>,
    /// Whether our own dialect has it too.
    pub own: bool,
    /// What it does, in a few words.
    pub what: &'static str,
    /// A template that uses it.
    pub example: &'static str,
    /// What the example prints.
    pub output: &'static str,
    /// Where it differs from the original; mostly empty.
    pub difference: &'static str,
}

/// What somebody should know about a function.
pub(crate) struct Row {
    name: &'static str,
    what: &'static str,
    example: &'static str,
    output: &'static str,
    difference: &'static str,
}

const fn row(name: &'static str, what: &'static str, example: &'static str, output: &'static str) -> Row {
    Row { name, what, example, output, difference: "" }
}

impl Row {
    const fn differs(mut self, difference: &'static str) -> Self {
        self.difference = difference;
        self
    }
}

/// All functions, by origin and then in the order of the documentation.
pub fn functions() -> Vec<Entry> {
    let tables = [(Origin::Go, go::ROWS), (Origin::Vault, vault::ROWS), (Origin::Sprig, sprig::ROWS)];
    let rows = tables.into_iter().flat_map(|(origin, rows)| rows.iter().map(move |row| (origin, row)));
    rows.filter_map(|(origin, row)| Some(entry(origin, row, function::all().find(|known| known.name == row.name)?)))
        .collect()
}

/// All names that are refused when a template is compiled, each with the reason.
pub fn refusals() -> Vec<(&'static str, &'static str)> {
    function::refusals().collect()
}

fn entry(origin: Origin, row: &Row, function: &'static Function) -> Entry {
    Entry {
        name: row.name,
        aliases: function::aliases(row.name).collect(),
        origin,
        parameters: function.parameters().iter().map(|parameter| parameter.word()).collect(),
        least: function.least(),
        rest: function.rest().map(function::Parameter::word),
        own: function.own,
        what: row.what,
        example: row.example,
        output: row.output,
        difference: row.difference,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_has_one_row_and_every_row_a_function() {
        let mut described: Vec<_> =
            [go::ROWS, vault::ROWS, sprig::ROWS].into_iter().flatten().map(|row| row.name).collect();
        let mut known: Vec<_> = function::all().map(|function| function.name).collect();
        described.sort_unstable();
        known.sort_unstable();
        assert_eq!(described, known);
    }

    #[test]
    fn no_name_is_both_a_function_and_refused() {
        let functions = functions();
        let names = functions.iter().flat_map(|entry| entry.aliases.iter().chain([&entry.name]));
        for name in names {
            assert!(refusals().iter().all(|(refused, _)| refused != name), "{name}");
        }
    }
}
