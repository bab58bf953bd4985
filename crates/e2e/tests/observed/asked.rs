//! What rules and panels ask for, against what there is to be had.

use std::collections::BTreeSet;

use qflow_e2e::{Stack, root};
use serde_json::Value;

use super::{query, text};

/// Selectors of rules and panels that select nothing here, and why they cannot.
const UNSELECTED: &[(&str, &str)] = &[
    ("up{job=\"qflow-dev\"}", "the embedded shape has a Prometheus of its own: the test of quiet minutes has one"),
    ("up{job=\"otel-collector\"}", "no collector stands here: stack.rs has one"),
    ("otelcol_receiver_refused_spans_total", "no collector stands here: stack.rs has one"),
    ("otelcol_exporter_enqueue_failed_spans_total", "no collector stands here: stack.rs has one"),
    ("otelcol_exporter_send_failed_spans_total", "no collector stands here: stack.rs has one"),
];

/// How far back what happened here may lie.
const LOOK_BACK_SECONDS: f64 = 900.0;

/// Selectors and panels for which there is nothing, and reasons of selectors that do not need one.
pub(crate) fn unanswered(stack: &Stack) -> Vec<String> {
    let panels = panels();
    let asked = rules(stack).into_iter().chain(panels.iter().map(|(_, query)| query.clone()));
    let selectors = asked.flat_map(|query| query::selectors(&query)).collect();
    let known: BTreeSet<String> = UNSELECTED.iter().map(|(selector, _)| (*selector).to_owned()).collect();
    let lacking = unselected(stack, &selectors);
    let nothing = lacking.difference(&known).map(|selector| format!("nothing is selected by {selector}"));
    let needless =
        known.difference(&lacking).map(|selector| format!("has a reason, and selects something: {selector}"));
    let empty = empty_panels(stack, &panels).into_iter().map(|title| format!("is empty: {title}"));
    nothing.chain(needless).chain(empty).collect()
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
