//! The order to stop, over real sockets: nothing new, what is under way ends, then the listeners.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use qflow_proto::v1::{
    HealthGetRequest, HealthWatchRequest, health_aggregator_service_client::HealthAggregatorServiceClient,
};
use qflow_service::{ServeOptions, authed_channel};
use support::Serving;
use tokio::time::{Duration, Instant, timeout};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

#[tokio::test]
async fn from_the_order_to_stop_the_service_is_not_ready_and_calls_under_way_end_well() {
    let serving = Serving::start(ServeOptions::default()).await;
    let channel = authed_channel(&serving.url(), None).unwrap();
    let mut watched = HealthClient::new(channel.clone());
    let mut watched = watched.watch(HealthCheckRequest::default()).await.unwrap().into_inner();
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::Serving);
    let mut client = HealthAggregatorServiceClient::new(channel);
    let call = tokio::spawn(async move { client.get(HealthGetRequest {}).await });
    serving.slow.entered.acquire().await.unwrap().forget();
    assert_eq!(serving.ask("/readyz", "*/*").await, (200, r#"{"status":"ok","checks":{}}"#.to_owned()));

    serving.shutdown.trigger();
    assert_eq!(serving.ask("/readyz", "*/*").await, (503, r#"{"status":"stopping","checks":{}}"#.to_owned()));
    assert_eq!(serving.ask("/livez", "*/*").await.0, 200);
    assert_eq!(serving.ask("/metrics", "*/*").await.0, 200);
    assert_eq!(watched.message().await.unwrap().unwrap().status(), ServingStatus::NotServing);
    assert!(watched.message().await.unwrap().is_none(), "who watches is let go");
    assert!(!serving.served.is_finished() && !call.is_finished());

    let begun = Instant::now();
    serving.slow.let_go.add_permits(1);
    call.await.unwrap().unwrap();
    serving.served.await.unwrap().unwrap();
    serving.administered.await.unwrap().unwrap();
    assert!(begun.elapsed() < Duration::from_secs(4), "nothing else is waited for");
}

#[tokio::test]
async fn a_stream_that_never_ends_holds_up_the_stop_for_a_bounded_time() {
    let serving = Serving::start(ServeOptions::default()).await;
    let mut client = HealthAggregatorServiceClient::new(authed_channel(&serving.url(), None).unwrap());
    let _stream = client.watch(HealthWatchRequest {}).await.unwrap();
    serving.shutdown.trigger();
    let stopped = async {
        serving.served.await.unwrap().unwrap();
        serving.administered.await.unwrap().unwrap();
    };
    timeout(Duration::from_secs(10), stopped).await.expect("the drain is bounded");
}
