//! Values that hold others: lists, tuples, dicts, f-strings.

use std::collections::HashMap;

use qflow_model::expression::Expr as Value;
use ruff_python_ast::{ConversionFlag, Expr, ExprDict, ExprFString, FStringPart, InterpolatedStringElement};
use ruff_text_size::Ranged;
use serde_json::{Value as Json, json};

use super::Body;
use crate::{constant::stored_key, refuse};

impl<'a> Body<'_, 'a> {
    /// `[a, b]`.
    pub(super) fn list(&mut self, items: &'a [Expr]) -> Option<Value> {
        Some(gathered(self.values(items)?, Value::List, Json::Array))
    }

    /// `(a, b)`.
    pub(super) fn tuple(&mut self, items: &'a [Expr]) -> Option<Value> {
        Some(gathered(self.values(items)?, Value::Tuple, |items| json!({"$": "tuple", "v": Json::Array(items)})))
    }

    /// Reads expressions; all are looked at even where one was refused.
    fn values(&mut self, items: &'a [Expr]) -> Option<Vec<Value>> {
        let values: Vec<_> = items.iter().map(|item| self.value(item)).collect();
        values.into_iter().collect()
    }

    /// `{"k": a}`.
    pub(super) fn dict(&mut self, dict: &'a ExprDict) -> Option<Value> {
        // Of equal keys the last value counts, at the place of the first, as in Python.
        let (mut items, mut places, mut wrong) = (Vec::new(), HashMap::new(), false);
        for item in &dict.items {
            let value = self.value(&item.value);
            let Some(Expr::StringLiteral(key)) = &item.key else {
                let range = item.key.as_ref().map_or(item.value.range(), Ranged::range);
                self.refuse(
                    range,
                    "dict-key",
                    "a key that is no literal text",
                    "write each key as a text, or put it in a node",
                );
                wrong = true;
                continue;
            };
            let key = key.value.to_str();
            match (value, places.get(key)) {
                (None, _) => wrong = true,
                (Some(value), Some(at)) => items[*at] = (key.to_owned(), value),
                (Some(value), None) => {
                    places.insert(key, items.len());
                    items.push((key.to_owned(), value));
                }
            }
        }
        if wrong {
            return None;
        }
        if !items.iter().all(|(_, value)| matches!(value, Value::Literal(_))) {
            return Some(Value::Dict(items));
        }
        let literal = items.into_iter().map(|(key, value)| (stored_key(&key), into_literal(value)));
        Some(Value::Literal(Json::Object(literal.collect())))
    }

    /// `f"…"`.
    pub(super) fn format(&mut self, text: &'a ExprFString) -> Option<Value> {
        let mut parts = Vec::new();
        for piece in &text.value {
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
        let range = if plain { inner.expression.range() } else { inner.range };
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
