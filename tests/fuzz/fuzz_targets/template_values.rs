//! Any bytes as a value in the functions that read or write formats: an error or a result, never a panic.
#![no_main]
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use vouchsafe_template::{Limits, NoReads, Options, Template, Text, Value};

const CALLS: [&str; 14] = [
    "parseYAML | toYAML",
    "parseYAML | toTOML",
    "parseJSON | toJSONPretty",
    "sprig_urlParse | sprig_urlJoin",
    "regexReplaceAll \"(a|b)*\" \"$1\"",
    "sprig_snakecase",
    "sprig_camelcase",
    "sprig_wrapWith 7 \"|\"",
    "sprig_abbrevboth 5 10",
    "base64Decode | sprig_b32enc",
    "sprig_b32dec",
    "sprig_durationRound",
    "splitToMap \",\" \"=\" | toJSON",
    "printf \"%v\"",
];

static TEMPLATES: LazyLock<Vec<Template>> = LazyLock::new(|| {
    CALLS
        .iter()
        .filter_map(|call| Template::compile("fuzz", &format!("{{{{ .x | {call} }}}}"), &Options::own()).ok())
        .collect()
});

fuzz_target!(|bytes: &[u8]| {
    assert_eq!(TEMPLATES.len(), CALLS.len());
    for template in TEMPLATES.iter() {
        if let Ok(root) = Value::map([(Text::from("x"), Value::text(bytes))]) {
            let _ = template.render(root, &mut NoReads, &Limits::default());
        }
    }
    // the bytes as format and as pattern
    if let (Ok(text), Ok(root)) = (std::str::from_utf8(bytes), Value::map([(Text::from("x"), Value::text(bytes))])) {
        let call = "{{ printf .x 1 \"a\" 2.5 true }}{{ regexMatch .x \"aab\" }}";
        if let Ok(template) = Template::compile(text, call, &Options::own()) {
            let _ = template.render(root, &mut NoReads, &Limits::default());
        }
    }
});
