//! What is exported, against the catalogue: names, labels, values, and how many of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    process::Command,
};

use qflow_e2e::{Stack, root, said};
use qflow_telemetry::{
    CATALOGUE,
    define::{Kind, MetricDef},
};

use super::{ADMINS, JOBS, text};

/// Series that a process may have, buckets included.
const BUDGET: usize = 20_000;

/// The labels of every series of ours that were there in the last minutes, by their metric's name.
pub(crate) fn labels(stack: &Stack) -> BTreeMap<String, Vec<BTreeMap<String, String>>> {
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

/// Gauges that are 0 whatever happens here, and why.
const ZERO: &[(&str, &str)] = &[];

/// Rows without a sample that is not 0, and reasons of those that have one.
pub(crate) fn unfed(stack: &Stack) -> Vec<String> {
    let wrong = |row: &&MetricDef| {
        let query = |above| format!("max_over_time({}{{job=~\"{JOBS}\"}}[1h]){above}", series_of(row));
        let excused = ZERO.iter().any(|(name, _)| *name == row.name);
        let is_fed = !stack.query(&query(if excused { "" } else { " > 0" })).is_empty();
        let needless = excused && !stack.query(&query(" > 0")).is_empty();
        match (is_fed, needless) {
            (false, _) => Some(format!("nothing feeds {}", row.name)),
            (true, true) => Some(format!("{} has a reason to be 0, and is not", row.name)),
            (true, false) => None,
        }
    };
    CATALOGUE.iter().filter_map(wrong).collect()
}

/// Names, label keys and label values that are exported and not in the catalogue, or the other way round.
pub(crate) fn differences(exported: &BTreeMap<String, Vec<BTreeMap<String, String>>>) -> Vec<String> {
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

/// Constructors that no type has a name of its own for.
const NOT_TOLD: &[&str] = &["Optional", "DataFrame", "Model"];
/// What nothing is converted from, or to: the tables of docs/TYPES.md.
const NOT_CONVERTED: &[&str] = &["Any", "None", "bytes"];
/// What nothing here is converted from, or to, and is elsewhere.
const CONVERTED_FROM: &[&str] = &["bool", "int", "float", "str", "tuple", "dict", "set", "Union", "Literal"];
const CONVERTED_TO: &[&str] = &["bool", "int", "float", "dict", "set", "Union", "Literal"];

/// Why a value is not there.
#[derive(Clone, Copy)]
enum Why {
    /// It cannot be, whatever runs.
    Never(&'static str),
    /// It takes what is not here: the file and the test that have it.
    Covered(&'static str, &'static str),
}
use Why::{Covered, Never};

/// Values of closed labels that nothing here has: the label, the row or `*` for each that has it, the values, and why.
const UNUSED: &[(&str, &str, &[&str], Why)] = &[
    ("failure_class", "*", &["unknown"], Never("whose failure it is was known of each")),
    ("node_type", "*", &["input", "output"], Never("the ends of data flow are no executions")),
    ("node_type", "qflow_node_error_rate", &["wait", "approval"], Never("waits end, and both questions are answered")),
    (
        "cause",
        "qflow_workflows_paused",
        &["quarantined"],
        Covered(
            "crates/orchestrator/src/dispatch/engine/tests/pauses.rs",
            "a_run_whose_step_breaks_stands_still_and_the_others_go_on",
        ),
    ),
    (
        "reason",
        "qflow_node_retries_total",
        &["image_missing", "platform"],
        Covered(
            "crates/orchestrator/src/dispatch/tell.rs",
            "an_image_that_is_missing_and_a_runtime_that_fails_are_told_apart_from_the_users_own_failures",
        ),
    ),
    (
        "pool",
        "qflow_pool_errors_total",
        &["database"],
        Covered(
            "crates/e2e/tests/observed/told.rs",
            "quiet_minutes_are_quiet_and_what_breaks_is_told_once_and_its_end_too_while_its_symptoms_keep_quiet",
        ),
    ),
    ("source_node_type", "*", &["wait", "output"], Never("a wait gives nothing, and nothing is behind the output")),
    (
        "target_node_type",
        "*",
        &["workflow", "wait", "approval", "input"],
        Never("what is given to them goes on to nodes, or nowhere"),
    ),
    (
        "source_node_type",
        "qflow_data_transfer_size_bytes",
        &["approval"],
        Never("an answer is small and goes with the order"),
    ),
    (
        "target_node_type",
        "qflow_data_transfer_size_bytes",
        &["output"],
        Never("what a run gives is no transfer between runners"),
    ),
    ("source_type", "*", NOT_TOLD, Never("told as Union and as other")),
    ("target_type", "*", NOT_TOLD, Never("told as Union and as other")),
    ("from_type", "*", NOT_TOLD, Never("told as Union and as other")),
    ("to_type", "*", NOT_TOLD, Never("told as Union and as other")),
    ("from_type", "*", NOT_CONVERTED, Never("no conversion begins there")),
    ("to_type", "*", NOT_CONVERTED, Never("no conversion ends there")),
    ("from_type", "*", CONVERTED_FROM, Covered(CONVERSIONS, "conversions_are_told_by_what_they_are_from_and_to")),
    ("to_type", "*", CONVERTED_TO, Covered(CONVERSIONS, "conversions_are_told_by_what_they_are_from_and_to")),
    ("package_count", "*", &["0"], Never("where nothing is required nothing is installed")),
    ("status", "qflow_active_containers", &["paused"], Never("no runner pauses one")),
    // Frames need packages of the public index.
    ("serialization_type", "*", &["arrow"], Covered(CONVERSIONS, "rows_and_models_are_made")),
    (
        "data_size_bytes",
        "*",
        &["gt_256MiB"],
        Covered("crates/e2e/tests/large.rs", "a_gibibyte_through_a_folder_takes_no_more_memory_than_a_small_file"),
    ),
    (
        "outcome",
        "qflow_telemetry_spans_total",
        &["dropped"],
        Covered(
            "crates/telemetry/tests/otlp.rs",
            "a_collector_that_hangs_takes_no_memory_and_no_time_and_what_is_lost_is_counted",
        ),
    ),
];
const CONVERSIONS: &str = "crates/e2e/tests/conversions.rs";

#[test]
fn what_is_said_to_be_tested_elsewhere_is() {
    for (label, row, _, why) in UNUSED {
        match why {
            Never(why) => assert!(why.len() > 10, "{label} of {row} has a reason"),
            Covered(file, test) => {
                let text = std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"));
                assert!(text.contains(&format!("fn {test}(")), "{label} of {row}: {file} has no {test}");
            }
        }
    }
}

/// The same of values that are there or not, as it falls out.
const BY_CHANCE: &[(&str, &str, &[&str], &str)] = &[
    (
        "reason",
        "qflow_container_exits_total",
        &["retired", "idle", "killed", "exited", "shutdown"],
        "what a runner has to do",
    ),
    ("status", "qflow_active_containers", &["starting", "stopping"], "what a runner is at when it looks"),
    (
        "state",
        "qflow_workflows_in_state",
        &["pending"],
        "whether a look falls between a run's start and its first node's",
    ),
];

/// Values of closed labels that the catalogue tells apart and nothing had so far, and reasons of values that do not need one.
pub(crate) fn unused(stack: &Stack) -> Vec<String> {
    let mut problems = Vec::new();
    for row in CATALOGUE {
        // Which versions of Python there are is what a machine has.
        let closed = row.labels.iter().filter_map(|(label, values)| Some((*label, (*values)?)));
        for (label, values) in closed.filter(|(label, _)| *label != "python_version") {
            let there = format!("max_over_time({}{{job=~\"{JOBS}\"}}[1h]) > 0", series_of(row));
            let found = stack.query(&format!("count by ({label}) ({there})"));
            let used: BTreeSet<&str> = found.iter().map(|series| text(&series["metric"], label)).collect();
            let excused = UNUSED.iter().filter(|(of, name, ..)| *of == label && (*name == "*" || *name == row.name));
            let known: BTreeSet<&str> = excused.flat_map(|(_, _, values, _)| values.iter().copied()).collect();
            let rare = BY_CHANCE.iter().filter(|(of, name, ..)| *of == label && (*name == "*" || *name == row.name));
            let rare: BTreeSet<&str> = rare.flat_map(|(_, _, values, _)| values.iter().copied()).collect();
            // What no other value names reads so: the last of its set.
            let named =
                values.iter().copied().filter(|value| !["other", "_OTHER"].contains(value) && !rare.contains(value));
            for value in named.filter(|value| used.contains(value) == known.contains(value)) {
                let what = if used.contains(value) { "has a reason, and is there" } else { "was never there" };
                problems.push(format!("{label}={value} of {} {what}", row.name));
            }
        }
    }
    problems
}

/// Histograms of durations whose observations are within no trace, and why.
const UNTRACED: &[(&str, &str)] = &[
    ("qflow_health_check_duration_seconds", "parts are asked by themselves"),
    ("http_server_request_duration_seconds", "who asks over HTTP here has no trace: route.rs has one"),
];

/// Histograms of durations without an exemplar, and reasons of those that have one.
pub(crate) fn without_exemplars(stack: &Stack) -> Vec<String> {
    let now = stack.prometheus("query", &[("query", "time()")]);
    let end = now["result"][1].as_str().expect("a time is a number").to_owned();
    let of_time = |row: &&&MetricDef| row.kind == Kind::Histogram && row.name.ends_with("_seconds");
    let wrong = |row: &&MetricDef| {
        let query = format!("{}_bucket", row.name);
        let found = stack.prometheus("query_exemplars", &[("query", &query), ("start", "0"), ("end", &end)]);
        let has = found.as_array().is_some_and(|series| !series.is_empty());
        let excused = UNTRACED.iter().any(|(name, _)| *name == row.name);
        (has == excused).then(|| format!("{} has {} exemplar", row.name, if has { "an" } else { "no" }))
    };
    CATALOGUE.iter().filter(of_time).filter_map(wrong).collect()
}

/// What `promtool check metrics` says of a service's own answer.
pub(crate) fn unclean(stack: &Stack) -> Vec<String> {
    let check = |port: &&str| {
        let line = format!("curl -sf http://127.0.0.1:{}/metrics | promtool check metrics", stack.cluster.port(port));
        let output = Command::new("bash").args(["-o", "pipefail", "-c", &line]).output().expect("bash starts");
        (!output.status.success()).then(|| format!("{port}: {}", said(&output)))
    };
    ADMINS.iter().filter_map(check).collect()
}

/// The label sets of a row in what a process answers, each with its value.
pub(crate) fn sets<'a>(answer: &'a str, row: &MetricDef) -> Vec<(&'a str, f64)> {
    let name = series_of(row);
    let one = |line: &'a str| {
        let rest = line.strip_prefix(name.as_str())?;
        let (labels, value) = rest.rsplit_once(' ')?;
        let is_ours = labels.is_empty() || labels.starts_with('{');
        is_ours.then(|| (labels, value.parse().expect("a value is a number")))
    };
    answer.lines().filter_map(one).collect()
}

/// Processes and rows past what they may have.
pub(crate) fn unbounded(stack: &Stack) -> Vec<String> {
    let mut problems = Vec::new();
    for admin in ADMINS {
        let answer = stack.cluster.metrics(admin);
        let series = answer.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).count();
        if series > BUDGET {
            problems.push(format!("{admin} has {series} series"));
        }
        for row in CATALOGUE {
            let sets = sets(&answer, row).len();
            if sets > row.most() {
                problems.push(format!("{admin} has {sets} sets of {}, and may have {}", row.name, row.most()));
            }
        }
    }
    problems
}
