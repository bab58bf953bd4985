//! Whether a store answers, looked at in the background and read from memory.

use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::{ObjectStoreExt as _, PutPayload, path::Path};
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{Blobs, innermost, open::writable, there};

/// How long a look may take: below what lies between two.
const LOOK: Duration = Duration::from_secs(5);
/// What a bucket is asked for between: there is nothing of that name.
const NOTHING: &str = "nothing";
/// What is written to a bucket and removed. Whoever looks writes the same: what one leaves that was cut off, the next removes.
const LOOKED: &str = "probe";

/// How often one looks.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Between two looks.
    pub(crate) every: Duration,
    /// For how long it counts that a bucket took something.
    pub(crate) writes: Duration,
}

impl Pace {
    /// Soon enough for an alert; and not every look writes, since each request of every process is paid for.
    const WATCH: Self = Self { every: Duration::from_secs(10), writes: Duration::from_secs(60) };
}

/// How a store was found at the last look.
#[derive(Clone, Debug)]
pub struct Answers(watch::Receiver<bool>);

impl Answers {
    /// Whether it does not answer.
    pub fn is_away(&self) -> bool {
        !*self.0.borrow()
    }
}

impl Blobs {
    /// `file`, `s3`, `memory`.
    pub const fn kind(&self) -> &'static str {
        self.kind
    }

    /// Whether the store takes what it is given, now: something small is written and removed. Else why not.
    pub async fn look(&self) -> Result<(), String> {
        let written = async {
            let Some(folder) = self.folder.clone() else {
                let path = Path::from(LOOKED);
                let written = async {
                    self.store.put(&path, PutPayload::from_static(LOOKED.as_bytes())).await?;
                    there(self.store.delete(&path).await)
                };
                return written.await.map_err(|error| innermost(&error));
            };
            let looked = tokio::task::spawn_blocking(move || writable(&folder)).await;
            looked.map_err(std::io::Error::other).flatten().map_err(|error| error.to_string())
        };
        in_time(written).await
    }

    /// Whether the store answers, where it took something a short while ago: a bucket is asked for nothing.
    async fn glance(&self) -> Result<(), String> {
        if self.folder.is_some() {
            return self.look().await;
        }
        let nothing = Path::from(NOTHING);
        in_time(async {
            let first = self.store.list(Some(&nothing)).next().await.transpose();
            first.map(drop).map_err(|error| innermost(&error))
        })
        .await
    }

    /// Looks at it as long as somebody has the answers. `tell` hears when they change: why it does not answer, or that it does again.
    pub fn watched(&self, tell: impl Fn(Result<(), &str>) + Send + 'static) -> Answers {
        self.watched_at(Pace::WATCH, tell)
    }

    pub(crate) fn watched_at(&self, pace: Pace, tell: impl Fn(Result<(), &str>) + Send + 'static) -> Answers {
        let (found, answers) = watch::channel(true);
        let blobs = self.clone();
        tokio::spawn(async move {
            let mut written: Option<Instant> = None;
            loop {
                let looked = if written.is_some_and(|at| at.elapsed() < pace.writes) {
                    blobs.glance().await
                } else {
                    let looked = blobs.look().await;
                    written = looked.is_ok().then(Instant::now);
                    looked
                };
                if looked.is_err() {
                    // It is back once it takes something.
                    written = None;
                }
                if found.send_if_modified(|was| std::mem::replace(was, looked.is_ok()) != looked.is_ok()) {
                    match &looked {
                        Ok(()) => tell(Ok(())),
                        Err(why) => tell(Err(why)),
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(pace.every) => {}
                    () = found.closed() => return,
                }
            }
        });
        Answers(answers)
    }
}

async fn in_time(asked: impl Future<Output = Result<(), String>>) -> Result<(), String> {
    match timeout(LOOK, asked).await {
        Ok(found) => found,
        Err(_) => Err(format!("no answer within {} s, or none but that it cannot now", LOOK.as_secs())),
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_store_that_goes_away_and_comes_back_is_told_once_each() {
        let place = tempfile::tempdir().unwrap();
        let (folder, aside) = (place.path().join("blobs"), place.path().join("aside"));
        let blobs = Blobs::in_folder(&folder).unwrap();
        assert_eq!((blobs.kind(), blobs.look().await), ("file", Ok(())));
        std::fs::rename(&folder, &aside).unwrap();
        let (told, mut hears) = mpsc::unbounded_channel();
        let answers = blobs.watched(move |found| told.send(found.map_err(str::to_owned)).unwrap());
        let why = hears.recv().await.unwrap().unwrap_err();
        assert!(why.contains("No such file"), "{why}");
        assert!(answers.is_away());
        std::fs::rename(&aside, &folder).unwrap();
        tokio::time::pause();
        assert_eq!(hears.recv().await, Some(Ok(())));
        assert!(!answers.is_away());
        drop(answers);
        assert_eq!(hears.recv().await, None, "nobody wants to know");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 0, "a look leaves nothing");
    }

    #[tokio::test]
    async fn a_folder_that_is_read_and_takes_nothing_counts_as_away() {
        // Not even root writes here.
        let blobs = Blobs { folder: Some("/proc".into()), ..Blobs::in_memory() };
        assert!(std::fs::read_dir("/proc").unwrap().next().is_some(), "it can be read");
        let why = blobs.look().await.unwrap_err();
        assert!(why.contains("No such file") || why.contains("denied") || why.contains("permitted"), "{why}");
        let (told, mut hears) = mpsc::unbounded_channel();
        let answers = blobs.watched(move |found| told.send(found.map_err(str::to_owned)).unwrap());
        assert_eq!(hears.recv().await, Some(Err(why)));
        assert!(answers.is_away());
    }

    #[tokio::test]
    async fn a_file_in_the_folders_place_counts_as_away() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("blobs");
        let blobs = Blobs::in_folder(&folder).unwrap();
        std::fs::remove_dir(&folder).unwrap();
        std::fs::write(&folder, "").unwrap();
        let why = blobs.look().await.unwrap_err();
        assert!(why.contains("Not a directory"), "{why}");
    }
}
