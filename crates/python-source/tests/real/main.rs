//! Signatures of well-known packages, read as source and never imported: nothing panics, and what is not understood is named.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use qflow_model::definition::Source;
use qflow_python_source::signatures;

/// Packages, each with how many functions it has at least.
const PACKAGES: &[(&str, usize)] = &[
    ("attr", 80),
    ("click", 400),
    ("fastapi", 100),
    ("flask", 300),
    ("httpx", 400),
    ("pandas/core", 3_500),
    ("pydantic", 1_000),
    ("requests", 200),
    ("rich", 700),
    ("starlette", 400),
];

/// Why an annotation may not be understood: types that no value of a workflow has, and functions that no node could be.
const NAMED: &[&str] = &[
    "bad-annotation",
    "callable-type",
    "duplicate-name",
    "incompatible-default",
    "lazy-type",
    "positional-only",
    "reserved-name",
    "too-large",
    "too-many-problems",
    "unannotated",
    "unknown-type",
    "variadic",
];

fn sources() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let made = Command::new(root.join("deploy/local/real-code")).output().expect("deploy/local/real-code runs");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    PathBuf::from(String::from_utf8(made.stdout).expect("it is text").trim())
}

fn python_files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("it is there").path();
        if path.is_dir() {
            python_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "py") {
            found.push(path);
        }
    }
}

#[test]
fn signatures_of_well_known_packages_are_read() {
    let sources = sources();
    for (package, least) in PACKAGES {
        let mut files = Vec::new();
        python_files(&sources.join(package), &mut files);
        let (mut functions, mut types, mut opaque, mut codes) = (0, 0, 0, BTreeMap::<String, BTreeSet<String>>::new());
        for path in files {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            let source = Source { entry: "module.py".to_owned(), files: [("module.py".to_owned(), text)].into() };
            let read = signatures(&source);
            functions += read.signatures.len();
            for signature in &read.signatures {
                let of_params = signature.params.iter().map(|param| &param.ty.0);
                for ty in of_params.chain([&signature.returns.0]) {
                    ty.parse::<qflow_types::Ty>().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                    (types, opaque) = (types + 1, opaque + usize::from(ty == "Any"));
                }
            }
            for problem in read.problems {
                let at = format!("{}:{}: {}", path.display(), problem.place.line, problem.message);
                assert!(problem.place.line >= 1 && !problem.message.is_empty(), "{at}");
                assert!(problem.remedy.is_some_and(|remedy| !remedy.is_empty()), "{at}");
                codes.entry(problem.code).or_default().insert(at);
            }
        }
        println!("{package}: {functions} functions, {types} types, {opaque} of them Any");
        assert!(functions >= *least, "{package}: {functions} functions");
        for (code, at) in codes {
            assert!(NAMED.contains(&code.as_str()), "{package}: {code}: {:#?}", at.iter().take(5).collect::<Vec<_>>());
        }
    }
}
