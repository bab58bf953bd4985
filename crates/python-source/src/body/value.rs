//! Expressions of a body: where a value comes from.

use qflow_model::expression::{Expr as Value, Segment};
use ruff_python_ast::{
    Expr, Operator, UnaryOp,
    visitor::{Visitor, walk_expr},
};
use ruff_text_size::Ranged;
use serde_json::Value as Json;

use super::{Binding, Body, part};
use crate::{
    constant::{self, NotConstant},
    function, options, refuse,
    scope::Bound,
};

/// Names among which a misspelt one is looked for.
const NEAR: usize = 200;

impl<'a> Body<'_, 'a> {
    /// Reads an expression; nothing where it was refused.
    pub(super) fn value(&mut self, expr: &'a Expr) -> Option<Value> {
        let value = match expr {
            Expr::Name(name) => self.name(expr, name.id.as_str()),
            Expr::Call(call) => self.call(call),
            Expr::ListComp(each) => self.each(each),
            Expr::Subscript(subscript) => {
                let value = self.value(&subscript.value);
                let Some(segment) = self.segment(&subscript.slice) else {
                    let (code, message) = ("subscript", "what stands between the brackets is no literal");
                    let remedy = "write a number or a text there, or put it in a node";
                    self.refuse(expr.range(), code, message, remedy);
                    return None;
                };
                self.part(expr, &value?, &segment)
            }
            Expr::Attribute(attribute) => {
                if let Some(bound) = self.resolve(expr).or_else(|| self.resolve(&attribute.value)) {
                    return self.outer(expr, &bound);
                }
                let value = self.value(&attribute.value)?;
                self.part(expr, &value, &Segment::Field(attribute.attr.id.as_str().to_owned()))
            }
            Expr::List(list) => self.list(&list.elts),
            Expr::Tuple(tuple) => self.tuple(&tuple.elts),
            Expr::Dict(dict) => self.dict(dict),
            Expr::FString(text) => self.format(text),
            Expr::Compare(_) | Expr::BoolOp(_) => self.truth_value(expr),
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => self.truth_value(expr),
            other => match constant::value(&self.project.units, self.unit, other) {
                Ok(literal) if !matches!(other, Expr::Set(_)) => Some(Value::Literal(literal)),
                Err(NotConstant::Wrong(range, what) | NotConstant::Impossible(range, what)) => {
                    self.refuse(range, "bad-literal", what, refuse::IN_A_NODE);
                    None
                }
                Err(NotConstant::Told) => None,
                _ => {
                    self.refuse_expression(other);
                    None
                }
            },
        };
        self.bounded(expr.range(), value?)
    }

    /// Tells why an expression does not stand here, and what else is wrong inside it.
    fn refuse_expression(&mut self, expr: &'a Expr) {
        let (code, message, remedy) = refuse::expression(expr);
        let mut remedy = remedy;
        if let Expr::BinOp(binary) = expr {
            if binary.op == Operator::RShift && self.is_step(&binary.left) {
                remedy = "write calls in the order they run: a call by itself runs after every earlier one";
            }
            self.refuse(expr.range(), code, message, remedy);
            for side in [&*binary.left, &*binary.right] {
                if !self.is_step(side) {
                    self.value(side);
                }
            }
            return;
        }
        self.refuse(expr.range(), code, message, remedy);
        match expr {
            Expr::UnaryOp(unary) => drop(self.value(&unary.operand)),
            Expr::Await(inner) => drop(self.value(&inner.value)),
            Expr::Starred(inner) => drop(self.value(&inner.value)),
            Expr::If(inner) => {
                for side in [&*inner.test, &*inner.body, &*inner.orelse] {
                    self.value(side);
                }
            }
            Expr::Named(inner) => {
                self.value(&inner.value);
                if let Expr::Name(name) = &*inner.target {
                    self.names.bind(name.id.as_str(), Binding::Broken);
                }
            }
            _ => {}
        }
    }

    /// Whether an expression names a node or a workflow.
    fn is_step(&self, expr: &Expr) -> bool {
        matches!(self.resolve(expr), Some(Bound::Function(at, def)) if function::kind(&self.project.units, at, def).is_some())
    }

    fn name(&mut self, at: &'a Expr, name: &str) -> Option<Value> {
        match self.names.get(name).cloned() {
            Some(Binding::Value(value)) => return Some(self.known(&value)),
            Some(Binding::Broken) => return None,
            Some(Binding::Half) => {
                let message = format!("`{name}` is bound on some paths to here, not on every one");
                self.refuse(at.range(), "unbound-name", message, &format!("write `{name} = None` before the if"));
                return None;
            }
            None => {}
        }
        if let Some(bound) = self.resolve(at) {
            return self.outer(at, &bound);
        }
        let near = options::nearest(name, self.names.all().filter(|known| *known != name).take(NEAR));
        let remedy = match near {
            _ if self.locals.contains(name) => "bind it before this line".to_owned(),
            Some(near) => format!("did you mean `{near}`?"),
            None => "take it as a parameter, or bind it before".to_owned(),
        };
        self.refuse(at.range(), "unbound-name", format!("`{name}` is not bound here"), &remedy);
        None
    }

    /// What stands outside the function: a constant, or nothing that a body may name.
    fn outer(&mut self, at: &'a Expr, bound: &Bound<'a>) -> Option<Value> {
        if self.full {
            return None;
        }
        match constant::value(&self.project.units, self.unit, at) {
            Ok(literal) => return Some(Value::Literal(literal)),
            Err(NotConstant::Clock(range)) => {
                let problem = refuse::clock(self.text(), range);
                self.problems.push(problem);
                return None;
            }
            Err(NotConstant::Told) => return None,
            Err(_) if matches!(bound, Bound::Unread) => return None,
            Err(NotConstant::Wrong(range, what) | NotConstant::Impossible(range, what)) => {
                self.refuse(range, "bad-literal", what, refuse::IN_A_NODE);
                return None;
            }
            Err(NotConstant::Other(_)) => {}
        }
        let written = self.written(at);
        if self.is_step(at) {
            let message = format!("`{written}` is a function, not a value");
            let remedy = format!("call it, or write map({written}, xs)");
            self.refuse(at.range(), "function-as-value", message, &remedy);
            return None;
        }
        let message = match bound {
            Bound::Function(..) => format!("`{written}` is a function, not a value"),
            Bound::Class(..) => format!("`{written}` is a class, or a part of one"),
            Bound::Assigned(..) | Bound::Either(..) | Bound::Other => format!("`{written}` is not a constant"),
            _ => format!("`{written}` is known to Python alone"),
        };
        self.refuse(at.range(), "outer-name", message, "take it as a parameter, or put it in a node");
        None
    }

    /// The part of a value that a subscript names.
    fn segment(&self, slice: &Expr) -> Option<Segment> {
        if self.mentions_local(slice) {
            return None;
        }
        match constant::value(&self.project.units, self.unit, slice).ok()? {
            Json::String(key) => Some(Segment::Key(key)),
            index => index.as_i64().map(Segment::Index),
        }
    }

    /// Whether an expression names anything that the function binds.
    pub(super) fn mentions_local(&self, expr: &Expr) -> bool {
        struct Search<'s, 'a>(&'s std::collections::HashSet<&'a str>, bool);
        impl<'v> Visitor<'v> for Search<'_, '_> {
            fn visit_expr(&mut self, expr: &'v Expr) {
                self.1 |= expr.as_name_expr().is_some_and(|name| self.0.contains(name.id.as_str()));
                walk_expr(self, expr);
            }
        }
        let mut search = Search(&self.locals, false);
        search.visit_expr(expr);
        search.1
    }

    fn part(&mut self, at: &'a Expr, value: &Value, segment: &Segment) -> Option<Value> {
        let written = self.written(at);
        if self.type_of(value).as_ref().is_some_and(part::may_be_frame) {
            let message = format!("`{written}` is a part of a frame or an array");
            self.refuse(at.range(), "part-of-frame", message, refuse::IN_A_NODE);
            return None;
        }
        let part = part::of(value, segment);
        if part.is_none() {
            let message = format!("`{written}` is no part that is known before the run");
            self.refuse(at.range(), "no-such-part", message, refuse::IN_A_NODE);
        }
        part
    }
}
