//! What holds for any value: round trips, and errors instead of panics.

#![expect(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;
use serde_json::Value as Json;
use vouchsafe_template::{Limits, NoReads, Options, Template, Text, Value};

/// Renders in our own dialect with `x` as the root's only entry.
fn with_x(text: &str, x: Value) -> Result<Vec<u8>, String> {
    let template = Template::compile("t", text, &Options::own()).map_err(|error| error.to_string())?;
    let root = Value::map([(Text::from("x"), x)]).unwrap();
    let rendered = template.render(root, &mut NoReads, &Limits::default()).map_err(|error| error.to_string())?;
    // EXPOSE: the test compares the bytes
    Ok(rendered.main.expose().to_vec())
}

/// Documents without numbers, which the formats spell in ways of their own.
fn document() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        "[ -~\\n]{0,30}".prop_map(Json::from),
        "\\PC{0,12}".prop_map(Json::from),
        prop_oneof![
            Just("yes"),
            Just("~"),
            Just("0x1F"),
            Just("1e3"),
            Just("- a"),
            Just("a: b"),
            Just("# c"),
            Just(" lead"),
            Just("trail \n"),
            Just("2001-01-01"),
            Just("\n\n"),
            Just("a\n b\n\n")
        ]
        .prop_map(Json::from),
    ];
    leaf.prop_recursive(4, 30, 5, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Json::from),
            proptest::collection::btree_map("[a-z~# :]{1,6}", inner, 0..5)
                .prop_map(|map| Json::Object(map.into_iter().collect())),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

    #[test]
    fn what_to_yaml_writes_parse_yaml_reads(document in document()) {
        // an end, since white space at the end of the text is trimmed, as in the original
        let value = Value::try_from(&serde_json::json!({"a": document, "b": "end"})).unwrap();
        let once = with_x("{{ .x | toJSON }}", value.clone()).unwrap();
        let yaml = with_x("{{ .x | toYAML }}", value.clone()).unwrap();
        let twice = with_x("{{ .x | toYAML | parseYAML | toJSON }}", value).unwrap();
        prop_assert!(once == twice, "{} became {} by way of\n{}", String::from_utf8_lossy(&once),
            String::from_utf8_lossy(&twice), String::from_utf8_lossy(&yaml));
    }

    #[test]
    fn what_to_json_writes_parse_json_reads(document in document()) {
        let value = Value::try_from(&document).unwrap();
        let once = with_x("{{ .x | toJSON }}", value.clone()).unwrap();
        prop_assert_eq!(&once, &with_x("{{ .x | toJSON | parseJSON | toJSON }}", value.clone()).unwrap());
        prop_assert_eq!(&once, &with_x("{{ .x | toUnescapedJSONPretty | parseJSON | toJSON }}", value).unwrap());
    }

    #[test]
    fn encodings_give_the_bytes_back(bytes in proptest::collection::vec(any::<u8>(), 0..60)) {
        for pair in ["base64Encode | base64Decode", "base64URLEncode | base64URLDecode", "sprig_b64enc | sprig_b64dec",
            "sprig_b32enc | sprig_b32dec"] {
            prop_assert_eq!(bytes.clone(), with_x(&format!("{{{{ .x | {pair} }}}}"), Value::text(bytes.clone())).unwrap());
        }
    }

    #[test]
    fn any_text_is_yaml_or_an_error(text in "[-a-c:#&*!|>'\"%@`{}\\[\\],?~<0-9. \\n\\t]{0,60}", other in "\\PC{0,60}") {
        for text in [text, other] {
            let _ = with_x("{{ .x | parseYAML | toYAML }}", Value::from(text.as_str()));
            let _ = with_x("{{ .x | parseYAML | toTOML }}", Value::from(text.as_str()));
        }
    }

    #[test]
    fn any_text_is_a_url_or_an_error(text in "[a-z:/?#@%\\[\\]0-9. é]{0,40}") {
        if let Ok(once) = with_x("{{ .x | sprig_urlParse | sprig_urlJoin }}", Value::from(text.as_str())) {
            let again = with_x("{{ .x | sprig_urlParse | sprig_urlJoin }}", Value::text(once.clone()));
            prop_assert!(again.as_ref().is_ok_and(|again| *again == once) || again.is_err(), "{once:?} {again:?}");
        }
    }

    #[test]
    fn any_text_is_a_pattern_or_an_error(pattern in "[a-c.*+?(){}\\[\\]^$|\\\\Q E,0-9&~:-]{0,20}") {
        let _ = with_x("{{ regexReplaceAll .x \"<$0>\" \"abc{1}[2]\" }}", Value::from(pattern.as_str()));
    }

    #[test]
    fn text_functions_take_any_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..40), width in -3_i64..50) {
        for call in ["sprig_abbrev", "sprig_wrap", "sprig_wrapWith 5 \"|\"", "sprig_trunc", "sprig_abbrevboth 5", "indent",
            "sprig_substr 1"] {
            let call = if call.contains("wrapWith") { call.to_owned() } else { format!("{call} {width}") };
            let _ = with_x(&format!("{{{{ .x | {call} }}}}"), Value::text(bytes.clone()));
        }
        for call in ["sprig_snakecase", "sprig_kebabcase", "sprig_camelcase", "sprig_swapcase", "sprig_initials",
            "sprig_nospace", "toTitle", "toUpper", "html", "js", "sprig_quote", "toJSON", "toYAML"] {
            let _ = with_x(&format!("{{{{ .x | {call} }}}}"), Value::text(bytes.clone()));
        }
    }
}
