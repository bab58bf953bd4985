//! Decorators: their options, handed on by name and value.

use ruff_python_ast::{Expr, ExprCall, StmtFunctionDef};
use ruff_text_size::{Ranged, TextRange};
use serde_json::{Value, json};

use super::{Head, Kind, decorator_kind};
use crate::{constant, options, scope::Bound};

impl Head<'_, '_> {
    /// Hands each option of the decorator on, and tells what is not one.
    pub(super) fn options(
        &mut self,
        function: &StmtFunctionDef,
        mut set: impl FnMut(&str, &Value, TextRange) -> Result<(), options::Bad>,
    ) {
        let mut seen = false;
        for decorator in &function.decorator_list {
            let Some(kind) = decorator_kind(&self.project.units, self.unit, decorator) else {
                let written = self.text().written(decorator.range());
                let message = format!("`{written}` beside @node or @workflow would hide the function's signature");
                self.wrong(decorator.range(), "other-decorator", message, "call it inside the function");
                continue;
            };
            if std::mem::replace(&mut seen, true) || kind != self.kind {
                let message = "a function is one node or one workflow";
                self.wrong(decorator.range(), "two-decorators", message, "keep one decorator");
                continue;
            }
            let Expr::Call(call) = &decorator.expression else { continue };
            for argument in &call.arguments.args {
                let remedy = match kind {
                    Kind::Node => "write @node(retries=3)",
                    Kind::Workflow => "write @workflow(max_parallel=8)",
                };
                self.wrong(argument.range(), "bad-option", "options are given by name", remedy);
            }
            for keyword in &call.arguments.keywords {
                let Some(name) = keyword.arg.as_ref().map(|n| n.id.as_str()) else {
                    self.wrong(keyword.range(), "bad-option", "options are written out", "name each option");
                    continue;
                };
                let value = match options::refused_as_written(kind, name) {
                    Some(bad) => Err(bad),
                    None => self.value(name, &keyword.value),
                };
                if let Err(bad) = value.and_then(|value| set(name, &value, keyword.range())) {
                    let range = if bad.code == "bad-option" { keyword.value.range() } else { keyword.range() };
                    self.wrong(range, bad.code, bad.message, &bad.remedy);
                }
            }
        }
    }

    /// An option's value: a constant; also `secret("name")` within `env`, and exceptions in `retry_on`.
    fn value(&self, name: &str, expr: &Expr) -> Result<Value, options::Bad> {
        let units = &self.project.units;
        match (name, expr) {
            ("env", Expr::Dict(dict)) => {
                let mut fields = serde_json::Map::new();
                for item in &dict.items {
                    let key = item.key.as_ref().and_then(Expr::as_string_literal_expr);
                    let key = key.ok_or_else(|| self.no_constant(name, &item.value))?;
                    let value = self.secret(&item.value).map_or_else(|| self.value("env", &item.value), Ok)?;
                    fields.insert(key.value.to_str().to_owned(), value);
                }
                Ok(Value::Object(fields))
            }
            ("retry_on", Expr::List(list)) => list.elts.iter().map(|e| self.exception(e)).collect(),
            ("retry_on", Expr::Tuple(tuple)) => tuple.elts.iter().map(|e| self.exception(e)).collect(),
            ("retry_on", other) => self.exception(other),
            ("on_failure", other) if matches!(units.resolve(self.unit, other), Some(Bound::Function(..))) => {
                Err(options::Bad {
                    code: "bad-option",
                    message: "on_failure does not take a function".to_owned(),
                    remedy: "write on_failure=\"finish\" or \"stop\"; to act on a failure, take it as a value: \
                             settled(fn)(x)"
                        .to_owned(),
                })
            }
            ("schedule", Expr::Call(call))
                if matches!(units.resolve(self.unit, &call.func), Some(Bound::Qflow("cron"))) =>
            {
                self.cron(call)
            }
            _ => {
                let value = constant::value(units, self.unit, expr).map_err(|_| self.no_constant(name, expr))?;
                // Tuples are as good as lists here, and durations as seconds.
                match value.get("$").and_then(Value::as_str) {
                    Some("tuple" | "set") => Ok(value["v"].clone()),
                    Some("timedelta") => {
                        let part = |at: usize| value["v"][at].as_f64().unwrap_or_default();
                        Ok(json!(part(0) * 86_400.0 + part(1) + part(2) / 1e6))
                    }
                    _ => Ok(value),
                }
            }
        }
    }

    /// `cron("0 2 * * *", tz="Europe/Berlin", into="day", …)`, by the names of its parameters.
    fn cron(&self, call: &ExprCall) -> Result<Value, options::Bad> {
        let positional = call.arguments.args.iter().zip(options::CRON).map(|(value, name)| (Some(*name), value));
        let named = call.arguments.keywords.iter().map(|k| (k.arg.as_ref().map(|name| name.id.as_str()), &k.value));
        let mut fields = serde_json::Map::new();
        for (name, value) in positional.chain(named) {
            let name = name.filter(|name| options::CRON.contains(name) && !fields.contains_key(*name));
            let name = name.ok_or_else(options::bad_cron)?;
            fields.insert(name.to_owned(), self.value("schedule", value)?);
        }
        if call.arguments.args.len() > options::CRON.len() {
            return Err(options::bad_cron());
        }
        Ok(Value::Object(fields))
    }

    fn no_constant(&self, name: &str, expr: &Expr) -> options::Bad {
        options::Bad {
            code: "bad-option",
            message: format!("{name} is `{}`, which is no constant", self.text().written(expr.range())),
            remedy: "write a literal: decorators are read and not run".to_owned(),
        }
    }

    fn secret(&self, expr: &Expr) -> Option<Value> {
        let call = expr.as_call_expr()?;
        let Some(Bound::Qflow("secret")) = self.project.units.resolve(self.unit, &call.func) else { return None };
        let name = match (&*call.arguments.args, &*call.arguments.keywords) {
            ([name], []) => name,
            ([], [keyword]) if keyword.arg.as_ref().is_some_and(|name| name.id.as_str() == "name") => &keyword.value,
            _ => return None,
        };
        Some(json!({ options::SECRET: name.as_string_literal_expr()?.value.to_str() }))
    }

    /// The name of an exception: written as a text, or as the class itself.
    fn exception(&self, expr: &Expr) -> Result<Value, options::Bad> {
        match expr {
            Expr::StringLiteral(literal) => Ok(json!(literal.value.to_str())),
            Expr::Name(name) => Ok(json!(match self.project.units.resolve(self.unit, expr) {
                Some(Bound::Foreign(dotted)) => dotted.rsplit('.').next().unwrap_or_default().to_owned(),
                _ => name.id.as_str().to_owned(),
            })),
            Expr::Attribute(attribute) => Ok(json!(attribute.attr.id.as_str())),
            _ => Err(self.no_constant("retry_on", expr)),
        }
    }
}
