//! Which orchestrators are dialed, again and again, and what is told of those that do not answer.

use std::{
    collections::{BTreeSet, btree_map::Entry},
    error::Error,
    sync::Arc,
    time::Duration,
};

use qflow_telemetry::Event;
use tokio::time::Instant;
use tonic::{Code, Status};

use super::{Edge, ORCHESTRATOR, lock};

/// First and longest wait before dialing again.
const BACKOFF_MS: std::ops::RangeInclusive<u64> = 100..=5_000;
/// For how long an orchestrator may not be reached before that is told: one that starts anew is back by then.
const QUIET: Duration = Duration::from_secs(5);
/// Causes that are told of one orchestrator before it has answered: their texts may be anything.
const CAUSES: usize = 8;

/// How an orchestrator is reached.
#[derive(Debug)]
pub(super) struct Reach {
    /// Since when there is no stream, where there is none.
    since: Option<Instant>,
    /// The causes of that which were told.
    told: BTreeSet<String>,
}

impl Reach {
    fn new(now: Instant) -> Self {
        Self { since: Some(now), told: BTreeSet::new() }
    }

    /// Notes that it answered; whether it was told that it does not.
    fn answered(&mut self) -> bool {
        self.since = None;
        !std::mem::take(&mut self.told).is_empty()
    }

    /// Notes that its stream was lost.
    fn lost(&mut self, now: Instant) {
        self.since = Some(now);
    }

    /// Notes that it was dialed for nothing; whether that is to be told: each cause once, what time may mend only after a while.
    fn failed(&mut self, now: Instant, code: Code, cause: &str) -> bool {
        let long = now.duration_since(*self.since.get_or_insert(now)) >= QUIET;
        let lasts = matches!(code, Code::Unauthenticated | Code::PermissionDenied | Code::InvalidArgument);
        (long || lasts) && self.told.len() < CAUSES && self.told.insert(format!("{code:?}: {cause}"))
    }
}

/// What is behind a status: the innermost of its sources, else what it says.
fn cause(status: &Status) -> String {
    let mut innermost = status.source();
    while let Some(deeper) = innermost.and_then(Error::source) {
        innermost = Some(deeper);
    }
    innermost.map_or_else(|| status.message().to_owned(), ToString::to_string)
}

/// What to do about it, where that is known.
const fn remedy(code: Code) -> &'static str {
    match code {
        Code::Unauthenticated => "; give this runner the QFLOW_SERVICE_TOKEN of its orchestrators",
        _ => "; it is tried again: see QFLOW_ORCHESTRATOR_URLS here and QFLOW_ADVERTISE_URL there",
    }
}

impl Edge {
    /// Keeps a stream to an orchestrator; each is dialed once.
    pub fn dial(self: &Arc<Self>, url: &str) {
        if let Entry::Vacant(place) = lock(&self.dialed).entry(url.to_owned()) {
            place.insert(Reach::new(Instant::now()));
            tokio::spawn(Arc::clone(self).keep(url.to_owned()));
        }
    }

    async fn keep(self: Arc<Self>, url: String) {
        let mut wait = *BACKOFF_MS.start();
        while !self.shutdown.is_triggered() {
            let ended = tokio::select! {
                ended = self.work(&url) => ended,
                () = self.shutdown.wait() => {
                    // Whoever still held the sending half would keep the stream, and the orchestrator's drain, open.
                    lock(&self.streams).remove(&url);
                    return;
                }
            };
            let was_open = lock(&self.streams).remove(&url).is_some();
            lock(&self.credits).close(&url);
            self.deal().await;
            wait = if was_open { *BACKOFF_MS.start() } else { (wait * 2).min(*BACKOFF_MS.end()) };
            if was_open {
                self.lost(&url, ended);
            } else {
                let mute = || Status::unavailable("it ended the stream before its hello");
                self.failed(&url, &ended.err().unwrap_or_else(mute));
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(wait)) => {}
                () = self.shutdown.wait() => return,
            }
        }
    }

    /// Its hello is here.
    pub(super) fn answered(&self, url: &str) {
        self.readiness.set(ORCHESTRATOR, true);
        if lock(&self.dialed).get_mut(url).is_some_and(Reach::answered) {
            let note = Event::info("orchestrator_reached", format!("the orchestrator {url} answers"));
            self.runner.telemetry.emit(note.with("url", url));
        }
    }

    fn lost(&self, url: &str, ended: Result<(), Status>) {
        if let Some(reach) = lock(&self.dialed).get_mut(url) {
            reach.lost(Instant::now());
        }
        if let Err(status) = ended {
            let note = Event::warning("work_stream_lost", status.message().to_owned());
            self.runner.telemetry.emit(note.with("url", url).with("code", format!("{:?}", status.code())));
        }
    }

    fn failed(&self, url: &str, status: &Status) {
        let (code, cause) = (status.code(), cause(status));
        if lock(&self.dialed).get_mut(url).is_some_and(|reach| reach.failed(Instant::now(), code, &cause)) {
            let why = format!("the orchestrator {url} gives this runner no work: {code:?}: {cause}{}", remedy(code));
            let note = Event::warning("orchestrator_unreachable", why);
            self.runner.telemetry.emit(note.with("url", url).with("code", format!("{code:?}")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_cause_is_told_once_until_it_answers_and_what_may_pass_only_after_a_while() {
        let begun = Instant::now();
        let (soon, late) = (begun + Duration::from_secs(4), begun + QUIET);
        let mut reach = Reach::new(begun);
        assert!(!reach.failed(soon, Code::Unavailable, "refused"));
        assert!(reach.failed(soon, Code::Unauthenticated, "no token"), "no time mends that");
        assert!(reach.failed(late, Code::Unavailable, "refused"));
        assert!(!reach.failed(late, Code::Unavailable, "refused"));
        assert!(reach.failed(late, Code::Unavailable, "no such host"));
        assert!(!reach.failed(late, Code::Unavailable, "refused"), "it was told before");
        assert!(reach.answered());
        assert!(!reach.answered());
        reach.lost(late);
        assert!(!reach.failed(late, Code::Unavailable, "refused"));
        assert!(reach.failed(late + QUIET, Code::Unavailable, "refused"), "it answered meanwhile");
    }

    #[test]
    fn causes_are_bounded() {
        let begun = Instant::now();
        let mut reach = Reach::new(begun);
        let told = (0..100).filter(|n| reach.failed(begun + QUIET, Code::Unknown, &n.to_string())).count();
        assert_eq!(told, CAUSES);
    }
}
