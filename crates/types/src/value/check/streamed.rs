//! Checks a value while its bytes are read: nothing of it is held but keys, and what a union may be in more than one way.

mod dicts;
mod keys;
mod tagged;

use std::{
    borrow::Cow,
    cell::{Cell, RefCell},
    fmt,
    io::Read,
};

use qflow_model::class::Classes;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Value, error::Category};

use super::{
    Records, ValueError, forms,
    plan::{ANY, At, KINDS, Kind, Part, Plan},
    strict::Tree,
};
use crate::{
    ty::Ty,
    value::{
        encoding::{NotAValue, skeleton},
        header::Headers,
        put_before,
    },
};
use keys::Text;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// What is known of a value that was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Elements, where it is a list.
    pub items: Option<u32>,
    /// Whether it holds a pickle.
    pub is_pickled: bool,
}

/// Bytes that are no value, or none of the declared type.
#[derive(Debug, thiserror::Error)]
pub enum Misfit {
    /// They do not read.
    #[error(transparent)]
    NotAValue(#[from] NotAValue),
    /// They read, and do not fit.
    #[error(transparent)]
    Unfit(#[from] ValueError),
}

/// Checks an encoding, with or without an offset table, as [`super::check_fields`] does: a pass over its bytes.
///
/// Beyond that it refuses what readers would disagree about, or not read: a key that comes twice, a date that is none.
pub fn check_encoding(bytes: &[u8], ty: &Ty, classes: &Classes) -> Result<Found, Misfit> {
    check_encoding_attached(bytes, ty, classes, &Headers::new())
}

/// The same, and holds frames and arrays to what is declared of them, by their `headers`.
pub fn check_encoding_attached(bytes: &[u8], ty: &Ty, classes: &Classes, headers: &Headers) -> Result<Found, Misfit> {
    let checker = Checker::new(ty, Records::read(classes).with(headers), classes);
    let mut from = serde_json::Deserializer::from_slice(skeleton(bytes)?);
    let read = checker.root().deserialize(&mut from).and_then(|items| from.end().map(|()| items));
    checker.concluded(read)
}

/// The same of bytes that no memory holds; what follows the skeleton is not looked at.
pub fn check_reader(from: impl Read, ty: &Ty, classes: &Classes) -> Result<Found, Misfit> {
    let checker = Checker::new(ty, Records::read(classes), classes);
    let reader = std::io::BufReader::with_capacity(READ_BYTES, from);
    let read = checker.root().deserialize(&mut serde_json::Deserializer::from_reader(reader));
    checker.concluded(read)
}

/// What a check needs, and what it found.
struct Checker<'c, 'de> {
    plan: Plan,
    records: Records<'c>,
    classes: &'c Classes,
    /// Why it failed: an error of a reader of JSON has no place for that.
    failed: RefCell<Option<ValueError>>,
    /// Keys of the mappings that are being read, the innermost last.
    keys: RefCell<Vec<Cow<'de, str>>>,
    is_pickled: Cell<bool>,
}

impl<'c, 'de> Checker<'c, 'de> {
    fn new(ty: &Ty, records: Records<'c>, classes: &'c Classes) -> Self {
        let plan = Plan::of(ty, &records);
        Self {
            plan,
            records,
            classes,
            failed: RefCell::default(),
            keys: RefCell::default(),
            is_pickled: Cell::new(false),
        }
    }

    fn root(&self) -> Seed<'_, 'c, 'de> {
        Seed { checker: self, at: self.plan.root() }
    }

    fn concluded(self, read: serde_json::Result<Option<u32>>) -> Result<Found, Misfit> {
        match (read, self.failed.into_inner()) {
            (Ok(items), _) => Ok(Found { items, is_pickled: self.is_pickled.get() }),
            (Err(_), Some(unfit)) => Err(Misfit::Unfit(unfit)),
            (Err(error), None) if error.classify() == Category::Data => {
                let told = error.to_string();
                // Lines and columns say nothing of a value.
                Err(Misfit::Unfit(ValueError::new(told.rsplit_once(" at line ").map_or(&*told, |(told, _)| told))))
            }
            (Err(error), None) => Err(Misfit::NotAValue(NotAValue::Json(error))),
        }
    }

    fn fail<E: Error>(&self, error: ValueError) -> E {
        let told = E::custom(&error.message);
        self.failed.replace(Some(error));
        told
    }

    /// A value of a class that a part is not.
    fn mismatch<E: Error>(&self, at: At, kind: &str) -> E {
        let ty = self.plan.ty(at);
        self.fail(match self.plan.part(at) {
            Part::Literal => ValueError::new(format!("expected {ty}")),
            _ => ValueError::new(format!("expected {ty}, got {kind}")),
        })
    }

    /// Tells where an error is, from within outwards.
    fn under<T, E>(&self, read: Result<T, E>, place: impl FnOnce() -> String) -> Result<T, E> {
        if read.is_err()
            && let Some(error) = self.failed.borrow_mut().as_mut()
        {
            put_before(&mut error.path, &place());
        }
        read
    }

    /// Checks what is held whole.
    fn whole<E: Error>(&self, at: At, value: &Value) -> Result<(), E> {
        let checked = forms::formed(value).and_then(|()| self.records.check(value, self.plan.ty(at)));
        if forms::is_pickled(value) {
            self.is_pickled.set(true);
        }
        checked.map_err(|error| self.fail(error))
    }

    /// Checks a value that holds no others; it is only made where its class does not say all.
    fn scalar<E: Error>(&self, at: At, kind: Kind, value: impl FnOnce() -> Value) -> Result<(), E> {
        let is_it = |at: At| match self.plan.part(at) {
            Part::Any => true,
            Part::Class { kinds, .. } => kinds.has(kind),
            _ => false,
        };
        match self.plan.part(at) {
            Part::Union(members) if members.iter().any(|member| is_it(*member)) => Ok(()),
            _ if is_it(at) => Ok(()),
            _ => self.whole(at, &value()),
        }
    }

    /// The part that a container of a class is held to; `None` where it may be more than one, or is rare.
    fn pick(&self, at: At, may_be: impl Fn(&Part) -> bool) -> Option<At> {
        let Part::Union(members) = self.plan.part(at) else { return Some(at) };
        let mut meant = members.iter().filter(|member| may_be(self.plan.part(**member)));
        match (meant.next(), meant.next()) {
            (Some(one), None) => self.pick(*one, may_be),
            // Of none of them: the union says so.
            (None, _) => Some(at),
            _ => None,
        }
    }
}

/// Whether a list, a tuple, a set, a mapping may be of a part.
fn may_hold(part: &Part, kind: Kind) -> bool {
    match part {
        Part::Any | Part::Union(_) | Part::Whole => true,
        Part::Class { kinds, .. } | Part::Items { kinds, .. } | Part::Map { kinds, .. } => kinds.has(kind),
        Part::Fixed(_) => kind.name() == "tuple",
        Part::Record { .. } => kind == Kind::DICT,
        Part::Literal => false,
    }
}

/// Reads a value that is to be of a part; elements, where it is a list.
#[derive(Clone, Copy)]
struct Seed<'s, 'c, 'de> {
    checker: &'s Checker<'c, 'de>,
    at: At,
}

impl Seed<'_, '_, '_> {
    fn to(self, at: At) -> Self {
        Self { at, ..self }
    }

    fn any(self) -> Self {
        self.to(ANY)
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_, 'de> {
    type Value = Option<u32>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<u32>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_, 'de> {
    type Value = Option<u32>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: Error>(self) -> Result<Option<u32>, E> {
        self.checker.scalar(self.at, Kind::NONE, || Value::Null).map(|()| None)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Option<u32>, E> {
        self.checker.scalar(self.at, Kind::BOOL, || Value::from(value)).map(|()| None)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Option<u32>, E> {
        self.checker.scalar(self.at, Kind::INT, || Value::from(value)).map(|()| None)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Option<u32>, E> {
        self.checker.scalar(self.at, Kind::INT, || Value::from(value)).map(|()| None)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Option<u32>, E> {
        self.checker.scalar(self.at, Kind::FLOAT, || Value::from(value)).map(|()| None)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Option<u32>, E> {
        self.checker.scalar(self.at, Kind::STR, || Value::from(value)).map(|()| None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<Option<u32>, A::Error> {
        self.elements(Kind::LIST, items)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<u32>, A::Error> {
        let first = fields.next_key_seed(Text)?;
        if first.as_deref() == Some("$") {
            self.tagged(fields)?;
        } else {
            self.dict(first, fields)?;
        }
        Ok(None)
    }
}

impl<'de> Seed<'_, '_, 'de> {
    /// The elements of a list, tuple or set.
    fn elements<A: SeqAccess<'de>>(self, kind: Kind, mut items: A) -> Result<Option<u32>, A::Error> {
        let checker = self.checker;
        let Some(at) = checker.pick(self.at, |part| may_hold(part, kind)) else { return self.held(kind, items) };
        let item = match checker.plan.part(at) {
            Part::Any => self.any(),
            Part::Class { kinds, .. } if kinds.has(kind) => self.any(),
            Part::Items { kinds, item, .. } if kinds.has(kind) => self.to(*item),
            Part::Map { kinds, .. } if kinds.has(kind) => self.any(),
            Part::Fixed(types) if kind.name() == "tuple" => return self.to(at).fixed(types, items),
            Part::Whole => return self.held(kind, items),
            _ => return Err(checker.mismatch(self.at, kind.name())),
        };
        let mut count = 0_u32;
        loop {
            match checker.under(items.next_element_seed(item), || format!("[{count}]"))? {
                Some(_) => count += 1,
                None => return Ok(Some(count)),
            }
        }
    }

    fn fixed<A: SeqAccess<'de>>(self, types: &[At], mut items: A) -> Result<Option<u32>, A::Error> {
        let mut count = 0;
        for at in types {
            match self.checker.under(items.next_element_seed(self.to(*at)), || format!("[{count}]"))? {
                Some(_) => count += 1,
                None => break,
            }
        }
        let mut more = count;
        while items.next_element_seed(self.any())?.is_some() {
            more += 1;
        }
        if more == types.len() {
            return Ok(None);
        }
        let ty = self.checker.plan.ty(self.at);
        Err(self.checker.fail(ValueError::new(format!("expected {ty}, got a tuple of {more}"))))
    }

    /// Holds a container, where more than one member of a union may be meant.
    fn held<A: SeqAccess<'de>>(self, kind: Kind, mut items: A) -> Result<Option<u32>, A::Error> {
        let mut held = Vec::new();
        while let Some(item) = items.next_element_seed(Tree)? {
            held.push(item);
        }
        let count = u32::try_from(held.len()).ok();
        let value =
            if kind == Kind::LIST { Value::Array(held) } else { serde_json::json!({"$": kind.name(), "v": held}) };
        self.checker.whole(self.at, &value).map(|()| count)
    }
}

impl Kind {
    fn name(self) -> &'static str {
        KINDS[self.place()]
    }
}

#[cfg(test)]
mod tests;
