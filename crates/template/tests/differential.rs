//! Templates at random, rendered by this crate and by the original engine in Go: the same bytes, or an error from both.
//!
//! Needs Go and the modules of tests/godiff; where they are not at hand the tests say so and pass. The seed stands in
//! `VOUCHSAFE_SEED`, the number of templates in `VOUCHSAFE_TEMPLATES`.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;
mod godiff;
mod random;

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base64::Engine as _;
use serde_json::{Value as Json, json};
use vouchsafe_template::{Limits, MissingKey, Options, Template, Value, functions};

use self::common::Fixture;
use self::random::Generator;

/// A few seconds of both engines.
const TEMPLATES: usize = 6_000;

/// Any fixed one: a failure must come again.
const SEED: u64 = 20_260_816;

#[test]
fn random_templates_render_to_the_same_bytes_as_in_go() {
    let Some(program) = godiff::build() else { return };
    let mut generator = Generator::new(seed());
    let cases: Vec<_> = (0..count()).map(|_| (generator.template(), generator.one_in(8))).collect();
    compare(&program, &cases);
}

#[test]
fn random_yaml_reads_as_in_go() {
    let Some(program) = godiff::build() else { return };
    let mut generator = Generator::new(seed() ^ 1);
    let cases: Vec<_> = (0..count()).map(|_| (generator.yaml_template(), false)).collect();
    compare(&program, &cases);
}

#[test]
fn the_examples_of_the_documentation_are_what_go_prints() {
    let Some(program) = godiff::build() else { return };
    let fitting = functions().into_iter().filter(|entry| !FROM_OUTSIDE.contains(&entry.name));
    let cases: Vec<_> = fitting.map(|entry| (entry.example.to_owned(), false)).collect();
    compare(&program, &cases);
}

/// The Go program answers reads of its own document only.
const FROM_OUTSIDE: [&str; 9] =
    ["pkiCert", "file", "writeToFile", "env", "mustEnv", "envOrDefault", "timestamp", "secret", "secrets"];

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}

fn seed() -> u64 {
    number("VOUCHSAFE_SEED").unwrap_or(SEED)
}

fn count() -> usize {
    number("VOUCHSAFE_TEMPLATES").and_then(|count| usize::try_from(count).ok()).unwrap_or(TEMPLATES)
}

/// Renders all with both engines and lists what differs.
fn compare(program: &Path, cases: &[(String, bool)]) {
    let secrets = random::secrets();
    let answers = ask(program, cases, &secrets);
    assert_eq!(answers.len(), cases.len());
    let mut wrong = Vec::new();
    let mut rendered = 0;
    for ((text, strict), answer) in cases.iter().zip(&answers) {
        let theirs = (answer["phase"] == "")
            .then(|| base64::engine::general_purpose::STANDARD.decode(answer["out"].as_str().unwrap()).unwrap());
        rendered += usize::from(theirs.is_some());
        let ours = render(text, *strict, &secrets);
        let error = answer["err"].as_str().unwrap();
        if ours.as_ref().ok() != theirs.as_ref() && !is_documented(text, ours.as_ref(), theirs.as_ref(), error) {
            let show = |bytes: &Vec<u8>| String::from_utf8_lossy(bytes).into_owned();
            wrong.push(format!(
                "{text}{}\n  Go   {:?}\n  here {:?}",
                if *strict { "   (strict)" } else { "" },
                theirs.as_ref().map(show).ok_or(error),
                ours.as_ref().map(show)
            ));
        }
    }
    let seed = seed();
    println!("seed {seed}: {} templates, {rendered} of which render in Go", cases.len());
    assert!(rendered * 3 > cases.len(), "most templates should render: {rendered} of {}", cases.len());
    assert!(wrong.is_empty(), "seed {seed}: {} of {} differ:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn ask(program: &Path, cases: &[(String, bool)], secrets: &Json) -> Vec<Json> {
    let mut child = Command::new(program).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    let line = |(text, strict): &(String, bool)| json!({"t": text, "strict": strict, "secrets": secrets}).to_string();
    let lines: Vec<String> = cases.iter().map(line).collect();
    let writer = std::thread::spawn(move || {
        for line in lines {
            writeln!(input, "{line}").unwrap();
        }
    });
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn render(text: &str, strict: bool, secrets: &Json) -> Result<Vec<u8>, String> {
    let mut options = Options::drop_in();
    if strict {
        options.missing_key = MissingKey::Strict;
    }
    let template = Template::compile("t", text, &options).map_err(|error| error.to_string())?;
    let mut fixture = Fixture { secrets, environment: &Json::Null };
    let rendered = template.render(Value::Nil, &mut fixture, &Limits::default()).map_err(|error| error.to_string())?;
    // EXPOSE: the test compares the bytes
    Ok(rendered.main.expose().to_vec())
}

/// The differences that docs/template.md lists.
fn is_documented(text: &str, ours: Result<&Vec<u8>, &String>, theirs: Option<&Vec<u8>>, their_error: &str) -> bool {
    if text.starts_with(random::yaml::BROKEN) && (ours.is_err() || theirs.is_none()) {
        return true;
    }
    match (ours, theirs) {
        // integers of all sizes are one type
        (Ok(ours), Some(theirs)) => {
            let theirs = String::from_utf8_lossy(theirs);
            let one_type = theirs.contains("int64") && theirs.replace("int64", "int").as_bytes() == ours.as_slice();
            // numbers and truth values as keys of YAML become texts
            let text_keys = text.contains("parseYAML") && same_characters(theirs.as_bytes(), ours);
            let lists = text.contains("typeOf") && theirs.contains("[]int");
            let decimals = ["addf", "subf", "mulf", "divf", "add1f"].iter().any(|name| text.contains(name));
            let sharp = text.contains("printf \"") && text.contains('#') && !text.starts_with("{{ parseYAML");
            one_type || text_keys || lists || decimals || sharp || text.contains("sprig_duration")
        }
        // an integer is an integer, a fraction is any number, and nil is an empty map
        (Ok(_), None) => ["expected int; got int64", "got uint64", "expected float64", "got interface {}"]
            .iter()
            .any(|known| their_error.contains(known)),
        // literals of the wrong type are found where the original never looks, and encodings do not print their errors
        (Err(ours), Some(_)) => {
            let early =
                (ours.contains("function ") && ours.contains(" expects ")) || ours.contains("nil is not a command");
            early
                || ours.contains("not valid base")
                || ours.contains("on UTF-8 only")
                || ours.contains("the limit on")
                || ours.contains("the result is undefined or too large")
        }
        (Err(_), None) => true,
    }
}

/// Equal but for quotes around keys and their order.
fn same_characters(left: &[u8], right: &[u8]) -> bool {
    let sorted = |bytes: &[u8]| {
        let mut bytes: Vec<u8> = bytes.iter().copied().filter(|byte| *byte != b'"').collect();
        bytes.sort_unstable();
        bytes
    };
    sorted(left) == sorted(right)
}
