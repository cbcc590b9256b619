//! Sprig's functions in words.

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row(
        "sprig_default",
        "The second argument, or the first where that is empty",
        r#"{{ "" | sprig_default "x" }}"#,
        "x",
    ),
    row("sprig_empty", "Whether the value is empty", "{{ sprig_empty 0 }}", "true"),
    row("sprig_coalesce", "The first that is not empty", r#"{{ sprig_coalesce "" nil "z" }}"#, "z"),
    row("sprig_all", "Whether none is empty", r#"{{ sprig_all 1 "a" }}"#, "true"),
    row("sprig_any", "Whether one is not empty", r#"{{ sprig_any 0 "a" }}"#, "true"),
    row("sprig_ternary", "One of two values by a truth value", r#"{{ sprig_ternary "yes" "no" true }}"#, "yes"),
    row("sprig_fail", "Ends the rendering with an error", r#"{{ if false }}{{ sprig_fail "x" }}{{ end }}ok"#, "ok")
        .differs("the text is not shown, since it may hold a value"),
    row(
        "sprig_deepEqual",
        "Whether two values are equal through and through",
        "{{ sprig_deepEqual (sprig_list 1) (sprig_list 1) }}",
        "true",
    ),
    row("sprig_kindOf", "The kind of a value", "{{ sprig_kindOf (sprig_list 1) }}", "slice"),
    row("sprig_kindIs", "Whether it is of that kind", r#"{{ sprig_kindIs "map" (sprig_dict) }}"#, "true"),
    row("sprig_typeOf", "The Go type of a value", r#"{{ sprig_typeOf "a" }}"#, "string")
        .differs("all signed integers are `int`"),
    row("sprig_typeIs", "Whether it is of that type", r#"{{ sprig_typeIs "string" "a" }}"#, "true")
        .differs("all signed integers are `int`"),
    row("sprig_typeIsLike", "The same, a pointer to it included", r#"{{ sprig_typeIsLike "string" "a" }}"#, "true")
        .differs("all signed integers are `int`"),
    row("sprig_fromJson", "A value from JSON, nil where it is none", r#"{{ (sprig_fromJson "[1,2]") | len }}"#, "2"),
    row("sprig_mustFromJson", "A value from JSON", r#"{{ (sprig_mustFromJson "{\"a\":\"b\"}").a }}"#, "b"),
    row("sprig_toJson", "As JSON", r#"{{ sprig_list "<" | sprig_toJson }}"#, r#"["\u003c"]"#),
    row("sprig_toPrettyJson", "As JSON on several lines", "{{ sprig_list 1 | sprig_toPrettyJson }}", "[\n  1\n]"),
    row(
        "sprig_toRawJson",
        "As JSON, nothing escaped for HTML",
        r#"{{ sprig_list "<" | sprig_toRawJson }}"#,
        r#"["<"]"#,
    ),
    row("sprig_b64enc", "Encodes as base64", r#"{{ sprig_b64enc "hi" }}"#, "aGk="),
    row("sprig_b64dec", "Decodes base64", r#"{{ sprig_b64dec "aGk=" }}"#, "hi")
        .differs("what is not base64 is an error and not the text of one"),
    row("sprig_b32enc", "Encodes as base32", r#"{{ sprig_b32enc "hi" }}"#, "NBUQ===="),
    row("sprig_b32dec", "Decodes base32", r#"{{ sprig_b32dec "NBUQ====" }}"#, "hi")
        .differs("what is not base32 is an error and not the text of one"),
    row(
        "sprig_sha1sum",
        "SHA-1 in hexadecimal",
        r#"{{ sprig_sha1sum "a" }}"#,
        "86f7e437faa5a7fce15d1ddcb9eaeaea377667b8",
    ),
    row("sprig_sha256sum", "SHA-256 in hexadecimal", r#"{{ sprig_sha256sum "a" | sprig_trunc 8 }}"#, "ca978112"),
    row("sprig_sha512sum", "SHA-512 in hexadecimal", r#"{{ sprig_sha512sum "a" | sprig_trunc 8 }}"#, "1f40fc92"),
    row("sprig_adler32sum", "Adler-32 as a number", r#"{{ sprig_adler32sum "a" }}"#, "6422626"),
    row("sprig_atoi", "An integer from text, 0 where it is none", r#"{{ sprig_atoi "12" }}"#, "12"),
    row("sprig_int", "Anything as an integer", r#"{{ sprig_int "12" }}"#, "12"),
    row("sprig_float64", "Anything as a float", r#"{{ sprig_float64 "1.5" }}"#, "1.5"),
    row("sprig_add", "The sum of integers", "{{ sprig_add 1 2 3 }}", "6")
        .differs("a result that does not fit is an error"),
    row("sprig_add1", "One more", "{{ sprig_add1 1 }}", "2").differs("a result that does not fit is an error"),
    row("sprig_sub", "The first minus the second", "{{ sprig_sub 5 1 }}", "4")
        .differs("a result that does not fit is an error"),
    row("sprig_mul", "The product of integers", "{{ sprig_mul 2 3 4 }}", "24")
        .differs("a result that does not fit is an error"),
    row("sprig_div", "The integer quotient", "{{ sprig_div 9 2 }}", "4"),
    row("sprig_mod", "What is left of the division", "{{ sprig_mod 9 4 }}", "1"),
    row("sprig_max", "The greatest integer", "{{ sprig_max 1 3 2 }}", "3"),
    row("sprig_min", "The least integer", "{{ sprig_min 3 1 2 }}", "1"),
    row("sprig_floor", "Rounded down", "{{ sprig_floor 1.7 }}", "1"),
    row("sprig_ceil", "Rounded up", "{{ sprig_ceil 1.2 }}", "2"),
    row("sprig_until", "A list of integers from 0", "{{ sprig_until 3 }}", "[0 1 2]"),
    row("sprig_untilStep", "From, to, step", "{{ sprig_untilStep 3 9 3 }}", "[3 6]"),
    row("sprig_seq", "Integers as text, like the program of that name", "{{ sprig_seq 1 2 5 }}", "1 3 5"),
    row("sprig_plural", "One of two texts by a count", r#"{{ sprig_plural "day" "days" 2 }}"#, "days"),
    row("sprig_addf", "The sum, calculated with decimals", "{{ sprig_addf 0.1 0.2 }}", "0.3")
        .differs("over 38 digits it is calculated with floats"),
    row("sprig_add1f", "One more, calculated with decimals", "{{ sprig_add1f 0.1 }}", "1.1")
        .differs("over 38 digits it is calculated with floats"),
    row("sprig_subf", "The first minus the others", "{{ sprig_subf 0.3 0.1 }}", "0.2")
        .differs("over 38 digits it is calculated with floats"),
    row("sprig_mulf", "The product", "{{ sprig_mulf 1.1 1.1 }}", "1.21")
        .differs("over 38 digits it is calculated with floats"),
    row("sprig_divf", "The first divided by the others, to 16 places", "{{ sprig_divf 10 4 }}", "2.5")
        .differs("over 38 digits it is calculated with floats"),
    row("sprig_maxf", "The greatest float", "{{ sprig_maxf 1 2.5 }}", "2.5"),
    row("sprig_minf", "The least float", "{{ sprig_minf 1 2.5 }}", "1"),
    row("sprig_round", "Rounded to that many places", "{{ sprig_round 123.5555 2 }}", "123.56"),
    row("sprig_toDecimal", "From octal, as permissions are written", r#"{{ sprig_toDecimal "0777" }}"#, "511"),
    row("sprig_duration", "Seconds as a duration", r#"{{ sprig_duration "95" }}"#, "1m35s")
        .differs("takes every integer and not only some types of them"),
    row("sprig_durationRound", "The largest unit of a duration", r#"{{ sprig_durationRound "2h10m5s" }}"#, "2h")
        .differs("takes every integer as nanoseconds"),
    row("sprig_list", "A list", r#"{{ sprig_list 1 "a" }}"#, "[1 a]"),
    row("sprig_dict", "A map of keys and values", r#"{{ sprig_dict "a" 1 "b" 2 }}"#, "map[a:1 b:2]"),
    row("sprig_get", "The value of a key, or an empty text", r#"{{ sprig_get (sprig_dict "a" 1) "a" }}"#, "1"),
    row(
        "sprig_set",
        "Sets a key",
        r#"{{ $d := sprig_dict "a" 1 }}{{ $_ := sprig_set $d "b" 2 }}{{ $d }}"#,
        "map[a:1 b:2]",
    )
    .differs("changes the variable that is the first argument and nothing else that holds the map"),
    row(
        "sprig_unset",
        "Removes a key",
        r#"{{ $d := sprig_dict "a" 1 "b" 2 }}{{ $_ := sprig_unset $d "b" }}{{ $d }}"#,
        "map[a:1]",
    )
    .differs("changes the variable that is the first argument and nothing else that holds the map"),
    row("sprig_hasKey", "Whether the key is there", r#"{{ sprig_hasKey (sprig_dict "a" 1) "b" }}"#, "false"),
    row("sprig_keys", "Keys of maps", r#"{{ sprig_keys (sprig_dict "a" 1) }}"#, "[a]")
        .differs("in order, where Sprig's come in any order"),
    row("sprig_values", "Values of a map", r#"{{ sprig_values (sprig_dict "a" 1) }}"#, "[1]")
        .differs("in the order of the keys, where Sprig's come in any order"),
    row(
        "sprig_pluck",
        "The values of one key in several maps",
        r#"{{ sprig_pluck "a" (sprig_dict "a" 1) (sprig_dict "a" 2) }}"#,
        "[1 2]",
    ),
    row("sprig_pick", "Only these keys", r#"{{ sprig_pick (sprig_dict "a" 1 "b" 2) "a" }}"#, "map[a:1]"),
    row("sprig_omit", "All but these keys", r#"{{ sprig_omit (sprig_dict "a" 1 "b" 2) "a" }}"#, "map[b:2]"),
    row(
        "sprig_merge",
        "Merges deeply; the first wins",
        r#"{{ sprig_merge (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) }}"#,
        "map[a:1 b:3]",
    )
    .differs("changes the variable that is the first argument and nothing else that holds the map"),
    row(
        "sprig_mergeOverwrite",
        "Merges deeply; the last wins",
        r#"{{ sprig_mergeOverwrite (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) }}"#,
        "map[a:2 b:3]",
    )
    .differs("changes the variable that is the first argument and nothing else that holds the map"),
    row(
        "sprig_deepCopy",
        "The same value; values never change here",
        r#"{{ sprig_deepCopy (sprig_dict "a" 1) }}"#,
        "map[a:1]",
    ),
    row(
        "sprig_dig",
        "Keys, default, map: what stands at the end of the keys",
        r#"{{ sprig_dig "a" "b" "none" (sprig_dict "a" (sprig_dict "b" 1)) }}"#,
        "1",
    ),
    row("sprig_append", "A list with one more at its end", "{{ sprig_append (sprig_list 1) 2 }}", "[1 2]"),
    row("sprig_prepend", "A list with one more at its beginning", "{{ sprig_prepend (sprig_list 1) 2 }}", "[2 1]"),
    row("sprig_first", "The first element", "{{ sprig_first (sprig_list 1 2) }}", "1"),
    row("sprig_last", "The last element", "{{ sprig_last (sprig_list 1 2) }}", "2"),
    row("sprig_rest", "All but the first", "{{ sprig_rest (sprig_list 1 2 3) }}", "[2 3]"),
    row("sprig_initial", "All but the last", "{{ sprig_initial (sprig_list 1 2 3) }}", "[1 2]"),
    row("sprig_reverse", "In reverse order", "{{ sprig_reverse (sprig_list 1 2) }}", "[2 1]"),
    row("sprig_compact", "Without empty elements", r#"{{ sprig_compact (sprig_list 1 "" 2) }}"#, "[1 2]"),
    row("sprig_uniq", "Without what was there already", "{{ sprig_uniq (sprig_list 1 1 2) }}", "[1 2]"),
    row("sprig_without", "Without these elements", "{{ sprig_without (sprig_list 1 2 3) 2 }}", "[1 3]"),
    row("sprig_has", "Whether the list has the element", "{{ sprig_has 1 (sprig_list 1 2) }}", "true"),
    row("sprig_slice", "A part of a list", "{{ sprig_slice (sprig_list 1 2 3) 1 }}", "[2 3]"),
    row("sprig_concat", "Lists one after the other", "{{ sprig_concat (sprig_list 1) (sprig_list 2) }}", "[1 2]"),
    row("sprig_chunk", "A list of lists of that size", "{{ sprig_chunk 2 (sprig_list 1 2 3) }}", "[[1 2] [3]]"),
    row("sprig_sortAlpha", "As texts in byte order", r#"{{ sprig_sortAlpha (sprig_list "b" "a") }}"#, "[a b]"),
    row("sprig_quote", "In double quotes", r#"{{ sprig_quote "a\"b" 1 }}"#, r#""a\"b" "1""#),
    row("sprig_squote", "In single quotes", r#"{{ sprig_squote "a" 1 }}"#, "'a' '1'"),
    row("sprig_cat", "With spaces between", r#"{{ sprig_cat "a" 1 nil "b" }}"#, "a 1 b"),
    row("sprig_toString", "As text", "{{ sprig_toString 1.5 }}", "1.5"),
    row("sprig_upper", "In capitals", r#"{{ sprig_upper "ab" }}"#, "AB"),
    row("sprig_lower", "In small letters", r#"{{ sprig_lower "AB" }}"#, "ab"),
    row(
        "sprig_title",
        "The first letter of each word as a capital",
        r#"{{ sprig_title "hello world" }}"#,
        "Hello World",
    ),
    row("sprig_untitle", "The first letter of each word small", r#"{{ sprig_untitle "Hello World" }}"#, "hello world"),
    row("sprig_snakecase", "With underscores", r#"{{ sprig_snakecase "FirstName" }}"#, "first_name"),
    row("sprig_kebabcase", "With hyphens", r#"{{ sprig_kebabcase "FirstName" }}"#, "first-name"),
    row("sprig_camelcase", "With capitals", r#"{{ sprig_camelcase "http_server" }}"#, "HttpServer"),
    row("sprig_nospace", "Without white space", r#"{{ sprig_nospace "a b\tc" }}"#, "abc"),
    row("sprig_trunc", "The first bytes, or with a negative count the last", r#"{{ sprig_trunc -2 "abcdef" }}"#, "ef"),
    row("sprig_substr", "From, to, text", r#"{{ sprig_substr 1 3 "abcdef" }}"#, "bc"),
    row("sprig_repeat", "That many times", r#"{{ sprig_repeat 3 "ab" }}"#, "ababab"),
    row("sprig_indent", "Indents every line", r#"{{ sprig_indent 2 "a\nb" }}"#, "  a\n  b"),
    row("sprig_nindent", "The same behind a line break", r#"{{ "a\nb" | sprig_nindent 2 }}"#, "\n  a\n  b"),
    row("sprig_replace", "Replaces every occurrence: from, to, text", r#"{{ "a b" | sprig_replace " " "-" }}"#, "a-b"),
    row("sprig_trim", "Removes white space from both ends", r#"{{ sprig_trim "  x " }}"#, "x"),
    row("sprig_trimAll", "Removes characters from both ends", r#"{{ sprig_trimAll "$" "$5$" }}"#, "5"),
    row("sprig_trimPrefix", "Removes a beginning", r#"{{ sprig_trimPrefix "a" "ab" }}"#, "b"),
    row("sprig_trimSuffix", "Removes an end", r#"{{ sprig_trimSuffix "b" "ab" }}"#, "a"),
    row("sprig_contains", "Whether the second text has the first in it", r#"{{ sprig_contains "a" "cat" }}"#, "true"),
    row(
        "sprig_hasPrefix",
        "Whether the second text begins with the first",
        r#"{{ sprig_hasPrefix "c" "cat" }}"#,
        "true",
    ),
    row("sprig_hasSuffix", "Whether it ends with it", r#"{{ sprig_hasSuffix "t" "cat" }}"#, "true"),
    row("sprig_splitList", "Splits into a list", r#"{{ sprig_splitList "," "a,b" }}"#, "[a b]"),
    row("sprig_split", "Splits into a map of `_0`, `_1` and so on", r#"{{ (sprig_split "," "a,b")._1 }}"#, "b"),
    row("sprig_splitn", "The same into at most so many parts", r#"{{ (sprig_splitn "," 2 "a,b,c")._1 }}"#, "b,c"),
    row("sprig_join", "Joins anything", r#"{{ sprig_join "-" (sprig_list 1 "a") }}"#, "1-a"),
    row("sprig_toStrings", "Anything as a list of texts", r#"{{ sprig_toStrings (sprig_list 1 "a") }}"#, "[1 a]"),
    row("sprig_base", "The last part of a path", r#"{{ sprig_base "a/b.c" }}"#, "b.c"),
    row("sprig_dir", "A path without its last part", r#"{{ sprig_dir "a/b.c" }}"#, "a"),
    row("sprig_clean", "The shortest equal path", r#"{{ sprig_clean "a/../b//c" }}"#, "b/c"),
    row("sprig_ext", "The extension of a path", r#"{{ sprig_ext "a/b.c" }}"#, ".c"),
    row("sprig_isAbs", "Whether a path begins at the root", r#"{{ sprig_isAbs "/a" }}"#, "true"),
    row("sprig_hello", "A greeting", "{{ sprig_hello }}", "Hello!"),
    row("sprig_abbrev", "At most so many bytes, with dots", r#"{{ sprig_abbrev 6 "hello world" }}"#, "hel..."),
    row("sprig_abbrevboth", "With dots at both ends", r#"{{ sprig_abbrevboth 5 10 "1234 5678 9123" }}"#, "...5678..."),
    row("sprig_initials", "First letters of the words", r#"{{ sprig_initials "Ada Byron" }}"#, "AB"),
    row("sprig_swapcase", "Capitals small and small letters as capitals", r#"{{ sprig_swapcase "aB c" }}"#, "Ab C"),
    row("sprig_wrap", "Breaks lines at that many bytes", r#"{{ sprig_wrap 5 "aa bb cc" }}"#, "aa bb\ncc"),
    row(
        "sprig_wrapWith",
        "The same with a mark of one's own, cutting long words",
        r#"{{ sprig_wrapWith 5 "|" "aa bb cc" }}"#,
        "aa bb|cc",
    ),
    row("sprig_regexMatch", "Whether a regular expression matches", r#"{{ sprig_regexMatch "^a" "ab" }}"#, "true")
        .differs("see Regular expressions"),
    row(
        "sprig_regexReplaceAll",
        "Replaces every match: pattern, text, by",
        r#"{{ sprig_regexReplaceAll "a(x*)b" "axxb" "${1}" }}"#,
        "xx",
    )
    .differs("see Regular expressions"),
    row(
        "sprig_regexReplaceAllLiteral",
        "The same without `$1`",
        r#"{{ sprig_regexReplaceAllLiteral "x" "axb" "$1" }}"#,
        "a$1b",
    )
    .differs("see Regular expressions"),
    row("sprig_regexFind", "The first match", r#"{{ sprig_regexFind "[0-9]+" "a12b" }}"#, "12")
        .differs("see Regular expressions"),
    row("sprig_regexFindAll", "All matches, at most so many", r#"{{ sprig_regexFindAll "[0-9]" "1a2" -1 }}"#, "[1 2]")
        .differs("see Regular expressions"),
    row(
        "sprig_regexSplit",
        "Splits at matches, into at most so many parts",
        r#"{{ sprig_regexSplit "," "a,b" -1 }}"#,
        "[a b]",
    )
    .differs("see Regular expressions"),
    row(
        "sprig_regexQuoteMeta",
        "Escapes what means something in a pattern",
        r#"{{ sprig_regexQuoteMeta "a.b" }}"#,
        r"a\.b",
    ),
    row(
        "sprig_urlParse",
        "A map of scheme, host, hostname, path, query, opaque, fragment, userinfo",
        r#"{{ (sprig_urlParse "https://u:p@h:8200/a?b=c").host }}"#,
        "h:8200",
    ),
    row(
        "sprig_urlJoin",
        "A URL of such a map",
        r#"{{ sprig_urlJoin (sprig_dict "scheme" "https" "host" "h" "path" "/a b" "query" "c=d") }}"#,
        "https://h/a%20b?c=d",
    ),
];
