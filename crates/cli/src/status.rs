//! `qflow status` and `qflow health`: what is under way, and how the parts are, once.

mod words;

use std::{path::Path, time::Duration};

use clap::Args;
use owo_colors::{OwoColorize as _, Stream, Style};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_stream::StreamExt;

use crate::{
    args::{Output, ServerArgs},
    dev,
    exit::{Exit, Fail},
    out, outln, render,
    submit::{ActiveContainer, ActiveWorkflow, Check, Health, Overseer, SystemStatus, hundredths},
};

pub(crate) use words::{duration, progress, used};

/// What `qflow status --help` says at its end.
pub const STATUS_HELP: &str = "\
Examples:
  qflow status                                  tables: totals, runs that have not ended, containers
  qflow status -o json | jq .queue_depth        the object of the health-aggregator's /monitoring/status
  qflow status -o raw                           the ids of active runs, a line each
  kubectl port-forward svc/qflow-health-aggregator 7404 &  QFLOW_HEALTH_SERVER=http://127.0.0.1:7404 qflow status

Load is the share of all slots in use; the queue is what is ready and waits for a runner. `qflow top` shows the same live.";

/// What `qflow health --help` says at its end.
pub const HEALTH_HELP: &str = "\
Examples:
  qflow health                                  the verdict, and a line a part
  qflow health -o json | jq .checks             the same as an object
  qflow health -o raw                           the verdict alone: healthy, degraded, unhealthy

Exit codes: 0 healthy or degraded · 1 unhealthy: a critical part is down · 2 usage · 4 the health-aggregator does not answer,
or not within 10 s, or another service has its port.";

/// How long the first round of probes may take: a server that has just started knows nothing before.
const FIRST_ROUND: Duration = Duration::from_secs(12);
/// What is told of a part before its first probe has ended, and of one while what tells of it has not come.
const NOT_PROBED_YET: &str = "not_probed_yet";
const NOT_KNOWN: &str = "not_known";
/// How long a server that was started for this call may take to hear of its own runs and runners.
const HEARS: Duration = Duration::from_secs(5);
/// How long whoever took the connection may say nothing: who waits for a verdict on a system is to hear that there is none.
const SILENT: Duration = Duration::from_secs(10);

/// A verb that asks the health-aggregator.
#[derive(Clone, Debug, Args)]
pub struct AskArgs {
    /// The form of the answer.
    #[arg(short, long, default_value = "table")]
    pub output: Output,
    /// The health-aggregator's address; else port 7404 of the server's host.
    #[arg(long, env = "QFLOW_HEALTH_SERVER", value_name = "URL")]
    pub health_server: Option<String>,
    /// The server.
    #[command(flatten)]
    pub server: ServerArgs,
}

/// `qflow status`.
pub async fn status(ask: &AskArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let overseen = dev::overseen(ask, data_dir).await?;
    let told = heard(&overseen.overseer).await;
    overseen.close().await;
    let status = told?;
    match ask.output {
        Output::Json => outln!("{:#}", json!(status)),
        Output::Raw => status.workflows.iter().for_each(|run| outln!("{}", run.run_id)),
        Output::Table => out!("{}", tables(&status)),
    }
    Ok(Exit::Completed)
}

/// The status once some orchestrator was heard, which takes a moment where all has just started.
async fn heard(overseer: &Overseer) -> Result<SystemStatus, Fail> {
    timeout(SILENT, first_heard(overseer)).await.unwrap_or_else(|_| Err(overseer.silent(SILENT)))
}

async fn first_heard(overseer: &Overseer) -> Result<SystemStatus, Fail> {
    let first = async {
        let mut statuses = overseer.statuses().await?;
        while let Some(status) = statuses.next().await {
            let status = status?;
            if status.orchestrators_heard > 0 {
                return Ok(Some(status));
            }
        }
        Ok(None)
    };
    match timeout(HEARS, first).await {
        Ok(Ok(Some(status))) => Ok(status),
        Ok(Err(fail)) => Err(fail),
        // Nothing is heard: what is known is told, and that nobody was heard with it.
        Ok(Ok(None)) | Err(_) => overseer.status().await,
    }
}

/// `qflow health`.
pub async fn health(ask: &AskArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let overseen = dev::overseen(ask, data_dir).await?;
    let told = probed(&overseen.overseer, overseen.is_embedded()).await;
    overseen.close().await;
    let health = told?;
    match ask.output {
        Output::Json => outln!("{:#}", health_json(&health)),
        Output::Raw => outln!("{}", render::printable(&health.status)),
        Output::Table => {
            let verdict = render::printable(&health.status);
            outln!("{}", verdict.if_supports_color(Stream::Stdout, |text| text.style(style(&health.status))));
            out!("{}", checks(&health.checks));
        }
    }
    Ok(exit_of(&health))
}

/// The verdict once every part was probed, as far as that comes about in time; where all was started just now, once all has met.
async fn probed(overseer: &Overseer, fresh: bool) -> Result<Health, Fail> {
    let mut last = None;
    let all = async {
        let begun = async {
            let mut healths = overseer.healths().await?;
            Ok::<_, Fail>((healths.next().await, healths))
        };
        let (mut next, mut healths) = timeout(SILENT, begun).await.map_err(|_| overseer.silent(SILENT))??;
        while let Some(health) = next {
            let health = health?;
            let waits = |check: &Check| check.error == NOT_PROBED_YET || (fresh && check.error == NOT_KNOWN);
            let is_known = !health.checks.iter().any(waits);
            let may_mend = fresh && exit_of(&health) != Exit::Completed;
            last = Some(health);
            if is_known && !may_mend {
                break;
            }
            next = healths.next().await;
        }
        Ok(())
    };
    match timeout(FIRST_ROUND, all).await {
        Ok(Err(fail)) => Err(fail),
        _ => last.ok_or_else(|| overseer.silent(SILENT)),
    }
}

/// What the verdict means for whoever called.
fn exit_of(health: &Health) -> Exit {
    if matches!(health.status.as_str(), "healthy" | "degraded") { Exit::Completed } else { Exit::Failed }
}

fn style(status: &str) -> Style {
    match status {
        "healthy" => Style::new().green(),
        "degraded" => Style::new().yellow(),
        _ => Style::new().red(),
    }
}

/// The verdict in its published JSON form: checks by name.
fn health_json(health: &Health) -> Value {
    let check = |check: &Check| {
        let mut told = json!({
            "status": check.status,
            "critical": check.critical,
            "response_time_ms": hundredths(check.response_time_ms),
            "age_seconds": hundredths(check.age_seconds),
            "consecutive_failures": check.consecutive_failures,
        });
        if !check.error.is_empty() {
            told["error"] = json!(check.error);
        }
        if !check.cause.is_empty() {
            told["cause"] = json!(check.cause);
        }
        if !check.explains.is_empty() {
            told["explains"] = json!(check.explains);
        }
        for (key, fact) in &check.facts {
            if told.get(key).is_none() {
                told[key] = fact.clone();
            }
        }
        (check.name.clone(), told)
    };
    let checks: serde_json::Map<_, _> = health.checks.iter().map(check).collect();
    json!({ "status": health.status, "version": health.version, "checks": checks })
}

/// In their order, but what comes of another stands directly below that.
pub(crate) fn under_causes<'a>(checks: &[&'a Check]) -> Vec<&'a Check> {
    let comes_of = |check: &Check, cause: &Check| !check.cause.is_empty() && check.cause == cause.name;
    let is_root = |check: &&&Check| !checks.iter().any(|cause| comes_of(check, cause));
    let with_symptoms = |root: &'_ &'a Check| {
        let root = *root;
        let symptoms = checks.iter().copied().filter(move |check| comes_of(check, root));
        std::iter::once(root).chain(symptoms).collect::<Vec<_>>()
    };
    checks.iter().filter(is_root).flat_map(with_symptoms).collect()
}

fn checks(checks: &[Check]) -> String {
    let row = |check: &&Check| {
        let (took, age) = (format!("{:.1} ms", check.response_time_ms), format!("{:.0} s", check.age_seconds));
        let critical = if check.critical { "yes" } else { "no" }.to_owned();
        [check.name.clone(), check.status.clone(), critical, took, age, check.error.clone(), check.cause.clone()]
    };
    let head = ["PART", "STATUS", "CRITICAL", "TOOK", "AGE", "ERROR", "CAUSE"];
    render::table(head, under_causes(&checks.iter().collect::<Vec<_>>()).iter().map(row))
}

/// The totals in one line.
pub(crate) fn totals(status: &SystemStatus) -> String {
    let SystemStatus { active_workflows, active_containers, total_users, queue_depth, slots_used, slots, .. } = status;
    format!(
        "{active_workflows} runs of {total_users} users, {active_containers} containers, queue {queue_depth} (oldest {}), \
         {slots_used} of {slots} slots (load {:.0} %), {} of {} orchestrators heard",
        duration(status.oldest_queued_seconds as u64),
        status.system_load * 100.0,
        status.orchestrators_heard,
        status.orchestrators,
    )
}

fn tables(status: &SystemStatus) -> String {
    let mut text = totals(status) + "\n";
    if !status.workflows.is_empty() {
        let row = |run: &ActiveWorkflow| {
            let (queued, age) = (run.queued.to_string(), duration(run.age_seconds));
            [
                run.run_id.clone(),
                run.workflow_id.clone(),
                run.user_id.clone(),
                run.status.clone(),
                progress(run),
                queued,
                age,
            ]
        };
        let head = ["RUN", "WORKFLOW", "USER", "STATUS", "PROGRESS", "QUEUED", "AGE"];
        text += &format!("\n{}", render::table(head, status.workflows.iter().map(row)));
    }
    if !status.containers.is_empty() {
        let row = |one: &ActiveContainer| {
            let [id, cpu, memory] = used(one);
            let attempt = one.attempt.clone().unwrap_or_default();
            [id, one.status.clone(), one.python_version.clone(), cpu, memory, attempt]
        };
        let head = ["CONTAINER", "STATUS", "PYTHON", "CPU", "MEMORY", "ATTEMPT"];
        text += &format!("\n{}", render::table(head, status.containers.iter().map(row)));
    }
    text
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn system() -> SystemStatus {
        let run = |at: u32, workflow: &str, user: &str, status: &str, done, total| ActiveWorkflow {
            run_id: format!("0198c0de-0000-7000-8000-{at:012}"),
            workflow_id: workflow.to_owned(),
            user_id: user.to_owned(),
            status: status.to_owned(),
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            nodes_completed: done,
            total_nodes: total,
            progress_percent: if total == 0 { 0.0 } else { f64::from(done) / f64::from(total) * 100.0 },
            queued: if status == "running" { 2 } else { 0 },
            age_seconds: u64::from(90 * at),
            ..ActiveWorkflow::default()
        };
        let container = |id: &str, status: &str, attempt: Option<&str>| ActiveContainer {
            container_id: id.to_owned(),
            runner_id: "r1".to_owned(),
            status: status.to_owned(),
            python_version: "3.12".to_owned(),
            started_at: Some("2026-11-27T09:59:00Z".to_owned()),
            run_id: attempt.map(|_| "0198c0de-0000-7000-8000-000000000003".to_owned()),
            attempt: attempt.map(str::to_owned),
            cpu_usage: Some(37.4),
            memory_usage: Some(64 << 20),
        };
        SystemStatus {
            timestamp: "2026-11-27T10:00:00Z".to_owned(),
            active_workflows: 3,
            active_containers: 2,
            total_users: 2,
            system_load: 0.25,
            queue_depth: 2,
            oldest_queued_seconds: 4.2,
            slots_used: 1,
            slots: 4,
            orchestrators_heard: 2,
            orchestrators: 2,
            workflows: vec![
                run(3, "sales", "ada", "running", 4, 10),
                run(2, "daily", "eve", "paused", 1, 2),
                run(1, "hello", "ada", "pending", 0, 0),
            ],
            containers: vec![
                container("c0ffee0123456789", "running", Some("0198.2@1")),
                container("beef", "idle", None),
            ],
        }
    }

    pub(crate) fn verdict(status: &str) -> Health {
        let check = |name: &str, status: &str, critical, error: &str| Check {
            name: name.to_owned(),
            status: status.to_owned(),
            critical,
            response_time_ms: 1.25,
            age_seconds: 3.0,
            error: error.to_owned(),
            consecutive_failures: u32::from(!error.is_empty()),
            ..Check::default()
        };
        let facts = json!({"backend": "sqlite", "size_bytes": 4096, "replication_lag_seconds": null});
        let facts = facts.as_object().cloned().unwrap_or_default();
        let checks = vec![
            Check { facts, ..check("database", "healthy", true, "") },
            check("docker", "healthy", true, ""),
            check("redis", "unhealthy", false, "unreachable"),
        ];
        Health { status: status.to_owned(), checks, version: "0.1.0".to_owned() }
    }

    /// A Docker that is down, and what comes of it.
    pub(crate) fn with_symptoms() -> Health {
        let mut health = verdict("unhealthy");
        let symptom = |name: &str, error: &str| Check {
            name: name.to_owned(),
            status: "degraded".to_owned(),
            error: error.to_owned(),
            cause: "docker".to_owned(),
            ..Check::default()
        };
        health.checks[1].status = "unhealthy".to_owned();
        health.checks[1].error = "runtime_away".to_owned();
        health.checks[1].explains = vec!["python_environments".to_owned(), "workflows".to_owned()];
        health.checks.insert(0, symptom("python_environments", "no_python"));
        health.checks.push(symptom("workflows", "queue_waits"));
        health
    }

    #[test]
    fn the_status_is_totals_runs_and_containers() {
        insta::assert_snapshot!(tables(&system()));
        assert_eq!(tables(&SystemStatus::default()).lines().count(), 1, "of nothing there is no table");
    }

    #[test]
    fn the_health_is_a_line_a_part() {
        insta::assert_snapshot!(checks(&verdict("degraded").checks));
        insta::assert_json_snapshot!(health_json(&verdict("degraded")));
    }

    #[test]
    fn what_comes_of_another_part_stands_below_it() {
        insta::assert_snapshot!(checks(&with_symptoms().checks));
        let told = health_json(&with_symptoms());
        assert_eq!(told["checks"]["workflows"]["cause"], "docker");
        assert_eq!(told["checks"]["docker"]["explains"], json!(["python_environments", "workflows"]));
        let orphan = [&Check { name: "workflows".to_owned(), cause: "docker".to_owned(), ..Check::default() }];
        assert_eq!(under_causes(&orphan), orphan, "also where its cause is not told");
    }

    #[test]
    fn only_what_is_unhealthy_ends_badly() {
        for (status, code) in [("healthy", 0), ("degraded", 0), ("unhealthy", 1), ("", 1)] {
            assert_eq!(exit_of(&verdict(status)) as u8, code, "{status}");
        }
    }
}
