//! A source file's text, and the places in it that problems name.

use qflow_model::definition::{Place, Problem};
use ruff_text_size::TextRange;

/// Characters of a line that an excerpt shows: a hostile line does not flood a screen.
const EXCERPT_CHARS: usize = 240;

/// A file and where its lines begin.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) path: &'a str,
    pub(crate) text: &'a str,
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let ends_line = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let starts = std::iter::once(0).chain((0..bytes.len()).filter(|at| ends_line(*at)).map(|at| at + 1)).collect();
        Self { path, text, starts }
    }

    /// The place of a byte; past the end it is the end.
    pub(crate) fn at(&self, byte: usize) -> Place {
        let byte = byte.min(self.text.len());
        let line = self.starts.partition_point(|start| *start <= byte) - 1;
        let column = self.columns(self.starts[line], byte);
        Place { file: self.path.to_owned(), line: line as u32 + 1, column: column + 1 }
    }

    pub(crate) fn place(&self, range: TextRange) -> Place {
        self.at(range.start().to_usize())
    }

    fn columns(&self, from: usize, to: usize) -> u32 {
        self.text.get(from..to).map_or(0, |part| part.chars().count() as u32)
    }

    fn line(&self, line: u32) -> &'a str {
        let start = self.starts[line as usize - 1];
        let end = self.starts.get(line as usize).copied().unwrap_or(self.text.len());
        self.text[start..end].trim_end_matches(['\n', '\r'])
    }

    /// An error at a range; its end is cut to the range's first line.
    pub(crate) fn problem(&self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) -> Problem {
        let place = self.place(range);
        let line = self.line(place.line);
        let line_start = self.starts[place.line as usize - 1];
        let end = range.end().to_usize().min(line_start + line.len());
        let end_column = (self.columns(line_start, end) + 1).max(place.column);
        Problem {
            end_column,
            code: code.to_owned(),
            message: message.into(),
            remedy: (!remedy.is_empty()).then(|| remedy.to_owned()),
            other: None,
            excerpt: line.chars().take(EXCERPT_CHARS).collect(),
            warning: false,
            place,
        }
    }

    /// What is written at a range, cut to what a message holds.
    pub(crate) fn written(&self, range: TextRange) -> String {
        const CHARS: usize = 40;
        let text = self.text.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(CHARS).collect();
        if short.len() < text.len() { format!("{short}…") } else { short }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_count_characters_and_lines_end_in_any_way() {
        let text = Text::new("a.py", "é = 1\r\nx\ry\nzz");
        let at = |byte| {
            let place = text.at(byte);
            (place.line, place.column)
        };
        assert_eq!(at(0), (1, 1));
        assert_eq!(at(3), (1, 3));
        assert_eq!(at(8), (2, 1));
        assert_eq!(at(10), (3, 1));
        assert_eq!(at(13), (4, 2));
        assert_eq!(at(99), (4, 3));
    }
}
