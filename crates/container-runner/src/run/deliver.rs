//! Lines that the blob store did not take when their attempt ended: kept on this machine's disk, written later, given up past a bound.

use std::{sync::Arc, time::Duration};

use qflow_model::{
    ids::Timestamp,
    limits::{LINES_LATE_BYTES, LINES_LATE_MS},
    outcome::{LINES_LATE, LINES_NOT_KEPT},
};
use qflow_proto::order::Order;
use qflow_service::Shutdown;
use qflow_telemetry::Event;

use super::Runner;
use crate::spool::Owed;

/// Between two looks whether the blob store takes what is owed.
const EVERY: Duration = Duration::from_secs(15);

/// Why lines are kept no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Bound {
    Age,
    Bytes,
}

impl Bound {
    fn said(self) -> String {
        let (hours, mib) = (LINES_LATE_MS / 3_600_000, LINES_LATE_BYTES >> 20);
        match self {
            Self::Age => format!("the blob store has not taken them for {hours} h"),
            Self::Bytes => format!("more than {mib} MiB of lines wait for the blob store, and they are the oldest"),
        }
    }
}

/// Which of what is owed, oldest first and with its bytes, is over a bound.
fn over(owed: &[(Owed, u64)], now: Timestamp) -> Vec<(&Owed, Bound)> {
    let mut bytes: u64 = owed.iter().map(|(_, bytes)| bytes).sum();
    let mut over = Vec::new();
    for (one, size) in owed {
        let bound = if now.ms_since(one.since) >= LINES_LATE_MS {
            Bound::Age
        } else if bytes > LINES_LATE_BYTES {
            Bound::Bytes
        } else {
            break;
        };
        bytes -= size;
        over.push((one, bound));
    }
    over
}

impl Runner {
    /// Keeps an attempt's lines for later; the warning that its node has.
    pub(super) fn owe_lines(&self, order: &Order, error: &qflow_blobs::Error) -> String {
        let owed = Owed { key: order.key, node_id: order.node_id.clone(), since: self.clock.now() };
        let (event, warning) = match self.spool.owe(&owed) {
            Ok(()) => {
                let warning = format!("{LINES_LATE}{error}");
                (Event::warning("lines_late", warning.clone()), warning)
            }
            Err(unkept) => {
                let warning = format!("{LINES_NOT_KEPT}{error}; and here: {unkept}");
                (Event::warning("lines_not_kept", warning.clone()), warning)
            }
        };
        self.telemetry.emit(event.with("attempt", order.key.to_string()));
        warning
    }

    /// Writes lines that are owed, again and again until the order to stop.
    pub async fn deliver(self: Arc<Self>, shutdown: Shutdown) {
        loop {
            self.deliver_lines().await;
            tokio::select! {
                () = tokio::time::sleep(EVERY) => {}
                () = shutdown.wait() => return,
            }
        }
    }

    /// Writes lines that are owed, as far as the blob store takes them; what is over a bound is given up.
    pub async fn deliver_lines(&self) {
        let owed = self.spool.owed();
        if owed.is_empty() {
            return;
        }
        if self.blobs.look().await.is_ok() {
            for (one, _) in &owed {
                self.deliver_one(one).await;
            }
        }
        for (one, bound) in over(&self.spool.owed(), self.clock.now()) {
            self.spool.settle(one.key);
            let why = format!("lines of `{}` are given up: {}", one.node_id, bound.said());
            self.telemetry.emit(Event::warning("lines_given_up", why).with("attempt", one.key.to_string()));
        }
    }

    async fn deliver_one(&self, Owed { key, node_id, .. }: &Owed) {
        let lines = self.spool.read_lines(*key);
        if lines.is_empty() {
            // An empty object would say that there were none.
            self.spool.settle(*key);
            let why = format!("lines of `{node_id}` are given up: they are not on this machine's disk any more");
            self.telemetry.emit(Event::warning("lines_given_up", why).with("attempt", key.to_string()));
            return;
        }
        // One that fails is owed on; why the store does not take it was told, or shows in health.
        if self.blobs.write_log(key.run, node_id, key.attempt, &lines).await.is_ok() {
            self.spool.settle(*key);
            let note = Event::info("lines_delivered", format!("lines of `{node_id}` are in the blob store now"));
            self.telemetry.emit(note.with("attempt", key.to_string()));
        }
    }
}

#[cfg(test)]
mod tests {
    use qflow_model::ids::{AttemptKey, NodeKey, RunId, StepIx};

    use super::*;

    #[test]
    fn lines_are_given_up_past_a_day_and_the_oldest_past_the_bytes_that_may_wait() {
        let owed = |step, since_h: i64, bytes: u64| {
            let key = AttemptKey { run: RunId(uuid::Uuid::nil()), node: NodeKey::root(StepIx(step), None), attempt: 1 };
            (Owed { key, node_id: format!("n{step}"), since: Timestamp(since_h * 3_600_000_000) }, bytes)
        };
        let over = |owed: &[(Owed, u64)], now_h: i64| {
            let over = over(owed, Timestamp(now_h * 3_600_000_000));
            over.into_iter().map(|(one, bound)| (one.node_id.clone(), bound)).collect::<Vec<_>>()
        };
        let (small, half) = (1 << 20, LINES_LATE_BYTES / 2);
        let few = [owed(0, 0, small), owed(1, 1, small)];
        assert_eq!(over(&few, 23), []);
        assert_eq!(over(&few, 24), [("n0".to_owned(), Bound::Age)]);
        assert_eq!(over(&few, 25).len(), 2);
        let many = [owed(0, 0, half), owed(1, 1, half), owed(2, 2, small)];
        assert_eq!(over(&many[..2], 3), []);
        assert_eq!(over(&many, 3), [("n0".to_owned(), Bound::Bytes)]);
    }
}
