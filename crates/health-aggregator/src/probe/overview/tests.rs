//! What an overview is read into.

use super::*;
use crate::{
    settings::tests::usual,
    submit::{Condition, Python, Runner},
    verdict::{Aged, NOT_KNOWN, explained, verdict},
};

fn embedded() -> Overview {
    let runner = Runner {
        runtime: "process".to_owned(),
        pythons: vec!["3.9".to_owned(), "3.11".to_owned()],
        slots: 4,
        running: 1,
        containers: 2,
        ..Runner::default()
    };
    Overview {
        runners: vec![runner],
        ended_last_hour: 20,
        failed_last_hour: 1,
        store: "sqlite".to_owned(),
        bus: "memory".to_owned(),
        blobs: "file".to_owned(),
        ..Overview::default()
    }
}

fn check(overview: &Overview, name: &str) -> Reading {
    let promised = ["3.9".to_owned(), "3.12".to_owned()];
    readings(vec![overview.clone()], &promised, &usual()).into_iter().find(|r| r.name == name).unwrap()
}

#[test]
fn the_embedded_shape_is_told_with_the_seeds_keys() {
    let docker = check(&embedded(), "docker");
    assert_eq!(docker.facts["active_containers"], 1);
    assert_eq!(docker.facts["total_containers"], 2);
    assert_eq!(docker.facts["docker_version"], Value::Null, "there is no Docker in it, so no version is told");
    let python = check(&embedded(), "python_environments");
    assert_eq!(python.facts["available_versions"], json!(["3.9", "3.11"]));
    assert_eq!(python.facts["not_prepared"], json!(["3.12"]));
    assert_eq!(python.facts["total_versions"], 3);
    assert_eq!(check(&embedded(), "redis").status, Status::NotConfigured);
}

#[test]
fn a_success_rate_of_95_per_cent_is_degraded_and_no_runs_are_healthy() {
    let workflows = check(&embedded(), "workflows");
    assert_eq!((workflows.status, &workflows.facts["success_rate"]), (Status::Degraded, &json!(95.0)));
    let idle = Overview { ended_last_hour: 0, failed_last_hour: 0, ..embedded() };
    assert_eq!(check(&idle, "workflows").status, Status::Healthy);
}

#[test]
fn a_redis_that_does_not_answer_degrades_the_whole() {
    let away = Overview { bus: "redis".to_owned(), bus_down: true, failed_last_hour: 0, ..embedded() };
    assert_eq!(check(&away, "redis").status, Status::Unhealthy);
    assert_eq!(verdict(&readings(vec![away.clone()], &[], &usual())), Status::Degraded);
    let there = Overview { bus_down: false, ..away };
    assert_eq!(verdict(&readings(vec![there.clone()], &[], &usual())), Status::Healthy);
}

#[test]
fn what_waits_longest_with_any_of_them_waits() {
    let of = |seconds| Overview { queued: 2, oldest_queued_seconds: seconds, failed_last_hour: 0, ..embedded() };
    for both in [vec![of(400.0), of(0.0)], vec![of(0.0), of(400.0)]] {
        let all = readings(both, &[], &usual());
        let workflows = all.iter().find(|it| it.name == "workflows").unwrap();
        assert_eq!((workflows.error, &workflows.facts["oldest_queued_seconds"]), (Some("queue_waits"), &json!(400.0)));
        assert_eq!(workflows.facts["queued"], 4, "each tells of its own");
    }
}

#[test]
fn what_an_engine_says_that_has_not_looked_around_for_long_is_no_proof() {
    const WELL: (Status, Option<&str>) = (Status::Healthy, None);
    const STALE_NOW: (Status, Option<&str>) = (Status::Degraded, Some(STALE));
    const UNKNOWN: (Status, Option<&str>) = (Status::Degraded, Some(NOT_KNOWN));
    let of = |seconds| Overview { sight_age_seconds: seconds, queued: 1, failed_last_hour: 0, ..embedded() };
    let checks = |all: Vec<Overview>| {
        let all = readings(all, &["3.9".to_owned(), "3.11".to_owned()], &usual());
        let names = ["orchestrator", "docker", "python_environments", "workflows", "database"];
        names.map(|name| all.iter().find(|it| it.name == name).map(|it| (it.status, it.error)).unwrap())
    };
    assert_eq!(checks(vec![of(15.0)]), [WELL; 5]);
    // One of two: the other knows the runners too, and what waits with the one is told as it was.
    assert_eq!(checks(vec![of(15.1), of(0.5)]), [STALE_NOW, WELL, WELL, STALE_NOW, WELL]);
    let down = (Status::Unhealthy, Some(STALE));
    assert_eq!(checks(vec![of(15.1), of(90.0)]), [down, UNKNOWN, UNKNOWN, STALE_NOW, WELL]);
    // Without its store no engine comes round: that is the store's fault.
    let away = Overview { store_down: true, store: "postgres".to_owned(), ..of(90.0) };
    let [orchestrator, docker, .., database] = checks(vec![away]);
    assert_eq!((orchestrator, docker, database), (WELL, UNKNOWN, (Status::Unhealthy, Some(UNREACHABLE))));
    // A runner is no older than it was when it was seen.
    let condition = Condition { age_seconds: 18.0, ..Condition::default() };
    let runner = Runner { condition: Some(condition), ..embedded().runners[0].clone() };
    let seen = |seen_seconds| Overview { runners: vec![Runner { seen_seconds, ..runner.clone() }], ..of(seen_seconds) };
    assert_eq!((checks(vec![seen(14.0)])[1], checks(vec![seen(0.0)])[1]), (WELL, STALE_NOW));
    let told = readings(vec![of(4.0)], &[], &usual());
    let aged = told.iter().filter(|it| it.told_seconds > 3.9).map(|it| it.name).collect::<Vec<_>>();
    assert_eq!(aged, ["docker", "python_environments", "workflows"]);
    assert_eq!(told[0].facts["engine_age_seconds"], json!(4.0));
}

#[test]
fn a_runner_that_several_know_is_told_once_as_it_was_last_heard() {
    let aged = |id: &str, age_seconds, away| {
        let condition = Condition { age_seconds, away, ..Condition::default() };
        Runner { id: id.to_owned(), condition: Some(condition), ..Runner::default() }
    };
    let silent = Runner { id: "a".to_owned(), ..Runner::default() };
    let told = [silent, aged("a", 9.0, true), aged("b", 1.0, false), aged("a", 2.0, false), aged("b", 3.0, true)];
    assert_eq!(runners::merged(&told), [aged("a", 2.0, false), aged("b", 1.0, false)]);
    assert_eq!(runners::merged(told.iter().rev()), [aged("a", 2.0, false), aged("b", 1.0, false)]);
    let of = |runner: &Runner| Overview { runners: vec![runner.clone()], ..embedded() };
    let both = together(vec![of(&told[1]), of(&told[2])], 15.0).one;
    assert_eq!(both.runners.len(), 2, "each is told by whoever knows it");
}

#[tokio::test(start_paused = true)]
async fn a_system_that_has_just_started_waits_for_its_first_runner() {
    let none = || readings(vec![Overview { runners: Vec::new(), ..embedded() }], &[], &usual());
    let docker = |all: Vec<Reading>| all.into_iter().find(|it| it.name == "docker").unwrap();
    let awaited = Awaited::since(Instant::now());
    let told = awaited.read(none());
    assert!(verdict(&told) < Status::Unhealthy);
    for name in runners::TOLD_BY_THEM {
        assert_eq!(told.iter().find(|it| it.name == name).unwrap().error, Some(NOT_KNOWN), "{name}");
    }
    tokio::time::sleep(DIALS).await;
    let late = docker(awaited.read(none()));
    assert_eq!((late.status, late.error, late.critical), (Status::Unhealthy, Some("no_runner"), true));
    // One that came and went is missed at once.
    let awaited = Awaited::since(Instant::now());
    assert_eq!(docker(awaited.read(readings(vec![embedded()], &[], &usual()))).status, Status::Healthy);
    assert_eq!(docker(awaited.read(none())).error, Some("no_runner"));
}

#[test]
fn what_one_of_two_does_not_reach_is_away_and_runners_are_told_by_who_knows_some() {
    let (well, alone) = (embedded(), Overview { runners: vec![], blobs_away: true, bus_down: true, ..embedded() });
    for both in [vec![well.clone(), alone.clone()], vec![alone, well.clone()]] {
        let told = together(both, 15.0).one;
        assert_eq!((told.blobs_away, told.bus_down, &told.runners), (true, true, &well.runners));
    }
    assert_eq!(together(vec![well.clone()], 15.0).one, well);
}

#[test]
fn a_blob_store_that_does_not_answer_degrades_the_whole() {
    let well = Overview { failed_last_hour: 0, ..embedded() };
    let away = Overview { blobs_away: true, ..well.clone() };
    let blobs = check(&away, "blobs");
    assert_eq!(
        (blobs.status, blobs.error, &blobs.facts["backend"]),
        (Status::Unhealthy, Some("unreachable"), &json!("file"))
    );
    assert_eq!(verdict(&readings(vec![away.clone()], &[], &usual())), Status::Degraded);
    let mut partly = well.clone();
    partly.runners.push(Runner { id: "another".to_owned(), blobs_away: true, ..partly.runners[0].clone() });
    let blobs = check(&partly, "blobs");
    assert_eq!((blobs.status, blobs.error), (Status::Degraded, Some("unreachable_for_runners")));
    assert_eq!(blobs.facts["runners_without"], 1);
    partly.runners.retain(|runner| runner.blobs_away);
    let blobs = check(&partly, "blobs");
    assert_eq!((blobs.status, blobs.error), (Status::Unhealthy, Some("unreachable_for_runners")), "all of them");
    assert_eq!(verdict(&readings(vec![well.clone()], &[], &usual())), Status::Healthy);
    assert_eq!(check(&Overview { blobs: String::new(), ..well }, "blobs").status, Status::NotConfigured);
}

#[test]
fn an_orchestrator_that_no_runner_comes_to_degrades_the_whole_and_is_counted() {
    let stranded = Overview { stranded: vec!["http://banana".to_owned()], failed_last_hour: 0, ..embedded() };
    let runners = check(&stranded, "docker");
    assert_eq!((runners.status, runners.error), (Status::Degraded, Some("orchestrator_without_runner")));
    assert_eq!(runners.facts["orchestrators_without_runner"], json!(1));
    assert!(!Value::Object(runners.facts).to_string().contains("banana"), "no address goes outward");
    assert_eq!(verdict(&readings(vec![stranded.clone()], &[], &usual())), Status::Degraded);
}

#[test]
fn without_a_runner_the_whole_is_unhealthy() {
    let overview = Overview { runners: Vec::new(), ..embedded() };
    assert_eq!(verdict(&readings(vec![overview.clone()], &[], &usual())), Status::Unhealthy);
}

/// A runner whose Docker has two images, one of them warm.
fn runner() -> Runner {
    let python = |version: &str| Python { version: version.to_owned(), ..Python::default() };
    let there = Python { is_there: true, is_wanted: true, smoke_age_seconds: Some(12.34), ..python("3.11") };
    Runner {
        id: "runner-1".to_owned(),
        runtime: "docker".to_owned(),
        version: "26".to_owned(),
        pythons: vec!["3.11".to_owned()],
        slots: 4,
        condition: Some(Condition {
            version: "27.1".to_owned(),
            total: 3,
            active: 2,
            ping_ms: 1.23,
            disk: Some((100 << 30, 50 << 30)),
            pythons: vec![python("3.9"), Python { warm: 2, ..there }],
            ..Condition::default()
        }),
        ..Runner::default()
    }
}

fn with(change: impl FnOnce(&mut Condition)) -> Overview {
    let mut runner = runner();
    runner.condition.as_mut().map(change).unwrap();
    Overview { runners: vec![runner], failed_last_hour: 0, ..embedded() }
}

#[test]
fn what_a_runner_found_of_its_runtime_is_told() {
    let docker = check(&with(|_| ()), "docker");
    assert_eq!((docker.status, &docker.facts["docker_version"]), (Status::Healthy, &json!("27.1")));
    assert_eq!((&docker.facts["active_containers"], &docker.facts["total_containers"]), (&json!(2), &json!(3)));
    assert_eq!(docker.facts["per_runner"][0]["disk_free_bytes"], json!(50_u64 << 30));
    let python = check(&with(|_| ()), "python_environments");
    assert_eq!((python.status, &python.facts["available_versions"]), (Status::Healthy, &json!(["3.11"])));
    assert_eq!(python.facts["not_prepared"], json!(["3.9", "3.12"]));
    let told = json!({"status": "healthy", "runners_with_image": 1, "warm": 2, "smoke_age_seconds": 12.3, "smoke_error": null});
    assert_eq!(python.facts["environments"]["3.11"], told);
}

#[test]
fn a_docker_that_does_not_answer_is_unhealthy_and_one_of_two_degraded() {
    let away = with(|condition| condition.away = true);
    let docker = check(&away, "docker");
    assert_eq!((docker.status, docker.error, docker.critical), (Status::Unhealthy, Some("runtime_away"), true));
    let another = Runner { id: "runner-2".to_owned(), ..runner() };
    let partly = Overview { runners: vec![away.runners[0].clone(), another], ..away };
    let docker = check(&partly, "docker");
    assert_eq!((docker.status, docker.error), (Status::Degraded, Some("runtime_away")));
    assert_eq!(docker.facts["runners_without_runtime"], 1);
    // Of one that is away nothing is known, and the other is counted.
    let counts = |facts: &Value| ["active_containers", "total_containers"].map(|name| facts[name].clone());
    assert_eq!(counts(&Value::Object(docker.facts.clone())), [json!(2), json!(3)]);
    assert_eq!(counts(&docker.facts["per_runner"][0]), [Value::Null, Value::Null]);
    let none = check(&with(|condition| condition.away = true), "docker").facts;
    assert_eq!(counts(&Value::Object(none)), [Value::Null, Value::Null]);
    let old = check(&with(|condition| condition.age_seconds = 15.1), "docker");
    assert_eq!((old.status, old.error), (Status::Degraded, Some("stale")));
    assert_eq!(old.facts["per_runner"][0]["status"], "degraded");
    assert_eq!(check(&with(|condition| condition.age_seconds = 15.0), "docker").status, Status::Healthy);
    let full = check(&with(|condition| condition.disk = Some((100 << 30, 1 << 30))), "docker");
    assert_eq!((full.status, full.error), (Status::Degraded, Some("disk_low")));
}

#[test]
fn an_image_that_was_there_is_missed_and_one_that_never_was_is_not() {
    let missing = check(&with(|condition| condition.pythons[1].is_there = false), "python_environments");
    assert_eq!((missing.status, missing.error), (Status::Degraded, Some("image_missing")));
    assert_eq!(missing.facts["environments"]["3.11"]["status"], "image_missing");
    assert_eq!(missing.facts["environments"]["3.9"]["status"], "not_prepared");
    let failed =
        check(&with(|condition| condition.pythons[1].smoke_error = "runtime".to_owned()), "python_environments");
    assert_eq!((failed.status, failed.error), (Status::Degraded, Some("smoke_failed")));
}

#[test]
fn without_a_runtime_no_python_can_be_had_and_its_cause_is_told() {
    let away = with(|condition| condition.away = true);
    let python = check(&away, "python_environments");
    assert_eq!((python.status, python.error), (Status::Degraded, Some("runtime_away")));
    assert_eq!(
        (&python.facts["available_versions"], &python.facts["not_prepared"]),
        (&json!([]), &json!(["3.9", "3.12"]))
    );
    let told = &python.facts["environments"]["3.11"];
    let told = ["status", "runners_with_image", "warm"].map(|name| told[name].clone());
    assert_eq!(told, [json!("runtime_away"), json!(0), json!(0)]);
    let all = readings(vec![away.clone()], &[], &usual()).into_iter().map(|one| Aged::of(one, 1.0, 2)).collect();
    let told = explained(all).into_iter().find(|it| it.reading.name == "python_environments").unwrap();
    assert_eq!(told.cause, Some("docker"));
    // One that has started without it knows of no image, and can start nothing all the same.
    let never = with(|condition| (condition.away, condition.pythons) = (true, Vec::new()));
    assert_eq!(check(&never, "python_environments").error, Some("runtime_away"));
    // What another runner has can be had.
    let another = Runner { id: "runner-2".to_owned(), ..with(|_| ()).runners[0].clone() };
    let partly = Overview { runners: vec![away.runners[0].clone(), another], ..away };
    let python = check(&partly, "python_environments");
    assert_eq!((python.status, &python.facts["available_versions"]), (Status::Healthy, &json!(["3.11"])));
    assert_eq!(python.facts["environments"]["3.11"]["runners_with_image"], 1);
}

#[test]
fn a_few_runs_are_no_rate_and_failures_are_told_by_whose_they_are() {
    let few = Overview { ended_last_hour: 9, failed_last_hour: 9, failed_platform_last_hour: 2, ..embedded() };
    let workflows = check(&few, "workflows");
    assert_eq!((workflows.status, &workflows.facts["failed_by_platform"]), (Status::Healthy, &json!(2)));
    let waits = check(&Overview { oldest_queued_seconds: 300.0, ended_last_hour: 0, ..embedded() }, "workflows");
    assert_eq!((waits.status, waits.error), (Status::Degraded, Some("queue_waits")));
}

#[test]
fn a_store_that_no_orchestrator_reaches_is_down_and_hides_nothing_of_the_runners() {
    let down = Overview { store_down: true, ended_last_hour: 0, failed_last_hour: 0, ..embedded() };
    let told = |overview: &Overview| (check(overview, "database").status, check(overview, "database").error);
    assert_eq!(told(&down), (Status::Unhealthy, Some("failed")), "a file has no address");
    let late = Overview { store_late: true, ..down.clone() };
    assert_eq!(told(&late), (Status::Unhealthy, Some("timeout")), "somebody else may have it");
    let server = Overview { store: "postgres".to_owned(), ..down.clone() };
    assert_eq!(told(&server), (Status::Unhealthy, Some("unreachable")));
    assert_eq!(check(&down, "workflows").error, Some(NOT_KNOWN));
    assert_eq!(check(&down, "docker").status, Status::Healthy);
    let one = readings(vec![down, embedded()], &[], &usual()).into_iter().find(|it| it.name == "database").unwrap();
    assert_eq!((one.status, one.error), (Status::Degraded, Some("unreachable_for_one")));
}

#[test]
fn telemetry_that_goes_nowhere_is_told_and_that_nobody_wants_is_not() {
    let of = |scraped, dropped| {
        let pipeline =
            Pipeline { scrape_age_seconds: scraped, dropped: 1, drop_age_seconds: dropped, ..Pipeline::default() };
        let reading = telemetry(&[pipeline, Pipeline::default()], &usual());
        (reading.status, reading.error)
    };
    assert_eq!(of(None, None), (Status::NotConfigured, None));
    assert_eq!(of(Some(15.0), Some(61.0)), (Status::Healthy, None));
    assert_eq!(of(Some(120.0), None), (Status::Degraded, Some("not_scraped")));
    assert_eq!(of(Some(15.0), Some(59.0)), (Status::Degraded, Some("dropping")));
}

#[test]
fn each_process_is_counted_once_and_told_under_its_service() {
    let of = |service, process, scraped, dropped: u64| Pipeline {
        service,
        process,
        scrape_age_seconds: Some(scraped),
        dropped,
        drop_age_seconds: (dropped > 0).then_some(10.0),
    };
    // The parts of an embedded system have one way out, which the orchestrator tells first.
    let embedded = telemetry(&[of("orchestrator", 1, 5.0, 2), of("type_validator", 1, 5.0, 2)], &usual());
    assert_eq!((&embedded.facts["dropped"], embedded.facts["services"].as_object().unwrap().len()), (&json!(2), 1));
    let runners = [of("container_runner", 2, 30.0, 3), of("container_runner", 3, 7.0, 4)];
    let cluster = telemetry(&[&[of("orchestrator", 1, 5.0, 0)], &runners[..]].concat(), &usual());
    assert_eq!((cluster.status, cluster.error), (Status::Degraded, Some("dropping")));
    assert_eq!((&cluster.facts["dropped"], &cluster.facts["scrape_age_seconds"]), (&json!(7), &json!(30.0)));
    let told = |processes, scraped, dropped, age: Option<f64>| json!({"processes": processes, "scrape_age_seconds": scraped, "dropped": dropped, "drop_age_seconds": age});
    let services = &cluster.facts["services"];
    assert_eq!(services["container_runner"], told(2, 30.0, 7, Some(10.0)));
    assert_eq!(services["orchestrator"], told(1, 5.0, 0, None));
    // Those of an older version do not say which they are.
    assert_eq!(telemetry(&[of("orchestrator", 0, 5.0, 2); 2], &usual()).facts["dropped"], 4);
}

#[test]
fn a_store_that_answers_slowly_to_any_of_them_is_degraded_and_its_time_is_told() {
    let slow = Overview { store_latency_ms: 500.0, ..embedded() };
    let all = readings(vec![embedded(), slow], &[], &usual());
    let told = all.into_iter().find(|it| it.name == "database").unwrap();
    assert_eq!((told.status, told.error, told.response_time_ms), (Status::Degraded, Some("slow"), 500.0));
}
