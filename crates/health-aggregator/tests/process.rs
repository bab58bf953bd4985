//! The program itself: what it prints, how it starts and how it ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::{
    collections::HashMap,
    net::SocketAddr,
    process::{ExitStatus, Stdio},
    time::Duration,
};

use http::uri::PathAndQuery;
use qflow_proto::v1::{HealthGetRequest, HealthGetResponse};
use qflow_service::authed_channel;
use serde_json::Value;
use support::{TOKEN, page};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout, Command},
    sync::mpsc,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status};
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

const BOUND: Duration = Duration::from_secs(30);
/// Below the time that calls under way get to end.
const AT_ONCE: Duration = Duration::from_secs(3);

fn program() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qflow-health-aggregator"));
    for listen in ["--health-listen", "--health-http", "--health-admin"] {
        command.args([listen, "127.0.0.1:0"]);
    }
    command.env_clear().stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// The running program and where it listens, by its own lines.
struct Program {
    child: Child,
    lines: Lines<BufReader<ChildStdout>>,
    said: Vec<Value>,
    at: HashMap<String, SocketAddr>,
}

impl Program {
    async fn start(mut command: Command) -> Self {
        let mut child = command.env("QFLOW_SERVICE_TOKEN", TOKEN).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut program = Self { child, lines, said: Vec::new(), at: HashMap::new() };
        let listening = async {
            while program.at.len() < 3 {
                let line: Value = serde_json::from_str(&program.lines.next_line().await.unwrap().unwrap()).unwrap();
                if line["event_type"] == "service_listening" {
                    let address = line["address"].as_str().unwrap().parse().unwrap();
                    program.at.insert(line["listener"].as_str().unwrap().to_owned(), address);
                }
                program.said.push(line);
            }
        };
        timeout(BOUND, listening).await.expect("it listens");
        program
    }

    async fn signal(&self, name: &str) {
        let pid = self.child.id().unwrap().to_string();
        assert!(Command::new("kill").args([name, &pid]).status().await.unwrap().success());
    }

    async fn ended(&mut self, within: Duration) -> ExitStatus {
        timeout(within, self.child.wait()).await.expect("it ends").unwrap()
    }

    /// Begins a call whose message is not sent yet: the call is under way until it is.
    async fn slow_call(&self) -> (mpsc::Sender<HealthGetRequest>, JoinHandle<Result<(), Status>>) {
        let channel = authed_channel(&format!("http://{}", self.at["grpc"]), Some(TOKEN)).unwrap();
        let (message, messages) = mpsc::channel(1);
        let calling = channel.clone();
        let call = tokio::spawn(async move {
            let mut grpc = tonic::client::Grpc::new(calling);
            grpc.ready().await?;
            let codec = tonic_prost::ProstCodec::<HealthGetRequest, HealthGetResponse>::default();
            let path = PathAndQuery::from_static("/qflow.v1.HealthAggregatorService/Get");
            grpc.client_streaming(Request::new(ReceiverStream::new(messages)), path, codec).await.map(drop)
        });
        // Metrics tell a call's end only: that it was taken shows by calls after it on its connection.
        for _ in 0..10 {
            HealthClient::new(channel.clone()).check(HealthCheckRequest::default()).await.unwrap();
        }
        (message, call)
    }
}

#[tokio::test]
async fn at_sigterm_it_is_not_ready_ends_the_call_under_way_and_then_itself() {
    let mut program = Program::start(program()).await;
    let (message, call) = program.slow_call().await;
    program.signal("-TERM").await;
    let admin = program.at["admin"];
    let stopping = async {
        while !page(admin, "/readyz").await.1.contains("stopping") {}
        page(admin, "/readyz").await.0
    };
    assert_eq!(timeout(BOUND, stopping).await.unwrap(), 503);
    assert!(program.child.try_wait().unwrap().is_none() && !call.is_finished());
    let begun = Instant::now();
    message.send(HealthGetRequest {}).await.unwrap();
    drop(message);
    call.await.unwrap().unwrap();
    assert_eq!(program.ended(BOUND).await.code(), Some(0));
    assert!(begun.elapsed() < AT_ONCE, "with the last call it ends");
}

#[tokio::test]
async fn a_second_signal_ends_it_at_once() {
    for (name, code) in [("-TERM", 143), ("-INT", 130)] {
        let mut program = Program::start(program()).await;
        let (_message, _call) = program.slow_call().await;
        program.signal(name).await;
        let admin = program.at["admin"];
        let stopping = async { while !page(admin, "/readyz").await.1.contains("stopping") {} };
        timeout(BOUND, stopping).await.unwrap();
        program.signal(name).await;
        assert_eq!(program.ended(AT_ONCE).await.code(), Some(code));
    }
}

#[tokio::test]
async fn its_lines_are_json_with_the_published_keys_and_tell_wrong_settings() {
    let mut command = program();
    command.env("QFLOW_LOG", "loud").env("OTEL_TRACES_SAMPLER", "odd").env("OTEL_SERVICE_NAME", "mine");
    let mut program = Program::start(command).await;
    program.signal("-TERM").await;
    assert_eq!(program.ended(BOUND).await.code(), Some(0));
    while let Some(line) = program.lines.next_line().await.unwrap() {
        program.said.push(serde_json::from_str(&line).unwrap());
    }
    for line in &program.said {
        for key in ["@timestamp", "log.level", "message", "ecs.version", "timestamp", "level", "event_type"] {
            assert!(line[key].is_string(), "{key}: {line}");
        }
        assert_eq!((&line["service.name"], &line["module"]), (&"mine".into(), &"health-aggregator".into()), "{line}");
    }
    for wrong in ["QFLOW_LOG is `loud`", "OTEL_TRACES_SAMPLER is `odd`"] {
        let told = |line: &Value| {
            line["event_type"] == "setting_ignored" && line["message"].as_str().is_some_and(|m| m.contains(wrong))
        };
        assert!(program.said.iter().any(told), "{wrong}: {:?}", program.said);
    }
}

/// The exit code and the message of the program's last line.
async fn refused(settings: &[(&str, &str)]) -> (Option<i32>, String) {
    let output = timeout(BOUND, program().envs(settings.iter().copied()).output()).await.unwrap().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let line: Value = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    assert_eq!((&line["event_type"], &line["level"]), (&"service_failed".into(), &"ERROR".into()), "{line}");
    (output.status.code(), line["message"].as_str().unwrap().to_owned())
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_a_clear_error() {
    let folder = tempfile::tempdir().unwrap();
    let (absent, empty) = (folder.path().join("absent"), folder.path().join("empty"));
    std::fs::write(&empty, "\n").unwrap();
    let (absent, empty) = (absent.to_str().unwrap(), empty.to_str().unwrap());
    let (file, token) = ("QFLOW_SERVICE_TOKEN_FILE", "QFLOW_SERVICE_TOKEN");
    for (settings, said) in [
        (&[][..], "no service starts without authentication".to_owned()),
        (&[(file, absent)], format!("read secret file `{absent}`: No such file")),
        (&[(file, empty)], format!("secret file `{empty}` is empty")),
        (&[(token, "")], "the secret is set and empty".to_owned()),
        (&[(token, "x"), (file, empty)], "not both".to_owned()),
    ] {
        let (code, message) = refused(settings).await;
        assert!(code == Some(1) && message.contains(&said), "{said}: {code:?} {message}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let args = ["--health-http", address.as_str()];
    let mut command = Command::new(env!("CARGO_BIN_EXE_qflow-health-aggregator"));
    command.env_clear().env(token, "x").args(["--health-listen", "127.0.0.1:0"]).args(args);
    let output = timeout(BOUND, command.output()).await.unwrap().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains(&format!("listen on {address}")) && output.status.code() == Some(1), "{said}");
}
