//! What is known of an expression without opening a value: from outcomes' headers, for branches, maps and waits.

use super::{RunState, resolve::produced};
use crate::{
    condition::{Undecided, decide, of_literal},
    definition::Guard,
    expression::{Answer, BranchIx, Condition, Expr, Path, Segment},
    ids::{FrameIx, NodeKey, StepIx},
    plan::{PlannedStep, joined, position},
    status::NodeStatus,
    tagged,
    value::{Produced, outcome_error},
};

impl RunState {
    /// What is known of an expression of a frame, or of a part of it.
    pub(super) fn answer(&self, frame: FrameIx, expr: &Expr, path: &[Segment]) -> Result<Answer, Undecided> {
        match self.selected(frame, expr) {
            Expr::Literal(value) => of_part(value, path),
            Expr::Param { name, path: own } => self.answer_param(frame, name, &joined(own, path)),
            Expr::Result { step, path: own } => self.answer_result(frame, *step, &joined(own, path)),
            Expr::List(parts) | Expr::Tuple(parts) => match path.split_first() {
                None => Ok(sized(parts.len())),
                Some((Segment::Index(index), rest)) => match position(*index, parts.len()) {
                    Some(at) => self.answer(frame, &parts[at], rest),
                    None => Ok(out_of_range()),
                },
                Some(_) => Err(unknown()),
            },
            Expr::Dict(parts) => match path.split_first() {
                None => Ok(sized(parts.len())),
                Some((Segment::Key(key), rest)) => match parts.iter().rev().find(|(name, _)| name == key) {
                    Some((_, part)) => self.answer(frame, part, rest),
                    None => Ok(missing(format!("KeyError: '{key}'"))),
                },
                Some(_) => Err(unknown()),
            },
            Expr::Condition(condition) if path.is_empty() => {
                Ok(of_literal(&serde_json::Value::Bool(decide(condition, &|e| self.answer(frame, e, &[]))?)))
            }
            Expr::Condition(_) | Expr::Format(_) | Expr::Select { .. } => Err(unknown()),
        }
    }

    fn answer_param(&self, frame: FrameIx, name: &str, path: &[Segment]) -> Result<Answer, Undecided> {
        let Some(caller) = self.frames[frame.0 as usize].caller else {
            let asks = self.plan.root().asks.get(name).map(Vec::as_slice).unwrap_or_default();
            return self.spec.params.get(name).and_then(|produced| asked(asks, produced, path)).ok_or_else(unknown);
        };
        match self.given(caller, name) {
            Some((given, true)) => {
                let mut full = vec![Segment::Index(i64::from(caller.index.unwrap_or_default()))];
                full.extend(path.iter().cloned());
                self.answer(caller.frame, given, &full)
            }
            Some((given, false)) => self.answer(caller.frame, given, path),
            None => self.default(frame, name).map_or_else(|| Err(unknown()), |value| of_part(value, path)),
        }
    }

    fn answer_result(&self, frame: FrameIx, step: StepIx, path: &[Segment]) -> Result<Answer, Undecided> {
        let own = NodeKey { frame, step, index: None };
        let planned = self.planned(own);
        if !planned.is_mapped() {
            return self.answer_call(own, planned, path);
        }
        let len = self.frames[frame.0 as usize].steps.elements(step).len();
        match path.split_first() {
            None => Ok(sized(len)),
            Some((Segment::Index(index), rest)) => match position(*index, len) {
                Some(at) => self.answer_call(own.element(at as u32), planned, rest),
                None => Ok(out_of_range()),
            },
            Some(_) => Err(unknown()),
        }
    }

    fn answer_call(&self, key: NodeKey, planned: &PlannedStep, path: &[Segment]) -> Result<Answer, Undecided> {
        if !planned.settled {
            return self.answer_value(key, planned, path);
        }
        let error = self.outcome_error(key);
        match path.split_first() {
            None => Ok(Answer { truth: Some(true), ..Answer::default() }),
            Some((Segment::Field(name), rest)) => match (name.as_str(), error) {
                ("ok", error) => of_part(&serde_json::Value::Bool(error.is_none()), rest),
                ("value", None) => self.answer_value(key, planned, rest),
                ("value", Some(_)) => of_part(&serde_json::Value::Null, rest),
                // An OutcomeError is true, as any object of a class without a word on it.
                ("error", Some(_)) if rest.is_empty() => Ok(Answer { truth: Some(true), ..Answer::default() }),
                ("error", error) => of_part(&outcome_error(error.as_ref()), rest),
                (name, _) => Ok(missing(format!("AttributeError: 'Outcome' object has no attribute '{name}'"))),
            },
            Some(_) => Ok(missing("TypeError: 'Outcome' object is not subscriptable".to_owned())),
        }
    }

    fn answer_value(&self, key: NodeKey, planned: &PlannedStep, path: &[Segment]) -> Result<Answer, Undecided> {
        let run = self.run(key);
        match (planned.calls, &run.call) {
            (Some(_), Some(call)) if run.status == NodeStatus::Completed => {
                self.answer(call.frame, &self.laid_out(call.frame).result, path)
            }
            (Some(_), _) => Err(unknown()),
            (None, _) => produced(run).and_then(|p| asked(&planned.asks, p, path)).ok_or_else(unknown),
        }
    }

    /// How many elements a mapped argument has.
    pub(super) fn length(&self, frame: FrameIx, expr: &Expr) -> Result<u32, Undecided> {
        let not_a_list = || Undecided {
            error_type: "TypeError".into(),
            message: "map takes a list; this value has no length".into(),
        };
        match self.selected(frame, expr) {
            Expr::Literal(value) if tagged::items(value).is_none() => return Err(not_a_list()),
            Expr::Dict(_) => return Err(not_a_list()),
            _ => {}
        }
        let answer = present(self.answer(frame, expr, &[])?)?;
        answer.len.and_then(|len| u32::try_from(len).ok()).ok_or_else(not_a_list)
    }

    /// Whether all guards hold; decides their branches on the way, outermost first.
    pub(super) fn guards_hold(
        &mut self,
        frame: FrameIx,
        guards: &[Guard],
        decided: &mut Vec<BranchIx>,
    ) -> Result<bool, Undecided> {
        for guard in guards {
            if self.branch(frame, guard.branch, decided)? != guard.holds {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Decides what an expression chooses by or compares, on the sides that are taken.
    pub(super) fn choose(&mut self, frame: FrameIx, expr: &Expr, decided: &mut Vec<BranchIx>) -> Result<(), Undecided> {
        match expr {
            Expr::Literal(_) | Expr::Param { .. } | Expr::Result { .. } => Ok(()),
            Expr::List(parts) | Expr::Tuple(parts) | Expr::Format(parts) => {
                parts.iter().try_for_each(|part| self.choose(frame, part, decided))
            }
            Expr::Dict(parts) => parts.iter().try_for_each(|(_, part)| self.choose(frame, part, decided)),
            Expr::Select { branch, then, otherwise } => {
                let side = if self.branch(frame, *branch, decided)? { then } else { otherwise };
                self.choose(frame, side, decided)
            }
            Expr::Condition(condition) => {
                self.choose_in(frame, condition, decided)?;
                decide(condition, &|e| self.answer(frame, e, &[])).map(drop)
            }
        }
    }

    fn choose_in(
        &mut self,
        frame: FrameIx,
        condition: &Condition,
        decided: &mut Vec<BranchIx>,
    ) -> Result<(), Undecided> {
        let mut settled = Ok(());
        condition.expressions(&mut |e| {
            if settled.is_ok() {
                settled = self.choose(frame, e, decided);
            }
        });
        settled
    }

    /// Which way a branch goes; a branch inside a side that is not taken counts as not holding and stays undecided.
    fn branch(&mut self, frame: FrameIx, ix: BranchIx, decided: &mut Vec<BranchIx>) -> Result<bool, Undecided> {
        if let Some(holds) = self.branches(frame)[ix.0 as usize] {
            return Ok(holds);
        }
        let plan = self.plan.clone();
        let branch = &plan.workflow(self.frames[frame.0 as usize].workflow).branches[ix.0 as usize];
        for guard in &branch.guards {
            if self.branch(frame, guard.branch, decided)? != guard.holds {
                return Ok(false);
            }
        }
        self.choose_in(frame, &branch.condition, decided)?;
        let holds = decide(&branch.condition, &|e| self.answer(frame, e, &[]))?;
        self.branches_mut(frame)[ix.0 as usize] = Some(holds);
        decided.push(ix);
        Ok(holds)
    }
}

/// What a value's header says of a path: an answer for every element has the one of an element.
fn asked(asks: &[Path], produced: &Produced, path: &[Segment]) -> Option<Answer> {
    if let Some(at) = asks.iter().position(|ask| ask == path) {
        return produced.answers.get(at).cloned();
    }
    let fits = |ask: &&Path| {
        let same = |(asked, at): (&Segment, &Segment)| {
            asked == at || (*asked == Segment::Each && matches!(at, Segment::Index(_)))
        };
        ask.len() == path.len() && ask.iter().zip(path).all(same)
    };
    let at = asks.iter().position(|ask| fits(&ask))?;
    let mut answer = produced.answers.get(at)?;
    let through = asks[at].iter().zip(path).filter(|(asked, _)| **asked == Segment::Each);
    for (_, segment) in through {
        let Segment::Index(index) = segment else { return None };
        if answer.missing.is_some() {
            return Some(answer.clone());
        }
        let each = answer.each.as_ref()?;
        match position(*index, each.len()) {
            Some(at) => answer = &each[at],
            None => return Some(out_of_range()),
        }
    }
    Some(answer.clone())
}

/// What is known of a part of a literal; of a mapped set's element too.
fn of_part(value: &serde_json::Value, path: &[Segment]) -> Result<Answer, Undecided> {
    match path.split_first() {
        None => Ok(of_literal(value)),
        Some((Segment::Index(index), rest)) if tagged::items(value).is_some() => {
            let items = tagged::items(value).unwrap_or_default();
            position(*index, items.len()).map_or_else(|| Ok(out_of_range()), |at| of_part(&items[at], rest))
        }
        Some(_) => match tagged::at(value, path) {
            Ok(part) => Ok(of_literal(part)),
            Err(text) => Ok(missing(text)),
        },
    }
}

/// An answer, or the error that its path ends with.
pub(super) fn present(answer: Answer) -> Result<Answer, Undecided> {
    match answer.missing {
        None => Ok(answer),
        Some(text) => {
            let (error_type, message) = text.split_once(": ").unwrap_or(("LookupError", &text));
            Err(Undecided { error_type: error_type.into(), message: message.into() })
        }
    }
}

fn unknown() -> Undecided {
    Undecided {
        error_type: "TypeError".into(),
        message: "this value cannot be asked about here; put the test in a node".into(),
    }
}

fn sized(len: usize) -> Answer {
    Answer { len: Some(len as u64), truth: Some(len > 0), ..Answer::default() }
}

fn missing(text: String) -> Answer {
    Answer { missing: Some(text), ..Answer::default() }
}

fn out_of_range() -> Answer {
    missing("IndexError: list index out of range".to_owned())
}
