//! What came of objects while members of a union are tried: else a class that holds itself costs several times as much with each level.

use std::{
    cell::{Cell, RefCell},
    collections::HashMap,
};

use qflow_model::class::Class;
use serde_json::Value;

use super::ValueError;

/// By object and class; none of both goes away before the outermost union is done.
type Known = HashMap<(*const Value, *const Class), Result<Value, ValueError>>;

/// What is kept between the members of a union.
#[derive(Default)]
pub(super) struct Tried {
    /// Within how many unions that try their members.
    within: Cell<u32>,
    known: RefCell<Known>,
}

impl Tried {
    /// Tries members of a union, of which several may be meant.
    pub(super) fn members<T>(&self, members: impl FnOnce() -> T) -> T {
        self.within.set(self.within.get() + 1);
        let tried = members();
        self.within.set(self.within.get() - 1);
        if self.within.get() == 0 {
            self.known.borrow_mut().clear();
        }
        tried
    }

    /// Once for each object and class, while members of a union are tried.
    pub(super) fn once(
        &self,
        value: &Value,
        class: &Class,
        make: impl FnOnce() -> Result<Value, ValueError>,
    ) -> Result<Value, ValueError> {
        if self.within.get() == 0 {
            return make();
        }
        let key = (std::ptr::from_ref(value), std::ptr::from_ref(class));
        if let Some(known) = self.known.borrow().get(&key) {
            return known.clone();
        }
        let made = make();
        self.known.borrow_mut().insert(key, made.clone());
        made
    }
}
