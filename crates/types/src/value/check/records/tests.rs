//! What is said of objects whose fields are not what their classes declare.

use serde_json::json;

use super::*;
use crate::value::{Headers, check_each, check_encoding, check_fields, check_written, encode};

fn classes() -> Classes {
    let field = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": true});
    let optional = |name: &str, ty: &str| json!({"name": name, "type": ty, "required": false});
    serde_json::from_value(json!({
        "Unit": {"name": "w.Unit", "kind": "enum", "members": [{"name": "DAY", "value": "day"}, {"name": "HOUR", "value": 1}]},
        "Row": {"name": "w.Row", "kind": "typed_dict", "fields": [
            field("day", "str"), field("amount", "float"), optional("note", "str"),
        ]},
        "Priced": {"name": "w.Priced", "kind": "typed_dict", "fields": [field("$", "int"), field("$$", "str")]},
        "Cell": {"name": "w.Cell", "kind": "typed_dict", "fields": [field("value", "int")]},
        "User": {"name": "w.User", "kind": "dataclass", "fields": [
            field("name", "str"), field("age", "int"),
            {"name": "mail", "type": "str", "required": false, "default": null},
        ]},
        "Point": {"name": "w.Point", "kind": "named_tuple", "fields": [field("x", "int"), field("of", "Foreign")]},
        "Team": {"name": "w.Team", "kind": "dataclass", "fields": [
            field("users", "dict[str, list[User]]"), field("unit", "Unit"), field("lead", "None | User"), field("above", "None | Team"),
        ]},
        "Basket": {"name": "w.Basket", "kind": "model", "fields": [field("count", "int")]},
        "Private": {"name": "w.Private", "kind": "dataclass", "fields": [field("__x", "int")]},
        "Left": {"name": "w.Left", "kind": "typed_dict", "fields": [field("next", "Left | None | Right"), field("end", "int")]},
        "Right": {"name": "w.Right", "kind": "typed_dict", "fields": [field("next", "Left | None | Right"), field("end", "str")]},
    }))
    .unwrap()
}

#[expect(clippy::needless_pass_by_value, reason = "what json! makes is handed on")]
fn object(name: &str, fields: Value) -> Value {
    json!({"$": "object", "t": format!("w.{name}"), "v": fields})
}

#[expect(clippy::needless_pass_by_value, reason = "what json! makes is handed on")]
fn user(age: Value) -> Value {
    object("User", json!({"name": "Ann", "age": age, "mail": "a@b"}))
}

fn unit(member: &str) -> Value {
    json!({"$": "enum", "t": "w.Unit", "v": member})
}

#[expect(clippy::needless_pass_by_value, reason = "what json! makes is handed on")]
fn team(ages: Value, lead: Value) -> Value {
    object("Team", json!({"users": {"x": [user(ages)]}, "unit": unit("DAY"), "lead": lead, "above": null}))
}

#[expect(clippy::needless_pass_by_value, reason = "cases are written as json!(…)")]
fn mismatch(value: Value, ty: &str) -> Option<String> {
    let (ty, classes) = (ty.parse().unwrap(), classes());
    let told = check_fields(&value, &ty, &classes).err().map(|error| error.to_string());
    let streamed = check_encoding(&encode(&value).bytes, &ty, &classes).err().map(|error| error.to_string());
    // A field that is not there is missed when all is read, and what is wrong before it told first.
    assert!(told == streamed || (told.is_some() && streamed.is_some()), "{value} as {ty}: {told:?} {streamed:?}");
    told
}

#[test]
fn objects_of_their_class_pass() {
    for (value, ty) in [
        (json!({"day": "2026-11-26", "amount": 1}), "Row"),
        (json!([{"day": "", "amount": 1.5, "note": "x"}]), "list[Row]"),
        (json!({"$$x": {"$": "tuple", "v": [{}]}, "day": "", "amount": 1, "y": [1, {"z": null}]}), "Row"),
        (user(json!(40)), "None | User"),
        (json!({"$": "object", "t": "__main__.User", "v": {"name": "", "age": true, "mail": ""}}), "User"),
        (object("Point", json!({"x": 1, "of": {"anything": [null]}})), "Point"),
        (json!({"$": "map", "v": [[unit("HOUR"), user(json!(1))]]}), "dict[Unit, User]"),
        (team(json!(1), json!(null)), "Team"),
        (json!({"value": 1}), "Cell | Row"),
        (json!({"$$": 1, "$$$": "x"}), "Priced"),
        (json!({"day": "", "amount": 1}), "Cell | Row"),
        // What pydantic made it checked itself.
        (object("Basket", json!({"count": "many", "more": 1})), "Basket"),
        // Python renames a private field.
        (object("Private", json!({"_Private__x": "y"})), "Private"),
        (object("Unknown", json!({"x": 1})), "Unknown"),
    ] {
        assert_eq!(mismatch(value.clone(), ty), None, "{value} as {ty}");
    }
}

#[test]
fn what_a_class_itself_gives_a_field_is_not_held_against_its_type() {
    let value = object("User", json!({"name": "Ann", "age": 1, "mail": null}));
    assert_eq!(mismatch(value, "User"), None);
    let value = object("User", json!({"name": "Ann", "age": 1, "mail": 1}));
    assert_eq!(mismatch(value, "User").as_deref(), Some("at .mail: expected str, got int"));
}

#[test]
fn the_first_field_that_is_not_as_declared_is_told_with_its_path() {
    for (value, ty, why) in [
        (user(json!("forty")), "User", "at .age: expected int, got str"),
        (user(json!(null)), "None | User", "at .age: expected int, got None"),
        (object("Point", json!({"x": "a", "of": null})), "Point", "at .x: expected int, got str"),
        (json!({"day": "", "amount": "x"}), "Row", "at [\"amount\"]: expected float, got str"),
        (json!([{}]), "list[Row]", "at [0]: expected Row, got dict without `day`"),
        (json!({"day": "", "amount": 1, "note": 1, "more": 1}), "Row", "at [\"note\"]: expected str, got int"),
        (json!({"day": "", "more": 1}), "Row", "expected Row, got dict without `amount`"),
        (
            object("User", json!({"name": "", "age": 1, "mail": "", "more": 1})),
            "User",
            "User has no field `more`; it has name, age, mail",
        ),
        (json!({"$$": 1, "$$$": 2}), "Priced", "at [\"$$\"]: expected str, got int"),
        (json!({"name": "Ann", "age": 1, "mail": ""}), "User", "expected User, got dict"),
        (json!({"$": "tuple", "v": [1, 2]}), "Point", "expected Point, got tuple"),
        (object("User", json!({"name": "Ann"})), "User", "expected User, got w.User without `age`"),
        (team(json!(1.5), json!(null)), "Team", "at .users[\"x\"][0].age: expected int, got float"),
        (team(json!(1), user(json!([]))), "list[int] | Team", "at .lead.age: expected int, got list"),
        (unit("WEEK"), "Unit", "expected Unit, which has DAY, HOUR; got WEEK"),
        (json!("day"), "Unit", "expected Unit, got str"),
        (json!({"value": "x"}), "Cell | Row", "expected Cell | Row, got dict"),
        (json!({"$": "tuple", "v": [user(json!("x"))]}), "tuple[User, ...]", "at [0].age: expected int, got str"),
    ] {
        assert_eq!(mismatch(value.clone(), ty).as_deref(), Some(why), "{value} as {ty}");
    }
}

#[test]
fn a_class_of_the_same_name_from_another_module_is_another() {
    let of = |module: &str| json!({"$": "object", "t": format!("{module}.User"), "v": {"name": "Ann", "age": 1}});
    let streamed = |value: &Value, ty: &str| {
        let read = check_encoding(&encode(value).bytes, &ty.parse().unwrap(), &classes());
        read.err().map(|error| error.to_string())
    };
    for (module, ty, why) in [
        ("w", "User", None),
        // From the root, and from beside the entry.
        ("jobs.w", "User", None),
        ("v", "User", Some("expected User, got v.User")),
        ("v", "list[User]", Some("at [0]: expected User, got v.User")),
        ("aw", "None | User", Some("expected User | None, got aw.User")),
    ] {
        let value = if ty.starts_with("list") { json!([of(module)]) } else { of(module) };
        assert_eq!(
            (mismatch(value.clone(), ty).as_deref(), streamed(&value, ty).as_deref()),
            (why, why),
            "{module} {ty}"
        );
    }
    let day = json!({"$": "enum", "t": "v.Unit", "v": "DAY"});
    assert_eq!(mismatch(day, "Unit").as_deref(), Some("expected Unit, got v.Unit"));
}

#[test]
fn classes_that_hold_one_another_are_tried_once_for_each_object() {
    // Tried anew in each member, a hundred levels would never end.
    let deep = |innermost: Value| (0..100).fold(innermost, |next, _| json!({"next": next, "end": "x"}));
    assert_eq!(mismatch(deep(json!(null)), "Left | Right"), None);
    assert_eq!(mismatch(deep(json!(1)), "Left | Right").as_deref(), Some("expected Left | Right, got dict"));
}

#[test]
fn fields_are_told_from_their_bytes_as_from_the_tree() {
    let streamed = |bytes: &str, ty: &str| {
        check_encoding(bytes.as_bytes(), &ty.parse().unwrap(), &classes()).err().map(|error| error.to_string())
    };
    for (bytes, ty, why) in [
        ("{\"amount\":1,\"day\":\"\"}", "Row", None),
        ("{\"amount\":1,\"day\":\"\",\"amount\":2}", "Row", Some("the key \"amount\" comes twice")),
        ("{\"amount\":1}", "Row", Some("expected Row, got dict without `day`")),
        ("{}", "Row", Some("expected Row, got dict without `day`")),
        ("{\"amount\":1,\"price\":1}", "Row", Some("expected Row, got dict without `day`")),
        ("{\"x\":1,\"amount\":1,\"day\":\"\",\"x\":2}", "Row", Some("the key \"x\" comes twice")),
        (
            "{\"amount\":1,\"day\":\"\",\"x\":{\"$\":\"date\",\"v\":\"no\"}}",
            "Row",
            Some("at [\"x\"]: a `date` that is none: no"),
        ),
        ("{\"$\":\"object\",\"t\":\"w.User\",\"v\":{\"name\":\"\",\"age\":1,\"mail\":null}}", "User", None),
        (
            "{\"$\":\"object\",\"t\":\"w.User\",\"v\":{\"name\":\"\",\"age\":[]}}",
            "list[int] | User",
            Some("at .age: expected int, got list"),
        ),
        ("{\"$\":\"object\",\"t\":\"w.User\",\"v\":{}}", "Row | None", Some("expected Row | None, got w.User")),
        ("{\"$\":\"map\",\"v\":[[\"day\",1]]}", "Row", Some("expected Row, got dict")),
    ] {
        assert_eq!(streamed(bytes, ty).as_deref(), why, "{bytes} as {ty}");
    }
}

#[test]
fn what_is_written_down_is_what_is_declared_and_no_more() {
    let written = |value: Value, ty: &str| {
        check_written(&value, &ty.parse().unwrap(), &classes()).err().map(|error| error.to_string())
    };
    for (value, ty, why) in [
        (json!({"day": "", "amount": 1}), "Row", None),
        (json!({"day": "", "amount": 1, "$$x": 1}), "Row", Some("Row has no field `$x`; it has day, amount, note")),
        (
            json!([{"day": "", "amount": 1, "nte": ""}]),
            "list[Row]",
            Some("at [0]: Row has no field `nte`; it has day, amount, note"),
        ),
        (json!({"name": "Ann", "age": 1, "mail": ""}), "User", Some("expected User, got dict")),
        (json!({"x": 1, "of": 2}), "Point", Some("expected Point, got dict")),
        (json!({"__x": 1}), "Private", Some("expected Private, got dict")),
        (object("Private", json!({"_Private__x": 1})), "Private", None),
        (json!({"count": 1, "more": 1}), "Basket", None),
        (json!({"x": 1}), "Unknown", None),
    ] {
        assert_eq!(written(value.clone(), ty).as_deref(), why, "{value} as {ty}");
    }
}

/// What is wrong with a value that is given to a declaration.
fn given(value: &Value, ty: &str) -> Option<String> {
    let (name, ty, classes) = ("x".to_owned(), ty.parse().unwrap(), classes());
    let told = check_each([(&name, value, &ty)], &classes, &Headers::new());
    told.err().map(|(name, error)| format!("{name} {error}"))
}

#[test]
fn what_goes_by_its_class_is_given_whatever_its_value_looks_like() {
    let day = json!({"$": "enum", "t": "w.Unit", "v": "DAY"});
    let object = |class: &str, fields: Value| json!({"$": "object", "t": class, "v": fields});
    let user = |class: &str| object(class, json!({"name": "a", "age": 7}));
    let enumerated = |class: &str| json!({"$": "enum", "t": class, "v": "LOW"});
    for (value, ty) in [
        // A `TypedDict` with more keys goes by its structure, a class that is derived by its name.
        (json!({"day": "mon", "amount": 1, "more": []}), "Row"),
        (user("w.Admin"), "User"),
        (user("w.Admin"), "list[User] | User"),
        // A named tuple is a tuple, a member of a mixed enum a number or a text: of classes that only the submission knows.
        (object("w.Spot", json!({"x": 1, "of": 2})), "tuple[int, int]"),
        (object("w.Spot", json!({"x": 1, "of": 2})), "Sequence[int] | None"),
        (enumerated("w.Level"), "int"),
        (enumerated("w.Level"), "Decimal | None"),
        (enumerated("w.Level"), "Elsewhere"),
        (object("w.Spot", json!({})), "Elsewhere | int"),
        (object("w.Spot", json!({})), "Hashable"),
        (day.clone(), "Unit"),
        (day.clone(), "Hashable"),
        (day.clone(), "Literal[Unit.DAY]"),
        (day.clone(), "Elsewhere"),
        (user("w.User"), "User"),
    ] {
        assert_eq!(given(&value, ty), None, "{value} as {ty}");
    }
    for (value, ty, why) in [
        (json!({"day": 1, "amount": 1}), "Row", "x at [\"day\"]: expected str, got int"),
        (json!({"day": "mon"}), "Row", "x expected Row, got dict without `amount`"),
        (object("w.User", json!({"name": 1, "age": 7})), "User", "x at .name: expected str, got int"),
        (json!([user("w.User"), "b"]), "list[User]", "x at [1]: expected User, got str"),
        (json!("7"), "int", "x expected int, got str"),
        // What no class of such a form is derived from.
        (object("w.Spot", json!({"x": 1})), "int", "x expected int, got w.Spot"),
        (json!([object("w.Spot", json!({}))]), "list[int]", "x at [0]: expected int, got w.Spot"),
        (object("w.Spot", json!({})), "dict[str, int]", "x expected dict[str, int], got w.Spot"),
        (object("w.Spot", json!({})), "Row", "x expected Row, got w.Spot"),
        (object("w.Spot", json!({})), "Unit", "x expected Unit, got w.Spot"),
        (enumerated("w.Level"), "list[int]", "x expected list[int], got w.Level"),
        (enumerated("w.Level"), "bool", "x expected bool, got w.Level"),
        (enumerated("w.Level"), "Unit", "x expected Unit, got w.Level"),
        (enumerated("w.Level"), "User", "x expected User, got w.Level"),
        (enumerated("w.Level"), "tuple[int, ...]", "x expected tuple[int, ...], got w.Level"),
        // What is known of it.
        (day.clone(), "int", "x expected int, got w.Unit"),
        (day, "Literal[1] | str", "x expected str | Literal[1], got w.Unit"),
        (object("w.Cell", json!({"value": 1})), "User", "x expected User, got w.Cell"),
    ] {
        assert_eq!(given(&value, ty).as_deref(), Some(why), "{value} as {ty}");
    }
}
