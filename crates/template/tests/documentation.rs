//! Every function of the documented table has an example that holds, and docs/template.md shows the table.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use std::fmt::Write as _;
use std::path::Path;

use serde_json::json;
use vouchsafe_template::{Entry, Limits, Options, Origin, Template, Value, functions, refusals};

use self::common::Fixture;

fn render(example: &str) -> Result<String, String> {
    let secrets = json!({
        "secret/data/app": {"data": {"user": "app"}, "metadata": {"version": 1}},
        "list:secret/metadata/app/": ["a", "b"],
        "pki:pki/issue/web|common_name=web": {"Cert": "PEM"},
        "file:/etc/motd": "hello",
    });
    let template = Template::compile("example", example, &Options::drop_in()).map_err(|error| error.to_string())?;
    let mut fixture = Fixture { secrets: &secrets, environment: &json!({"REGION": "eu"}) };
    let rendered = template.render(Value::Nil, &mut fixture, &Limits::default()).map_err(|error| error.to_string())?;
    Ok(rendered.main.expose_str().unwrap().to_owned())
}

#[test]
fn the_example_of_every_function_prints_what_the_table_says() {
    let mut wrong = Vec::new();
    for entry in functions() {
        let named = entry.example.contains(entry.name);
        let rendered = render(entry.example);
        if !named || rendered.as_deref() != Ok(entry.output) {
            wrong.push(format!("{}: {} gives {rendered:?}, not {:?}", entry.name, entry.example, entry.output));
        }
        for alias in &entry.aliases {
            let rendered = render(&entry.example.replace(entry.name, alias));
            if rendered.as_deref() != Ok(entry.output) {
                wrong.push(format!("{alias}: gives {rendered:?}, not {:?}", entry.output));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_refused_name_is_refused_with_its_reason() {
    for (name, reason) in refusals() {
        let error = Template::compile("t", &format!("{{{{ {name} }}}}"), &Options::drop_in()).unwrap_err();
        assert!(error.to_string().ends_with(&format!("function {name} is not supported: {reason}")), "{error}");
    }
}

const BEGIN: &str = "<!-- functions: this part is made from the table in crates/template/src/catalog -->\n";
const END: &str = "<!-- end of functions -->";

#[test]
fn the_documentation_shows_the_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/template.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).unwrap();
    let (_, after) = rest.split_once(END).unwrap();
    let wanted = format!("{before}{BEGIN}{}{END}{after}", tables());
    if std::env::var_os("VOUCHSAFE_WRITE_DOCS").is_some() {
        std::fs::write(&path, &wanted).unwrap();
        return;
    }
    assert!(text == wanted, "docs/template.md is not up to date: run this test with VOUCHSAFE_WRITE_DOCS=1");
}

fn tables() -> String {
    let all = functions();
    let mut text = String::new();
    for (origin, title) in
        [(Origin::Go, "Go's own"), (Origin::Vault, "Vault Agent's helpers"), (Origin::Sprig, "Sprig's")]
    {
        writeln!(text, "\n### {title}\n\n| function | what it does | example | prints | our difference |").unwrap();
        writeln!(text, "|---|---|---|---|---|").unwrap();
        for entry in all.iter().filter(|entry| entry.origin == origin) {
            writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                heading(entry),
                entry.what,
                code(entry.example),
                code(entry.output),
                entry.difference
            )
            .unwrap();
        }
    }
    writeln!(
        text,
        "\n### Refused\n\nRefused when the template is compiled, by name.\n\n| functions | why |\n|---|---|"
    )
    .unwrap();
    let mut reasons: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, reason) in refusals() {
        match reasons.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, names)) => names.push(format!("`{name}`")),
            None => reasons.push((reason, vec![format!("`{name}`")])),
        }
    }
    for (reason, names) in reasons {
        writeln!(text, "| {} | {reason} |", names.join(", ")).unwrap();
    }
    text.push('\n');
    text
}

/// Name, aliases and parameters: `` `name` text [int] list… ``.
fn heading(entry: &Entry) -> String {
    let mut text = format!("`{}`", entry.name);
    for (at, parameter) in entry.parameters.iter().enumerate() {
        let _ = if at < entry.least { write!(text, " {parameter}") } else { write!(text, " \\[{parameter}\\]") };
    }
    if let Some(rest) = entry.rest {
        let _ = write!(text, " {rest}…");
    }
    if !entry.aliases.is_empty() {
        let aliases: Vec<String> = entry.aliases.iter().map(|alias| format!("`{alias}`")).collect();
        let _ = write!(text, "; also {}", aliases.join(", "));
    }
    text
}

/// Code in a table cell: on one line, with bars escaped.
fn code(text: &str) -> String {
    if text.is_empty() {
        return "nothing".to_owned();
    }
    let text = text.replace('\n', "⏎").replace('|', "\\|");
    if text.contains('`') { format!("`` {text} ``") } else { format!("`{text}`") }
}

#[test]
fn the_clock_is_what_the_caller_says() {
    assert_eq!(render("{{ timestamp }} {{ timestamp \"unix\" }}").unwrap(), "2026-01-02T03:04:05Z 1767323045");
    let layout = "Mon Monday Jan January 1 01 2 02 _2 002 __2 06 2006 3 03 15 4 04 5 05 PM pm MST Z07:00 -0700 .000 .999 Month x";
    let shown = render(&format!("{{{{ timestamp \"{layout}\" }}}}")).unwrap();
    let expected =
        "Fri Friday Jan January 1 01 2 02  2 002   2 26 2026 3 03 03 4 04 5 05 AM am UTC Z +0000 .006 .006 Month x";
    assert_eq!(shown, expected);
    let text = "{{ timestamp }}";
    let template = Template::compile("t", text, &Options::drop_in()).unwrap();
    let error = template.render(Value::Nil, &mut vouchsafe_template::NoReads, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("there is no clock here"), "{error}");
    assert!(Template::compile("t", text, &Options::own()).is_err());
}
