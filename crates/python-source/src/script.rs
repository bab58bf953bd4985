//! The PEP 723 block of the entry file: Python, dependencies, and the nodes' defaults.

use qflow_model::definition::Problem;
use ruff_text_size::{TextRange, TextSize};
use serde_json::Value;

use crate::{options, text::Text};

/// What the block says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) requires_python: Option<String>,
    pub(crate) dependencies: Vec<String>,
    /// `[tool.qflow.node]`, checked.
    pub(crate) node: options::NodeOptions,
}

/// Where each line of the block's TOML begins in the file, and in the TOML.
struct Lines(Vec<(usize, usize)>);

impl Lines {
    fn range(&self, span: Option<std::ops::Range<usize>>) -> TextRange {
        let byte = |at: usize| {
            let line = self.0.partition_point(|(toml, _)| *toml <= at).saturating_sub(1);
            self.0.get(line).map_or(0, |(toml, file)| file + (at - toml))
        };
        let span = span.unwrap_or(0..0);
        let (start, end) = (byte(span.start), byte(span.end.max(span.start)));
        TextRange::new(TextSize::new(start as u32), TextSize::new(end.max(start) as u32))
    }
}

/// Reads the block, where there is one.
pub(crate) fn read(text: &Text<'_>, problems: &mut Vec<Problem>) -> Script {
    let Some((toml, lines)) = extract(text, problems) else { return Script::default() };
    let table = match toml::from_str::<toml::Table>(&toml) {
        Ok(table) => table,
        Err(error) => {
            let message = format!("the script block is not TOML: {}", error.message());
            problems.push(text.problem(lines.range(error.span()), "script-block", message, "see PEP 723"));
            return Script::default();
        }
    };
    let mut script = Script::default();
    let mut wrong = |key: &str, message: String, remedy: &str| {
        let at = toml.find(key).unwrap_or(0);
        problems.push(text.problem(lines.range(Some(at..at + key.len())), "script-block", message, remedy));
    };
    match table.get("requires-python") {
        None => {}
        Some(toml::Value::String(clauses)) if options::is_specifier(clauses) => {
            script.requires_python = Some(clauses.clone());
        }
        Some(other) => {
            let message = format!("requires-python is `{}`", json(other));
            wrong("requires-python", message, "write requires-python = \">=3.11\"");
        }
    }
    match table.get("dependencies").map(json) {
        None => {}
        Some(value) => match options::requirements(&value) {
            Ok(dependencies) => script.dependencies = dependencies,
            Err(why) => wrong("dependencies", why, "write dependencies = [\"pandas>=2.2\"]"),
        },
    }
    let node = table.get("tool").and_then(|t| t.get("qflow")).and_then(|t| t.get("node"));
    if let Some(node) = node {
        match node.as_table() {
            None => wrong("node", "tool.qflow.node is not a table".to_owned(), "write [tool.qflow.node]"),
            Some(node) => {
                for (key, value) in node {
                    if let Err(bad) = script.node.set(key, &json(value)) {
                        wrong(key, bad.message, &bad.remedy);
                    }
                }
            }
        }
    }
    script
}

/// The TOML between `# /// script` and the last `# ///` of the comment.
fn extract(text: &Text<'_>, problems: &mut Vec<Problem>) -> Option<(String, Lines)> {
    let mut at = 0;
    let mut lines = text.text.split_inclusive('\n').map(|line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    });
    let (opened, _) = lines.by_ref().find(|(_, line)| *line == "# /// script")?;
    let (mut toml, mut map, mut closed) = (String::new(), Vec::new(), None);
    for (start, line) in lines {
        let Some((content, skip)) = line.strip_prefix("# ").map(|c| (c, 2)).or((line == "#").then_some(("", 1))) else {
            break;
        };
        if content == "///" {
            closed = Some((toml.len(), map.len()));
        }
        map.push((toml.len(), start + skip));
        toml.push_str(content);
        toml.push('\n');
    }
    let Some((length, count)) = closed else {
        let range = TextRange::at(TextSize::new(opened as u32), TextSize::of("# /// script"));
        problems.push(text.problem(range, "script-block", "the script block is not closed", "end it with # ///"));
        return None;
    };
    toml.truncate(length);
    map.truncate(count);
    Some((toml, Lines(map)))
}

fn json(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(flag) => Value::from(*flag),
        toml::Value::Datetime(at) => Value::from(at.to_string()),
        toml::Value::Array(items) => items.iter().map(json).collect(),
        toml::Value::Table(table) => {
            table.iter().map(|(k, v)| (k.clone(), json(v))).collect::<serde_json::Map<_, _>>().into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> (Script, Vec<Problem>) {
        let mut problems = Vec::new();
        let script = read(&Text::new("a.py", text), &mut problems);
        (script, problems)
    }

    #[test]
    fn the_block_says_python_dependencies_and_defaults() {
        let (script, problems) = of(
            "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.11\"\n#\n# dependencies = [\n#   \"rich\",\n# ]\n# [tool.qflow.node]\n# retries = 2\n# ///\nx = 1\n",
        );
        assert_eq!(problems, vec![]);
        assert_eq!(script.requires_python.as_deref(), Some(">=3.11"));
        assert_eq!(script.dependencies, ["rich"]);
        assert_eq!(script.node.retry.retries, 2);
    }

    #[test]
    fn what_is_wrong_in_the_block_is_told_where_it_stands() {
        for (text, line, words) in [
            ("# /// script\n# requires-python = \">=3.11\n# ///\n", 2, "not TOML"),
            ("# /// script\n# requires-python = \"3.x!\"\n# ///\n", 2, "requires-python"),
            ("# /// script\n# dependencies = [\"-r x\"]\n# ///\n", 2, "-r x"),
            ("# /// script\n# a = 1\n", 1, "not closed"),
            ("# /// script\n# [tool.qflow.node]\n# retires = 2\n# ///\n", 3, "retires"),
        ] {
            let (_, problems) = of(text);
            assert_eq!(problems.len(), 1, "{text}");
            assert_eq!(problems[0].place.line, line, "{text}");
            assert!(problems[0].message.contains(words), "{}", problems[0].message);
        }
    }
}
