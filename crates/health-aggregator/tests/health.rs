//! The seed's pages, over real sockets: what they hold, and that they are there at once whatever hangs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::{net::SocketAddr, time::Duration};

use clap::Parser;
use qflow_health_aggregator::{Config, serve};
use qflow_proto::v1::{
    Health, HealthGetRequest, HealthWatchRequest, health_aggregator_service_client::HealthAggregatorServiceClient,
};
use qflow_service::{Listening, Shutdown, authed_channel};
use qflow_telemetry::Telemetry;
use serde_json::{Value, json};
use support::{Orchestrator, Says, TOKEN, embedded, health, page, validator};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::oneshot,
    task::JoinHandle,
    time::{Instant, timeout},
};
use tonic::Code;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    config: Config,
}

/// The aggregator, asking the given services every second.
struct Aggregator {
    at: Listening,
    shutdown: Shutdown,
    served: JoinHandle<anyhow::Result<()>>,
}

impl Aggregator {
    async fn start(orchestrators: &str, validator: &str) -> Self {
        Self::start_with(orchestrators, validator, &["--loopback-only"]).await
    }

    async fn start_with(orchestrators: &str, validator: &str, more: &[&str]) -> Self {
        let mut line = vec!["x", "--orchestrator-urls", orchestrators, "--type-validator-url", validator];
        for listen in ["--health-listen", "--health-http", "--health-admin"] {
            line.extend([listen, "127.0.0.1:0"]);
        }
        line.extend(["--service-token", TOKEN, "--probe-seconds", "1"]);
        line.extend(more);
        let config = Line::parse_from(line).config;
        let (shutdown, (sender, receiver)) = (Shutdown::new(), oneshot::channel());
        let served = tokio::spawn(serve(config, Telemetry::silent(), shutdown.clone(), sender));
        Self { at: receiver.await.unwrap(), shutdown, served }
    }

    fn http(&self) -> SocketAddr {
        self.at.http.unwrap()
    }

    /// Waits until every part was probed.
    async fn ready(&self) {
        until(async || page(self.at.admin.unwrap(), "/readyz").await.0 == 200).await;
    }

    fn client(&self) -> HealthAggregatorServiceClient<qflow_service::AuthedChannel> {
        HealthAggregatorServiceClient::new(authed_channel(&format!("http://{}", self.at.grpc), Some(TOKEN)).unwrap())
    }
}

const BOUND: Duration = Duration::from_secs(30);

/// Asks again until it is so.
async fn until(mut so: impl AsyncFnMut() -> bool) {
    let asked = async { while !so().await {} };
    timeout(BOUND, asked).await.expect("it becomes so");
}

async fn gone() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    format!("http://{}", listener.local_addr().unwrap())
}

/// The answer without what differs each time.
fn steady(mut body: Value) -> Value {
    for part in body["checks"].as_object_mut().unwrap().values_mut() {
        assert!(part["response_time_ms"].is_f64() && part["age_seconds"].is_f64(), "{part}");
        part["age_seconds"] = json!("…");
        if part["response_time_ms"] != json!(0.12) {
            part["response_time_ms"] = json!("…");
        }
        if part["versions"].is_array() {
            part["versions"] = json!(["…"]);
        }
    }
    assert!(body["timestamp"].as_str().is_some_and(|at| at.starts_with("20") && at.ends_with('Z')), "{body}");
    assert_eq!(body["version"], env!("CARGO_PKG_VERSION"));
    body["timestamp"] = json!("…");
    body["version"] = json!("…");
    body
}

#[tokio::test]
async fn the_pages_hold_the_seeds_keys() {
    let orchestrator = Orchestrator::start(Says::overview(embedded())).await;
    let aggregator = Aggregator::start(&orchestrator.url, &validator().await).await;
    aggregator.ready().await;
    // What the type-validator says of its telemetry is told with the next answer of an orchestrator.
    let services = async || health(aggregator.http(), "/health/telemetry").await.1["services"].clone();
    until(async || services().await["type_validator"].is_object()).await;
    let (status, whole) = health(aggregator.http(), "/health").await;
    assert_eq!(status, 200);
    insta::assert_json_snapshot!(steady(whole.clone()));
    let parts = [
        ("database", "database"),
        ("redis", "redis"),
        ("containers", "docker"),
        ("python", "python_environments"),
        ("workflows", "workflows"),
        ("blobs", "blobs"),
        ("telemetry", "telemetry"),
        ("orchestrator", "orchestrator"),
    ];
    for (path, check) in parts {
        let (status, part) = health(aggregator.http(), &format!("/health/{path}")).await;
        let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!((status, keys(&part)), (200, keys(&whole["checks"][check])), "{path}");
    }
    let nowhere = (404, json!({"status": "unknown", "error": "no_such_check"}));
    assert_eq!(health(aggregator.http(), "/health/nowhere").await, nowhere);
    aggregator.shutdown.trigger();
    aggregator.served.await.unwrap().unwrap();
}

#[tokio::test]
async fn only_what_is_critical_makes_the_whole_unhealthy() {
    let mut sick = embedded();
    sick.failed_last_hour = 20;
    let orchestrator = Orchestrator::start(Says::overview(sick)).await;
    let aggregator = Aggregator::start(&orchestrator.url, &validator().await).await;
    aggregator.ready().await;
    let (status, whole) = health(aggregator.http(), "/health").await;
    assert_eq!(
        (status, &whole["status"], &whole["checks"]["workflows"]["status"]),
        (200, &json!("degraded"), &json!("degraded"))
    );

    let mut idle = embedded();
    idle.runners.clear();
    orchestrator.says.send_replace(Says::overview(idle));
    until(async || health(aggregator.http(), "/health").await.0 == 503).await;
    let (status, part) = health(aggregator.http(), "/health/containers").await;
    assert_eq!((status, &part["error"], &part["critical"]), (503, &json!("no_runner"), &json!(true)));
    assert_eq!(health(aggregator.http(), "/health/python").await.0, 200, "it is not critical");
}

#[tokio::test]
async fn answers_come_from_the_cache_at_once_while_a_dependency_hangs() {
    let orchestrator = Orchestrator::start(Says::overview(embedded())).await;
    let aggregator = Aggregator::start(&orchestrator.url, &validator().await).await;
    aggregator.ready().await;
    orchestrator.says.send_replace(Says::Nothing);
    let (mut asked, before) = (orchestrator.asked.clone(), *orchestrator.asked.borrow());
    asked.wait_for(|times| *times > before).await.unwrap();
    let mut took = Vec::new();
    let mut ages = Vec::new();
    for _ in 0..21 {
        let begun = Instant::now();
        let (status, whole) = health(aggregator.http(), "/health").await;
        took.push(begun.elapsed());
        assert_eq!((status, &whole["status"]), (200, &json!("healthy")));
        ages.push(whole["checks"]["database"]["age_seconds"].as_f64().unwrap());
    }
    took.sort();
    assert!(took[took.len() / 2] < Duration::from_millis(50), "{took:?}");
    assert!(ages.is_sorted() && ages.iter().all(|age| (0.0..5.0).contains(age)), "{ages:?}");
    // Past its time the probe is given up, and the page says so.
    until(async || health(aggregator.http(), "/health").await.0 == 503).await;
    let (status, part) = health(aggregator.http(), "/health/orchestrator").await;
    assert_eq!(status, 503);
    assert!(["timeout", "stale"].contains(&part["error"].as_str().unwrap()), "{part}");
    let explains = part["explains"].as_array().unwrap();
    assert!(explains.contains(&json!("database")) && explains.contains(&json!("workflows")), "{part}");
    let (status, part) = health(aggregator.http(), "/health/database").await;
    assert_eq!((status, &part["error"], &part["cause"]), (200, &json!("not_known"), &json!("orchestrator")));
    assert_eq!(health(aggregator.http(), "/health").await.1["checks"]["type_validator"]["status"], "healthy");
}

#[tokio::test]
async fn an_orchestrator_that_answers_and_does_not_come_round_is_stale_and_what_it_saw_is_not_known() {
    let orchestrator = Orchestrator::start(Says::overview(embedded())).await;
    let aggregator = Aggregator::start(&orchestrator.url, &validator().await).await;
    aggregator.ready().await;
    let stalled = qflow_proto::v1::OverviewResponse { sight_age_seconds: 100.0, ..embedded() };
    orchestrator.says.send_replace(Says::overview(stalled));
    until(async || health(aggregator.http(), "/health").await.0 == 503).await;
    let whole = health(aggregator.http(), "/health").await.1;
    let of = |name: &str| &whole["checks"][name];
    let told = of("orchestrator");
    assert_eq!((&told["error"], &told["engine_age_seconds"]), (&json!("stale"), &json!(100.0)), "{whole}");
    for name in ["docker", "python_environments"] {
        let told = (&of(name)["status"], &of(name)["error"], &of(name)["cause"]);
        assert_eq!(told, (&json!("degraded"), &json!("not_known"), &json!("orchestrator")), "{name}: {whole}");
    }
    let waits = of("workflows");
    assert_eq!((&waits["error"], &waits["cause"]), (&json!("stale"), &json!("orchestrator")), "{whole}");
    assert!(waits["age_seconds"].as_f64() >= Some(100.0), "{whole}");
    assert_eq!(of("database")["status"], "healthy", "it says so itself: {whole}");
}

#[tokio::test]
async fn whoever_watches_hears_again_though_nothing_was_found() {
    let orchestrator = Orchestrator::start(Says::overview(embedded())).await;
    let rare = ["orchestrator", "type-validator", "overview"].map(|probe| format!("--probe-{probe}-seconds=60"));
    let more = ["--loopback-only", &rare[0], &rare[1], &rare[2]];
    let aggregator = Aggregator::start_with(&orchestrator.url, &validator().await, &more).await;
    aggregator.ready().await;
    let mut told = aggregator.client().watch(HealthWatchRequest {}).await.unwrap().into_inner();
    let mut ages = Vec::new();
    while ages.len() < 4 {
        let health = timeout(BOUND, told.message()).await.unwrap().unwrap().unwrap().health.unwrap();
        ages.push(health.checks.iter().find(|check| check.name == "database").unwrap().age_seconds);
    }
    assert!(ages.is_sorted() && ages[3] > ages[1] && ages[3] < 30.0, "{ages:?}");
}

#[tokio::test]
async fn any_orchestrator_of_several_will_do() {
    let orchestrator = Orchestrator::start(Says::overview(embedded())).await;
    let urls = format!("{},{}", gone().await, orchestrator.url);
    let aggregator = Aggregator::start(&urls, &validator().await).await;
    aggregator.ready().await;
    let (status, whole) = health(aggregator.http(), "/health").await;
    assert_eq!((status, &whole["status"]), (200, &json!("degraded")));
    let orchestrator = &whole["checks"]["orchestrator"];
    assert_eq!((&orchestrator["error"], &orchestrator["serving"]), (&json!("replica_away"), &json!(1)), "{whole}");
    assert_eq!(orchestrator["versions"], json!([env!("CARGO_PKG_VERSION")]));
    for (name, check) in whole["checks"].as_object().unwrap().iter().filter(|(name, _)| *name != "orchestrator") {
        let well = ["healthy", "not_configured"].contains(&check["status"].as_str().unwrap());
        assert!(well, "{name}: {whole}");
    }
}

#[tokio::test]
async fn one_replica_that_hangs_makes_nothing_unhealthy_however_little_patience_there_is() {
    let orchestrator = Orchestrator::start(Says::overview(embedded())).await;
    let hangs = Orchestrator::start(Says::Nothing).await;
    // One more takes connections, and answers to nothing at all.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let urls = format!("{},{},http://{}", orchestrator.url, hangs.url, mute.local_addr().unwrap());
    let more = ["--loopback-only", "--probe-timeout-ms=1000"];
    let aggregator = Aggregator::start_with(&urls, &validator().await, &more).await;
    aggregator.ready().await;
    // It is asked more often than it takes for a part to count as down.
    hangs.asked.clone().wait_for(|times| *times > 4).await.unwrap();
    let (status, whole) = health(aggregator.http(), "/health").await;
    assert_eq!((status, &whole["status"]), (200, &json!("degraded")), "{whole}");
    let told = |part: &str| (whole["checks"][part]["status"].clone(), whole["checks"][part]["error"].clone());
    assert_eq!(told("orchestrator"), (json!("degraded"), json!("replica_away")), "{whole}");
    assert_eq!(told("database"), (json!("healthy"), Value::Null), "{whole}");
}

#[tokio::test]
async fn with_nothing_to_reach_the_service_answers_that_nothing_is_well() {
    let aggregator = Aggregator::start(&gone().await, &gone().await).await;
    aggregator.ready().await;
    let (status, whole) = health(aggregator.http(), "/health").await;
    assert_eq!((status, &whole["status"]), (503, &json!("unhealthy")));
    for (name, check) in whole["checks"].as_object().unwrap() {
        // What only an orchestrator tells of is not known, and nothing that fails by itself.
        let told = match name.as_str() {
            "orchestrator" | "type_validator" => ("unhealthy", "unreachable"),
            _ => ("degraded", "not_known"),
        };
        let cause =
            if name == "orchestrator" || name == "type_validator" { Value::Null } else { json!("orchestrator") };
        assert_eq!(check["cause"], cause, "{name}: {whole}");
        assert_eq!((&check["status"], &check["error"]), (&json!(told.0), &json!(told.1)), "{name}: {whole}");
    }
}

#[tokio::test]
async fn a_service_that_stands_still_is_told_as_such_however_often_it_is_asked() {
    // It takes connections, which keep-alive ends every ten seconds, and says nothing.
    let mute = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", mute.local_addr().unwrap());
    let more = ["--loopback-only", "--probe-timeout-ms=3000"];
    let aggregator = Aggregator::start_with(&gone().await, &url, &more).await;
    aggregator.ready().await;
    until(async || {
        let told = health(aggregator.http(), "/health/type_validator").await.1;
        assert_eq!(told["error"], "timeout", "{told}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        told["consecutive_failures"].as_u64() > Some(5)
    })
    .await;
}

fn check<'a>(health: &'a Health, name: &str) -> (&'a str, &'a str) {
    let check = health.checks.iter().find(|check| check.name == name).unwrap();
    (&check.status, &check.error)
}

#[tokio::test]
async fn whoever_watches_hears_each_change_and_is_let_go_at_the_stop() {
    let orchestrator = Orchestrator::start(Says::overview(embedded())).await;
    let aggregator = Aggregator::start(&orchestrator.url, &validator().await).await;
    aggregator.ready().await;
    let answer = aggregator.client().get(HealthGetRequest {}).await.unwrap().into_inner().health.unwrap();
    let docker = answer.checks.iter().find(|check| check.name == "docker").unwrap();
    let facts: Value = serde_json::from_slice(&docker.facts_json).unwrap();
    assert_eq!((&facts["docker_version"], answer.version.as_str()), (&json!("27.1"), env!("CARGO_PKG_VERSION")));
    assert_eq!(
        (answer.status.as_str(), check(&answer, "database"), check(&answer, "redis")),
        ("healthy", ("healthy", ""), ("not_configured", ""))
    );
    let mut changes = aggregator.client().watch(HealthWatchRequest {}).await.unwrap().into_inner();
    let mut idle = embedded();
    idle.runners.clear();
    orchestrator.says.send_replace(Says::overview(idle));
    let unhealthy = async {
        while let Some(answer) = changes.message().await.unwrap() {
            let health = answer.health.unwrap();
            if health.status == "unhealthy" {
                return check(&health, "docker") == ("unhealthy", "no_runner");
            }
        }
        false
    };
    assert!(timeout(BOUND, unhealthy).await.unwrap());
    let begun = Instant::now();
    aggregator.shutdown.trigger();
    while changes.message().await.unwrap().is_some() {}
    aggregator.served.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "no stream held up the stop");
}

#[tokio::test]
async fn grpc_needs_the_token_and_the_pages_a_host_of_this_machine() {
    let aggregator = Aggregator::start(&gone().await, &gone().await).await;
    let channel = authed_channel(&format!("http://{}", aggregator.at.grpc), None).unwrap();
    let refused = HealthAggregatorServiceClient::new(channel).get(HealthGetRequest {}).await.unwrap_err();
    assert_eq!(refused.code(), Code::Unauthenticated);
    let mut stream = tokio::net::TcpStream::connect(aggregator.http()).await.unwrap();
    stream.write_all(b"GET /health HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}

#[tokio::test]
async fn who_runs_what_is_told_to_those_alone_who_may_call() {
    let both = Aggregator::start_with(&gone().await, &gone().await, &["--client-token", "clients"]).await;
    let services = Aggregator::start_with(&gone().await, &gone().await, &[]).await;
    let asked = async |aggregator: &Aggregator, path: &str, token: Option<&str>| {
        let shown = token.map_or_else(String::new, |token| format!("Authorization: Bearer {token}\r\n"));
        let mut stream = tokio::net::TcpStream::connect(aggregator.http()).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: a\r\n{shown}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = [0; 12];
        stream.read_exact(&mut head).await.unwrap();
        String::from_utf8_lossy(&head[9..]).into_owned()
    };
    for path in ["/monitoring/status", "/monitoring/stream"] {
        for aggregator in [&both, &services] {
            assert_eq!(asked(aggregator, path, None).await, "401", "{path}");
            assert_eq!(asked(aggregator, path, Some("wrong")).await, "401", "{path}");
            assert_eq!(asked(aggregator, path, Some(TOKEN)).await, "200", "{path}");
        }
        assert_eq!(asked(&both, path, Some("clients")).await, "200", "{path}");
        assert_eq!(asked(&services, path, Some("clients")).await, "401", "{path}");
    }
    assert_ne!(asked(&both, "/health", None).await, "401", "load balancers have no token");
    // That nothing is there is no secret.
    for path in ["/", "/health/", "/nope", "/monitoring", "/monitoring/nope"] {
        assert_eq!(asked(&both, path, None).await, "404", "{path}");
    }
    let local = Aggregator::start(&gone().await, &gone().await).await;
    assert_eq!(page(local.http(), "/monitoring/status").await.0, 200, "nobody else reaches this machine's loopback");
}

#[tokio::test]
async fn no_service_starts_without_authentication() {
    let config = Line::parse_from(["x", "--health-listen", "127.0.0.1:0", "--health-http", "127.0.0.1:0"]).config;
    let (sender, _receiver) = oneshot::channel();
    let error = serve(config, Telemetry::silent(), Shutdown::new(), sender).await.unwrap_err();
    assert!(error.to_string().contains("QFLOW_SERVICE_TOKEN_FILE"), "{error}");
}
