//! Structured logs to stderr, one event a line: JSON, or a form for people where stderr is a terminal.
//!
//! Only this project's events are written: a library's debug text could show a header. Fields appear exactly as the code
//! names them, control characters escaped, long values cut. Out of scope: spans (an event carries its own fields), files,
//! rotation (the container runtime's), and metrics.

use std::fmt::{self, Write as _};
use std::io::{self, IsTerminal as _, Write as _};
use std::time::SystemTime;

use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};
use vouchsafe_model::text::quoted;

/// A level that is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("VOUCHSAFE_LOG {} is no log level; use error, warn, info, debug or trace", quoted(.0))]
pub struct LogError(String);

/// Starts logging. `level` is the value of `VOUCHSAFE_LOG`: error, warn, info, debug or trace; info where there is none.
///
/// A second start in the same program changes nothing.
pub fn start(program: &'static str, level: Option<&str>) -> Result<(), LogError> {
    let level = parse(level)?;
    let form = if io::stderr().is_terminal() { Form::Human } else { Form::Json };
    // Fails only where a subscriber is set already.
    let _ = tracing::subscriber::set_global_default(Lines { program, level, form });
    Ok(())
}

fn parse(level: Option<&str>) -> Result<Level, LogError> {
    match level {
        None | Some("" | "info") => Ok(Level::INFO),
        Some("error") => Ok(Level::ERROR),
        Some("warn") => Ok(Level::WARN),
        Some("debug") => Ok(Level::DEBUG),
        Some("trace") => Ok(Level::TRACE),
        Some(other) => Err(LogError(other.to_owned())),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    Json,
    Human,
}

/// Writes each event as one line.
struct Lines {
    program: &'static str,
    level: Level,
    form: Form,
}

impl Subscriber for Lines {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        !metadata.is_span() && *metadata.level() <= self.level && metadata.target().starts_with(OURS)
    }

    fn max_level_hint(&self) -> Option<tracing::level_filters::LevelFilter> {
        Some(self.level.into())
    }

    fn new_span(&self, _attributes: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _span: &Id, _values: &Record<'_>) {}

    fn record_follows_from(&self, _span: &Id, _follows: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut fields = Fields(Map::new());
        event.record(&mut fields);
        let line = self.line(*event.metadata().level(), fields.0, SystemTime::now());
        // Where stderr is gone there is nobody left to tell.
        let _ = io::stderr().lock().write_all(line.as_bytes());
    }

    fn enter(&self, _span: &Id) {}

    fn exit(&self, _span: &Id) {}
}

impl Lines {
    fn line(&self, level: Level, mut fields: Map<String, Value>, now: SystemTime) -> String {
        let message = fields.remove("message");
        let message = message.as_ref().and_then(Value::as_str).unwrap_or_default();
        match self.form {
            Form::Json => {
                let mut line = Map::new();
                line.insert("time".to_owned(), timestamp(now).into());
                line.insert("level".to_owned(), name(level).into());
                line.insert("program".to_owned(), self.program.into());
                line.insert("message".to_owned(), message.into());
                for (key, value) in fields {
                    // A field may not pass for one of ours.
                    line.entry(key).or_insert(value);
                }
                format!("{}\n", Value::Object(line))
            }
            Form::Human => {
                let mut line = format!("{}{:5}\u{1b}[0m {}", colour(level), name(level), shown(message));
                for (key, value) in &fields {
                    let value = value.as_str().map_or_else(|| value.to_string(), shown);
                    // Writing to a String cannot fail.
                    let _ = write!(line, " \u{1b}[2m{key}=\u{1b}[0m{value}");
                }
                line.push('\n');
                line
            }
        }
    }
}

/// Fields of one event.
struct Fields(Map<String, Value>);

impl Fields {
    fn put(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.put(field, cut(value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, cut(&format!("{value:?}")));
    }
}

/// At most [`VALUE_CHARS`] characters.
fn cut(text: &str) -> String {
    match text.char_indices().nth(VALUE_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text.to_owned(),
    }
}

/// Text for a terminal: control characters cannot move the cursor.
fn shown(text: &str) -> String {
    text.chars().flat_map(|c| if c.is_control() { c.escape_default().collect() } else { vec![c] }).collect()
}

fn name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warn",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn colour(level: Level) -> &'static str {
    match level {
        Level::ERROR => "\u{1b}[31m",
        Level::WARN => "\u{1b}[33m",
        Level::INFO => "\u{1b}[32m",
        Level::DEBUG | Level::TRACE => "\u{1b}[2m",
    }
}

/// RFC 3339 in UTC with milliseconds.
fn timestamp(now: SystemTime) -> String {
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let (seconds, millis) = (since.as_secs(), since.subsec_millis());
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // H. Hinnant, "chrono-compatible low-level date algorithms": years begin in March, eras of 400 years.
    let shifted = days + 719_468;
    let of_era = shifted % 146_097;
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + shifted / 146_097 * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{millis:03}Z")
}

/// Start of the targets of our crates.
const OURS: &str = "vouchsafe";
/// Longest value of a field, in characters: a list of faults fits, a dumped object does not.
const VALUE_CHARS: usize = 2_000;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn fields(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn json_is_one_line_and_a_field_cannot_forge_ours() {
        let lines = Lines { program: "vouchsafe-test", level: Level::INFO, form: Form::Json };
        let given = fields(&serde_json::json!({"message": "read\nall", "level": "trace", "ns": "argocd", "ms": 3}));
        let line = lines.line(Level::WARN, given, SystemTime::UNIX_EPOCH);
        assert_eq!(line.matches('\n').count(), 1);
        let value: Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["time"], "1970-01-01T00:00:00.000Z");
        assert_eq!((&value["level"], &value["message"]), (&Value::from("warn"), &Value::from("read\nall")));
        assert_eq!((&value["ns"], &value["ms"]), (&Value::from("argocd"), &Value::from(3)));
    }

    #[test]
    fn the_form_for_people_lets_no_value_move_the_cursor() {
        let lines = Lines { program: "vouchsafe-test", level: Level::INFO, form: Form::Human };
        let line = lines.line(
            Level::INFO,
            fields(&serde_json::json!({"message": "m", "x": "\u{1b}[2J\n"})),
            SystemTime::now(),
        );
        assert!(line.ends_with("x=\u{1b}[0m\\u{1b}[2J\\n\n"), "{line:?}");
    }

    #[test]
    fn times_are_written_as_rfc_3339() {
        let at = |seconds: u64, millis: u64| {
            timestamp(SystemTime::UNIX_EPOCH + Duration::from_millis(seconds * 1000 + millis))
        };
        assert_eq!(at(951_782_400, 7), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(1_709_251_199, 999), "2024-02-29T23:59:59.999Z");
        assert_eq!(at(4_102_444_800, 0), "2100-01-01T00:00:00.000Z");
    }

    #[test]
    fn levels_are_named_and_others_refused_with_the_choice() {
        assert_eq!(parse(None), Ok(Level::INFO));
        assert_eq!(parse(Some("debug")), Ok(Level::DEBUG));
        assert!(parse(Some("loud")).unwrap_err().to_string().contains("error, warn, info, debug or trace"));
    }

    #[test]
    fn only_our_own_events_are_written() {
        let subscriber = Lines { program: "vouchsafe-test", level: Level::INFO, form: Form::Json };
        tracing::subscriber::with_default(subscriber, || {
            assert!(tracing::enabled!(target: "vouchsafe_net::x", Level::INFO));
            assert!(!tracing::enabled!(target: "vouchsafe_net::x", Level::DEBUG));
            assert!(!tracing::enabled!(target: "hyper::proto", Level::ERROR));
        });
    }

    #[test]
    fn long_values_are_cut_at_a_character() {
        assert!(cut(&"ä".repeat(5_000)).chars().count() == VALUE_CHARS + 1);
    }
}
