//! Types made ready for checking many values: each class's name looked up once, each part numbered.

use std::collections::HashMap;

use qflow_model::class::ClassKind;

use super::{
    goes,
    records::{Record, Records},
};
use crate::{
    builtin::keys_and_values,
    ty::{Literal, Ty},
};

/// The classes that the form of a value tells by itself; those of enums and objects are told by name.
pub(super) const KINDS: [&str; 25] = [
    "None",
    "bool",
    "int",
    "float",
    "str",
    "list",
    "dict",
    "tuple",
    "set",
    "frozenset",
    "bytes",
    "complex",
    "Decimal",
    "date",
    "datetime",
    "time",
    "timedelta",
    "UUID",
    "Path",
    "DataFrame",
    "ndarray",
    "File",
    "Folder",
    "Pickle",
    "Outcome",
];

/// One of [`KINDS`], by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Kind(u8);

impl Kind {
    pub(super) const NONE: Self = Self(0);
    pub(super) const BOOL: Self = Self(1);
    pub(super) const INT: Self = Self(2);
    pub(super) const FLOAT: Self = Self(3);
    pub(super) const STR: Self = Self(4);
    pub(super) const LIST: Self = Self(5);
    pub(super) const DICT: Self = Self(6);

    pub(super) fn place(self) -> usize {
        usize::from(self.0)
    }

    /// By its name; none of another one.
    pub(super) fn of(name: &str) -> Option<Self> {
        KINDS.iter().position(|kind| *kind == name).map(|at| Self(at as u8))
    }
}

/// Some of [`KINDS`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Kinds(u32);

impl Kinds {
    pub(super) fn has(self, kind: Kind) -> bool {
        self.0 >> kind.0 & 1 == 1
    }

    /// Those that go where a class is declared.
    fn of(name: &str) -> Self {
        let is_it = |(at, kind): (usize, &&str)| u32::from(goes(kind, *kind == "dict", name)) << at;
        Self(KINDS.iter().enumerate().map(is_it).sum())
    }
}

/// The number of a part.
pub(super) type At = usize;

/// Where [`Part::Any`] is, in every plan.
pub(super) const ANY: At = 0;

/// A part of a type.
#[derive(Debug)]
pub(super) enum Part {
    /// Whatever has a form.
    Any,
    /// Of a class, whatever it holds.
    Class { name: String, kinds: Kinds },
    /// Of a class, each of its elements of a type.
    Items { name: String, kinds: Kinds, item: At },
    /// Of a class, its keys and values of types; `any_text` where every text is a key.
    Map { name: String, kinds: Kinds, key: At, item: At, any_text: bool },
    /// A tuple of exactly these.
    Fixed(Vec<At>),
    /// One of these values.
    Literal,
    /// Of one of these.
    Union(Vec<At>),
    /// A `TypedDict`, dataclass or `NamedTuple`, by its fields.
    Record { name: String, kind: ClassKind, fields: Vec<Field> },
    /// What is rare, or what nothing goes for: held whole and checked so.
    Whole,
}

/// A field of a class.
#[derive(Clone, Copy, Debug)]
pub(super) struct Field {
    pub(super) at: At,
    /// Whether the class itself gives it what is not of its type.
    pub(super) is_lenient: bool,
}

/// A type with all that it holds.
#[derive(Debug)]
pub(super) struct Plan {
    parts: Vec<(Part, Ty)>,
}

impl Plan {
    pub(super) fn of(ty: &Ty, records: &Records<'_>) -> Self {
        let mut planner = Planner { records, parts: Vec::new(), known: HashMap::new() };
        planner.part(&Ty::Any);
        planner.part(ty);
        Self { parts: planner.parts }
    }

    /// Where the whole is.
    pub(super) fn root(&self) -> At {
        usize::from(self.parts.len() > 1)
    }

    pub(super) fn part(&self, at: At) -> &Part {
        &self.parts[at].0
    }

    pub(super) fn ty(&self, at: At) -> &Ty {
        &self.parts[at].1
    }
}

struct Planner<'r, 'c> {
    records: &'r Records<'c>,
    parts: Vec<(Part, Ty)>,
    /// A class may hold itself.
    known: HashMap<Ty, At>,
}

impl Planner<'_, '_> {
    fn part(&mut self, ty: &Ty) -> At {
        if let Some(known) = self.known.get(ty) {
            return *known;
        }
        let at = self.parts.len();
        self.known.insert(ty.clone(), at);
        self.parts.push((Part::Whole, ty.clone()));
        self.parts[at].0 = self.planned(ty);
        at
    }

    fn all(&mut self, types: &[Ty]) -> Vec<At> {
        types.iter().map(|ty| self.part(ty)).collect()
    }

    fn planned(&mut self, ty: &Ty) -> Part {
        match ty {
            Ty::Any | Ty::Variable(_) => Part::Any,
            Ty::None => Part::Class { name: "None".to_owned(), kinds: Kinds(1) },
            Ty::Union(members) => Part::Union(self.all(members)),
            // Bytes and members of enums are tagged, and so not told by their first byte.
            Ty::Literal(values) if values.iter().any(|one| matches!(one, Literal::Bytes(_) | Literal::Member(..))) => {
                Part::Whole
            }
            Ty::Literal(_) => Part::Literal,
            Ty::Tuple(types) => Part::Fixed(self.all(types)),
            Ty::Tuples(item) => {
                Part::Items { name: "tuple".to_owned(), kinds: Kinds::of("tuple"), item: self.part(item) }
            }
            _ if ty.outcome().is_some() => Part::Whole,
            Ty::Class(name) => match self.records.get(name) {
                Some(record) => self.record(name, record),
                None => self.class(name, &[]),
            },
            Ty::Generic(name, parameters) => self.class(name, parameters),
            Ty::Never | Ty::Spread(..) => Part::Whole,
        }
    }

    fn class(&mut self, name: &str, parameters: &[Ty]) -> Part {
        let both = keys_and_values(name, parameters);
        let (name, kinds) = (name.to_owned(), Kinds::of(name));
        match both.as_ref().map_or(parameters, |both| both) {
            [item] => Part::Items { name, kinds, item: self.part(item) },
            [key, item] => {
                let any_text = *key == Ty::Any || *key == Ty::class("str");
                Part::Map { name, kinds, key: self.part(key), item: self.part(item), any_text }
            }
            _ => Part::Class { name, kinds },
        }
    }

    fn record(&mut self, name: &str, record: &Record<'_>) -> Part {
        match record.class.kind {
            ClassKind::Enum => Part::Whole,
            // What it holds pydantic checked when it was made.
            ClassKind::Model => Part::Class { name: name.to_owned(), kinds: Kinds::of(name) },
            kind => {
                let lenient = |(field, ty): &(&qflow_model::class::Field, Ty)| {
                    field.default.as_ref().is_some_and(|default| self.records.check(default, ty).is_err())
                };
                let lenient: Vec<bool> = record.fields.iter().map(lenient).collect();
                let parts = record.fields.iter().map(|(_, ty)| self.part(ty));
                let fields = parts.zip(lenient).map(|(at, is_lenient)| Field { at, is_lenient }).collect();
                Part::Record { name: name.to_owned(), kind, fields }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_by_their_places() {
        for (kind, name) in [
            (Kind::NONE, "None"),
            (Kind::BOOL, "bool"),
            (Kind::INT, "int"),
            (Kind::FLOAT, "float"),
            (Kind::STR, "str"),
            (Kind::LIST, "list"),
            (Kind::DICT, "dict"),
        ] {
            assert_eq!(Kind::of(name), Some(kind));
        }
        let of = |name: &str| {
            KINDS.into_iter().filter(|kind| Kinds::of(name).has(Kind::of(kind).unwrap())).collect::<Vec<_>>()
        };
        assert_eq!(of("float"), ["bool", "int", "float"]);
        assert_eq!(of("Mapping"), ["dict"]);
        assert_eq!(of("Row"), ["dict"]);
        assert_eq!(of("date"), ["date", "datetime"]);
        assert_eq!(of("Path"), ["Path", "File", "Folder"]);
    }
}
