//! Reads the options of `@node` and `@workflow`.

use qflow_model::definition::{Isolation, NodeDef, OnFailure, WorkflowDef};
use ruff_python_ast::{Expr, Keyword};

use crate::{expression::constant, problem::Report};

const NODE: &str = "python requirements inherit retries backoff retry_on timeout memory cpus pids tmp network \
                    max_parallel convert idempotent isolation";

/// The keyword arguments of a decorator; none where it stands bare.
pub(crate) fn options<'e>(report: &mut Report<'_>, expression: &'e Expr) -> &'e [Keyword] {
    let Expr::Call(call) = expression else { return &[] };
    for positional in &call.arguments.args {
        report.refuse(positional, "option", "a decorator takes its options by name", "write `name=value`");
    }
    &call.arguments.keywords
}

/// Reads the options of `@node` into `node`, whose requirements are those of the file.
pub(crate) fn node(report: &mut Report<'_>, keywords: &[Keyword], node: &mut NodeDef) {
    let mut own = Vec::new();
    let mut inherit = true;
    let mut not_idempotent = None;
    for keyword in keywords {
        let name = keyword.arg.as_ref().map_or("**", |name| name.as_str());
        let value = constant(&keyword.value, None);
        let text = value.as_ref().and_then(|v| v.as_str());
        let number = value.as_ref().and_then(serde_json::Value::as_u64);
        let small = number.and_then(|n| u32::try_from(n).ok());
        let truth = value.as_ref().and_then(serde_json::Value::as_bool);
        let expected = match name {
            "python" => set_some(&mut node.python, text.and_then(|t| t.parse().ok()), "a version such as \"3.11\""),
            "requirements" => set(&mut own, texts(&keyword.value), "a list of texts such as [\"httpx\"]"),
            "inherit" => set(&mut inherit, truth, "True or False"),
            "retries" => set(&mut node.retry.retries, small, "a whole number"),
            "backoff" => set(&mut node.retry.backoff_ms, duration(value.as_ref()), "a duration such as \"1s\""),
            "retry_on" => set(&mut node.retry.on, texts(&keyword.value), "a list of names such as [\"OSError\"]"),
            "timeout" => set_some(&mut node.timeout_ms, duration(value.as_ref()), "a duration such as \"2m\""),
            "memory" => set(&mut node.resources.memory_bytes, size(value.as_ref()), "a size such as \"512MiB\""),
            "tmp" => set(&mut node.resources.tmp_bytes, size(value.as_ref()), "a size such as \"256MiB\""),
            "cpus" => {
                let millis = value.as_ref().and_then(serde_json::Value::as_f64).map(|cpus| (cpus * 1000.0).round());
                let millis = millis.filter(|m| (1.0..=f64::from(u32::MAX)).contains(m)).map(|m| m as u32);
                set(&mut node.resources.cpu_millis, millis, "a number such as 0.5")
            }
            "pids" => set(&mut node.resources.pids, small.filter(|n| *n > 0), "a whole number from 1"),
            "network" => set(&mut node.resources.network, truth, "True or False"),
            "max_parallel" => set_some(&mut node.max_parallel, small.filter(|n| *n > 0), "a whole number from 1"),
            "convert" => set(&mut node.convert, truth, "True or False"),
            "idempotent" => {
                not_idempotent = (truth == Some(false)).then_some(keyword);
                set(&mut node.idempotent, truth, "True or False")
            }
            "isolation" => set(&mut node.isolation, text.and_then(isolation), "\"run\", \"node\" or \"shared\""),
            other => {
                unknown(report, keyword, other, "node", &["env", "secrets", "pool", "cache", "gpu"], NODE);
                continue;
            }
        };
        wrong(report, keyword, name, expected);
    }
    if let Some(keyword) = not_idempotent.filter(|_| node.retry.retries > 0) {
        let message = "a node that is not idempotent cannot have retries";
        report.refuse(keyword, "idempotent-retries", message, "choose one of `idempotent=False` and `retries`");
    }
    if !inherit {
        node.requirements.clear();
    }
    node.requirements.extend(own);
    node.requirements.sort();
    node.requirements.dedup();
}

/// Reads the options of `@workflow` into `workflow`.
pub(crate) fn workflow(report: &mut Report<'_>, keywords: &[Keyword], workflow: &mut WorkflowDef) {
    for keyword in keywords {
        let name = keyword.arg.as_ref().map_or("**", |name| name.as_str());
        let value = constant(&keyword.value, None);
        let text = value.as_ref().and_then(|v| v.as_str());
        let expected = match name {
            "name" => set(&mut workflow.name, text.filter(|t| !t.is_empty()).map(str::to_owned), "a text"),
            "max_parallel" => {
                let number = value.as_ref().and_then(serde_json::Value::as_u64).and_then(|n| u32::try_from(n).ok());
                set_some(&mut workflow.max_parallel, number.filter(|n| *n > 0), "a whole number from 1")
            }
            "timeout" => set_some(&mut workflow.timeout_ms, duration(value.as_ref()), "a duration such as \"2h\""),
            "on_failure" => {
                let side = match text {
                    Some("finish") => Some(OnFailure::Finish),
                    Some("stop") => Some(OnFailure::Stop),
                    _ => None,
                };
                set(&mut workflow.on_failure, side, "\"finish\" or \"stop\"")
            }
            other => {
                let known = "name max_parallel timeout on_failure";
                unknown(report, keyword, other, "workflow", &["schedule", "isolation", "notify"], known);
                continue;
            }
        };
        wrong(report, keyword, name, expected);
    }
}

fn set<T>(slot: &mut T, value: Option<T>, expected: &'static str) -> Option<&'static str> {
    match value {
        Some(value) => {
            *slot = value;
            None
        }
        None => Some(expected),
    }
}

fn set_some<T>(slot: &mut Option<T>, value: Option<T>, expected: &'static str) -> Option<&'static str> {
    value.map_or(Some(expected), |value| {
        *slot = Some(value);
        None
    })
}

fn wrong(report: &mut Report<'_>, keyword: &Keyword, name: &str, expected: Option<&str>) {
    if let Some(expected) = expected {
        let message = format!("`{name}` cannot be `{}`", report.source(&keyword.value));
        report.refuse(&keyword.value, "option", message, &format!("write {expected}"));
    }
}

fn unknown(report: &mut Report<'_>, keyword: &Keyword, name: &str, of: &str, later: &[&str], known: &str) {
    let message = if later.contains(&name) {
        format!("`{name}` is not supported yet")
    } else {
        format!("`@{of}` has no option `{name}`")
    };
    report.refuse(keyword, "option", message, &format!("leave it out; there are: {known}"));
}

fn isolation(text: &str) -> Option<Isolation> {
    match text {
        "run" => Some(Isolation::Run),
        "node" => Some(Isolation::Node),
        "shared" => Some(Isolation::Shared),
        _ => None,
    }
}

fn texts(expr: &Expr) -> Option<Vec<String>> {
    let items = match expr {
        Expr::List(list) => &list.elts,
        Expr::Tuple(tuple) => &tuple.elts,
        _ => return None,
    };
    let text = |item: &Expr| match item {
        Expr::StringLiteral(text) => Some(text.value.to_str().to_owned()),
        Expr::Name(name) => Some(name.id.as_str().to_owned()),
        Expr::Attribute(attribute) => Some(attribute.attr.as_str().to_owned()),
        _ => None,
    };
    items.iter().map(text).collect()
}

fn scaled(value: Option<&serde_json::Value>, units: &[(&str, f64)], bare: f64) -> Option<u64> {
    let amount = match value? {
        serde_json::Value::String(text) => {
            let at = text.find(|c: char| !(c.is_ascii_digit() || c == '.'))?;
            let (number, unit) = text.split_at(at);
            let factor = units.iter().find(|(name, _)| *name == unit.trim())?.1;
            number.parse::<f64>().ok()? * factor
        }
        number => number.as_f64()? * bare,
    };
    (0.0..9.0e15).contains(&amount).then_some(amount.round() as u64)
}

fn duration(value: Option<&serde_json::Value>) -> Option<u64> {
    scaled(value, &[("ms", 1.0), ("s", 1e3), ("m", 6e4), ("h", 36e5), ("d", 864e5)], 1e3)
}

fn size(value: Option<&serde_json::Value>) -> Option<u64> {
    let (kib, mib, gib) = (1024.0, 1_048_576.0, 1_073_741_824.0);
    let units = [("B", 1.0), ("KiB", kib), ("MiB", mib), ("GiB", gib), ("kB", 1e3), ("KB", 1e3), ("MB", 1e6), ("GB", 1e9)];
    scaled(value, &units, 1.0).filter(|bytes| *bytes > 0)
}
