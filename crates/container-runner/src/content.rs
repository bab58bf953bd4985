//! Content of results on its way in: written to disk piece by piece, its digest worked out on the way; whole, it is to become a blob.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use qflow_model::{
    ids::{Digest, Pieces},
    limits::VALUE_BYTES,
};
use tokio::io::AsyncWriteExt as _;

use crate::harness::Piece;

/// Contents of one value: more belong into one folder or file.
const CONTENTS: usize = 10_000;
/// Bytes that are read at once of what an earlier runner wrote.
const READ_BYTES: usize = 1 << 20;

/// Why content was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A value is past its bound.
    #[error("the result has more than {VALUE_BYTES} bytes, which is the bound of a value")]
    TooLarge,
    /// Pieces that do not follow one another.
    #[error("pieces of content that do not follow one another")]
    OutOfOrder,
    /// The disk does not take it.
    #[error("keep content: {0}")]
    Disk(#[from] std::io::Error),
}

/// Content that is all there, and no blob yet.
#[derive(Debug)]
pub struct Whole {
    /// Of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
    /// Where they are.
    pub file: PathBuf,
}

/// What came of an attempt so far. It is in a folder of the attempt's own, so that the runner after a restart goes on with it.
#[derive(Debug)]
pub struct Contents {
    folder: PathBuf,
    whole: Vec<(Digest, u64)>,
    open: Option<Open>,
    size: u64,
}

#[derive(Debug)]
struct Open {
    file: tokio::fs::File,
    pieces: Pieces,
    size: u64,
}

impl Contents {
    /// None yet; nothing is on disk before the first piece.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, whole: Vec::new(), open: None, size: 0 }
    }

    /// What an earlier runner had taken.
    pub async fn resume(folder: PathBuf) -> std::io::Result<Self> {
        let mut contents = Self::new(folder);
        while let Ok(told) = tokio::fs::read_to_string(contents.done()).await {
            let (digest, size) = told.split_once(' ').unwrap_or_default();
            let wrong = || std::io::Error::other("what was kept of an earlier content does not read");
            let whole = (digest.parse().map_err(|_| wrong())?, size.parse().map_err(|_| wrong())?);
            contents.size += whole.1;
            contents.whole.push(whole);
        }
        let Ok(mut file) = tokio::fs::OpenOptions::new().read(true).append(true).open(contents.part()).await else {
            return Ok(contents);
        };
        let (mut pieces, mut size, mut buffer) = (Digest::pieces(), 0, vec![0; READ_BYTES]);
        loop {
            let read = tokio::io::AsyncReadExt::read(&mut file, &mut buffer).await?;
            if read == 0 {
                break;
            }
            pieces.update(&buffer[..read]);
            size += read as u64;
        }
        contents.size += size;
        contents.open = Some(Open { file, pieces, size });
        Ok(contents)
    }

    fn part(&self) -> PathBuf {
        self.folder.join(format!("{}.part", self.whole.len()))
    }

    fn done(&self) -> PathBuf {
        self.folder.join(format!("{}.done", self.whole.len()))
    }

    /// Takes a piece; one that was taken before a restart is passed over. With the last one the content is whole, and is to become a
    /// blob and be [`Self::kept`] before the next one comes.
    pub async fn take(&mut self, piece: &Piece, bytes: &Bytes) -> Result<Option<Whole>, Error> {
        let number = piece.content as usize;
        if number < self.whole.len() {
            return Ok(None);
        }
        if number > self.whole.len() || number >= CONTENTS {
            return Err(Error::OutOfOrder);
        }
        let there = self.open.as_ref().map_or(0, |open| open.size);
        if piece.offset > there {
            return Err(Error::OutOfOrder);
        }
        if piece.offset == there {
            self.size += bytes.len() as u64;
            if self.size > VALUE_BYTES {
                return Err(Error::TooLarge);
            }
            self.write(bytes).await?;
        }
        if piece.last { self.close().map(Some) } else { Ok(None) }
    }

    async fn write(&mut self, bytes: &Bytes) -> Result<(), Error> {
        if self.open.is_none() {
            tokio::fs::create_dir_all(&self.folder).await?;
            let file = tokio::fs::File::create(self.part()).await?;
            self.open = Some(Open { file, pieces: Digest::pieces(), size: 0 });
        }
        if let Some(open) = &mut self.open {
            open.file.write_all(bytes).await?;
            // It is with the kernel before it is acknowledged: the runner may end, this piece is not sent again.
            open.file.flush().await?;
            open.pieces.update(bytes);
            open.size += bytes.len() as u64;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<Whole, Error> {
        let Open { file: _, pieces, size } = self.open.take().ok_or(Error::OutOfOrder)?;
        Ok(Whole { digest: pieces.finish(), size, file: self.part() })
    }

    /// Notes that content is a blob now.
    pub async fn kept(&mut self, Whole { digest, size, file }: Whole) -> Result<(), Error> {
        tokio::fs::write(self.done(), format!("{digest} {size}")).await?;
        // Not before that: had the runner ended between, it would be sent once more. Where it was moved, it is not there.
        tokio::fs::remove_file(file).await.ok();
        self.whole.push((digest, size));
        Ok(())
    }

    /// Content that is whole.
    pub fn get(&self, number: u32) -> Option<(Digest, u64)> {
        self.whole.get(number as usize).copied()
    }

    /// Removes what is left of it on disk.
    pub fn forget(folder: &Path) {
        if folder.exists() {
            // What stays is swept at the next start.
            std::fs::remove_dir_all(folder).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use qflow_blobs::Blobs;
    use qflow_model::ids::RunId;

    use super::*;

    fn run() -> RunId {
        RunId(uuid::Uuid::from_u128(1))
    }

    async fn take(contents: &mut Contents, blobs: &Blobs, piece: Piece, bytes: &'static str) {
        if let Some(whole) = contents.take(&piece, &bytes.into()).await.unwrap() {
            blobs.take_in(run(), whole.digest, &whole.file).await.unwrap();
            contents.kept(whole).await.unwrap();
        }
    }

    fn piece(content: u32, offset: u64, size: usize, last: bool) -> Piece {
        Piece { attempt: "a".into(), content, offset, size: size as u64, last }
    }

    #[tokio::test]
    async fn content_goes_on_where_an_earlier_runner_left_it() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(&folder.path().join("blobs")).unwrap();
        let at = folder.path().join("contents");
        let mut first = Contents::new(at.clone());
        take(&mut first, &blobs, piece(0, 0, 3, false), "abc").await;
        take(&mut first, &blobs, piece(0, 3, 0, true), "").await;
        take(&mut first, &blobs, piece(1, 0, 2, false), "de").await;
        drop(first);
        let mut second = Contents::resume(at).await.unwrap();
        // Sent again, since the acknowledgement was lost.
        take(&mut second, &blobs, piece(0, 3, 0, true), "").await;
        take(&mut second, &blobs, piece(1, 0, 2, false), "de").await;
        take(&mut second, &blobs, piece(1, 2, 1, true), "f").await;
        assert_eq!((second.get(0), second.get(1)), (Some((Digest::of(b"abc"), 3)), Some((Digest::of(b"def"), 3))));
        assert_eq!(blobs.read(run(), Digest::of(b"def")).await.unwrap(), "def");
    }

    #[tokio::test]
    async fn content_that_was_whole_when_its_runner_ended_and_was_no_blob_is_so_again() {
        let folder = tempfile::tempdir().unwrap();
        let at = folder.path().join("contents");
        let mut first = Contents::new(at.clone());
        assert!(first.take(&piece(0, 0, 3, true), &"abc".into()).await.unwrap().is_some());
        drop(first);
        let mut second = Contents::resume(at).await.unwrap();
        let whole = second.take(&piece(0, 0, 3, true), &"abc".into()).await.unwrap().unwrap();
        assert_eq!((whole.digest, whole.size), (Digest::of(b"abc"), 3));
        assert_eq!(std::fs::read(whole.file).unwrap(), b"abc");
    }

    #[tokio::test]
    async fn a_gap_and_a_value_past_its_bound_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let mut contents = Contents::new(folder.path().join("contents"));
        let gap = contents.take(&piece(0, 5, 1, false), &"x".into()).await;
        assert!(matches!(gap, Err(Error::OutOfOrder)));
        contents.size = VALUE_BYTES;
        let past = contents.take(&piece(0, 0, 1, false), &"x".into()).await;
        assert!(matches!(past, Err(Error::TooLarge)));
    }
}
