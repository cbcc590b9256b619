//! Every shared case: Go template in, exact bytes out.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::collections::BTreeMap;

use base64::Engine as _;
use serde_json::Value as Json;
use vouchsafe_template::{Limits, MissingKey, Options, Template, Value};

use self::common::Fixture;

/// Cases that do not work yet; one that starts to work must leave the list.
const NOT_YET: &[&str] = &[];

/// The meaning of each expected error in our words.
const ERRORS: &[(&str, &str)] = &[
    ("json-number-eq-int-is-an-error", "1:40: eq: incompatible types for comparison: json.Number and int"),
    ("json-number-passed-to-string-func", "toUpper: wrong type for value: expected string, got json.Number"),
    ("missing-key-error-mode", "map has no entry for key nope"),
    ("missing-key-error-mode-in-if", "map has no entry for key nope"),
    ("nested-field-of-missing-key", "nil pointer: there is no value whose field b could be read"),
    ("unknown-struct-field-is-an-error", "type *dependency.Secret has no field data"),
    ("range-over-string-is-an-error", "range cannot iterate over string"),
    ("index-out-of-range", "index: index out of range"),
    ("mustEnv-error", "mustEnv: the required environment variable is empty or not set"),
    ("write-bad-pair", "secret: an argument behind the path is not of the form key=value"),
];

#[test]
fn every_shared_case_gives_its_exact_bytes_or_its_error() {
    let cases: Vec<Json> = serde_json::from_str(include_str!("cases/templates.json")).unwrap();
    assert!(cases.len() >= 50);
    let mut wrong = Vec::new();
    for case in &cases {
        let name = case["name"].as_str().unwrap();
        match (run(case), NOT_YET.contains(&name)) {
            (Ok(()), false) | (Err(_), true) => {}
            (Ok(()), true) => wrong.push(format!("{name} works now: take it off the list")),
            (Err(problem), false) => wrong.push(format!("{name}: {problem}")),
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn run(case: &Json) -> Result<(), String> {
    let outcome = render(case);
    if case.get("expected_error").is_some_and(|error| !error.is_null()) {
        let name = case["name"].as_str().unwrap();
        let (_, meaning) = ERRORS.iter().find(|(known, _)| *known == name).ok_or("no meaning noted")?;
        return match outcome {
            Err(error) if error.contains(meaning) => Ok(()),
            Err(error) => Err(format!("another error: {error}")),
            Ok(_) => Err("it renders".to_owned()),
        };
    }
    let expected = match (case["expected"].as_str(), case["expected_base64"].as_str()) {
        (Some("MISSING DEPS"), _) => {
            return if outcome.is_err() { Ok(()) } else { Err("it renders".to_owned()) };
        }
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => base64::engine::general_purpose::STANDARD.decode(encoded).unwrap(),
        (None, None) => return Err("nothing expected".to_owned()),
    };
    let (main, files) = outcome?;
    if main != expected {
        let show = String::from_utf8_lossy;
        return Err(format!("\n  expected {:?}\n  rendered {:?}", show(&expected), show(&main)));
    }
    let expected_files: BTreeMap<String, String> =
        case.get("expected_files").map(|files| serde_json::from_value(files.clone()).unwrap()).unwrap_or_default();
    if files == expected_files { Ok(()) } else { Err(format!("files {files:?}")) }
}

type Outputs = (Vec<u8>, BTreeMap<String, String>);

fn render(case: &Json) -> Result<Outputs, String> {
    let delimiter = |key: &str| case.get(key).and_then(Json::as_str).unwrap_or_default();
    let mut options = Options::drop_in().with_delimiters(delimiter("left_delimiter"), delimiter("right_delimiter"));
    if case.get("error_on_missing_key").and_then(Json::as_bool) == Some(true) {
        options.missing_key = MissingKey::Strict;
    }
    let text = case["template"].as_str().unwrap();
    let template = Template::compile("case", text, &options).map_err(|error| error.to_string())?;
    let none = Json::Null;
    let mut fixture = Fixture { secrets: &case["secrets"], environment: case.get("env").unwrap_or(&none) };
    let rendered = template.render(Value::Nil, &mut fixture, &Limits::default()).map_err(|error| error.to_string())?;
    let mut files = BTreeMap::<String, String>::new();
    for file in &rendered.files {
        // EXPOSE: the test compares the bytes
        let content = String::from_utf8_lossy(file.content.expose());
        files.insert(file.path.clone(), format!("{:04o}:{content}", file.mode));
    }
    // EXPOSE: the test compares the bytes
    Ok((rendered.main.expose().to_vec(), files))
}
