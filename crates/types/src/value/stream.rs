//! The plain form of a value, written while its tagged form is read: for values that no memory should hold whole.

mod plain;

use std::{
    fmt,
    io::{Read, Write},
};

use qflow_model::expression::Segment;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::stored_key;
use plain::Plain;

/// Bytes that are read at once.
const READ_BYTES: usize = 64 * 1024;

/// Where a value's bytes come from, from the start each time: an index from the end is counted first.
pub trait Bytes {
    /// Begins anew.
    fn open(&self) -> impl Read;
}

/// How a plain form is written.
#[derive(Clone, Copy, Debug, Default)]
pub struct Written {
    /// Added to the index of each attachment.
    pub first: u32,
    /// A text without quotes.
    pub raw: bool,
}

/// Writes the plain form of a part of a value. Past one text, key or scalar nothing of it is held.
pub fn plain_part(from: &impl Bytes, path: &[Segment], how: Written, to: &mut impl Write) -> Result<(), String> {
    let path = counted(from, path)?;
    read(from, Part { path: &path, last: Plain { how, to } })
}

/// The attachment that a part of a value is, as its form has it; `None` where it is something else.
pub fn attachment_at(from: &impl Bytes, path: &[Segment]) -> Result<Option<Map<String, Value>>, String> {
    let path = counted(from, path)?;
    read(from, Part { path: &path, last: Attachment })
}

/// A path whose indices all count from the start.
fn counted(from: &impl Bytes, path: &[Segment]) -> Result<Vec<Segment>, String> {
    let mut counted = path.to_vec();
    for at in 0..counted.len() {
        if let Segment::Index(index @ ..0) = counted[at] {
            let length = read(from, Part { path: &counted[..at], last: Count })?;
            // Of a mapping it is a key.
            if let Some(length) = length {
                let from_start = index + length as i64;
                if from_start < 0 {
                    return Err("list index out of range".to_owned());
                }
                counted[at] = Segment::Index(from_start);
            }
        }
    }
    Ok(counted)
}

fn read<T>(from: &impl Bytes, seed: impl for<'de> DeserializeSeed<'de, Value = T>) -> Result<T, String> {
    let reader = std::io::BufReader::with_capacity(READ_BYTES, from.open());
    // Past the value an offset table may follow: it is not looked at.
    seed.deserialize(&mut serde_json::Deserializer::from_reader(reader)).map_err(|e| e.to_string())
}

/// Goes to a part, and has `last` read it.
struct Part<'p, T> {
    path: &'p [Segment],
    last: T,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Part<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T::Value, D::Error> {
        if self.path.is_empty() { self.last.deserialize(from) } else { from.deserialize_any(self) }
    }
}

impl<'de, T: DeserializeSeed<'de>> Visitor<'de> for Part<'_, T> {
    type Value = T::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "something that has the part {:?}", self.path.first())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<T::Value, A::Error> {
        let Some((Segment::Index(index), rest)) = self.path.split_first() else {
            return Err(A::Error::custom("a list has no such part"));
        };
        for _ in 0..*index {
            items.next_element::<IgnoredAny>()?.ok_or_else(|| A::Error::custom("list index out of range"))?;
        }
        let found = items.next_element_seed(Part { path: rest, last: self.last })?;
        while items.next_element::<IgnoredAny>()?.is_some() {}
        found.ok_or_else(|| A::Error::custom("list index out of range"))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<T::Value, A::Error> {
        let (segment, rest) = self.path.split_first().ok_or_else(|| A::Error::custom("no part"))?;
        let wanted = match segment {
            Segment::Key(key) | Segment::Field(key) => Some(stored_key(key)),
            // An index of what is tagged stands in its `v`; one of a mapping too, whose keys are no texts.
            Segment::Index(_) | Segment::Each => None,
        };
        let (mut last, mut found, mut tag) = (Some(self.last), None, None);
        while let Some(key) = fields.next_key::<String>()? {
            match (key.as_str(), &tag, last.take()) {
                ("$", None, kept) => (tag, last) = (Some(fields.next_value::<String>()?), kept),
                ("v", Some(tag), Some(last)) if tag == "map" => {
                    found = Some(fields.next_value_seed(Pairs { wanted: segment, then: Part { path: rest, last } })?);
                }
                ("v", Some(_), Some(last)) => {
                    found = Some(fields.next_value_seed(Part { path: self.path, last })?);
                }
                (key, None, Some(last)) if Some(key) == wanted.as_deref() => {
                    found = Some(fields.next_value_seed(Part { path: rest, last })?);
                }
                (_, _, kept) => {
                    last = kept;
                    fields.next_value::<IgnoredAny>()?;
                }
            }
        }
        found.ok_or_else(|| A::Error::custom(format!("no part {segment:?}")))
    }
}

/// The value of one key, of pairs of any keys.
struct Pairs<'p, T> {
    wanted: &'p Segment,
    then: Part<'p, T>,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Pairs<'_, T> {
    type Value = T::Value;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<T::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeSeed<'de>> Visitor<'de> for Pairs<'_, T> {
    type Value = T::Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("pairs of a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pairs: A) -> Result<T::Value, A::Error> {
        let (mut then, mut found) = (Some(self.then), None);
        while let Some(one) = pairs.next_element_seed(Pair { wanted: self.wanted, then: &mut then })? {
            found = found.or(one);
        }
        found.ok_or_else(|| A::Error::custom(format!("no part {:?}", self.wanted)))
    }
}

/// A pair, whose value is read where its key is the wanted one.
struct Pair<'t, 'p, T> {
    wanted: &'p Segment,
    then: &'t mut Option<Part<'p, T>>,
}

impl<'de, T: DeserializeSeed<'de>> DeserializeSeed<'de> for Pair<'_, '_, T> {
    type Value = Option<T::Value>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_seq(self)
    }
}

impl<'de, T: DeserializeSeed<'de>> Visitor<'de> for Pair<'_, '_, T> {
    type Value = Option<T::Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key and a value")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut pair: A) -> Result<Self::Value, A::Error> {
        let key = pair.next_element::<Value>()?.unwrap_or_default();
        let is_it = match self.wanted {
            Segment::Index(index) => key.as_i64() == Some(*index),
            Segment::Key(wanted) => key.as_str() == Some(wanted),
            Segment::Field(_) | Segment::Each => false,
        };
        match self.then.take_if(|_| is_it) {
            Some(then) => pair.next_element_seed(then),
            None => pair.next_element::<IgnoredAny>().map(|_| None),
        }
    }
}

/// How many elements there are, where it is a list, a tuple or a set.
struct Count;

impl<'de> DeserializeSeed<'de> for Count {
    type Value = Option<u64>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Option<u64>, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count {
    type Value = Option<u64>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("something that has elements")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<u64>, A::Error> {
        let mut count = 0;
        while items.next_element::<IgnoredAny>()?.is_some() {
            count += 1;
        }
        Ok(Some(count))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Option<u64>, A::Error> {
        let (mut tag, mut count) = (None, None);
        while let Some(key) = fields.next_key::<String>()? {
            match (key.as_str(), tag.as_deref()) {
                ("$", None) => tag = Some(fields.next_value::<String>()?),
                ("v", Some("tuple" | "set" | "frozenset")) => count = fields.next_value_seed(Self)?,
                _ => drop(fields.next_value::<IgnoredAny>()?),
            }
        }
        Ok(count)
    }
}

/// The form of an attachment, and of nothing else.
struct Attachment;

impl<'de> DeserializeSeed<'de> for Attachment {
    type Value = Option<Map<String, Value>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Attachment {
    type Value = Option<Map<String, Value>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut fields: A) -> Result<Self::Value, A::Error> {
        let (mut form, mut is_it) = (Map::new(), false);
        while let Some(key) = fields.next_key::<String>()? {
            if key == "$" {
                is_it = fields.next_value::<Value>()? == "attachment";
            } else if is_it {
                form.insert(key, fields.next_value()?);
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(is_it.then_some(form))
    }
}

#[cfg(test)]
mod tests;
