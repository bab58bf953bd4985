//! Rules, dashboards and the runbook name what is exported, and what is exported is looked at by one of them.

mod dashboards;
mod files;
mod query;

use std::collections::{BTreeMap, BTreeSet};

use files::{list, word};
use qflow_telemetry::{
    CATALOGUE,
    define::{Kind, MetricDef},
};
use query::{Found, Known};
use serde_json::Value;

/// Rows of the catalogue that no rule and no panel queries, and why.
const UNQUERIED: &[(&str, &str)] = &[];

fn known() -> Known {
    Known::new(&files::recorded(), &files::jobs(), &files::alert_names())
}

fn assert_none(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}\n", problems.join("\n"));
}

/// A panel's query as Prometheus gets it, with every choice of its variables.
fn plain(query: &str, variables: &BTreeSet<&str>) -> String {
    let mut plain = query.replace("$__rate_interval", "5m").replace("$__range", "1h");
    for name in variables {
        plain = plain.replace(&format!("${name}"), ".*");
    }
    plain
}

/// The names of a dashboard's variables.
fn variables(dashboard: &Value) -> BTreeSet<&str> {
    list(&dashboard["templating"]["list"]).iter().map(|variable| word(&variable["name"])).collect()
}

/// Every query of a dashboard's panels, with the panel's title.
fn queries(dashboard: &Value) -> Vec<(&str, &str)> {
    let panels = list(&dashboard["panels"]).iter();
    panels.flat_map(|panel| list(&panel["targets"]).iter().map(|t| (word(&panel["title"]), word(&t["expr"])))).collect()
}

/// Every query of rules and panels, with where it stands.
fn all_queries() -> Vec<(String, String)> {
    let rules = files::groups().into_iter().flat_map(|(group, rules)| {
        let named = move |rule: Value| {
            let name = [&rule["alert"], &rule["record"]].map(word).concat();
            (format!("{group}: {name}"), word(&rule["expr"]).to_owned())
        };
        rules.into_iter().map(named)
    });
    let mut all: Vec<_> = rules.collect();
    for (path, dashboard) in files::dashboards() {
        let variables = variables(&dashboard);
        let placed = queries(&dashboard).into_iter();
        all.extend(placed.map(|(title, query)| (format!("{path}: {title}"), plain(query, &variables))));
    }
    all
}

#[test]
fn every_query_of_a_rule_or_panel_names_what_is_exported() {
    let known = known();
    let problems = all_queries().into_iter().flat_map(|(place, query)| {
        known.check(&query).problems.into_iter().map(move |problem| format!("{place}: {problem}"))
    });
    assert_none(&problems.collect::<Vec<_>>());
}

#[test]
fn a_query_that_names_something_else_is_found() {
    let known = known();
    for (query, problem) in [
        ("rate(qflow_workflow_executions[5m])", "nothing exports `qflow_workflow_executions`"),
        ("sum(rate(qflow_node_duration_seconds_count[5m]))", "nothing exports `qflow_node_duration_seconds_count`"),
        ("max_over_time(sum(qflow_gone)[5m:1m])", "nothing exports `qflow_gone`"),
        ("qflow_queue_depth{queue=\"x\"}", "`qflow_queue_depth` has no label `queue`"),
        (
            "qflow_workflow_executions_total{status=\"succeeded\"}",
            "`status` of `qflow_workflow_executions_total` is never `succeeded`",
        ),
        (
            "rate(qflow_workflow_executions_total{status=~\"failed|timeout\"}[5m])",
            "`status` of `qflow_workflow_executions_total` is never `timeout`",
        ),
        ("absent(up{job=\"qflow-gone\"})", "`job` of `up` is never `qflow-gone`"),
        ("qflow_queue_wait_seconds_bucket{le=\"7\"}", "`le` of `qflow_queue_wait_seconds_bucket` is never `7`"),
        ("qflow_queue_wait_seconds", "nothing exports `qflow_queue_wait_seconds`"),
        ("sum by (queue) (qflow_queue_depth)", "has the label `queue`"),
        ("up / on (node_type) up", "has the label `node_type`"),
        ("rate(up)", "expected type"),
        ("{job=\"qflow-dev\"}", "names no metric"),
    ] {
        let problems = known.check(query).problems;
        assert!(problems.iter().any(|found| found.contains(problem)), "{query}: {problems:?}");
    }
    for query in ["qflow_queue_wait_seconds_bucket{le=~\"5(\\\\.0)?\"}", "ALERTS{alertname=\"Watchdog\"}"] {
        assert_none(&known.check(query).problems);
    }
}

#[test]
fn every_row_of_the_catalogue_is_queried_or_has_a_reason() {
    let known = known();
    let queried: BTreeSet<String> = all_queries().iter().flat_map(|(_, query)| known.check(query).names).collect();
    let reads = |name: &str, kind| match kind {
        Kind::Histogram => ["_bucket", "_sum", "_count"].iter().any(|end| queried.contains(&format!("{name}{end}"))),
        _ => queried.contains(name),
    };
    let (read, unread): (Vec<&MetricDef>, Vec<&MetricDef>) =
        CATALOGUE.iter().copied().partition(|row| reads(row.name, row.kind));
    let reasons: BTreeMap<&str, &str> = UNQUERIED.iter().copied().collect();
    let mut problems: Vec<String> = unread
        .iter()
        .filter(|row| !reasons.contains_key(row.name))
        .map(|row| format!("nobody looks at {}", row.name))
        .collect();
    problems.extend(
        read.iter()
            .filter(|row| reasons.contains_key(row.name))
            .map(|row| format!("{} is looked at after all", row.name)),
    );
    let rows: BTreeSet<&str> = CATALOGUE.iter().map(|row| row.name).collect();
    problems.extend(reasons.keys().filter(|name| !rows.contains(*name)).map(|name| format!("{name} is no row")));
    assert_none(&problems);
}

#[test]
fn every_label_of_the_catalogue_is_told_apart_by_a_query() {
    let known = known();
    let told: BTreeSet<query::Labelled> =
        all_queries().iter().flat_map(|(_, query)| known.check(query).labels).collect();
    let tells = |row: &MetricDef, label: &str| {
        let ends = if row.kind == Kind::Histogram { &["_bucket", "_sum", "_count"][..] } else { &[""] };
        ends.iter().any(|end| told.contains(&(format!("{}{end}", row.name), label.to_owned())))
    };
    let untold = CATALOGUE.iter().flat_map(|row| {
        let labels = row.labels.iter().filter(|(label, _)| !tells(row, label));
        labels.map(|(label, _)| format!("nobody tells {} apart by {label}", row.name))
    });
    assert_none(&untold.collect::<Vec<_>>());
    let labels = |query: &str| known.check(query).labels.into_iter().map(|(_, label)| label).collect::<Vec<_>>();
    assert_eq!(labels("sum(rate(qflow_workflow_executions_total{status=\"failed\"}[5m]))"), ["status"]);
    assert_eq!(labels("sum by (python_version) (qflow_workflow_executions_total)"), ["python_version"]);
    assert_eq!(labels("sum without (job, instance) (topk(3, qflow_pool_size))"), ["pool"]);
}

#[test]
fn a_rule_that_reads_a_recorded_one_stands_behind_it_in_its_group() {
    let known = known();
    let mut problems = Vec::new();
    for (group, rules) in files::groups() {
        let mut recorded = BTreeSet::new();
        for rule in rules {
            let Found { names, .. } = known.check(word(&rule["expr"]));
            let unready = names.iter().filter(|name| name.contains(':') && !recorded.contains(*name));
            problems.extend(unready.map(|name| format!("{group}: `{name}` is read before it is recorded")));
            recorded.insert(word(&rule["record"]).to_owned());
        }
    }
    assert_none(&problems);
}

#[test]
fn every_alert_says_how_bad_whose_what_and_where_to_read_on() {
    let (sections, uids) = (files::runbook(), files::dashboards());
    let uids: BTreeSet<&str> = uids.iter().map(|(_, dashboard)| word(&dashboard["uid"])).collect();
    let mut problems = Vec::new();
    for alert in files::alerts() {
        let (name, labels, notes) = (word(&alert["alert"]), &alert["labels"], &alert["annotations"]);
        let mut wrong = |what: String| problems.push(format!("{name}: {what}"));
        if !["critical", "warning", "info", "none"].contains(&word(&labels["severity"])) {
            wrong(format!("severity is {}", labels["severity"]));
        }
        for (what, text) in
            [("team", &labels["team"]), ("summary", &notes["summary"]), ("description", &notes["description"])]
        {
            if word(text).is_empty() {
                wrong(format!("no {what}"));
            }
        }
        let heading = word(&notes["runbook_url"]).strip_prefix("https://qflow.example/docs/RUNBOOK.md#");
        if heading != Some(&name.to_lowercase()) || !sections.contains_key(name) {
            wrong(format!("no heading at {}", notes["runbook_url"]));
        }
        let uid = word(&notes["dashboard_url"]).strip_prefix("https://grafana.qflow.example/d/");
        if !uid.is_some_and(|uid| uids.contains(uid)) {
            wrong(format!("no dashboard at {}", notes["dashboard_url"]));
        }
    }
    let alerts = files::alert_names();
    for (heading, text) in sections.iter().filter(|(heading, _)| !heading.contains(' ')) {
        if !alerts.contains(heading) {
            problems.push(format!("the runbook's {heading} is no alert"));
        }
        for part in ["**Means**", "**Look first**", "**Mend**", "**Silence**"] {
            if !text.contains(part) {
                problems.push(format!("the runbook's {heading} has no {part}"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn every_alert_is_tested_where_it_fires_where_it_is_quiet_and_where_its_series_is_absent() {
    let cases = files::cases();
    let mut problems = Vec::new();
    for alert in files::alert_names() {
        let has = |begins: &str, fires: bool| {
            cases.get(&alert).is_some_and(|c| c.iter().any(|(name, f)| name.starts_with(begins) && *f == fires))
        };
        // It always fires, and has no series.
        let always = alert == "Watchdog";
        for (what, tested) in [
            ("fires", has("fires: ", true) || always && has("quiet: ", true)),
            ("is quiet", has("quiet: ", false) || has("fires: ", false) || always),
            ("has no series", has("absent: ", true) || has("absent: ", false)),
        ] {
            if !tested {
                problems.push(format!("no test where {alert} {what}"));
            }
        }
    }
    assert_none(&problems);
}

#[test]
fn alertmanager_names_alerts_that_exist() {
    let names = files::alert_names();
    let config = files::yaml("alerts/alertmanager.yml");
    let rules = list(&config["inhibit_rules"]).iter();
    let matchers = rules.flat_map(|rule| [&rule["source_matchers"], &rule["target_matchers"]]).flat_map(list);
    let routes = list(&config["route"]["routes"]).iter().flat_map(|route| list(&route["matchers"]));
    let mut seen = 0;
    for matcher in matchers.chain(routes).map(word) {
        let Some(value) = matcher.strip_prefix("alertname") else { continue };
        for name in value.trim_start_matches(['=', '~']).trim_matches('"').split('|') {
            assert!(names.contains(name), "{matcher}: {name} is no alert");
            seen += 1;
        }
    }
    assert!(seen > 10, "matchers were read");
}

#[test]
fn the_public_names_of_dashboards_panels_alerts_and_receivers_stay() {
    let dashboards = files::dashboards();
    for (title, panels) in [
        (
            "Qflow Overview",
            &[
                "Workflow Executions",
                "Workflow Success Rate",
                "Node Execution Duration",
                "Container Resource Usage",
                "Python Environment Status",
            ][..],
        ),
        (
            "Python Node Performance",
            &["Python Code Execution Time", "Dependency Installation Time", "Type Validation Performance"],
        ),
    ] {
        let dashboard = dashboards.iter().find(|(_, d)| d["title"] == title).unwrap_or_else(|| panic!("no {title}"));
        let there: BTreeSet<&str> = list(&dashboard.1["panels"]).iter().map(|panel| word(&panel["title"])).collect();
        assert!(panels.iter().all(|panel| there.contains(panel)), "{title}: {there:?}");
    }
    let alerts = files::alert_names();
    for name in [
        "HighWorkflowFailureRate",
        "HighNodeErrorRate",
        "HighContainerCPUUsage",
        "HighContainerMemoryUsage",
        "DatabaseConnectionError",
        "RedisConnectionError",
        "PythonEnvironmentUnavailable",
    ] {
        assert!(alerts.contains(name), "no {name}");
    }
    let config = files::yaml("alerts/alertmanager.yml");
    let team = list(&config["receivers"]).iter().find(|receiver| receiver["name"] == "team-qflow");
    let team = team.expect("the receiver team-qflow");
    assert_eq!(team["email_configs"][0]["to"], "qflow-team@company.com");
    assert_eq!(team["slack_configs"][0]["channel"], "#qflow-alerts");
}

#[test]
fn metric_leads_to_trace_and_trace_to_log_and_no_secret_stands_in_a_file() {
    let sources = files::yaml("deploy/grafana/provisioning/datasources/qflow.yml");
    let sources: BTreeMap<&str, &Value> = list(&sources["datasources"]).iter().map(|s| (word(&s["uid"]), s)).collect();
    let leads = |from: &str, pointer: &str, to: &str| {
        let uid = sources[from]["jsonData"].pointer(pointer).map(word).unwrap_or_default();
        assert!(uid == to && sources.contains_key(to), "{from}{pointer} leads to {uid}");
    };
    leads("qflow-prometheus", "/exemplarTraceIdDestinations/0/datasourceUid", "qflow-jaeger");
    leads("qflow-jaeger", "/tracesToLogsV2/datasourceUid", "qflow-logs");
    leads("qflow-jaeger", "/tracesToMetrics/datasourceUid", "qflow-prometheus");
    leads("qflow-logs", "/dataLinks/0/datasourceUid", "qflow-jaeger");
    let label = sources["qflow-prometheus"]["jsonData"].pointer("/exemplarTraceIdDestinations/0/name");
    assert_eq!(label.map(word), Some("trace_id"), "as exemplars are labelled");
    let query = word(&sources["qflow-jaeger"]["jsonData"]["tracesToMetrics"]["queries"][0]["query"]);
    assert_none(&known().check(query).problems);
    let config = files::text("alerts/alertmanager.yml");
    for key in ["smtp_auth_password:", "slack_api_url:", "api_url:"] {
        assert!(!config.contains(key), "{key}");
    }
}
