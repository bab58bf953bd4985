//! Content on its way to the server: read, sent and forgotten piece by piece.

use std::io::Write;

use qflow_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;

use super::{Client, Uploaded, fail};
use crate::{
    content::Content,
    exit::{Exit, Fail},
};

/// Bytes of a piece: what is held of content, a few times.
const PIECE_BYTES: usize = 1 << 20;
/// Pieces that are read while others are being sent.
const AHEAD: usize = 2;

impl Client {
    /// Sends the content of a file or folder; `sent` hears of the bytes that went.
    pub async fn upload(&self, content: Content, sent: impl Fn(u64) + Send + 'static) -> Result<Uploaded, Fail> {
        let (to, from) = mpsc::channel(AHEAD);
        let (kind, name, path) = (content.kind.to_string(), content.name.clone(), content.path.clone());
        let reading = tokio::task::spawn_blocking(move || {
            let mut pieces = Pieces { piece: Vec::with_capacity(PIECE_BYTES), to, sent };
            content.write(&mut pieces)?;
            pieces.flush()
        });
        let answer = self.1.clone().upload_blob(ReceiverStream::new(from)).await;
        let read = reading.await.map_err(|e| Fail::new(Exit::Failed, format!("read {}: {e}", path.display())))?;
        match (answer, read) {
            // Where the server hangs up first, that nobody takes the pieces any more is no news.
            (Err(status), Err(read)) if read.kind() == std::io::ErrorKind::BrokenPipe => Err(fail(&status)),
            (_, Err(read)) => Err(Fail::usage(format!("read {}: {read}", path.display()))),
            (Err(status), Ok(())) => Err(fail(&status)),
            (Ok(answer), Ok(())) => {
                let v1::UploadBlobResponse { digest, size } = answer.into_inner();
                Ok(Uploaded { digest, size, kind, name })
            }
        }
    }
}

/// Gathers what is written into pieces, and waits where they are not taken.
struct Pieces<F> {
    piece: Vec<u8>,
    to: mpsc::Sender<v1::UploadBlobRequest>,
    sent: F,
}

impl<F: Fn(u64)> Write for Pieces<F> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let taken = bytes.len().min(PIECE_BYTES - self.piece.len());
        self.piece.extend_from_slice(&bytes[..taken]);
        if self.piece.len() == PIECE_BYTES {
            self.flush()?;
        }
        Ok(taken)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.piece, Vec::with_capacity(PIECE_BYTES));
        let size = chunk.len() as u64;
        let gone = |_| std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        self.to.blocking_send(v1::UploadBlobRequest { chunk }).map_err(gone)?;
        (self.sent)(size);
        Ok(())
    }
}
