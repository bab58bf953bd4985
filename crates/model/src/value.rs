//! References to values: the control plane moves them and never opens them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    expression::{Answer, Path},
    ids::Digest,
};

/// A value in the tagged form, inline or by reference. See `docs/VALUES.md` for the bytes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ValueRef {
    /// SHA-256 of the encoding.
    pub digest: Digest,
    /// Bytes of the encoding.
    pub size: u64,
    /// The encoding itself, at most 32 KiB; else it is the blob `runs/{run}/{digest}`.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "inline")]
    pub inline: Option<Vec<u8>>,
    /// Elements, where the value is a list that is stored with an offset table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<u32>,
    /// What the skeleton points to: frames, arrays, bytes, files.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub attachments: Vec<Attachment>,
}

impl ValueRef {
    /// Digests of the blobs that it stands in.
    pub fn blobs(&self) -> impl Iterator<Item = Digest> {
        let whole = self.inline.is_none().then_some(self.digest);
        whole.into_iter().chain(self.attachments.iter().map(|part| part.digest))
    }
}

/// A part of a value that is not JSON: the blob `runs/{run}/{digest}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attachment {
    /// SHA-256 of the content.
    pub digest: Digest,
    /// Bytes of the content.
    pub size: u64,
    /// `arrow`, `npy`, `bytes`, `file`.
    pub kind: String,
}

/// Where an argument's value comes from, for the runner that resolves it beside the consumer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Argument {
    /// A value in the tagged form.
    Literal(serde_json::Value),
    /// A stored value, or a part of it.
    Value {
        /// The value.
        value: ValueRef,
        /// Which element of it, where it is mapped over: applied before `path`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        element: Option<u32>,
        /// Where inside it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Path,
    },
    /// The results of a map, in order; a blob in the same JSON form where it is large.
    Gathered {
        /// The elements' values.
        values: Vec<ValueRef>,
        /// Where inside the list of them.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Path,
    },
    /// The results of a map whose list is itself a blob (a JSON list of [`ValueRef`]).
    Manifest {
        /// The blob.
        list: ValueRef,
        /// How many elements.
        count: u32,
        /// Which element of it, where the map is mapped over again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        element: Option<u32>,
        /// Where inside it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Path,
    },
    /// `[a, b]`.
    List(Vec<Argument>),
    /// `(a, b)`.
    Tuple(Vec<Argument>),
    /// `{"k": a}`.
    Dict(Vec<(String, Argument)>),
    /// An f-string: each part as `str()` writes it.
    Format(Vec<Argument>),
    /// What a settled call came to: an `Outcome`.
    Outcome {
        /// Its value, where it completed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        value: Option<Box<Argument>>,
        /// Its error, where it did not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        error: Option<Box<OutcomeError>>,
    },
    /// An argument that is itself a blob, in this JSON form: too large for a message.
    Kept(ValueRef),
}

impl Argument {
    /// Adds the blobs that it stands in, as far as it tells: what a blob of it names is named by its node runs too.
    pub fn blobs(&self, to: &mut BTreeSet<Digest>) {
        match self {
            Self::Literal(_) => {}
            Self::Value { value, .. } | Self::Manifest { list: value, .. } | Self::Kept(value) => {
                to.extend(value.blobs());
            }
            Self::Gathered { values, .. } => values.iter().for_each(|value| to.extend(value.blobs())),
            Self::List(parts) | Self::Tuple(parts) | Self::Format(parts) => {
                parts.iter().for_each(|part| part.blobs(to));
            }
            Self::Dict(parts) => parts.iter().for_each(|(_, part)| part.blobs(to)),
            Self::Outcome { value, .. } => value.iter().for_each(|value| value.blobs(to)),
        }
    }
}

/// Why a settled call did not complete, as user code sees it: `OutcomeError`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutcomeError {
    /// The exception's name, or the platform's word for it.
    #[serde(rename = "type")]
    pub error_type: String,
    /// What it said.
    pub message: String,
    /// `failed` or `timed_out`.
    pub status: String,
    /// How often it was begun.
    pub attempts: u32,
}

/// An `Outcome` in the tagged form, of its value in the tagged form or its error.
pub fn outcome(value: Option<&serde_json::Value>, error: Option<&OutcomeError>) -> serde_json::Value {
    serde_json::json!({"$": "outcome", "v": {"ok": error.is_none(), "value": value, "error": outcome_error(error)}})
}

/// An `OutcomeError` in the tagged form, or `None`: an object like any other, so that paths lead into it and it is rebuilt by itself.
pub fn outcome_error(error: Option<&OutcomeError>) -> serde_json::Value {
    match error {
        None => serde_json::Value::Null,
        Some(error) => serde_json::json!({"$": "object", "t": "qflow.OutcomeError", "v": error}),
    }
}

/// A completed node run's value, with what its header answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Produced {
    /// The value.
    pub value: ValueRef,
    /// Answers to the asks of the plan, in their order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
}

/// Bytes as text where they are UTF-8 (the tagged form is), since snapshots and rows are read by people.
mod inline {
    use serde::{Deserialize, Deserializer, Serializer};
    #[expect(clippy::ref_option, reason = "serde gives a reference")]
    pub(super) fn serialize<S: Serializer>(value: &Option<Vec<u8>>, s: S) -> Result<S::Ok, S::Error> {
        match value {
            None => s.serialize_none(),
            Some(bytes) => s.serialize_some(std::str::from_utf8(bytes).map_err(serde::ser::Error::custom)?),
        }
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Vec<u8>>, D::Error> {
        Ok(Option::<String>::deserialize(d)?.map(String::into_bytes))
    }
}
