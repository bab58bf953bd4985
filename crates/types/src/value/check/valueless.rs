//! Types that no value is of: they go among annotations, and nothing of them has a form.

use super::{goes, plan::KINDS};
use crate::{
    builtin::{derived, is_opaque},
    ty::Ty,
};

/// The part of a type that nothing of which has a form, so that no value of the whole is made; none where some are.
pub fn valueless(ty: &Ty) -> Option<&Ty> {
    match ty {
        Ty::Any | Ty::Variable(_) | Ty::Never | Ty::None | Ty::Literal(_) => None,
        // An error has a form, whatever the value is of.
        Ty::Class(_) | Ty::Generic(..) if ty.outcome().is_some() => None,
        Ty::Union(members) => {
            let found: Option<Vec<&Ty>> = members.iter().map(valueless).collect();
            found?.first().copied()
        }
        Ty::Class(name) | Ty::Generic(name, _) if !has_form(name) => Some(ty),
        Ty::Class(_) => None,
        Ty::Generic(name, parameters) => {
            parameters.iter().filter(|_| derived(name, "Iterable")).find_map(|part| valueless(part))
        }
        Ty::Tuple(_) | Ty::Tuples(_) | Ty::Spread(..) => ty.parts().into_iter().find_map(valueless),
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
            assert_eq!(valueless(&ty).map(ToString::to_string).as_deref(), Some(found), "{ty}");
        }
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
            assert_eq!(valueless(&ty.parse().unwrap()), None, "{ty}");
        }
    }
}
