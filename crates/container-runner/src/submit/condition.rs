//! How the runtime is, as orchestrators are told it.

use qflow_model::definition::PythonVersion;
use qflow_proto::v1;

use super::Edge;
use crate::{look::Standing, runtime::Look};

/// What stands for an age where nothing has happened yet.
const NEVER: f64 = -1.0;

impl Edge {
    /// What it says of itself every few seconds.
    pub(super) fn heartbeat(&self) -> v1::RunnerHeartbeat {
        let shown = self.containers();
        v1::RunnerHeartbeat {
            attempts: self.attempts(),
            containers: shown.len() as u32,
            warm_environments: self.runner.environments.warm(),
            secrets: None,
            sequence: 0,
            blobs_away: self.runner.answers.is_away(),
            condition: Some(self.condition()),
            shown,
        }
    }

    /// How the runtime was at the last look.
    fn condition(&self) -> v1::RunnerCondition {
        let Some((condition, age)) = self.looks.last() else {
            return v1::RunnerCondition { age_seconds: NEVER, ..v1::RunnerCondition::default() };
        };
        let runtime_away = condition.look.is_none();
        let Look { version, ping, total, running, disk } = condition.look.unwrap_or_default();
        let disk = disk.unwrap_or_default();
        v1::RunnerCondition {
            age_seconds: age.as_secs_f64(),
            runtime_away,
            ping_ms: ping.as_secs_f64() * 1e3,
            total_containers: total,
            running_containers: running,
            disk_bytes: disk.bytes,
            disk_free_bytes: disk.free,
            pythons: condition.pythons.iter().map(|(python, standing)| self.python(*python, *standing)).collect(),
            runtime_version: version,
        }
    }

    fn python(&self, python: PythonVersion, standing: Standing) -> v1::PythonCondition {
        let version = python.to_string();
        let tried = self.runner.pool.tried().get(&python).copied();
        let is_warm =
            |brief: &&crate::pool::Brief| brief.python == version && brief.status == "idle" && brief.run.is_none();
        v1::PythonCondition {
            is_there: standing.is_there,
            is_wanted: standing.is_wanted,
            warm: self.runner.pool.list().iter().filter(is_warm).count() as u32,
            smoke_age_seconds: tried.map_or(NEVER, |tried| tried.at.elapsed().as_secs_f64()),
            smoke_error: tried.and_then(|tried| tried.error).unwrap_or_default().to_owned(),
            version,
        }
    }
}
