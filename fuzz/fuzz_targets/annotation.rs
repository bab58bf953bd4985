//! Reads whatever bytes libfuzzer makes up, as one annotation.

#![no_main]

#[path = "../annotations.rs"]
mod annotations;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Err(broken) = annotations::kept(&String::from_utf8_lossy(bytes)) {
        panic!("{broken}");
    }
});
