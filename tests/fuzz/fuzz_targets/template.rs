//! Any text as a template: never a panic, never without end, never more output than its limit.
#![no_main]
use libfuzzer_sys::fuzz_target;
use vouchsafe_template::{Limits, NoReads, Options, Template, Value};

fuzz_target!(|text: &str| {
    for options in [Options::own(), Options::drop_in()] {
        if let Ok(template) = Template::compile("fuzz", text, &options) {
            let root = Value::from_json_text(br#"{"users": {"name": "value", "count": 3, "list": [1, "two", null]}}"#);
            if let Ok(root) = root {
                let _ = template.render(root, &mut NoReads, &Limits::default());
            }
        }
    }
});
