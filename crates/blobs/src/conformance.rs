//! What every store of blobs promises, in the same words for each: in memory, in a folder, in a bucket of a real S3 server.

mod refusals;
mod server;

use std::path::Path as FilePath;

use futures_util::{StreamExt as _, stream};
use qflow_model::{
    ids::{Digest, RunId, Timestamp},
    limits,
    value::ValueRef,
};
use server::Server;

use crate::{Blobs, PART_BYTES};

fn run(id: u128) -> RunId {
    RunId(uuid::Uuid::from_u128(id))
}

/// Bytes that no two positions of a part share.
fn large(size: usize) -> Vec<u8> {
    (0..size).map(|at| (at / 7) as u8 ^ (at >> 9) as u8).collect()
}

/// What is written is read back, whole and by ranges, and what is not there is told apart.
async fn content_is_read_whole_and_by_ranges(blobs: &Blobs) {
    let (content, other) = (b"0123456789".as_slice(), Digest::of(b"other"));
    let digest = Digest::of(content);
    blobs.write(run(1), digest, content).await.unwrap();
    // Once more, as after a restart.
    blobs.write(run(1), digest, content).await.unwrap();
    assert_eq!(blobs.read(run(1), digest).await.unwrap(), content);
    for (range, wanted) in [(0..1, "0"), (3..7, "3456"), (9..10, "9")] {
        assert_eq!(blobs.range(run(1), digest, range).await.unwrap(), wanted);
    }
    blobs.write(run(1), other, "").await.unwrap();
    assert_eq!(blobs.read(run(1), other).await.unwrap(), "");
    for (whose, what) in [(run(2), digest), (run(1), Digest::of(b"nothing"))] {
        assert!(blobs.read(whose, what).await.unwrap_err().is_absent());
        assert!(blobs.range(whose, what, 0..1).await.unwrap_err().is_absent());
    }
}

/// More than one request takes goes and comes in parts, whole.
async fn large_content_goes_and_comes_in_parts(blobs: &Blobs) {
    let content = large(2 * PART_BYTES + 5);
    let digest = Digest::of(&content);
    blobs.write(run(1), digest, content.clone()).await.unwrap();
    assert!(blobs.read(run(1), digest).await.unwrap() == content, "what was written comes back");
    let (from, to) = (PART_BYTES as u64 - 2, PART_BYTES as u64 + 2);
    assert_eq!(blobs.range(run(1), digest, from..to).await.unwrap(), content[from as usize..to as usize]);
}

/// A file of this machine becomes a blob, and a blob a file that nobody writes to.
async fn files_become_blobs_and_blobs_files(blobs: &Blobs) {
    let folder = tempfile::tempdir().unwrap();
    for (name, size) in [("none", 0), ("small", 10), ("part", PART_BYTES), ("large", PART_BYTES + 1)] {
        let (file, content) = (folder.path().join(name), large(size));
        std::fs::write(&file, &content).unwrap();
        let digest = Digest::of(&content);
        blobs.take_in(run(1), digest, &file).await.unwrap();
        for shared in [true, false] {
            let to = folder.path().join(format!("{name}-{shared}"));
            blobs.lay_out(run(1), digest, &to, shared).await.unwrap();
            assert!(std::fs::read(&to).unwrap() == content, "{name} comes back");
            assert!(std::fs::metadata(&to).unwrap().permissions().readonly(), "{name} is not for writing");
        }
    }
    let nothing = blobs.lay_out(run(1), Digest::of(b"nothing"), &folder.path().join("x"), true).await;
    assert!(nothing.unwrap_err().is_absent());
}

/// An upload is given to the runs of its tenant, and forgotten after a day; what runs were given stays.
async fn an_upload_is_given_to_runs_and_forgotten_after_a_day(blobs: &Blobs) {
    let content = large(PART_BYTES + 3);
    let mut uploading = blobs.begin_upload("t", "1").await.unwrap();
    for piece in content.chunks(1 << 20) {
        uploading.write(piece.to_vec()).await.unwrap();
    }
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    uploading.keep(digest).await.unwrap();
    assert_eq!(blobs.take_upload("t", run(1), digest).await.unwrap(), Some(size));
    assert!(blobs.read(run(1), digest).await.unwrap() == content);
    assert_eq!(blobs.take_upload("other", run(1), digest).await.unwrap(), None);
    blobs.forget_uploads(Timestamp(0)).await.unwrap();
    assert_eq!(blobs.take_upload("t", run(2), digest).await.unwrap(), Some(size));
    blobs.forget_uploads(Timestamp(i64::MAX / 2)).await.unwrap();
    assert_eq!(blobs.take_upload("t", run(3), digest).await.unwrap(), None);
    assert!(blobs.read(run(2), digest).await.unwrap() == content);
}

/// An upload that breaks off is nobody's, and what was sent of it is dropped.
async fn an_upload_that_breaks_off_is_nobodys(blobs: &Blobs) {
    let mut uploading = blobs.begin_upload("t", "1").await.unwrap();
    uploading.write(vec![0; PART_BYTES + 1]).await.unwrap();
    uploading.abandon().await;
    let left: Vec<_> = futures_util::TryStreamExt::try_collect(blobs.store.list(None)).await.unwrap();
    assert!(left.is_empty(), "{left:?}");
}

/// Kept outputs own copies: they outlive their run, and other runs get copies of them.
async fn kept_outputs_outlive_their_run(blobs: &Blobs) {
    let digest = Digest::of(b"kept");
    blobs.write(run(1), digest, "kept").await.unwrap();
    blobs.keep(run(1), &[digest]).await.unwrap();
    blobs.forget_run(run(1)).await.unwrap();
    blobs.reuse(run(2), &[digest]).await.unwrap();
    assert_eq!(blobs.read(run(2), digest).await.unwrap(), "kept");
    blobs.drop_kept(&[digest]).await.unwrap();
    blobs.drop_kept(&[digest]).await.unwrap();
    assert!(blobs.reuse(run(3), &[digest]).await.unwrap_err().is_absent());
    assert_eq!(blobs.read(run(2), digest).await.unwrap(), "kept");
}

/// A run leaves with its values and its logs, and no other does; it has more than one request removes.
async fn a_run_leaves_with_all_that_it_has(blobs: &Blobs) {
    for (id, more) in [(1, 1001), (2, 1)] {
        let write = |number: u32| async move {
            let content = number.to_string();
            blobs.write(run(id), Digest::of(content.as_bytes()), content).await.unwrap();
        };
        stream::iter(0..more).for_each_concurrent(16, write).await;
        blobs.write_log(run(id), "child[1]/parse", 1, b"line\n").await.unwrap();
    }
    blobs.forget_run(run(1)).await.unwrap();
    blobs.forget_run(run(1)).await.unwrap();
    assert!(blobs.read(run(1), Digest::of(b"0")).await.unwrap_err().is_absent());
    assert!(blobs.logs(run(1)).await.unwrap().is_empty());
    assert_eq!(blobs.read(run(2), Digest::of(b"0")).await.unwrap(), "0");
    assert_eq!(blobs.read_log(run(2), "child[1]/parse", 1).await.unwrap(), "line\n");
}

/// What lies below a run that was marked goes once mark and all of it are old, and that of no other run does.
async fn what_a_doubted_run_left_goes_once_it_is_old(blobs: &Blobs) {
    let (today, tomorrow) = (Timestamp(0), Timestamp(i64::MAX / 2));
    let digest = Digest::of(b"value");
    for id in 1..=3 {
        blobs.doubt(run(id)).await.unwrap();
        blobs.doubt(run(id)).await.unwrap();
        blobs.write(run(id), digest, "value").await.unwrap();
        blobs.write_log(run(id), "parse", 1, b"line\n").await.unwrap();
    }
    assert_eq!(blobs.doubted(today, 9).await.unwrap(), []);
    assert_eq!(blobs.doubted(tomorrow, 2).await.unwrap().len(), 2, "in batches");
    assert!(!blobs.forget_old(run(1), today).await.unwrap() && blobs.read(run(1), digest).await.is_ok());
    assert!(blobs.forget_old(run(1), tomorrow).await.unwrap());
    assert!(blobs.read(run(1), digest).await.unwrap_err().is_absent() && blobs.logs(run(1)).await.unwrap().is_empty());
    assert!(blobs.forget_old(run(1), tomorrow).await.unwrap(), "nothing is left to do");
    for _ in 0..2 {
        blobs.settle(run(1)).await.unwrap();
    }
    let mut left = blobs.doubted(tomorrow, 9).await.unwrap();
    left.sort_unstable();
    assert_eq!(left, [run(2), run(3)]);
    assert_eq!(blobs.read(run(2), digest).await.unwrap(), "value");
}

/// Lines are found again by node and attempt, whatever the node is called.
async fn lines_are_found_by_node_and_attempt(blobs: &Blobs) {
    let long = "ä/very[3]".repeat(100);
    for (number, node) in ["parse", "child[1]/parse", "a.b", "größe", &long, &format!("{long}2")].iter().enumerate() {
        let lines = format!("{number} of {node}\n");
        blobs.write_log(run(1), node, 2, lines.as_bytes()).await.unwrap();
        assert_eq!(blobs.read_log(run(1), node, 2).await.unwrap(), lines);
        let written = blobs.logs(run(1)).await.unwrap();
        assert_eq!(written.of(node).collect::<Vec<_>>(), [2]);
    }
    assert!(blobs.read_log(run(1), "parse", 1).await.unwrap_err().is_absent());
}

/// Objects are copied out and in by the names that they have, a log of an element too.
async fn objects_are_copied_by_their_names(blobs: &Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("copy");
    blobs.write_log(run(1), "talk[0]/größe", 1, b"line\n").await.unwrap();
    let names = blobs.names("runs").await.unwrap();
    let [name] = &names[..] else { panic!("{names:?}") };
    assert!(blobs.copy_out(name, &file).await.unwrap());
    blobs.forget_run(run(1)).await.unwrap();
    assert!(!blobs.copy_out(name, &folder.path().join("gone")).await.unwrap());
    blobs.copy_in(name, &file).await.unwrap();
    assert_eq!(blobs.read_log(run(1), "talk[0]/größe", 1).await.unwrap(), "line\n");
}

/// A value that is too large for its row leaves it, and reads back.
async fn a_large_value_leaves_its_row_and_reads_back(blobs: &Blobs) {
    for (size, stays) in [(limits::INLINE_VALUE_BYTES, true), (limits::INLINE_VALUE_BYTES + 1, false)] {
        let bytes = vec![b' '; size];
        let digest = Digest::of(&bytes);
        let inline = Some(bytes.clone());
        let mut value = ValueRef { digest, size: size as u64, inline, items: None, attachments: vec![] };
        blobs.outline(run(1), &mut value).await.unwrap();
        assert_eq!(value.inline.is_some(), stays);
        assert_eq!(blobs.bytes(run(1), &value).await.unwrap(), bytes);
    }
}

macro_rules! conformance {
    ($($promise:ident),* $(,)?) => {
        mod memory {
            $(#[tokio::test]
            async fn $promise() {
                super::$promise(&crate::Blobs::in_memory()).await;
            })*
        }
        mod folder {
            $(#[tokio::test]
            async fn $promise() {
                let folder = tempfile::tempdir().unwrap();
                super::$promise(&crate::Blobs::in_folder(folder.path()).unwrap()).await;
            })*
        }
        mod bucket {
            $(#[tokio::test]
            async fn $promise() {
                let Some(server) = super::Server::get() else { return };
                super::$promise(&server.store()).await;
            })*
        }
    };
}

conformance!(
    content_is_read_whole_and_by_ranges,
    large_content_goes_and_comes_in_parts,
    files_become_blobs_and_blobs_files,
    an_upload_is_given_to_runs_and_forgotten_after_a_day,
    an_upload_that_breaks_off_is_nobodys,
    kept_outputs_outlive_their_run,
    a_run_leaves_with_all_that_it_has,
    what_a_doubted_run_left_goes_once_it_is_old,
    lines_are_found_by_node_and_attempt,
    objects_are_copied_by_their_names,
    a_large_value_leaves_its_row_and_reads_back,
);

/// Nothing of a run stays in a folder, not even empty folders.
#[tokio::test]
async fn a_run_takes_its_folder_along() {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::in_folder(folder.path()).unwrap();
    a_run_leaves_with_all_that_it_has(&blobs).await;
    let runs = folder.path().join("runs");
    let has = |id: u128| FilePath::exists(&runs.join(run(id).to_string()));
    assert!(!has(1) && has(2));
}
