//! What must outlive the runner: outcomes until they are acknowledged, lines until they are an object, containers' states.

mod journal;
mod late;
mod owed;
mod peers;

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use journal::{Disk, Files, Journal};
use qflow_model::{ids::AttemptKey, outcome::Outcome};

use crate::harness::Line;
pub use owed::Owed;

/// Names of outcomes in the journal.
const OUTCOME: &str = "outcome/";
/// Names of containers in the journal.
const CONTAINER: &str = "container/";

/// One runner's state.
#[derive(Clone, Debug)]
pub struct Spool {
    journal: Arc<Journal>,
    unsynced: Arc<late::Unsynced>,
    lines: PathBuf,
    contents: PathBuf,
}

impl Spool {
    /// The spool in a folder, made where it is not there.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        Self::on(folder, Arc::new(Files))
    }

    fn on(folder: &Path, disk: Arc<dyn Disk>) -> std::io::Result<Self> {
        let (lines, contents) = (folder.join("lines"), folder.join("contents"));
        std::fs::create_dir_all(&lines)?;
        std::fs::create_dir_all(&contents)?;
        let journal = Arc::new(Journal::on(&folder.join("journal"), disk)?);
        Ok(Self { journal, unsynced: Arc::default(), lines, contents })
    }

    /// Where content of an attempt's result comes in.
    pub fn contents(&self, key: AttemptKey) -> PathBuf {
        self.contents.join(key.to_string())
    }

    /// Drops content of attempts that are none of those that go on.
    pub fn sweep_contents(&self, going_on: &[AttemptKey]) {
        let kept: Vec<PathBuf> = going_on.iter().map(|key| self.contents(*key)).collect();
        let left = std::fs::read_dir(&self.contents).into_iter().flatten().flatten().map(|entry| entry.path());
        // What stays is swept at the next start.
        left.filter(|path| !kept.contains(path)).for_each(|path| drop(std::fs::remove_dir_all(path)));
    }

    fn lines(&self, key: AttemptKey) -> PathBuf {
        self.lines.join(key.to_string())
    }

    /// Keeps an outcome: it survives the runner, and after [`Self::sync`] the machine; [`Self::sync_late`] syncs what nobody acknowledges.
    pub fn keep(&self, key: AttemptKey, outcome: &Outcome) -> std::io::Result<()> {
        self.journal.put(&format!("{OUTCOME}{key}"), serde_json::to_vec(outcome)?)?;
        self.unsynced.note(key);
        Ok(())
    }

    /// Puts everything on the disk.
    pub async fn sync(&self) -> std::io::Result<()> {
        self.journal.sync().await
    }

    /// An outcome that is kept, in JSON.
    pub fn kept(&self, key: AttemptKey) -> Option<Vec<u8>> {
        self.journal.get(&format!("{OUTCOME}{key}"))
    }

    /// Forgets an outcome that was acknowledged, and the attempt's lines where they are an object.
    pub fn forget(&self, key: AttemptKey) {
        // Told again after a restart, it is acknowledged again.
        self.journal.remove(&format!("{OUTCOME}{key}")).ok();
        if !self.is_owed(key) {
            // Absent is what is wanted.
            std::fs::remove_file(self.lines(key)).ok();
        }
    }

    fn waits(&self, key: AttemptKey) -> bool {
        self.journal.has(&format!("{OUTCOME}{key}"))
    }

    /// Attempts whose outcomes were not acknowledged.
    pub fn waiting(&self) -> Vec<AttemptKey> {
        self.journal.all(OUTCOME, |name, _| name.parse().ok())
    }

    /// Adds lines of an attempt, one JSON object each.
    pub fn add_lines(&self, key: AttemptKey, lines: &[Line]) -> std::io::Result<()> {
        let mut text = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut text, line)?;
            text.push(b'\n');
        }
        std::fs::OpenOptions::new().create(true).append(true).open(self.lines(key))?.write_all(&text)
    }

    /// How many lines of an attempt are kept: the sequence of the next.
    pub fn lines_kept(&self, key: AttemptKey) -> u64 {
        let lines = self.read_lines(key);
        let last = lines.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty());
        let last: Option<Line> = last.and_then(|line| serde_json::from_slice(line).ok());
        last.map_or(0, |line| line.sequence + 1)
    }

    /// All lines of an attempt so far, one JSON object each.
    pub fn read_lines(&self, key: AttemptKey) -> Vec<u8> {
        std::fs::read(self.lines(key)).unwrap_or_default()
    }

    /// Keeps what is known of a container; it need only survive the runner, not the machine.
    pub fn keep_container(&self, name: &str, state: &impl serde::Serialize) -> std::io::Result<()> {
        self.journal.put(&format!("{CONTAINER}{name}"), serde_json::to_vec(state)?)
    }

    /// Forgets a container.
    pub fn forget_container(&self, name: &str) {
        // After a restart it is found to be gone.
        self.journal.remove(&format!("{CONTAINER}{name}")).ok();
    }

    /// What is known of containers that an earlier runner left.
    pub fn containers<T: serde::de::DeserializeOwned>(&self) -> Vec<T> {
        self.journal.all(CONTAINER, |_, state| serde_json::from_slice(state).ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::{
        ids::{NodeKey, RunId, StepIx},
        outcome::{Ending, Phases},
    };

    #[test]
    fn lines_go_on_after_those_that_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        let key = AttemptKey { run: RunId(uuid::Uuid::from_u128(1)), node: NodeKey::root(StepIx(0), None), attempt: 1 };
        let line = |sequence| Line {
            sequence,
            at_us: 0,
            stream: "stdout".into(),
            text: "a\nb".into(),
            fields: serde_json::Map::new(),
        };
        assert_eq!(spool.lines_kept(key), 0);
        spool.add_lines(key, &[line(0), line(1)]).unwrap();
        spool.add_lines(key, &[line(2)]).unwrap();
        assert_eq!(spool.lines_kept(key), 3);
    }

    #[test]
    fn owed_lines_outlast_the_runner_and_their_outcome() {
        let folder = tempfile::tempdir().unwrap();
        let key = |step| AttemptKey {
            run: RunId(uuid::Uuid::from_u128(1)),
            node: NodeKey::root(StepIx(step), None),
            attempt: 1,
        };
        let owed =
            |step, since| Owed { key: key(step), node_id: "a".into(), since: qflow_model::ids::Timestamp(since) };
        let line =
            Line { sequence: 0, at_us: 0, stream: "stdout".into(), text: "a".into(), fields: serde_json::Map::new() };
        let spool = Spool::open(folder.path()).unwrap();
        for step in 0..3 {
            spool.add_lines(key(step), std::slice::from_ref(&line)).unwrap();
        }
        spool.owe(&owed(0, 20)).unwrap();
        spool.owe(&owed(1, 10)).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        (0..3).for_each(|step| spool.forget(key(step)));
        let bytes = spool.read_lines(key(0)).len() as u64;
        assert!(bytes > 0 && spool.read_lines(key(2)).is_empty());
        assert_eq!(spool.owed(), [(owed(1, 10), bytes), (owed(0, 20), bytes)], "the oldest first");
        spool.settle(key(1));
        assert_eq!(spool.owed(), [(owed(0, 20), bytes)]);
        assert!(spool.read_lines(key(1)).is_empty());
    }

    #[test]
    fn an_outcome_is_there_until_it_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let key =
            AttemptKey { run: RunId(uuid::Uuid::from_u128(1)), node: NodeKey::root(StepIx(0), Some(2)), attempt: 1 };
        let outcome = Outcome {
            ending: Ending::Cancelled,
            phases: Phases::default(),
            container_id: String::new(),
            peak_memory_bytes: 0,
            cpu_seconds: 0.0,
            log_lines: 0,
            log_lines_dropped: 0,
            log: None,
            warnings: vec![],
        };
        Spool::open(folder.path()).unwrap().keep(key, &outcome).unwrap();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool.waiting(), [key]);
        assert_eq!(serde_json::from_slice::<Outcome>(&spool.kept(key).unwrap()).unwrap(), outcome);
        spool.forget(key);
        assert!(spool.waiting().is_empty());
    }
}
