//! The runner as a service, before an orchestrator that a test plays: hello, credits, an order, its outcome, acknowledgement.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends here")]

mod support;

use std::{collections::BTreeMap, sync::Arc};

use qflow_model::{
    definition::{Isolation, Resources, TypeText},
    environment::{EnvLock, EnvSpec},
    ids::{AttemptKey, NodeKey, RunId, StepIx},
    outcome::{Ending, Failure, Outcome},
    value::Argument,
};
use qflow_proto::{
    order::Order,
    v1::{self, work_request::Message as Said, work_response::Message as Say},
};
use support::orchestrator::{Desk, Line, Serving, hello_of_the_only_one};

async fn say(line: &Line, message: Say) {
    line.1.send(Ok(v1::WorkResponse { message: Some(message) })).await.unwrap();
}

async fn until<T>(line: &mut Line, wanted: impl Fn(Said) -> Option<T>) -> T {
    loop {
        let message = line.0.message().await.unwrap().expect("the runner stays").message.unwrap();
        if let Some(found) = wanted(message) {
            return found;
        }
    }
}

fn order(lock: EnvLock, source: &str) -> Order {
    Order {
        key: AttemptKey { run: RunId(uuid::Uuid::now_v7()), node: NodeKey::root(StepIx(0), None), attempt: 1 },
        node_id: "double".into(),
        function: "double".into(),
        file: "flow.py".into(),
        entry: "flow.py".into(),
        files: Arc::new(BTreeMap::from([("flow.py".to_owned(), source.to_owned())])),
        workflow: "flow".into(),
        tenant: "default".into(),
        user: "me".into(),
        arguments: vec![("x".into(), Argument::Literal(21.into()))],
        types: vec![("x".into(), TypeText("int".into()))],
        returns: TypeText("int".into()),
        classes: qflow_model::class::Classes::new(),
        asks: vec![],
        conversions: vec![],
        lock: Arc::new(lock),
        resources: Resources::default(),
        env: BTreeMap::new(),
        secrets: BTreeMap::new(),
        timeout_ms: None,
        isolation: Isolation::Run,
        idempotent: true,
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01".into(),
        sources: Vec::new(),
        idempotency_key: "k".into(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_is_told_again_until_it_is_acknowledged() {
    let folder = tempfile::Builder::new().prefix("qf").tempdir_in("/tmp").unwrap();
    let mut desk = Desk::open().await;
    let serving = Serving::start(&desk, "process", folder.path(), &["--slots", "2"]).await;

    let mut line = desk.opened.recv().await.unwrap();
    let python = until(&mut line, |said| match said {
        Said::Hello(hello) => Some(hello.python_versions.last().unwrap().clone()),
        _ => None,
    })
    .await;
    say(&line, hello_of_the_only_one()).await;
    let credits = until(&mut line, |said| if let Said::Credits(c) = said { Some(c.count) } else { None }).await;
    assert_eq!(credits, 2);

    let spec = EnvSpec { python: python.parse().unwrap(), requirements: vec![] };
    let spec_json = serde_json::to_vec(&spec).unwrap();
    say(&line, Say::Lock(v1::LockOrder { spec_digest: spec.digest().to_string(), spec_json, run_id: String::new() }))
        .await;
    let answer = until(&mut line, |said| if let Said::Locked(l) = said { Some(l) } else { None }).await;
    let lock: Result<EnvLock, Failure> = serde_json::from_slice(&answer.result_json).unwrap();

    let order = order(lock.unwrap(), "def double(x: int) -> int:\n    return 2 * x\n");
    let attempt = order.key.to_string();
    let order_json = serde_json::to_vec(&order).unwrap();
    say(&line, Say::Attempt(v1::AttemptOrder { attempt: attempt.clone(), order_json })).await;
    let started = until(&mut line, |said| if let Said::Started(s) = said { Some(s) } else { None }).await;
    assert_eq!(started.attempt, attempt);
    let ended = |said| if let Said::Ended(e) = said { Some(e) } else { None };
    let first = until(&mut line, ended).await;
    let outcome: Outcome = serde_json::from_slice(&first.outcome_json).unwrap();
    assert!(matches!(&outcome.ending, Ending::Completed(p) if p.value.inline.as_deref() == Some(b"42")), "{outcome:?}");

    // The stream breaks before the acknowledgement: the runner dials again and tells it again.
    drop(line);
    let mut line = desk.opened.recv().await.unwrap();
    let held = until(&mut line, |said| if let Said::Hello(h) = said { Some(h.attempts) } else { None }).await;
    assert_eq!(held, std::slice::from_ref(&attempt));
    say(&line, hello_of_the_only_one()).await;
    assert_eq!(until(&mut line, ended).await, first);
    say(&line, Say::Ack(v1::EndedAck { attempt, accepted: true })).await;
    until(&mut line, |said| match said {
        Said::Heartbeat(beat) => beat.attempts.is_empty().then_some(()),
        _ => None,
    })
    .await;

    // Its own service lists the container that the run still has.
    let channel = qflow_service::channel(&serving.grpc).unwrap();
    let mut client = v1::container_runner_service_client::ContainerRunnerServiceClient::new(channel);
    let containers = client.list_containers(v1::ListContainersRequest {}).await.unwrap().into_inner().containers;
    // Others are warm for runs to come.
    let of_runs = containers.iter().filter(|container| !container.run_id.is_empty());
    assert_eq!(of_runs.map(|container| container.status.as_str()).collect::<Vec<_>>(), ["idle"]);
    drop(line);
    serving.stop().await;
}
