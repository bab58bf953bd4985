//! The order to stop, and who waits for it.

use tokio_util::sync::CancellationToken;

/// The order to stop; clones hear it together.
#[derive(Clone, Debug, Default)]
pub struct Shutdown(CancellationToken);

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
                tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
                if second {
                    std::process::exit(130);
                }
                heard.trigger();
            }
        });
        Ok(shutdown)
    }

    /// Gives the order.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Whether it was given.
    pub fn is_triggered(&self) -> bool {
        self.0.is_cancelled()
    }

    /// Waits until it is given.
    pub async fn wait(&self) {
        self.0.cancelled().await;
    }

    /// Waits, owned: for spawned tasks.
    pub async fn wait_owned(self) {
        self.0.cancelled_owned().await;
    }

    /// An order that follows this one, and may be given alone.
    #[must_use]
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// The token within, for `run_until_cancelled` and the like.
    pub fn token(&self) -> &CancellationToken {
        &self.0
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
}
