//! Arguments become bytes beside their consumer: stored values are read, whole or by range, and put together.

mod checking;
mod converting;
mod reader;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use bytes::Bytes;
use qflow_blobs::Blobs;
use qflow_model::{
    expression::{Path, Segment},
    ids::RunId,
    value::{Argument, Attachment, ValueRef, outcome},
};
use qflow_types::value as tagged;
use serde_json::{Map, Value};
use tokio::time::Instant;

pub use self::{checking::Checking, converting::Converting, reader::Reader};
use crate::harness::AttachmentHead;

/// The end of an encoding with an offset table: a line break and the skeleton's length in 20 digits.
const TAIL: u64 = 21;
/// Bytes of an offset table: 11 for each of ten million elements.
const TABLE_BYTES: u64 = 110 << 20;

/// Bytes of an attachment that go with the message; more lies in the container's folder, and no process holds it whole.
const WHOLE_BYTES: u64 = 64 << 10;

/// The arguments of an attempt, as they go to the harness.
#[derive(Debug, Default)]
pub struct Resolved {
    /// A JSON object of the arguments.
    pub object: Bytes,
    /// What follows it.
    pub heads: Vec<AttachmentHead>,
    /// Their bytes.
    pub attachments: Vec<Bytes>,
    /// Milliseconds that conversions took, by argument.
    pub converted_ms: BTreeMap<String, f64>,
}

/// Why an argument could not be put together.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A blob is not to be had: another try may help.
    #[error(transparent)]
    Blob(#[from] qflow_blobs::Error),
    /// There is no room to lay it out.
    #[error("lay out an argument: {0}")]
    Disk(String),
    /// What is stored is not what it says.
    #[error("stored value: {0}")]
    Stored(String),
    /// What is there is not for this node.
    #[error("argument `{name}`: {message}")]
    Pickle {
        /// The parameter.
        name: String,
        /// Why not.
        message: String,
    },
    /// It is not what its parameter declares.
    #[error("argument `{name}`{place}: {message}")]
    Unfit {
        /// The parameter.
        name: String,
        /// Where in it, with ` at `.
        place: String,
        /// What was expected there.
        message: String,
    },
    /// The path leads nowhere.
    #[error("argument `{name}`: {message}")]
    Path {
        /// The parameter.
        name: String,
        /// As Python would say.
        message: String,
    },
}

/// Puts all arguments of an attempt together.
pub async fn arguments(
    blobs: &Blobs,
    run: RunId,
    arguments: &[(String, Argument)],
    reader: &Reader,
    converting: &Converting,
    checking: &Checking<'_>,
) -> Result<Resolved, Error> {
    let mut resolver = Resolver { blobs, run, reader, used: Vec::new() };
    let (mut object, mut converted_ms) = (Map::new(), BTreeMap::new());
    for (name, argument) in arguments {
        let value = resolver.argument(argument).await.map_err(|error| match error {
            Error::Path { message, .. } => Error::Path { name: name.clone(), message },
            Error::Pickle { message, .. } => Error::Pickle { name: name.clone(), message },
            other => other,
        })?;
        if !converting.is_for(name) {
            object.insert(name.clone(), value);
            continue;
        }
        let began = Instant::now();
        object.insert(name.clone(), converting.convert(name, value).await?);
        converted_ms.insert(name.clone(), began.elapsed().as_secs_f64() * 1e3);
    }
    let object = checking.written(object, &resolver.used, blobs, run).await?.into();
    let mut resolved = Resolved { object, converted_ms, ..Resolved::default() };
    for (number, Used { attachment, name }) in resolver.used.into_iter().enumerate() {
        let is_whole = attachment.size <= WHOLE_BYTES && !matches!(attachment.kind.as_str(), "file" | "folder");
        if is_whole {
            let content = blobs.read(run, attachment.digest).await?;
            let size = content.len() as u64;
            resolved.heads.push(AttachmentHead { kind: attachment.kind, size, ..AttachmentHead::default() });
            resolved.attachments.push(content);
        } else {
            let path = reader.lay_out(blobs, run, &attachment, number, &name).await?;
            resolved.heads.push(AttachmentHead {
                kind: attachment.kind,
                path: Some(path),
                ..AttachmentHead::default()
            });
        }
    }
    Ok(resolved)
}

struct Resolver<'a> {
    blobs: &'a Blobs,
    run: RunId,
    reader: &'a Reader,
    used: Vec<Used>,
}

/// An attachment that an argument points to, and the name that it is known by.
struct Used {
    attachment: Attachment,
    name: String,
}

impl Resolver<'_> {
    async fn argument(&mut self, argument: &Argument) -> Result<Value, Error> {
        match argument {
            Argument::Literal(value) => Ok(value.clone()),
            Argument::Value { value, element, path } => self.value(value, *element, path).await,
            Argument::Gathered { values, path } => self.gathered(values, path).await,
            Argument::Manifest { list, count: _, element, path } => {
                let bytes = self.bytes(list).await?;
                let values: Vec<ValueRef> =
                    serde_json::from_slice(&bytes).map_err(|e| Error::Stored(format!("a manifest: {e}")))?;
                match element {
                    None => self.gathered(&values, path).await,
                    Some(element) => {
                        let value = values.get(*element as usize).ok_or_else(|| nowhere("list index out of range"))?;
                        self.value(value, None, path).await
                    }
                }
            }
            Argument::List(parts) => Ok(Value::Array(self.all(parts).await?)),
            Argument::Tuple(parts) => Ok(serde_json::json!({"$": "tuple", "v": self.all(parts).await?})),
            Argument::Dict(parts) => {
                let mut object = Map::new();
                for (key, part) in parts {
                    let key = if key.starts_with('$') { format!("${key}") } else { key.clone() };
                    object.insert(key, Box::pin(self.argument(part)).await?);
                }
                Ok(Value::Object(object))
            }
            Argument::Outcome { value, error } => {
                let inner = match value {
                    Some(value) => Some(Box::pin(self.argument(value)).await?),
                    None => None,
                };
                Ok(outcome(inner.as_ref(), error.as_deref()))
            }
            Argument::Kept(kept) => {
                let bytes = self.bytes(kept).await?;
                let argument: Argument =
                    serde_json::from_slice(&bytes).map_err(|e| Error::Stored(format!("an argument: {e}")))?;
                Box::pin(self.argument(&argument)).await
            }
            Argument::Format(parts) => {
                Ok(Value::String(self.all(parts).await?.iter().map(tagged::to_text).collect::<String>()))
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
            let value = usize::try_from(at).ok().and_then(|at| values.get(at));
            let value = value.ok_or_else(|| nowhere("list index out of range"))?;
            return self.value(value, None, &rest.to_vec()).await;
        }
        if !path.is_empty() {
            return Err(nowhere("list indices must be integers"));
        }
        let mut list = Vec::with_capacity(values.len());
        for value in values {
            list.push(self.value(value, None, &Path::new()).await?);
        }
        Ok(Value::Array(list))
    }

    /// A stored value, an element of it, a part of that.
    async fn value(&mut self, value: &ValueRef, element: Option<u32>, path: &Path) -> Result<Value, Error> {
        let found = match (element, value.items, &value.inline) {
            (Some(element), Some(_), None) => self.element(value, element).await?,
            (element, ..) => {
                let whole = tagged::decode(&self.bytes(value).await?).map_err(|e| Error::Stored(e.to_string()))?;
                match element {
                    None => whole,
                    Some(element) => pick(whole, element)?,
                }
            }
        };
        let mut part = tagged::at(&found, path).map_err(|message| nowhere(&message))?.clone();
        self.renumber(&mut part, &value.attachments)?;
        Ok(part)
    }

    /// The bytes of a value's encoding.
    async fn bytes(&self, value: &ValueRef) -> Result<Bytes, Error> {
        match &value.inline {
            Some(inline) => Ok(Bytes::copy_from_slice(inline)),
            None => Ok(self.blobs.read(self.run, value.digest).await?),
        }
    }

    /// One element of a long list, by its range: the rest is not read.
    async fn element(&self, value: &ValueRef, element: u32) -> Result<Value, Error> {
        let wrong = || Error::Stored("its offset table does not read".into());
        let tail = value.size.saturating_sub(TAIL)..value.size;
        let tail = self.blobs.range(self.run, value.digest, tail).await?;
        let skeleton = tagged::trailer_start(&tail).filter(|start| *start < value.size).ok_or_else(wrong)?;
        if value.size - skeleton > TABLE_BYTES {
            return Err(wrong());
        }
        let trailer = self.blobs.range(self.run, value.digest, skeleton..value.size).await?;
        let offsets = tagged::Offsets::read(&trailer, skeleton).map_err(|e| Error::Stored(e.to_string()))?;
        let range = offsets.range(element).filter(|r| r.start < r.end && r.end < skeleton).ok_or_else(wrong)?;
        let bytes = self.blobs.range(self.run, value.digest, range).await?;
        serde_json::from_slice(&bytes).map_err(|e| Error::Stored(e.to_string()))
    }

    /// Attachments are counted per value; together they need numbers of their own.
    fn renumber(&mut self, value: &mut Value, attachments: &[Attachment]) -> Result<(), Error> {
        match value {
            Value::Array(parts) => parts.iter_mut().try_for_each(|part| self.renumber(part, attachments)),
            Value::Object(object) if object.get("$").and_then(Value::as_str) == Some("attachment") => {
                let index = object.get("i").and_then(Value::as_u64).map(|i| i as usize);
                let attachment = index.and_then(|i| attachments.get(i));
                let attachment = attachment.ok_or_else(|| Error::Stored("an attachment that is not there".into()))?;
                if attachment.kind == "pickle" {
                    self.reader.may_unpickle(object)?;
                }
                object.insert("i".into(), self.used.len().into());
                let name = object.get("n").and_then(Value::as_str).unwrap_or_default().to_owned();
                self.used.push(Used { attachment: attachment.clone(), name });
                Ok(())
            }
            Value::Object(object) => object.values_mut().try_for_each(|part| self.renumber(part, attachments)),
            _ => Ok(()),
        }
    }
}

/// An element of a list or a tuple that is in memory.
fn pick(whole: Value, element: u32) -> Result<Value, Error> {
    let list = match whole {
        Value::Array(list) => list,
        Value::Object(mut object) => match object.remove("v") {
            Some(Value::Array(list)) => list,
            _ => return Err(nowhere("it is not a list")),
        },
        _ => return Err(nowhere("it is not a list")),
    };
    list.into_iter().nth(element as usize).ok_or_else(|| nowhere("list index out of range"))
}

fn nowhere(message: &str) -> Error {
    Error::Path { name: String::new(), message: message.to_owned() }
}
