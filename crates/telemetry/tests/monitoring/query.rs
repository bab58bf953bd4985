//! What a query names, and whether that is exported.

use std::collections::{BTreeMap, BTreeSet};

use promql_parser::{
    label::{MatchOp, Matcher},
    parser::{self, Expr, LabelModifier, VectorSelector},
};
use qflow_telemetry::{CATALOGUE, define::Kind};

/// Each label's values; none where the set is open.
type Labels = BTreeMap<String, Option<BTreeSet<String>>>;

/// Series that are not ours, and their labels besides a target's: Prometheus' own, and those of the exporters.
const OF_OTHERS: &[(&str, &[&str])] = &[
    ("up", &[]),
    ("scrape_samples_post_metric_relabeling", &[]),
    ("scrape_duration_seconds", &[]),
    ("pg_up", &[]),
    ("redis_up", &[]),
    ("otelcol_receiver_refused_spans_total", &["receiver"]),
    ("otelcol_exporter_enqueue_failed_spans_total", &["exporter"]),
    ("otelcol_exporter_send_failed_spans_total", &["exporter"]),
    ("ALERTS", &["alertname", "alertstate", "severity", "team"]),
];

/// Everything that may be queried.
pub(crate) struct Known {
    metrics: BTreeMap<String, Labels>,
}

/// What is wrong with a query, which rows of the catalogue and which recorded names it reads, and which of their labels it tells apart.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) problems: Vec<String>,
    pub(crate) names: BTreeSet<String>,
    pub(crate) labels: BTreeSet<Labelled>,
}

/// A metric's name and one of its labels.
pub(crate) type Labelled = (String, String);

/// What series a part of a query may give: labels that those beneath have, and those of them that are left.
#[derive(Default)]
struct Series {
    labels: BTreeSet<String>,
    left: BTreeSet<Labelled>,
}

impl Series {
    fn join(&mut self, other: Self) {
        self.labels.extend(other.labels);
        self.left.extend(other.left);
    }
}

fn set(values: impl IntoIterator<Item = impl Into<String>>) -> BTreeSet<String> {
    values.into_iter().map(Into::into).collect()
}

impl Known {
    /// The catalogue, what rules record with which labels, and the jobs that are scraped.
    pub(crate) fn new(recorded: &BTreeMap<String, Labels>, jobs: &BTreeSet<String>, alerts: &BTreeSet<String>) -> Self {
        let target = || Labels::from([("job".into(), Some(jobs.clone())), ("instance".into(), None)]);
        let mut metrics = BTreeMap::new();
        for row in CATALOGUE {
            let mut labels = target();
            labels.extend(
                row.labels
                    .iter()
                    .map(|(name, values)| ((*name).to_owned(), values.map(|values| set(values.iter().copied())))),
            );
            if row.kind == Kind::Histogram {
                for suffix in ["_sum", "_count"] {
                    metrics.insert(format!("{}{suffix}", row.name), labels.clone());
                }
                let bounds = row.buckets.iter().map(ToString::to_string).chain(["+Inf".to_owned()]);
                labels.insert("le".into(), Some(set(bounds)));
                metrics.insert(format!("{}_bucket", row.name), labels);
            } else {
                metrics.insert(row.name.to_owned(), labels);
            }
        }
        for (name, more) in OF_OTHERS {
            let mut labels = target();
            labels.extend(more.iter().map(|label| ((*label).to_owned(), None)));
            metrics.insert((*name).to_owned(), labels);
        }
        if let Some(labels) = metrics.get_mut("ALERTS") {
            labels.insert("alertname".into(), Some(alerts.clone()));
            labels.insert("alertstate".into(), Some(set(["firing", "pending"])));
            labels.insert("severity".into(), Some(set(["none", "info", "warning", "critical"])));
        }
        metrics.extend(recorded.clone());
        Self { metrics }
    }

    /// Checks a query.
    pub(crate) fn check(&self, query: &str) -> Found {
        let mut found = Found::default();
        match parser::parse(query) {
            Ok(expr) => {
                let Series { left, .. } = self.walk(&expr, &mut found);
                found.labels.extend(left);
            }
            Err(error) => found.problems.push(error),
        }
        found
    }

    /// Whether a metric has a label.
    pub(crate) fn has(&self, metric: &str, label: &str) -> bool {
        self.metrics.get(metric).is_some_and(|labels| labels.contains_key(label))
    }

    /// What the series beneath may be.
    fn walk(&self, expr: &Expr, found: &mut Found) -> Series {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector, found),
            // A general walk of this parser does not come here.
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs, found),
            Expr::Aggregate(aggregate) => {
                let mut series = self.walk(&aggregate.expr, found);
                let picks = ["topk", "bottomk"].contains(&aggregate.op.to_string().as_str());
                match &aggregate.modifier {
                    _ if picks => {}
                    Some(LabelModifier::Include(by)) => {
                        grouped(&by.labels, &series.labels, expr, found);
                        series.left.retain(|(_, label)| by.labels.contains(label));
                    }
                    Some(LabelModifier::Exclude(without)) => {
                        series.left.retain(|(_, label)| !without.labels.contains(label));
                    }
                    None => series.left.clear(),
                }
                series
            }
            Expr::Binary(binary) => {
                let (mut series, right) = (self.walk(&binary.lhs, found), self.walk(&binary.rhs, found));
                if let Some(LabelModifier::Include(on)) = binary.modifier.as_ref().and_then(|m| m.matching.as_ref()) {
                    grouped(&on.labels, &series.labels, expr, found);
                    grouped(&on.labels, &right.labels, expr, found);
                }
                series.join(right);
                series
            }
            Expr::Unary(unary) => self.walk(&unary.expr, found),
            Expr::Paren(paren) => self.walk(&paren.expr, found),
            Expr::Subquery(subquery) => self.walk(&subquery.expr, found),
            Expr::Call(call) => {
                let mut series = Series::default();
                call.args.args.iter().for_each(|argument| series.join(self.walk(argument, found)));
                series
            }
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => Series::default(),
        }
    }

    fn selector(&self, selector: &VectorSelector, found: &mut Found) -> Series {
        let Some(name) = &selector.name else {
            found.problems.push(format!("`{selector}` names no metric"));
            return Series::default();
        };
        found.names.insert(name.clone());
        let Some(labels) = self.metrics.get(name) else {
            found.problems.push(format!("nothing exports `{name}`"));
            return Series::default();
        };
        for matcher in &selector.matchers.matchers {
            found.labels.insert((name.clone(), matcher.name.clone()));
            match labels.get(&matcher.name) {
                None => found.problems.push(format!("`{name}` has no label `{}`", matcher.name)),
                Some(None) => {}
                Some(Some(values)) => found.problems.extend(
                    unmatched(matcher, values)
                        .into_iter()
                        .map(|part| format!("`{}` of `{name}` is never `{part}`", matcher.name)),
                ),
            }
        }
        Series {
            labels: labels.keys().cloned().collect(),
            left: labels.keys().map(|label| (name.clone(), label.clone())).collect(),
        }
    }
}

/// Labels that are grouped or joined by must be on a series beneath.
fn grouped(by: &[String], labels: &BTreeSet<String>, expr: &Expr, found: &mut Found) {
    let strange = by.iter().filter(|label| !labels.contains(*label));
    found.problems.extend(strange.map(|label| format!("nothing in `{expr}` has the label `{label}` on both sides")));
}

/// The alternatives of a matcher that no value matches.
fn unmatched(matcher: &Matcher, values: &BTreeSet<String>) -> Vec<String> {
    match &matcher.op {
        MatchOp::Equal | MatchOp::NotEqual => {
            Some(matcher.value.clone()).filter(|value| !values.contains(value)).into_iter().collect()
        }
        MatchOp::Re(_) | MatchOp::NotRe(_) => {
            let parts: Vec<&str> =
                if matcher.value.contains('(') { vec![&matcher.value] } else { matcher.value.split('|').collect() };
            let matches = |part: &&str| {
                let Ok(Expr::VectorSelector(one)) = parser::parse(&format!("x{{y=~{part:?}}}")) else { return false };
                one.matchers.matchers.iter().all(|matcher| values.iter().any(|value| matcher.is_match(value)))
            };
            parts.into_iter().filter(|part| !matches(part)).map(str::to_owned).collect()
        }
    }
}
