//! Names of the modules that types are written with: which of them are types, alone or with others in brackets, and which are not there.

use ruff_text_size::TextRange;

use super::{NotAType, wrong};
use crate::{options, scope::star};

/// Forms that say nothing without what they are about.
const NEEDS_MORE: &[&str] = &[
    "Annotated",
    "Final",
    "Literal",
    "NotRequired",
    "Optional",
    "ReadOnly",
    "Required",
    "TypeGuard",
    "TypeIs",
    "Union",
    "Unpack",
];
/// What classes and checkers are written with; no value is of it.
const NO_TYPES: &[&str] = &[
    "ClassVar",
    "Concatenate",
    "ForwardRef",
    "Generic",
    "InitVar",
    "KW_ONLY",
    "NewType",
    "NoDefault",
    "ParamSpec",
    "ParamSpecArgs",
    "ParamSpecKwargs",
    "Protocol",
    "Self",
    "TYPE_CHECKING",
    "TypeAlias",
    "TypeAliasType",
    "TypeVar",
    "TypeVarTuple",
    "MAXYEAR",
    "MINYEAR",
    "UTC",
];
/// What is said of a field or a name, and of no value.
const QUALIFIERS: &[&str] = &["Final", "NotRequired", "ReadOnly", "Required"];
/// Types whose names begin with a small letter.
const SMALL: &[&str] = &["date", "datetime", "defaultdict", "deque", "time", "timedelta", "timezone", "tzinfo"];

/// Whether a name stands for `str` or `bytes`, the same throughout a function.
pub(super) fn is_any_text(dotted: &str) -> bool {
    matches!(dotted, "typing.AnyStr" | "typing_extensions.AnyStr")
}

/// Refuses a name that is no type by itself.
pub(super) fn alone(dotted: &str, range: TextRange) -> Result<(), NotAType> {
    let Some(name) = known(dotted, range)? else { return Ok(()) };
    if NO_TYPES.contains(&name) {
        return Err(no_type(dotted, range));
    }
    if NEEDS_MORE.contains(&name) {
        return Err(wrong(range, format!("`{dotted}` says nothing without a type in brackets")));
    }
    Ok(())
}

/// Refuses a name that is no type with others in brackets.
pub(super) fn with_types(dotted: &str, range: TextRange) -> Result<(), NotAType> {
    match known(dotted, range)? {
        Some(name) if NO_TYPES.contains(&name) => Err(no_type(dotted, range)),
        Some(name) if QUALIFIERS.contains(&name) => {
            let message = format!("`{dotted}` stands around the type of a field, and says nothing of a value");
            Err(NotAType { remedy: "write the type in its brackets alone", ..wrong(range, message) })
        }
        _ => Ok(()),
    }
}

/// The name of one of these modules' own; nothing of another module.
fn known(dotted: &str, range: TextRange) -> Result<Option<&str>, NotAType> {
    let Some((module, name)) = dotted.rsplit_once('.') else { return Ok(None) };
    if module == "dataclasses" {
        return Ok(matches!(name, "InitVar" | "KW_ONLY").then_some(name));
    }
    let Some(mut names) = star::names(module) else {
        // `datetime.datetime.now`: a part of a class of theirs.
        return match module.rsplit_once('.') {
            Some((home, class)) if star::names(home).is_some_and(|mut names| names.any(|known| known == class)) => {
                Err(no_type(dotted, range))
            }
            _ => Ok(None),
        };
    };
    let is_there = names.any(|known| known == name);
    if is_there && name.starts_with(|c: char| c.is_ascii_lowercase()) && !SMALL.contains(&name) {
        return Err(no_type(dotted, range));
    }
    if is_there {
        return Ok(Some(name));
    }
    let near = options::nearest(name, star::names(module).into_iter().flatten());
    let near = near.map_or_else(String::new, |near| format!("; it has `{near}`"));
    let remedy = "write a name that the module has, or import the type from where it is";
    Err(NotAType { code: "unknown-type", remedy, ..wrong(range, format!("`{module}` has no `{name}`{near}")) })
}

fn no_type(dotted: &str, range: TextRange) -> NotAType {
    wrong(range, format!("`{dotted}` is no type that a value has"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_no_types_are_told_from_those_that_are() {
        let range = TextRange::default();
        for dotted in [
            "typing.List",
            "datetime.date",
            "collections.deque",
            "numpy.float64",
            "pandas.DataFrame",
            "a.Optional",
            "typing.Any",
        ] {
            assert!(alone(dotted, range).is_ok(), "{dotted}");
        }
        for (dotted, why) in [
            ("typing.Lsit", "`typing` has no `Lsit`; it has `List`"),
            ("datetime.now", "`datetime` has no `now`"),
            ("datetime.datetime.now", "`datetime.datetime.now` is no type that a value has"),
            ("typing.cast", "`typing.cast` is no type that a value has"),
            ("typing.Optional", "`typing.Optional` says nothing without a type in brackets"),
            ("typing_extensions.Self", "`typing_extensions.Self` is no type that a value has"),
            ("dataclasses.InitVar", "`dataclasses.InitVar` is no type that a value has"),
        ] {
            let told = alone(dotted, range).unwrap_err().message;
            assert!(told.starts_with(why), "{dotted}: {told}");
        }
        assert!(with_types("typing.Optional", range).is_ok());
        assert!(with_types("typing.ClassVar", range).is_err());
        let told = with_types("typing_extensions.NotRequired", range).unwrap_err().message;
        let why = "`typing_extensions.NotRequired` stands around the type of a field, and says nothing of a value";
        assert_eq!(told, why);
    }
}
