//! Variables of generic functions and aliases, and tuples of any length.

use qflow_types::{Literal, Ty, Variable, Variables};
use ruff_python_ast::{Expr, ExprCall, TypeParam};
use ruff_text_size::{Ranged, TextRange};

use super::{NotAType, PARTS, Reader, too_large, wrong};
use crate::scope::Bound;

impl<'a> Reader<'_, 'a> {
    /// `AnyStr`: `TypeVar("AnyStr", str, bytes)`.
    pub(super) fn any_text(&mut self) -> Ty {
        let constraints = vec![Ty::class("str"), Ty::class("bytes")];
        self.comes_up("AnyStr");
        self.found.insert("AnyStr".to_owned(), Variable { constraints, ..Variable::default() });
        Ty::Variable("AnyStr".to_owned())
    }

    /// `T = TypeVar("T", int, str)`, `TypeVar("T", bound=float)`.
    pub(super) fn variable(&mut self, call: &'a ExprCall, range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        let arguments = &call.arguments;
        let name = arguments.args.first().and_then(Expr::as_string_literal_expr);
        let name = name.map(|literal| literal.value.to_str().to_owned());
        let name = name.ok_or_else(|| wrong(range, "a TypeVar without its name"))?;
        self.comes_up(&name);
        if !self.found.contains_key(&name) {
            // Against a bound that names the variable itself.
            self.found.insert(name.clone(), Variable::default());
            let constraints =
                arguments.args.iter().skip(1).map(|one| self.ty(one, depth + 1)).collect::<Result<_, _>>()?;
            let mut keyword = |word: &str| match arguments.find_keyword(word) {
                Some(keyword) => self.ty(&keyword.value, depth + 1).map(Some),
                None => Ok(None),
            };
            let (bound, default) = (keyword("bound")?, keyword("default")?);
            self.found.insert(name.clone(), Variable { bound, constraints, default });
        }
        Ok(Ty::Variable(name))
    }

    /// `def first[T: float](…)`, `def first[T: (int, str)](…)`.
    pub(super) fn parameter(&mut self, own: &'a TypeParam, range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        let TypeParam::TypeVar(own) = own else {
            return Err(wrong(range, "a variable for many types at once says nothing of a value"));
        };
        let name = own.name.id.as_str().to_owned();
        self.comes_up(&name);
        if !self.found.contains_key(&name) {
            self.found.insert(name.clone(), Variable::default());
            let mut variable = Variable::default();
            match own.bound.as_deref() {
                Some(Expr::Tuple(all)) => variable.constraints = self.each(&all.elts, depth)?,
                Some(bound) => variable.bound = Some(self.ty(bound, depth + 1)?),
                None => {}
            }
            variable.default = own.default.as_deref().map(|default| self.ty(default, depth + 1)).transpose()?;
            self.found.insert(name.clone(), variable);
        }
        Ok(Ty::Variable(name))
    }

    fn comes_up(&mut self, name: &str) {
        if !self.order.iter().any(|known| known == name) {
            self.order.push(name.to_owned());
        }
    }

    /// An alias, and its own variables in order: those of what is around it are none of them.
    fn with_variables(
        &mut self,
        at: usize,
        alias: &'a Expr,
        range: TextRange,
        depth: usize,
    ) -> Result<(Ty, Vec<String>, Variables), NotAType> {
        let before = (std::mem::take(&mut self.found), std::mem::take(&mut self.order));
        let read = self.alias(at, alias, range, depth);
        let (found, order) = (std::mem::take(&mut self.found), std::mem::take(&mut self.order));
        (self.found, self.order) = before;
        Ok((read?, order, found))
    }

    /// `Pair` where `Pair = tuple[T, T]`: what is not given is `Any`, or what the variable is then. `T = TypeVar("T")` is a variable itself.
    pub(super) fn bare(&mut self, at: usize, alias: &'a Expr, range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        if alias.is_call_expr() && !self.units.files[at].parameters.contains_key(&alias.range()) {
            return self.alias(at, alias, range, depth);
        }
        let (ty, names, variables) = self.with_variables(at, alias, range, depth)?;
        put(ty, &names, &defaults(&names, &variables), range)
    }

    /// `Pair[int]` where `Pair = tuple[T, T]`: an alias with its variables given, in the order in which they come up, or are declared.
    pub(super) fn given(
        &mut self,
        (at, alias): (usize, &'a Expr),
        name: &str,
        parts: &[Expr],
        range: TextRange,
        depth: usize,
    ) -> Result<Ty, NotAType> {
        let (ty, names, variables) = self.with_variables(at, alias, range, depth + 1)?;
        if names.is_empty() {
            // A class that a call makes, or an alias that takes nothing: what its parameters mean is its own to say.
            return Ok(ty);
        }
        let rest = names.iter().skip(parts.len());
        if parts.len() > names.len()
            || !rest.clone().all(|name| variables.get(name).is_some_and(|v| v.default.is_some()))
        {
            super::class::takes(name, names.len(), parts.len(), range)?;
        }
        let mut given = self.each(parts, depth)?;
        given.extend(defaults(&names, &variables).into_iter().skip(parts.len()));
        put(ty, &names, &given, range)
    }

    /// A tuple's elements; one of them may be a tuple of any length: `*tuple[str, ...]`, `Unpack[tuple[str, ...]]`.
    pub(super) fn tuple(&mut self, parts: &[Expr], range: TextRange, depth: usize) -> Result<Ty, NotAType> {
        let (mut before, mut any, mut after) = (Vec::new(), None, Vec::new());
        for part in parts {
            let unpacked = match part {
                Expr::Starred(starred) => Some(&*starred.value),
                Expr::Subscript(subscript) if self.name(&subscript.value).is_ok_and(|name| name == "Unpack") => {
                    Some(&*subscript.slice)
                }
                _ => None,
            };
            let (mut items, open) = match unpacked {
                None => (vec![self.ty(part, depth + 1)?], None),
                Some(tuple) => match self.ty(tuple, depth + 1)? {
                    Ty::Tuple(items) => (items, None),
                    Ty::Tuples(item) => (Vec::new(), Some((*item, Vec::new()))),
                    Ty::Spread(first, item, last) => (first, Some((*item, last))),
                    other => return Err(wrong(range, format!("`*` takes a tuple, not {other}"))),
                },
            };
            if any.is_none() { &mut before } else { &mut after }.append(&mut items);
            if let Some((item, last)) = open {
                if any.replace(item).is_some() {
                    return Err(wrong(range, "only one part of a tuple may be of any length"));
                }
                after = last;
            }
        }
        Ok(Ty::spread(before, any, after))
    }

    /// Whether a name stands for a type by an alias.
    pub(super) fn is_alias(&self, expr: &Expr) -> bool {
        matches!(self.units.resolve(self.unit, expr), Some(Bound::Assigned(..) | Bound::Either(..)))
    }
}

/// What variables are that nothing is given for.
fn defaults(names: &[String], variables: &Variables) -> Vec<Ty> {
    names.iter().map(|name| variables.get(name).and_then(|one| one.default.clone()).unwrap_or(Ty::Any)).collect()
}

/// A type with what is given in the place of its variables: aliases of aliases can double it each time.
fn put(ty: Ty, names: &[String], given: &[Ty], range: TextRange) -> Result<Ty, NotAType> {
    let stands = |name: &String| names.iter().position(|known| known == name).and_then(|at| given.get(at));
    if size(&ty, &stands) > PARTS {
        return Err(too_large(range));
    }
    Ok(put_each(ty, &stands))
}

fn put_each<'t>(ty: Ty, stands: &impl Fn(&String) -> Option<&'t Ty>) -> Ty {
    match ty {
        Ty::Variable(name) => stands(&name).cloned().unwrap_or(Ty::Any),
        other => other.map(|part| put_each(part, stands)),
    }
}

/// How many parts that has.
fn size<'t>(ty: &Ty, stands: &dyn Fn(&String) -> Option<&'t Ty>) -> usize {
    let all = |ty: &Ty| ty.parts().into_iter().map(|part| size(part, stands)).fold(1, usize::saturating_add);
    match ty {
        Ty::Variable(name) => stands(name).map_or(1, |given| size(given, &|_| None)),
        other => all(other),
    }
}

/// The enums whose members a type names.
pub(crate) fn enums(values: &[Literal]) -> impl Iterator<Item = &str> {
    values.iter().filter_map(|value| match value {
        Literal::Member(class, _) => Some(class.as_str()),
        _ => None,
    })
}
