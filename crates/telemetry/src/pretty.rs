//! Lines for people: names and messages in them come from others, and steer no terminal.

use serde_json::Value;

use crate::emit::Line;

/// Facts that a person does not need beside the message.
const LEFT_OUT: &[&str] = &["user_id", "stack_trace", "phases"];

impl Line {
    /// One line, and below it the traceback where there is one, set in so that none of it looks like a line of ours.
    pub(crate) fn pretty(&self, at: &str, component: &str) -> String {
        let time = at.get(11..23).unwrap_or(at);
        let mut text = format!("{time} {:<7} {component}: {}", self.level.as_str(), visible(&self.message));
        let trace = self.fields.get("stack_trace").and_then(Value::as_str).unwrap_or_default();
        for (key, value) in &self.fields {
            // A traceback ends in its message.
            let told = key == "error_message" && !trace.is_empty();
            if !told && !key.contains('.') && !LEFT_OUT.contains(&key.as_str()) {
                text.push_str(&format!(" {key}={}", visible(&value.to_string())));
            }
        }
        text.push('\n');
        for line in trace.trim_end().lines() {
            text.push_str(&format!("    {}\n", visible(line)));
        }
        text
    }
}

/// Text on one line without what moves a cursor, turns the direction of writing or hides.
fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => out.extend(c.escape_default()),
            _ if steers(c) => out.extend(c.escape_unicode()),
            _ => out.push(c),
        }
    }
    out
}

fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ErrorInfo, Event, NodeRef, emit};

    #[test]
    fn no_text_of_others_steers_the_terminal_or_forges_a_line() {
        let hostile = "a\u{1b}[2J\r\n\u{9b}31m\u{202e}b\u{7}\u{200b}\tc";
        let error = ErrorInfo {
            error_type: hostile.into(),
            message: hostile.into(),
            stack_trace: format!("File\n00:00:00.000 ERROR   orchestrator: {hostile}"),
            ..ErrorInfo::default()
        };
        let node = NodeRef { node_id: hostile.into(), name: hostile.into(), ..NodeRef::default() };
        let event = Event::PythonError { node, container_id: hostile.into(), error };
        let text = emit::line(&event).pretty("2026-01-02T03:04:05.678901Z", "container-runner");
        assert!(!text.chars().any(|c| c != '\n' && steers(c)), "{text:?}");
        let ours = text.lines().filter(|line| !line.starts_with("    ")).count();
        assert_eq!(ours, 1, "{text}");
        assert!(
            text.starts_with("03:04:05.678 ERROR   container-runner: Python execution error: a\\u{1b}[2J"),
            "{text}"
        );
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        assert_eq!(visible("it's „gut“ — 世界 🎉 \\ \"x\""), "it's „gut“ — 世界 🎉 \\ \"x\"");
    }
}
