//! What goes where, of the user's classes too.

use serde_json::json;

use super::*;

/// Classes as a submission has them.
fn classes() -> Classes {
    let record = |kind: &str, fields: &[(&str, &str, bool)], bases: &[&str]| {
        let fields: Vec<_> =
            fields.iter().map(|(name, ty, required)| json!({"name": name, "type": ty, "required": required})).collect();
        json!({"name": "w.C", "kind": kind, "fields": fields, "bases": bases})
    };
    serde_json::from_value(json!({
        "A": record("typed_dict", &[("x", "int", true)], &[]),
        "D": record("typed_dict", &[("x", "float", true)], &[]),
        "B": record("typed_dict", &[("x", "int", true), ("y", "str", true)], &[]),
        "Some": record("typed_dict", &[("x", "int", false)], &[]),
        "Empty": record("typed_dict", &[], &[]),
        "Loose": record("typed_dict", &[("x", "object | None", false), ("y", "Any", false)], &[]),
        "Tree": record("typed_dict", &[("of", "list[Tree]", true)], &[]),
        "Wood": record("typed_dict", &[("of", "list[Wood]", true)], &[]),
        "Point": record("named_tuple", &[("x", "int", true), ("y", "str", true)], &[]),
        "Level": {"name": "w.Level", "kind": "enum", "members": [{"name": "LOW", "value": 1}], "bases": ["int"]},
        "Base": record("dataclass", &[("a", "int", true)], &[]),
        "Child": record("dataclass", &[("a", "int", true)], &["Base"]),
        "Larger": record("dataclass", &[("a", "int", true), ("b", "int", true)], &["Base"]),
    }))
    .unwrap()
}

#[test]
fn classes_go_by_what_they_are() {
    for (source, target, why) in [
        ("Child", "Base", None),
        ("Base", "Child", Some("Base is not Child")),
        ("Larger", "Base", Some("Larger has fields that Base has not, and they would be lost")),
        ("Point", "tuple[int, str]", None),
        ("Point", "tuple[int, int]", Some("at [1]: str is not int")),
        ("Point", "Sequence[int | str]", None),
        ("Level", "int", None),
        ("Level", "float", None),
        ("Level", "str", Some("Level is not str")),
        ("list[Level]", "list[int]", None),
        ("A", "Mapping[str, object]", None),
        ("A", "Mapping[str, str]", Some("at […]: object is not str")),
        ("A", "dict[str, int]", Some("A is not dict[str, int]")),
        ("A", "D", None),
        ("D", "A", Some("at ['x']: float is not int")),
        ("B", "A", None),
        ("A", "B", Some("missing key 'y'")),
        ("Some", "A", Some("key 'x' may be missing")),
        ("A", "Some", None),
        ("Empty", "Some", Some("key 'x' is not declared, and may be of another type")),
        ("Empty", "Loose", None),
        ("A", "Mapping[str, int]", Some("at […]: object is not int")),
        ("Tree", "Wood", None),
        ("dict[str, int]", "A", Some("dict[str, int] is not A")),
    ] {
        let reason = assignable_among(&source.parse().unwrap(), &target.parse().unwrap(), &classes()).err();
        assert_eq!(reason.map(|reason| reason.to_string()).as_deref(), why, "{source} → {target}");
    }
}

/// Records of one field, each of which holds the next, and the last the first.
fn ring(side: &str, size: usize) -> Vec<(String, qflow_model::class::Class)> {
    let one = |at: usize| {
        let fields = json!([{"name": "a", "type": format!("list[{side}{}]", (at + 1) % size), "required": true}]);
        let class = json!({"name": format!("w.{side}{at}"), "kind": "typed_dict", "fields": fields});
        (format!("{side}{at}"), serde_json::from_value(class).unwrap())
    };
    (0..size).map(one).collect()
}

#[test]
fn rings_of_records_are_compared_up_to_a_depth_and_end() {
    let goes = |one: usize, other: usize| {
        let classes: Classes = ring("L", one).into_iter().chain(ring("R", other)).collect();
        assignable_among(&Ty::class("L0"), &Ty::class("R0"), &classes)
    };
    assert_eq!(goes(7, 11), Ok(()), "77 pairs");
    // Else as deep as there are pairs, which is more than a stack takes.
    for (one, other) in [(53, 59), (997, 991)] {
        let why = goes(one, other).unwrap_err();
        assert!(why.message.ends_with("hold too much of each other to be compared"), "{why}");
    }
}

#[test]
fn a_class_that_declares_a_field_anew_as_another_type_goes_not_for_its_base() {
    let class = |bases: &[&str], ty: &str| -> qflow_model::class::Class {
        let fields = json!([{"name": "a", "type": ty, "required": true}, {"name": "next", "type": "None | D", "required": true}]);
        serde_json::from_value(json!({"name": "w.C", "kind": "dataclass", "bases": bases, "fields": fields})).unwrap()
    };
    let classes = Classes::from([
        ("D".to_owned(), class(&[], "int")),
        ("Same".to_owned(), class(&["D"], "int")),
        ("Narrow".to_owned(), class(&["D"], "bool")),
        ("Over".to_owned(), class(&["D"], "str")),
    ]);
    let goes = |name: &str| assignable_among(&Ty::class(name), &Ty::class("D"), &classes);
    assert_eq!((goes("Same"), goes("Narrow")), (Ok(()), Ok(())));
    assert_eq!(goes("Over").unwrap_err().to_string(), "at .a: str is not int");
}

#[test]
fn records_that_hold_many_of_each_other_are_compared_once() {
    let level = |side: &str, at: usize| {
        let ty = if at == 0 && side == "R" {
            "str".to_owned()
        } else if at == 0 {
            "int".to_owned()
        } else {
            format!("{side}{}", at - 1)
        };
        let fields = json!([{"name": "a", "type": format!("list[{ty}] | None"), "required": true}, {"name": "b", "type": ty, "required": true}]);
        (
            format!("{side}{at}"),
            serde_json::from_value(json!({"name": "w.C", "kind": "typed_dict", "fields": fields})).unwrap(),
        )
    };
    let classes: Classes = ["L", "R", "S"].iter().flat_map(|side| (0..200).map(|at| level(side, at))).collect();
    let goes = |source: &str, target: &str| assignable_among(&Ty::class(source), &Ty::class(target), &classes).is_ok();
    assert!(goes("L199", "S199"));
    assert!(!goes("L199", "R199"));
    // What goes only where the pair around it does is not kept when that is refused.
    let of = |fields: &[(&str, &str)]| -> qflow_model::class::Class {
        let fields: Vec<_> =
            fields.iter().map(|(name, ty)| json!({"name": name, "type": ty, "required": true})).collect();
        serde_json::from_value(json!({"name": "w.C", "kind": "typed_dict", "fields": fields})).unwrap()
    };
    let classes = Classes::from([
        ("A".to_owned(), of(&[("b", "B"), ("x", "int")])),
        ("B".to_owned(), of(&[("a", "A")])),
        ("C".to_owned(), of(&[("b", "D"), ("x", "str")])),
        ("D".to_owned(), of(&[("a", "C")])),
        ("P".to_owned(), of(&[("p", "A"), ("q", "B")])),
        ("Q".to_owned(), of(&[("p", "C | A"), ("q", "D")])),
    ]);
    assert!(assignable_among(&Ty::class("P"), &Ty::class("Q"), &classes).is_err());
}

fn why_not(source: &str, target: &str) -> Option<String> {
    assignable(&source.parse().unwrap(), &target.parse().unwrap()).err().map(|reason| reason.to_string())
}

#[test]
fn what_goes_goes() {
    for (source, target) in [
        ("int", "float"),
        ("bool", "int"),
        ("float", "complex"),
        ("int", "int | None"),
        ("Any", "int"),
        ("int", "Any"),
        ("Never", "int"),
        ("list[int]", "list[float]"),
        ("list[int]", "list"),
        ("list", "list[int]"),
        ("dict[str, int]", "Mapping[str, float]"),
        ("list[str]", "Sequence[str | None]"),
        ("tuple[int, int]", "tuple[float, ...]"),
        ("tuple[int, ...]", "Sequence[int]"),
        ("Literal[\"a\"]", "str"),
        ("Literal[\"a\"]", "Literal[\"a\", \"b\"]"),
        ("datetime", "date"),
        ("Outcome[int]", "Outcome[float]"),
        ("list[Outcome[int]]", "list[Outcome]"),
    ] {
        assert_eq!(why_not(source, target), None, "{source} → {target}");
    }
}

#[test]
fn what_does_not_go_says_why() {
    for (source, target, why) in [
        ("float", "int", "float is not int"),
        ("int | None", "int", "None not accepted; add Optional or handle it"),
        ("tuple[int, int, int]", "tuple[int, int]", "tuple length 3 ≠ 2"),
        ("list[str]", "list[int]", "at […]: str is not int"),
        ("Literal[\"c\"]", "Literal[\"a\", \"b\"]", "\"c\" is not one of Literal[\"a\", \"b\"]"),
        ("str", "int | float", "str is none of float | int"),
        ("dict[str, float]", "list[dict[str, float]]", "dict[str, float] is not list[dict[str, float]]"),
        ("Outcome[str]", "Outcome[int]", "at […]: str is not int"),
        ("Outcome[int]", "int", "Outcome[int] is not int"),
    ] {
        assert_eq!(why_not(source, target).as_deref(), Some(why), "{source} → {target}");
    }
}
