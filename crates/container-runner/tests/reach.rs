//! The program, and orchestrators that do not answer: it says so, once, and is not ready before one has.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
};

use qflow_proto::v1::{self, work_response::Message as Say};
use qflow_service::{Auth, ServeOptions};
use support::orchestrator::{Desk, LOOK, Line, hello_of_the_only_one};

/// How long a fact may take, on a machine with much else to do.
const PATIENCE: std::time::Duration = std::time::Duration::from_mins(2);

/// The program with its folder; killed when dropped.
struct Program {
    process: Child,
    admin: SocketAddr,
    folder: Option<tempfile::TempDir>,
}

/// An address that was free.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Program {
    fn start(seed: &str, token: &str) -> Self {
        Self::start_in(tempfile::Builder::new().prefix("qf").tempdir_in("/tmp").unwrap(), seed, token)
    }

    fn start_in(folder: tempfile::TempDir, seed: &str, token: &str) -> Self {
        let (admin, log) = (free(), std::fs::File::create(folder.path().join("log")).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_qflow-container-runner"));
        command.args(["--runtime", "process", "--runner-listen", "127.0.0.1:0", "--orchestrator-urls", seed]);
        command.arg("--runner-admin").arg(admin.to_string()).arg("--data-dir").arg(folder.path());
        command.env("QFLOW_SERVICE_TOKEN", token).env_remove("QFLOW_LOG").env("QFLOW_LOG_FORMAT", "json");
        let process = command.stdout(log).stderr(Stdio::null()).spawn().unwrap();
        Self { process, admin, folder: Some(folder) }
    }

    fn path(&self) -> &std::path::Path {
        self.folder.as_ref().unwrap().path()
    }

    /// `kill -9`; what it kept.
    fn kill(mut self) -> tempfile::TempDir {
        self.folder.take().unwrap()
    }

    /// The lines of an event that name something.
    fn lines(&self, event: &str, of: &str) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.path().join("log")).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        let named = |line: &serde_json::Value| line["message"].as_str().is_some_and(|said| said.contains(of));
        lines.filter(|line| line["event_type"] == event && named(line)).collect()
    }

    async fn told(&self, event: &str, of: &str) -> String {
        let line = async {
            loop {
                match self.lines(event, of).first() {
                    Some(line) => return line["message"].as_str().unwrap().to_owned(),
                    None => tokio::time::sleep(LOOK).await,
                }
            }
        };
        tokio::time::timeout(PATIENCE, line).await.unwrap_or_else(|_| panic!("{event} of {of} is told"))
    }

    fn ready(&self) -> String {
        let mut answer = String::new();
        let mut stream = TcpStream::connect(self.admin).unwrap();
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
        stream.read_to_string(&mut answer).unwrap();
        answer.lines().next().unwrap().to_owned() + answer.lines().last().unwrap()
    }

    /// Waits until that is its readiness.
    async fn becomes(&self, told: &str) {
        let becomes = async {
            while self.ready() != told {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(PATIENCE, becomes).await.unwrap_or_else(|_| panic!("{} becomes {told}", self.ready()));
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

const UNREACHABLE: &str = "orchestrator_unreachable";
const NOT_READY: &str =
    r#"HTTP/1.1 503 Service Unavailable{"status":"unavailable","checks":{"orchestrator":false,"runtime":true}}"#;
const READY: &str = r#"HTTP/1.1 200 OK{"status":"ok","checks":{"orchestrator":true,"runtime":true}}"#;

async fn answer(line: &Line, peers: Vec<String>) {
    let Say::Hello(hello) = hello_of_the_only_one() else { panic!("no hello") };
    let hello = Say::Hello(v1::OrchestratorHello { peers, ..hello });
    line.1.send(Ok(v1::WorkResponse { message: Some(hello) })).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_orchestrator_that_is_not_there_is_told_once_and_so_is_that_it_answers() {
    let (seed, other) = (free(), free());
    let program = Program::start(&format!("http://{seed}"), "secret");
    let said = program.told(UNREACHABLE, &seed.to_string()).await;
    assert!(said.contains("Unavailable: ") && said.contains("Connection refused"), "{said}");
    program.becomes(NOT_READY).await;

    // It comes, and knows of others that runners cannot reach.
    let mut desk = Desk::open_at(&seed.to_string(), ServeOptions::default()).await;
    let line = desk.opened.recv().await.unwrap();
    answer(&line, vec![format!("http://{other}"), "banana".into()]).await;
    program.told("orchestrator_reached", &seed.to_string()).await;
    program.becomes(READY).await;
    program.told(UNREACHABLE, &other.to_string()).await;
    program.told(UNREACHABLE, "banana").await;
    let all = program.lines(UNREACHABLE, "");
    assert_eq!(all.len(), 3, "each once: {all:#?}");

    // Where it listens is told once as well.
    for listener in ["grpc", "admin"] {
        let lines = program.lines("service_listening", &format!("for {listener} "));
        assert_eq!(lines.len(), 1, "{lines:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_not_the_orchestrators_is_told_with_what_to_set() {
    let options = ServeOptions { auth: Auth::Token("right".into()), ..ServeOptions::default() };
    let desk = Desk::open_at("127.0.0.1:0", options).await;
    let program = Program::start(&desk.url, "wrong");
    let said = program.told(UNREACHABLE, &desk.url).await;
    assert!(said.contains("Unauthenticated: ") && said.contains("QFLOW_SERVICE_TOKEN"), "{said}");
    program.becomes(NOT_READY).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_starts_again_finds_those_it_knew_though_the_one_it_was_given_is_gone() {
    let mut seed = Desk::open().await;
    let mut other = Desk::open().await;
    let (both, address) = (vec![seed.url.clone(), other.url.clone()], seed.url.clone());
    let program = Program::start(&address, "secret");
    answer(&seed.opened.recv().await.unwrap(), both.clone()).await;
    let line = other.opened.recv().await.unwrap();
    answer(&line, both).await;
    let kept = async {
        let journal = || std::fs::read_to_string(program.path().join("runner/journal")).unwrap_or_default();
        while !journal().contains(&other.url) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(PATIENCE, kept).await.expect("it keeps whom it was told of");
    assert!(program.lines("orchestrators_remembered", "").is_empty(), "one that it was given answers");
    let folder = program.kill();
    drop((seed, line));

    let program = Program::start_in(folder, &address, "secret");
    let again = tokio::time::timeout(PATIENCE, other.opened.recv()).await.expect("it finds the other").unwrap();
    answer(&again, vec![other.url.clone()]).await;
    let said = program.told("orchestrators_remembered", &other.url).await;
    assert!(said.contains("none of QFLOW_ORCHESTRATOR_URLS answers") && !said.contains(&address), "{said}");
    program.becomes(READY).await;
}
