//! Rates over the last quarter of an hour: a window of minutes for each name, and no series without anything in it.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use crate::{
    catalogue::Metrics,
    events::Event,
    labels::{NodeType, Open},
};
use qflow_model::status::{NodeStatus, RunStatus};

/// Minutes that are looked back.
const MINUTES: usize = 15;
/// Names that are told apart; more are taken together.
const NAMES: usize = 199;
const OTHER: &str = "_other";

/// How many of how many, minute by minute.
#[derive(Clone, Copy, Debug, Default)]
struct Minute {
    number: u64,
    hits: u32,
    all: u32,
}

/// The window of every name.
#[derive(Debug, Default)]
struct Windows(BTreeMap<String, [Minute; MINUTES]>);

impl Windows {
    fn note(&mut self, name: &str, hit: bool, number: u64) {
        let known = self.0.contains_key(name) || self.0.len() < NAMES;
        let window = self.0.entry(if known { name } else { OTHER }.to_owned()).or_default();
        let minute = &mut window[number as usize % MINUTES];
        if minute.number != number {
            *minute = Minute { number, ..Minute::default() };
        }
        minute.hits += u32::from(hit);
        minute.all += 1;
    }

    /// The share of hits of each name; names without anything are told as such once, and forgotten.
    fn shares(&mut self, number: u64) -> Vec<(String, Option<f64>)> {
        let share = |window: &[Minute; MINUTES]| {
            let recent = window.iter().filter(|minute| number.saturating_sub(minute.number) < MINUTES as u64);
            let (hits, all) = recent.fold((0, 0), |(hits, all), minute| (hits + minute.hits, all + minute.all));
            (all > 0).then(|| f64::from(hits) / f64::from(all))
        };
        let shares: Vec<_> = self.0.iter().map(|(name, window)| (name.clone(), share(window))).collect();
        self.0.retain(|_, window| share(window).is_some());
        shares
    }
}

/// What ended lately.
#[derive(Debug)]
pub(crate) struct Rates {
    since: Instant,
    runs: Mutex<Windows>,
    nodes: Mutex<Windows>,
}

impl Rates {
    #[expect(clippy::disallowed_methods, reason = "a window of real minutes")]
    pub(crate) fn new() -> Self {
        Self { since: Instant::now(), runs: Mutex::default(), nodes: Mutex::default() }
    }

    /// Notes what an event says of an end. What was cancelled or never ran is neither good nor bad.
    pub(crate) fn note(&self, event: &Event) {
        self.note_at(event, self.since.elapsed());
    }

    fn note_at(&self, event: &Event, at: Duration) {
        let (windows, name, hit) = match event {
            Event::RunEnded { run, status, .. } => match status {
                RunStatus::Completed => (&self.runs, run.workflow.as_str(), true),
                RunStatus::Failed | RunStatus::TimedOut => (&self.runs, run.workflow.as_str(), false),
                _ => return,
            },
            Event::NodeEnded { node, status, .. } => match status {
                NodeStatus::Completed => (&self.nodes, node.node_type.as_str(), false),
                NodeStatus::Failed | NodeStatus::TimedOut => (&self.nodes, node.node_type.as_str(), true),
                _ => return,
            },
            _ => return,
        };
        windows.lock().unwrap_or_else(PoisonError::into_inner).note(name, hit, at.as_secs() / 60);
    }

    /// Sets the gauges.
    pub(crate) fn tell(&self, metrics: &Metrics) {
        self.tell_at(metrics, self.since.elapsed());
    }

    fn tell_at(&self, metrics: &Metrics, at: Duration) {
        let shares =
            |windows: &Mutex<Windows>| windows.lock().unwrap_or_else(PoisonError::into_inner).shares(at.as_secs() / 60);
        for (workflow, share) in shares(&self.runs) {
            metrics.workflow_success_rate(Open::of(&workflow)).set_or_clear(share);
        }
        for (kind, share) in shares(&self.nodes) {
            metrics.node_error_rate(NodeType::of(&kind)).set_or_clear(share);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{NodeRef, RunRef, Telemetry};

    fn minutes(minutes: u64) -> Duration {
        Duration::from_secs(60 * minutes)
    }

    fn run(workflow: &str, status: RunStatus) -> Event {
        Event::RunEnded {
            run: RunRef { workflow: workflow.into(), ..RunRef::default() },
            status,
            took_ms: 1,
            error: None,
        }
    }

    fn node(kind: &str, status: NodeStatus) -> Event {
        let node = NodeRef { node_type: kind.into(), ..NodeRef::default() };
        Event::NodeEnded { node, status, took_ms: 1, phases: None, warm: false, error: None }
    }

    fn told(rates: &Rates, at: Duration) -> String {
        let telemetry = Telemetry::silent();
        rates.tell_at(telemetry.metrics(), at);
        telemetry.render(None).1
    }

    #[test]
    fn a_rate_is_of_what_ended_in_a_quarter_of_an_hour_and_goes_with_it() {
        let rates = Rates::new();
        for (status, at) in [
            (RunStatus::Failed, 0),
            (RunStatus::Completed, 5),
            (RunStatus::Completed, 5),
            (RunStatus::TimedOut, 10),
            (RunStatus::Cancelled, 10),
        ] {
            rates.note_at(&run("etl", status), minutes(at));
        }
        let line = |at| {
            let text = told(&rates, minutes(at));
            text.lines()
                .find_map(|l| l.strip_prefix("qflow_workflow_success_rate{workflow_id=\"etl\"} ").map(str::to_owned))
        };
        assert_eq!(line(10).as_deref(), Some("0.5"));
        assert_eq!(line(15).as_deref(), Some("0.6666666666666666"));
        assert_eq!(line(20).as_deref(), Some("0"));
        assert_eq!(line(25), None);
        assert!(rates.runs.lock().unwrap().0.is_empty());
    }

    #[test]
    fn nodes_are_told_by_kind_and_what_never_ran_is_no_error() {
        let rates = Rates::new();
        for status in [NodeStatus::Completed, NodeStatus::Failed, NodeStatus::UpstreamFailed, NodeStatus::Skipped] {
            rates.note_at(&node("python", status), minutes(1));
        }
        assert!(told(&rates, minutes(1)).contains("qflow_node_error_rate{node_type=\"python\"} 0.5\n"));
    }

    #[test]
    fn a_thousand_names_stay_within_the_bound() {
        let rates = Rates::new();
        for n in 0..1000 {
            rates.note_at(&run(&format!("w{n}"), RunStatus::Completed), minutes(0));
        }
        let text = told(&rates, minutes(0));
        let series = text.lines().filter(|line| line.starts_with("qflow_workflow_success_rate{")).count();
        assert_eq!(series, 200);
        assert!(text.contains("qflow_workflow_success_rate{workflow_id=\"_other\"} 1\n"));
        let overflow = "qflow_telemetry_label_overflow_total{metric=\"qflow_workflow_success_rate\"} 0\n";
        assert!(text.contains(overflow), "they were taken together before");
    }
}
