//! Whether a service serves, by the health protocol that every service speaks, and which version of it answers.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

use async_trait::async_trait;
use qflow_service::AuthedChannel;
use serde_json::{Map, Value, json};

use super::Probe;
use crate::{
    submit::{self, Patience, Pipeline, Serving},
    verdict::{Reading, Status, UNREACHABLE},
};

/// A service by its name.
#[derive(Clone, Debug)]
pub struct Service {
    /// The one name it is told under, and whether nothing works without it.
    pub name: &'static [(&'static str, bool)],
    /// How to reach each of its replicas.
    pub channels: Vec<AuthedChannel>,
    /// How long they are waited for.
    pub patience: Patience,
    /// Where it is kept how the telemetry of those that answer gets out.
    pub pipelines: Pipelines,
}

/// How the telemetry of each process gets out that answered last.
#[derive(Clone, Debug, Default)]
pub struct Pipelines(Arc<Mutex<BTreeMap<&'static str, Vec<Pipeline>>>>);

impl Pipelines {
    fn keep(&self, service: &'static str, answers: &[Result<Serving, &'static str>]) {
        let told = answers.iter().flatten().filter_map(|serving| serving.telemetry);
        let told = told.map(|pipeline| Pipeline { service, ..pipeline }).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(service, told);
    }

    /// All of them.
    pub fn all(&self) -> Vec<Pipeline> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).values().flatten().copied().collect()
    }
}

/// The orchestrator's name.
pub const ORCHESTRATOR: &[(&str, bool)] = &[("orchestrator", true)];
/// The type-validator's name: without it nothing is submitted.
pub const TYPE_VALIDATOR: &[(&str, bool)] = &[("type_validator", true)];
/// The container-runner's name: whether there are enough is told of containers.
pub const CONTAINER_RUNNER: &[(&str, bool)] = &[("container_runner", false)];

#[async_trait]
impl Probe for Service {
    fn names(&self) -> &'static [(&'static str, bool)] {
        self.name
    }

    async fn probe(&self) -> Vec<Reading> {
        let answers = submit::every(&self.channels, submit::serving, self.patience).await;
        self.name.iter().for_each(|(name, _)| self.pipelines.keep(name, &answers));
        self.name.iter().map(|(name, critical)| reading(name, *critical, &answers)).collect()
    }
}

/// Of several replicas one that serves is enough to work, and all are to serve.
fn reading(name: &'static str, critical: bool, answers: &[Result<Serving, &'static str>]) -> Reading {
    let serving: Vec<&String> = answers.iter().flatten().map(|serving| &serving.version).collect();
    let failed = answers.iter().find_map(|answer| answer.as_ref().err());
    let (status, error) = match (serving.is_empty(), failed) {
        (true, failed) => (Status::Unhealthy, Some(failed.copied().unwrap_or(UNREACHABLE))),
        (false, Some(_)) => (Status::Degraded, Some("replica_away")),
        (false, None) => (Status::Healthy, None),
    };
    let versions: BTreeSet<&String> = serving.iter().copied().filter(|version| !version.is_empty()).collect();
    let facts = json!({ "replicas": answers.len(), "serving": serving.len(), "versions": versions });
    let facts = if let Value::Object(facts) = facts { facts } else { Map::new() };
    Reading { status, error, facts, ..Reading::healthy(name, critical) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_replica_of_two_is_enough_to_work_and_no_health() {
        let of = |answers: &[_]| {
            let reading = reading("orchestrator", true, answers);
            (reading.status, reading.error, Value::Object(reading.facts))
        };
        let serves = |version: &str| Ok(Serving { version: version.to_owned(), telemetry: None });
        let (old, new, away) = (serves("0.1.0"), serves("0.2.0"), Err("timeout"));
        let told = |serving: usize, versions: &[&str]| json!({"replicas": 2, "serving": serving, "versions": versions});
        assert_eq!(of(&[old.clone(), new.clone()]), (Status::Healthy, None, told(2, &["0.1.0", "0.2.0"])));
        assert_eq!(of(&[away.clone(), new]), (Status::Degraded, Some("replica_away"), told(1, &["0.2.0"])));
        assert_eq!(of(&[away.clone(), away]), (Status::Unhealthy, Some("timeout"), told(0, &[])));
        assert_eq!(of(&[]).1, Some("unreachable"));
    }
}
