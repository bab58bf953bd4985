//! What else the machine did: a figure taken under others' load is marked, since it says nothing.

use serde::{Deserialize, Serialize};

/// Processors that others may have kept busy before a measurement: more and its figures are noise.
const QUIET: f64 = 0.35;

/// How busy the machine was.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    /// Processors busy on the mean over the last second or so, ours not counted: nothing of ours runs yet.
    pub(crate) busy: f64,
    /// `/proc/loadavg`'s first.
    pub(crate) average: f64,
}

impl Load {
    /// Looks for a second.
    pub(crate) async fn look() -> Self {
        let before = ticks();
        tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        let (busy, all) = ticks().zip(before).map_or((0, 0), |(now, then)| (now.0 - then.0, now.1 - then.1));
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
        let average = text.split(' ').next().and_then(|first| first.parse().ok()).unwrap_or_default();
        Self { busy: if all == 0 { 0.0 } else { busy as f64 / all as f64 * processors as f64 }, average }
    }

    /// Whether figures taken now are noise.
    pub(crate) fn is_noisy(&self) -> bool {
        self.busy > QUIET
    }
}

/// Ticks that processors were busy, and all, since the machine started.
fn ticks() -> Option<(u64, u64)> {
    read(&std::fs::read_to_string("/proc/stat").ok()?)
}

fn read(stat: &str) -> Option<(u64, u64)> {
    let line = stat.lines().next()?.strip_prefix("cpu ")?;
    let all: Vec<u64> = line.split_whitespace().take(8).filter_map(|n| n.parse().ok()).collect();
    let idle = all.get(3)? + all.get(4)?;
    let sum: u64 = all.iter().sum();
    Some((sum - idle, sum))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_for_a_disk_is_idle() {
        assert_eq!(read("cpu  10 1 5 100 20 0 4 0 0 0\ncpu0 …"), Some((20, 140)));
        assert_eq!(read(""), None);
    }

    #[test]
    fn a_third_of_a_processor_is_too_much() {
        assert!(Load { busy: 0.5, average: 0.0 }.is_noisy());
        assert!(!Load { busy: 0.1, average: 9.0 }.is_noisy());
    }
}
