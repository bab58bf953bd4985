//! Expressions of a body: where a value comes from.

use qflow_model::expression::{Expr as Value, Segment};
use ruff_python_ast::{
    ConversionFlag, Expr, ExprDict, ExprFString, FStringPart, InterpolatedStringElement, UnaryOp,
    visitor::{Visitor, walk_expr},
};
use ruff_text_size::{Ranged, TextRange};
use serde_json::{Value as Json, json};

use super::{Binding, Body, part};
use crate::{
    constant::{self, NotConstant},
    function, options, refuse,
    scope::Bound,
};

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
            Expr::List(list) => Some(gathered(self.values(&list.elts)?, Value::List, Json::Array)),
            Expr::Tuple(tuple) => {
                let tagged = |items| json!({"$": "tuple", "v": Json::Array(items)});
                Some(gathered(self.values(&tuple.elts)?, Value::Tuple, tagged))
            }
            Expr::Dict(dict) => self.dict(dict),
            Expr::FString(text) => self.format(text),
            Expr::Compare(_) | Expr::BoolOp(_) => self.truth_value(expr),
            Expr::UnaryOp(not) if not.op == UnaryOp::Not => self.truth_value(expr),
            other => match constant::value(&self.project.units, self.unit, other) {
                Ok(literal) if !matches!(other, Expr::Set(_)) => Some(Value::Literal(literal)),
                Err(NotConstant::Wrong(range, what)) => {
                    self.refuse(range, "bad-literal", format!("{what} is not a value"), refuse::IN_A_NODE);
                    None
                }
                _ => {
                    self.refuse_expression(other);
                    None
                }
            },
        };
        self.bounded(expr.range(), value?)
    }

    /// Reads expressions; all are looked at even where one was refused.
    fn values(&mut self, items: &'a [Expr]) -> Option<Vec<Value>> {
        let values: Vec<_> = items.iter().map(|item| self.value(item)).collect();
        values.into_iter().collect()
    }

    /// Tells why an expression does not stand here, and what else is wrong inside it.
    fn refuse_expression(&mut self, expr: &'a Expr) {
        let (code, message, remedy) = refuse::expression(expr);
        let mut remedy = remedy;
        if let Expr::BinOp(binary) = expr {
            if binary.op == ruff_python_ast::Operator::RShift && self.is_step(&binary.left) {
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
                    self.names.insert(name.id.as_str(), Binding::Broken);
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
        match self.names.get(name) {
            Some(Binding::Value(value)) => return Some((**value).clone()),
            Some(Binding::Broken) => return None,
            Some(Binding::Half) => {
                let message = format!("`{name}` is bound on some paths to here, not on every one");
                self.refuse(at.range(), "unbound-name", message, &format!("write `{name} = None` before the if"));
                return None;
            }
            None => {}
        }
        match self.resolve(at) {
            Some(bound) => self.outer(at, &bound),
            None => {
                let message = format!("`{name}` is not bound here");
                let near = options::nearest(name, self.names.keys().copied().filter(|known| *known != name));
                let remedy = match near {
                    _ if self.locals.contains(name) => "bind it before this line".to_owned(),
                    Some(near) => format!("did you mean `{near}`?"),
                    None => "take it as a parameter, or bind it before".to_owned(),
                };
                self.refuse(at.range(), "unbound-name", message, &remedy);
                None
            }
        }
    }

    /// What stands outside the function: a constant, or nothing that a body may name.
    fn outer(&mut self, at: &'a Expr, bound: &Bound<'a>) -> Option<Value> {
        match constant::value(&self.project.units, self.unit, at) {
            Ok(literal) => return Some(Value::Literal(literal)),
            Err(NotConstant::Clock(range)) => {
                let problem = refuse::clock(self.text(), range);
                self.problems.push(problem);
                return None;
            }
            Err(_) => {}
        }
        let written = self.written(at);
        if let (true, Expr::Name(_) | Expr::Attribute(_)) = (self.is_step(at), at) {
            let message = format!("`{written}` is a function, not a value");
            let remedy = format!("call it, or write map({written}, xs)");
            self.refuse(at.range(), "function-as-value", message, &remedy);
            return None;
        }
        let message = match bound {
            Bound::Function(..) => format!("`{written}` is a function, not a value"),
            Bound::Class(..) => format!("`{written}` is a class, or a part of one"),
            Bound::Assigned(..) | Bound::Other => format!("`{written}` is not a constant"),
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

    fn dict(&mut self, dict: &'a ExprDict) -> Option<Value> {
        let mut items = Some(Vec::new());
        for item in &dict.items {
            let value = self.value(&item.value);
            let key = match &item.key {
                Some(Expr::StringLiteral(key)) => Some(key.value.to_str().to_owned()),
                key => {
                    let range = key.as_ref().map_or(item.value.range(), Ranged::range);
                    let message = "a key that is no literal text";
                    self.refuse(range, "dict-key", message, "write each key as a text, or put it in a node");
                    None
                }
            };
            items = items.zip(key.zip(value)).map(|(mut items, item)| {
                items.push(item);
                items
            });
        }
        let items = items?;
        if !items.iter().all(|(_, value)| matches!(value, Value::Literal(_))) {
            return Some(Value::Dict(items));
        }
        let stored = |key: String| if key.starts_with('$') { format!("${key}") } else { key };
        let literal = items.into_iter().map(|(key, value)| (stored(key), into_literal(value)));
        Some(Value::Literal(Json::Object(literal.collect())))
    }

    fn format(&mut self, text: &'a ExprFString) -> Option<Value> {
        let mut parts = Vec::new();
        for piece in text.value.iter() {
            match piece {
                FStringPart::Literal(literal) => parts.push(Some(Value::Literal(json!(literal.as_str())))),
                FStringPart::FString(inner) => parts.extend(inner.elements.iter().map(|element| self.element(element))),
            }
        }
        let parts = parts.into_iter().collect::<Option<Vec<_>>>()?;
        let texts: Option<String> = parts.iter().map(literal_text).collect();
        Some(texts.map_or(Value::Format(parts), |text| Value::Literal(json!(text))))
    }

    fn element(&mut self, element: &'a InterpolatedStringElement) -> Option<Value> {
        const MESSAGE: &str = "an f-string here holds parameters and literals as str() writes them";
        let inner = match element {
            InterpolatedStringElement::Literal(literal) => return Some(Value::Literal(json!(&*literal.value))),
            InterpolatedStringElement::Interpolation(inner) => inner,
        };
        let value = self.value(&inner.expression)?;
        let plain = matches!(inner.conversion, ConversionFlag::None | ConversionFlag::Str)
            && inner.format_spec.is_none()
            && inner.debug_text.is_none();
        if plain && is_of_parameters(&value) {
            return Some(value);
        }
        let range: TextRange = if plain { inner.expression.range() } else { inner.range };
        self.refuse(range, "f-string", MESSAGE, refuse::IN_A_NODE);
        None
    }
}

fn is_of_parameters(value: &Value) -> bool {
    match value {
        Value::Param { .. } | Value::Literal(_) => true,
        Value::Select { then, otherwise, .. } => is_of_parameters(then) && is_of_parameters(otherwise),
        _ => false,
    }
}

fn literal_text(value: &Value) -> Option<&str> {
    match value {
        Value::Literal(Json::String(text)) => Some(text),
        _ => None,
    }
}

fn into_literal(value: Value) -> Json {
    match value {
        Value::Literal(json) => json,
        _ => Json::Null,
    }
}

/// Values side by side: one literal where all of them are.
fn gathered(values: Vec<Value>, of: fn(Vec<Value>) -> Value, literal: impl Fn(Vec<Json>) -> Json) -> Value {
    if values.iter().all(|value| matches!(value, Value::Literal(_))) {
        return Value::Literal(literal(values.into_iter().map(into_literal).collect()));
    }
    of(values)
}
