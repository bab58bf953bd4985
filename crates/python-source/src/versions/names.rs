//! Names of the standard library that files import from it, and the Python that has each first.

/// Names of modules that older Pythons have without them, by minor version.
const NAMES: &[(u8, &str, &[&str])] = &[
    (9, "typing", &["Annotated"]),
    (9, "functools", &["cache"]),
    (9, "math", &["lcm", "nextafter", "ulp"]),
    (9, "random", &["randbytes"]),
    (10, "typing", &["Concatenate", "ParamSpec", "TypeAlias", "TypeGuard", "is_typeddict"]),
    (10, "itertools", &["pairwise"]),
    (10, "types", &["EllipsisType", "NoneType", "NotImplementedType", "UnionType"]),
    (10, "dataclasses", &["KW_ONLY"]),
    (10, "contextlib", &["aclosing"]),
    (
        11,
        "typing",
        &[
            "LiteralString",
            "Never",
            "NotRequired",
            "Required",
            "Self",
            "TypeVarTuple",
            "Unpack",
            "assert_never",
            "assert_type",
            "dataclass_transform",
            "reveal_type",
        ],
    ),
    (11, "enum", &["EnumCheck", "FlagBoundary", "ReprEnum", "StrEnum", "member", "nonmember", "verify"]),
    (11, "datetime", &["UTC"]),
    (11, "contextlib", &["chdir"]),
    (11, "asyncio", &["Runner", "TaskGroup", "timeout"]),
    (12, "typing", &["TypeAliasType", "override"]),
    (12, "itertools", &["batched"]),
    (13, "typing", &["NoDefault", "ReadOnly", "TypeIs"]),
    (13, "warnings", &["deprecated"]),
];

/// Modules that older Pythons lack.
const MODULES: &[(u8, &str)] =
    &[(9, "zoneinfo"), (9, "graphlib"), (11, "tomllib"), (14, "annotationlib"), (14, "compression")];

/// Since which minor version of Python 3 a module has a name; `None` where it always had, or is not known.
pub(super) fn name_since(module: &str, name: &str) -> Option<u8> {
    NAMES.iter().find(|(_, of, names)| *of == module && names.contains(&name)).map(|(minor, ..)| *minor)
}

/// Since which minor version of Python 3 a module is there.
pub(super) fn module_since(module: &str) -> Option<u8> {
    let package = module.split('.').next().unwrap_or(module);
    MODULES.iter().find(|(_, name)| *name == package).map(|(minor, _)| *minor)
}
