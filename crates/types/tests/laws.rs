//! What holds of all types: the laws of the lattice, over generated ones.

use proptest::{collection::vec, prelude::*};
use qflow_types::{Literal, Ty, assignable};

fn scalar() -> impl Strategy<Value = Ty> {
    let names =
        ["bool", "int", "float", "complex", "str", "bytes", "date", "datetime", "Decimal", "UUID", "Path", "object"];
    let more = ["Hashable", "Sized", "SupportsInt", "SupportsFloat", "bytearray", "Foo", "range"];
    let class = proptest::sample::select([&names[..], &more[..]].concat()).prop_map(Ty::class);
    let literal = prop_oneof![
        any::<bool>().prop_map(Literal::Bool),
        (0_i64..3).prop_map(Literal::Int),
        "[ab]".prop_map(Literal::Text),
        Just(Literal::Bytes(b"x".to_vec())),
        "[A-C]".prop_map(|name| Literal::Member("Color".to_owned(), name)),
    ];
    prop_oneof![4 => class, 1 => Just(Ty::None), 2 => vec(literal, 1..4).prop_map(Ty::literal)]
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
fn wider(ty: &Ty) -> Ty {
    match ty {
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

fn goes(source: &Ty, target: &Ty) -> bool {
    assignable(source, target).is_ok()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn a_type_goes_where_it_is_declared(ty in ty()) {
        prop_assert!(goes(&ty, &ty));
        prop_assert_eq!(ty.to_string().parse::<Ty>().unwrap(), ty);
    }

    #[test]
    fn what_goes_on_goes_all_the_way(a in ty(), b in ty(), c in ty()) {
        for (a, b, c) in [(&a, &b, &c), (&a, &wider(&a), &c), (&a, &wider(&a), &wider(&wider(&a))), (&a, &b, &wider(&b))] {
            if goes(a, b) && goes(b, c) {
                prop_assert!(goes(a, c), "{a} → {b} → {c}: {:?}", assignable(a, c));
            }
        }
    }

    #[test]
    fn a_wider_type_takes_it(a in ty()) {
        prop_assert!(goes(&a, &wider(&a)), "{a} → {}: {:?}", wider(&a), assignable(&a, &wider(&a)));
    }

    #[test]
    fn any_never_and_object_stand_at_the_ends(ty in ty()) {
        prop_assert!(goes(&ty, &Ty::Any) && goes(&Ty::Any, &ty));
        prop_assert!(goes(&Ty::Never, &ty));
        prop_assert!(goes(&ty, &Ty::class("object")));
        prop_assert!(!goes(&ty, &Ty::Never), "{} → Never", ty);
    }

    #[test]
    fn a_union_is_the_least_that_takes_its_members(a in ty(), b in ty(), c in ty()) {
        let both = Ty::union([a.clone(), b.clone()]);
        prop_assert!(goes(&a, &both) && goes(&b, &both));
        prop_assert_eq!(goes(&both, &c), goes(&a, &c) && goes(&b, &c), "{} | {} → {}", a, b, c);
        prop_assert_eq!(&both, &Ty::union([b.clone(), a.clone()]));
        prop_assert_eq!(Ty::union([both.clone(), c.clone()]), Ty::union([a.clone(), Ty::union([b, c])]));
        prop_assert_eq!(Ty::union([a.clone(), a.clone()]), a);
    }

    #[test]
    fn a_reason_says_where(a in ty(), b in ty()) {
        if let Err(reason) = assignable(&a, &b) {
            prop_assert!(!reason.message.is_empty());
            let boxed = |ty: &Ty| Ty::Generic("list".to_owned(), vec![ty.clone()]);
            let inner = assignable(&boxed(&a), &boxed(&b)).unwrap_err();
            prop_assert_eq!(inner.path, format!("[…]{}", reason.path));
            prop_assert_eq!(inner.message, reason.message);
        }
    }
}
