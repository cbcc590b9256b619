//! Go's own functions in words.

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("and", "The first argument that is false, else the last", "{{ and 1 0 2 }}", "0"),
    row("or", "The first argument that is true, else the last", r#"{{ or 0 "" "x" }}"#, "x"),
    row("not", "Whether the value is false, zero, nil or empty", "{{ not true }}", "false"),
    row("eq", "Whether the first value equals any of the others", "{{ eq 1 2 1 }}", "true")
        .differs("a number of a secret compares with numbers in our own dialect"),
    row("ne", "Whether two values differ", r#"{{ ne "a" "b" }}"#, "true"),
    row("lt", "Whether the first is less", "{{ lt 1 2 }}", "true"),
    row("le", "Whether the first is less or equal", "{{ le 2 2 }}", "true"),
    row("gt", "Whether the first is greater", "{{ gt 1 2 }}", "false"),
    row("ge", "Whether the first is greater or equal", r#"{{ ge "b" "a" }}"#, "true"),
    row("len", "Number of bytes of a text, of elements, of entries", r#"{{ len "hé" }}"#, "3"),
    row(
        "index",
        "An element by position, a value by key, one after the other",
        r#"{{ index (sprig_list "a" "b") 1 }}"#,
        "b",
    ),
    row("slice", "A part of a text or list: from, to", r#"{{ slice "abcdef" 1 3 }}"#, "bc"),
    row("print", "All arguments as one text", r#"{{ print "a" 1 2 "b" }}"#, "a1 2b"),
    row("println", "The same with spaces and a line break", r#"{{ println "x" 3 }}"#, "x 3\n"),
    row("printf", "Text by a format", r#"{{ printf "%05d|%-4s|%q" 42 "ab" "c" }}"#, r#"00042|ab  |"c""#)
        .differs("a precision over 1000 digits is an error"),
    row("html", "Escaped for HTML and XML", r#"{{ html "<a>" }}"#, "&lt;a&gt;"),
    row("js", "Escaped for a JavaScript string", r#"{{ js "it's" }}"#, r"it\'s"),
    row("urlquery", "Escaped for a query of a URL", r#"{{ urlquery "a b&c" }}"#, "a+b%26c"),
    row(
        "executeTemplate",
        "Renders a defined template into a text",
        r#"{{ define "t" }}[{{ . }}]{{ end }}{{ executeTemplate "t" 1 }}"#,
        "[1]",
    ),
];
