//! Rounds, and what is told between them.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::time::sleep;

use super::*;

struct Hangs;

#[async_trait]
impl Probe for Hangs {
    fn names(&self) -> &'static [(&'static str, bool)] {
        &[("database", true)]
    }
    async fn probe(&self) -> Vec<Reading> {
        std::future::pending().await
    }
}

/// Counts how often it is asked.
#[derive(Clone, Default)]
struct Counts(Arc<AtomicU32>);

#[async_trait]
impl Probe for Counts {
    fn names(&self) -> &'static [(&'static str, bool)] {
        &[("redis", false)]
    }
    async fn probe(&self) -> Vec<Reading> {
        self.0.fetch_add(1, Ordering::SeqCst);
        let healthy = Reading { status: Status::Healthy, error: None, ..Reading::unhealthy("redis", false, "") };
        vec![healthy]
    }
}

/// The same, of another part.
struct Renamed(Counts);

#[async_trait]
impl Probe for Renamed {
    fn names(&self) -> &'static [(&'static str, bool)] {
        &[("blobs", false)]
    }
    async fn probe(&self) -> Vec<Reading> {
        let found = self.0.probe().await;
        found.into_iter().map(|reading| Reading { name: "blobs", ..reading }).collect()
    }
}

/// Starts probes that have the same rounds.
fn begin(probes: Vec<Box<dyn Probe>>, telemetry: &Telemetry) -> (Cache, JoinSet<()>) {
    start(probes.into_iter().map(|probe| (probe, ROUNDS)).collect(), telemetry)
}

const ROUND: Duration = Duration::from_secs(15);
const ROUNDS: Rounds = Rounds { every: ROUND, patience: Duration::from_secs(5), rules: Rules { fall: 2, rise: 2 } };

#[tokio::test(start_paused = true)]
async fn a_part_that_hangs_is_unhealthy_by_time_out_and_delays_no_other() {
    let telemetry = Telemetry::silent();
    let counts = Counts::default();
    let (cache, _tasks) = begin(vec![Box::new(Hangs), Box::new(counts.clone())], &telemetry);
    let before = cache.get("database").unwrap().reading;
    assert_eq!((before.status, before.error), (Status::Unhealthy, Some("not_probed_yet")));
    assert!(!telemetry.render(None).1.contains(r#"{dependency="database",critical="true"}"#));
    cache.complete().await;
    let found = cache.get("database").unwrap().reading;
    assert_eq!((found.status, found.error), (Status::Unhealthy, Some("timeout")));
    sleep(3 * ROUND).await;
    assert_eq!(counts.0.load(Ordering::SeqCst), 4, "once at the start and once a round");
    assert_eq!(cache.get("redis").unwrap().reading.status, Status::Healthy);
    let text = telemetry.render(None).1;
    for line in [
        r#"qflow_dependency_up{dependency="database",critical="true"} 0"#,
        r#"qflow_dependency_up{dependency="redis",critical="false"} 1"#,
        r#"qflow_health_check_duration_seconds_count{dependency="redis"} 4"#,
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[tokio::test(start_paused = true)]
async fn each_probe_has_its_own_rounds_and_grows_stale_by_them() {
    let (often, seldom) = (Counts::default(), Counts::default());
    let rounds = |seconds| Rounds { every: Duration::from_secs(seconds), ..ROUNDS };
    let probes: Vec<(Box<dyn Probe>, Rounds)> =
        vec![(Box::new(often.clone()), rounds(5)), (Box::new(Renamed(seldom.clone())), rounds(40))];
    let (cache, mut tasks) = start(probes, &Telemetry::silent());
    sleep(Duration::from_secs(81)).await;
    assert_eq!((often.0.load(Ordering::SeqCst), seldom.0.load(Ordering::SeqCst)), (17, 3));
    let errors = || ["redis", "blobs"].map(|name| cache.get(name).unwrap().reading.error);
    assert_eq!(errors(), [None, None]);
    tasks.shutdown().await;
    sleep(Duration::from_secs(60)).await;
    assert_eq!(errors(), [Some("stale"), None], "four rounds of the one are not four of the other");
    sleep(Duration::from_secs(120)).await;
    assert_eq!(errors(), [Some("stale"); 2]);
}

#[tokio::test(start_paused = true)]
async fn without_new_readings_nothing_stays_healthy() {
    let telemetry = Telemetry::silent();
    let (cache, mut tasks) = begin(vec![Box::new(Counts::default())], &telemetry);
    cache.complete().await;
    tasks.shutdown().await;
    sleep(4 * ROUND).await;
    assert_eq!(cache.get("redis").unwrap().reading.status, Status::Healthy);
    sleep(ROUND).await;
    let aged = cache.get("redis").unwrap();
    assert_eq!((aged.reading.status, aged.reading.error), (Status::Unhealthy, Some("stale")));
    let text = telemetry.render(None).1;
    assert!(text.contains("qflow_dependency_up{dependency=\"redis\",critical=\"false\"} 0"), "{text}");
    assert!(text.contains("qflow_health_check_age_seconds{dependency=\"redis\"} 75"), "{text}");
}

/// Tells of two parts, and then no more.
struct Silent(AtomicU32);

#[async_trait]
impl Probe for Silent {
    fn names(&self) -> &'static [(&'static str, bool)] {
        &[("database", true), ("redis", false), ("blobs", false)]
    }
    async fn probe(&self) -> Vec<Reading> {
        if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
            return self.unanswered("unreachable");
        }
        let of = |name, status| Reading { status, error: None, ..Reading::unhealthy(name, false, "") };
        vec![of("redis", Status::Healthy), of("blobs", Status::NotConfigured)]
    }
    fn unanswered(&self, error: &'static str) -> Vec<Reading> {
        vec![
            Reading::unhealthy("database", true, error),
            Reading::not_known("redis", false),
            Reading::not_known("blobs", false),
        ]
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_not_known_is_told_so_and_no_alert_comes_of_it() {
    let telemetry = Telemetry::silent();
    let (cache, _tasks) = begin(vec![Box::new(Silent(AtomicU32::new(0)))], &telemetry);
    sleep(2 * ROUND).await;
    let found = |name| cache.get(name).map(|aged| (aged.reading.status, aged.reading.error)).unwrap();
    assert_eq!(found("database"), (Status::Unhealthy, Some("unreachable")));
    assert_eq!(found("redis"), (Status::Degraded, Some("not_known")));
    assert_eq!(found("blobs"), (Status::NotConfigured, None));
    let text = telemetry.render(None).1;
    assert!(text.contains(r#"qflow_dependency_up{dependency="database",critical="true"} 0"#), "{text}");
    assert!(!text.contains(r#"qflow_dependency_up{dependency="redis",critical="false"} 0"#), "{text}");
    assert!(!text.contains(r#"qflow_dependency_up{dependency="blobs""#), "{text}");
}

/// Says what it is told to.
struct Says(watch::Receiver<Status>, &'static str);

#[async_trait]
impl Probe for Says {
    fn names(&self) -> &'static [(&'static str, bool)] {
        &[("database", true)]
    }
    async fn probe(&self) -> Vec<Reading> {
        let status = *self.0.borrow();
        let error = (status > Status::Healthy).then_some(self.1);
        vec![Reading { status, error, ..Reading::healthy("database", true) }]
    }
}

#[tokio::test(start_paused = true)]
async fn one_probe_that_fails_is_no_fall_and_the_next_comes_sooner() {
    let (says, told) = watch::channel(Status::Healthy);
    let (cache, _tasks) = begin(vec![Box::new(Says(told, "timeout"))], &Telemetry::silent());
    cache.complete().await;
    let found = || cache.get("database").map(|aged| (aged.reading.status, aged.failures)).unwrap();
    assert_eq!(found(), (Status::Healthy, 0));
    says.send_replace(Status::Unhealthy);
    sleep(ROUND + Duration::from_secs(1)).await;
    assert_eq!(found(), (Status::Degraded, 1));
    sleep(ROUND / SOONER).await;
    assert_eq!(found(), (Status::Unhealthy, 2));
    says.send_replace(Status::Healthy);
    sleep(ROUND).await;
    assert_eq!(found(), (Status::Degraded, 0), "it recovers");
    sleep(ROUND / SOONER).await;
    assert_eq!(found(), (Status::Healthy, 0));
}

/// Answers well once, and then not at all.
struct Stops(AtomicU32);

#[async_trait]
impl Probe for Stops {
    fn names(&self) -> &'static [(&'static str, bool)] {
        &[("database", true)]
    }
    async fn probe(&self) -> Vec<Reading> {
        if self.0.fetch_add(1, Ordering::SeqCst) > 0 {
            std::future::pending::<()>().await;
        }
        vec![Reading::healthy("database", true)]
    }
}

#[tokio::test(start_paused = true)]
async fn that_a_part_answers_the_aggregator_alone_is_not_told_while_that_is_being_asked() {
    let (told, heard) = watch::channel(Status::Healthy);
    let probes: Vec<Box<dyn Probe>> = vec![Box::new(Stops(AtomicU32::new(0))), Box::new(Says(heard, "unreachable"))];
    let (cache, _tasks) = begin(probes, &Telemetry::silent());
    cache.complete().await;
    told.send_replace(Status::Unhealthy);
    let found = || cache.get("database").map(|aged| (aged.reading.status, aged.reading.error)).unwrap();
    sleep(ROUND + Duration::from_secs(1)).await;
    assert_eq!(found(), (Status::Degraded, Some("unreachable")), "its last good answer is a round old");
    sleep(ROUND / SOONER).await;
    assert_eq!(found(), (Status::Unhealthy, Some("timeout")), "its own probe has ended");
}

#[tokio::test(start_paused = true)]
async fn of_two_who_tell_of_a_part_the_worse_counts() {
    let ((own, asked), (told, heard)) = (watch::channel(Status::Healthy), watch::channel(Status::Unhealthy));
    let probes: Vec<Box<dyn Probe>> = vec![Box::new(Says(asked, "slow")), Box::new(Says(heard, "unreachable"))];
    let (cache, _tasks) = begin(probes, &Telemetry::silent());
    cache.complete().await;
    let found = || cache.get("database").map(|aged| (aged.reading.status, aged.reading.error)).unwrap();
    assert_eq!(found(), (Status::Unhealthy, Some("unreachable_for_orchestrators")));
    told.send_replace(Status::Healthy);
    own.send_replace(Status::Degraded);
    sleep(3 * ROUND).await;
    assert_eq!(found(), (Status::Degraded, Some("slow")));
}
