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
        let found = self.bases(own, level).into_iter().find_map(|base| self.file(&join(base, &relative)));
        found.map_or_else(|| Bound::Foreign(dotted.to_owned()), Bound::Module)
    }

    /// The folders that a name is looked for in: what a client's search, and Python's in the container, goes through.
    fn bases<'p>(&'p self, own: &'p str, level: usize) -> Vec<&'p str> {
        match level {
            0 => vec![folder(self.entry), "", "src"],
            _ => vec![(1..level).fold(folder(own), |base, _| folder(base))],
        }
    }

    /// The file of a module at a path without its ending.
    fn file(&self, path: &str) -> Option<usize> {
        [join(path, "__init__.py"), format!("{path}.py")].iter().find_map(|path| self.position(path))
    }

    /// The `a` of `import a.b` where it has no file of its own: folders of that name that hold files.
    pub(crate) fn folders(&self, name: &str) -> Option<Bound<'a>> {
        let paths = self.bases("", 0).into_iter().map(|base| join(base, name)).filter(|path| self.holds(path));
        let mut paths: Vec<String> = paths.collect();
        paths.dedup();
        (!paths.is_empty()).then_some(Bound::Folder(paths))
    }

    fn holds(&self, folder: &str) -> bool {
        let inside = |path: &str| path.strip_prefix(folder).is_some_and(|rest| rest.starts_with('/'));
        self.positions.keys().any(|path| inside(path))
    }

    /// What a name in folders stands for: a file, or folders in turn.
    pub(crate) fn below(&self, folders: &[String], name: &str) -> Option<Bound<'a>> {
        let paths = folders.iter().map(|folder| join(folder, name));
        if let Some(at) = paths.clone().find_map(|path| self.file(&path)) {
            return Some(Bound::Module(at));
        }
        let held: Vec<String> = paths.filter(|path| self.holds(path)).collect();
        (!held.is_empty()).then_some(Bound::Folder(held))
    }

    /// What is asked of a package that its own file does not bind: a file or a folder beside that.
    pub(crate) fn beside(&self, package: &str, name: &str) -> Option<Bound<'a>> {
        let inside = package == "__init__.py" || package.ends_with("/__init__.py");
        inside.then(|| self.below(&[folder(package).to_owned()], name))?
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

fn join(base: &str, path: &str) -> String {
    if base.is_empty() || path.is_empty() { format!("{base}{path}") } else { format!("{base}/{path}") }
}
