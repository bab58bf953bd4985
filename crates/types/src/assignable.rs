//! Whether a value of one type may go where another is declared, and if not, why. Pure.
//!
//! The rules are those of the Python typing specification, <https://typing.python.org/en/latest/spec/>; each names its chapter.
//! `tests/assignability.txt` has a row for each case of theirs. Values are copied between nodes, so a consumer cannot change what its
//! producer holds: containers are covariant at an edge, where the specification has mutable ones invariant.

mod frames;
mod records;
mod tuples;

use std::{borrow::Cow, collections::BTreeMap, fmt};

use qflow_model::class::{Class, ClassKind, Classes};
pub(crate) use tuples::Shape;

use crate::{
    builtin::{builtin, derived, seen_as},
    ty::{Literal, Ty},
    value::put_before,
};

/// Why a value of one type does not go where another is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reason {
    /// Where inside the types, e.g. `[…]["price"]`: `[…]` is every element; empty for the whole.
    pub path: String,
    /// What does not fit there.
    pub message: String,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.path.is_empty() {
            write!(f, "at {}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

impl std::error::Error for Reason {}

impl Reason {
    fn new(message: impl Into<String>) -> Self {
        Self { path: String::new(), message: message.into() }
    }

    fn is_not(source: &Ty, target: &Ty) -> Self {
        Self::new(format!("{source} is not {target}"))
    }

    fn below(mut self, part: &str) -> Self {
        put_before(&mut self.path, part);
        self
    }
}

type Goes = Result<(), Reason>;

/// Whether `source` may go where `target` is declared, of classes whose names alone are known.
pub fn assignable(source: &Ty, target: &Ty) -> Goes {
    assignable_among(source, target, &Classes::new())
}

/// The same where the user's classes are known.
pub fn assignable_among(source: &Ty, target: &Ty, classes: &Classes) -> Goes {
    Among { classes, assumed: Vec::new(), refused: BTreeMap::new(), depth: 0, left: PAIRS }.goes(source, target)
}

/// Records within records that are compared: a stack's bound, far past what anybody writes.
const DEPTH: u32 = 250;
/// Pairs of records that one edge is compared by: the time's bound.
const PAIRS: u32 = 2_000;

/// The lattice with the user's classes in it.
struct Among<'a> {
    classes: &'a Classes,
    /// Pairs of records that are compared, or were and go: one that comes up within itself holds where the rest does.
    assumed: Vec<(String, String)>,
    /// Pairs that do not go, whatever is assumed, and why: else records that hold many of each other cost twice as much with each level.
    refused: BTreeMap<(String, String), Reason>,
    /// Pairs that the one at hand is within.
    depth: u32,
    /// Pairs that may still be compared.
    left: u32,
}

impl Among<'_> {
    fn goes(&mut self, source: &Ty, target: &Ty) -> Goes {
        match (source, target) {
            // Special types: `Any` is consistent with everything, `Never` is a subtype of everything. A variable that nobody solved is
            // as good as `Any`.
            (Ty::Any | Ty::Never | Ty::Variable(_), _) | (_, Ty::Any | Ty::Variable(_)) => Ok(()),
            // Special types: every object is an `object`.
            (_, Ty::Class(name)) if name == "object" => Ok(()),
            _ if source == target => Ok(()),
            // Unions: every member of the source must go; a literal of many values is the union of them.
            (Ty::Union(members), _) => members.iter().try_for_each(|member| self.goes(member, target)),
            (Ty::Literal(values), _) => values.iter().try_for_each(|value| self.literal(value, target)),
            // Unions: into one, one of its members must take it. Enums, Literals: `bool` and an enum are the unions of their values.
            (_, Ty::Union(members)) => self.one_of(source, target, members),
            (_, Ty::Literal(accepted)) => self.values(source, target, accepted),
            (_, Ty::Never) => Err(Reason::new(format!("{source} is not Never: no value is"))),
            // Special types: `None` is its own type, and hashable.
            (Ty::None, Ty::Class(name)) if name == "Hashable" => Ok(()),
            (Ty::None, _) => Err(Reason::new("None not accepted; add Optional or handle it")),
            (_, Ty::None) => Err(Reason::is_not(source, target)),
            (Ty::Tuple(_) | Ty::Tuples(_) | Ty::Spread(..), Ty::Tuple(_) | Ty::Tuples(_) | Ty::Spread(..)) => {
                self.tuple(source, target)
            }
            _ => self.class(source, target),
        }
    }

    /// Literals: a value goes where it is named, and where its class goes.
    fn literal(&mut self, value: &Literal, target: &Ty) -> Goes {
        // They are sorted.
        let named = |ty: &Ty| matches!(ty, Ty::Literal(accepted) if accepted.binary_search(value).is_ok());
        if target.members().iter().any(named) {
            return Ok(());
        }
        let others = target.members().iter().filter(|member| !matches!(member, Ty::Literal(_)));
        self.goes(&Ty::class(value.class()), &Ty::union(others.cloned())).map_err(|reason| match target {
            Ty::Literal(_) => Reason::new(format!("{value} is not one of {target}")),
            _ => reason,
        })
    }

    fn one_of(&mut self, source: &Ty, target: &Ty, members: &[Ty]) -> Goes {
        if members.contains(source) {
            return Ok(());
        }
        let mut why = None;
        // Nothing but `None` goes where `None` is declared: no reason has to be put together for that.
        for member in members.iter().filter(|member| **member != Ty::None) {
            match self.goes(source, member) {
                Ok(()) => return Ok(()),
                // What is said of the only member says the most.
                Err(reason) => drop(why.get_or_insert(reason)),
            }
        }
        let meant = members.iter().filter(|member| **member != Ty::None).count();
        Err(match why {
            _ if *source == Ty::None => Reason::new("None not accepted; add Optional or handle it"),
            Some(reason) if meant == 1 => reason,
            _ => Reason::new(format!("{source} is none of {target}")),
        })
    }

    /// Enums, Literals: `bool` goes where both of its values are named, an enum where each of its members is.
    fn values(&self, source: &Ty, target: &Ty, accepted: &[Literal]) -> Goes {
        let missing = match source {
            Ty::Class(name) if name == "bool" => {
                [true, false].map(Literal::Bool).into_iter().find(|v| !accepted.contains(v))
            }
            Ty::Class(name) if self.classes.get(name).is_some_and(|class| !class.members.is_empty()) => {
                let members = self.classes[name].members.iter();
                let mut members = members.map(|member| Literal::Member(name.clone(), member.name.clone()));
                members.find(|member| !accepted.contains(member))
            }
            _ => return Err(Reason::is_not(source, target)),
        };
        missing.map_or(Ok(()), |value| Err(Reason::new(format!("{value} is not one of {target}"))))
    }

    /// Classes, with what they are given in brackets.
    fn class(&mut self, source: &Ty, target: &Ty) -> Goes {
        if let Some(answer) = self.record(source, target) {
            return answer;
        }
        let (of, accepted) = match target {
            Ty::Class(name) => (name.as_str(), [].as_slice()),
            Ty::Generic(name, accepted) => (name.as_str(), accepted.as_slice()),
            _ => return Err(Reason::is_not(source, target)),
        };
        let given = match source {
            Ty::Class(name) if promoted(name, of) => return Ok(()),
            // Protocols: whatever has a hash is `Hashable`, and what is not known here has that of `object`.
            Ty::Class(name) | Ty::Generic(name, _) if of == "Hashable" && self.has_hash(name) => return Ok(()),
            Ty::Generic(name, given) if name == of => {
                return self.declared(of, given, accepted).unwrap_or_else(|| self.parts(given, accepted));
            }
            Ty::Class(name) => seen_as(name, &[], of),
            Ty::Generic(name, given) => seen_as(name, given, of),
            // Tuples: one is a sequence of all that it holds.
            _ => source
                .items()
                .filter(|_| of == "Hashable" || derived("Sequence", of))
                .map(|item| [Some(Cow::Owned(item)), None]),
        };
        let given = given.ok_or_else(|| Reason::is_not(source, target))?;
        self.parts(given.iter().flatten().map(Cow::as_ref), accepted)
    }

    /// Generics: what is given in brackets, one by one; a bare class is one of `Any`.
    fn parts<'t>(&mut self, given: impl IntoIterator<Item = &'t Ty>, accepted: &[Ty]) -> Goes {
        let is_map = accepted.len() == 2;
        given.into_iter().zip(accepted).enumerate().try_for_each(|(at, (given, accepted))| {
            let part = if is_map && at == 0 { "key" } else { "[…]" };
            self.goes(given, accepted).map_err(|reason| reason.below(part))
        })
    }

    fn has_hash(&self, name: &str) -> bool {
        let has_none = |class: &Class| class.unhashable || class.kind == ClassKind::TypedDict;
        builtin(name).is_none() && !self.classes.get(name).is_some_and(has_none)
    }
}

/// Special types: `int` goes where `float` is declared, both where `complex` is.
fn promoted(source: &str, target: &str) -> bool {
    match target {
        "float" => derived(source, "int"),
        "complex" => source == "float" || derived(source, "int"),
        _ => false,
    }
}

#[cfg(test)]
mod tests;
