//! How a value of one type gets to where another is declared: as it is, converted, or not at all. Pure. See `docs/TYPES.md`.
//!
//! The rules follow the lax mode of pydantic, less what it loses silently or has to guess. `value::convert` makes the values, and in
//! a container `python/harness/qflow_convert.py`; `crates/types/tests/conversions.json` holds both to the same table.

mod records;
mod table;

use std::{collections::BTreeMap, sync::LazyLock};

use qflow_model::class::{Class, Classes};
pub use table::{CONTAINERS, Example, REFUSED, Refused, Row, Rule, TABLE};

use crate::{
    assignable::{Shape, assignable_among},
    builtin::derived,
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

/// How a value of `source` gets to where `target` is declared, among the user's classes.
pub fn convertible(source: &Ty, target: &Ty, classes: &Classes) -> Way {
    Ways { classes, asked: BTreeMap::new(), depth: 0 }.way(source, target)
}

/// The ways among the user's classes.
struct Ways<'c> {
    classes: &'c Classes,
    /// What records are made of, and what came of it: one that comes up within itself may be made where the rest may.
    asked: BTreeMap<(Ty, String), Way>,
    /// Records that the one at hand is within.
    depth: u32,
}

/// Records within records that are looked into: a stack's bound, far past what anybody writes.
const DEPTH: u32 = 250;

fn worst(ways: impl IntoIterator<Item = Way>) -> Way {
    ways.into_iter().max().unwrap_or(Way::AsItIs)
}

fn may_fail(holds: bool) -> Way {
    if holds { Way::MayFail } else { Way::Not }
}

/// By the table.
fn scalar(source: &str, target: &Ty) -> Option<Way> {
    let Ty::Class(target) = target else { return None };
    let row = TABLE.iter().find(|row| row.to == target && row.from.contains(&source))?;
    Some(if row.may_fail { Way::MayFail } else { Way::Converted })
}

/// A container by what it holds.
enum Held<'a> {
    /// A list, or what may be one.
    List {
        name: &'a str,
        item: &'a Ty,
    },
    Tuple(Shape<'a>),
    Set(&'a Ty),
    Map {
        name: &'a str,
        key: &'a Ty,
        item: &'a Ty,
    },
}

/// What a `Counter` counts in.
static COUNT: LazyLock<Ty> = LazyLock::new(|| Ty::class("int"));

/// Whether a class is what every mapping arrives as; of those that are derived from `dict` none is made.
fn is_dict(name: &str) -> bool {
    matches!(name, "dict" | "Mapping" | "MutableMapping")
}

fn held(ty: &Ty) -> Option<Held<'_>> {
    if let Some(shape) = Shape::of(ty) {
        return Some(Held::Tuple(shape));
    }
    let (name, parameters) = match ty {
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
        "dict" | "Mapping" | "MutableMapping" | "OrderedDict" | "defaultdict" => {
            Some(Held::Map { name, key: parameter(0), item: parameter(1) })
        }
        "Counter" => Some(Held::Map { name, key: parameter(0), item: &COUNT }),
        _ => None,
    }
}

impl<'c> Ways<'c> {
    fn way(&mut self, source: &Ty, target: &Ty) -> Way {
        if assignable_among(source, target, self.classes).is_ok() {
            return Way::AsItIs;
        }
        match (source, target) {
            (Ty::Union(members), _) => worst(members.iter().map(|member| self.way(member, target))),
            (_, Ty::Union(members)) => {
                // Where several members could be made of it, nobody says which one is meant.
                let mut ways = members.iter().map(|member| self.way(source, member)).filter(|way| *way < Way::Not);
                match (ways.next(), ways.next()) {
                    (Some(way), None) => way,
                    _ => Way::Not,
                }
            }
            (Ty::Literal(values), Ty::Literal(accepted)) => {
                let known = |value: &Literal| accepted.iter().any(|one| one.class() == value.class());
                may_fail(values.iter().all(known) && values.iter().any(|value| accepted.contains(value)))
            }
            (Ty::Literal(values), _) => worst(values.iter().map(|value| self.way(&Ty::class(value.class()), target))),
            (Ty::Class(name), Ty::Literal(accepted)) => may_fail(accepted.iter().any(|one| one.class() == name)),
            _ => self.whole(source, target).unwrap_or(Way::Not),
        }
    }

    fn whole(&mut self, source: &Ty, target: &Ty) -> Option<Way> {
        if let (Some(source), Some(target)) = (held(source), held(target)) {
            return Some(self.contained(&source, &target));
        }
        if let Some(way) = self.made(source, target) {
            return Some(way);
        }
        let Ty::Class(name) = source else { return None };
        scalar(name, target).or_else(|| self.plain(name).and_then(|class| scalar(class, target)))
    }

    /// The class of a user's own.
    fn class(&self, ty: &Ty) -> Option<(&'c str, &'c Class)> {
        let (Ty::Class(name) | Ty::Generic(name, _)) = ty else { return None };
        self.classes.get_key_value(name).map(|(name, class)| (name.as_str(), class))
    }

    /// From one container to another, element by element.
    fn contained(&mut self, source: &Held<'_>, target: &Held<'_>) -> Way {
        // What is declared by an abstract class may be a text, or a set.
        let least = match source {
            Held::List { name, .. } if *name != "list" => Way::MayFail,
            _ => Way::Converted,
        };
        let listed = |item| Shape { before: &[], of: Some(item), after: &[] };
        match (source, target) {
            (Held::List { item, .. }, Held::List { item: to, .. }) => self.way(item, to).max(least),
            (Held::List { item, .. }, Held::Tuple(to)) => self.tuple(&listed(item), to).max(least),
            (Held::Tuple(from), Held::Tuple(to)) => self.tuple(from, to).max(least),
            (Held::Tuple(from), Held::List { item: to, .. }) => self.all(from, to).max(least),
            // Elements that come twice are not dropped.
            (Held::List { item, .. }, Held::Set(to)) => self.way(item, to).max(Way::MayFail),
            (Held::Tuple(from), Held::Set(to)) => self.all(from, to).max(Way::MayFail),
            (Held::Set(item), Held::Set(to)) => self.distinct(item, to).max(Way::Converted),
            (Held::Map { name, key, item }, Held::Map { name: declared, key: to_key, item: to })
                if is_dict(declared) || derived(name, declared) =>
            {
                self.distinct(key, to_key).max(self.way(item, to)).max(Way::Converted)
            }
            // The order of a set's elements is nobody's: a list of them is made in a node, `sorted(…)`.
            _ => Way::Not,
        }
    }

    fn all(&mut self, from: &Shape<'_>, to: &Ty) -> Way {
        worst(from.before.iter().chain(from.of).chain(from.after).map(|item| self.way(item, to)))
    }

    /// From a tuple, or a list, to a tuple: by the lengths that it may have, of which the longest has all that may stand at one place.
    fn tuple(&mut self, from: &Shape<'_>, to: &Shape<'_>) -> Way {
        let lengths = match (from.of, to.of) {
            (None, _) => from.least()..=from.least(),
            (Some(_), None) => to.least()..=to.least(),
            (Some(_), Some(_)) => from.least().max(to.least())..=from.least() + to.least() + 1,
        };
        let ways = lengths.map(|length| {
            let pairs = from.elements(length).zip(to.elements(length));
            pairs.map_or(Way::Not, |(from, to)| worst(from.into_iter().zip(to).map(|(from, to)| self.way(from, to))))
        });
        let ways: Vec<Way> = ways.collect();
        if ways.last() == Some(&Way::Not) {
            return Way::Not;
        }
        let has_each = from.of.is_none() || (to.of.is_some() && from.least() >= to.least());
        worst(ways.into_iter().map(|way| way.min(Way::MayFail)).chain((!has_each).then_some(Way::MayFail)))
    }

    /// Elements of a set and keys of a mapping: once converted, two of them may be the same.
    fn distinct(&mut self, source: &Ty, target: &Ty) -> Way {
        match self.way(source, target) {
            Way::Converted => Way::MayFail,
            way => way,
        }
    }
}

#[cfg(test)]
mod tests;
