//! Which run is in hand, on disk: what a crash of the process leaves there tells in whose processing it came about.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt as _,
    path::Path,
};

use qflow_model::ids::RunId;

/// Nobody.
const NOBODY: RunId = RunId(uuid::Uuid::nil());

/// The mark: 16 bytes of a run's id, or zeros. It is handed to the kernel and never synced, since it is to outlive the process and
/// not the machine: half a microsecond.
#[derive(Debug, Default)]
pub(crate) struct InHand {
    file: Option<File>,
}

impl InHand {
    /// Opens the mark, and tells which run was in hand when whoever had it before crashed.
    pub(crate) fn open(path: &Path) -> io::Result<(Self, Option<RunId>)> {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        let mut left = [0; 16];
        let whole = file.read_at(&mut left, 0)? == left.len();
        let run = RunId(uuid::Uuid::from_bytes(left));
        Ok((Self { file: Some(file) }, (whole && run != NOBODY).then_some(run)))
    }

    /// Takes a run in hand.
    pub(super) fn take(&self, run: RunId) {
        self.write(run);
    }

    /// Lets go of it: what happens from here on is nobody's.
    pub(super) fn rest(&self) {
        self.write(NOBODY);
    }

    fn write(&self, run: RunId) {
        if let Some(file) = &self.file {
            // Where the disk takes nothing a crash is not counted; runs go on.
            file.write_all_at(run.0.as_bytes(), 0).ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_hand_when_the_process_ended_is_found_by_the_next() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("in-hand");
        let (run, other) = (RunId(uuid::Uuid::from_u128(7)), RunId(uuid::Uuid::from_u128(8)));
        let (hand, before) = InHand::open(&path).unwrap();
        assert_eq!(before, None);
        hand.take(other);
        hand.take(run);
        drop(hand);
        let (hand, before) = InHand::open(&path).unwrap();
        assert_eq!(before, Some(run));
        hand.take(run);
        hand.rest();
        drop(hand);
        assert_eq!(InHand::open(&path).unwrap().1, None, "one that let go crashed in nobody's processing");
    }
}
