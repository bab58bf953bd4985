//! What holds of all types: the laws of the lattice, over generated ones.

mod own;

use own::{NAMES, classes};
use proptest::{collection::vec, prelude::*};
use qflow_model::class::{ClassKind, Classes};
use qflow_types::{Literal, Ty, assignable_among};

fn scalar() -> impl Strategy<Value = Ty> {
    let names =
        ["bool", "int", "float", "complex", "str", "bytes", "date", "datetime", "Decimal", "UUID", "Path", "object"];
    let more = ["Hashable", "Sized", "SupportsInt", "SupportsFloat", "bytearray", "Foo", "range"];
    let class = proptest::sample::select([&names[..], &more[..]].concat()).prop_map(Ty::class);
    let own = proptest::sample::select(NAMES.to_vec()).prop_map(Ty::class);
    let literal = prop_oneof![
        any::<bool>().prop_map(Literal::Bool),
        (0_i64..3).prop_map(Literal::Int),
        "[ab]".prop_map(Literal::Text),
        Just(Literal::Bytes(b"x".to_vec())),
        "[A-C]".prop_map(|name| Literal::Member("Color".to_owned(), name)),
        proptest::sample::select(vec![
            ("Colour", "RED"),
            ("Colour", "BLUE"),
            ("Level", "LOW"),
            ("Level", "HIGH"),
            ("One", "ONLY")
        ])
        .prop_map(|(class, name)| Literal::Member(class.to_owned(), name.to_owned())),
    ];
    prop_oneof![4 => class, 3 => own, 1 => Just(Ty::None), 2 => vec(literal, 1..4).prop_map(Ty::literal)]
}

/// Types without `Any`, which is consistent both ways and so breaks every chain.
fn ty() -> impl Strategy<Value = Ty> {
    let lists = [
        "list",
        "set",
        "frozenset",
        "Sequence",
        "MutableSequence",
        "Iterable",
        "Collection",
        "Set",
        "Reversible",
        "deque",
    ];
    let maps = ["dict", "Mapping", "MutableMapping", "OrderedDict", "defaultdict"];
    scalar().prop_recursive(3, 24, 4, move |inner| {
        let list = proptest::sample::select(lists.to_vec());
        let map = proptest::sample::select(maps.to_vec());
        prop_oneof![
            (list, inner.clone()).prop_map(|(name, item)| Ty::Generic(name.to_owned(), vec![item])),
            (map, inner.clone(), inner.clone())
                .prop_map(|(name, key, item)| Ty::Generic(name.to_owned(), vec![key, item])),
            vec(inner.clone(), 0..4).prop_map(Ty::Tuple),
            inner.clone().prop_map(|item| Ty::Tuples(Box::new(item))),
            (vec(inner.clone(), 0..3), inner.clone(), vec(inner.clone(), 0..3))
                .prop_map(|(before, item, after)| Ty::spread(before, Some(item), after)),
            vec(inner, 2..4).prop_map(Ty::union),
        ]
    })
}

/// A type above another, so that chains are not only found by chance.
fn wider(ty: &Ty, classes: &Classes) -> Ty {
    let wider = |ty: &Ty| wider(ty, classes);
    match ty {
        Ty::Class(name) if classes.contains_key(name) => {
            let class = &classes[name];
            let fields = class.fields.iter().map(|field| field.ty.0.parse().expect("a type"));
            match (class.kind, class.bases.first()) {
                (ClassKind::TypedDict, None) => "Mapping[str, object]".parse().expect("a type"),
                (ClassKind::NamedTuple, None) => Ty::Tuple(fields.collect()),
                (ClassKind::Enum, None) => {
                    let members = class.members.iter().map(|member| Literal::Member(name.clone(), member.name.clone()));
                    Ty::literal(members.collect())
                }
                (ClassKind::Dataclass | ClassKind::Model, None) => ty.clone().optional(),
                (ClassKind::Dataclass, Some(_)) if name == "Larger" || name == "Anew" => ty.clone().optional(),
                (_, Some(base)) => Ty::class(base),
            }
        }
        Ty::Class(name) if name == "bool" => Ty::class("int"),
        Ty::Class(name) if name == "int" => Ty::class("float"),
        Ty::Class(name) if name == "datetime" => Ty::class("date"),
        Ty::Class(name) if name == "str" => Ty::Generic("Sequence".to_owned(), vec![Ty::class("str")]),
        Ty::Generic(name, parts) if name == "list" => {
            Ty::Generic("MutableSequence".to_owned(), parts.iter().map(wider).collect())
        }
        Ty::Generic(name, parts) if name == "dict" => {
            Ty::Generic("Mapping".to_owned(), parts.iter().map(wider).collect())
        }
        Ty::Generic(name, parts) => Ty::Generic(name.clone(), parts.iter().map(wider).collect()),
        Ty::Tuple(parts) => Ty::Tuples(Box::new(Ty::union(parts.iter().map(wider)))),
        Ty::Literal(_) => ty.clone().widened(),
        other => Ty::union([other.clone(), Ty::class("bytes")]),
    }
}

/// Whether one goes where the other is declared, among some classes.
macro_rules! goes {
    ($classes:expr, $source:expr, $target:expr) => {
        assignable_among($source, $target, &$classes).is_ok()
    };
}

proptest! {
    #![proptest_config(own::cases(3_000))]

    #[test]
    fn a_type_goes_where_it_is_declared(ty in ty(), own in classes()) {
        prop_assert!(goes!(own, &ty, &ty));
        prop_assert_eq!(ty.to_string().parse::<Ty>().unwrap(), ty);
    }

    #[test]
    fn what_goes_on_goes_all_the_way(a in ty(), b in ty(), c in ty(), own in classes()) {
        let (above, over) = (wider(&a, &own), wider(&wider(&a, &own), &own));
        for (a, b, c) in [(&a, &b, &c), (&a, &above, &c), (&a, &above, &over), (&a, &b, &wider(&b, &own))] {
            if goes!(own, a, b) && goes!(own, b, c) {
                prop_assert!(goes!(own, a, c), "{a} → {b} → {c}: {:?}", assignable_among(a, c, &own));
            }
        }
    }

    #[test]
    fn what_goes_on_among_classes_goes_all_the_way(names in vec(proptest::sample::select(NAMES.to_vec()), 3), own in classes()) {
        let [a, b, c] = [0, 1, 2].map(|at| Ty::class(names[at]));
        if goes!(own, &a, &b) && goes!(own, &b, &c) {
            prop_assert!(goes!(own, &a, &c), "{a} → {b} → {c}: {:?}", assignable_among(&a, &c, &own));
        }
    }

    #[test]
    fn a_wider_type_takes_it(a in ty(), own in classes()) {
        let above = wider(&a, &own);
        prop_assert!(goes!(own, &a, &above), "{a} → {above}: {:?}", assignable_among(&a, &above, &own));
    }

    #[test]
    fn any_never_and_object_stand_at_the_ends(ty in ty(), own in classes()) {
        prop_assert!(goes!(own, &ty, &Ty::Any) && goes!(own, &Ty::Any, &ty));
        prop_assert!(goes!(own, &Ty::Never, &ty));
        prop_assert!(goes!(own, &ty, &Ty::class("object")));
        prop_assert!(!goes!(own, &ty, &Ty::Never), "{} → Never", ty);
    }

    #[test]
    fn a_union_is_the_least_that_takes_its_members(a in ty(), b in ty(), c in ty(), own in classes()) {
        let both = Ty::union([a.clone(), b.clone()]);
        prop_assert!(goes!(own, &a, &both) && goes!(own, &b, &both));
        prop_assert_eq!(goes!(own, &both, &c), goes!(own, &a, &c) && goes!(own, &b, &c), "{} | {} → {}", a, b, c);
        prop_assert_eq!(&both, &Ty::union([b.clone(), a.clone()]));
        prop_assert_eq!(Ty::union([both.clone(), c.clone()]), Ty::union([a.clone(), Ty::union([b, c])]));
        prop_assert_eq!(Ty::union([a.clone(), a.clone()]), a);
    }

    #[test]
    fn a_reason_says_where(a in ty(), b in ty(), own in classes()) {
        if let Err(reason) = assignable_among(&a, &b, &own) {
            prop_assert!(!reason.message.is_empty());
            let boxed = |ty: &Ty| Ty::Generic("list".to_owned(), vec![ty.clone()]);
            let inner = assignable_among(&boxed(&a), &boxed(&b), &own).unwrap_err();
            let gap = if reason.path.starts_with("key") { " " } else { "" };
            prop_assert_eq!(inner.path, format!("[…]{gap}{}", reason.path));
            prop_assert_eq!(inner.message, reason.message);
        }
    }
}
