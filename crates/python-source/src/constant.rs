//! Constants: literals and the few calls of the standard library that are as good as one, in the tagged form.

use ruff_python_ast::{Arguments, Expr, ExprCall, Number, UnaryOp};
use ruff_text_size::{Ranged, TextRange};
use serde_json::{Map, Value, json};

use crate::scope::{Bound, Units};

/// Nesting of a literal: its JSON must be readable by readers that stop at 128 levels.
const DEPTH: usize = 40;
/// The largest integer that every reader of JSON holds exactly.
const EXACT: i64 = 1 << 53;

/// Why an expression is no constant, and which part of it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotConstant {
    /// It reads a clock.
    Clock(TextRange),
    /// It is a constant, but a wrong one.
    Wrong(TextRange, &'static str),
    /// It is something else.
    Other(TextRange),
}

/// The value of a constant.
pub(crate) fn value(units: &Units<'_>, unit: usize, expr: &Expr) -> Result<Value, NotConstant> {
    read(units, unit, expr, 0)
}

fn read(units: &Units<'_>, unit: usize, expr: &Expr, depth: usize) -> Result<Value, NotConstant> {
    if depth > DEPTH {
        return Err(NotConstant::Wrong(expr.range(), "a literal nested this deep"));
    }
    let each = |items: &[Expr]| items.iter().map(|e| read(units, unit, e, depth + 1)).collect::<Result<Vec<_>, _>>();
    match expr {
        Expr::NoneLiteral(_) => Ok(Value::Null),
        Expr::BooleanLiteral(literal) => Ok(json!(literal.value)),
        Expr::StringLiteral(literal) => Ok(json!(literal.value.to_str())),
        Expr::NumberLiteral(literal) => {
            number(&literal.value, false).ok_or(NotConstant::Wrong(expr.range(), "this number"))
        }
        Expr::UnaryOp(unary) if matches!(unary.op, UnaryOp::USub | UnaryOp::UAdd) => match &*unary.operand {
            Expr::NumberLiteral(literal) => {
                number(&literal.value, unary.op == UnaryOp::USub).ok_or(NotConstant::Wrong(expr.range(), "this number"))
            }
            _ => Err(NotConstant::Other(expr.range())),
        },
        Expr::List(list) => each(&list.elts).map(Value::Array),
        Expr::Tuple(tuple) => Ok(json!({"$": "tuple", "v": each(&tuple.elts)?})),
        Expr::Set(set) => {
            let mut items = each(&set.elts)?;
            // Sets are stored in the order of their encodings, without repeats.
            items.sort_by_cached_key(Value::to_string);
            items.dedup();
            Ok(json!({"$": "set", "v": items}))
        }
        Expr::Dict(dict) => {
            let mut pairs = Vec::with_capacity(dict.items.len());
            for item in &dict.items {
                let key = item.key.as_ref().ok_or(NotConstant::Other(item.value.range()))?;
                let key = read(units, unit, key, depth + 1)?;
                pairs.push((key, read(units, unit, &item.value, depth + 1)?));
            }
            Ok(mapping(pairs))
        }
        Expr::Name(_) | Expr::Attribute(_) => named(units, unit, expr, depth),
        Expr::Call(inner) => call(units, unit, inner, depth),
        other => Err(NotConstant::Other(other.range())),
    }
}

/// The value that a call of a constructor makes.
pub(crate) fn call(units: &Units<'_>, unit: usize, call: &ExprCall, depth: usize) -> Result<Value, NotConstant> {
    let other = NotConstant::Other(call.range());
    let Some(Bound::Foreign(name)) = units.resolve(unit, &call.func) else { return Err(other) };
    if is_clock(&name) {
        return Err(NotConstant::Clock(call.range()));
    }
    made(units, unit, &name, &call.arguments, depth).unwrap_or(Err(other)).map_err(|why| match why {
        NotConstant::Wrong(range, what) if range.is_empty() => NotConstant::Wrong(call.range(), what),
        other => other,
    })
}

/// A mapping in the tagged form: an object where all keys are texts.
fn mapping(pairs: Vec<(Value, Value)>) -> Value {
    if pairs.iter().all(|(key, _)| key.is_string()) {
        let stored = |key: &str| if key.starts_with('$') { format!("${key}") } else { key.to_owned() };
        let fields = pairs.into_iter().map(|(key, value)| (stored(key.as_str().unwrap_or_default()), value));
        return Value::Object(fields.collect::<Map<_, _>>());
    }
    json!({"$": "map", "v": pairs.into_iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>()})
}

/// A top-level constant, or a member of a top-level enum.
fn named(units: &Units<'_>, unit: usize, expr: &Expr, depth: usize) -> Result<Value, NotConstant> {
    let other = || NotConstant::Other(expr.range());
    if let Some(Bound::Assigned(at, value)) = units.resolve(unit, expr) {
        return read(units, at, value, depth + 4).map_err(|why| match why {
            NotConstant::Clock(_) => NotConstant::Clock(expr.range()),
            _ => other(),
        });
    }
    let Expr::Attribute(attribute) = expr else { return Err(other()) };
    let Some(Bound::Class(at, class)) = units.resolve(unit, &attribute.value) else { return Err(other()) };
    let member = attribute.attr.id.as_str();
    let bases = class.arguments.as_ref().map_or(&[][..], |a| &a.args);
    let is_enum = bases.iter().any(|base| {
        matches!(units.resolve(at, base), Some(Bound::Foreign(name))
            if matches!(name.as_str(), "enum.Enum" | "enum.IntEnum" | "enum.StrEnum" | "enum.Flag" | "enum.IntFlag"))
    });
    let declared = class.body.iter().any(|stmt| match stmt {
        ruff_python_ast::Stmt::Assign(assign) => {
            assign.targets.iter().any(|t| t.as_name_expr().is_some_and(|n| n.id.as_str() == member))
        }
        _ => false,
    });
    if !(is_enum && declared) {
        return Err(other());
    }
    let path = units.0[at].text.path;
    let module = path.strip_suffix(".py").unwrap_or(path).replace('/', ".");
    Ok(json!({"$": "enum", "t": format!("{module}.{}", class.name.id.as_str()), "v": member}))
}

fn number(number: &Number, negative: bool) -> Option<Value> {
    match number {
        Number::Int(int) => {
            let text = int.to_string();
            let sign = if negative { "-" } else { "" };
            match int.as_i64() {
                Some(value) if (0..=EXACT).contains(&value) => Some(json!(if negative { -value } else { value })),
                _ => {
                    let decimal = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= 4300;
                    decimal.then(|| json!({"$": "int", "v": format!("{sign}{text}")}))
                }
            }
        }
        Number::Float(value) => {
            let value = if negative { -*value } else { *value };
            let infinite = if value > 0.0 { "inf" } else { "-inf" };
            Some(if value.is_finite() { json!(value) } else { json!({"$": "float", "v": infinite}) })
        }
        Number::Complex { real, imag } => {
            let sign = if negative { -1.0 } else { 1.0 };
            let text = |part: f64| format!("{:?}", sign * part);
            Some(json!({"$": "complex", "v": [text(*real), text(*imag)]}))
        }
    }
}

/// Whether a dotted name of the standard library reads a clock.
pub(crate) fn is_clock(name: &str) -> bool {
    matches!(
        name,
        "datetime.date.today"
            | "datetime.datetime.now"
            | "datetime.datetime.today"
            | "datetime.datetime.utcnow"
            | "time.time"
            | "time.time_ns"
    )
}

/// The value that a constructor makes; `None` where it is not one of those that are as good as literals.
fn made(
    units: &Units<'_>,
    unit: usize,
    name: &str,
    arguments: &Arguments,
    depth: usize,
) -> Option<Result<Value, NotConstant>> {
    let parameters: &[&str] = match name {
        "datetime.date" => &["year", "month", "day"],
        "datetime.datetime" => &["year", "month", "day", "hour", "minute", "second", "microsecond"],
        "datetime.timedelta" => &["days", "seconds", "microseconds", "milliseconds", "minutes", "hours", "weeks"],
        "decimal.Decimal" => &["value"],
        "uuid.UUID" => &["hex"],
        "pathlib.Path" => &["path"],
        _ => return None,
    };
    let mut given: Vec<Option<Value>> = vec![None; parameters.len()];
    let mut set = |at: Option<usize>, expr: &Expr| {
        let value = read(units, unit, expr, depth + 1)?;
        match at.and_then(|at| given.get_mut(at)) {
            Some(slot) if slot.is_none() => Ok(*slot = Some(value)),
            _ => Err(NotConstant::Wrong(expr.range(), "this argument")),
        }
    };
    for (at, argument) in arguments.args.iter().enumerate() {
        if let Err(why) = set(Some(at), argument) {
            return Some(Err(why));
        }
    }
    for keyword in &arguments.keywords {
        let named = keyword.arg.as_ref().and_then(|n| parameters.iter().position(|p| *p == n.id.as_str()));
        if let Err(why) = set(named, &keyword.value) {
            return Some(Err(why));
        }
    }
    let wrong = |what| Err(NotConstant::Wrong(TextRange::default(), what));
    Some(match name {
        "datetime.timedelta" => timedelta(&given).map_or_else(|| wrong("this duration"), Ok),
        "datetime.date" | "datetime.datetime" => instant(name, &given).map_or_else(|| wrong("this date"), Ok),
        "decimal.Decimal" => match &given[0] {
            Some(Value::Number(whole)) if whole.is_i64() => Ok(json!({"$": "decimal", "v": whole.to_string()})),
            Some(Value::String(text)) => typed(text, "Decimal").map_or_else(|| wrong("this decimal"), Ok),
            None => Ok(json!({"$": "decimal", "v": "0"})),
            Some(_) => wrong("this decimal: write it as a text"),
        },
        "uuid.UUID" => {
            let read = given[0].as_ref().and_then(Value::as_str).and_then(|text| typed(text, "UUID"));
            read.map_or_else(|| wrong("this UUID"), Ok)
        }
        _ => {
            let read = given[0].as_ref().and_then(Value::as_str).and_then(|text| typed(text, "Path"));
            read.map_or_else(|| wrong("this path"), Ok)
        }
    })
}

fn typed(text: &str, class: &str) -> Option<Value> {
    qflow_types::value::from_text(text, &qflow_types::Ty::class(class)).ok()
}

fn instant(name: &str, given: &[Option<Value>]) -> Option<Value> {
    let part = |at: usize, default: i64| match given.get(at).and_then(Option::as_ref) {
        None => Some(default),
        Some(value) => value.as_i64().filter(|n| (0..=999_999).contains(n)),
    };
    let date = format!("{:04}-{:02}-{:02}", part(0, 0)?, part(1, 0)?, part(2, 0)?);
    let date = typed(&date, "date")?["v"].as_str()?.to_owned();
    if name == "datetime.date" {
        return Some(json!({"$": "date", "v": date}));
    }
    let (hour, minute, second, micro) = (part(3, 0)?, part(4, 0)?, part(5, 0)?, part(6, 0)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let fraction = if micro > 0 { format!(".{micro:06}") } else { String::new() };
    Some(json!({"$": "datetime", "v": format!("{date}T{hour:02}:{minute:02}:{second:02}{fraction}")}))
}

fn timedelta(given: &[Option<Value>]) -> Option<Value> {
    const MICROS: [f64; 7] = [86_400e6, 1e6, 1.0, 1e3, 60e6, 3_600e6, 604_800e6];
    /// Python's own bound, in days.
    const DAYS: i64 = 999_999_999;
    let mut total = 0.0;
    for (value, factor) in given.iter().zip(MICROS) {
        total += value.as_ref().map_or(Some(0.0), Value::as_f64)? * factor;
    }
    let micros = total.round() as i128;
    let (days, rest) = (micros.div_euclid(86_400_000_000), micros.rem_euclid(86_400_000_000));
    let days = i64::try_from(days).ok().filter(|d| d.abs() <= DAYS)?;
    Some(json!({"$": "timedelta", "v": [days, rest as i64 / 1_000_000, rest as i64 % 1_000_000]}))
}
