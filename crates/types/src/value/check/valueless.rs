//! Types that no value is of: they go among annotations, and nothing of them has a form.

use std::collections::BTreeMap;

use qflow_model::class::{ClassKind, Classes, Field};

use super::{goes, plan::KINDS};
use crate::{
    builtin::{derived, is_opaque},
    ty::Ty,
    value::field_type,
};

/// A part of a type that no value is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Valueless {
    /// The part.
    pub part: Ty,
    /// The field that is declared so, `Order.lines`, where it is one of a class's.
    pub field: Option<String>,
}

/// The part of a type that nothing of which has a form, so that no value of the whole is made; none where some are. Objects of the user's
/// classes have all of their fields, but those that need not be given where the class itself gives something else.
pub fn valueless(ty: &Ty, classes: &Classes) -> Option<Valueless> {
    within(ty, classes, &mut Seen::default())
}

/// Classes within classes that are looked into: a stack's bound, far past what anybody writes.
const DEPTH: u32 = 250;

/// What was found of classes; of those that are looked into, nothing yet: one that holds itself says nothing of itself.
#[derive(Default)]
struct Seen<'c> {
    found: BTreeMap<&'c str, Option<Valueless>>,
    depth: u32,
}

fn within<'c>(ty: &Ty, classes: &'c Classes, seen: &mut Seen<'c>) -> Option<Valueless> {
    match ty {
        Ty::Any | Ty::Variable(_) | Ty::Never | Ty::None | Ty::Literal(_) => None,
        // An error has a form, whatever the value is of.
        Ty::Class(_) | Ty::Generic(..) if ty.outcome().is_some() => None,
        Ty::Union(members) => {
            let found: Option<Vec<_>> = members.iter().map(|member| within(member, classes, seen)).collect();
            found?.into_iter().next()
        }
        Ty::Class(name) if classes.contains_key(name) => {
            let (name, class) = classes.get_key_value(name)?;
            if let Some(found) = seen.found.get(name.as_str()) {
                return found.clone();
            }
            if seen.depth == DEPTH {
                return None;
            }
            seen.found.insert(name, None);
            seen.depth += 1;
            let is_there =
                |field: &&Field| field.required || (class.kind != ClassKind::TypedDict && field.default.is_none());
            let found = class.fields.iter().filter(is_there).find_map(|field| {
                let found = within(&field_type(field, classes), classes, seen)?;
                Some(Valueless { field: found.field.or_else(|| Some(format!("{name}.{}", field.name))), ..found })
            });
            seen.depth -= 1;
            seen.found.insert(name, found.clone());
            found
        }
        Ty::Class(name) | Ty::Generic(name, _) if !has_form(name) => Some(Valueless { part: ty.clone(), field: None }),
        Ty::Class(_) => None,
        Ty::Generic(name, parameters) => {
            parameters.iter().filter(|_| derived(name, "Iterable")).find_map(|part| within(part, classes, seen))
        }
        Ty::Tuple(_) | Ty::Tuples(_) | Ty::Spread(..) => {
            ty.parts().into_iter().find_map(|part| within(part, classes, seen))
        }
    }
}

/// Whether something of a class has a form; of what is not known here that is its own to say.
fn has_form(name: &str) -> bool {
    let is_kind = || KINDS.iter().any(|kind| goes(kind, *kind == "dict", name));
    !is_opaque(name) || name == "OutcomeError" || is_kind()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_type_without_values_is_found_wherever_it_is() {
        for (ty, found) in [
            ("deque[int]", "deque[int]"),
            ("list[Fraction]", "Fraction"),
            ("dict[str, tuple[int, range]]", "range"),
            ("tuple[bytearray, ...]", "bytearray"),
            ("KeysView[str] | ValuesView[str, int]", "KeysView[str]"),
            ("timezone", "timezone"),
            ("ValueError", "ValueError"),
            ("type[int]", "type[int]"),
            ("PureWindowsPath", "PureWindowsPath"),
            ("memoryview", "memoryview"),
            ("ChainMap[str, int]", "ChainMap[str, int]"),
            ("slice", "slice"),
        ] {
            let ty: Ty = ty.parse().unwrap();
            let part = valueless(&ty, &Classes::new()).map(|found| found.part.to_string());
            assert_eq!(part.as_deref(), Some(found), "{ty}");
        }
    }

    #[test]
    fn a_type_without_values_is_found_in_fields_that_objects_have() {
        let field = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": true});
        let open = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": false});
        let given = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": false, "default": null});
        let classes: Classes = serde_json::from_value(json!({
            "Order": {"name": "w.Order", "kind": "dataclass", "fields": [field("item", "str"), field("lines", "list[deque[int]]")]},
            "Queue": {"name": "w.Queue", "kind": "dataclass", "fields": [open("waiting", "deque[int]")]},
            "Maybe": {"name": "w.Maybe", "kind": "dataclass", "fields": [given("waiting", "deque[int]")]},
            "Row": {"name": "w.Row", "kind": "typed_dict", "fields": [open("waiting", "deque[int]")]},
            "Tree": {"name": "w.Tree", "kind": "dataclass", "fields": [field("next", "Tree | None"), field("order", "Order")]},
            "Loop": {"name": "w.Loop", "kind": "dataclass", "fields": [field("next", "list[Loop]")]},
        }))
        .unwrap();
        for (ty, found) in [
            ("Order", Some("deque[int] of Order.lines")),
            ("list[Order]", Some("deque[int] of Order.lines")),
            ("Queue", Some("deque[int] of Queue.waiting")),
            ("Tree", Some("deque[int] of Order.lines")),
            ("Order | None", None),
            ("Maybe", None),
            ("Row", None),
            ("Loop", None),
        ] {
            let told = valueless(&ty.parse().unwrap(), &classes);
            let told = told.map(|told| format!("{} of {}", told.part, told.field.unwrap_or_default()));
            assert_eq!(told.as_deref(), found, "{ty}");
        }
    }

    #[test]
    fn classes_that_hold_many_of_each_other_are_looked_into_once() {
        let field = |name: &str, ty: String| json!({"name": name, "type": ty, "required": true});
        let class = |level: u32| {
            let of = if level < 5_000 { format!("C{}", level + 1) } else { "range".to_owned() };
            let fields = [field("a", of.clone()), field("b", of)];
            (format!("C{level}"), json!({"name": format!("w.C{level}"), "kind": "dataclass", "fields": fields}))
        };
        let classes: serde_json::Map<_, _> = (0..=5_000).map(class).collect();
        let classes: Classes = serde_json::from_value(classes.into()).unwrap();
        let told = |name: &str| valueless(&Ty::class(name), &classes).map(|told| told.part.to_string());
        assert_eq!(told("C4960").as_deref(), Some("range"), "forty levels of two");
        assert_eq!(told("C0"), None, "further than anybody looks");
    }

    #[test]
    fn of_all_others_there_are_values() {
        let names = [
            "Any",
            "None",
            "object",
            "int",
            "float",
            "complex",
            "str",
            "bytes",
            "Decimal",
            "date",
            "datetime",
            "time",
            "timedelta",
            "UUID",
            "Path",
            "PosixPath",
            "PurePosixPath",
            "PurePath",
            "PathLike[str]",
            "File",
            "Folder",
            "DataFrame",
            "Series[int]",
            "ndarray[Any, dtype[float64]]",
            "list[int]",
            "tuple[int, ...]",
            "Set[int]",
            "Counter[str]",
            "OrderedDict[str, int]",
            "defaultdict[str, int]",
            "Mapping[str, object]",
            "Sized",
            "Hashable",
            "Buffer",
            "ByteString",
            "SupportsInt",
            "SupportsComplex",
            "SupportsBytes",
            "Reversible[int]",
            "Outcome[range]",
            "OutcomeError",
            "Pickle[range]",
            "deque[int] | None",
            "Row",
            "Box[range]",
            "Literal[1]",
        ];
        for ty in names {
            assert_eq!(valueless(&ty.parse().unwrap(), &Classes::new()), None, "{ty}");
        }
    }
}
