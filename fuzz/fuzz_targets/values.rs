//! Checks and converts whatever bytes libfuzzer makes up, as a value.

#![no_main]

#[path = "../values.rs"]
mod values;

use libfuzzer_sys::fuzz_target;
use qflow_types::Ty;

fuzz_target!(|bytes: &[u8]| {
    let types: Vec<Ty> = values::TYPES.iter().filter_map(|text| text.parse().ok()).collect();
    if let Err(broken) = values::kept(bytes, &types, &values::classes()) {
        panic!("{broken}");
    }
});
