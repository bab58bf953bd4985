//! From single checks to one verdict: pure, told the time, reading no clock.

mod cause;
mod held;

use serde_json::{Map, Value};

pub use cause::explained;
pub use held::{Held, Rules};

/// How a part is, and how the whole is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// The shape that runs has no such part; it does not count.
    NotConfigured,
    /// As it should be.
    Healthy,
    /// Works, with less than it should have.
    Degraded,
    /// Does not work.
    Unhealthy,
}

impl Status {
    /// The word that the HTTP answer and the wire use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NotConfigured => "not_configured",
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// What one probe found out about one part.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// The part's name, a key of `checks`.
    pub name: &'static str,
    /// How it is.
    pub status: Status,
    /// Whether nothing works without it.
    pub critical: bool,
    /// How long the probe took.
    pub response_time_ms: f64,
    /// Why it is not healthy, as a code.
    pub error: Option<&'static str>,
    /// Seconds for which it was so already when it was found, where somebody else had looked.
    pub told_seconds: f64,
    /// What else is told of it, under the seed's keys.
    pub facts: Map<String, Value>,
}

/// Why nothing is told of a part: what tells of it does not answer itself.
pub const NOT_KNOWN: &str = "not_known";
/// Why nothing is told of a part before its first probe has ended.
pub const NOT_PROBED_YET: &str = "not_probed_yet";
/// Why what was found proves nothing any more.
pub const STALE: &str = "stale";
/// Why a part does not work that nobody reaches.
pub const UNREACHABLE: &str = "unreachable";
/// Why a part does not work that does not answer in time.
pub const TIMEOUT: &str = "timeout";
/// Why a part that was down and has answered once does not count as up yet.
pub const RECOVERING: &str = "recovering";
/// Why a part does not work that answers the aggregator alone.
const UNREACHABLE_FOR_ORCHESTRATORS: &str = "unreachable_for_orchestrators";
/// The parts that both the aggregator and orchestrators call.
const CALLED_BY_BOTH: [&str; 2] = ["database", "redis"];

impl Reading {
    /// A part that does not work, and why.
    pub fn unhealthy(name: &'static str, critical: bool, error: &'static str) -> Self {
        Self {
            name,
            status: Status::Unhealthy,
            critical,
            response_time_ms: 0.0,
            error: Some(error),
            told_seconds: 0.0,
            facts: Map::new(),
        }
    }

    /// A part that works.
    pub fn healthy(name: &'static str, critical: bool) -> Self {
        Self { status: Status::Healthy, error: None, ..Self::unhealthy(name, critical, "") }
    }

    /// A part of which nothing is known, since what tells of it does not answer: no proof that it works, and none that it does not.
    pub fn not_known(name: &'static str, critical: bool) -> Self {
        Self { status: Status::Degraded, ..Self::unhealthy(name, critical, NOT_KNOWN) }
    }

    /// Whether it says anything of the part.
    fn tells(&self) -> bool {
        self.status != Status::NotConfigured && !matches!(self.error, Some(NOT_KNOWN | NOT_PROBED_YET))
    }

    /// What two say of one part: of whoever asked it itself, and of whoever was told. The worse counts; where that is the second, it is
    /// told under that code.
    fn and(self, told: Self, code: Option<&'static str>) -> Self {
        if !told.tells() {
            return if self.tells() || told.status == Status::NotConfigured { self } else { told };
        }
        if !self.tells() {
            return told;
        }
        let worse = told.status > self.status;
        let mut facts = self.facts;
        for (name, fact) in told.facts {
            facts.entry(name).or_insert(fact);
        }
        Self {
            status: self.status.max(told.status),
            critical: self.critical || told.critical,
            error: if worse { code } else { self.error },
            facts,
            ..self
        }
    }
}

/// A reading as it counts, how old it is, and what it has to do with others.
#[derive(Clone, Debug, PartialEq)]
pub struct Aged {
    /// What was found.
    pub reading: Reading,
    /// Seconds since.
    pub age_seconds: f64,
    /// Probes in a row that found trouble.
    pub failures: u32,
    /// Whether the newest found it down, and seconds since the first of those in a row that found it so, or found it not so.
    row: (bool, f64),
    /// The part of which its trouble comes.
    pub cause: Option<&'static str>,
    /// The parts whose trouble comes of it.
    pub explains: Vec<&'static str>,
}

/// Rounds that may be missed before what was found proves nothing.
pub const MISSED_ROUNDS: u32 = 4;

impl Aged {
    /// A reading of an age, which has to do with no other yet.
    pub fn of(reading: Reading, age_seconds: f64, failures: u32) -> Self {
        let row = (reading.status == Status::Unhealthy, age_seconds);
        Self { reading, age_seconds, failures, row, cause: None, explains: Vec::new() }
    }

    /// The same, of which the newest readings have found for so many seconds that it is down, or that it is not.
    #[must_use]
    pub fn for_seconds(self, is_down: bool, seconds: f64) -> Self {
        Self { row: (is_down, seconds), ..self }
    }

    /// The reading as it counts now, with its whole age: one that was found longer than `stale_seconds` ago is no proof of health.
    #[must_use]
    pub fn counted(mut self, stale_seconds: f64) -> Self {
        if self.age_seconds > stale_seconds && self.reading.status != Status::NotConfigured {
            self.reading.status = Status::Unhealthy;
            self.reading.error = Some(STALE);
        }
        // Whoever told of it says by itself what is too old.
        self.age_seconds += self.reading.told_seconds;
        self
    }

    /// What two say of one part, each of its age: the older one's counts.
    #[must_use]
    pub fn and(self, told: Self) -> Self {
        let (age, failures) = match (self.reading.tells(), told.reading.tells()) {
            (true, false) => (self.age_seconds, self.failures),
            (false, true) => (told.age_seconds, told.failures),
            _ => (self.age_seconds.max(told.age_seconds), self.failures.max(told.failures)),
        };
        let code = self.code_beside(&told);
        Self::of(self.reading.and(told.reading, code), age, failures)
    }

    /// The code under which trouble is told that others find worse. That a part answers the aggregator and not them is known only where it
    /// has answered since they failed, and they have failed since it answers: what was found before says nothing of now.
    fn code_beside(&self, told: &Self) -> Option<&'static str> {
        let ((is_down, since), (_, failing_since)) = (self.row, told.row);
        let answers = !is_down && self.age_seconds <= failing_since && told.age_seconds <= since;
        match told.reading.error {
            Some(UNREACHABLE | TIMEOUT) if answers && CALLED_BY_BOTH.contains(&self.reading.name) => {
                Some(UNREACHABLE_FOR_ORCHESTRATORS)
            }
            // Whoever asks it itself sees best how it fails.
            theirs if is_down => self.reading.error.or(theirs),
            theirs => theirs,
        }
    }
}

/// The whole: unhealthy only where a critical part is, degraded where anything else is not healthy.
pub fn verdict<'a>(checks: impl IntoIterator<Item = &'a Reading>) -> Status {
    checks.into_iter().fold(Status::Healthy, |whole, check| {
        let counts = match check.status {
            Status::NotConfigured => Status::Healthy,
            Status::Unhealthy if !check.critical => Status::Degraded,
            other => other,
        };
        whole.max(counts)
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn reading(status: Status, critical: bool) -> Reading {
        Reading { status, ..Reading::unhealthy("x", critical, "down") }
    }

    fn any_status() -> impl Strategy<Value = Status> {
        prop::sample::select(vec![Status::NotConfigured, Status::Healthy, Status::Degraded, Status::Unhealthy])
    }

    /// A reading as probes give them.
    fn any_reading() -> impl Strategy<Value = Reading> {
        let errors = prop::sample::select(vec!["slow", UNREACHABLE, NOT_KNOWN, NOT_PROBED_YET]);
        (any_status(), any::<bool>(), errors).prop_map(|(status, critical, error)| {
            let error = (status > Status::Healthy).then_some(error);
            Reading { error, ..reading(status, critical) }
        })
    }

    #[test]
    fn only_a_critical_part_makes_the_whole_unhealthy() {
        assert_eq!(verdict(&[reading(Status::Unhealthy, true)]), Status::Unhealthy);
        assert_eq!(verdict(&[reading(Status::Unhealthy, false)]), Status::Degraded);
        assert_eq!(verdict(&[reading(Status::Degraded, true), reading(Status::Healthy, true)]), Status::Degraded);
    }

    #[test]
    fn a_part_that_this_shape_lacks_does_not_count() {
        assert_eq!(verdict(&[reading(Status::NotConfigured, false)]), Status::Healthy);
        assert_eq!(verdict(&[]), Status::Healthy);
    }

    #[test]
    fn an_old_reading_is_no_proof_of_health() {
        let aged = |age| Aged::of(reading(Status::Healthy, true), age, 0).counted(60.0).reading;
        assert_eq!(aged(60.0).status, Status::Healthy);
        assert_eq!(aged(61.0).status, Status::Unhealthy);
        assert_eq!(aged(61.0).error, Some("stale"));
    }

    #[test]
    fn of_a_part_that_is_well_no_failures_are_told_though_another_knows_nothing_of_it() {
        let own = Aged::of(reading(Status::Healthy, true), 1.0, 0);
        let told = Aged::of(Reading::not_known("x", true), 60.0, 4);
        assert_eq!((own.clone().and(told.clone()).failures, told.and(own).failures), (0, 0));
    }

    #[test]
    fn what_only_the_orchestrators_do_not_reach_is_told_so_once_that_is_known() {
        // Seconds since the newest of its own, and since it answers; the same of what orchestrators say, and since they fail.
        let of = |name, (own, answers), (told, fails), code| {
            let own = Aged::of(Reading::healthy(name, true), own, 0).for_seconds(false, answers);
            let told = Aged::of(Reading::unhealthy(name, true, code), told, 2).for_seconds(true, fails);
            let both = own.and(told).reading;
            assert_eq!(both.status, Status::Unhealthy);
            both.error
        };
        let only_they = Some(UNREACHABLE_FOR_ORCHESTRATORS);
        assert_eq!(of("database", (1.0, 600.0), (3.0, 8.0), UNREACHABLE), only_they);
        assert_eq!(of("database", (7.0, 600.0), (3.0, 8.0), TIMEOUT), only_they, "its next answer is not due yet");
        assert_eq!(of("redis", (1.0, 600.0), (3.0, 8.0), UNREACHABLE), only_they);
        // Its last good answer is from before they failed: it may hang since.
        assert_eq!(of("database", (9.0, 600.0), (3.0, 8.0), TIMEOUT), Some(TIMEOUT));
        // It answers again, and they were not asked since.
        assert_eq!(of("database", (1.0, 2.0), (3.0, 60.0), UNREACHABLE), Some(UNREACHABLE));
        // Orchestrators that do not answer are not unreachable for themselves.
        assert_eq!(of("orchestrator", (1.0, 600.0), (3.0, 8.0), UNREACHABLE), Some(UNREACHABLE));
        assert_eq!(of("database", (1.0, 600.0), (3.0, 8.0), "failed"), Some("failed"));
    }

    #[test]
    fn how_a_part_fails_is_told_by_whoever_asks_it_itself() {
        let of = |status, code| {
            let own = Reading { status, ..Reading::unhealthy("database", true, code) };
            let own = Aged::of(own, 1.0, 1).for_seconds(true, 1.0);
            own.and(Aged::of(Reading::unhealthy("database", true, UNREACHABLE), 3.0, 2)).reading.error
        };
        assert_eq!([of(Status::Unhealthy, TIMEOUT), of(Status::Degraded, TIMEOUT)], [Some(TIMEOUT); 2]);
    }

    proptest! {
        #[test]
        fn the_whole_is_unhealthy_exactly_where_something_critical_is(
            checks in prop::collection::vec(any_reading(), 0..8)
        ) {
            let down = |one: &Reading| one.critical && one.status == Status::Unhealthy;
            let well = |one: &Reading| one.status <= Status::Healthy;
            let whole = verdict(&checks);
            prop_assert_eq!(whole == Status::Unhealthy, checks.iter().any(down));
            prop_assert_eq!(whole == Status::Healthy, checks.iter().all(well));
        }

        #[test]
        fn of_two_that_know_a_part_the_worse_counts_and_who_knows_nothing_changes_nothing(
            own in any_reading(), told in any_reading()
        ) {
            let aged = |reading: &Reading| Aged::of(reading.clone(), 1.0, 0);
            let both = aged(&own).and(aged(&told)).reading;
            match (own.tells(), told.tells()) {
                (true, true) => prop_assert_eq!(both.status, own.status.max(told.status)),
                (true, false) => prop_assert_eq!(&both, &own),
                (false, true) => prop_assert_eq!(&both, &told),
                (false, false) => prop_assert!(!both.tells()),
            }
            prop_assert_eq!(both.error.is_some(), both.status > Status::Healthy);
        }
    }
}
