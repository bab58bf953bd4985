//! Signatures of well-known packages, read as source and never imported: nothing panics, what is not understood is named, and little is.

mod written;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use qflow_model::definition::{Place, Problem, Source};
use qflow_python_source::{Signature, signatures};
use qflow_types::Ty;
use written::{Annotation, Annotations};

/// A package, with bounds a little beyond what it comes to.
struct Package {
    name: &'static str,
    /// Functions that it has at least.
    functions: usize,
    /// Of a hundred annotations, how many at most are `Any`, or hold one, without saying so.
    unread: usize,
    /// Of a hundred annotations, how many at most name a class that is known by its name only: its own, and those of other packages.
    opaque: usize,
}

const fn package(name: &'static str, functions: usize, unread: usize, opaque: usize) -> Package {
    Package { name, functions, unread, opaque }
}

const PACKAGES: &[Package] = &[
    package("attr", 160, 9, 3),
    package("click", 480, 4, 25),
    package("fastapi", 240, 6, 23),
    package("flask", 330, 12, 22),
    package("httpx", 430, 5, 48),
    package("pandas/core", 3_900, 3, 41),
    package("pydantic", 1_700, 4, 30),
    // Nearly nothing is annotated there.
    package("requests", 230, 0, 40),
    package("rich", 840, 3, 42),
    package("starlette", 460, 5, 33),
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

/// What the annotations of a package come to.
#[derive(Default)]
struct Count {
    functions: usize,
    annotations: usize,
    unread: usize,
    opaque: usize,
}

/// Reads one file's signatures, and holds each type of them to what is written.
fn read_file(path: &Path, text: String, count: &mut Count, codes: &mut BTreeMap<String, BTreeSet<String>>) {
    let source = Source { entry: "module.py".to_owned(), files: [("module.py".to_owned(), text)].into() };
    let read = signatures(&source);
    let annotations = Annotations::of(&source.files["module.py"]);
    count.functions += read.signatures.len();
    let mut untold = Vec::new();
    for (place, ty) in read.signatures.iter().flat_map(types) {
        let ty: Ty = ty.parse().unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let written = annotations.behind(place);
        if let Some(written) = &written {
            count.annotations += 1;
            count.opaque += usize::from(has(&ty, &is_opaque));
            if !has(&ty, &is_any) || annotations.says_any(written.text) {
                continue;
            }
            count.unread += 1;
        }
        if !is_told(&read.problems, place, written.as_ref()) {
            untold.push(format!("{}:{}: {ty}", path.display(), place.line));
        }
    }
    // Past a bound problems are counted, and told no more.
    let counted = read.problems.iter().filter(|told| told.code == "too-many-problems");
    let counted = counted.filter_map(|told| told.message.split(' ').next()?.parse::<usize>().ok()).sum::<usize>();
    assert!(untold.len() <= counted, "Any without a word: {untold:#?}");
    for problem in read.problems {
        let at = format!("{}:{}: {}", path.display(), problem.place.line, problem.message);
        assert!(problem.place.line >= 1 && !problem.message.is_empty(), "{at}");
        assert!(problem.remedy.is_some_and(|remedy| !remedy.is_empty()), "{at}");
        codes.entry(problem.code).or_default().insert(at);
    }
}

/// The types of a signature, with its variables, and where what they are of is named.
fn types(signature: &Signature) -> impl Iterator<Item = (&Place, &str)> {
    let generic = signature.generic.as_ref();
    let params = signature.params.iter().map(move |param| {
        let ty = generic.and_then(|generic| generic.params.get(&param.name)).unwrap_or(&param.ty);
        (&param.place, ty.0.as_str())
    });
    let returns = generic.map_or(&signature.returns, |generic| &generic.returns);
    params.chain([(&signature.place, returns.0.as_str())])
}

/// Whether a problem stands at an annotation, or where one is missing at the name.
fn is_told(problems: &[Problem], name: &Place, written: Option<&Annotation<'_>>) -> bool {
    problems.iter().any(|told| match written {
        Some(written) => written.lines.contains(&told.place.line),
        None => told.code == "unannotated" && (told.place.line, told.place.column) == (name.line, name.column),
    })
}

/// Whether a type or a part of it is so.
fn has(ty: &Ty, is: &dyn Fn(&Ty) -> bool) -> bool {
    is(ty) || (!is_bare_tuple(ty) && ty.parts().into_iter().any(|part| has(part, is)))
}

fn is_any(ty: &Ty) -> bool {
    *ty == Ty::Any
}

/// `tuple` says that it is one of anything, as `list` does.
fn is_bare_tuple(ty: &Ty) -> bool {
    matches!(ty, Ty::Tuples(item) if **item == Ty::Any)
}

fn is_opaque(ty: &Ty) -> bool {
    matches!(ty, Ty::Class(name) | Ty::Generic(name, _) if !qflow_types::is_builtin(name))
}

#[test]
fn signatures_of_well_known_packages_are_read() {
    let sources = sources();
    for Package { name, functions, unread, opaque } in PACKAGES {
        let mut files = Vec::new();
        python_files(&sources.join(name), &mut files);
        let (mut count, mut codes) = (Count::default(), BTreeMap::new());
        for path in files {
            let Ok(text) = std::fs::read_to_string(&path) else { continue };
            read_file(&path, text, &mut count, &mut codes);
        }
        let share = |of: usize| (100 * of).div_ceil(count.annotations);
        let (not_read, by_name) = (share(count.unread), share(count.opaque));
        println!(
            "{name}: {} functions, {} annotations, {not_read} % not read, {by_name} % with classes known by name only",
            count.functions, count.annotations
        );
        assert!(count.functions >= *functions, "{name}: {} functions", count.functions);
        assert!(not_read <= *unread, "{name}: {not_read} % of its annotations are Any without saying so");
        assert!(by_name <= *opaque, "{name}: {by_name} % of its annotations name a class that is not known");
        for (code, at) in codes {
            assert!(NAMED.contains(&code.as_str()), "{name}: {code}: {:#?}", at.iter().take(5).collect::<Vec<_>>());
        }
    }
}
