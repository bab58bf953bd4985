//! The form of a value: encoding, reading, checking and converting it. See `docs/VALUES.md`.

mod check;
mod convert;
mod decimal;
mod encoding;
mod equal;
mod header;
mod iso;
pub mod json;
mod literals;
mod plain;
mod read;
mod repr;
pub mod stream;
mod text;
mod tried;

pub use check::{
    Found, Misfit, Valueless, check, check_each, check_encoding, check_encoding_attached, check_fields, check_reader,
    check_written, valueless,
};
pub use convert::{convert, convert_taken, is_made_here};
pub use encoding::{Encoded, NotAValue, Offsets, decode, encode, trailer_start};
pub use header::{HEADER_BYTES, Header, Headers, NotAHeader, declares, header_bytes};
pub use plain::{to_plain, to_text};
pub use qflow_model::tagged::{answer, at};
use qflow_model::tagged::{kind, stored_key, tag};
pub(crate) use read::field_type;
pub use read::{from_json, from_text};
pub use repr::shown;
use serde_json::Value;

/// A value that is not of its declared type, and where in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", if path.is_empty() { String::new() } else { format!("at {path}: ") })]
pub struct ValueError {
    /// Where inside the value, e.g. `[3]["price"]`; empty for the whole.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl ValueError {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    /// The same of a value that holds this one at a part: `[3]`, `["price"]`.
    #[must_use]
    pub fn below(mut self, part: &str) -> Self {
        put_before(&mut self.path, part);
        self
    }
}

/// Puts the part of a path before what is below it: a key is named as such, `[0] key "a"`.
pub(crate) fn put_before(path: &mut String, part: &str) {
    if path.starts_with("key") {
        path.insert(0, ' ');
    }
    path.insert_str(0, part);
}

/// A tagged value of one that is there: `json!` would copy it.
fn tagged(tag: &str, value: Value) -> Value {
    Value::Object([("$".to_owned(), Value::from(tag)), ("v".to_owned(), value)].into_iter().collect())
}

/// A key of a mapping as Python has it.
fn python_key(key: &str) -> &str {
    if key.starts_with("$$") { &key[1..] } else { key }
}
