//! What `from typing import *` brings: names of the standard library's modules that types are written with.

/// Those of `typing`; `typing_extensions` has few others.
const TYPING: &str = "\
    AbstractSet Annotated Any AnyStr AsyncContextManager AsyncGenerator AsyncIterable AsyncIterator Awaitable BinaryIO ByteString \
    Callable ChainMap ClassVar Collection Concatenate Container ContextManager Coroutine Counter DefaultDict Deque Dict Final \
    ForwardRef FrozenSet Generator Generic Hashable IO ItemsView Iterable Iterator KeysView List Literal LiteralString Mapping \
    MappingView Match MutableMapping MutableSequence MutableSet NamedTuple Never NewType NoDefault NoReturn NotRequired Optional \
    OrderedDict ParamSpec ParamSpecArgs ParamSpecKwargs Pattern Protocol ReadOnly Required Reversible Self Sequence Set Sized \
    SupportsAbs SupportsBytes SupportsComplex SupportsFloat SupportsIndex SupportsInt SupportsRound TYPE_CHECKING Text TextIO \
    Tuple Type TypeAlias TypeAliasType TypeGuard TypeIs TypeVar TypeVarTuple TypedDict Union Unpack ValuesView assert_never \
    assert_type cast clear_overloads dataclass_transform final get_args get_origin get_overloads get_protocol_members \
    get_type_hints is_protocol is_typeddict no_type_check no_type_check_decorator overload override reveal_type runtime_checkable";
const COLLECTIONS: &str = "ChainMap Counter OrderedDict UserDict UserList UserString defaultdict deque namedtuple";
/// Those of `collections.abc`.
const ABC: &str = "\
    AsyncGenerator AsyncIterable AsyncIterator Awaitable Buffer ByteString Callable Collection Container Coroutine Generator \
    Hashable ItemsView Iterable Iterator KeysView Mapping MappingView MutableMapping MutableSequence MutableSet Reversible \
    Sequence Set Sized ValuesView";

/// What `typing_extensions` has besides.
const EXTENSIONS: &str = "\
    CapsuleType Doc Format NoExtraItems Sentinel TypeForm deprecated disjoint_base evaluate_forward_ref get_annotations type_repr";

/// The names that a star brings from a module, of those that types are written with; nothing for a module that is not listed.
pub(crate) fn names(module: &str) -> Option<impl Iterator<Item = &'static str>> {
    let (names, more) = match module {
        "typing" => (TYPING, ""),
        "typing_extensions" => (TYPING, EXTENSIONS),
        "collections" => (COLLECTIONS, ""),
        "collections.abc" => (ABC, ""),
        "dataclasses" => ("dataclass field fields is_dataclass make_dataclass replace asdict astuple", ""),
        "datetime" => ("MAXYEAR MINYEAR UTC date datetime time timedelta timezone tzinfo", ""),
        "decimal" => ("Context Decimal DecimalException DecimalTuple", ""),
        "enum" => (
            "Enum EnumCheck EnumMeta EnumType Flag FlagBoundary IntEnum IntFlag ReprEnum StrEnum auto unique verify",
            "",
        ),
        "pathlib" => ("Path PosixPath PurePath PurePosixPath PureWindowsPath WindowsPath", ""),
        _ => return None,
    };
    Some(names.split(' ').chain(more.split(' ').filter(|name| !name.is_empty())))
}
