//! Archives of folders become folders again: files and folders only, each below the folder.

use std::{
    io::{Error, Read},
    os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _},
    path::{Component, Path},
};

use qflow_model::limits::VALUE_BYTES;

/// What an archive may hold: as many as the harness packs.
const ENTRIES: usize = 100_000;

/// The mode of files that are none's to write to.
pub(crate) const READ_ONLY: u32 = 0o444;

/// Unpacks an archive into a new folder, its files with `mode`, what runs to be run too. It comes from user code: whatever is not a
/// file or a folder below it is refused.
pub fn folder(archive: impl Read, to: &Path, mode: u32) -> Result<(), Error> {
    std::fs::create_dir(to)?;
    let mut archive = tar::Archive::new(archive);
    let (mut count, mut left) = (0, VALUE_BYTES);
    for entry in archive.entries()? {
        let mut entry = entry?;
        count += 1;
        if count > ENTRIES {
            return Err(refused(&format!("more than {ENTRIES} files")));
        }
        let path = entry.path()?.into_owned();
        let inner: Vec<_> = path.components().filter(|part| *part != Component::CurDir).collect();
        if !inner.iter().all(|part| matches!(part, Component::Normal(_))) {
            return Err(refused(&format!("`{}` is not below the folder", path.display())));
        }
        let Some((Component::Normal(name), above)) = inner.split_last() else { continue };
        let above = above.iter().fold(to.to_owned(), |at, part| at.join(part));
        std::fs::create_dir_all(&above)?;
        let kind = entry.header().entry_type();
        if kind.is_dir() {
            std::fs::create_dir_all(above.join(name))?;
            continue;
        }
        if !kind.is_file() {
            return Err(refused(&format!("`{}` is neither a file nor a folder", path.display())));
        }
        left = left.checked_sub(entry.size()).ok_or_else(|| refused(&format!("more than {VALUE_BYTES} bytes")))?;
        // A name that is there already is not followed, whatever it is.
        let mut file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(above.join(name))?;
        std::io::copy(&mut entry, &mut file)?;
        let runs = entry.header().mode()? & 0o111 != 0;
        file.set_permissions(std::fs::Permissions::from_mode(if runs { mode | 0o111 } else { mode }))?;
    }
    Ok(())
}

fn refused(why: &str) -> Error {
    Error::new(std::io::ErrorKind::InvalidData, format!("the archive of a folder: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed(add: impl Fn(&mut tar::Builder<Vec<u8>>)) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        add(&mut builder);
        builder.into_inner().unwrap()
    }

    fn file(builder: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32) {
        let mut header = tar::Header::new_ustar();
        header.set_size(1);
        header.set_mode(mode);
        // As a hostile archive has it: `set_path` would refuse what lies outside.
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_cksum();
        builder.append(&header, &b"x"[..]).unwrap();
    }

    #[test]
    fn files_and_folders_come_back_and_are_not_to_be_written_to() {
        let at = tempfile::tempdir().unwrap();
        let to = at.path().join("out");
        let archive = packed(|builder| {
            file(builder, "a.txt", 0o644);
            file(builder, "deep/er/run.sh", 0o755);
        });
        folder(archive.as_slice(), &to, 0o444).unwrap();
        assert_eq!(std::fs::read(to.join("a.txt")).unwrap(), b"x");
        let mode = std::fs::metadata(to.join("deep/er/run.sh")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555);
    }

    #[test]
    fn what_lies_outside_or_is_a_link_is_refused() {
        let at = tempfile::tempdir().unwrap();
        for (number, name) in ["../out.txt", "/etc/out.txt", "a/../../out.txt"].into_iter().enumerate() {
            let archive = packed(|builder| file(builder, name, 0o644));
            let error = folder(archive.as_slice(), &at.path().join(number.to_string()), 0o444).unwrap_err();
            assert!(error.to_string().contains("is not below the folder"), "{error}");
        }
        let link = packed(|builder| {
            let mut header = tar::Header::new_ustar();
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            builder.append_link(&mut header, "a", "/etc").unwrap();
        });
        let error = folder(link.as_slice(), &at.path().join("link"), 0o444).unwrap_err();
        assert_eq!(error.to_string(), "the archive of a folder: `a` is neither a file nor a folder");
        let twice = packed(|builder| {
            file(builder, "a", 0o644);
            file(builder, "a", 0o644);
        });
        assert!(folder(twice.as_slice(), &at.path().join("twice"), 0o444).is_err());
    }
}
