//! The files of a submission: the one that was named, and those beside it that it imports.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use qflow_model::{definition::Source, limits};

use crate::exit::{Exit, Fail};

/// Reads the file and the modules beside it that it imports.
pub fn collect(file: &Path) -> Result<Source, Fail> {
    let root = file.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let entry = file
        .file_name()
        .and_then(|name| name.to_str())
        .ok_or_else(|| Fail::usage(format!("{} has no name in UTF-8", file.display())))?
        .to_owned();
    let mut files = BTreeMap::new();
    let mut wanted = vec![PathBuf::from(&entry)];
    let mut bytes = 0;
    while let Some(path) = wanted.pop() {
        let name = path.to_str().map(str::to_owned).unwrap_or_default();
        if files.contains_key(&name) {
            continue;
        }
        let text = read(&root.join(&path))?;
        bytes += text.len();
        if files.len() >= limits::FILES || bytes > limits::SUBMISSION_BYTES {
            let message = format!(
                "{} and what it imports are more than {} files or {} bytes",
                file.display(),
                limits::FILES,
                limits::SUBMISSION_BYTES
            );
            return Err(Fail::new(Exit::Invalid, message));
        }
        wanted
            .extend(qflow_python_source::imported(&text).into_iter().filter_map(|module| beside(root, &path, &module)));
        files.insert(name, text);
    }
    Ok(Source { entry, files })
}

fn read(path: &Path) -> Result<String, Fail> {
    let shown = path.display();
    let failed = |e: std::io::Error| Fail::usage(format!("read {shown}: {e}"));
    let size = std::fs::metadata(path).map_err(failed)?;
    if size.is_dir() {
        return Err(Fail::usage(format!("{shown} is a folder; name a file in it")));
    }
    if size.len() > limits::SOURCE_BYTES as u64 {
        let message = format!("{shown} has {} bytes; a source file has at most {}", size.len(), limits::SOURCE_BYTES);
        return Err(Fail::new(Exit::Invalid, message));
    }
    let bytes = std::fs::read(path).map_err(failed)?;
    String::from_utf8(bytes).map_err(|e| {
        let at = e.utf8_error().valid_up_to();
        Fail::new(Exit::Invalid, format!("{shown} is not UTF-8 at byte {at}"))
    })
}

/// The file below the root that a module's name stands for, where there is one.
fn beside(root: &Path, importer: &Path, module: &str) -> Option<PathBuf> {
    let dots = module.chars().take_while(|c| *c == '.').count();
    let mut base = PathBuf::new();
    if dots > 0 {
        importer.ancestors().nth(dots)?.clone_into(&mut base);
    }
    let name = &module[dots..];
    let plain = |part: &str| !part.is_empty() && part.chars().all(|c| c == '_' || c.is_alphanumeric());
    if !name.is_empty() && !name.split('.').all(plain) {
        return None;
    }
    base.extend(name.split('.').filter(|part| !part.is_empty()));
    let candidates = [base.with_extension("py"), base.join("__init__.py")];
    candidates.into_iter().find(|path| path != Path::new(".py") && root.join(path).is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_beside_the_file_are_sent_and_others_are_not() {
        let home = tempfile::tempdir().unwrap();
        let write = |path: &str, text: &str| {
            let path = home.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("flow.py", "import os, helper\nfrom parts.clean import (\n    f,\n)\nfrom qflow import node\n");
        write("helper.py", "import flow\n");
        write("parts/clean.py", "from . import names\n");
        write("parts/names.py", "");
        write("unused.py", "");
        let source = collect(&home.path().join("flow.py")).unwrap();
        let names: Vec<_> = source.files.keys().map(String::as_str).collect();
        assert_eq!(names, ["flow.py", "helper.py", "parts/clean.py", "parts/names.py"]);
        assert_eq!(source.entry, "flow.py");
    }

    #[test]
    fn a_missing_file_is_usage_and_a_huge_one_is_invalid() {
        let home = tempfile::tempdir().unwrap();
        assert_eq!(collect(&home.path().join("absent.py")).unwrap_err().exit, Exit::Usage);
        assert_eq!(collect(home.path()).unwrap_err().exit, Exit::Usage);
        std::fs::write(home.path().join("huge.py"), vec![b'#'; 10 << 20]).unwrap();
        let fail = collect(&home.path().join("huge.py")).unwrap_err();
        assert_eq!(fail.exit, Exit::Invalid);
        assert!(fail.message.contains("262144"), "the bound is named: {fail}");
        std::fs::write(home.path().join("latin.py"), b"# \xe4").unwrap();
        assert!(collect(&home.path().join("latin.py")).unwrap_err().message.contains("byte 2"));
    }
}
