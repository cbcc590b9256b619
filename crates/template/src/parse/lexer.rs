//! Template text to tokens.
//!
//! ```text
//! text {{- action -}} text {{/* comment */}} text
//! ```
//! One token at a time, borrowed from the text; a lexer is small and can be copied to look ahead. Comments and trim
//! markers are dealt with here. Out of scope: what the tokens mean.

use super::Failure;
use crate::error::{CompileFault, Position};

/// One token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Token<'t> {
    /// Literal text, trimmed as its neighbours ask.
    Text(&'t str),
    /// The left delimiter.
    Open,
    /// The right delimiter.
    Close,
    /// White space inside an action.
    Space,
    /// A word: keyword, function, `true`.
    Word(&'t str),
    /// `.name`, without the dot.
    Field(&'t str),
    /// `$name`, without the dollar sign.
    Variable(&'t str),
    /// `.` alone.
    Dot,
    /// A number, not yet judged.
    Number(&'t str),
    /// A character constant with its quotes.
    Character(&'t str),
    /// An interpreted string with its quotes.
    Quoted(&'t str),
    /// A raw string without its backquotes.
    Raw(&'t str),
    /// `|`.
    Pipe,
    /// `(`.
    OpenParen,
    /// `)`.
    CloseParen,
    /// `=`.
    Assign,
    /// `:=`.
    Declare,
    /// `,`.
    Comma,
    /// End of the template.
    End,
}

#[derive(Clone)]
pub(super) struct Lexer<'t> {
    rest: &'t str,
    left: &'t str,
    right: &'t str,
    position: Position,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Text { trim: bool },
    AtOpen,
    Action,
}

const WHITE: [char; 4] = [' ', '\t', '\r', '\n'];
const COMMENT_OPEN: &str = "/*";
const COMMENT_CLOSE: &str = "*/";

impl<'t> Lexer<'t> {
    pub(super) fn new(text: &'t str, left: &'t str, right: &'t str) -> Self {
        Self { rest: text, left, right, position: Position::START, state: State::Text { trim: false } }
    }

    /// The first character behind white space, without lexing it.
    pub(super) fn first_beyond_space(&self) -> Option<char> {
        let rest = if self.state == State::AtOpen { self.rest.get(self.left.len()..)? } else { self.rest };
        rest.trim_start_matches(WHITE).chars().next()
    }

    /// The next token and where it begins.
    pub(super) fn next(&mut self) -> Result<(Token<'t>, Position), Failure> {
        loop {
            let start = self.position;
            let token = match self.state {
                State::Text { trim } => self.text(trim)?,
                State::AtOpen => Some(self.open()),
                State::Action => Some(self.action().map_err(|fault| super::failure(fault, start))?),
            };
            if let Some(token) = token {
                return Ok((token, start));
            }
        }
    }

    fn text(&mut self, trim: bool) -> Result<Option<Token<'t>>, Failure> {
        if trim {
            let kept = self.rest.trim_start_matches(WHITE).len();
            self.take(self.rest.len() - kept);
        }
        self.state = State::Text { trim: false };
        if self.rest.is_empty() {
            return Ok(Some(Token::End));
        }
        let Some(at) = self.rest.find(self.left) else {
            return Ok(Some(Token::Text(self.take(self.rest.len()))));
        };
        let after = self.rest.get(at + self.left.len()..).unwrap_or_default();
        let trims_before = opens_with_trim(after);
        let text = self.take(at);
        let text = if trims_before { text.trim_end_matches(WHITE) } else { text };
        let inner = if trims_before { after.get(2..).unwrap_or_default() } else { after };
        if inner.starts_with(COMMENT_OPEN) {
            self.comment(inner)?;
        } else {
            self.state = State::AtOpen;
        }
        Ok(if text.is_empty() { None } else { Some(Token::Text(text)) })
    }

    /// Skips the delimiter and the comment; `inner` begins at the comment.
    fn comment(&mut self, inner: &'t str) -> Result<(), Failure> {
        let start = self.position;
        let fail = |text| Err(super::failure(syntax(text), start));
        let Some(end) = inner.find(COMMENT_CLOSE) else { return fail("the comment is never closed") };
        let after = inner.get(end + COMMENT_CLOSE.len()..).unwrap_or_default();
        let trimmed = after.strip_prefix(WHITE).and_then(|rest| rest.strip_prefix('-'));
        let (after, trim) =
            match (after.strip_prefix(self.right), trimmed.and_then(|rest| rest.strip_prefix(self.right))) {
                (Some(rest), _) => (rest, false),
                (None, Some(rest)) => (rest, true),
                (None, None) => return fail("a comment must end right before the closing delimiter"),
            };
        self.take(self.rest.len() - after.len());
        self.state = State::Text { trim };
        Ok(())
    }

    fn open(&mut self) -> Token<'t> {
        self.take(self.left.len());
        if opens_with_trim(self.rest) {
            self.take(1);
        }
        self.state = State::Action;
        Token::Open
    }

    fn action(&mut self) -> Result<Token<'t>, CompileFault> {
        if let Some(trim) = self.at_close() {
            self.take(if trim { 2 + self.right.len() } else { self.right.len() });
            self.state = State::Text { trim };
            return Ok(Token::Close);
        }
        let Some(first) = self.rest.chars().next() else { return Err(syntax("the action is never closed")) };
        match first {
            _ if WHITE.contains(&first) => Ok(self.space()),
            '"' => self.delimited('"', "the string is never closed").map(Token::Quoted),
            '\'' => self.delimited('\'', "the character constant is never closed").map(Token::Character),
            '`' => self.raw(),
            '|' => Ok(self.single(Token::Pipe)),
            '(' => Ok(self.single(Token::OpenParen)),
            ')' => Ok(self.single(Token::CloseParen)),
            ',' => Ok(self.single(Token::Comma)),
            '=' => Ok(self.single(Token::Assign)),
            ':' if self.rest.starts_with(":=") => {
                self.take(2);
                Ok(Token::Declare)
            }
            ':' => Err(syntax("expected := here")),
            '.' => self.dot(),
            '$' => {
                self.take(1);
                let name = self.word();
                self.terminated(Token::Variable(name))
            }
            '+' | '-' | '0'..='9' => self.number(),
            _ if is_word(first) => {
                let word = self.word();
                self.terminated(Token::Word(word))
            }
            _ => Err(syntax("a character that does not belong into an action")),
        }
    }

    /// Whether the closing delimiter is next; if so, whether it trims the text behind it.
    fn at_close(&self) -> Option<bool> {
        if self.rest.starts_with(self.right) {
            return Some(false);
        }
        let trimmed = self.rest.strip_prefix(WHITE)?.strip_prefix('-')?;
        trimmed.starts_with(self.right).then_some(true)
    }

    fn space(&mut self) -> Token<'t> {
        while self.rest.starts_with(WHITE) && self.at_close() != Some(true) {
            self.take(1);
        }
        Token::Space
    }

    fn single(&mut self, token: Token<'t>) -> Token<'t> {
        self.take(1);
        token
    }

    fn dot(&mut self) -> Result<Token<'t>, CompileFault> {
        let next = self.rest.chars().nth(1);
        if next.is_some_and(|next| next.is_ascii_digit()) {
            return self.number();
        }
        self.take(1);
        if !next.is_some_and(is_word) {
            return self.terminated(Token::Dot);
        }
        let name = self.word();
        self.terminated(Token::Field(name))
    }

    /// A number as Go scans it: the characters are collected here and judged by the parser.
    fn number(&mut self) -> Result<Token<'t>, CompileFault> {
        let mut length = 0;
        let mut previous = ' ';
        for character in self.rest.chars() {
            let sign = matches!(character, '+' | '-') && (length == 0 || matches!(previous, 'e' | 'E' | 'p' | 'P'));
            if !(sign || character == '.' || is_word(character)) {
                break;
            }
            length += character.len_utf8();
            previous = character;
        }
        let number = self.take(length);
        if number.chars().any(|c| c.is_ascii_digit()) {
            Ok(Token::Number(number))
        } else {
            Err(syntax("expected a number here"))
        }
    }

    fn delimited(&mut self, quote: char, unclosed: &str) -> Result<&'t str, CompileFault> {
        let mut escaped = false;
        for (at, character) in self.rest.char_indices().skip(1) {
            match character {
                '\n' => break,
                _ if escaped => escaped = false,
                '\\' => escaped = true,
                _ if character == quote => return Ok(self.take(at + 1)),
                _ => {}
            }
        }
        Err(syntax(unclosed))
    }

    fn raw(&mut self) -> Result<Token<'t>, CompileFault> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let end = inner.find('`').ok_or_else(|| syntax("the raw string is never closed"))?;
        self.take(end + 2);
        Ok(Token::Raw(inner.get(..end).unwrap_or_default()))
    }

    fn word(&mut self) -> &'t str {
        let rest = self.rest.trim_start_matches(is_word);
        self.take(self.rest.len() - rest.len())
    }

    /// After a word something must come that cannot be part of one.
    fn terminated(&self, token: Token<'t>) -> Result<Token<'t>, CompileFault> {
        let fine = match self.rest.chars().next() {
            None => true,
            Some(next) => WHITE.contains(&next) || matches!(next, '.' | ',' | '|' | ':' | '=' | ')' | '('),
        };
        if fine || self.rest.starts_with(self.right) {
            Ok(token)
        } else {
            Err(syntax("a bad character follows this name"))
        }
    }

    /// Moves on by `length` bytes, counting lines and columns.
    fn take(&mut self, length: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(length).unwrap_or((self.rest, ""));
        for character in taken.chars() {
            if character == '\n' {
                self.position = Position { line: self.position.line.saturating_add(1), column: 1 };
            } else {
                self.position.column = self.position.column.saturating_add(1);
            }
        }
        self.rest = rest;
        taken
    }
}

fn opens_with_trim(after_delimiter: &str) -> bool {
    after_delimiter.strip_prefix('-').is_some_and(|rest| rest.starts_with(WHITE))
}

fn is_word(character: char) -> bool {
    character == '_' || character.is_alphanumeric()
}

fn syntax(text: &str) -> CompileFault {
    CompileFault::Syntax(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tokens(text: &str) -> Vec<Token<'_>> {
        let mut lexer = Lexer::new(text, "{{", "}}");
        let mut all = Vec::new();
        loop {
            match lexer.next().unwrap().0 {
                Token::End => return all,
                token => all.push(token),
            }
        }
    }

    #[test]
    fn trim_markers_and_comments_eat_the_white_space_beside_them() {
        assert_eq!(
            tokens("a \n{{- 1 -}}\n b"),
            [Token::Text("a"), Token::Open, Token::Space, Token::Number("1"), Token::Close, Token::Text("b")]
        );
        assert_eq!(tokens("a {{- /* x }} */ -}} b"), [Token::Text("a"), Token::Text("b")]);
        assert_eq!(tokens("a {{/* x */}} b"), [Token::Text("a "), Token::Text(" b")]);
        assert_eq!(tokens("{{-3}}"), [Token::Open, Token::Number("-3"), Token::Close]);
    }

    #[test]
    fn fields_join_words_only_without_space() {
        assert_eq!(
            tokens("{{scratch.Set $x.a .}}"),
            [
                Token::Open,
                Token::Word("scratch"),
                Token::Field("Set"),
                Token::Space,
                Token::Variable("x"),
                Token::Field("a"),
                Token::Space,
                Token::Dot,
                Token::Close
            ]
        );
    }

    #[test]
    fn positions_count_lines_and_characters() {
        let mut lexer = Lexer::new("é\n  {{ x }}", "{{", "}}");
        let found: Vec<_> = std::iter::from_fn(|| lexer.next().ok()).take(4).map(|(_, at)| at.to_string()).collect();
        assert_eq!(found, ["1:1", "2:3", "2:5", "2:6"]);
    }
}
