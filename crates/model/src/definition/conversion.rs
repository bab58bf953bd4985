//! What a step gets as another type than it has.

use serde::{Deserialize, Serialize};

use super::{Place, TypeText};

/// A value that its consumer gets as another type than it has: where it is not assignable, and converts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Conversion {
    /// The argument; of a mapped one, each element.
    pub argument: String,
    /// The type that the value has.
    pub from: TypeText,
    /// The type that is declared.
    pub to: TypeText,
    /// Whether some values of its type do not convert: the node has `convert=True`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub may_fail: bool,
    /// What gives the value, as errors name it: `fetch`, `each of rows`.
    pub source: String,
    /// Where that is declared, or written down.
    pub source_place: Place,
    /// Where the parameter is declared.
    pub place: Place,
}

impl Conversion {
    /// Both ends, with their places: `total.rows: tuple[int, ...] ← fetch → list[int] (sales.py:9 → sales.py:15)`.
    pub fn ends(&self, callee: &str) -> String {
        let at = |place: &Place| format!("{}:{}", place.file, place.line);
        let Self { argument, from, to, source, source_place, place, .. } = self;
        format!("{callee}.{argument}: {} ← {source} → {} ({} → {})", to.0, from.0, at(source_place), at(place))
    }
}
