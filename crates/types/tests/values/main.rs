//! What holds of all values and types, by chance: checking, assigning and converting agree with each other.

mod any;
#[path = "../own/mod.rs"]
mod own;

use any::{Typed, objects, typed, types, value_of};
use proptest::prelude::*;
use qflow_model::class::{ClassKind, Classes};
use qflow_types::{Ty, Way, assignable_among, convertible, value};
use serde_json::{Value, json};

/// The same said of the tree and of the bytes.
fn checked(value: &Value, ty: &Ty, own: &Classes) -> Result<(), String> {
    let of_tree = value::check_fields(value, ty, own).map_err(|error| error.to_string());
    let bytes = value::encode(value).bytes;
    let streamed = value::check_encoding(&bytes, ty, own).map_err(|error| error.to_string());
    let read = value::check_reader(bytes.as_slice(), ty, own).map_err(|error| error.to_string());
    // Of a tuple's length the bytes tell when it is over, the tree before its elements; of a field that is missing likewise.
    let is_later =
        |error: &String| error.contains("a tuple of") || error.contains(" without `") || error.contains("has no field");
    // What stands first in a mapping the bytes tell first, the tree what its class has first.
    let is_other = holds_fields(value) && of_tree.is_err();
    let is_later = of_tree.as_ref().is_err_and(|error| (is_later(error) || is_other) && streamed.is_err());
    assert!(
        is_later || of_tree == streamed.as_ref().map(drop).map_err(Clone::clone),
        "{value} as {ty}: {of_tree:?} {streamed:?}"
    );
    assert_eq!(streamed, read, "{value} as {ty}");
    if let Ok(found) = streamed {
        assert_eq!(found.items, value.as_array().map(|items| items.len() as u32));
    }
    of_tree
}

/// Whether mappings of several keys are in a value.
fn holds_fields(value: &Value) -> bool {
    match value {
        Value::Array(parts) => parts.iter().any(holds_fields),
        Value::Object(fields) => (fields.len() > 1 && fields.get("$").is_none()) || fields.values().any(holds_fields),
        _ => false,
    }
}

/// What is wrong with a value that was held to another type and goes where this one is declared.
fn given(value: &Value, ty: &Ty, own: &Classes) -> Result<(), String> {
    let name = "x".to_owned();
    value::check_each([(&name, value, ty)], own, &value::Headers::new()).map_err(|(_, error)| error.to_string())
}

/// Whether an object is of a type by what Python sees in it, whatever goes where: one of each class that its own is derived from, the
/// tuple of a `NamedTuple`'s fields, the value of a member of an enum.
fn is_seen_as(value: &Value, target: &Ty, own: &Classes) -> bool {
    let Some(name) = value["t"].as_str().and_then(|name| name.strip_prefix("w.")) else { return true };
    let class = &own[name];
    let seen = |seen: &Value, member: &Ty| given(seen, member, own).is_ok();
    let of_base = |base: &str| {
        let mut seen = value.clone();
        seen["t"] = json!(format!("w.{base}"));
        given(&seen, target, own).is_ok()
    };
    match (target, class.kind) {
        (Ty::Class(one), _) if one == name || one == "object" || one == "Hashable" => true,
        (Ty::Class(one), _) if class.bases.contains(one) && own.contains_key(one) => of_base(one),
        (Ty::Literal(_), ClassKind::Enum) => value::check_fields(value, target, own).is_ok(),
        (_, ClassKind::Enum) => {
            let member = class.members.iter().find(|member| value["v"] == json!(member.name)).expect("it is a member");
            !class.bases.is_empty() && seen(&member.value, target)
        }
        (_, ClassKind::NamedTuple) => {
            let fields = class.fields.iter().map(|field| {
                let key = if field.name.starts_with('$') { format!("${}", field.name) } else { field.name.clone() };
                value["v"].get(&key).or(field.default.as_ref()).cloned()
            });
            // What is in a field that is not given, and whose default only Python knows, nobody sees.
            let fields = fields.collect::<Option<Vec<_>>>();
            fields.is_none_or(|fields| seen(&json!({"$": "tuple", "v": fields}), target))
        }
        _ => false,
    }
}

/// What is made of a value of a type is of the other.
fn made(Typed { value, ty, own }: &Typed, target: &Ty) -> Result<(), TestCaseError> {
    match convertible(ty, target, own) {
        Way::AsItIs | Way::Converted => {
            let made = value::convert_taken(value.clone(), target, own, false).expect("it never fails");
            prop_assert_eq!(given(&made, target, own), Ok(()), "{} of {} as {}", value, ty, target);
            prop_assert_eq!(value::convert(value, target, own), Ok(made), "{} of {} as {}", value, ty, target);
        }
        Way::MayFail | Way::Not => {
            if let Ok(made) = value::convert(value, target, own) {
                prop_assert_eq!(given(&made, target, own), Ok(()), "{} of {} as {}", value, ty, target);
                prop_assert_eq!(value::convert(&made, target, own), Ok(made), "{} of {} as {}", value, ty, target);
            }
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(own::cases(1000))]

    #[test]
    fn a_value_of_a_type_checks(Typed { value, ty, own } in typed()) {
        prop_assert_eq!(checked(&value, &ty, &own), Ok(()));
    }

    #[test]
    fn a_value_goes_where_its_type_goes(Typed { value, ty, own } in typed(), target in types()) {
        if assignable_among(&ty, &target, &own).is_ok() {
            prop_assert_eq!(given(&value, &target, &own), Ok(()), "{} of {} as {}", value, ty, target);
        }
    }

    #[test]
    fn an_object_goes_where_its_class_goes(Typed { value, ty, own } in objects(), target in types()) {
        let others = own::NAMES.map(Ty::class).into_iter().chain([target]);
        for target in others.filter(|target| assignable_among(&ty, target, &own).is_ok()) {
            prop_assert_eq!(given(&value, &target, &own), Ok(()), "{} of {} as {}", value, ty, target);
            let is_one = target.members().iter().any(|member| is_seen_as(&value, member, &own));
            prop_assert!(is_one, "{} of {} as {}", value, ty, target);
        }
    }

    #[test]
    fn a_tree_and_its_bytes_are_checked_alike(Typed { value, own, .. } in typed(), target in types()) {
        drop(checked(&value, &target, &own));
    }

    #[test]
    fn what_is_taken_is_converted_as_what_is_kept(Typed { value, own, .. } in typed(), target in types()) {
        let kept = value::convert(&value, &target, &own);
        prop_assert_eq!(value::convert_taken(value, &target, &own, true), kept);
    }

    #[test]
    fn what_is_made_is_of_its_type(typed in typed(), target in types()) {
        made(&typed, &target)?;
    }

    #[test]
    fn what_is_made_of_objects_is_of_its_type(typed in objects(), target in types()) {
        for target in own::NAMES.map(Ty::class).into_iter().chain([target]) {
            made(&typed, &target)?;
        }
    }

    #[test]
    fn what_is_written_as_a_text_reads_back(
        (name, value) in prop::sample::select(any::WRITTEN.to_vec()).prop_flat_map(|name| (Just(name), value_of(&Ty::class(name), &Classes::new(), 0))),
    ) {
        let (classes, class) = (Classes::new(), Ty::class(name));
        // `NaN` is a Decimal, and no text of one.
        prop_assume!(!value["v"].as_str().is_some_and(|text| text.ends_with("NaN") || text.ends_with("Infinity")));
        let text = value::convert(&value, &Ty::class("str"), &classes).unwrap();
        prop_assert!(text.is_string(), "{}", text);
        let back = value::convert(&text, &class, &classes);
        // The class of a `datetime` that stands for a `date` is not in its text.
        if value["$"] == name.to_lowercase().as_str() {
            prop_assert_eq!(back.as_ref(), Ok(&value));
            prop_assert_eq!(value::from_text(text.as_str().unwrap(), &class, &classes), Ok(value));
        }
    }

    #[test]
    fn numbers_that_become_one_another_are_equal(Typed { value, ty, .. } in any::numbers(), target in any::number_types()) {
        let classes = Classes::new();
        if let Ok(made) = value::convert(&value, &target, &classes)
            && let Ok(back) = value::convert(&made, &ty, &classes)
        {
            let exactly = |value: &Value| match value {
                Value::Bool(value) => Some(f64::from(u8::from(*value))),
                value => value::to_text(value).parse::<f64>().ok().map(|value| value + 0.0),
            };
            let (before, after) = (exactly(&value), exactly(&back));
            prop_assert!(before == after || before.is_some_and(f64::is_nan), "{value} of {ty} as {target} is {made}, back {back}");
        }
    }

    #[test]
    fn no_bytes_make_a_check_panic(bytes in prop::collection::vec(any::<u8>(), 0..300), target in types()) {
        drop(value::check_encoding(&bytes, &target, &Classes::new()));
    }
}
