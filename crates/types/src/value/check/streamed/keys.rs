//! Keys and other short texts, borrowed from what is read where they stand there as they are.

use std::{borrow::Cow, collections::HashSet, fmt};

use serde::de::{DeserializeSeed, Deserializer, Error, Visitor};

use super::Checker;

/// Keys of a mapping that are compared one by one: for so few that is faster than a set.
const FEW: usize = 16;

/// Reads a text.
pub(super) struct Text;

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Cow<'de, str>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Cow<'de, str>, D::Error> {
        from.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Cow<'de, str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Borrowed(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Cow<'de, str>, E> {
        Ok(Cow::Owned(text.to_owned()))
    }
}

/// The keys of one mapping: each comes once. Few of them lie in the checker, above those of the mapping around.
pub(super) struct Keys<'s, 'c, 'de> {
    checker: &'s Checker<'c, 'de>,
    base: usize,
    /// Past its own: what lies above was left by a mapping within, where an error came up.
    end: usize,
    many: HashSet<Cow<'de, str>>,
}

impl<'s, 'c, 'de> Keys<'s, 'c, 'de> {
    pub(super) fn of(checker: &'s Checker<'c, 'de>) -> Self {
        let base = checker.keys.borrow().len();
        Self { checker, base, end: base, many: HashSet::new() }
    }

    /// Takes the next one; an error where it came before.
    pub(super) fn take<E: Error>(&mut self, key: Cow<'de, str>) -> Result<(), E> {
        let mut keys = self.checker.keys.borrow_mut();
        keys.truncate(self.end);
        let few = &keys[self.base..];
        let is_new = if few.len() < FEW {
            !few.contains(&key)
        } else {
            if self.many.is_empty() {
                self.many.extend(few.iter().cloned());
            }
            self.many.insert(key.clone())
        };
        if !is_new {
            return Err(E::custom(format!("the key {key:?} comes twice")));
        }
        if few.len() < FEW {
            keys.push(key);
        } else if let Some(last) = keys.last_mut() {
            // Where an error is, the last one tells.
            *last = key;
        }
        self.end = keys.len();
        Ok(())
    }

    /// The one that was taken last.
    pub(super) fn last(&self) -> String {
        let keys = self.checker.keys.borrow();
        keys[self.base..self.end].last().map(|key| key.clone().into_owned()).unwrap_or_default()
    }

    pub(super) fn end(self) {
        self.checker.keys.borrow_mut().truncate(self.base);
    }
}
