//! Floors of tonic: health checks over loopback, as our own services serve and call them.

use std::time::Duration;

use futures_util::future::try_join_all;
use qflow_service::{ServeOptions, Shutdown};
use qflow_telemetry::Telemetry;
use tonic::transport::Channel;
use tonic_health::pb::{HealthCheckRequest, health_client::HealthClient};

use crate::clock::{median, ms, now};

/// Calls of the first floor.
const CALLS: usize = 2_000;
/// Calls at once of the second, and for how long.
const AT_ONCE: usize = 64;
const TIME: Duration = Duration::from_secs(1);

/// A server, and a channel to it.
async fn served() -> anyhow::Result<(HealthClient<Channel>, Shutdown)> {
    let listener = qflow_service::bind(([127, 0, 0, 1], 0).into()).await?;
    let (address, shutdown) = (listener.local_addr()?, Shutdown::new());
    let routes = tonic::service::Routes::default();
    let serve =
        qflow_service::serve_grpc(listener, routes, ServeOptions::default(), Telemetry::silent(), shutdown.clone());
    tokio::spawn(serve);
    Ok((HealthClient::new(qflow_service::channel(&format!("http://{address}"))?), shutdown))
}

/// Milliseconds of a call, one after another: the median.
pub(super) async fn unary_ms() -> anyhow::Result<f64> {
    let (mut client, shutdown) = served().await?;
    let mut took = Vec::with_capacity(CALLS);
    for _ in 0..CALLS {
        let begun = now();
        client.check(HealthCheckRequest::default()).await?;
        took.push(ms(begun.elapsed()));
    }
    shutdown.trigger();
    Ok(median(&mut took))
}

/// Calls a second, many at once over one connection.
pub(super) async fn calls_s() -> anyhow::Result<f64> {
    let (client, shutdown) = served().await?;
    let begun = now();
    let call = |mut client: HealthClient<Channel>| async move {
        let mut count = 0_u32;
        while begun.elapsed() < TIME {
            client.check(HealthCheckRequest::default()).await?;
            count += 1;
        }
        anyhow::Ok(count)
    };
    let counts = try_join_all((0..AT_ONCE).map(|_| tokio::spawn(call(client.clone())))).await?;
    let all: u32 = counts.into_iter().sum::<anyhow::Result<u32>>()?;
    let took = begun.elapsed();
    shutdown.trigger();
    Ok(f64::from(all) / took.as_secs_f64())
}
