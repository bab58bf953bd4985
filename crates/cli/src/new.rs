//! `qflow new`: a starting file that runs as it stands.

use std::{
    io::Write as _,
    path::{Path, PathBuf},
};

use crate::{
    args::{NewArgs, Template},
    exit::{Exit, Fail},
    outln,
};

/// What the file is called where nothing is said.
const NAME: &str = "flow";
/// Stands for the workflow's name in a template.
const WORKFLOW: &str = "WORKFLOW";
/// Words that are no names in Python.
const KEYWORDS: &[&str] = &[
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif", "else", "except",
    "finally", "for", "from", "global", "if", "import", "in", "is", "lambda", "nonlocal", "not", "or", "pass", "raise",
    "return", "try", "while", "with", "yield",
];

/// Writes the file.
pub fn new(args: &NewArgs) -> Result<Exit, Fail> {
    let file = path(args.name.as_deref().unwrap_or(Path::new(NAME)));
    let stem = file.file_stem().and_then(|stem| stem.to_str());
    let stem = stem.ok_or_else(|| Fail::usage(format!("{} has no name in UTF-8", file.display())))?;
    let (text, next) = template(args.template);
    let name = function(stem, text);
    let shown = file.display().to_string();
    // A name that would end the docstring, or mean something in it, is left out of it.
    let told = if shown.contains(['"', '\\']) { "FILE" } else { shown.as_str() };
    write(&file, &text.replace("FILE", told).replace(WORKFLOW, &name), args.force)?;
    outln!("wrote {shown}: the workflow `{name}`\n\nrun it:          qflow run {shown}{next}");
    outln!("check it:        qflow validate {shown}\ntest it:         qflow test {shown}");
    outln!("as plain Python: python {shown}");
    Ok(Exit::Completed)
}

/// A name without an ending is a file of Python's.
fn path(name: &Path) -> PathBuf {
    if name.extension().is_some_and(|extension| extension == "py") {
        return name.to_owned();
    }
    let mut name = name.as_os_str().to_owned();
    name.push(".py");
    name.into()
}

/// A template's text, and parameters to try it with.
fn template(template: Template) -> (&'static str, &'static str) {
    match template {
        Template::Default => (include_str!("../templates/default.py"), " -p name=Ada"),
        Template::Etl => (include_str!("../templates/etl.py"), " -p day=2026-11-24"),
        Template::FanOut => (include_str!("../templates/fan_out.py"), " -p upto=100000"),
    }
}

/// The workflow's name: the file's, as Python may spell it, and no other name of the template's.
fn function(stem: &str, text: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '_' };
    let mut name: String = stem.chars().map(plain).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) {
        name.insert(0, '_');
    }
    // Words of the docstring are no names.
    let code = text.splitn(3, "\"\"\"").last().unwrap_or(text);
    let taken = |name: &str| code.split(|c: char| !(c.is_alphanumeric() || c == '_')).any(|word| word == name);
    if name.chars().all(|c| c == '_') || KEYWORDS.contains(&name.as_str()) || taken(&name) {
        name.push_str(if name.ends_with('_') { "flow" } else { "_flow" });
    }
    name
}

fn write(file: &Path, text: &str, force: bool) -> Result<(), Fail> {
    let failed = |e: std::io::Error| match e.kind() {
        std::io::ErrorKind::AlreadyExists => {
            Fail::usage(format!("{} is there already; --force writes over it", file.display()))
        }
        _ => Fail::usage(format!("write {}: {e}", file.display())),
    };
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(failed)?;
    }
    let mut options = std::fs::OpenOptions::new();
    // Whoever made the file since it was looked for keeps it.
    let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
    options.write(true).open(file).and_then(|mut file| file.write_all(text.as_bytes())).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum as _;

    #[test]
    fn the_workflow_is_named_by_the_file_where_python_allows_it() {
        let text = "def load(rows):\n";
        for (stem, name) in [
            ("sales", "sales"),
            ("Daily-Sales", "daily_sales"),
            ("2026", "_2026"),
            ("class", "class_flow"),
            ("load", "load_flow"),
            ("été", "_t_"),
            ("日", "_flow"),
        ] {
            assert_eq!(function(stem, text), name, "{stem}");
        }
    }

    #[test]
    fn every_template_is_sound_under_any_name() {
        for choice in Template::value_variants() {
            for name in ["flow", "extract", "cut", "greet", "sales"] {
                let home = tempfile::tempdir().unwrap();
                let file = home.path().join(name);
                let args = NewArgs { name: Some(file.clone()), template: *choice, force: false };
                assert_eq!(new(&args).unwrap(), Exit::Completed);
                let source = crate::source::collect(&file.with_extension("py")).unwrap().source;
                let (definition, problems) = qflow_type_validator::validate::validate(&source);
                assert_eq!(problems, vec![], "{choice:?} {name}");
                assert_eq!(definition.workflows.len(), 1);
                let text = &source.files[&source.entry];
                assert!(!text.contains("FILE") && !text.contains(WORKFLOW), "{choice:?}");
            }
        }
    }

    #[test]
    fn what_is_there_is_kept_unless_forced() {
        let home = tempfile::tempdir().unwrap();
        let args = |force| NewArgs { name: Some(home.path().join("a/b.py")), template: Template::Etl, force };
        new(&args(false)).unwrap();
        std::fs::write(home.path().join("a/b.py"), "mine").unwrap();
        let fail = new(&args(false)).unwrap_err();
        assert_eq!(fail.exit, Exit::Usage);
        assert!(fail.message.contains("--force"), "{fail}");
        assert_eq!(std::fs::read_to_string(home.path().join("a/b.py")).unwrap(), "mine");
        new(&args(true)).unwrap();
        assert!(std::fs::read_to_string(home.path().join("a/b.py")).unwrap().contains("def b("));
    }
}
