//! Waits that no runner holds: sleeps, which time ends, and approvals, which somebody answers.

use super::{Answered, Asked, Effect, Happening, Refused, RunState, answer::present, follow::user};
use crate::{
    condition::Undecided,
    definition::StepKind,
    duration,
    expression::{Answer, Scalar},
    ids::{Digest, NodeKey, Timestamp},
    instant,
    status::NodeStatus,
    value::{Produced, ValueRef},
};

impl RunState {
    /// Begins to sleep, or fails where what is given is no time.
    pub(super) fn sleep(&mut self, key: NodeKey, now: Timestamp, effects: &mut Vec<Effect>) {
        let plan = self.plan.clone();
        let planned = plan.step(self.workflow_of(key.frame), key.step);
        let until = match planned.arguments.first() {
            Some((_, expr)) => self.answer(key.frame, expr, &[]).and_then(present).and_then(|known| wakes(&known, now)),
            None => Err(unreadable("nothing")),
        };
        match until {
            Ok(until) => {
                self.wait(key, Some(until), now, effects);
                if until <= now {
                    self.give(key, &serde_json::Value::Null, now, effects);
                }
            }
            Err(Undecided { error_type, message }) => {
                self.end(key, NodeStatus::Failed, Some(user(&error_type, message)), now, effects);
            }
        }
    }

    /// Begins to wait for somebody's answer.
    pub(super) fn ask(&mut self, key: NodeKey, timeout_ms: Option<u64>, now: Timestamp, effects: &mut Vec<Effect>) {
        self.wait(key, timeout_ms.map(|timeout| now.plus_ms(timeout)), now, effects);
        self.asked.insert(key);
        self.tell_asked(effects);
    }

    fn wait(&mut self, key: NodeKey, until: Option<Timestamp>, now: Timestamp, effects: &mut Vec<Effect>) {
        let run = self.run_mut(key);
        run.status = NodeStatus::Running;
        run.attempt += 1;
        let detail = run.detail();
        (detail.leased_at, detail.started_at, detail.until, detail.answered) = (now, Some(now), until, None);
        self.timers.extend(until.map(|at| (at, key)));
        effects.extend([Effect::SaveNode(key), Effect::Record(Happening::Waits { node: key, until })]);
    }

    /// Keeps in the run's row what it waits for people to answer.
    pub(super) fn tell_asked(&mut self, effects: &mut Vec<Effect>) {
        let first = self.asked.first().copied();
        self.head.asked = first.map(|key| {
            let StepKind::Approval { name, .. } = &self.planned(key).kind else {
                unreachable!("only approvals are asked")
            };
            Asked { node_id: self.node_id(key), name: name.clone(), count: self.asked.len() as u32 }
        });
        effects.push(Effect::SaveRun);
    }

    /// An approval's answer; the same one may come again.
    pub(super) fn approve(
        &mut self,
        key: NodeKey,
        answered: Answered,
        now: Timestamp,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refused> {
        let run = self.node(key).ok_or(Refused::Unknown)?;
        if !matches!(self.planned(key).kind, StepKind::Approval { .. }) {
            return Err(Refused::Unknown);
        }
        if let Some(known) = run.detail.as_ref().and_then(|detail| detail.answered.as_deref()) {
            let same = known.approved == answered.approved && known.by.is_some();
            return if same { Ok(()) } else { Err(Refused::Answered { approved: known.approved }) };
        }
        if run.status != NodeStatus::Running {
            return Err(Refused::Node(run.status));
        }
        self.answered(key, answered, now, effects);
        self.finish(now, effects);
        self.wake(effects);
        Ok(())
    }

    fn answered(&mut self, key: NodeKey, answered: Answered, now: Timestamp, effects: &mut Vec<Effect>) {
        let approved = serde_json::Value::Bool(answered.approved);
        let detail = self.run_mut(key).detail();
        let answered = Box::new(answered);
        detail.answered = Some(answered.clone());
        effects.push(Effect::Record(Happening::Approved { node: key, answered }));
        self.give(key, &approved, now, effects);
    }

    /// A wait's time has come.
    pub(super) fn waited(&mut self, key: NodeKey, now: Timestamp, effects: &mut Vec<Effect>) {
        if let StepKind::Approval { name, .. } = &self.planned(key).kind {
            let warning = format!("nobody answered `{name}` in time: that counts as no");
            self.run_mut(key).detail().warnings.push(warning);
            let nobody = Answered { approved: false, by: None, comment: String::new(), at: now };
            return self.answered(key, nobody, now, effects);
        }
        self.give(key, &serde_json::Value::Null, now, effects);
    }

    /// Ends a wait with a value of our own.
    fn give(&mut self, key: NodeKey, value: &serde_json::Value, now: Timestamp, effects: &mut Vec<Effect>) {
        let bytes = value.to_string().into_bytes();
        let digest = Digest::of(&bytes);
        let size = bytes.len() as u64;
        let stored = ValueRef { digest, size, inline: Some(bytes), items: None, attachments: Vec::new() };
        let answers = self.planned(key).asks.iter().map(|path| crate::tagged::answer(value, path)).collect();
        let detail = self.run_mut(key).detail();
        detail.produced = Some(Box::new(Produced { value: stored, answers }));
        detail.failure = None;
        self.end(key, NodeStatus::Completed, None, now, effects);
    }
}

/// When a sleep ends: after a duration, or at a point of time; one in the past is now.
fn wakes(known: &Answer, now: Timestamp) -> Result<Timestamp, Undecided> {
    let after = |micros: i64| match micros {
        0.. => Ok(Timestamp(now.0.saturating_add(micros))),
        _ => Err(value_error("sleep length must be non-negative".to_owned())),
    };
    if let Some(at) = known.scalar.as_ref().and_then(Scalar::moment) {
        return Ok(at.max(now));
    }
    match &known.scalar {
        Some(Scalar::Int(seconds)) => after(seconds.saturating_mul(1_000_000)),
        Some(Scalar::Float(seconds)) if seconds.is_finite() => after((seconds * 1e6) as i64),
        Some(Scalar::Duration(micros)) => after(*micros),
        Some(Scalar::Text(text)) => match (duration::micros(text), instant::parse(text)) {
            (Some(micros), _) => after(i64::try_from(micros).unwrap_or(i64::MAX)),
            (None, Some(time)) if time.has_offset => Ok(time.at.max(now)),
            (None, Some(_)) => Err(unreadable(&format!("'{text}', which has no offset"))),
            (None, None) => Err(unreadable(&format!("'{text}'"))),
        },
        Some(Scalar::None) => Err(unreadable("None")),
        Some(Scalar::Bool(_)) => Err(unreadable("a bool")),
        Some(Scalar::Float(_)) => Err(unreadable("a number that is not finite")),
        Some(_) | None => Err(unreadable("this value")),
    }
}

fn value_error(message: String) -> Undecided {
    Undecided { error_type: "ValueError".to_owned(), message }
}

fn unreadable(what: &str) -> Undecided {
    value_error(format!(
        "cannot sleep for {what}: give seconds, a duration like '10m' or a timedelta, or a time with its offset like \
         '2026-11-24T09:00:00+01:00' or a datetime"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::condition::of_literal;
    use serde_json::json;

    #[test]
    fn a_sleep_reads_durations_and_times() {
        let now = Timestamp(1_000_000);
        for (value, until) in [
            (json!("10m"), 601_000_000),
            (json!(2), 3_000_000),
            (json!(0.5), 1_500_000),
            (json!(0), 1_000_000),
            (json!({"$": "timedelta", "v": [0, 3, 5]}), 4_000_005),
            (json!("1970-01-01T01:00:10+01:00"), 10_000_000),
            (json!({"$": "datetime", "v": "1970-01-01T00:00:10+00:00"}), 10_000_000),
            (json!({"$": "datetime", "v": "1969-01-01T00:00:10+00:00"}), 1_000_000),
        ] {
            assert_eq!(wakes(&of_literal(&value), now), Ok(Timestamp(until)), "{value}");
        }
    }

    #[test]
    fn what_is_no_time_says_what_reads() {
        let told = |value| wakes(&of_literal(&value), Timestamp(0)).unwrap_err().to_string();
        assert_eq!(told(json!(-1)), "ValueError: sleep length must be non-negative");
        assert_eq!(told(json!("-1m")), "ValueError: sleep length must be non-negative");
        for (value, named) in
            [(json!("soon"), "'soon'"), (json!("2026-11-24T09:00"), "no offset"), (json!([1]), "this value")]
        {
            let told = told(value);
            assert!(told.contains(named) && told.contains("'10m'"), "{told}");
        }
    }
}
