//! Whether a value of one type may go where another is declared, and if not, why. Pure.
//!
//! The rules are those of the Python typing specification. Values are copied between nodes, so a consumer cannot change what
//! its producer holds: containers are covariant at an edge, where the specification has mutable ones invariant.

use qflow_model::class::{Class, ClassKind, Classes};

use crate::ty::{Literal, Ty};

/// Why a value of one type does not go where another is declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Reason(pub String);

/// Whether `source` may go where `target` is declared, of classes whose names alone are known.
pub fn assignable(source: &Ty, target: &Ty) -> Result<(), Reason> {
    assignable_among(source, target, &Classes::new())
}

/// The same where the user's classes are known.
pub fn assignable_among(source: &Ty, target: &Ty, classes: &Classes) -> Result<(), Reason> {
    Among { classes, assumed: Vec::new() }.goes(source, target)
}

/// The lattice with the user's classes in it.
struct Among<'a> {
    classes: &'a Classes,
    /// Pairs of records that are being compared: one that comes up within itself holds where the rest does.
    assumed: Vec<(String, String)>,
}

impl Among<'_> {
    fn goes(&mut self, source: &Ty, target: &Ty) -> Result<(), Reason> {
        match self.known(source, target) {
            Some(answer) => answer,
            None => self.by_rule(source, target),
        }
    }

    /// What the record of a class says; nothing where it says nothing of its own.
    fn known(&mut self, source: &Ty, target: &Ty) -> Option<Result<(), Reason>> {
        let (Ty::Class(name), classes) = (source, self.classes) else { return None };
        let class = classes.get(name).filter(|_| source != target)?;
        let fields = || class.fields.iter().map(|field| field.ty.0.parse().unwrap_or(Ty::Any)).collect::<Vec<Ty>>();
        match (class.kind, target) {
            (_, Ty::Class(of)) if class.bases.contains(of) => Some(narrower(name, class, of, classes.get(of))),
            (ClassKind::TypedDict, Ty::Class(of)) => {
                let other = classes.get(of).filter(|other| other.kind == ClassKind::TypedDict);
                match other {
                    Some(other) => Some(self.structure((name, class), (of, other))),
                    None => matches!(of.as_str(), "Mapping" | "Collection" | "Iterable").then_some(Ok(())),
                }
            }
            (ClassKind::TypedDict, Ty::Generic(of, accepted)) => match (of.as_str(), accepted.as_slice()) {
                ("Mapping", [key, item]) => {
                    let all = self.goes(&Ty::class("str"), key);
                    Some(all.and_then(|()| fields().iter().try_for_each(|field| self.goes(field, item))))
                }
                ("Collection" | "Iterable", [key]) => Some(self.goes(&Ty::class("str"), key)),
                _ => None,
            },
            (ClassKind::NamedTuple, Ty::Tuple(_) | Ty::Tuples(_) | Ty::Generic(..)) => {
                Some(self.goes(&Ty::Tuple(fields()), target))
            }
            (ClassKind::NamedTuple, Ty::Class(of)) if of == "tuple" || is_abstract_sequence(of) => Some(Ok(())),
            (ClassKind::Enum, Ty::Class(of)) => {
                let bases = class.bases.iter().filter(|base| !classes.contains_key(*base));
                bases
                    .map(|base| Ty::class(base))
                    .any(|base| self.by_rule(&base, &Ty::class(of)).is_ok())
                    .then_some(Ok(()))
            }
            _ => None,
        }
    }

    /// One `TypedDict` goes for another that has no key more, each of its type; what must be there must be there.
    fn structure(&mut self, source: (&str, &Class), target: (&str, &Class)) -> Result<(), Reason> {
        let pair = (source.0.to_owned(), target.0.to_owned());
        if self.assumed.contains(&pair) {
            return Ok(());
        }
        self.assumed.push(pair);
        let goes = target.1.fields.iter().try_for_each(|wanted| {
            let Some(field) = source.1.fields.iter().find(|field| field.name == wanted.name) else {
                return if wanted.required { Err(Reason(format!("it has no key {:?}", wanted.name))) } else { Ok(()) };
            };
            if wanted.required && !field.required {
                return Err(Reason(format!("its key {:?} may be missing", wanted.name)));
            }
            let ty = |text: &str| text.parse().unwrap_or(Ty::Any);
            self.goes(&ty(&field.ty.0), &ty(&wanted.ty.0))
                .map_err(|reason| Reason(format!("at key {:?}: {reason}", wanted.name)))
        });
        self.assumed.pop();
        goes
    }

    fn by_rule(&mut self, source: &Ty, target: &Ty) -> Result<(), Reason> {
        match (source, target) {
            // Special types: `Any` is consistent with everything, `Never` is a subtype of everything.
            (Ty::Any | Ty::Never, _) | (_, Ty::Any) => Ok(()),
            _ if source == target => Ok(()),
            // Unions: every member of the source must go; into a union, one of its members must take it.
            (Ty::Union(members), _) => members.iter().try_for_each(|member| self.goes(member, target)),
            (_, Ty::Union(members)) => {
                if members.iter().any(|member| self.goes(source, member).is_ok()) {
                    return Ok(());
                }
                Err(Reason(format!("{source} is none of {target}")))
            }
            (Ty::None, _) => Err(Reason(format!("None not accepted by {target}; add Optional or handle it"))),
            // Literals: a literal is a subtype of its value's class; a set of literals goes into a larger one.
            (Ty::Literal(values), Ty::Literal(accepted)) => match values.iter().find(|value| !accepted.contains(value))
            {
                None => Ok(()),
                Some(value) => Err(Reason(format!("{value} is not one of {target}"))),
            },
            (Ty::Literal(values), _) => values.iter().try_for_each(|value| self.goes(&class_of(value), target)),
            (Ty::Class(source_name), Ty::Class(target_name)) => class(source_name, target_name),
            // A text is made of texts, bytes of numbers.
            (Ty::Class(name), Ty::Generic(of, accepted)) if matches!(name.as_str(), "str" | "bytes") => {
                class(name, of)?;
                let item = Ty::class(if name == "str" { "str" } else { "int" });
                accepted.first().map_or(Ok(()), |accepted| self.goes(&item, accepted))
            }
            // A bare container is one of `Any`.
            (Ty::Class(name), Ty::Generic(of, _)) | (Ty::Generic(name, _), Ty::Class(of)) => class(name, of),
            (Ty::Generic(name, parameters), Ty::Generic(of, accepted)) => {
                class(name, of)?;
                if parameters.len() != accepted.len() {
                    // `dict[K, V]` as an iterable is one of its keys.
                    return match (parameters.first(), accepted.first()) {
                        (Some(key), Some(item)) => self.goes(key, item),
                        _ => Err(Reason(format!("{source} is not {target}"))),
                    };
                }
                parameters.iter().zip(accepted).try_for_each(|(p, a)| {
                    self.goes(p, a).map_err(|reason| Reason(format!("{source} is not {target}: {reason}")))
                })
            }
            // Tuples: of the same shape, or of any length where the target says so.
            (Ty::Tuple(items), Ty::Tuple(accepted)) if items.len() != accepted.len() => {
                Err(Reason(format!("tuple length {} ≠ {}", items.len(), accepted.len())))
            }
            (Ty::Tuple(items), Ty::Tuple(accepted)) => {
                items.iter().zip(accepted).try_for_each(|(i, a)| self.goes(i, a))
            }
            (Ty::Tuple(items), Ty::Tuples(accepted)) => items.iter().try_for_each(|item| self.goes(item, accepted)),
            (Ty::Tuples(item), Ty::Tuples(accepted)) => self.goes(item, accepted),
            (Ty::Tuple(_) | Ty::Tuples(_), Ty::Generic(of, accepted)) if is_abstract_sequence(of) => {
                let item = source.element().unwrap_or(Ty::Any);
                accepted.first().map_or(Ok(()), |accepted| self.goes(&item, accepted))
            }
            (Ty::Tuple(_) | Ty::Tuples(_), Ty::Class(of)) if is_abstract_sequence(of) => Ok(()),
            _ => Err(Reason(format!("{source} is not {target}"))),
        }
    }
}

/// Whether a class goes where one that it is derived from is declared: a value is rebuilt as declared, so one with more is not.
fn narrower(name: &str, class: &Class, of: &str, base: Option<&Class>) -> Result<(), Reason> {
    let more = base.map_or(0, |base| class.fields.len().saturating_sub(base.fields.len()));
    let records = matches!(class.kind, ClassKind::Dataclass | ClassKind::Model);
    if records && more > 0 {
        return Err(Reason(format!("{name} has fields that {of} has not, and they would be lost")));
    }
    Ok(())
}

fn is_abstract_sequence(name: &str) -> bool {
    matches!(name, "Sequence" | "Iterable" | "Collection")
}

fn class_of(value: &Literal) -> Ty {
    Ty::class(match value {
        Literal::Bool(_) => "bool",
        Literal::Int(_) => "int",
        Literal::Text(_) => "str",
    })
}

/// Subclasses among the classes that Qflow knows, and the promotion int → float → complex.
fn class(source: &str, target: &str) -> Result<(), Reason> {
    let goes = source == target
        || match target {
            "complex" => matches!(source, "float" | "int" | "bool"),
            "float" => matches!(source, "int" | "bool"),
            "int" => source == "bool",
            "date" => source == "datetime",
            "Sequence" => matches!(source, "list" | "str" | "bytes"),
            "Mapping" => source == "dict",
            "Set" => matches!(source, "set" | "frozenset"),
            "Path" => matches!(source, "File" | "Folder"),
            "Collection" | "Iterable" => {
                matches!(
                    source,
                    "list" | "set" | "frozenset" | "dict" | "str" | "bytes" | "Sequence" | "Mapping" | "Set"
                ) || (target == "Iterable" && source == "Collection")
            }
            _ => false,
        };
    if goes { Ok(()) } else { Err(Reason(format!("{source} is not {target}"))) }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Classes as a submission has them.
    fn classes() -> Classes {
        let record = |kind: &str, fields: &[(&str, &str, bool)], bases: &[&str]| {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, ty, required)| json!({"name": name, "type": ty, "required": required}))
                .collect();
            json!({"name": "w.C", "kind": kind, "fields": fields, "bases": bases})
        };
        serde_json::from_value(json!({
            "A": record("typed_dict", &[("x", "int", true)], &[]),
            "D": record("typed_dict", &[("x", "float", true)], &[]),
            "B": record("typed_dict", &[("x", "int", true), ("y", "str", true)], &[]),
            "Some": record("typed_dict", &[("x", "int", false)], &[]),
            "Tree": record("typed_dict", &[("of", "list[Tree]", true)], &[]),
            "Wood": record("typed_dict", &[("of", "list[Wood]", true)], &[]),
            "Point": record("named_tuple", &[("x", "int", true), ("y", "str", true)], &[]),
            "Level": {"name": "w.Level", "kind": "enum", "members": [{"name": "LOW", "value": 1}], "bases": ["int"]},
            "Base": record("dataclass", &[("a", "int", true)], &[]),
            "Child": record("dataclass", &[("a", "int", true)], &["Base"]),
            "Larger": record("dataclass", &[("a", "int", true), ("b", "int", true)], &["Base"]),
        }))
        .unwrap()
    }

    #[test]
    fn classes_go_by_what_they_are() {
        for (source, target, why) in [
            ("Child", "Base", None),
            ("Base", "Child", Some("Base is not Child")),
            ("Larger", "Base", Some("Larger has fields that Base has not, and they would be lost")),
            ("Point", "tuple[int, str]", None),
            ("Point", "tuple[int, int]", Some("str is not int")),
            ("Point", "Sequence[int | str]", None),
            ("Level", "int", None),
            ("Level", "float", None),
            ("Level", "str", Some("Level is not str")),
            ("list[Level]", "list[int]", None),
            ("A", "Mapping[str, object]", None),
            ("A", "Mapping[str, str]", Some("int is not str")),
            ("A", "dict[str, int]", Some("A is not dict")),
            ("A", "D", None),
            ("D", "A", Some("at key \"x\": float is not int")),
            ("B", "A", None),
            ("A", "B", Some("it has no key \"y\"")),
            ("Some", "A", Some("its key \"x\" may be missing")),
            ("A", "Some", None),
            ("Tree", "Wood", None),
            ("dict[str, int]", "A", Some("dict is not A")),
        ] {
            let reason = assignable_among(&source.parse().unwrap(), &target.parse().unwrap(), &classes()).err();
            assert_eq!(reason.map(|reason| reason.0).as_deref(), why, "{source} → {target}");
        }
    }

    fn why_not(source: &str, target: &str) -> Option<String> {
        assignable(&source.parse().unwrap(), &target.parse().unwrap()).err().map(|reason| reason.to_string())
    }

    #[test]
    fn what_goes_goes() {
        for (source, target) in [
            ("int", "float"),
            ("bool", "int"),
            ("float", "complex"),
            ("int", "int | None"),
            ("Any", "int"),
            ("int", "Any"),
            ("Never", "int"),
            ("list[int]", "list[float]"),
            ("list[int]", "list"),
            ("list", "list[int]"),
            ("dict[str, int]", "Mapping[str, float]"),
            ("list[str]", "Sequence[str | None]"),
            ("tuple[int, int]", "tuple[float, ...]"),
            ("tuple[int, ...]", "Sequence[int]"),
            ("Literal[\"a\"]", "str"),
            ("Literal[\"a\"]", "Literal[\"a\", \"b\"]"),
            ("datetime", "date"),
            ("Outcome[int]", "Outcome[float]"),
            ("list[Outcome[int]]", "list[Outcome]"),
        ] {
            assert_eq!(why_not(source, target), None, "{source} → {target}");
        }
    }

    #[test]
    fn what_does_not_go_says_why() {
        for (source, target, why) in [
            ("float", "int", "float is not int"),
            ("int | None", "int", "None not accepted by int; add Optional or handle it"),
            ("tuple[int, int, int]", "tuple[int, int]", "tuple length 3 ≠ 2"),
            ("list[str]", "list[int]", "list[str] is not list[int]: str is not int"),
            ("Literal[\"c\"]", "Literal[\"a\", \"b\"]", "\"c\" is not one of Literal[\"a\", \"b\"]"),
            ("str", "int | float", "str is none of float | int"),
            ("dict[str, float]", "list[dict[str, float]]", "dict is not list"),
            ("Outcome[str]", "Outcome[int]", "Outcome[str] is not Outcome[int]: str is not int"),
            ("Outcome[int]", "int", "Outcome is not int"),
        ] {
            assert_eq!(why_not(source, target).as_deref(), Some(why), "{source} → {target}");
        }
    }
}
