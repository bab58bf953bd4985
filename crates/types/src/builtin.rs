//! The classes that Python and Qflow bring: how many types each takes, and what it is derived from. Pure.
//!
//! As typeshed has them, protocols included where a class meets them: <https://github.com/python/typeshed>. A value is copied between
//! nodes, so what is derived is read only and covariant.

use std::{borrow::Cow, sync::LazyLock};

use crate::ty::Ty;

/// A class that types may name without its being the user's.
#[derive(Debug)]
pub(crate) struct Builtin {
    /// Its canonical name.
    pub(crate) name: &'static str,
    /// How many types it takes in brackets.
    pub(crate) takes: usize,
    /// What it is derived from at once, nearest first.
    bases: &'static [Base],
}

/// A base, and what it is given in brackets.
type Base = (&'static str, &'static [Arg]);

/// What a base is given.
#[derive(Clone, Copy, Debug)]
enum Arg {
    /// What the class itself was given, by position.
    Own(usize),
    /// A class.
    Class(&'static str),
    /// A pair of both that the class itself was given.
    Pair,
}

use Arg::{Class, Own, Pair};

const FIRST: &[Arg] = &[Own(0)];
const BOTH: &[Arg] = &[Own(0), Own(1)];
const INTS: &[Arg] = &[Class("int")];
const TEXTS: &[Arg] = &[Class("str")];
const HASHABLE: Base = ("Hashable", &[]);
const TO_INT: Base = ("SupportsInt", &[]);
const TO_FLOAT: Base = ("SupportsFloat", &[]);

const fn of(name: &'static str, takes: usize, bases: &'static [Base]) -> Builtin {
    Builtin { name, takes, bases }
}

/// Sorted by name.
static CLASSES: &[Builtin] = &[
    of("ArithmeticError", 0, &[("Exception", &[])]),
    of("AssertionError", 0, &[("Exception", &[])]),
    of("BaseException", 0, &[HASHABLE]),
    of("Buffer", 0, &[]),
    of("ByteString", 0, &[("Sequence", INTS), ("Buffer", &[])]),
    of("ChainMap", 2, &[("MutableMapping", BOTH)]),
    of("Collection", 1, &[("Iterable", FIRST), ("Container", FIRST), ("Sized", &[])]),
    of("Container", 1, &[]),
    of("Counter", 1, &[("dict", &[Own(0), Class("int")])]),
    of("DataFrame", 0, &[("Sized", &[])]),
    of(
        "Decimal",
        0,
        &[TO_INT, TO_FLOAT, ("SupportsAbs", &[Class("Decimal")]), ("SupportsRound", &[Class("int")]), HASHABLE],
    ),
    of("Exception", 0, &[("BaseException", &[])]),
    of("File", 0, &[("Path", &[])]),
    of("Folder", 0, &[("Path", &[])]),
    of("Fraction", 0, &[TO_INT, TO_FLOAT, ("SupportsAbs", &[Class("Fraction")]), HASHABLE]),
    of("Hashable", 0, &[]),
    of("ItemsView", 2, &[("MappingView", &[]), ("Set", &[Pair])]),
    of("Iterable", 1, &[]),
    of("KeyError", 0, &[("LookupError", &[])]),
    of("KeysView", 1, &[("MappingView", &[]), ("Set", FIRST)]),
    of("LookupError", 0, &[("Exception", &[])]),
    of("Mapping", 2, &[("Collection", FIRST)]),
    of("MappingView", 0, &[("Sized", &[])]),
    of("MutableMapping", 2, &[("Mapping", BOTH)]),
    of("MutableSequence", 1, &[("Sequence", FIRST)]),
    of("MutableSet", 1, &[("Set", FIRST)]),
    of("OSError", 0, &[("Exception", &[])]),
    of("OrderedDict", 2, &[("dict", BOTH)]),
    of("Outcome", 1, &[]),
    of("OutcomeError", 0, &[]),
    of("Path", 0, &[("PurePath", &[])]),
    of("PathLike", 1, &[]),
    of("PosixPath", 0, &[("Path", &[]), ("PurePosixPath", &[])]),
    of("PurePath", 0, &[("PathLike", TEXTS), HASHABLE]),
    of("PurePosixPath", 0, &[("PurePath", &[])]),
    of("PureWindowsPath", 0, &[("PurePath", &[])]),
    of("Reversible", 1, &[("Iterable", FIRST)]),
    of("RuntimeError", 0, &[("Exception", &[])]),
    of("Sequence", 1, &[("Reversible", FIRST), ("Collection", FIRST)]),
    of("Series", 0, &[("Sized", &[])]),
    of("Set", 1, &[("Collection", FIRST)]),
    of("Sized", 0, &[]),
    of("SupportsAbs", 1, &[]),
    of("SupportsBytes", 0, &[]),
    of("SupportsComplex", 0, &[]),
    of("SupportsFloat", 0, &[]),
    of("SupportsIndex", 0, &[]),
    of("SupportsInt", 0, &[]),
    of("SupportsRound", 1, &[]),
    of("TypeError", 0, &[("Exception", &[])]),
    of("UUID", 0, &[TO_INT, HASHABLE]),
    of("ValueError", 0, &[("Exception", &[])]),
    of("ValuesView", 1, &[("MappingView", &[]), ("Collection", FIRST)]),
    of("bool", 0, &[("int", &[])]),
    of("bytearray", 0, &[("MutableSequence", INTS), ("ByteString", &[])]),
    of("bytes", 0, &[("Sequence", INTS), ("ByteString", &[]), ("SupportsBytes", &[]), HASHABLE]),
    of("complex", 0, &[("SupportsAbs", &[Class("float")]), ("SupportsComplex", &[]), HASHABLE]),
    of("date", 0, &[HASHABLE]),
    of("datetime", 0, &[("date", &[])]),
    of("defaultdict", 2, &[("dict", BOTH)]),
    of("deque", 1, &[("MutableSequence", FIRST)]),
    of("dict", 2, &[("MutableMapping", BOTH), ("Reversible", FIRST)]),
    of(
        "float",
        0,
        &[TO_INT, TO_FLOAT, ("SupportsAbs", &[Class("float")]), ("SupportsRound", &[Class("int")]), HASHABLE],
    ),
    of("frozenset", 1, &[("Set", FIRST), HASHABLE]),
    of(
        "int",
        0,
        &[
            TO_INT,
            TO_FLOAT,
            ("SupportsIndex", &[]),
            ("SupportsAbs", &[Class("int")]),
            ("SupportsRound", &[Class("int")]),
            HASHABLE,
        ],
    ),
    of("list", 1, &[("MutableSequence", FIRST)]),
    of("memoryview", 0, &[("Sequence", INTS), ("ByteString", &[])]),
    of("ndarray", 0, &[("Sized", &[])]),
    of("object", 0, &[]),
    of("range", 0, &[("Sequence", INTS), HASHABLE]),
    of("set", 1, &[("MutableSet", FIRST)]),
    of("str", 0, &[("Sequence", TEXTS), HASHABLE]),
    of("time", 0, &[HASHABLE]),
    of("timedelta", 0, &[("SupportsAbs", &[Class("timedelta")]), HASHABLE]),
    of("timezone", 0, &[("tzinfo", &[])]),
    of("type", 1, &[HASHABLE]),
    of("tzinfo", 0, &[HASHABLE]),
];

/// Where classes stand, by number: what each is derived from at once, and all that it is derived from as bits.
struct Lineage {
    bases: Vec<Vec<(usize, &'static [Arg])>>,
    above: Vec<u128>,
}

static LINEAGE: LazyLock<Lineage> = LazyLock::new(|| {
    let at = |base: &Base| place(base.0).map(|at| (at, base.1));
    let bases: Vec<Vec<_>> = CLASSES.iter().map(|class| class.bases.iter().filter_map(at).collect()).collect();
    let above = (0..CLASSES.len()).map(|at| above(at, &bases)).collect();
    Lineage { bases, above }
});

fn above(at: usize, bases: &[Vec<(usize, &'static [Arg])>]) -> u128 {
    bases[at].iter().fold(1 << at, |bits, (base, _)| bits | above(*base, bases))
}

fn place(name: &str) -> Option<usize> {
    CLASSES.binary_search_by(|class| class.name.cmp(name)).ok()
}

/// The class of a canonical name.
pub(crate) fn builtin(name: &str) -> Option<&'static Builtin> {
    place(name).map(|at| &CLASSES[at])
}

/// How many types a class takes in brackets; nothing where it is not known here. What frames, arrays and paths take is theirs to say.
pub fn arity(name: &str) -> Option<usize> {
    let free = |class: &&Builtin| matches!(class.name, "DataFrame" | "Series" | "ndarray" | "memoryview");
    builtin(name).filter(|class| !free(class)).map(|class| class.takes)
}

/// Whether a class is one that Python, a library or Qflow brings, and types may name.
pub fn is_builtin(name: &str) -> bool {
    builtin(name).is_some()
}

/// Whether a class is another, or derived from it; the promotion of numbers is none of this.
pub(crate) fn derived(name: &str, from: &str) -> bool {
    let by_table = || Some(LINEAGE.above[place(name)?] & (1 << place(from)?) != 0);
    name == from || by_table() == Some(true)
}

/// Classes from outside that a mapping, a text or a number is not the description of.
const OPAQUE: &[&str] = &["Pickle", "slice"];

/// Whether a class is none of the user's: a mapping is not one of its objects, whatever it holds.
pub(crate) fn is_opaque(name: &str) -> bool {
    OPAQUE.contains(&name) || builtin(name).is_some()
}

/// The keys and values of a mapping of a class that does not take both in brackets: a `Counter` counts.
pub(crate) fn keys_and_values(name: &str, given: &[Ty]) -> Option<[Ty; 2]> {
    builtin(name).filter(|class| class.takes == 1)?;
    let [key, value] = seen_as(name, given, "Mapping")?;
    Some([key?.into_owned(), value?.into_owned()])
}

/// What a class is given in brackets, as many as there are: at most two.
pub(crate) type Given<'t> = [Option<Cow<'t, Ty>>; 2];

/// What a class is given in brackets when it is looked at as one that it is derived from; nothing where it is not.
///
/// `given` are its own; of those that are not there it is `Any`. So `dict[str, int]` is an `Iterable` of `str`.
pub(crate) fn seen_as<'t>(name: &str, given: &'t [Ty], from: &str) -> Option<Given<'t>> {
    let own = [given.first().map(Cow::Borrowed), given.get(1).map(Cow::Borrowed)];
    if name == from {
        return Some(own);
    }
    let (at, to) = (place(name)?, place(from)?);
    (LINEAGE.above[at] & (1 << to) != 0).then(|| raised(at, to, own))
}

/// The same, base by base, of a class that is derived from the other.
fn raised<'t>(at: usize, to: usize, own: Given<'t>) -> Given<'t> {
    if at == to {
        return own;
    }
    let way = LINEAGE.bases[at].iter().find(|(base, _)| LINEAGE.above[*base] & (1 << to) != 0);
    let Some((base, args)) = way else { return own };
    let of = |at: usize| own[at].clone().unwrap_or(Cow::Owned(Ty::Any));
    let mut given: Given<'t> = [None, None];
    for (slot, arg) in given.iter_mut().zip(*args) {
        *slot = Some(match arg {
            Own(at) => of(*at),
            Class(name) => Cow::Owned(Ty::class(name)),
            Pair => Cow::Owned(Ty::Tuple(vec![of(0).into_owned(), of(1).into_owned()])),
        });
    }
    raised(*base, to, given)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_sorted_and_their_bases_are_there() {
        assert!(CLASSES.is_sorted_by(|a, b| a.name < b.name));
        assert!(CLASSES.len() <= 128, "a bit each");
        for class in CLASSES {
            for (base, args) in class.bases {
                let base = builtin(base).unwrap_or_else(|| panic!("{}: {base}", class.name));
                assert_eq!(base.takes, args.len(), "{} → {}", class.name, base.name);
                assert!(args.len() <= 2, "{}", class.name);
            }
        }
    }

    #[test]
    fn a_class_is_seen_as_what_it_is_derived_from() {
        for (name, given, from, seen) in [
            ("dict", "str, int", "Iterable", Some("str")),
            ("dict", "str, int", "Mapping", Some("str, int")),
            ("Counter", "str", "Mapping", Some("str, int")),
            ("ItemsView", "str, int", "Collection", Some("tuple[str, int]")),
            ("str", "", "Sequence", Some("str")),
            ("list", "", "Iterable", Some("Any")),
            ("bool", "", "SupportsIndex", Some("")),
            ("Sequence", "int", "list", None),
            ("set", "int", "Reversible", None),
        ] {
            let given: Vec<Ty> =
                given.split(", ").filter(|one| !one.is_empty()).map(|one| one.parse().unwrap()).collect();
            let found = seen_as(name, &given, from);
            let found =
                found.map(|types| types.iter().flatten().map(ToString::to_string).collect::<Vec<_>>().join(", "));
            assert_eq!(found.as_deref(), seen, "{name} as {from}");
        }
    }
}
