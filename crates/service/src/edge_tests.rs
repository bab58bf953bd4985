use super::*;

async fn asked(request: http::request::Builder) -> Response {
    use tower::ServiceExt as _;
    let edge = Edge { auth: Auth::Token("t".into()), loopback_only: true, telemetry: Telemetry::silent() };
    let router = Router::new().route("/x", axum::routing::any(|| async { "ok" }));
    protect(router, edge).oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

fn get() -> http::request::Builder {
    http::Request::get("/x").header("authorization", "Bearer t")
}

#[tokio::test]
async fn only_this_machines_names_are_a_host() {
    for host in ["127.0.0.1:7400", "[::1]:7400", "localhost", "localhost:7400", "127.9.9.9"] {
        assert_eq!(asked(get().header("host", host)).await.status(), StatusCode::OK, "{host}");
    }
    for host in [
        "evil.example",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "10.0.0.1",
        "",
        "localhost@evil.example",
        "é",
    ] {
        assert_eq!(asked(get().header("host", host)).await.status(), StatusCode::FORBIDDEN, "{host}");
    }
    assert_eq!(asked(get()).await.status(), StatusCode::FORBIDDEN, "no host at all");
    let two = get().header("host", "localhost").header("host", "evil.example");
    assert_eq!(asked(two).await.status(), StatusCode::FORBIDDEN, "two hosts");
}

#[tokio::test]
async fn only_this_machines_names_are_an_origin() {
    let from = |origin: &str| get().header("host", "localhost").header("origin", origin);
    for origin in ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"] {
        assert_eq!(asked(from(origin)).await.status(), StatusCode::OK, "{origin}");
    }
    for origin in ["https://evil.example", "null", "", "localhost", "http://localhost.evil.example"] {
        assert_eq!(asked(from(origin)).await.status(), StatusCode::FORBIDDEN, "{origin}");
    }
}

#[tokio::test]
async fn a_body_that_any_web_page_can_send_is_refused() {
    let post = |kind: &str| {
        let post = http::Request::post("/x").header("authorization", "Bearer t").header("host", "localhost");
        post.header("content-type", kind)
    };
    for kind in ["application/json", "Application/JSON; charset=utf-8"] {
        assert_eq!(asked(post(kind)).await.status(), StatusCode::OK, "{kind}");
    }
    for kind in
        ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp"]
    {
        assert_eq!(asked(post(kind)).await.status(), StatusCode::UNSUPPORTED_MEDIA_TYPE, "{kind}");
    }
}

#[tokio::test]
async fn without_a_token_http_is_unauthorized_and_grpc_unauthenticated() {
    let bare = || http::Request::post("/x").header("host", "localhost");
    let http = asked(bare().header("content-type", "application/json")).await;
    assert_eq!(http.status(), StatusCode::UNAUTHORIZED);
    for kind in ["application/grpc", "application/grpc+proto"] {
        let grpc = asked(bare().header("content-type", kind)).await;
        assert_eq!((grpc.status(), &grpc.headers()["grpc-status"]), (StatusCode::OK, &"16".parse().unwrap()));
    }
}

#[tokio::test]
async fn how_telemetry_gets_out_is_told_with_health_to_whoever_may_call() {
    use tower::ServiceExt as _;
    let told = async |path: &str, token: Option<&str>| {
        let edge = Edge { auth: Auth::Token("t".into()), loopback_only: false, telemetry: Telemetry::silent() };
        let router = protect(Router::new().fallback(async || "ok"), edge);
        let request = http::Request::post(path).header("content-type", "application/grpc");
        let request = token.into_iter().fold(request, |request, token| request.header("authorization", token));
        let answer = router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.headers()[VERSION], env!("CARGO_PKG_VERSION"), "that anybody may know");
        let said = answer.headers().get(TELEMETRY)?.to_str().unwrap();
        Some(said.parse::<qflow_telemetry::Pipeline>().is_ok_and(|pipeline| pipeline.process > 0))
    };
    let check = "/grpc.health.v1.Health/Check";
    assert_eq!(told(check, Some("Bearer t")).await, Some(true));
    assert_eq!((told(check, None).await, told(check, Some("Bearer x")).await), (None, None));
    assert_eq!(told("/qflow.v1.OrchestratorService/GetRun", Some("Bearer t")).await, None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_never_answered_ends_by_the_deadline_and_is_counted() {
    use tower::ServiceExt as _;
    let telemetry = Telemetry::silent();
    let edge = Edge { auth: Auth::None, loopback_only: false, telemetry: telemetry.clone() };
    let hangs = Router::new().fallback(std::future::pending::<()>);
    let path = "/qflow.v1.OrchestratorService/GetRun";
    let request = http::Request::post(path).header("content-type", "application/grpc").body(Body::empty()).unwrap();
    let answer = protect(hangs, edge).oneshot(request).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "4");
    let line = "rpc_server_call_duration_seconds_count{rpc_method=\"qflow.v1.OrchestratorService/GetRun\",\
                rpc_response_status_code=\"DEADLINE_EXCEEDED\"} 1";
    let text = telemetry.render(None).1;
    assert!(text.contains(line), "{text}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_streams_in_is_answered_however_late() {
    use tower::ServiceExt as _;
    let edge = Edge { auth: Auth::None, loopback_only: false, telemetry: Telemetry::silent() };
    let slow = Router::new().fallback(|| tokio::time::sleep(10 * DEADLINE));
    let path = "/qflow.v1.OrchestratorService/UploadBlob";
    let request = http::Request::post(path).header("content-type", "application/grpc").body(Body::empty()).unwrap();
    let answer = protect(slow, edge).oneshot(request).await.unwrap();
    assert_eq!((answer.status(), answer.headers().get("grpc-status")), (StatusCode::OK, None));
}

#[tokio::test(start_paused = true)]
async fn a_start_has_the_time_to_copy_files_and_no_more() {
    use tower::ServiceExt as _;
    let path = "/qflow.v1.OrchestratorService/StartRun";
    for (takes, status) in [(2 * DEADLINE, None), (STARTING + DEADLINE, Some("4".parse().unwrap()))] {
        let edge = Edge { auth: Auth::None, loopback_only: false, telemetry: Telemetry::silent() };
        let slow = Router::new().fallback(move || tokio::time::sleep(takes));
        let request = http::Request::post(path).header("content-type", "application/grpc").body(Body::empty()).unwrap();
        let answer = protect(slow, edge).oneshot(request).await.unwrap();
        assert_eq!(answer.headers().get("grpc-status"), status.as_ref());
        let said = status.map(|_| "no%20answer%20within%20300%20s".parse().unwrap());
        assert_eq!(answer.headers().get("grpc-message"), said.as_ref());
    }
}

#[tokio::test]
async fn a_call_whose_message_breaks_off_was_cancelled_by_its_caller_and_is_no_error_of_ours() {
    use tower::ServiceExt as _;
    let telemetry = Telemetry::silent();
    let (_, health) = tonic_health::server::health_reporter();
    let router = tonic::service::Routes::new(health).into_axum_router();
    let edge = Edge { auth: Auth::None, loopback_only: false, telemetry: telemetry.clone() };
    // As a connection tells of a stream that its peer has reset.
    let broken = tokio_stream::once(Err::<axum::body::Bytes, _>(tonic::Status::cancelled("reset")));
    let request = http::Request::post("/grpc.health.v1.Health/Check").header("content-type", "application/grpc");
    let Ok(answer) = protect(router, edge).oneshot(request.body(Body::from_stream(broken)).unwrap()).await;
    assert_eq!(answer.headers()["grpc-status"], "13", "what the library makes of half a message");
    drop(answer);
    let text = telemetry.render(None).1;
    let told = |code: &str| {
        let labels = format!("rpc_method=\"grpc.health.v1.Health/Check\",rpc_response_status_code=\"{code}\"");
        text.contains(&format!("rpc_server_call_duration_seconds_count{{{labels}}} 1\n"))
    };
    assert!(told("CANCELLED") && !told("INTERNAL"), "{text}");
}

#[tokio::test]
async fn a_served_call_is_a_span_of_its_callers_trace() {
    use tower::ServiceExt as _;
    let (telemetry, collected) = Telemetry::collecting();
    let (_, health) = tonic_health::server::health_reporter();
    let router = tonic::service::Routes::new(health).into_axum_router();
    let edge = Edge { auth: Auth::None, loopback_only: false, telemetry };
    let request = http::Request::post("/grpc.health.v1.Health/Check").header("content-type", "application/grpc");
    let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
    let Ok(answer) = protect(router, edge).oneshot(request.body(Body::empty()).unwrap()).await;
    drop(answer);
    let spans = collected.spans();
    let named: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
    assert_eq!(named, ["grpc.health.v1.Health/Check"]);
    assert_eq!(spans[0].parent_span_id.to_string(), "b7ad6b7169203331");
    let facts: Vec<String> = spans[0].attributes.iter().map(|fact| format!("{}={}", fact.key, fact.value)).collect();
    assert!(facts.contains(&"rpc.system.name=grpc".to_owned()), "{facts:?}");
    assert!(facts.contains(&"rpc.response.status_code=INTERNAL".to_owned()), "an empty message is none: {facts:?}");
}
