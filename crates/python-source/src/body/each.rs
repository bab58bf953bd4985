//! `[fn(a, k=b) for a, b in zip(xs, ys)]`: a map over one or several lists.

use qflow_model::expression::Expr as Value;
use ruff_python_ast::{
    Expr, ExprCall, ExprListComp,
    visitor::{Visitor, walk_expr},
};
use ruff_text_size::Ranged;

use super::{
    Body,
    arguments::Mapping,
    call::{Called, Callee},
};
use crate::scope::Bound;

const CODE: &str = "comprehension";
const SHAPE: &str = "write [fn(x) for x in xs] or [fn(a, b) for a, b in zip(xs, ys)]";

impl<'a> Body<'_, 'a> {
    /// Reads a comprehension; nothing where it was refused.
    pub(super) fn each(&mut self, each: &'a ExprListComp) -> Option<Value> {
        let [generator] = &each.generators[..] else {
            self.refuse(each.range(), CODE, "more than one `for` in a comprehension", SHAPE);
            return None;
        };
        if generator.is_async {
            self.refuse(each.range(), CODE, "an async comprehension", SHAPE);
            return None;
        }
        if let Some(test) = generator.ifs.first() {
            let message = "an `if` in a comprehension";
            self.refuse(test.range(), CODE, message, "choose the elements in a node that returns a list");
            return None;
        }
        let Expr::Call(call) = &*each.elt else {
            let message = "a comprehension of what is no call of a node or workflow";
            self.refuse(each.elt.range(), CODE, message, SHAPE);
            return None;
        };
        let targets = self.targets(&generator.target, &generator.iter)?;
        let hidden = targets.iter().any(|(name, _)| names(&call.func, name));
        match self.called(&call.func) {
            Called::Step(callee) if !hidden && self.comes_back(call, callee) => None,
            Called::Step(callee) if !hidden => self.step(call, callee, &Mapping::Each(targets)),
            Called::Settled(inner) if !hidden => {
                self.refuse_settled(inner);
                None
            }
            Called::Other if matches!(self.resolve(&call.func), Some(Bound::Unread)) => None,
            _ => {
                let message = format!("`{}` is no node or workflow", self.written(&call.func));
                let remedy = self.instead_of_many(&call.func).unwrap_or("call a node for each element");
                self.refuse(call.func.range(), CODE, message, remedy);
                None
            }
        }
    }

    /// The names of a comprehension and the lists that they run over.
    fn targets(&mut self, target: &'a Expr, over: &'a Expr) -> Option<Vec<(&'a str, Option<Value>)>> {
        let zip = over.as_call_expr().filter(|call| self.is_builtin(&call.func, "zip"));
        let targets: Vec<&'a Expr> = match (target, zip) {
            (Expr::Name(_), None) => vec![target],
            (Expr::Tuple(tuple), Some(_)) => tuple.elts.iter().collect(),
            (Expr::List(list), Some(_)) => list.elts.iter().collect(),
            (Expr::Name(_), Some(_)) => {
                self.refuse(target.range(), CODE, "one name for the elements of several lists", SHAPE);
                return None;
            }
            _ => {
                let message = "the parts of an element are not named here";
                self.refuse(target.range(), CODE, message, "hand the element on whole, or write zip(xs, ys)");
                return None;
            }
        };
        let lists: Vec<&'a Expr> = match zip {
            Some(zip) => {
                let strict = |k: &ruff_python_ast::Keyword| k.arg.as_ref().is_some_and(|n| n.id.as_str() == "strict");
                if let Some(other) = zip.arguments.keywords.iter().find(|k| !(strict(k) && is_true(&k.value))) {
                    let message = "lists of unequal length fail, as with strict=True";
                    self.refuse(other.range(), CODE, message, "leave it out");
                }
                zip.arguments.args.iter().collect()
            }
            None => vec![over],
        };
        let mut named = Vec::new();
        for target in &targets {
            let name = target.as_name_expr().map(|name| name.id.as_str());
            match name {
                Some(name) if !named.contains(&name) => named.push(name),
                _ => {
                    self.refuse(target.range(), CODE, "each list has one name of its own", SHAPE);
                    return None;
                }
            }
        }
        if named.len() != lists.len() {
            let message = format!("{} names for {} lists", named.len(), lists.len());
            self.refuse(target.range(), CODE, message, SHAPE);
            return None;
        }
        let values: Vec<_> = lists.into_iter().map(|list| self.run_over(list)).collect();
        Some(named.into_iter().zip(values).collect())
    }

    /// What a name runs over.
    fn run_over(&mut self, list: &'a Expr) -> Option<Value> {
        if let Expr::Call(call) = list
            && let Some(name) = ["range", "enumerate", "zip", "reversed", "sorted", "filter"]
                .into_iter()
                .find(|name| self.is_builtin(&call.func, name))
        {
            let message = format!("`{name}` is Python's, not a list of the workflow's");
            self.refuse(list.range(), CODE, message, "return the list from a node");
            return None;
        }
        self.value(list)
    }

    fn is_builtin(&self, expr: &Expr, name: &str) -> bool {
        let named = expr.as_name_expr().is_some_and(|n| n.id.as_str() == name);
        named && !self.locals.contains(name) && self.project.units.named(self.unit, name).is_none()
    }

    /// Reads an argument of a comprehension's call; says whether its elements go one by one.
    pub(super) fn argument_of_each(
        &mut self,
        argument: &'a Expr,
        targets: &[(&'a str, Option<Value>)],
    ) -> (Option<Value>, bool) {
        if let Expr::Name(name) = argument
            && let Some((_, list)) = targets.iter().find(|(target, _)| *target == name.id.as_str())
        {
            return (list.clone(), true);
        }
        let mentioned = targets.iter().any(|(target, _)| names(argument, target));
        if mentioned || holds_call(argument) {
            let (message, remedy) = if mentioned {
                ("an element goes to the node whole", "take its parts inside the node")
            } else {
                ("a comprehension makes one call", "make this call on a line of its own before")
            };
            self.refuse(argument.range(), CODE, message, remedy);
            return (None, false);
        }
        (self.value(argument), false)
    }

    /// Tells names of a comprehension that no argument uses: their lists' lengths would go unasked.
    pub(super) fn unused(
        &mut self,
        call: &'a ExprCall,
        callee: Callee<'_, 'a>,
        mapping: &Mapping<'a>,
        wrong: &mut bool,
    ) {
        let Mapping::Each(targets) = mapping else { return };
        for (target, _) in targets {
            let arguments = call.arguments.args.iter().chain(call.arguments.keywords.iter().map(|k| &k.value));
            if !arguments.into_iter().any(|argument| names(argument, target)) {
                let message = format!("`{target}` goes to no argument of `{}`", callee.name);
                self.refuse(call.range(), CODE, message, "hand each element to the node");
                *wrong = true;
            }
        }
    }
}

fn is_true(expr: &Expr) -> bool {
    expr.as_boolean_literal_expr().is_some_and(|literal| literal.value)
}

/// Whether an expression holds a name.
fn names(expr: &Expr, name: &str) -> bool {
    any(expr, &|e| e.as_name_expr().is_some_and(|n| n.id.as_str() == name))
}

fn holds_call(expr: &Expr) -> bool {
    any(expr, &|e| matches!(e, Expr::Call(_) | Expr::ListComp(_)))
}

fn any(expr: &Expr, holds: &dyn Fn(&Expr) -> bool) -> bool {
    struct Search<'h>(&'h dyn Fn(&Expr) -> bool, bool);
    impl<'v> Visitor<'v> for Search<'_> {
        fn visit_expr(&mut self, expr: &'v Expr) {
            self.1 |= (self.0)(expr);
            walk_expr(self, expr);
        }
    }
    let mut search = Search(holds, false);
    search.visit_expr(expr);
    search.1
}
