//! Something written that Pythons before some version lack.

use qflow_model::definition::{NodeDef, PythonVersion};
use ruff_text_size::TextRange;

/// A package that lets pydantic read new spellings on old Pythons.
const BACKPORT: &str = "eval_type_backport";

/// Something written that Pythons before some version lack.
#[derive(Clone, Debug)]
pub(super) struct Spelling {
    pub(super) range: TextRange,
    pub(super) code: &'static str,
    /// The Python that has it first.
    pub(super) since: PythonVersion,
    /// What is written, as the subject of a sentence.
    pub(super) what: String,
    /// What an older Python lacks.
    pub(super) lacks: String,
    pub(super) remedy: String,
    /// Whether the file is imported all the same.
    pub(super) soft: bool,
    /// Whether a package that nodes may require mends it.
    pub(super) backport: bool,
}

impl Spelling {
    /// What is told of it for a Python that lacks it.
    pub(super) fn message(&self, python: PythonVersion) -> String {
        format!("{}, and Python {python} has {}", self.what, self.lacks)
    }

    /// Whether a node requires what mends it.
    pub(super) fn is_mended(&self, node: &NodeDef) -> bool {
        let name = |requirement: &String| {
            let end = requirement.find(|c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')));
            requirement[..end.unwrap_or(requirement.len())].to_ascii_lowercase().replace(['-', '.'], "_")
        };
        self.backport && node.requirements.iter().any(|requirement| name(requirement) == BACKPORT)
    }
}

/// A version of Python 3.
pub(super) const fn python(minor: u8) -> PythonVersion {
    PythonVersion { major: 3, minor }
}
