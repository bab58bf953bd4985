//! Values and types that both sides are given: all of one list with all of another, and deeper ones by a generator that always says the same.

use qflow_model::class::Classes;
use serde_json::{Value, json};

use super::texts::TEXTS;

/// Types that hold no others.
pub(crate) const SCALARS: &[&str] = &[
    "bool",
    "int",
    "float",
    "complex",
    "str",
    "bytes",
    "None",
    "Decimal",
    "date",
    "datetime",
    "time",
    "timedelta",
    "UUID",
    "Path",
    "Literal[\"a\", \"1\"]",
    "Literal[1, 2]",
    "Literal[True]",
];

/// Types of keys.
const KEYS: &[&str] = &["str", "int", "date", "float", "UUID"];

/// The user's own classes, as `lax.py` has them.
pub(crate) const CLASSES: &[&str] = &["Colour", "Level", "Row", "Point", "Order"];

/// What is known of them.
pub(crate) fn classes() -> Classes {
    let field = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": true});
    let member = |name: &str, value: Value| json!({"name": name, "value": value});
    let optional = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": false});
    serde_json::from_value(json!({
        "Colour": {"name": "__main__.Colour", "kind": "enum", "members": [member("RED", json!("r")), member("BLUE", json!("b"))]},
        "Level": {
            "name": "__main__.Level", "kind": "enum", "bases": ["int"], "members": [member("LOW", json!(1)), member("HIGH", json!(2))],
        },
        "Row": {
            "name": "__main__.Row", "kind": "typed_dict",
            "fields": [field("item", "str"), field("amount", "int"), optional("day", "date")],
        },
        "Point": {"name": "__main__.Point", "kind": "named_tuple", "fields": [field("x", "int"), field("y", "float")]},
        "Order": {
            "name": "__main__.Order", "kind": "dataclass",
            "fields": [
                field("item", "str"), field("colour", "Colour"), field("rows", "list[Row]"),
                {"name": "amount", "type": "int", "required": false, "default": 1},
            ],
        },
    }))
    .expect("classes")
}

/// What describes an object, well or not.
pub(crate) fn descriptions() -> Vec<(Value, &'static str)> {
    let row = json!({"item": "tea", "amount": "3"});
    let mut all = Vec::new();
    for row in [
        row.clone(),
        json!({"item": "tea", "amount": 3, "day": "2026-11-24"}),
        json!({"item": "tea", "amount": 3, "day": null}),
        json!({"item": "tea", "amount": "x"}),
        json!({"item": "tea"}),
        json!({}),
        json!({"item": "tea", "amount": 3, "more": 1}),
        json!({"item": 1, "amount": 3}),
        json!([["item", "tea"], ["amount", 3]]),
    ] {
        all.push((row.clone(), "Row"));
        all.push((json!([row.clone()]), "list[Row]"));
        all.push((json!([row]), "tuple[Row, ...] | None"));
    }
    for point in [
        json!({"x": 1, "y": 2.5}),
        json!({"x": "1", "y": "2.5"}),
        json!({"x": 1}),
        json!({"x": 1, "y": 2.5, "z": 3}),
        json!({"x": 1.5, "y": 2.5}),
        json!([1, 2.5]),
        tagged("tuple", vec![json!(1), json!(2.5)]),
    ] {
        all.push((point.clone(), "Point"));
        all.push((json!({"a": point}), "dict[str, Point]"));
    }
    for (colour, amount) in
        [("r", json!(2)), ("RED", json!("2")), ("green", json!(2)), ("b", json!(2.5)), ("b", json!("x"))]
    {
        all.push((json!({"item": "tea", "colour": colour, "rows": [row.clone()], "amount": amount}), "Order"));
        all.push((json!({"item": "tea", "colour": colour, "rows": [], "amount": amount}), "Order"));
        all.push((json!({"item": "tea", "colour": colour, "rows": [{"item": "tea"}]}), "Order"));
    }
    all.push((json!({"item": "tea", "colour": "r", "rows": []}), "Order"));
    all.push((json!({"item": "tea", "colour": "r"}), "Order"));
    all
}

fn tagged(tag: &str, value: impl Into<Value>) -> Value {
    json!({"$": tag, "v": value.into()})
}

/// Values that hold no others.
pub(crate) fn scalars() -> Vec<Value> {
    let mut values: Vec<Value> = TEXTS.iter().map(|text| json!(text)).collect();
    values.extend([json!(null), json!(true), json!(false)]);
    values.extend([0_i64, 1, -1, 2, 3, 86_400, 1_764_000_000, 1 << 53].map(Value::from));
    values.extend(["9007199254740993", "123456789012345678901234567890"].map(|digits| tagged("int", digits)));
    values.extend([0.0, -0.0, 1.0, 2.0, 0.5, 0.1, -2.5, 1e15, 1e16, 1e20, 1e-7, 5e-324, 1.7e308].map(Value::from));
    values.extend(["nan", "inf", "-inf"].map(|word| tagged("float", word)));
    for digits in [
        "1.50",
        "0",
        "1",
        "-0",
        "2.00",
        "2.01",
        "0.1",
        "0.1000000000000000055",
        "1E+3",
        "1E+400",
        "1E-400",
        "NaN",
        "Infinity",
    ] {
        values.push(tagged("decimal", digits));
    }
    values.extend(["2026-11-24", "0001-01-01"].map(|day| tagged("date", day)));
    for time in
        ["2026-11-24T09:30:00", "2026-11-24T00:00:00", "2026-11-24T09:30:15.500000+01:00", "2026-11-24T00:00:00+00:00"]
    {
        values.push(tagged("datetime", time));
    }
    values.extend(["09:30:00", "00:00:00", "09:30:00.000001+01:00"].map(|time| tagged("time", time)));
    values.extend([[0, 0, 0], [1, 3600, 5], [-1, 0, 0]].map(|parts| tagged("timedelta", parts.to_vec())));
    values.push(tagged("uuid", "01234567-89ab-cdef-0123-456789abcdef"));
    values.extend(["a/b", "/", "."].map(|path| tagged("path", path)));
    values.extend(["aGk=", "", "/w==", "MQ=="].map(|coded| tagged("bytes", coded)));
    values.push(tagged("complex", ["1.0", "0.0"].map(Value::from).to_vec()));
    values
}

/// Numbers that look like chance and are the same each time (splitmix64).
pub(crate) struct Numbers(pub(crate) u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((mixed ^ (mixed >> 31)) % bound as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    /// A type that holds others, up to a depth.
    pub(crate) fn ty(&mut self, depth: usize) -> String {
        if depth == 0 || self.below(4) == 0 {
            return (*self.one(SCALARS)).to_owned();
        }
        let one = self.ty(depth - 1);
        match self.below(13) {
            0 => format!("list[{one}]"),
            1 => format!("tuple[{one}, ...]"),
            2 => format!("tuple[{one}, {}]", self.ty(depth - 1)),
            3 => format!("set[{}]", self.one(SCALARS)),
            4 => format!("frozenset[{}]", self.one(SCALARS)),
            5 => format!("dict[{}, {one}]", self.one(KEYS)),
            6 => format!("{one} | None"),
            7 => format!("{one} | {}", self.one(SCALARS)),
            8 => format!("{}[{}]", self.one(&["Set", "MutableSet"]), self.one(SCALARS)),
            9 => format!("{}[{}, {one}]", self.one(&["Mapping", "MutableMapping"]), self.one(KEYS)),
            // A deque is not among them: it has no form.
            10 => format!("{}[{}, {one}]", self.one(&["OrderedDict", "defaultdict"]), self.one(KEYS)),
            11 => format!("Counter[{}]", self.one(KEYS)),
            _ => format!("Sequence[{one}]"),
        }
    }

    /// A value that may well be meant for a type: of its shape, or of one near to it.
    pub(crate) fn value(&mut self, ty: &str, scalars: &[Value]) -> Value {
        let inner = |ty: &str| -> Vec<String> {
            let Some((_, rest)) = ty.split_once('[') else { return vec![] };
            parts(&rest[..rest.len() - 1], ',')
        };
        let members = parts(ty, '|');
        if members.len() > 1 {
            let member = self.one(&members).clone();
            return self.value(&member, scalars);
        }
        let count = self.below(4);
        let root = ty.split('[').next().unwrap_or_default();
        match root {
            "list" | "set" | "frozenset" | "Set" | "MutableSet" | "Sequence" | "tuple" => {
                let types = inner(ty);
                let fixed = root == "tuple" && types.get(1).is_none_or(|second| second != "...");
                let mut items: Vec<Value> = if fixed {
                    types.iter().map(|ty| self.value(ty, scalars)).collect()
                } else {
                    (0..count).map(|_| self.value(&types[0], scalars)).collect()
                };
                if self.below(12) == 0 {
                    items.extend(items.first().cloned());
                }
                match self.below(6) {
                    0 => tagged("tuple", items),
                    1 if !items.iter().any(holds) => {
                        let (items, tag) = (distinct(items), if self.below(2) == 0 { "set" } else { "frozenset" });
                        tagged(tag, items)
                    }
                    _ => Value::Array(items),
                }
            }
            "dict" | "Mapping" | "MutableMapping" | "OrderedDict" | "defaultdict" | "Counter" => {
                let mut types = inner(ty);
                // What a `Counter` counts is all that it is given in brackets.
                types.push("int".to_owned());
                let keys = ["1", "2", "x", "2026-11-24", "01234567-89ab-cdef-0123-456789abcdef", "1.5"];
                let pairs = (0..count).map(|_| ((*self.one(&keys)).to_owned(), self.value(&types[1], scalars)));
                Value::Object(pairs.collect())
            }
            _ => self.near(root, scalars),
        }
    }

    /// A value that a scalar class may well be made of, or any.
    fn near(&mut self, class: &str, scalars: &[Value]) -> Value {
        let good = match class {
            "int" | "float" | "complex" | "Decimal" => ["1", "2", "7", "12"],
            "bool" => ["true", "off", "1", "0"],
            "date" => ["2026-11-24", "2024-02-29", "0001-01-01", "2026-11-25"],
            "datetime" => ["2026-11-24T09:30", "2026-11-24T09:30:00+01:00", "2026-11-24", "2026-11-24 09:30:15"],
            "time" => ["09:30", "09:30:15", "09:30:15.5", "09:30Z"],
            "timedelta" => ["P1DT2H", "00:05:00", "PT0.5S", "P2W"],
            "UUID" => ["01234567-89ab-cdef-0123-456789abcdef"; 4],
            _ => ["a", "1", "é", "word"],
        };
        if self.below(3) == 0 { self.one(scalars).clone() } else { json!(self.one(&good)) }
    }
}

/// Whether a value holds others, as far as sets cannot hold it.
fn holds(value: &Value) -> bool {
    value.is_array() || value.is_object()
}

fn distinct(items: Vec<Value>) -> Vec<Value> {
    let mut kept: Vec<Value> = Vec::new();
    for item in items {
        let is_number = |value: &Value| value.is_number() || value.is_boolean();
        if !kept.iter().any(|one| *one == item || (is_number(one) && is_number(&item))) {
            kept.push(item);
        }
    }
    kept
}

/// The parts of a text between separators that stand in no brackets.
pub(crate) fn parts(text: &str, separator: char) -> Vec<String> {
    let (mut depth, mut parts) = (0, vec![String::new()]);
    for c in text.chars() {
        depth += i32::from(c == '[') - i32::from(c == ']');
        match parts.last_mut() {
            Some(last) if c != separator || depth > 0 => last.push(c),
            _ => parts.push(String::new()),
        }
    }
    parts.iter().map(|part| part.trim().to_owned()).collect()
}
