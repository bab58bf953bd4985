//! What the elements of arrays, series and columns may be. Pure.
//!
//! A declaration names a set of them: `float64` one, numpy's `floating` all floats, Python's `float` what goes where a `float` is
//! declared. So one declaration goes for another where its set is within the other's, and an element goes where it is in the set. The names
//! are numpy's scalar types (<https://numpy.org/doc/stable/reference/arrays.scalars.html>), the extension types of pandas and pandera, and
//! Python's own classes.

use crate::ty::Ty;

/// A set of kinds of elements, a bit each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dtypes(u32);

/// The kinds, in the order of their bits, by the names that numpy and Arrow have for them.
const KINDS: [&str; 27] = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float16",
    "float32",
    "float64",
    "float128",
    "complex64",
    "complex128",
    "complex256",
    "str",
    "bytes",
    "datetime64",
    "timedelta64",
    "date",
    "time",
    "decimal",
    "category",
    "void",
    "object",
    "null",
];

/// Declarations that stand for more than one kind, or for one of another name; numpy's, then those of pandas and pandera, then Python's.
const NAMES: &[(&str, &[&str])] = &[
    ("bool_", &["bool"]),
    ("byte", &["int8"]),
    ("short", &["int16"]),
    ("intc", &["int32"]),
    ("int_", &["int64"]),
    ("intp", &["int64"]),
    ("long", &["int64"]),
    ("longlong", &["int64"]),
    ("ubyte", &["uint8"]),
    ("ushort", &["uint16"]),
    ("uintc", &["uint32"]),
    ("uint", &["uint64"]),
    ("uintp", &["uint64"]),
    ("ulong", &["uint64"]),
    ("ulonglong", &["uint64"]),
    ("half", &["float16"]),
    ("single", &["float32"]),
    ("double", &["float64"]),
    ("longdouble", &["float128", "float64"]),
    ("csingle", &["complex64"]),
    ("cdouble", &["complex128"]),
    ("clongdouble", &["complex256", "complex128"]),
    ("str_", &["str"]),
    ("bytes_", &["bytes"]),
    // As numpy 1 has them.
    ("float_", &["float64"]),
    ("complex_", &["complex128"]),
    ("unicode_", &["str"]),
    ("string_", &["bytes"]),
    ("signedinteger", &["int8", "int16", "int32", "int64"]),
    ("unsignedinteger", &["uint8", "uint16", "uint32", "uint64"]),
    ("integer", &["signedinteger", "unsignedinteger"]),
    ("floating", &["float16", "float32", "float64", "float128"]),
    ("complexfloating", &["complex64", "complex128", "complex256"]),
    ("inexact", &["floating", "complexfloating"]),
    ("number", &["integer", "inexact"]),
    ("character", &["str", "bytes"]),
    ("flexible", &["character", "void"]),
    ("BooleanDtype", &["bool"]),
    ("Bool", &["bool"]),
    ("Int8Dtype", &["int8"]),
    ("Int16Dtype", &["int16"]),
    ("Int32Dtype", &["int32"]),
    ("Int64Dtype", &["int64"]),
    ("UInt8Dtype", &["uint8"]),
    ("UInt16Dtype", &["uint16"]),
    ("UInt32Dtype", &["uint32"]),
    ("UInt64Dtype", &["uint64"]),
    ("Float32Dtype", &["float32"]),
    ("Float64Dtype", &["float64"]),
    ("StringDtype", &["str"]),
    ("DatetimeTZDtype", &["datetime64"]),
    ("CategoricalDtype", &["category"]),
    ("Int8", &["int8"]),
    ("Int16", &["int16"]),
    ("Int32", &["int32"]),
    ("Int64", &["int64"]),
    ("UInt8", &["uint8"]),
    ("UInt16", &["uint16"]),
    ("UInt32", &["uint32"]),
    ("UInt64", &["uint64"]),
    ("Float16", &["float16"]),
    ("Float32", &["float32"]),
    ("Float64", &["float64"]),
    ("String", &["str"]),
    ("DateTime", &["datetime64"]),
    ("Timestamp", &["datetime64"]),
    ("Timedelta", &["timedelta64"]),
    ("Category", &["category"]),
    // What goes where Python declares its own class, the promotion of numbers included.
    ("int", &["integer", "bool"]),
    ("float", &["floating", "int"]),
    ("complex", &["complexfloating", "float"]),
    ("datetime", &["datetime64"]),
    ("date", &["date", "datetime64"]),
    ("timedelta", &["timedelta64"]),
    ("Decimal", &["decimal"]),
];

impl Dtypes {
    /// The set of a kind, or of a declaration by its name; nothing where the name says nothing here.
    pub(crate) fn named(name: &str) -> Option<Self> {
        // `date` and `time` are kinds and classes.
        if let Some((_, of)) = NAMES.iter().find(|(known, _)| *known == name) {
            let all = of.iter().map(|one| if *one == name { Self::kind(one) } else { Self::named(one) });
            return all.sum();
        }
        Self::kind(name)
    }

    fn kind(name: &str) -> Option<Self> {
        KINDS.iter().position(|kind| *kind == name).map(|at| Self(1 << at))
    }

    /// What a declaration takes; nothing where it takes all, or is not known here: what cannot be told is not refused.
    pub(crate) fn of(ty: &Ty) -> Option<Self> {
        match ty {
            Ty::None => Self::kind("null"),
            Ty::Never => Some(Self::default()),
            Ty::Union(members) => members.iter().map(Self::of).sum(),
            Ty::Literal(values) => values.iter().map(|value| Self::named(value.class())).sum(),
            ty if takes_all(ty) => None,
            // `numpy.bool` and `numpy.str_` are spelt in full where their own name is Python's.
            Ty::Class(name) => Self::named(name.rsplit('.').next().unwrap_or(name)),
            // A column that a class declares as `Series[float]`.
            Ty::Generic(name, parts) if name == "Series" => parts.first().and_then(Self::of),
            // How many bits it has, as numpy's own stubs write it: `floating[Any]`.
            Ty::Generic(name, _) => Self::named(name.rsplit('.').next().unwrap_or(name)),
            _ => None,
        }
    }

    /// Whether all of it is in another.
    pub(crate) fn is_within(self, other: Self) -> bool {
        self.0 & !other.0 == 0
    }

    /// Whether any of it is in another.
    pub(crate) fn meets(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Both.
    #[must_use]
    pub(crate) fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// Whether a declaration takes whatever an array or a column may hold.
pub(crate) fn takes_all(ty: &Ty) -> bool {
    matches!(ty, Ty::Any)
        || matches!(ty, Ty::Class(name) if matches!(name.as_str(), "object" | "object_" | "Object" | "generic"))
}

impl std::iter::Sum for Dtypes {
    fn sum<I: Iterator<Item = Self>>(all: I) -> Self {
        all.fold(Self::default(), Self::or)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Option<Dtypes> {
        Dtypes::of(&text.parse().unwrap())
    }

    #[test]
    fn every_name_is_made_of_kinds() {
        for (name, _) in NAMES {
            assert!(Dtypes::named(name).is_some_and(|set| set.0 != 0), "{name}");
        }
    }

    #[test]
    fn a_declaration_goes_for_one_that_takes_all_it_takes() {
        for (source, target, goes) in [
            ("float64", "floating", true),
            ("float64", "float", true),
            ("float64", "float32", false),
            ("int64", "float", true),
            ("int64", "float64", false),
            ("floating", "float64", false),
            ("float64", "floating[Any]", true),
            ("float_", "float64", true),
            ("float", "number", false),
            ("int32", "signedinteger", true),
            ("uint8", "signedinteger", false),
            ("bool_", "int", true),
            ("bool_", "integer", false),
            ("numpy.bool", "bool", true),
            ("str_", "str", true),
            ("str", "float", false),
            ("int | None", "int | str | None", true),
            ("int | None", "int", false),
            ("Literal[\"a\", \"b\"]", "str", true),
            ("Int64Dtype", "int64", true),
            ("Series[int16]", "int", true),
            ("datetime64", "datetime", true),
            ("datetime", "date", true),
            ("date", "datetime", false),
        ] {
            let (one, other) = (of(source).expect(source), of(target).expect(target));
            assert_eq!(one.is_within(other), goes, "{source} → {target}");
        }
        for any in ["Any", "object", "object_", "generic", "Mystery", "int | Mystery"] {
            assert_eq!(of(any), None, "{any}");
        }
    }
}
