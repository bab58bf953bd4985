//! Reads the block of PEP 723 at a file's top: what the file needs installed, and which Python.

use ruff_text_size::{TextRange, TextSize};

use crate::problem::Report;

/// What the block says.
#[derive(Debug, Default)]
pub(crate) struct Script {
    /// `dependencies`.
    pub(crate) dependencies: Vec<String>,
    /// `requires-python`.
    pub(crate) requires_python: Option<String>,
}

#[derive(serde::Deserialize)]
struct Block {
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(rename = "requires-python")]
    requires_python: Option<String>,
    #[serde(default)]
    tool: toml::Table,
}

/// Reads the block `script`; a file without one asks for nothing.
pub(crate) fn read(report: &mut Report<'_>) -> Script {
    let mut offset = 0;
    let mut block: Option<(usize, String)> = None;
    let mut found: Option<(usize, String)> = None;
    for line in report.text.split_inclusive('\n') {
        let start = offset;
        offset += line.len();
        let line = line.trim_end();
        match &mut block {
            None if line == "# /// script" => {
                if found.is_some() {
                    report.refuse(&range(start, line.len()), "script-block", "a second `script` block", "keep one");
                    break;
                }
                block = Some((start, String::new()));
            }
            None => {}
            Some((at, text)) => {
                if line == "# ///" {
                    found = Some((*at, std::mem::take(text)));
                    block = None;
                } else if let Some(rest) = line.strip_prefix('#') {
                    text.push_str(rest.strip_prefix(' ').unwrap_or(rest));
                    text.push('\n');
                } else {
                    report.refuse(&range(*at, 12), "script-block", "this block is not closed", "end it with `# ///`");
                    block = None;
                }
            }
        }
    }
    let Some((at, text)) = found else { return Script::default() };
    match toml::from_str::<Block>(&text) {
        Ok(read) => {
            if read.tool.contains_key("qflow") {
                let message = "`[tool.qflow]` is not supported yet";
                report.refuse(&range(at, 12), "script-block", message, "write the options at each `@node`");
            }
            Script { dependencies: read.dependencies, requires_python: read.requires_python }
        }
        Err(error) => {
            let message = format!("this block is not TOML of PEP 723: {}", error.message());
            report.refuse(&range(at, 12), "script-block", message, "write `# dependencies = [\"httpx\"]`");
            Script::default()
        }
    }
}

fn range(at: usize, len: usize) -> TextRange {
    TextRange::at(TextSize::new(at as u32), TextSize::new(len as u32))
}
