//! How a patched pod is shown: both versions as YAML, long texts cut, and the lines that differ. Pure.

use serde_json::Value;
use similar::{ChangeTag, TextDiff};

use crate::output::Style;

/// The lines that a patch added or removed, with their surroundings, ready to print.
pub(crate) fn difference(before: &Value, after: &Value, style: Style) -> Vec<String> {
    let (before, after) = (yaml(before), yaml(after));
    let diff = TextDiff::from_lines(&before, &after);
    let mut lines = Vec::new();
    for (index, group) in diff.grouped_ops(CONTEXT_LINES).iter().enumerate() {
        if index > 0 {
            lines.push(style.dim("  ⋮"));
        }
        for change in group.iter().flat_map(|operation| diff.iter_changes(operation)) {
            let text = change.value().trim_end_matches('\n');
            lines.push(match change.tag() {
                ChangeTag::Equal => style.dim(&format!("  {text}")),
                ChangeTag::Insert => style.good(&format!("+ {text}")),
                ChangeTag::Delete => style.bad(&format!("- {text}")),
            });
        }
    }
    lines
}

/// A value as block YAML for reading, not for parsing: long texts are cut.
fn yaml(value: &Value) -> String {
    let mut out = String::new();
    block(value, 0, &mut out);
    out
}

fn block(value: &Value, depth: usize, out: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(map) => {
            for (key, inner) in map {
                out.push_str(&format!("{indent}{key}:"));
                nested(inner, depth + 1, out);
            }
        }
        Value::Array(items) => {
            for item in items {
                let mut inner = String::new();
                block(item, depth + 1, &mut inner);
                let body = inner.strip_prefix(&format!("{indent}  ")).unwrap_or(&inner);
                out.push_str(&format!("{indent}- {body}"));
            }
        }
        scalar => out.push_str(&format!("{indent}{}\n", shown(scalar))),
    }
}

fn nested(value: &Value, depth: usize, out: &mut String) {
    match value {
        Value::Object(map) if map.is_empty() => out.push_str(" {}\n"),
        Value::Array(items) if items.is_empty() => out.push_str(" []\n"),
        Value::Object(_) | Value::Array(_) => {
            out.push('\n');
            block(value, depth, out);
        }
        scalar => out.push_str(&format!(" {}\n", shown(scalar))),
    }
}

fn shown(scalar: &Value) -> String {
    let Value::String(text) = scalar else { return scalar.to_string() };
    let plain: String = text.chars().take(TEXT_CHARS).collect::<String>().replace('\n', "\\n");
    if text.chars().count() > TEXT_CHARS { format!("{plain}… ({} bytes)", text.len()) } else { plain }
}

/// Unchanged lines shown around a change.
const CONTEXT_LINES: usize = 1;
/// Longest text shown whole.
const TEXT_CHARS: usize = 88;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::arguments::ColorChoice;

    #[test]
    fn only_changed_lines_and_their_neighbours_are_shown() {
        let before = json!({"spec": {"a": 1, "b": 2, "containers": [{"name": "app"}], "z": 9}});
        let after =
            json!({"spec": {"a": 1, "b": 2, "containers": [{"name": "app"}], "volumes": [{"name": "v"}], "z": 9}});
        let lines = difference(&before, &after, Style::new(ColorChoice::Never));
        assert_eq!(lines, ["      - name: app", "+   volumes:", "+     - name: v", "    z: 9"]);
    }

    #[test]
    fn a_long_text_is_cut_and_its_size_told() {
        let text = shown(&json!("x".repeat(4000)));
        assert!(text.len() < 200 && text.ends_with("(4000 bytes)"), "{text}");
    }
}
