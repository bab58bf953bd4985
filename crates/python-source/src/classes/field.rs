//! Fields of a record: their types, and whether they must be given.

use qflow_model::{
    class::{ClassKind, Field},
    definition::TypeText,
};
use qflow_types::Ty;
use ruff_python_ast::{Expr, ExprCall, StmtAnnAssign};
use ruff_text_size::Ranged;
use serde_json::{Value, json};

use super::{Unread, bases::Shape, foreign};
use crate::{annotation, constant, scope::Units};

/// The words that make more of an annotation than a type where they stand in it.
const WRAPPERS: &[&str] = &["ClassVar", "InitVar", "KW_ONLY", "Required", "ReadOnly", "Final"];

/// A field, or nothing where a declaration makes none.
///
/// # Errors
/// Where it is not sure what it makes.
pub(super) fn read(
    units: &Units<'_>,
    unit: usize,
    assign: &StmtAnnAssign,
    shape: &Shape,
) -> Result<Option<Field>, Unread> {
    let unsure = |why: &str| Unread::of(shape.kind, unit, assign.range(), why);
    let name = assign.target.as_name_expr().ok_or_else(|| unsure("what is declared here is no name"))?.id.as_str();
    let Some(Declared { ty, mut required, default: within }) = declared(units, unit, &assign.annotation, shape)? else {
        return Ok(None);
    };
    if shape.kind == ClassKind::Model && name.starts_with('_') {
        return Ok(None);
    }
    let given = match &assign.value {
        None => within,
        Some(value) => {
            let told = default(units, unit, value, shape.kind);
            Some(told.ok_or_else(|| unsure("what this says of the field is not followed"))?)
        }
    };
    let default = match given {
        None | Some(Default::Required) => None,
        Some(Default::Known(value)) => {
            required = false;
            Some(value)
        }
        Some(Default::Python) => {
            required = false;
            None
        }
    };
    // The first pydantic takes None for what may be None and is not given.
    if shape.kind == ClassKind::Model && ty.members().contains(&Ty::None) {
        required = false;
    }
    Ok(Some(Field { name: name.to_owned(), ty: TypeText(ty.to_string()), required, default }))
}

/// What an annotation says of a field.
pub(super) struct Declared {
    pub(super) ty: Ty,
    pub(super) required: bool,
    /// The default that stands in the annotation: `Annotated[int, Field(default=1)]`.
    default: Option<Default>,
}

/// The type of a field and what the words around it say; nothing where it is none.
///
/// # Errors
/// Where they say what is not followed.
pub(super) fn declared(
    units: &Units<'_>,
    unit: usize,
    annotation: &Expr,
    shape: &Shape,
) -> Result<Option<Declared>, Unread> {
    let unsure = |why: &str| Unread::of(shape.kind, unit, annotation.range(), why);
    let (mut required, mut annotation, mut given) = (shape.total, annotation, None);
    // Words around a type, as many as there are: `Required[ReadOnly[Annotated[int, …]]]`.
    while let (Some(wrapper), inner) = unwrapped(units, unit, annotation) {
        match (wrapper.as_str(), shape.kind) {
            ("ClassVar", _) | ("KW_ONLY", ClassKind::Dataclass) => return Ok(None),
            ("InitVar", _) => return Err(unsure("an InitVar is given and not kept")),
            // A word by itself: what it stands around is Python's to say.
            _ if std::ptr::eq(inner, annotation) => return Err(unsure("this says nothing without a type")),
            ("Required", ClassKind::TypedDict) => required = true,
            ("NotRequired", ClassKind::TypedDict) => required = false,
            ("ReadOnly", ClassKind::TypedDict) | ("Final", ClassKind::Dataclass) | ("Annotated", _) => {}
            _ => return Err(unsure("what this says of the field is not followed")),
        }
        annotation = match (wrapper.as_str(), inner) {
            ("Annotated", Expr::Tuple(parts)) => {
                if shape.kind == ClassKind::Model {
                    let within = parts.elts.iter().skip(1).map(|one| metadata(units, unit, one));
                    for one in within
                        .collect::<Option<Vec<_>>>()
                        .ok_or_else(|| unsure("what this does is pydantic's to say"))?
                    {
                        given = one.or(given);
                    }
                }
                parts.elts.first().ok_or_else(|| unsure("this says nothing without a type"))?
            }
            _ => inner,
        };
    }
    // Inside of a text, or deeper: what it would make is not followed.
    let written = units.files[unit].text.written(annotation.range());
    let deeper = shape.kind == ClassKind::Model && written.contains("Annotated");
    if deeper || WRAPPERS.iter().any(|word| written.contains(word)) {
        return Err(unsure("what this says within its type is not followed"));
    }
    let ty = annotation::read(units, unit, annotation).map_err(|wrong| match wrong.code {
        "unknown-type" => Unread::unknown(unit, wrong),
        _ => unsure(&wrong.message),
    })?;
    Ok(Some(Declared { ty, required, default: given }))
}

/// What stands beside a model's type in `Annotated`: a default, or nothing; nothing at all where it may change what the field takes.
#[expect(clippy::option_option, reason = "not sure, none, one")]
fn metadata(units: &Units<'_>, unit: usize, one: &Expr) -> Option<Option<Default>> {
    let Expr::Call(call) = one else { return one.is_literal_expr().then_some(None) };
    let name = foreign(units, unit, &call.func)?;
    match name.as_str() {
        "pydantic.Field" | "pydantic.fields.Field" => match described(units, unit, call, BOUNDS)? {
            Default::Required => Some(None),
            given => Some(Some(given)),
        },
        "pydantic.StringConstraints" | "typing_extensions.Doc" => Some(None),
        _ if name.starts_with("annotated_types.") => Some(None),
        _ => None,
    }
}

/// An annotation without the word around it that says more than a type.
fn unwrapped<'e>(units: &Units<'_>, unit: usize, annotation: &'e Expr) -> (Option<String>, &'e Expr) {
    let (named, inner) = match annotation {
        Expr::Subscript(subscript) => (&*subscript.value, &*subscript.slice),
        other => (other, other),
    };
    let word = foreign(units, unit, named).and_then(|dotted| {
        let (package, name) = dotted.rsplit_once('.')?;
        let is_one = matches!(package, "typing" | "typing_extensions" | "dataclasses");
        let word = matches!(
            name,
            "ClassVar" | "InitVar" | "KW_ONLY" | "Required" | "NotRequired" | "ReadOnly" | "Annotated" | "Final"
        );
        (is_one && word).then(|| name.to_owned())
    });
    if word.is_some() { (word, inner) } else { (None, annotation) }
}

/// What is known of a default.
enum Default {
    /// `= field(compare=False)`, `= ...`: there is none.
    Required,
    Known(Value),
    Python,
}

fn default(units: &Units<'_>, unit: usize, value: &Expr, kind: ClassKind) -> Option<Default> {
    if let Expr::Call(call) = value {
        match (foreign(units, unit, &call.func).as_deref(), kind) {
            (Some("dataclasses.field"), ClassKind::Dataclass) => {
                return described(units, unit, call, &["repr", "hash", "compare", "metadata", "kw_only"]);
            }
            (Some("pydantic.Field" | "pydantic.fields.Field"), ClassKind::Model) => {
                return described(units, unit, call, BOUNDS);
            }
            (Some("pandera.Field" | "pandera.pandas.Field" | "pandera.polars.Field"), ClassKind::Model) => {
                return described(units, unit, call, CHECKS);
            }
            (_, ClassKind::Model) => return None,
            _ => {}
        }
    }
    Some(match constant::value(units, unit, value) {
        _ if value.is_ellipsis_literal_expr() && kind == ClassKind::Model => Default::Required,
        Ok(value) => Default::Known(value),
        Err(_) => Default::Python,
    })
}

/// What `pydantic.Field` may be told without changing how a field is given.
const BOUNDS: &[&str] = &[
    "title",
    "description",
    "examples",
    "gt",
    "ge",
    "lt",
    "le",
    "multiple_of",
    "min_length",
    "max_length",
    "pattern",
    "regex",
    "max_digits",
    "decimal_places",
    "repr",
    "frozen",
    "strict",
    "allow_inf_nan",
];

/// What `pandera.Field` may be told without changing which column it is.
const CHECKS: &[&str] = &[
    "title",
    "description",
    "metadata",
    "eq",
    "ne",
    "gt",
    "ge",
    "lt",
    "le",
    "in_range",
    "isin",
    "notin",
    "str_contains",
    "str_endswith",
    "str_length",
    "str_matches",
    "str_startswith",
    "nullable",
    "unique",
    "coerce",
    "ignore_na",
    "raise_warning",
    "n_failure_cases",
];

/// The default of `field(…)`; nothing where it says something that changes how the field is given.
fn described(units: &Units<'_>, unit: usize, call: &ExprCall, fine: &[&str]) -> Option<Default> {
    let mut found = Default::Required;
    let arguments = &call.arguments;
    let positional = arguments.args.iter().map(|value| (Some("default"), value));
    let keywords = arguments.keywords.iter().map(|k| (k.arg.as_ref().map(|name| name.id.as_str()), &k.value));
    for (name, value) in positional.chain(keywords) {
        match name? {
            "default" if value.is_ellipsis_literal_expr() => {}
            "default" => found = constant::value(units, unit, value).map_or(Default::Python, Default::Known),
            "default_factory" => found = factory(value),
            name if fine.contains(&name) => {}
            _ => return None,
        }
    }
    Some(found)
}

fn factory(value: &Expr) -> Default {
    match value.as_name_expr().map(|name| name.id.as_str()) {
        Some("list") => Default::Known(json!([])),
        Some("dict") => Default::Known(json!({})),
        Some("set") => Default::Known(json!({"$": "set", "v": []})),
        _ => Default::Python,
    }
}
