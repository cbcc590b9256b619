//! Random YAML texts, some of them broken.

use super::Generator;

const PLAIN: [&str; 50] = [
    "plain",
    "two words",
    "1",
    "-7",
    "+3",
    "0x1F",
    "0b101",
    "017",
    "0o17",
    "1_000",
    "1.5",
    "-.5",
    "1e3",
    "1.",
    ".",
    "yes",
    "No",
    "on",
    "~",
    "null",
    "true",
    ".inf",
    "-.Inf",
    ".nan",
    "2001-12-14",
    "12:30:45",
    "a#b",
    "a:b",
    "http://x/y?z=1",
    "!!str 5",
    "!!float 5",
    "!!int 0x10",
    "99999999999999999999",
    "9223372036854775808",
    "-x",
    "?y",
    "é",
    "a'b",
    "b\"c",
    "=",
    "&anchor v",
    "1.2.3",
    "0.0",
    "00",
    "08",
    "-0",
    "y",
    "N",
    "!!binary aGk=",
    "!local x",
];
const QUOTED: [&str; 8] = [
    "'single ''q'''",
    "\"double \\\" \\n \\x41 \\u00e9\"",
    "\"\"",
    "''",
    "'yes'",
    "\"1\"",
    "'a: b # c'",
    "\"fold\n     ed\"",
];

/// Marks a template whose YAML may be no YAML: where one engine reads it, the other one need not.
pub(crate) const BROKEN: &str = "{{/* broken */}}";

impl Generator {
    /// A template that reads a random YAML text and prints what came out.
    pub(crate) fn yaml_template(&mut self) -> String {
        let mut yaml = self.block_of_yaml(0, 3);
        let broken = self.one_in(6);
        if broken {
            let at = self.below(yaml.len());
            if yaml.is_char_boundary(at) {
                let piece = self.pick(&[":", " ", "\n", "- ", "#", "'", "\"", "&a ", "*a", "|", "[", "}"]);
                yaml.insert_str(at, piece);
            }
        }
        if self.one_in(5) {
            let head = self.pick(&["---\n", "# comment\n", "%YAML 1.1\n---\n", "--- # c\n", "\n\n"]);
            yaml.insert_str(0, head);
        }
        let mut quoted = String::new();
        for character in yaml.chars() {
            match character {
                '"' | '\\' => quoted.extend(['\\', character]),
                '\n' => quoted.push_str("\\n"),
                other => quoted.push(other),
            }
        }
        let show = self.pick(&["", " | toYAML", " | printf \"%#v\"", ""]);
        let mark = if broken { BROKEN } else { "" };
        format!("{mark}{{{{ parseYAML \"{quoted}\"{show} }}}}")
    }

    fn block_of_yaml(&mut self, indent: usize, depth: usize) -> String {
        let spaces = " ".repeat(indent);
        let mut text = String::new();
        match self.below(if depth == 0 { 1 } else { 4 }) {
            0 => text = format!("{spaces}{}\n", self.yaml_scalar(false)),
            1 => {
                for _ in 0..=self.below(3) {
                    let entry = self.yaml_entry(indent, depth, true);
                    text.push_str(&format!("{spaces}-{entry}"));
                }
            }
            _ => {
                for at in 0..=self.below(3) {
                    let key = self.pick(&["a", "key", "\"q k\"", "'s'", "a-b", "a b", "x.y", "é"]);
                    let key = if at > 0 && self.one_in(2) { format!("k{at}") } else { key.to_owned() };
                    let entry = self.yaml_entry(indent, depth, false);
                    text.push_str(&format!("{spaces}{key}:{entry}"));
                    if self.one_in(8) {
                        text.push_str(self.pick(&["\n", "# c\n", "  # c\n", "   \n"]));
                    }
                }
            }
        }
        text
    }

    fn yaml_entry(&mut self, indent: usize, depth: usize, in_list: bool) -> String {
        let step = 1 + self.below(3);
        match self.below(9) {
            0 | 1 if depth > 0 => format!("\n{}", self.block_of_yaml(indent + step, depth - 1)),
            2 if depth > 0 && in_list => format!(" {}", self.block_of_yaml(indent + 2, depth - 1).trim_start()),
            3 => {
                let mark = self.pick(&["|", ">", "|-", ">-", "|+", ">+", "|2", ">1-"]);
                let own = match mark {
                    "|2" => 2,
                    ">1-" => 1,
                    _ => step,
                };
                let mut text = format!(" {mark}\n");
                for _ in 0..=self.below(4) {
                    match self.pick(&["text", "more text", " deeper", "", "# no comment", "a: b", "", "end "]) {
                        "" => text.push('\n'),
                        line => text.push_str(&format!("{}{line}\n", " ".repeat(indent + own))),
                    }
                }
                text
            }
            4 => format!(" {}\n", self.yaml_flow(2)),
            5 => "\n".to_owned(),
            _ => format!(" {}\n", self.yaml_scalar(false)),
        }
    }

    fn yaml_flow(&mut self, depth: usize) -> String {
        match self.below(if depth == 0 { 1 } else { 3 }) {
            0 => self.yaml_scalar(true),
            1 => {
                let items: Vec<String> = (0..self.below(4)).map(|_| self.yaml_flow(depth - 1)).collect();
                format!("[{}]", items.join(self.pick(&[", ", ",\n     ", " , "])))
            }
            _ => {
                let mut items = Vec::new();
                for at in 0..self.below(3) {
                    items.push(format!("k{at}: {}", self.yaml_flow(depth - 1)));
                }
                format!("{{{}}}", items.join(", "))
            }
        }
    }

    fn yaml_scalar(&mut self, in_flow: bool) -> String {
        let text = if self.one_in(3) { self.pick(&QUOTED) } else { self.pick(&PLAIN) };
        if in_flow && text.contains('?') { "flow".to_owned() } else { text.to_owned() }
    }
}
