//! Files and folders of this machine as they travel: a file as it is, a folder as the tar archive that the harness makes of one.

mod archive;

use std::{
    fmt,
    fs::{self, File, Metadata},
    io::{self, Read, Write},
    os::unix::fs::{FileTypeExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use qflow_model::limits::VALUE_BYTES;

use crate::exit::{Exit, Fail};

/// What a parameter that takes content is declared as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `File`.
    File,
    /// `Folder`.
    Folder,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Folder => "folder",
        })
    }
}

/// A file or folder that may be sent.
#[derive(Clone, Debug)]
pub struct Content {
    /// Where it is.
    pub path: PathBuf,
    /// What it is.
    pub kind: Kind,
    /// What nodes see it as.
    pub name: String,
    /// Bytes that go, as it is now.
    pub bytes: u64,
    /// What is in a folder.
    entries: Vec<archive::Entry>,
}

impl Content {
    /// Looks at what a parameter that takes these kinds is given; says why it cannot go before any of it does.
    pub fn look(parameter: &str, path: &Path, kinds: &[Kind]) -> Result<Self, Fail> {
        let shown = path.display();
        let told =
            fs::metadata(path).map_err(|e| Fail::usage(format!("parameter `{parameter}`: read {shown}: {e}")))?;
        let kind = kind(&told).map_err(|what| Fail::usage(format!("parameter `{parameter}`: {shown} is {what}")))?;
        if !kinds.contains(&kind) {
            let (is, wanted) = match kind {
                Kind::Folder => ("a folder", "File"),
                Kind::File => ("a file", "Folder"),
            };
            return Err(Fail::usage(format!("parameter `{parameter}` is a {wanted}: {shown} is {is}")));
        }
        let entries = match kind {
            Kind::File => Vec::new(),
            Kind::Folder => {
                archive::entries(path).map_err(|e| Fail::new(Exit::Invalid, format!("parameter `{parameter}`: {e}")))?
            }
        };
        let bytes = if kind == Kind::File { told.len() } else { archive::size(&entries) };
        if bytes > VALUE_BYTES {
            let message = format!(
                "parameter `{parameter}`: {shown} has {bytes} bytes; a file or folder has at most {VALUE_BYTES}: keep it in a store of yours and pass its address"
            );
            return Err(Fail::new(Exit::Invalid, message));
        }
        Ok(Self { path: path.to_owned(), kind, name: name(path), bytes, entries })
    }

    /// Writes all of it, of which at no time more than a piece is in memory.
    pub fn write(&self, to: &mut impl Write) -> io::Result<()> {
        match self.kind {
            Kind::File => {
                let written = io::copy(&mut open(&self.path)?.take(VALUE_BYTES + 1), to)?;
                if written > VALUE_BYTES {
                    return Err(io::Error::other(format!("it grew past {VALUE_BYTES} bytes while it was read")));
                }
                Ok(())
            }
            Kind::Folder => archive::write(&self.path, &self.entries, to),
        }
    }
}

/// What something is, or what it is instead.
fn kind(told: &Metadata) -> Result<Kind, &'static str> {
    let is = told.file_type();
    match () {
        () if is.is_file() => Ok(Kind::File),
        () if is.is_dir() => Ok(Kind::Folder),
        () if is.is_fifo() => Err("a pipe: write it to a file first"),
        () => Err("neither a file nor a folder"),
    }
}

/// A file to be read; where a pipe has taken its place meanwhile, nobody waits for it.
fn open(path: &Path) -> io::Result<File> {
    fs::OpenOptions::new().read(true).custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed()).open(path)
}

/// What nodes see it as: its own name, that of `.` its folder's.
fn name(path: &Path) -> String {
    let own = |path: &Path| path.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let found = own(path).or_else(|| fs::canonicalize(path).ok().as_deref().and_then(own));
    found.unwrap_or_else(|| "content".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(path: &Path, kind: Kind) -> Result<Content, (Exit, String)> {
        Content::look("x", path, &[kind]).map_err(|fail| (fail.exit, fail.message))
    }

    #[test]
    fn a_file_goes_as_it_is_under_its_own_name() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("sales.csv");
        fs::write(&path, "a,b\n").unwrap();
        let content = look(&path, Kind::File).unwrap();
        let mut written = Vec::new();
        content.write(&mut written).unwrap();
        assert_eq!((content.name.as_str(), content.bytes, written.as_slice()), ("sales.csv", 4, &b"a,b\n"[..]));
        fs::create_dir(at.path().join("b")).unwrap();
        assert_eq!(name(&at.path().join("b/..")), at.path().file_name().unwrap().to_str().unwrap());
    }

    #[test]
    fn what_is_not_there_or_of_the_other_kind_is_usage() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("a");
        fs::write(&path, "").unwrap();
        for (path, kind, why) in [
            (path.as_path(), Kind::Folder, "parameter `x` is a Folder: AT/a is a file"),
            (at.path(), Kind::File, "parameter `x` is a File: AT is a folder"),
            (&at.path().join("b"), Kind::File, "parameter `x`: read AT/b: No such file or directory (os error 2)"),
            (Path::new("/dev/null"), Kind::File, "parameter `x`: /dev/null is neither a file nor a folder"),
        ] {
            let (exit, message) = look(path, kind).unwrap_err();
            assert_eq!((exit, message.replace(at.path().to_str().unwrap(), "AT").as_str()), (Exit::Usage, why));
        }
    }

    #[test]
    fn what_is_past_the_bound_is_refused_before_any_of_it_goes() {
        let at = tempfile::tempdir().unwrap();
        let path = at.path().join("large");
        File::create(&path).unwrap().set_len(VALUE_BYTES + 1).unwrap();
        let (exit, message) = look(&path, Kind::File).unwrap_err();
        assert!(exit == Exit::Invalid && message.contains("at most 1073741824"), "{message}");
        let (exit, message) = look(at.path(), Kind::Folder).unwrap_err();
        assert!(exit == Exit::Invalid && message.contains("at most 1073741824"), "{message}");
    }
}
