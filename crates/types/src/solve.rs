//! What the variables of a generic function stand for in one call: `def first(rows: list[T]) -> T` given a `list[int]` returns an `int`.
//! Pure. Generics: <https://typing.python.org/en/latest/spec/generics.html>.

use std::{borrow::Cow, collections::BTreeMap};

use qflow_model::class::{Class, ClassKind, Classes};

use crate::{
    assignable::{Reason, assignable_among},
    builtin::seen_as,
    ty::Ty,
};

/// A variable of a generic function, as it is declared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variable {
    /// What it must go where: `TypeVar("T", bound=float)`.
    pub bound: Option<Ty>,
    /// What it is one of: `TypeVar("T", int, str)`.
    pub constraints: Vec<Ty>,
    /// What it is where nothing tells: `TypeVar("T", default=int)`.
    pub default: Option<Ty>,
}

/// Variables by name.
pub type Variables = BTreeMap<String, Variable>;

/// A variable that no type can stand for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{variable} would be {found}, and {reason}")]
pub struct Unsolved {
    /// Its name.
    pub variable: String,
    /// What the arguments make of it.
    pub found: Ty,
    /// Why that is not allowed.
    pub reason: String,
}

/// What variables stand for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Solution(BTreeMap<String, Ty>);

impl Solution {
    /// A type with what is solved in the place of its variables; what is not solved is `Any`.
    pub fn apply(&self, ty: Ty) -> Ty {
        match ty {
            Ty::Variable(name) => self.0.get(&name).cloned().unwrap_or(Ty::Any),
            other => other.map(|part| self.apply(part)),
        }
    }

    /// How many parts [`Self::apply`] would make of a type: calls within calls can double them each time.
    pub fn size(&self, ty: &Ty) -> usize {
        match ty {
            Ty::Variable(name) => self.0.get(name).map_or(1, parts),
            other => other.parts().into_iter().map(|part| self.size(part)).fold(1, usize::saturating_add),
        }
    }
}

fn parts(ty: &Ty) -> usize {
    ty.parts().into_iter().map(parts).fold(1, usize::saturating_add)
}

/// Solves a call: each declared parameter with the type that it is given. The smallest type that takes all in is meant: of `T` given an
/// `int` and a `str`, their union; literals count as their classes.
pub fn solve<'t>(
    given: impl IntoIterator<Item = (&'t Ty, &'t Ty)>,
    variables: &Variables,
    classes: &Classes,
) -> Result<Solution, Unsolved> {
    let mut found: BTreeMap<String, Vec<Ty>> = BTreeMap::new();
    for (declared, given) in given {
        collect(declared, given, classes, &mut found);
    }
    let mut solution = Solution::default();
    for (name, variable) in variables {
        let ty = match found.remove(name) {
            Some(types) => variable.allow(name, Ty::union(types.into_iter().map(Ty::widened)), classes)?,
            None => variable.default.clone().or_else(|| variable.bound.clone()).unwrap_or(Ty::Any),
        };
        solution.0.insert(name.clone(), ty);
    }
    Ok(solution)
}

impl Variable {
    /// What it stands for where the arguments make `found` of it.
    fn allow(&self, name: &str, found: Ty, classes: &Classes) -> Result<Ty, Unsolved> {
        let refuse = |reason: String| Unsolved { variable: name.to_owned(), found: found.clone(), reason };
        if let Some(bound) = &self.bound {
            let goes = assignable_among(&found, bound, classes);
            goes.map_err(|Reason { message, .. }| refuse(format!("is bound to {bound}: {message}")))?;
        }
        if self.constraints.is_empty() {
            return Ok(found);
        }
        let mut allowed = self.constraints.iter();
        let one = allowed.find(|one| assignable_among(&found, one, classes).is_ok());
        let all = || self.constraints.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        one.cloned().ok_or_else(|| refuse(format!("is one of {}", all())))
    }
}

/// What stands where variables do.
fn collect(declared: &Ty, given: &Ty, classes: &Classes, found: &mut BTreeMap<String, Vec<Ty>>) {
    match (declared, given) {
        (Ty::Variable(name), _) => found.entry(name.clone()).or_default().push(given.clone()),
        _ if !has_variables(declared) => {}
        (_, Ty::Any | Ty::Never) => {
            declared.parts().into_iter().for_each(|part| collect(part, given, classes, found));
        }
        (_, Ty::Union(members)) if !matches!(declared, Ty::Union(_)) => {
            members.iter().for_each(|member| collect(declared, member, classes, found));
        }
        (Ty::Union(members), _) => {
            // What another member takes says nothing of a variable: `T | None` given `int | None`.
            let (open, closed): (Vec<_>, Vec<_>) = members.iter().partition(|member| has_variables(member));
            let taken = |one: &&Ty| closed.iter().any(|member| assignable_among(one, member, classes).is_ok());
            for one in given.members().iter().filter(|one| !taken(one)) {
                let (bare, shaped): (Vec<_>, Vec<_>) =
                    open.iter().copied().partition(|member| matches!(member, Ty::Variable(_)));
                let fits: Vec<_> = shaped.into_iter().filter(|member| is_alike(member, one, classes)).collect();
                let into = if fits.is_empty() { bare } else { fits };
                into.into_iter().for_each(|member| collect(member, one, classes, found));
            }
        }
        _ => match besides(given, declared, classes) {
            Some(seen) => collect(declared, &seen, classes, found),
            None => inside(declared, given, classes, found),
        },
    }
}

/// The same part by part, of what is given in brackets.
fn inside(declared: &Ty, given: &Ty, classes: &Classes, found: &mut BTreeMap<String, Vec<Ty>>) {
    match (declared, given) {
        (Ty::Generic(name, parts), _) => {
            let seen = match given {
                Ty::Class(class) => seen_as(class, &[], name),
                Ty::Generic(class, own) => seen_as(class, own, name),
                _ => given.items().map(|item| [Some(Cow::Owned(item)), None]),
            };
            let seen = seen.unwrap_or_default();
            parts.iter().zip(seen.iter().flatten()).for_each(|(part, given)| collect(part, given, classes, found));
        }
        (Ty::Tuple(parts), Ty::Tuple(given)) => {
            parts.iter().zip(given).for_each(|(part, given)| collect(part, given, classes, found));
        }
        (Ty::Tuples(part), _) => {
            if let Some(item) = given.items() {
                collect(part, &item, classes, found);
            }
        }
        (Ty::Spread(before, item, after), Ty::Tuple(given)) if given.len() >= before.len() + after.len() => {
            let last = given.len() - after.len();
            let parts = before.iter().chain(std::iter::repeat_n(&**item, last - before.len())).chain(after);
            parts.zip(given).for_each(|(part, given)| collect(part, given, classes, found));
        }
        (Ty::Spread(before, item, after), Ty::Spread(first, any, last))
            if first.len() >= before.len() && last.len() >= after.len() =>
        {
            let (first, more) = first.split_at(before.len());
            let (less, last) = last.split_at(last.len() - after.len());
            let ends = before.iter().chain(after).zip(first.iter().chain(last));
            ends.for_each(|(part, given)| collect(part, given, classes, found));
            more.iter().chain([&**any]).chain(less).for_each(|given| collect(item, given, classes, found));
        }
        _ => {}
    }
}

/// What a literal, or a value of a class of the user's, is besides, as [`assignable_among`] has it: a named tuple is a tuple, a typed
/// dictionary a mapping, and a member of an enum a value of what is mixed in.
fn besides(given: &Ty, declared: &Ty, classes: &Classes) -> Option<Ty> {
    let name = match given {
        Ty::Literal(_) => return Some(given.clone().widened()),
        Ty::Class(name) => name,
        _ => return None,
    };
    let mixed_in = || {
        let Ty::Generic(of, _) = declared else { return None };
        let mut bases = classes.above(name).iter().filter(|base| !classes.contains_key(*base));
        bases.find(|base| seen_as(base, &[], of).is_some()).map(|base| Ty::class(base))
    };
    let Some(Class { kind, fields, .. }) = classes.get(name) else { return mixed_in() };
    match kind {
        ClassKind::NamedTuple => {
            Some(Ty::Tuple(fields.iter().map(|field| field.ty.0.parse().unwrap_or(Ty::Any)).collect()))
        }
        // What it holds under keys that are not declared nobody knows.
        ClassKind::TypedDict => Some(Ty::Generic("Mapping".to_owned(), vec![Ty::class("str"), Ty::class("object")])),
        ClassKind::Enum => mixed_in(),
        ClassKind::Dataclass | ClassKind::Model => None,
    }
}

/// Whether variables stand in a type.
pub fn has_variables(ty: &Ty) -> bool {
    matches!(ty, Ty::Variable(_)) || ty.parts().into_iter().any(has_variables)
}

/// Whether a type may be of a declared shape, whatever its variables are.
fn is_alike(declared: &Ty, given: &Ty, classes: &Classes) -> bool {
    assignable_among(given, &Solution::default().apply(declared.clone()), classes).is_ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ty(text: &str) -> Ty {
        text.parse().unwrap()
    }

    /// A `NamedTuple`, a `TypedDict`, a `StrEnum` and an `Enum`.
    fn classes() -> Classes {
        let fields =
            json!([{"name": "x", "type": "str", "required": true}, {"name": "y", "type": "int", "required": true}]);
        let members = json!([{"name": "A", "value": "a"}]);
        let all = json!({
            "Pair": {"name": "m.Pair", "kind": "named_tuple", "fields": fields},
            "Row": {"name": "m.Row", "kind": "typed_dict", "fields": fields},
            "Part": {"name": "m.Part", "kind": "dataclass", "fields": fields},
            "Name": {"name": "m.Name", "kind": "enum", "bases": ["str"], "members": members},
            "Unit": {"name": "m.Unit", "kind": "enum", "members": members},
        });
        serde_json::from_value(all).unwrap()
    }

    fn solved(declared: &[&str], given: &[&str], returns: &str, variable: Variable) -> String {
        let (declared, given): (Vec<Ty>, Vec<Ty>) =
            (declared.iter().map(|t| ty(t)).collect(), given.iter().map(|t| ty(t)).collect());
        let variables = Variables::from([("T".to_owned(), variable), ("U".to_owned(), Variable::default())]);
        match solve(declared.iter().zip(&given), &variables, &classes()) {
            Ok(solution) => solution.apply(ty(returns)).to_string(),
            Err(unsolved) => unsolved.to_string(),
        }
    }

    #[test]
    fn variables_stand_for_what_is_given() {
        for (declared, given, returns, result) in [
            (["list[~T]"], ["list[int]"], "~T", "int"),
            (["Iterable[~T]"], ["dict[str, int]"], "list[~T]", "list[str]"),
            (["Mapping[~T, ~U]"], ["dict[str, int]"], "dict[~U, ~T]", "dict[int, str]"),
            (["Sequence[~T]"], ["tuple[int, str]"], "~T", "int | str"),
            (["tuple[~T, ~U]"], ["tuple[int, str]"], "tuple[~U, ~T]", "tuple[str, int]"),
            (["tuple[~T, *tuple[~U, ...]]"], ["tuple[int, str, bool]"], "~U", "bool | str"),
            (["~T | None"], ["int | None"], "~T", "int"),
            (["~T | list[~T]"], ["list[int]"], "~T", "int"),
            (["~T | list[~T]"], ["int"], "~T", "int"),
            (["~T"], ["Literal[\"a\"]"], "list[~T]", "list[str]"),
            (["list[~T]"], ["Any"], "~T", "Any"),
            (["list[~T]"], ["list[int] | list[str]"], "~T", "int | str"),
            (["int"], ["int"], "~T", "Any"),
        ] {
            assert_eq!(solved(&declared, &given, returns, Variable::default()), result, "{declared:?} given {given:?}");
        }
        assert_eq!(solved(&["~T", "~T"], &["int", "str"], "~T", Variable::default()), "int | str");
    }

    #[test]
    fn a_literal_and_a_class_of_the_users_are_seen_as_what_they_are_besides() {
        for (declared, given, returns, result) in [
            ("Sequence[~T]", "Literal[\"ab\"]", "~T", "str"),
            ("Sequence[~T]", "Literal[b\"ab\"]", "~T", "int"),
            ("~T | Sequence[~T]", "Literal[\"ab\"]", "~T", "str"),
            ("Sequence[~T]", "Pair", "~T", "int | str"),
            ("tuple[~T, ~U]", "Pair", "tuple[~U, ~T]", "tuple[int, str]"),
            ("tuple[~T, ...]", "Pair", "~T", "int | str"),
            ("tuple[~T, *tuple[~U, ...]]", "Pair", "~U", "int"),
            ("list[~T]", "list[Pair]", "~T", "Pair"),
            ("list[tuple[~T, ~U]]", "list[Pair]", "~U", "int"),
            ("Mapping[~T, ~U]", "Row", "tuple[~T, ~U]", "tuple[str, object]"),
            ("Iterable[~T]", "Row", "~T", "str"),
            ("Sequence[~T]", "Name", "~T", "str"),
            ("Sequence[~T]", "Literal[Name.A]", "~T", "str"),
            ("~T | str", "Name", "~T", "Any"),
            ("~T | str", "Unit", "~T", "Unit"),
            ("~T | Mapping[str, ~T]", "Row", "~T", "object"),
            ("~T", "Pair", "~T", "Pair"),
            // What it does not take is told as an edge that does not go, and nothing of the variable.
            ("Sequence[~T]", "Unit", "~T", "Any"),
            ("Sequence[~T]", "Part", "~T", "Any"),
            ("tuple[~T, ~U]", "Name", "~T", "Any"),
            (
                "tuple[~T, *tuple[~U, ...]]",
                "tuple[int, bytes, *tuple[str, ...], bool]",
                "tuple[~T, ~U]",
                "tuple[int, bool | bytes | str]",
            ),
            ("tuple[*tuple[~T, ...], ~U]", "tuple[*tuple[str, ...], bool]", "tuple[~T, ~U]", "tuple[str, bool]"),
        ] {
            assert_eq!(solved(&[declared], &[given], returns, Variable::default()), result, "{declared} given {given}");
        }
        let of_text = || Variable { bound: Some(ty("str")), ..Variable::default() };
        assert_eq!(solved(&["~T"], &["Name"], "~T", of_text()), "Name");
        assert_eq!(solved(&["~T"], &["Literal[Name.A]"], "~T", of_text()), "Name");
        let why = "T would be Unit, and is bound to str: Unit is not str";
        assert_eq!(solved(&["~T"], &["Unit"], "~T", of_text()), why);
    }

    #[test]
    fn bounds_constraints_and_defaults_are_held_to() {
        let bound = || Variable { bound: Some(ty("float")), ..Variable::default() };
        assert_eq!(solved(&["list[~T]"], &["list[int]"], "~T", bound()), "int");
        let why = "T would be str, and is bound to float: str is not float";
        assert_eq!(solved(&["list[~T]"], &["list[str]"], "~T", bound()), why);
        let one_of = || Variable { constraints: vec![ty("float"), ty("str")], ..Variable::default() };
        assert_eq!(solved(&["~T"], &["int"], "~T", one_of()), "float");
        assert_eq!(solved(&["~T"], &["bytes"], "~T", one_of()), "T would be bytes, and is one of float, str");
        let default = || Variable { default: Some(ty("int")), ..Variable::default() };
        assert_eq!(solved(&["int"], &["int"], "~T", default()), "int");
    }
}
