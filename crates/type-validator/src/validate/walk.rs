//! Types of parts of values, and of values that are written down.

use qflow_model::{
    class::{Class, ClassKind, Classes},
    expression::Segment,
};
use qflow_types::{Ty, assignable};
use serde_json::Value;

use super::narrow::Known;

/// The type of a part; `known` says what a value up to so many steps is, of what its type says.
pub(super) fn walk(
    whole: Ty,
    path: &[Segment],
    classes: &Classes,
    mut known: impl FnMut(usize, Ty) -> Known,
) -> Result<Ty, String> {
    let mut at = known(0, whole);
    for (i, segment) in path.iter().enumerate() {
        let attribute = match segment {
            Segment::Field(name) => at.attribute(name),
            _ => None,
        };
        let ty = match attribute {
            Some(ty) => ty,
            None => {
                Ty::union(at.ty.members().iter().map(|ty| part(ty, segment, classes)).collect::<Result<Vec<_>, _>>()?)
            }
        };
        at = known(i + 1, ty);
    }
    Ok(at.ty)
}

fn part(ty: &Ty, segment: &Segment, classes: &Classes) -> Result<Ty, String> {
    let none = || Err(format!("{ty} has no part {}", spelled(std::slice::from_ref(segment))));
    let root = ty.root();
    match (ty, segment) {
        (Ty::Any | Ty::Never, _) => Ok(ty.clone()),
        (_, Segment::Field(name)) if ty.attribute(name).is_some() => Ok(ty.attribute(name).unwrap_or(Ty::Any)),
        (Ty::Tuple(items), Segment::Index(index)) => {
            let at = if *index < 0 { index + items.len() as i64 } else { *index };
            let item = usize::try_from(at).ok().and_then(|at| items.get(at));
            item.cloned().ok_or_else(|| format!("{ty} has {} items, not one at {index}", items.len()))
        }
        (Ty::Tuples(item), Segment::Index(_)) => Ok((**item).clone()),
        (Ty::Generic(_, parameters), Segment::Index(_)) if matches!(root, "list" | "Sequence") => {
            Ok(parameters.first().cloned().unwrap_or(Ty::Any))
        }
        (Ty::Generic(_, parameters), Segment::Key(_)) if matches!(root, "dict" | "Mapping") => {
            let [key, item] = parameters.as_slice() else { return Ok(Ty::Any) };
            if assignable(&Ty::class("str"), key).is_ok() || matches!(key, Ty::Literal(_)) {
                return Ok(item.clone());
            }
            none()
        }
        (Ty::Generic(_, parameters), Segment::Index(_)) if matches!(root, "dict" | "Mapping") => {
            let [key, item] = parameters.as_slice() else { return Ok(Ty::Any) };
            if assignable(&Ty::class("int"), key).is_ok() || matches!(key, Ty::Literal(_)) {
                return Ok(item.clone());
            }
            none()
        }
        (Ty::Class(_), Segment::Index(_)) if matches!(root, "list" | "tuple" | "Sequence" | "dict" | "Mapping") => {
            Ok(Ty::Any)
        }
        (Ty::Class(_), Segment::Key(_)) if matches!(root, "dict" | "Mapping") => Ok(Ty::Any),
        (Ty::Class(name), Segment::Field(_) | Segment::Key(_) | Segment::Index(_)) if classes.contains_key(name) => {
            of_class(name, &classes[name], segment)
        }
        // What the user's other classes have is theirs to say.
        (Ty::Class(_) | Ty::Generic(..), _) if root == "object" => Ok(Ty::Any),
        _ => none(),
    }
}

/// A part of a value of a class that is known. What a workflow reads of one are its fields as they travel: none of its methods and
/// properties, which only Python knows, and of a member of an enum nothing.
fn of_class(name: &str, class: &Class, segment: &Segment) -> Result<Ty, String> {
    let kind = match class.kind {
        ClassKind::Enum => return Err(format!("{name} is an enum: what its members have is read in a node")),
        ClassKind::TypedDict => "TypedDict",
        ClassKind::Dataclass => "dataclass",
        ClassKind::NamedTuple => "NamedTuple",
        ClassKind::Model => "model",
    };
    let asked = match segment {
        Segment::Field(asked) | Segment::Key(asked) => class.field(asked),
        Segment::Index(at) if class.kind == ClassKind::NamedTuple => {
            let at = if *at < 0 { at + class.fields.len() as i64 } else { *at };
            usize::try_from(at).ok().and_then(|at| class.fields.get(at))
        }
        Segment::Index(_) | Segment::Each => None,
    };
    match (class.kind == ClassKind::TypedDict, segment, asked) {
        (true, Segment::Key(_), Some(field)) | (false, Segment::Field(_), Some(field)) => {
            Ok(field.ty.0.parse().unwrap_or(Ty::Any))
        }
        (true, Segment::Key(asked), None) | (false, Segment::Field(asked), None) => {
            Err(format!("{name} has no field `{asked}`; it has {}", class.fields_named()))
        }
        // What is there is read in another way.
        (is_mapping, _, Some(field)) => {
            let by_name =
                if is_mapping { Segment::Key(field.name.clone()) } else { Segment::Field(field.name.clone()) };
            Err(format!("{name} is a {kind}: read it as {}", spelled(&[by_name])))
        }
        (_, _, None) => {
            let part = spelled(std::slice::from_ref(segment));
            Err(format!("{name} is a {kind} and has no part {part}; it has {}", class.fields_named()))
        }
    }
}

/// `["rows"][0].name`
pub(super) fn spelled(path: &[Segment]) -> String {
    let one = |segment: &Segment| match segment {
        Segment::Index(index) => format!("[{index}]"),
        Segment::Key(key) => format!("[{key:?}]"),
        Segment::Field(name) => format!(".{name}"),
        Segment::Each => "[…]".to_owned(),
    };
    path.iter().map(one).collect()
}

/// The type of a value in the tagged form, as narrow as `Literal[…]` can say it.
pub(super) fn of_value(value: &Value) -> Ty {
    use qflow_types::Literal;
    let list = |items: &[Value]| Ty::union(items.iter().map(of_value));
    match value {
        Value::Null => Ty::None,
        Value::Bool(value) => Ty::Literal(vec![Literal::Bool(*value)]),
        Value::String(text) => Ty::Literal(vec![Literal::Text(text.clone())]),
        Value::Number(number) if number.is_f64() => Ty::class("float"),
        Value::Number(number) => number.as_i64().map_or(Ty::class("int"), |i| Ty::Literal(vec![Literal::Int(i)])),
        Value::Array(items) => Ty::Generic("list".to_owned(), vec![list(items)]),
        Value::Object(fields) => match (fields.get("$").and_then(Value::as_str), fields.get("v")) {
            (None, _) => {
                let values = Ty::union(fields.values().map(of_value));
                Ty::Generic("dict".to_owned(), vec![Ty::class("str"), values])
            }
            (Some("tuple"), Some(Value::Array(items))) => Ty::Tuple(items.iter().map(of_value).collect()),
            (Some(tag @ ("set" | "frozenset")), Some(Value::Array(items))) => {
                Ty::Generic(tag.to_owned(), vec![list(items)])
            }
            (Some("decimal"), _) => Ty::class("Decimal"),
            (Some("uuid"), _) => Ty::class("UUID"),
            (Some("path"), _) => Ty::class("Path"),
            (Some(tag @ ("int" | "float" | "bytes" | "date" | "datetime" | "time" | "timedelta" | "complex")), _) => {
                Ty::class(tag)
            }
            _ => Ty::Any,
        },
    }
}
