//! The table, and what holds for all of it.

use proptest::prelude::*;
use serde_json::json;

use super::*;

fn way(source: &str, target: &str) -> Way {
    convertible(&source.parse().unwrap(), &target.parse().unwrap())
}

fn typed_dict(fields: &[(&str, &str)]) -> Class {
    let fields: Vec<_> = fields.iter().map(|(name, ty)| json!({"name": name, "type": ty, "required": true})).collect();
    serde_json::from_value(json!({"name": "w.C", "kind": "typed_dict", "fields": fields})).unwrap()
}

#[test]
fn every_pair_goes_as_it_should() {
    for (source, target, expected) in [
        ("int", "float", Way::AsItIs),
        ("list[bool]", "list[int]", Way::AsItIs),
        ("Any", "int", Way::AsItIs),
        ("datetime", "date", Way::AsItIs),
        ("list[int]", "tuple[float, ...]", Way::Converted),
        ("tuple[int, int]", "list[int]", Way::Converted),
        ("tuple[int, ...]", "list[int | None]", Way::Converted),
        ("list", "tuple[int, ...]", Way::Converted),
        ("list[date]", "tuple[str, ...]", Way::Converted),
        ("dict[str, date]", "dict[str, str]", Way::Converted),
        ("Mapping[str, int]", "dict[str, int]", Way::Converted),
        ("set[int]", "frozenset[int]", Way::Converted),
        ("date | None", "str | None", Way::Converted),
        ("date | str", "str", Way::Converted),
        ("Literal[1, 2]", "Decimal", Way::Converted),
        ("list[int]", "tuple[int, int]", Way::MayFail),
        ("str", "int", Way::MayFail),
        ("str", "int | None", Way::MayFail),
        ("str | int", "int", Way::MayFail),
        ("float", "int", Way::MayFail),
        ("Decimal", "float", Way::MayFail),
        ("list[str]", "list[int]", Way::MayFail),
        ("dict[str, list[str]]", "dict[str, tuple[date, ...]]", Way::MayFail),
        ("dict[date, int]", "dict[str, int]", Way::MayFail),
        ("set[date]", "set[str]", Way::MayFail),
        ("list[int]", "set[int]", Way::MayFail),
        ("Sequence[int]", "list[int]", Way::MayFail),
        ("str", "Literal[\"a\", \"b\"]", Way::MayFail),
        ("Literal[\"a\", \"c\"]", "Literal[\"a\", \"b\"]", Way::MayFail),
        ("Literal[\"1\"]", "int", Way::MayFail),
        ("list[Sale]", "DataFrame", Way::MayFail),
        ("list[dict[str, float]]", "DataFrame", Way::MayFail),
        ("dict[str, list[int]]", "DataFrame", Way::MayFail),
        ("dict[str, Any]", "Order", Way::MayFail),
        ("str", "Colour", Way::MayFail),
        ("int", "str", Way::Not),
        ("float", "str", Way::Not),
        ("timedelta", "str", Way::Not),
        ("int", "datetime", Way::Not),
        ("int", "timedelta", Way::Not),
        ("str", "bytes", Way::Not),
        ("bytes", "str", Way::Not),
        ("str", "File", Way::Not),
        ("str | None", "int", Way::Not),
        ("str", "int | float", Way::Not),
        ("str", "date | datetime", Way::Not),
        ("str", "list[str]", Way::Not),
        ("set[int]", "list[int]", Way::Not),
        ("tuple[int, int]", "tuple[int, int, int]", Way::Not),
        ("tuple[str, int]", "tuple[int, str]", Way::Not),
        ("int", "Literal[\"a\"]", Way::Not),
        ("Literal[\"c\"]", "Literal[\"a\", \"b\"]", Way::Not),
        ("Order", "dict[str, Any]", Way::Not),
        ("Order", "Invoice", Way::Not),
        ("DataFrame", "list[dict[str, float]]", Way::Not),
        ("list[int]", "DataFrame", Way::Not),
        ("dict[str, int]", "Pickle[Order]", Way::Not),
        ("dict[str, int]", "list[int]", Way::Not),
        ("Outcome[int]", "int", Way::Not),
        ("Outcome[str]", "Outcome[int]", Way::Not),
    ] {
        assert_eq!(way(source, target), expected, "{source} → {target}");
    }
}

#[test]
fn what_is_published_of_containers_and_refusals_holds() {
    let classes = Classes::from([("Row".to_owned(), typed_dict(&[("amount", "int")]))]);
    let way =
        |source: &str, target: &str| super::convertible(&source.parse().unwrap(), &target.parse().unwrap(), &classes);
    for Rule { sure, may_fail, needs, .. } in CONTAINERS {
        for (expected, examples) in [(Way::Converted, sure), (Way::MayFail, may_fail)] {
            for (source, target) in *examples {
                assert_eq!(way(source, target), expected, "{source} → {target}");
            }
        }
        assert_eq!(sure.is_empty(), *needs == "`convert=True`", "{needs}");
    }
    for (source, target) in REFUSED.iter().flat_map(|refused| refused.examples) {
        assert_eq!(way(source, target), Way::Not, "{source} → {target}");
    }
}

#[test]
fn records_that_hold_one_another_are_asked_once() {
    let level = |side: &str, at: usize, end: &str| {
        let ty = if at == 0 { end.to_owned() } else { format!("{side}{}", at - 1) };
        (format!("{side}{at}"), typed_dict(&[("a", &ty), ("b", &format!("list[{ty}]"))]))
    };
    let ends = [("A", "str"), ("B", "int"), ("C", "bytes")];
    let mut classes: Classes = ends.iter().flat_map(|(side, end)| (0..60).map(|at| level(side, at, end))).collect();
    classes.insert("Left".to_owned(), typed_dict(&[("next", "Left | None"), ("x", "str")]));
    classes.insert("Right".to_owned(), typed_dict(&[("next", "Right | None"), ("x", "int")]));
    classes.insert("Wrong".to_owned(), typed_dict(&[("next", "Wrong | None"), ("x", "bytes")]));
    let way = |source: &str, target: &str| super::convertible(&Ty::class(source), &Ty::class(target), &classes);
    assert_eq!(way("A59", "B59"), Way::MayFail);
    assert_eq!(way("A59", "C59"), Way::Not);
    assert_eq!(way("Left", "Right"), Way::MayFail);
    assert_eq!(way("Left", "Wrong"), Way::Not);
}

/// Any type that conversions know something of.
fn types() -> impl Strategy<Value = Ty> {
    let names = ["bool", "int", "float", "str", "Decimal", "date", "datetime", "UUID", "Path", "list", "Order", "File"];
    let leaf = prop_oneof![
        Just(Ty::Any),
        Just(Ty::None),
        prop::sample::select(names.map(Ty::class).to_vec()),
        prop::sample::subsequence(vec![Literal::Bool(true), Literal::Int(1), Literal::Text("a".into())], 1..3)
            .prop_map(Ty::Literal),
    ];
    leaf.prop_recursive(3, 24, 3, |inner| {
        let one = ["list", "set", "frozenset", "Sequence", "Outcome"];
        prop_oneof![
            (prop::sample::select(one.to_vec()), inner.clone())
                .prop_map(|(name, item)| Ty::Generic(name.to_owned(), vec![item])),
            (inner.clone(), inner.clone()).prop_map(|(key, item)| Ty::Generic("dict".to_owned(), vec![key, item])),
            inner.clone().prop_map(|item| Ty::Tuples(Box::new(item))),
            prop::collection::vec(inner.clone(), 0..3).prop_map(Ty::Tuple),
            prop::collection::vec(inner, 2..4).prop_map(Ty::union),
        ]
    })
}

fn convertible(source: &Ty, target: &Ty) -> Way {
    super::convertible(source, target, &Classes::new())
}

proptest! {
    #[test]
    fn what_is_assignable_is_never_a_conversion(source in types(), target in types()) {
        prop_assert_eq!(crate::assignable(&source, &target).is_ok(), convertible(&source, &target) == Way::AsItIs);
        prop_assert_eq!(convertible(&source, &source), Way::AsItIs);
    }

    #[test]
    fn what_each_of_some_allows_all_of_them_allow(one in types(), other in types(), target in types()) {
        let ways = [&one, &other].map(|source| convertible(source, &target));
        let both = convertible(&Ty::union([one, other]), &target);
        // `X | Any` is Any, which goes everywhere; `X | Never` is X.
        prop_assert!(both == Way::AsItIs || both == ways.into_iter().max().unwrap());
    }

    #[test]
    fn a_list_is_converted_as_its_elements_are(item in types(), to in types()) {
        let list = |item: &Ty| Ty::Generic("list".to_owned(), vec![item.clone()]);
        let way = convertible(&item, &to);
        let expected = if way == Way::AsItIs { way } else { way.max(Way::Converted) };
        prop_assert_eq!(convertible(&list(&item), &list(&to)), expected);
        prop_assert_eq!(convertible(&list(&item), &Ty::Tuples(Box::new(to))), way.max(Way::Converted));
    }
}
