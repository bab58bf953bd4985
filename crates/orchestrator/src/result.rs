//! A run's result as users see it: put together when it is read, from values that lie where their nodes left them.

pub mod download;

use bytes::Bytes;
use qflow_blobs::Blobs;
use qflow_model::{
    expression::{Path, Segment},
    ids::RunId,
    value::{Argument, ValueRef, outcome},
};
use qflow_types::value;
use serde_json::{Map, Value, json};

/// Bytes of all values of a result that are read for an answer: an answer fits into one message.
const RESULT_BYTES: u64 = 3 * 1024 * 1024;

/// Why a result cannot be shown.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A part of it cannot be had.
    #[error("the result cannot be read")]
    Blob(#[from] qflow_blobs::Error),
    /// A part of it does not read, or a path leads nowhere.
    #[error("the result does not read: {0}")]
    Unreadable(String),
    /// It is more than an answer holds.
    #[error(
        "the result has more than {RESULT_BYTES} bytes, which one answer does not hold; fetch it: qflow runs result {0} --out PATH"
    )]
    TooLarge(RunId),
    /// It has no content of that number.
    #[error("it holds {held} contents, counted from 0, so none numbered {number}")]
    NoContent {
        /// Which was asked for.
        number: u32,
        /// How many there are.
        held: usize,
    },
}

/// A result in the plain form.
pub async fn plain(blobs: &Blobs, run: RunId, result: &Argument) -> Result<Value, Error> {
    let mut reader = Reader { blobs, run, left: RESULT_BYTES, attachments: 0 };
    Ok(value::to_plain(&reader.argument(result).await?))
}

struct Reader<'a> {
    blobs: &'a Blobs,
    run: RunId,
    left: u64,
    /// Of the values that were read so far: each is numbered among those of the whole result.
    attachments: u64,
}

impl Reader<'_> {
    async fn argument(&mut self, argument: &Argument) -> Result<Value, Error> {
        match argument {
            Argument::Literal(value) => Ok(value.clone()),
            Argument::Value { value, element, path } => self.value(value, *element, path).await,
            Argument::Gathered { values, path } => self.gathered(values, path).await,
            Argument::Manifest { list, element, path, .. } => {
                let bytes = self.bytes(list).await?;
                let values: Vec<ValueRef> = serde_json::from_slice(&bytes).map_err(|e| unreadable(&e))?;
                match element {
                    None => self.gathered(&values, path).await,
                    Some(element) => {
                        let of = values.get(*element as usize).ok_or_else(|| unreadable(&"list index out of range"))?;
                        self.value(of, None, path).await
                    }
                }
            }
            Argument::List(parts) => Ok(Value::Array(self.all(parts).await?)),
            Argument::Tuple(parts) => Ok(json!({"$": "tuple", "v": self.all(parts).await?})),
            Argument::Dict(parts) => {
                let mut object = Map::new();
                for (key, part) in parts {
                    let key = if key.starts_with('$') { format!("${key}") } else { key.clone() };
                    object.insert(key, Box::pin(self.argument(part)).await?);
                }
                Ok(Value::Object(object))
            }
            Argument::Outcome { value: of, error } => {
                let inner = match of {
                    Some(of) => Some(Box::pin(self.argument(of)).await?),
                    None => None,
                };
                Ok(outcome(inner.as_ref(), error.as_deref()))
            }
            Argument::Kept(kept) => {
                let bytes = self.bytes(kept).await?;
                let argument: Argument = serde_json::from_slice(&bytes).map_err(|e| unreadable(&e))?;
                Box::pin(self.argument(&argument)).await
            }
            Argument::Format(parts) => {
                Ok(Value::String(self.all(parts).await?.iter().map(value::to_text).collect::<String>()))
            }
        }
    }

    async fn all(&mut self, parts: &[Argument]) -> Result<Vec<Value>, Error> {
        let mut values = Vec::with_capacity(parts.len());
        for part in parts {
            values.push(Box::pin(self.argument(part)).await?);
        }
        Ok(values)
    }

    /// The list of several values; a path that begins with an index needs only one of them.
    async fn gathered(&mut self, values: &[ValueRef], path: &Path) -> Result<Value, Error> {
        if let Some((Segment::Index(index), rest)) = path.split_first() {
            let at = if *index < 0 { values.len() as i64 + index } else { *index };
            let of = usize::try_from(at).ok().and_then(|at| values.get(at));
            return self.value(of.ok_or_else(|| unreadable(&"list index out of range"))?, None, &rest.to_vec()).await;
        }
        let mut list = Vec::with_capacity(values.len());
        for of in values {
            list.push(self.value(of, None, &Path::new()).await?);
        }
        let list = Value::Array(list);
        value::at(&list, path).cloned().map_err(|e| unreadable(&e))
    }

    async fn value(&mut self, of: &ValueRef, element: Option<u32>, path: &Path) -> Result<Value, Error> {
        let bytes = self.bytes(of).await?;
        let whole = value::decode(&bytes).map_err(|e| unreadable(&e))?;
        let mut full = Vec::with_capacity(path.len() + 1);
        full.extend(element.map(|index| Segment::Index(i64::from(index))));
        full.extend(path.iter().cloned());
        let mut part = value::at(&whole, &full).cloned().map_err(|e| unreadable(&e))?;
        number(&mut part, self.attachments);
        self.attachments += of.attachments.len() as u64;
        Ok(part)
    }

    async fn bytes(&mut self, of: &ValueRef) -> Result<Bytes, Error> {
        self.left = self.left.checked_sub(of.size).ok_or(Error::TooLarge(self.run))?;
        Ok(self.blobs.bytes(self.run, of).await?)
    }
}

/// Numbers attachments of a value on from those before it.
fn number(value: &mut Value, first: u64) {
    match value {
        _ if first == 0 => {}
        Value::Array(items) => items.iter_mut().for_each(|item| number(item, first)),
        Value::Object(fields) if fields.get("$").is_some_and(|tag| tag == "attachment") => {
            if let Some(index) = fields.get("i").and_then(Value::as_u64) {
                fields.insert("i".to_owned(), json!(index + first));
            }
        }
        Value::Object(fields) => fields.values_mut().for_each(|field| number(field, first)),
        _ => {}
    }
}

fn unreadable(error: &dyn std::fmt::Display) -> Error {
    Error::Unreadable(error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::{ids::Digest, limits, value::OutcomeError};

    fn inline(text: &str) -> ValueRef {
        let bytes = text.as_bytes().to_vec();
        ValueRef {
            digest: Digest::of(&bytes),
            size: bytes.len() as u64,
            inline: Some(bytes),
            items: None,
            attachments: vec![],
        }
    }

    #[tokio::test]
    async fn a_result_is_put_together_from_parts_of_values() {
        let (blobs, run) = (Blobs::in_memory(), RunId(uuid::Uuid::from_u128(1)));
        let key = vec![Segment::Key("a".into())];
        let part = Argument::Value { value: inline(r#"{"a":[1,2]}"#), element: None, path: key };
        let joined = Argument::Gathered { values: vec![inline("3"), inline("4")], path: vec![Segment::Index(-1)] };
        let text = Argument::Format(vec![Argument::Literal(json!("n=")), joined.clone()]);
        let result = Argument::Tuple(vec![part, joined, text]);
        assert_eq!(plain(&blobs, run, &result).await.unwrap(), json!([[1, 2], 4, "n=4"]));
    }

    #[tokio::test]
    async fn an_outcome_is_shown_as_what_it_says() {
        let value = Argument::Value { value: inline(r#"{"$":"date","v":"2026-11-24"}"#), element: None, path: vec![] };
        let error = OutcomeError { error_type: "E".into(), message: "m".into(), status: "failed".into(), attempts: 2 };
        let good = Argument::Outcome { value: Some(Box::new(value)), error: None };
        let bad = Argument::Outcome { value: None, error: Some(Box::new(error)) };
        let shown = plain(&Blobs::in_memory(), RunId(uuid::Uuid::from_u128(1)), &Argument::List(vec![good, bad])).await;
        let error = json!({"type": "E", "message": "m", "status": "failed", "attempts": 2});
        let expected =
            json!([{"ok": true, "value": "2026-11-24", "error": null}, {"ok": false, "value": null, "error": error}]);
        assert_eq!(shown.unwrap(), expected);
    }

    #[tokio::test]
    async fn a_result_that_no_answer_holds_says_so() {
        let value = ValueRef { size: limits::VALUE_BYTES, inline: None, ..inline("1") };
        let result = Argument::Value { value, element: None, path: vec![] };
        let error = plain(&Blobs::in_memory(), RunId(uuid::Uuid::from_u128(1)), &result).await.unwrap_err();
        assert!(matches!(error, Error::TooLarge(_)));
    }
}
