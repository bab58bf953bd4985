//! Restores a back-up: all of it is checked first, blobs come before the rows that name them, and the rows come as one.

use std::path::Path;

use futures_util::{StreamExt as _, TryStreamExt as _};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};

use super::{BLOBS, Error, File, LIST, Manifest, Progress, ROWS, Result, System, damaged, file, manifest::check};
use crate::record::backup::readable;

/// Blobs that are read or written at once.
const TOGETHER: usize = 8;
/// Where blobs of runs, and those of kept outputs, lie in their store.
const PLACES: [&str; 2] = ["runs", "cache"];

/// Reads all of a back-up, and refuses one that is not what was written.
pub async fn verify(folder: &Path, tell: &(dyn Fn(Progress) + Sync)) -> Result<Manifest> {
    let manifest = Manifest::read(folder)?;
    readable(&manifest.database, manifest.schema)?;
    let all = manifest.bytes();
    let mut done = 0;
    for rows in &manifest.rows {
        if Path::new(&rows.piece.file).components().count() != 1 {
            return Err(damaged(&rows.piece.file, "lies elsewhere"));
        }
        check(folder, &format!("{ROWS}/{}", rows.piece.file), rows.bytes, rows.sha256).await?;
        done += rows.bytes;
        tell(Progress::Checked { done, all });
    }
    check(folder, LIST, manifest.list.bytes, manifest.list.sha256).await?;
    let (mut count, mut bytes) = (0, 0);
    let checked = listed(folder).await?.map(|blob| async move {
        let blob = blob?;
        check(folder, &format!("{BLOBS}/{}", blob.path), blob.bytes, blob.sha256).await?;
        Ok::<_, Error>(blob.bytes)
    });
    let mut checked = std::pin::pin!(checked.buffer_unordered(TOGETHER));
    while let Some(size) = checked.try_next().await? {
        (count, bytes) = (count + 1, bytes + size);
        tell(Progress::Checked { done: done + manifest.list.bytes + bytes, all });
    }
    if (count, bytes) == (manifest.blobs, manifest.blob_bytes) {
        return Ok(manifest);
    }
    Err(damaged(
        LIST,
        format!("lists {count} blobs of {bytes} bytes, {} of {} were written", manifest.blobs, manifest.blob_bytes),
    ))
}

/// Puts a back-up into a system that has no runs, or whose runs are to be replaced, and that nobody serves.
pub async fn restore(
    system: &System,
    folder: &Path,
    replace: bool,
    tell: &(dyn Fn(Progress) + Sync),
) -> Result<Manifest> {
    let manifest = Manifest::read(folder)?;
    if manifest.database != system.database.kind() {
        return Err(Error::Kind { found: manifest.database, wanted: system.database.kind() });
    }
    system.database.vacant(manifest.schema, replace).await?;
    for place in PLACES {
        if !replace && system.blobs.any(place).await? {
            return Err(Error::BlobsNotEmpty);
        }
    }
    verify(folder, tell).await?;
    let blobs = folder.join(BLOBS);
    let put = listed(folder).await?.map(|blob| {
        let blobs = &blobs;
        async move {
            let blob = blob?;
            system.blobs.copy_in(&blob.path, &blobs.join(&blob.path)).await?;
            Ok::<_, Error>(blob.bytes)
        }
    });
    let mut put = std::pin::pin!(put.buffer_unordered(TOGETHER));
    let mut done = 0;
    while let Some(bytes) = put.try_next().await? {
        done += bytes;
        tell(Progress::Restored { done, all: manifest.blob_bytes });
    }
    tell(Progress::Rows);
    system.database.load(&folder.join(ROWS), &manifest.load(), replace).await?;
    if replace {
        // Only now: until here the system that was there was whole.
        for place in PLACES {
            system.blobs.prune(place, |name| blobs.join(name).exists()).await?;
        }
    }
    Ok(manifest)
}

/// The blobs of a back-up, as its list has them.
async fn listed(folder: &Path) -> Result<impl futures_util::Stream<Item = Result<File>>> {
    let path = folder.join(LIST);
    let list = tokio::fs::File::open(&path).await.map_err(file("read", &path))?;
    let lines: Lines<_> = BufReader::new(list).lines();
    Ok(futures_util::stream::try_unfold(lines, move |mut lines| {
        let path = path.clone();
        async move {
            let Some(line) = lines.next_line().await.map_err(file("read", &path))? else { return Ok(None) };
            let blob: File =
                serde_json::from_str(&line).map_err(|error| damaged(LIST, format!("does not read: {error}")))?;
            // No name leads out of its place.
            let plain = blob.path.split('/').all(|part| !matches!(part, "" | "." | ".."));
            let ours = PLACES.iter().any(|place| blob.path.starts_with(&format!("{place}/")));
            if plain && ours { Ok(Some((blob, lines))) } else { Err(damaged(LIST, format!("names `{}`", blob.path))) }
        }
    }))
}
