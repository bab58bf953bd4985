//! A result is checked: decoded, held against its declared type, asked; what is large of it is to be written before it counts. Pure.

use bytes::Bytes;
use qflow_model::{
    ids::Digest,
    limits::{INLINE_VALUE_BYTES, VALUE_BYTES},
    outcome::Ending,
    status::FailureClass,
    value::{Attachment, Produced, ValueRef},
};
use qflow_proto::order::Order;
use qflow_types::value::{self as tagged, Headers, Misfit};
use serde_json::{Map, Value};

use crate::{
    content::Contents, declared::Declared, ending::failed, harness::AttachmentHead, headers::Content, lifecycle,
};

/// A result as it came.
#[derive(Debug)]
pub struct Raw {
    /// The encoding, then each attachment.
    pub parts: Vec<Bytes>,
    /// Elements, where there is an offset table.
    pub items: Option<u32>,
    /// What the attachments are.
    pub attachments: Vec<AttachmentHead>,
}

/// A result that is good.
#[derive(Debug)]
pub struct Checked {
    /// The value.
    pub produced: Produced,
    /// What has to be a blob before it is one.
    pub blobs: Vec<(Digest, Bytes)>,
}

impl Raw {
    /// Where each attachment is, by its number; none of those that did not come.
    pub fn contents<'a>(&'a self, contents: &Contents) -> Vec<(u64, &'a str, Content<'a>)> {
        let mut parts = self.parts.iter().skip(1);
        let place = |head: &AttachmentHead| match head.content {
            Some(number) => contents.get(number).map(|(digest, size)| Content::Blob(digest, size)),
            None => parts.next().map(|part| Content::Here(part)),
        };
        let places: Vec<_> = self.attachments.iter().map(place).collect();
        let numbered = (0..).zip(self.attachments.iter().zip(places));
        numbered.filter_map(|(number, (head, place))| Some((number, head.kind.as_str(), place?))).collect()
    }
}

/// Checks a result, of whose frames and arrays the `headers` are known that its type asks for; what the harness says of it is not believed but worked out again.
pub fn check(
    (order, declared): (&Order, &Declared),
    raw: Raw,
    contents: &Contents,
    headers: &Headers,
) -> Result<Checked, Ending> {
    let (returns, asks) = (&order.returns, &order.asks);
    let mut parts = raw.parts.into_iter();
    let encoding = parts.next().unwrap_or_default();
    let streamed = raw.attachments.iter().filter_map(|head| contents.get(head.content?)).map(|(_, size)| size);
    let attached = parts.as_slice().iter().map(|part| part.len() as u64).sum::<u64>() + streamed.sum::<u64>();
    // A file may have all that is allowed: what says so is not counted.
    let size = attached.max(encoding.len() as u64);
    if size > VALUE_BYTES {
        return Err(failed(
            FailureClass::User,
            "output_size",
            format!("the result has {size} bytes, where {VALUE_BYTES} are allowed"),
        ));
    }
    let ty = declared.read(returns).map_err(|e| {
        failed(FailureClass::Platform, "output_type", format!("the declared type `{}` does not read: {e}", returns.0))
    })?;
    let protocol = |why: String| failed(FailureClass::User, "protocol", why);
    let found =
        tagged::check_encoding_attached(&encoding, &ty, &order.classes, headers).map_err(|misfit| match misfit {
            Misfit::NotAValue(error) => protocol(error.to_string()),
            Misfit::Unfit(error) => failed(FailureClass::User, "output_type", error.to_string()),
        })?;
    let mut answers = Vec::new();
    // A pass over the bytes says all of most values: only what is looked into is held as a tree.
    if found.is_pickled || !asks.is_empty() {
        let value = tagged::decode(&encoding).map_err(|error| protocol(error.to_string()))?;
        bound(&value, order).map_err(protocol)?;
        answers.extend(asks.iter().map(|path| tagged::answer(&value, path)));
    }
    let (mut attachments, mut blobs) = (Vec::new(), Vec::new());
    for head in raw.attachments {
        let missing = || failed(FailureClass::User, "protocol", "an attachment that did not come");
        let (digest, size) = if let Some(number) = head.content {
            contents.get(number).ok_or_else(missing)?
        } else {
            let content = parts.next().ok_or_else(missing)?;
            let (digest, size) = (Digest::of(&content), content.len() as u64);
            blobs.push((digest, content));
            (digest, size)
        };
        attachments.push(Attachment { digest, size, kind: head.kind });
    }
    let (digest, size) = (Digest::of(&encoding), encoding.len() as u64);
    let is_inline = encoding.len() <= INLINE_VALUE_BYTES;
    // An offset table stands only in lists past the inline bound, and then names every element.
    let items = raw.items.filter(|items| !is_inline && found.items == Some(*items));
    let inline = is_inline.then(|| encoding.to_vec());
    if !is_inline {
        blobs.push((digest, encoding));
    }
    let value = ValueRef { digest, size, inline, items, attachments };
    Ok(Checked { produced: Produced { value, answers }, blobs })
}

/// Whether every pickle in a value says where it was made: whoever reads it relies on that.
fn bound(value: &Value, order: &Order) -> Result<(), String> {
    let is =
        |object: &Map<String, Value>, key: &str, wanted: &str| object.get(key).and_then(Value::as_str) == Some(wanted);
    match value {
        Value::Array(parts) => parts.iter().try_for_each(|part| bound(part, order)),
        Value::Object(object) if is(object, "$", "attachment") && is(object, "k", "pickle") => {
            let good =
                is(object, "lock", &order.lock.digest().to_string()) && is(object, "user", &lifecycle::user(order));
            if good { Ok(()) } else { Err("a pickle that does not say where it was made".into()) }
        }
        Value::Object(object) => object.values().try_for_each(|part| bound(part, order)),
        _ => Ok(()),
    }
}
