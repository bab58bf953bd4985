//! The twin of `fuzz/`: checks and converts hostile values without libfuzzer, on stable Rust.
//!
//! A few thousand inputs by default; `QFLOW_FUZZ_INPUTS=1000000` takes a million (`make fuzz`), `QFLOW_FUZZ_SEED` begins elsewhere.

#[path = "../../../python-source/tests/fuzzing/allocations.rs"]
mod allocations;
mod mutate;
#[path = "../../../../fuzz/values.rs"]
mod promises;

use std::time::{Duration, Instant};

use mutate::Mutator;
use qflow_types::Ty;

/// Inputs of an ordinary test run: a few seconds.
const INPUTS: u64 = 1_000;
/// Bytes that may be held at once besides those for an input.
const BASE_BYTES: usize = 1 << 20;
/// Bytes that may be held at once for each byte of an input: trees of it, and what is made of them.
const BYTES_PER_BYTE: usize = 2_000;
/// How long one input may take, on a machine that does other things too.
const LONGEST: Duration = Duration::from_secs(20);

#[test]
fn whatever_the_input_checking_keeps_its_promises() {
    let setting = |name: &str| std::env::var(name).ok().map(|text| text.parse::<u64>().expect("it is a number"));
    let inputs = setting("QFLOW_FUZZ_INPUTS").unwrap_or(INPUTS);
    let seed = setting("QFLOW_FUZZ_SEED").unwrap_or(0);
    let types: Vec<Ty> = promises::TYPES.iter().map(|text| text.parse().expect("a type")).collect();
    let classes = promises::classes();
    assert_eq!(classes.len(), 3);
    let begun = now();
    let (mut slowest, mut largest) = ((Duration::ZERO, 0), (0, 0));
    for number in seed..seed + inputs {
        let bytes = Mutator::new(number).value();
        let (at, before) = (now(), allocations::begin());
        let kept = promises::kept(&bytes, &types, &classes);
        let (took, held) = (at.elapsed(), allocations::peak().saturating_sub(before));
        let say = |what: String| -> ! {
            let shown = String::from_utf8_lossy(&bytes[..bytes.len().min(2_000)]).into_owned();
            panic!("input {number} (QFLOW_FUZZ_SEED={number} QFLOW_FUZZ_INPUTS=1): {what}\n{shown}")
        };
        if let Err(broken) = kept {
            say(broken);
        }
        if held > BASE_BYTES + BYTES_PER_BYTE * bytes.len() {
            say(format!("{held} bytes held for {}", bytes.len()));
        }
        if took > LONGEST {
            say(format!("{took:?} for {} bytes", bytes.len()));
        }
        slowest = slowest.max((took, number));
        largest = largest.max((held, number));
        if inputs > 50_000 && number % 50_000 == 0 {
            eprintln!("{number} checked, {} s", begun.elapsed().as_secs());
        }
    }
    eprintln!(
        "fuzz: {inputs} values from {seed} in {} s; slowest {} ms (input {}), at most {} KiB held (input {})",
        begun.elapsed().as_secs(),
        slowest.0.as_millis(),
        slowest.1,
        largest.0 >> 10,
        largest.1
    );
}

#[expect(clippy::disallowed_methods, reason = "a bound on the time that checking takes")]
fn now() -> Instant {
    Instant::now()
}
