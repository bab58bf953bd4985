//! After a restart: containers whose harness still answers go on, all others are removed.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use qflow_model::progress::KillReason;
use qflow_telemetry::Event;

use crate::{
    pool::{Container, Pool, State},
    run::Runner,
};

/// How long a harness may take to dial again: it tries several times a second.
const REDIAL: Duration = Duration::from_secs(10);

/// Takes in what an earlier runner left; attempts go on beside this.
pub async fn adopt(runner: &Arc<Runner>, name: &str, sockets: &std::path::Path) {
    let states: Vec<State> = runner.spool.containers();
    let known: BTreeSet<String> = states.iter().map(|s| s.spec.name.clone()).collect();
    let there = runner.runtime.list(name).await;
    // An orphan that stays is removed once the runtime does so.
    let mut is_done = there.is_ok();
    for (id, _) in there.unwrap_or_default().into_iter().filter(|(_, name)| !known.contains(name)) {
        is_done &= runner.runtime.remove(&id).await.is_ok();
    }
    if !is_done {
        runner.pool.astray();
    }
    for entry in std::fs::read_dir(sockets).into_iter().flatten().flatten() {
        let orphan = entry.file_name().to_str().is_some_and(|name| !known.contains(name));
        if orphan && entry.path().join("s").exists() {
            std::fs::remove_dir_all(entry.path()).ok();
        }
    }
    let going_on: Vec<_> = states.iter().filter_map(|state| state.order.as_ref().map(|order| order.key)).collect();
    runner.spool.sweep_contents(&going_on);
    let waiting: BTreeSet<_> = runner.spool.waiting().into_iter().collect();
    for state in states {
        let order = state.order.clone().filter(|order| !waiting.contains(&order.key));
        let container = match runner.pool.adopt(state.clone()) {
            Ok(container) => container,
            Err(error) => {
                let note = Event::warning("container_not_adopted", error.to_string());
                runner.telemetry.emit(note.with("container_id", state.id.clone()));
                if runner.runtime.remove(&state.id).await.is_err() {
                    runner.pool.astray();
                }
                runner.spool.forget_container(&state.spec.name);
                runner.pool.stopped(&state, "exited", None);
                if let Some(order) = order {
                    runner.vanished(&order).await;
                }
                continue;
            }
        };
        // Held from here on, so that the first hello to an orchestrator names it.
        let held = order.and_then(|order| runner.held.enter(order.key, !order.idempotent).map(|kill| (order, kill)));
        tokio::spawn(go_on(Arc::clone(runner), container, held));
    }
}

type HeldOrder = (qflow_proto::order::Order, tokio::sync::watch::Receiver<Option<KillReason>>);

async fn go_on(runner: Arc<Runner>, mut container: Container, held: Option<HeldOrder>) {
    let answered = Pool::hello(&mut container, REDIAL).await.is_ok();
    match (held, answered) {
        (Some((order, kill)), true) => runner.resume(container, order, kill).await,
        (Some((order, _)), false) => {
            runner.pool.remove(container, "exited").await;
            runner.vanished(&order).await;
        }
        (None, true) => runner.pool.give_back(container, true, "exited"),
        (None, false) => runner.pool.remove(container, "exited").await,
    }
}
