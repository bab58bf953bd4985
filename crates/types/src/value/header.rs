//! What frames and arrays say of themselves before their data: the schema of an Arrow stream, the header of an `.npy`. Pure.

mod arrow;
mod declared;
mod npy;

use std::collections::BTreeMap;

pub use declared::declares;
pub(super) use declared::held;

use crate::dtype::Dtypes;

/// The most bytes of one: an Arrow schema of some 50,000 columns.
pub const HEADER_BYTES: usize = 16 << 20;

/// Those of a value's attachments, by their numbers.
pub type Headers = BTreeMap<u64, Header>;

/// What stands before the data of an attachment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Header {
    /// Of an array.
    Array(Array),
    /// Of a frame, a series or a table.
    Frame(Frame),
}

/// An array: what it holds, and how many along each dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Array {
    of: Column,
    shape: Vec<u64>,
}

/// A frame: what it was in Python, and its columns without those of its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    is_series: bool,
    columns: Vec<Column>,
}

/// A column: what its cells are.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Column {
    name: String,
    /// As numpy or Arrow call it.
    dtype: String,
    /// The kinds that it may be taken for: a category of texts is a category, and texts.
    kinds: Dtypes,
}

/// Bytes that are no header of their kind.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotAHeader(String);

impl NotAHeader {
    fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}

/// How many bytes of an attachment its header takes, going by its first 16; nothing where its kind has none.
pub fn header_bytes(kind: &str, first: &[u8]) -> Option<Result<usize, NotAHeader>> {
    let size = match kind {
        "npy" => npy::size(first),
        "arrow" => arrow::size(first),
        _ => return None,
    };
    Some(size.and_then(|size| match size {
        0..=HEADER_BYTES => Ok(size),
        _ => Err(NotAHeader::new(format!("a header of {size} bytes, where {HEADER_BYTES} are read"))),
    }))
}

impl Header {
    /// Reads the header of an attachment of a kind; `bytes` are at least as many as [`header_bytes`] says.
    pub fn read(kind: &str, bytes: &[u8]) -> Result<Self, NotAHeader> {
        match kind {
            "npy" => npy::read(bytes).map(Self::Array),
            "arrow" => arrow::read(bytes).map(Self::Frame),
            other => Err(NotAHeader::new(format!("`{other}` has no header"))),
        }
    }
}

impl Column {
    fn new(name: impl Into<String>, dtype: impl Into<String>, kinds: &[&str]) -> Self {
        let kinds = kinds.iter().filter_map(|kind| Dtypes::named(kind)).sum();
        Self { name: name.into(), dtype: dtype.into(), kinds }
    }
}

#[cfg(test)]
mod tests;
