//! What the names of a body are bound to, with a log, so that a side of a branch costs what it binds.

use std::{collections::BTreeMap, rc::Rc};

use qflow_model::expression::Expr as Value;

/// What a name is bound to.
#[derive(Clone)]
pub(super) enum Binding {
    Value(Rc<Value>),
    /// Only one path binds it.
    Half,
    /// What it is bound to has been refused.
    Broken,
}

impl Binding {
    /// A value that was read, or what stands for one that was refused.
    pub(super) fn of(value: Option<Value>) -> Self {
        value.map_or(Self::Broken, |value| Self::Value(Rc::new(value)))
    }
}

/// Bindings that one side of a branch has made.
pub(super) type Changes<'a> = BTreeMap<&'a str, Binding>;

/// Names as bound at one point of the body.
#[derive(Default)]
pub(super) struct Names<'a> {
    bound: BTreeMap<&'a str, Binding>,
    /// What each binding replaced.
    log: Vec<(&'a str, Option<Binding>)>,
}

impl<'a> Names<'a> {
    pub(super) fn get(&self, name: &str) -> Option<&Binding> {
        self.bound.get(name)
    }

    pub(super) fn bind(&mut self, name: &'a str, binding: Binding) {
        let before = self.bound.insert(name, binding);
        self.log.push((name, before));
    }

    /// The names, in their own order.
    pub(super) fn all(&self) -> impl Iterator<Item = &'a str> {
        self.bound.keys().copied()
    }

    /// A point to come back to.
    pub(super) fn mark(&self) -> usize {
        self.log.len()
    }

    /// Undoes what was bound since a mark, and says what that was.
    pub(super) fn undo(&mut self, mark: usize) -> Changes<'a> {
        let mut changes = Changes::new();
        for (name, before) in self.log.drain(mark..).rev() {
            let after = match before {
                Some(before) => self.bound.insert(name, before),
                None => self.bound.remove(name),
            };
            // The last binding is undone first.
            changes.entry(name).or_insert(after.unwrap_or(Binding::Broken));
        }
        changes
    }

    /// Binds what a side has bound.
    pub(super) fn redo(&mut self, changes: Changes<'a>) {
        for (name, binding) in changes {
            self.bind(name, binding);
        }
    }

    /// Binds what two sides have bound, where both come to the same point; `select` gives the value of the side that is taken.
    pub(super) fn join(
        &mut self,
        then: &Changes<'a>,
        otherwise: &Changes<'a>,
        mut select: impl FnMut(&Value, &Value) -> Option<Value>,
    ) {
        let names: std::collections::BTreeSet<&'a str> = then.keys().chain(otherwise.keys()).copied().collect();
        for name in names {
            let before = self.bound.get(name);
            let sides = (then.get(name).or(before), otherwise.get(name).or(before));
            let binding = match sides {
                (Some(Binding::Broken), _) | (_, Some(Binding::Broken)) => Binding::Broken,
                (Some(Binding::Value(a)), Some(Binding::Value(b))) if Rc::ptr_eq(a, b) => Binding::Value(a.clone()),
                (Some(Binding::Value(a)), Some(Binding::Value(b))) => Binding::of(select(a, b)),
                _ => Binding::Half,
            };
            self.bind(name, binding);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(names: &Names<'_>) -> Vec<(String, String)> {
        let one = |name| match names.get(name) {
            Some(Binding::Value(value)) => format!("{value:?}"),
            Some(Binding::Half) => "half".to_owned(),
            _ => "broken".to_owned(),
        };
        names.all().map(|name| (name.to_owned(), one(name))).collect()
    }

    #[test]
    fn what_was_undone_is_bound_again_or_joined() {
        let value = |number: i64| Binding::of(Some(Value::Literal(number.into())));
        let mut names = Names::default();
        names.bind("a", value(1));
        names.bind("b", value(2));
        let before = shown(&names);
        let mark = names.mark();
        names.bind("a", value(3));
        names.bind("a", value(4));
        names.bind("c", value(5));
        names.bind("d", value(6));
        let after = shown(&names);
        let then = names.undo(mark);
        assert_eq!(shown(&names), before);
        names.redo(then.clone());
        assert_eq!(shown(&names), after);
        names.undo(mark);
        names.bind("b", Binding::Broken);
        names.bind("d", value(6));
        let otherwise = names.undo(mark);
        names.join(&then, &otherwise, |a, b| {
            Some(if a == b { a.clone() } else { Value::Tuple(vec![a.clone(), b.clone()]) })
        });
        let joined = shown(&names);
        let texts: Vec<&str> = joined.iter().map(|(_, shown)| shown.as_str()).collect();
        assert_eq!(texts, ["Tuple([Literal(Number(4)), Literal(Number(1))])", "broken", "half", "Literal(Number(6))"]);
    }
}
