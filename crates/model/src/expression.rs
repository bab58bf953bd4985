//! Expressions of a workflow's body: where an argument comes from, and what a branch asks.

use serde::{Deserialize, Serialize};

use crate::ids::{StepIx, Timestamp};

/// One step into a value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Segment {
    /// `value[3]`, negative from the end, or `value[3]` of a mapping with integer keys.
    Index(i64),
    /// `value["key"]`.
    Key(String),
    /// `value.name`.
    Field(String),
    /// Every element: only asked of values, where a body asks about an element of what it is mapped over.
    Each,
}

/// Where inside a value: empty is the whole.
pub type Path = Vec<Segment>;

/// What an argument, a result or a condition is made of. Literals are in the tagged form of `docs/VALUES.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Expr {
    /// A constant, in the tagged form.
    Literal(serde_json::Value),
    /// A parameter of the workflow, or a part of it.
    Param {
        /// Its name.
        name: String,
        /// Where inside it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Path,
    },
    /// The result of a step, or a part of it.
    Result {
        /// The step.
        step: StepIx,
        /// Where inside it.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        path: Path,
    },
    /// `[a, b]`.
    List(Vec<Expr>),
    /// `(a, b)`.
    Tuple(Vec<Expr>),
    /// `{"k": a}`.
    Dict(Vec<(String, Expr)>),
    /// An f-string of parameters and literals; parts are written as `str()` would.
    Format(Vec<Expr>),
    /// A name that a branch bound on both sides: the value of the side taken.
    Select {
        /// The branch.
        branch: BranchIx,
        /// Where its condition holds.
        then: Box<Expr>,
        /// Where it does not.
        otherwise: Box<Expr>,
    },
    /// A comparison or truth test used as a value, e.g. `return a > 1`.
    Condition(Box<Condition>),
}

/// Which branch of a workflow, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct BranchIx(pub u32);

/// What an `if` asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Condition {
    /// Python's truth of a value.
    Truth(Expr),
    /// `not c`.
    Not(Box<Condition>),
    /// `a and b`, left first; the right side is not asked where the left decides.
    And(Vec<Condition>),
    /// `a or b`, likewise.
    Or(Vec<Condition>),
    /// `a < b`; a chain `a < b < c` is an `And` of two.
    Compare {
        /// The left side.
        left: Expr,
        /// How.
        operator: Operator,
        /// The right side.
        right: Expr,
    },
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Operator {
    /// `==`
    Eq,
    /// `!=`
    Ne,
    /// `<`
    Lt,
    /// `<=`
    Le,
    /// `>`
    Gt,
    /// `>=`
    Ge,
    /// `in`: the right side is a literal list, tuple, set or text.
    In,
    /// `not in`
    NotIn,
    /// `is None` (the right side is the literal None)
    Is,
    /// `is not None`
    IsNot,
}

/// A small value that an outcome's header may carry, so that a branch is decided without opening the value.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scalar {
    /// `None`
    None,
    /// `True`, `False`
    Bool(bool),
    /// An integer of at most 64 bits.
    Int(i64),
    /// A float, also not finite.
    Float(#[serde(with = "float_text")] f64),
    /// A text of at most 256 bytes.
    Text(String),
    /// A `datetime`: microseconds since 1970 in UTC; one without an offset is taken as UTC.
    Instant(i64),
    /// A `timedelta` in microseconds.
    Duration(i64),
    /// A member of an enum: `Unit.DAY`. It is compared with members of the same enum alone.
    Member(String),
}

impl Scalar {
    /// The point of time that a `datetime` names.
    pub const fn moment(&self) -> Option<Timestamp> {
        match self {
            Self::Instant(at) => Some(Timestamp(*at)),
            _ => None,
        }
    }
}

/// Floats as text, since JSON has no infinities.
mod float_text {
    use serde::{Deserialize, Deserializer, Serializer};
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
    pub(super) fn serialize<S: Serializer>(value: &f64, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(value)
    }
    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<f64, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// What the header of an outcome says of one path into the value.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The path leads nowhere (`IndexError`, `KeyError`, `AttributeError`): the text of the error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
    /// `len(value)`, where it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub len: Option<u64>,
    /// `bool(value)`, where Python gives one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<bool>,
    /// The value itself, where it is small.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scalar: Option<Scalar>,
    /// What is known of each element, where the path goes through [`Segment::Each`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub each: Option<Vec<Answer>>,
}

impl Expr {
    /// Calls `visit` on every step and path this expression reads, its branches' conditions not included.
    pub fn results(&self, visit: &mut impl FnMut(StepIx, &Path)) {
        match self {
            Self::Literal(_) | Self::Param { .. } => {}
            Self::Result { step, path } => visit(*step, path),
            Self::List(parts) | Self::Tuple(parts) | Self::Format(parts) => parts.iter().for_each(|p| p.results(visit)),
            Self::Dict(parts) => parts.iter().for_each(|(_, p)| p.results(visit)),
            Self::Select { then, otherwise, .. } => {
                then.results(visit);
                otherwise.results(visit);
            }
            Self::Condition(condition) => condition.results(visit),
        }
    }

    /// Calls `visit` on every branch whose side this expression takes.
    pub fn branches(&self, visit: &mut impl FnMut(BranchIx)) {
        match self {
            Self::Literal(_) | Self::Param { .. } | Self::Result { .. } => {}
            Self::List(parts) | Self::Tuple(parts) | Self::Format(parts) => {
                parts.iter().for_each(|p| p.branches(visit));
            }
            Self::Dict(parts) => parts.iter().for_each(|(_, p)| p.branches(visit)),
            Self::Select { branch, then, otherwise } => {
                visit(*branch);
                then.branches(visit);
                otherwise.branches(visit);
            }
            Self::Condition(condition) => condition.expressions(&mut |e| e.branches(visit)),
        }
    }
}

impl Condition {
    /// Calls `visit` on every expression that this condition compares or tests.
    pub fn expressions<'a>(&'a self, visit: &mut impl FnMut(&'a Expr)) {
        match self {
            Self::Truth(expr) => visit(expr),
            Self::Not(inner) => inner.expressions(visit),
            Self::And(parts) | Self::Or(parts) => parts.iter().for_each(|p| p.expressions(visit)),
            Self::Compare { left, right, .. } => {
                visit(left);
                visit(right);
            }
        }
    }

    /// Calls `visit` on every step and path this condition reads.
    pub fn results(&self, visit: &mut impl FnMut(StepIx, &Path)) {
        self.expressions(&mut |e| e.results(visit));
    }
}
