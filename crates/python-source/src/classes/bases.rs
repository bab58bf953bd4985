//! What a class is, by its bases and decorators, and what it has from them.
//!
//! A class that is derived from a dataclass or a `NamedTuple` without being made one itself has the fields of that and no more.

use qflow_model::class::{Class, ClassKind, Field};
use qflow_types::Ty;
use ruff_python_ast::{Decorator, Expr, ExprCall, Stmt, StmtClassDef};
use ruff_text_size::{Ranged, TextRange};

use super::{Unread, Written, called, foreign, is_harmless, one};
use crate::{
    annotation,
    scope::{Bound, Spent, Units},
};

/// What a class is before its own body is read.
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own")]
pub(super) struct Shape {
    pub(super) kind: ClassKind,
    /// Its bases and theirs, as types spell them.
    pub(super) bases: Vec<String>,
    /// Those of its bases.
    pub(super) fields: Vec<Field>,
    /// Of a `TypedDict`: whether fields must be given that do not say otherwise.
    pub(super) total: bool,
    /// Of an enum: whether `auto()` gives the name in small letters.
    pub(super) is_text: bool,
    /// Whether what is declared in its body are fields.
    pub(super) adds: bool,
    /// Whether its objects have no hash.
    pub(super) unhashable: bool,
}

/// The shape of a class.
///
/// # Errors
/// Where its bases or decorators do something of their own.
pub(super) fn shape(units: &Units<'_>, unit: usize, class: &StmtClassDef, left: usize) -> Result<Shape, Unread> {
    let (bases, keywords) = match &class.arguments {
        Some(arguments) => (&*arguments.args, &*arguments.keywords),
        None => (&[][..], &[][..]),
    };
    let decoration = decorated(units, unit, &class.decorator_list).map_err(|why| {
        let is_record = inherited(units, unit, bases, left).is_ok_and(|all| all.kind.is_some());
        if is_record { why.told(unit, class.name.range()) } else { why }
    })?;
    let Inherited { kind, mut above, fields, mixed, is_text, unhashable, fixed } = inherited(units, unit, bases, left)
        .map_err(|why| {
            let is_record = decoration.is_some() || bases.iter().any(|base| is_record(units, unit, base, left));
            if is_record { why.told(unit, class.name.range()) } else { why }
        })?;
    let at = class.name.range();
    let (kind, adds) = match (kind, &decoration) {
        (None | Some(ClassKind::Dataclass), Some(_)) => (ClassKind::Dataclass, true),
        (None, None) => return Err(Unread::no_record(unit, at)),
        (Some(kind), Some(_)) => {
            return Err(Unread::of(kind, unit, at, "it is a dataclass and something else at once"));
        }
        (Some(kind @ (ClassKind::Dataclass | ClassKind::NamedTuple)), None) => {
            (kind, kind == ClassKind::NamedTuple && !fixed)
        }
        (Some(kind), None) => (kind, true),
    };
    if class.type_params.is_some() {
        return Err(Unread::of(kind, unit, at, "it is generic"));
    }
    let mut total = true;
    for keyword in keywords {
        match (kind, keyword.arg.as_ref().map(|name| name.id.as_str()), &keyword.value) {
            (ClassKind::TypedDict, Some("total"), Expr::BooleanLiteral(literal)) => total = literal.value,
            _ => return Err(Unread::of(kind, unit, keyword.range(), "what this does to the class is not followed")),
        }
    }
    if mixed && kind != ClassKind::Enum {
        return Err(Unread::of(kind, unit, at, "it is a text or a number besides"));
    }
    above.sort();
    above.dedup();
    // Without a decorator of its own it has the hash, or none, of what it is derived from.
    let unhashable = decoration.map_or(unhashable, |decoration| decoration.unhashable);
    Ok(Shape { kind, bases: above, fields, total, is_text, adds, unhashable })
}

/// What a class is derived from that only Python knows more of: its bases and theirs, as types spell them.
pub(super) fn above(units: &Units<'_>, unit: usize, class: &StmtClassDef, left: usize) -> Vec<String> {
    let bases = class.arguments.as_ref().map_or(&[][..], |arguments| &*arguments.args);
    let mut all = Vec::new();
    for base in bases {
        // `Box[int]`: what is given in brackets nobody compares.
        let head = base.as_subscript_expr().map_or(base, |of| &*of.value);
        if left == 0 || units.spend(1) != Spent::Within {
            break;
        }
        match units.resolve(unit, head) {
            Some(Bound::Class(at, own)) => {
                all.push(units.own(at, own.name.id.as_str()));
                all.extend(above(units, at, own, left - 1));
            }
            Some(Bound::Foreign(name)) if stood_for(&name).is_some() => all.extend(stood_for(&name).map(str::to_owned)),
            _ => {
                if let Ok(Ty::Class(name) | Ty::Generic(name, _)) = annotation::read(units, unit, head) {
                    all.push(name);
                }
            }
        }
    }
    all.sort();
    all.dedup();
    all
}

/// What a class has from its bases.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "each says something of its own")]
struct Inherited {
    kind: Option<ClassKind>,
    above: Vec<String>,
    fields: Vec<Field>,
    /// Whether a text or a number is mixed in.
    mixed: bool,
    is_text: bool,
    unhashable: bool,
    /// Whether its fields are those of a `NamedTuple` above it.
    fixed: bool,
}

fn inherited(units: &Units<'_>, unit: usize, bases: &[Expr], left: usize) -> Result<Inherited, Unread> {
    let mut all = Inherited::default();
    for base in bases {
        let written = || units.files[unit].text.written(base.range());
        let resolved = units.resolve(unit, base);
        let called_by = match (&resolved, base) {
            (Some(Bound::Assigned(at, value)), _) => called::named(units, *at, value).map(|_| (*at, *value)),
            // `class Point(NamedTuple("Point", [("x", int)]))`
            (None, Expr::Call(_)) => called::named(units, unit, base).map(|_| (unit, base)),
            _ => None,
        };
        if is_bare(units, base, resolved.as_ref()) {
            if let Some(Bound::Class(at, own)) = resolved {
                all.above.push(units.own(at, own.name.id.as_str()));
            }
            continue;
        }
        let (of, from) = match resolved {
            _ if called_by.is_some() => {
                let Some((at, value)) = called_by else { continue };
                let (Some(name), Some(call)) = (called::named(units, at, value), value.as_call_expr()) else {
                    continue;
                };
                let read = one(units, at, Written::Call(name, call), left - 1)?;
                // What stands among the bases themselves has no name to go by.
                all.above.extend(resolved.is_some().then(|| units.own(at, name)));
                all.fixed |= read.kind == ClassKind::NamedTuple;
                (read.kind, read.fields)
            }
            Some(Bound::Foreign(name)) => {
                all.is_text |= name == "enum.StrEnum";
                all.above.extend(mixed_in(&name).map(str::to_owned));
                let why = match name.as_str() {
                    "typing.Generic" | "typing_extensions.Generic" => "it is generic".to_owned(),
                    "enum.Flag" | "enum.IntFlag" => "members of a Flag are combined".to_owned(),
                    _ => format!("what its base `{}` does is not followed", written()),
                };
                let is_known = matches!(name.as_str(), "enum.Flag" | "enum.IntFlag");
                let is_told = is_known || all.kind.is_some();
                let unsure: fn(usize, TextRange, String) -> Unread = if is_told { Unread::at } else { Unread::unsure };
                (kind_of(&name).ok_or_else(|| unsure(unit, base.range(), why))?, Vec::new())
            }
            Some(Bound::Class(at, own)) => {
                let Class { kind, bases, fields, members, unhashable, .. } =
                    one(units, at, Written::Statement(own), left - 1)?;
                all.above.push(units.own(at, own.name.id.as_str()));
                all.above.extend(bases);
                all.unhashable |= unhashable;
                // An enum without members may be a base, and only such a one.
                if !members.is_empty() {
                    return Err(Unread::at(unit, base.range(), "an enum with members has none below it"));
                }
                all.fixed |= kind == ClassKind::NamedTuple;
                (kind, fields)
            }
            None if is_builtin(base) => {
                all.mixed = true;
                all.above.extend(base.as_name_expr().map(|name| name.id.to_string()));
                continue;
            }
            _ => {
                let generic = base.as_subscript_expr().and_then(|of| foreign(units, unit, &of.value));
                let is_generic = generic.is_some_and(|name| name.ends_with(".Generic"));
                let why = if is_generic {
                    "it is generic".to_owned()
                } else {
                    format!("what its base `{}` does is not followed", written())
                };
                return Err(Unread::unsure(unit, base.range(), why));
            }
        };
        if all.kind.is_some_and(|kind| kind != of) || (all.fixed && bases.len() > 1) {
            return Err(Unread::of(of, unit, base.range(), "its bases are of different kinds"));
        }
        all.kind = Some(of);
        from.into_iter().for_each(|field| super::put(&mut all.fields, field));
    }
    Ok(all)
}

/// Whether a base adds methods and nothing else: `object`, `ABC`, a class of such.
fn is_bare(units: &Units<'_>, base: &Expr, resolved: Option<&Bound<'_>>) -> bool {
    match resolved {
        None => base.as_name_expr().is_some_and(|name| name.id.as_str() == "object"),
        Some(Bound::Foreign(name)) => name == "abc.ABC",
        Some(Bound::Class(at, own)) => {
            let harmless = |stmt: &Stmt| match stmt {
                Stmt::Pass(_) => true,
                Stmt::Expr(text) => text.value.is_string_literal_expr() || text.value.is_ellipsis_literal_expr(),
                Stmt::FunctionDef(method) => is_harmless(units, *at, method, ClassKind::Enum).is_ok(),
                _ => false,
            };
            let bases = own.arguments.as_ref().map_or(&[][..], |arguments| &*arguments.args);
            let roots = bases.iter().all(|base| match units.resolve(*at, base) {
                Some(Bound::Class(..)) => false,
                resolved => is_bare(units, base, resolved.as_ref()),
            });
            let keywords = own.arguments.as_ref().is_some_and(|arguments| !arguments.keywords.is_empty());
            let plain = own.decorator_list.is_empty() && own.type_params.is_none() && !keywords;
            plain && roots && own.body.iter().all(harmless)
        }
        Some(_) => false,
    }
}

/// Whether a base makes a record or an enum of a class.
fn is_record(units: &Units<'_>, unit: usize, base: &Expr, left: usize) -> bool {
    match units.resolve(unit, base) {
        Some(Bound::Foreign(name)) => kind_of(&name).is_some_and(|kind| kind != ClassKind::Model),
        Some(Bound::Class(at, own)) => {
            one(units, at, Written::Statement(own), left - 1).is_ok_and(|read| read.kind != ClassKind::Model)
        }
        _ => false,
    }
}

/// What members of an enum of the standard library's are besides.
fn mixed_in(base: &str) -> Option<&'static str> {
    match base {
        "enum.IntEnum" => Some("int"),
        "enum.StrEnum" => Some("str"),
        _ => None,
    }
}

/// What objects of a class that is derived from one are, whatever else.
fn stood_for(base: &str) -> Option<&'static str> {
    match base {
        "enum.IntFlag" => Some("int"),
        _ => match kind_of(base) {
            Some(ClassKind::NamedTuple) => Some("tuple"),
            Some(ClassKind::TypedDict) => Some("Mapping"),
            _ => mixed_in(base),
        },
    }
}

fn kind_of(base: &str) -> Option<ClassKind> {
    Some(match base {
        "enum.Enum" | "enum.IntEnum" | "enum.StrEnum" => ClassKind::Enum,
        "typing.NamedTuple" | "typing_extensions.NamedTuple" => ClassKind::NamedTuple,
        "typing.TypedDict" | "typing_extensions.TypedDict" => ClassKind::TypedDict,
        "pydantic.BaseModel" | "pydantic.main.BaseModel" => ClassKind::Model,
        // What says of a frame which columns it has: a class that no value is of.
        "pandera.DataFrameModel"
        | "pandera.SchemaModel"
        | "pandera.pandas.DataFrameModel"
        | "pandera.polars.DataFrameModel"
        | "pandera.api.pandas.model.DataFrameModel" => ClassKind::Model,
        _ => return None,
    })
}

fn is_builtin(base: &Expr) -> bool {
    base.as_name_expr().is_some_and(|name| matches!(name.id.as_str(), "str" | "int" | "float"))
}

/// What a decorator says of a dataclass.
struct Decoration {
    unhashable: bool,
}

/// What makes a class a dataclass, where one does.
///
/// # Errors
/// Where another decorator may make something else of it.
fn decorated(units: &Units<'_>, unit: usize, decorators: &[Decorator]) -> Result<Option<Decoration>, Unread> {
    let mut found = None;
    for decorator in decorators {
        let (function, call) = match &decorator.expression {
            Expr::Call(call) => (&*call.func, Some(call)),
            other => (other, None),
        };
        let written = || units.files[unit].text.written(decorator.expression.range());
        match foreign(units, unit, function).as_deref() {
            Some("dataclasses.dataclass") => {
                let why = || format!("`@{}` does not make it by its fields", written());
                let unhashable = call.map_or(Some(true), by_value);
                let unhashable = unhashable.ok_or_else(|| Unread::at(unit, decorator.range(), why()))?;
                found = Some(Decoration { unhashable });
            }
            Some(
                "enum.unique" | "functools.total_ordering" | "typing.final" | "typing_extensions.final" | "enum.verify",
            ) => {}
            _ => {
                let why = format!("`@{}` may make something else of it", written());
                return Err(Unread::unsure(unit, decorator.range(), why));
            }
        }
    }
    Ok(found)
}

/// Whether the objects of a dataclass have no hash; nothing where it is not made by its fields.
fn by_value(call: &ExprCall) -> Option<bool> {
    let fine = |name: &str| {
        matches!(
            name,
            "repr" | "eq" | "order" | "unsafe_hash" | "frozen" | "match_args" | "kw_only" | "slots" | "weakref_slot"
        )
    };
    let (mut compares, mut hashed) = (true, false);
    for keyword in &call.arguments.keywords {
        let name = keyword.arg.as_ref()?.id.as_str();
        let flag = keyword.value.as_boolean_literal_expr().map(|literal| literal.value);
        match (name, flag) {
            ("eq", Some(flag)) => compares = flag,
            ("frozen" | "unsafe_hash", Some(flag)) => hashed |= flag,
            // What is computed may hold.
            ("eq", None) => compares = false,
            ("frozen" | "unsafe_hash", None) => hashed = true,
            ("init", Some(true)) => {}
            (name, _) if fine(name) => {}
            _ => return None,
        }
    }
    call.arguments.args.is_empty().then_some(compares && !hashed)
}

/// Whether a model's configuration leaves how it is given to its fields: no names of another form, no values of another class.
pub(super) fn is_plain_configuration(units: &Units<'_>, unit: usize, name: &str, value: &Expr) -> bool {
    const TELLING: &[&str] = &["alias_generator", "use_enum_values"];
    let keys: Option<Vec<&str>> = match value {
        Expr::Dict(dict) => {
            dict.items.iter().map(|item| Some(item.key.as_ref()?.as_string_literal_expr()?.value.to_str())).collect()
        }
        Expr::Call(call) if foreign(units, unit, &call.func).is_some_and(|name| name == "pydantic.ConfigDict") => {
            let keys = call.arguments.keywords.iter().map(|keyword| Some(keyword.arg.as_ref()?.id.as_str()));
            keys.collect::<Option<Vec<_>>>().filter(|_| call.arguments.args.is_empty())
        }
        _ => None,
    };
    name == "model_config" && keys.is_some_and(|keys| keys.iter().all(|key| !TELLING.contains(key)))
}
