//! Lexer and parser with any delimiters: the first line holds them. Never a panic, whatever the text.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vouchsafe_template::{Options, Template};

fuzz_target!(|text: &str| {
    let (first, rest) = text.split_once('\n').unwrap_or(("", text));
    let (left, right) = first.split_once(' ').unwrap_or(("", ""));
    for options in [Options::own(), Options::drop_in().with_delimiters(left, right)] {
        if let Ok(template) = Template::compile("fuzz", rest, &options) {
            let _ = (template.static_reads(), template.roots());
        }
    }
});
