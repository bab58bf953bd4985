//! Which file a module's name stands for.

use std::collections::HashMap;

use qflow_model::definition::Source;
use ruff_python_ast::StmtImportFrom;

use super::Bound;

/// The Python files of a submission, by the names they are imported by.
pub(crate) struct Modules<'a> {
    entry: &'a str,
    positions: HashMap<&'a str, usize>,
}

impl<'a> Modules<'a> {
    /// Of these files, in their order.
    pub(crate) fn new(source: &'a Source, paths: impl Iterator<Item = &'a str>) -> Self {
        Self { entry: &source.entry, positions: paths.enumerate().map(|(at, path)| (path, at)).collect() }
    }

    /// Where a path stands among the files.
    pub(crate) fn position(&self, path: &str) -> Option<usize> {
        self.positions.get(path).copied()
    }

    /// What a module's name stands for in a file; `level` dots before it.
    pub(crate) fn find(&self, own: &str, dotted: &str, level: usize) -> Bound<'a> {
        if level == 0 && dotted == "qflow" {
            return Bound::QflowModule;
        }
        let relative = dotted.replace('.', "/");
        let bases: Vec<&str> = if level > 0 {
            vec![(1..level).fold(folder(own), |base, _| folder(base))]
        } else {
            // What a client's search, and Python's in the container, goes through.
            vec![folder(self.entry), "", "src"]
        };
        for base in bases {
            let path = [base, &relative].iter().filter(|p| !p.is_empty()).copied().collect::<Vec<_>>().join("/");
            let package = if path.is_empty() { "__init__.py".to_owned() } else { format!("{path}/__init__.py") };
            if let Some(at) = [package, format!("{path}.py")].iter().find_map(|path| self.position(path)) {
                return Bound::Module(at);
            }
        }
        Bound::Foreign(dotted.to_owned())
    }

    /// What `from … import name` stands for in a file; `None` for what `qflow` has not.
    pub(crate) fn member(&self, own: &str, import: &'a StmtImportFrom, name: &'a str) -> Option<Bound<'a>> {
        let module = import.module.as_ref().map_or("", |m| m.id.as_str());
        let level = import.level as usize;
        let from = self.find(own, module, level);
        if let Bound::QflowModule = from {
            return Some(Bound::Qflow(crate::known_to_qflow(name)?));
        }
        // `from parts import clean` names a module where there is one, else a name in `parts`.
        let dotted = if module.is_empty() { name.to_owned() } else { format!("{module}.{name}") };
        Some(match (self.find(own, &dotted, level), from) {
            (Bound::Module(inner), _) => Bound::Module(inner),
            (_, Bound::Module(at)) => Bound::In(at, name),
            (_, Bound::Foreign(_)) => Bound::Foreign(dotted),
            _ => Bound::Other,
        })
    }

    /// The files of the packages around a file, which are imported before it.
    pub(crate) fn packages(&self, path: &str) -> impl Iterator<Item = usize> + '_ {
        let folders: Vec<String> =
            path.match_indices('/').map(|(at, _)| format!("{}/__init__.py", &path[..at])).collect();
        folders.into_iter().filter_map(|path| self.position(&path))
    }
}

fn folder(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(folder, _)| folder)
}
