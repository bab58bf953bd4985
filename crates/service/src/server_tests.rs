use super::*;
use crate::channel;
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

async fn serving(options: ServeOptions) -> (SocketAddr, Shutdown, tokio::task::JoinHandle<Result<(), ServeError>>) {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let shutdown = Shutdown::new();
    let routes = Routes::from(Router::new());
    let task = tokio::spawn(serve_grpc(listener, routes, options, Telemetry::silent(), shutdown.clone()));
    (address, shutdown, task)
}

#[tokio::test]
async fn health_answers_on_a_port_of_its_own_choosing_and_the_server_stops_when_told() {
    let (address, shutdown, task) = serving(ServeOptions { loopback_only: true, ..ServeOptions::default() }).await;
    let mut client = HealthClient::new(channel(&format!("http://{address}")).unwrap());
    let answer = client.check(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(answer.status(), ServingStatus::Serving);
    drop(client);
    shutdown.trigger();
    task.await.unwrap().unwrap();
}

async fn asked(router: Router, request: http::request::Builder) -> Response {
    use tower::ServiceExt as _;
    router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn guarded() -> Router {
    let edge = Edge { auth: Auth::Token("t".into()), loopback_only: true, telemetry: Telemetry::silent() };
    protect(Router::new().route("/x", axum::routing::get(|| async { "ok" })), edge)
}

#[tokio::test]
async fn a_foreign_host_or_origin_and_a_missing_token_are_refused() {
    let get = || http::Request::get("/x").header("authorization", "Bearer t");
    assert_eq!(asked(guarded(), get().header("host", "127.0.0.1:7400")).await.status(), StatusCode::OK);
    assert_eq!(asked(guarded(), get().header("host", "[::1]:7400")).await.status(), StatusCode::OK);
    assert_eq!(asked(guarded(), get().header("host", "evil.example")).await.status(), StatusCode::FORBIDDEN);
    assert_eq!(asked(guarded(), get()).await.status(), StatusCode::FORBIDDEN);
    let foreign = get().header("host", "localhost").header("origin", "https://evil.example");
    assert_eq!(asked(guarded(), foreign).await.status(), StatusCode::FORBIDDEN);
    let bare = http::Request::get("/x").header("host", "localhost");
    assert_eq!(asked(guarded(), bare).await.status(), StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_grpc_call_without_a_token_is_unauthenticated() {
    let bare =
        http::Request::post("/qflow.v1.X/Y").header("host", "localhost").header("content-type", "application/grpc");
    let response = asked(guarded(), bare).await;
    assert_eq!(response.headers()["grpc-status"], "16");
}
