//! Lines of attempts that are over, as their objects have them.

use futures_util::{StreamExt as _, stream::BoxStream};
use qflow_blobs::{Blobs, Written};
use qflow_model::{
    ids::{RunId, Timestamp},
    limits,
    outcome::{LINES_LATE, LINES_NOT_KEPT},
    progress::{Happening, NodeRun, RunState},
};

use super::is_of;
use crate::record::StoredLine;

/// Objects that are read while the lines of the one before are sent.
const AHEAD: usize = 4;
/// Bytes of lines that are put in the order of their times: what is held at once, beside the objects that were read ahead.
const TOGETHER: usize = 4 << 20;
/// The error of an attempt whose runner never told how it ended.
const RUNNER_LOST: &str = "runner_lost";

/// A line as a runner keeps it.
#[derive(serde::Deserialize)]
struct Kept {
    sequence: u64,
    at_us: i64,
    stream: String,
    text: String,
    #[serde(default)]
    fields: serde_json::Map<String, serde_json::Value>,
}

/// An attempt by its node's id and its number.
pub type Attempt = (String, u32);

/// Attempts of a node, of its elements and of what is below it, that have written; in the order of the plan.
pub fn written(state: &RunState, node_id: &str, written: &Written) -> Vec<Attempt> {
    if written.is_empty() {
        return Vec::new();
    }
    let nodes = state.nodes().map(|(key, _)| state.node_id(key)).filter(|id| is_of(id, node_id));
    nodes.flat_map(|id| written.of(&id).map(|attempt| (id.clone(), attempt)).collect::<Vec<_>>()).collect()
}

/// Whether some attempt of a run may have been lost with its runner: its history says which.
pub fn may_be_torn(state: &RunState) -> bool {
    let torn = |node: &NodeRun| {
        let failure = node.detail.as_ref().and_then(|detail| detail.failure.as_ref());
        node.infra_retries > 0 || failure.is_some_and(|failure| failure.error_type == RUNNER_LOST)
    };
    state.nodes().any(|(_, node)| torn(node))
}

/// Attempts that were lost with their runners, and when that was found.
pub fn torn(state: &RunState, history: &[(Timestamp, Happening)]) -> Vec<(Attempt, Timestamp)> {
    let lost = history.iter().filter_map(|(at, happening)| match happening {
        Happening::NodeRetry { node, attempt, failure, .. } if failure.error_type == RUNNER_LOST => {
            Some((*node, *attempt, *at))
        }
        Happening::NodeEnded { node, attempt, failure: Some(failure), .. } if failure.error_type == RUNNER_LOST => {
            Some((*node, *attempt, *at))
        }
        _ => None,
    });
    lost.map(|(node, attempt, at)| ((state.node_id(node), attempt), at)).collect()
}

/// An attempt whose lines its runner could not write as an object when it ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Unkept {
    /// Which.
    pub attempt: Attempt,
    /// When it ended.
    pub at: Timestamp,
    /// Whether its runner may write them still.
    pub may_come: bool,
}

/// Attempts whose runners could write no object when they ended.
pub fn unkept(state: &RunState, now: Timestamp) -> Vec<Unkept> {
    let unkept = state.nodes().filter_map(|(key, node)| {
        let detail = node.detail.as_ref()?;
        let begins = |with: &str| detail.warnings.iter().any(|warning| warning.starts_with(with));
        let (late, at) = (begins(LINES_LATE), detail.ended_at.unwrap_or_default());
        let may_come = late && now.ms_since(at) < limits::LINES_LATE_MS;
        let unkept = Unkept { attempt: (state.node_id(key), node.attempt), at, may_come };
        (late || begins(LINES_NOT_KEPT)).then_some(unkept)
    });
    unkept.collect()
}

/// The lines of each of these attempts.
pub fn read(
    blobs: &Blobs,
    run: RunId,
    attempts: Vec<Attempt>,
) -> BoxStream<'static, Result<Vec<StoredLine>, qflow_blobs::Error>> {
    let blobs = blobs.clone();
    let one = move |(node_id, attempt): Attempt| {
        let blobs = blobs.clone();
        async move {
            let lines = blobs.read_log(run, &node_id, attempt).await?;
            let line = |line: &[u8]| stored(&node_id, attempt, line);
            // A line that does not read is missing, and the reader is told so.
            Ok(lines.split(|byte| *byte == b'\n').filter_map(line).collect())
        }
    };
    futures_util::stream::iter(attempts).map(one).buffered(AHEAD).boxed()
}

fn stored(node_id: &str, attempt: u32, line: &[u8]) -> Option<StoredLine> {
    let Kept { sequence, at_us, stream, text, fields } = serde_json::from_slice(line).ok()?;
    Some(StoredLine { node_id: node_id.to_owned(), attempt, sequence, at: Timestamp(at_us), stream, text, fields })
}

/// Lines of several attempts in the order of their times, as far as they are held together; those of one attempt never change places.
#[derive(Default)]
pub struct InTime {
    lines: Vec<(Timestamp, StoredLine)>,
    bytes: usize,
}

impl InTime {
    /// Adds lines of an attempt.
    pub fn add(&mut self, lines: impl IntoIterator<Item = StoredLine>) {
        let mut latest = Timestamp(i64::MIN);
        for line in lines {
            latest = latest.max(line.at);
            self.bytes += line.text.len();
            self.lines.push((latest, line));
        }
    }

    /// Whether there are as many as should be held.
    pub const fn is_full(&self) -> bool {
        self.bytes >= TOGETHER
    }

    /// Takes them out.
    pub fn take(&mut self) -> impl Iterator<Item = StoredLine> + use<> {
        self.bytes = 0;
        let mut lines = std::mem::take(&mut self.lines);
        lines.sort_by_key(|(at, _)| *at);
        lines.into_iter().map(|(_, line)| line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_told_in_the_order_of_their_times_and_an_attempts_own_in_theirs() {
        let line = |node: &str, sequence, at_us| {
            let text = format!(r#"{{"sequence":{sequence},"at_us":{at_us},"stream":"stdout","text":"x"}}"#);
            stored(node, 1, text.as_bytes()).unwrap()
        };
        let mut in_time = InTime::default();
        // A clock that was set back.
        in_time.add([line("a", 0, 10), line("a", 1, 5), line("a", 2, 30)]);
        in_time.add([line("b", 0, 7), line("b", 1, 20)]);
        let told: Vec<_> = in_time.take().map(|line| format!("{}{}", line.node_id, line.sequence)).collect();
        assert_eq!(told, ["b0", "a0", "a1", "b1", "a2"]);
        assert!(in_time.take().next().is_none());
    }

    #[test]
    fn a_line_that_does_not_read_is_none() {
        for text in ["", "{", r#"{"sequence":1}"#] {
            assert_eq!(stored("a", 1, text.as_bytes()), None);
        }
    }
}
