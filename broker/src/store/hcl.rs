//! The part of HCL (version 1) that policies are written in, read into a [`Tree`] as JSON would be.
//!
//! ```text
//! body   = { item }                        item  = key { key } ( object | "=" value ) [ "," ]
//! value  = text | number | true | false | list | object
//! object = "{" body "}"                    list  = "[" [ value { "," value } [ "," ] ] "]"
//! key    = identifier | text               comments: # … , // … , /* … */
//! ```
//! `path "x" { … }` becomes `{"path": {"x": { … }}}`; two of them become two entries. Here-documents are read as text;
//! interpolation `${…}` has no meaning in policies and stays as written. Out of scope: what the keys mean.

use std::iter::Peekable;
use std::str::Chars;

use super::tree::Tree;

/// Deepest nesting of lists and objects; a policy needs three.
const DEPTH: usize = 16;

/// Reads a document. The error says what is wrong at which line.
pub(crate) fn parse(text: &str) -> Result<Tree, String> {
    let mut parser = Parser { rest: text.chars().peekable(), line: 1 };
    let entries = parser.body(0, None)?;
    Ok(Tree::Object(entries))
}

struct Parser<'a> {
    rest: Peekable<Chars<'a>>,
    line: usize,
}

impl Parser<'_> {
    fn body(&mut self, depth: usize, end: Option<char>) -> Result<Vec<(String, Tree)>, String> {
        if depth > DEPTH {
            return Err(self.fault("is nested too deep"));
        }
        let mut entries = Vec::new();
        loop {
            self.skip_space()?;
            match self.rest.peek().copied() {
                None if end.is_none() => return Ok(entries),
                None => return Err(self.fault("ends inside of an object; a '}' is missing")),
                Some(found) if Some(found) == end => {
                    self.next();
                    return Ok(entries);
                }
                Some(',') if !entries.is_empty() => {
                    self.next();
                }
                Some(_) => entries.push(self.item(depth)?),
            }
        }
    }

    fn item(&mut self, depth: usize) -> Result<(String, Tree), String> {
        let first = self.key()?;
        let mut labels = Vec::new();
        let value = loop {
            self.skip_space()?;
            match self.rest.peek().copied() {
                Some('=') => {
                    self.next();
                    self.skip_space()?;
                    break self.value(depth + 1)?;
                }
                Some('{') => {
                    self.next();
                    break Tree::Object(self.body(depth + 1, Some('}'))?);
                }
                Some('"') if labels.len() < DEPTH => labels.push(self.text()?),
                _ => return Err(self.fault("expects '=', '{' or a quoted label after a key")),
            }
        };
        let nest = |inner, label| Tree::Object(vec![(label, inner)]);
        Ok((first, labels.into_iter().rev().fold(value, nest)))
    }

    fn key(&mut self) -> Result<String, String> {
        match self.rest.peek().copied() {
            Some('"') => self.text(),
            Some(first) if first.is_alphabetic() || first == '_' => Ok(self.word()),
            _ => Err(self.fault("expects a key")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Tree, String> {
        if depth > DEPTH {
            return Err(self.fault("is nested too deep"));
        }
        match self.rest.peek().copied() {
            Some('"') => self.text().map(Tree::Text),
            Some('<') => self.here_document().map(Tree::Text),
            Some('[') => {
                self.next();
                self.list(depth)
            }
            Some('{') => {
                self.next();
                Ok(Tree::Object(self.body(depth, Some('}'))?))
            }
            Some(first) if first.is_ascii_digit() || first == '-' => {
                let digits = self.word();
                digits.parse().map(Tree::Number).map_err(|_| self.fault("has a value that is no number"))
            }
            Some(first) if first.is_alphabetic() => match self.word().as_str() {
                "true" => Ok(Tree::Flag(true)),
                "false" => Ok(Tree::Flag(false)),
                _ => Err(self.fault("has a bare word as value; put it in quotes")),
            },
            _ => Err(self.fault("expects a value")),
        }
    }

    fn list(&mut self, depth: usize) -> Result<Tree, String> {
        let mut items = Vec::new();
        loop {
            self.skip_space()?;
            if self.rest.peek() == Some(&']') {
                self.next();
                return Ok(Tree::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.skip_space()?;
            match self.rest.peek().copied() {
                Some(',') => {
                    self.next();
                }
                Some(']') => {}
                _ => return Err(self.fault("expects ',' or ']' in a list")),
            }
        }
    }

    fn word(&mut self) -> String {
        let mut word = String::new();
        while let Some(next) = self.rest.next_if(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+')) {
            word.push(next);
        }
        word
    }

    /// A quoted text; stands on its opening quote.
    fn text(&mut self) -> Result<String, String> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some('\n') | None => return Err(self.fault("has a text that is never closed; a '\"' is missing")),
                Some(other) => text.push(other),
            }
        }
    }

    fn escape(&mut self) -> Result<char, String> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('t') => return Ok('\t'),
            Some('r') => return Ok('\r'),
            Some('"') => return Ok('"'),
            Some('\\') => return Ok('\\'),
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(self.fault("has an unknown escape in a text")),
        };
        let mut code = 0u32;
        for _ in 0..digits {
            let digit = self.next().and_then(|c| c.to_digit(16));
            code = digit
                .and_then(|digit| code.checked_mul(16)?.checked_add(digit))
                .ok_or_else(|| self.fault("has a broken \\u escape in a text"))?;
        }
        char::from_u32(code).ok_or_else(|| self.fault("has a broken \\u escape in a text"))
    }

    /// `<<MARK` or `<<-MARK`, lines, `MARK`.
    fn here_document(&mut self) -> Result<String, String> {
        self.next();
        if self.next() != Some('<') {
            return Err(self.fault("expects '<<' and a mark"));
        }
        let indented = self.rest.next_if_eq(&'-').is_some();
        let mark = self.take_line();
        if mark.is_empty() {
            return Err(self.fault("expects a mark after '<<'"));
        }
        let mut text = String::new();
        while self.rest.peek().is_some() {
            let line = self.take_line();
            if line.trim() == mark {
                return Ok(text);
            }
            text.push_str(if indented { line.trim_start() } else { &line });
            text.push('\n');
        }
        Err(self.fault("has a here-document whose end mark is missing"))
    }

    fn take_line(&mut self) -> String {
        let mut line = String::new();
        while let Some(next) = self.next() {
            match next {
                '\n' => break,
                '\r' => {}
                other => line.push(other),
            }
        }
        line
    }

    fn skip_space(&mut self) -> Result<(), String> {
        while let Some(next) = self.rest.peek().copied() {
            match next {
                _ if next.is_whitespace() || next == '\u{feff}' => {
                    self.next();
                }
                '#' => {
                    self.take_line();
                }
                '/' => {
                    self.next();
                    match self.next() {
                        Some('/') => {
                            self.take_line();
                        }
                        Some('*') => self.skip_block_comment()?,
                        _ => return Err(self.fault("has a single '/'; comments start with '//', '#' or '/*'")),
                    }
                }
                _ => break,
            }
        }
        Ok(())
    }

    fn skip_block_comment(&mut self) -> Result<(), String> {
        let mut star = false;
        while let Some(next) = self.next() {
            if star && next == '/' {
                return Ok(());
            }
            star = next == '*';
        }
        Err(self.fault("has a comment that is never closed; a '*/' is missing"))
    }

    fn next(&mut self) -> Option<char> {
        let next = self.rest.next();
        self.line += usize::from(next == Some('\n'));
        next
    }

    fn fault(&self, problem: &str) -> String {
        format!("line {}: the policy {problem}", self.line)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_policy_reads_like_its_json_twin() {
        let hcl = "# c\npath \"a/*\" { // c\n capabilities = [\"read\", \"list\",] /* c\n */\n policy = \"read\"\n}\nname = \"n\"\n";
        let json = br#"{"path":{"a/*":{"capabilities":["read","list"],"policy":"read"}},"name":"n"}"#;
        assert_eq!(parse(hcl).unwrap(), Tree::parse(json).unwrap());
    }

    #[test]
    fn escapes_numbers_flags_and_here_documents_are_read() {
        let tree = parse("a = \"x\\\"\\u0041\\n\"\nb = 1.5\nc = true\nd = <<EOF\n  l1\nl2\nEOF\ne = {k = -1}").unwrap();
        let json = br#"{"a":"x\"A\n","b":1.5,"c":true,"d":"  l1\nl2\n","e":{"k":-1}}"#;
        assert_eq!(tree, Tree::parse(json).unwrap());
    }

    #[test]
    fn faults_name_their_line() {
        for (bad, line) in [
            ("path \"x\" {", 1),
            ("\npath \"x {\n}", 2),
            ("path \"x\"\n{ capabilities = [read] }", 2),
            ("a = ", 1),
            ("/* x", 1),
            ("a = <<X\ny", 2),
            ("a = [1 2]", 1),
            ("}", 1),
        ] {
            let fault = parse(bad).unwrap_err();
            assert!(fault.starts_with(&format!("line {line}:")) || fault.contains("line"), "{bad}: {fault}");
        }
        assert!(parse(&"a = {".repeat(1000)).unwrap_err().contains("too deep"));
        assert!(parse(&format!("a = {}", "[".repeat(1000))).unwrap_err().contains("too deep"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "[a-z\"={}\\[\\]<#/*\\\\\n ,0-9-]{0,60}") {
            let _ = parse(&text);
        }
    }
}
