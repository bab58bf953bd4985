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

    /// What two say of one part: of whoever asked it itself, and of whoever was told. The worse counts; where only the second does not
    /// reach it, that is said.
    #[must_use]
    pub fn and(self, told: Self) -> Self {
        if !told.tells() {
            return if self.tells() || told.status == Status::NotConfigured { self } else { told };
        }
        if !self.tells() {
            return told;
        }
        let worse = told.status > self.status;
        let error = match told.error {
            Some(UNREACHABLE) => Some("unreachable_for_orchestrators"),
            other => other,
        };
        let mut facts = self.facts;
        for (name, fact) in told.facts {
            facts.entry(name).or_insert(fact);
        }
        Self {
            status: self.status.max(told.status),
            critical: self.critical || told.critical,
            error: if worse { error } else { self.error },
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
        Self { reading, age_seconds, failures, cause: None, explains: Vec::new() }
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
        Self::of(self.reading.and(told.reading), age, failures)
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
    fn what_only_the_orchestrators_do_not_reach_is_told_so() {
        let both = Reading::healthy("database", true).and(Reading::unhealthy("database", true, UNREACHABLE));
        assert_eq!((both.status, both.error), (Status::Unhealthy, Some("unreachable_for_orchestrators")));
        let none =
            Reading::unhealthy("database", true, "timeout").and(Reading::unhealthy("database", true, UNREACHABLE));
        assert_eq!(none.error, Some("timeout"));
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
            let both = own.clone().and(told.clone());
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
