//! What must outlive the runner: outcomes until they are acknowledged, lines until they are an object, containers' states.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use qflow_model::{ids::AttemptKey, outcome::Outcome};

use crate::harness::Line;

/// Folders of one runner's state.
#[derive(Clone, Debug)]
pub struct Spool {
    folder: PathBuf,
}

impl Spool {
    /// The spool in a folder, made where it is not there.
    pub fn open(folder: &Path) -> std::io::Result<Self> {
        for part in ["outcomes", "lines", "containers"] {
            std::fs::create_dir_all(folder.join(part))?;
        }
        Ok(Self { folder: folder.to_owned() })
    }

    fn outcome(&self, key: AttemptKey) -> PathBuf {
        self.folder.join("outcomes").join(key.to_string())
    }

    fn lines(&self, key: AttemptKey) -> PathBuf {
        self.folder.join("lines").join(key.to_string())
    }

    fn container(&self, name: &str) -> PathBuf {
        self.folder.join("containers").join(name)
    }

    /// Keeps an outcome; once this returns it survives the machine.
    pub fn keep(&self, key: AttemptKey, outcome: &Outcome) -> std::io::Result<()> {
        replace(&self.outcome(key), &serde_json::to_vec(outcome)?, true)
    }

    /// An outcome that is kept, in JSON.
    pub fn kept(&self, key: AttemptKey) -> Option<Vec<u8>> {
        std::fs::read(self.outcome(key)).ok()
    }

    /// Forgets an outcome that was acknowledged, and the attempt's lines.
    pub fn forget(&self, key: AttemptKey) {
        for path in [self.outcome(key), self.lines(key)] {
            // Absent is what is wanted.
            let _ = std::fs::remove_file(path);
        }
    }

    /// Attempts whose outcomes were not acknowledged.
    pub fn waiting(&self) -> Vec<AttemptKey> {
        names(&self.folder.join("outcomes")).filter_map(|name| name.parse().ok()).collect()
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

    /// All lines of an attempt so far, one JSON object each.
    pub fn read_lines(&self, key: AttemptKey) -> Vec<u8> {
        std::fs::read(self.lines(key)).unwrap_or_default()
    }

    /// Keeps what is known of a container; it need only survive the runner, not the machine.
    pub fn keep_container(&self, name: &str, state: &impl serde::Serialize) -> std::io::Result<()> {
        replace(&self.container(name), &serde_json::to_vec(state)?, false)
    }

    /// Forgets a container.
    pub fn forget_container(&self, name: &str) {
        // Absent is what is wanted.
        let _ = std::fs::remove_file(self.container(name));
    }

    /// What is known of containers that an earlier runner left.
    pub fn containers<T: serde::de::DeserializeOwned>(&self) -> Vec<T> {
        names(&self.folder.join("containers"))
            .filter_map(|name| serde_json::from_slice(&std::fs::read(self.container(&name)).ok()?).ok())
            .collect()
    }
}

fn names(folder: &Path) -> impl Iterator<Item = String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.ends_with(".new"))
}

fn replace(path: &Path, content: &[u8], sync: bool) -> std::io::Result<()> {
    let mut new = path.as_os_str().to_owned();
    new.push(".new");
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.write(true).create(true).truncate(true).open(&new)?;
    file.write_all(content)?;
    if sync {
        file.sync_data()?;
    }
    std::fs::rename(&new, path)?;
    if sync && let Some(parent) = path.parent() {
        std::fs::File::open(parent)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::{
        ids::{NodeKey, RunId, StepIx},
        outcome::{Ending, Phases},
    };

    #[test]
    fn an_outcome_is_there_until_it_is_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let key = AttemptKey {
            run: RunId(uuid::Uuid::from_u128(1)),
            node: NodeKey { step: StepIx(0), index: Some(2) },
            attempt: 1,
        };
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
