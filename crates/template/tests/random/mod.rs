//! Random templates over one fixed document, mostly well typed, all functions included.

pub(crate) mod yaml;

use serde_json::{Value as Json, json};
use vouchsafe_template::{Entry, functions};

/// What the templates read.
pub(crate) fn secrets() -> Json {
    let document = r#"{
        "s": "hello world", "e": "", "n": 5432, "f": 1.50, "z": 0, "big": 123456789012345678901234567890, "x": "1E40",
        "b": true, "no": false, "nul": null, "l": ["a", "b", 3, null, true, 1.5, {"k": "v"}], "ls": ["x", "y", "x"],
        "m": {"a": "1", "b": {"c": "2"}, "a10": 1, "a2": 2, "B": 3}, "u": "<&>'\"é😀\u2028", "nl": "l1\nl2\n",
        "em": {}, "el": [], "b64": "aGVsbG8=", "json": "{\"a\":1,\"b\":[1.5,1e6,true,null,\"x\"]}", "p/a": "q",
        "tab": "a\tb \u0001", "yaml": "a: [1, two, {b: yes}]\nc: |\n  x\n  y\nd: ~\n", "num": "42", "neg": "-7",
        "url": "https://u:p%40@h.example:8200/a%20b/c?q=1&r=2#frag", "kv": "a=1;b=2=3;c",
        "words": "The quick  brown-fox_jumps OverHTTPLazy2Dogs", "long": "aaaaaaaaaa bbbbbbbbbb cccccccccc dddddddddd eeeeeeeeee ffffffffff gggggggggg hhhhhhhhhh iiii",
        "mm": {"x": {"y": [1, 2], "z": {"w": null}}, "t": [{"a": 1}, {"a": 2, "b": "c"}]}, "path": "/a/../b//c.tar.gz"}"#;
    let document: Json = serde_json::from_str(document).unwrap();
    json!({"secret/s": document, "list:secret/l": ["one", "two/"]})
}

/// A type to aim at.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Text,
    Int,
    Float,
    Bool,
    List,
    Texts,
    Map,
    Any,
}

/// A seeded source of templates.
pub(crate) struct Generator {
    state: u64,
    functions: Vec<Entry>,
    variables: Vec<(String, Kind)>,
    named: usize,
    loops: usize,
}

/// Read from outside, give no order, or end with the template by design; the cases cover them.
const LEFT_OUT: [&str; 14] = [
    "secret",
    "pkiCert",
    "env",
    "mustEnv",
    "envOrDefault",
    "file",
    "writeToFile",
    "timestamp",
    "scratch",
    "executeTemplate",
    "sprig_keys",
    "sprig_values",
    "loop",
    "sprig_fail",
];

const CHANGES_ITS_FIRST: [&str; 6] =
    ["sprig_set", "sprig_unset", "sprig_merge", "sprig_mergeOverwrite", "mergeMap", "mergeMapWithOverride"];

impl Generator {
    pub(crate) fn new(seed: u64) -> Self {
        let functions = functions().into_iter().filter(|entry| !LEFT_OUT.contains(&entry.name)).collect();
        Self { state: seed, functions, variables: Vec::new(), named: 0, loops: 0 }
    }

    /// SplitMix64.
    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(limit.max(1)).unwrap()).unwrap()
    }

    pub(crate) fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }

    pub(crate) fn template(&mut self) -> String {
        self.variables.clear();
        self.loops = 0;
        self.named = 0;
        let body = if self.one_in(2) {
            let kind = self.kind();
            let expression = self.pipeline(kind, 2);
            format!("{{{{ {expression} }}}}")
        } else {
            let mut body = String::new();
            for _ in 0..=self.below(4) {
                body.push_str(&self.block(3));
            }
            body
        };
        let defined = if body.contains("\"part\"") {
            "{{ define \"part\" }}<{{ . }}{{ if . }}|{{ print . . }}{{ end }}>{{ end }}"
        } else {
            ""
        };
        format!("{defined}{{{{ with secret \"secret/s\" }}}}{{{{ $d := .Data }}}}{body}{{{{ end }}}}")
    }

    fn kind(&mut self) -> Kind {
        [Kind::Text, Kind::Text, Kind::Int, Kind::Float, Kind::Bool, Kind::List, Kind::Texts, Kind::Map, Kind::Any]
            [self.below(9)]
    }

    fn block(&mut self, depth: usize) -> String {
        if depth == 0 {
            return self.piece();
        }
        let mark = self.variables.len();
        let text = match self.below(11) {
            0 => {
                let (condition, then, other) = (self.pipeline(Kind::Any, 1), self.inside(depth), self.inside(depth));
                format!("{{{{ if {condition} }}}}{then}{{{{ else }}}}{other}{{{{ end }}}}")
            }
            1 => {
                let (first, second) = (self.pipeline(Kind::Bool, 1), self.pipeline(Kind::Any, 1));
                let (a, b) = (self.inside(depth), self.inside(depth));
                format!("{{{{ if {first} -}}}} {a} {{{{- else if {second} }}}}{b}{{{{ end }}}}")
            }
            2 => {
                let subject = self.pipeline(Kind::Any, 1);
                let (a, b) = (self.inside(depth), self.inside(depth));
                format!("{{{{ with {subject} }}}}{a}{{{{ . }}}}{{{{ else with $d.s }}}}{b}{{{{ end }}}}")
            }
            3 | 4 => self.range(depth),
            5 => {
                let kind = self.kind();
                let value = self.pipeline(kind, 2);
                let name = format!("v{}", self.named);
                self.named += 1;
                self.variables.push((name.clone(), kind));
                return format!("{{{{ ${name} := {value} }}}}{{{{ ${name} }}}}");
            }
            6 if !self.variables.is_empty() => {
                let at = self.below(self.variables.len());
                let (name, kind) = self.variables[at].clone();
                let value = self.pipeline(kind, 1);
                format!("{{{{ ${name} = {value} }}}}")
            }
            7 => {
                let value = self.pipeline(Kind::Any, 1);
                let call = self.pick(&["template \"part\"", "executeTemplate \"part\""]);
                let argument = if call.starts_with("template") { value } else { format!("({value})") };
                format!("{{{{ {call} {argument} }}}}")
            }
            8 if self.loops > 0 => {
                let word = self.pick(&["break", "continue"]);
                let condition = self.pipeline(Kind::Bool, 1);
                format!("{{{{ if {condition} }}}}{{{{ {word} }}}}{{{{ end }}}}")
            }
            9 => self.scratch(),
            _ => self.piece(),
        };
        self.variables.truncate(mark);
        text
    }

    /// A block whose variables end with it.
    fn inside(&mut self, depth: usize) -> String {
        let mark = self.variables.len();
        let mut text = self.block(depth - 1);
        if self.one_in(3) {
            text.push_str(&self.block(depth - 1));
        }
        self.variables.truncate(mark);
        text
    }

    fn range(&mut self, depth: usize) -> String {
        let kind = [Kind::List, Kind::Texts, Kind::Map, Kind::Int, Kind::Any][self.below(5)];
        let subject =
            if kind == Kind::Int { self.pick(&["3", "0", "$d.ls | len"]).to_owned() } else { self.pipeline(kind, 1) };
        let bound = self.named;
        self.named += 1;
        let (head, shown) = match self.below(3) {
            0 => (String::new(), "{{ . }},".to_owned()),
            1 => (format!("$r{bound} := "), format!("{{{{ $r{bound} }}}},")),
            _ => (format!("$i{bound}, $r{bound} := "), format!("{{{{ $i{bound} }}}}:{{{{ $r{bound} }}}},")),
        };
        self.loops += 1;
        let body = self.inside(depth);
        self.loops -= 1;
        let otherwise = if self.one_in(3) { "{{ else }}none" } else { "" };
        format!("{{{{ range {head}{subject} }}}}{shown}{body}{otherwise}{{{{ end }}}}")
    }

    fn scratch(&mut self) -> String {
        let key = self.pick(&["\"a\"", "\"b\""]);
        let value = self.argument(Kind::Any, 1);
        match self.below(6) {
            0 => format!("{{{{ scratch.Set {key} {value} }}}}{{{{ scratch.Get {key} }}}}"),
            1 => format!("{{{{ scratch.SetX {key} {value} }}}}{{{{ scratch.Key {key} }}}}"),
            2 => format!("{{{{ scratch.MapSet \"m\" {key} {value} }}}}"),
            3 => format!("{{{{ scratch.MapSetX \"m\" {key} {value} }}}}{{{{ scratch.MapValues \"m\" }}}}"),
            4 => format!("{{{{ scratch.Get {key} }}}}"),
            _ => "{{ range secrets \"secret/l\" }}{{ . }};{{ end }}".to_owned(),
        }
    }

    fn piece(&mut self) -> String {
        match self.below(6) {
            0 => " text\n ".to_owned(),
            1 => "x {{- /* comment */ -}} y".to_owned(),
            _ => {
                let kind = self.kind();
                let expression = self.pipeline(kind, 2);
                let (open, close) = if self.one_in(4) { ("{{-", "-}}") } else { ("{{", "}}") };
                format!("{open} {expression} {close}")
            }
        }
    }

    /// An expression, sometimes with its last argument in front.
    fn pipeline(&mut self, kind: Kind, depth: usize) -> String {
        if depth == 0 || self.one_in(5) {
            return self.leaf(kind);
        }
        let call = self.call(kind, depth);
        if self.one_in(6) {
            format!(
                "{call} | {}",
                self.pick(&["print", "toJSON", "printf \"%v\"", "sprig_typeOf", "len", "toYAML", "html"])
            )
        } else {
            call
        }
    }

    fn argument(&mut self, kind: Kind, depth: usize) -> String {
        let kind = if self.one_in(25) { self.kind() } else { kind };
        if depth == 0 || self.one_in(2) {
            return self.leaf(kind);
        }
        format!("({})", self.call(kind, depth))
    }

    fn call(&mut self, kind: Kind, depth: usize) -> String {
        let fitting: Vec<usize> = (0..self.functions.len())
            .filter(|at| kind == Kind::Any || gives(self.functions[*at].name) == kind)
            .collect();
        let Some(at) = fitting.get(self.below(fitting.len())).copied() else { return self.leaf(kind) };
        let entry = self.functions[at].clone();
        let mut kinds: Vec<Kind> = entry.parameters.iter().map(|parameter| takes(entry.name, parameter)).collect();
        let optional = kinds.len() - entry.least;
        kinds.truncate(entry.least + self.below(optional + 1));
        if let Some(rest) = entry.rest {
            let rest = takes(entry.name, rest);
            kinds.extend((0..self.below(3)).map(|_| rest));
        }
        if entry.name == "printf" {
            return self.printf();
        }
        if entry.name.contains("egex") && !kinds.is_empty() && entry.name != "sprig_regexQuoteMeta" {
            let pattern = self.pick(&[
                "\"[a-z]+\"",
                "\"o\"",
                "\"(l+)(o)?\"",
                "\"^\"",
                "\"\\\\d+$\"",
                "\"\"",
                "\"(?i)H|W\"",
                "\"x*\"",
                "\"[[:alpha:]&~[]+\"",
                "\"{|o{1,2}\"",
                "`\\Q.\\E|[-/]`",
                "`(?P<n>[^a-m ])`",
            ]);
            let mut arguments: Vec<String> = kinds[1..].iter().map(|kind| self.argument(*kind, 0)).collect();
            if entry.name.ends_with("ReplaceAll") {
                let by = usize::from(entry.name.starts_with("sprig"));
                let with = self.pick(&["\"<$1>\"", "\"${0}!\"", "\"$1x\"", "\"$$\"", "\"-\"", "\"$\""]);
                arguments[by] = String::from(with);
            }
            return format!("{} {pattern} {}", entry.name, arguments.join(" "));
        }
        let mut arguments: Vec<String> = kinds.iter().map(|kind| self.argument(*kind, depth - 1)).collect();
        if CHANGES_ITS_FIRST.contains(&entry.name) {
            // a fresh map: the original changes it in place, even where it is part of a secret
            let fresh = self.pick(&[
                "(sprig_dict)",
                "(sprig_dict \"a\" 1 \"b\" (sprig_dict \"c\" 2))",
                "(sprig_deepCopy $d.m)",
            ]);
            arguments[0] = String::from(fresh);
        }
        let piped = if self.one_in(4) { arguments.pop() } else { None };
        let call = [entry.name.to_owned()].into_iter().chain(arguments).collect::<Vec<_>>().join(" ");
        match piped {
            Some(value) => format!("{value} | {call}"),
            None => call,
        }
    }

    fn printf(&mut self) -> String {
        let mut format = String::new();
        let mut arguments = Vec::new();
        for _ in 0..=self.below(3) {
            let flags = self.pick(&["", "", "", "-", "+", "#", " ", "0", "-0"]);
            let width = self.pick(&["", "", "", "6", "12", ".3", "8.2", "."]);
            let verb =
                self.pick(&["v", "s", "d", "q", "x", "X", "t", "f", "e", "g", "c", "U", "o", "b", "T", "%", "G", "O"]);
            format.push_str(&format!("%{flags}{width}{verb}|"));
            if verb != "%" && !self.one_in(20) {
                let kind = match verb {
                    "d" | "c" | "U" | "o" | "b" | "O" => Kind::Int,
                    "f" | "e" | "g" | "G" => Kind::Float,
                    "s" | "q" => Kind::Text,
                    "t" => Kind::Bool,
                    _ => Kind::Any,
                };
                arguments.push(self.argument(kind, 0));
            }
        }
        format!("printf \"{format}\" {}", arguments.join(" "))
    }

    fn leaf(&mut self, kind: Kind) -> String {
        let known: Vec<String> =
            self.variables.iter().filter(|(_, found)| *found == kind).map(|(name, _)| format!("${name}")).collect();
        if !known.is_empty() && self.one_in(2) {
            return known[self.below(known.len())].clone();
        }
        self.pick(match kind {
            Kind::Text => &[
                "$d.s",
                "$d.e",
                "$d.u",
                "$d.nl",
                "$d.json",
                "$d.yaml",
                "$d.b64",
                "$d.num",
                "$d.neg",
                "$d.words",
                "$d.long",
                "$d.url",
                "$d.kv",
                "$d.path",
                "$d.tab",
                "\"\"",
                "\"a\"",
                "\"l\"",
                "\",\"",
                "\"o w\"",
                "\"é\"",
                "`raw\\n`",
                "\"a10\"",
                "\"x\\ny\"",
                "\" pad \"",
                "\"=\"",
                "\";\"",
                "\"map\"",
                "\"string\"",
                "\"0x1F\"",
                "\"1.5\"",
                "\"FirstName2ndHTTP20xOK\"",
                "\"Bld4Floor3rd_x.y-z\"",
                "\"2h10m5.5s\"",
                "$d.x",
            ],
            Kind::Int => {
                &["0", "1", "2", "3", "-1", "7", "42", "'a'", "0x1F", "(len $d.ls)", "(parseInt $d.neg)", "100"]
            }
            Kind::Float => &["1.5", "0.0", "-2.25", "1e6", "1e21", "1e-7", "3.0", "(parseFloat \"0.1\")", "123456.789"],
            Kind::Bool => &["true", "false", "$d.b", "$d.no", "(eq 1 1)"],
            Kind::List => {
                &["$d.l", "$d.el", "$d.mm.t", "(sprig_list 1 2 3)", "(sprig_list)", "(sprig_list \"a\" nil \"\")"]
            }
            Kind::Texts => &["(split \",\" \"a,b,c\")", "(sprig_splitList \"o\" $d.s)", "(split \",\" \"\")"],
            Kind::Map => &[
                "$d.m",
                "$d.em",
                "$d.mm",
                "(sprig_dict \"a\" 1 \"b\" \"c\")",
                "(sprig_dict)",
                "$d.mm.x",
                "(sprig_dict \"a/b\" 1 \"c\" $d.m)",
            ],
            Kind::Any => &[
                "$d.n",
                "$d.f",
                "$d.z",
                "$d.big",
                "$d.nul",
                "$d.missing",
                "$d.s",
                "$d.l",
                "$d.m",
                "$d",
                "1",
                "2.5",
                "true",
                "\"t\"",
                "$d.m.b.c",
                "$d.m.zz",
                "(index $d \"p/a\")",
                "(parseJSON $d.json)",
                "(parseYAML $d.yaml)",
                "nil",
                "(splitToMap \";\" \"=\" $d.kv)",
                "$d.m.b",
                "$d.ls",
                "(parseUint $d.num)",
            ],
        })
        .to_owned()
    }
}

/// What a function gives, where the generator should know.
fn gives(name: &str) -> Kind {
    let plain = name.strip_prefix("sprig_").unwrap_or(name);
    match plain {
        "and" | "or" | "index" | "slice" | "default" | "coalesce" | "ternary" | "fromJson" | "mustFromJson" | "get"
        | "dig" | "first" | "last" | "parseJSON" | "parseYAML" | "add" | "subtract" | "multiply" | "divide"
        | "modulo" | "minimum" | "maximum" | "deepCopy" | "splitn" | "splitToMap" | "chunk" | "until" | "untilStep"
        | "parseUint" => Kind::Any,
        "split" => {
            if name.starts_with("sprig") {
                Kind::Any
            } else {
                Kind::Texts
            }
        }
        "not" | "eq" | "ne" | "lt" | "le" | "gt" | "ge" | "empty" | "all" | "any" | "deepEqual" | "kindIs"
        | "typeIs" | "typeIsLike" | "hasKey" | "has" | "hasPrefix" | "hasSuffix" | "contains" | "containsAll"
        | "containsAny" | "containsNone" | "containsNotAll" | "in" | "isAbs" | "parseBool" | "regexMatch" => Kind::Bool,
        "len" | "parseInt" | "atoi" | "int" | "add1" | "sub" | "mul" | "div" | "mod" | "max" | "min" | "toDecimal" => {
            Kind::Int
        }
        "parseFloat" | "float64" | "floor" | "ceil" | "round" | "addf" | "add1f" | "subf" | "mulf" | "divf"
        | "maxf" | "minf" => Kind::Float,
        "list" | "pluck" | "append" | "prepend" | "rest" | "initial" | "reverse" | "compact" | "uniq" | "without"
        | "concat" => Kind::List,
        "splitList" | "sortAlpha" | "toStrings" | "regexFindAll" | "regexSplit" | "secrets" => Kind::Texts,
        "dict"
        | "set"
        | "unset"
        | "pick"
        | "omit"
        | "merge"
        | "mergeOverwrite"
        | "explodeMap"
        | "mergeMap"
        | "mergeMapWithOverride"
        | "urlParse" => Kind::Map,
        _ => Kind::Text,
    }
}

/// What to give a parameter: functions that take anything mostly want something.
fn takes(function: &str, parameter: &str) -> Kind {
    let plain = function.strip_prefix("sprig_").unwrap_or(function);
    match parameter {
        "text" => Kind::Text,
        "int" => Kind::Int,
        "bool" => Kind::Bool,
        "list" => Kind::List,
        "list of texts" => Kind::Texts,
        "map" => Kind::Map,
        _ => match plain {
            "first" | "last" | "rest" | "initial" | "reverse" | "compact" | "uniq" | "concat" | "sortAlpha"
            | "chunk" => Kind::List,
            "lt" | "le" | "gt" | "ge" | "add" | "subtract" | "multiply" | "divide" | "modulo" | "minimum"
            | "maximum" | "sub" | "mul" | "div" | "mod" | "max" | "min" | "eq" | "ne" => Kind::Int,
            "addf" | "add1f" | "subf" | "mulf" | "divf" | "maxf" | "minf" | "round" | "floor" | "ceil" => Kind::Float,
            "toTOML" => Kind::Map,
            "duration" | "durationRound" => Kind::Text,
            _ => Kind::Any,
        },
    }
}
