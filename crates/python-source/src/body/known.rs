//! What is known of a choice where it is read: sides that cannot be taken there are left out.
//!
//! `x = None`, then `if a: x = f()`, then `if x is not None: g(x)`: the `x` that goes to `g` is what `f` gives.

use qflow_model::{
    condition::facts,
    expression::{BranchIx, Expr as Value},
};

use super::{Body, part};

/// Tests of one condition that are looked at: who writes more has other worries.
const TESTS: usize = 64;

impl Body<'_, '_> {
    /// A value as it is here.
    pub(super) fn known(&mut self, value: &Value) -> Value {
        if !matches!(value, Value::Select { .. }) || (self.guards.is_empty() && self.aside.is_empty()) {
            return value.clone();
        }
        // The work counts as much as what it works on.
        self.terms += part::measure(value).terms;
        let mut known = self.taken(value);
        let branches = &self.workflow.branches;
        let around = self.guards.iter().map(|guard| (&branches[guard.branch.0 as usize].condition, guard.holds));
        for (condition, holds) in around.chain(self.aside.iter().map(|(condition, holds)| (condition, *holds))) {
            for fact in facts(condition, holds, TESTS) {
                self.terms += 1;
                if fact.tested().is_some_and(|tested| *tested == known) {
                    known = without(&known, &|side| fact.contradicts(side)).unwrap_or(known);
                }
            }
        }
        known
    }

    /// The sides that the branches around here have taken.
    fn taken(&self, value: &Value) -> Value {
        let Value::Select { branch, then, otherwise } = value else { return value.clone() };
        match self.side_taken(*branch) {
            Some(true) => self.taken(then),
            Some(false) => self.taken(otherwise),
            None => super::flow::select(*branch, self.taken(then), self.taken(otherwise)),
        }
    }

    fn side_taken(&self, branch: BranchIx) -> Option<bool> {
        self.guards.iter().find(|guard| guard.branch == branch).map(|guard| guard.holds)
    }
}

/// A choice without the sides that cannot be; nothing where none is left.
fn without(value: &Value, cannot_be: &impl Fn(&Value) -> bool) -> Option<Value> {
    match value {
        Value::Select { branch, then, otherwise } => match (without(then, cannot_be), without(otherwise, cannot_be)) {
            (Some(then), Some(otherwise)) => Some(super::flow::select(*branch, then, otherwise)),
            (one, other) => one.or(other),
        },
        other => (!cannot_be(other)).then(|| other.clone()),
    }
}
