//! What the services' processes hold, from /proc: proportional set size now, and the most that was ever resident.

use std::{collections::BTreeMap, time::Duration};

use tokio::task::JoinHandle;

use crate::cluster::{Cluster, SERVICES};

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Kilobytes of one process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    /// Its share of what it maps.
    pub(crate) pss: u64,
    /// The most that was resident since it started.
    pub(crate) most: u64,
}

fn field(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or_default()
}

/// What a process holds; nothing where it is gone.
fn of(pid: u32) -> Held {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    Held { pss: field(&read("smaps_rollup"), "Pss:"), most: field(&read("status"), "VmHWM:") }
}

/// What each service holds.
pub(crate) fn services(cluster: &Cluster) -> anyhow::Result<BTreeMap<&'static str, Held>> {
    SERVICES.into_iter().map(|name| Ok((name, of(cluster.pid(name)?)))).collect()
}

/// Looks at the services' share again and again; the most that was seen.
pub(crate) struct Peaks(JoinHandle<()>, std::sync::Arc<std::sync::Mutex<BTreeMap<&'static str, u64>>>);

impl Peaks {
    /// Begins to look.
    pub(crate) fn watch(cluster: &Cluster) -> anyhow::Result<Self> {
        let pids: Vec<(&'static str, u32)> =
            SERVICES.into_iter().map(|name| Ok((name, cluster.pid(name)?))).collect::<anyhow::Result<_>>()?;
        let peaks = std::sync::Arc::new(std::sync::Mutex::new(BTreeMap::new()));
        let seen = std::sync::Arc::clone(&peaks);
        let task = tokio::spawn(async move {
            loop {
                for (name, pid) in &pids {
                    let pss = of(*pid).pss;
                    if let Ok(mut seen) = seen.lock() {
                        let most = seen.entry(*name).or_insert(0);
                        *most = pss.max(*most);
                    }
                }
                tokio::time::sleep(LOOK).await;
            }
        });
        Ok(Self(task, peaks))
    }

    /// The most that each was seen to hold, in kilobytes.
    pub(crate) fn end(self) -> BTreeMap<&'static str, u64> {
        self.0.abort();
        self.1.lock().map(|seen| seen.clone()).unwrap_or_default()
    }
}
