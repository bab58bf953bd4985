//! The PEP 723 block of the entry file: Python, dependencies, and the nodes' defaults.

mod block;

use std::ops::Range;

use serde_json::Value;
use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use crate::{options, problems::Problems, text::Text};
use block::Block;

/// What the block says.
#[derive(Clone, Debug, Default)]
pub(crate) struct Script {
    pub(crate) requires_python: Option<String>,
    pub(crate) dependencies: Vec<String>,
    /// `[tool.qflow.node]`, checked.
    pub(crate) node: options::NodeOptions,
}

/// The TOML of a file's PEP 723 block, where it has one that is closed.
pub fn script_block(text: &str) -> Option<String> {
    block::extract(&Text::new("", text), &mut Problems::default()).map(|block| block.toml)
}

/// Reads the block, where there is one.
pub(crate) fn read(text: &Text<'_>, problems: &mut Problems) -> Script {
    let mut script = Script::default();
    let Some(block) = block::extract(text, problems) else { return script };
    let mut reader = Reader { text, block: &block, problems };
    match DeTable::parse(&block.toml) {
        Ok(table) => reader.table(table.get_ref(), &mut script),
        Err(error) => {
            let message = format!("the script block is not TOML: {}", error.message());
            reader.wrong(error.span(), message, "see PEP 723");
        }
    }
    script
}

struct Reader<'r, 'a> {
    text: &'r Text<'a>,
    block: &'r Block,
    problems: &'r mut Problems,
}

impl Reader<'_, '_> {
    fn wrong(&mut self, span: Option<Range<usize>>, message: impl Into<String>, remedy: &str) {
        self.problems.push(self.text.problem(self.block.range(span), "script-block", message, remedy));
    }

    fn table(&mut self, table: &DeTable<'_>, script: &mut Script) {
        for (key, value) in table {
            let span = || Some(key.span().start..value.span().end);
            match &**key.get_ref() {
                "requires-python" => match value.get_ref() {
                    DeValue::String(clauses) if options::is_specifier(clauses) => {
                        script.requires_python = Some(clauses.clone().into_owned());
                    }
                    other => {
                        let message = format!("requires-python is {}", json(other));
                        self.wrong(span(), message, "write requires-python = \">=3.11\"");
                    }
                },
                "dependencies" => match options::requirements(&json(value.get_ref())) {
                    Ok(dependencies) => script.dependencies = dependencies,
                    Err(why) => self.wrong(span(), why, "write dependencies = [\"pandas>=2.2\"]"),
                },
                "tool" => {
                    if let Some(qflow) = inner(value, "qflow") {
                        self.qflow(qflow, script);
                    }
                }
                _ => {}
            }
        }
    }

    /// `[tool.qflow]`: `include` and `test` are the client's, `node` has the nodes' defaults.
    fn qflow(&mut self, qflow: &Spanned<DeValue<'_>>, script: &mut Script) {
        let Some(table) = qflow.get_ref().as_table() else {
            return self.wrong(Some(qflow.span()), "tool.qflow is not a table", "write [tool.qflow.node]");
        };
        for (key, value) in table {
            match (&**key.get_ref(), value.get_ref().as_table()) {
                ("include" | "test", _) => {}
                ("node", Some(node)) => {
                    for (key, value) in node {
                        if let Err(bad) = script.node.set(key.get_ref(), &json(value.get_ref())) {
                            self.wrong(Some(key.span().start..value.span().end), bad.message, &bad.remedy);
                        }
                    }
                }
                ("node", None) => {
                    self.wrong(Some(key.span()), "tool.qflow.node is not a table", "write [tool.qflow.node]");
                }
                (other, _) => {
                    let message = format!("tool.qflow has no `{other}`");
                    self.wrong(Some(key.span()), message, "it has include, test, and node for the nodes' defaults");
                }
            }
        }
    }
}

fn inner<'t, 'i>(table: &'t Spanned<DeValue<'i>>, name: &str) -> Option<&'t Spanned<DeValue<'i>>> {
    table.get_ref().as_table()?.iter().find(|(key, _)| &**key.get_ref() == name).map(|(_, value)| value)
}

fn json(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::from(&**text),
        DeValue::Integer(number) => {
            i64::from_str_radix(number.as_str(), number.radix()).map_or(Value::Null, Value::from)
        }
        DeValue::Float(number) => number.as_str().parse::<f64>().map_or(Value::Null, Value::from),
        DeValue::Boolean(flag) => Value::from(*flag),
        DeValue::Datetime(at) => Value::from(at.to_string()),
        DeValue::Array(items) => items.iter().map(|item| json(item.get_ref())).collect(),
        DeValue::Table(table) => {
            let fields = table.iter().map(|(key, value)| (key.get_ref().to_string(), json(value.get_ref())));
            Value::Object(fields.collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use qflow_model::definition::Problem;

    use super::*;

    fn of(text: &str) -> (Script, Vec<Problem>) {
        let mut problems = Problems::default();
        let script = read(&Text::new("a.py", text), &mut problems);
        (script, problems.told())
    }

    #[test]
    fn the_block_says_python_dependencies_and_defaults() {
        let text = "#!/usr/bin/env python\n# /// script\n# requires-python = \">=3.11\"\n#\n# dependencies = [\n#   \"rich\",\n# ]\n\
                    # [tool.qflow]\n# include = [\"sql/*.sql\"]\n# [tool.qflow.node]\n# retries = 2\n# ///\nx = 1\n";
        for text in [text.to_owned(), text.replace('\n', "\r\n"), format!("\u{feff}{}", &text[22..])] {
            let (script, problems) = of(&text);
            assert_eq!(problems, vec![]);
            assert_eq!(script.requires_python.as_deref(), Some(">=3.11"));
            assert_eq!(script.dependencies, ["rich"]);
            assert_eq!(script.node.retry.retries, 2);
        }
    }

    #[test]
    fn what_is_wrong_in_the_block_is_told_where_it_stands() {
        for (text, line, column, words) in [
            ("# /// script\n# requires-python = \">=3.11\n# ///\n", 2, 28, "not TOML"),
            ("# /// script\n# requires-python = \"3.x!\"\n# ///\n", 2, 3, "requires-python"),
            ("# /// script\n# # dependencies\n# dependencies = [\"-r x\"]\n# ///\n", 3, 3, "-r x"),
            ("# /// script\n# a = 1\n", 1, 1, "not closed"),
            ("# /// script\n# ///\n# x\n\n# /// script\n# ///\n", 5, 1, "a second script block"),
            ("# /// script\n# [tool.qflow.node]\n# retires = 2\n# ///\n", 3, 3, "retires"),
            ("# /// script\n# [tool.qflow.nodes]\n# retries = 2\n# ///\n", 2, 15, "nodes"),
            ("# /// script\n# [tool]\n# qflow = 1\n# ///\n", 3, 11, "not a table"),
        ] {
            let (_, problems) = of(text);
            assert_eq!(problems.len(), 1, "{text}");
            assert_eq!((problems[0].place.line, problems[0].place.column), (line, column), "{text}");
            assert!(problems[0].message.contains(words), "{}", problems[0].message);
        }
    }
}
