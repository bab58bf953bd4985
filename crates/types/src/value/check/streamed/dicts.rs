//! Mappings whose keys are texts, and the fields of objects.

use std::borrow::Cow;

use qflow_model::class::ClassKind;
use serde::de::{Error, MapAccess};
use serde_json::{Map, Value};

use super::{
    At, Checker, Kind, Part, Seed, ValueError,
    keys::{Keys, Text},
    may_hold,
};
use crate::value::{
    check::{
        plan::Field,
        records::{self, Record},
        strict::{self, Tree},
    },
    python_key,
};

/// Fields of a class that are kept account of; classes with more are held whole.
pub(super) const FIELDS: usize = 128;

impl<'de> Seed<'_, '_, 'de> {
    /// A mapping whose keys are texts, of which the first is read.
    pub(super) fn dict<A: MapAccess<'de>>(self, first: Option<Cow<'de, str>>, fields: A) -> Result<(), A::Error> {
        let checker = self.checker;
        let Some(at) = checker.pick(self.at, |part| may_hold(part, Kind::DICT)) else {
            return self.held_dict(first, fields);
        };
        match checker.plan.part(at) {
            Part::Any => self.any().entries(first, fields, None),
            Part::Class { kinds, .. } if kinds.has(Kind::DICT) => self.any().entries(first, fields, None),
            Part::Map { kinds, key, item, any_text, .. } if kinds.has(Kind::DICT) => {
                self.to(*item).entries(first, fields, (!any_text).then_some(*key))
            }
            Part::Record { kind: ClassKind::TypedDict, name, fields: known } if known.len() <= FIELDS => {
                match checker.records.get(name) {
                    Some(record) => self.record(record, name, known, first, fields),
                    None => self.held_dict(first, fields),
                }
            }
            Part::Items { .. } | Part::Record { .. } | Part::Whole => self.held_dict(first, fields),
            _ => Err(checker.mismatch(self.at, "dict")),
        }
    }

    /// Each value of a mapping is of this part; each key of another, unless any text is one.
    pub(super) fn entries<A: MapAccess<'de>>(
        self,
        first: Option<Cow<'de, str>>,
        mut fields: A,
        key_at: Option<At>,
    ) -> Result<(), A::Error> {
        let (checker, mut next) = (self.checker, first);
        let mut keys = Keys::of(checker);
        while let Some(key) = next {
            untagged(&key)?;
            keys.take(key)?;
            if let Some(at) = key_at {
                let name = || python_key(&keys.last()).to_owned();
                checker.under(checker.scalar(at, Kind::STR, || Value::from(name())), || format!("key {:?}", name()))?;
            }
            checker.under(fields.next_value_seed(self), || format!("[{:?}]", python_key(&keys.last())))?;
            next = fields.next_key_seed(Text)?;
        }
        keys.end();
        Ok(())
    }

    /// The fields of a class: each that must be there is. What a `TypedDict` has besides is whatever there is, another class has none.
    pub(super) fn record<A: MapAccess<'de>>(
        self,
        record: &Record<'_>,
        name: &str,
        known: &[Field],
        first: Option<Cow<'de, str>>,
        mut fields: A,
    ) -> Result<(), A::Error> {
        let checker = self.checker;
        let (mut next, mut seen, mut expected, mut more) = (first, 0_u128, 0, Keys::of(checker));
        while let Some(key) = next {
            untagged(&key)?;
            let is_it = |at: &usize| record.fields[*at].0.name == python_key(&key);
            // They come in the order of the class, as a rule.
            let found = Some(expected).filter(|at| *at < known.len() && is_it(at));
            let Some(at) = found.or_else(|| (0..known.len()).find(is_it)) else {
                if !checker.records.is_open(record.class) {
                    return Err(checker.fail(records::unknown(name, record, python_key(&key))));
                }
                more.take(key)?;
                checker.under(fields.next_value_seed(self.any()), || format!("[{:?}]", python_key(&more.last())))?;
                next = fields.next_key_seed(Text)?;
                continue;
            };
            if seen >> at & 1 == 1 {
                return Err(A::Error::custom(format!("the key {key:?} comes twice")));
            }
            (seen, expected) = (seen | 1 << at, at + 1);
            let (field, _) = &record.fields[at];
            let place = || records::at(field, record.class.kind);
            if known[at].is_lenient {
                let value = fields.next_value_seed(Tree)?;
                if field.default.as_ref() != Some(&value) {
                    checker.under(checker.whole(known[at].at, &value), place)?;
                }
            } else {
                checker.under(fields.next_value_seed(self.to(known[at].at)), place)?;
            }
            next = fields.next_key_seed(Text)?;
        }
        more.end();
        let missing = record.fields.iter().enumerate().find(|(at, (field, _))| field.required && seen >> at & 1 == 0);
        match missing {
            None => Ok(()),
            Some((_, (field, _))) => {
                let got = if record.class.kind == ClassKind::TypedDict { "dict" } else { &record.class.name };
                Err(checker.fail(records::missing(name, got, &field.name)))
            }
        }
    }

    fn held_dict<A: MapAccess<'de>>(self, first: Option<Cow<'de, str>>, mut fields: A) -> Result<(), A::Error> {
        let mut object = Map::new();
        if let Some(first) = first {
            object.insert(first.into_owned(), fields.next_value_seed(Tree)?);
        }
        self.checker.whole(self.at, &Value::Object(strict::rest(object, fields)?))
    }
}

/// A tag stands first, so that what follows is known by it.
fn untagged<E: Error>(key: &str) -> Result<(), E> {
    if key == "$" { Err(E::custom("a mapping with the key `$`, which is written `$$`")) } else { Ok(()) }
}

impl Checker<'_, '_> {
    /// An error that says what was wrong with a form.
    pub(super) fn malformed<E: Error>(&self, tag: &str, what: &str) -> E {
        self.fail(ValueError::new(format!("a `{tag}` that is none: {what}")))
    }
}
