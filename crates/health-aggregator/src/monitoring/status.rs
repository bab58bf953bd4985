//! The status of the system, from what is known of runs and runners: pure.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use qflow_model::ids::Timestamp;
use serde_json::{Value, json};

use super::merge::Active;

/// Runs, and containers, that are listed: an answer must fit into a message. The counts are of all.
pub const LISTED: usize = 5_000;

/// What one orchestrator sees.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sighting {
    /// Where the orchestrators that live are reached.
    pub peers: Vec<String>,
    /// Runners with a stream to it.
    pub runners: Vec<Runner>,
}

/// A runner as an orchestrator sees it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Runner {
    /// Stable over restarts.
    pub id: String,
    /// Attempts that it can run at once.
    pub slots: u32,
    /// Attempts that it runs.
    pub running: u32,
    /// Seconds since that orchestrator heard it.
    pub age_seconds: f64,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container as its runner last looked at it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Container {
    /// The runtime's id; empty where it is only being started.
    pub id: String,
    /// `starting`, `idle`, `running`, `stopping`.
    pub status: String,
    /// Its Python.
    pub python: String,
    /// The run that it belongs to; empty where to none.
    pub run: String,
    /// The attempt in it; empty where there is none.
    pub attempt: String,
    /// Per cent of the processors that it may use; nothing where that was not measured yet.
    pub cpu_percent: Option<f64>,
    /// Bytes; the same.
    pub memory_bytes: Option<u64>,
    /// When it was started, where that is known.
    pub started_at: Option<Timestamp>,
}

/// The whole at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SystemStatus {
    /// When.
    pub at: Timestamp,
    /// Runs that have not ended, oldest first.
    pub workflows: Vec<Arc<Active>>,
    /// How many there are.
    pub active_workflows: usize,
    /// Containers, each with the id of its runner.
    pub containers: Vec<(String, Container)>,
    /// How many there are.
    pub active_containers: usize,
    /// Users whose runs these are.
    pub total_users: usize,
    /// Attempts that run, and that could run at once.
    pub slots: (u32, u32),
    /// Node runs that wait for a runner.
    pub queue_depth: u32,
    /// Seconds for which the longest-waiting run with such a node has not been served.
    pub oldest_queued_seconds: f64,
    /// Orchestrators that are heard, and that are known.
    pub orchestrators: (usize, usize),
}

/// How far a run is, 0 to 100; 0 where it has no nodes.
pub fn progress_percent((done, all): (u32, u32)) -> f64 {
    if all == 0 { 0.0 } else { f64::from(done.min(all)) / f64::from(all) * 100.0 }
}

impl SystemStatus {
    /// The whole, from all runs and from what each orchestrator sees of the runners: of each runner the newest counts.
    pub fn of<'a>(
        at: Timestamp,
        mut workflows: Vec<Arc<Active>>,
        sightings: impl Iterator<Item = &'a Sighting>,
        orchestrators: (usize, usize),
    ) -> Self {
        let mut runners: BTreeMap<&str, &Runner> = BTreeMap::new();
        for runner in sightings.flat_map(|sighting| &sighting.runners) {
            let known = runners.entry(&runner.id).or_insert(runner);
            if runner.age_seconds < known.age_seconds {
                *known = runner;
            }
        }
        let of_runner = |runner: &Runner| {
            let id = runner.id.clone();
            runner.containers.clone().into_iter().map(move |container| (id.clone(), container))
        };
        let mut containers: Vec<(String, Container)> = runners.values().flat_map(|runner| of_runner(runner)).collect();
        let users: BTreeSet<&str> = workflows.iter().map(|run| run.user.as_str()).collect();
        let oldest = workflows.iter().filter_map(|run| run.queued_since).min();
        let mut status = Self {
            at,
            active_workflows: workflows.len(),
            active_containers: containers.len(),
            total_users: users.len(),
            slots: runners.values().fold((0, 0), |(used, all), one| (used + one.running, all + one.slots)),
            queue_depth: workflows.iter().map(|run| run.queued).sum(),
            oldest_queued_seconds: oldest.map_or(0.0, |since| at.ms_since(since) as f64 / 1e3),
            orchestrators,
            ..Self::default()
        };
        workflows.truncate(LISTED);
        containers.truncate(LISTED);
        (status.workflows, status.containers) = (workflows, containers);
        status
    }

    /// The share of all slots that is in use; 0 where there are none.
    pub fn system_load(&self) -> f64 {
        let (used, all) = self.slots;
        if all == 0 { 0.0 } else { (f64::from(used) / f64::from(all)).min(1.0) }
    }

    /// In its published JSON form, with the seed's keys.
    pub fn json(&self) -> Value {
        let workflow = |run: &Arc<Active>| {
            json!({
                "run_id": run.run,
                "workflow_id": run.workflow,
                "user_id": run.user,
                "status": run.status,
                "trace_id": run.trace_id,
                "created_at": text(run.created_at),
                "started_at": run.started_at.map(text),
                "nodes_completed": run.counts.0,
                "total_nodes": run.counts.1,
                "progress_percent": hundredths(progress_percent(run.counts)),
                "queued": run.queued,
            })
        };
        let container = |(runner, one): &(String, Container)| {
            json!({
                "container_id": one.id,
                "runner_id": runner,
                "status": one.status,
                "python_version": one.python,
                "started_at": one.started_at.map(text),
                "run_id": filled(&one.run),
                "attempt": filled(&one.attempt),
                "cpu_usage": one.cpu_percent.map(hundredths),
                "memory_usage": one.memory_bytes,
            })
        };
        json!({
            "timestamp": text(self.at),
            "active_workflows": self.active_workflows,
            "active_containers": self.active_containers,
            "total_users": self.total_users,
            "system_load": hundredths(self.system_load()),
            "queue_depth": self.queue_depth,
            "oldest_queued_seconds": hundredths(self.oldest_queued_seconds),
            "slots_used": self.slots.0,
            "slots": self.slots.1,
            "orchestrators_heard": self.orchestrators.0,
            "orchestrators": self.orchestrators.1,
            "workflows": self.workflows.iter().map(workflow).collect::<Vec<_>>(),
            "containers": self.containers.iter().map(container).collect::<Vec<_>>(),
        })
    }
}

fn filled(text: &str) -> Option<&str> {
    Some(text).filter(|text| !text.is_empty())
}

fn text(at: Timestamp) -> String {
    qflow_model::instant::text(at)
}

fn hundredths(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::{super::merge::tests::active, *};

    fn runner(age_seconds: f64, running: u32, python: &str) -> Sighting {
        let container = Container {
            id: "c1".to_owned(),
            status: "running".to_owned(),
            python: python.to_owned(),
            cpu_percent: Some(37.456),
            memory_bytes: Some(1024),
            ..Container::default()
        };
        let runner = Runner { id: "r1".to_owned(), slots: 4, running, age_seconds, containers: vec![container] };
        Sighting { peers: vec![], runners: vec![runner] }
    }

    #[test]
    fn a_runner_that_two_orchestrators_see_is_counted_once_and_as_it_was_last_heard() {
        let seen = [runner(4.0, 1, "3.9"), runner(0.5, 3, "3.12")];
        let status = SystemStatus::of(Timestamp(0), vec![], seen.iter(), (2, 2));
        assert_eq!((status.active_containers, status.slots, status.system_load()), (1, (3, 4), 0.75));
        assert_eq!(status.containers[0].1.python, "3.12");
    }

    #[test]
    fn what_was_not_measured_yet_is_not_told_as_nothing() {
        let starting = Container { status: "starting".to_owned(), ..Container::default() };
        let status = SystemStatus { containers: vec![("r1".to_owned(), starting)], ..SystemStatus::default() };
        let told = &status.json()["containers"][0];
        assert_eq!((&told["cpu_usage"], &told["memory_usage"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn without_nodes_or_slots_nothing_is_divided_by_zero() {
        assert_eq!((progress_percent((0, 0)), progress_percent((1, 4)), progress_percent((9, 4))), (0.0, 25.0, 100.0));
        let status = SystemStatus::default();
        assert_eq!((status.system_load(), status.json()["system_load"].as_f64()), (0.0, Some(0.0)));
    }

    #[test]
    fn the_status_has_the_seeds_keys() {
        let waits = Active { queued: 2, queued_since: Some(Timestamp(1_000_000)), ..(*active(7, 5)).clone() };
        let status =
            SystemStatus::of(Timestamp(3_500_000), vec![Arc::new(waits)], [runner(0.0, 2, "3.12")].iter(), (1, 1));
        insta::assert_json_snapshot!(status.json());
    }
}
