//! Parts of values, how much values hold, and what is known of their types. Pure but for the lookups of a body.

use qflow_model::{
    definition::StepKind,
    expression::{Condition, Expr as Value, Path, Segment},
    ids::StepIx,
};
use qflow_types::Ty;
use serde_json::Value as Json;

use super::Body;
use crate::constant::{TEXT_TERM_BYTES, stored_key};

/// Levels of the JSON that a value becomes: with the definition around it readers that stop at 128 still read it.
pub(super) const LEVELS: usize = 100;

/// How much a value holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Measure {
    /// Its parts, literal ones included.
    pub(super) terms: usize,
    /// How deep its JSON nests.
    pub(super) levels: usize,
}

impl Measure {
    /// Something that holds parts, with the JSON levels that it puts around them.
    fn around(levels: usize, parts: impl IntoIterator<Item = Self>) -> Self {
        parts.into_iter().fold(Self { terms: 1, levels }, |sum, part| Self {
            terms: sum.terms + part.terms,
            levels: sum.levels.max(levels + part.levels),
        })
    }
}

/// Measures a value.
pub(super) fn measure(value: &Value) -> Measure {
    match value {
        Value::Literal(json) => Measure::around(1, [literal(json)]),
        Value::Param { path, .. } | Value::Result { path, .. } => Measure { terms: 1 + path.len(), levels: 4 },
        Value::List(items) | Value::Tuple(items) | Value::Format(items) => {
            Measure::around(2, items.iter().map(measure))
        }
        Value::Dict(items) => Measure::around(3, items.iter().map(|(_, item)| measure(item))),
        Value::Select { then, otherwise, .. } => Measure::around(2, [measure(then), measure(otherwise)]),
        Value::Condition(condition) => Measure::around(1, [of_condition(condition)]),
    }
}

/// Measures what a condition compares and tests.
pub(super) fn of_condition(condition: &Condition) -> Measure {
    match condition {
        Condition::Truth(value) => Measure::around(1, [measure(value)]),
        Condition::Not(inner) => Measure::around(1, [of_condition(inner)]),
        Condition::And(parts) | Condition::Or(parts) => Measure::around(2, parts.iter().map(of_condition)),
        Condition::Compare { left, right, .. } => Measure::around(2, [measure(left), measure(right)]),
    }
}

fn literal(json: &Json) -> Measure {
    match json {
        Json::Array(items) => Measure::around(1, items.iter().map(literal)),
        Json::Object(fields) => Measure::around(1, fields.values().map(literal)),
        Json::String(text) => Measure { terms: 1 + text.len() / TEXT_TERM_BYTES, levels: 0 },
        _ => Measure { terms: 1, levels: 0 },
    }
}

/// A part of a value; nothing where only Python could tell it.
pub(super) fn of(value: &Value, segment: &Segment) -> Option<Value> {
    let longer = |path: &Path| path.iter().cloned().chain([segment.clone()]).collect::<Path>();
    Some(match value {
        Value::Param { name, path } => Value::Param { name: name.clone(), path: longer(path) },
        Value::Result { step, path } => Value::Result { step: *step, path: longer(path) },
        Value::List(items) | Value::Tuple(items) => at(items, segment)?.clone(),
        Value::Dict(items) => match segment {
            // As in Python the last of equal keys counts.
            Segment::Key(key) => items.iter().rev().find(|(k, _)| k == key)?.1.clone(),
            _ => return None,
        },
        Value::Select { branch, then, otherwise } => Value::Select {
            branch: *branch,
            then: Box::new(of(then, segment)?),
            otherwise: Box::new(of(otherwise, segment)?),
        },
        Value::Literal(json) => Value::Literal(in_literal(json, segment)?),
        Value::Format(_) | Value::Condition(_) => return None,
    })
}

fn at<'v, T>(items: &'v [T], segment: &Segment) -> Option<&'v T> {
    let Segment::Index(index) = segment else { return None };
    let index = if *index < 0 { items.len() as i64 + index } else { *index };
    items.get(usize::try_from(index).ok()?)
}

fn in_literal(json: &Json, segment: &Segment) -> Option<Json> {
    match (json, segment) {
        (Json::Array(items), _) => at(items, segment).cloned(),
        (Json::Object(fields), Segment::Index(_)) if json["$"] == "tuple" => {
            at(fields.get("v")?.as_array()?, segment).cloned()
        }
        (Json::Object(fields), Segment::Key(key)) if !fields.contains_key("$") => fields.get(&stored_key(key)).cloned(),
        _ => None,
    }
}

impl Body<'_, '_> {
    /// How many names a value may be unpacked to, where that is known.
    pub(super) fn length(&self, value: &Value) -> Option<usize> {
        match value {
            Value::Tuple(items) | Value::List(items) => Some(items.len()),
            Value::Literal(Json::Array(items)) => Some(items.len()),
            Value::Literal(json) if json["$"] == "tuple" => json["v"].as_array().map(Vec::len),
            Value::Select { then, otherwise, .. } => {
                let length = self.length(then)?;
                (self.length(otherwise)? == length).then_some(length)
            }
            other => match self.type_of(other)? {
                Ty::Tuple(items) => Some(items.len()),
                _ => None,
            },
        }
    }

    /// The declared type of what a step gives.
    fn given_by(&self, step: StepIx) -> Option<Ty> {
        let step = self.workflow.steps.get(step.0 as usize)?;
        let one = match &step.kind {
            StepKind::Node { function } => self.project.nodes.get(function)?.returns.0.parse().ok()?,
            StepKind::Workflow { workflow } => self.project.signatures.get(workflow)?.returns.0.parse().ok()?,
            StepKind::Sleep => Ty::None,
            StepKind::Approval { .. } => Ty::class("bool"),
        };
        let one = if step.settled { Ty::settled(one) } else { one };
        Some(if step.over.is_empty() { one } else { Ty::Generic("list".to_owned(), vec![one]) })
    }

    /// The declared type of a value, as far as it is declared.
    pub(super) fn type_of(&self, value: &Value) -> Option<Ty> {
        let (whole, path) = match value {
            Value::Param { name, path } => {
                (self.workflow.params.iter().find(|p| p.name == *name)?.ty.0.parse().ok()?, path)
            }
            Value::Result { step, path } => (self.given_by(*step)?, path),
            Value::Select { then, otherwise, .. } => {
                return Some(Ty::union([self.type_of(then)?, self.type_of(otherwise)?]));
            }
            _ => return None,
        };
        path.iter().try_fold(whole, |ty, segment| part_type(&ty, segment))
    }
}

fn part_type(ty: &Ty, segment: &Segment) -> Option<Ty> {
    match (ty, segment) {
        (Ty::Union(members), _) => {
            // A part of None is none: what is asked for it was asked for None before.
            let given = members.iter().filter(|member| **member != Ty::None);
            given.map(|member| part_type(member, segment)).collect::<Option<Vec<_>>>().map(Ty::union)
        }
        (_, Segment::Field(name)) => ty.attribute(name),
        (Ty::Tuple(items), _) => at(items, segment).cloned(),
        (Ty::Tuples(item), Segment::Index(_)) => Some((**item).clone()),
        (Ty::Generic(name, parameters), _) => match (name.as_str(), parameters.as_slice(), segment) {
            ("list" | "Sequence", [item], Segment::Index(_))
            | ("dict" | "Mapping", [_, item], Segment::Index(_) | Segment::Key(_)) => Some(item.clone()),
            _ => None,
        },
        _ => None,
    }
}

/// Whether a value of a type may be a frame or an array, whose truth and parts are not Python's usual.
pub(super) fn may_be_frame(ty: &Ty) -> bool {
    ty.members().iter().any(|member| matches!(member.root(), "DataFrame" | "Series" | "ndarray"))
}

/// Whether a value of a type may say how long to sleep, or until when; that it is not None is checked with the edges.
pub(super) fn may_be_duration(ty: &Ty) -> bool {
    ty.members().iter().any(|member| match member {
        Ty::Any | Ty::Literal(_) => true,
        _ => matches!(member.root(), "int" | "float" | "str" | "datetime" | "timedelta" | "object"),
    })
}

/// Whether a value of a type may be small enough to compare: None, a bool, a number, a text, or what is not known.
pub(super) fn may_be_scalar(ty: &Ty) -> bool {
    ty.members().iter().any(|member| match member {
        Ty::Any | Ty::None | Ty::Literal(_) => true,
        Ty::Class(_) => matches!(member.root(), "bool" | "int" | "float" | "str" | "object"),
        _ => member.root() == "object",
    })
}
