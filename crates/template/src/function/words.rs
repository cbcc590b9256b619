//! Words inside of names, the way Sprig's case functions find them: `HTTPServer2xx` is `http_server_2xx`.

use super::builtin::written;
use super::text::{lower, upper};
use crate::error::Fault;
use crate::value::{Buffer, Value};

/// Capitals where connectors were: `http_server` to `HttpServer`. Connectors at the beginning stay, of several in a row all
/// but the last.
pub(super) fn pascal(text: &str) -> Result<Value, Fault> {
    let rest = text.trim_start_matches(is_connector);
    let mut characters = rest.chars();
    written(|out| {
        out.write(text.get(..text.len() - rest.len()).unwrap_or_default().as_bytes())?;
        let Some(first) = characters.next() else { return Ok(()) };
        let mut shouting = first.is_uppercase();
        let mut previous = upper(first);
        for mut next in characters {
            if is_connector(previous) {
                if is_connector(next) {
                    out.push_char(previous)?;
                    previous = next;
                    continue;
                }
                shouting = next.is_uppercase();
                next = upper(next);
            } else {
                if shouting && next.is_uppercase() {
                    next = lower(next);
                } else {
                    shouting = false;
                }
                out.push_char(previous)?;
            }
            previous = next;
        }
        out.push_char(previous)
    })
}

/// Small letters with `connector` between the words.
pub(super) fn lower_joined(text: &str, connector: char) -> Result<Value, Fault> {
    let mut words = Words { rest: text };
    written(|out| {
        let Some(mut word) = words.next() else { return Ok(()) };
        loop {
            if words.rest.is_empty() {
                return write_word(out, word, connector);
            }
            if word.0 != Kind::Connector {
                write_word(out, word, connector)?;
            }
            let (previous, last) = word;
            word = words.next_or_nothing();
            match previous {
                Kind::Number => {
                    word = words.write_number_tail(out, word, connector)?;
                    if !matches!(word.0, Kind::Nothing | Kind::Punctuation | Kind::Connector) {
                        out.push_char(connector)?;
                    }
                }
                Kind::Connector => write_word(out, (previous, last), connector)?,
                Kind::Punctuation => {}
                _ if word.0 != Kind::Number => {
                    if !matches!(word.0, Kind::Connector | Kind::Punctuation) {
                        out.push_char(connector)?;
                    }
                }
                _ if words.rest.is_empty() => {}
                _ => {
                    let number = word;
                    word = words.next_or_nothing();
                    if word.0 == Kind::Small {
                        // small letters behind a number belong to it
                        out.push_char(connector)?;
                        write_word(out, number, connector)?;
                        word = words.write_number_tail(out, word, connector)?;
                    } else {
                        write_word(out, number, connector)?;
                    }
                    if !matches!(word.0, Kind::Nothing | Kind::Connector | Kind::Punctuation) {
                        out.push_char(connector)?;
                    }
                }
            }
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nothing,
    Number,
    /// Begins with a capital.
    Capital,
    Small,
    Connector,
    Punctuation,
    Other,
}

type Word<'t> = (Kind, &'t str);

struct Words<'t> {
    rest: &'t str,
}

impl<'t> Words<'t> {
    fn next(&mut self) -> Option<Word<'t>> {
        let first = self.rest.chars().next()?;
        let kind = kind_of(first);
        let head = first.len_utf8();
        let tail = self.rest.get(head..).unwrap_or_default();
        let run = |text: &str, fits: fn(char) -> bool| text.len() - text.trim_start_matches(fits).len();
        let length = match kind {
            Kind::Connector => head + run(tail, is_connector),
            Kind::Punctuation => head + run(tail, is_punctuation),
            Kind::Small => head + run(tail, is_small),
            Kind::Number => head + run(tail, char::is_numeric),
            Kind::Capital => head + capital_tail(tail),
            Kind::Nothing | Kind::Other => head + run(tail, |c| kind_of(c) == Kind::Other),
        };
        let (word, rest) = self.rest.split_at_checked(length)?;
        self.rest = rest;
        Some((kind, word))
    }

    fn next_or_nothing(&mut self) -> Word<'t> {
        self.next().unwrap_or((Kind::Nothing, ""))
    }

    /// Writes what belongs to a number before; the first word that does not.
    fn write_number_tail(&mut self, out: &mut Buffer, mut word: Word<'t>, connector: char) -> Result<Word<'t>, Fault> {
        while matches!(word.0, Kind::Small | Kind::Number) {
            write_word(out, word, connector)?;
            word = self.next_or_nothing();
        }
        Ok(word)
    }
}

/// What belongs to a word behind its first capital: small letters, or further capitals without the one that begins the
/// next word (`HTTPStatus`).
fn capital_tail(tail: &str) -> usize {
    let Some(second) = tail.chars().next() else { return 0 };
    if !second.is_uppercase() {
        return tail.len() - tail.trim_start_matches(is_small).len();
    }
    let rest = tail.trim_start_matches(char::is_uppercase);
    let capitals = tail.len() - rest.len();
    let last = tail.get(..capitals).and_then(|capitals| capitals.chars().next_back()).map_or(0, char::len_utf8);
    if rest.starts_with(is_small) { capitals - last } else { capitals }
}

fn write_word(out: &mut Buffer, (kind, word): Word<'_>, connector: char) -> Result<(), Fault> {
    word.chars().try_for_each(|character| match kind {
        Kind::Capital | Kind::Connector if is_connector(character) => out.push_char(connector),
        Kind::Capital | Kind::Connector if character.is_uppercase() => out.push_char(lower(character)),
        _ => out.push_char(character),
    })
}

fn kind_of(character: char) -> Kind {
    match character {
        c if is_connector(c) => Kind::Connector,
        c if is_punctuation(c) => Kind::Punctuation,
        c if c.is_uppercase() => Kind::Capital,
        c if is_small(c) => Kind::Small,
        c if c.is_numeric() => Kind::Number,
        _ => Kind::Other,
    }
}

fn is_connector(character: char) -> bool {
    matches!(character, '-' | '_') || character.is_whitespace()
}

/// Letters that are no capitals; ideographs are no letters here.
fn is_small(character: char) -> bool {
    character.is_alphabetic() && !character.is_uppercase() && character < '\u{2e80}'
}

fn is_punctuation(character: char) -> bool {
    match character {
        '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~' => false,
        '¡'
        | '§'
        | '«'
        | '¶'
        | '·'
        | '»'
        | '¿'
        | '\u{2010}'..='\u{2027}'
        | '\u{2030}'..='\u{205e}'
        | '\u{3001}'..='\u{3003}'
        | '\u{3008}'..='\u{3011}' => true,
        other => other.is_ascii_punctuation(),
    }
}
