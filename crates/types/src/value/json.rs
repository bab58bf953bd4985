//! JSON as users write it, read exactly: no key twice, whole numbers of any size, and the place of whatever is wrong.

mod scan;
#[cfg(test)]
mod tests;

use std::ops::Range;

use qflow_model::class::Classes;
use serde_json::{Map, Value};

use super::{Misfit, ValueError, check_encoding, encode, read::within_levels, stored_key, tag, text::float};
use crate::ty::Ty;
use scan::Scan;

/// Levels of lists and objects in one another: what readers of JSON take, ours of stored values too.
const LEVELS: usize = 127;

/// Why a text is no value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// It is not JSON.
    #[error("{}", placed(.0, "not JSON: "))]
    Syntax(ValueError),
    /// It is, and says what no value is: a key twice, more levels than any reader takes.
    #[error(transparent)]
    Refused(ValueError),
}

/// A path comes first, where there is one.
fn placed(error: &ValueError, what: &str) -> String {
    ValueError { path: error.path.clone(), message: format!("{what}{}", error.message) }.to_string()
}

impl NotJson {
    /// What is wrong, and where in the value.
    pub fn told(self) -> ValueError {
        match self {
            Self::Syntax(ValueError { path, message }) => ValueError { path, message: format!("not JSON: {message}") },
            Self::Refused(error) => error,
        }
    }
}

/// Reads plain JSON into the tagged form, as it is under `Any`: keys are keys, also those that look like tags.
pub fn read(text: &[u8]) -> Result<Value, NotJson> {
    whole(text, Reader { keys: stored_key, ..Reader::default() }).map(|(value, _)| value)
}

/// The tag of a number whose digits are kept, until it is known what is made of it.
pub(super) const NUMBER: &str = "number";

/// As [`read`], of what is to be converted: a number of more digits than a float tells apart keeps them all, so that a `Decimal` has them.
/// [`as_floats`] ends that.
pub fn read_digits(text: &[u8]) -> Result<Value, NotJson> {
    match std::str::from_utf8(text) {
        Ok(text) => {
            let reader = Reader { keys: stored_key, ..Reader::default() };
            reader.whole(&mut Scan::keeping_digits(text)).map(|(value, _)| value)
        }
        Err(_) => read(text),
    }
}

/// What [`read_digits`] read, or what was made of it, with each number that is left as the float that is nearest.
pub fn as_floats(value: Value) -> Value {
    match value {
        Value::Object(_) if digits(&value).is_some() => digits(&value).map_or(Value::Null, nearest),
        Value::Object(fields) => fields.into_iter().map(|(key, value)| (key, as_floats(value))).collect(),
        Value::Array(items) => items.into_iter().map(as_floats).collect(),
        other => other,
    }
}

/// The digits of a number that has kept them.
pub(super) fn digits(value: &Value) -> Option<&str> {
    tag(value).filter(|(name, _)| *name == NUMBER).and_then(|(_, digits)| digits.as_str())
}

/// The float that is nearest to a number.
pub(super) fn nearest(digits: &str) -> Value {
    digits.parse().map_or(Value::Null, float)
}

/// Reads JSON in the tagged form, and holds it to that; a whole number past 2⁵³ that is written out is the tagged one.
pub fn read_tagged(text: &[u8]) -> Result<Value, NotJson> {
    let (value, _) = whole(text, Reader::default())?;
    check_encoding(&encode(&value).bytes, &Ty::Any, &Classes::new()).map_err(|misfit| match misfit {
        Misfit::Unfit(error) => NotJson::Refused(error),
        Misfit::NotAValue(error) => NotJson::Refused(ValueError::new(error.to_string())),
    })?;
    within_levels(value).map_err(NotJson::Refused)
}

/// The fields of an object in plain JSON, each with its text as it is written; the whole of it is read first.
pub fn fields(text: &[u8]) -> Result<Vec<(String, &str)>, NotJson> {
    let (value, fields) = whole(text, Reader::default())?;
    if !value.is_object() {
        return Err(NotJson::Refused(ValueError::new("not a JSON object")));
    }
    let text = std::str::from_utf8(text).unwrap_or_default();
    Ok(fields.into_iter().map(|(name, at)| (name, &text[at])).collect())
}

type Fields = Vec<(String, Range<usize>)>;

fn whole(text: &[u8], reader: Reader) -> Result<(Value, Fields), NotJson> {
    match std::str::from_utf8(text) {
        Ok(text) => reader.whole(&mut Scan::new(text)),
        Err(error) => {
            // What comes before is read to its end, which is where the bytes are.
            let before = std::str::from_utf8(&text[..error.valid_up_to()]).unwrap_or_default();
            let mut scan = Scan::new(before);
            let path = match reader.whole(&mut scan) {
                Err(NotJson::Syntax(broken)) => broken.path,
                Err(refused @ NotJson::Refused(_)) => return Err(refused),
                Ok(_) => String::new(),
            };
            let message = scan.wrong_at(before.len(), "these bytes are not UTF-8").message;
            Err(NotJson::Syntax(ValueError { path, message }))
        }
    }
}

/// Reads one text.
struct Reader {
    /// What a key is stored as.
    keys: fn(&str) -> String,
    depth: usize,
    /// Where the fields of the outermost object lie.
    fields: Fields,
}

impl Default for Reader {
    fn default() -> Self {
        Self { keys: str::to_owned, depth: 0, fields: Vec::new() }
    }
}

impl Reader {
    fn whole(mut self, scan: &mut Scan<'_>) -> Result<(Value, Fields), NotJson> {
        let value = self.value(scan)?;
        scan.skip_blanks();
        if scan.peek().is_some() {
            return Err(NotJson::Syntax(scan.wrong("more follows after the value")));
        }
        Ok((value, self.fields))
    }

    /// Small, as everything that calls itself for each level of a value.
    fn value(&mut self, scan: &mut Scan<'_>) -> Result<Value, NotJson> {
        scan.skip_blanks();
        match scan.peek() {
            Some(b'[') => self.within(scan, Self::list),
            Some(b'{') => self.within(scan, Self::object),
            Some(b'"') => scan.text().map(Value::String).map_err(NotJson::Syntax),
            _ => scan.scalar().map_err(NotJson::Syntax),
        }
    }

    fn within(
        &mut self,
        scan: &mut Scan<'_>,
        read: fn(&mut Self, &mut Scan<'_>) -> Result<Value, NotJson>,
    ) -> Result<Value, NotJson> {
        if self.depth == LEVELS {
            let message = format!("nested deeper than {LEVELS} levels");
            return Err(NotJson::Refused(scan.wrong(&message)));
        }
        self.depth += 1;
        scan.take();
        let read = read(self, scan);
        self.depth -= 1;
        read
    }

    fn list(&mut self, scan: &mut Scan<'_>) -> Result<Value, NotJson> {
        let mut items = Vec::new();
        if scan.is_next(b']') {
            return Ok(Value::Array(items));
        }
        loop {
            let item = self.value(scan).map_err(|error| error.below(&format!("[{}]", items.len())))?;
            items.push(item);
            if scan.is_next(b']') {
                return Ok(Value::Array(items));
            }
            if !scan.is_next(b',') {
                return Err(NotJson::Syntax(scan.wrong("expected `,` or `]`")));
            }
        }
    }

    fn object(&mut self, scan: &mut Scan<'_>) -> Result<Value, NotJson> {
        let mut fields = Map::new();
        if scan.is_next(b'}') {
            return Ok(Value::Object(fields));
        }
        loop {
            scan.skip_blanks();
            if scan.peek() != Some(b'"') {
                return Err(NotJson::Syntax(scan.wrong("expected a key, which is a text in `\"`")));
            }
            let key = scan.text().map_err(NotJson::Syntax)?;
            if !scan.is_next(b':') {
                return Err(NotJson::Syntax(scan.wrong("expected `:`")).below(&in_brackets(&key)));
            }
            scan.skip_blanks();
            let start = scan.at();
            let value = self.value(scan).map_err(|error| error.below(&in_brackets(&key)))?;
            if self.depth == 1 {
                self.fields.push((key.clone(), start..scan.at()));
            }
            if fields.insert((self.keys)(&key), value).is_some() {
                let twice = ValueError::new(format!("the key {key:?} comes twice"));
                return Err(NotJson::Refused(twice).below(&in_brackets(&key)));
            }
            if scan.is_next(b'}') {
                return Ok(Value::Object(fields));
            }
            if !scan.is_next(b',') {
                return Err(NotJson::Syntax(scan.wrong("expected `,` or `}`")));
            }
        }
    }
}

fn in_brackets(key: &str) -> String {
    format!("[{key:?}]")
}

impl NotJson {
    fn below(self, part: &str) -> Self {
        match self {
            Self::Syntax(error) => Self::Syntax(error.below(part)),
            Self::Refused(error) => Self::Refused(error.below(part)),
        }
    }
}
