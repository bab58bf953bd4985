//! The goals of `6-performance.md` of the design, 1 to 12: each measures itself between two looks at its floors.

mod chain;
mod environment;
mod fanout;
mod first;
mod fresh;
mod memory;
mod scale;
mod scrape;
mod start;
mod telemetry;
mod transitions;
mod types;

use std::{collections::BTreeMap, path::PathBuf, time::Duration};

use serde::{Deserialize, Serialize};

use crate::{
    cluster::{Cluster, Shape, settle},
    floors::{Floor, Floors},
    programs::Postgres,
};

/// A goal, what its gate is in this minute, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Row {
    /// Its number in the design.
    pub(crate) goal: u8,
    /// What is measured.
    pub(crate) what: String,
    /// The gate's rule.
    pub(crate) rule: String,
    /// The unit of both.
    pub(crate) unit: String,
    /// The gate in this minute.
    pub(crate) gate: f64,
    /// What was measured.
    pub(crate) measured: f64,
    /// Whether more is better.
    pub(crate) more: bool,
    /// Figures beside it.
    pub(crate) beside: serde_json::Value,
}

impl Row {
    /// A row whose gate is a most.
    pub(crate) fn most(goal: u8, what: &str, rule: &str, unit: &str, gate: f64, measured: f64) -> Self {
        let (what, rule, unit) = (what.to_owned(), rule.to_owned(), unit.to_owned());
        Self { goal, what, rule, unit, gate, measured, more: false, beside: serde_json::Value::Null }
    }

    /// A row whose gate is a least.
    pub(crate) fn least(goal: u8, what: &str, rule: &str, unit: &str, gate: f64, measured: f64) -> Self {
        Self { more: true, ..Self::most(goal, what, rule, unit, gate, measured) }
    }

    /// The row with figures beside it.
    #[must_use]
    pub(crate) fn beside(self, beside: serde_json::Value) -> Self {
        Self { beside, ..self }
    }

    /// What was measured, by the gate: machines differ, ratios last. Above 1 is worse than the gate.
    pub(crate) fn ratio(&self) -> f64 {
        if self.more { self.gate / self.measured } else { self.measured / self.gate }
    }

    /// Whether it is within the gate.
    pub(crate) fn is_met(&self) -> bool {
        self.ratio() <= 1.0
    }
}

/// What a measurement stands on.
pub(crate) struct Lab {
    /// Where the programs are that are measured.
    pub(crate) bin: PathBuf,
    /// What runs nodes: `docker` or `process`.
    pub(crate) runtime: String,
    /// How often what is repeated is.
    pub(crate) rounds: u32,
    /// A database server for all.
    pub(crate) postgres: Postgres,
    /// What was measured of the machine itself.
    pub(crate) floors: Floors,
    /// Goals of which a part could not be measured, and why.
    pub(crate) failed: BTreeMap<u8, String>,
}

impl Lab {
    /// A cluster with these parts, come to rest.
    async fn cluster(&self, shape: &Shape) -> anyhow::Result<Cluster> {
        let cluster = Cluster::start(&self.bin, &self.postgres, shape).await?;
        settle().await;
        Ok(cluster)
    }

    /// A cluster that runs nodes.
    async fn running(&self) -> anyhow::Result<Cluster> {
        self.cluster(&Shape { runtime: Some(self.runtime.clone()), ..Shape::default() }).await
    }

    /// Measures floors once more.
    async fn floors(&mut self, floors: &[Floor]) {
        self.floors.measure(floors, &self.postgres).await;
    }
}

/// All numbers.
pub(crate) const ALL: [u8; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12];

/// How long a goal may take to be measured: past it something hangs.
pub(crate) const fn bound(goal: u8) -> Duration {
    match goal {
        7 | 9 => Duration::from_mins(4),
        8 => Duration::from_mins(6),
        10 => Duration::from_mins(8),
        _ => Duration::from_mins(2),
    }
}

/// Measures a goal.
pub(crate) async fn measure(goal: u8, lab: &mut Lab) -> anyhow::Result<Vec<Row>> {
    match goal {
        1 => chain::measure(lab).await,
        2 => fresh::measure(lab).await,
        3 => start::measure(lab).await,
        4 => transitions::measure(lab).await,
        5 => fanout::measure(lab).await,
        6 => first::measure(lab).await,
        7 => environment::measure(lab).await,
        8 => scale::measure(lab).await,
        9 => memory::measure(lab).await,
        10 => telemetry::measure(lab).await,
        11 => scrape::measure(lab).await,
        12 => types::measure(lab).await,
        _ => anyhow::bail!("there is no goal {goal}: 1 to 12 are measured here"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ratio_above_one_misses_the_gate_whichever_way_is_better() {
        let most = Row::most(1, "overhead", "2 K", "ms", 4.0, 5.0);
        let least = Row::least(4, "transitions", "1.5 C", "/s", 20_000.0, 25_000.0);
        assert_eq!((most.is_met(), least.is_met()), (false, true));
        assert!((least.ratio() - 0.8).abs() < 1e-9);
    }
}
