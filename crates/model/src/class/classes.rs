//! The classes of a submission by name.

use std::{
    collections::BTreeMap,
    ops::{Deref, DerefMut},
};

use serde::{Deserialize, Serialize};

use super::Class;

/// Classes by the name that types spell them with. A class that is not here is opaque: only Python knows what it takes.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(from = "BTreeMap<String, Entry>", into = "BTreeMap<String, Entry>")]
pub struct Classes {
    known: BTreeMap<String, Class>,
    above: BTreeMap<String, Vec<String>>,
}

/// A class as JSON has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Entry {
    Known(Class),
    Opaque { derived_from: Vec<String> },
}

impl Classes {
    /// None.
    pub const fn new() -> Self {
        Self { known: BTreeMap::new(), above: BTreeMap::new() }
    }

    /// Whether nothing is known of any class.
    pub fn is_empty(&self) -> bool {
        self.known.is_empty() && self.above.is_empty()
    }

    /// Tells of an opaque class what it is derived from: its bases and theirs, as types spell them.
    pub fn put_above(&mut self, name: String, bases: Vec<String>) {
        self.above.insert(name, bases);
    }

    /// What a class is derived from, as far as that is known; nothing of a class of which nothing is.
    pub fn above(&self, name: &str) -> &[String] {
        let known = self.known.get(name).map(|class| &class.bases);
        known.or_else(|| self.above.get(name)).map_or(&[], Vec::as_slice)
    }
}

impl Deref for Classes {
    type Target = BTreeMap<String, Class>;

    fn deref(&self) -> &Self::Target {
        &self.known
    }
}

impl DerefMut for Classes {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.known
    }
}

impl From<BTreeMap<String, Class>> for Classes {
    fn from(known: BTreeMap<String, Class>) -> Self {
        Self { known, above: BTreeMap::new() }
    }
}

impl<const N: usize> From<[(String, Class); N]> for Classes {
    fn from(known: [(String, Class); N]) -> Self {
        BTreeMap::from(known).into()
    }
}

impl FromIterator<(String, Class)> for Classes {
    fn from_iter<I: IntoIterator<Item = (String, Class)>>(known: I) -> Self {
        BTreeMap::from_iter(known).into()
    }
}

impl IntoIterator for Classes {
    type Item = (String, Class);
    type IntoIter = std::collections::btree_map::IntoIter<String, Class>;

    fn into_iter(self) -> Self::IntoIter {
        self.known.into_iter()
    }
}

impl<'c> IntoIterator for &'c Classes {
    type Item = (&'c String, &'c Class);
    type IntoIter = std::collections::btree_map::Iter<'c, String, Class>;

    fn into_iter(self) -> Self::IntoIter {
        self.known.iter()
    }
}

impl From<BTreeMap<String, Entry>> for Classes {
    fn from(entries: BTreeMap<String, Entry>) -> Self {
        let mut classes = Self::new();
        for (name, entry) in entries {
            match entry {
                Entry::Known(class) => drop(classes.known.insert(name, class)),
                Entry::Opaque { derived_from } => classes.put_above(name, derived_from),
            }
        }
        classes
    }
}

impl From<Classes> for BTreeMap<String, Entry> {
    fn from(classes: Classes) -> Self {
        let opaque = classes.above.into_iter().map(|(name, derived_from)| (name, Entry::Opaque { derived_from }));
        classes.known.into_iter().map(|(name, class)| (name, Entry::Known(class))).chain(opaque).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn opaque_classes_travel_beside_known_ones_and_are_none_of_them() {
        let written = json!({
            "Dog": {"derived_from": ["Animal"]},
            "Row": {"name": "m.Row", "kind": "dataclass", "bases": ["Base"]},
        });
        let classes: Classes = serde_json::from_value(written.clone()).unwrap();
        assert_eq!(classes.keys().collect::<Vec<_>>(), ["Row"]);
        assert_eq!(
            (classes.above("Dog"), classes.above("Row")),
            (&["Animal".to_owned()][..], &["Base".to_owned()][..])
        );
        assert!(classes.above("Animal").is_empty());
        assert_eq!(serde_json::to_value(&classes).unwrap(), written);
    }
}
