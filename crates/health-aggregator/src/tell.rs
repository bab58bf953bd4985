//! Each change of how a part or the whole is, as a line of the log: what it was, what it is, and why.

use std::{collections::BTreeMap, time::Duration};

use qflow_telemetry::{Event, Telemetry};
use tokio::time::timeout;

use crate::{
    probe::Cache,
    verdict::{Aged, NOT_PROBED_YET, Status, verdict},
};

/// After which is looked though nothing was found: what grows too old changes by that alone.
const LOOKS: Duration = Duration::from_secs(5);
/// The name under which the whole is told.
const WHOLE: &str = "whole";

/// Tells until the probes end.
pub(crate) async fn tell(cache: Cache, telemetry: Telemetry) {
    let (mut known, mut changes) = (Known::default(), cache.changes());
    loop {
        known.changes(&cache.now()).into_iter().for_each(|event| telemetry.emit(event));
        if let Ok(Err(_)) = timeout(LOOKS, changes.changed()).await {
            return;
        }
    }
}

/// How each was told last.
#[derive(Debug, Default)]
struct Known(BTreeMap<&'static str, Status>);

/// How one is now, and why.
#[derive(Clone, Copy, Debug)]
struct Told {
    part: &'static str,
    status: Status,
    critical: bool,
    code: Option<&'static str>,
    cause: Option<&'static str>,
}

impl Known {
    /// The changes since, the whole after its parts. What was not probed yet is told once it was, and the whole once all parts were.
    fn changes(&mut self, checks: &[Aged]) -> Vec<Event> {
        let probed = |check: &&Aged| check.reading.error != Some(NOT_PROBED_YET);
        let mut told: Vec<Told> = checks.iter().filter(probed).map(part).collect();
        if told.len() == checks.len() {
            told.push(whole(checks));
        }
        told.into_iter().filter_map(|one| self.change(one)).collect()
    }

    fn change(&mut self, told: Told) -> Option<Event> {
        let was = self.0.insert(told.part, told.status);
        // That all is well from the start on is no news.
        let is_news = was.map_or(told.status > Status::Healthy, |was| was != told.status);
        is_news.then(|| event(told, was))
    }
}

fn part(check: &Aged) -> Told {
    let reading = &check.reading;
    let (status, critical, code) = (reading.status, reading.critical, reading.error);
    Told { part: reading.name, status, critical, code, cause: check.cause }
}

/// The whole, with the code of the worst of its parts whose trouble comes of no other.
fn whole(checks: &[Aged]) -> Told {
    let status = verdict(checks.iter().map(|check| &check.reading));
    let counts = |check: &Aged| (check.reading.critical && check.reading.status == status, check.reading.status);
    let roots = checks.iter().filter(|check| check.cause.is_none() && check.reading.status > Status::Healthy);
    let root = roots.reduce(|worst, one| if counts(one) > counts(worst) { one } else { worst });
    let (code, cause) = (root.and_then(|root| root.reading.error), root.map(|root| root.reading.name));
    Told { part: WHOLE, status, critical: true, code, cause }
}

fn event(Told { part, status, critical, code, cause }: Told, was: Option<Status>) -> Event {
    let before = was.map_or("not known", Status::as_str);
    let code_told = code.map_or_else(String::new, |code| format!(": {code}"));
    let cause_told = cause.map_or_else(String::new, |cause| format!(", of {cause}"));
    let message = format!("{part} is {}, was {before}{code_told}{cause_told}", status.as_str());
    // What is found at the start is no change: others may be starting too.
    let event = if was.is_none() || status <= Status::Healthy {
        Event::info("health_changed", message)
    } else if critical && status == Status::Unhealthy {
        Event::error("health_changed", message)
    } else {
        Event::warning("health_changed", message)
    };
    let event = event.with("part", part).with("health", status.as_str());
    let facts = [("was", was.map(Status::as_str)), ("code", code), ("cause", cause)];
    let known = facts.into_iter().filter_map(|(name, fact)| Some((name, fact?)));
    known.fold(event, |event, (name, fact)| event.with(name, fact))
}

#[cfg(test)]
mod tests {
    use qflow_telemetry::Level;

    use super::*;
    use crate::verdict::{Reading, explained};

    fn healthy(name: &'static str) -> Reading {
        Reading::healthy(name, name != "redis")
    }

    fn down(name: &'static str) -> Reading {
        Reading::unhealthy(name, name != "redis", "unreachable")
    }

    fn told(known: &mut Known, readings: Vec<Reading>) -> Vec<(Level, String)> {
        let checks = readings.into_iter().map(|reading| Aged::of(reading, 1.0, 0)).collect();
        let line = |event| match event {
            Event::Note { level, action: "health_changed", message, .. } => (level, message),
            other => panic!("{other:?}"),
        };
        known.changes(&explained(checks)).into_iter().map(line).collect()
    }

    #[test]
    fn each_change_is_told_once_with_its_code_and_its_cause() {
        let mut known = Known::default();
        let well = || vec![healthy("database"), healthy("orchestrator"), healthy("redis")];
        assert!(told(&mut known, well()).is_empty(), "that all is well is no news");
        let away = || vec![down("database"), down("orchestrator"), healthy("redis")];
        let lines = told(&mut known, away());
        let line = |level, line: &str| (level, line.to_owned());
        assert_eq!(
            lines,
            [
                line(Level::Error, "database is unhealthy, was healthy: unreachable"),
                line(Level::Error, "orchestrator is unhealthy, was healthy: unreachable, of database"),
                line(Level::Error, "whole is unhealthy, was healthy: unreachable, of database"),
            ]
        );
        assert!(told(&mut known, away()).is_empty(), "what stays is told once");
        let lines = told(&mut known, vec![healthy("database"), healthy("orchestrator"), down("redis")]);
        assert_eq!(
            lines,
            [
                line(Level::Info, "database is healthy, was unhealthy"),
                line(Level::Info, "orchestrator is healthy, was unhealthy"),
                line(Level::Warning, "redis is unhealthy, was healthy: unreachable"),
                line(Level::Warning, "whole is degraded, was unhealthy: unreachable, of redis"),
            ]
        );
    }

    #[test]
    fn before_a_part_was_probed_nothing_is_told_of_it_and_of_the_whole() {
        let mut known = Known::default();
        let unknown = Reading::unhealthy("database", true, NOT_PROBED_YET);
        let lines = told(&mut known, vec![unknown, down("redis")]);
        assert_eq!(lines, [(Level::Info, "redis is unhealthy, was not known: unreachable".to_owned())]);
        let lines = told(&mut known, vec![healthy("database"), down("redis")]);
        assert_eq!(lines, [(Level::Info, "whole is degraded, was not known: unreachable, of redis".to_owned())]);
    }
}
