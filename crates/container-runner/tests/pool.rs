//! The warm pool of a whole runner, in processes and in Docker.

mod support;

use qflow_model::definition::Isolation;
use support::{
    orchestrator::{LOOK, Played},
    text,
};

const RUNTIMES: [&str; 2] = ["process", "docker"];
const SOURCE: &str = "def f() -> int:\n    return 1\n";

/// Waits until so many containers are warm; their ids.
async fn warm(played: &Played, count: usize) -> Vec<String> {
    let there = async {
        loop {
            let nobodys = played.containers().await.into_iter().filter(|c| c.status == "idle" && c.run_id.is_empty());
            let ids: Vec<String> = nobodys.map(|c| c.container_id).collect();
            if ids.len() >= count {
                return ids;
            }
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), there).await.expect("containers become warm")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_default_python_is_warm_before_the_first_attempt_and_again_after_it() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let before = warm(&played, 1).await;
        let outcome = played.call(SOURCE, "f", "int").await;
        assert_eq!((text(&outcome).as_str(), &outcome.container_id), ("1", &before[0]));
        let after = warm(&played, 1).await;
        assert!(!after.contains(&before[0]), "a container that is a run's is warm no more");
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_warm_container_takes_the_limits_of_its_attempt() {
    let Some(mut played) = Played::start("docker", &[]).await else { return };
    let before = warm(&played, 1).await;
    let source = r#"
def limits() -> list[str]:
    found = []
    for names in (("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
                  ("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
                  ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max")):
        for name in names:
            try:
                found.append(open(name).read().split()[0])
                break
            except OSError:
                pass
    return found
"#;
    let mut order = played.order(source, "limits", "list[str]", &[]).await;
    (order.resources.memory_bytes, order.resources.cpu_millis, order.resources.pids) = (96 << 20, 700, 40);
    let (outcome, _) = played.through(&order).await;
    assert_eq!(text(&outcome), r#"["100663296","70000","40"]"#);
    assert_eq!(outcome.container_id, before[0]);
    played.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_take_a_fresh_container_each_find_them_warm() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let mut taken = Vec::new();
        for _ in 0..4 {
            let ready = warm(&played, 1).await;
            let mut order = played.order(SOURCE, "f", "int", &[]).await;
            order.isolation = Isolation::Node;
            let (outcome, _) = played.through(&order).await;
            assert!(ready.contains(&outcome.container_id), "{runtime}: {ready:?} has {}", outcome.container_id);
            assert!(!taken.contains(&outcome.container_id), "a container is for one attempt");
            taken.push(outcome.container_id);
        }
        // So many are kept ahead once they are asked for.
        warm(&played, 4).await;
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_is_throttled_says_for_how_long() {
    let Some(mut played) = Played::start("docker", &[]).await else { return };
    let source = "import time\n\ndef burns() -> int:\n    until = time.process_time() + 0.1\n    while time.process_time() < until:\n        pass\n    raise ValueError\n";
    let mut order = played.order(source, "burns", "int", &[]).await;
    order.resources.cpu_millis = 50;
    let (outcome, _) = played.through(&order).await;
    let certificate = support::failure(&outcome).certificate.as_ref().unwrap();
    assert!((0.1..60.0).contains(&certificate.throttled_seconds), "{certificate:?}");
    played.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_that_ends_while_idle_is_not_handed_out() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let first = played.call(SOURCE, "f", "int").await;
        let engine = if runtime == "docker" {
            support::docker().await.unwrap()
        } else {
            support::processes(&played.folder).await
        };
        engine.remove(&first.container_id).await.unwrap();
        // Nobody asks for a container meanwhile: that it has ended is seen without.
        let gone = async {
            while played.containers().await.iter().any(|c| c.container_id == first.container_id) {
                tokio::time::sleep(LOOK).await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(30), gone).await.expect("it is found to be gone");
        let next = played.call(SOURCE, "f", "int").await;
        assert_eq!(text(&next), "1");
        assert_ne!(next.container_id, first.container_id);
        played.close().await;
    }
}
