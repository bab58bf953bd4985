//! The files that operators load: rules, their tests, dashboards, Prometheus' and Alertmanager's configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
};

use serde_json::Value;

/// The repository.
pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A file's text, by its path from the root.
pub(crate) fn text(path: &str) -> String {
    let file = root().join(path);
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// A YAML file as a value; anchors and merges are resolved.
pub(crate) fn yaml(path: &str) -> Value {
    let mut value: serde_yaml_ng::Value =
        serde_yaml_ng::from_str(&text(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    value.apply_merge().unwrap_or_else(|error| panic!("{path}: {error}"));
    serde_json::to_value(value).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The files of a folder that end so, by their paths from the root.
fn ending(folder: &str, end: &str) -> Vec<String> {
    let entries = std::fs::read_dir(root().join(folder)).unwrap_or_else(|error| panic!("{folder}: {error}"));
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut paths: Vec<_> = names.filter(|name| name.ends_with(end)).map(|name| format!("{folder}/{name}")).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{folder} has no *{end}");
    paths
}

/// The items of a list.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A text, empty where there is none.
pub(crate) fn word(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Every rule, group by group in its order.
pub(crate) fn groups() -> Vec<(String, Vec<Value>)> {
    let files = ending("alerts", ".rules.yml");
    let groups = files.iter().flat_map(|file| list(&yaml(file)["groups"]).to_vec());
    groups.map(|group| (word(&group["name"]).to_owned(), list(&group["rules"]).to_vec())).collect()
}

/// Every rule that is an alert.
pub(crate) fn alerts() -> Vec<Value> {
    groups().into_iter().flat_map(|(_, rules)| rules).filter(|rule| !rule["alert"].is_null()).collect()
}

/// The names of alerts.
pub(crate) fn alert_names() -> BTreeSet<String> {
    alerts().iter().map(|alert| word(&alert["alert"]).to_owned()).collect()
}

/// What rules record, with the labels that they set and the values of those; a grouped one keeps what it is grouped by.
pub(crate) fn recorded() -> BTreeMap<String, BTreeMap<String, Option<BTreeSet<String>>>> {
    let mut recorded: BTreeMap<String, BTreeMap<String, Option<BTreeSet<String>>>> = BTreeMap::new();
    for rule in groups().into_iter().flat_map(|(_, rules)| rules).filter(|rule| !rule["record"].is_null()) {
        let labels = recorded.entry(word(&rule["record"]).to_owned()).or_default();
        for (label, value) in rule["labels"].as_object().into_iter().flatten() {
            labels
                .entry(label.clone())
                .or_insert_with(|| Some(BTreeSet::new()))
                .get_or_insert_default()
                .insert(word(value).to_owned());
        }
        if let Some((_, rest)) = word(&rule["expr"]).split_once("sum by (") {
            let by = rest.split(')').next().unwrap_or_default();
            labels.extend(by.split(',').map(|label| (label.trim().to_owned(), None)));
        }
    }
    recorded
}

/// The jobs that Prometheus' configurations scrape.
pub(crate) fn jobs() -> BTreeSet<String> {
    let files = ending("deploy/prometheus", ".yml");
    let jobs = files.iter().flat_map(|file| list(&yaml(file)["scrape_configs"]).to_vec());
    jobs.map(|job| word(&job["job_name"]).to_owned()).collect()
}

/// What promtool's tests say of an alert: the case's name, and whether it fires there.
pub(crate) fn cases() -> BTreeMap<String, Vec<(String, bool)>> {
    let mut cases: BTreeMap<String, Vec<(String, bool)>> = BTreeMap::new();
    for test in ending("alerts/tests", ".test.yml").iter().flat_map(|file| list(&yaml(file)["tests"]).to_vec()) {
        for check in list(&test["alert_rule_test"]) {
            let fires = !list(&check["exp_alerts"]).is_empty();
            cases
                .entry(word(&check["alertname"]).to_owned())
                .or_default()
                .push((word(&test["name"]).to_owned(), fires));
        }
    }
    cases
}

/// Every dashboard, by its file.
pub(crate) fn dashboards() -> Vec<(String, Value)> {
    let read = |path: String| {
        let value = serde_json::from_str(&text(&path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        (path, value)
    };
    ending("dashboards", ".json").into_iter().map(read).collect()
}

/// The runbook's sections by their headings.
pub(crate) fn runbook() -> BTreeMap<String, String> {
    let page = text("docs/RUNBOOK.md");
    let sections = page.split("\n## ").skip(1);
    sections.filter_map(|section| section.split_once('\n')).map(|(h, text)| (h.trim().into(), text.into())).collect()
}
