//! `sleep("10m")` and `approval("finance", timeout="2d")`: steps that run no code.

use qflow_model::{class::Classes, definition::StepKind, expression::Expr as Value};
use ruff_python_ast::{Expr, ExprCall};
use ruff_text_size::{Ranged, TextRange};
use serde_json::Value as Json;

use super::{
    Body,
    arguments::{Argument, Made},
    part,
};
use crate::{options, units};

/// Characters of an approval's name: who answers types it.
const NAME_CHARS: usize = 100;
const SLEEP: &str = "write sleep(\"10m\"), sleep(90), sleep(timedelta(…)) or sleep(datetime(…))";
const APPROVAL: &str = "write approval(\"name\", timeout=\"2d\")";

impl<'a> Body<'_, 'a> {
    /// `sleep(duration)`.
    pub(super) fn sleep(&mut self, call: &'a ExprCall) -> Option<Value> {
        let [duration] = self.given(call, "sleep", ["duration"], SLEEP)?;
        let value = self.value(duration?);
        let value = value.filter(|value| self.is_duration(duration.map_or(call.range(), Ranged::range), value))?;
        let range = duration.map_or(call.range(), Ranged::range);
        self.wait(call, StepKind::Sleep, vec![("duration".to_owned(), range, value)])
    }

    /// `approval(name, timeout=None)`.
    pub(super) fn approval(&mut self, call: &'a ExprCall) -> Option<Value> {
        let [name, timeout] = self.given(call, "approval", ["name", "timeout"], APPROVAL)?;
        let name = self.approval_name(name?);
        let timeout = timeout.map_or(Ok(None), |timeout| self.approval_timeout(timeout));
        let kind = StepKind::Approval { name: name?, timeout_ms: timeout.ok()? };
        self.wait(call, kind, Vec::new())
    }

    /// Nothing but its place says when a step that waits is due: it is always in the order of statements.
    fn wait(&mut self, call: &'a ExprCall, kind: StepKind, arguments: Vec<Argument>) -> Option<Value> {
        let value = self.push(call, Made { kind, over: Vec::new(), settled: false, arguments })?;
        if let Value::Result { step, .. } = value {
            self.in_order(step);
        }
        Some(value)
    }

    /// The arguments by the order of their parameters, of which the first is needed; nothing where they do not fit.
    fn given<const N: usize>(
        &mut self,
        call: &'a ExprCall,
        function: &str,
        names: [&str; N],
        remedy: &str,
    ) -> Option<[Option<&'a Expr>; N]> {
        const CODE: &str = "arguments";
        let mut given = [None; N];
        let mut wrong = false;
        let positional = call.arguments.args.iter().enumerate().map(|(at, argument)| (Some(at), argument));
        let named = call.arguments.keywords.iter().map(|keyword| {
            let name = keyword.arg.as_ref().map(|name| name.id.as_str());
            (names.iter().position(|known| name == Some(*known)), &keyword.value)
        });
        for (at, argument) in positional.chain(named) {
            let slot = at.and_then(|at| given.get_mut(at)).filter(|slot| slot.is_none());
            if let (Some(slot), false) = (slot, argument.is_starred_expr()) {
                *slot = Some(argument);
            } else {
                let message = format!("`{function}` takes {}", names.join(" and "));
                self.refuse(argument.range(), CODE, message, remedy);
                wrong = true;
            }
        }
        if given[0].is_none() && !wrong {
            let message = format!("`{function}` needs its {}", names[0]);
            self.refuse(call.range(), CODE, message, remedy);
            wrong = true;
        }
        if wrong {
            self.look_through(call);
            return None;
        }
        Some(given)
    }

    /// Whether a value may say how long to sleep; tells where it cannot.
    fn is_duration(&mut self, range: TextRange, value: &Value) -> bool {
        let written = self.text().written(range);
        let mut remedy = SLEEP;
        let (good, message) = match value {
            Value::Literal(literal) => {
                if literal.as_str().is_some_and(is_time) {
                    remedy = "write its offset from UTC: sleep(\"2026-11-24T09:00:00+01:00\")";
                }
                (is_duration(literal), format!("`sleep` does not take `{written}`"))
            }
            Value::Select { then, otherwise, .. } => {
                return self.is_duration(range, then) && self.is_duration(range, otherwise);
            }
            Value::Param { .. } | Value::Result { .. } => {
                let ty = self.type_of(value);
                let found = ty.as_ref().map_or_else(String::new, |ty| format!(", which is {ty}"));
                let good = ty.as_ref().is_none_or(part::may_be_duration);
                (good, format!("`sleep` does not take `{written}`{found}"))
            }
            _ => (false, format!("`sleep` takes a literal, a parameter or a result, not `{written}`")),
        };
        if !good {
            self.refuse(range, "sleep", message, remedy);
        }
        good
    }

    fn approval_name(&mut self, expr: &'a Expr) -> Option<String> {
        let value = self.value(expr)?;
        let named =
            |text: &str| (1..=NAME_CHARS).contains(&text.chars().count()) && !text.chars().any(char::is_control);
        match value {
            Value::Literal(Json::String(text)) if named(&text) => return Some(text),
            Value::Literal(Json::String(_)) => {
                let message = format!("the name of an approval has 1 to {NAME_CHARS} characters, on one line");
                self.refuse(expr.range(), "approval", message, APPROVAL);
            }
            _ => {
                let message = "the name of an approval is no literal text";
                self.refuse(expr.range(), "approval", message, APPROVAL);
            }
        }
        None
    }

    /// Milliseconds where there is a bound; an error where it was refused.
    fn approval_timeout(&mut self, expr: &'a Expr) -> Result<Option<u64>, Refused> {
        match self.value(expr).ok_or(Refused)? {
            Value::Literal(Json::Null) => return Ok(None),
            Value::Literal(literal) => match milliseconds(&literal) {
                Some(ms) if ms > 0 => return Ok(Some(ms)),
                _ => {
                    let message = format!("the timeout of an approval is not {}", options::shown(&literal));
                    self.refuse(expr.range(), "approval", message, APPROVAL);
                }
            },
            _ => self.refuse(expr.range(), "approval", "the timeout of an approval is no literal", APPROVAL),
        }
        Err(Refused)
    }
}

/// It was told.
struct Refused;

/// Whether a literal says how long, or until when.
fn is_duration(literal: &Json) -> bool {
    match literal {
        // Of a text it must be plain which time is meant.
        Json::String(text) => milliseconds(literal).is_some() || (is_time(text) && has_offset(text)),
        Json::Object(fields) if fields.get("$").is_some_and(|tag| tag == "datetime") => true,
        _ => milliseconds(literal).is_some(),
    }
}

fn is_time(text: &str) -> bool {
    text.contains('T')
        && qflow_types::value::from_text(text, &qflow_types::Ty::class("datetime"), &Classes::new()).is_ok()
}

fn has_offset(text: &str) -> bool {
    text.split_once('T').is_some_and(|(_, time)| time.contains(['Z', '+', '-']))
}

/// Milliseconds of `"2d"`, of a number of seconds or of a timedelta.
fn milliseconds(literal: &Json) -> Option<u64> {
    match literal {
        Json::String(text) => units::duration_ms(text),
        Json::Number(seconds) => units::seconds_ms(seconds.as_f64()?),
        Json::Object(fields) if fields.get("$").is_some_and(|tag| tag == "timedelta") => {
            let part = |at: usize| literal["v"][at].as_f64().unwrap_or_default();
            units::seconds_ms(part(0) * 86_400.0 + part(1) + part(2) / 1e6)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sleep_lasts_so_long_or_until_then() {
        for literal in [
            json!("10m"),
            json!("1h30m"),
            json!(0),
            json!(1.5),
            json!({"$": "timedelta", "v": [1, 0, 0]}),
            json!({"$": "datetime", "v": "2026-11-25T10:00:00+00:00"}),
            json!("2026-11-25T10:00:00Z"),
        ] {
            assert!(is_duration(&literal), "{literal}");
        }
        for literal in [
            json!("soon"),
            json!(""),
            json!(-1),
            json!(true),
            json!(null),
            json!({"$": "timedelta", "v": [-1, 0, 0]}),
            json!({"$": "date", "v": "2026-11-25"}),
            json!("2026-11-25"),
            json!("2026-11-25T10:00:00"),
            json!("9999999d"),
        ] {
            assert!(!is_duration(&literal), "{literal}");
        }
    }
}
