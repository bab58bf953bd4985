//! What types are spelled with: the names at hand, and before them those of a file.

use std::path::Path;

use qflow_model::class::Classes;
use qflow_python_source::{NotAType, Types, annotation, with_types};
use qflow_types::Ty;

use crate::{
    exit::{Exit, Fail},
    problems,
    source::{self, Collected},
};

/// What types are spelled with.
pub(super) struct Names<'t>(Option<&'t Types<'t>>);

impl Names<'_> {
    /// Asks with the names of a file, or without one.
    pub(super) fn with<T: Send>(
        file: Option<&Path>,
        ask: impl FnOnce(&Names<'_>) -> Result<T, Fail> + Send,
    ) -> Result<T, Fail> {
        let Some(file) = file else { return ask(&Names(None)) };
        let Collected { source, .. } = source::collect(file)?;
        with_types(&source, |types| ask(&Names(Some(types)))).unwrap_or_else(|wrong| {
            problems::tell(&wrong, Some(&source));
            Err(Fail::new(Exit::Invalid, format!("{}: {}", file.display(), problems::count(&wrong))))
        })
    }

    pub(super) fn ty(&self, text: &str) -> Result<Ty, NotAType> {
        self.0.map_or_else(|| annotation(text), |types| types.ty(text))
    }

    /// What is known of the classes of types.
    pub(super) fn classes(&self, types: &[&Ty]) -> Classes {
        self.0.map(|known| known.classes(types)).unwrap_or_default()
    }
}
