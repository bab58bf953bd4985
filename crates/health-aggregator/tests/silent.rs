//! An orchestrator that keeps its connection and tells nothing: it is heard no more, and what it said is not taken for what is.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]

mod support;

use std::{pin::Pin, sync::Arc, time::Duration};

use qflow_health_aggregator::monitoring::{Dial, Monitor};
use qflow_proto::v1::{
    self,
    activity_service_server::{ActivityService, ActivityServiceServer},
};
use qflow_service::{Shutdown, SystemClock, authed_channel};
use support::{TOKEN, listen};
use tokio::{
    sync::{mpsc, watch},
    time::timeout,
};
use tokio_stream::{Stream, wrappers::ReceiverStream};
use tonic::{Request, Response, Status, service::Routes};

/// For how long one may tell nothing here.
const SILENCE: Duration = Duration::from_millis(500);
const BOUND: Duration = Duration::from_secs(30);

/// Tells of a runner on each stream, once, or again and again while it speaks.
struct Orchestrator {
    speaks: watch::Receiver<bool>,
    streams: watch::Sender<u32>,
    told: watch::Sender<u32>,
}

#[tonic::async_trait]
impl ActivityService for Orchestrator {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::ActivityWatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<v1::ActivityWatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        self.streams.send_modify(|streams| *streams += 1);
        let (to, from) = mpsc::channel(1);
        let (mut speaks, told) = (self.speaks.clone(), self.told.clone());
        tokio::spawn(async move {
            loop {
                let runner = v1::RunnerSighting { runner_id: "r".into(), slots: 4, ..Default::default() };
                let sighting = Some(v1::Sighting { peers: vec![], runners: vec![runner] });
                if to.send(Ok(v1::ActivityWatchResponse { words: vec![], sighting })).await.is_err() {
                    return;
                }
                told.send_modify(|told| *told += 1);
                tokio::time::sleep(SILENCE / 5).await;
                // While it is silent its stream stays open all the same.
                tokio::select! {
                    speaks = speaks.wait_for(|speaks| *speaks) => if speaks.is_err() { return },
                    () = to.closed() => return,
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(from))))
    }
}

/// Orchestrators heard, and slots of runners that they see.
fn seen(monitor: &Monitor) -> ((usize, usize), u32) {
    let status = monitor.status();
    (status.orchestrators, status.slots.1)
}

async fn becomes(monitor: &Monitor, what: ((usize, usize), u32)) {
    let so = async {
        while seen(monitor) != what {
            tokio::task::yield_now().await;
        }
    };
    timeout(BOUND, so).await.unwrap_or_else(|_| panic!("{what:?}: {:?}", seen(monitor)));
}

#[tokio::test]
async fn who_keeps_the_connection_and_tells_nothing_is_heard_no_more_and_dialed_anew() {
    let (speaks, said) = watch::channel(true);
    let (streams, mut dialed) = watch::channel(0);
    let (told, mut beats) = watch::channel(0);
    let service = ActivityServiceServer::new(Orchestrator { speaks: said, streams, told });
    let url = listen(Routes::new(service)).await;
    let dial: Dial = Arc::new(|url| Ok(authed_channel(url, Some(TOKEN))?));
    let shutdown = Shutdown::new();
    let monitor = Monitor::start(&[url], &dial, Arc::new(SystemClock), SILENCE, shutdown.clone());

    becomes(&monitor, ((1, 1), 4)).await;
    // One that speaks is heard for as long as it does.
    timeout(BOUND, beats.wait_for(|told| *told >= 15)).await.unwrap().unwrap();
    assert_eq!((seen(&monitor), *dialed.borrow()), (((1, 1), 4), 1));

    speaks.send_replace(false);
    becomes(&monitor, ((0, 1), 0)).await;
    // It is tried again, tells one word, and is silent again.
    timeout(BOUND, dialed.wait_for(|streams| *streams >= 3)).await.unwrap().unwrap();
    becomes(&monitor, ((0, 1), 0)).await;

    speaks.send_replace(true);
    becomes(&monitor, ((1, 1), 4)).await;
    let streams = *dialed.borrow();
    let before = *beats.borrow();
    timeout(BOUND, beats.wait_for(|told| *told >= before + 15)).await.unwrap().unwrap();
    assert!(seen(&monitor) == ((1, 1), 4) && *dialed.borrow() <= streams + 1);
    shutdown.trigger();
}
