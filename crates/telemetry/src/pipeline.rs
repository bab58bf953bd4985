//! How telemetry itself gets out of the process: since when nobody has asked for metrics, and what was dropped.

use std::{
    collections::VecDeque,
    fmt,
    hash::{BuildHasher as _, RandomState},
    str::FromStr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics::{Counter, CounterFn};
use tokio::time::Instant;

/// How often somebody must have asked for metrics at an even pace to be missed: a person who looks a few times is not.
const REGULAR: usize = 5;
/// Within how long they must have: what is asked for more seldom is not missed soon either.
const WINDOW: Duration = Duration::from_secs(300);
/// The shortest pause that is a pace, and no loop of somebody's hand.
const PAUSE: Duration = Duration::from_secs(1);
/// By how many times the longest pause of an even pace may be longer than the shortest.
const UNEVEN: f64 = 1.5;
/// How many may ask in turn, each at the same pace: Prometheus is often there twice.
const ASKERS: usize = 3;

/// How what is told gets out.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pipeline {
    /// A number of the process alone: whoever hears of it from several sides counts it once.
    pub process: u64,
    /// Since when nobody has asked for metrics; nothing where nobody asks regularly.
    pub asked: Option<Duration>,
    /// Spans that were dropped since the start.
    pub spans_dropped: u64,
    /// Log lines that were dropped since the start.
    pub lines_dropped: u64,
    /// Since when nothing was dropped; nothing where nothing ever was.
    pub dropped: Option<Duration>,
}

/// `PROCESS ASKED SPANS LINES DROPPED`, ages in milliseconds and `-` for none: as services tell it with answers.
impl fmt::Display for Pipeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let age = |age: Option<Duration>| age.map_or_else(|| "-".to_owned(), |age| age.as_millis().to_string());
        let Self { process, asked, spans_dropped, lines_dropped, dropped } = self;
        write!(f, "{process} {} {spans_dropped} {lines_dropped} {}", age(*asked), age(*dropped))
    }
}

/// Where a text is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoPipeline;

impl FromStr for Pipeline {
    type Err = NoPipeline;

    fn from_str(text: &str) -> Result<Self, NoPipeline> {
        let parts: Vec<&str> = text.split(' ').collect();
        let [process, asked, spans, lines, dropped] = parts[..] else { return Err(NoPipeline) };
        let number = |text: &str| text.parse::<u64>().map_err(|_| NoPipeline);
        let age = |text| if text == "-" { Ok(None) } else { number(text).map(Duration::from_millis).map(Some) };
        Ok(Self {
            process: number(process)?,
            asked: age(asked)?,
            spans_dropped: number(spans)?,
            lines_dropped: number(lines)?,
            dropped: age(dropped)?,
        })
    }
}

/// What is counted of it.
#[derive(Debug)]
pub(crate) struct Counted {
    process: u64,
    asked: Mutex<Asked>,
    spans: Arc<AtomicU64>,
    lines: Arc<AtomicU64>,
    dropped: Arc<Mutex<Option<Instant>>>,
}

/// When metrics were asked for.
#[derive(Debug, Default)]
struct Asked {
    /// The newest, as many as say whether that is regular.
    newest: VecDeque<Instant>,
    /// Whether it ever was: who did so regularly is missed.
    regularly: bool,
}

impl Asked {
    fn note(&mut self, at: Instant) {
        self.newest.push_back(at);
        if self.newest.len() > REGULAR * ASKERS {
            self.newest.pop_front();
        }
        self.regularly |= (1..=ASKERS).any(|askers| self.is_even(askers));
    }

    /// Whether the newest of each so many, which one of them asked, came at an even pace.
    fn is_even(&self, askers: usize) -> bool {
        let own: Vec<Instant> = self.newest.iter().rev().step_by(askers).take(REGULAR).copied().collect();
        let pauses = || own.windows(2).map(|pair| pair[0] - pair[1]);
        let (Some(shortest), Some(longest)) = (pauses().min(), pauses().max()) else { return false };
        own.len() == REGULAR
            && shortest >= PAUSE
            && longest <= shortest.mul_f64(UNEVEN)
            && pauses().sum::<Duration>() <= WINDOW
    }
}

impl Default for Counted {
    fn default() -> Self {
        Self {
            // Seeded anew in each process, and never the same twice in one.
            process: RandomState::new().hash_one(()),
            asked: Mutex::default(),
            spans: Arc::default(),
            lines: Arc::default(),
            dropped: Arc::default(),
        }
    }
}

impl Counted {
    pub(crate) fn asked_now(&self) {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).note(Instant::now());
    }

    pub(crate) fn now(&self) -> Pipeline {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let last = asked.newest.back().filter(|_| asked.regularly).map(Instant::elapsed);
        drop(asked);
        Pipeline {
            process: self.process,
            asked: last,
            spans_dropped: self.spans.load(Ordering::Relaxed),
            lines_dropped: self.lines.load(Ordering::Relaxed),
            dropped: self.dropped.lock().unwrap_or_else(PoisonError::into_inner).map(|at| at.elapsed()),
        }
    }

    /// The counter of dropped spans, counted here too.
    pub(crate) fn spans(&self, counter: Counter) -> Counter {
        self.twice(counter, &self.spans)
    }

    /// The counter of dropped lines, counted here too.
    pub(crate) fn lines(&self, counter: Counter) -> Counter {
        self.twice(counter, &self.lines)
    }

    fn twice(&self, counter: Counter, total: &Arc<AtomicU64>) -> Counter {
        let (total, dropped) = (Arc::clone(total), Arc::clone(&self.dropped));
        Counter::from_arc(Arc::new(Twice { counter, total, dropped }))
    }
}

/// A counter that can be read: those of metrics cannot.
struct Twice {
    counter: Counter,
    total: Arc<AtomicU64>,
    dropped: Arc<Mutex<Option<Instant>>>,
}

impl CounterFn for Twice {
    fn increment(&self, value: u64) {
        self.counter.increment(value);
        self.total.fetch_add(value, Ordering::Relaxed);
        *self.dropped.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
    }

    fn absolute(&self, value: u64) {
        self.counter.absolute(value);
        self.total.fetch_max(value, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Since when nobody has asked, after asks with pauses of so many milliseconds, and a minute later.
    fn asked_after(pauses: impl IntoIterator<Item = u64>) -> Option<Duration> {
        let (mut asked, mut at) = (Asked::default(), Instant::now());
        asked.note(at);
        for pause in pauses {
            at += Duration::from_millis(pause);
            asked.note(at);
        }
        asked.newest.back().filter(|_| asked.regularly).map(|last| at + Duration::from_secs(60) - *last)
    }

    #[test]
    fn whoever_asks_at_an_even_pace_is_missed_and_a_person_is_not() {
        let missed = Some(Duration::from_secs(60));
        for interval in [1000, 15_000, 60_000] {
            assert_eq!(asked_after([interval; 3]), None, "four times every {interval} ms");
            assert_eq!(asked_after([interval; 4]), missed, "five times every {interval} ms");
        }
        assert_eq!(asked_after([14_900, 15_300, 15_000, 14_800]), missed, "no clock is exact");
        for by_hand in [&[20_000, 4000, 45_000, 9000, 2000][..], &[50; 30], &[120_000; 5], &[600_000, 15_000, 15_000]] {
            assert_eq!(asked_after(by_hand.iter().copied()), None, "{by_hand:?}");
        }
        assert_eq!(asked_after([3000, 12_000].repeat(4)), missed, "two in turn");
        assert_eq!(
            asked_after([15_000; 4].into_iter().chain([7, 90_000])),
            missed,
            "a look of somebody changes nothing"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_dropped_and_when_metrics_were_asked_for_is_known() {
        let telemetry = crate::Telemetry::silent();
        let process = telemetry.pipeline().process;
        assert_eq!(telemetry.pipeline(), Pipeline { process, ..Pipeline::default() });
        assert_ne!(crate::Telemetry::silent().pipeline().process, process);
        for _ in 0..20 {
            telemetry.render(None);
        }
        assert_eq!(telemetry.pipeline().asked, None, "that was a person");
        for _ in 0..REGULAR {
            telemetry.render(None);
            tokio::time::advance(Duration::from_secs(15)).await;
        }
        assert_eq!(telemetry.pipeline().asked, Some(Duration::from_secs(15)));
        let counted = Counted::default();
        let (spans, lines) = (counted.spans(Counter::noop()), counted.lines(Counter::noop()));
        assert_eq!(counted.now().dropped, None);
        spans.increment(2);
        lines.increment(3);
        lines.increment(1);
        assert_eq!((counted.now().spans_dropped, counted.now().lines_dropped), (2, 4));
        assert!(counted.now().dropped.is_some());
    }

    #[test]
    fn what_is_told_with_an_answer_reads_again_and_nothing_else_does() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let pipeline =
            Pipeline { process: u64::MAX, asked: seconds(5), spans_dropped: 2, lines_dropped: 3, dropped: None };
        for one in [pipeline, Pipeline { asked: None, dropped: seconds(0), ..pipeline }, Pipeline::default()] {
            assert_eq!(one.to_string().parse(), Ok(one));
        }
        for wrong in ["", "1 2 3 4", "1 2 3 4 5 6", "1 2 3 x 5", "-1 - 0 0 -", "- - 0 0 -"] {
            assert_eq!(wrong.parse::<Pipeline>(), Err(NoPipeline), "{wrong}");
        }
    }
}
