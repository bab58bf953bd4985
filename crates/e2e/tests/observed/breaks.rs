//! What breaks: an index, containers, an orchestrator, a runner, a disk, a part that others ask.

use std::process::Command;

use qflow_e2e::{Stack, object, said, wait_for, wait_seeing};

use super::{CASE, start, text};

/// Breaks one after the other, and mends each.
pub(crate) fn break_much(stack: &Stack) {
    // It is tried again for a while, beside the others.
    let unpacked = start(stack, 1, "crates/e2e/cases/unpacked.py", "lacks_its_package");
    let unanswered = start(stack, 2, "crates/e2e/cases/unanswered.py", "is_not_locked");
    containers_vanish(stack);
    an_orchestrator_hangs(stack);
    redis_is_gone(stack);
    a_runner_is_lost_and_has_no_disk_when_it_comes_back(stack);
    nobody_judges_types(stack);
    let ended = || object(&stack.cluster.run(2, &["runs", "get", &unpacked, "-o", "json"]), 0);
    wait_seeing("packages do not come", || ended()["status"] == "failed", || format!("{:#}", ended()));
    let ended = || object(&stack.cluster.run(2, &["runs", "get", &unanswered, "-o", "json"]), 0);
    wait_seeing("nothing is locked", || ended()["status"] == "failed", || format!("{:#}", ended()));
    let ours = "qflow_workflow_failures_total{failure_class=\"platform\"} > 0";
    wait_for("that is our failure", || !stack.query(ours).is_empty());
}

/// A metric of some processes, in sum.
fn sum(stack: &Stack, admins: &[&str], metric: &str) -> f64 {
    admins.iter().map(|admin| stack.cluster.metric(admin, metric)).sum()
}

/// Ends the container that an attempt of a run is in, from without.
fn kill_its_container(stack: &Stack, run: &str) {
    let its = || {
        let status = object(&stack.cluster.overseer(&["status", "-o", "json"]), 0);
        let all = status["containers"].as_array().cloned().unwrap_or_default();
        let one = all.into_iter().find(|one| one["run_id"] == run && !one["attempt"].is_null())?;
        Some(text(&one, "container_id").to_owned()).filter(|id| !id.is_empty())
    };
    let mut container = None;
    wait_for("it is told where the run is at work", || {
        container = its();
        container.is_some()
    });
    let id = container.expect("it was waited for");
    let killed = Command::new("docker").args(["kill", &id]).output().expect("docker starts");
    assert!(killed.status.success(), "{}", said(&killed));
}

/// What may run again does so elsewhere; what must not stands still until somebody decides.
fn containers_vanish(stack: &Stack) {
    let running = |run: &str| {
        let told = object(&stack.cluster.run(2, &["runs", "get", run, "-o", "json"]), 0);
        told["nodes"][0]["status"] == "running"
    };
    let again = start(stack, 1, CASE, "is_cancelled");
    wait_for("it runs", || running(&again));
    kill_its_container(stack, &again);
    let retried = "sum(qflow_node_retries_total{reason=\"container_vanished\"}) > 0";
    wait_for("another attempt follows", || !stack.query(retried).is_empty());
    stack.cluster.run(2, &["runs", "cancel", &again]);

    let line = ["run", "crates/e2e/cases/once.py", "-p", "path=/tmp/begun", "--detach", "-o", "json"];
    let once = text(&object(&stack.cluster.run(2, &line), 0), "run_id").to_owned();
    wait_for("it charges", || running(&once));
    kill_its_container(stack, &once);
    let asks = "qflow_workflows_paused{cause=\"needs_attention\"} > 0";
    wait_for("somebody is to decide", || !stack.query(asks).is_empty());
    object(&stack.cluster.run(1, &["runs", "resume", &once, "--fail", "charge", "-o", "json"]), 0);
}

/// One that does not renew its leases in time is missed by the other, and finds them gone when it goes on.
fn an_orchestrator_hangs(stack: &Stack) {
    stack.cluster.signal("orchestrator-1", "-STOP");
    wait_for("an orchestrator is missed", || sum(stack, &["a2"], "qflow_orchestrators_missed_total") >= 1.0);
    stack.cluster.signal("orchestrator-1", "-CONT");
    wait_for("its leases are gone", || sum(stack, &["a1"], "qflow_lease_renew_failed_total") >= 1.0);
    wait_for("both share again", || sum(stack, &["a1", "a2"], "qflow_orchestrators") >= 4.0);
}

/// Runs do without it; what could not be said over it is counted.
fn redis_is_gone(stack: &Stack) {
    stack.cluster.kill("redis");
    assert_eq!(super::run(stack, 1, CASE, "succeeds")["status"], "completed");
    let failed = "sum(qflow_pool_errors_total{pool=\"redis\"}) > 0";
    wait_for("calls of Redis fail, and are scraped", || !stack.query(failed).is_empty());
    stack.again();
}

/// The number of the runner that is at work.
fn at_work(stack: &Stack) -> Option<u8> {
    let busy = stack.query("sum by (instance) (qflow_active_containers{status=\"running\"}) > 0");
    let (instance, last) = (text(&busy.first()?["metric"], "instance").to_owned(), busy.len() == 1);
    let is_at = |runner: &u8| instance.ends_with(&format!(":{}", stack.cluster.port(&format!("ra{runner}"))));
    [1, 2].into_iter().find(is_at).filter(|_| last)
}

fn a_runner_is_lost_and_has_no_disk_when_it_comes_back(stack: &Stack) {
    let id = start(stack, 1, CASE, "is_cancelled");
    let mut runner = None;
    wait_for("one runner is at work", || {
        runner = at_work(stack);
        runner.is_some()
    });
    let number = runner.expect("it was waited for");
    let (name, admin) = (format!("runner-{number}"), format!("ra{number}"));
    stack.cluster.kill(&name);
    wait_for("its lease runs out", || sum(stack, &["a1", "a2"], "qflow_lease_expired_total") >= 1.0);
    // What it has to say from now on has no room.
    let log = stack.cluster.path().join(format!("{name}.log"));
    std::fs::rename(&log, log.with_extension("before.log")).expect("the cluster's folder takes files");
    std::os::unix::fs::symlink("/dev/full", &log).expect("the cluster's folder takes files");
    stack.again();
    wait_for("lines are lost", || sum(stack, &[&admin], "qflow_log_lines_dropped_total") >= 1.0);
    stack.cluster.run(2, &["runs", "cancel", &id]);
    let ended = || object(&stack.cluster.run(2, &["runs", "get", &id, "-o", "json"]), 0);
    wait_for("its run goes on, and is cancelled", || ended()["status"] == "cancelled");
    let lost = "sum(qflow_log_lines_dropped_total) > 0 and on () sum(qflow_lease_expired_total) > 0";
    wait_for("both are scraped", || !stack.query(lost).is_empty());
}

/// Calls fail by our fault while nobody is there to judge what is submitted.
fn nobody_judges_types(stack: &Stack) {
    stack.cluster.kill("type-validator");
    let refused = stack.cluster.run(1, &["run", "examples/hello.py", "-p", "name=Ada"]);
    assert!(!refused.status.success(), "{}", said(&refused));
    let failed = "rpc_server_call_duration_seconds_count{rpc_response_status_code=\"UNAVAILABLE\"} > 0";
    wait_for("the call counts against us", || !stack.query(failed).is_empty());
    stack.again();
    let hello = stack.cluster.run(1, &["run", "examples/hello.py", "-p", "name=Ada"]);
    assert!(hello.status.success(), "{}", said(&hello));
}
