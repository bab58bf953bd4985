//! The harness and the SDK, carried in the program and laid out beside each container's socket.

use std::{io::Write as _, os::unix::fs::OpenOptionsExt as _, path::Path, sync::LazyLock};

use qflow_model::ids::Digest;

/// Files by path below `python/`: `qflow/…` and `harness/…`.
pub const FILES: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/python.rs"));
/// The harness's file, once laid out.
pub const HARNESS: &str = "harness/qflow_harness.py";
/// The builder's file, once laid out.
pub const BUILDER: &str = "harness/qflow_builder.py";
/// What keeps containers from private addresses.
pub const EGRESS: &str = "harness/qflow_egress.py";

/// The text of one of the files.
pub fn text(path: &str) -> &'static str {
    let found = FILES.iter().find(|(name, _)| *name == path).expect("the program carries the files that it names");
    std::str::from_utf8(found.1).expect("sources are UTF-8")
}

/// Names what the program carries.
pub fn digest() -> Digest {
    static DIGEST: LazyLock<Digest> =
        LazyLock::new(|| Digest::of_parts(FILES.iter().flat_map(|(path, text)| [path.as_bytes(), *text])));
    *DIGEST
}

/// Writes all of them below a folder, readable by everybody.
pub fn lay_out(folder: &Path) -> std::io::Result<()> {
    for (path, text) in FILES {
        let path = folder.join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o644).open(path)?.write_all(text)?;
    }
    Ok(())
}
