//! What every gRPC listener answers besides its own service: health, reflection, refusals; and how calls are told.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use http::uri::PathAndQuery;
use qflow_proto::v1::{
    HealthGetRequest, HealthGetResponse, health_aggregator_service_client::HealthAggregatorServiceClient,
};
use qflow_service::{Auth, AuthedChannel, ServeOptions, authed_channel};
use qflow_telemetry::{Telemetry, TraceContext, traces};
use support::Serving;
use tokio::time::{Duration, timeout};
use tonic::{Code, Request, Status, transport::Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};
use tonic_reflection::pb::v1::{
    ServerReflectionRequest, server_reflection_client::ServerReflectionClient,
    server_reflection_request::MessageRequest, server_reflection_response::MessageResponse,
};

fn guarded() -> ServeOptions {
    ServeOptions { auth: Auth::Token("s3cret".into()), loopback_only: true, tls: None }
}

/// A unary call of any path.
async fn call(channel: AuthedChannel, path: &'static str) -> Result<(), Status> {
    let mut grpc = tonic::client::Grpc::new(channel);
    grpc.ready().await?;
    let codec = tonic_prost::ProstCodec::<HealthGetRequest, HealthGetResponse>::default();
    grpc.unary(Request::new(HealthGetRequest {}), PathAndQuery::from_static(path), codec).await.map(drop)
}

const GET: &str = "/qflow.v1.HealthAggregatorService/Get";

#[tokio::test]
async fn health_tells_of_the_services_that_are_served_and_of_no_other() {
    let serving = Serving::start(guarded()).await;
    let mut client = HealthClient::new(authed_channel(&serving.url(), None).unwrap());
    for service in ["", "qflow.v1.HealthAggregatorService"] {
        let answer = client.check(HealthCheckRequest { service: service.into() }).await.unwrap().into_inner();
        assert_eq!(answer.status(), ServingStatus::Serving, "{service}");
    }
    for service in ["qflow.v1.OrchestratorService", "nobody"] {
        let answer = client.check(HealthCheckRequest { service: service.into() }).await;
        assert_eq!(answer.unwrap_err().code(), Code::NotFound, "{service}");
    }
}

#[tokio::test]
async fn reflection_describes_the_services() {
    let serving = Serving::start(guarded()).await;
    let mut client = ServerReflectionClient::new(authed_channel(&serving.url(), None).unwrap());
    let ask = |what| ServerReflectionRequest { host: String::new(), message_request: Some(what) };
    let requests = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol("qflow.v1.OrchestratorService.StartRun".into())),
    ];
    let mut answers = client.server_reflection_info(tokio_stream::iter(requests)).await.unwrap().into_inner();
    let answer = answers.message().await.unwrap().unwrap().message_response;
    let Some(MessageResponse::ListServicesResponse(list)) = answer else { panic!("{answer:?}") };
    let names: Vec<String> = list.service.into_iter().map(|service| service.name).collect();
    for name in ["qflow.v1.OrchestratorService", "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"] {
        assert!(names.iter().any(|n| n == name), "{name}: {names:?}");
    }
    let answer = answers.message().await.unwrap().unwrap().message_response;
    assert!(matches!(answer, Some(MessageResponse::FileDescriptorResponse(_))), "{answer:?}");
}

#[tokio::test]
async fn only_the_very_token_opens_a_method_and_exempt_paths_are_exact() {
    let serving = Serving::start(guarded()).await;
    serving.slow.let_go.add_permits(10);
    let with = |token: Option<&str>| authed_channel(&serving.url(), token).unwrap();
    assert!(call(with(Some("s3cret")), GET).await.is_ok());
    for token in [None, Some("S3CRET"), Some("s3cre"), Some("s3crett"), Some("")] {
        assert_eq!(call(with(token), GET).await.unwrap_err().code(), Code::Unauthenticated, "{token:?}");
    }
    assert!(HealthClient::new(with(None)).check(HealthCheckRequest::default()).await.is_ok());
    for path in ["/grpc.health.v1.Health/check", "/grpc.health.v1.Health/Check/", "/grpc.health.v1.Health/", "/"] {
        assert_eq!(call(with(None), path).await.unwrap_err().code(), Code::Unauthenticated, "{path}");
    }
    let channel = Endpoint::from_shared(serving.url()).unwrap().connect_lazy();
    let mut client = HealthAggregatorServiceClient::with_interceptor(channel, |mut request: Request<()>| {
        request.metadata_mut().insert("authorization", "bEARER s3cret".parse().unwrap());
        Ok(request)
    });
    assert!(client.get(HealthGetRequest {}).await.is_ok(), "the scheme's case does not matter");
}

#[tokio::test]
async fn a_foreign_host_or_origin_is_refused_whatever_it_shows() {
    let serving = Serving::start(guarded()).await;
    serving.slow.let_go.add_permits(10);
    let code = async |authority: &str, origin: Option<&'static str>| {
        let origin_uri = format!("http://{authority}").parse().unwrap();
        let channel = Endpoint::from_shared(serving.url()).unwrap().origin(origin_uri).connect_lazy();
        let mut client = HealthAggregatorServiceClient::with_interceptor(channel, move |mut request: Request<()>| {
            request.metadata_mut().insert("authorization", "Bearer s3cret".parse().unwrap());
            if let Some(origin) = origin {
                request.metadata_mut().insert("origin", origin.parse().unwrap());
            }
            Ok(request)
        });
        client.get(HealthGetRequest {}).await.map_or_else(|status| status.code(), |_| Code::Ok)
    };
    assert_eq!(code("localhost:7401", Some("http://127.0.0.1:3000")).await, Code::Ok);
    assert_eq!(code("evil.example", None).await, Code::PermissionDenied);
    assert_eq!(code("localhost", Some("https://evil.example")).await, Code::PermissionDenied);
    assert_eq!(code("localhost", Some("null")).await, Code::PermissionDenied);
}

fn count(text: &str, family: &str, method: &str, code: &str) -> u64 {
    let series = format!("{family}_count{{rpc_method=\"{method}\",rpc_response_status_code=\"{code}\"}} ");
    text.lines().find_map(|line| line.strip_prefix(&series)).map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn calls_are_told_at_both_ends_and_methods_that_there_are_not_are_folded() {
    let serving = Serving::start(ServeOptions::default()).await;
    serving.slow.let_go.add_permits(10);
    let telemetry = Telemetry::silent();
    let channel = authed_channel(&serving.url(), None).unwrap().telling(&telemetry);
    let trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    traces::within(trace, call(channel.clone(), GET)).await.unwrap();
    for path in ["/qflow.v1.HealthAggregatorService/Nope", "/qflow.v1.Invented/Get", "/evil"] {
        assert_eq!(call(channel.clone(), path).await.unwrap_err().code(), Code::Unimplemented, "{path}");
    }
    let (_, server) = serving.ask("/metrics", "*/*").await;
    let (_, client) = telemetry.render(None);
    let get = "qflow.v1.HealthAggregatorService/Get";
    for (text, family) in [(&server, "rpc_server_call_duration_seconds"), (&client, "rpc_client_call_duration_seconds")]
    {
        assert_eq!(count(text, family, get, "OK"), 1, "{text}");
        assert_eq!(count(text, family, "_OTHER", "UNIMPLEMENTED"), 3, "{text}");
        assert!(!text.contains("Nope") && !text.contains("Invented") && !text.contains("evil"), "{text}");
    }
    let (_, open) = serving.ask("/metrics", "application/openmetrics-text").await;
    let exemplar = "# {trace_id=\"0af7651916cd43dd8448eb211c80319c\",span_id=\"b7ad6b7169203331\"}";
    let has = |line: &str| line.starts_with("rpc_server_call_duration_seconds_bucket") && line.contains(exemplar);
    assert!(open.lines().any(has), "{open}");
    let (_, open) = telemetry.render(Some("application/openmetrics-text"));
    assert!(open.contains(exemplar), "{open}");
}

#[tokio::test]
async fn a_call_that_its_caller_gives_up_is_told_by_its_reason() {
    let serving = Serving::start(ServeOptions::default()).await;
    let telemetry = Telemetry::silent();
    let channel = authed_channel(&serving.url(), None).unwrap().telling(&telemetry);
    let mut late = Request::new(HealthGetRequest {});
    late.set_timeout(Duration::from_secs(1));
    let mut client = HealthAggregatorServiceClient::new(channel);
    assert_eq!(client.get(late).await.unwrap_err().code(), Code::DeadlineExceeded);
    let get = "qflow.v1.HealthAggregatorService/Get";
    let (_, text) = telemetry.render(None);
    assert_eq!(count(&text, "rpc_client_call_duration_seconds", get, "DEADLINE_EXCEEDED"), 1, "{text}");

    let call = tokio::spawn(async move { client.get(HealthGetRequest {}).await });
    serving.slow.entered.acquire_many(2).await.unwrap().forget();
    call.abort();
    // The server tells of both in its own time: of the first as either, since both ends' clocks ran out together.
    let told = async {
        loop {
            let (_, text) = serving.ask("/metrics", "*/*").await;
            let of = |code: &str| count(&text, "rpc_server_call_duration_seconds", get, code);
            if of("CANCELLED") >= 1 && of("CANCELLED") + of("DEADLINE_EXCEEDED") == 2 {
                return;
            }
        }
    };
    timeout(Duration::from_secs(20), told).await.expect("both are told");
    let (_, text) = telemetry.render(None);
    assert_eq!(count(&text, "rpc_client_call_duration_seconds", get, "CANCELLED"), 1, "{text}");
}
