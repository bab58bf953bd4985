//! From which numbers on something counts as trouble.

use std::time::Duration;

use crate::{probe::Rounds, submit::Patience, verdict::Rules};

/// Settings of the probes and of what their numbers mean.
#[derive(Clone, Debug, clap::Args)]
pub struct Thresholds {
    /// Seconds between probes, of each that has none of its own.
    #[arg(long, env = "QFLOW_PROBE_SECONDS", default_value_t = 15, value_parser = seconds())]
    pub probe_seconds: u64,
    /// Seconds between probes of Postgres.
    #[arg(long, env = "QFLOW_PROBE_DATABASE_SECONDS", value_parser = seconds())]
    pub probe_database_seconds: Option<u64>,
    /// Seconds between probes of Redis.
    #[arg(long, env = "QFLOW_PROBE_REDIS_SECONDS", value_parser = seconds())]
    pub probe_redis_seconds: Option<u64>,
    /// Seconds between probes of the orchestrators.
    #[arg(long, env = "QFLOW_PROBE_ORCHESTRATOR_SECONDS", value_parser = seconds())]
    pub probe_orchestrator_seconds: Option<u64>,
    /// Seconds between probes of the type-validator.
    #[arg(long, env = "QFLOW_PROBE_TYPE_VALIDATOR_SECONDS", value_parser = seconds())]
    pub probe_type_validator_seconds: Option<u64>,
    /// Seconds between probes of the container-runners.
    #[arg(long, env = "QFLOW_PROBE_CONTAINER_RUNNER_SECONDS", value_parser = seconds())]
    pub probe_container_runner_seconds: Option<u64>,
    /// Seconds between questions to the orchestrators of what they know: of store, bus, blobs, runners, Pythons, runs and telemetry.
    #[arg(long, env = "QFLOW_PROBE_OVERVIEW_SECONDS", value_parser = seconds())]
    pub probe_overview_seconds: Option<u64>,
    /// Milliseconds that a probe may take: past it its part does not answer. Calls between services end after 30 s whatever this says.
    #[arg(long, env = "QFLOW_PROBE_TIMEOUT_MS", default_value_t = 5000, value_parser = clap::value_parser!(u64).range(100..=60_000))]
    pub probe_timeout_ms: u64,
    /// Probes in a row that must find a part down until it counts as down; between, it is degraded.
    #[arg(long, env = "QFLOW_PROBE_FALL", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub probe_fall: u32,
    /// Probes in a row that must find it up until it counts as up again.
    #[arg(long, env = "QFLOW_PROBE_RISE", default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    pub probe_rise: u32,
    /// Milliseconds from which on a connection or an answer of the database or of Redis is slow.
    #[arg(long, env = "QFLOW_HEALTH_SLOW_MS", value_parser = number, default_value_t = 500.0)]
    pub slow_ms: f64,
    /// Per cent of its connections that a database may have in use.
    #[arg(long, env = "QFLOW_HEALTH_CONNECTIONS_PERCENT", value_parser = percent, default_value_t = 90.0)]
    pub connections_percent: f64,
    /// Seconds that a database's replica may be behind.
    #[arg(long, env = "QFLOW_HEALTH_LAG_SECONDS", value_parser = number, default_value_t = 30.0)]
    pub lag_seconds: f64,
    /// Per cent of its bound on memory that Redis may use, where it has one.
    #[arg(long, env = "QFLOW_HEALTH_REDIS_MEMORY_PERCENT", value_parser = percent, default_value_t = 90.0)]
    pub redis_memory_percent: f64,
    /// Bytes that must be free where a runner's images and containers lie.
    #[arg(long, env = "QFLOW_HEALTH_DISK_FREE_BYTES", default_value_t = 2 << 30)]
    pub disk_free_bytes: u64,
    /// Seconds that the oldest run may have waited for a runner.
    #[arg(long, env = "QFLOW_HEALTH_QUEUED_SECONDS", value_parser = number, default_value_t = 300.0)]
    pub queued_seconds: f64,
    /// Per cent of the last hour's runs of which more must not have failed.
    #[arg(long, env = "QFLOW_HEALTH_SUCCESS_PERCENT", value_parser = percent, default_value_t = 95.0)]
    pub success_percent: f64,
    /// Runs that must have ended in that hour before their success is judged.
    #[arg(long, env = "QFLOW_HEALTH_MINIMUM_RUNS", default_value_t = 10)]
    pub minimum_runs: u64,
    /// Seconds for which an orchestrator that is reached may tell nothing new (of runners, of what waits, of what is under way), and a
    /// runner of its runtime. Both speak every five.
    #[arg(long, env = "QFLOW_HEALTH_SILENT_SECONDS", value_parser = number, default_value_t = 15.0)]
    pub silent_seconds: f64,
    /// Seconds for which a drop of spans or log lines is told.
    #[arg(long, env = "QFLOW_HEALTH_DROP_SECONDS", value_parser = number, default_value_t = 60.0)]
    pub drop_seconds: f64,
    /// Seconds since metrics were last asked for, of a process that was ever asked.
    #[arg(long, env = "QFLOW_HEALTH_SCRAPE_SECONDS", value_parser = number, default_value_t = 120.0)]
    pub scrape_seconds: f64,
}

/// What may stand between two probes: past a minute nothing is told in time.
fn seconds() -> clap::builder::RangedU64ValueParser {
    clap::value_parser!(u64).range(1..=60)
}

/// A number that something can reach.
fn number(text: &str) -> Result<f64, String> {
    let number: f64 = text.parse().map_err(|error: std::num::ParseFloatError| error.to_string())?;
    if number.is_finite() && number >= 0.0 { Ok(number) } else { Err("say a number of 0 or more".to_owned()) }
}

/// A part of a hundred.
fn percent(text: &str) -> Result<f64, String> {
    number(text).ok().filter(|number| *number <= 100.0).ok_or_else(|| "say a number from 0 to 100".to_owned())
}

impl Thresholds {
    /// How often is asked, by what is set for that probe alone, and how much is believed.
    pub fn rounds(&self, own: Option<u64>) -> Rounds {
        Rounds {
            every: Duration::from_secs(own.unwrap_or(self.probe_seconds)),
            patience: self.probe_timeout(),
            rules: Rules { fall: self.probe_fall, rise: self.probe_rise },
        }
    }

    /// How long a probe may take.
    pub fn probe_timeout(&self) -> Duration {
        Duration::from_millis(self.probe_timeout_ms)
    }

    /// How long a probe waits for replicas.
    pub fn patience(&self) -> Patience {
        Patience::of(self.probe_timeout())
    }

    /// How long an orchestrator may tell nothing on its stream.
    pub fn silence(&self) -> Duration {
        Duration::try_from_secs_f64(self.silent_seconds).unwrap_or(Duration::MAX)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        thresholds: Thresholds,
    }

    #[test]
    fn what_nothing_can_reach_is_no_threshold() {
        for wrong in ["NaN", "-1", "inf", "much"] {
            for setting in [
                "--success-percent",
                "--slow-ms",
                "--queued-seconds",
                "--scrape-seconds",
                "--lag-seconds",
                "--silent-seconds",
            ] {
                let error = Line::try_parse_from(["x", &format!("{setting}={wrong}")]).err().unwrap().to_string();
                assert!(error.contains("invalid value"), "{error}");
            }
        }
        for setting in ["--success-percent", "--connections-percent", "--redis-memory-percent"] {
            let error = Line::try_parse_from(["x", &format!("{setting}=150")]).err().unwrap().to_string();
            assert!(error.contains("from 0 to 100"), "{error}");
        }
        let line = Line::try_parse_from(["x", "--success-percent=0", "--slow-ms=0.5"]).ok().unwrap();
        assert_eq!((line.thresholds.success_percent, line.thresholds.slow_ms), (0.0, 0.5));
    }

    #[test]
    fn a_probe_has_the_interval_of_its_own_else_the_common_one() {
        let line = Line::try_parse_from(["x", "--probe-seconds=7", "--probe-database-seconds=2"]).ok().unwrap();
        let Thresholds { probe_database_seconds: database, probe_redis_seconds: redis, .. } = line.thresholds;
        let every = |own| line.thresholds.rounds(own).every.as_secs();
        assert_eq!((every(database), every(redis)), (2, 7));
        for probe in ["database", "redis", "orchestrator", "type-validator", "container-runner", "overview"] {
            for (seconds, reads) in [("1", true), ("60", true), ("0", false), ("61", false), ("1.5", false)] {
                let line = Line::try_parse_from(["x", &format!("--probe-{probe}-seconds={seconds}")]);
                assert_eq!(line.is_ok(), reads, "{probe}: {seconds}");
            }
        }
    }

    /// As they are where nothing is set.
    pub(crate) fn usual() -> Thresholds {
        Line::parse_from(["x"]).thresholds
    }
}
