//! How long compiling and rendering take: the shared cases, one after the other. `make bench`.

use std::hint::black_box;
use std::time::{Duration, Instant};

use vouchsafe_template::{Limits, NoReads, Options, Template, Value};

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
/// Long enough that the clock's grain does not count.
const SPAN: Duration = Duration::from_millis(300);

fn main() {
    for (name, text) in TEMPLATES {
        let options = Options::own();
        let compile = nanoseconds(|| {
            let _ = black_box(Template::compile(name, text, &options).is_ok());
        });
        let Ok(template) = Template::compile(name, text, &options) else { continue };
        let render = nanoseconds(|| {
            if let Ok(root) = Value::from_json_text(DATA) {
                let _ = black_box(template.render(root, &mut NoReads, &Limits::default()).is_ok());
            }
        });
        println!("{name:<10} compile {compile:>8.0} ns   render {render:>8.0} ns");
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
