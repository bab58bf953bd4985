use std::sync::Arc;

use qflow_proto::v1::{HealthGetRequest, health_aggregator_service_client::HealthAggregatorServiceClient};
use tokio::{
    io::{AsyncReadExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    sync::watch,
    time::Instant,
};
use tonic::Code;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use super::*;
use crate::{ServeOptions, Shutdown, serve_grpc};

const SOON: Duration = Duration::from_millis(150);
const NEVER: Duration = Duration::from_secs(3600);
/// What is far past every bound that a test sets, and far below those that it leaves out.
const LONG: Duration = Duration::from_secs(20);

fn bounds(keep_alive: Duration, deadline: Duration) -> Bounds {
    Bounds { keep_alive: KeepAlive { interval: keep_alive, timeout: keep_alive }, connect: SOON, deadline }
}

/// A server that takes connections and bytes, and never says a word.
async fn mute() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut peer, _)) = listener.accept().await {
            tokio::spawn(async move { while peer.read(&mut [0; 1024]).await.is_ok_and(|read| read > 0) {} });
        }
    });
    address.to_string()
}

async fn get(channel: AuthedChannel) -> Result<(), Status> {
    HealthAggregatorServiceClient::new(channel).get(HealthGetRequest {}).await.map(drop)
}

fn told(telemetry: &Telemetry, method: &str, code: &str) -> bool {
    let line = format!(
        "rpc_client_call_duration_seconds_count{{rpc_method=\"{method}\",rpc_response_status_code=\"{code}\"}} 1\n"
    );
    telemetry.render(None).1.contains(&line)
}

const GET: &str = "qflow.v1.HealthAggregatorService/Get";

#[tokio::test]
async fn a_server_that_never_answers_ends_a_call_by_the_deadline() {
    let telemetry = Telemetry::silent();
    let url = format!("http://{}", mute().await);
    let channel = bounded(&url, None, None, bounds(NEVER, SOON)).unwrap().telling(&telemetry);
    let begun = Instant::now();
    assert_eq!(get(channel).await.unwrap_err().code(), Code::DeadlineExceeded);
    assert!(begun.elapsed() < LONG);
    assert!(told(&telemetry, GET, "DEADLINE_EXCEEDED"));
}

#[tokio::test]
async fn a_call_may_ask_for_less_time() {
    let url = format!("http://{}", mute().await);
    let channel = bounded(&url, None, None, bounds(NEVER, NEVER)).unwrap();
    let mut request = tonic::Request::new(HealthGetRequest {});
    request.set_timeout(SOON);
    let mut client = HealthAggregatorServiceClient::new(channel);
    assert_eq!(client.get(request).await.unwrap_err().code(), Code::DeadlineExceeded);
}

#[tokio::test]
async fn a_server_that_never_answers_is_found_out_by_keep_alive() {
    let telemetry = Telemetry::silent();
    let url = format!("http://{}", mute().await);
    let channel = bounded(&url, None, None, bounds(SOON, NEVER)).unwrap().telling(&telemetry);
    let answer = timeout(LONG, get(channel)).await.expect("keep-alive ends it");
    let status = answer.unwrap_err();
    assert!(status.code() == Code::Unavailable && was_late(&status), "{status:?}");
    assert!(told(&telemetry, GET, "UNAVAILABLE"));
}

#[tokio::test]
async fn a_server_that_takes_no_connection_is_late_and_one_that_refuses_is_not() {
    // What waits to be taken is bounded: the next that connects hears nothing.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let full = socket.listen(0).unwrap();
    let address = full.local_addr().unwrap();
    let mut waiting = Vec::new();
    while let Ok(connected) = timeout(SOON, TcpStream::connect(address)).await {
        waiting.push(connected.unwrap());
    }
    let of = |address| bounded(&format!("http://{address}"), None, None, bounds(NEVER, NEVER)).unwrap();
    let status = get(of(address)).await.unwrap_err();
    assert!(status.code() == Code::Unavailable && was_late(&status), "{status:?}");
    drop((full, waiting));
    let status = get(of(address)).await.unwrap_err();
    assert!(status.code() == Code::Unavailable && !was_late(&status), "{status:?}");
}

#[tokio::test]
async fn a_server_that_never_agrees_on_tls_ends_a_call_too() {
    let url = format!("https://{}", mute().await);
    let tls = Some(ClientTlsConfig::new().domain_name("localhost"));
    let channel = bounded(&url, None, tls, bounds(NEVER, NEVER)).unwrap();
    let status = timeout(LONG, get(channel)).await.expect("the connection's bound ends it").unwrap_err();
    assert!(status.code() == Code::Unavailable && was_late(&status), "{status:?}");
}

/// A way to `to` whose connections fall silent, without an end, when `silent` is told; later ones work.
async fn proxy(to: String, silent: watch::Receiver<u32>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut near, _)) = listener.accept().await {
            let (to, mut silent) = (to.clone(), silent.clone());
            silent.mark_unchanged();
            tokio::spawn(async move {
                let mut far = TcpStream::connect(to).await.unwrap();
                tokio::select! {
                    _ = copy_bidirectional(&mut near, &mut far) => {}
                    _ = silent.changed() => std::future::pending().await,
                }
            });
        }
    });
    address.to_string()
}

#[tokio::test]
async fn a_channel_to_a_peer_that_vanished_silently_recovers() {
    let listener = crate::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let routes = tonic::service::Routes::from(axum::Router::new());
    let served = serve_grpc(listener, routes, ServeOptions::default(), Telemetry::silent(), Shutdown::new());
    let served = tokio::spawn(served);
    let (silence, silent) = watch::channel(0);
    let silence = Arc::new(silence);
    let url = format!("http://{}", proxy(address, silent).await);
    let channel = bounded(&url, None, None, bounds(SOON, NEVER)).unwrap();
    let check = || async {
        let mut client = HealthClient::new(channel.clone());
        timeout(LONG, client.check(HealthCheckRequest::default())).await.expect("a call ends")
    };
    assert!(check().await.is_ok());
    silence.send_modify(|times| *times += 1);
    // The first may be lost with the connection; keep-alive then ends that, and the next has a new one.
    let mut failed = 0;
    while let Err(status) = check().await {
        failed += 1;
        assert!(failed < 3, "{status}");
    }
    // A connection that fell silent would hold up the drain.
    served.abort();
}

#[test]
fn a_silent_peer_is_found_out_before_any_deadline() {
    let found_out = BOUNDS.keep_alive.interval + BOUNDS.keep_alive.timeout;
    assert_eq!((found_out, BOUNDS.deadline), (Duration::from_secs(10), Duration::from_secs(30)));
    assert!(BOUNDS.connect < found_out);
}

#[tokio::test]
async fn what_cannot_be_a_channel_says_why() {
    let error = |url: &str, token: Option<&str>| authed_channel(url, token).unwrap_err().to_string();
    for wrong in ["not an address", "banana", "ftp://host:1", "http://user:pw@host", "http://host/path"] {
        let told = format!("`{wrong}` is not an address of a service: say http://HOST:PORT or https://HOST:PORT");
        assert_eq!(error(wrong, None), told);
    }
    assert_eq!(error("http://x", Some("a\nb")), "the token for `http://x` holds characters that no header can carry");
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let telemetry = Telemetry::silent();
    let channel = authed_channel(&format!("http://{gone}"), None).unwrap().telling(&telemetry);
    assert_eq!(get(channel).await.unwrap_err().code(), Code::Unavailable);
    assert!(told(&telemetry, GET, "UNAVAILABLE"));
}

#[test]
fn an_address_is_a_scheme_a_host_and_a_port_and_nothing_else() {
    for text in ["http://a", "https://a.b:7401", "http://10.0.0.1:7401/", "http://[::1]:7401"] {
        assert!(is_address(text), "{text}");
    }
    let none = [
        "",
        "banana",
        "banana:7401",
        "ftp://a",
        "http://",
        "http://:7401",
        "http://a:",
        "http://a:0",
        "http://a:70000",
    ];
    for text in none.into_iter().chain(["http://a/b", "http://a?b", "http://me:secret@a", "http://a b", "/a"]) {
        assert!(!is_address(text), "{text}");
    }
}
