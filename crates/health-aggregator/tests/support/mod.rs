//! Doubles of the services that the aggregator asks, over real sockets, and a reader of its pages.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]
#![allow(dead_code, reason = "each test needs some of it")]

use std::{net::SocketAddr, sync::Arc};

use axum::{Router, extract::Request, routing::post};
use qflow_proto::v1::{
    OverviewRequest, OverviewResponse, PythonCondition, RunnerCondition, RunnerOverview, TelemetryOverview,
};
use qflow_service::{Auth, ServeOptions, Shutdown, bind, serve_grpc};
use qflow_telemetry::Telemetry;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::watch,
};
use tonic::{Response, Status, service::Routes};

pub(crate) const TOKEN: &str = "t0ken";

/// What the double does when it is asked for its overview.
#[derive(Clone)]
pub(crate) enum Says {
    Overview(Box<OverviewResponse>),
    Nothing,
}

impl Says {
    pub(crate) fn overview(overview: OverviewResponse) -> Self {
        Self::Overview(Box::new(overview))
    }
}

/// An orchestrator, as far as the aggregator knows it.
pub(crate) struct Orchestrator {
    pub(crate) url: String,
    pub(crate) says: watch::Sender<Says>,
    /// How often it was asked.
    pub(crate) asked: watch::Receiver<u32>,
}

impl Orchestrator {
    pub(crate) async fn start(says: Says) -> Self {
        let (says, told) = watch::channel(says);
        let (count, asked) = watch::channel(0);
        let count = Arc::new(count);
        let answer = move |_: tonic::Request<OverviewRequest>| {
            // Counted first: whoever is counted after a change of what is said, hears the change.
            count.send_modify(|times| *times += 1);
            let told = told.borrow().clone();
            async move {
                match told {
                    Says::Overview(overview) => Ok(Response::new(*overview)),
                    Says::Nothing => std::future::pending::<Result<_, Status>>().await,
                }
            }
        };
        let overview = post(move |request: Request| {
            let answer = answer.clone();
            async move {
                let codec = tonic_prost::ProstCodec::<OverviewResponse, OverviewRequest>::default();
                tonic::server::Grpc::new(codec).unary(tower::service_fn(answer), request).await
            }
        });
        let routes = Routes::from(Router::new().route("/qflow.v1.OrchestratorService/Overview", overview));
        Self { url: listen(routes).await, says, asked }
    }
}

/// A type-validator, as far as the aggregator knows it: something that serves.
pub(crate) async fn validator() -> String {
    listen(Routes::from(Router::new())).await
}

/// Serves that; where.
pub(crate) async fn listen(routes: Routes) -> String {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let options = ServeOptions { auth: Auth::Token(TOKEN.into()), ..ServeOptions::default() };
    tokio::spawn(serve_grpc(listener, routes, options, Telemetry::silent(), Shutdown::new()));
    url
}

/// A runtime in good health.
fn condition() -> RunnerCondition {
    let python = |version: &str, is_there, warm| PythonCondition {
        version: version.into(),
        is_there,
        is_wanted: is_there,
        warm,
        smoke_age_seconds: if is_there { 60.0 } else { -1.0 },
        smoke_error: String::new(),
    };
    RunnerCondition {
        age_seconds: 1.0,
        runtime_away: false,
        ping_ms: 1.5,
        total_containers: 3,
        running_containers: 2,
        disk_bytes: 100 << 30,
        disk_free_bytes: 50 << 30,
        pythons: vec![python("3.8", false, 0), python("3.9", true, 0), python("3.10", true, 2)],
        runtime_version: "27.1".into(),
    }
}

/// An embedded system in good health.
pub(crate) fn embedded() -> OverviewResponse {
    let runner = RunnerOverview {
        runner_id: "runner-1".into(),
        runtime: "docker".into(),
        runtime_version: "27.1".into(),
        python_versions: vec!["3.10".into(), "3.9".into()],
        slots: 4,
        running: 1,
        containers: 3,
        age_seconds: 0.5,
        blobs_away: false,
        condition: Some(condition()),
        build_version: "0.1.0".into(),
    };
    OverviewResponse {
        runners: vec![runner.clone(), RunnerOverview { runner_id: "runner-2".into(), running: 2, ..runner }],
        runs_pending: 1,
        runs_running: 2,
        executions_last_hour: 40,
        failed_last_hour: 1,
        queue_depth: 3,
        sight_age_seconds: 0.5,
        oldest_queued_seconds: 0.25,
        store: "sqlite".into(),
        store_latency_ms: 0.123,
        bus: "memory".into(),
        bus_down: false,
        blobs: "file".into(),
        blobs_away: false,
        stranded: Vec::new(),
        failed_user_last_hour: 1,
        failed_platform_last_hour: 0,
        store_down: false,
        store_late: false,
        telemetry: Some(TelemetryOverview {
            scrape_age_seconds: 5.0,
            spans_dropped: 0,
            log_lines_dropped: 0,
            drop_age_seconds: -1.0,
            process: 7,
        }),
    }
}

/// The status and the body that `GET path` answers.
pub(crate) async fn page(address: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

/// The status and the JSON that `GET path` answers.
pub(crate) async fn health(address: SocketAddr, path: &str) -> (u16, serde_json::Value) {
    let (status, body) = page(address, path).await;
    (status, serde_json::from_str(&body).unwrap())
}
