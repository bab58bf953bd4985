//! Attempts that must not be made twice: they begin once that is kept, and end where nobody hears of them any more.

use std::{collections::VecDeque, time::Duration};

use qflow_model::{limits::FENCE_MS, outcome::Ending};
use qflow_proto::order::Order;
use qflow_telemetry::Event;
use tokio::time::Instant;

use crate::{
    ending::killed,
    held::Permission,
    run::{Runner, Word},
    submit::Edge,
};

/// Between two words that an attempt could begin: one may go with an orchestrator that dies.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two looks at what must end.
const LOOK: Duration = Duration::from_secs(1);
/// Heartbeats that may be unanswered; of those before nobody asks any more.
const UNANSWERED: usize = 16;

/// Heartbeats of a stream, and which of them was heard.
#[derive(Debug, Default)]
pub(crate) struct Beats {
    last: u64,
    sent: VecDeque<(u64, Instant)>,
    heard: Option<Instant>,
}

impl Beats {
    /// The number of the next, which is sent now.
    pub(crate) fn next(&mut self) -> u64 {
        self.last += 1;
        self.sent.push_back((self.last, Instant::now()));
        if self.sent.len() > UNANSWERED {
            self.sent.pop_front();
        }
        self.last
    }

    /// Notes that one was heard: it counts from when it was sent.
    pub(crate) fn hear(&mut self, sequence: u64) {
        while let Some((number, at)) = self.sent.front().copied().filter(|(number, _)| *number <= sequence) {
            self.heard = (number == sequence).then_some(at).or(self.heard);
            self.sent.pop_front();
        }
    }

    /// When the newest was sent that is known to have been heard.
    pub(crate) const fn heard(&self) -> Option<Instant> {
        self.heard
    }
}

impl Runner {
    /// Waits until an attempt may begin: at once where it may be made twice, else once it is kept that it has started.
    pub(crate) async fn permission(&self, order: &Order, container_id: &str) -> Result<(), Ending> {
        let Some(Permission { mut begin, mut kill }) = self.held.permission(order.key) else { return Ok(()) };
        loop {
            self.say(order, Word::Started { container_id: container_id.to_owned() }).await;
            tokio::select! {
                biased;
                Ok(reason) = kill.wait_for(Option::is_some) => {
                    return Err(killed(reason.unwrap_or(qflow_model::progress::KillReason::Cancelled)));
                }
                Ok(_) = begin.wait_for(|begin| *begin) => return Ok(()),
                () = tokio::time::sleep(AGAIN) => {}
            }
        }
    }
}

/// Ends what must not be made twice before its orchestrator takes it for lost, until the order to stop.
pub(crate) async fn watch(edge: std::sync::Arc<Edge>, shutdown: qflow_service::Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            () = shutdown.wait() => return,
        }
        for key in edge.runner.held.fence(Duration::from_millis(FENCE_MS), |key| edge.heard_of(key.run)) {
            let said = "killed: its orchestrator has not heard of it for 25 s, and the node must not run twice";
            edge.runner.telemetry.emit(Event::warning("attempt_fenced", said).with("attempt", key.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_heartbeat_counts_from_when_it_was_sent() {
        let mut beats = Beats::default();
        let first = Instant::now();
        assert_eq!(beats.next(), 1);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!((beats.next(), beats.heard()), (2, None));
        tokio::time::advance(Duration::from_secs(5)).await;
        beats.hear(1);
        assert_eq!(beats.heard(), Some(first));
        beats.hear(7);
        assert_eq!(beats.heard(), Some(first), "what was not sent was not heard");
    }

    #[tokio::test(start_paused = true)]
    async fn only_so_many_are_remembered() {
        let mut beats = Beats::default();
        for _ in 0..100 {
            beats.next();
        }
        assert_eq!(beats.sent.len(), UNANSWERED);
    }
}
