//! Tests of the whole: the `qflow` program as users run it, on real backends. Here: what those tests share.

mod cluster;
mod docker;
mod during;
mod index;
mod postgres;
mod s3;
mod stack;

use std::{
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::LazyLock,
};

pub use cluster::Cluster;
pub use docker::Docker;
pub use index::Index;
pub use postgres::{Guarded, Postgres};
pub use s3::S3;
pub use stack::{Stack, get, post};

/// Where this machine keeps the certificates that it trusts, where it has none of its own in `QFLOW_CA_BUNDLE`.
const CA_BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";

/// Interpreters of this machine for the process runtime, as the project's own script finds them.
fn pythons() -> &'static str {
    static PYTHONS: LazyLock<String> = LazyLock::new(|| {
        let found = Command::new(root().join("deploy/local/pythons")).output().expect("the script starts");
        String::from_utf8_lossy(&found.stdout).split_whitespace().collect::<Vec<_>>().join(",")
    });
    &PYTHONS
}

fn ca_bundle() -> String {
    std::env::var("QFLOW_CA_BUNDLE").unwrap_or_else(|_| CA_BUNDLE.to_owned())
}

/// The repository's root.
pub fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).expect("crates/e2e lies two below the root").to_owned()
}

/// Every Rust file under `crates/*/src`, by its path from the root.
pub fn sources() -> Vec<(String, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).expect("a folder of sources can be read").flatten() {
            let path = entry.path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    for entry in std::fs::read_dir(root().join("crates")).expect("crates can be read").flatten() {
        walk(&entry.path().join("src"), &mut found);
    }
    let relative = |path: PathBuf| path.strip_prefix(root()).expect("found below the root").display().to_string();
    found
        .into_iter()
        .map(|p| (relative(p.clone()), std::fs::read_to_string(p).expect("a source can be read")))
        .collect()
}

/// The built `qflow` program: beside the test's own, where cargo puts both.
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("a running test has a program");
    let path = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").join("qflow");
    assert!(path.exists(), "{} is not there: `cargo build --package qflow-cli` makes it", path.display());
    path
}

/// A folder of state for one test, and how `qflow` is called on it.
pub struct Home {
    folder: tempfile::TempDir,
    runtime: &'static str,
    settings: Vec<(&'static str, String)>,
}

impl Home {
    /// An empty one, for the runtime `process` or `docker`.
    pub fn new(runtime: &'static str) -> Self {
        // Short, since the paths of sockets in it end at 107 bytes.
        let folder = tempfile::Builder::new().prefix("qf").tempdir_in("/tmp").expect("/tmp takes folders");
        Self { folder, runtime, settings: Vec::new() }
    }

    /// The same with a variable that every call sees.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.settings.push((name, value.into()));
        self
    }

    /// A copy of a file of `crates/e2e/cases`, with the files beside it, whose nodes run in a version of Python.
    pub fn case(&self, file: &str, python: &str) -> String {
        let (folder, name) = file.rsplit_once('/').unwrap_or((".", file));
        let to = self.path().join(python).join(folder);
        copy(&root().join("crates/e2e/cases").join(folder), &to);
        let path = to.join(name);
        let text = std::fs::read_to_string(&path).expect("the case is there");
        let wanted = format!("# [tool.qflow.node]\n# python = \"{python}\"\n# ///\n");
        let text = match text.split_once("\n# ///\n") {
            Some((head, rest)) if text.starts_with("# /// script") => format!("{head}\n{wanted}{rest}"),
            _ => format!("# /// script\n{wanted}{text}"),
        };
        std::fs::write(&path, text).expect("the home takes files");
        path.display().to_string()
    }

    /// Where the state is.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// `qflow ARGS…`, not yet started.
    pub fn qflow(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command.args(args);
        self.prepare(&mut command);
        command
    }

    /// A line of a shell that knows `qflow`, and `python` with the SDK; not yet started.
    pub fn shell(&self, line: &str) -> Command {
        let python = pythons().rsplit(',').next().expect("a Python is there").to_owned();
        let known = format!(
            "qflow() {{ '{}' \"$@\"; }}\npython() {{ PYTHONPATH='{}'\"${{PYTHONPATH:+:$PYTHONPATH}}\" '{python}' \"$@\"; }}\n{line}",
            program().display(),
            root().join("python").display(),
        );
        let mut command = Command::new("bash");
        self.prepare(command.args(["-o", "pipefail", "-c", &known]));
        command
    }

    fn prepare(&self, command: &mut Command) {
        command
            .current_dir(root())
            .env("QFLOW_DATA_DIR", self.path().join("data"))
            .env("QFLOW_RUN_DIR", self.path().join("run"))
            .env("QFLOW_RUNTIME", self.runtime)
            .env("QFLOW_PYTHON_VERSIONS", "3.9,3.10,3.11,3.12,3.13")
            .env("QFLOW_PYTHONS", pythons())
            .env("QFLOW_CA_BUNDLE", ca_bundle())
            .envs(self.settings.iter().map(|(name, value)| (*name, value)))
            .env_remove("QFLOW_SERVER")
            .env_remove("QFLOW_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
    }

    /// `qflow ARGS…`, to its end.
    pub fn run(&self, args: &[&str]) -> Output {
        self.qflow(args).output().expect("qflow starts")
    }

    /// The run as `qflow runs get` shows it, once a server answers and `reached` holds; fails after two minutes.
    pub fn wait(&self, run: &str, reached: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
        until(|| self.run(&["runs", "get", run, "-o", "json"]), reached)
    }

    /// Where its server tells its metrics, as that wrote.
    pub fn metrics(&self) -> String {
        let log = std::fs::read_to_string(self.path().join("dev.log")).expect("the server writes a log");
        let told = log.split_whitespace().find(|word| word.starts_with("http://") && word.ends_with("/metrics"));
        told.expect("the admin address is told").to_owned()
    }

    /// `qflow dev` on ports 0, left running; it serves once this returns.
    pub fn dev(&self) -> Dev {
        self.dev_with(|_| {})
    }

    /// The same, with more said to the server's command.
    pub fn dev_with(&self, more: impl FnOnce(&mut Command)) -> Dev {
        // A server that was killed leaves its address behind.
        drop(std::fs::remove_file(self.path().join("data/server.json")));
        let mut dev = self.start_dev(more);
        #[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
        let begun = std::time::Instant::now();
        while !self.path().join("data/server.json").exists() {
            let ended = dev.0.try_wait().expect("a child can be asked");
            let log = || std::fs::read_to_string(self.path().join("dev.log")).unwrap_or_default();
            assert!(ended.is_none(), "qflow dev ended: {}", log());
            assert!(begun.elapsed() < START, "qflow dev does not serve: {}", log());
            pause();
        }
        dev
    }

    fn start_dev(&self, more: impl FnOnce(&mut Command)) -> Dev {
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(self.path().join("dev.log"))
            .expect("the home takes files");
        let mut command = self.qflow(&["dev", "--ports", "any"]);
        command.stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        more(&mut command);
        Dev(command.spawn().expect("qflow starts"))
    }
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("the home takes folders");
    for entry in std::fs::read_dir(from).expect("a folder of cases").map(|entry| entry.expect("it can be read")) {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if !path.is_dir() {
            std::fs::copy(&path, &target).expect("the home takes files");
        } else if entry.file_name() != "__pycache__" {
            copy(&path, &target);
        }
    }
}

/// A running server, and runs on it.
pub struct Served {
    /// Its home.
    pub home: Home,
    _dev: Dev,
}

impl Served {
    /// One on a home.
    pub fn new(home: Home) -> Self {
        let dev = home.dev();
        Self { home, _dev: dev }
    }

    /// A workflow of a file, run to its end, however it ends; what was written to stderr is its `said`.
    pub fn run(&self, file: &str, workflow: &str, more: &[&str]) -> serde_json::Value {
        let mut line = vec!["run", file, "-w", workflow, "-o", "json"];
        line.extend(more);
        let output = self.home.run(&line);
        let mut run: serde_json::Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|e| panic!("stdout is one object: {e}\n{}", said(&output)));
        run["said"] = String::from_utf8_lossy(&output.stderr).into();
        run
    }

    /// The result of a run that must complete.
    pub fn result(&self, file: &str, workflow: &str, more: &[&str]) -> serde_json::Value {
        let run = self.run(file, workflow, more);
        assert_eq!(run["status"], "completed", "{workflow} of {file}: {run:#}");
        run["result"].clone()
    }

    /// The first error of a node of a run that must fail, and the run.
    pub fn failure(&self, file: &str, workflow: &str, more: &[&str]) -> (serde_json::Value, serde_json::Value) {
        let run = self.run(file, workflow, more);
        assert_ne!(run["status"], "completed", "{workflow} of {file}: {run:#}");
        let nodes = run["nodes"].as_array().into_iter().flatten();
        let error = nodes.map(|node| &node["error"]).find(|error| !error.is_null()).cloned().unwrap_or_default();
        (error, run)
    }

    /// What a run's nodes wrote.
    pub fn lines(&self, run: &serde_json::Value) -> String {
        let id = run["run_id"].as_str().expect("a run has an id");
        String::from_utf8_lossy(&self.home.run(&["runs", "logs", id]).stdout).into_owned()
    }
}

/// How long a server may take to serve: a loaded machine is slow.
const START: std::time::Duration = std::time::Duration::from_mins(1);
/// How long a server may take to stop.
const STOP: std::time::Duration = std::time::Duration::from_secs(15);
/// Between two looks at a fact.
const POLL: std::time::Duration = std::time::Duration::from_millis(20);

#[expect(clippy::disallowed_methods, reason = "between two looks at a fact")]
fn pause() {
    std::thread::sleep(POLL);
}

/// How long a fact may take to come about.
const FACT: std::time::Duration = std::time::Duration::from_mins(2);

/// Waits until something is so.
pub fn wait_for(what: &str, is_so: impl FnMut() -> bool) {
    wait_seeing(what, is_so, String::new);
}

/// The same; where it does not come about, what is seen instead is told.
pub fn wait_seeing(what: &str, mut is_so: impl FnMut() -> bool, seen: impl Fn() -> String) {
    #[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
    let begun = std::time::Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < FACT, "{what}: not so yet {}", seen());
        pause();
    }
}

/// What a command shows with `-o json`, once `reached` holds of it.
pub fn until(show: impl Fn() -> Output, reached: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    #[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
    let begun = std::time::Instant::now();
    loop {
        let output = show();
        match serde_json::from_slice(&output.stdout) {
            Ok(shown) if reached(&shown) => return shown,
            _ => assert!(begun.elapsed() < FACT, "not reached in time: {}", said(&output)),
        }
        pause();
    }
}

/// A running `qflow dev`, killed when dropped.
pub struct Dev(pub Child);

impl Dev {
    /// `kill -9`.
    pub fn kill(&mut self) {
        // It may have ended by itself: then there is nothing to kill, and the test's next step says so.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Drop for Dev {
    /// Has it stop by itself first: what it started, containers among them, ends with it.
    fn drop(&mut self) {
        let lives = matches!(self.0.try_wait(), Ok(None));
        let stopped = lives.then(|| Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status());
        #[expect(clippy::disallowed_methods, reason = "bounds how long a test waits for a fact")]
        let begun = std::time::Instant::now();
        while matches!(stopped, Some(Ok(_))) && begun.elapsed() < STOP && matches!(self.0.try_wait(), Ok(None)) {
            pause();
        }
        self.kill();
    }
}

/// The one object on stdout of a call that ended with `code`.
pub fn object(output: &Output, code: i32) -> serde_json::Value {
    assert_eq!(output.status.code(), Some(code), "{}", said(output));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("stdout is one object: {e}\n{}", said(output)))
}

/// What was written, for messages of failed assertions.
pub fn said(output: &Output) -> String {
    format!(
        "{}\nstdout: {}\nstderr: {}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    )
}

/// A run without what differs from call to call.
pub fn told(mut run: serde_json::Value) -> serde_json::Value {
    let fields = run.as_object_mut().expect("an object");
    for changing in ["run_id", "trace_id", "created_at", "started_at", "ended_at"] {
        assert!(
            fields.insert(changing.to_owned(), serde_json::Value::Null).is_some_and(|was| was.is_string()),
            "{changing} is told"
        );
    }
    for node in run["nodes"].as_array_mut().into_iter().flatten() {
        node["phases"] = serde_json::Value::Bool(node["phases"].is_object());
    }
    if let Some(certificate) = run.pointer_mut("/error/failure/certificate") {
        *certificate = serde_json::Value::Bool(certificate.is_object());
    }
    for certificate in
        run["nodes"].as_array_mut().into_iter().flatten().filter_map(|n| n.pointer_mut("/error/certificate"))
    {
        *certificate = serde_json::Value::Bool(certificate.is_object());
    }
    run
}
