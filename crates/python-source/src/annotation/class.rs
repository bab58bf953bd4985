//! Classes that annotations name: Qflow's own, those of libraries, and the user's.

use qflow_types::{Ty, arity};
use ruff_text_size::TextRange;

use super::{NotAType, wrong};

/// Types that are there without an import.
const BUILTIN: &[&str] = &[
    "bool",
    "int",
    "float",
    "complex",
    "str",
    "bytes",
    "bytearray",
    "list",
    "set",
    "frozenset",
    "tuple",
    "dict",
    "object",
    "type",
    "range",
    "slice",
    "memoryview",
    "Exception",
    "BaseException",
    "ArithmeticError",
    "AssertionError",
    "KeyError",
    "LookupError",
    "OSError",
    "RuntimeError",
    "TypeError",
    "ValueError",
];

/// Where the names that Qflow gives a meaning come from; frames and arrays come from many packages.
const HOMES: &[&str] = &[
    "typing",
    "typing_extensions",
    "collections",
    "builtins",
    "types",
    "datetime",
    "decimal",
    "fractions",
    "os",
    "pathlib",
    "uuid",
    "qflow",
];

/// The spelling of numpy's own name for an array of some elements.
pub(super) const NDARRAY: &str = "numpy.typing.NDArray";

/// What a scalar of numpy's is when it has travelled: Python's of the same value. Nothing of any other class.
pub(super) fn scalar(dotted: &str) -> Option<&'static str> {
    let name = dotted.strip_prefix("numpy.")?;
    Some(match name {
        "bool_" | "bool" => "bool",
        "float16" | "float32" | "float64" | "floating" | "half" | "single" | "double" | "float_" => "float",
        "complex64" | "complex128" | "complexfloating" | "csingle" | "cdouble" | "complex_" => "complex",
        "str_" | "unicode_" => "str",
        "bytes_" | "string_" => "bytes",
        "datetime64" => "datetime",
        "timedelta64" => "timedelta",
        "integer" | "signedinteger" | "unsignedinteger" | "byte" | "short" | "intc" | "int_" | "intp" | "long"
        | "longlong" | "ubyte" | "ushort" | "uintc" | "uint" | "uintp" | "ulong" | "ulonglong" | "int8" | "int16"
        | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" => "int",
        _ => return None,
    })
}

/// Whether numpy has a scalar type that takes its precision in brackets.
pub(super) fn has_precision(dotted: &str) -> bool {
    let abstracts = ["number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating", "complexfloating"];
    dotted.strip_prefix("numpy.").is_some_and(|name| abstracts.contains(&name))
}

/// Whether a name is there without an import.
pub(super) fn is_builtin(name: &str) -> bool {
    BUILTIN.contains(&name)
}

/// Whether Qflow gives a class its meaning.
pub(super) fn is_known(name: &str) -> bool {
    qflow_types::is_builtin(name)
}

/// The spelling of a class from outside: its own name, in full where that means something else here, or is that of a class of the user's.
pub(super) fn foreign(dotted: &str, is_users: impl Fn(&str) -> bool) -> String {
    // One name for two: that of `collections.abc` is what frozen sets are, too.
    if matches!(dotted, "typing.Set" | "typing_extensions.Set") {
        return "set".to_owned();
    }
    if matches!(dotted, "numpy.typing.NDArray" | "numpy._typing.NDArray") {
        return NDARRAY.to_owned();
    }
    let (package, name) = (dotted.split('.').next().unwrap_or(dotted), dotted.rsplit('.').next().unwrap_or(dotted));
    let is_frame = matches!(name, "DataFrame" | "Series" | "ndarray");
    let means_more = name.parse::<Ty>().is_ok_and(|ty| ty != Ty::class(name)) || is_known(name);
    let is_taken = (means_more && !is_frame && !HOMES.contains(&package)) || is_users(name);
    if is_taken { dotted.to_owned() } else { name.to_owned() }
}

/// The spelling of a class of the user's own: its name, with its file's before it where another file has one of that name, or it means
/// something else.
pub(crate) fn own(name: &str, module: &str, is_shared: bool) -> String {
    let means_more = name.parse::<Ty>().is_ok_and(|ty| ty != Ty::class(name)) || is_known(name);
    if means_more || is_shared { format!("{module}.{name}") } else { name.to_owned() }
}

/// A class without parameters, as a type: bare containers, Any and Never are read by their own spelling.
pub(super) fn ty(name: &str, range: TextRange) -> Result<Ty, NotAType> {
    match name {
        "Callable" => Err(NotAType {
            code: "callable-type",
            remedy: "name a node instead, or pass what the function needs",
            ..wrong(range, "a function does not travel between nodes")
        }),
        "Iterator" | "Generator" | "AsyncIterator" | "AsyncGenerator" | "Awaitable" | "Coroutine" => Err(NotAType {
            code: "lazy-type",
            remedy: "return a list, or a File for much data",
            ..wrong(range, format!("`{name}` holds nothing until it is asked, so it does not travel"))
        }),
        NDARRAY => Ok(Ty::class("ndarray")),
        _ => name.parse().map_err(|_| wrong(range, format!("`{name}` is not a type"))),
    }
}

/// The class of `name[…]`, where it takes that many types.
pub(super) fn base(name: &str, parts: usize, range: TextRange) -> Result<String, NotAType> {
    let Ty::Class(base) = ty(name, range)? else {
        return Err(wrong(range, format!("`{name}` takes no types")));
    };
    match arity(&base) {
        Some(0) => return Err(wrong(range, format!("`{name}` takes no types"))),
        Some(count) => takes(name, count, parts, range)?,
        None => {}
    }
    Ok(base)
}

/// Whether a class is given as many types as it takes.
pub(super) fn takes(name: &str, count: usize, given: usize, range: TextRange) -> Result<(), NotAType> {
    if given == count {
        return Ok(());
    }
    let types = if count == 1 { "type" } else { "types" };
    Err(wrong(range, format!("`{name}` takes {count} {types}, not {given}")))
}
