//! A report against one that is kept: ratios to floors are compared, since machines and minutes differ; pure.

use crate::{goals::Row, report::Report};

/// What a ratio may change by without anything having changed: seen from call to call on a shared machine.
const NOISE: f64 = 1.25;
/// The same of what is one value among a hundred, or a wait for something beside Qflow.
const LOUD: f64 = 1.6;

/// A goal's row in both.
#[derive(Debug, PartialEq)]
pub(crate) struct Change {
    pub(crate) goal: u8,
    pub(crate) what: String,
    /// Its ratio to the gate in what is kept.
    pub(crate) before: Option<f64>,
    /// And now.
    pub(crate) now: Option<f64>,
    noise: f64,
}

impl Change {
    /// By what factor it is worse.
    pub(crate) fn by(&self) -> Option<f64> {
        Some(self.now? / self.before?)
    }

    /// Whether it was measured, and did not get worse beyond noise.
    pub(crate) fn holds(&self) -> bool {
        self.now.is_some() && self.by().is_none_or(|by| by <= self.noise)
    }

    /// The same in a word.
    pub(crate) fn verdict(&self) -> &'static str {
        match self.by() {
            None if self.now.is_none() && self.before.is_none() => "not in the baseline, nor measured now",
            None if self.now.is_none() => "not measured now",
            None => "not in the baseline",
            Some(by) if by > self.noise => "WORSE",
            Some(by) if by < 1.0 / self.noise => "better",
            Some(_) => "as before",
        }
    }
}

/// Every row that either has, and every goal that neither has.
pub(crate) fn compare(before: &Report, now: &Report) -> Vec<Change> {
    let same = |row: &Row, other: &&Row| (row.goal, &row.what) == (other.goal, &other.what);
    let of = |row: &Row, report: &Report| report.goals.iter().find(|other| same(row, other)).map(Row::ratio);
    let known = before.goals.iter();
    let new = now.goals.iter().filter(|row| of(row, before).is_none());
    let change = |row: &Row| Change {
        goal: row.goal,
        what: row.what.clone(),
        before: of(row, before),
        now: of(row, now),
        noise: noise(row),
    };
    let mut changes: Vec<Change> = known.chain(new).map(change).collect();
    for goal in crate::goals::ALL {
        if !changes.iter().any(|change| change.goal == goal) {
            changes.push(Change { goal, what: "all of it".to_owned(), before: None, now: None, noise: NOISE });
        }
    }
    changes
}

fn noise(row: &Row) -> f64 {
    if row.what.contains("p99") || row.goal == 7 { LOUD } else { NOISE }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(measured: &[(u8, &str, f64)]) -> Report {
        let row = |(goal, what, measured): &(u8, &str, f64)| Row::most(*goal, what, "", "ms", 1.0, *measured);
        Report { goals: measured.iter().map(row).collect(), ..Report::default() }
    }

    #[test]
    fn what_got_worse_beyond_noise_is_told() {
        let before = report(&[(1, "p50", 1.0), (1, "p99", 1.0), (3, "start", 1.0), (6, "first", 1.0)]);
        let now = report(&[(1, "p50", 1.3), (1, "p99", 1.3), (3, "start", 0.7), (9, "memory", 0.5)]);
        let changes = compare(&before, &now);
        let verdicts: Vec<_> = changes.iter().take(5).map(|change| (change.goal, change.verdict())).collect();
        let told = [(1, "WORSE"), (1, "as before"), (3, "better"), (6, "not measured now"), (9, "not in the baseline")];
        assert_eq!(verdicts, told);
        let hold: Vec<_> = changes.iter().take(5).map(Change::holds).collect();
        assert_eq!(hold, [false, true, true, false, true]);
    }

    #[test]
    fn a_goal_that_neither_has_is_told_and_does_not_hold() {
        let all: Vec<_> = (1..=11).map(|goal| (goal, "it", 1.0)).collect();
        let changes = compare(&report(&all), &report(&all));
        let last = changes.last().map(|change| (change.goal, change.verdict(), change.holds()));
        assert_eq!((changes.len(), last), (12, Some((12, "not in the baseline, nor measured now", false))));
    }
}
