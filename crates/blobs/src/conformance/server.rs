//! A real S3 server for a test process, a prefix for each test.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::{
        Arc, LazyLock,
        atomic::{AtomicU32, Ordering},
    },
};

use crate::{Blobs, s3::Settings};

/// A server that ends with this process, however that ends: it reads from us until then.
pub(super) struct Server {
    folder: PathBuf,
    prefixes: AtomicU32,
    script: Child,
}

/// What the script ends with where there is nothing to start.
const MISSING: i32 = 3;

static SHARED: LazyLock<Option<Server>> = LazyLock::new(|| Server::start(&[]));
static STRICT: LazyLock<Option<Server>> = LazyLock::new(|| Server::start(&["rclone"]));

impl Server {
    /// The process's own; nothing where none is installed and none is required.
    pub(super) fn get() -> Option<&'static Self> {
        SHARED.as_ref()
    }

    /// Another that checks signatures.
    pub(super) fn strict() -> Option<&'static Self> {
        STRICT.as_ref()
    }

    /// One more, with options of its own.
    pub(super) fn start(options: &[&str]) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("qflow-s3-").tempdir().unwrap().keep();
        let mut script = Command::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/local/s3"));
        script.arg("during").arg(&folder).args(options).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut script = script.spawn().expect("the script runs");
        let mut said = String::new();
        BufReader::new(script.stdout.take().expect("it is piped")).read_line(&mut said).unwrap();
        if said.trim() == "ready" {
            return Some(Self { folder, prefixes: AtomicU32::new(0), script });
        }
        let missing = script.wait().unwrap().code() == Some(MISSING);
        assert!(missing, "the S3 server does not start: what it said stands above");
        assert!(std::env::var_os("QFLOW_REQUIRE_S3").is_none(), "an S3 server is required, and not installed");
        eprintln!("skipped: no S3 server here, see deploy/local/s3");
        None
    }

    /// What the environment would say of it, with other values for some.
    pub(super) fn settings(&self, other: &[(&str, &str)]) -> Settings {
        let text = std::fs::read_to_string(self.folder.join("settings")).unwrap();
        let own = text.lines().filter_map(|line| line.split_once('='));
        let own = own.filter(|(name, _)| !other.iter().any(|(changed, _)| name.starts_with(changed)));
        let all = own.chain(other.iter().copied()).map(|(name, value)| (name.to_owned(), value.to_owned()));
        Settings::read(all).unwrap()
    }

    /// A store below a prefix that no other test has.
    pub(super) fn store(&self) -> Blobs {
        let place = format!("qflow/t/{}", self.prefixes.fetch_add(1, Ordering::Relaxed));
        let store = self.settings(&[]).store(&place, None).expect("its settings are whole");
        Blobs { store: Arc::clone(&store), kind: "s3", folder: None, haste: None }
    }

    /// Its address.
    pub(super) fn endpoint(&self) -> String {
        let text = std::fs::read_to_string(self.folder.join("settings")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix("AWS_ENDPOINT_URL="));
        line.expect("it has one").to_owned()
    }

    /// What the bucket of one that checks signatures holds, as files below a folder: its keys.
    pub(super) fn bucket(&self) -> PathBuf {
        self.folder.join("data/qflow")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        self.script.wait().ok();
    }
}
