//! Each dashboard is one that Grafana reads and people can read.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    assert_none,
    files::{self, list, word},
    known, queries, variables,
};

/// Panels that Grafana draws itself; others are plug-ins, or Angular and gone.
const PANELS: [&str; 5] = ["timeseries", "stat", "gauge", "heatmap", "table"];

/// Units that the panels use, by Grafana's ids.
const UNITS: [&str; 10] =
    ["none", "short", "s", "ms", "bytes", "ops", "reqps", "percent", "percentunit", "bool_yes_no"];

/// Whether two places overlap.
fn overlap(one: &Value, other: &Value) -> bool {
    let side = |place: &Value, at: &str, long: &str| {
        let start = place[at].as_u64().unwrap_or_default();
        start..start + place[long].as_u64().unwrap_or_default()
    };
    let meets = |at, long| {
        let (a, b) = (side(one, at, long), side(other, at, long));
        a.start < b.end && b.start < a.end
    };
    meets("x", "w") && meets("y", "h")
}

/// What is wrong with a panel by itself.
fn panel_problems(panel: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    let kind = word(&panel["type"]);
    if kind == "row" {
        return problems;
    }
    if !PANELS.contains(&kind) {
        problems.push(format!("`{kind}` is no panel of Grafana's own"));
    }
    let unit = word(&panel["fieldConfig"]["defaults"]["unit"]);
    if !UNITS.contains(&unit) {
        problems.push(format!("unit `{unit}`"));
    }
    if word(&panel["description"]).len() < 20 {
        problems.push("no description".to_owned());
    }
    let targets = list(&panel["targets"]);
    if targets.is_empty() {
        problems.push("no query".to_owned());
    }
    let ids: BTreeSet<&str> = targets.iter().map(|target| word(&target["refId"])).collect();
    if ids.len() != targets.len() {
        problems.push("a refId is there twice".to_owned());
    }
    for source in targets.iter().map(|target| &target["datasource"]).chain([&panel["datasource"]]) {
        if word(&source["uid"]) != "${datasource}" {
            problems.push(format!("its data source is {source}"));
        }
    }
    for target in targets {
        let query = word(&target["expr"]);
        if query.contains("rate(") && query.matches("rate(").count() != query.matches("[$__rate_interval]").count() {
            problems.push("a rate without $__rate_interval".to_owned());
        }
        let buckets = query.contains("_bucket");
        if kind == "heatmap" && (!query.starts_with("sum by (le) (") || word(&target["format"]) != "heatmap") {
            problems.push("a heatmap is made of `sum by (le)`".to_owned());
        }
        if buckets && query.contains("histogram_quantile") && target["exemplar"] != true {
            problems.push("no exemplars".to_owned());
        }
        // Only buckets have some: of anything else Grafana would ask Prometheus in vain.
        if target["exemplar"] == true && !buckets {
            problems.push("exemplars of what has none".to_owned());
        }
    }
    problems
}

#[test]
fn every_dashboard_is_one_that_grafana_reads_and_people_can_read() {
    let (mut uids, mut titles, mut used, mut problems) =
        (BTreeSet::new(), BTreeSet::new(), BTreeSet::new(), Vec::new());
    let known = known();
    let dashboards = files::dashboards();
    assert_eq!(dashboards.len(), 7);
    for (path, dashboard) in &dashboards {
        let mut wrong = |what: String| problems.push(format!("{path}: {what}"));
        let uid = word(&dashboard["uid"]);
        if !uids.insert(uid) || !path.ends_with(&format!("/{uid}.json")) || uid.len() > 40 {
            wrong(format!("uid `{uid}`"));
        }
        if !titles.insert(word(&dashboard["title"])) {
            wrong("its title is another's too".to_owned());
        }
        if dashboard["schemaVersion"] != 38 || !dashboard["dashboard"].is_null() || !dashboard["__inputs"].is_null() {
            wrong("not in the form that is provisioned".to_owned());
        }
        let variables = variables(dashboard);
        if !variables.contains("datasource") {
            wrong("no variable for the data source".to_owned());
        }
        let all = queries(dashboard).iter().map(|(_, query)| *query).collect::<Vec<_>>().join("\n");
        for variable in list(&dashboard["templating"]["list"]).iter().filter(|v| word(&v["type"]) == "query") {
            let (name, query) = (word(&variable["name"]), word(&variable["definition"]));
            used.insert(name);
            let inside = query.strip_prefix("label_values(").and_then(|q| q.strip_suffix(')'));
            let (selector, label) = inside.and_then(|q| q.rsplit_once(", ")).unwrap_or_default();
            let found = known.check(selector);
            if !found.problems.is_empty() || !found.names.iter().all(|metric| known.has(metric, label)) {
                wrong(format!("`{query}` has no values: {:?}", found.problems));
            }
            if !all.contains(&format!("${name}\"")) {
                wrong(format!("nothing uses ${name}"));
            }
        }
        let panels = list(&dashboard["panels"]);
        let (mut ids, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (number, panel) in panels.iter().enumerate() {
            let title = word(&panel["title"]);
            if !ids.insert(panel["id"].as_u64()) || !names.insert(title) || title.is_empty() {
                wrong(format!("the id or title of `{title}` is there twice"));
            }
            let place = &panel["gridPos"];
            if place["x"].as_u64().unwrap_or(24) + place["w"].as_u64().unwrap_or(24) > 24 {
                wrong(format!("`{title}` is outside"));
            }
            if panels[..number].iter().any(|other| overlap(&other["gridPos"], place)) {
                wrong(format!("`{title}` covers another"));
            }
            for problem in panel_problems(panel) {
                wrong(format!("`{title}`: {problem}"));
            }
        }
    }
    for variable in ["job", "python_version", "workflow_id"] {
        if !used.contains(variable) {
            problems.push(format!("no dashboard can be narrowed by {variable}"));
        }
    }
    assert_none(&problems);
}
