//! The cluster of `make up`, of a test's own: two orchestrators on Postgres and Redis, two runners, each a program.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use crate::{Dev, root, said};

/// A cluster that ends with the test.
pub struct Cluster {
    folder: PathBuf,
    runtime: &'static str,
    settings: Vec<(String, String)>,
}

impl Cluster {
    /// Starts one, its nodes on processes or in Docker.
    pub fn start(runtime: &'static str) -> Self {
        Self::with(runtime, Vec::new())
    }

    /// The same, whose programs see these variables.
    pub fn with(runtime: &'static str, settings: Vec<(String, String)>) -> Self {
        let cluster = Self::new(runtime, settings);
        cluster.again();
        cluster
    }

    /// One that nothing has started yet.
    pub(crate) fn new(runtime: &'static str, settings: Vec<(String, String)>) -> Self {
        // Short, since the paths of sockets in it end at 107 bytes.
        let folder = tempfile::Builder::new().prefix("qc").tempdir_in("/tmp").expect("/tmp takes folders").keep();
        // Postgres may be another user's process: it must be able to pass through to its own folder.
        let open = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&folder, open).expect("the folder is ours");
        Self { folder, runtime, settings }
    }

    /// Starts whatever does not run.
    pub fn again(&self) {
        let output = self.script("up");
        assert!(output.status.success(), "the cluster comes up: {}", said(&output));
    }

    /// Has programs that start from now on see one more variable.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Ends all of it in order; its state stays.
    pub fn down(&self) {
        let output = self.script("down");
        assert!(output.status.success(), "the cluster goes down: {}", said(&output));
    }

    fn script(&self, verb: &str) -> Output {
        let mut command = Command::new(root().join("deploy/local/cluster"));
        command.arg(verb);
        self.settle(&mut command);
        command.output().expect("the script starts")
    }

    /// Has a script mean this cluster.
    pub(crate) fn settle(&self, command: &mut Command) {
        let programs = crate::program();
        let bin = programs.parent().expect("a program lies in a folder");
        command.env("QFLOW_CLUSTER_DIR", &self.folder).env("QFLOW_CLUSTER_BIN", bin);
        command.env("QFLOW_RUNTIME", self.runtime).env("QFLOW_PYTHONS", crate::pythons());
        command.env("QFLOW_CA_BUNDLE", crate::ca_bundle()).env_remove("QFLOW_SERVER").env_remove("QFLOW_TOKEN");
        command.env_remove("QFLOW_BLOBS_URL").envs(self.settings.iter().map(|(name, value)| (name, value)));
    }

    /// One more runner, `name`, that is given the address of one of the two orchestrators; killed when dropped.
    pub fn runner(&self, name: &str, orchestrator: u8) -> Dev {
        let mut command = Command::new(crate::program().with_file_name("qflow-container-runner"));
        self.settle(&mut command);
        let (data, run) = (self.folder.join(name), self.folder.join(format!("run-{name}")));
        command.args(["--runner-listen", "127.0.0.1:0", "--runtime", self.runtime]);
        command.arg("--data-dir").arg(data).arg("--run-dir").arg(run);
        let given = format!("http://127.0.0.1:{}", self.port(&format!("g{orchestrator}")));
        command.env("QFLOW_ORCHESTRATOR_URLS", given).env("QFLOW_PYTHON_VERSIONS", "3.9,3.10,3.11,3.12,3.13");
        command.env("QFLOW_SERVICE_TOKEN_FILE", self.folder.join("service-token"));
        command.env("QFLOW_BLOBS_URL", format!("file://{}", self.folder.join("blobs").display()));
        let log = std::fs::File::options().create(true).append(true).open(self.folder.join(format!("{name}.log")));
        let log = log.expect("the folder is ours");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("a file can be shared")).stderr(log);
        Dev(command.spawn().expect("a runner starts"))
    }

    /// `qflow ARGS…` against one of the two orchestrators, 1 or 2; not yet started.
    pub fn qflow(&self, orchestrator: u8, args: &[&str]) -> Command {
        let mut command = Command::new(crate::program());
        let port = self.port(&format!("h{orchestrator}"));
        command.args(args).current_dir(root()).env("QFLOW_SERVER", format!("http://127.0.0.1:{port}"));
        command.env("QFLOW_TOKEN_FILE", self.folder.join("token")).env_remove("QFLOW_TOKEN");
        command
    }

    /// The same, to its end.
    pub fn run(&self, orchestrator: u8, args: &[&str]) -> Output {
        self.qflow(orchestrator, args).output().expect("qflow starts")
    }

    /// `qflow ARGS…` that asks the health-aggregator, to its end.
    pub fn overseer(&self, args: &[&str]) -> Output {
        let at = format!("http://127.0.0.1:{}", self.port("hg"));
        self.qflow(1, args).env("QFLOW_HEALTH_SERVER", at).output().expect("qflow starts")
    }

    /// A port by the script's name for it.
    pub fn port(&self, name: &str) -> u16 {
        let ports = std::fs::read_to_string(self.folder.join("ports")).expect("the cluster has ports");
        let port = ports.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('=')?.parse().ok());
        port.expect("the port has a name")
    }

    /// `kill -9` of a part: `orchestrator-1`, `runner-2`, `redis`.
    pub fn kill(&self, name: &str) {
        self.signal(name, "-KILL");
    }

    /// Sends a part a signal: `-STOP`, `-CONT`.
    pub fn signal(&self, name: &str, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join(format!("{name}.pid"))).expect("it was started");
        let done = Command::new("kill").args([signal, pid.trim()]).status().expect("kill starts");
        assert!(done.success(), "{name} ran");
    }

    /// The most KiB of memory that a part has held so far.
    pub fn peak_kib(&self, name: &str) -> u64 {
        let pid = std::fs::read_to_string(self.folder.join(format!("{name}.pid"))).expect("it was started");
        let status = std::fs::read_to_string(format!("/proc/{}/status", pid.trim())).expect("it runs");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("Linux tells it");
        peak.trim().trim_end_matches(" kB").parse().expect("a number")
    }

    /// Ends Postgres as a power cut would, and starts it again.
    pub fn restart_postgres(&self) {
        self.postgres("restart");
    }

    /// Stops Postgres.
    pub fn stop_postgres(&self) {
        self.postgres("down");
    }

    fn postgres(&self, verb: &str) {
        let script = root().join("deploy/local/postgres");
        let done = Command::new(script).arg(verb).arg(self.folder.join("postgres")).status();
        assert!(done.expect("the script starts").success(), "Postgres: {verb}");
    }

    /// Sends every process of Postgres a signal: `-STOP`, `-CONT`.
    pub fn signal_postgres(&self, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join("postgres/data/postmaster.pid")).expect("it runs");
        let postmaster = pid.lines().next().expect("its first line is the process").to_owned();
        let send = |pids: Vec<String>| drop(Command::new("kill").arg(signal).args(pids).status());
        // First who would start more of them.
        send(vec![postmaster.clone()]);
        let parent = |pid: &String| {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
            stat.rsplit_once(')')?.1.split_ascii_whitespace().nth(1).map(str::to_owned)
        };
        let entries = std::fs::read_dir("/proc").expect("Linux tells processes").flatten();
        let pids = entries.filter_map(|entry| entry.file_name().into_string().ok());
        send(pids.filter(|pid| parent(pid).as_ref() == Some(&postmaster)).collect());
    }

    /// Takes every connection to Postgres that is to be had, until what is returned is dropped.
    pub fn take_connections(&self) -> Vec<UnixStream> {
        let mut parameters = b"user\0qflow\0database\0postgres\0\0".to_vec();
        let length = (8 + parameters.len()) as u32;
        // Version 3 of the protocol.
        let mut start = [length.to_be_bytes(), 196_608_u32.to_be_bytes()].concat();
        start.append(&mut parameters);
        let mut taken = Vec::new();
        loop {
            let mut stream = UnixStream::connect(self.folder.join("postgres/.s.PGSQL.5432")).expect("Postgres listens");
            stream.write_all(&start).expect("it reads");
            let mut first = [0];
            stream.read_exact(&mut first).expect("it answers");
            match &first {
                // An authentication that asks for nothing.
                b"R" => taken.push(stream),
                b"E" => return taken,
                other => panic!("Postgres says {other:?}"),
            }
        }
    }

    /// What Postgres answers to a query: a line a row.
    pub fn sql(&self, query: &str) -> String {
        let folder = self.folder.join("postgres");
        let mut psql = Command::new("psql");
        psql.args(["-U", "qflow", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-tAc", query]).arg("-h").arg(folder);
        let output = psql.output().expect("psql starts");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    /// Has Redis forget all that it holds.
    pub fn flush_redis(&self) {
        let mut redis = TcpStream::connect(("127.0.0.1", self.port("redis"))).expect("Redis listens");
        redis.write_all(b"FLUSHALL\r\n").expect("it takes a command");
        let mut answer = [0; 5];
        redis.read_exact(&mut answer).expect("it answers");
        assert_eq!(&answer, b"+OK\r\n");
    }

    /// What `/metrics` of an admin port says.
    pub fn metrics(&self, admin: &str) -> String {
        let url = format!("http://127.0.0.1:{}/metrics", self.port(admin));
        let output = Command::new("curl").args(["-fsS", &url]).output().expect("curl starts");
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// The sum of a metric's series there.
    pub fn metric(&self, admin: &str, name: &str) -> f64 {
        let text = self.metrics(admin);
        let series =
            text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        series.map(|line| line.rsplit(' ').next().and_then(|value| value.parse::<f64>().ok()).expect("a value")).sum()
    }

    /// What the health-aggregator answers below `/health`: the code and the object.
    pub fn health(&self, path: &str) -> (u16, serde_json::Value) {
        get(&format!("http://127.0.0.1:{}/health{path}", self.port("hh")))
    }

    /// How long the health-aggregator takes to answer, in milliseconds: the middle one of several times.
    pub fn health_ms(&self) -> f64 {
        let url = format!("http://127.0.0.1:{}/health", self.port("hh"));
        let once = || {
            let mut curl = Command::new("curl");
            let output = curl.args(["-sS", "-o", "/dev/null", "-w", "%{time_total}", &url]).output();
            let text = String::from_utf8_lossy(&output.expect("curl starts").stdout).into_owned();
            text.parse::<f64>().expect("seconds") * 1e3
        };
        let mut times: Vec<f64> = (0..11).map(|_| once()).collect();
        times.sort_by(f64::total_cmp);
        times[5]
    }

    /// The code that an admin port's `/readyz` answers, and what it says.
    pub fn readyz(&self, admin: &str) -> (u16, serde_json::Value) {
        get(&format!("http://127.0.0.1:{}/readyz?verbose", self.port(admin)))
    }

    /// What a part wrote.
    pub fn log(&self, name: &str) -> String {
        std::fs::read_to_string(self.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Where its state is.
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

/// The code and the object that an address answers.
fn get(url: &str) -> (u16, serde_json::Value) {
    let output = Command::new("curl").args(["-sS", "-w", "\n%{http_code}", url]).output().expect("curl starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let (body, code) = text.rsplit_once('\n').expect("the code is the last line");
    (code.parse().expect("a code"), serde_json::from_str(body).unwrap_or_default())
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.script("down");
        std::fs::remove_dir_all(&self.folder).ok();
    }
}
