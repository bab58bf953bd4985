//! What a class is, by its bases and decorators, and what it has from them.

use qflow_model::class::{Class, ClassKind, Field};
use ruff_python_ast::{Decorator, Expr, ExprCall, StmtClassDef};

use super::{foreign, one};
use crate::{
    annotation,
    scope::{Bound, Units},
};

/// What a class is before its own body is read.
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
}

/// The shape of a class; nothing where its bases or decorators do something of their own.
pub(super) fn shape(units: &Units<'_>, unit: usize, class: &StmtClassDef, left: usize) -> Option<Shape> {
    if class.type_params.is_some() {
        return None;
    }
    let is_dataclass = decorated(units, unit, &class.decorator_list)?;
    let (bases, keywords) = match &class.arguments {
        Some(arguments) => (&*arguments.args, &*arguments.keywords),
        None => (&[][..], &[][..]),
    };
    let Inherited { kind, mut above, fields, mixed, is_text } = inherited(units, unit, bases, left)?;
    let kind = match (kind, is_dataclass) {
        (None | Some(ClassKind::Dataclass), true) => ClassKind::Dataclass,
        // Fields that a class without the decorator adds are none.
        (Some(ClassKind::Dataclass) | None, false) | (Some(_), true) => return None,
        (Some(kind), false) => kind,
    };
    let (mut total, sound) = (true, !mixed || kind == ClassKind::Enum);
    for keyword in keywords {
        match (kind, keyword.arg.as_ref().map(|name| name.id.as_str()), &keyword.value) {
            (ClassKind::TypedDict, Some("total"), Expr::BooleanLiteral(literal)) => total = literal.value,
            _ => return None,
        }
    }
    above.sort();
    above.dedup();
    sound.then_some(Shape { kind, bases: above, fields, total, is_text })
}

/// What a class has from its bases.
struct Inherited {
    kind: Option<ClassKind>,
    above: Vec<String>,
    fields: Vec<Field>,
    /// Whether a text or a number is mixed in.
    mixed: bool,
    is_text: bool,
}

fn inherited(units: &Units<'_>, unit: usize, bases: &[Expr], left: usize) -> Option<Inherited> {
    let mut all = Inherited { kind: None, above: Vec::new(), fields: Vec::new(), mixed: false, is_text: false };
    for base in bases {
        let (of, from) = match units.resolve(unit, base) {
            Some(Bound::Foreign(name)) => {
                all.is_text |= name == "enum.StrEnum";
                all.above.extend(mixed_in(&name).map(str::to_owned));
                (kind_of(&name)?, Vec::new())
            }
            Some(Bound::Class(at, own)) => {
                let Class { kind, bases, fields, members, .. } = one(units, at, own, left - 1)?;
                all.above.push(annotation::own(own.name.id.as_str(), &units.files[at].text.module()));
                all.above.extend(bases);
                // An enum without members may be a base, and only such a one; a tuple's fields are fixed.
                let fixed = !members.is_empty() || kind == ClassKind::NamedTuple;
                (if fixed { return None } else { kind }, fields)
            }
            None if is_builtin(base) => {
                all.mixed = true;
                all.above.extend(base.as_name_expr().map(|name| name.id.to_string()));
                continue;
            }
            _ => return None,
        };
        if all.kind.is_some_and(|kind| kind != of) {
            return None;
        }
        all.kind = Some(of);
        from.into_iter().for_each(|field| super::put(&mut all.fields, field));
    }
    Some(all)
}

/// What members of an enum of the standard library's are besides.
fn mixed_in(base: &str) -> Option<&'static str> {
    match base {
        "enum.IntEnum" => Some("int"),
        "enum.StrEnum" => Some("str"),
        _ => None,
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

/// Whether a class is a dataclass; nothing where another decorator may make something else of it.
fn decorated(units: &Units<'_>, unit: usize, decorators: &[Decorator]) -> Option<bool> {
    let mut is_dataclass = false;
    for decorator in decorators {
        let (function, call) = match &decorator.expression {
            Expr::Call(call) => (&*call.func, Some(call)),
            other => (other, None),
        };
        match foreign(units, unit, function)?.as_str() {
            "dataclasses.dataclass" if call.is_none_or(has_init) => is_dataclass = true,
            "enum.unique" | "functools.total_ordering" | "typing.final" | "typing_extensions.final" => {}
            _ => return None,
        }
    }
    Some(is_dataclass)
}

/// Whether a dataclass is made by its fields.
fn has_init(call: &ExprCall) -> bool {
    let arguments = &call.arguments;
    let fine = |name: &str| {
        matches!(
            name,
            "repr" | "eq" | "order" | "unsafe_hash" | "frozen" | "match_args" | "kw_only" | "slots" | "weakref_slot"
        )
    };
    let all = arguments.keywords.iter().all(|keyword| keyword.arg.as_ref().is_some_and(|name| fine(name.id.as_str())));
    arguments.args.is_empty() && all
}
