//! What cases of the shared table do not show.

use serde_json::json;

use super::*;

#[expect(clippy::needless_pass_by_value, reason = "cases are written as json!(…)")]
fn made(value: Value, ty: &str) -> Result<Value, String> {
    convert(&value, &ty.parse().unwrap(), &classes()).map_err(|error| error.to_string())
}

fn classes() -> Classes {
    let field = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": true});
    serde_json::from_value(json!({
        "Left": {"name": "w.Left", "kind": "typed_dict", "fields": [field("next", "Left | None | Right"), field("end", "int")]},
        "Right": {"name": "w.Right", "kind": "typed_dict", "fields": [field("next", "Left | None | Right"), field("end", "date")]},
        "Level": {"name": "w.Level", "kind": "enum", "bases": ["int"], "members": [{"name": "LOW", "value": 1}]},
        "Pair": {"name": "w.Pair", "kind": "named_tuple", "fields": [field("x", "int"), field("y", "int")]},
        "Model": {"name": "w.Model", "kind": "model", "fields": [field("x", "int")]},
    }))
    .unwrap()
}

#[test]
fn into_a_union_exactly_one_member_is_made() {
    for (value, ty, expected) in [
        (json!("1.5"), "int | float", Ok(json!(1.5))),
        (json!("1"), "int | float", Err("expected float | int, got '1', which may be float or int")),
        (json!("x"), "int | float", Err("expected float | int, got 'x'")),
        (json!("1"), "int | str", Ok(json!("1"))),
        // Of nothing both make the same.
        (json!([]), "tuple[int, ...] | tuple[str, ...]", Ok(json!({"$": "tuple", "v": []}))),
        (json!(["1"]), "list[int] | set[date]", Ok(json!([1]))),
        (json!(["x"]), "list[int] | None", Err("at [0]: expected int, got 'x'")),
    ] {
        assert_eq!(made(value.clone(), ty), expected.map_err(str::to_owned), "{value} as {ty}");
    }
}

#[test]
fn keys_and_elements_are_told_apart_as_python_does() {
    for (value, ty, expected) in [
        (json!([1, 1.0]), "set[float]", Err("expected set[float], got 1.0 twice")),
        (json!([1, true]), "set[int]", Err("expected set[int], got True twice")),
        (json!({"$a": "1"}), "dict[str, int]", Ok(json!({"$$a": 1}))),
        (json!({"$$a": "1"}), "dict[str, int]", Ok(json!({"$$a": 1}))),
        (json!({"$": "map", "v": [["a", "1"]]}), "dict[str, int]", Ok(json!({"a": 1}))),
        (json!({"$": "map", "v": [[1, "x"]]}), "dict[int, int]", Err("at [1]: expected int, got 'x'")),
        (
            json!([{"a": {"x": 1}}]),
            "list[dict[str, dict[int, int]]]",
            Err("at [0][\"a\"] key 'x': expected int, got 'x'"),
        ),
        (json!([{"x": 1}]), "list[dict[int, int]]", Err("at [0] key 'x': expected int, got 'x'")),
    ] {
        let value = if value == json!({"$a": "1"}) { json!({"$$a": "1"}) } else { value };
        assert_eq!(made(value.clone(), ty), expected.map_err(str::to_owned), "{value} as {ty}");
    }
}

#[test]
fn objects_and_members_are_made_of_what_describes_them() {
    let low = json!({"$": "enum", "t": "w.Level", "v": "LOW"});
    let pair = json!({"$": "object", "t": "w.Pair", "v": {"x": 1, "y": 2}});
    for (value, ty, expected) in [
        (json!(1), "Level", Ok(low.clone())),
        (json!("LOW"), "Level", Ok(low.clone())),
        (json!(1.0), "Level", Err("expected Level, got 1.0")),
        (low.clone(), "Decimal", Ok(json!({"$": "decimal", "v": "1"}))),
        (json!({"y": "2", "x": "1"}), "Pair", Ok(json!({"$": "object", "t": "w.Pair", "v": {"x": 1, "y": 2}}))),
        (json!({"x": 1}), "Pair", Err("expected Pair, which has [\"y\"]: it is missing")),
        // A NamedTuple is a tuple, a member of an `IntEnum` a number.
        (json!(["1", pair]), "tuple[int, tuple[int, int]]", Ok(json!({"$": "tuple", "v": [1, pair]}))),
        (json!([low, "2"]), "list[int]", Ok(json!([low, 2]))),
        (json!([pair]), "tuple[tuple[str, int]]", Err("at [0]: expected tuple[str, int], got Pair(x=1, y=2)")),
        (json!({"x": 1}), "Model", Err("expected Model, got a dict, of which only pydantic makes one")),
        (json!([{"x": 1}]), "DataFrame", Err("expected DataFrame, got a list, of which only Python makes one")),
    ] {
        assert_eq!(made(value.clone(), ty), expected.map_err(str::to_owned), "{value} as {ty}");
    }
}

#[test]
fn classes_that_hold_one_another_are_tried_once_for_each_object() {
    // Tried anew in each member, a hundred levels would never end.
    let deep = |innermost: Value| (0..100).fold(innermost, |next, _| json!({"next": next, "end": "2026-11-24"}));
    let made_of = made(deep(json!(null)), "Left | Right").unwrap();
    assert_eq!(made_of["next"]["next"]["end"], json!({"$": "date", "v": "2026-11-24"}));
    assert!(made(deep(json!(1)), "Left | Right").is_err());
}

#[test]
fn a_number_too_long_to_be_a_value_is_not_written_out() {
    assert_eq!(
        made(json!({"$": "decimal", "v": "1E+999999999"}), "int"),
        Err("expected int, got Decimal('1E+999999999')".to_owned())
    );
}

#[test]
fn what_only_python_makes_is_not_made_here() {
    for (ty, here) in [
        ("list[int | None]", true),
        ("dict[str, Level]", true),
        ("Left", true),
        ("tuple[Pair, ...]", false),
        ("list[Model]", false),
        ("DataFrame", false),
        ("Unknown", false),
        ("list[Unknown]", false),
        ("Outcome[int]", false),
    ] {
        assert_eq!(is_made_here(&ty.parse().unwrap(), &classes()), here, "{ty}");
    }
}

#[test]
fn past_its_steps_nothing_is_made_and_nothing_is_left_unconverted() {
    let classes = Classes::new();
    let row = json!({"a": [1, 2], "b": []});
    let ty: Ty = "list[dict[str, tuple[int, ...] | list[bytes]]]".parse().unwrap();
    for may_fail in [true, false] {
        let mut all = 0;
        // Each number of steps that is too few is told; the first that is enough makes the whole.
        loop {
            let converter = Converter::new(&classes, may_fail);
            converter.steps.set(all);
            match converter.take(json!([row, row]), &ty) {
                Ok(made) => {
                    let part = json!({"a": {"$": "tuple", "v": [1, 2]}, "b": []});
                    assert!(made == json!([part, part]) || !may_fail, "{made}");
                    break;
                }
                Err(error) => assert!(error.message.starts_with("more than 50000000 parts"), "{error}"),
            }
            all += 1;
        }
        assert!(all > 10, "{all}");
    }
}
