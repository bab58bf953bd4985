//! A folder as a tar archive, byte for byte as `python/harness/qflow_content.py` writes one (on 3.9 and newer): sorted, without owners and times, two
//! modes only; so the same content has the same digest, whoever packed it.

use std::{
    fs,
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt as _,
    path::Path,
};

/// What a folder may hold: as many as the harness packs.
const ENTRIES: usize = 100_000;
/// Bytes of a block, in which an archive is measured.
const BLOCK: u64 = 512;
/// Bytes of a name that fits a header; a longer one has a record of its own before it.
const NAME_BYTES: usize = 100;

/// Something in a folder.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    /// Its path below the folder, `/` between parts.
    path: String,
    is_folder: bool,
    is_program: bool,
    bytes: u64,
}

/// All that is in a folder, in the archive's order; what does not travel is an error that names it.
pub(super) fn entries(folder: &Path) -> Result<Vec<Entry>, String> {
    let mut found = Vec::new();
    walk(folder, "", &mut found)?;
    Ok(found)
}

fn walk(root: &Path, below: &str, found: &mut Vec<Entry>) -> Result<(), String> {
    let failed = |path: &Path, e: io::Error| format!("read {}: {e}", path.display());
    let folder = root.join(below);
    let mut names = Vec::new();
    for entry in fs::read_dir(&folder).map_err(|e| failed(&folder, e))? {
        let name = entry.map_err(|e| failed(&folder, e))?.file_name();
        names.push(
            name.into_string().map_err(|name| format!("{}: its name is not UTF-8", folder.join(name).display()))?,
        );
    }
    names.sort();
    for name in names {
        let path = if below.is_empty() { name } else { format!("{below}/{name}") };
        let whole = root.join(&path);
        let told = fs::symlink_metadata(&whole).map_err(|e| failed(&whole, e))?;
        let (is_folder, shown) = (told.is_dir(), whole.display());
        if told.is_symlink() {
            return Err(format!("{shown}: a symbolic link does not travel; copy what it points to"));
        }
        if !(told.is_file() || is_folder) {
            return Err(format!("{shown}: neither a file nor a folder"));
        }
        if found.len() == ENTRIES {
            return Err(format!("{}: more than {ENTRIES} files, which is the bound of a folder", root.display()));
        }
        let is_program = told.permissions().mode() & 0o111 != 0;
        let bytes = if is_folder { 0 } else { told.len() };
        found.push(Entry { path: path.clone(), is_folder, is_program, bytes });
        if is_folder {
            walk(root, &path, found)?;
        }
    }
    Ok(())
}

/// Bytes of the archive.
pub(super) fn size(entries: &[Entry]) -> u64 {
    let one = |entry: &Entry| heads(entry).len() as u64 + entry.bytes.next_multiple_of(BLOCK);
    entries.iter().map(one).fold(2 * BLOCK, u64::saturating_add)
}

/// Writes the archive.
pub(super) fn write(root: &Path, entries: &[Entry], to: &mut impl Write) -> io::Result<()> {
    for entry in entries {
        to.write_all(&heads(entry))?;
        if entry.is_folder {
            continue;
        }
        let mut file = super::open(&root.join(&entry.path))?;
        let written = io::copy(&mut (&mut file).take(entry.bytes), to)?;
        if written < entry.bytes || file.read(&mut [0])? > 0 {
            return Err(io::Error::other(format!("{} changed while it was read", entry.path)));
        }
        let padding = entry.bytes.next_multiple_of(BLOCK) - entry.bytes;
        io::copy(&mut io::repeat(0).take(padding), to)?;
    }
    io::copy(&mut io::repeat(0).take(2 * BLOCK), to).map(drop)
}

/// What stands before an entry's content.
fn heads(entry: &Entry) -> Vec<u8> {
    let path = if entry.is_folder { format!("{}/", entry.path) } else { entry.path.clone() };
    let mut all = Vec::new();
    if !path.is_ascii() || path.len() > NAME_BYTES {
        let record = record("path", &path);
        all.extend(header(b"././@PaxHeader", 0, record.len() as u64, b'x'));
        all.extend(&record);
        all.resize(all.len().next_multiple_of(BLOCK as usize), 0);
    }
    let plain: Vec<u8> = path.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).take(NAME_BYTES).collect();
    let mode = if entry.is_folder || entry.is_program { 0o755 } else { 0o644 };
    all.extend(header(&plain, mode, entry.bytes, if entry.is_folder { b'5' } else { b'0' }));
    all
}

/// `LENGTH KEY=VALUE`, where the length counts itself.
fn record(key: &str, value: &str) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    format!("{length} {key}={value}\n").into_bytes()
}

/// A header of the ustar form.
fn header(name: &[u8], mode: u32, size: u64, kind: u8) -> [u8; BLOCK as usize] {
    let mut block = [0; BLOCK as usize];
    let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, name);
    put(100, format!("{mode:07o}").as_bytes());
    put(108, b"0000000\x000000000");
    put(124, format!("{size:011o}\x0000000000000").as_bytes());
    put(148, b"        ");
    put(156, &[kind]);
    put(257, b"ustar\x0000");
    let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
    block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    block
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_sorted_and_says_nothing_of_owners_and_times() {
        let at = tempfile::tempdir().unwrap();
        fs::create_dir(at.path().join("b")).unwrap();
        let long = "n".repeat(120);
        for (name, text) in [("c.txt", "third"), ("b/ä.txt", "second"), ("a", "first"), (&long, "")] {
            fs::write(at.path().join(name), text).unwrap();
        }
        fs::set_permissions(at.path().join("a"), fs::Permissions::from_mode(0o700)).unwrap();
        let all = entries(at.path()).unwrap();
        let mut packed = Vec::new();
        write(at.path(), &all, &mut packed).unwrap();
        assert_eq!(packed.len() as u64, size(&all));
        let names: Vec<_> = all.iter().map(|entry| entry.path.as_str()).collect();
        assert_eq!(names, ["a", "b", "b/ä.txt", "c.txt", &long]);
        let to = at.path().join("out");
        qflow_container_runner::unpack::folder(packed.as_slice(), &to, 0o644).unwrap();
        assert_eq!(fs::read_to_string(to.join("b/ä.txt")).unwrap(), "second");
        assert!(to.join(&long).is_file());
        assert_eq!(fs::metadata(to.join("a")).unwrap().permissions().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_link_and_a_file_that_changes_do_not_travel() {
        let at = tempfile::tempdir().unwrap();
        fs::write(at.path().join("a"), "one").unwrap();
        let all = entries(at.path()).unwrap();
        fs::write(at.path().join("a"), "another").unwrap();
        let changed = write(at.path(), &all, &mut io::sink()).unwrap_err();
        assert_eq!(changed.to_string(), "a changed while it was read");
        std::os::unix::fs::symlink("/etc/passwd", at.path().join("z")).unwrap();
        assert!(entries(at.path()).unwrap_err().ends_with("copy what it points to"));
    }
}
