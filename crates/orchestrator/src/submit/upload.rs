//! Content of files for parameters: taken in before a run, given to the run that refers to it.

use std::{pin::pin, time::Duration};

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use qflow_blobs::Blobs;
use qflow_model::{ids::Digest, limits, value::Attachment};
use qflow_proto::v1;
use qflow_telemetry::traces;
use tokio::time::timeout;
use tonic::Status;

use crate::validate::Upload;

/// How long the next piece of an upload may take: one that stays away is not waited for.
const PIECE: Duration = Duration::from_secs(30);

/// Takes in content piece by piece; none of it is held in memory for longer than it takes to write it.
pub(super) async fn take(
    blobs: &Blobs,
    tenant: &str,
    pieces: impl Stream<Item = Result<Bytes, Status>> + Send,
) -> Result<v1::UploadBlobResponse, Status> {
    let writing = blobs.begin_upload(tenant, &traces::new_span_id()).await;
    let (mut writing, mut digest, mut size) = (writing.map_err(|e| unavailable(&e))?, Digest::pieces(), 0);
    let mut pieces = pin!(pieces);
    let taken = async {
        while let Some(piece) = next(&mut pieces).await? {
            size += piece.len() as u64;
            if size > limits::VALUE_BYTES {
                let bound = limits::VALUE_BYTES;
                return Err(Status::invalid_argument(format!(
                    "a file or folder has at most {bound} bytes, this one more"
                )));
            }
            digest.update(&piece);
            writing.write(piece.to_vec()).await.map_err(|e| unavailable(&e))?;
        }
        Ok(())
    };
    if let Err(refused) = taken.await {
        writing.abandon().await;
        return Err(refused);
    }
    let digest = digest.finish();
    writing.keep(digest).await.map_err(|e| unavailable(&e))?;
    Ok(v1::UploadBlobResponse { digest: digest.to_string(), size })
}

async fn next(pieces: &mut (impl Stream<Item = Result<Bytes, Status>> + Unpin)) -> Result<Option<Bytes>, Status> {
    match timeout(PIECE, pieces.next()).await {
        Ok(piece) => piece.transpose(),
        Err(_) => Err(Status::deadline_exceeded(format!("no piece of an upload for {} s", PIECE.as_secs()))),
    }
}

/// An upload that a parameter refers to, as the client wrote it.
pub(super) fn read(sent: v1::Upload) -> Result<Upload, Status> {
    let digest = sent.digest.parse().map_err(|e| Status::invalid_argument(format!("upload `{}`: {e}", sent.digest)))?;
    Ok(Upload { digest, size: sent.size, kind: sent.kind, name: sent.name })
}

/// Whether the content that a parameter refers to was there, by its bytes, and is all of it.
pub(super) fn is_whole(attachment: &Attachment, taken: Option<u64>) -> Result<(), Status> {
    match taken {
        Some(size) if size == attachment.size => Ok(()),
        Some(size) => Err(Status::invalid_argument(format!(
            "upload {} has {size} bytes, not {}",
            attachment.digest, attachment.size
        ))),
        None => Err(Status::failed_precondition(format!(
            "no content {} is here: upload it, at most 24 h before the run",
            attachment.digest
        ))),
    }
}

fn unavailable(error: &qflow_blobs::Error) -> Status {
    Status::unavailable(format!("{error}; nothing was accepted, try again"))
}
