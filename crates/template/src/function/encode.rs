//! The Vault helpers for encodings and hashes.

use base64::engine::general_purpose::{STANDARD, URL_SAFE};
use zeroize::Zeroizing;

use super::arguments::{any, text};
use super::builtin::written;
use super::{Function, Parameter};
use crate::error::Fault;
use crate::eval::Scope;
use crate::json::{self, Numbers, Style};
use crate::text::write_formatted;
use crate::value::{Map, Text, Value};
use crate::{toml, yaml};

use Parameter::{Any, Text as Word};

pub(super) const FUNCTIONS: &[Function] = &[
    Function::new("base64Decode", &[Word], |_, arguments| base64_decode(&STANDARD, text(arguments, 0)?)),
    Function::new("base64Encode", &[Word], |_, arguments| base64_encode(&STANDARD, text(arguments, 0)?)),
    Function::new("base64URLDecode", &[Word], |_, arguments| base64_decode(&URL_SAFE, text(arguments, 0)?)),
    Function::new("base64URLEncode", &[Word], |_, arguments| base64_encode(&URL_SAFE, text(arguments, 0)?)),
    Function::new("toJSON", &[Any], |scope, arguments| to_json(scope, any(arguments, 0), true, false)),
    Function::new("toJSONPretty", &[Any], |scope, arguments| to_json(scope, any(arguments, 0), true, true)),
    Function::new("toUnescapedJSON", &[Any], |scope, arguments| to_json(scope, any(arguments, 0), false, false)),
    Function::new("toUnescapedJSONPretty", &[Any], |scope, arguments| to_json(scope, any(arguments, 0), false, true)),
    Function::new("toYAML", &[Any], |_, arguments| written(|out| yaml::write(out, any(arguments, 0)))),
    Function::new("toTOML", &[Any], |_, arguments| written(|out| toml::write(out, any(arguments, 0)))),
    Function::new("parseYAML", &[Word], |scope, arguments| match text(arguments, 0)? {
        empty if empty.is_empty() => Ok(Value::Map(Map::new([])?)),
        text => yaml::read(scope, text.as_bytes()),
    }),
    Function::new("parseJSON", &[Word], |_, arguments| match text(arguments, 0)? {
        empty if empty.is_empty() => Ok(Value::Map(Map::new([])?)),
        text => json::read(text.as_bytes(), Numbers::Float),
    }),
    Function::new("sha256Hex", &[Word], |_, arguments| digest(&ring::digest::SHA256, text(arguments, 0)?)),
    Function::new("md5sum", &[Word], |_, arguments| hexadecimal(&super::number::md5(text(arguments, 0)?.as_bytes()))),
    Function::new("hmacSHA256Hex", &[Word, Word], |_, arguments| {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, text(arguments, 1)?.as_bytes());
        hexadecimal(ring::hmac::sign(&key, text(arguments, 0)?.as_bytes()).as_ref())
    }),
];

pub(super) fn to_json(scope: &Scope<'_>, value: &Value, escape_html: bool, pretty: bool) -> Result<Value, Fault> {
    let any_keys = scope.is_own();
    written(|out| json::write(out, value, Style { escape_html, pretty, any_keys }))
}

/// Line breaks in the input are skipped, as Go does.
pub(crate) fn base64_decode(engine: &impl base64::Engine, text: &Text) -> Result<Value, Fault> {
    let mut input = Zeroizing::new(Vec::with_capacity(text.len()));
    input.extend(text.as_bytes().iter().filter(|byte| !matches!(byte, b'\r' | b'\n')));
    let mut output = Zeroizing::new(vec![0; base64::decoded_len_estimate(input.len())]);
    let length = engine
        .decode_slice(input.as_slice(), output.as_mut_slice())
        .map_err(|_| Fault::Function("the text is not valid base64"))?;
    Ok(Value::text(output.get(..length).unwrap_or_default()))
}

pub(super) fn base64_encode(engine: &impl base64::Engine, text: &Text) -> Result<Value, Fault> {
    let length = base64::encoded_len(text.len(), true).ok_or(Fault::Function("the text is too long"))?;
    let mut output = Zeroizing::new(vec![0; length]);
    let length = engine
        .encode_slice(text.as_bytes(), output.as_mut_slice())
        .map_err(|_| Fault::Function("the text is too long"))?;
    written(|out| out.write(output.get(..length).unwrap_or_default()))
}

pub(super) fn digest(algorithm: &'static ring::digest::Algorithm, text: &Text) -> Result<Value, Fault> {
    hexadecimal(ring::digest::digest(algorithm, text.as_bytes()).as_ref())
}

pub(super) fn hexadecimal(bytes: &[u8]) -> Result<Value, Fault> {
    written(|out| bytes.iter().try_for_each(|byte| write_formatted(out, format_args!("{byte:02x}"))))
}
