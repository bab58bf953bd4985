//! Where an expression's value comes from, once what it reads has ended: arguments, lengths of maps, answers for conditions.

use super::{NodeRun, RunState};
use crate::{
    condition::{Undecided, decide, of_literal},
    definition::{Guard, StepKind},
    expression::{Answer, BranchIx, Expr, Path, Segment},
    ids::{NodeKey, StepIx},
    status::NodeStatus,
    value::{Argument, Produced},
};

impl RunState {
    /// The arguments of a node run, for its runner to resolve; parameters with a default of their own may lack.
    pub fn arguments(&self, key: NodeKey) -> Vec<(String, Argument)> {
        let step = self.plan.step(key.step);
        let over: &[String] = match &step.kind {
            StepKind::Map { over, .. } => over,
            StepKind::Node { .. } => &[],
        };
        let argument = |name: &String, expr: &Expr| match key.index {
            Some(index) if over.contains(name) => self.element(expr, index),
            _ => self.argument(expr),
        };
        step.arguments.iter().map(|(name, expr)| (name.clone(), argument(name, expr))).collect()
    }

    /// Where the value of `expr` comes from. What it reads must have completed.
    pub(super) fn argument(&self, expr: &Expr) -> Argument {
        match expr {
            Expr::Literal(value) => Argument::Literal(value.clone()),
            Expr::Param { name, path } => match self.spec.params.get(name) {
                Some(produced) => Argument::Value { value: produced.value.clone(), element: None, path: path.clone() },
                None => Argument::Literal(serde_json::Value::Null),
            },
            Expr::Result { step, path } => self.result(*step, path),
            Expr::List(parts) => Argument::List(self.each(parts)),
            Expr::Tuple(parts) => Argument::Tuple(self.each(parts)),
            Expr::Format(parts) => Argument::Format(self.each(parts)),
            Expr::Dict(parts) => Argument::Dict(parts.iter().map(|(k, v)| (k.clone(), self.argument(v))).collect()),
            Expr::Select { .. } => self.argument(self.selected(expr)),
            Expr::Condition(condition) => {
                let holds = decide(condition, &|e| self.answer(e)).unwrap_or(false);
                Argument::Literal(serde_json::Value::Bool(holds))
            }
        }
    }

    fn each(&self, parts: &[Expr]) -> Vec<Argument> {
        parts.iter().map(|part| self.argument(part)).collect()
    }

    fn result(&self, step: StepIx, path: &Path) -> Argument {
        let runs = &self.steps[step.0 as usize];
        if runs.own.map.is_none() {
            return match produced(&runs.own) {
                Some(produced) => Argument::Value { value: produced.value.clone(), element: None, path: path.clone() },
                None => Argument::Literal(serde_json::Value::Null),
            };
        }
        let values = || runs.elements.iter().filter_map(produced).map(|p| p.value.clone());
        match path.split_first() {
            Some((Segment::Index(index), rest)) if position(*index, runs.elements.len()).is_some() => {
                let at = position(*index, runs.elements.len()).unwrap_or_default();
                match produced(&runs.elements[at]) {
                    Some(produced) => {
                        Argument::Value { value: produced.value.clone(), element: None, path: rest.to_vec() }
                    }
                    None => Argument::Literal(serde_json::Value::Null),
                }
            }
            _ => Argument::Gathered { values: values().collect(), path: path.clone() },
        }
    }

    /// The `index`-th element of a mapped argument.
    fn element(&self, expr: &Expr, index: u32) -> Argument {
        let expr = self.selected(expr);
        match (expr, self.argument(expr)) {
            (Expr::List(parts) | Expr::Tuple(parts), _) => self.argument(&parts[index as usize]),
            (Expr::Literal(value), _) => Argument::Literal(literal_items(value)[index as usize].clone()),
            (_, Argument::Value { value, path, .. }) if path.is_empty() => {
                Argument::Value { value, element: Some(index), path }
            }
            (_, Argument::Value { value, mut path, .. }) => {
                path.push(Segment::Index(i64::from(index)));
                Argument::Value { value, element: None, path }
            }
            (_, Argument::Gathered { values, .. }) => {
                Argument::Value { value: values[index as usize].clone(), element: None, path: Vec::new() }
            }
            (_, other) => other,
        }
    }

    /// `expr`, or what stands behind its selections.
    pub(super) fn selected<'a>(&self, expr: &'a Expr) -> &'a Expr {
        let mut expr = expr;
        while let Expr::Select { branch, then, otherwise } = expr {
            expr = if self.head.branches[branch.0 as usize] == Some(true) { then } else { otherwise };
        }
        expr
    }

    /// What is known of an expression without opening a value.
    pub(super) fn answer(&self, expr: &Expr) -> Result<Answer, Undecided> {
        let unknown = || Undecided {
            error_type: "TypeError".into(),
            message: "this value cannot be asked about here; put the test in a node".into(),
        };
        let sized = |len: usize| Answer { len: Some(len as u64), truth: Some(len > 0), ..Answer::default() };
        match self.selected(expr) {
            Expr::Literal(value) => Ok(of_literal(value)),
            Expr::Param { name, path } => {
                let asks = crate::plan::param_asks_of_plan(&self.plan);
                let at = asks.get(name).and_then(|paths| paths.iter().position(|p| p == path));
                let produced = self.spec.params.get(name);
                at.and_then(|at| produced?.answers.get(at).cloned()).ok_or_else(unknown)
            }
            Expr::Result { step, path } => self.answered(*step, path).ok_or_else(unknown),
            Expr::List(parts) | Expr::Tuple(parts) => Ok(sized(parts.len())),
            Expr::Dict(parts) => Ok(sized(parts.len())),
            Expr::Condition(condition) => {
                Ok(of_literal(&serde_json::Value::Bool(decide(condition, &|e| self.answer(e))?)))
            }
            Expr::Format(_) | Expr::Select { .. } => Err(unknown()),
        }
    }

    fn answered(&self, step: StepIx, path: &Path) -> Option<Answer> {
        let runs = &self.steps[step.0 as usize];
        let asks = &self.plan.step(step).asks;
        let of = |run: &NodeRun, path: &[Segment]| {
            let at = asks.iter().position(|p| p == path)?;
            produced(run)?.answers.get(at).cloned()
        };
        if runs.own.map.is_none() {
            return of(&runs.own, path);
        }
        let len = runs.elements.len();
        match path.split_first() {
            None => Some(Answer { len: Some(len as u64), truth: Some(len > 0), ..Answer::default() }),
            Some((Segment::Index(index), rest)) => match position(*index, len) {
                Some(at) => of(&runs.elements[at], rest),
                None => {
                    Some(Answer { missing: Some("IndexError: list index out of range".into()), ..Answer::default() })
                }
            },
            Some(_) => None,
        }
    }

    /// How many elements a mapped argument has.
    pub(super) fn length(&self, expr: &Expr) -> Result<u32, Undecided> {
        let not_a_list = || Undecided {
            error_type: "TypeError".into(),
            message: "map takes a list; this value has no length".into(),
        };
        let answer = self.answer(expr)?;
        if let Some(text) = answer.missing {
            let (error_type, message) = text.split_once(": ").unwrap_or(("LookupError", &text));
            return Err(Undecided { error_type: error_type.into(), message: message.into() });
        }
        answer.len.and_then(|len| u32::try_from(len).ok()).ok_or_else(not_a_list)
    }

    /// Whether all guards hold; decides their branches on the way, outermost first.
    pub(super) fn guards_hold(&mut self, guards: &[Guard]) -> Result<(bool, Vec<BranchIx>), Undecided> {
        let mut decided = Vec::new();
        for guard in guards {
            if self.branch(guard.branch, &mut decided)? != guard.holds {
                return Ok((false, decided));
            }
        }
        Ok((true, decided))
    }

    /// Which way a branch goes; a branch inside a side that is not taken counts as not holding and stays undecided.
    pub(super) fn branch(&mut self, ix: BranchIx, decided: &mut Vec<BranchIx>) -> Result<bool, Undecided> {
        if let Some(holds) = self.head.branches[ix.0 as usize] {
            return Ok(holds);
        }
        let plan = self.plan.clone();
        let branch = &plan.branches[ix.0 as usize];
        for guard in &branch.guards {
            if self.branch(guard.branch, decided)? != guard.holds {
                return Ok(false);
            }
        }
        let mut selects = Vec::new();
        branch.condition.expressions(&mut |e| e.branches(&mut |b| selects.push(b)));
        for select in selects {
            self.branch(select, decided)?;
        }
        let holds = decide(&branch.condition, &|e| self.answer(e))?;
        self.head.branches[ix.0 as usize] = Some(holds);
        decided.push(ix);
        Ok(holds)
    }
}

fn produced(run: &NodeRun) -> Option<&Produced> {
    (run.status == NodeStatus::Completed).then_some(())?;
    run.detail.as_ref()?.produced.as_deref()
}

/// Python's index into a list of that length.
fn position(index: i64, len: usize) -> Option<usize> {
    let at = if index < 0 { index + len as i64 } else { index };
    usize::try_from(at).ok().filter(|at| *at < len)
}

fn literal_items(value: &serde_json::Value) -> &[serde_json::Value] {
    let items = value.get("v").unwrap_or(value);
    items.as_array().map_or(&[], Vec::as_slice)
}
