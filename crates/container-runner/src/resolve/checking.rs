//! Arguments held against what their parameters declare: a producer may declare nothing, or `Any`.

use std::{collections::BTreeMap, sync::Arc};

use qflow_blobs::Blobs;
use qflow_model::{class::Classes, definition::TypeText, ids::RunId};
use qflow_proto::order::Order;
use qflow_types::{
    Ty,
    value::{self, Headers, ValueError},
};
use serde_json::{Map, Value};

use super::{Error, Used, converting::ROOM};
use crate::{
    declared::Declared,
    headers::{self, Content},
};

/// What arguments are held against; not those that the harness converts.
#[derive(Debug)]
pub struct Checking<'o> {
    types: BTreeMap<String, Arc<Ty>>,
    classes: &'o Classes,
}

impl<'o> Checking<'o> {
    /// The declared types of an order's arguments, without those that are `left` to the harness.
    pub fn of(order: &'o Order, left: &BTreeMap<String, bool>, declared: &Declared) -> Self {
        Self::among(&order.types, &order.classes, left, declared)
    }

    pub(super) fn among(
        types: &[(String, TypeText)],
        classes: &'o Classes,
        left: &BTreeMap<String, bool>,
        declared: &Declared,
    ) -> Self {
        let read = |(name, ty): &(String, TypeText)| Some((name.clone(), declared.read(ty).ok()?));
        let mut types: BTreeMap<String, Arc<Ty>> = types.iter().filter_map(read).collect();
        types.retain(|name, ty| **ty != Ty::Any && !left.contains_key(name));
        Self { types, classes }
    }

    /// Holds all arguments against their types, and writes them as the harness reads them; `used` are the attachments that they refer to,
    /// by their numbers. What is large has a thread of its own, so that nothing else of the runner waits for it.
    pub(super) async fn written(
        &self,
        arguments: Map<String, Value>,
        used: &[Used],
        blobs: &Blobs,
        run: RunId,
    ) -> Result<Vec<u8>, Error> {
        let mut known = Headers::new();
        if !used.is_empty() && self.types.values().any(|ty| value::declares(ty, self.classes)) {
            for (number, Used { attachment, .. }) in (0..).zip(used) {
                let content = Content::Blob(attachment.digest, attachment.size);
                let header = headers::read(blobs, run, &attachment.kind, &content).await?;
                known.extend(header.and_then(Result::ok).map(|header| (number, header)));
            }
        }
        if arguments.values().try_fold(SMALL, left).is_some() {
            return held(&arguments, &self.types, self.classes, &known);
        }
        let stopped = || Error::Disk("the check of the arguments stopped".to_owned());
        let room = ROOM.acquire().await.map_err(|_| stopped())?;
        let (types, classes) = (self.types.clone(), self.classes.clone());
        let work = move || {
            let written = held(&arguments, &types, &classes, &known);
            drop(room);
            written
        };
        tokio::task::spawn_blocking(work).await.map_err(|_| stopped())?
    }
}

/// Parts of arguments that are looked at where they are: some hundred microseconds.
const SMALL: usize = 5_000;
/// Bytes of a text that count as a part.
const PART_BYTES: usize = 64;

/// What is left of so many parts after a value; nothing where it has more.
fn left(parts: usize, value: &Value) -> Option<usize> {
    let left_of = parts.checked_sub(1)?;
    match value {
        Value::Array(items) => items.iter().try_fold(left_of, left),
        Value::Object(fields) => fields.values().try_fold(left_of, left),
        Value::String(text) => left_of.checked_sub(text.len() / PART_BYTES),
        _ => Some(left_of),
    }
}

fn held(
    arguments: &Map<String, Value>,
    types: &BTreeMap<String, Arc<Ty>>,
    classes: &Classes,
    known: &Headers,
) -> Result<Vec<u8>, Error> {
    let declared = arguments.iter().filter_map(|(name, value)| Some((name, value, &**types.get(name)?)));
    value::check_each(declared, classes, known).map_err(|(name, error)| unfit(name, error))?;
    serde_json::to_vec(arguments).map_err(|error| Error::Stored(error.to_string()))
}

pub(super) fn unfit(name: &str, error: ValueError) -> Error {
    Error::Unfit {
        name: name.to_owned(),
        place: if error.path.is_empty() { String::new() } else { format!(" at {}", error.path) },
        message: error.message,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_large_is_told_without_looking_at_all_of_it() {
        assert!(left(SMALL, &json!({"a": [1, 2, {"b": "c"}]})).is_some());
        assert!(left(SMALL, &json!(vec![0; SMALL])).is_none());
        assert!(left(SMALL, &json!("x".repeat(SMALL * PART_BYTES))).is_none());
        let rows = json!(vec![json!([1, 2]); SMALL / 3 - 1]);
        assert!(left(SMALL, &rows).is_some() && left(SMALL / 2, &rows).is_none());
    }
}
