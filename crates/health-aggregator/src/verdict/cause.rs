//! Which part's trouble comes of which: symptoms are told under their cause.

use std::collections::BTreeMap;

use super::{Aged, NOT_KNOWN, NOT_PROBED_YET, RECOVERING, STALE, Status};

/// What the trouble of a part explains.
struct Explains {
    cause: &'static str,
    /// Trouble of these, whatever it is.
    all: &'static [&'static str],
    /// That nothing is known of these, or of what runners tell nothing new.
    unknown: &'static [&'static str],
}

/// Causes before what they explain: the first that is down is the one at the root.
const EXPLAINS: &[Explains] = &[
    Explains {
        cause: "database",
        all: &["orchestrator", "workflows"],
        unknown: &["docker", "python_environments", "blobs", "redis", "telemetry"],
    },
    Explains {
        cause: "orchestrator",
        all: &["workflows"],
        unknown: &["database", "docker", "python_environments", "blobs", "redis", "telemetry"],
    },
    Explains { cause: "container_runner", all: &["docker", "python_environments", "workflows"], unknown: &[] },
    Explains { cause: "docker", all: &["python_environments", "workflows"], unknown: &[] },
    Explains { cause: "blobs", all: &["workflows"], unknown: &[] },
];

/// What runners tell, through whoever hears them: where that one hangs it is `stale`.
const TOLD_BY_RUNNERS: [&str; 2] = ["docker", "python_environments"];

/// The same checks, each that is not well with the one of which that comes.
#[must_use]
pub fn explained(mut checks: Vec<Aged>) -> Vec<Aged> {
    // Of what was not probed yet it is not known that it is down: it is neither a cause nor a symptom.
    let probed = |check: &Aged| check.reading.error != Some(NOT_PROBED_YET);
    // One that has answered once may fail again: until it counts as up it explains what it did.
    let fails = |check: &Aged| check.reading.status == Status::Unhealthy || check.reading.error == Some(RECOVERING);
    let is_down = |check: &&Aged| fails(check) && probed(check);
    let down: Vec<&Explains> = EXPLAINS
        .iter()
        .filter(|row| checks.iter().filter(is_down).any(|check| check.reading.name == row.cause))
        .collect();
    let mut explains: BTreeMap<&'static str, Vec<&'static str>> = BTreeMap::new();
    for check in checks.iter_mut().filter(|check| check.reading.status > Status::Healthy && probed(check)) {
        let name = check.reading.name;
        let unknown = match check.reading.error {
            Some(NOT_KNOWN) => true,
            Some(STALE) => check.reading.status == Status::Degraded && TOLD_BY_RUNNERS.contains(&name),
            _ => false,
        };
        let is_of = |row: &&&Explains| row.all.contains(&name) || (unknown && row.unknown.contains(&name));
        check.cause = down.iter().find(is_of).map(|row| row.cause);
        if let Some(cause) = check.cause {
            explains.entry(cause).or_default().push(name);
        }
    }
    for check in &mut checks {
        check.explains = explains.remove(check.reading.name).unwrap_or_default();
    }
    checks
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verdict::Reading;

    const NAMES: [&str; 10] = [
        "database",
        "redis",
        "blobs",
        "docker",
        "python_environments",
        "workflows",
        "orchestrator",
        "type_validator",
        "container_runner",
        "telemetry",
    ];

    fn of<'a>(checks: &'a [Aged], name: &str) -> &'a Aged {
        checks.iter().find(|check| check.reading.name == name).unwrap()
    }

    #[test]
    fn a_database_that_is_down_explains_runs_that_fail_and_not_the_redis_that_is_down_too() {
        let down = |name| Aged::of(Reading::unhealthy(name, true, "unreachable"), 1.0, 2);
        let checks = explained(vec![down("database"), down("redis"), down("workflows")]);
        assert_eq!(of(&checks, "workflows").cause, Some("database"));
        assert_eq!(of(&checks, "database").explains, ["workflows"]);
        assert_eq!((of(&checks, "redis").cause, of(&checks, "database").cause), (None, None));
    }

    #[test]
    fn what_was_not_probed_yet_is_no_cause_and_no_symptom() {
        let one = |name, error| Aged::of(Reading::unhealthy(name, true, error), 1.0, 0);
        let checks = explained(vec![
            one("database", NOT_PROBED_YET),
            one("orchestrator", "timeout"),
            one("workflows", NOT_PROBED_YET),
        ]);
        assert!(checks.iter().all(|check| check.cause.is_none() && check.explains.is_empty()), "{checks:?}");
    }

    #[test]
    fn a_store_that_hangs_explains_what_its_orchestrator_has_not_heard_for_long() {
        let stale =
            |name| Aged::of(Reading { status: Status::Degraded, ..Reading::unhealthy(name, true, STALE) }, 1.0, 1);
        let down = |name| Aged::of(Reading::unhealthy(name, true, "timeout"), 1.0, 2);
        for cause in ["database", "orchestrator"] {
            let checks = explained(vec![down(cause), stale("docker"), stale("python_environments"), stale("redis")]);
            assert_eq!(of(&checks, cause).explains, ["docker", "python_environments"]);
            assert_eq!(of(&checks, "redis").cause, None, "the aggregator itself has not asked it");
        }
        let alone = explained(vec![stale("docker"), Aged::of(Reading::healthy("database", true), 1.0, 0)]);
        assert_eq!(of(&alone, "docker").cause, None);
    }

    #[test]
    fn a_cause_that_recovers_explains_until_it_counts_as_up() {
        let degraded =
            |name, code| Aged::of(Reading { status: Status::Degraded, ..Reading::unhealthy(name, true, code) }, 1.0, 0);
        let without = |runner| {
            explained(vec![
                runner,
                Aged::of(Reading::unhealthy("docker", true, "no_runner"), 1.0, 2),
                degraded("python_environments", "no_python"),
            ])
        };
        let checks = without(degraded("container_runner", RECOVERING));
        assert_eq!(of(&checks, "python_environments").cause, Some("container_runner"));
        assert_eq!(of(&checks, "container_runner").explains, ["docker", "python_environments"]);
        let checks = without(degraded("container_runner", "replica_away"));
        assert_eq!(of(&checks, "python_environments").cause, Some("docker"));
    }

    fn any_checks() -> impl Strategy<Value = Vec<Aged>> {
        let one = |name| {
            (0..8_u8).prop_map(move |how| {
                let reading = match how {
                    0 => Reading::healthy(name, true),
                    1 => Reading { status: Status::NotConfigured, ..Reading::healthy(name, false) },
                    2 => Reading { status: Status::Degraded, ..Reading::unhealthy(name, true, "slow") },
                    3 => Reading::not_known(name, true),
                    4 => Reading::unhealthy(name, true, NOT_PROBED_YET),
                    5 => Reading { status: Status::Degraded, ..Reading::unhealthy(name, true, RECOVERING) },
                    6 => Reading { status: Status::Degraded, ..Reading::unhealthy(name, true, STALE) },
                    _ => Reading::unhealthy(name, true, "unreachable"),
                };
                Aged::of(reading, 1.0, 0)
            })
        };
        NAMES.map(one).into_iter().collect::<Vec<_>>()
    }

    proptest! {
        #[test]
        fn a_cause_is_down_stands_at_the_root_and_names_each_of_its_symptoms(checks in any_checks()) {
            let checks = explained(checks);
            for check in &checks {
                let name = check.reading.name;
                if let Some(cause) = check.cause {
                    let cause = of(&checks, cause);
                    prop_assert!(check.reading.status > Status::Healthy);
                    let recovers = cause.reading.error == Some(RECOVERING);
                    prop_assert!(cause.reading.status == Status::Unhealthy || recovers);
                    prop_assert_eq!(cause.cause, None);
                    prop_assert!([check, cause].iter().all(|one| one.reading.error != Some(NOT_PROBED_YET)));
                    prop_assert!(cause.explains.contains(&name) && cause.reading.name != name);
                }
                for symptom in &check.explains {
                    prop_assert_eq!(of(&checks, symptom).cause, Some(name));
                }
            }
        }
    }
}
