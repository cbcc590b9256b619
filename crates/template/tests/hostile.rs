//! Hostile templates and values end in an error within milliseconds, on a small stack, and never in a panic.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

use std::time::{Duration, Instant};

use proptest::prelude::*;
use vouchsafe_template::{
    CompileFault, Fault, Limit, Limits, Map, NoReads, Options, ResolveError, Resolver, SecretObject, Template, Text,
    Value,
};

/// A quarter of what musl gives a thread, and debug builds need several times what the sidecar's needs.
const STACK_BYTES: usize = 512 * 1024;

/// Far above what any of these takes, far below what a hang takes.
const PATIENCE: Duration = Duration::from_secs(20);

fn on_small_stack<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    let start = Instant::now();
    let thread = std::thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap();
    let result = thread.join().expect("no panic and no overflow");
    assert!(start.elapsed() < PATIENCE, "took {:?}", start.elapsed());
    result
}

fn fault_of(text: impl Into<String>) -> String {
    let text = text.into();
    on_small_stack(move || match Template::compile("hostile", &text, &Options::drop_in()) {
        Err(error) => error.to_string(),
        Ok(template) => match template.render(Value::Nil, &mut NoReads, &Limits::default()) {
            Ok(_) => "rendered".to_owned(),
            Err(error) => error.to_string(),
        },
    })
}

#[test]
fn nested_parentheses_and_blocks_meet_their_limits() {
    assert!(fault_of(format!("{{{{{}", "(".repeat(200_000))).contains("longer than 64 KiB"));
    assert!(fault_of(format!("{{{{{}", "(".repeat(60_000))).contains("parentheses are nested more than 100 deep"));
    assert!(fault_of("{{if 1}}".repeat(100_000)).contains("longer than 64 KiB"));
    assert!(fault_of("{{if 1}}".repeat(8_000)).contains("blocks are nested more than 100 deep"));
    assert!(fault_of("{{range 1}}".repeat(5_000)).contains("blocks are nested more than 100 deep"));
    let deepest = format!("{{{{{}1{}}}}}", "(".repeat(100), ")".repeat(100));
    assert!(fault_of(deepest).contains("nesting of blocks"), "the main block is a level too");
    let fine = format!("{{{{{}1{}}}}}", "(".repeat(99), ")".repeat(99));
    assert_eq!(fault_of(fine), "rendered");
    let blocks = format!("{}x{}", "{{if 1}}".repeat(99), "{{end}}".repeat(99));
    assert_eq!(fault_of(blocks), "rendered");
}

#[test]
fn long_chains_do_not_recurse() {
    assert!(fault_of(format!("{{{{ if 0 }}}}{}{{{{ end }}}}", "{{ else if 0 }}".repeat(4_000))).contains("rendered"));
    assert_eq!(fault_of(format!("{{{{ 1 {} }}}}", "| print ".repeat(7_000))), "rendered");
    assert!(fault_of(format!("{{{{ $.a{} }}}}", ".a".repeat(30_000))).contains("rendered"));
    assert_eq!(fault_of(format!("{{{{ print {} }}}}", "1 ".repeat(30_000))), "rendered");
}

#[test]
fn recursive_templates_meet_the_depth_limit() {
    let depth = Fault::Limit(Limit::Depth).to_string();
    assert!(fault_of(r#"{{ define "a" }}{{ template "a" . }}{{ end }}{{ template "a" }}"#).contains(&depth));
    assert!(fault_of(r#"{{ define "a" }}{{ executeTemplate "a" . }}{{ end }}{{ template "a" }}"#).contains(&depth));
    let text = r#"{{ define "a" }}{{ range 1 }}{{ with 1 }}{{ (print (executeTemplate "b")) }}{{ end }}{{ end }}{{ end }}
        {{ define "b" }}{{ if (((((1))))) }}{{ template "a" }}{{ end }}{{ end }}{{ template "a" }}"#;
    assert!(fault_of(text).contains(&depth));
}

#[test]
fn endless_work_meets_the_step_limit() {
    let steps = Fault::Limit(Limit::Steps).to_string();
    for text in [
        "{{ range 1000000000 }}{{ end }}",
        "{{ range 9223372036854775807 }}{{ range 9223372036854775807 }}{{ end }}{{ end }}",
        "{{ range loop 9223372036854775807 }}{{ end }}",
        "{{ sprig_until 2000000000 }}",
        r#"{{ $x := sprig_repeat 1000000 "a" }}{{ range 100000 }}{{ $y := sha256Hex $x }}{{ end }}"#,
        r#"{{ $x := sprig_repeat 20000 "a" }}{{ range 100000 }}{{ $y := regexMatch "(a*)*b" $x }}{{ end }}"#,
        "{{ $l := sprig_list 1 }}{{ range 1000000 }}{{ $l = sprig_append $l . }}{{ end }}",
        r#"{{ range 1000000 }}{{ scratch.MapSet "m" (print .) 1 }}{{ end }}"#,
        r#"{{ define "a" }}{{ range 100 }}{{ range 100 }}{{ range 100 }}{{ range 100 }}x{{ break }}{{ end }}{{ end }}{{ end }}{{ end }}{{ end }}{{ template "a" }}"#,
    ] {
        assert!(fault_of(text).contains(&steps), "{text}: {}", fault_of(text));
    }
}

#[test]
fn growing_values_meet_the_size_limits() {
    let size = Fault::Limit(Limit::Text).to_string();
    for text in [
        r#"{{ $x := "ab" }}{{ range 100 }}{{ $x = print $x $x }}{{ end }}"#,
        r#"{{ sprig_repeat 9223372036854775807 "ab" }}"#,
        r#"{{ indent 9223372036854775807 "ab" }}"#,
        r#"{{ $x := sprig_list "a" "b" }}{{ range 60 }}{{ $x = sprig_list $x $x }}{{ end }}{{ toJSON $x }}"#,
        r#"{{ $x := sprig_list "a" "b" }}{{ range 60 }}{{ $x = sprig_list $x $x }}{{ end }}{{ toYAML $x }}"#,
        r#"{{ define "a" }}{{ range 100000 }}0123456789012345678901234567890123456789012345678901234567890123456789{{ end }}{{ end }}{{ executeTemplate "a" }}"#,
    ] {
        assert!(fault_of(text).contains(&size), "{text}: {}", fault_of(text));
    }
    let output = Fault::Limit(Limit::Output).to_string();
    assert!(fault_of("{{ range 900000 }}0123456789{{ end }}").contains(&output));
    assert!(fault_of(r#"{{ printf "%1000000d%1000000d" 1 1 }}"#).contains(&output));
    let write = r#"{{ range 30 }}{{ writeToFile "/f" "" "" "0600" (sprig_repeat 100000 "a") }}{{ end }}"#;
    assert!(fault_of(write).contains(&output));
    let nested = fault_of("{{ $x := 1 }}{{ range 100000 }}{{ $x = sprig_list $x }}{{ end }}");
    assert!(nested.contains(&Fault::Limit(Limit::ValueDepth).to_string()), "{nested}");
    let equal = fault_of(
        "{{ $x := sprig_list 1 }}{{ $y := sprig_list 1 }}{{ range 60 }}{{ $x = sprig_list $x $x }}{{ $y = sprig_list $y $y }}{{ end }}{{ sprig_deepEqual $x $y }}",
    );
    assert!(equal.contains(&Fault::Limit(Limit::Steps).to_string()), "{equal}");
}

#[test]
fn odd_counts_and_positions_are_errors_or_results_but_no_panics() {
    let odd =
        ["-9223372036854775808", "9223372036854775807", "-1", "0", "1e300", r#""""#, r#""é""#, "nil", "1.5", "'x'"];
    let functions = [
        "slice \"abc\"",
        "index \"abc\"",
        "sprig_trunc",
        "sprig_substr 1",
        "sprig_slice (sprig_list 1 2)",
        "divide",
        "modulo",
        "sprig_div",
        "sprig_mod",
        "sprig_chunk",
        "indent",
        "sprig_repeat",
        "sprig_seq 0",
        "printf \"%*d\"",
        "printf \"%.*f\"",
        "printf \"%[1]*.[2]*[3]f\" 1",
        "sprig_untilStep 0",
        "loop 1",
        "add",
        "multiply",
        "subtract",
        "sprig_regexFindAll \"a\" \"b\"",
        "sprig_nindent",
        "html",
        "toYAML",
        "printf \"%c%U%q%x\"",
        "sprig_int",
        "sprig_add1",
        "len",
        "writeToFile \"a\" \"b\" \"c\"",
    ];
    for function in functions {
        for first in odd {
            for second in odd {
                fault_of(format!("{{{{ {function} {first} {second} }}}}"));
            }
        }
    }
}

#[test]
fn a_name_that_is_too_long_is_no_problem() {
    let error = Template::compile("t", &format!("{{{{ {} }}}}", "a".repeat(60_000)), &Options::own()).unwrap_err();
    assert!(matches!(error.fault, CompileFault::UnknownFunction { .. }));
}

struct OneSecret;

impl Resolver for OneSecret {
    fn secret(&mut self, _path: &str, _arguments: &[(Text, Text)]) -> Result<Option<Value>, ResolveError> {
        let json =
            br#"{"password":"canary-7f3a","port":5432,"list":["canary-7f3a",1],"map":{"canary-7f3a":"canary-7f3a"}}"#;
        let Ok(Value::Map(data)) = Value::from_json_text(json) else { return Ok(None) };
        Ok(Some(SecretObject::of_data(data).into()))
    }
}

const CANARY: &str = "canary-7f3a";

#[test]
fn no_error_text_holds_a_value() {
    let expressions = [
        "parseInt .password",
        "parseBool .password",
        "parseFloat .password",
        "parseUint .password",
        "parseJSON .password",
        "range .password }}{{ end",
        "eq .password 1",
        "lt .password 1.5",
        "index .map 1",
        "index .list .password",
        "index .list 9",
        "index .map .password .password",
        ".password.x",
        ".map.x.y",
        "executeTemplate .password",
        "base64Decode .password",
        "toUpper .list",
        "join .list .password",
        "secret .password .password",
        "regexMatch \"[\" .password",
        "regexMatch .list .password",
        "writeToFile .password .password .password .password .password",
        "sprig_fail .password",
        "slice .password 5 2",
        "add .password 1",
        "explodeMap .map | index .password",
        "scratch.Set .password .password | parseInt",
        "scratch.MapSet 1 .password",
        "loop .password",
        "sprig_dig .password .password .password",
        "html .password | parseInt",
        "printf \"%d\" .password | parseInt",
        "mustEnv .password",
        "call .password",
        "toYAML . | parseInt",
        ".password 1",
        ".map.x",
        "sprig_substr 9 1 .password",
        "len .nothing",
        "file .password",
        "index .password 999",
        "not .password | parseInt",
        "secrets .password",
        "pkiCert .password",
    ];
    let mut failed = 0;
    for expression in expressions {
        for strict in [true, false] {
            let mut options = Options::drop_in();
            options.missing_key = if strict { vouchsafe_template::MissingKey::Strict } else { options.missing_key };
            let text = format!(
                "{{{{ with secret \"a\" }}}}{{{{ with .Data }}}}{{{{ {expression} }}}}{{{{ end }}}}{{{{ end }}}}"
            );
            let Ok(template) = Template::compile("t", &text, &options) else { continue };
            if let Err(error) = template.render(Value::Nil, &mut OneSecret, &Limits::default()) {
                failed += 1;
                assert!(!error.to_string().contains(CANARY), "{expression}: {error}");
                assert!(!format!("{error:?}").contains(CANARY), "{expression}: {error:?}");
            }
        }
    }
    assert!(failed > 50, "only {failed} of the expressions failed, so the test says little");
}

#[test]
fn debug_texts_hold_no_value() {
    let Ok(Value::Map(map)) = Value::from_json_text(br#"{"canary-7f3a":["canary-7f3a",{"a":"canary-7f3a"}]}"#) else {
        panic!()
    };
    let template = Template::compile("t", "{{ . }}", &Options::own()).unwrap();
    let rendered = template.render(Value::Map(map.clone()), &mut NoReads, &Limits::default()).unwrap();
    let debug =
        format!("{map:?} {:?} {template:?} {rendered:?} {:?}", map.entries(), SecretObject::of_data(map.clone()));
    assert!(!debug.contains(CANARY), "{debug}");
}

#[test]
fn compile_errors_hold_no_string_literal() {
    for text in [
        r#"{{ quote "canary-7f3a" }}"#,
        r#"{{ "canary-7f3a" "b" }}"#,
        r#"{{ toUpper "canary-7f3a" "b" }}"#,
        r#"{{ template "canary 7f3a" }}"#,
        r#"{{ "canary-7f3a\q" }}"#,
        r#"{{ "canary-7f3a }}"#,
        r#"{{ if "canary-7f3a" }}"#,
        "{{ 'canary-7f3a' }}",
        "canary-7f3a {{ 08 }} canary-7f3a",
    ] {
        let error = Template::compile("t", text, &Options::own()).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}

fn fragment() -> impl Strategy<Value = String> {
    const PIECES: [&str; 56] = [
        "{{",
        "}}",
        "{{-",
        "-}}",
        " ",
        "\n",
        "if",
        "else",
        "end",
        "range",
        "with",
        "define",
        "block",
        "template",
        "break",
        "continue",
        "$",
        "$x",
        ":=",
        "=",
        ",",
        "|",
        "(",
        ")",
        ".",
        ".a",
        ".b.c",
        "\"s\"",
        "`r`",
        "'c'",
        "1",
        "-2",
        "1.5e3",
        "0x",
        "true",
        "nil",
        "/*",
        "*/",
        "print",
        "printf",
        "index",
        "slice",
        "eq",
        "and",
        "or",
        "len",
        "toJSON",
        "toYAML",
        "scratch",
        ".Set",
        "executeTemplate",
        "sprig_list",
        "sprig_dict",
        "\"%d\"",
        "secret",
        "é",
    ];
    proptest::sample::select(PIECES.as_slice()).prop_map(str::to_owned)
}

fn small_limits() -> Limits {
    Limits { steps: 20_000, depth: 100, output_bytes: 10_000 }
}

fn compile_and_render(text: &str) {
    for options in [Options::own(), Options::drop_in()] {
        let Ok(template) = Template::compile("t", text, &options) else { continue };
        let _ = (template.static_reads(), template.roots());
        let root = Value::from_json_text(br#"{"a":{"b":"c","n":1.50},"b":{"c":[1,"x"]}}"#).unwrap();
        if let Ok(rendered) = template.render(root, &mut OneSecret, &small_limits()) {
            assert!(rendered.main.len() <= small_limits().output_bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_compiles_or_fails_without_panic(text in "\\PC{0,200}") {
        compile_and_render(&text);
    }

    #[test]
    fn any_tokens_compile_or_fail_without_panic(pieces in proptest::collection::vec(fragment(), 0..40)) {
        compile_and_render(&pieces.concat());
        compile_and_render(&format!("{{{{ {} }}}}", pieces.join(" ")));
    }

    #[test]
    fn mutated_templates_compile_or_fail_without_panic(which in any::<proptest::sample::Index>(), at in any::<proptest::sample::Index>(), piece in fragment(), removed in 0_usize..4) {
        let cases: serde_json::Value = serde_json::from_str(include_str!("cases/templates.json")).unwrap();
        let cases = cases.as_array().unwrap();
        let text = which.get(cases)["template"].as_str().unwrap();
        let boundaries: Vec<usize> = text.char_indices().map(|(at, _)| at).collect();
        let start = *at.get(&boundaries);
        let end = text[start..].char_indices().map(|(at, _)| start + at).nth(removed).unwrap_or(text.len());
        compile_and_render(&format!("{}{piece}{}", &text[..start], &text[end..]));
    }

    #[test]
    fn any_json_is_read_or_refused_without_panic(bytes in proptest::collection::vec(any::<u8>(), 0..60), text in "[\\[\\]{}\":,0-9eE.+\\-a-z\\\\ ]{0,60}") {
        let _ = Value::from_json_text(&bytes);
        let ours = Value::from_json_text(text.as_bytes()).is_ok();
        let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
        // serde_json refuses lone surrogates, which Go replaces
        prop_assert!(ours == theirs || text.contains("\\u"), "{text}");
    }

    #[test]
    fn printed_floats_read_back(float in any::<f64>().prop_filter("finite", |float| float.is_finite())) {
        let text = format!("{{{{ printf \"%v %e %g\" {float:?} {float:?} {float:?} }}}}");
        let Ok(template) = Template::compile("t", &text, &Options::own()) else { return Ok(()) };
        let rendered = template.render(Value::Map(Map::new([]).unwrap()), &mut NoReads, &Limits::default()).unwrap();
        // EXPOSE: the test reads its own output
        let shown = rendered.main.expose_str().unwrap();
        let first: f64 = shown.split(' ').next().unwrap().parse().unwrap();
        prop_assert_eq!(first.to_bits(), float.to_bits());
    }
}
