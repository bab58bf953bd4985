//! What the variables of a generic function stand for in one call: `def first(rows: list[T]) -> T` given a `list[int]` returns an `int`.
//! Pure. Generics: <https://typing.python.org/en/latest/spec/generics.html>.

use std::{borrow::Cow, collections::BTreeMap};

use qflow_model::class::Classes;

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
        collect(declared, given, &mut found);
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
fn collect(declared: &Ty, given: &Ty, found: &mut BTreeMap<String, Vec<Ty>>) {
    match (declared, given) {
        (Ty::Variable(name), _) => found.entry(name.clone()).or_default().push(given.clone()),
        _ if !has_variables(declared) => {}
        (_, Ty::Any | Ty::Never) => declared.parts().into_iter().for_each(|part| collect(part, given, found)),
        (_, Ty::Union(members)) if !matches!(declared, Ty::Union(_)) => {
            members.iter().for_each(|member| collect(declared, member, found));
        }
        (Ty::Union(members), _) => {
            // What another member takes says nothing of a variable: `T | None` given `int | None`.
            let (open, closed): (Vec<_>, Vec<_>) = members.iter().partition(|member| has_variables(member));
            let taken = |one: &&Ty| closed.iter().any(|member| assignable_among(one, member, &Classes::new()).is_ok());
            for one in given.members().iter().filter(|one| !taken(one)) {
                let (bare, shaped): (Vec<_>, Vec<_>) =
                    open.iter().copied().partition(|member| matches!(member, Ty::Variable(_)));
                let fits: Vec<_> = shaped.into_iter().filter(|member| is_alike(member, one)).collect();
                let into = if fits.is_empty() { bare } else { fits };
                into.into_iter().for_each(|member| collect(member, one, found));
            }
        }
        (Ty::Generic(name, parts), _) => {
            let seen = match given {
                Ty::Class(class) => seen_as(class, &[], name),
                Ty::Generic(class, own) => seen_as(class, own, name),
                _ => given.items().map(|item| [Some(Cow::Owned(item)), None]),
            };
            let seen = seen.unwrap_or_default();
            parts.iter().zip(seen.iter().flatten()).for_each(|(part, given)| collect(part, given, found));
        }
        (Ty::Tuple(parts), Ty::Tuple(given)) => {
            parts.iter().zip(given).for_each(|(part, given)| collect(part, given, found));
        }
        (Ty::Tuples(part), _) => {
            if let Some(item) = given.items() {
                collect(part, &item, found);
            }
        }
        (Ty::Spread(before, item, after), Ty::Tuple(given)) if given.len() >= before.len() + after.len() => {
            let last = given.len() - after.len();
            let parts = before.iter().chain(std::iter::repeat_n(&**item, last - before.len())).chain(after);
            parts.zip(given).for_each(|(part, given)| collect(part, given, found));
        }
        _ => {}
    }
}

/// Whether variables stand in a type.
pub fn has_variables(ty: &Ty) -> bool {
    matches!(ty, Ty::Variable(_)) || ty.parts().into_iter().any(has_variables)
}

/// Whether a type may be of a declared shape, whatever its variables are.
fn is_alike(declared: &Ty, given: &Ty) -> bool {
    assignable_among(given, &Solution::default().apply(declared.clone()), &Classes::new()).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ty(text: &str) -> Ty {
        text.parse().unwrap()
    }

    fn solved(declared: &[&str], given: &[&str], returns: &str, variable: Variable) -> String {
        let (declared, given): (Vec<Ty>, Vec<Ty>) =
            (declared.iter().map(|t| ty(t)).collect(), given.iter().map(|t| ty(t)).collect());
        let variables = Variables::from([("T".to_owned(), variable), ("U".to_owned(), Variable::default())]);
        match solve(declared.iter().zip(&given), &variables, &Classes::new()) {
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
