//! Constants: literals, names of them, and the few calls of the standard library that are as good as one, in the tagged form.

pub(crate) mod guess;
mod made;

use ruff_python_ast::{Expr, ExprCall, Number, Stmt, StmtClassDef, StringLiteralValue, UnaryOp};
use ruff_text_size::{Ranged, TextRange};
use serde_json::{Map, Value, json};

use crate::{
    classes,
    scope::{Bound, Spent, Units},
};

/// Levels of a constant's JSON: with all that stands around it readers that stop at 128 still read it.
const LEVELS: usize = 80;
/// Classes above an enum that are looked at.
const BASES: usize = 16;
/// The largest integer that every reader of JSON holds exactly.
const EXACT: i64 = 1 << 53;
/// Digits of an integer that Python itself reads.
const DIGITS: usize = 4300;
/// Bytes of a text that count as one part of a constant.
pub(crate) const TEXT_TERM_BYTES: usize = 64;

const TOO_MUCH: &str = "the constants and types of these files hold too much, names spelt out";

/// Why an expression is no constant, and which part of it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotConstant {
    /// It reads a clock.
    Clock(TextRange),
    /// It is a constant, but a wrong one: in words.
    Wrong(TextRange, &'static str),
    /// The same of one that Python does not make either.
    Impossible(TextRange, &'static str),
    /// It is more than a submission may hold, which has been told.
    Told,
    /// It is something else.
    Other(TextRange),
}

/// The value of a constant.
pub(crate) fn value(units: &Units<'_>, unit: usize, expr: &Expr) -> Result<Value, NotConstant> {
    Reader { units, unit }.read(expr, 0)
}

/// The value that a call of a constructor makes.
pub(crate) fn call(units: &Units<'_>, unit: usize, call: &ExprCall) -> Result<Value, NotConstant> {
    Reader { units, unit }.call(call, 0)
}

/// A set of constants: stored in the order of their encodings, without repeats.
pub(crate) fn set(mut items: Vec<Value>) -> Value {
    items.sort_by_cached_key(Value::to_string);
    items.dedup();
    json!({"$": "set", "v": items})
}

/// A key of a mapping in the form it is stored in.
pub(crate) fn stored_key(key: &str) -> String {
    if key.starts_with('$') { format!("${key}") } else { key.to_owned() }
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

#[derive(Clone, Copy)]
struct Reader<'u, 'a> {
    units: &'u Units<'a>,
    unit: usize,
}

impl Reader<'_, '_> {
    /// Reads what stands `level` levels of JSON deep.
    fn read(self, expr: &Expr, level: usize) -> Result<Value, NotConstant> {
        if level > LEVELS {
            return Err(NotConstant::Wrong(expr.range(), "a literal nested this deep is not read"));
        }
        self.spend(expr, 1)?;
        match expr {
            Expr::NoneLiteral(_) => Ok(Value::Null),
            Expr::BooleanLiteral(literal) => Ok(json!(literal.value)),
            Expr::StringLiteral(literal) => self.text(expr, &literal.value),
            Expr::NumberLiteral(literal) => number(&literal.value, false).ok_or_else(|| bad_number(expr)),
            Expr::UnaryOp(unary) if matches!(unary.op, UnaryOp::USub | UnaryOp::UAdd) => match &*unary.operand {
                Expr::NumberLiteral(literal) => {
                    number(&literal.value, unary.op == UnaryOp::USub).ok_or_else(|| bad_number(expr))
                }
                _ => Err(NotConstant::Other(expr.range())),
            },
            Expr::List(list) => self.each(&list.elts, level + 1).map(Value::Array),
            Expr::Tuple(tuple) => Ok(json!({"$": "tuple", "v": self.each(&tuple.elts, level + 2)?})),
            Expr::Set(inner) => self.each(&inner.elts, level + 2).map(set),
            Expr::Dict(dict) => {
                let mut pairs = Vec::with_capacity(dict.items.len());
                for item in &dict.items {
                    let key = item.key.as_ref().ok_or(NotConstant::Other(item.value.range()))?;
                    pairs.push((self.read(key, level + 3)?, self.read(&item.value, level + 3)?));
                }
                Ok(mapping(pairs))
            }
            Expr::Name(_) | Expr::Attribute(_) => self.named(expr, level),
            Expr::Call(inner) => self.call(inner, level),
            other => Err(NotConstant::Other(other.range())),
        }
    }

    fn spend(self, expr: &Expr, terms: usize) -> Result<(), NotConstant> {
        match self.units.spend(terms) {
            Spent::Within => Ok(()),
            Spent::Past => Err(NotConstant::Wrong(expr.range(), TOO_MUCH)),
            Spent::Told => Err(NotConstant::Told),
        }
    }

    fn each(self, items: &[Expr], level: usize) -> Result<Vec<Value>, NotConstant> {
        items.iter().map(|item| self.read(item, level)).collect()
    }

    fn text(self, expr: &Expr, text: &StringLiteralValue) -> Result<Value, NotConstant> {
        let text = text.to_str();
        self.spend(expr, text.len() / TEXT_TERM_BYTES)?;
        // The parser has no lone surrogates and puts this character for them.
        let source = self.units.files[self.unit].text.content;
        let range = expr.range().start().to_usize()..expr.range().end().to_usize();
        let written = source.get(range).unwrap_or_default();
        let lost = text.contains(char::REPLACEMENT_CHARACTER)
            && !written.contains(char::REPLACEMENT_CHARACTER)
            && !written.to_ascii_lowercase().contains("fffd")
            && !written.to_ascii_lowercase().contains("replacement character");
        if lost {
            return Err(NotConstant::Wrong(expr.range(), "half a character (a lone surrogate) is no text"));
        }
        Ok(json!(text))
    }

    fn call(self, call: &ExprCall, level: usize) -> Result<Value, NotConstant> {
        let other = NotConstant::Other(call.range());
        let Some(Bound::Foreign(name)) = self.units.resolve(self.unit, &call.func) else { return Err(other) };
        if is_clock(&name) {
            return Err(NotConstant::Clock(call.range()));
        }
        let Some(parameters) = made::parameters(&name) else { return Err(other) };
        let given = self.arguments(call, parameters, level)?;
        made::value(&name, &given).map_err(|what| {
            let is_impossible = made::is_impossible(&name, &given);
            (if is_impossible { NotConstant::Impossible } else { NotConstant::Wrong })(call.range(), what)
        })
    }

    /// The arguments of a constructor in the order of its parameters.
    fn arguments(self, call: &ExprCall, parameters: &[&str], level: usize) -> Result<Vec<Option<Value>>, NotConstant> {
        let room = if parameters == made::AS_MANY { call.arguments.args.len() } else { parameters.len() };
        let mut given: Vec<Option<Value>> = vec![None; room];
        let positional = call.arguments.args.iter().enumerate().map(|(at, argument)| (Some(at), argument));
        let keywords = call.arguments.keywords.iter().map(|keyword| {
            let name = keyword.arg.as_ref().map(|name| name.id.as_str());
            (name.and_then(|name| parameters.iter().position(|p| *p == name)), &keyword.value)
        });
        for (at, expr) in positional.chain(keywords) {
            let value = self.read(expr, level + 1)?;
            match at.and_then(|at| given.get_mut(at)) {
                Some(slot) if slot.is_none() => *slot = Some(value),
                _ => return Err(NotConstant::Wrong(expr.range(), "this argument is not taken here")),
            }
        }
        Ok(given)
    }

    /// A top-level constant, or a member of a top-level enum.
    fn named(self, expr: &Expr, level: usize) -> Result<Value, NotConstant> {
        let other = NotConstant::Other(expr.range());
        if let Some(Bound::Assigned(at, value)) = self.units.resolve(self.unit, expr) {
            return Reader { unit: at, ..self }.read(value, level + 1).map_err(|why| match why {
                NotConstant::Clock(_) => NotConstant::Clock(expr.range()),
                NotConstant::Wrong(_, what) => NotConstant::Wrong(expr.range(), what),
                NotConstant::Impossible(_, what) => NotConstant::Impossible(expr.range(), what),
                NotConstant::Other(_) => other,
                NotConstant::Told => why,
            });
        }
        let Expr::Attribute(attribute) = expr else { return Err(other) };
        let (member, of) = (attribute.attr.id.as_str(), self.units.resolve(self.unit, &attribute.value));
        let (at, name) = match of {
            Some(Bound::Class(at, class)) if self.declares(at, class, member) => (at, class.name.id.as_str()),
            Some(Bound::Assigned(at, value)) => match classes::called(self.units, at, value) {
                Some(name) if classes::called_members(self.units, at, value).contains(&member) => (at, name),
                _ => return Err(other),
            },
            _ => return Err(other),
        };
        let member = match of {
            Some(Bound::Class(_, class)) => first_name(class, member),
            _ => member,
        };
        let module = self.units.files[at].text.module();
        Ok(json!({"$": "enum", "t": format!("{module}.{name}"), "v": member}))
    }

    /// Whether a class is an enum with a member of that name.
    fn declares(self, at: usize, class: &StmtClassDef, member: &str) -> bool {
        let named = |target: &Expr| target.as_name_expr().is_some_and(|name| name.id.as_str() == member);
        if !class.body.iter().any(|stmt| matches!(stmt, Stmt::Assign(a) if a.targets.iter().any(named))) {
            return false;
        }
        self.is_enum(at, class, BASES)
    }

    /// Whether a class is an enum, by itself or through enums above it. No member is read, since a member may name this one.
    fn is_enum(self, at: usize, class: &StmtClassDef, left: usize) -> bool {
        let bases = class.arguments.as_ref().map_or(&[][..], |arguments| &arguments.args);
        bases.iter().any(|base| match self.units.resolve(at, base) {
            Some(Bound::Foreign(name)) => {
                matches!(name.as_str(), "enum.Enum" | "enum.IntEnum" | "enum.StrEnum" | "enum.Flag" | "enum.IntFlag")
            }
            Some(Bound::Class(at, above)) => left > 0 && self.is_enum(at, above, left - 1),
            _ => false,
        })
    }
}

/// The name that a member of an enum has: of several for one value the first. No value is read for that, since a member may name this one.
fn first_name<'a>(class: &'a StmtClassDef, member: &'a str) -> &'a str {
    // Each with the first name of its value.
    let mut known: Vec<(&str, &str, &Expr)> = Vec::new();
    for stmt in &class.body {
        let Stmt::Assign(assign) = stmt else { continue };
        let [Expr::Name(target)] = assign.targets.as_slice() else { continue };
        let is_same = |(name, _, value): &&(&str, &str, &Expr)| match (&*assign.value, value) {
            (Expr::Name(of), _) => of.id.as_str() == *name,
            (Expr::StringLiteral(one), Expr::StringLiteral(other)) => one.value.to_str() == other.value.to_str(),
            (Expr::NumberLiteral(one), Expr::NumberLiteral(other)) => one.value == other.value,
            (Expr::BooleanLiteral(one), Expr::BooleanLiteral(other)) => one.value == other.value,
            _ => false,
        };
        let first = known.iter().find(is_same).map_or(target.id.as_str(), |(_, first, _)| first);
        if target.id.as_str() == member {
            return first;
        }
        known.push((target.id.as_str(), first, &assign.value));
    }
    member
}

fn bad_number(expr: &Expr) -> NotConstant {
    NotConstant::Wrong(expr.range(), "this number is too long, or not written in tens")
}

/// A mapping in the tagged form: an object where all keys are texts.
fn mapping(pairs: Vec<(Value, Value)>) -> Value {
    if pairs.iter().all(|(key, _)| key.is_string()) {
        let fields = pairs.into_iter().map(|(key, value)| (stored_key(key.as_str().unwrap_or_default()), value));
        return Value::Object(fields.collect::<Map<_, _>>());
    }
    json!({"$": "map", "v": pairs.into_iter().map(|(key, value)| json!([key, value])).collect::<Vec<_>>()})
}

fn number(number: &Number, negative: bool) -> Option<Value> {
    match number {
        Number::Int(int) => match int.as_i64() {
            Some(value) if (0..=EXACT).contains(&value) => Some(json!(if negative { -value } else { value })),
            _ => {
                let text = int.to_string();
                let sign = if negative { "-" } else { "" };
                let decimal = text.bytes().all(|b| b.is_ascii_digit()) && text.len() <= DIGITS;
                decimal.then(|| json!({"$": "int", "v": format!("{sign}{text}")}))
            }
        },
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
