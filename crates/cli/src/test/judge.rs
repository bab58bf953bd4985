//! Whether what came of a run is what its case expects. Pure.

use std::time::Duration;

use qflow_model::status::RunStatus;
use serde_json::Value;

use super::{
    cases::{Case, Expected},
    diff::diff,
    report::Verdict,
};
use crate::{args::Output, render, submit::Run};

/// Judges a run that has ended.
pub(super) fn judge(case: &Case, run: &Run, took: Duration) -> Verdict {
    Verdict {
        run_id: run.run_id.clone(),
        took,
        why: why(&case.expected, run),
        result: run.result.clone(),
        error_type: run.error.as_ref().map(|error| error.failure.error_type.clone()),
        lines: Vec::new(),
    }
}

/// Why it is not what was expected.
fn why(expected: &Expected, run: &Run) -> Option<String> {
    let completed = run.status == RunStatus::Completed;
    match expected {
        Expected::Completed | Expected::Result { .. } if !completed => {
            Some(format!("the run {}\n{}", ended(run.status), render::failure(run)))
        }
        Expected::Completed => None,
        Expected::Result { value, tolerance } => match &run.result {
            Some(found) if same(value, found, *tolerance) => None,
            Some(found) => {
                let pretty = |value: &Value| render::result(value, Output::Table);
                let expected = arranged(value, found, *tolerance);
                Some(format!("the result differs (- expected, + found)\n{}", diff(&pretty(&expected), &pretty(found))))
            }
            None => Some(format!("the result is not shown: {}", run.reason)),
        },
        Expected::Failure { error_type, .. } if completed => {
            let result = run.result.as_ref().map(|result| render::result(result, Output::Raw)).unwrap_or_default();
            Some(format!("{error_type} was expected; the run completed with {result}"))
        }
        Expected::Failure { error_type, message, node } => {
            failed_otherwise(error_type, message.as_deref(), node.as_deref(), run)
        }
    }
}

fn failed_otherwise(error_type: &str, message: Option<&str>, node: Option<&str>, run: &Run) -> Option<String> {
    let Some(error) = &run.error else {
        return Some(format!("{error_type} was expected; the run {}", ended(run.status)));
    };
    let failure = &error.failure;
    let told = || render::failure(run);
    // As in Python's `except`, a class stands for those that are made of it.
    if failure.error_type != error_type && !failure.mro.iter().any(|name| name == error_type) {
        return Some(format!("{error_type} was expected, {} came\n{}", failure.error_type, told()));
    }
    if let Some(message) = message.filter(|message| !failure.message.contains(message)) {
        return Some(format!("the message does not hold `{message}`\n{}", told()));
    }
    let at = error.node_id.as_deref().unwrap_or_default();
    // Of a map any element will do.
    let is_at = |node: &str| at == node || at.strip_prefix(node).is_some_and(|rest| rest.starts_with('['));
    match node {
        Some(expected) if !is_at(expected) => Some(format!("a failure in {expected} was expected\n{}", told())),
        _ => None,
    }
}

fn ended(status: RunStatus) -> String {
    match status {
        RunStatus::TimedOut => "timed out".to_owned(),
        RunStatus::Cancelled => "was cancelled".to_owned(),
        other => other.to_string(),
    }
}

/// Whether two values are the same; numbers may differ by the tolerance.
fn same(expected: &Value, found: &Value, tolerance: f64) -> bool {
    match (expected, found) {
        (Value::Number(a), Value::Number(b)) => {
            a == b
                || match (a.as_f64(), b.as_f64()) {
                    // Whole numbers that no float tells apart are compared as what they are.
                    _ if tolerance == 0.0 && !a.is_f64() && !b.is_f64() => false,
                    (Some(a), Some(b)) => (a - b).abs() <= tolerance,
                    _ => false,
                }
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b, tolerance)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b, tolerance)))
        }
        _ => expected == found,
    }
}

/// What was expected, in the order of what was found and with what is the same spelled alike: only what differs shows.
fn arranged(expected: &Value, found: &Value, tolerance: f64) -> Value {
    match (expected, found) {
        _ if same(expected, found, tolerance) => found.clone(),
        (Value::Object(a), Value::Object(b)) => {
            let both = b.iter().filter_map(|(key, b)| Some((key.clone(), arranged(a.get(key)?, b, tolerance))));
            let rest = a.iter().filter(|(key, _)| !b.contains_key(*key)).map(|(key, a)| (key.clone(), a.clone()));
            Value::Object(both.chain(rest).collect())
        }
        (Value::Array(a), Value::Array(b)) => {
            let both = a.iter().zip(b).map(|(a, b)| arranged(a, b, tolerance));
            Value::Array(both.chain(a.iter().skip(b.len()).cloned()).collect())
        }
        _ => expected.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn numbers_are_the_same_within_the_tolerance_and_all_else_as_it_is() {
        for (a, b, tolerance, expected) in [
            (json!(1), json!(1.0), 0.0, true),
            (json!(0.1), json!(0.3), 0.1, false),
            (json!([0.1, {"a": 2}]), json!([0.15, {"a": 2.05}]), 0.1, true),
            (json!(9_007_199_254_740_993_i64), json!(9_007_199_254_740_992_i64), 0.0, false),
            (json!("1"), json!(1), 1.0, false),
            (json!({"a": 1, "b": 2}), json!({"b": 2, "a": 1}), 0.0, true),
            (json!({"a": 1}), json!({"a": 1, "b": null}), 0.0, false),
            (json!(null), json!(null), 0.0, true),
        ] {
            assert_eq!(same(&a, &b, tolerance), expected, "{a} {b}");
        }
    }

    #[test]
    fn only_what_differs_is_left_to_be_shown() {
        let (expected, found) = (json!({"a": 1, "b": [1, 2], "c": 0}), json!({"b": [1.0, 3], "d": 0, "a": 1.0}));
        assert_eq!(arranged(&expected, &found, 0.0).to_string(), r#"{"b":[1.0,2],"a":1.0,"c":0}"#);
    }
}
