//! Where pydantic's lax mode is not followed, each with its reason. `docs/TYPES.md` publishes them.

// One program holds the two to these, the other publishes them.
#![allow(dead_code, reason = "each of the two programs that have this module uses its own half")]

use qflow_model::class::{Class, ClassKind, Classes};
use qflow_types::{Literal, Ty, value};
use serde_json::Value;

/// Which of the two makes something of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Only we do.
    Ours,
    /// Only pydantic does.
    Theirs,
    /// Both, and not the same.
    Both,
}
use Side::{Both, Ours, Theirs};

/// A value, the type that it was given for, and what came of it.
pub(crate) struct Pair<'a> {
    pub(crate) value: &'a Value,
    pub(crate) ty: &'a Ty,
    pub(crate) side: Side,
    /// The user's own.
    pub(crate) classes: &'a Classes,
}

/// A difference that is meant.
pub(crate) struct Difference {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) why: &'static str,
    /// Who makes something of it.
    sides: &'static [Side],
    holds: fn(&Pair<'_>) -> bool,
}

/// The names of the rules that say why a pair differs.
pub(crate) fn of(pair: &Pair<'_>) -> Vec<&'static str> {
    let holds = |rule: &&Difference| rule.sides.contains(&pair.side) && (rule.holds)(pair);
    ALL.iter().filter(holds).map(|rule| rule.name).collect()
}

pub(crate) const ALL: &[Difference] = &[
    Difference {
        name: "what fits stays",
        what: "`1` for a `float`, `True` for an `int`, a `datetime` for a `date`, `Decimal(\"NaN\")`, a text as a `Sequence[str]` stay as they are; pydantic makes `1.0`, `1`, a `date` of midnights alone, or refuses",
        why: "what is assignable goes as it is, by the specification of typing",
        sides: &[Ours, Both],
        holds: |pair| value::check_fields(pair.value, pair.ty, pair.classes).is_ok(),
    },
    Difference {
        name: "one of a union",
        what: "what several members of a union can be made of is refused; pydantic takes the one it deems best",
        why: "nobody says which one is meant",
        sides: &[Theirs],
        holds: |pair| matches!(pair.ty, Ty::Union(_)) && refused(pair, "which may be"),
    },
    Difference {
        name: "twice",
        what: "a list that holds an element twice is not made a set, nor a mapping one in which two keys become the same; pydantic drops one",
        why: "never a silent loss",
        sides: &[Theirs],
        holds: |pair| refused(pair, " twice"),
    },
    Difference {
        name: "order",
        what: "sets are not made lists or tuples",
        why: "in which order?",
        sides: &[Theirs],
        holds: |pair| matches!(kind(pair), "set" | "frozenset") && is_ordered(pair.ty),
    },
    Difference {
        name: "an abstract `Set`",
        what: "where `Set` is declared a list is made a `set`, and a `set` stays one; pydantic makes a `frozenset`",
        why: "a parameter of JSON is read so, too, and what is converted keeps its class",
        sides: &[Both],
        holds: |pair| {
            let made = || value::convert(pair.value, pair.ty, pair.classes).is_ok_and(|made| made["$"] == "set");
            matches!(pair.ty, Ty::Generic(name, _) if name == "Set") && made()
        },
    },
    Difference {
        name: "numbers as times",
        what: "numbers, and texts of numbers, are no dates, times or durations; of pydantic's they are seconds, or milliseconds where they are large",
        why: "seconds or milliseconds, and of which zone?",
        sides: &[Theirs, Both],
        holds: |pair| {
            let number = matches!(kind(pair), "int" | "float" | "bool" | "Decimal");
            let text = text(pair).is_some_and(|text| text.parse::<f64>().is_ok());
            (number && to(pair, &["date", "datetime", "time", "timedelta"]))
                || (text && to(pair, &["date", "datetime", "time"]))
        },
    },
    Difference {
        name: "ISO 8601",
        what: "also `20261124`, `2026-W48-2`, `T0930` after a date, offsets of hours alone or with seconds",
        why: "they leave nothing out",
        sides: &[Ours, Both],
        holds: |pair| texts(pair, &["date", "datetime", "time"], |text| text == text.trim()),
    },
    Difference {
        name: "spaces around",
        what: "spaces around a text are left out for every class; pydantic does so for numbers alone",
        why: "a text is read as the command line reads it",
        sides: &[Ours],
        holds: |pair| {
            texts(pair, &["bool", "date", "datetime", "time", "UUID", "timedelta"], |text| text != text.trim())
        },
    },
    Difference {
        name: "separators of ASCII around",
        what: "`\\x1c` to `\\x1f` are no spaces; around a Decimal they are to pydantic",
        why: "Unicode has them as controls; around an `int` pydantic refuses them too",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["Decimal"], |text| text.contains(|c| ('\u{1c}'..='\u{1f}').contains(&c))),
    },
    Difference {
        name: "`−` before an offset",
        what: "the minus of mathematics, U+2212, is none; of pydantic's it is",
        why: "Python itself does not read it",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["datetime", "time"], |text| text.contains('\u{2212}')),
    },
    Difference {
        name: "`_` before a time",
        what: "`2026-11-24_09:30` is no datetime",
        why: "ISO 8601 has no such form",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["datetime"], |text| text.get(10..11) == Some("_")),
    },
    Difference {
        name: "parts of a microsecond",
        what: "more than six digits of a second are refused; pydantic cuts them off",
        why: "never a silent loss",
        sides: &[Theirs],
        holds: |pair| {
            let digits = text(pair)
                .and_then(|text| text.split_once('.'))
                .map_or(0, |(_, rest)| rest.chars().take_while(char::is_ascii_digit).count());
            digits > 6 && to(pair, &["datetime", "time", "timedelta"])
        },
    },
    Difference {
        name: "a date with a time",
        what: "`2026-11-24T00:00:00` is no date",
        why: "whoever writes a time means one",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["date"], |text| text.get(11..16) == Some("00:00")),
    },
    Difference {
        name: "durations",
        what: "also `90s`, `1h30m`, and seconds as a text",
        why: "they are read as the command line reads them",
        sides: &[Ours],
        holds: |pair| text(pair).is_some() && to(pair, &["timedelta"]),
    },
    Difference {
        name: "other spellings of durations",
        what: "`PT1,5S`, `1 DAY`, `3d 4:05:06` and a time with an offset are no durations",
        why: "each has a spelling without them, and a time of day is none",
        sides: &[Theirs],
        holds: |pair| {
            let one = |text: &str| [",5S", "DAY", "d ", "+01:00"].iter().any(|part| text.contains(part));
            text(pair).is_some_and(one) && to(pair, &["timedelta"])
        },
    },
    Difference {
        name: "UUIDs without hyphens",
        what: "in braces or behind `urn:uuid:` they may lack their hyphens",
        why: "as `uuid.UUID()` reads them",
        sides: &[Ours],
        holds: |pair| texts(pair, &["UUID"], |text| text.starts_with(['{', 'u'])),
    },
    Difference {
        name: "negative days",
        what: "`-1 day, 23:59:59` is a second before nothing, as Python's `str()` writes it; of pydantic's it is nearly two days",
        why: "it reads back",
        sides: &[Both],
        holds: |pair| texts(pair, &["timedelta"], |text| text.starts_with('-') && text.contains(" day")),
    },
    Difference {
        name: "two numbers with `:`",
        what: "`01:30` is no duration; of pydantic's it is hours and minutes",
        why: "minutes and seconds to some",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["timedelta"], |text| text.split(':').count() == 2),
    },
    Difference {
        name: "years and months",
        what: "`P1Y` and `P1M` are no durations; of pydantic's they are 365 and 30 days",
        why: "none is always so long",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["timedelta"], |text| text.starts_with('P') && text.ends_with(['Y', 'M'])),
    },
    Difference {
        name: "`_` in numbers",
        what: "`1_000` is no number, and no Decimal",
        why: "JSON, CSV and other programs have none; a Decimal of pydantic's takes even `_1`",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["int", "float", "Decimal"], |text| text.contains('_')),
    },
    Difference {
        name: "other digits",
        what: "`٣` is no Decimal",
        why: "it is no `int` or `float` either, of pydantic's neither",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["Decimal"], |text| !text.is_ascii()),
    },
    Difference {
        name: "`7.0` as an `int`",
        what: "a text with a point is no `int`",
        why: "who writes a float means one",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["int"], |text| text.contains('.')),
    },
    Difference {
        name: "beyond a float",
        what: "`1e999` is not `inf`, `1e-999` not `0.0`",
        why: "never a silent loss",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["float"], is_beyond_a_float),
    },
    Difference {
        name: "a Decimal as a `float`",
        what: "only one that the float reads back as",
        why: "never a silent loss",
        sides: &[Theirs],
        holds: |pair| kind(pair) == "Decimal" && to(pair, &["float"]),
    },
    Difference {
        name: "a Decimal as a `complex`",
        what: "no Decimal is a `complex`; pydantic rounds it, `Decimal(\"1E+400\")` to `inf`",
        why: "who counts so exactly means no pair of floats",
        sides: &[Theirs],
        holds: |pair| kind(pair) == "Decimal" && to(pair, &["complex"]),
    },
    Difference {
        name: "a text as a `complex`",
        what: "`1+2j` is no `complex`, nor is `1`",
        why: "JSON, CSV and other programs have no such number; the node says which of their forms is meant",
        sides: &[Theirs],
        holds: |pair| kind(pair) == "str" && to(pair, &["complex"]),
    },
    Difference {
        name: "a Decimal as a `bool`",
        what: "no Decimal is a `bool`; of pydantic's `Decimal(\"1E-400\")` is `False`",
        why: "who counts so exactly means no truth",
        sides: &[Theirs],
        holds: |pair| kind(pair) == "Decimal" && to(pair, &["bool"]),
    },
    Difference {
        name: "a `bool` as a Decimal",
        what: "`True` is made `Decimal(\"1\")`",
        why: "a `bool` is an `int`, of which one is made",
        sides: &[Ours],
        holds: |pair| kind(pair) == "bool" && to(pair, &["Decimal"]),
    },
    Difference {
        name: "large floats",
        what: "`1e20` is made an `int`; pydantic stops at 2⁶³",
        why: "it is a whole number",
        sides: &[Ours],
        holds: |pair| pair.value.as_f64().is_some_and(|value| value.abs() >= 2_f64.powi(63)) && to(pair, &["int"]),
    },
    Difference {
        name: "texts of what is one",
        what: "dates, times, Decimals, UUIDs and paths are made texts",
        why: "there is one way to write them, which reads back",
        sides: &[Ours],
        holds: |pair| {
            matches!(kind(pair), "date" | "datetime" | "time" | "Decimal" | "UUID" | "Path") && to(pair, &["str"])
        },
    },
    Difference {
        name: "bytes",
        what: "bytes are no texts or numbers, and no text is bytes",
        why: "in which encoding?",
        sides: &[Theirs, Both],
        holds: |pair| kind(pair) == "bytes" || (kind(pair) == "str" && to(pair, &["bytes"])),
    },
    Difference {
        name: "the empty path",
        what: "`\"\"` is no path; of pydantic's it is `.`",
        why: "who leaves it empty means none",
        sides: &[Theirs],
        holds: |pair| text(pair) == Some("") && to(pair, &["Path"]),
    },
    Difference {
        name: "NUL in a path",
        what: "a text with `\\0` is no path",
        why: "no file is called so",
        sides: &[Theirs],
        holds: |pair| texts(pair, &["Path"], |text| text.contains('\0')),
    },
    Difference {
        name: "equal literals",
        what: "`Literal[1]` is neither `True` nor `1.0`; pydantic goes by Python's equality",
        why: "by the specification of typing a literal is of its class",
        sides: &[Theirs],
        holds: |pair| match pair.ty {
            Ty::Literal(values) => {
                let is_equal = |literal: &Literal| match literal {
                    Literal::Bool(literal) => number(pair.value) == Some(f64::from(u8::from(*literal))),
                    Literal::Int(literal) => number(pair.value) == Some(*literal as f64),
                    Literal::Text(_) | Literal::Bytes(_) | Literal::Member(..) => false,
                };
                kind(pair) != "str" && values.iter().any(is_equal)
            }
            _ => false,
        },
    },
    Difference {
        name: "names of members",
        what: "`\"RED\"` is made `Colour.RED`, by its name; pydantic goes by values alone",
        why: "names are what people write",
        sides: &[Ours],
        holds: |pair| {
            class(pair, ClassKind::Enum).is_some_and(|of| text(pair).is_some_and(|name| of.member(name).is_some()))
        },
    },
    Difference {
        name: "members of an `IntEnum`",
        what: "neither `\"1\"` nor `1.0` or `True` is the member whose value is `1`",
        why: "a member is named, or given by its own value",
        sides: &[Theirs],
        holds: |pair| class(pair, ClassKind::Enum).is_some_and(|of| of.bases.iter().any(|base| base == "int")),
    },
    Difference {
        name: "fields that are not there",
        what: "a key that a NamedTuple or dataclass does not have is refused, and one that a `TypedDict` does not declare stays; pydantic leaves it out of most",
        why: "never a silent loss",
        sides: &[Theirs, Both],
        holds: |pair| match value::convert(pair.value, pair.ty, pair.classes) {
            Err(error) => error.message.ends_with("has no field of this name"),
            Ok(Value::Object(made)) => {
                class(pair, ClassKind::TypedDict).is_some_and(|of| made.keys().any(|key| of.field(key).is_none()))
            }
            Ok(_) => false,
        },
    },
    Difference {
        name: "fields by their places",
        what: "a list or a tuple is not made a NamedTuple",
        why: "which is which?",
        sides: &[Theirs],
        holds: |pair| class(pair, ClassKind::NamedTuple).is_some() && matches!(kind(pair), "list" | "tuple"),
    },
];

fn kind<'p>(pair: &'p Pair<'_>) -> &'p str {
    qflow_model::tagged::kind(pair.value)
}

/// The user's own class that is declared, where it is of a kind.
fn class<'p>(pair: &'p Pair<'_>, kind: ClassKind) -> Option<&'p Class> {
    let Ty::Class(name) = pair.ty else { return None };
    pair.classes.get(name).filter(|class| class.kind == kind)
}

fn text<'p>(pair: &'p Pair<'_>) -> Option<&'p str> {
    pair.value.as_str()
}

/// Whether a text of some kind is given for one of some classes.
fn texts(pair: &Pair<'_>, classes: &[&str], holds: impl Fn(&str) -> bool) -> bool {
    text(pair).is_some_and(holds) && to(pair, classes)
}

fn is_beyond_a_float(text: &str) -> bool {
    text.contains(|c| matches!(c, '1'..='9')) && text.parse().is_ok_and(|is: f64| is == 0.0 || is.is_infinite())
}

fn to(pair: &Pair<'_>, classes: &[&str]) -> bool {
    matches!(pair.ty, Ty::Class(name) if classes.contains(&name.as_str()))
}

fn is_ordered(ty: &Ty) -> bool {
    matches!(ty, Ty::Tuple(_) | Ty::Tuples(_))
        || matches!(ty, Ty::Generic(name, _) if name == "list" || name == "Sequence")
}

/// Whether we refuse this very part, in such words.
fn refused(pair: &Pair<'_>, words: &str) -> bool {
    let made = value::convert(pair.value, pair.ty, pair.classes);
    made.is_err_and(|error| error.path.is_empty() && error.message.contains(words))
}

/// What a value is among numbers.
fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Bool(value) => Some(f64::from(u8::from(*value))),
        Value::Number(number) => number.as_f64(),
        Value::Object(form) => form.get("v").and_then(|v| v.as_str().or_else(|| v.get(0)?.as_str()))?.parse().ok(),
        _ => None,
    }
}
