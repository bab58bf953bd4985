//! A Postgres server of a test's own.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// A server that ends with the test, however that ends: it reads from it until then.
pub struct Postgres {
    folder: std::path::PathBuf,
    script: Child,
}

/// What the script ends with where there is nothing to start.
const MISSING: i32 = 3;

fn script() -> Command {
    Command::new(super::root().join("deploy/local/postgres"))
}

impl Postgres {
    /// Starts one; nothing where none is installed and none is required.
    pub fn start() -> Option<Self> {
        let folder =
            tempfile::Builder::new().prefix("qflow-pg-").tempdir_in("/tmp").expect("/tmp takes folders").keep();
        let mut script = script();
        script.arg("during").arg(&folder).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("the script starts");
        let mut said = String::new();
        let stdout = script.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut said).expect("the script speaks");
        if said.trim() == "ready" {
            return Some(Self { folder, script });
        }
        let ended = script.wait().expect("a child can be waited for");
        assert_eq!(ended.code(), Some(MISSING), "Postgres does not start: what it said stands above");
        assert!(std::env::var_os("QFLOW_REQUIRE_POSTGRES").is_none(), "Postgres is required, and not installed");
        eprintln!("skipped: no Postgres here, see deploy/local/postgres");
        None
    }

    /// What `QFLOW_DATABASE_URL` is to be.
    pub fn url(&self) -> String {
        format!("postgres://qflow@{}/postgres", self.folder.display().to_string().replace('/', "%2F"))
    }

    /// Ends it as a power cut would, and starts it again.
    pub fn restart(&self) {
        let done = script().arg("restart").arg(&self.folder).status().expect("the script starts");
        assert!(done.success(), "Postgres starts again");
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        drop(self.script.wait());
    }
}
