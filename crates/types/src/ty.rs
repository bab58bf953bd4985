//! The terms of types, and their canonical spelling.

use std::fmt;

/// A type, as a signature declares it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Ty {
    /// Anything: compatible both ways.
    Any,
    /// Nothing: a function that does not return.
    Never,
    /// `None`.
    None,
    /// A class without parameters: `int`, `str`, `Decimal`, `DataFrame`, or one of the user's own.
    Class(String),
    /// A class with parameters: `list[int]`, `dict[str, Any]`.
    Generic(String, Vec<Ty>),
    /// `tuple[int, str]`, of exactly this shape.
    Tuple(Vec<Ty>),
    /// `tuple[int, ...]`.
    Tuples(Box<Ty>),
    /// `tuple[int, *tuple[str, ...], bool]`: what it begins and ends with, and any number of one type between.
    Spread(Vec<Ty>, Box<Ty>, Vec<Ty>),
    /// `int | str`: at least two members, flat, sorted, without repeats.
    Union(Vec<Ty>),
    /// `Literal["a", 1]`: sorted, without repeats.
    Literal(Vec<Literal>),
    /// `~T`: a variable of a generic function, solved where it is called.
    Variable(String),
}

/// A value that `Literal[…]` may name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Literal {
    /// `True`, `False`.
    Bool(bool),
    /// An integer.
    Int(i64),
    /// A text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A member of an enum: the enum as types spell it, and the member's name.
    Member(String, String),
}

impl Literal {
    /// The class of the value.
    pub fn class(&self) -> &str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Text(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::Member(class, _) => class,
        }
    }
}

impl Ty {
    /// A class without parameters.
    pub fn class(name: &str) -> Self {
        Self::Class(name.to_owned())
    }

    /// The union of some types: flat, sorted, literals as one; of one type that type, of none `Never`. `Any` takes all others in.
    pub fn union(members: impl IntoIterator<Item = Self>) -> Self {
        let (mut flat, mut literals) = (Vec::new(), Vec::new());
        let mut put = |member| match member {
            Self::Never => {}
            Self::Literal(values) => literals.extend(values),
            other => flat.push(other),
        };
        for member in members {
            match member {
                Self::Union(inner) => inner.into_iter().for_each(&mut put),
                other => put(other),
            }
        }
        if flat.contains(&Self::Any) {
            return Self::Any;
        }
        flat.push(Self::literal(literals));
        flat.retain(|member| *member != Self::Never);
        flat.sort();
        flat.dedup();
        match flat.len() {
            0 => Self::Never,
            1 => flat.remove(0),
            _ => Self::Union(flat),
        }
    }

    /// `Literal[…]` of some values; of none `Never`.
    pub fn literal(mut values: Vec<Literal>) -> Self {
        values.sort();
        values.dedup();
        if values.is_empty() { Self::Never } else { Self::Literal(values) }
    }

    /// A tuple: what it begins with, what may come any number of times, what it ends with.
    pub fn spread(before: Vec<Self>, any: Option<Self>, after: Vec<Self>) -> Self {
        match any {
            None => Self::Tuple(before.into_iter().chain(after).collect()),
            Some(item) if before.is_empty() && after.is_empty() => Self::Tuples(Box::new(item)),
            Some(item) => Self::Spread(before, Box::new(item), after),
        }
    }

    /// `T | None`.
    #[must_use]
    pub fn optional(self) -> Self {
        Self::union([self, Self::None])
    }

    /// Its members, where it is a union; itself else.
    pub fn members(&self) -> &[Self] {
        match self {
            Self::Union(members) => members,
            other => std::slice::from_ref(other),
        }
    }

    /// What iterating over it gives, where that is known.
    pub fn element(&self) -> Option<Self> {
        match self {
            Self::Any => Some(Self::Any),
            Self::Class(name) if is_sequence(name) => Some(Self::Any),
            Self::Generic(name, parameters) if is_sequence(name) => parameters.first().cloned(),
            Self::Tuple(_) | Self::Tuples(_) | Self::Spread(..) => self.items(),
            _ => None,
        }
    }

    /// What a tuple holds, wherever in it; nothing of other types.
    pub fn items(&self) -> Option<Self> {
        match self {
            Self::Tuple(items) => Some(Self::union(items.iter().cloned())),
            Self::Tuples(item) => Some((**item).clone()),
            Self::Spread(before, item, after) => {
                Some(Self::union(before.iter().chain([&**item]).chain(after).cloned()))
            }
            _ => None,
        }
    }

    /// The types that it is made of, one level down.
    pub fn parts(&self) -> Vec<&Self> {
        match self {
            Self::Any | Self::Never | Self::None | Self::Class(_) | Self::Literal(_) | Self::Variable(_) => Vec::new(),
            Self::Generic(_, parts) | Self::Tuple(parts) | Self::Union(parts) => parts.iter().collect(),
            Self::Tuples(item) => vec![item],
            Self::Spread(before, item, after) => before.iter().chain([&**item]).chain(after).collect(),
        }
    }

    /// The same with each of its parts made anew, one level down.
    #[must_use]
    pub fn map(self, mut make: impl FnMut(Self) -> Self) -> Self {
        let all = |parts: Vec<Self>, make: &mut dyn FnMut(Self) -> Self| parts.into_iter().map(make).collect();
        match self {
            Self::Generic(name, parts) => Self::Generic(name, all(parts, &mut make)),
            Self::Tuple(parts) => Self::Tuple(all(parts, &mut make)),
            Self::Union(parts) => Self::union(parts.into_iter().map(make)),
            Self::Tuples(item) => Self::Tuples(Box::new(make(*item))),
            Self::Spread(before, item, after) => {
                let before = all(before, &mut make);
                let item = make(*item);
                Self::Spread(before, Box::new(item), all(after, &mut make))
            }
            other => other,
        }
    }

    /// Literals as their classes, wherever they stand.
    #[must_use]
    pub fn widened(self) -> Self {
        match self {
            Self::Literal(values) => Self::union(values.iter().map(|value| Self::class(value.class()))),
            other => other.map(Self::widened),
        }
    }

    /// What a settled call of this type gives: `Outcome[R]`.
    #[must_use]
    pub fn settled(self) -> Self {
        Self::Generic("Outcome".to_owned(), vec![self])
    }

    /// The `R` of an `Outcome[R]`; of a bare one `Any`.
    pub fn outcome(&self) -> Option<&Self> {
        match self {
            Self::Class(name) if name == "Outcome" => Some(&Self::Any),
            Self::Generic(name, parameters) if name == "Outcome" => Some(parameters.first().unwrap_or(&Self::Any)),
            _ => None,
        }
    }

    /// An attribute of one of Qflow's own classes, as far as nothing more is known; `None` of any other class.
    pub fn attribute(&self, name: &str) -> Option<Self> {
        match (self, name) {
            (Self::Class(class), "type" | "message" | "status") if class == "OutcomeError" => Some(Self::class("str")),
            (Self::Class(class), "attempts") if class == "OutcomeError" => Some(Self::class("int")),
            (_, "ok") => self.outcome().map(|_| Self::class("bool")),
            (_, "value") => self.outcome().map(|value| value.clone().optional()),
            (_, "error") => self.outcome().map(|_| Self::class("OutcomeError").optional()),
            _ => None,
        }
    }

    /// The root constructor, for metrics: a closed set, `object` for the user's own.
    pub fn root(&self) -> &str {
        match self {
            Self::Any => "Any",
            Self::Never => "Never",
            Self::None => "None",
            Self::Class(name) | Self::Generic(name, _) => crate::parse::label(name).unwrap_or("object"),
            Self::Tuple(_) | Self::Tuples(_) | Self::Spread(..) => "tuple",
            Self::Union(_) => "Union",
            Self::Literal(_) => "Literal",
            Self::Variable(_) => "Any",
        }
    }
}

fn is_sequence(name: &str) -> bool {
    let lists = ["list", "Sequence", "MutableSequence", "Reversible", "Iterable", "Collection"];
    lists.contains(&name) || matches!(name, "set" | "frozenset" | "Set" | "MutableSet")
}

impl fmt::Display for Ty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("Any"),
            Self::Never => f.write_str("Never"),
            Self::None => f.write_str("None"),
            Self::Class(name) => f.write_str(name),
            Self::Generic(name, parameters) => {
                write!(f, "{name}[")?;
                list(f, parameters, ", ")?;
                f.write_str("]")
            }
            Self::Tuple(items) if items.is_empty() => f.write_str("tuple[()]"),
            Self::Tuple(items) => {
                f.write_str("tuple[")?;
                list(f, items, ", ")?;
                f.write_str("]")
            }
            Self::Tuples(item) => write!(f, "tuple[{item}, ...]"),
            Self::Spread(before, item, after) => {
                f.write_str("tuple[")?;
                before.iter().try_for_each(|one| write!(f, "{one}, "))?;
                write!(f, "*tuple[{item}, ...]")?;
                after.iter().try_for_each(|one| write!(f, ", {one}"))?;
                f.write_str("]")
            }
            Self::Variable(name) => write!(f, "~{name}"),
            Self::Union(members) => {
                // None is written last, as people do.
                let (none, others): (Vec<_>, Vec<_>) = members.iter().partition(|m| **m == Self::None);
                list(f, others.into_iter().chain(none), " | ")
            }
            Self::Literal(values) => {
                f.write_str("Literal[")?;
                list(f, values, ", ")?;
                f.write_str("]")
            }
        }
    }
}

fn list<T: fmt::Display>(f: &mut fmt::Formatter<'_>, items: impl IntoIterator<Item = T>, between: &str) -> fmt::Result {
    for (i, item) in items.into_iter().enumerate() {
        if i > 0 {
            f.write_str(between)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(value) => value.fmt(f),
            Self::Text(text) => {
                write!(f, "\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n"))
            }
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Self::Member(class, name) => write!(f, "{class}.{name}"),
        }
    }
}
