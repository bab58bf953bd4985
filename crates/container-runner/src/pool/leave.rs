//! Containers leave: those that nobody needs, those that have ended, and those that a runtime that was away has kept.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use qflow_model::ids::{Digest, RunId};
use qflow_telemetry::{ErrorInfo, Event};

use super::{Brief, Busy, Container, Pool, RETIRED, STOPPING, State, warm};
use crate::lifecycle;

/// How long a container may be idle.
const IDLE: Duration = Duration::from_mins(5);
/// Ended runs that are remembered, for containers given back after their run's end.
const ENDED_RUNS: usize = 1_000;
/// How long containers may take to leave when the runner does.
const CLOSE: Duration = Duration::from_secs(10);

/// A container that the runtime has not removed yet.
#[derive(Debug)]
pub(super) struct Left {
    state: State,
    reason: String,
    exit_code: Option<i32>,
}

impl Left {
    pub(super) fn brief(&self) -> Brief {
        self.state.brief(STOPPING)
    }
}

impl Pool {
    /// Idle containers that have ended by themselves leave.
    pub(super) fn bury(self: &Arc<Self>) {
        let dead = extract(&mut self.inside().idle, |c| c.exit.borrow().is_some());
        dead.into_iter().for_each(|container| self.let_go(container, "exited"));
    }

    /// A run has ended: its containers leave.
    pub fn run_ended(self: &Arc<Self>, run: RunId) {
        let mut inside = self.inside();
        inside.ended.push_back(run);
        if inside.ended.len() > ENDED_RUNS {
            inside.ended.pop_front();
        }
        let leaving = extract(&mut inside.idle, |c| lifecycle::leaves_with(&c.state.owner, run));
        drop(inside);
        leaving.into_iter().for_each(|container| self.let_go(container, "run_ended"));
    }

    /// Containers that nobody has used for long leave, and warm ones of environments that nobody uses any more.
    pub fn expire(self: &Arc<Self>) {
        let mut guard = self.inside();
        let inside = &mut *guard;
        inside.warm.retain(|_, warm| warm.always || warm.used.elapsed() <= IDLE);
        let mut wanted: BTreeMap<Digest, usize> = inside.warm.iter().map(|(name, warm)| (*name, warm.want())).collect();
        let mut stays = |c: &Container| {
            let left = wanted.get_mut(&c.state.class.environment).filter(|_| warm::is_default(&c.state));
            left.is_some_and(|left| std::mem::replace(left, left.saturating_sub(1)) > 0)
        };
        let leaving = extract(&mut inside.idle, |c| !stays(c) && c.since.elapsed() > IDLE);
        drop(guard);
        leaving.into_iter().for_each(|container| self.let_go(container, "idle"));
    }

    /// All idle ones leave, and those that are leaving have left; those at work are adopted by the next runner.
    pub async fn close(self: &Arc<Self>) {
        let mut arrivals = self.arrivals.subscribe();
        self.inside().closed = true;
        let settled = async {
            while !self.inside().coming.is_empty() {
                // The sender lives as long as the pool.
                arrivals.changed().await.ok();
            }
            let leaving = std::mem::take(&mut self.inside().idle);
            leaving.into_iter().for_each(|container| self.let_go(container, "shutdown"));
            while self.inside().busy.values().any(|busy| busy.brief.status == STOPPING) {
                arrivals.changed().await.ok();
            }
        };
        // What stays is removed by the next runner.
        tokio::time::timeout(CLOSE, settled).await.ok();
    }

    /// Removes a container beside whoever asks for it.
    pub(super) fn let_go(self: &Arc<Self>, container: Container, reason: &'static str) {
        self.inside().busy.insert(container.state.id.clone(), Busy::new(&container, STOPPING));
        let pool = Arc::clone(self);
        tokio::spawn(async move {
            if reason == RETIRED {
                pool.breathe().await;
            }
            pool.remove(container, reason).await;
        });
    }

    /// Removes a container and what is kept of it. One that the runtime does not remove has not stopped: it is tried again by [`Pool::reap`],
    /// and by the next runner, which does not know it.
    pub async fn remove(&self, container: Container, reason: &str) {
        let State { id, spec, .. } = &container.state;
        let exit_code = container.exit.borrow().and_then(|exit| exit.code);
        self.inside().busy.insert(id.clone(), Busy::new(&container, STOPPING));
        let removed = self.runtime.remove(id).await;
        // A folder that stays is swept at the next start.
        std::fs::remove_dir_all(&spec.directory).ok();
        self.spool.forget_container(&spec.name);
        {
            let mut inside = self.inside();
            inside.busy.remove(id);
            inside.names.remove(&spec.name);
            if removed.is_err() {
                let (state, reason) = (container.state.clone(), reason.to_owned());
                inside.left.push(Left { state, reason, exit_code });
                inside.strays = true;
            }
        }
        self.arrivals.send_modify(|count| *count += 1);
        match removed {
            Ok(()) => self.stopped(&container.state, reason, exit_code),
            Err(error) => {
                let (error_type, message) = (error.code().into(), error.to_string());
                let error = ErrorInfo { error_type, message, ..ErrorInfo::default() };
                self.telemetry.emit(Event::ContainerError { container: container.state.reference(), error });
            }
        }
    }

    /// Notes that the runtime may have containers that nobody here knows: it was away, or did not do what it was asked for.
    pub fn astray(&self) {
        self.inside().strays = true;
    }

    /// Removes what the runtime has and is nobody's, where there may be some; what stays is tried again the next time.
    pub async fn reap(&self) {
        if !std::mem::take(&mut self.inside().strays) {
            return;
        }
        let Ok(there) = self.runtime.list(&self.runner).await else { return self.astray() };
        // Looked at after the list, which lacks what begins to be started meanwhile.
        let names = self.inside().names.clone();
        let mut stay = Vec::new();
        for (id, name) in there.into_iter().filter(|(_, name)| !names.contains(name)) {
            if self.runtime.remove(&id).await.is_err() {
                stay.push(name);
            }
        }
        let gone = {
            let mut inside = self.inside();
            inside.strays |= !stay.is_empty();
            let stays = |left: &Left| stay.contains(&left.state.spec.name);
            let (left, gone): (Vec<Left>, Vec<Left>) = std::mem::take(&mut inside.left).into_iter().partition(stays);
            inside.left = left;
            gone
        };
        for Left { state, reason, exit_code } in gone {
            self.stopped(&state, &reason, exit_code);
        }
    }
}

fn extract(idle: &mut Vec<Container>, mut leaves: impl FnMut(&Container) -> bool) -> Vec<Container> {
    let (leaving, staying) = std::mem::take(idle).into_iter().partition(|c| leaves(c));
    *idle = staying;
    leaving
}
