//! The Vault helpers in words.

use super::{Row, row};

pub(super) const ROWS: &[Row] = &[
    row("secret", "Reads a secret; with further arguments `key=value` it writes them and gives the answer", r#"{{ with secret "secret/data/app" }}{{ .Data.data.user }}{{ end }}"#, "app")
        .differs("not in our own dialect, where the Grant says what is read"),
    row("secrets", "Names below a path", r#"{{ range secrets "secret/metadata/app/" }}{{ . }} {{ end }}"#, "a b ")
        .differs("not in our own dialect"),
    row("pkiCert", "Issues a certificate: Cert, Key, CA, CAChain", r#"{{ with pkiCert "pki/issue/web" "common_name=web" }}{{ .Data.Cert }}{{ end }}"#, "PEM")
        .differs("not in our own dialect"),
    row("file", "Content of a file, inside of what the sidecar may read", r#"{{ file "/etc/motd" }}"#, "hello")
        .differs("not in our own dialect"),
    row("writeToFile", "A further output: path, user, group, permissions, optional flags `append,newline`, content; written together with the main file", r#"{{ "x" | writeToFile "/vault/secrets/x" "" "" "0600" }}"#, "")
        .differs("not in our own dialect; written only once everything is rendered, not on every pass"),
    row("scratch", "Scratch space of one rendering: Key, Get, Set, SetX, MapSet, MapSetX, MapValues", r#"{{ scratch.Set "k" "v" }}{{ scratch.Get "k" }}"#, "v"),
    row("env", "An environment variable, empty if not set", r#"{{ env "REGION" }}"#, "eu")
        .differs("not in our own dialect"),
    row("mustEnv", "An environment variable that must be set", r#"{{ mustEnv "REGION" }}"#, "eu")
        .differs("not in our own dialect"),
    row("envOrDefault", "An environment variable, or a text", r#"{{ envOrDefault "NOT_SET" "eu" }}"#, "eu")
        .differs("not in our own dialect"),
    row("timestamp", "The time of the rendering in UTC, by RFC 3339, as `unix`, or by a Go layout", r#"{{ timestamp "2006-01-02" }}"#, "2026-01-02")
        .differs("not in our own dialect; fails where the caller gives no time"),
    row("base64Decode", "Decodes standard base64, binary content included", r#"{{ base64Decode "aGk=" }}"#, "hi"),
    row("base64Encode", "Encodes as standard base64", r#"{{ base64Encode "hi" }}"#, "aGk="),
    row("base64URLDecode", "Decodes base64 for URLs", r#"{{ base64URLDecode "Pz8_" }}"#, "???"),
    row("base64URLEncode", "Encodes as base64 for URLs", r#"{{ base64URLEncode "???" }}"#, "Pz8_"),
    row("contains", "Whether a text or list has the first argument in it", r#"{{ "abc" | contains "b" }}"#, "true"),
    row("containsAll", "Whether all elements of the list are in the second argument", r#"{{ containsAll (sprig_list "a" "b") "abc" }}"#, "true"),
    row("containsAny", "Whether any element is", r#"{{ containsAny (sprig_list "a" "z") "abc" }}"#, "true"),
    row("containsNone", "Whether none is", r#"{{ containsNone (sprig_list "y" "z") "abc" }}"#, "true"),
    row("containsNotAll", "Whether some are not", r#"{{ containsNotAll (sprig_list "a" "z") "abc" }}"#, "true"),
    row("in", "Whether the second argument is in the first", r#"{{ in "abc" "z" }}"#, "false"),
    row("indent", "Indents every line that is not empty", r#"{{ indent 2 "a\nb" }}"#, "  a\n  b"),
    row("join", "Joins a list of texts", r#"{{ "a,b" | split "," | join "|" }}"#, "a|b")
        .differs("our own dialect joins any list of scalars"),
    row("split", "Splits the trimmed text", r#"{{ range split "," " a,b " }}[{{ . }}]{{ end }}"#, "[a][b]"),
    row("splitToMap", "Splits twice, into keys and values", r#"{{ splitToMap ";" "=" "a=1;b=2" | toJSON }}"#, r#"{"a":"1","b":"2"}"#),
    row("trim", "Removes characters from both ends", r#"{{ trim "/" "/p/" }}"#, "p"),
    row("trimPrefix", "Removes a beginning", r#"{{ trimPrefix "vault:" "vault:v1" }}"#, "v1"),
    row("trimSuffix", "Removes an end", r#"{{ trimSuffix ".git" "r.git" }}"#, "r"),
    row("trimSpace", "Removes white space from both ends", r#"{{ trimSpace "  x " }}"#, "x"),
    row("replaceAll", "Replaces every occurrence: from, to, text", r#"{{ "a-b-c" | replaceAll "-" "_" }}"#, "a_b_c"),
    row("regexMatch", "Whether a regular expression matches", r#"{{ regexMatch "^v[0-9]+$" "v12" }}"#, "true")
        .differs("see Regular expressions"),
    row("regexReplaceAll", "Replaces every match; `$1` and `${1}` stand for groups", r#"{{ regexReplaceAll "([a-z])=([0-9])" "$2:$1" "a=1" }}"#, "1:a")
        .differs("see Regular expressions"),
    row("toLower", "In small letters", r#"{{ toLower "ÄB" }}"#, "äb"),
    row("toUpper", "In capitals", r#"{{ toUpper "äb" }}"#, "ÄB"),
    row("toTitle", "The first letter of each word as a capital", r#"{{ toTitle "hello world-foo" }}"#, "Hello World-Foo"),
    row("parseBool", "A truth value from text", r#"{{ parseBool "true" }}"#, "true"),
    row("parseInt", "An integer from text", r#"{{ parseInt "-3" }}"#, "-3"),
    row("parseUint", "A natural number from text", r#"{{ parseUint "3" }}"#, "3"),
    row("parseFloat", "A float from text", r#"{{ parseFloat "1.50" }}"#, "1.5"),
    row("parseJSON", "A value from JSON; numbers become floats", r#"{{ (parseJSON "{\"a\":[1000000]}").a }}"#, "[1e+06]"),
    row("parseYAML", "A value from YAML 1.1", r#"{{ (parseYAML "a: {b: [yes, 0x10]}").a }}"#, "map[b:[true 16]]")
        .differs("keys that are numbers or truth values become texts; keys that are collections are an error"),
    row("toJSON", "As JSON, `<`, `>` and `&` escaped", r#"{{ sprig_dict "a" "<&>" | toJSON }}"#, r#"{"a":"\u003c\u0026\u003e"}"#),
    row("toJSONPretty", "The same on several lines", r#"{{ sprig_dict "a" 1 | toJSONPretty }}"#, "{\n  \"a\": 1\n}"),
    row("toUnescapedJSON", "As JSON, nothing escaped for HTML", r#"{{ sprig_dict "a" "<&>" | toUnescapedJSON }}"#, r#"{"a":"<&>"}"#),
    row("toUnescapedJSONPretty", "The same on several lines", r#"{{ sprig_list "<" | toUnescapedJSONPretty }}"#, "[\n  \"<\"\n]"),
    row("toYAML", "As YAML", r#"{{ sprig_dict "a" "yes" "b" (sprig_list 1 2) | toYAML }}"#, "a: \"yes\"\nb:\n- 1\n- 2"),
    row("toTOML", "As TOML", r#"{{ sprig_dict "a" 1 "t" (sprig_dict "b" "c") | toTOML }}"#, "a = 1\n\n[t]\n  b = \"c\""),
    row("explodeMap", "Keys with slashes become nested maps", r#"{{ sprig_dict "a/b" 1 | explodeMap | toJSON }}"#, r#"{"a":{"b":1}}"#),
    row("mergeMap", "Merges two maps deeply; the first one wins", r#"{{ mergeMap (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) | toJSON }}"#, r#"{"a":1,"b":3}"#),
    row("mergeMapWithOverride", "Merges two maps deeply; the second one wins", r#"{{ mergeMapWithOverride (sprig_dict "a" 1) (sprig_dict "a" 2 "b" 3) | toJSON }}"#, r#"{"a":2,"b":3}"#),
    row("loop", "The integers from the first to before the last argument", "{{ range loop 2 5 }}{{ . }}{{ end }}", "234")
        .differs("the numbers are a list and not a channel"),
    row("md5sum", "MD5 in hexadecimal", r#"{{ md5sum "a1alice" }}"#, "f585e7029a57daab301befbceac3a2d3"),
    row("sha256Hex", "SHA-256 in hexadecimal", r#"{{ sha256Hex "a" }}"#, "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"),
    row("hmacSHA256Hex", "HMAC with SHA-256 in hexadecimal: message, key", r#"{{ hmacSHA256Hex "message" "key" }}"#, "6e9ef29b75fffc5b7abae527d58fdadb2fe42e7219011976917343065f58ed4a"),
    row("add", "The sum", "{{ add 1 2 }}", "3"),
    row("subtract", "The second minus the first, for pipelines", "{{ 5 | subtract 1 }}", "4"),
    row("multiply", "The product", "{{ multiply 3 4 }}", "12"),
    row("divide", "The second by the first", "{{ 9 | divide 2 }}", "4")
        .differs("a result that does not fit is an error"),
    row("modulo", "What is left of the second divided by the first", "{{ 9 | modulo 4 }}", "1"),
    row("minimum", "The lesser", "{{ minimum 1 2 }}", "1"),
    row("maximum", "The greater", "{{ maximum 1 2.5 }}", "2.5"),
];
