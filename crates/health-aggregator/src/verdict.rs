//! From single checks to one verdict: pure, told the time, reading no clock.

use serde_json::{Map, Value};

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
    /// What else is told of it, under the seed's keys.
    pub facts: Map<String, Value>,
}

impl Reading {
    /// A part that does not work, and why.
    pub fn unhealthy(name: &'static str, critical: bool, error: &'static str) -> Self {
        Self { name, status: Status::Unhealthy, critical, response_time_ms: 0.0, error: Some(error), facts: Map::new() }
    }
}

/// Why nothing is told of a part: what tells of it does not answer itself.
pub const NOT_KNOWN: &str = "not_known";

impl Reading {
    /// A part of which nothing is known, since what tells of it does not answer: no proof that it works, and none that it does not.
    pub fn not_known(name: &'static str) -> Self {
        Self { status: Status::Degraded, ..Self::unhealthy(name, false, NOT_KNOWN) }
    }
}

/// A reading and how old it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Aged {
    /// What was found.
    pub reading: Reading,
    /// Seconds since.
    pub age_seconds: f64,
}

/// Rounds of probes that may be missed before a reading proves nothing.
pub const MISSED_ROUNDS: f64 = 4.0;

impl Aged {
    /// The reading as it counts now: one that is older than `stale_seconds` is no proof of health.
    #[must_use]
    pub fn counted(mut self, stale_seconds: f64) -> Self {
        if self.age_seconds > stale_seconds && self.reading.status != Status::NotConfigured {
            self.reading.status = Status::Unhealthy;
            self.reading.error = Some("stale");
        }
        self
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
    use super::*;

    fn reading(status: Status, critical: bool) -> Reading {
        Reading { status, ..Reading::unhealthy("x", critical, "down") }
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
        let aged = |age_seconds| Aged { reading: reading(Status::Healthy, true), age_seconds }.counted(60.0).reading;
        assert_eq!(aged(60.0).status, Status::Healthy);
        assert_eq!(aged(61.0).status, Status::Unhealthy);
        assert_eq!(aged(61.0).error, Some("stale"));
    }
}
