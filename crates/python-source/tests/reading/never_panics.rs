//! Whatever the text is, reading ends with problems or a definition.

use proptest::prelude::*;
use qflow_python_source::read;

use crate::{pieces::PIECES, source};

const EXAMPLES: &[&str] = &[
    include_str!("../../../../examples/hello.py"),
    include_str!("../../../../examples/primes.py"),
    include_str!("../../../../examples/flaky.py"),
    include_str!("../../../../examples/branch.py"),
    include_str!("../../../../examples/spans.py"),
    include_str!("../../../../examples/airports.py"),
    include_str!("refusals/body.py"),
    include_str!("refusals/calls.py"),
    include_str!("refusals/nodes.py"),
    include_str!("refusals/options.py"),
    include_str!("refusals/not_yet.py"),
];

/// Every problem stands at a place that is there, with a code, a remedy, and no text that moves a cursor.
fn check(text: &str) -> Result<(), TestCaseError> {
    let read = read(&source("w.py", text));
    let lines = text.chars().filter(|c| matches!(c, '\n' | '\r')).count() as u32 + 1;
    for problem in &read.problems {
        prop_assert_ne!(&problem.code, "internal");
        prop_assert!((1..=lines).contains(&problem.place.line), "{:?}", problem);
        prop_assert!(problem.place.column >= 1 && problem.end_column >= problem.place.column, "{:?}", problem);
        prop_assert!(problem.remedy.is_some() && !problem.message.is_empty(), "{:?}", problem);
        prop_assert!(!problem.message.ends_with('.') && !problem.message.contains('\u{1b}'), "{:?}", problem);
    }
    let mut sorted = read.problems.clone();
    sorted.sort();
    prop_assert_eq!(sorted, read.problems);
    let json = serde_json::to_string(&read.definition).expect("a definition is JSON");
    let again: qflow_model::definition::Definition = serde_json::from_str(&json).expect("it reads back");
    prop_assert_eq!(again, read.definition);
    Ok(())
}

/// An example with some of its characters cut out, doubled or replaced by pieces.
fn mutated() -> impl Strategy<Value = String> {
    let edit = (any::<prop::sample::Index>(), 0..12_usize, prop::sample::select(PIECES));
    (prop::sample::select(EXAMPLES), prop::collection::vec(edit, 1..8)).prop_map(|(example, edits)| {
        let mut chars: Vec<char> = example.chars().collect();
        for (at, len, piece) in edits {
            let at = at.index(chars.len() + 1);
            let end = (at + len).min(chars.len());
            chars.splice(at..end, piece.chars());
        }
        chars.into_iter().collect()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_text_is_read(text in any::<String>()) {
        check(&text)?;
    }

    #[test]
    fn pieces_of_python_in_any_order_are_read(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..60)) {
        check(&pieces.concat())?;
    }

    #[test]
    fn mutated_examples_are_read(text in mutated()) {
        check(&text)?;
    }
}
