//! Types, and values that are of them.

use std::fmt;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use proptest::{prelude::*, strategy::Union};
use qflow_model::class::{Class, ClassKind, Classes, Member};
use qflow_types::{Literal, Ty};
use serde_json::{Map, Value, json};

use crate::own::{NAMES, classes};

/// Classes whose values a text writes, in one way.
pub(crate) const WRITTEN: &[&str] = &["Decimal", "date", "datetime", "time", "UUID", "Path"];

const SCALARS: &[&str] = &[
    "bool",
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
];

/// Levels of classes within classes, past which values are as small as they may be.
const LEVELS: u32 = 3;

/// A value of a type, which is of some classes.
#[derive(Clone)]
pub(crate) struct Typed {
    pub(crate) value: Value,
    pub(crate) ty: Ty,
    pub(crate) own: Classes,
}

impl fmt::Debug for Typed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} of {}", self.value, self.ty)?;
        for (name, class) in self.own.iter().filter(|(_, class)| class.kind != ClassKind::Enum) {
            let fields = class
                .fields
                .iter()
                .map(|one| format!("{}{} {}", one.name, if one.required { ":" } else { "?:" }, one.ty.0));
            writeln!(f, "  {name}: {}", fields.collect::<Vec<_>>().join(", "))?;
        }
        Ok(())
    }
}

/// Any type that values are of: without `Any`, which promises nothing.
pub(crate) fn types() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        1 => Just(Ty::None),
        8 => prop::sample::select(SCALARS.iter().map(|name| Ty::class(name)).collect::<Vec<_>>()),
        5 => prop::sample::select(NAMES.iter().map(|name| Ty::class(name)).collect::<Vec<_>>()),
        1 => prop::sample::subsequence(literals(), 1..4).prop_map(Ty::literal),
    ];
    leaf.prop_recursive(3, 16, 3, |inner| {
        let one = ["list", "set", "frozenset", "Set", "Sequence", "Iterable", "Collection"];
        let one = [&one[..], &["MutableSequence", "MutableSet", "Reversible", "Container", "Counter"]].concat();
        let two = ["dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict"];
        prop_oneof![
            (prop::sample::select(one), inner.clone())
                .prop_map(|(name, item)| Ty::Generic(name.to_owned(), vec![item])),
            (prop::sample::select(two.to_vec()), inner.clone(), inner.clone())
                .prop_map(|(name, key, item)| Ty::Generic(name.to_owned(), vec![key, item])),
            inner.clone().prop_map(|item| Ty::Tuples(Box::new(item))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Ty::Tuple),
            (prop::collection::vec(inner.clone(), 0..2), inner.clone(), prop::collection::vec(inner.clone(), 0..2))
                .prop_map(|(before, item, after)| Ty::spread(before, Some(item), after)),
            prop::collection::vec(inner, 2..4).prop_map(Ty::union),
        ]
    })
}

fn literals() -> Vec<Literal> {
    let member = |name: &str| Literal::Member("Colour".to_owned(), name.to_owned());
    let plain = [Literal::Bool(true), Literal::Bool(false), Literal::Int(1), Literal::Text("a".to_owned())];
    plain.into_iter().chain([Literal::Bytes(b"x".to_vec()), member("RED"), member("BLUE")]).collect()
}

pub(crate) fn typed() -> impl Strategy<Value = Typed> {
    typed_of(types())
}

/// Values of classes alone.
pub(crate) fn objects() -> impl Strategy<Value = Typed> {
    typed_of(prop::sample::select(NAMES.iter().map(|name| Ty::class(name)).collect::<Vec<_>>()))
}

fn typed_of(types: impl Strategy<Value = Ty>) -> impl Strategy<Value = Typed> {
    (types, classes()).prop_flat_map(|(ty, own)| {
        value_of(&ty, &own, 0).prop_map(move |value| Typed { value, ty: ty.clone(), own: own.clone() })
    })
}

pub(crate) fn number_types() -> impl Strategy<Value = Ty> {
    prop::sample::select(["bool", "int", "float", "Decimal"].map(Ty::class).to_vec())
}

pub(crate) fn numbers() -> impl Strategy<Value = Typed> {
    typed_of(number_types())
}

fn tagged(tag: &'static str, v: impl Into<Value>) -> Value {
    json!({"$": tag, "v": v.into()})
}

/// Values of a type, so many levels of classes within others.
pub(crate) fn value_of(ty: &Ty, own: &Classes, level: u32) -> BoxedStrategy<Value> {
    let value_of = |ty: &Ty| value_of(ty, own, level);
    match ty {
        Ty::Union(members) if level >= LEVELS && members.contains(&Ty::None) => Just(Value::Null).boxed(),
        Ty::None => Just(Value::Null).boxed(),
        Ty::Union(members) => Union::new(members.iter().map(value_of)).boxed(),
        Ty::Literal(values) => {
            let values: Vec<Value> = values
                .iter()
                .map(|literal| match literal {
                    Literal::Bool(value) => json!(value),
                    Literal::Int(value) => json!(value),
                    Literal::Text(value) => json!(value),
                    Literal::Bytes(value) => tagged("bytes", STANDARD.encode(value)),
                    Literal::Member(class, name) => json!({"$": "enum", "t": format!("w.{class}"), "v": name}),
                })
                .collect();
            prop::sample::select(values).boxed()
        }
        Ty::Tuple(types) => {
            types.iter().map(value_of).collect::<Vec<_>>().prop_map(|items| tagged("tuple", items)).boxed()
        }
        Ty::Tuples(item) => some(item, own, level).prop_map(|items| tagged("tuple", items)).boxed(),
        Ty::Spread(before, item, after) => {
            let between = some(item, own, level);
            let [first, last] = [before, after].map(|types| types.iter().map(value_of).collect::<Vec<_>>());
            let all = (first, between, last).prop_map(|(first, between, last)| [first, between, last].concat());
            all.prop_map(|items| tagged("tuple", items)).boxed()
        }
        Ty::Generic(name, parameters) => held(name, parameters, own, level),
        Ty::Class(name) if name == "object" => prop::sample::select(vec![
            json!(null),
            json!(1),
            json!("x"),
            json!([1]),
            json!({"a": "x"}),
            tagged("tuple", json!([1, "x"])),
        ])
        .boxed(),
        Ty::Class(name) => match own.get(name) {
            Some(class) => object(class, own, level),
            None => scalar(name),
        },
        _ => Just(Value::Null).boxed(),
    }
}

/// Some elements of a type; none where that would never end.
fn some(ty: &Ty, own: &Classes, level: u32) -> BoxedStrategy<Vec<Value>> {
    if level < LEVELS {
        prop::collection::vec(value_of(ty, own, level), 0..4).boxed()
    } else {
        Just(Vec::new()).boxed()
    }
}

/// Members and objects of a class; what a `TypedDict` does not declare may be there all the same, and anything.
fn object(class: &Class, own: &Classes, level: u32) -> BoxedStrategy<Value> {
    if class.kind == ClassKind::Enum {
        let member = |member: &Member| json!({"$": "enum", "t": class.name, "v": member.name});
        return prop::sample::select(class.members.iter().map(member).collect::<Vec<_>>()).boxed();
    }
    let is_open = class.kind == ClassKind::TypedDict;
    let declared = class.fields.iter().filter(|field| field.required || level < LEVELS);
    let declared: Vec<_> = declared
        .map(|field| {
            let value = value_of(&field.ty.0.parse().expect("a type"), own, level + 1);
            let value = if field.required { value.prop_map(Some).boxed() } else { prop::option::of(value).boxed() };
            (Just(field.name.clone()), value)
        })
        .collect();
    let known: Vec<String> = class.fields.iter().map(|field| field.name.clone()).collect();
    let anything = || value_of(&Ty::class("object"), own, level + 1);
    let more =
        ["a", "b", "$c", "d", "z"].into_iter().filter(|name| is_open && !known.iter().any(|known| known == name));
    let more: Vec<_> = more.map(|name| (Just(name.to_owned()), prop::option::weighted(0.3, anything()))).collect();
    let name = class.name.clone();
    (declared, more)
        .prop_map(move |(declared, more)| {
            let fields = declared.into_iter().chain(more).filter_map(|(name, value)| {
                Some((if name.starts_with('$') { format!("${name}") } else { name }, value?))
            });
            let fields = Value::Object(fields.collect());
            if is_open { fields } else { json!({"$": "object", "t": name, "v": fields}) }
        })
        .boxed()
}

fn held(name: &str, parameters: &[Ty], own: &Classes, level: u32) -> BoxedStrategy<Value> {
    let items = || some(&parameters[0], own, level);
    let list = || items().prop_map(Value::Array).boxed();
    let tuple = || items().prop_map(|items| tagged("tuple", items)).boxed();
    let set = |tag: &'static str| items().prop_map(move |items| tagged(tag, distinct(items))).boxed();
    match name {
        "list" | "MutableSequence" => list(),
        "set" | "MutableSet" => set("set"),
        "frozenset" => set("frozenset"),
        "Set" => prop_oneof![set("set"), set("frozenset")].boxed(),
        "Sequence" | "Reversible" => prop_oneof![list(), tuple()].boxed(),
        "Iterable" | "Collection" | "Container" => prop_oneof![list(), tuple(), set("set")].boxed(),
        _ => {
            let keys = some(&parameters[0], own, level);
            let counts = Ty::class("int");
            let pairs = (keys, some(parameters.get(1).unwrap_or(&counts), own, level))
                .prop_map(|(keys, values)| keys.into_iter().zip(values).collect());
            pairs.prop_map(mapping).boxed()
        }
    }
}

/// A mapping as the harness writes it: an object where all its keys are texts.
fn mapping(pairs: Vec<(Value, Value)>) -> Value {
    let keys = distinct(pairs.iter().map(|(key, _)| key.clone()).collect());
    let pairs: Vec<(Value, Value)> = pairs.into_iter().filter(|(key, _)| keys.contains(key)).collect();
    let mut kept: Vec<(Value, Value)> = Vec::new();
    for (key, value) in pairs {
        if !kept.iter().any(|(known, _)| *known == key) {
            kept.push((key, value));
        }
    }
    if kept.iter().all(|(key, _)| key.is_string()) {
        let fields = kept.into_iter().map(|(key, value)| {
            let key = key.as_str().unwrap_or_default().to_owned();
            (if key.starts_with('$') { format!("${key}") } else { key }, value)
        });
        return Value::Object(fields.collect::<Map<_, _>>());
    }
    tagged("map", kept.into_iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>())
}

/// What a set may hold, once: of numbers, which are equal in many forms, only one.
fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    let is_number = |value: &Value| {
        value.is_number()
            || value.is_boolean()
            || matches!(tag(value), "int" | "float" | "complex" | "decimal" | "enum")
    };
    for item in items {
        let is_tagged = matches!(tag(&item), "set" | "map" | "tuple" | "frozenset" | "object");
        let is_plain = item.is_array() || (item.is_object() && tag(&item).is_empty());
        let is_held = !is_tagged && !is_plain;
        // Instants are equal in many zones.
        let is_equal = |one: &Value| {
            *one == item
                || (is_number(one) && is_number(&item))
                || (matches!(tag(one), "datetime" | "time" | "path") && tag(one) == tag(&item))
        };
        if is_held && !kept.iter().any(is_equal) {
            kept.push(item);
        }
    }
    kept
}

fn tag(value: &Value) -> &str {
    value.get("$").and_then(Value::as_str).unwrap_or_default()
}

fn scalar(name: &str) -> BoxedStrategy<Value> {
    let int = || {
        prop_oneof![
            3 => (-20_i64..20).prop_map(Value::from),
            1 => (-(1_i64 << 53)..=1 << 53).prop_map(Value::from),
            1 => "-?[1-9][0-9]{17,40}".prop_map(|digits| tagged("int", digits)),
        ]
    };
    let boolean = || any::<bool>().prop_map(Value::from);
    let float = || {
        prop_oneof![
            4 => (prop::num::f64::NORMAL | prop::num::f64::ZERO | prop::num::f64::SUBNORMAL).prop_map(Value::from),
            2 => (-40_i32..40).prop_map(|half| Value::from(f64::from(half) / 2.0)),
            1 => prop::sample::select(vec!["nan", "inf", "-inf"]).prop_map(|word| tagged("float", word)),
        ]
    };
    let day = || (1..=9999_u32, 1..=12_u32, 1..=28_u32).prop_map(|(y, m, d)| format!("{y:04}-{m:02}-{d:02}"));
    let clock = || {
        let zone = prop::option::of((prop::sample::select(vec!['+', '-']), 0..24_u32, 0..60_u32));
        (0..24_u32, 0..60_u32, 0..60_u32, prop::option::of(1..1_000_000_u32), zone).prop_map(
            |(h, m, s, micros, zone)| {
                let micros = micros.map(|micros| format!(".{micros:06}")).unwrap_or_default();
                let zone =
                    zone.map(|(sign, h, m)| format!("{}{h:02}:{m:02}", if h == 0 && m == 0 { '+' } else { sign }));
                format!("{h:02}:{m:02}:{s:02}{micros}{}", zone.unwrap_or_default())
            },
        )
    };
    let datetime = || (day(), clock()).prop_map(|(day, clock)| tagged("datetime", format!("{day}T{clock}")));
    match name {
        "bool" => boolean().boxed(),
        "int" => prop_oneof![4 => int(), 1 => boolean()].boxed(),
        "float" => prop_oneof![4 => float(), 1 => int(), 1 => boolean()].boxed(),
        "complex" => prop_oneof![Just(tagged("complex", json!(["1.5", "-0.0"]))), float()].boxed(),
        "str" => prop_oneof![
            prop::sample::select(vec!["1", "1.5", "true", "2026-11-24", "09:30", "x", "", "a", "P1D", "1e3"])
                .prop_map(Value::from),
            "\\PC{0,6}".prop_map(Value::from),
        ]
        .boxed(),
        "bytes" => prop::sample::select(vec!["", "aGk=", "AAEC"]).prop_map(|coded| tagged("bytes", coded)).boxed(),
        "Decimal" => {
            let plain = "-?(0|[1-9][0-9]{0,8})(\\.[0-9]{1,5})?".prop_map(|digits| tagged("decimal", digits));
            let words = prop::sample::select(vec!["1E+3", "NaN", "Infinity", "-Infinity", "1E-7", "0E+5"]);
            let numbers = plain.prop_filter("as `str()` writes it", |form| {
                form["v"].as_str().is_some_and(|text| !text.starts_with("-0") && !is_tiny(text))
            });
            prop_oneof![4 => numbers, 1 => words.prop_map(|word| tagged("decimal", word))].boxed()
        }
        "date" => prop_oneof![4 => day().prop_map(|day| tagged("date", day)), 1 => datetime()].boxed(),
        "datetime" => datetime().boxed(),
        "time" => clock().prop_map(|clock| tagged("time", clock)).boxed(),
        "timedelta" => (-5_i64..5, 0..86_400_i64, 0..1_000_000_i64)
            .prop_map(|(d, s, u)| tagged("timedelta", vec![d, s, u]))
            .boxed(),
        "UUID" => {
            "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}".prop_map(|id| tagged("uuid", id)).boxed()
        }
        _ => prop::sample::select(vec!["a/b", "/", ".", "../x", " a "]).prop_map(|path| tagged("path", path)).boxed(),
    }
}

/// Whether Python writes it with an exponent: so many zeros after the point.
fn is_tiny(text: &str) -> bool {
    text.starts_with("0.00000") || text == "0.00000"
}
