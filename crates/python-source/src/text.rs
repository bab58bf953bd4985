//! A source file's text, and the places in it that problems name.

use qflow_model::definition::{Place, Problem};
use ruff_text_size::TextRange;

/// Characters of a line that an excerpt shows: a hostile line does not flood a screen.
const EXCERPT_CHARS: usize = 240;
/// Characters of a message or a remedy: names in them may be of any length.
const MESSAGE_CHARS: usize = 400;
/// A file may begin with it; it is no character of its first line.
const BYTE_ORDER_MARK: &str = "\u{feff}";

/// A file and where its lines begin.
#[derive(Clone, Debug)]
pub(crate) struct Text<'a> {
    pub(crate) path: &'a str,
    pub(crate) content: &'a str,
    starts: Vec<usize>,
}

impl<'a> Text<'a> {
    pub(crate) fn new(path: &'a str, text: &'a str) -> Self {
        let bytes = text.as_bytes();
        let ends_line = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        let first = if text.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 };
        let others = (first..bytes.len()).filter(|at| ends_line(*at)).map(|at| at + 1);
        Self { path, content: text, starts: std::iter::once(first).chain(others).collect() }
    }

    /// The name that Python knows the file by.
    pub(crate) fn module(&self) -> String {
        let path = self.path.strip_prefix("src/").unwrap_or(self.path);
        let path = path.strip_suffix(".py").unwrap_or(path);
        path.strip_suffix("/__init__").unwrap_or(path).replace('/', ".")
    }

    /// The place of a byte; past the end it is the end.
    pub(crate) fn at(&self, byte: usize) -> Place {
        let byte = byte.clamp(self.starts[0], self.content.len());
        let line = self.starts.partition_point(|start| *start <= byte) - 1;
        let column = self.columns(self.starts[line], byte);
        Place { file: self.path.to_owned(), line: line as u32 + 1, column: column + 1 }
    }

    pub(crate) fn place(&self, range: TextRange) -> Place {
        self.at(range.start().to_usize())
    }

    fn columns(&self, from: usize, to: usize) -> u32 {
        self.content.get(from..to).map_or(0, |part| part.chars().count() as u32)
    }

    fn line(&self, line: u32) -> &'a str {
        let start = self.starts[line as usize - 1];
        let end = self.starts.get(line as usize).copied().unwrap_or(self.content.len());
        self.content[start..end].trim_end_matches(['\n', '\r'])
    }

    /// Where a range begins, and past its last column on that line.
    pub(crate) fn span(&self, range: TextRange) -> (Place, u32) {
        let place = self.place(range);
        let line_start = self.starts[place.line as usize - 1];
        let end = range.end().to_usize().min(line_start + self.line(place.line).len());
        let end_column = (self.columns(line_start, end) + 1).max(place.column);
        (place, end_column)
    }

    /// An error at a range; its end is cut to the range's first line.
    pub(crate) fn problem(&self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) -> Problem {
        let (place, end_column) = self.span(range);
        let line = self.line(place.line);
        Problem {
            end_column,
            code: code.to_owned(),
            message: cut(&message.into()),
            remedy: (!remedy.is_empty()).then(|| cut(remedy)),
            other: None,
            excerpt: line.chars().take(EXCERPT_CHARS).map(shown).collect(),
            warning: false,
            place,
        }
    }

    /// [`Self::problem`], that does not stop a submission.
    pub(crate) fn warning(&self, range: TextRange, code: &str, message: impl Into<String>, remedy: &str) -> Problem {
        Problem { warning: true, ..self.problem(range, code, message, remedy) }
    }

    /// What is written at a range, cut to what a message holds.
    pub(crate) fn written(&self, range: TextRange) -> String {
        const CHARS: usize = 40;
        let text = self.content.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(CHARS).map(shown).collect();
        let cut = line.len() < text.len() || line.chars().nth(CHARS).is_some();
        if cut { format!("{short}…") } else { short }
    }
}

/// A message or remedy as it may be shown.
fn cut(text: &str) -> String {
    let mut chars = text.chars();
    let mut short: String = chars.by_ref().take(MESSAGE_CHARS).map(shown).collect();
    if chars.next().is_some() {
        short.push('…');
    }
    short
}

/// A character as it may be shown: one that moves a cursor or turns the direction of text stands for nothing good.
fn shown(c: char) -> char {
    if (c.is_control() && c != '\t') || turns(c) { char::REPLACEMENT_CHARACTER } else { c }
}

/// Whether a character turns the direction of the text around it, so that code reads other than it runs.
pub(crate) fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
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

    #[test]
    fn a_byte_order_mark_is_no_column() {
        let text = Text::new("a.py", "\u{feff}x = 1");
        assert_eq!((text.at(0).column, text.at(3).column, text.at(4).column), (1, 1, 2));
        let problem = text.problem(TextRange::new(3.into(), 4.into()), "c", "m", "");
        assert_eq!((problem.excerpt.as_str(), problem.end_column), ("x = 1", 2));
    }

    #[test]
    fn what_is_shown_neither_moves_a_cursor_nor_turns() {
        let text = Text::new("a.py", "x = '\u{1b}[2J\u{202e}'\t# é");
        let range = TextRange::new(4.into(), 13.into());
        assert_eq!(text.written(range), "'\u{fffd}[2J\u{fffd}'");
        assert_eq!(text.problem(range, "c", "m", "").excerpt, "x = '\u{fffd}[2J\u{fffd}'\t# é");
    }
}
