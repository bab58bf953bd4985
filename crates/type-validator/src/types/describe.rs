//! What a type is, for people and for editors: its spelling, its parts, what goes there and what it converts from. Pure.

use qflow_model::class::Classes;
use qflow_types::{TABLE, Ty, Way, convertible, has_variables, is_builtin};
use serde::Serialize;

/// A type, described.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Description {
    /// Its canonical spelling.
    #[serde(rename = "type")]
    pub ty: String,
    /// Its outermost constructor, as metrics tell it: `list`, `Union`, `object` for a class that only Python knows.
    pub kind: String,
    /// The types that it is made of.
    pub parts: Vec<String>,
    /// What it holds, where it is a record whose class is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Part>,
    /// The names of its members, where it is an enum that is known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<String>,
    /// Whether `None` goes there.
    pub optional: bool,
    /// Whether what is given here is checked. Not under `Any`, and of a class that only Python knows no more than its name is.
    pub checked: bool,
    /// What it is made of where it is converted: each class, and whether some values do not allow it.
    pub converts_from: Vec<Conversion>,
}

/// A field of a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub ty: String,
    /// Whether it must be there.
    pub required: bool,
}

/// A row of the table of conversions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Conversion {
    /// The class of what is given.
    pub from: String,
    /// Whether it needs `convert=True`, since some values do not allow it.
    pub may_fail: bool,
    /// What is made of it.
    pub rule: String,
}

/// Whether more than a class's name is looked at: of one that only Python knows no more is known.
fn is_checked(ty: &Ty, classes: &Classes) -> bool {
    match ty {
        Ty::Any => false,
        Ty::Class(name) | Ty::Generic(name, _) => is_builtin(name) || classes.contains_key(name),
        Ty::Union(members) => members.iter().all(|member| is_checked(member, classes)),
        ty => !has_variables(ty),
    }
}

/// The rows by which something is made of a class, as what a type says of the whole allows: of a union's, those of the one member that may be
/// meant.
fn converts_from(ty: &Ty, classes: &Classes) -> Vec<Conversion> {
    let mut made: Vec<Conversion> = Vec::new();
    for row in TABLE.iter().filter(|row| ty.members().iter().any(|member| *member == Ty::class(row.to))) {
        for from in row.from {
            let way = convertible(&Ty::class(from), ty, classes);
            if matches!(way, Way::Converted | Way::MayFail) && made.iter().all(|one| one.from != *from) {
                let (from, rule) = ((*from).to_owned(), row.rule.to_owned());
                made.push(Conversion { from, may_fail: way == Way::MayFail, rule });
            }
        }
    }
    made
}

/// Describes a type; `classes` are those that are known.
pub fn describe(ty: &Ty, classes: &Classes) -> Description {
    let spelled = ty.to_string();
    let class = classes.get(&spelled);
    let fields = class.into_iter().flat_map(|class| &class.fields).map(|field| Part {
        name: field.name.clone(),
        ty: field.ty.0.clone(),
        required: field.required,
    });
    Description {
        converts_from: converts_from(ty, classes),
        kind: ty.root().to_owned(),
        parts: ty.parts().into_iter().map(ToString::to_string).collect(),
        fields: fields.collect(),
        members: class.into_iter().flat_map(|class| &class.members).map(|member| member.name.clone()).collect(),
        optional: qflow_types::assignable(&Ty::None, ty).is_ok(),
        checked: is_checked(ty, classes),
        ty: spelled,
    }
}

#[cfg(test)]
mod tests {
    use qflow_python_source::annotation;

    use super::*;

    #[test]
    fn what_is_said_to_be_made_is_made() {
        let from = |text: &str| {
            let described = describe(&text.parse().unwrap(), &Classes::new()).converts_from;
            described.into_iter().map(|one| (one.from, one.may_fail)).collect::<Vec<_>>()
        };
        let may = |name: &str| (name.to_owned(), true);
        assert!(from("int").contains(&may("str")) && from("int | None").contains(&may("str")));
        // Which of the two a Decimal is to be nobody says, and a text is one already.
        let either = from("int | str | None");
        assert!(either.iter().all(|(name, _)| name != "Decimal" && name != "str"), "{either:?}");
        for ty in ["int", "float | None", "date | Decimal", "str", "bool | int"] {
            for (name, _) in from(ty) {
                let way = convertible(&Ty::class(&name), &ty.parse().unwrap(), &Classes::new());
                assert!(matches!(way, Way::Converted | Way::MayFail), "{name} → {ty}");
            }
        }
    }

    #[test]
    fn what_only_python_knows_is_not_said_to_be_checked() {
        let checked = |text: &str| {
            let ty: Ty = text.parse().unwrap_or_else(|_| annotation(text).unwrap());
            describe(&ty, &Classes::new()).checked
        };
        for ty in ["int", "list[Any]", "str | None", "DataFrame", "tuple[int, ...]", "Literal[1]"] {
            assert!(checked(ty), "{ty}");
        }
        for ty in ["Any", "Row", "Row | None", "Box[int]"] {
            assert!(!checked(ty), "{ty}");
        }
    }
}
