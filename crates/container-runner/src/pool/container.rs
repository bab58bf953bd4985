//! A container as the runner holds it, as it is kept over a restart, and as it is told to others.

use std::sync::Arc;

use qflow_model::{
    environment::ContainerClass,
    ids::{AttemptKey, RunId, Timestamp},
};
use qflow_proto::order::Order;
use qflow_telemetry::ContainerRef;
use tokio::{sync::watch, time::Instant};

use super::stay::Stay;
use crate::{
    harness::Link,
    lifecycle::Owner,
    runtime::{ContainerSpec, Exit},
};

/// A container, held by an attempt or idle.
#[derive(Debug)]
pub struct Container {
    /// What is kept of it over a restart.
    pub state: State,
    /// The line to its harness.
    pub link: Link,
    /// How it ended, once it has.
    pub exit: watch::Receiver<Option<Exit>>,
    /// Since when it is idle, or there.
    pub(super) since: Instant,
}

/// What is kept of a container over a restart of the runner.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct State {
    /// The runtime's id.
    pub id: String,
    /// How it was started.
    pub spec: ContainerSpec,
    /// What it is like.
    pub class: ContainerClass,
    /// Whose it is.
    pub owner: Owner,
    /// What its template has imported.
    pub loaded: Option<String>,
    /// How many attempts it has had.
    pub attempts: u32,
    /// The attempt in it, where it began.
    pub order: Option<Order>,
    /// When it was started; 0 where one of before the runner's restart has not kept it.
    #[serde(default)]
    pub started_at: Timestamp,
    /// Its span so far, where its first attempt's trace is recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stay: Option<Stay>,
}

impl State {
    /// The container as telemetry names it.
    pub(super) fn reference(&self) -> ContainerRef {
        ContainerRef {
            container_id: self.id.clone(),
            python_version: self.spec.python.to_string(),
            image: self.spec.image.clone(),
            node: None,
        }
    }
}

/// A container as told to others.
#[derive(Clone, Debug)]
pub struct Brief {
    /// The runtime's id; empty where it is only being started.
    pub id: String,
    /// Its Python.
    pub python: String,
    /// `starting`, `idle`, `running`, `stopping`.
    pub status: &'static str,
    /// The run it belongs to.
    pub run: Option<RunId>,
    /// The attempt in it.
    pub attempt: Option<AttemptKey>,
    /// Thousandths of a processor that it may use.
    pub cpu_millis: u32,
    /// Bytes of memory that it may use.
    pub memory_bytes: u64,
    /// When it was started.
    pub started_at: Timestamp,
}

/// Waits until a container has ended; unknown where nobody waits for it any more.
pub async fn ended(exit: &mut watch::Receiver<Option<Exit>>) -> Exit {
    exit.wait_for(Option::is_some).await.ok().and_then(|exit| *exit).unwrap_or_default()
}

impl Container {
    pub(super) fn brief(&self, status: &'static str) -> Brief {
        self.state.brief(status)
    }
}

impl State {
    pub(super) fn brief(&self, status: &'static str) -> Brief {
        let Self { id, spec, owner, order, class, started_at, .. } = self;
        Brief {
            id: id.clone(),
            python: spec.python.to_string(),
            status,
            run: if let Owner::Run(run) = owner { Some(*run) } else { order.as_ref().map(|o| o.key.run) },
            attempt: order.as_ref().map(|o| o.key),
            cpu_millis: class.resources.cpu_millis,
            memory_bytes: class.resources.memory_bytes,
            started_at: *started_at,
        }
    }
}

/// An order without its files, which are many bytes at every attempt. Its arguments stay: where the runner ends while the file is
/// still imported, the one after it begins the attempt.
pub(super) fn bare(order: &Order) -> Order {
    Order { files: Arc::default(), ..order.clone() }
}
