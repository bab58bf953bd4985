//! A server of a test's own, by a script of `deploy/local`.

use std::{
    io::{BufRead as _, BufReader},
    path::PathBuf,
    process::{Child, Command, Stdio},
};

/// A server that ends with the test, however that ends: its script reads from it until then.
pub(crate) struct During {
    pub(crate) folder: PathBuf,
    name: &'static str,
    script: Child,
}

/// What a script ends with where there is nothing to start.
const MISSING: i32 = 3;

impl During {
    /// Starts the one that `deploy/local/NAME` brings up; nothing where none is installed and none is required by `QFLOW_REQUIRE_NAME`.
    pub(crate) fn start(name: &'static str, more: &[&str]) -> Option<Self> {
        Self::start_in(folder(name), name, more)
    }

    /// The same in a folder that has what the words name.
    pub(crate) fn start_in(folder: PathBuf, name: &'static str, more: &[&str]) -> Option<Self> {
        let mut script = command(name);
        script.arg("during").arg(&folder).args(more).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("the script starts");
        let mut said = String::new();
        let stdout = script.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut said).expect("the script speaks");
        if said.trim() == "ready" {
            return Some(Self { folder, name, script });
        }
        let ended = script.wait().expect("a child can be waited for");
        assert_eq!(ended.code(), Some(MISSING), "{name} does not start: what it said stands above");
        let required = format!("QFLOW_REQUIRE_{}", name.to_uppercase());
        assert!(std::env::var_os(required).is_none(), "{name} is required, and not installed");
        eprintln!("skipped: {name} is not installed, see deploy/local/{name}");
        None
    }

    /// Has the script do something to it.
    pub(crate) fn script(&self, verb: &str, more: &[&str]) {
        let output = command(self.name).arg(verb).arg(&self.folder).args(more).output().expect("the script starts");
        assert!(output.status.success(), "{}", crate::said(&output));
    }
}

/// A new folder for it; short, since the paths of sockets in it end at 107 bytes.
pub(crate) fn folder(name: &str) -> PathBuf {
    let prefix = format!("qflow-{name}-");
    tempfile::Builder::new().prefix(&prefix).tempdir_in("/tmp").expect("/tmp takes folders").keep()
}

fn command(name: &str) -> Command {
    Command::new(crate::root().join("deploy/local").join(name))
}

impl Drop for During {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}
