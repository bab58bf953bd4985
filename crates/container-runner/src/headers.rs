//! What frames and arrays say of themselves, read where a type declares what they hold: of gigabytes some kilobytes, by range.

use qflow_blobs::{Blobs, Error};
use qflow_model::ids::{Digest, RunId};
use qflow_types::value::{Header, NotAHeader, header_bytes};

/// Bytes that say how long a header is.
const FIRST: usize = 16;

/// Where an attachment is.
#[derive(Debug)]
pub enum Content<'a> {
    /// In memory.
    Here(&'a [u8]),
    /// A blob of so many bytes.
    Blob(Digest, u64),
}

/// The header of an attachment; nothing where its kind has none.
pub async fn read(
    blobs: &Blobs,
    run: RunId,
    kind: &str,
    content: &Content<'_>,
) -> Result<Option<Result<Header, NotAHeader>>, Error> {
    // Of a file not even its first bytes are asked for.
    if header_bytes(kind, &[]).is_none() {
        return Ok(None);
    }
    let first = content.begin(blobs, run, FIRST).await?;
    let size = match header_bytes(kind, &first) {
        None => return Ok(None),
        Some(Err(wrong)) => return Ok(Some(Err(wrong))),
        Some(Ok(size)) => size,
    };
    let bytes = content.begin(blobs, run, size).await?;
    Ok(Some(Header::read(kind, &bytes)))
}

impl Content<'_> {
    /// Its first bytes, as many as there are.
    async fn begin(&self, blobs: &Blobs, run: RunId, bytes: usize) -> Result<bytes::Bytes, Error> {
        match self {
            Self::Here(all) => Ok(bytes::Bytes::copy_from_slice(&all[..all.len().min(bytes)])),
            Self::Blob(digest, size) => blobs.range(run, *digest, 0..(*size).min(bytes as u64)).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_header_is_read_from_memory_and_by_range() {
        let folder = tempfile::tempdir().unwrap();
        let blobs = Blobs::in_folder(folder.path()).unwrap();
        let run = RunId(uuid::Uuid::from_u128(1));
        let mut array = b"\x93NUMPY\x01\x00\x36\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}".to_vec();
        array.extend([0; 1024]);
        let digest = Digest::of(&array);
        blobs.write(run, digest, array.clone()).await.unwrap();
        let here = read(&blobs, run, "npy", &Content::Here(&array)).await.unwrap().unwrap().unwrap();
        let there = read(&blobs, run, "npy", &Content::Blob(digest, array.len() as u64)).await.unwrap();
        assert_eq!(there.unwrap().unwrap(), here);
        let (file, short) = (Content::Here(b"PK"), Content::Here(b"\x93NUM"));
        assert_eq!(read(&blobs, run, "file", &file).await.unwrap(), None);
        assert!(read(&blobs, run, "npy", &short).await.unwrap().unwrap().is_err());
        let gone = Content::Blob(Digest::of(b"gone"), 100);
        assert!(read(&blobs, run, "npy", &gone).await.unwrap_err().is_absent());
        assert_eq!(read(&blobs, run, "file", &gone).await.unwrap(), None, "nothing is read of it");
    }
}
