//! The comment that holds the block, and where its TOML stands in the file.

use std::ops::Range;

use ruff_text_size::{TextRange, TextSize};

use crate::{problems::Problems, text::Text};

const OPENING: &str = "# /// script";

/// The TOML of a block.
pub(super) struct Block {
    pub(super) toml: String,
    /// Where each line begins in the TOML, and in the file.
    lines: Vec<(usize, usize)>,
}

impl Block {
    /// The range of the file that a span of the TOML stands at.
    pub(super) fn range(&self, span: Option<Range<usize>>) -> TextRange {
        let byte = |at: usize| {
            let line = self.lines.partition_point(|(toml, _)| *toml <= at).saturating_sub(1);
            self.lines.get(line).map_or(0, |(toml, file)| file + (at - toml))
        };
        let span = span.unwrap_or(0..0);
        let (start, end) = (byte(span.start), byte(span.end.max(span.start)));
        TextRange::new(TextSize::new(start as u32), TextSize::new(end.max(start) as u32))
    }
}

/// The TOML between `# /// script` and the last `# ///` of the comment, as PEP 723 has it.
pub(super) fn extract(text: &Text<'_>, problems: &mut Problems) -> Option<Block> {
    let mut at = 0;
    let mut lines = text.content.split_inclusive('\n').map(|line| {
        let start = at;
        at += line.len();
        (start, line.trim_end_matches(['\n', '\r']))
    });
    let mut wrong = |opened: usize, message: &str, remedy: &str| {
        let range = TextRange::at(TextSize::new(opened as u32), TextSize::of(OPENING));
        problems.push(text.problem(range, "script-block", message, remedy));
    };
    let is_opening = |line: &str| line.trim_start_matches('\u{feff}') == OPENING;
    let (opened, _) = lines.by_ref().find(|(_, line)| is_opening(line))?;
    let mut block = Block { toml: String::new(), lines: Vec::new() };
    let mut closed = None;
    for (start, line) in lines.by_ref() {
        let Some((content, skip)) = line.strip_prefix("# ").map(|c| (c, 2)).or((line == "#").then_some(("", 1))) else {
            break;
        };
        if content == "///" {
            closed = Some((block.toml.len(), block.lines.len()));
        }
        block.lines.push((block.toml.len(), start + skip));
        block.toml.push_str(content);
        block.toml.push('\n');
    }
    let Some((length, count)) = closed else {
        wrong(opened, "the script block is not closed", "end it with # ///");
        return None;
    };
    if let Some((again, _)) = lines.find(|(_, line)| is_opening(line)) {
        wrong(again, "a second script block", "keep one");
    }
    block.toml.truncate(length);
    block.lines.truncate(count.max(1));
    Some(block)
}
