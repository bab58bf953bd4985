//! What writes a plain form while it reads: nothing past one text, key or scalar is held.

use std::{fmt, io::Write};

use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{
    super::{python_key, to_plain, to_text},
    Written,
};

/// Writes what it reads in the plain form.
pub(super) struct Plain<'w, W> {
    pub(super) how: Written,
    pub(super) to: &'w mut W,
}

impl<W: Write> Plain<'_, W> {
    fn inner(&mut self) -> Plain<'_, W> {
        Plain { how: Written { raw: false, ..self.how }, to: self.to }
    }

    fn put<E: serde::de::Error>(&mut self, bytes: &[u8]) -> Result<(), E> {
        self.to.write_all(bytes).map_err(E::custom)
    }

    fn json<E: serde::de::Error>(&mut self, value: &impl serde::Serialize) -> Result<(), E> {
        serde_json::to_writer(&mut *self.to, value).map_err(E::custom)
    }

    fn text<E: serde::de::Error>(&mut self, text: &str) -> Result<(), E> {
        if self.how.raw { self.put(text.as_bytes()) } else { self.json(&text) }
    }

    /// What is tagged and small: as [`to_plain`] has it.
    fn small<E: serde::de::Error>(&mut self, mut form: Map<String, Value>) -> Result<(), E> {
        if let Some(index) = form.get("i").and_then(Value::as_u64) {
            form.insert("i".to_owned(), json!(index + u64::from(self.how.first)));
        }
        match to_plain(&Value::Object(form)) {
            Value::String(text) => self.text(&text),
            other => self.json(&other),
        }
    }
}

impl<'de, W: Write> DeserializeSeed<'de> for Plain<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de, W: Write> Visitor<'de> for Plain<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E: serde::de::Error>(mut self) -> Result<(), E> {
        self.put(b"null")
    }

    fn visit_bool<E: serde::de::Error>(mut self, value: bool) -> Result<(), E> {
        self.json(&value)
    }

    fn visit_i64<E: serde::de::Error>(mut self, value: i64) -> Result<(), E> {
        self.json(&value)
    }

    fn visit_u64<E: serde::de::Error>(mut self, value: u64) -> Result<(), E> {
        self.json(&value)
    }

    fn visit_f64<E: serde::de::Error>(mut self, value: f64) -> Result<(), E> {
        self.json(&value)
    }

    fn visit_str<E: serde::de::Error>(mut self, value: &str) -> Result<(), E> {
        self.text(value)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut items: A) -> Result<(), A::Error> {
        self.put(b"[")?;
        let mut count = 0;
        while items.next_element_seed(Item { count, plain: self.inner() })?.is_some() {
            count += 1;
        }
        self.put(b"]")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let Some(first) = fields.next_key::<String>()? else { return self.put(b"{}") };
        if first == "$" {
            return self.tagged(fields);
        }
        self.put(b"{")?;
        let mut next = Some(first);
        while let Some(key) = next {
            self.json(&python_key(&key))?;
            self.put(b":")?;
            fields.next_value_seed(self.inner())?;
            next = fields.next_key()?;
            if next.is_some() {
                self.put(b",")?;
            }
        }
        self.put(b"}")
    }
}

impl<W: Write> Plain<'_, W> {
    fn tagged<'de, A: MapAccess<'de>>(mut self, mut fields: A) -> Result<(), A::Error> {
        let tag: String = fields.next_value()?;
        let mut form = Map::new();
        form.insert("$".to_owned(), json!(tag));
        let streams = matches!(tag.as_str(), "tuple" | "set" | "frozenset" | "object" | "outcome" | "map");
        while let Some(key) = fields.next_key::<String>()? {
            match (streams, key.as_str()) {
                (true, "v") if tag == "map" => fields.next_value_seed(Mapping(self.inner()))?,
                (true, "v") => fields.next_value_seed(self.inner())?,
                (true, _) => drop(fields.next_value::<IgnoredAny>()?),
                (false, _) => drop(form.insert(key, fields.next_value()?)),
            }
        }
        if streams { Ok(()) } else { self.small(form) }
    }
}

/// An element, with the comma before it.
struct Item<'w, W> {
    count: usize,
    plain: Plain<'w, W>,
}

impl<'de, W: Write> DeserializeSeed<'de> for Item<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(mut self, from: D) -> Result<(), D::Error> {
        if self.count > 0 {
            self.plain.put(b",")?;
        }
        self.plain.deserialize(from)
    }
}

/// Pairs of any keys, as an object whose keys are texts.
struct Mapping<'w, W>(Plain<'w, W>);

impl<'de, W: Write> DeserializeSeed<'de> for Mapping<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, W: Write> Visitor<'de> for Mapping<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pairs of a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut pairs: A) -> Result<(), A::Error> {
        self.0.put(b"{")?;
        let mut count = 0;
        while pairs.next_element_seed(KeyAndValue { count, plain: self.0.inner() })?.is_some() {
            count += 1;
        }
        self.0.put(b"}")
    }
}

struct KeyAndValue<'w, W> {
    count: usize,
    plain: Plain<'w, W>,
}

impl<'de, W: Write> DeserializeSeed<'de> for KeyAndValue<'_, W> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, W: Write> Visitor<'de> for KeyAndValue<'_, W> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut pair: A) -> Result<(), A::Error> {
        if self.count > 0 {
            self.plain.put(b",")?;
        }
        let key: Value = pair.next_element()?.ok_or_else(|| A::Error::custom("a pair without a key"))?;
        self.plain.json(&to_text(&key))?;
        self.plain.put(b":")?;
        pair.next_element_seed(self.plain)?.ok_or_else(|| A::Error::custom("a pair without a value"))?;
        match pair.next_element::<IgnoredAny>()? {
            None => Ok(()),
            Some(_) => Err(A::Error::custom("a pair of three")),
        }
    }
}
