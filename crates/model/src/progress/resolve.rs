//! Where an expression's value comes from, once what it reads has ended: arguments, lengths of maps, answers for conditions.

use super::{NodeRun, RunState};
use crate::{
    condition::{Undecided, decide, of_literal},
    definition::Guard,
    expression::{Answer, BranchIx, Condition, Expr, Path, Segment},
    ids::{NodeKey, StepIx},
    status::NodeStatus,
    value::{Argument, Produced},
};

impl RunState {
    /// The arguments of a node run, for its runner to resolve; parameters with a default of their own may lack.
    pub fn arguments(&self, key: NodeKey) -> Vec<(String, Argument)> {
        let step = self.plan.step(key.step);
        let argument = |name: &String, expr: &Expr| match key.index {
            Some(index) if step.over.contains(name) => self.element(expr, index),
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
        let at = index as usize;
        // What holds all elements is not copied for one of them: a map over a map would cost their square.
        match expr {
            Expr::List(parts) | Expr::Tuple(parts) => {
                return parts.get(at).map_or(Argument::Literal(serde_json::Value::Null), |part| self.argument(part));
            }
            Expr::Literal(value) => {
                return Argument::Literal(
                    literal_items(value).and_then(|items| items.get(at)).cloned().unwrap_or_default(),
                );
            }
            Expr::Result { step, path } if path.is_empty() && self.steps[step.0 as usize].own.map.is_some() => {
                return self.result(*step, &vec![Segment::Index(i64::from(index))]);
            }
            _ => {}
        }
        match self.argument(expr) {
            Argument::Value { value, path, .. } if path.is_empty() => {
                Argument::Value { value, element: Some(index), path }
            }
            Argument::Value { value, mut path, .. } => {
                path.push(Segment::Index(i64::from(index)));
                Argument::Value { value, element: None, path }
            }
            other => other,
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
        match self.selected(expr) {
            Expr::Literal(value) if literal_items(value).is_none() => return Err(not_a_list()),
            Expr::Dict(_) => return Err(not_a_list()),
            _ => {}
        }
        let answer = self.answer(expr)?;
        if let Some(text) = answer.missing {
            let (error_type, message) = text.split_once(": ").unwrap_or(("LookupError", &text));
            return Err(Undecided { error_type: error_type.into(), message: message.into() });
        }
        answer.len.and_then(|len| u32::try_from(len).ok()).ok_or_else(not_a_list)
    }

    /// Whether all guards hold; decides their branches on the way, outermost first.
    pub(super) fn guards_hold(&mut self, guards: &[Guard], decided: &mut Vec<BranchIx>) -> Result<bool, Undecided> {
        for guard in guards {
            if self.branch(guard.branch, decided)? != guard.holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Decides what an expression chooses by or compares, on the sides that are taken.
    pub(super) fn choose(&mut self, expr: &Expr, decided: &mut Vec<BranchIx>) -> Result<(), Undecided> {
        match expr {
            Expr::Literal(_) | Expr::Param { .. } | Expr::Result { .. } => Ok(()),
            Expr::List(parts) | Expr::Tuple(parts) | Expr::Format(parts) => {
                parts.iter().try_for_each(|part| self.choose(part, decided))
            }
            Expr::Dict(parts) => parts.iter().try_for_each(|(_, part)| self.choose(part, decided)),
            Expr::Select { branch, then, otherwise } => {
                let side = if self.branch(*branch, decided)? { then } else { otherwise };
                self.choose(side, decided)
            }
            Expr::Condition(condition) => {
                self.choose_in(condition, decided)?;
                decide(condition, &|e| self.answer(e)).map(drop)
            }
        }
    }

    fn choose_in(&mut self, condition: &Condition, decided: &mut Vec<BranchIx>) -> Result<(), Undecided> {
        let mut settled = Ok(());
        condition.expressions(&mut |e| {
            if settled.is_ok() {
                settled = self.choose(e, decided);
            }
        });
        settled
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
        self.choose_in(&branch.condition, decided)?;
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

/// The elements of a literal list, tuple or set in the tagged form.
fn literal_items(value: &serde_json::Value) -> Option<&[serde_json::Value]> {
    let tag = value.get("$").and_then(serde_json::Value::as_str);
    let items = if matches!(tag, Some("tuple" | "set" | "frozenset")) { value.get("v")? } else { value };
    items.as_array().map(Vec::as_slice)
}
