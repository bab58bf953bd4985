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
    ("ALERTS", &["alertname", "alertstate", "severity", "team"]),
];

/// Everything that may be queried.
pub(crate) struct Known {
    metrics: BTreeMap<String, Labels>,
}

/// What is wrong with a query, and which rows of the catalogue and which recorded names it reads.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) problems: Vec<String>,
    pub(crate) names: BTreeSet<String>,
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
            Ok(expr) => drop(self.walk(&expr, &mut found)),
            Err(error) => found.problems.push(error),
        }
        found
    }

    /// Whether a metric has a label.
    pub(crate) fn has(&self, metric: &str, label: &str) -> bool {
        self.metrics.get(metric).is_some_and(|labels| labels.contains_key(label))
    }

    /// The labels that any series beneath may have.
    fn walk(&self, expr: &Expr, found: &mut Found) -> BTreeSet<String> {
        match expr {
            Expr::VectorSelector(selector) => self.selector(selector, found),
            // A general walk of this parser does not come here.
            Expr::MatrixSelector(matrix) => self.selector(&matrix.vs, found),
            Expr::Aggregate(aggregate) => {
                let labels = self.walk(&aggregate.expr, found);
                if let Some(LabelModifier::Include(by)) = &aggregate.modifier {
                    grouped(&by.labels, &labels, expr, found);
                }
                labels
            }
            Expr::Binary(binary) => {
                let mut labels = self.walk(&binary.lhs, found);
                let right = self.walk(&binary.rhs, found);
                if let Some(LabelModifier::Include(on)) = binary.modifier.as_ref().and_then(|m| m.matching.as_ref()) {
                    grouped(&on.labels, &labels, expr, found);
                    grouped(&on.labels, &right, expr, found);
                }
                labels.extend(right);
                labels
            }
            Expr::Unary(unary) => self.walk(&unary.expr, found),
            Expr::Paren(paren) => self.walk(&paren.expr, found),
            Expr::Subquery(subquery) => self.walk(&subquery.expr, found),
            Expr::Call(call) => call.args.args.iter().flat_map(|argument| self.walk(argument, found)).collect(),
            Expr::NumberLiteral(_) | Expr::StringLiteral(_) | Expr::Extension(_) => BTreeSet::new(),
        }
    }

    fn selector(&self, selector: &VectorSelector, found: &mut Found) -> BTreeSet<String> {
        let Some(name) = &selector.name else {
            found.problems.push(format!("`{selector}` names no metric"));
            return BTreeSet::new();
        };
        found.names.insert(name.clone());
        let Some(labels) = self.metrics.get(name) else {
            found.problems.push(format!("nothing exports `{name}`"));
            return BTreeSet::new();
        };
        for matcher in &selector.matchers.matchers {
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
        labels.keys().cloned().collect()
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
