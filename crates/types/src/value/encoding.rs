//! Bytes of a value: the skeleton, and the offset table of a long list.

use qflow_model::{ids::Digest, limits};
use serde_json::Value;

/// A value's bytes and what names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encoded {
    /// The skeleton, with an offset table where it is a list past the inline bound.
    pub bytes: Vec<u8>,
    /// SHA-256 of the bytes.
    pub digest: Digest,
    /// Elements, where it is a list.
    pub items: Option<u32>,
}

/// Bytes that are not a value.
#[derive(Debug, thiserror::Error)]
pub enum NotAValue {
    /// The skeleton does not read as JSON.
    #[error("the value's skeleton is not JSON, or nested deeper than 127 levels")]
    Json(#[from] serde_json::Error),
    /// The offset table does not fit the bytes.
    #[error("the value's offset table does not fit it")]
    Offsets,
}

/// Digits of the skeleton's length at the very end.
const LENGTH_DIGITS: usize = 20;

/// Encodes a value in the tagged form.
pub fn encode(value: &Value) -> Encoded {
    let (bytes, items) = match value.as_array() {
        None => (write(value), None),
        Some(items) => (list(items), Some(items.len() as u32)),
    };
    Encoded { digest: Digest::of(&bytes), bytes, items }
}

fn write(value: &Value) -> Vec<u8> {
    serde_json::to_vec(value).expect("a JSON value has no keys other than text")
}

fn list(items: &[Value]) -> Vec<u8> {
    let mut bytes = b"[".to_vec();
    let mut starts = Vec::with_capacity(items.len());
    for (i, item) in items.iter().enumerate() {
        if i > 0 {
            bytes.push(b',');
        }
        starts.push(bytes.len().to_string());
        bytes.extend(write(item));
    }
    bytes.push(b']');
    if bytes.len() > limits::INLINE_VALUE_BYTES {
        let length = bytes.len();
        bytes.extend(format!("\n{}\n{length:020}", starts.join(",")).into_bytes());
    }
    bytes
}

/// Where the skeleton ends, read from the last 21 bytes of an encoding; `None` where it has no offset table.
pub fn trailer_start(tail: &[u8]) -> Option<u64> {
    let tail = tail.len().checked_sub(LENGTH_DIGITS + 1).map(|from| &tail[from..])?;
    let digits = tail.strip_prefix(b"\n")?;
    std::str::from_utf8(digits).ok().filter(|d| d.bytes().all(|b| b.is_ascii_digit()))?.parse().ok()
}

/// Where each element of a stored list lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offsets {
    starts: Vec<u64>,
    end: u64,
}

impl Offsets {
    /// Reads the offset table: all bytes from where the skeleton ends.
    pub fn read(trailer: &[u8], skeleton: u64) -> Result<Self, NotAValue> {
        let text = std::str::from_utf8(trailer).map_err(|_| NotAValue::Offsets)?;
        let line = text.strip_prefix('\n').and_then(|t| t.split('\n').next()).ok_or(NotAValue::Offsets)?;
        let starts: Option<Vec<u64>> =
            if line.is_empty() { Some(vec![]) } else { line.split(',').map(|s| s.parse().ok()).collect() };
        let starts = starts.ok_or(NotAValue::Offsets)?;
        let ordered = starts.windows(2).all(|pair| pair[0] < pair[1]) && starts.last().is_none_or(|s| *s < skeleton);
        if ordered { Ok(Self { starts, end: skeleton }) } else { Err(NotAValue::Offsets) }
    }

    /// The bytes of an element, its comma not included.
    pub fn range(&self, index: u32) -> Option<std::ops::Range<u64>> {
        let index = index as usize;
        let start = *self.starts.get(index)?;
        Some(start..self.starts.get(index + 1).copied().unwrap_or(self.end) - 1)
    }
}

/// The skeleton of an encoding, without the offset table where there is one.
pub(super) fn skeleton(bytes: &[u8]) -> Result<&[u8], NotAValue> {
    let Some(end) = trailer_start(bytes) else { return Ok(bytes) };
    let end = usize::try_from(end).map_err(|_| NotAValue::Offsets)?;
    // The table begins on a line of its own: what is read on from the start ends there too.
    let is_there = bytes.get(end) == Some(&b'\n');
    if is_there { Ok(&bytes[..end]) } else { Err(NotAValue::Offsets) }
}

/// Reads an encoding, with or without an offset table.
pub fn decode(bytes: &[u8]) -> Result<Value, NotAValue> {
    Ok(serde_json::from_slice(skeleton(bytes)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn a_float_is_read_back_to_its_last_digit() {
        for text in
            ["14871.466378840501", "-906834.6387644875", "5e-324", "1.7976931348623157e308", "0.30000000000000004"]
        {
            let value = decode(text.as_bytes()).unwrap();
            assert_eq!(value.as_f64(), text.parse::<f64>().ok(), "{text}");
            assert_eq!(decode(&encode(&value).bytes).unwrap(), value, "{text}");
        }
    }

    /// The harness gives at most 100 levels; what bodies put around a value has the rest.
    #[test]
    fn a_value_nested_too_deeply_is_told_so() {
        let nested = |levels: usize| format!("{}1{}", "[".repeat(levels), "]".repeat(levels));
        assert!(decode(nested(127).as_bytes()).is_ok());
        let error = decode(nested(128).as_bytes()).unwrap_err();
        assert_eq!(error.to_string(), "the value's skeleton is not JSON, or nested deeper than 127 levels");
    }

    #[test]
    fn an_element_of_a_long_list_is_read_by_its_range() {
        let items: Vec<Value> = (0..5000).map(|i| json!({"row": i, "text": "x"})).collect();
        let encoded = encode(&Value::Array(items.clone()));
        assert!(encoded.bytes.len() > limits::INLINE_VALUE_BYTES);
        let skeleton = trailer_start(&encoded.bytes[encoded.bytes.len() - 21..]).unwrap();
        let offsets = Offsets::read(&encoded.bytes[skeleton as usize..], skeleton).unwrap();
        for index in [0_u32, 1, 4999] {
            let range = offsets.range(index).unwrap();
            let element = &encoded.bytes[range.start as usize..range.end as usize];
            assert_eq!(decode(element).unwrap(), items[index as usize]);
        }
        assert_eq!(offsets.range(5000), None);
        assert_eq!(decode(&encoded.bytes).unwrap(), Value::Array(items));
    }

    #[test]
    fn a_table_that_begins_within_the_skeleton_is_none() {
        for (bytes, good) in [
            (&b"[1]\n1\n00000000000000000003"[..], true),
            (b"1e999\nx\n00000000000000000004", false),
            (b"[1]\n1\n00000000000000000999", false),
            (b"[1]\n1\n99999999999999999999", false),
        ] {
            assert_eq!(decode(bytes).is_ok(), good, "{}", String::from_utf8_lossy(bytes));
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_reads_back(items in prop::collection::vec("\\PC{0,40}", 0..2000)) {
            let value = Value::from(items);
            let encoded = encode(&value);
            prop_assert_eq!(encoded.items, value.as_array().map(|a| a.len() as u32));
            prop_assert_eq!(decode(&encoded.bytes).unwrap(), value);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            drop(decode(&bytes));
            drop(Offsets::read(&bytes, 100));
        }
    }
}
