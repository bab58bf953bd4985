//! Puts the harness and the SDK into the program, so that a binary stands alone.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
};

fn main() {
    let manifest = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let python = manifest.join("../../python");
    let mut found = Vec::new();
    for part in ["qflow", "harness"] {
        collect(&python.join(part), part, &mut found);
    }
    found.sort();
    let mut table = String::from("&[\n");
    for (name, path) in found {
        writeln!(table, "    ({name:?}, include_bytes!({:?})),", path.display().to_string())
            .expect("a text takes text");
    }
    table.push(']');
    let out = PathBuf::from(std::env::var("OUT_DIR").expect("cargo sets it")).join("python.rs");
    std::fs::write(out, table).expect("the output folder takes files");
}

/// Every `.py` and `.typed` file below a folder; the harness's own tests stay out.
fn collect(folder: &Path, name: &str, found: &mut Vec<(String, PathBuf)>) {
    println!("cargo::rerun-if-changed={}", folder.display());
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let (path, file) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        if file.starts_with("test") || file == "__pycache__" {
            continue;
        }
        if path.is_dir() {
            collect(&path, &format!("{name}/{file}"), found);
        } else if path.extension().is_some_and(|kind| kind == "py" || kind == "typed") {
            found.push((format!("{name}/{file}"), path));
        }
    }
}
