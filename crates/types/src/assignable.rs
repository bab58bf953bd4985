//! Whether a value of one type may go where another is declared, and if not, why. Pure.
//!
//! The rules are those of the Python typing specification. Values are copied between nodes, so a consumer cannot change what
//! its producer holds: containers are covariant at an edge, where the specification has mutable ones invariant.

use crate::ty::{Literal, Ty};

/// Why a value of one type does not go where another is declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Reason(pub String);

/// Whether `source` may go where `target` is declared.
pub fn assignable(source: &Ty, target: &Ty) -> Result<(), Reason> {
    match (source, target) {
        // Special types: `Any` is consistent with everything, `Never` is a subtype of everything.
        (Ty::Any | Ty::Never, _) | (_, Ty::Any) => Ok(()),
        _ if source == target => Ok(()),
        // Unions: every member of the source must go; into a union, one of its members must take it.
        (Ty::Union(members), _) => members.iter().try_for_each(|member| assignable(member, target)),
        (_, Ty::Union(members)) => {
            if members.iter().any(|member| assignable(source, member).is_ok()) {
                return Ok(());
            }
            Err(Reason(format!("{source} is none of {target}")))
        }
        (Ty::None, _) => Err(Reason(format!("None not accepted by {target}; add Optional or handle it"))),
        // Literals: a literal is a subtype of its value's class; a set of literals goes into a larger one.
        (Ty::Literal(values), Ty::Literal(accepted)) => match values.iter().find(|value| !accepted.contains(value)) {
            None => Ok(()),
            Some(value) => Err(Reason(format!("{value} is not one of {target}"))),
        },
        (Ty::Literal(values), _) => values.iter().try_for_each(|value| assignable(&class_of(value), target)),
        (Ty::Class(source_name), Ty::Class(target_name)) => class(source_name, target_name),
        // A bare container is one of `Any`.
        (Ty::Class(name), Ty::Generic(of, _)) | (Ty::Generic(name, _), Ty::Class(of)) => class(name, of),
        (Ty::Generic(name, parameters), Ty::Generic(of, accepted)) => {
            class(name, of)?;
            if parameters.len() != accepted.len() {
                // `dict[K, V]` as an iterable is one of its keys.
                return match (parameters.first(), accepted.first()) {
                    (Some(key), Some(item)) => assignable(key, item),
                    _ => Err(Reason(format!("{source} is not {target}"))),
                };
            }
            parameters.iter().zip(accepted).try_for_each(|(p, a)| {
                assignable(p, a).map_err(|reason| Reason(format!("{source} is not {target}: {reason}")))
            })
        }
        // Tuples: of the same shape, or of any length where the target says so.
        (Ty::Tuple(items), Ty::Tuple(accepted)) if items.len() != accepted.len() => {
            Err(Reason(format!("tuple length {} ≠ {}", items.len(), accepted.len())))
        }
        (Ty::Tuple(items), Ty::Tuple(accepted)) => items.iter().zip(accepted).try_for_each(|(i, a)| assignable(i, a)),
        (Ty::Tuple(items), Ty::Tuples(accepted)) => items.iter().try_for_each(|item| assignable(item, accepted)),
        (Ty::Tuples(item), Ty::Tuples(accepted)) => assignable(item, accepted),
        (Ty::Tuple(_) | Ty::Tuples(_), Ty::Generic(of, accepted)) if is_abstract_sequence(of) => {
            let item = source.element().unwrap_or(Ty::Any);
            accepted.first().map_or(Ok(()), |accepted| assignable(&item, accepted))
        }
        (Ty::Tuple(_) | Ty::Tuples(_), Ty::Class(of)) if is_abstract_sequence(of) => Ok(()),
        _ => Err(Reason(format!("{source} is not {target}"))),
    }
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
    use super::*;

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
