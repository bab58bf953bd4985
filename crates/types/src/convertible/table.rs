//! The published tables, which `docs/TYPES.md` is made of: what is converted, and what is not.

/// A row of the published table.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The classes of values that it is about.
    pub from: &'static [&'static str],
    /// The class that is declared.
    pub to: &'static str,
    /// Whether some values of the classes do not allow it.
    pub may_fail: bool,
    /// What is made of a value, and of which not.
    pub rule: &'static str,
}

/// Conversions of values that hold no others. What is a text in the plain form of values goes as that text; a text is read as the
/// command line reads it; numbers become one another where they stay equal.
pub const TABLE: &[Row] = &[
    Row { from: &["date"], to: "datetime", may_fail: false, rule: "midnight, without a time zone" },
    Row { from: &["date"], to: "str", may_fail: false, rule: "ISO 8601" },
    Row {
        from: &["datetime", "time"],
        to: "str",
        may_fail: true,
        rule: "ISO 8601, with the offset where there is one; not what it has no word for: the name of a time zone, `fold=1`",
    },
    Row { from: &["Decimal", "UUID", "Path"], to: "str", may_fail: false, rule: "as `str()` writes it" },
    Row { from: &["int", "bool"], to: "Decimal", may_fail: false, rule: "the same number" },
    Row {
        from: &["float"],
        to: "Decimal",
        may_fail: true,
        rule: "the shortest that reads back as the same float; finite ones",
    },
    Row {
        from: &["str"],
        to: "bool",
        may_fail: true,
        rule: "`true` `1` `yes` `on` `t` `y`, `false` `0` `no` `off` `f` `n`, in any case",
    },
    Row { from: &["int", "float"], to: "bool", may_fail: true, rule: "0 and 1" },
    Row { from: &["str"], to: "int", may_fail: true, rule: "digits, with a sign where there is one" },
    Row { from: &["float", "Decimal"], to: "int", may_fail: true, rule: "a whole number" },
    Row {
        from: &["str"],
        to: "float",
        may_fail: true,
        rule: "`1.5`, `1e3`, `inf`, `nan`; not what is too large or too small for a float",
    },
    Row { from: &["Decimal"], to: "float", may_fail: true, rule: "where the float reads back as an equal Decimal" },
    Row { from: &["str"], to: "Decimal", may_fail: true, rule: "`1.50`, `1e3`" },
    Row { from: &["str"], to: "date", may_fail: true, rule: "`2026-11-24`, `20261124`, `2026-W48-2`, `2026W482`" },
    Row {
        from: &["str"],
        to: "datetime",
        may_fail: true,
        rule: "a date, `T` or a space, and a time; a date alone is its midnight",
    },
    Row {
        from: &["str"],
        to: "time",
        may_fail: true,
        rule: "`09:30`, `T0930`, with seconds, at most six digits of their fractions, and an offset (`Z`, `+01:00`, `+0100`, `+01`) where they are written",
    },
    Row {
        from: &["str"],
        to: "timedelta",
        may_fail: true,
        rule: "`90s`, `1h30m`, `00:05:00`, `P1DT2H`, as `str()` writes it (`3 days, 0:05:00`, `-1 day, 23:59:59`), or seconds; in whole microseconds",
    },
    Row {
        from: &["str"],
        to: "UUID",
        may_fail: true,
        rule: "32 digits, with `-` as Python writes them or without; in braces, or after `urn:uuid:`",
    },
    Row { from: &["str"], to: "Path", may_fail: true, rule: "any text but the empty one" },
];

/// Two types that a rule is about, as they are written.
pub type Example = (&'static str, &'static str);

/// What is published of values that hold others, and of classes of the user's own.
#[derive(Clone, Copy, Debug)]
pub struct Rule {
    /// What is converted, as people read it.
    pub from: &'static str,
    /// What is declared.
    pub to: &'static str,
    /// Where `convert=True` is needed; nothing where it never is, whatever the elements.
    pub needs: &'static str,
    /// What is made of a value, and of which not.
    pub rule: &'static str,
    /// Pairs that never fail.
    pub sure: &'static [Example],
    /// Pairs that some values do not allow.
    pub may_fail: &'static [Example],
}

const ASKED: &str = "`convert=True`";

/// Conversions of values that hold others, element by element.
pub const CONTAINERS: &[Rule] = &[
    Rule {
        from: "`list[A]`",
        to: "`tuple[B, ...]`",
        needs: "",
        rule: "",
        sure: &[("list[int]", "tuple[int, ...]"), ("list[date]", "tuple[str, ...]")],
        may_fail: &[("list[str]", "tuple[int, ...]")],
    },
    Rule {
        from: "`tuple[A, …]`",
        to: "`list[B]`, `tuple[B, ...]`",
        needs: "",
        rule: "",
        sure: &[("tuple[int, str]", "list[int | str]"), ("tuple[date, ...]", "tuple[str, ...]")],
        may_fail: &[("tuple[str, ...]", "list[int]")],
    },
    Rule {
        from: "`list[A]`, `tuple[A, ...]`",
        to: "`tuple[B, C]`, `tuple[B, *tuple[C, ...]]`",
        needs: ASKED,
        rule: "of that length",
        sure: &[],
        may_fail: &[
            ("list[int]", "tuple[int, int]"),
            ("tuple[int, ...]", "tuple[int, Decimal]"),
            ("list[int]", "tuple[int, *tuple[int, ...]]"),
        ],
    },
    Rule {
        from: "`list[A]`, `tuple[A, …]`",
        to: "`set[B]`, `frozenset[B]`",
        needs: ASKED,
        rule: "no element comes twice",
        sure: &[],
        may_fail: &[("list[int]", "set[int]"), ("tuple[int, int]", "frozenset[int]")],
    },
    Rule {
        from: "`Sequence[A]`, `Iterable[A]`, `Collection[A]`",
        to: "`list[B]`, `tuple[B, ...]`",
        needs: ASKED,
        rule: "a list or a tuple; no text, no set",
        sure: &[],
        may_fail: &[
            ("Sequence[int]", "list[int]"),
            ("Iterable[str]", "list[int]"),
            ("Collection[int]", "tuple[int, ...]"),
        ],
    },
    Rule {
        from: "`set[A]`, `frozenset[A]`, `Set[A]`",
        to: "`frozenset[B]`, `set[B]`",
        needs: "`convert=True` where elements are converted",
        rule: "none become the same",
        sure: &[("set[int]", "frozenset[int]"), ("frozenset[int]", "set[float]"), ("Set[int]", "set[int]")],
        may_fail: &[("set[date]", "set[str]")],
    },
    Rule {
        from: "`dict[K, A]`, `Mapping[K, A]`, `OrderedDict[K, A]`, `defaultdict[K, A]`, `Counter[K]`",
        to: "`dict[L, B]`, `Mapping[L, B]`",
        needs: "`convert=True` where keys are converted",
        rule: "none become the same",
        sure: &[
            ("dict[str, date]", "dict[str, str]"),
            ("Mapping[str, int]", "dict[str, float]"),
            ("OrderedDict[str, int]", "dict[str, Decimal]"),
            ("Counter[str]", "Mapping[str, Decimal]"),
        ],
        may_fail: &[
            ("dict[date, int]", "dict[str, int]"),
            ("dict[str, str]", "Mapping[str, int]"),
            ("defaultdict[str, str]", "MutableMapping[str, int]"),
        ],
    },
    Rule {
        from: "`OrderedDict[K, A]`, `defaultdict[K, A]`, `Counter[K]`",
        to: "the same of `L` and `B`",
        needs: "`convert=True` where keys are converted",
        rule: "none become the same; it travels as a `dict`",
        sure: &[("OrderedDict[str, date]", "OrderedDict[str, str]")],
        may_fail: &[("defaultdict[str, str]", "defaultdict[str, int]"), ("Counter[str]", "Counter[int]")],
    },
    Rule {
        from: "a `TypedDict`",
        to: "`dict[str, B]`",
        needs: "`convert=True` where `B` is not `object` or `Any`",
        rule: "its items, and what it holds besides",
        sure: &[("Row", "dict[str, object]"), ("Row", "dict[str, Any]")],
        may_fail: &[("Row", "dict[str, float]"), ("Row", "dict[str, Decimal]")],
    },
    Rule {
        from: "`str`, `int`, `bool`",
        to: "`Literal[…]` of such",
        needs: ASKED,
        rule: "one of them",
        sure: &[],
        may_fail: &[("str", "Literal[\"a\"]"), ("int", "Literal[1, \"a\"]"), ("bool", "Literal[True]")],
    },
    Rule {
        from: "`dict[str, A]`",
        to: "a dataclass, `TypedDict`, NamedTuple, pydantic model",
        needs: ASKED,
        rule: "its fields, converted likewise; none missing, none more, but a `TypedDict` keeps what it does not declare",
        sure: &[],
        may_fail: &[("dict[str, Any]", "Order"), ("Mapping[str, int]", "Order")],
    },
    Rule {
        from: "`str`, `int`",
        to: "an `Enum`",
        needs: ASKED,
        rule: "a member's name, or its value",
        sure: &[],
        may_fail: &[("str", "Colour"), ("int", "Colour")],
    },
    Rule {
        from: "`list[…]` of mappings",
        to: "`DataFrame`",
        needs: ASKED,
        rule: "a column for each key; every row has the same",
        sure: &[],
        may_fail: &[("list[dict[str, float]]", "DataFrame"), ("list[Row]", "DataFrame")],
    },
    Rule {
        from: "`dict[str, list[A]]`",
        to: "`DataFrame`",
        needs: ASKED,
        rule: "a column for each key, of equal lengths",
        sure: &[],
        may_fail: &[("dict[str, list[int]]", "DataFrame")],
    },
];

/// What is published of pairs that have no conversion.
#[derive(Clone, Copy, Debug)]
pub struct Refused {
    /// What is not converted, as people read it.
    pub from: &'static str,
    /// What is declared.
    pub to: &'static str,
    /// Why not, or what to write.
    pub why: &'static str,
    /// Pairs that are refused.
    pub examples: &'static [Example],
}

/// What loses something, or would be a guess.
pub const REFUSED: &[Refused] = &[
    Refused {
        from: "`int`, `float`",
        to: "`str`",
        why: "how many digits? `str(x)`, `f\"{x:.2f}\"`",
        examples: &[("int", "str"), ("float", "str")],
    },
    Refused {
        from: "`int`, `float`",
        to: "`date`, `datetime`, `time`, `timedelta`",
        why: "seconds or milliseconds, and of which zone?",
        examples: &[("int", "date"), ("float", "datetime"), ("int", "time"), ("float", "timedelta")],
    },
    Refused {
        from: "`str`",
        to: "`bytes`, and back",
        why: "in which encoding?",
        examples: &[("str", "bytes"), ("bytes", "str")],
    },
    Refused {
        from: "`set`",
        to: "`list`, `tuple`",
        why: "in which order? `sorted(x)`",
        examples: &[("set[int]", "list[int]"), ("frozenset[int]", "tuple[int, ...]")],
    },
    Refused {
        from: "`dict`, `Mapping`, a `TypedDict`",
        to: "`OrderedDict`, `defaultdict`, `Counter`",
        why: "each arrives as a `dict`: declare that, and make one in the node",
        examples: &[
            ("dict[str, int]", "OrderedDict[str, int]"),
            ("Mapping[str, int]", "defaultdict[str, int]"),
            ("dict[str, int]", "Counter[str]"),
            ("OrderedDict[str, int]", "defaultdict[str, int]"),
            ("Row", "OrderedDict[str, object]"),
        ],
    },
    Refused {
        from: "`DataFrame`",
        to: "`list`",
        why: "with the index, or without?",
        examples: &[("DataFrame", "list[dict[str, float]]")],
    },
    Refused {
        from: "a dataclass, a model",
        to: "`dict`, or another one",
        why: "which fields?",
        examples: &[("Order", "dict[str, Any]"), ("Order", "Invoice")],
    },
    Refused {
        from: "`None`",
        to: "anything",
        why: "ask for it before: `if x is None: …`",
        examples: &[("None", "int"), ("str | None", "int"), ("None", "str")],
    },
];
