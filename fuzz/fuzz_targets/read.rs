//! Reads whatever bytes libfuzzer makes up, as a submission of one file or several.

#![no_main]

#[path = "../promises.rs"]
mod promises;

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use qflow_model::definition::Source;

/// A line that begins another file: `# file: parts.py`.
const FILE: &str = "# file: ";

fuzz_target!(|bytes: &[u8]| {
    let text = String::from_utf8_lossy(bytes);
    let mut files = BTreeMap::from([("w.py".to_owned(), String::new())]);
    let mut path = "w.py".to_owned();
    for line in text.split_inclusive('\n') {
        match line.strip_prefix(FILE) {
            Some(name) => path = name.trim_end().to_owned(),
            None => files.entry(path.clone()).or_default().push_str(line),
        }
    }
    let source = Source { entry: "w.py".to_owned(), files };
    let read = qflow_python_source::read(&source);
    if let Err(broken) = promises::kept(&source, &read) {
        panic!("{broken}");
    }
});
