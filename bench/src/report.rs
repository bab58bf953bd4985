//! What a call of this program measured, as it is written to a file and read again to be compared.

use std::{collections::BTreeMap, path::Path};

use anyhow::Context;
use serde::{Deserialize, Serialize};

use crate::{clock::now_seconds, floors::Floors, goals::Row, load::Load};

/// One call's measurements.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Seconds since 1970.
    pub(crate) at: u64,
    /// Processors of the machine.
    pub(crate) processors: usize,
    /// What ran nodes.
    pub(crate) runtime: String,
    /// Whether the machine was busy with something else before or after: then the figures say nothing.
    pub(crate) noisy: bool,
    /// How busy it was before, and after.
    pub(crate) load: [Load; 2],
    /// The machine itself.
    pub(crate) floors: Floors,
    /// Goals with their gates.
    pub(crate) goals: Vec<Row>,
    /// Goals that could not be measured, and why.
    pub(crate) failed: BTreeMap<u8, String>,
}

impl Report {
    /// What was measured between two looks at the machine's load.
    pub(crate) fn new(
        runtime: String,
        load: [Load; 2],
        floors: Floors,
        goals: Vec<Row>,
        failed: BTreeMap<u8, String>,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let noisy = load.iter().any(Load::is_noisy);
        Self { at: now_seconds(), processors, runtime, noisy, load, floors, goals, failed }
    }

    /// Reads one.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let text = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no file of results", path.display()))
    }

    /// Writes it into a folder, named by its time.
    pub(crate) fn write(&self, folder: &Path) -> anyhow::Result<std::path::PathBuf> {
        let path = folder.join(format!("{}.json", self.at));
        std::fs::create_dir_all(folder)?;
        let text = serde_json::to_string_pretty(self)? + "\n";
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        Ok(path)
    }

    /// Whether every goal that was asked for was measured and is within its gate.
    pub(crate) fn is_met(&self) -> bool {
        self.failed.is_empty() && self.goals.iter().all(Row::is_met)
    }
}
