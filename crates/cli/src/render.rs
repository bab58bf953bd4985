//! How runs, lists and problems look: pure, from plain structures to text.

use std::fmt::Write;

use comfy_table::{Table, presets};
use qflow_model::definition::Problem;
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

/// Problems as a compiler tells them: place, line, caret, remedy; all of them.
pub fn problems(problems: &[Problem]) -> String {
    let mut out = String::new();
    for problem in problems {
        let kind = if problem.warning { "warning" } else { "error" };
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{kind}[{}]: {}", problem.code, printable(&problem.message));
        let _ = writeln!(out, "  --> {}", problem.place);
        if !problem.excerpt.is_empty() {
            let gutter = problem.place.line.to_string();
            let pad = " ".repeat(gutter.len());
            let excerpt = printable(&problem.excerpt);
            let start = (problem.place.column.max(1) - 1) as usize;
            let width = (problem.end_column.saturating_sub(problem.place.column)).max(1) as usize;
            let _ = writeln!(out, "{pad} |\n{gutter} | {excerpt}");
            if start <= excerpt.chars().count() {
                let width = width.min(excerpt.chars().count().saturating_sub(start).max(1));
                let _ = writeln!(out, "{pad} | {}{}", " ".repeat(start), "^".repeat(width));
            }
        }
        if let Some(other) = &problem.other {
            let _ = writeln!(out, "  ::: {other}");
        }
        if let Some(remedy) = &problem.remedy {
            let _ = writeln!(out, "  = help: {}", printable(remedy));
        }
        out.push('\n');
    }
    out
}

/// `2 errors, 1 warning`.
pub fn count(problems: &[Problem]) -> String {
    let warnings = problems.iter().filter(|p| p.warning).count();
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    match (problems.len() - warnings, warnings) {
        (errors, 0) => plural(errors, "error"),
        (0, warnings) => plural(warnings, "warning"),
        (errors, warnings) => format!("{}, {}", plural(errors, "error"), plural(warnings, "warning")),
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
    use qflow_model::definition::Place;

    fn problem() -> Problem {
        Problem {
            place: Place { file: "sales.py".to_owned(), line: 12, column: 5 },
            end_column: 8,
            code: "unsupported-statement".to_owned(),
            message: "a workflow has no `for`".to_owned(),
            remedy: Some("use `map`".to_owned()),
            other: None,
            excerpt: "    for x in xs:".to_owned(),
            warning: false,
        }
    }

    #[test]
    fn a_problem_shows_its_line_with_a_caret_and_the_remedy() {
        let expected = "error[unsupported-statement]: a workflow has no `for`\n  --> sales.py:12:5\n   |\n12 |     for x in xs:\n   |     ^^^\n  = help: use `map`\n\n";
        assert_eq!(problems(&[problem()]), expected);
        assert_eq!(count(&[problem(), Problem { warning: true, ..problem() }]), "1 error, 1 warning");
    }

    #[test]
    fn a_caret_stays_within_the_line_whatever_the_columns_say() {
        let wild = Problem { end_column: u32::MAX, ..problem() };
        assert!(problems(&[wild]).lines().all(|line| line.len() < 80));
        let far = Problem { place: Place { column: u32::MAX, ..problem().place }, ..problem() };
        assert!(!problems(&[far]).contains('^'));
    }

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
