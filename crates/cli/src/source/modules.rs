//! Which files an import stands for: Python's own search, over the folders that will be on its `sys.path`.

use std::path::{Path, PathBuf};

use super::{folder, project::Project, spelled};

/// The files that an import brings with it: the packages on the way and the module, as far as they lie below the root.
///
/// `module` may begin with the dots of a relative import. Nothing where the import leads elsewhere.
pub(super) fn resolve(project: &Project, importer: &str, module: &str) -> Vec<String> {
    let level = module.chars().take_while(|c| *c == '.').count();
    let parts: Vec<&str> = module[level..].split('.').filter(|part| !part.is_empty()).collect();
    if level == 0 && parts.first() == Some(&"qflow") {
        return Vec::new();
    }
    let search = Search { root: &project.root };
    let (mut found, mut folders) = if level == 0 {
        (Vec::new(), roots(project))
    } else {
        let Some(package) = Path::new(importer).ancestors().nth(level) else { return Vec::new() };
        // A relative import needs the packages that it is relative to.
        let packages = package.ancestors().map(|folder| folder.join("__init__.py"));
        (packages.take_while(|init| search.is_file(init)).collect(), vec![package.to_owned()])
    };
    for part in parts {
        match search.part(&folders, part) {
            Part::Package(folder) => {
                found.push(folder.join("__init__.py"));
                folders = vec![folder];
            }
            Part::Module(file) => {
                found.push(file);
                break;
            }
            Part::Folders(portions) if portions.is_empty() => break,
            Part::Folders(portions) => folders = portions,
        }
    }
    found.iter().filter_map(|path| spelled(path)).collect()
}

/// Whether a module of that name lies where Python looks first.
pub(super) fn is_there(project: &Project, name: &str) -> bool {
    let search = Search { root: &project.root };
    !matches!(search.part(&roots(project), name), Part::Folders(_))
}

/// The folders on `sys.path`: the file's own, the root, and `src`.
fn roots(project: &Project) -> Vec<PathBuf> {
    let mut roots = vec![folder(&project.entry), PathBuf::new(), PathBuf::from("src")];
    roots.dedup();
    roots
}

/// What a part of a dotted name is.
enum Part {
    /// A folder with an `__init__.py`.
    Package(PathBuf),
    /// A file.
    Module(PathBuf),
    /// Folders without one: each holds a part of a namespace package.
    Folders(Vec<PathBuf>),
}

struct Search<'a> {
    root: &'a Path,
}

impl Search<'_> {
    fn is_file(&self, path: &Path) -> bool {
        self.root.join(path).is_file()
    }

    fn part(&self, folders: &[PathBuf], name: &str) -> Part {
        let mut portions = Vec::new();
        for folder in folders {
            let path = folder.join(name);
            if self.is_file(&path.join("__init__.py")) {
                return Part::Package(path);
            }
            let module = folder.join(format!("{name}.py"));
            if self.is_file(&module) {
                return Part::Module(module);
            }
            if self.root.join(&path).is_dir() {
                portions.push(path);
            }
        }
        Part::Folders(portions)
    }
}
