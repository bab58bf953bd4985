//! The twin of `fuzz/`: reads mutated real files and hostile texts without libfuzzer, on stable Rust.
//!
//! A few thousand inputs by default; `QFLOW_FUZZ_INPUTS=1000000` reads a million (`make fuzz`), `QFLOW_FUZZ_SEED` begins elsewhere.

mod allocations;
mod annotated;
#[path = "../../../../fuzz/annotations.rs"]
mod annotations;
mod corpus;
mod mutate;
#[path = "../pieces/mod.rs"]
mod pieces;

#[path = "../../../../fuzz/promises.rs"]
mod promises;

use std::time::{Duration, Instant};

use mutate::Mutator;

/// Inputs of an ordinary test run: a few seconds.
const INPUTS: u64 = 1_500;
/// Bytes that reading may hold at once besides those for what it is given: tables of the parser, and problems with their excerpts.
const BASE_BYTES: usize = 8 << 20;
/// Bytes that reading may hold at once for each byte that it is given.
const BYTES_PER_BYTE: usize = 600;
/// How long one input may take, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn whatever_the_input_reading_keeps_its_promises() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let inputs = setting("QFLOW_FUZZ_INPUTS").unwrap_or(INPUTS);
    let seed = setting("QFLOW_FUZZ_SEED").unwrap_or(0);
    let corpus = corpus::files();
    assert!(corpus.len() >= 30, "the corpus is there: {}", corpus.len());
    let begun = now();
    let (mut slowest, mut largest) = ((Duration::ZERO, 0), (0, 0));
    for number in seed..seed + inputs {
        let source = Mutator::new(&corpus, number).source();
        let bytes: usize = source.files.values().map(String::len).sum();
        let (at, before) = (now(), allocations::begin());
        let read = qflow_python_source::read(&source);
        let (took, held) = (at.elapsed(), allocations::peak().saturating_sub(before));
        let say = |what: String| -> ! {
            panic!("input {number} (QFLOW_FUZZ_SEED={number} QFLOW_FUZZ_INPUTS=1): {what}\n{source:?}")
        };
        if let Err(broken) = promises::kept(&source, &read) {
            say(broken);
        }
        if held > BASE_BYTES + BYTES_PER_BYTE * bytes {
            say(format!("{held} bytes held for {bytes}"));
        }
        if took > LONGEST {
            say(format!("{took:?} for {bytes} bytes"));
        }
        slowest = slowest.max((took, number));
        largest = largest.max((held, number));
        if inputs > 50_000 && number % 50_000 == 0 {
            eprintln!("{number} read, {} s", begun.elapsed().as_secs());
        }
    }
    let (seconds, mib) = (begun.elapsed().as_secs(), largest.0 >> 20);
    let (ms, files) = (slowest.0.as_millis(), corpus.len());
    eprintln!(
        "fuzz: {inputs} inputs from {seed} over {files} files in {seconds} s; slowest {ms} ms (input {}), at most {mib} MiB held (input {})",
        slowest.1, largest.1
    );
}

/// Bytes that one annotation may hold at once besides those for each of its own.
const ANNOTATION_BYTES: usize = 4 << 20;

#[test]
fn whatever_the_text_an_annotation_keeps_its_promises() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let inputs = setting("QFLOW_FUZZ_INPUTS").unwrap_or(10 * INPUTS);
    let seed = setting("QFLOW_FUZZ_SEED").unwrap_or(0);
    let begun = now();
    let (mut slowest, mut largest, mut types) = ((Duration::ZERO, 0), (0, 0), 0_u64);
    for number in seed..seed + inputs {
        let text = annotated::text(number);
        types += u64::from(qflow_python_source::annotation(&text).is_ok());
        let (at, before) = (now(), allocations::begin());
        let kept = annotations::kept(&text);
        let (took, held) = (at.elapsed(), allocations::peak().saturating_sub(before));
        let say = |what: String| -> ! {
            let shown: String = text.chars().take(2_000).collect();
            panic!("annotation {number} (QFLOW_FUZZ_SEED={number} QFLOW_FUZZ_INPUTS=1): {what}\n{shown:?}")
        };
        if let Err(broken) = kept {
            say(broken);
        }
        if held > ANNOTATION_BYTES + BYTES_PER_BYTE * text.len() {
            say(format!("{held} bytes held for {}", text.len()));
        }
        if took > LONGEST {
            say(format!("{took:?} for {} bytes", text.len()));
        }
        slowest = slowest.max((took, number));
        largest = largest.max((held, number));
    }
    assert!(inputs < 1_000 || (types > inputs / 50 && types < inputs), "of both kinds: {types} are types");
    eprintln!(
        "fuzz: {inputs} annotations from {seed}, {types} of them types, in {} s; slowest {} ms (input {}), at most {} KiB held (input {})",
        begun.elapsed().as_secs(),
        slowest.0.as_millis(),
        slowest.1,
        largest.0 >> 10,
        largest.1
    );
}

#[expect(clippy::disallowed_methods, reason = "a bound on the time that reading takes")]
fn now() -> Instant {
    Instant::now()
}
