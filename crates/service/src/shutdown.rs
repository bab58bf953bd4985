//! The order to stop, and who waits for it.

use tokio_util::{
    sync::CancellationToken,
    task::{TaskTracker, task_tracker::TaskTrackerToken},
};

/// The order to stop; clones hear it together.
#[derive(Clone, Debug, Default)]
pub struct Shutdown {
    order: CancellationToken,
    /// The listeners that have calls to bring to their end first.
    serving: TaskTracker,
}

impl Shutdown {
    /// An order not yet given.
    pub fn new() -> Self {
        Self::default()
    }

    /// An order that SIGTERM and SIGINT give; a second signal ends the process at once.
    ///
    /// Must be called within a tokio runtime.
    pub fn on_signals() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let shutdown = Self::new();
        let heard = shutdown.clone();
        tokio::spawn(async move {
            for second in [false, true] {
                let signal = tokio::select! {
                    _ = term.recv() => SignalKind::terminate(),
                    _ = int.recv() => SignalKind::interrupt(),
                };
                if second {
                    // As shells tell the end by a signal.
                    std::process::exit(128 + signal.as_raw_value());
                }
                heard.trigger();
            }
        });
        Ok(shutdown)
    }

    /// Gives the order.
    pub fn trigger(&self) {
        self.order.cancel();
    }

    /// Whether it was given.
    pub fn is_triggered(&self) -> bool {
        self.order.is_cancelled()
    }

    /// Waits until it is given.
    pub async fn wait(&self) {
        self.order.cancelled().await;
    }

    /// Waits, owned: for spawned tasks.
    pub async fn wait_owned(self) {
        self.order.cancelled_owned().await;
    }

    /// An order that follows this one, and may be given alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self { order: self.order.child_token(), serving: TaskTracker::new() }
    }

    /// Marks a listener that [`Self::drained`] waits for, until it is dropped.
    pub(crate) fn serving(&self) -> TaskTrackerToken {
        self.serving.token()
    }

    /// Waits, after the order, until no listener has calls under way.
    pub(crate) async fn drained(&self) {
        self.serving.close();
        self.serving.wait().await;
    }

    /// The token within, for `run_until_cancelled` and the like.
    pub fn token(&self) -> &CancellationToken {
        &self.order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_child_stops_alone_and_with_its_parent() {
        let parent = Shutdown::new();
        let (first, second) = (parent.child(), parent.child());
        first.trigger();
        assert!(!parent.is_triggered());
        parent.trigger();
        second.wait().await;
        assert!(second.is_triggered());
    }

    #[tokio::test]
    async fn a_stop_is_drained_once_no_listener_serves() {
        let shutdown = Shutdown::new();
        let (first, second) = (shutdown.serving(), shutdown.clone().serving());
        let drained = tokio::spawn({
            let shutdown = shutdown.clone();
            async move { shutdown.drained().await }
        });
        drop(first);
        tokio::task::yield_now().await;
        assert!(!drained.is_finished());
        drop(second);
        drained.await.unwrap();
    }
}
