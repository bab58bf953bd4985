//! What the examples are read as, and every refusal of a file at once.

use std::collections::BTreeMap;

use qflow_model::definition::Source;
use qflow_python_source::read;

fn source(entry: &str, text: &str) -> Source {
    Source { entry: entry.to_owned(), files: BTreeMap::from([(entry.to_owned(), text.to_owned())]) }
}

macro_rules! examples {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            let file = concat!(stringify!($name), ".py");
            let read = read(&source(file, include_str!(concat!("../../../examples/", stringify!($name), ".py"))));
            assert_eq!(read.problems, vec![]);
            insta::assert_json_snapshot!(stringify!($name), read.definition);
        }
    )*};
}

examples! { hello primes flaky branch spans airports }

#[test]
fn refusals_are_told_all_at_once() {
    let read = read(&source("refusals.py", include_str!("refusals.py")));
    let lines: Vec<_> = read
        .problems
        .iter()
        .map(|p| {
            format!("{}-{} {}: {} → {}", p.place, p.end_column, p.code, p.message, p.remedy.as_deref().unwrap_or(""))
        })
        .collect();
    insta::assert_json_snapshot!("refusals", lines);
}

#[test]
fn deep_nesting_is_refused_before_it_is_parsed() {
    for text in ["(".repeat(5000), format!("x = a{}", ".a".repeat(50_000)), format!("x = f{}", "()".repeat(50_000))] {
        let read = read(&source("deep.py", &text));
        assert_eq!(read.problems[0].code, "too-deep");
    }
}
