//! Values of a body: names, constants, parts, gatherings, f-strings.

use qflow_model::expression::{Expr as Value, Segment};
use ruff_python_ast::{
    ConversionFlag, Expr, ExprDict, ExprFString, ExprListComp, ExprSubscript, FStringPart, InterpolatedStringElement,
    UnaryOp,
};
use serde_json::{Value as Json, json};

use super::{Binding, Body, mentions, part::part};
use crate::{
    constant::{self, NotConstant},
    function,
    refuse::{self, IN_A_NODE},
    scope::Bound,
};

impl Body<'_, '_> {
    pub(super) fn value(&mut self, expr: &Expr) -> Option<Value> {
        let value = self.unbounded(expr)?;
        self.bounded(expr, value)
    }

    fn unbounded(&mut self, expr: &Expr) -> Option<Value> {
        if !expr.is_name_expr() && !self.mentions_names(expr) {
            match constant::value(&self.project.units, self.unit, expr) {
                Ok(value) => return Some(Value::Literal(value)),
                Err(NotConstant::Clock(range)) => {
                    let problem = refuse::clock(self.text(), range);
                    self.problems.push(problem);
                    return None;
                }
                Err(NotConstant::Wrong(range, what)) => {
                    self.refuse(&range, "bad-constant", format!("{what} is not a value"), "write a literal");
                    return None;
                }
                Err(NotConstant::Other(_)) => {}
            }
        }
        match expr {
            Expr::Name(name) => self.name(expr, name.id.as_str()),
            Expr::Call(call) => self.call(call),
            Expr::ListComp(each) => self.comprehension(each),
            Expr::Subscript(subscript) => self.subscript(expr, subscript),
            Expr::Attribute(attribute) => {
                if let Some(bound) = self.project.units.resolve(self.unit, expr)
                    && !self.mentions_names(expr)
                {
                    let written = self.written(expr);
                    let _: Bound<'_> = bound;
                    self.refuse(expr, "outside-name", format!("`{written}` is known to Python only"), IN_A_NODE);
                    return None;
                }
                let value = self.value(&attribute.value)?;
                self.part(expr, &value, &Segment::Field(attribute.attr.as_str().to_owned()))
            }
            Expr::List(list) => Some(Value::List(self.values(&list.elts)?)),
            Expr::Tuple(tuple) => Some(Value::Tuple(self.values(&tuple.elts)?)),
            Expr::Dict(dict) => self.dict(dict),
            Expr::FString(text) => self.format(text),
            Expr::Compare(_) | Expr::BoolOp(_) => self.condition(expr).map(|c| Value::Condition(Box::new(c))),
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => self.condition(expr).map(|c| Value::Condition(Box::new(c))),
            other => {
                let (code, message, remedy) = refuse::expression(other);
                self.refuse(other, code, message, remedy);
                self.tainted |= other.is_named_expr();
                None
            }
        }
    }

    fn subscript(&mut self, expr: &Expr, subscript: &ExprSubscript) -> Option<Value> {
        let value = self.value(&subscript.value);
        let literal = if self.mentions_names(&subscript.slice) {
            None
        } else {
            constant::value(&self.project.units, self.unit, &subscript.slice).ok()
        };
        let segment = literal.and_then(|literal| match literal {
            Json::String(key) => Some(Segment::Key(key)),
            index => index.as_i64().map(Segment::Index),
        });
        let Some(segment) = segment else {
            let remedy = "write a number or a text between the brackets, or put it in a node";
            self.refuse(expr, "subscript", "a subscript that is no literal", remedy);
            return None;
        };
        self.part(expr, &value?, &segment)
    }

    fn dict(&mut self, dict: &ExprDict) -> Option<Value> {
        let mut items = Some(Vec::new());
        for item in &dict.items {
            let value = self.value(&item.value);
            let key = item.key.as_ref().and_then(Expr::as_string_literal_expr).map(|key| key.value.to_str().to_owned());
            if key.is_none() {
                self.refuse(
                    item,
                    "dict-key",
                    "a key that is no literal text",
                    "write a literal text, or put it in a node",
                );
            }
            items = items.zip(key.zip(value)).map(|(mut items, item)| {
                items.push(item);
                items
            });
        }
        Some(Value::Dict(items?))
    }

    fn format(&mut self, text: &ExprFString) -> Option<Value> {
        let mut parts = Some(Vec::new());
        let mut push = |value: Option<Value>| {
            parts = parts.take().zip(value).map(|(mut parts, value): (Vec<Value>, Value)| {
                parts.push(value);
                parts
            });
        };
        for piece in text.value.iter() {
            match piece {
                FStringPart::Literal(literal) => push(Some(Value::Literal(json!(literal.as_str())))),
                FStringPart::FString(inner) => {
                    for element in &inner.elements {
                        push(self.element(element));
                    }
                }
            }
        }
        Some(Value::Format(parts?))
    }

    fn element(&mut self, element: &InterpolatedStringElement) -> Option<Value> {
        let inner = match element {
            InterpolatedStringElement::Literal(literal) => return Some(Value::Literal(json!(&*literal.value))),
            InterpolatedStringElement::Interpolation(inner) => inner,
        };
        let value = self.value(&inner.expression)?;
        let plain =
            inner.conversion == ConversionFlag::None && inner.format_spec.is_none() && inner.debug_text.is_none();
        if plain && matches!(value, Value::Param { .. } | Value::Literal(_)) {
            return Some(value);
        }
        let message = "an f-string of a workflow holds parameters and literals, without a format";
        self.refuse(&*inner.expression, "f-string", message, IN_A_NODE);
        None
    }

    fn part(&mut self, at: &Expr, value: &Value, segment: &Segment) -> Option<Value> {
        let part = if self.is_frame(value) { None } else { part(value, segment) };
        if part.is_none() {
            let message = format!("`{}` is no part that is known before the run", self.written(at));
            self.refuse(at, "part", message, IN_A_NODE);
        }
        part
    }

    pub(super) fn values(&mut self, items: &[Expr]) -> Option<Vec<Value>> {
        let values: Vec<_> = items.iter().map(|item| self.value(item)).collect();
        values.into_iter().collect()
    }

    fn name(&mut self, at: &Expr, name: &str) -> Option<Value> {
        match self.names.get(name) {
            Some(Binding::Value(value)) => return Some((**value).clone()),
            Some(Binding::Broken) => return None,
            Some(Binding::Half) => {
                let message = format!("`{name}` is bound on only one path");
                self.refuse(at, "unbound-name", message, &format!("write {name} = None before the if"));
                return None;
            }
            None => {}
        }
        match constant::value(&self.project.units, self.unit, at) {
            Ok(value) => return Some(Value::Literal(value)),
            Err(NotConstant::Clock(range)) => {
                let problem = refuse::clock(self.text(), range);
                self.problems.push(problem);
                return None;
            }
            Err(_) => {}
        }
        match self.project.units.named(self.unit, name) {
            Some(Bound::Function(unit, def)) if function::kind(&self.project.units, unit, def).is_some() => {
                let message = format!("`{name}` is a function and no value");
                self.refuse(at, "function-as-value", message, &format!("call it, or write map({name}, xs)"));
            }
            Some(_) => {
                let message = format!("`{name}` is no constant, and a workflow is read and not run");
                self.refuse(at, "outside-name", message, "write a literal at the top level, or use it in a node");
            }
            None if self.tainted => {}
            None => {
                let message = format!("`{name}` is not bound here");
                self.refuse(at, "unbound-name", message, "take it as a parameter, or bind it before");
            }
        }
        None
    }

    /// `[fn(a, k=b) for a, b in zip(xs, ys)]` is a map over several lists.
    fn comprehension(&mut self, each: &ExprListComp) -> Option<Value> {
        let remedy = "write [fn(x) for x in xs] or map(fn, xs): one for, one call of a node, no if";
        let [generator] = &*each.generators else {
            self.refuse(each, "comprehension", "a comprehension with several for", remedy);
            return None;
        };
        if let Some(test) = generator.ifs.first() {
            self.refuse(test, "comprehension", "a comprehension with an if", "filter in a node that returns the list");
            return None;
        }
        let Expr::Call(call) = &*each.elt else {
            self.refuse(&*each.elt, "comprehension", "a comprehension of what is no call of a node", remedy);
            return None;
        };
        let (targets, lists): (Vec<&Expr>, Vec<&Expr>) = match (&generator.target, &generator.iter) {
            (Expr::Tuple(names), Expr::Call(zip))
                if zip.func.as_name_expr().is_some_and(|f| f.id.as_str() == "zip")
                    && self.project.units.named(self.unit, "zip").is_none()
                    && zip.arguments.keywords.is_empty() =>
            {
                (names.elts.iter().collect(), zip.arguments.args.iter().collect())
            }
            (target, list) => (vec![target], vec![list]),
        };
        let names: Option<Vec<&str>> = targets.iter().map(|t| t.as_name_expr().map(|n| n.id.as_str())).collect();
        let Some(names) = names.filter(|names| names.len() == lists.len()) else {
            let message = "the names of this comprehension do not fit its lists";
            self.refuse(&generator.target, "comprehension", message, "write [fn(x, y) for x, y in zip(xs, ys)]");
            return None;
        };
        let over: Vec<Option<Value>> = lists.iter().map(|list| self.value(list)).collect();
        let over = names.iter().copied().zip(over).collect::<Vec<_>>();
        self.mapped(call, &over)
    }

    /// Whether an argument of a comprehension's call uses an element otherwise than as a whole.
    pub(super) fn computes_with(&mut self, argument: &Expr, names: &[&str]) -> bool {
        let computes = !argument.is_name_expr() && mentions(argument, &|name| names.contains(&name));
        if computes {
            let message = format!("`{}` calculates with an element", self.written(argument));
            self.refuse(argument, "comprehension", message, "pass the element as it is, and calculate in the node");
        }
        computes
    }
}
