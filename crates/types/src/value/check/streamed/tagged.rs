//! What is tagged: it says what it is before it says what it holds.

use std::{collections::HashSet, fmt};

use qflow_model::class::ClassKind;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{ANY, At, Kind, Part, Seed, dicts::FIELDS, keys::Text, may_hold};
use crate::value::{
    check::{
        forms, goes,
        plan::Field,
        strict::{self, Tree},
    },
    equal,
};

impl<'de> Seed<'_, '_, 'de> {
    /// A value whose tag comes next.
    pub(super) fn tagged<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let tag = fields.next_value_seed(Text)?;
        match &*tag {
            "tuple" | "set" | "frozenset" => {
                let kind = Kind::of(&tag).unwrap_or(Kind::LIST);
                self.inner(&tag, &mut fields)?;
                fields.next_value_seed(Elements { kind, of: self })?;
                self.over(&tag, &mut fields)
            }
            "map" => {
                self.inner(&tag, &mut fields)?;
                fields.next_value_seed(Pairs(self))?;
                self.over(&tag, &mut fields)
            }
            "object" => self.object(fields),
            tag => match forms::class(tag) {
                Some(class) => self.scalar(tag, class, fields),
                None => self.rare(tag, fields),
            },
        }
    }

    /// Goes to the `v` of a tag.
    fn inner<A: MapAccess<'de>>(self, tag: &str, fields: &mut A) -> Result<(), A::Error> {
        match fields.next_key_seed(Text)?.as_deref() {
            Some("v") => Ok(()),
            _ => Err(self.checker.malformed(tag, "`v` does not follow")),
        }
    }

    fn over<A: MapAccess<'de>>(self, tag: &str, fields: &mut A) -> Result<(), A::Error> {
        match fields.next_key_seed(Text)? {
            None => Ok(()),
            Some(more) => Err(self.checker.malformed(tag, &format!("`{more}` is left over"))),
        }
    }

    /// A number, a text, a time: only a name of its zone may follow.
    fn scalar<A: MapAccess<'de>>(self, tag: &str, class: &str, mut fields: A) -> Result<(), A::Error> {
        self.inner(tag, &mut fields)?;
        let (mut parts, mut text) = (Value::Null, None);
        if matches!(tag, "timedelta" | "complex") {
            parts = fields.next_value_seed(Tree)?;
            if !forms::is_good(tag, &parts) {
                return Err(self.checker.malformed(tag, &parts.to_string()));
            }
        } else {
            let read = fields.next_value_seed(Text)?;
            if !forms::is_good_text(tag, &read) {
                return Err(self.checker.malformed(tag, &read));
            }
            text = Some(read);
        }
        while let Some(key) = fields.next_key_seed(Text)? {
            match (&*key, tag) {
                ("zone", "datetime" | "time") => drop(fields.next_value_seed(Text)?),
                ("fold", "datetime" | "time") => {
                    let fold = fields.next_value_seed(Tree)?;
                    if fold != 1 {
                        return Err(self.checker.malformed(tag, &format!("`fold` is {fold}")));
                    }
                }
                _ => return Err(self.checker.malformed(tag, &format!("`{key}` is left over"))),
            }
        }
        let kind = Kind::of(class).unwrap_or(Kind::NONE);
        self.checker.scalar(self.at, kind, || json!({"$": tag, "v": text.map_or(parts, |text| json!(text))}))
    }

    /// An object of the user's own class.
    fn object<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let checker = self.checker;
        if fields.next_key_seed(Text)?.as_deref() != Some("t") {
            return Err(checker.malformed("object", "`t` does not follow"));
        }
        let class = fields.next_value_seed(Text)?;
        self.inner("object", &mut fields)?;
        let may_be = |part: &Part| match part {
            Part::Any | Part::Union(_) | Part::Whole => true,
            Part::Class { name, .. } | Part::Items { name, .. } | Part::Map { name, .. } => goes(&class, false, name),
            Part::Record { name, kind, .. } => {
                *kind != ClassKind::TypedDict && checker.records.get(name).is_some_and(|record| record.is_of(&class))
            }
            Part::Fixed(_) | Part::Literal => false,
        };
        let at = checker.pick(self.at, may_be);
        match at.map(|at| (at, checker.plan.part(at))) {
            Some((_, Part::Any)) => fields.next_value_seed(Fields { of: self.any(), record: None })?,
            Some((_, part @ Part::Record { name, fields: known, .. })) if may_be(part) && known.len() <= FIELDS => {
                fields.next_value_seed(Fields { of: self, record: Some((name, known)) })?;
            }
            Some((_, Part::Class { .. } | Part::Items { .. } | Part::Map { .. }))
                if at.is_some_and(|at| may_be(checker.plan.part(at))) =>
            {
                fields.next_value_seed(Fields { of: self.any(), record: None })?;
            }
            Some((_, Part::Whole | Part::Record { .. })) | None => {
                let value = fields.next_value_seed(Tree)?;
                checker.whole(self.at, &json!({"$": "object", "t": class, "v": value}))?;
            }
            Some(_) => return Err(checker.mismatch(self.at, &class)),
        }
        self.over("object", &mut fields)
    }

    /// A member, an outcome, an attachment: held whole, they are small or few.
    fn rare<A: MapAccess<'de>>(self, tag: &str, fields: A) -> Result<(), A::Error> {
        let form = Map::from_iter([("$".to_owned(), json!(tag))]);
        self.checker.whole(self.at, &Value::Object(strict::rest(form, fields)?))
    }
}

/// The elements of a tuple or a set.
struct Elements<'s, 'c, 'de> {
    kind: Kind,
    of: Seed<'s, 'c, 'de>,
}

impl<'de> DeserializeSeed<'de> for Elements<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, items: A) -> Result<(), A::Error> {
        self.of.elements(self.kind, items).map(drop)
    }
}

/// The fields of an object.
struct Fields<'s, 'c, 'de, 'p> {
    of: Seed<'s, 'c, 'de>,
    record: Option<(&'p str, &'p [Field])>,
}

impl<'de> DeserializeSeed<'de> for Fields<'_, '_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Fields<'_, '_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object's fields")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<(), A::Error> {
        let first = fields.next_key_seed(Text)?;
        let record = self.record.and_then(|(name, known)| Some((self.of.checker.records.get(name)?, name, known)));
        match record {
            Some((record, name, known)) => self.of.record(record, name, known, first, fields),
            None => self.of.entries(first, fields, None),
        }
    }
}

/// A mapping with any keys.
struct Pairs<'s, 'c, 'de>(Seed<'s, 'c, 'de>);

impl<'de> DeserializeSeed<'de> for Pairs<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pairs<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pairs of a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<(), A::Error> {
        let checker = self.0.checker;
        let is_dict = |part: &Part| match part {
            // That its keys are no texts says that it is no `TypedDict`.
            Part::Class { name, .. } | Part::Items { name, .. } | Part::Map { name, .. } => goes("dict", false, name),
            Part::Record { .. } => false,
            part => may_hold(part, Kind::DICT),
        };
        let at = checker.pick(self.0.at, is_dict);
        let (key, item) = match at.map(|at| checker.plan.part(at)) {
            Some(Part::Any) => (ANY, ANY),
            Some(part @ Part::Class { .. }) if is_dict(part) => (ANY, ANY),
            Some(part @ Part::Map { key, item, .. }) if is_dict(part) => (*key, *item),
            Some(Part::Items { .. } | Part::Whole) | None => {
                let mut held = Vec::new();
                while let Some(pair) = pairs.next_element_seed(Tree)? {
                    held.push(pair);
                }
                return checker.whole(self.0.at, &json!({"$": "map", "v": held}));
            }
            Some(_) => return Err(checker.mismatch(self.0.at, "dict")),
        };
        let (mut seen, mut number) = (HashSet::new(), 0);
        while pairs.next_element_seed(Pair { of: self.0, key, item, number, seen: &mut seen })?.is_some() {
            number += 1;
        }
        Ok(())
    }
}

/// A key of any class, and its value.
struct Pair<'s, 'c, 'de, 'k> {
    of: Seed<'s, 'c, 'de>,
    key: At,
    item: At,
    number: usize,
    seen: &'k mut HashSet<equal::Key>,
}

impl<'de> DeserializeSeed<'de> for Pair<'_, '_, 'de, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Pair<'_, '_, 'de, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<(), A::Error> {
        let checker = self.of.checker;
        let Some(key) = pair.next_element_seed(Tree)? else {
            return Err(checker.malformed("map", "a pair without a key"));
        };
        checker.under(checker.whole(self.key, &key), || format!("key {}", self.number))?;
        // One that is equal to nothing else goes by where it stands, and it does not stand here for long.
        let known = equal::key(&key, checker.classes).filter(|key| !matches!(key, equal::Key::Only(_)));
        let is_new = known.is_none_or(|key| self.seen.insert(key));
        if !is_new {
            return Err(A::Error::custom(format!("the key {key} comes twice")));
        }
        let value = checker.under(pair.next_element_seed(self.of.to(self.item)), || format!("[{key}]"))?;
        match (value, pair.next_element::<IgnoredAny>()?) {
            (Some(_), None) => Ok(()),
            _ => Err(checker.malformed("map", "a pair of another length")),
        }
    }
}
