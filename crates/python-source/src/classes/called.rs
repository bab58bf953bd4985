//! Classes that a call makes: `Row = TypedDict("Row", {"day": date})`, `Colour = Enum("Colour", "RED BLUE")`.

use qflow_model::{
    class::{Class, ClassKind, Field, Member},
    definition::TypeText,
};
use qflow_types::Ty;
use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::Ranged;
use serde_json::{Value, json};

use super::{
    Unread,
    bases::Shape,
    field::{self, Declared},
    foreign,
};
use crate::{
    constant,
    scope::{Bound, Units},
};

/// The name of a class that a value at the top level of a file makes, where the file knows it by that name and no other.
pub(crate) fn called<'a>(units: &Units<'a>, unit: usize, value: &Expr) -> Option<&'a str> {
    let written = named(units, unit, value)?;
    let file = &units.files[unit];
    // Of the file's own: a name lives as long as the file.
    let (name, bound) = file.names.get_key_value(written)?;
    matches!(bound, Bound::Assigned(_, bound) if std::ptr::eq(*bound, value)).then_some(name)
}

/// The name that such a call gives to its class.
pub(super) fn named<'e>(units: &Units<'_>, unit: usize, value: &'e Expr) -> Option<&'e str> {
    let call = value.as_call_expr()?;
    kind(units, unit, call)?;
    Some(call.arguments.args.first()?.as_string_literal_expr()?.value.to_str())
}

fn kind(units: &Units<'_>, unit: usize, call: &ExprCall) -> Option<(ClassKind, Option<&'static str>)> {
    Some(match foreign(units, unit, &call.func)?.as_str() {
        "typing.TypedDict" | "typing_extensions.TypedDict" => (ClassKind::TypedDict, None),
        "typing.NamedTuple" | "typing_extensions.NamedTuple" | "collections.namedtuple" => {
            (ClassKind::NamedTuple, None)
        }
        "enum.Enum" => (ClassKind::Enum, None),
        "enum.IntEnum" => (ClassKind::Enum, Some("int")),
        "enum.StrEnum" => (ClassKind::Enum, Some("str")),
        _ => return None,
    })
}

/// The names of the members of an enum that a call makes; their values are not looked at, since they may name a member.
pub(crate) fn members<'e>(units: &Units<'_>, unit: usize, value: &'e Expr) -> Vec<&'e str> {
    let call =
        value.as_call_expr().filter(|call| kind(units, unit, call).is_some_and(|(kind, _)| kind == ClassKind::Enum));
    let of = call.and_then(|call| call.arguments.args.get(1));
    let text = |expr: &'e Expr| expr.as_string_literal_expr().map(|literal| literal.value.to_str());
    let first = |expr: &'e Expr| text(expr).or_else(|| elements(expr).and_then(<[Expr]>::first).and_then(text));
    match of {
        Some(Expr::StringLiteral(names)) => words(names.value.to_str()).collect(),
        Some(Expr::Dict(dict)) => dict.items.iter().filter_map(|item| text(item.key.as_ref()?)).collect(),
        Some(other) => elements(other).unwrap_or_default().iter().filter_map(first).collect(),
        None => Vec::new(),
    }
}

/// What such a class holds.
///
/// # Errors
/// Where that is computed.
pub(super) fn read(units: &Units<'_>, unit: usize, name: &str, call: &ExprCall) -> Result<Class, Unread> {
    let unsure = |what: &Expr| Unread::at(unit, what.range(), "only Python knows what stands here");
    let whole = || Unread::at(unit, call.range(), "only Python knows what this makes");
    let (kind, mixed) = kind(units, unit, call).ok_or_else(whole)?;
    let shape = Shape {
        kind,
        bases: mixed.map(str::to_owned).into_iter().collect(),
        fields: Vec::new(),
        total: true,
        is_text: mixed == Some("str"),
        adds: true,
        unhashable: false,
    };
    let (mut shape, mut defaults) = (shape, None);
    for keyword in &call.arguments.keywords {
        match (kind, keyword.arg.as_ref().map(|name| name.id.as_str()), &keyword.value) {
            (ClassKind::TypedDict, Some("total"), Expr::BooleanLiteral(literal)) => shape.total = literal.value,
            (ClassKind::NamedTuple, Some("defaults"), values) => defaults = Some(values),
            (ClassKind::NamedTuple | ClassKind::Enum, Some("module"), _) => {}
            (_, _, value) => return Err(unsure(value)),
        }
    }
    let [_, of] = &*call.arguments.args else { return Err(whole()) };
    let (mut fields, mut members) = (Vec::new(), Vec::new());
    match (kind, of) {
        (ClassKind::TypedDict, Expr::Dict(dict)) => {
            for item in &dict.items {
                let key = item.key.as_ref().and_then(Expr::as_string_literal_expr).ok_or_else(|| unsure(of))?;
                fields.push(field(units, unit, key.value.to_str(), &item.value, &shape)?);
            }
        }
        (ClassKind::NamedTuple, of) => fields = tuple(units, unit, of, defaults, &shape)?,
        (ClassKind::Enum, of) => members = enumerated(units, unit, of, &shape)?,
        _ => return Err(unsure(of)),
    }
    let name = format!("{}.{name}", units.files[unit].text.module());
    Ok(Class { name, kind, bases: shape.bases, fields, members, unhashable: false })
}

fn field(units: &Units<'_>, unit: usize, name: &str, annotation: &Expr, shape: &Shape) -> Result<Field, Unread> {
    let declared = field::declared(units, unit, annotation, shape)?;
    let none = || Unread::at(unit, annotation.range(), "this declares no field");
    let Declared { ty, required, .. } = declared.ok_or_else(none)?;
    Ok(Field { name: name.to_owned(), ty: TypeText(ty.to_string()), required, default: None })
}

/// `[("x", int), ("y", int)]`, and of `namedtuple` `"x y"` and `["x", "y"]`, whose fields may hold anything.
fn tuple(
    units: &Units<'_>,
    unit: usize,
    of: &Expr,
    defaults: Option<&Expr>,
    shape: &Shape,
) -> Result<Vec<Field>, Unread> {
    let unsure = |what: &Expr| Unread::at(unit, what.range(), "only Python knows what stands here");
    let any =
        |name: &str| Field { name: name.to_owned(), ty: TypeText(Ty::Any.to_string()), required: true, default: None };
    let mut fields = Vec::new();
    match of {
        Expr::StringLiteral(names) => fields.extend(words(names.value.to_str()).map(any)),
        other => {
            for part in elements(other).ok_or_else(|| unsure(of))? {
                fields.push(match (part, elements(part)) {
                    (Expr::StringLiteral(name), _) => any(name.value.to_str()),
                    (_, Some([Expr::StringLiteral(name), annotation])) => {
                        field(units, unit, name.value.to_str(), annotation, shape)?
                    }
                    _ => return Err(unsure(part)),
                });
            }
        }
    }
    let given = match defaults {
        None => &[],
        Some(values) => elements(values).ok_or_else(|| unsure(values))?,
    };
    let first = fields.len().checked_sub(given.len()).ok_or_else(|| unsure(of))?;
    for (field, value) in fields[first..].iter_mut().zip(given) {
        field.required = false;
        field.default = constant::value(units, unit, value).ok();
    }
    Ok(fields)
}

/// `"RED BLUE"`, `["RED", "BLUE"]`, `[("RED", "r")]`, `{"RED": "r"}`: those without a value are counted from 1, or are texts.
fn enumerated(units: &Units<'_>, unit: usize, of: &Expr, shape: &Shape) -> Result<Vec<Member>, Unread> {
    let unsure = |what: &Expr| Unread::at(unit, what.range(), "only Python knows what stands here");
    let counted =
        |at: usize, name: &str| -> Value { if shape.is_text { json!(name.to_lowercase()) } else { json!(at + 1) } };
    let known = |value: &Expr| constant::value(units, unit, value).map_err(|_| unsure(value));
    let mut members: Vec<Member> = Vec::new();
    let mut add = |name: &str, value: Value| members.push(Member { name: name.to_owned(), value });
    match of {
        Expr::StringLiteral(names) => {
            words(names.value.to_str()).enumerate().for_each(|(at, name)| add(name, counted(at, name)));
        }
        Expr::Dict(dict) => {
            for item in &dict.items {
                let key = item.key.as_ref().and_then(Expr::as_string_literal_expr).ok_or_else(|| unsure(of))?;
                add(key.value.to_str(), known(&item.value)?);
            }
        }
        other => {
            for (at, part) in elements(other).ok_or_else(|| unsure(of))?.iter().enumerate() {
                match (part, elements(part)) {
                    (Expr::StringLiteral(name), _) => add(name.value.to_str(), counted(at, name.value.to_str())),
                    (_, Some([Expr::StringLiteral(name), value])) => add(name.value.to_str(), known(value)?),
                    _ => return Err(unsure(part)),
                }
            }
        }
    }
    if members.is_empty() || members.iter().any(|member| member.name.starts_with('_')) {
        return Err(unsure(of));
    }
    Ok(members)
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split([',', ' ', '\t', '\n']).filter(|word| !word.is_empty())
}

fn elements(expr: &Expr) -> Option<&[Expr]> {
    match expr {
        Expr::List(list) => Some(&list.elts),
        Expr::Tuple(tuple) => Some(&tuple.elts),
        _ => None,
    }
}
