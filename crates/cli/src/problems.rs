//! How problems look: as rustc tells them, both ends with their lines of source.

use std::{io::IsTerminal as _, ops::Range};

use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};
use qflow_model::definition::{Place, Problem, Source};

use crate::render::printable;

/// What people are told of problems on stderr; `source` is what the lines of other ends are taken from, where it is at hand.
pub fn tell(problems: &[Problem], source: Option<&Source>) {
    let plain = std::env::var_os("NO_COLOR").is_some_and(|set| !set.is_empty()) || !std::io::stderr().is_terminal();
    let renderer = if plain { Renderer::plain() } else { Renderer::styled() };
    eprint!("{}", render(problems, source, &renderer));
}

/// Problems for people; all of them.
pub fn render(problems: &[Problem], source: Option<&Source>, renderer: &Renderer) -> String {
    problems.iter().map(|problem| one(problem, source, renderer) + "\n\n").collect()
}

fn one(problem: &Problem, source: Option<&Source>, renderer: &Renderer) -> String {
    let Problem { place, end_column, code, message, remedy, other, excerpt, warning } = problem;
    let (message, excerpt) = (printable(message), printable(excerpt));
    let level = if *warning { Level::WARNING } else { Level::ERROR };
    let mut group = Group::with_title(level.primary_title(&message).id(code.as_str()));
    let span = span(&excerpt, place.column, *end_column);
    if span.is_empty() {
        let origin = Origin::path(place.file.as_str()).line(place.line as usize).char_column(place.column as usize);
        group = group.element(origin);
    } else {
        let lines = Snippet::source(excerpt.as_str()).line_start(place.line as usize).path(place.file.as_str());
        group = group.element(lines.annotation(AnnotationKind::Primary.span(span)));
    }
    let line = other.as_ref().and_then(|other| line(source?, other)).unwrap_or_default();
    if let Some(other) = other {
        let span = self::span(&line, other.column, other.column.saturating_add(1));
        if span.is_empty() {
            let origin = Origin::path(other.file.as_str()).line(other.line as usize).char_column(other.column as usize);
            group = group.element(origin);
        } else {
            let lines = Snippet::source(line.as_str()).line_start(other.line as usize).path(other.file.as_str());
            group = group
                .element(lines.annotation(AnnotationKind::Context.span(name_at(&line, span)).label("declared here")));
        }
    }
    let remedy = remedy.as_deref().map(printable).unwrap_or_default();
    if !remedy.is_empty() {
        group = group.element(Level::HELP.message(remedy.as_str()));
    }
    renderer.render(&[group])
}

/// The bytes between two columns of a line, columns counted in characters from 1; at least one character, and within the line.
fn span(line: &str, from: u32, to: u32) -> Range<usize> {
    let at = |column: u32| {
        let chars = (column.max(1) - 1) as usize;
        line.char_indices().nth(chars).map_or(line.len(), |(at, _)| at)
    };
    let start = at(from);
    let end = at(to.max(from.saturating_add(1)));
    start..end
}

/// A span that begins a name, to the end of that name.
fn name_at(line: &str, span: Range<usize>) -> Range<usize> {
    let rest = &line[span.start..];
    let len = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
    span.start..span.end.max(span.start + len)
}

fn line(source: &Source, place: &Place) -> Option<String> {
    let text = source.files.get(&place.file)?;
    text.lines().nth((place.line as usize).checked_sub(1)?).map(printable)
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

#[cfg(test)]
mod tests {
    use super::*;

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

    fn plain(problem: Problem, source: Option<&Source>) -> String {
        render(&[problem], source, &Renderer::plain())
    }

    #[test]
    fn a_problem_shows_its_line_with_a_caret_and_the_remedy() {
        insta::assert_snapshot!(plain(problem(), None));
        assert_eq!(count(&[problem(), Problem { warning: true, ..problem() }]), "1 error, 1 warning");
    }

    #[test]
    fn both_ends_are_shown_with_their_lines() {
        let text = "\n@node\ndef fetch(day: str) -> dict[str, float]:\n".to_owned();
        let source = Source { entry: "sales.py".to_owned(), files: [("sales.py".to_owned(), text)].into() };
        let other = Some(Place { file: "sales.py".to_owned(), line: 3, column: 5 });
        insta::assert_snapshot!(plain(Problem { other, ..problem() }, Some(&source)));
    }

    #[test]
    fn what_lies_past_the_line_is_told_without_a_caret() {
        let wild = plain(Problem { end_column: u32::MAX, ..problem() }, None);
        assert!(wild.lines().all(|line| line.len() < 80), "{wild}");
        let far = plain(Problem { place: Place { column: u32::MAX, ..problem().place }, ..problem() }, None);
        assert!(!far.contains('^') && far.contains("sales.py:12"), "{far}");
        let bare = plain(Problem { excerpt: String::new(), ..problem() }, None);
        assert!(bare.contains("sales.py:12:5"), "{bare}");
    }

    #[test]
    fn other_letters_move_no_caret() {
        let excerpt = "    fürß = übel(größe)".to_owned();
        let place = Place { file: "sales.py".to_owned(), line: 12, column: 12 };
        let told = plain(Problem { excerpt, place, end_column: 16, ..problem() }, None);
        let caret = told.lines().find(|line| line.contains('^')).unwrap();
        assert_eq!(caret.chars().skip_while(|c| *c != '|').collect::<String>(), "|            ^^^^", "{told}");
    }
}
