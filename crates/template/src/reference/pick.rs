//! From an answer to one value.

use vouchsafe_model::Secret;
use vouchsafe_model::text::nearest;
use vouchsafe_model::wire::Document;

use super::error::ReferenceFault;
use super::expression;
use super::parse::Pick;
use super::resolve::VALUE_BYTES;

/// The value that `pick` means; `allow_no_value` as in [`expression::render`].
pub(super) fn pick(
    path: &str,
    pick: Pick<'_>,
    document: &Document,
    allow_no_value: bool,
) -> Result<Secret, ReferenceFault> {
    match pick {
        Pick::Key(key) => of_key(path, key, document),
        Pick::Template(text) => expression::render(text, document, allow_no_value, VALUE_BYTES)
            .map_err(|problem| ReferenceFault::Render { path: path.to_owned(), problem }),
    }
}

/// Text as it is, numbers and truth values as written; lists and maps are no values of variables.
pub(super) fn of_key(path: &str, key: &str, document: &Document) -> Result<Secret, ReferenceFault> {
    use serde_json::Value;
    let not_scalar = |found| Err(ReferenceFault::NotScalar { path: path.to_owned(), key: key.to_owned(), found });
    // EXPOSE: this value is what the variable is to hold; it is copied into a `Secret` here.
    match document.expose().get(key) {
        Some(Value::String(text)) => Ok(Secret::new(text.as_bytes().to_vec())),
        Some(Value::Number(number)) => Ok(Secret::from(number.to_string())),
        Some(Value::Bool(truth)) => Ok(Secret::from(truth.to_string())),
        Some(Value::Array(_)) => not_scalar("list"),
        Some(Value::Object(_)) => not_scalar("map"),
        Some(Value::Null) => Err(missing(path, key, " (it is null)".to_owned())),
        None => Err(missing(path, key, hint(key, document))),
    }
}

fn missing(path: &str, key: &str, hint: String) -> ReferenceFault {
    ReferenceFault::MissingKey { path: path.to_owned(), key: key.to_owned(), hint }
}

fn hint(key: &str, document: &Document) -> String {
    if key.ends_with(['\n', '\r']) {
        return " (it ends with a line break; remove it)".to_owned();
    }
    if key.trim() != key {
        return " (there is white space around it)".to_owned();
    }
    if key.contains("${") {
        return " (an inline reference holds one template action; write the others outside of it)".to_owned();
    }
    match nearest(key, document.keys()) {
        Some(near) => format!(" (did you mean {}?)", super::error::shown(near)),
        None => String::new(),
    }
}
