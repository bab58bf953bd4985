//! What is under way right now: hears every orchestrator, and has whoever watches see the newest.

pub mod http;
mod merge;
mod status;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError},
    time::Duration,
};

use qflow_service::{AuthedChannel, Clock, Shutdown};
use tokio::{
    sync::{Notify, Semaphore, watch},
    time::timeout,
};
use tokio_stream::{Stream, StreamExt as _, wrappers::WatchStream};

pub use merge::{Active, Roster, Version, What, Word};
pub use status::{Container, LISTED, Runner, Sighting, SystemStatus, progress_percent};

use crate::submit;

/// Between two tries to reach an orchestrator.
const AGAIN: Duration = Duration::from_secs(1);
/// Between two answers to whoever watches: what changes within it is told together.
const PACE: Duration = Duration::from_millis(250);
/// After which the whole is told though nothing changed: ages grow.
const QUIET: Duration = Duration::from_secs(5);
/// Who may watch at once: each is sent all runs a few times a second.
const WATCHERS: usize = 256;
/// Orchestrators that are heard, at most: more are named by nobody in earnest.
const ORCHESTRATORS: usize = 64;

/// How an orchestrator is reached, by its address.
pub type Dial = Arc<dyn Fn(&str) -> anyhow::Result<AuthedChannel> + Send + Sync>;

/// What an orchestrator said at once.
#[derive(Debug, Default)]
pub struct Heard {
    /// Of runs.
    pub words: Vec<Word>,
    /// Of runners and of its peers, where that changed.
    pub sighting: Option<Sighting>,
}

/// The whole at one moment, as all who watch then are told it.
#[derive(Debug)]
pub struct Told {
    /// The whole.
    pub status: SystemStatus,
    json: OnceLock<String>,
}

impl Told {
    const fn of(status: SystemStatus) -> Self {
        Self { status, json: OnceLock::new() }
    }

    /// In its published JSON form, written once for all.
    pub fn json(&self) -> &str {
        self.json.get_or_init(|| self.status.json().to_string())
    }
}

/// What whoever watches sees.
#[derive(Clone)]
enum Shown {
    NotYet,
    Now(Arc<Told>),
    /// There is no more of it.
    Over,
}

/// What is known of all that is under way.
#[derive(Clone)]
pub struct Monitor {
    inside: Arc<Mutex<Inside>>,
    changed: watch::Sender<()>,
    shown: watch::Sender<Shown>,
    /// Somebody begins to watch.
    listens: Arc<Notify>,
    watchers: Arc<Semaphore>,
    clock: Arc<dyn Clock>,
    /// For how long an orchestrator may tell nothing.
    silence: Duration,
    shutdown: Shutdown,
}

#[derive(Default)]
struct Inside {
    roster: Roster,
    /// Orchestrators that are dialed, each with what it sees while its stream is open.
    orchestrators: BTreeMap<String, Option<Sighting>>,
}

impl Inside {
    /// Orchestrators that are heard, and that are known: those that live, as they say themselves.
    fn counts(&self) -> (usize, usize) {
        let open = self.orchestrators.values().flatten();
        let peers: BTreeSet<&String> = open.flat_map(|sighting| &sighting.peers).collect();
        let is_heard = |url: &String| self.orchestrators.get(url).is_some_and(Option::is_some);
        if peers.is_empty() {
            return (self.orchestrators.values().flatten().count(), self.orchestrators.len());
        }
        (peers.iter().filter(|url| is_heard(url)).count(), peers.len())
    }

    fn is_named(&self, url: &String) -> bool {
        self.orchestrators.values().flatten().any(|sighting| sighting.peers.contains(url))
    }
}

impl Monitor {
    /// Hears the orchestrators at these addresses, and those that they name, until the order to stop; one that tells nothing for as long
    /// as `silence` is heard no more.
    pub fn start(seeds: &[String], dial: &Dial, clock: Arc<dyn Clock>, silence: Duration, shutdown: Shutdown) -> Self {
        let monitor = Self {
            inside: Arc::default(),
            changed: watch::channel(()).0,
            shown: watch::channel(Shown::NotYet).0,
            listens: Arc::default(),
            watchers: Arc::new(Semaphore::new(WATCHERS)),
            clock,
            silence,
            shutdown,
        };
        seeds.iter().for_each(|url| monitor.meet(url, true, dial));
        tokio::spawn(monitor.clone().tell());
        monitor
    }

    /// The whole as it is now.
    pub fn status(&self) -> SystemStatus {
        let inside = self.lock();
        let (runs, counts) = (inside.roster.active(), inside.counts());
        SystemStatus::of(self.clock.now(), runs, inside.orchestrators.values().flatten(), counts)
    }

    /// The whole now, and whenever it has changed, until the order to stop; nothing where too many watch. Who reads slowly gets the
    /// newest next.
    pub fn watch(&self) -> Option<impl Stream<Item = Arc<Told>> + Send + use<>> {
        let place = Arc::clone(&self.watchers).try_acquire_owned().ok()?;
        let shown = WatchStream::new(self.shown.subscribe());
        self.listens.notify_one();
        let told = shown.take_while(|shown| !matches!(shown, Shown::Over)).filter_map(move |shown| {
            // It is taken for as long as somebody reads.
            let _place = &place;
            if let Shown::Now(told) = shown { Some(told) } else { None }
        });
        Some(told)
    }

    /// Puts the whole together for all who watch at once, while anybody does, until the order to stop.
    async fn tell(self) {
        let mut changes = self.changed.subscribe();
        loop {
            if self.shown.receiver_count() == 0 {
                // Whoever comes next is not told what is old by then.
                self.shown.send_replace(Shown::NotYet);
                tokio::select! {
                    () = self.listens.notified() => continue,
                    () = self.shutdown.wait() => break,
                }
            }
            changes.mark_unchanged();
            self.shown.send_replace(Shown::Now(Arc::new(Told::of(self.status()))));
            let next = async {
                tokio::time::sleep(PACE).await;
                tokio::select! {
                    // Nobody changes anything any more: told again all the same, until the order to stop.
                    _ = timeout(QUIET, changes.changed()) => {}
                    () = self.listens.notified() => {}
                }
            };
            tokio::select! {
                () = next => {}
                () = self.shown.closed() => {}
                () = self.shutdown.wait() => break,
            }
        }
        self.shown.send_replace(Shown::Over);
    }

    fn lock(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to hear an orchestrator, where it is not heard already.
    fn meet(&self, url: &str, seed: bool, dial: &Dial) {
        let mut inside = self.lock();
        if inside.orchestrators.len() >= ORCHESTRATORS || inside.orchestrators.contains_key(url) {
            return;
        }
        inside.orchestrators.insert(url.to_owned(), None);
        tokio::spawn(self.clone().keep(url.to_owned(), seed, Arc::clone(dial)));
    }

    /// Keeps a stream open; to one that was only named, for as long as somebody names it.
    async fn keep(self, url: String, seed: bool, dial: Dial) {
        loop {
            tokio::select! {
                () = self.hear(&url, &dial) => {}
                () = self.shutdown.wait() => return,
            }
            // What it saw of runners others may see differently by now; what it said of runs counts until somebody says otherwise.
            self.lock().orchestrators.insert(url.clone(), None);
            self.changed.send_replace(());
            tokio::select! {
                () = tokio::time::sleep(AGAIN) => {}
                () = self.shutdown.wait() => return,
            }
            let mut inside = self.lock();
            if !seed && !inside.is_named(&url) {
                inside.orchestrators.remove(&url);
                return;
            }
        }
    }

    /// Hears one stream to its end.
    async fn hear(&self, url: &str, dial: &Dial) {
        let Ok(channel) = dial(url) else { return };
        let Some(mut heard) = submit::monitoring::activity(channel).await else { return };
        // A connection that stands proves nothing: whoever hangs may keep it for long.
        let mut next = async || timeout(self.silence, submit::monitoring::next(&mut heard)).await.ok().flatten();
        while let Some(heard) = next().await {
            let peers = heard.sighting.as_ref().map(|sighting| sighting.peers.clone()).unwrap_or_default();
            if self.take(url, heard) {
                self.changed.send_replace(());
            }
            peers.iter().for_each(|peer| self.meet(peer, false, dial));
        }
    }

    /// Takes in what was said; whether anything is otherwise now.
    fn take(&self, url: &str, Heard { words, sighting }: Heard) -> bool {
        let mut inside = self.lock();
        let news = words.into_iter().filter(|word| inside.roster.hear(word.clone())).count();
        let is_seen = sighting.is_some();
        if let Some(sighting) = sighting {
            inside.orchestrators.insert(url.to_owned(), Some(sighting));
        }
        news > 0 || is_seen
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use qflow_model::ids::Timestamp;
    use tokio::task::JoinSet;

    use super::{merge::tests::active, *};

    /// Is looked at once each time that the whole is put together.
    #[derive(Debug, Default)]
    struct Looks(AtomicUsize);

    impl Looks {
        fn taken(&self) -> usize {
            self.0.swap(0, Ordering::SeqCst)
        }
    }

    impl Clock for Looks {
        fn now(&self) -> Timestamp {
            self.0.fetch_add(1, Ordering::SeqCst);
            Timestamp(1)
        }
    }

    fn counted() -> (Monitor, Arc<Looks>) {
        let (dial, looks): (Dial, _) = (Arc::new(|_| anyhow::bail!("nobody is dialed")), Arc::new(Looks::default()));
        (Monitor::start(&[], &dial, Arc::clone(&looks) as _, QUIET, Shutdown::new()), looks)
    }

    fn monitor() -> Monitor {
        counted().0
    }

    fn said(monitor: &Monitor, sequence: u64) {
        let word = Word { version: Version { epoch: 1, sequence }, what: What::Run(active(1, sequence as u32)) };
        assert!(monitor.take("a", Heard { words: vec![word], sighting: None }));
        monitor.changed.send_replace(());
    }

    #[tokio::test(start_paused = true)]
    async fn who_reads_slowly_misses_what_was_between_and_never_the_newest() {
        let monitor = monitor();
        let mut statuses = Box::pin(monitor.watch().unwrap());
        assert_eq!(statuses.next().await.unwrap().status.active_workflows, 0);
        for sequence in 1..=9 {
            said(&monitor, sequence);
            tokio::time::sleep(2 * PACE).await;
        }
        let mut told = Vec::new();
        while told.last() != Some(&9) {
            told.push(statuses.next().await.unwrap().status.workflows[0].counts.0);
        }
        assert!(told.len() <= 2, "the newest, and at most one before it: {told:?}");
        // Nothing changes, and yet it is told again: ages grow.
        assert_eq!(statuses.next().await.unwrap().status.workflows[0].counts.0, 9);
        monitor.shutdown.trigger();
        while statuses.next().await.is_some() {}
    }

    #[tokio::test(start_paused = true)]
    async fn the_whole_is_put_together_once_for_all_who_watch_and_never_for_nobody() {
        const WATCH: usize = 50;
        const ROUNDS: usize = 40;
        let (monitor, looks) = counted();
        for sequence in 1..=20 {
            said(&monitor, sequence);
            tokio::time::sleep(PACE).await;
        }
        assert_eq!(looks.taken(), 0, "nobody watches");
        let mut readers = JoinSet::new();
        for _ in 0..WATCH {
            let mut statuses = Box::pin(monitor.watch().unwrap());
            readers.spawn(async move {
                let mut read = Vec::new();
                while let Some(told) = statuses.next().await {
                    // One text for all of them.
                    read.push((told.status.workflows[0].counts.0, told.json().as_ptr() as usize));
                }
                read
            });
        }
        for sequence in 21..=20 + 5 * ROUNDS as u64 {
            said(&monitor, sequence);
            tokio::time::sleep(PACE / 5).await;
        }
        let looked = looks.taken();
        assert!((ROUNDS / 2..=ROUNDS + 2).contains(&looked), "{looked} times in {ROUNDS} intervals for {WATCH}");
        tokio::time::sleep(PACE).await;
        monitor.shutdown.trigger();
        let all = readers.join_all().await;
        assert!(
            all.iter().all(|read| *read == all[0] && read.len() >= looked && read.last().unwrap().0 == 220),
            "{all:?}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn who_comes_while_others_watch_is_told_at_once_and_soon_what_is_new() {
        let (monitor, looks) = counted();
        let mut first = Box::pin(monitor.watch().unwrap());
        first.next().await.unwrap();
        tokio::time::sleep(2 * PACE).await;
        looks.taken();
        let mut second = Box::pin(monitor.watch().unwrap());
        let begun = tokio::time::Instant::now();
        second.next().await.unwrap();
        assert_eq!(begun.elapsed(), Duration::ZERO);
        second.next().await.unwrap();
        assert!(begun.elapsed() <= PACE && looks.taken() == 1);
        drop((first, second));
        tokio::time::sleep(QUIET).await;
        looks.taken();
        tokio::time::sleep(4 * QUIET).await;
        assert_eq!(looks.taken(), 0, "all have gone");
        assert!(Box::pin(monitor.watch().unwrap()).next().await.is_some(), "and whoever comes is told");
    }

    #[tokio::test(start_paused = true)]
    async fn watchers_are_bounded_and_make_room_as_they_go() {
        let monitor = monitor();
        let mut all: Vec<_> = (0..WATCHERS).map(|_| monitor.watch().unwrap()).collect();
        assert!(monitor.watch().is_none());
        all.truncate(WATCHERS / 2);
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert!(monitor.watch().is_some());
    }

    #[test]
    fn orchestrators_are_counted_by_whom_they_name_and_an_address_of_several_is_none_of_them() {
        let seen =
            |peers: &[&str]| Some(Sighting { peers: peers.iter().map(ToString::to_string).collect(), runners: vec![] });
        let counts = |all: &[(&str, Option<Sighting>)]| {
            let orchestrators = all.iter().map(|(url, seen)| ((*url).to_owned(), seen.clone())).collect();
            Inside { orchestrators, ..Inside::default() }.counts()
        };
        assert_eq!(counts(&[("a", None)]), (0, 1));
        assert_eq!(counts(&[("a", seen(&[]))]), (1, 1), "an embedded one names nobody");
        assert_eq!(counts(&[("balancer", seen(&["a", "b"])), ("a", seen(&["a", "b"])), ("b", None)]), (1, 2));
    }
}
