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
    folder: tempfile::TempDir,
}

/// An address that was free.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

impl Program {
    fn start(seed: &str, token: &str) -> Self {
        let folder = tempfile::Builder::new().prefix("qf").tempdir_in("/tmp").unwrap();
        let (admin, log) = (free(), std::fs::File::create(folder.path().join("log")).unwrap());
        let mut command = Command::new(env!("CARGO_BIN_EXE_qflow-container-runner"));
        command.args(["--runtime", "process", "--runner-listen", "127.0.0.1:0", "--orchestrator-urls", seed]);
        command.arg("--runner-admin").arg(admin.to_string()).arg("--data-dir").arg(folder.path());
        command.env("QFLOW_SERVICE_TOKEN", token).env_remove("QFLOW_LOG").env("QFLOW_LOG_FORMAT", "json");
        let process = command.stdout(log).stderr(Stdio::null()).spawn().unwrap();
        Self { process, admin, folder }
    }

    /// The lines of an event that name something.
    fn lines(&self, event: &str, of: &str) -> Vec<serde_json::Value> {
        let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap();
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
}

impl Drop for Program {
    fn drop(&mut self) {
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

const UNREACHABLE: &str = "orchestrator_unreachable";
const NOT_READY: &str = r#"HTTP/1.1 503 Service Unavailable{"status":"unavailable","checks":{"orchestrator":false}}"#;
const READY: &str = r#"HTTP/1.1 200 OK{"status":"ok","checks":{"orchestrator":true}}"#;

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
    assert_eq!(program.ready(), NOT_READY);

    // It comes, and knows of others that runners cannot reach.
    let mut desk = Desk::open_at(&seed.to_string(), ServeOptions::default()).await;
    let line = desk.opened.recv().await.unwrap();
    answer(&line, vec![format!("http://{other}"), "banana".into()]).await;
    program.told("orchestrator_reached", &seed.to_string()).await;
    assert_eq!(program.ready(), READY);
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
    assert_eq!(program.ready(), NOT_READY);
}
