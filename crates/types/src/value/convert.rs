//! Makes a value of one type of a value of another, by the published table: exactly, or not at all. Pure. See `docs/TYPES.md`.
//!
//! What fits stays as it is. `crates/types/tests/conversions.json` holds this and the harness to the same cases; what only Python can
//! make (frames, models of pydantic's, objects whose class is not known here) only the harness makes.

mod containers;
mod objects;
mod scalars;

use std::{cell::Cell, collections::BTreeSet, rc::Rc};

use qflow_model::class::{ClassKind, Classes};
use serde_json::Value;

use super::{ValueError, check::Records, decimal::Decimal, json, repr::shown, tag, tagged, tried::Tried};
use crate::{builtin::derived, ty::Ty};

/// Parts of a value that a conversion looks at, with what is tried in vain: bounds its time, and what it makes.
const STEPS: u64 = 50_000_000;

/// Converts a value, as `convert=True` asks for; the first part that does not convert is told with its path.
pub fn convert(value: &Value, ty: &Ty, classes: &Classes) -> Result<Value, ValueError> {
    Converter::new(classes, true).convert(value, ty)
}

/// Converts a value that nobody else needs: the elements of a list go one by one, so that only one of them is ever there twice.
/// Where nothing may fail only that is converted which never does, and all else stays as it is.
pub fn convert_taken(value: Value, ty: &Ty, classes: &Classes, may_fail: bool) -> Result<Value, ValueError> {
    Converter::new(classes, may_fail).take(value, ty)
}

/// Whether all that a type holds is made here: of frames, models, dataclasses and classes that are not known Python has the last word.
pub fn is_made_here(ty: &Ty, classes: &Classes) -> bool {
    fn all<'t>(types: impl IntoIterator<Item = &'t Ty>, classes: &Classes, seen: &mut BTreeSet<String>) -> bool {
        types.into_iter().all(|ty| made(ty, classes, seen))
    }
    fn made(ty: &Ty, classes: &Classes, seen: &mut BTreeSet<String>) -> bool {
        match ty {
            Ty::Any | Ty::Never | Ty::None | Ty::Literal(_) | Ty::Variable(_) => true,
            Ty::Union(types) | Ty::Tuple(types) => all(types, classes, seen),
            Ty::Spread(..) => all(ty.parts(), classes, seen),
            Ty::Tuples(item) => made(item, classes, seen),
            Ty::Generic(name, types) => containers::is_known(name) && all(types, classes, seen),
            Ty::Class(name) => match classes.get(name) {
                Some(class) if matches!(class.kind, ClassKind::Enum | ClassKind::TypedDict) => {
                    let fields = class.fields.iter().map(|field| field.ty.0.parse().unwrap_or(Ty::Any));
                    !seen.insert(name.clone()) || all(&fields.collect::<Vec<_>>(), classes, seen)
                }
                Some(_) => false,
                None => containers::is_known(name) || scalars::is_known(name),
            },
        }
    }
    made(ty, classes, &mut BTreeSet::new())
}

/// One conversion.
struct Converter<'c> {
    classes: &'c Classes,
    records: Rc<Records<'c>>,
    /// Whether what may fail is converted too.
    strict: bool,
    /// Steps that are left.
    steps: Rc<Cell<u64>>,
    tried: Tried,
}

impl<'c> Converter<'c> {
    fn new(classes: &'c Classes, strict: bool) -> Self {
        let (records, steps) = (Rc::new(Records::read(classes).by_class()), Rc::new(Cell::new(STEPS)));
        Self { classes, records, strict, steps, tried: Tried::default() }
    }

    /// As [`Self::convert`], element by element.
    fn take(&self, value: Value, ty: &Ty) -> Result<Value, ValueError> {
        let item = match ty {
            Ty::Generic(name, of) if containers::is_list(name) => of.first(),
            Ty::Tuples(item) => Some(&**item),
            _ => None,
        };
        let Some(item) = item else { return self.convert(&value, ty) };
        let is_tuple = matches!(tag(&value), Some(("tuple", Value::Array(_))));
        let items = match value {
            Value::Array(items) => items,
            Value::Object(mut fields) if is_tuple => match fields.remove("v") {
                Some(Value::Array(items)) => items,
                _ => Vec::new(),
            },
            value => return self.convert(&value, ty),
        };
        let convert = |(at, one): (usize, Value)| self.convert(&one, item).map_err(|e| e.below(&format!("[{at}]")));
        let made = Value::Array(items.into_iter().enumerate().map(convert).collect::<Result<_, _>>()?);
        let becomes_tuple = match ty {
            Ty::Generic(name, _) => is_tuple && derived("Sequence", name),
            _ => true,
        };
        Ok(if becomes_tuple { tagged("tuple", made) } else { made })
    }

    fn convert(&self, value: &Value, ty: &Ty) -> Result<Value, ValueError> {
        let Some(left) = self.steps.get().checked_sub(1) else {
            return Err(past_bound());
        };
        self.steps.set(left);
        if let Some(digits) = json::digits(value) {
            return self.convert(&number(digits, ty), ty);
        }
        match ty {
            Ty::Any | Ty::Variable(_) => Ok(value.clone()),
            _ if self.records.is_of_another(value, ty) => Ok(value.clone()),
            Ty::Union(members) => self.union(value, members, ty),
            Ty::Tuple(_) | Ty::Tuples(_) | Ty::Spread(..) => self.tuple(value, ty),
            Ty::Class(name) | Ty::Generic(name, _) if containers::is_known(name) => {
                let parameters = if let Ty::Generic(_, parameters) = ty { parameters.as_slice() } else { &[] };
                self.container(value, name, parameters, ty)
            }
            _ if self.fits(value, ty) && !self.is_description(value, ty) => Ok(value.clone()),
            Ty::Class(name) => {
                let made = scalars::convert(&scalars::plain(value, self.classes), name, self.strict);
                made.map_or_else(|| self.made(value, name, ty), Ok)
            }
            _ => self.left(value, ty, None),
        }
    }

    fn fits(&self, value: &Value, ty: &Ty) -> bool {
        self.records.check(value, ty).is_ok()
    }

    /// Whether a value is not yet the model that its class names, though mappings go where classes are not known.
    fn is_description(&self, value: &Value, ty: &Ty) -> bool {
        let Ty::Class(name) = ty else { return false };
        self.strict
            && value.is_object()
            && tag(value).is_none()
            && self.classes.get(name).is_some_and(|of| of.kind == ClassKind::Model)
    }

    /// What does not convert: an error where that was asked for, else what it was.
    fn left(&self, value: &Value, ty: &Ty, got: Option<String>) -> Result<Value, ValueError> {
        if !self.strict {
            return Ok(value.clone());
        }
        Err(ValueError::new(format!("expected {ty}, got {}", got.unwrap_or_else(|| shown(value)))))
    }

    /// Into a union: what fits one of its members stays, else exactly one of them is to be made of it.
    fn union(&self, value: &Value, members: &[Ty], ty: &Ty) -> Result<Value, ValueError> {
        if self.fits(value, ty) {
            return Ok(value.clone());
        }
        // A member is tried with all that it may need; whether it never fails was said of the whole type.
        let (records, steps) = (Rc::clone(&self.records), Rc::clone(&self.steps));
        let strict = Self { classes: self.classes, records, strict: true, steps, tried: Tried::default() };
        let tries = if self.strict { self } else { &strict };
        let (mut made, mut wrong) = (Vec::<(&Ty, Value)>::new(), Vec::new());
        tries.tried.members(|| {
            for member in members {
                match tries.convert(value, member) {
                    Ok(one) if made.iter().all(|(_, other)| *other != one) => made.push((member, one)),
                    Ok(_) => {}
                    Err(error) => wrong.push(error),
                }
            }
        });
        if self.steps.get() == 0 {
            // Of what was not tried nothing is known.
            return Err(past_bound());
        }
        // Where one member is meant, its own words say more.
        let mut deeper = wrong.into_iter().filter(|error| !error.path.is_empty());
        match (made.len(), deeper.next(), deeper.next()) {
            (1, ..) => Ok(made.remove(0).1),
            (0, Some(one), None) if self.strict => Err(one),
            (0, ..) => self.left(value, ty, None),
            _ => {
                let may: Vec<_> = made.iter().map(|(member, _)| member.to_string()).collect();
                self.left(value, ty, Some(format!("{}, which may be {}", shown(value), may.join(" or "))))
            }
        }
    }
}

/// A number that has kept its digits, as what is made of it: of digits where a `Decimal` or a whole number is wanted, else a float.
fn number(digits: &str, ty: &Ty) -> Value {
    let is_float = |member: &Ty| match member {
        Ty::Class(name) => matches!(name.as_str(), "float" | "complex" | "object"),
        other => *other == Ty::Any,
    };
    let is_exact =
        |member: &Ty| matches!(member, Ty::Class(name) if matches!(name.as_str(), "Decimal" | "int" | "bool"));
    let members = ty.members();
    match Decimal::read(digits).filter(|_| members.iter().any(is_exact) && !members.iter().any(is_float)) {
        Some(read) => tagged("decimal", read.to_string().into()),
        None => json::nearest(digits),
    }
}

fn past_bound() -> ValueError {
    ValueError::new(format!("more than {STEPS} parts to try: give less, or declare fewer unions within unions"))
}

#[cfg(test)]
mod tests;
