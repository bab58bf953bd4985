//! Work that must be done now and then whoever asks for metrics: recorded values wait in memory until it is.

use std::{
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    time::Duration,
};

/// How often: at a million recorded values a second, what waits stays below 50 MB.
pub(crate) const EVERY: Duration = Duration::from_secs(5);

/// A thread that works now and then, until this is dropped.
pub(crate) struct Upkeep(#[expect(dead_code, reason = "its end is what the thread hears")] Sender<()>);

impl Upkeep {
    /// Does `work` after every `every`.
    pub(crate) fn start(every: Duration, mut work: impl FnMut() + Send + 'static) -> Self {
        let (held, dropped) = channel();
        let run = move || {
            while dropped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                work();
            }
        };
        // Without a thread, rendering does the same.
        drop(std::thread::Builder::new().name("qflow-upkeep".into()).spawn(run));
        Self(held)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_done_again_and_again_and_ends_with_its_holder() {
        let (tell, told) = channel();
        let upkeep = Upkeep::start(Duration::from_millis(1), move || {
            let _ = tell.send(());
        });
        for _ in 0..3 {
            told.recv_timeout(Duration::from_secs(10)).expect("it works");
        }
        drop(upkeep);
        while told.recv_timeout(Duration::from_secs(10)).is_ok() {}
        assert_eq!(told.recv_timeout(Duration::from_secs(10)), Err(RecvTimeoutError::Disconnected));
    }
}
