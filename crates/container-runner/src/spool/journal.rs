//! One file that grows by a line for each change, and what is live of it in memory: a change costs one write.

use std::{
    collections::BTreeMap,
    fs::File,
    io::Write as _,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Bytes past which a file that is mostly dead is written anew.
const COMPACT_BYTES: u64 = 16 << 20;

/// What puts a file's content on the disk.
pub(super) trait Disk: std::fmt::Debug + Send + Sync {
    fn sync(&self, file: &File) -> std::io::Result<()>;
}

/// The disk itself.
#[derive(Debug)]
pub(super) struct Files;

impl Disk for Files {
    fn sync(&self, file: &File) -> std::io::Result<()> {
        file.sync_data()
    }
}

/// Names with their contents; the file is `+NAME CONTENT` and `-NAME`, a line each.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    disk: Arc<dyn Disk>,
    inside: Mutex<Inside>,
    /// How far the file is known to be on the disk; held by who syncs it.
    synced: tokio::sync::Mutex<u64>,
}

#[derive(Debug)]
struct Inside {
    file: Arc<File>,
    live: BTreeMap<String, Vec<u8>>,
    bytes: u64,
    /// Changes so far, over files that were written anew.
    changes: u64,
    /// A sync of the file was refused: what the kernel then takes for written may not be on the disk.
    doubted: bool,
}

impl Journal {
    /// The journal at a path. A line that was cut off, as by a lost machine, is as if it had not been written.
    pub(super) fn on(path: &Path, disk: Arc<dyn Disk>) -> std::io::Result<Self> {
        let text = match std::fs::read(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Vec::new(),
            read => read?,
        };
        let live = replay(&text);
        let (file, bytes) = write_anew(path, &live, &*disk)?;
        let inside = Inside { file: Arc::new(file), live, bytes, changes: 0, doubted: false };
        Ok(Self { path: path.to_owned(), disk, inside: Mutex::new(inside), synced: tokio::sync::Mutex::new(0) })
    }

    fn inside(&self) -> MutexGuard<'_, Inside> {
        self.inside.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets what a name stands for: JSON, which has no line breaks. It survives this process; for the machine see [`Self::sync`].
    pub(super) fn put(&self, name: &str, content: Vec<u8>) -> std::io::Result<()> {
        debug_assert!(!content.contains(&b'\n') && !name.contains([' ', '\n']), "a line is a change");
        let mut inside = self.inside();
        let line = [b"+", name.as_bytes(), b" ", &content, b"\n"].concat();
        inside.append(&line)?;
        inside.live.insert(name.to_owned(), content);
        self.compact(inside)
    }

    /// Forgets a name.
    pub(super) fn remove(&self, name: &str) -> std::io::Result<()> {
        let mut inside = self.inside();
        if inside.live.remove(name).is_none() {
            return Ok(());
        }
        inside.append(format!("-{name}\n").as_bytes())?;
        self.compact(inside)
    }

    /// What a name stands for.
    pub(super) fn get(&self, name: &str) -> Option<Vec<u8>> {
        self.inside().live.get(name).cloned()
    }

    /// Whether a name stands for something.
    pub(super) fn has(&self, name: &str) -> bool {
        self.inside().live.contains_key(name)
    }

    /// Live names that begin so, without it, with what they stand for.
    pub(super) fn all<T>(&self, prefix: &str, read: impl Fn(&str, &[u8]) -> Option<T>) -> Vec<T> {
        let inside = self.inside();
        let found = inside.live.range(prefix.to_owned()..).map_while(|(name, content)| {
            let name = name.strip_prefix(prefix)?;
            Some(read(name, content))
        });
        found.flatten().collect()
    }

    /// Puts all changes so far on the disk. One sync is in flight; the next serves all who came meanwhile.
    pub(super) async fn sync(&self) -> std::io::Result<()> {
        let wanted = self.inside().changes;
        let mut synced = self.synced.lock().await;
        if *synced >= wanted {
            return Ok(());
        }
        let (file, changes) = {
            let mut inside = self.inside();
            if inside.doubted {
                self.write_anew(&mut inside)?;
                *synced = inside.changes;
                return Ok(());
            }
            (Arc::clone(&inside.file), inside.changes)
        };
        let disk = Arc::clone(&self.disk);
        let done = tokio::task::spawn_blocking(move || disk.sync(&file)).await.map_err(std::io::Error::other)?;
        self.inside().doubted = done.is_err();
        done?;
        *synced = changes;
        Ok(())
    }

    fn compact(&self, mut inside: MutexGuard<'_, Inside>) -> std::io::Result<()> {
        if inside.bytes > COMPACT_BYTES && inside.bytes > 2 * inside.live.values().map(Vec::len).sum::<usize>() as u64 {
            self.write_anew(&mut inside)?;
        }
        Ok(())
    }

    fn write_anew(&self, inside: &mut Inside) -> std::io::Result<()> {
        let (file, bytes) = write_anew(&self.path, &inside.live, &*self.disk)?;
        (inside.file, inside.bytes, inside.doubted) = (Arc::new(file), bytes, false);
        Ok(())
    }
}

impl Inside {
    fn append(&mut self, line: &[u8]) -> std::io::Result<()> {
        if let Err(error) = (&*self.file).write_all(line) {
            // Half a line would spoil the next one; where even this fails, replay skips what it cannot read.
            self.file.set_len(self.bytes).ok();
            return Err(error);
        }
        self.bytes += line.len() as u64;
        self.changes += 1;
        Ok(())
    }
}

fn replay(text: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut live = BTreeMap::new();
    let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    for line in text[..whole].split(|byte| *byte == b'\n') {
        let Some((kind, rest)) = line.split_first() else { continue };
        let space = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let Ok(name) = str::from_utf8(&rest[..space]) else { continue };
        match kind {
            b'+' if space < rest.len() => live.insert(name.to_owned(), rest[space + 1..].to_vec()),
            b'-' => live.remove(name),
            _ => None,
        };
    }
    live
}

/// A file with only what is live, on the disk before it takes the old one's place.
fn write_anew(path: &Path, live: &BTreeMap<String, Vec<u8>>, disk: &dyn Disk) -> std::io::Result<(File, u64)> {
    let mut text = Vec::new();
    for (name, content) in live {
        text.extend([b"+", name.as_bytes(), b" ", content.as_slice(), b"\n"].concat());
    }
    let new = path.with_extension("new");
    let mut options = std::fs::OpenOptions::new();
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let mut file = options.create(true).write(true).truncate(true).open(&new)?;
    file.write_all(&text)?;
    disk.sync(&file)?;
    std::fs::rename(&new, path)?;
    if let Some(folder) = path.parent() {
        File::open(folder)?.sync_all()?;
    }
    Ok((file, text.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> std::io::Result<Journal> {
        Journal::on(path, Arc::new(Files))
    }

    fn names(journal: &Journal) -> Vec<String> {
        journal.all("", |name, _| Some(name.to_owned()))
    }

    #[test]
    fn what_was_put_is_there_again_and_what_was_removed_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = open(&path).unwrap();
        journal.put("a/1", b"{}".to_vec()).unwrap();
        journal.put("b/1", b"[1]".to_vec()).unwrap();
        journal.put("b/1", b"[ 2]".to_vec()).unwrap();
        journal.remove("a/1").unwrap();
        let again = open(&path).unwrap();
        assert_eq!((names(&again), again.get("b/1")), (vec!["b/1".to_owned()], Some(b"[ 2]".to_vec())));
        assert_eq!(again.all("b/", |name, _| Some(name.to_owned())), ["1"]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_as_if_it_had_not_been_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        std::fs::write(&path, b"+a {}\n\xff\0\n+b [1").unwrap();
        let journal = open(&path).unwrap();
        assert_eq!(names(&journal), ["a"]);
        journal.put("c", b"1".to_vec()).unwrap();
        assert_eq!(names(&open(&path).unwrap()), ["a", "c"]);
    }

    #[test]
    fn a_file_that_is_mostly_dead_is_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("journal");
        let journal = open(&path).unwrap();
        let content = vec![b'1'; COMPACT_BYTES as usize / 8];
        for _ in 0..20 {
            journal.put("a", content.clone()).unwrap();
        }
        assert!(std::fs::metadata(&path).unwrap().len() <= COMPACT_BYTES + COMPACT_BYTES / 7);
        assert_eq!(open(&path).unwrap().get("a"), Some(content));
    }

    #[tokio::test]
    async fn a_sync_serves_all_changes_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let journal = open(&folder.path().join("journal")).unwrap();
        journal.put("a", b"1".to_vec()).unwrap();
        journal.put("b", b"1".to_vec()).unwrap();
        journal.sync().await.unwrap();
        assert_eq!(*journal.synced.lock().await, 2);
    }
}
