//! Redis, asked directly: whether it answers, how soon, and how much memory it holds.

use std::time::Duration;

use async_trait::async_trait;
use fred::{
    error::{Error, ErrorKind},
    interfaces::ClientLike,
    prelude::Config,
    types::{Builder, InfoKind},
};
use qflow_service::{NotRedis, RedisSettings};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::Probe;
use crate::{
    settings::Thresholds,
    verdict::{Reading, Status, UNREACHABLE},
};

const NAMES: &[(&str, bool)] = &[("redis", false)];

/// Asks a Redis.
pub struct RedisProbe {
    config: Config,
    patience: Duration,
    slow_ms: f64,
    memory_percent: f64,
}

/// What it told.
#[derive(Debug)]
struct Found {
    ping_ms: f64,
    info: String,
}

impl RedisProbe {
    /// One that asks where the settings lead.
    pub fn new(settings: RedisSettings, thresholds: &Thresholds) -> Result<Self, NotRedis> {
        Ok(Self {
            config: settings.config()?,
            patience: thresholds.probe_timeout(),
            slow_ms: thresholds.slow_ms,
            memory_percent: thresholds.redis_memory_percent,
        })
    }

    /// Connects anew: that it still takes connections is a part of the answer.
    async fn ask(&self) -> Result<Found, Error> {
        let mut builder = Builder::from_config(self.config.clone());
        builder
            .with_connection_config(|connection| {
                connection.connection_timeout = self.patience;
                connection.internal_command_timeout = self.patience;
                connection.max_command_attempts = 1;
            })
            .with_performance_config(|performance| performance.default_command_timeout = self.patience);
        let client = builder.build()?;
        let connection = client.init().await?;
        let begun = Instant::now();
        let pinged: Result<(), Error> = client.ping(None).await;
        let ping_ms = begun.elapsed().as_secs_f64() * 1e3;
        let info = match pinged {
            Ok(()) => client.info(Some(InfoKind::Memory)).await,
            Err(error) => Err(error),
        };
        connection.abort();
        Ok(Found { ping_ms, info: info? })
    }
}

#[async_trait]
impl Probe for RedisProbe {
    fn names(&self) -> &'static [(&'static str, bool)] {
        NAMES
    }

    async fn probe(&self) -> Vec<Reading> {
        vec![match self.ask().await {
            Ok(found) => reading(&found, self.slow_ms, self.memory_percent),
            Err(error) => Reading::unhealthy("redis", false, code(error.kind())),
        }]
    }
}

fn code(kind: &ErrorKind) -> &'static str {
    match kind {
        ErrorKind::IO | ErrorKind::Canceled => UNREACHABLE,
        ErrorKind::Timeout => "timeout",
        ErrorKind::Auth => "unauthorized",
        ErrorKind::Tls => "not_trusted",
        _ => "failed",
    }
}

fn reading(found: &Found, slow_ms: f64, memory_percent: f64) -> Reading {
    let fact = |name: &str| found.info.lines().find_map(|line| line.trim().strip_prefix(name)?.strip_prefix(':'));
    let bytes = |name: &str| fact(name).and_then(|text| text.parse::<u64>().ok());
    let (used, most) = (bytes("used_memory"), bytes("maxmemory").filter(|most| *most > 0));
    let is_full = used.zip(most).is_some_and(|(used, most)| used as f64 >= most as f64 * memory_percent / 100.0);
    let (status, error) = match (found.ping_ms >= slow_ms, is_full) {
        (true, _) => (Status::Degraded, Some("slow")),
        (false, true) => (Status::Degraded, Some("memory_nearly_used")),
        (false, false) => (Status::Healthy, None),
    };
    let facts = json!({
        "memory_usage": fact("used_memory_human"),
        "memory_bytes": used,
        "max_memory_bytes": most,
    });
    let facts = if let Value::Object(facts) = facts { facts } else { Map::new() };
    Reading { status, error, facts, response_time_ms: found.ping_ms, ..Reading::healthy("redis", false) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_told_as_redis_tells_it_and_too_much_of_it_is_no_health() {
        let of = |ping_ms, most| {
            let info = format!("# Memory\r\nused_memory:1048576\r\nused_memory_human:1.00M\r\nmaxmemory:{most}\r\n");
            reading(&Found { ping_ms, info }, 500.0, 90.0)
        };
        let well = of(0.2, 0);
        assert_eq!((well.status, well.response_time_ms), (Status::Healthy, 0.2));
        let told = json!({"memory_usage": "1.00M", "memory_bytes": 1_048_576, "max_memory_bytes": null});
        assert_eq!(Value::Object(well.facts), told);
        assert_eq!(of(0.2, 2_000_000).error, None);
        assert_eq!(of(0.2, 1_100_000).error, Some("memory_nearly_used"));
        assert_eq!((of(500.0, 0).status, of(500.0, 0).error), (Status::Degraded, Some("slow")));
    }
}
