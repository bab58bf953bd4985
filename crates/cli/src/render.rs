//! How runs and lists look: pure, from plain structures to text.

use std::fmt::Write as _;

use comfy_table::{Table, presets};
use serde_json::{Value, json};

use crate::{
    args::Output,
    submit::{Node, Run},
};

/// A run in its published JSON form.
pub fn run_json(run: &Run) -> Value {
    let mut shown = json!({
        "run_id": run.run_id,
        "workflow": run.workflow,
        "status": run.status,
        "result": run.result,
        "error": run.error,
        "trace_id": run.trace_id,
        "created_at": run.created_at,
        "started_at": run.started_at,
        "ended_at": run.ended_at,
        "nodes": run.nodes.iter().map(node_json).collect::<Vec<_>>(),
    });
    if !run.reason.is_empty() {
        shown["reason"] = json!(run.reason);
    }
    if let Some(at) = &run.paused_at {
        shown["paused_at"] = json!(at);
    }
    shown
}

fn node_json(node: &Node) -> Value {
    let mut shown = json!({
        "node_id": node.node_id,
        "status": node.status,
        "attempts": node.attempts,
        "phases": node.phases,
        "error": node.error,
    });
    if !node.warnings.is_empty() {
        shown["warnings"] = json!(node.warnings);
    }
    if node.node_type != "python" {
        shown["type"] = json!(node.node_type);
    }
    if let Some(from) = &node.reused_from {
        shown["reused_from"] = json!(from);
    }
    if let Some(name) = &node.approval {
        shown["waits_for"] = json!(name);
    }
    if let Some(answered) = &node.answered {
        shown["answered"] = json!({
            "approved": answered.approved,
            "by": answered.by,
            "comment": answered.comment,
            "at": qflow_model::instant::text(answered.at),
        });
    }
    shown
}

/// A result as printed: JSON, but a bare text without quotes where `raw`.
pub fn result(value: &Value, output: Output) -> String {
    match (output, value) {
        (Output::Raw, Value::String(text)) => text.clone(),
        (Output::Raw, value) => value.to_string(),
        (_, value) => serde_json::to_string_pretty(value).unwrap_or_else(|_| value.to_string()),
    }
}

/// A list of runs.
pub fn run_list(runs: &[Run]) -> String {
    let rows = runs.iter().map(|run| {
        [
            run.run_id.clone(),
            run.workflow.clone(),
            run.status.to_string(),
            run.created_at.clone().unwrap_or_default(),
            run.ended_at.clone().unwrap_or_default(),
            run.reason.clone(),
        ]
    });
    table(["RUN", "WORKFLOW", "STATUS", "CREATED", "ENDED", "REASON"], rows)
}

/// A table without lines: for people, and for `awk`.
pub fn table<const N: usize>(head: [&str; N], rows: impl IntoIterator<Item = [String; N]>) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    for row in rows {
        table.add_row(row.map(|cell| printable(&cell)));
    }
    table.lines().map(|line| line.trim().to_owned() + "\n").collect()
}

/// Why a run did not complete, for people: class, message, traceback, what was left.
pub fn failure(run: &Run) -> String {
    let mut out = String::new();
    if let Some(error) = &run.error {
        let at = error.node_id.as_deref().map(|node| format!(" in {node}")).unwrap_or_default();
        let failure = &error.failure;
        if failure.traceback.is_empty() {
            let _ = writeln!(out, "{}{at}: {}", failure.error_type, printable(&failure.message));
        } else {
            // A traceback ends with the exception's own message; what else there is to say stands before it.
            let told = failure.traceback.contains(failure.message.trim());
            let message = if told { String::new() } else { format!(" {}", printable(&failure.message)) };
            let _ = writeln!(out, "{}{at}:{message}\n{}", failure.error_type, printable(failure.traceback.trim_end()));
        }
        if let Some(class) = failure.class {
            let _ = writeln!(out, "class: {class}");
        }
    }
    out
}

/// Text without what steers a terminal: names, logs and messages come from others.
pub fn printable(text: &str) -> String {
    let hidden = |c: char| {
        (c.is_control() && c != '\n' && c != '\t')
            || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{200b}'..='\u{200f}')
    };
    text.chars().map(|c| if hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_raw_text_has_no_quotes() {
        assert_eq!(result(&json!("a"), Output::Raw), "a");
        assert_eq!(result(&json!("a"), Output::Table), "\"a\"");
        assert_eq!(result(&json!([1]), Output::Raw), "[1]");
    }

    #[test]
    fn what_steers_a_terminal_is_shown_and_not_obeyed() {
        assert_eq!(printable("a\u{1b}[2Jb\u{202e}c\nd"), "a\u{fffd}[2Jb\u{fffd}c\nd");
    }

    #[test]
    fn a_table_is_aligned_without_lines() {
        let text = table(["A", "LONG"], [["xx".to_owned(), "1".to_owned()]]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.starts_with('A'));
        assert!(text.contains("xx"));
    }
}
