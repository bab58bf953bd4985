//! Collects what is wrong with a file, each problem with its place and its line.

use qflow_model::definition::{Place, Problem};
use ruff_text_size::{Ranged, TextRange};

/// The problems of one file so far.
pub(crate) struct Report<'a> {
    /// The file's path.
    pub(crate) file: &'a str,
    /// The file's text.
    pub(crate) text: &'a str,
    /// What was found.
    pub(crate) problems: Vec<Problem>,
    lines: Vec<usize>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { file, text, problems: Vec::new(), lines }
    }

    fn line_of(&self, offset: usize) -> (usize, &'a str) {
        let line = self.lines.partition_point(|start| *start <= offset).saturating_sub(1);
        let end = self.lines.get(line + 1).copied().unwrap_or(self.text.len());
        (line, self.text.get(self.lines[line]..end).unwrap_or_default().trim_end_matches(['\n', '\r']))
    }

    fn column_of(&self, offset: usize) -> u32 {
        let (line, _) = self.line_of(offset);
        self.text.get(self.lines[line]..offset).unwrap_or_default().chars().count() as u32 + 1
    }

    /// Where something begins.
    pub(crate) fn place(&self, at: &impl Ranged) -> Place {
        let offset = at.range().start().to_usize();
        Place { file: self.file.to_owned(), line: self.line_of(offset).0 as u32 + 1, column: self.column_of(offset) }
    }

    /// Adds a problem.
    pub(crate) fn refuse(&mut self, at: &impl Ranged, code: &str, message: impl Into<String>, remedy: &str) {
        let (start, end) = (at.range().start().to_usize(), at.range().end().to_usize());
        let (line, excerpt) = self.line_of(start);
        let end_of_line = self.lines[line] + excerpt.len();
        self.problems.push(Problem {
            place: self.place(at),
            end_column: self.column_of(end.min(end_of_line).max(start)),
            code: code.to_owned(),
            message: message.into(),
            remedy: (!remedy.is_empty()).then(|| remedy.to_owned()),
            other: None,
            excerpt: excerpt.chars().take(200).collect(),
            warning: false,
        });
    }

    /// The source of something, cut to what a message holds.
    pub(crate) fn source(&self, at: &impl Ranged) -> String {
        let range: TextRange = at.range();
        let text = self.text.get(range.start().to_usize()..range.end().to_usize()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default();
        let short: String = line.chars().take(60).collect();
        if short.len() < text.len() { format!("{short}…") } else { short }
    }
}
