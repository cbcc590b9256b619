//! The characters of YAML: white space, comments, names and the five styles of scalars.
//!
//! A scanner is small and can be copied to look ahead. Out of scope: what scalars mean (`resolve`) and how nodes nest
//! (`read`).

use super::read::NOT_YAML;
use crate::error::Fault;
use crate::value::{Buffer, Text};

#[derive(Clone, Copy)]
pub(super) struct Scanner<'y> {
    text: &'y str,
    at: usize,
    line_start: usize,
}

impl<'y> Scanner<'y> {
    pub(super) fn new(text: &'y str) -> Self {
        let start = if text.starts_with('\u{feff}') { 3 } else { 0 };
        Self { text, at: start, line_start: start }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.byte(0)
    }

    pub(super) fn column(&self) -> isize {
        isize::try_from(self.at - self.line_start).unwrap_or(isize::MAX)
    }

    /// Where the line begins, which tells lines apart.
    pub(super) fn line(&self) -> usize {
        self.line_start
    }

    /// End of the text or of the first document.
    pub(super) fn at_end(&self) -> bool {
        self.peek().is_none() || self.at_marker()
    }

    fn at_marker(&self) -> bool {
        let rest = self.rest();
        self.at == self.line_start && (rest.starts_with("---") || rest.starts_with("...")) && is_blank(self.byte(3))
    }

    fn rest(&self) -> &'y str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(super) fn skip(&mut self, bytes: usize) {
        for _ in 0..bytes {
            self.at += usize::from(self.at < self.text.len());
            if self.text.as_bytes().get(self.at.wrapping_sub(1)) == Some(&b'\n') {
                self.line_start = self.at;
            }
        }
    }

    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.skip(usize::from(found));
        found
    }

    /// `-` with white space behind.
    pub(super) fn starts_entry(&self, mark: u8) -> bool {
        self.peek() == Some(mark) && is_blank(self.byte(1))
    }

    pub(super) fn skip_spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t')) {
            self.skip(1);
        }
    }

    /// `%YAML 1.1` and `---` at the beginning.
    pub(super) fn skip_directives(&mut self) {
        self.skip_blank();
        while self.column() == 0 && self.peek() == Some(b'%') {
            self.skip_line();
            self.skip_blank();
        }
        if self.at_marker() && self.peek() == Some(b'-') {
            self.skip(3);
        }
    }

    fn skip_line(&mut self) {
        while !matches!(self.peek(), None | Some(b'\n')) {
            self.skip(1);
        }
    }

    /// A comment needs white space before it, or the end of a quoted or flow node.
    fn may_comment(&self) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.text.as_bytes().get(at)).copied();
        is_blank(before) || matches!(before, Some(b'"' | b'\'' | b']' | b'}'))
    }

    /// Skips white space, line breaks and comments; whether a line ended.
    pub(super) fn skip_blank(&mut self) -> bool {
        let line = self.line_start;
        loop {
            match self.peek() {
                Some(b'\n') if self.at_marker() => break,
                Some(b' ' | b'\t' | b'\r' | b'\n') => self.skip(1),
                Some(b'#') if self.may_comment() => self.skip_line(),
                _ => break,
            }
        }
        line != self.line_start
    }

    /// `&anchor`, `*alias` or `!tag`, with its mark.
    pub(super) fn name(&mut self) -> &'y str {
        let rest = self.rest();
        let mark = rest.get(..1).unwrap_or_default();
        let ends = |c: char| match mark {
            "!" => c.is_whitespace(),
            _ => !(c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '&' | '*')),
        };
        let name = rest.get(..rest.find(ends).unwrap_or(rest.len())).unwrap_or_default();
        self.skip(name.len());
        name
    }

    /// Skips what could be a key; whether its colon follows.
    pub(super) fn skip_key(&mut self) -> bool {
        while matches!(self.peek(), Some(b'&' | b'!')) {
            self.name();
            self.skip_spaces();
        }
        let fine = match self.peek() {
            Some(b'*') => !self.name().is_empty(),
            Some(b'"' | b'\'') => self.quoted().is_ok(),
            Some(b'[' | b'{' | b'|' | b'>' | b'%' | b'@' | b'`') | None => false,
            _ => self.plain_key().is_ok(),
        };
        self.skip_spaces();
        fine && self.peek() == Some(b':') && is_blank(self.byte(1))
    }

    /// A plain scalar on one line up to its colon.
    pub(super) fn plain_key(&mut self) -> Result<Text, Fault> {
        let absent = self.peek() == Some(b':') && is_blank(self.byte(1));
        if !absent && !self.starts_plain() {
            return Err(NOT_YAML);
        }
        Ok(Text::from(self.plain_line(false)))
    }

    /// What a plain scalar has on this line, without white space behind.
    fn plain_line(&mut self, in_flow: bool) -> &'y str {
        let rest = self.rest();
        let mut previous = b' ';
        let mut end = 0;
        for (at, byte) in rest.bytes().enumerate() {
            let next = rest.as_bytes().get(at + 1).copied();
            let flow_end = |byte| in_flow && matches!(byte, b',' | b'[' | b']' | b'{' | b'}');
            let ends = match byte {
                b'\n' => true,
                b'#' => matches!(previous, b' ' | b'\t'),
                b':' => is_blank(next) || next.is_some_and(flow_end),
                other => flow_end(other),
            };
            if ends {
                break;
            }
            if !matches!(byte, b' ' | b'\t' | b'\r') {
                end = at + 1;
            }
            previous = byte;
        }
        let line = rest.get(..end).unwrap_or_default();
        self.skip(end);
        line.trim_end_matches(['\u{85}', '\u{2028}', '\u{2029}']) // line breaks of YAML 1.1
    }

    fn starts_plain(&self) -> bool {
        match self.peek() {
            Some(b'-' | b'?' | b':') => !is_blank(self.byte(1)),
            Some(first) => !b",[]{}#&*!|>'\"%@`".contains(&first),
            None => false,
        }
    }

    /// A plain scalar over as many lines as are indented by more than `parent`.
    pub(super) fn plain(&mut self, parent: isize, in_flow: bool) -> Result<Text, Fault> {
        if !self.starts_plain() {
            return Err(NOT_YAML);
        }
        let mut out = Buffer::new();
        out.write(self.plain_line(in_flow).as_bytes())?;
        loop {
            let before = *self;
            let breaks = self.skip_breaks();
            let goes_on = breaks > 0 && !self.at_end() && self.column() > parent && self.peek() != Some(b'#');
            let line = if goes_on { self.plain_line(in_flow) } else { "" };
            if line.is_empty() {
                *self = before;
                return Ok(out.finish());
            }
            fold(&mut out, breaks)?;
            out.write(line.as_bytes())?;
        }
    }

    /// Skips white space and line breaks, without comments; the number of breaks.
    fn skip_breaks(&mut self) -> usize {
        let mut breaks = 0;
        while let Some(byte @ (b' ' | b'\t' | b'\r' | b'\n')) = self.peek() {
            breaks += usize::from(byte == b'\n');
            self.skip(1);
        }
        breaks
    }

    /// A scalar in single or double quotes.
    pub(super) fn quoted(&mut self) -> Result<Text, Fault> {
        let double = self.peek() == Some(b'"');
        let quote = if double { b'"' } else { b'\'' };
        self.skip(1);
        let mut out = Buffer::new();
        loop {
            let byte = self.peek().ok_or(NOT_YAML)?;
            match byte {
                b'\'' if !double && self.byte(1) == Some(b'\'') => {
                    self.skip(2);
                    out.push(b'\'')?;
                }
                _ if byte == quote => {
                    self.skip(1);
                    return Ok(out.finish());
                }
                b'\\' if double => self.escape(&mut out)?,
                b' ' | b'\t' | b'\r' | b'\n' => {
                    let start = *self;
                    let breaks = self.skip_breaks();
                    if breaks > 0 {
                        fold(&mut out, breaks)?;
                    } else {
                        out.write(start.text.as_bytes().get(start.at..self.at).unwrap_or_default())?;
                    }
                }
                _ => {
                    self.skip(1);
                    out.push(byte)?;
                }
            }
        }
    }

    fn escape(&mut self, out: &mut Buffer) -> Result<(), Fault> {
        let kind = self.byte(1).ok_or(NOT_YAML)?;
        self.skip(2);
        let digits = match kind {
            b'x' => 2,
            b'u' => 4,
            b'U' => 8,
            b'\n' => {
                self.skip_spaces();
                return Ok(());
            }
            _ => {
                let at = ESCAPES.iter().position(|(escape, _)| *escape == kind).ok_or(NOT_YAML)?;
                return out.push_char(ESCAPES.get(at).map_or('\0', |(_, character)| *character));
            }
        };
        let code = self.rest().get(..digits).and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let character = code.and_then(char::from_u32).ok_or(NOT_YAML)?;
        self.skip(digits);
        out.push_char(character)
    }

    /// `|` and `>`.
    pub(super) fn block_scalar(&mut self, parent: isize) -> Result<Text, Fault> {
        let literal = self.peek() == Some(b'|');
        self.skip(1);
        let (mut keep, mut strip, mut explicit) = (false, false, 0);
        while let Some(byte) = self.peek() {
            match byte {
                b'+' => keep = true,
                b'-' => strip = true,
                b'1'..=b'9' => explicit = isize::from(byte - b'0'),
                _ => break,
            }
            self.skip(1);
        }
        self.skip_spaces();
        if self.peek() == Some(b'#') {
            self.skip_line();
        }
        let _ = self.take(b'\r');
        if !self.take(b'\n') && self.peek().is_some() {
            return Err(NOT_YAML);
        }
        let mut indent = if explicit > 0 { parent.max(0) + explicit } else { 0 };
        let mut out = Buffer::new();
        let mut breaks = self.block_breaks(&mut indent, parent);
        let mut pending = false;
        let mut leading_blank = false;
        while self.peek().is_some() && self.column() == indent && !self.at_marker() {
            let trailing_blank = matches!(self.peek(), Some(b' ' | b'\t'));
            if pending && (literal || leading_blank || trailing_blank) {
                out.push(b'\n')?;
            } else if pending && breaks == 0 {
                out.push(b' ')?;
            }
            out.repeat(b"\n", breaks)?;
            leading_blank = trailing_blank;
            let line = self.rest();
            let line = line.get(..line.find('\n').unwrap_or(line.len())).unwrap_or_default();
            self.skip(line.len());
            out.write(line.strip_suffix('\r').unwrap_or(line).as_bytes())?;
            pending = self.take(b'\n');
            breaks = self.block_breaks(&mut indent, parent);
        }
        if pending && !strip {
            out.push(b'\n')?;
        }
        out.repeat(b"\n", if keep { breaks } else { 0 })?;
        Ok(out.finish())
    }

    /// Skips indentation and empty lines; finds the indentation where it is 0.
    fn block_breaks(&mut self, indent: &mut isize, parent: isize) -> usize {
        let mut breaks = 0;
        let mut deepest = 0;
        loop {
            while self.peek() == Some(b' ') && (*indent == 0 || self.column() < *indent) {
                self.skip(1);
            }
            deepest = deepest.max(self.column());
            let _ = self.peek() == Some(b'\r') && self.byte(1) == Some(b'\n') && self.take(b'\r');
            if !self.take(b'\n') {
                break;
            }
            breaks += 1;
        }
        if *indent == 0 {
            *indent = deepest.max(parent + 1).max(1);
        }
        breaks
    }
}

/// One line break is a space, more are one less.
fn fold(out: &mut Buffer, breaks: usize) -> Result<(), Fault> {
    if breaks == 1 { out.push(b' ') } else { out.repeat(b"\n", breaks - 1) }
}

fn is_blank(byte: Option<u8>) -> bool {
    matches!(byte, None | Some(b' ' | b'\t' | b'\r' | b'\n'))
}

const ESCAPES: [(u8, char); 18] = [
    (b'0', '\0'),
    (b'a', '\u{7}'),
    (b'b', '\u{8}'),
    (b't', '\t'),
    (b'\t', '\t'),
    (b'n', '\n'),
    (b'v', '\u{b}'),
    (b'f', '\u{c}'),
    (b'r', '\r'),
    (b'e', '\u{1b}'),
    (b' ', ' '),
    (b'"', '"'),
    (b'\'', '\''),
    (b'\\', '\\'),
    (b'N', '\u{85}'),
    (b'_', '\u{a0}'),
    (b'L', '\u{2028}'),
    (b'P', '\u{2029}'),
];
