//! From parser events to nodes, with an explicit stack.

use std::collections::HashMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, Tag};
use vouchsafe_model::text::quoted;

use super::scalar::{self, Ambiguous};
use super::{Content, Entry, Node};
use crate::fault::{At, Fault, Source};

/// Reads our own kind of file: strict, one meaning. Empty documents are left out. The first fault ends the reading.
pub fn documents(name: &str, text: &str) -> Result<Vec<Node>, Fault> {
    read(name, text, &STRICT)
}

/// Reads a manifest as kubectl would.
pub fn documents_as_kubectl(name: &str, text: &str) -> Result<Vec<Node>, Fault> {
    read(name, text, &AS_KUBECTL)
}

struct Rules {
    /// Anchors, aliases, merge keys and words of two meanings are faults.
    is_strict: bool,
    text_bytes: usize,
}

fn read(name: &str, text: &str, rules: &Rules) -> Result<Vec<Node>, Fault> {
    let file = Source::from(name);
    let start = At { file: file.clone(), line: 1, column: 1 };
    if text.len() > rules.text_bytes {
        let message = format!("is {} bytes long, the limit is {}; split it", text.len(), rules.text_bytes);
        return Err(Fault::new(Some(start), "", message));
    }
    if text.starts_with(BYTE_ORDER_MARK) {
        return Err(Fault::new(Some(start), "", "begins with a byte order mark; save it as UTF-8 without one"));
    }
    if text.contains('\0') {
        return Err(Fault::new(Some(start), "", "holds NUL bytes; save it as UTF-8 text"));
    }
    let mut builder =
        Builder { file, rules, nodes: 0, copies: 0, stack: Vec::new(), anchors: HashMap::new(), documents: Vec::new() };
    for event in Parser::new_from_str(text) {
        match event {
            Ok((event, span)) => builder.take(event, span.start)?,
            Err(error) => {
                let at = builder.at(*error.marker());
                return Err(Fault::new(Some(at), "", format!("is no valid YAML: {}", one_line(error.info()))));
            }
        }
    }
    Ok(builder.documents)
}

struct Builder<'a> {
    file: Source,
    rules: &'a Rules,
    /// Nodes made so far, copies of aliases included.
    nodes: usize,
    /// Of these, the copies.
    copies: usize,
    stack: Vec<Open>,
    anchors: HashMap<usize, (Node, usize)>,
    documents: Vec<Node>,
}

/// A collection whose end has not been seen.
struct Open {
    at: At,
    anchor: usize,
    nodes_before: usize,
    kind: OpenKind,
}

enum OpenKind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<Key>, merges: Vec<Node> },
}

struct Key {
    at: At,
    text: String,
    is_merge: bool,
}

impl Builder<'_> {
    fn at(&self, marker: Marker) -> At {
        At { file: self.file.clone(), line: marker.line().max(1), column: marker.col() + 1 }
    }

    fn take(&mut self, event: Event<'_>, marker: Marker) -> Result<(), Fault> {
        let at = self.at(marker);
        match event {
            Event::Scalar(text, style, anchor, tag) => self.scalar(at, &text, style, anchor, tag.as_deref()),
            Event::SequenceStart(anchor, tag) => self.open(at, anchor, tag.as_deref(), OpenKind::List(Vec::new())),
            Event::MappingStart(anchor, tag) => {
                let kind = OpenKind::Map { entries: Vec::new(), seen: HashMap::new(), key: None, merges: Vec::new() };
                self.open(at, anchor, tag.as_deref(), kind)
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(anchor) => self.alias(at, anchor),
            Event::DocumentStart(_) => {
                self.anchors.clear();
                Ok(())
            }
            Event::DocumentEnd | Event::Nothing | Event::StreamStart | Event::StreamEnd => Ok(()),
        }
    }

    fn scalar(
        &mut self,
        at: At,
        text: &str,
        style: ScalarStyle,
        anchor: usize,
        tag: Option<&Tag>,
    ) -> Result<(), Fault> {
        self.check_anchor(&at, anchor)?;
        let is_plain = style == ScalarStyle::Plain;
        let as_text = self.check_tag(&at, tag)?;
        if self.wants_key() {
            return self.key(at, text, is_plain);
        }
        let content = if !is_plain || as_text {
            Content::Text(text.to_owned())
        } else if self.rules.is_strict {
            scalar::resolve_strictly(text).map_err(|Ambiguous| {
                let problem = "means true or false to some readers of YAML and text to others; write it in quotes, or true, or false";
                Fault::new(Some(at.clone()), "", format!("{} {problem}", quoted(text)))
            })?
        } else {
            scalar::resolve(text)
        };
        let before = self.nodes;
        self.add(Node { at: Some(at), content }, anchor, before)
    }

    /// Whether a mapping is open that waits for its next key.
    fn wants_key(&self) -> bool {
        matches!(self.stack.last(), Some(Open { kind: OpenKind::Map { key: None, .. }, .. }))
    }

    fn key(&mut self, at: At, text: &str, is_plain: bool) -> Result<(), Fault> {
        let is_merge = is_plain && text == "<<";
        if is_merge && self.rules.is_strict {
            return Err(Fault::new(Some(at), "", "merge keys (<<) are not allowed here; write the fields out"));
        }
        let Some(Open { kind: OpenKind::Map { seen, key, .. }, .. }) = self.stack.last_mut() else {
            return Ok(());
        };
        if !is_merge && let Some(line) = seen.insert(text.to_owned(), at.line) {
            let message = format!("key {} stands twice, first in line {line}; remove one", quoted(text));
            return Err(Fault::new(Some(at), "", message));
        }
        *key = Some(Key { at, text: text.to_owned(), is_merge });
        Ok(())
    }

    fn open(&mut self, at: At, anchor: usize, tag: Option<&Tag>, kind: OpenKind) -> Result<(), Fault> {
        self.check_anchor(&at, anchor)?;
        self.check_tag(&at, tag)?;
        if self.wants_key() {
            return Err(Fault::new(
                Some(at),
                "",
                "a list or map cannot be a key; write the key as text (quote a value in braces)",
            ));
        }
        if self.stack.len() >= DEPTH {
            return Err(Fault::new(Some(at), "", format!("nests deeper than {DEPTH} levels")));
        }
        let nodes_before = self.nodes;
        self.stack.push(Open { at, anchor, nodes_before, kind });
        Ok(())
    }

    fn close(&mut self) -> Result<(), Fault> {
        let Some(Open { at, anchor, nodes_before, kind }) = self.stack.pop() else { return Ok(()) };
        let content = match kind {
            OpenKind::List(items) => Content::List(items),
            OpenKind::Map { mut entries, merges, .. } => {
                for source in merges {
                    merge(&mut entries, source, &at)?;
                }
                Content::Map(entries)
            }
        };
        self.add(Node { at: Some(at), content }, anchor, nodes_before)
    }

    fn alias(&mut self, at: At, anchor: usize) -> Result<(), Fault> {
        if self.rules.is_strict {
            return Err(Fault::new(Some(at), "", "aliases (*name) are not allowed here; write the value out"));
        }
        if self.wants_key() {
            return Err(Fault::new(Some(at), "", "an alias cannot be a key; write the key as text"));
        }
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(Fault::new(Some(at), "", "the alias names a value that is not complete; write the value out"));
        };
        let size = *size;
        self.copies = self.copies.saturating_add(size);
        if self.copies > ALIAS_NODES {
            return Err(Fault::new(
                Some(at),
                "",
                format!("aliases repeat more than {ALIAS_NODES} values; write them out"),
            ));
        }
        let node = node.clone();
        let before = self.nodes;
        self.nodes += size;
        if self.stack.len() + depth(&node) > DEPTH {
            return Err(Fault::new(Some(at), "", format!("nests deeper than {DEPTH} levels")));
        }
        self.add(node, 0, before)
    }

    /// Puts a finished node where it belongs.
    fn add(&mut self, node: Node, anchor: usize, nodes_before: usize) -> Result<(), Fault> {
        self.nodes += 1;
        if self.nodes > NODES {
            return Err(Fault::new(node.at, "", format!("holds more than {NODES} values; split it")));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, (node.clone(), self.nodes - nodes_before));
        }
        match self.stack.last_mut().map(|open| &mut open.kind) {
            None if node.content == Content::Null => {}
            None => self.documents.push(node),
            Some(OpenKind::List(items)) => items.push(node),
            Some(OpenKind::Map { entries, key, merges, .. }) => match key.take() {
                Some(Key { is_merge: true, .. }) => merges.push(node),
                Some(Key { at, text, .. }) => entries.push(Entry { at: Some(at), key: text, value: node }),
                None => {}
            },
        }
        Ok(())
    }

    fn check_anchor(&self, at: &At, anchor: usize) -> Result<(), Fault> {
        if anchor != 0 && self.rules.is_strict {
            return Err(Fault::new(Some(at.clone()), "", "anchors (&name) are not allowed here; write the value out"));
        }
        Ok(())
    }

    /// Whether the tag says that this is text.
    fn check_tag(&self, at: &At, tag: Option<&Tag>) -> Result<bool, Fault> {
        match tag {
            None => Ok(false),
            Some(tag) if !self.rules.is_strict && tag.is_yaml_core_schema() => Ok(tag.suffix == "str"),
            Some(tag) => {
                let name = quoted(&format!("{}{}", tag.handle, tag.suffix));
                Err(Fault::new(Some(at.clone()), "", format!("the tag {name} is not allowed; remove it")))
            }
        }
    }
}

/// Adds the entries of `source` (a mapping, or a list of them) that `entries` lacks.
fn merge(entries: &mut Vec<Entry>, source: Node, at: &At) -> Result<(), Fault> {
    match source.content {
        Content::Map(more) => {
            for entry in more {
                if entries.iter().all(|existing| existing.key != entry.key) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Content::List(sources) => sources.into_iter().try_for_each(|source| merge(entries, source, at)),
        _ => Err(Fault::new(Some(at.clone()), "", "a merge key (<<) takes a map or a list of maps")),
    }
}

/// Levels of nesting; a node has been built within [`DEPTH`], so the recursion is bounded.
fn depth(node: &Node) -> usize {
    match &node.content {
        Content::List(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Content::Map(entries) => 1 + entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
        _ => 0,
    }
}

fn one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

const STRICT: Rules = Rules { is_strict: true, text_bytes: STRICT_BYTES };
const AS_KUBECTL: Rules = Rules { is_strict: false, text_bytes: MANIFEST_BYTES };
/// Largest file of Grants: etcd would not take a single object of that size.
const STRICT_BYTES: usize = 1024 * 1024;
/// Largest manifest: the pods of a large cluster in one list.
const MANIFEST_BYTES: usize = 64 * 1024 * 1024;
/// Deepest nesting; Kubernetes' own types stay under 20.
const DEPTH: usize = 64;
/// Most values in one text, aliases expanded: what a list of 5,000 pods needs, some 100 MB of nodes.
const NODES: usize = 2_000_000;
/// Most values that aliases may repeat: what manifests share is a few mounts and labels.
const ALIAS_NODES: usize = 100_000;
const BYTE_ORDER_MARK: char = '\u{feff}';

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn strict(text: &str) -> String {
        match documents("f.yaml", text) {
            Ok(nodes) => nodes.iter().map(|node| node.to_json().to_string()).collect::<Vec<_>>().join("\n"),
            Err(fault) => fault.to_string(),
        }
    }

    fn lenient(text: &str) -> Vec<serde_json::Value> {
        documents_as_kubectl("f.yaml", text).unwrap().iter().map(Node::to_json).collect()
    }

    #[test]
    fn values_carry_their_place() {
        let nodes = documents("f.yaml", "a:\n  - b: {c: 1}\n    d: x\n").unwrap();
        let list = nodes[0].get("a").unwrap();
        let Content::List(items) = &list.content else { panic!("{list:?}") };
        assert_eq!(items[0].at.as_ref().unwrap().to_string(), "f.yaml:2:5");
        assert_eq!(items[0].get("b").unwrap().at.as_ref().unwrap().to_string(), "f.yaml:2:8");
        assert_eq!(items[0].get("d").unwrap().at.as_ref().unwrap().to_string(), "f.yaml:3:8");
    }

    #[test]
    fn strict_files_have_no_anchors_aliases_tags_merges_or_double_keys() {
        for (text, expected) in [
            ("a: &x 1", "f.yaml:1:4: anchors (&name) are not allowed here; write the value out"),
            (
                "a: !!python/object:x {}",
                "f.yaml:1:4: the tag \"tag:yaml.org,2002:python/object:x\" is not allowed; remove it",
            ),
            ("<<: {a: 1}", "f.yaml:1:1: merge keys (<<) are not allowed here; write the fields out"),
            ("a: 1\nb: 2\na: 3", "f.yaml:3:1: key \"a\" stands twice, first in line 1; remove one"),
            (
                "a: no",
                "f.yaml:1:4: \"no\" means true or false to some readers of YAML and text to others; write it in quotes, or true, or false",
            ),
            ("{a: 1}: x", "f.yaml:1:1: a list or map cannot be a key; write the key as text (quote a value in braces)"),
            ("\u{feff}a: 1", "f.yaml:1:1: begins with a byte order mark; save it as UTF-8 without one"),
            ("a: \0", "f.yaml:1:1: holds NUL bytes; save it as UTF-8 text"),
        ] {
            assert_eq!(strict(text), expected, "{text}");
        }
    }

    #[test]
    fn broken_yaml_is_refused_with_its_place() {
        for text in ["a: [1", "a: 'x", "a: b: c", "a:\n\tb: 1", "a: *x", "- a\nb: 1", "%YAML 9\n---"] {
            let shown = strict(text);
            assert!(shown.starts_with("f.yaml:") && shown.contains("is no valid YAML"), "{text}: {shown}");
        }
    }

    #[test]
    fn several_documents_are_read_and_empty_ones_left_out() {
        assert_eq!(strict("---\na: 1\n---\n# nothing\n---\nb: \"no\"\n..."), "{\"a\":1}\n{\"b\":\"no\"}");
        assert_eq!(strict(""), "");
    }

    #[test]
    fn carriage_returns_at_line_ends_change_nothing() {
        assert_eq!(strict("a: 1\r\nb: |\r\n  x\r\n"), "{\"a\":1,\"b\":\"x\\n\"}");
    }

    #[test]
    fn manifests_may_use_aliases_merges_and_old_octal() {
        let values =
            lenient("base: &b {x: 1, y: 2}\nuse: *b\nmerged: {<<: *b, y: 3}\nmode: 0644\nnorway: no\ntext: !!str 5");
        assert_eq!(
            values,
            [json!({"base": {"x": 1, "y": 2}, "use": {"x": 1, "y": 2}, "merged": {"y": 3, "x": 1},
                    "mode": 420, "norway": false, "text": "5"})]
        );
    }

    #[test]
    fn bombs_are_refused_quickly() {
        let mut laughs = vec!["a0: &a0 [lol, lol, lol, lol, lol, lol, lol, lol, lol]".to_owned()];
        for level in 1..12 {
            let previous = level - 1;
            let items = vec![format!("*a{previous}"); 9].join(", ");
            laughs.push(format!("a{level}: &a{level} [{items}]"));
        }
        let deep = "[".repeat(100_000);
        let laughs = laughs.join("\n");
        let deep_block = (0..2_000).map(|level| format!("{}- ", " ".repeat(level))).collect::<Vec<_>>().join("\n");
        let wide = "- ".repeat(20_000);
        let large = "a".repeat(STRICT_BYTES + 1);
        for text in [&laughs, &deep, &deep_block, &wide, &large] {
            let start = Instant::now();
            assert!(documents("f.yaml", text).is_err());
            if text.len() < STRICT_BYTES {
                assert!(documents_as_kubectl("f.yaml", text).is_err());
            }
            assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_readers_panic(text in "[a-c:\\-\\[\\]{}&*!|>'\" \n#?,<~%0-9]{0,120}") {
            let _ = documents("f.yaml", &text);
            let _ = documents_as_kubectl("f.yaml", &text);
        }

        #[test]
        fn json_survives_both_readers(text in any::<String>(), number in any::<i64>(), flag in any::<bool>()) {
            let value = json!({"a": [number, flag, null], "b": {"c": 1.5}});
            prop_assert_eq!(documents("f", &value.to_string()).unwrap()[0].to_json(), value.clone());
            prop_assert_eq!(Node::from_json(&value).to_json(), value);
            let _ = documents("f", &text);
        }
    }
}
