//! What is possible on this machine in this minute: bare fork, bare commit, bare call, bare container.

mod calls;
mod container;
mod packages;
mod rows;

pub(crate) use container::Docker;
pub(crate) use packages::cold_s;

use std::collections::BTreeMap;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::programs::Postgres;

/// The script of the floors that are Python's.
const SCRIPT: &str = include_str!("../floors.py");

/// A floor by the letter that the design gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(crate) enum Floor {
    /// Milliseconds: a request over a socket to a warm Python that forks for it.
    F,
    /// Milliseconds: the same into fresh namespaces, an overlay root and a cgroup, until they are gone.
    Z,
    /// Forks a second, four clients at once.
    T,
    /// Milliseconds: a row committed to Postgres.
    K,
    /// Such commits a second, 64 clients at once.
    C,
    /// Rows a second, a thousand in one insert.
    B,
    /// Milliseconds: a unary call of tonic on loopback.
    R,
    /// Such calls a second, 64 at once.
    Q,
    /// Milliseconds: a row committed to `SQLite`.
    L,
    /// Milliseconds: Docker's own create and start of a container like ours.
    D,
    /// Seconds: uv's own cold installation of the same packages.
    U,
    /// Milliseconds: Qflow's own harness, without a container, until its first word.
    P,
    /// Milliseconds: an attempt in it, without any service.
    H,
    /// Such attempts a second, in two of them at once.
    A,
    /// Milliseconds: what no attempt can do without, and no line of Qflow's: a fork with a folder and pipes, arguments, a call, a result.
    W,
    /// The same a second, in four at once.
    V,
    /// Milliseconds: Docker's create and start of a container like ours, until its Python has written a byte.
    E,
}

impl Floor {
    /// All, in the order in which they are told.
    pub(crate) const ALL: [Self; 17] = [
        Self::F,
        Self::Z,
        Self::T,
        Self::K,
        Self::C,
        Self::B,
        Self::R,
        Self::Q,
        Self::L,
        Self::D,
        Self::U,
        Self::P,
        Self::H,
        Self::A,
        Self::W,
        Self::V,
        Self::E,
    ];

    /// What it is, and in what unit.
    pub(crate) const fn what(self) -> (&'static str, &'static str) {
        match self {
            Self::F => ("fork of a warm Python", "ms"),
            Self::Z => ("the same in fresh namespaces, overlay and cgroup", "ms"),
            Self::T => ("forks a second, 4 clients", "/s"),
            Self::K => ("commit of a row to Postgres", "ms"),
            Self::C => ("commits a second, 64 clients", "/s"),
            Self::B => ("rows a second, 1000 an insert", "/s"),
            Self::R => ("unary call", "ms"),
            Self::Q => ("unary calls a second, 64 at once", "/s"),
            Self::L => ("commit of a row to SQLite", "ms"),
            Self::D => ("Docker's create and start", "ms"),
            Self::U => ("uv's cold installation", "s"),
            Self::P => ("start of the harness alone", "ms"),
            Self::H => ("attempt in the harness alone", "ms"),
            Self::A => ("such attempts a second, two at once", "/s"),
            Self::W => ("a call in a fork with a folder and pipes", "ms"),
            Self::V => ("such calls a second, four at once", "/s"),
            Self::E => ("Docker's create and start, to Python's first byte", "ms"),
        }
    }
}

/// What was measured of each, in order of time; and why some were not.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Floors {
    /// Measurements, in the floor's unit.
    pub(crate) measured: BTreeMap<Floor, Vec<f64>>,
    /// Why a floor was not measured.
    pub(crate) missing: BTreeMap<Floor, String>,
}

impl Floors {
    /// Measures some floors once more. Those of Docker and uv are measured beside the goals that are held to them.
    pub(crate) async fn measure(&mut self, floors: &[Floor], postgres: &Postgres) {
        for floor in floors {
            let measured = match floor {
                Floor::F => script("fork").await,
                Floor::Z => script("sandbox").await,
                Floor::T => script("forks").await,
                Floor::L => script("sqlite").await,
                Floor::P => script("start").await,
                Floor::H => script("attempt").await,
                Floor::A => script("attempts").await,
                Floor::W => script("work").await,
                Floor::V => script("works").await,
                Floor::K => rows::commit_ms(postgres).await,
                Floor::C => rows::commits_s(postgres).await,
                Floor::B => rows::rows_s(postgres).await,
                Floor::R => calls::unary_ms().await,
                Floor::Q => calls::calls_s().await,
                Floor::D | Floor::E | Floor::U => continue,
            };
            self.note(*floor, measured);
        }
    }

    /// Notes a measurement, or why there is none.
    pub(crate) fn note(&mut self, floor: Floor, measured: anyhow::Result<f64>) {
        match measured {
            Ok(value) => self.measured.entry(floor).or_default().push(value),
            Err(error) => drop(self.missing.insert(floor, format!("{error:#}"))),
        }
    }

    /// The mean of the last two measurements: those before and after what is held to them.
    pub(crate) fn of(&self, floor: Floor) -> anyhow::Result<f64> {
        let why = || self.missing.get(&floor).cloned().unwrap_or_else(|| "nobody asked for it".to_owned());
        let measured =
            self.measured.get(&floor).with_context(|| format!("floor {floor:?} was not measured: {}", why()))?;
        let last = &measured[measured.len().saturating_sub(2)..];
        Ok(last.iter().sum::<f64>() / last.len() as f64)
    }
}

/// Has the script measure one.
async fn script(name: &str) -> anyhow::Result<f64> {
    let output = tokio::process::Command::new("python3").args(["-c", SCRIPT, name]).output().await;
    let output = output.context("start python3")?;
    anyhow::ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    String::from_utf8_lossy(&output.stdout).trim().parse().context("floors.py prints a number")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_is_the_mean_of_what_was_measured_before_and_after() {
        let mut floors = Floors::default();
        for value in [9.0, 1.0, 2.0] {
            floors.note(Floor::K, Ok(value));
        }
        assert!((floors.of(Floor::K).unwrap() - 1.5).abs() < 1e-9);
    }

    #[test]
    fn a_floor_that_was_not_measured_says_why() {
        let mut floors = Floors::default();
        floors.note(Floor::Z, Err(anyhow::anyhow!("needs root")));
        assert_eq!(floors.of(Floor::Z).unwrap_err().to_string(), "floor Z was not measured: needs root");
    }
}
