//! How a value of one type gets to where another is declared: as it is, converted, or not at all. Pure. See `docs/TYPES.md`.
//!
//! The rules follow the lax mode of pydantic, less what it loses silently or has to guess. `value::convert` makes the values, and in
//! a container `python/harness/qflow_convert.py`; `crates/types/tests/conversions.json` holds both to the same table.

mod table;

pub use table::{CONTAINERS, Example, REFUSED, Refused, Row, Rule, TABLE};

use crate::{
    assignable::assignable,
    builtin::builtin,
    ty::{Literal, Ty},
};

/// How a value of one type gets to where another is declared; a later one is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// It goes there unchanged: the one type is assignable to the other.
    AsItIs,
    /// It is converted, which never fails and loses nothing.
    Converted,
    /// It is converted, which some values of its type do not allow.
    MayFail,
    /// There is no conversion.
    Not,
}

/// Classes from outside that a mapping, a text or a number is not the description of.
const OPAQUE: &[&str] = &["Pickle", "slice"];

/// How a value of `source` gets to where `target` is declared.
pub fn convertible(source: &Ty, target: &Ty) -> Way {
    if assignable(source, target).is_ok() {
        return Way::AsItIs;
    }
    match (source, target) {
        (Ty::Union(members), _) => worst(members.iter().map(|member| convertible(member, target))),
        (_, Ty::Union(members)) => {
            // Where several members could be made of it, nobody says which one is meant.
            let mut ways = members.iter().map(|member| convertible(source, member)).filter(|way| *way < Way::Not);
            match (ways.next(), ways.next()) {
                (Some(way), None) => way,
                _ => Way::Not,
            }
        }
        (Ty::Literal(values), Ty::Literal(accepted)) => {
            let known = |value: &Literal| accepted.iter().any(|one| one.class() == value.class());
            may_fail(values.iter().all(known) && values.iter().any(|value| accepted.contains(value)))
        }
        (Ty::Literal(values), _) => worst(values.iter().map(|value| convertible(&Ty::class(value.class()), target))),
        (Ty::Class(name), Ty::Literal(accepted)) => may_fail(accepted.iter().any(|one| one.class() == name)),
        _ => held(source)
            .zip(held(target))
            .map(|(source, target)| contained(&source, &target))
            .or_else(|| made(source, target))
            .or_else(|| scalar(source, target))
            .unwrap_or(Way::Not),
    }
}

fn worst(ways: impl IntoIterator<Item = Way>) -> Way {
    ways.into_iter().max().unwrap_or(Way::AsItIs)
}

fn may_fail(holds: bool) -> Way {
    if holds { Way::MayFail } else { Way::Not }
}

/// By the table.
fn scalar(source: &Ty, target: &Ty) -> Option<Way> {
    let (Ty::Class(source), Ty::Class(target)) = (source, target) else { return None };
    let row = TABLE.iter().find(|row| row.to == target && row.from.contains(&source.as_str()))?;
    Some(if row.may_fail { Way::MayFail } else { Way::Converted })
}

/// A container by what it holds.
enum Held<'a> {
    /// A list, or what may be one.
    List {
        name: &'a str,
        item: &'a Ty,
    },
    Tuple(&'a [Ty]),
    Tuples(&'a Ty),
    Set(&'a Ty),
    Map {
        key: &'a Ty,
        item: &'a Ty,
    },
}

fn held(ty: &Ty) -> Option<Held<'_>> {
    let (name, parameters) = match ty {
        Ty::Tuple(items) => return Some(Held::Tuple(items)),
        Ty::Tuples(item) => return Some(Held::Tuples(item)),
        Ty::Class(name) => (name.as_str(), [].as_slice()),
        Ty::Generic(name, parameters) => (name.as_str(), parameters.as_slice()),
        _ => return None,
    };
    let parameter = |ix: usize| parameters.get(ix).unwrap_or(&Ty::Any);
    match name {
        "list" | "Sequence" | "MutableSequence" | "Iterable" | "Collection" | "Reversible" | "Container" => {
            Some(Held::List { name, item: parameter(0) })
        }
        "set" | "frozenset" | "Set" | "MutableSet" => Some(Held::Set(parameter(0))),
        "dict" | "Mapping" | "MutableMapping" => Some(Held::Map { key: parameter(0), item: parameter(1) }),
        _ => None,
    }
}

/// From one container to another, element by element.
fn contained(source: &Held<'_>, target: &Held<'_>) -> Way {
    let all = |items: &[Ty], to: &Ty| worst(items.iter().map(|item| convertible(item, to)));
    match (source, target) {
        // What is declared by an abstract class may be a text, or a set.
        (Held::List { name, item }, Held::List { item: to, .. } | Held::Tuples(to)) => {
            let own = if *name == "list" { Way::Converted } else { Way::MayFail };
            own.max(convertible(item, to))
        }
        // Elements that come twice are not dropped, and a length is only known when it is there.
        (Held::List { item, .. } | Held::Tuples(item), Held::Tuple(to)) => {
            worst(to.iter().map(|to| convertible(item, to))).max(Way::MayFail)
        }
        (Held::Tuple(items), Held::List { item: to, .. } | Held::Tuples(to)) => all(items, to).max(Way::Converted),
        (Held::Tuples(item), Held::List { item: to, .. } | Held::Tuples(to)) => {
            convertible(item, to).max(Way::Converted)
        }
        (Held::Tuple(items), Held::Tuple(to)) if items.len() == to.len() => {
            worst(items.iter().zip(*to).map(|(item, to)| convertible(item, to)))
        }
        (Held::List { item, .. } | Held::Tuples(item), Held::Set(to)) => convertible(item, to).max(Way::MayFail),
        (Held::Tuple(items), Held::Set(to)) => all(items, to).max(Way::MayFail),
        (Held::Set(item), Held::Set(to)) => distinct(item, to).max(Way::Converted),
        (Held::Map { key, item }, Held::Map { key: to_key, item: to }) => {
            distinct(key, to_key).max(convertible(item, to)).max(Way::Converted)
        }
        // The order of a set's elements is nobody's: a list of them is made in a node, `sorted(…)`.
        _ => Way::Not,
    }
}

/// Elements of a set and keys of a mapping: once converted, two of them may be the same.
fn distinct(source: &Ty, target: &Ty) -> Way {
    match convertible(source, target) {
        Way::Converted => Way::MayFail,
        way => way,
    }
}

/// Objects of classes that only Python knows, and frames.
fn made(source: &Ty, target: &Ty) -> Option<Way> {
    match target.root() {
        "object" if !is_opaque(target) => {
            let by_name_or_value = matches!(source, Ty::Class(name) if matches!(name.as_str(), "str" | "int"));
            Some(may_fail(is_mapping(source) || by_name_or_value))
        }
        "DataFrame" => match held(source)? {
            Held::List { item, .. } | Held::Tuples(item) => Some(may_fail(is_row(item))),
            Held::Tuple(items) => Some(may_fail(items.iter().all(is_row))),
            Held::Map { item, .. } => Some(may_fail(matches!(held(item), Some(Held::List { name: "list", .. })))),
            Held::Set(_) => None,
        },
        _ => None,
    }
}

fn is_opaque(ty: &Ty) -> bool {
    matches!(ty, Ty::Class(name) | Ty::Generic(name, _) if OPAQUE.contains(&name.as_str()) || builtin(name).is_some())
}

fn is_mapping(ty: &Ty) -> bool {
    matches!(held(ty), Some(Held::Map { .. }))
}

/// Whether a type is a frame's row: a mapping, or a class of the user's that may be a `TypedDict`.
fn is_row(ty: &Ty) -> bool {
    *ty == Ty::Any || is_mapping(ty) || (ty.root() == "object" && !is_opaque(ty))
}

#[cfg(test)]
mod tests;
