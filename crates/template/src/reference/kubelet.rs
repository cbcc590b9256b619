//! What the kubelet does to `$(NAME)` in environment, command and arguments before the container starts.
//!
//! ```text
//! $(NAME)   the value of NAME, as far as the list defines it before this place; unknown names stay as they are written
//! $$        one dollar sign: $$(NAME) arrives as $(NAME)
//! $x, $(a   stay as they are written
//! ```
//! Values from `envFrom` come first, then the list in its order; what a `valueFrom` yields is not expanded again. Command and
//! arguments see the last value of each name. References hide in such chains: `DSN: postgres://u:$(PASS)@h` is made of a
//! reference that the kubelet would copy as text, and `args: [--password, $(PASS)]` would show a value in /proc. [`look`]
//! finds both, pure. A dollar sign before a character outside of ASCII is kept as it is; the kubelet garbles that character.

use std::collections::HashMap;
use std::fmt;

use vouchsafe_model::text::quoted;

use super::parse::{EnvValue, Part};

/// A variable as the pod's author wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub value: GivenValue<'a>,
}

/// Where a variable's value comes from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum GivenValue<'a> {
    /// `value`.
    Text(&'a str),
    /// `valueFrom` or `envFrom`: known to the kubelet only.
    Elsewhere,
    /// Delivered in the container: the kubelet does not know it and leaves `$(NAME)` alone.
    Late,
}

/// What comes of an environment, a command and arguments.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Outlook {
    /// One per entry of the list, in its order.
    pub variables: Vec<Variable>,
    /// The arguments that hold more than plain text.
    pub arguments: Vec<Argument>,
    /// What cannot work.
    pub faults: Vec<KubeletFault>,
}

/// A variable after the kubelet.
#[derive(Debug, PartialEq, Eq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// What it is.
    pub role: Role,
    /// Its value, as far as it is known.
    pub pieces: Vec<Piece>,
}

/// What a variable is after the kubelet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The app gets what the kubelet made.
    Plain,
    /// Known to the kubelet only: whether it holds a reference is seen in the container.
    Elsewhere,
    /// The value is, or holds, a reference as the kubelet leaves it.
    Reference,
    /// Delivered in the container.
    Late,
    /// Made of a variable that is resolved in the container, so it must be put together there.
    Dependent,
}

/// A piece of a value; indices point into the given list.
#[derive(Clone, PartialEq, Eq)]
pub enum Piece {
    /// Text, already expanded.
    Text(String),
    /// The value of a variable that is resolved in the container.
    Late(usize),
    /// The value of a variable that only the kubelet knows.
    Elsewhere(usize),
}

/// An argument that is more than plain text.
#[derive(Debug, PartialEq, Eq)]
pub struct Argument {
    /// Which one.
    pub place: Place,
    /// Names of variables with references whose values it would show.
    pub late: Vec<String>,
    /// Names of variables that only the kubelet knows, which may hold references.
    pub elsewhere: Vec<String>,
    /// A reference stands in it literally; nothing resolves it there.
    pub literal: bool,
    /// The argument itself.
    pub pieces: Vec<Piece>,
}

/// `command[0]` or `args[0]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Index into the command.
    Command(usize),
    /// Index into the arguments.
    Args(usize),
}

/// What cannot work, with the variable's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubeletFault {
    /// A reference that is itself made of a resolved value.
    #[error("variable {}: a reference is made of $({}), whose value is only known after references are resolved; write it out", quoted(.variable), .inner)]
    Nested {
        /// The variable.
        variable: String,
        /// The variable inside of the reference.
        inner: String,
    },
    /// The expansion is over [`super::VALUE_BYTES`], or with all before it over [`super::RESOLVED_BYTES`].
    #[error("{} expands to more bytes than a container can get ({} alone, {} in sum)", .place, super::VALUE_BYTES, super::RESOLVED_BYTES)]
    TooLong {
        /// Variable or argument.
        place: String,
    },
}

impl Argument {
    /// Whether a value would be readable in /proc, or a reference would reach the app as text.
    pub fn shows_values(&self) -> bool {
        self.literal || !self.late.is_empty()
    }
}

impl Variable {
    /// The value as text for expansion in the container: known text with its dollar signs doubled, the rest as `$(NAME)`.
    pub fn text(&self, given: &[Given<'_>]) -> String {
        text(&self.pieces, given)
    }
}

/// See [`Variable::text`].
pub fn text(pieces: &[Piece], given: &[Given<'_>]) -> String {
    let name = |index: &usize| given.get(*index).map_or("", |given| given.name);
    pieces
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) => text.replace('$', "$$"),
            Piece::Late(index) | Piece::Elsewhere(index) => format!("$({})", name(index)),
        })
        .collect()
}

impl fmt::Display for Place {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(index) => write!(formatter, "command[{index}]"),
            Self::Args(index) => write!(formatter, "args[{index}]"),
        }
    }
}

impl fmt::Debug for GivenValue<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Text(_) => "<text>",
            Self::Elsewhere => "<elsewhere>",
            Self::Late => "<late>",
        })
    }
}

impl fmt::Debug for Piece {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(_) => formatter.write_str("<text>"),
            Self::Late(index) => write!(formatter, "late {index}"),
            Self::Elsewhere(index) => write!(formatter, "elsewhere {index}"),
        }
    }
}

/// A piece of a text with `$(NAME)` in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Token<'t> {
    /// Text that is copied.
    Text(&'t str),
    /// `$(NAME)`: the name, and the whole as it is written, which stands where the name is unknown.
    Name(&'t str, &'t str),
}

/// Takes a text apart as the kubelet does.
pub fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut rest = text;
    while let Some(dollar) = rest.find('$') {
        let (before, from) = rest.split_at(dollar);
        let (token, length) = match from.as_bytes().get(1) {
            Some(b'$') => (Token::Text("$"), 2),
            Some(b'(') => match from.find(')') {
                Some(end) => {
                    let whole = from.get(..=end).unwrap_or_default();
                    (Token::Name(from.get(2..end).unwrap_or_default(), whole), end + 1)
                }
                None => (Token::Text("$("), 2),
            },
            _ => (Token::Text("$"), 1),
        };
        if !before.is_empty() {
            tokens.push(Token::Text(before));
        }
        tokens.push(token);
        rest = from.get(length..).unwrap_or_default();
    }
    if !rest.is_empty() {
        tokens.push(Token::Text(rest));
    }
    tokens
}

/// What becomes of a list of variables, a command and arguments. Values from `envFrom` and such that are delivered in the
/// container stand at the front of `given`.
pub fn look(given: &[Given<'_>], command: &[String], args: &[String]) -> Outlook {
    let mut outlook = Outlook::default();
    let mut defined: HashMap<&str, usize> = HashMap::new();
    let mut budget = super::RESOLVED_BYTES;
    for (index, entry) in given.iter().enumerate() {
        let variable = match entry.value {
            GivenValue::Elsewhere => {
                Variable { name: entry.name.to_owned(), role: Role::Elsewhere, pieces: vec![Piece::Elsewhere(index)] }
            }
            GivenValue::Late => {
                Variable { name: entry.name.to_owned(), role: Role::Late, pieces: vec![Piece::Late(index)] }
            }
            GivenValue::Text(text) => variable(entry.name, text, &defined, &mut outlook, given, &mut budget),
        };
        outlook.variables.push(variable);
        defined.insert(entry.name, index);
    }
    let places = command.iter().enumerate().map(|(index, text)| (Place::Command(index), text));
    let places = places.chain(args.iter().enumerate().map(|(index, text)| (Place::Args(index), text)));
    for (place, text) in places {
        match pieces(text, &defined, &outlook.variables, &mut budget) {
            Some(pieces) => outlook.arguments.extend(argument(place, pieces, given)),
            None => outlook.faults.push(KubeletFault::TooLong { place: place.to_string() }),
        }
    }
    outlook
}

fn variable(
    name: &str,
    text: &str,
    defined: &HashMap<&str, usize>,
    outlook: &mut Outlook,
    given: &[Given<'_>],
    budget: &mut usize,
) -> Variable {
    let Some(pieces) = pieces(text, defined, &outlook.variables, budget) else {
        outlook.faults.push(KubeletFault::TooLong { place: format!("variable {}", quoted(name)) });
        return Variable { name: name.to_owned(), role: Role::Plain, pieces: Vec::new() };
    };
    let (joined, marks) = joined(&pieces);
    let parsed = EnvValue::parse(name, joined.as_bytes());
    let swallows = match &parsed {
        Ok(value) => marks > visible_marks(value),
        Err(_) => marks > 0,
    };
    let late = pieces.iter().find_map(|piece| match piece {
        Piece::Late(index) => Some(*index),
        _ => None,
    });
    let role = match (late, swallows, &parsed) {
        (Some(inner), true, _) => {
            let inner = given.get(inner).map_or_else(String::new, |given| given.name.to_owned());
            outlook.faults.push(KubeletFault::Nested { variable: name.to_owned(), inner });
            Role::Dependent
        }
        (Some(_), false, _) => Role::Dependent,
        (None, true, _) => Role::Reference,
        (None, false, Ok(value)) if !value.is_literal() => Role::Reference,
        (None, false, _) if marks > 0 => Role::Elsewhere,
        (None, false, _) => Role::Plain,
    };
    Variable { name: name.to_owned(), role, pieces }
}

/// The pieces of a text; `None` where they are too long, alone or with all before them. What is resolved in the container
/// is one piece, whole.
fn pieces(
    text: &str,
    defined: &HashMap<&str, usize>,
    variables: &[Variable],
    budget: &mut usize,
) -> Option<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut bytes = 0_usize;
    let mut add = |piece: Piece| {
        let length = match &piece {
            Piece::Text(text) => text.len(),
            Piece::Late(_) | Piece::Elsewhere(_) => size_of::<Piece>(),
        };
        bytes = bytes.saturating_add(length);
        *budget = budget.checked_sub(length).filter(|_| bytes <= super::VALUE_BYTES)?;
        match (pieces.last_mut(), piece) {
            (Some(Piece::Text(last)), Piece::Text(more)) => last.push_str(&more),
            (_, piece) => pieces.push(piece),
        }
        Some(())
    };
    for token in tokens(text) {
        let (name, written) = match token {
            Token::Text(text) => (None, text),
            Token::Name(name, whole) => (Some(name), whole),
        };
        let known = name.and_then(|name| defined.get(name)).and_then(|index| Some((*index, variables.get(*index)?)));
        match known {
            None => add(Piece::Text(written.to_owned()))?,
            Some((index, variable)) => match variable.role {
                Role::Reference | Role::Dependent | Role::Late => add(Piece::Late(index))?,
                Role::Plain | Role::Elsewhere => variable.pieces.iter().cloned().try_for_each(&mut add)?,
            },
        }
    }
    Some(pieces)
}

/// The text with a mark for each unknown piece, and how many there are.
fn joined(pieces: &[Piece]) -> (String, usize) {
    let mut text = String::new();
    let mut marks = 0;
    for piece in pieces {
        match piece {
            // A mark that the author wrote must not count as one of ours.
            Piece::Text(known) => text.push_str(&known.replace(MARK, "?")),
            Piece::Late(_) | Piece::Elsewhere(_) => {
                marks += 1;
                text.push(MARK);
            }
        }
    }
    (text, marks)
}

/// Marks outside of references.
fn visible_marks(value: &EnvValue<'_>) -> usize {
    let literals = value.parts().iter().filter_map(|part| match part {
        Part::Literal(text) => Some(text),
        Part::Reference(_) => None,
    });
    literals.map(|text| text.split(|byte| *byte == MARK_BYTE).count() - 1).sum()
}

fn argument(place: Place, pieces: Vec<Piece>, given: &[Given<'_>]) -> Option<Argument> {
    let names = |wanted: fn(&Piece) -> Option<usize>| {
        let mut names: Vec<String> = Vec::new();
        for name in pieces.iter().filter_map(wanted).filter_map(|index| given.get(index)).map(|given| given.name) {
            if !names.iter().any(|known| known == name) {
                names.push(name.to_owned());
            }
        }
        names
    };
    let late = names(|piece| match piece {
        Piece::Late(index) => Some(*index),
        _ => None,
    });
    let elsewhere = names(|piece| match piece {
        Piece::Elsewhere(index) => Some(*index),
        _ => None,
    });
    let (joined, _) = joined(&pieces);
    let literal = EnvValue::parse("", joined.as_bytes()).is_ok_and(|value| !value.is_literal());
    let argument = Argument { place, late, elsewhere, literal, pieces };
    (argument.shows_values() || !argument.elsewhere.is_empty()).then_some(argument)
}

/// Stands for a value that is not known; no environment value holds it by custom.
const MARK: char = '\u{1}';
/// The same as it stands in UTF-8.
const MARK_BYTE: u8 = 1;
