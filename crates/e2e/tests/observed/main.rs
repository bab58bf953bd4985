//! What a real Prometheus sees of a cluster on Docker, and whom a real Alertmanager tells of what breaks: with our own rules, routes
//! and dashboards, minutes of rules being seconds.

mod names;
mod query;

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
    sync::{Mutex, PoisonError},
};

use qflow_e2e::{Home, Stack, object, root, said, wait_for, wait_seeing};
use qflow_telemetry::{
    CATALOGUE,
    define::{Kind, MetricDef},
};
use serde_json::Value;

/// One stack at a time: each is a dozen programs.
static ONE: Mutex<()> = Mutex::new(());

/// Jobs of ours that have a target in a cluster.
const JOBS: &str = "qflow-(orchestrator|container-runner|type-validator|health-aggregator)";

/// Rows that these runs may leave without a sample, and what feeds them.
const UNFED: &[(&str, &str)] = &[
    ("qflow_container_cpu_throttled_seconds_total", "an attempt that uses up its processors"),
    ("qflow_environment_failures_total", "an installation that fails"),
    ("qflow_lease_expired_total", "a runner that is lost"),
    ("qflow_lease_renew_failed_total", "a shard that is lost"),
    ("qflow_log_lines_dropped_total", "a reader of lines that hangs"),
    ("qflow_orchestrators_missed_total", "an orchestrator that ends without a word"),
    ("qflow_telemetry_label_overflow_total", "more names than rows tell apart: they come last"),
    ("qflow_telemetry_spans_total", "a receiver of spans: `make test-stack` has one"),
];

/// Selectors of rules and panels that may select nothing here, and what they are for.
const UNSELECTED: &[(&str, &str)] = &[
    ("qflow_workflow_failures_total{failure_class=\"platform\"}", "a failure of ours"),
    (
        "rpc_server_call_duration_seconds_count{rpc_response_status_code=~\"UNKNOWN|DEADLINE_EXCEEDED|INTERNAL|UNAVAILABLE|DATA_LOSS\"}",
        "a call that fails by our fault",
    ),
    ("up{job=\"qflow-dev\"}", "the embedded shape"),
];

/// Panels that may be empty here, and what fills them.
const EMPTY: &[(&str, &str)] = &[
    ("SLO: Calls that failed by our fault", "a call that fails by our fault"),
    ("SLO: Failures of ours", "a failure of ours"),
];

/// How far back what happened here may lie.
const LOOK_BACK_SECONDS: f64 = 300.0;

/// What lacks something without a reason, and reasons of what is not there.
fn unexplained(
    reasons: &[(&str, &str)],
    all: &BTreeSet<String>,
    lacking: &BTreeSet<String>,
    what: &str,
) -> Vec<String> {
    let known: BTreeSet<String> = reasons.iter().map(|(name, _)| (*name).to_owned()).collect();
    let unknown = lacking.difference(&known).map(|name| format!("{what}: {name}"));
    unknown.chain(known.difference(all).map(|name| format!("has a reason, and is not there: {name}"))).collect()
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

/// A workflow of `cases/observed.py`, or of another file, run at one of the orchestrators to its end.
fn run(stack: &Stack, orchestrator: u8, file: &str, workflow: &str, more: &[&str]) -> Value {
    let mut line = vec!["run", file, "-w", workflow, "-o", "json"];
    line.extend(more);
    let output = stack.cluster.run(orchestrator, &line);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{workflow}: {error}: {}", said(&output)))
}

const CASE: &str = "crates/e2e/cases/observed.py";

/// One run of every kind.
fn run_every_kind(stack: &Stack) {
    for (orchestrator, workflow, status) in [
        (1, "succeeds", "completed"),
        (2, "succeeds", "completed"),
        (1, "fails", "failed"),
        (2, "times_out", "timed_out"),
        (1, "runs_out_of_memory", "failed"),
        (2, "tries_again", "completed"),
        (1, "speaks_hostile", "failed"),
    ] {
        let run = run(stack, orchestrator, CASE, workflow, &[]);
        assert_eq!(run["status"], status, "{workflow}: {run:#}");
    }
    for file in ["convert", "environments"] {
        let run = run(stack, 1, &format!("docs/examples/python/{file}.py"), file, &[]);
        assert_eq!(run["status"], "completed", "{run:#}");
    }
    let unfit = stack.cluster.run(2, &["run", "crates/e2e/cases/unfit.py"]);
    assert_eq!(unfit.status.code(), Some(3), "{}", said(&unfit));
    // A call that fails by its caller's fault.
    let unknown = stack.cluster.run(1, &["runs", "get", "00000000-0000-7000-8000-000000000000"]);
    assert!(!unknown.status.success(), "{}", said(&unknown));
    let line = ["run", CASE, "-w", "is_cancelled", "--detach", "-o", "json"];
    let started = object(&stack.cluster.run(1, &line), 0);
    let id = text(&started, "run_id");
    let state = || object(&stack.cluster.run(2, &["runs", "get", id, "-o", "json"]), 0);
    wait_for("the node runs", || state()["nodes"][0]["status"] == "running");
    // A run and its container are seen while they are there, by a look and by a panel's step.
    for seen in ["qflow_active_containers{status=\"running\"}", "qflow_workflow_oldest_running_seconds"] {
        wait_for(seen, || !stack.query(&format!("count_over_time(({seen} > 0)[10s:1s]) >= 5")).is_empty());
    }
    stack.cluster.run(2, &["runs", "cancel", id]);
    wait_for("the run is cancelled", || state()["status"] == "cancelled");
}

/// The labels of every series of ours that were there in the last minutes, by their metric's name.
fn exported(stack: &Stack) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
    let matches = format!("{{job=~\"{JOBS}\"}}");
    let data = stack.prometheus("series", &[("match[]", &matches)]);
    let mut exported: BTreeMap<String, Vec<BTreeMap<String, String>>> = BTreeMap::new();
    for series in data.as_array().into_iter().flatten() {
        let mut labels: BTreeMap<String, String> = serde_json::from_value(series.clone()).expect("labels are texts");
        let name = labels.remove("__name__").expect("a series has a name");
        exported.entry(name).or_default().push(labels);
    }
    exported
}

/// What a row is exported as.
fn series_of(row: &MetricDef) -> String {
    if row.kind == Kind::Histogram { format!("{}_count", row.name) } else { row.name.to_owned() }
}

/// Rows without a sample: of what counts, without one that is not 0.
fn unfed(stack: &Stack) -> BTreeSet<String> {
    let fed = |row: &&&MetricDef| {
        let above = if row.kind == Kind::Gauge { "" } else { " > 0" };
        !stack.query(&format!("max_over_time({}{{job=~\"{JOBS}\"}}[10m]){above}", series_of(row))).is_empty()
    };
    CATALOGUE.iter().filter(|row| !fed(row)).map(|row| row.name.to_owned()).collect()
}

/// Names, label keys and label values that are exported and not in the catalogue, or the other way round.
fn differences(exported: &BTreeMap<String, Vec<BTreeMap<String, String>>>) -> Vec<String> {
    let mut problems = Vec::new();
    let mut rows: BTreeMap<String, &MetricDef> = BTreeMap::new();
    for row in CATALOGUE {
        match row.kind {
            Kind::Histogram => {
                rows.extend(["_bucket", "_sum", "_count"].map(|end| (format!("{}{end}", row.name), *row)));
            }
            _ => drop(rows.insert(row.name.to_owned(), row)),
        }
    }
    // What Prometheus says of a scrape and of rules.
    let of_prometheus = |name: &str| name == "up" || name.starts_with("scrape_") || name.starts_with("ALERTS");
    let of_ours = exported.iter().filter(|(name, _)| !of_prometheus(name));
    for (name, series) in of_ours {
        let Some(row) = rows.get(name) else {
            problems.push(format!("{name} is exported and no row"));
            continue;
        };
        let mut keys: BTreeSet<&str> = row.labels.iter().map(|(key, _)| *key).collect();
        keys.extend(["instance", "job"]);
        if name.ends_with("_bucket") {
            keys.insert("le");
        }
        for labels in series {
            let has: BTreeSet<&str> = labels.keys().map(String::as_str).collect();
            if has != keys {
                problems.push(format!("{name} has the labels {has:?}, its row {keys:?}"));
            }
            for (key, values) in row.labels.iter().filter_map(|(key, values)| Some((*key, (*values)?))) {
                if !labels.get(key).is_some_and(|value| values.contains(&value.as_str())) {
                    problems.push(format!("{key} of {name} is {:?}", labels.get(key)));
                }
            }
        }
    }
    problems.sort();
    problems.dedup();
    problems
}

/// Every panel's title and query, as Grafana sends it.
fn panels() -> Vec<(String, String)> {
    let files = std::fs::read_dir(root().join("dashboards")).expect("dashboards are there").flatten();
    let files = files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json"));
    let mut panels = Vec::new();
    for path in files {
        let dashboard: Value = serde_json::from_slice(&std::fs::read(&path).expect("it reads")).expect("it is JSON");
        let variables = dashboard["templating"]["list"].as_array().cloned().unwrap_or_default();
        for panel in dashboard["panels"].as_array().into_iter().flatten() {
            for target in panel["targets"].as_array().into_iter().flatten() {
                let mut query = text(target, "expr").replace("$__rate_interval", "1m").replace("$__range", "1h");
                for variable in &variables {
                    query = query.replace(&format!("${}", text(variable, "name")), ".*");
                }
                panels.push((format!("{}: {}", text(&dashboard, "title"), text(panel, "title")), query));
            }
        }
    }
    panels
}

/// Queries of panels that gave nothing at any moment of the last minutes.
fn empty_panels(stack: &Stack, panels: &[(String, String)]) -> BTreeSet<String> {
    let now = stack.prometheus("query", &[("query", "time()")]);
    let end = now["result"][1].as_str().expect("a time is a number").to_owned();
    let start = (end.parse::<f64>().expect("it is one") - LOOK_BACK_SECONDS).to_string();
    let gives = |query: &str| {
        let data =
            stack.prometheus("query_range", &[("query", query), ("start", &start), ("end", &end), ("step", "1")]);
        data["result"].as_array().is_some_and(|series| !series.is_empty())
    };
    panels.iter().filter(|(_, query)| !gives(query)).map(|(title, _)| title.clone()).collect()
}

/// What `promtool check metrics` says of a service's own answer.
fn unclean(stack: &Stack) -> Vec<String> {
    let ports = ["a1", "a2", "ra1", "ra2", "tva", "ha"];
    let check = |port: &&str| {
        let line = format!("curl -sf http://127.0.0.1:{}/metrics | promtool check metrics", stack.cluster.port(port));
        let output = Command::new("bash").args(["-o", "pipefail", "-c", &line]).output().expect("bash starts");
        (!output.status.success()).then(|| format!("{port}: {}", said(&output)))
    };
    ports.iter().filter_map(check).collect()
}

/// Lines of the services' logs that are none by docs/log.schema.json, and what must be among them.
fn wrong_lines(stack: &Stack) -> Vec<String> {
    let mut check = Command::new(root().join("deploy/local/log-check"));
    let services = ["orchestrator-1", "orchestrator-2", "runner-1", "runner-2", "type-validator", "health-aggregator"];
    check.args(services.map(|name| stack.cluster.path().join(format!("{name}.log"))));
    let output = check.output().expect("the script starts");
    let events = String::from_utf8_lossy(&output.stdout).into_owned();
    let lacking = EVENTS.iter().filter(|event| !events.lines().any(|line| line.starts_with(&format!("{event} "))));
    let mut problems: Vec<String> = lacking.map(|event| format!("no line says {event}")).collect();
    if !output.status.success() {
        problems.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    problems
}

/// The events of which one run of every kind has lines.
const EVENTS: [&str; 12] = [
    "workflow_start",
    "workflow_complete",
    "workflow_error",
    "workflow_cancelled",
    "node_start",
    "node_complete",
    "node_error",
    "node_retry",
    "container_created",
    "container_started",
    "container_stopped",
    "python_error",
];

/// Selectors that select nothing.
fn unselected(stack: &Stack, selectors: &BTreeSet<String>) -> BTreeSet<String> {
    let selects = |selector: &&String| {
        let series = stack.prometheus("series", &[("match[]", selector.as_str())]);
        series.as_array().is_some_and(|series| !series.is_empty())
    };
    selectors.iter().filter(|selector| !selects(selector)).cloned().collect()
}

/// The expressions of the rules that Prometheus has loaded.
fn rules(stack: &Stack) -> Vec<String> {
    let loaded = stack.prometheus("rules", &[]);
    let groups = loaded["groups"].as_array().into_iter().flatten();
    groups.filter_map(|group| group["rules"].as_array()).flatten().map(|rule| text(rule, "query").to_owned()).collect()
}

#[test]
fn whatever_ends_is_seen_and_every_rule_and_panel_asks_for_what_is_there() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::start("docker", "metrics");
    run_every_kind(&stack);
    // Prometheus looks once a second: what ended last is there after the next look.
    let cancelled = "qflow_workflow_executions_total{status=\"cancelled\"} > 0";
    wait_for("what ended is scraped", || !stack.query(cancelled).is_empty());
    // The rules of a month look rarely.
    let month = "qflow:slo_budget_left:ratio";
    wait_for("the month's budget is worked out", || !stack.query(month).is_empty());
    let panels = panels();
    let asked = rules(&stack).into_iter().chain(panels.iter().map(|(_, query)| query.clone()));
    let selectors = asked.flat_map(|query| query::selectors(&query)).collect();
    let rows = CATALOGUE.iter().map(|row| row.name.to_owned()).collect();
    let titles = panels.iter().map(|(title, _)| title.clone()).collect();
    let mut problems = unexplained(UNSELECTED, &selectors, &unselected(&stack, &selectors), "nothing is selected by");
    problems.extend(unexplained(UNFED, &rows, &unfed(&stack), "nothing feeds"));
    problems.extend(unexplained(EMPTY, &titles, &empty_panels(&stack, &panels), "is empty"));
    problems.extend(differences(&exported(&stack)));
    problems.extend(wrong_lines(&stack));

    names::run_many(&stack);
    let overflow = format!("sum(qflow_telemetry_label_overflow_total{{job=~\"{JOBS}\"}}) > 0");
    wait_for("there are more names than rows tell apart", || !stack.query(&overflow).is_empty());
    let past = format!("max_over_time(scrape_samples_post_metric_relabeling{{job=~\"{JOBS}\"}}[5m]) > {BUDGET}");
    problems.extend(stack.query(&past).iter().map(|series| format!("past the budget: {series}")));
    problems.extend(unclean(&stack));
    assert_none(&problems);
}

/// Series that a process may have, buckets included.
const BUDGET: u32 = 20_000;

/// A symptom of much.
const BURN: &str = "QflowErrorBudgetBurn";

/// How often each receiver was told of an alert: `FIRING` or `RESOLVED`.
fn told(stack: &Stack, word: &str, alert: &str) -> BTreeMap<String, usize> {
    let headlines = [format!("[{word} critical] {alert}:"), format!("{word} {alert}:")];
    let mut told = BTreeMap::new();
    for (by, said) in stack.notifications() {
        if headlines.iter().any(|headline| said.starts_with(headline)) {
            *told.entry(by).or_default() += 1;
        }
    }
    told
}

/// Whether Alertmanager has an alert, critical, in a state.
fn has(stack: &Stack, alert: &str, state: &str) -> bool {
    let wanted = [alert, "critical", state];
    stack.alerts().iter().any(|one| one.iter().map(String::as_str).eq(wanted))
}

/// Breaks something, and sees one alert told to each receiver, once, and its end once it is mended.
fn is_told(stack: &Stack, alert: &str, breaks: impl Fn(), meanwhile: impl Fn(), mends: impl Fn()) {
    // Where a minute is a second, what only just starts is told of as well.
    let seen = || format!("{:#?}\n{:#?}", stack.alerts(), stack.notifications());
    let over = || !has(stack, alert, "active") && !has(stack, BURN, "active");
    wait_seeing(&format!("{alert} is over"), over, seen);
    stack.forget_notifications();
    breaks();
    wait_seeing(&format!("{alert} is told"), || told(stack, "FIRING", alert).len() == 2, seen);
    assert!(has(stack, alert, "active"), "{:?}", stack.alerts());
    meanwhile();
    mends();
    wait_seeing(&format!("the end of {alert} is told"), || told(stack, "RESOLVED", alert).len() == 2, seen);
    let once = BTreeMap::from([("email".to_owned(), 1), ("slack".to_owned(), 1)]);
    let both = (told(stack, "FIRING", alert), told(stack, "RESOLVED", alert));
    assert_eq!(both, (once.clone(), once), "{alert}: {}", seen());
}

#[test]
fn quiet_minutes_are_quiet_and_what_breaks_is_told_once_and_its_end_too_while_its_symptoms_keep_quiet() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let home = Home::new("process");
    let _dev = home.dev();
    let (stack, embedded) = (Stack::start("process", "metrics"), Stack::embedded(&home));
    let hello = ["run", "examples/hello.py", "-p", "name=Ada", "-o", "json"];
    object(&stack.cluster.run(1, &hello), 0);
    object(&home.run(&hello), 0);
    stack.is_quiet();
    embedded.is_quiet();
    drop(embedded);
    // Whoever asks all replicas how they are takes no question back, so nobody has failed to answer one.
    let checks = "rpc_server_call_duration_seconds_count{rpc_method=\"grpc.health.v1.Health/Check\"}";
    let answered = stack.query(&format!("sum by (rpc_response_status_code) ({checks}) > 0"));
    let codes: Vec<&str> = answered.iter().map(|series| text(&series["metric"], "rpc_response_status_code")).collect();
    assert_eq!(codes, ["OK"]);
    let refused = || {
        wait_for("calls that the database fails burn the budget, and nobody is told", || {
            stack.cluster.run(1, &hello);
            has(&stack, BURN, "suppressed")
        });
        assert!(told(&stack, "FIRING", BURN).is_empty(), "{:#?}", stack.notifications());
    };
    is_told(&stack, "DatabaseConnectionError", || stack.cluster.stop_postgres(), refused, || stack.again());
    is_told(&stack, "RedisConnectionError", || stack.cluster.kill("redis"), || {}, || stack.again());
    is_told(&stack, "QflowTargetDown", || stack.cluster.kill("runner-1"), || {}, || stack.again());
    object(&stack.cluster.run(2, &hello), 0);
}
