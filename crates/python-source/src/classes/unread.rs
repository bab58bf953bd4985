//! Why what a class holds is not read.

use qflow_model::{class::ClassKind, definition::Problem};
use ruff_text_size::TextRange;

use crate::{annotation::NotAType, scope::Units};

/// What is in the way of reading a class, and where.
#[derive(Clone, Debug)]
pub(crate) struct Unread {
    unit: usize,
    range: TextRange,
    /// Nothing of a class that is no record and no enum: only Python knows such a one in any case.
    why: Option<String>,
    /// What would be told if it were one.
    may_be: Option<String>,
    /// What to do about a type that is not there.
    unknown: Option<&'static str>,
}

impl Unread {
    /// Of what would be a record or an enum.
    pub(super) fn at(unit: usize, range: TextRange, why: impl Into<String>) -> Self {
        Self { unit, range, why: Some(why.into()), may_be: None, unknown: None }
    }

    /// The same where its kind is known: what a model holds pydantic checks itself, so nothing is lost.
    pub(super) fn of(kind: ClassKind, unit: usize, range: TextRange, why: impl Into<String>) -> Self {
        if kind == ClassKind::Model { Self::no_record(unit, range) } else { Self::at(unit, range, why) }
    }

    /// Of a field whose type is none that is there: as in a signature an error.
    pub(super) fn unknown(unit: usize, wrong: NotAType) -> Self {
        Self { unknown: Some(wrong.remedy), ..Self::at(unit, wrong.range, wrong.message) }
    }

    /// Of any other class.
    pub(super) fn no_record(unit: usize, range: TextRange) -> Self {
        Self { unit, range, why: None, may_be: None, unknown: None }
    }

    /// Of what may be a record or not: it is told where something else says that it is one.
    pub(super) fn unsure(unit: usize, range: TextRange, why: String) -> Self {
        Self { may_be: Some(why), ..Self::no_record(unit, range) }
    }

    /// The same of a class that is a record by something else; where nothing is told, at a place of its own.
    pub(super) fn told(self, unit: usize, range: TextRange) -> Self {
        match self.why.clone().or_else(|| self.may_be.clone()) {
            Some(why) => Self { why: Some(why), ..self },
            None => Self::at(unit, range, "what its bases do is not followed"),
        }
    }

    /// What users are told of it: an error where it names a type that is not there, else a warning.
    pub(super) fn problem(self, units: &Units<'_>, name: &str) -> Option<Problem> {
        let why = self.why?;
        if let Some(remedy) = self.unknown {
            return Some(units.files[self.unit].text.problem(self.range, "unknown-type", why, remedy));
        }
        Some(warning(units, (self.unit, self.range), name, &why))
    }
}

/// What is said of a class that is held to its name only.
pub(crate) fn warning(units: &Units<'_>, (unit, range): (usize, TextRange), name: &str, why: &str) -> Problem {
    let message = format!("values of `{name}` are held to its name only, not to what it holds: {why}");
    let remedy = "leave it so, or write a dataclass, TypedDict, NamedTuple or Enum whose parts are all written down";
    units.files[unit].text.warning(range, "unread-class", message, remedy)
}
