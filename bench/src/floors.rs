//! What is possible on this machine in this minute: bare fork, bare commit, bare call.

use std::time::{Duration, Instant};

use anyhow::Context;
use qflow_service::{ServeOptions, Shutdown};
use qflow_telemetry::Telemetry;
use serde::{Deserialize, Serialize};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

/// Calls of the unary floor.
const CALLS: usize = 2_000;
/// The script of the floors that are Python's and `SQLite`'s.
const SCRIPT: &str = include_str!("../floors.py");

/// Medians, in milliseconds.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Floors {
    /// F: a request over a socket to a warm Python that forks for it.
    pub(crate) fork_ms: f64,
    /// K: a row committed to `SQLite`.
    pub(crate) commit_ms: f64,
    /// C: such commits a second.
    pub(crate) commits_s: f64,
    /// R: a unary call of tonic on loopback.
    #[serde(default)]
    pub(crate) unary_ms: f64,
}

impl Floors {
    /// Measures all, one after the other.
    pub(crate) async fn measure() -> anyhow::Result<Self> {
        let output = tokio::process::Command::new("python3").args(["-c", SCRIPT]).output().await;
        let output = output.context("start python3")?;
        anyhow::ensure!(output.status.success(), "floors.py: {}", String::from_utf8_lossy(&output.stderr));
        let floors: Self = serde_json::from_slice(&output.stdout).context("read what floors.py prints")?;
        Ok(Self { unary_ms: unary_ms().await?, ..floors })
    }

    /// The mean of two measurements of each.
    #[must_use]
    pub(crate) fn mean(&self, other: &Self) -> Self {
        Self {
            fork_ms: f64::midpoint(self.fork_ms, other.fork_ms),
            commit_ms: f64::midpoint(self.commit_ms, other.commit_ms),
            commits_s: f64::midpoint(self.commits_s, other.commits_s),
            unary_ms: f64::midpoint(self.unary_ms, other.unary_ms),
        }
    }
}

/// The median of health checks over loopback, as our own services serve and call them.
async fn unary_ms() -> anyhow::Result<f64> {
    let listener = qflow_service::bind(([127, 0, 0, 1], 0).into()).await?;
    let (address, shutdown) = (listener.local_addr()?, Shutdown::new());
    let routes = tonic::service::Routes::default();
    let served =
        qflow_service::serve_grpc(listener, routes, ServeOptions::default(), Telemetry::silent(), shutdown.clone());
    let served = tokio::spawn(served);
    let mut client = HealthClient::new(qflow_service::channel(&format!("http://{address}"))?);
    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = now();
        client.check(HealthCheckRequest::default()).await?;
        took.push(begun.elapsed());
    }
    drop(client);
    shutdown.trigger();
    served.await??;
    Ok(ms(quantile(&mut took, 0.5)))
}

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "to measure is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A quantile by rank; zero of nothing.
pub(crate) fn quantile(sample: &mut [Duration], at: f64) -> Duration {
    sample.sort_unstable();
    let rank = (sample.len() as f64 * at) as usize;
    sample.get(rank.min(sample.len().saturating_sub(1))).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_by_rank() {
        let mut sample: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert_eq!(quantile(&mut sample, 0.5), Duration::from_millis(51));
        assert_eq!(quantile(&mut sample, 0.99), Duration::from_millis(100));
        assert_eq!(quantile(&mut [], 0.5), Duration::ZERO);
    }
}
