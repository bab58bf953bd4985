//! Whether a store answers, looked at in the background and read from memory.

use std::time::Duration;

use futures_util::StreamExt as _;
use object_store::path::Path;
use tokio::{sync::watch, time::timeout};

use crate::{Blobs, innermost, open::writable};

/// Between two looks.
const EVERY: Duration = Duration::from_secs(10);
/// How long a look may take: below what lies between two.
const LOOK: Duration = Duration::from_secs(5);
/// What a bucket is asked for: there is nothing of that name.
const NOTHING: &str = "nothing";

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

    /// Whether the store can be used now, by one cheap question: a folder is written to, a bucket is asked for nothing. Else why not.
    pub async fn look(&self) -> Result<(), String> {
        let asked = async {
            let Some(folder) = self.folder.clone() else {
                let nothing = Path::from(NOTHING);
                let first = self.store.list(Some(&nothing)).next().await.transpose();
                return first.map(drop).map_err(|error| innermost(&error));
            };
            let looked = tokio::task::spawn_blocking(move || writable(&folder)).await;
            looked.map_err(std::io::Error::other).flatten().map_err(|error| error.to_string())
        };
        match timeout(LOOK, asked).await {
            Ok(found) => found,
            Err(_) => Err(format!("no answer within {} s", LOOK.as_secs())),
        }
    }

    /// Looks at it as long as somebody has the answers. `tell` hears when they change: why it does not answer, or that it does again.
    pub fn watched(&self, tell: impl Fn(Result<(), &str>) + Send + 'static) -> Answers {
        let (found, answers) = watch::channel(true);
        let blobs = self.clone();
        tokio::spawn(async move {
            loop {
                let looked = blobs.look().await;
                if found.send_if_modified(|was| std::mem::replace(was, looked.is_ok()) != looked.is_ok()) {
                    match &looked {
                        Ok(()) => tell(Ok(())),
                        Err(why) => tell(Err(why)),
                    }
                }
                tokio::select! {
                    () = tokio::time::sleep(EVERY) => {}
                    () = found.closed() => return,
                }
            }
        });
        Answers(answers)
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
}
