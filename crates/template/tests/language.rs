//! The language as its users see it: our dialect, analysis, errors with places; and Go's own answers to a thousand
//! expressions.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]

mod common;

use serde_json::{Value as Json, json};
use vouchsafe_template::{
    CompileFault, Dialect, Fault, Limits, MissingKey, NoReads, Options, ReadKind, ResolveError, Resolver, Template,
    Text, Value,
};

use self::common::Fixture;

/// Recorded from Go 1.26 with consul-template 0.41 and Sprig 3.3: `[template body, body stands inside of "secret",
/// output or null for an error]`.
#[test]
fn go_answers_a_thousand_expressions_the_same_way() {
    let recorded: Json = serde_json::from_str(include_str!("cases/go-answers.json")).unwrap();
    let secrets = json!({"secret/s": recorded["secret"]});
    let mut wrong = Vec::new();
    let cases = recorded["cases"].as_array().unwrap();
    assert!(cases.len() > 900);
    for case in cases {
        let body = case[0].as_str().unwrap();
        let wrapped = format!("{{{{ with secret \"secret/s\" }}}}{{{{ with .Data }}}}{body}{{{{ end }}}}{{{{ end }}}}");
        let text = if case[1] == true { wrapped.as_str() } else { body };
        let mut fixture = Fixture { secrets: &secrets, environment: &Json::Null };
        let rendered = Template::compile("go", text, &Options::drop_in()).ok();
        let rendered = rendered.and_then(|template| template.render(Value::Nil, &mut fixture, &Limits::default()).ok());
        // EXPOSE: the test compares the bytes
        let rendered = rendered.map(|rendered| String::from_utf8_lossy(rendered.main.expose()).into_owned());
        if rendered.as_deref() != case[2].as_str() {
            wrong.push(format!("{body}\n  Go   {:?}\n  here {rendered:?}", case[2].as_str()));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

fn root() -> Value {
    Value::from_json_text(
        br#"{"users":{"grafana_sha256":"a<b&c","port":5432,"list":["a",1]},"smtp":{"password":"p\"q"}}"#,
    )
    .unwrap()
}

fn own(text: &str) -> Result<String, String> {
    let template = Template::compile("grant", text, &Options::own()).map_err(|error| error.to_string())?;
    let rendered = template.render(root(), &mut NoReads, &Limits::default()).map_err(|error| error.to_string())?;
    // EXPOSE: the test compares the bytes
    Ok(String::from_utf8_lossy(rendered.main.expose()).into_owned())
}

#[test]
fn the_grant_example_renders() {
    let text = "<clickhouse>\n  <pw>{{ .users.grafana_sha256 | html }}</pw>\n</clickhouse>\n";
    assert_eq!(own(text).unwrap(), "<clickhouse>\n  <pw>a&lt;b&amp;c</pw>\n</clickhouse>\n");
}

#[test]
fn our_dialect_is_strict_about_keys_but_index_may_look() {
    let error = own("a\n{{ .users.nope }}").unwrap_err();
    assert_eq!(error, "template grant:2:4: map has no entry for key nope");
    assert_eq!(own(r#"{{ with index .users "nope" }}x{{ else }}none{{ end }}"#).unwrap(), "none");
}

#[test]
fn our_dialect_forgives_where_go_is_strict_about_types() {
    assert_eq!(
        own(r#"{{ eq .users.port 5432 }} {{ join "," .users.list }} {{ .users.port | toUpper }}"#).unwrap(),
        "true a,1 5432"
    );
}

#[test]
fn our_dialect_reads_only_what_the_grant_names() {
    for call in [
        r#"secret "a""#,
        r#"secrets "a""#,
        r#"pkiCert "a""#,
        r#"env "A""#,
        r#"file "/etc/passwd""#,
        r#"writeToFile "/a" "" "" "0600" "x""#,
    ] {
        let error = Template::compile("t", &format!("{{{{ {call} }}}}"), &Options::own()).unwrap_err();
        assert!(matches!(error.fault, CompileFault::RefusedFunction { .. }), "{call}: {error}");
    }
}

#[test]
fn refusals_say_why_and_what_to_do() {
    let message = |text: &str| Template::compile("t", text, &Options::drop_in()).unwrap_err().to_string();
    assert_eq!(
        message("{{ key \"a\" }}"),
        "template t:1:4: function key is not supported: it needs Consul or Nomad; read the value from a secret instead"
    );
    assert!(message("{{ sprig_uuidv4 }}").contains("random"));
    assert!(message("{{ sprig_now }}").contains("time"));
    assert!(
        message(r#"{{ regexMatch "\\pL" .a }}"#).contains("1:15: function regexMatch cannot use this pattern: Unicode")
    );
    assert_eq!(
        message("{{ .a | quote }}"),
        "template t:1:9: function quote is not defined; Sprig's is called sprig_quote"
    );
    assert_eq!(
        message("{{ toJson .a }}"),
        "template t:1:4: function toJson is not defined; Sprig's is called sprig_toJson"
    );
    assert_eq!(message("{{ tojson .a }}"), "template t:1:4: function tojson is not defined; did you mean toJSON?");
    assert_eq!(
        message("x\n\n  {{ $x }}"),
        "template t:3:6: variable $x is not defined here; it lives until the end of the block that declares it"
    );
    assert_eq!(message("{{ if .a }}\n{{ range .b }}"), "template t:2:15: the block opened at 2:1 has no end");
    assert_eq!(
        message("{{ toUpper }}"),
        "template t:1:4: function toUpper takes 1 argument, but here it gets 0 (a piped value counts)"
    );
    assert_eq!(
        message("{{ 5 | toUpper 1 }}"),
        "template t:1:8: function toUpper takes 1 argument, but here it gets 2 (a piped value counts)"
    );
    assert_eq!(message("{{ toUpper 1 }}"), "template t:1:12: function toUpper expects string here, not a number");
}

#[test]
fn static_reads_are_found_once_with_whether_they_are_certain() {
    let text = r#"{{ with secret "a/b" }}{{ with secret "c" }}{{ .Data.x }}{{ end }}{{ end }}
        {{ if env "X" }}{{ with secret "d" }}x{{ end }}{{ with secret "c" }}x{{ end }}{{ end }}
        {{ range secrets "list/" }}{{ with secret (printf "e/%s" .) }}x{{ end }}{{ end }}
        {{ with secret "w" "k=v" }}x{{ end }}{{ define "t" }}{{ (secret "f").Data }}{{ end }}"#;
    let reads = Template::compile("t", text, &Options::drop_in()).unwrap().static_reads();
    let found: Vec<_> =
        reads.iter().map(|read| (read.path.as_str(), read.kind, read.conditional, read.position.line)).collect();
    assert_eq!(
        found,
        [
            ("a/b", ReadKind::Secret, false, 1),
            ("c", ReadKind::Secret, false, 1),
            ("d", ReadKind::Secret, true, 2),
            ("list/", ReadKind::List, false, 3),
            ("f", ReadKind::Secret, true, 4)
        ]
    );
}

#[test]
fn roots_are_found_through_with_and_dollar_but_not_through_range() {
    let text = r#"{{ .users.a }}{{ with .smtp }}{{ .b }}{{ $.users.c }}{{ end }}{{ range $k, $v := .all }}{{ .no }}{{ $.users }}{{ end }}
        {{ index .users "d" }}{{ with (print .x.y) }}{{ .no }}{{ end }}{{ define "t" }}{{ .no }}{{ $.no }}{{ end }}{{ if not .last.z }}{{ end }}"#;
    let roots = Template::compile("t", text, &Options::own()).unwrap().roots();
    let found: Vec<_> = roots.iter().map(|root| (root.secret.as_str(), root.key.as_deref())).collect();
    let expected = [
        ("users", Some("a")),
        ("smtp", None),
        ("smtp", Some("b")),
        ("users", Some("c")),
        ("all", None),
        ("users", None),
        ("users", None),
        ("x", Some("y")),
        ("last", Some("z")),
    ];
    assert_eq!(found, expected);
}

#[test]
fn an_absent_key_of_the_drop_in_prints_no_value_and_warns_once() {
    let template = Template::compile("t", "{{ range 3 }}{{ $.a.b }}{{ end }}", &Options::drop_in()).unwrap();
    let root = Value::from_json_text(br#"{"a":{}}"#).unwrap();
    let rendered = template.render(root, &mut NoReads, &Limits::default()).unwrap();
    assert_eq!(rendered.main.expose_str(), Some("<no value><no value><no value>"));
    assert_eq!(rendered.warnings.len(), 1);
    assert_eq!(rendered.warnings[0].position.to_string(), "1:17");
}

struct Nothing {
    asked: Vec<String>,
}

impl Resolver for Nothing {
    fn secret(&mut self, path: &str, _arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        self.asked.push(path.to_owned());
        Ok(None)
    }
}

#[test]
fn a_secret_that_is_not_there_ends_the_rendering_and_the_resolver_knows_which() {
    let template = Template::compile("t", "x{{ with secret \"a\" }}{{ end }}", &Options::drop_in()).unwrap();
    let mut resolver = Nothing { asked: Vec::new() };
    let error = template.render(Value::Nil, &mut resolver, &Limits::default()).unwrap_err();
    assert_eq!(error.fault, Fault::SecretUnavailable);
    assert_eq!((error.function, error.position.to_string().as_str()), (Some("secret"), "1:10"));
    assert_eq!(resolver.asked, ["a"]);
}

#[test]
fn binary_values_come_out_byte_exact() {
    let root = Value::from_json_text(br#"{"jks":{"b":"/+3+7QAAAAIA/w=="}}"#).unwrap();
    let template = Template::compile("t", "{{ .jks.b | base64Decode }}", &Options::own()).unwrap();
    let rendered = template.render(root, &mut NoReads, &Limits::default()).unwrap();
    assert_eq!(rendered.main.expose(), b"\xff\xed\xfe\xed\0\0\0\x02\0\xff");
}

#[test]
fn a_template_renders_the_same_twice_and_can_be_shared_between_threads() {
    fn shareable<T: Send + Sync>(_: &T) {}
    let options = Options { missing_key: MissingKey::Zero, dialect: Dialect::Own, ..Options::own() };
    let template =
        Template::compile("t", r#"{{ scratch.SetX "a" 1 }}{{ scratch.Get "a" }}{{ .users.port }}"#, &options).unwrap();
    shareable(&template);
    shareable(&root());
    for _ in 0..2 {
        let rendered = template.render(root(), &mut NoReads, &Limits::default()).unwrap();
        assert_eq!(rendered.main.expose_str(), Some("15432"));
    }
}

#[test]
fn delimiters_are_checked() {
    for (left, right) in [("a", "b"), (" ", ")"), ("<<<<<<<<<<<<<<<<<<<", ">>")] {
        assert!(Template::compile("t", "x", &Options::own().with_delimiters(left, right)).is_err());
    }
    let template =
        Template::compile("t", "{{ keep }}<<- .users.port >>", &Options::own().with_delimiters("<<", ">>")).unwrap();
    assert_eq!(
        template.render(root(), &mut NoReads, &Limits::default()).unwrap().main.expose_str(),
        Some("{{ keep }}5432")
    );
}
