//! Classes of a submission's own files that signatures name, as far as reading alone tells what they hold.

mod classes;

pub use classes::Classes;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::definition::TypeText;

/// What a class holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Class {
    /// Its qualified name, as the tagged form has it: `shapes.parts.Row`.
    pub name: String,
    /// What it is.
    pub kind: ClassKind,
    /// What it may stand for besides, as types spell it: its bases and theirs, `int` of an `IntEnum`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bases: Vec<String>,
    /// Fields in order, those of its bases first; none of an enum.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Members of an enum, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Whether its objects have no hash: a dataclass that compares by value and is not frozen.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unhashable: bool,
}

/// What a class is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClassKind {
    /// `Enum`, `IntEnum`, `StrEnum`.
    Enum,
    /// `@dataclass`.
    Dataclass,
    /// `NamedTuple`.
    NamedTuple,
    /// `TypedDict`.
    TypedDict,
    /// A model of pydantic's, which converts what it is given by rules of its own.
    Model,
}

/// A field of a class.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Field {
    /// Its name.
    pub name: String,
    /// Its declared type.
    #[serde(rename = "type")]
    pub ty: TypeText,
    /// Whether it must be given.
    pub required: bool,
    /// What it is where it is not given, in the tagged form; nothing where only Python knows.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "told")]
    pub default: Option<Value>,
}

/// A default that is told: `None` is one too.
fn told<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(from).map(Some)
}

/// A member of an enum.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its value, in the tagged form.
    pub value: Value,
}

/// The classes that types name, and those that fields of these name in turn: what a check of such values needs.
pub fn reached<'t>(types: impl IntoIterator<Item = &'t TypeText>, classes: &'t Classes) -> Classes {
    let mut found = Classes::new();
    let mut texts: Vec<&str> = types.into_iter().map(|ty| ty.0.as_str()).collect();
    while let Some(text) = texts.pop() {
        // A literal's text may read like a class: one too many does no harm.
        for name in text.split(|c: char| !(c.is_alphanumeric() || c == '_' || c == '.')) {
            if let Some(class) = classes.get(name)
                && found.insert(name.to_owned(), class.clone()).is_none()
            {
                texts.extend(class.fields.iter().map(|field| field.ty.0.as_str()));
            }
        }
    }
    found
}

impl Class {
    /// The field of a name.
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.iter().find(|field| field.name == name)
    }

    /// The member of a name, or of an equal value before it: a second name for a value is another for the first member.
    pub fn member(&self, name: &str) -> Option<&Member> {
        let named = self.members.iter().find(|member| member.name == name)?;
        self.members.iter().find(|member| member.value == named.value)
    }

    /// The names of its fields, for people.
    pub fn fields_named(&self) -> String {
        let names: Vec<_> = self.fields.iter().map(|field| field.name.as_str()).collect();
        if names.is_empty() { "no fields".to_owned() } else { names.join(", ") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_default_of_none_is_not_the_lack_of_one() {
        for default in [None, Some(Value::Null), Some(Value::from(1))] {
            let field = Field { name: "x".to_owned(), ty: TypeText("int".to_owned()), required: false, default };
            assert_eq!(serde_json::from_value::<Field>(serde_json::to_value(&field).unwrap()).unwrap(), field);
        }
    }

    #[test]
    fn a_type_reaches_the_classes_of_its_fields_and_no_others() {
        let of = |ty: &str| -> Class {
            let fields = json!([{"name": "x", "type": ty, "required": true}]);
            serde_json::from_value(json!({"name": "m.C", "kind": "dataclass", "fields": fields})).unwrap()
        };
        let classes = Classes::from([
            ("Tree".to_owned(), of("None | list[parts.Leaf] | Tree")),
            ("parts.Leaf".to_owned(), of("int")),
            ("Leaf".to_owned(), of("int")),
            ("Other".to_owned(), of("int")),
        ]);
        let found = |ty: &str| reached([&TypeText(ty.to_owned())], &classes).keys().cloned().collect::<Vec<_>>();
        assert_eq!(found("dict[str, Tree]"), ["Tree", "parts.Leaf"]);
        assert_eq!(found("list[int]"), Vec::<String>::new());
    }
}
