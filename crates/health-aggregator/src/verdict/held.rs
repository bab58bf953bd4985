//! What counts of a part over several probes: one that fails once is not down, and one that answers once is not up again.

use super::{NOT_KNOWN, NOT_PROBED_YET, RECOVERING, Reading, Status};

/// How many probes in a row it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Until a part that worked counts as down.
    pub fall: u32,
    /// Until a part that was down counts as up.
    pub rise: u32,
}

/// What was found of a part so far.
#[derive(Clone, Debug, PartialEq)]
pub struct Held {
    /// The newest reading as it counts.
    pub reading: Reading,
    /// Probes in a row that found trouble.
    pub failures: u32,
    /// Those of the newest in a row that found it down, or that did not.
    bad: u32,
    good: u32,
    down: bool,
    /// Whether anything was found yet, and whether it ever worked.
    known: bool,
    was_up: bool,
}

impl Held {
    /// Nothing was found yet.
    pub fn nothing(name: &'static str, critical: bool) -> Self {
        let reading = Reading::unhealthy(name, critical, NOT_PROBED_YET);
        Self { reading, failures: 0, bad: 0, good: 0, down: false, known: false, was_up: false }
    }

    /// What counts with one more reading. The first counts as it is; later a part is down only once `fall` readings in a row say so, and up
    /// again once `rise` do: between these it is degraded. One that never worked comes up for the first time, and recovers from nothing.
    #[must_use]
    pub fn with(self, reading: Reading, Rules { fall, rise }: Rules) -> Self {
        let Self { failures, bad, good, down, known, was_up, .. } = self;
        match reading.status {
            Status::NotConfigured => {
                Self { reading, failures: 0, bad: 0, good: 0, down: false, known: true, was_up: true }
            }
            // Who does not know says neither.
            Status::Degraded if reading.error == Some(NOT_KNOWN) => Self { reading, failures: failures + 1, ..self },
            Status::Unhealthy => {
                let (bad, failures) = (bad + 1, failures + 1);
                let down = down || !known || bad >= fall;
                let status = if down { Status::Unhealthy } else { Status::Degraded };
                Self { reading: Reading { status, ..reading }, failures, bad, good: 0, down, known: true, was_up }
            }
            status => {
                let good = good + 1;
                let down = down && was_up && good < rise;
                let recovers = down && status == Status::Healthy;
                let failures = if status == Status::Healthy { 0 } else { failures + 1 };
                let told = if recovers {
                    Reading { status: Status::Degraded, error: Some(RECOVERING), ..reading }
                } else {
                    reading
                };
                Self { reading: told, failures, bad: 0, good, down, known: true, was_up: true }
            }
        }
    }

    /// Whether the newest reading that knew anything found it down, whatever counts.
    pub fn is_bad(&self) -> bool {
        self.bad > 0
    }

    /// Whether the next reading may change what counts: it is worth asking for sooner.
    pub fn wavers(&self) -> bool {
        !self.was_up || (self.bad > 0 && !self.down) || (self.good > 0 && self.down)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn found(status: Status) -> Reading {
        Reading { status, ..Reading::unhealthy("x", true, "down") }
    }

    fn after(statuses: &[Status], rules: Rules) -> Held {
        statuses.iter().fold(Held::nothing("x", true), |held, status| held.with(found(*status), rules))
    }

    const TWO: Rules = Rules { fall: 2, rise: 2 };

    #[test]
    fn the_first_reading_counts_as_it_is() {
        assert_eq!(after(&[Status::Unhealthy], TWO).reading.status, Status::Unhealthy);
        assert_eq!(after(&[Status::Healthy], TWO).reading.status, Status::Healthy);
    }

    #[test]
    fn a_part_that_never_worked_comes_up_with_its_first_good_reading() {
        let never = after(&[Status::Unhealthy; 3], TWO);
        assert!(never.wavers(), "it is asked sooner until it has come up once");
        let up = never.with(found(Status::Healthy), TWO);
        assert_eq!((up.reading.status, up.wavers()), (Status::Healthy, false));
        let again = [Status::Unhealthy, Status::Unhealthy, Status::Healthy].map(found);
        let again = again.into_iter().fold(up, |held, reading| held.with(reading, TWO));
        assert_eq!(again.reading.error, Some("recovering"));
    }

    #[test]
    fn a_part_falls_and_rises_step_by_step() {
        use Status::{Degraded, Healthy, Unhealthy};
        let steps = [
            (Healthy, Healthy, 0, false),
            (Unhealthy, Degraded, 1, true),
            (Unhealthy, Unhealthy, 2, false),
            (Unhealthy, Unhealthy, 3, false),
            (Healthy, Degraded, 0, true),
            (Unhealthy, Unhealthy, 1, false),
            (Healthy, Degraded, 0, true),
            (Healthy, Healthy, 0, false),
        ];
        let mut held = Held::nothing("x", true);
        for (found_as, told_as, failures, wavers) in steps {
            held = held.with(found(found_as), TWO);
            assert_eq!((held.reading.status, held.failures, held.wavers()), (told_as, failures, wavers), "{held:?}");
        }
    }

    #[test]
    fn who_does_not_know_changes_nothing_of_what_is_down() {
        let down = after(&[Status::Unhealthy], TWO);
        let unknown = down.clone().with(Reading::not_known("x", true), TWO);
        assert_eq!((unknown.reading.status, unknown.reading.error), (Status::Degraded, Some(NOT_KNOWN)));
        assert_eq!(unknown.with(found(Status::Unhealthy), TWO).reading.status, Status::Unhealthy);
    }

    fn any_found() -> impl Strategy<Value = Vec<Status>> {
        prop::collection::vec(prop::sample::select(vec![Status::Healthy, Status::Degraded, Status::Unhealthy]), 1..40)
    }

    fn in_a_row(statuses: &[Status], is: impl Fn(Status) -> bool) -> usize {
        statuses.iter().rev().take_while(|status| is(**status)).count()
    }

    proptest! {
        #[test]
        fn enough_in_a_row_always_decide(statuses in any_found(), fall in 1..5_u32, rise in 1..5_u32) {
            let told = after(&statuses, Rules { fall, rise }).reading.status;
            let (last, bad) = (statuses[statuses.len() - 1], |status| status == Status::Unhealthy);
            if in_a_row(&statuses, bad) >= fall as usize {
                prop_assert_eq!(told, Status::Unhealthy);
            }
            if in_a_row(&statuses, |status| !bad(status)) >= rise as usize {
                prop_assert_eq!(told, last);
            }
        }

        #[test]
        fn too_few_in_a_row_never_decide(statuses in any_found(), fall in 1..5_u32, rise in 1..5_u32) {
            let rules = Rules { fall, rise };
            let mut down = false;
            for end in 1..=statuses.len() {
                let told = after(&statuses[..end], rules).reading.status;
                let now = told == Status::Unhealthy;
                if now && !down && end > 1 {
                    let in_a_row = in_a_row(&statuses[..end], |status| status == Status::Unhealthy);
                    prop_assert!(in_a_row >= fall as usize || after(&statuses[..end - 1], rules).down);
                }
                if told == Status::Healthy && end > 1 {
                    let before = after(&statuses[..end - 1], rules);
                    prop_assert!(before.reading.status != Status::Unhealthy || rise == 1 || !before.was_up);
                }
                down = now;
            }
        }

        #[test]
        fn failures_are_counted_until_it_is_well(statuses in any_found()) {
            let failures = after(&statuses, TWO).failures as usize;
            prop_assert_eq!(failures, in_a_row(&statuses, |status| status != Status::Healthy));
        }

        #[test]
        fn one_that_fails_every_other_time_never_counts_as_down(times in 1..20_usize) {
            let statuses = [Status::Healthy, Status::Unhealthy].repeat(times);
            prop_assert_eq!(after(&statuses, TWO).reading.status, Status::Degraded);
        }
    }
}
