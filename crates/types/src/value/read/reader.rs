//! What reading of one parameter shares.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use qflow_model::class::{Class, Classes};
use serde_json::Value;

use super::from;
use crate::{
    ty::Ty,
    value::{ValueError, check},
};

/// What reading needs, and what came of objects while members of a union are tried: else a class that holds itself costs several times
/// as much with each level.
pub(super) struct Reader<'c> {
    pub(super) classes: &'c Classes,
    trying: Cell<u32>,
    tried: RefCell<HashMap<(*const Value, *const Class), Result<Value, ValueError>>>,
}

impl<'c> Reader<'c> {
    pub(super) fn new(classes: &'c Classes) -> Self {
        Self { classes, trying: Cell::new(0), tried: RefCell::default() }
    }

    /// Once for each object and class, while members of a union are tried.
    pub(super) fn once(
        &self,
        plain: &Value,
        class: &Class,
        read: impl FnOnce() -> Result<Value, ValueError>,
    ) -> Result<Value, ValueError> {
        if self.trying.get() == 0 {
            return read();
        }
        let key = (std::ptr::from_ref(plain), std::ptr::from_ref(class));
        if let Some(known) = self.tried.borrow().get(&key) {
            return known.clone();
        }
        let made = read();
        self.tried.borrow_mut().insert(key, made.clone());
        made
    }

    /// Each member is tried once: one that takes the value as it is comes before one that converts it.
    pub(super) fn union(&self, plain: &Value, members: &[Ty]) -> Result<Value, Vec<(Ty, ValueError)>> {
        self.trying(|| self.members(plain, members))
    }

    /// Tries members of a union, of which several may be meant.
    pub(super) fn trying<T>(&self, members: impl FnOnce() -> T) -> T {
        self.trying.set(self.trying.get() + 1);
        let tried = members();
        self.trying.set(self.trying.get() - 1);
        if self.trying.get() == 0 {
            self.tried.borrow_mut().clear();
        }
        tried
    }

    fn members(&self, plain: &Value, members: &[Ty]) -> Result<Value, Vec<(Ty, ValueError)>> {
        let (exact, others): (Vec<&Ty>, Vec<&Ty>) = members.iter().partition(|member| check(plain, member).is_ok());
        let mut errors = Vec::new();
        for member in exact.into_iter().chain(others) {
            match from(plain, member, self) {
                Ok(read) => return Ok(read),
                Err(error) => errors.push((member.clone(), error)),
            }
        }
        Err(errors)
    }
}
