//! How long compiling and rendering take: what users write most, and the shared cases against the original engine in Go,
//! in one run on one machine. `make bench`; with `--profile image` as in the sidecar, with `--profile server` as in the
//! webhook.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a benchmark that cannot go on should end")]

#[path = "../tests/common/mod.rs"]
mod common;
#[path = "../tests/godiff/mod.rs"]
mod godiff;

use std::collections::BTreeMap;
use std::hint::black_box;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};
use vouchsafe_template::{Limits, NoReads, Options, ResolveError, Resolver, Template, Text, Value};

use self::common::Fixture;

/// What users write most: a key, a few keys in a document, a loop over all keys.
const TEMPLATES: [(&str, &str); 3] = [
    ("one key", "{{ .db.password }}"),
    (
        "document",
        "url: postgres://{{ .db.user }}:{{ .db.password | urlquery }}@db:5432/app\npassword: {{ .db.password | toJSON }}\n",
    ),
    ("loop", "{{ range $key, $value := .db }}{{ $key | toUpper }}={{ $value | toJSON }}\n{{ end }}"),
];
const DATA: &[u8] =
    br#"{"db":{"user":"app","password":"correct horse battery staple","host":"db.example","port":5432}}"#;
/// Long enough that the clock's grain does not count; the same as in the Go program.
const SPAN: Duration = Duration::from_millis(20);

fn main() {
    for (name, text) in TEMPLATES {
        let options = Options::own();
        let compile = nanoseconds(|| {
            let _ = black_box(Template::compile(name, text, &options).is_ok());
        });
        let template = Template::compile(name, text, &options).unwrap();
        let root = Value::from_json_text(DATA).unwrap();
        let render = nanoseconds(|| {
            let _ = black_box(template.render(root.clone(), &mut NoReads, &Limits::default()).is_ok());
        });
        println!("{name:<10} compile {compile:>8.0} ns   render {render:>8.0} ns");
    }
    against_go();
}

struct Case {
    name: String,
    text: String,
    options: Options,
    reads: Reads,
    request: String,
}

/// The shared cases that both engines render from memory: those with writes and certificates need a server in Go.
fn cases() -> Vec<Case> {
    let all: Vec<Json> = serde_json::from_str(include_str!("../tests/cases/templates.json")).unwrap();
    let in_memory = |case: &&Json| {
        let secrets = case["secrets"].as_object().unwrap();
        let fails = case.get("expected_error").is_some_and(|error| !error.is_null());
        !fails
            && secrets.keys().all(|key| !key.contains('|'))
            && case.get("env").is_none()
            && case.get("expected_files").is_none()
    };
    all.iter()
        .filter(in_memory)
        .map(|case| {
            let word = |key: &str| case.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
            let (left, right, text) = (word("left_delimiter"), word("right_delimiter"), word("template"));
            let secrets: serde_json::Map<String, Json> = case["secrets"].as_object().unwrap().clone();
            let request = json!({"t": text, "left": left, "right": right, "secrets": secrets});
            let options = Options::drop_in().with_delimiters(&left, &right);
            Case { name: word("name"), text, options, reads: Reads::of(&case["secrets"]), request: request.to_string() }
        })
        .collect()
}

fn against_go() {
    let Some(program) = godiff::build() else { return };
    let cases = cases();
    let mut child = Command::new(program).arg("-bench").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    for case in &cases {
        writeln!(input, "{}", case.request).unwrap();
    }
    drop(input);
    let output = child.wait_with_output().unwrap();
    let answers: Vec<Json> =
        String::from_utf8(output.stdout).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let mut sums = [0.0; 4];
    let (mut parse_ratios, mut render_ratios) = (Vec::new(), Vec::new());
    println!("\n{:<44}{:>12}{:>12}{:>12}{:>12}", "shared case, ns", "parse", "Go", "render", "Go");
    for (mut case, theirs) in cases.into_iter().zip(&answers) {
        let parse = nanoseconds(|| {
            let _ = black_box(Template::compile("case", &case.text, &case.options).is_ok());
        });
        let template = Template::compile("case", &case.text, &case.options).unwrap();
        let render = nanoseconds(|| {
            let _ = black_box(template.render(Value::Nil, &mut case.reads, &Limits::default()).is_ok());
        });
        let (go_parse, go_render) = (theirs["parse"].as_f64().unwrap(), theirs["execute"].as_f64().unwrap());
        println!("{:<44}{parse:>12.0}{go_parse:>12.0}{render:>12.0}{go_render:>12.0}", case.name);
        for (sum, time) in sums.iter_mut().zip([parse, go_parse, render, go_render]) {
            *sum += time;
        }
        parse_ratios.push(go_parse / parse);
        render_ratios.push(go_render / render);
    }
    println!("{:<44}{:>12.0}{:>12.0}{:>12.0}{:>12.0}", "all", sums[0], sums[1], sums[2], sums[3]);
    println!("parse: {}", summary(sums[1] / sums[0], parse_ratios));
    println!("render: {}", summary(sums[3] / sums[2], render_ratios));
}

fn summary(whole: f64, mut ratios: Vec<f64>) -> String {
    ratios.sort_by(f64::total_cmp);
    let (least, median) = (ratios[0], ratios[ratios.len() / 2]);
    format!("{whole:.1} times as fast as Go over all, {least:.1} in the worst case, {median:.1} in the median")
}

/// Answers from memory, converted beforehand as the Go program's are.
struct Reads {
    secrets: BTreeMap<String, Value>,
    lists: BTreeMap<String, Vec<Text>>,
}

impl Reads {
    fn of(secrets: &Json) -> Self {
        let mut fixture = Fixture { secrets, environment: &Json::Null };
        let (mut reads, mut lists) = (BTreeMap::new(), BTreeMap::new());
        for key in secrets.as_object().unwrap().keys() {
            match key.strip_prefix("list:") {
                Some(folder) => lists.extend(fixture.list(folder).unwrap().map(|names| (folder.to_owned(), names))),
                None => reads.extend(fixture.secret(key, &[]).unwrap().map(|secret| (key.clone(), secret))),
            }
        }
        Self { secrets: reads, lists }
    }
}

impl Resolver for Reads {
    fn secret(&mut self, path: &str, _arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        Ok(self.secrets.get(path).cloned())
    }

    fn list(&mut self, path: &str) -> Result<Option<Vec<Text>>, ResolveError> {
        Ok(self.lists.get(path).cloned())
    }
}

fn nanoseconds(mut work: impl FnMut()) -> f64 {
    let begun = Instant::now();
    let mut times = 0_u32;
    while begun.elapsed() < SPAN {
        work();
        times += 1;
    }
    begun.elapsed().as_secs_f64() * 1e9 / f64::from(times)
}
