//! Where an expression's value comes from, once what it reads has ended: through calls, up to their callers and down into their
//! results, without a copy of anything.

use super::{NodeRun, RunState};
use crate::{
    condition::decide,
    definition::ParamDefault,
    expression::{Expr, Path, Segment},
    ids::{Digest, FrameIx, NodeKey, StepIx},
    plan::{PlannedStep, joined, position},
    status::NodeStatus,
    tagged,
    value::{Argument, OutcomeError, Produced, ValueRef, outcome_error},
};

impl RunState {
    /// The arguments of a node run, for its runner to resolve; parameters with a default of their own may lack.
    pub fn arguments(&self, key: NodeKey) -> Vec<(String, Argument)> {
        let step = self.planned(key);
        let argument = |name: &String, expr: &Expr| match key.index {
            Some(index) if step.over.contains(name) => self.element(key.frame, expr, index, &[]),
            _ => self.argument(key.frame, expr, &[]),
        };
        step.arguments.iter().map(|(name, expr)| (name.clone(), argument(name, expr))).collect()
    }

    /// Where the value of a node run that completed comes from; of a mapped step the list of its elements'.
    pub fn value_of(&self, key: NodeKey) -> Argument {
        match key.index {
            None => self.result(key.frame, key.step, &[]),
            Some(_) => self.called(key, self.planned(key), &[]),
        }
    }

    /// Where the value of an expression of a frame comes from, or a part of it. What it reads must have ended.
    pub(super) fn argument(&self, frame: FrameIx, expr: &Expr, path: &[Segment]) -> Argument {
        match expr {
            Expr::Literal(value) => literal(value, path),
            Expr::Param { name, path: own } if own.is_empty() => self.param(frame, name, path),
            Expr::Param { name, path: own } => self.param(frame, name, &joined(own, path)),
            Expr::Result { step, path: own } if own.is_empty() => self.result(frame, *step, path),
            Expr::Result { step, path: own } => self.result(frame, *step, &joined(own, path)),
            Expr::List(parts) | Expr::Tuple(parts) => match path.split_first() {
                None if matches!(expr, Expr::List(_)) => Argument::List(self.each(frame, parts)),
                None => Argument::Tuple(self.each(frame, parts)),
                Some((Segment::Index(index), rest)) if position(*index, parts.len()).is_some() => {
                    let at = position(*index, parts.len()).unwrap_or_default();
                    self.argument(frame, &parts[at], rest)
                }
                Some(_) => nowhere("[]", path),
            },
            Expr::Dict(parts) => match path.split_first() {
                None => {
                    let part = |(key, part): &(String, Expr)| (key.clone(), self.argument(frame, part, &[]));
                    Argument::Dict(parts.iter().map(part).collect())
                }
                Some((Segment::Key(key), rest)) => match parts.iter().rev().find(|(name, _)| name == key) {
                    Some((_, part)) => self.argument(frame, part, rest),
                    None => nowhere("{}", path),
                },
                Some(_) => nowhere("{}", path),
            },
            Expr::Format(parts) if path.is_empty() => Argument::Format(self.each(frame, parts)),
            Expr::Format(_) => nowhere("\"\"", path),
            Expr::Select { .. } => self.argument(frame, self.selected(frame, expr), path),
            Expr::Condition(condition) => {
                let holds = decide(condition, &|e| self.answer(frame, e, &[])).unwrap_or(false);
                literal(&serde_json::Value::Bool(holds), path)
            }
        }
    }

    fn each(&self, frame: FrameIx, parts: &[Expr]) -> Vec<Argument> {
        parts.iter().map(|part| self.argument(frame, part, &[])).collect()
    }

    /// The `index`-th element of a mapped argument, or a part of it: what holds all elements is not copied for one of them.
    fn element(&self, frame: FrameIx, expr: &Expr, index: u32, path: &[Segment]) -> Argument {
        let at = Segment::Index(i64::from(index));
        let mut full = Vec::with_capacity(path.len() + 1);
        full.push(at.clone());
        full.extend(path.iter().cloned());
        match self.argument(frame, expr, &full) {
            // Straight into a stored value: an element is read by its range, and of a set too.
            Argument::Value { value, element: None, path } if path.len() == full.len() && path[0] == at => {
                Argument::Value { value, element: Some(index), path: path[1..].to_vec() }
            }
            other => other,
        }
    }

    /// A parameter of a frame: a run's own, or what the caller gave.
    fn param(&self, frame: FrameIx, name: &str, path: &[Segment]) -> Argument {
        let null = || literal(&serde_json::Value::Null, path);
        let Some(caller) = self.frames[frame.0 as usize].caller else {
            return self.spec.params.get(name).map_or_else(null, |produced| stored(&produced.value, path));
        };
        match self.given(caller, name) {
            Some((given, true)) => self.element(caller.frame, given, caller.index.unwrap_or_default(), path),
            Some((given, false)) => self.argument(caller.frame, given, path),
            None => self.default(frame, name).map_or_else(null, |value| literal(value, path)),
        }
    }

    /// What a caller gave for a parameter, and whether it is mapped over that.
    pub(super) fn given(&self, caller: NodeKey, name: &str) -> Option<(&Expr, bool)> {
        let step = self.planned(caller);
        let (_, expr) = step.arguments.iter().find(|(given, _)| given == name)?;
        Some((expr, step.over.iter().any(|over| over == name)))
    }

    /// What a parameter is where the caller gave nothing.
    pub(super) fn default(&self, frame: FrameIx, name: &str) -> Option<&serde_json::Value> {
        let param = self.laid_out(frame).params.iter().find(|param| param.name == name)?;
        match param.default.as_ref()? {
            ParamDefault::Value(value) => Some(value),
            ParamDefault::Python => None,
        }
    }

    fn result(&self, frame: FrameIx, step: StepIx, path: &[Segment]) -> Argument {
        let own = NodeKey { frame, step, index: None };
        let planned = self.planned(own);
        if !planned.is_mapped() {
            return self.called(own, planned, path);
        }
        let elements = self.frames[frame.0 as usize].steps.elements(step);
        match path.split_first() {
            Some((Segment::Index(index), rest)) => match position(*index, elements.len()) {
                Some(at) => self.called(own.element(at as u32), planned, rest),
                None => nowhere("[]", path),
            },
            Some(_) => nowhere("[]", path),
            None if planned.calls.is_none() && !planned.settled => {
                let values = elements.iter().filter_map(produced).map(|produced| produced.value.clone());
                Argument::Gathered { values: values.collect(), path: Path::new() }
            }
            None => {
                let keys = (0..elements.len()).map(|index| own.element(index as u32));
                Argument::List(keys.map(|key| self.called(key, planned, &[])).collect())
            }
        }
    }

    /// What one call came to, as its caller sees it.
    fn called(&self, key: NodeKey, planned: &PlannedStep, path: &[Segment]) -> Argument {
        if !planned.settled {
            return self.value(key, planned, path);
        }
        let error = self.outcome_error(key);
        match path.split_first() {
            None => Argument::Outcome {
                value: error.is_none().then(|| Box::new(self.value(key, planned, path))),
                error: error.map(Box::new),
            },
            Some((Segment::Field(name), rest)) => match (name.as_str(), error) {
                ("ok", error) => literal(&serde_json::Value::Bool(error.is_none()), rest),
                ("value", None) => self.value(key, planned, rest),
                ("value", Some(_)) => literal(&serde_json::Value::Null, rest),
                ("error", error) => literal(&outcome_error(error.as_ref()), rest),
                _ => nowhere("{}", path),
            },
            Some(_) => nowhere("{}", path),
        }
    }

    /// The value of a call that completed.
    fn value(&self, key: NodeKey, planned: &PlannedStep, path: &[Segment]) -> Argument {
        let run = self.run(key);
        match (planned.calls, &run.call) {
            (Some(_), Some(call)) if run.status == NodeStatus::Completed => {
                self.argument(call.frame, &self.laid_out(call.frame).result, path)
            }
            (Some(_), _) => literal(&serde_json::Value::Null, path),
            (None, _) => produced(run)
                .map_or_else(|| literal(&serde_json::Value::Null, path), |produced| stored(&produced.value, path)),
        }
    }

    /// Why a settled call did not complete, where it did not.
    pub(super) fn outcome_error(&self, key: NodeKey) -> Option<OutcomeError> {
        let run = self.run(key);
        if run.status == NodeStatus::Completed {
            return None;
        }
        let failure = run.detail.as_deref().and_then(|detail| detail.failure.as_deref());
        Some(OutcomeError {
            error_type: failure.map(|failure| failure.error_type.clone()).unwrap_or_default(),
            message: failure.map(|failure| failure.message.clone()).unwrap_or_default(),
            status: run.status.to_string(),
            attempts: run.attempt,
        })
    }

    /// `expr`, or what stands behind its selections.
    pub(super) fn selected<'a>(&self, frame: FrameIx, expr: &'a Expr) -> &'a Expr {
        let mut expr = expr;
        while let Expr::Select { branch, then, otherwise } = expr {
            expr = if self.branches(frame)[branch.0 as usize] == Some(true) { then } else { otherwise };
        }
        expr
    }
}

pub(super) fn produced(run: &NodeRun) -> Option<&Produced> {
    (run.status == NodeStatus::Completed).then_some(())?;
    run.detail.as_ref()?.produced.as_deref()
}

fn stored(value: &ValueRef, path: &[Segment]) -> Argument {
    Argument::Value { value: value.clone(), element: None, path: path.to_vec() }
}

/// A part of a literal.
fn literal(value: &serde_json::Value, path: &[Segment]) -> Argument {
    match path.split_first() {
        None => Argument::Literal(value.clone()),
        // A mapped set has elements too.
        Some((Segment::Index(index), rest)) if tagged::items(value).is_some() => {
            let items = tagged::items(value).unwrap_or_default();
            match position(*index, items.len()) {
                Some(at) => literal(&items[at], rest),
                None => nowhere("[]", path),
            }
        }
        Some(_) => match tagged::at(value, path) {
            Ok(part) => Argument::Literal(part.clone()),
            Err(_) => nowhere(&value.to_string(), path),
        },
    }
}

/// A path that leads nowhere: whoever resolves it says so as Python would.
fn nowhere(text: &str, path: &[Segment]) -> Argument {
    let bytes = text.as_bytes().to_vec();
    let digest = Digest::of(&bytes);
    let value =
        ValueRef { digest, size: bytes.len() as u64, inline: Some(bytes), items: None, attachments: Vec::new() };
    Argument::Value { value, element: None, path: path.to_vec() }
}
