use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use super::*;

#[tokio::test]
async fn a_peer_that_vanished_silently_is_let_go() {
    let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = listener.local_addr().unwrap();
    let soon = Duration::from_millis(100);
    let keep_alive = KeepAlive { interval: soon, timeout: soon };
    let routes = Routes::from(Router::new());
    let served =
        serve_grpc_trying(keep_alive, listener, routes, ServeOptions::default(), Telemetry::silent(), Shutdown::new());
    let served = tokio::spawn(served);
    let mut peer = TcpStream::connect(address).await.unwrap();
    // It says that it speaks HTTP/2, with empty settings, and answers nothing from then on.
    peer.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut heard = Vec::new();
    let closed = timeout(Duration::from_secs(20), peer.read_to_end(&mut heard)).await;
    assert!(closed.is_ok(), "the connection is closed");
    assert!(!heard.is_empty(), "the server spoke before");
    served.abort();
}

#[tokio::test(start_paused = true)]
async fn what_never_ends_is_given_up_after_the_drain() {
    let shutdown = Shutdown::new();
    shutdown.trigger();
    let begun = Instant::now();
    assert_eq!(drain(shutdown, std::future::pending::<()>()).await, None);
    assert_eq!(begun.elapsed(), DRAIN);
}

#[tokio::test]
async fn an_address_that_is_taken_is_told() {
    let taken = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
    let address = taken.local_addr().unwrap();
    let error = bind(address).await.unwrap_err();
    assert_eq!(error.to_string(), format!("listen on {address}"));
}
