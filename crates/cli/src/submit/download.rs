//! Results on their way from the server, piece by piece.

use qflow_proto::v1::{self, download_result_response::Part};
use tonic::Streaming;

use super::{Client, fail};
use crate::exit::{Exit, Fail};

/// What comes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// `json`, `file`, `folder`, `arrow`, …
    pub kind: String,
    /// What the node called it.
    pub name: String,
    /// Bytes, where that is known before.
    pub size: Option<u64>,
}

/// A result that is on its way.
#[derive(Debug)]
pub struct Download {
    /// What comes.
    pub form: Form,
    pieces: Streaming<v1::DownloadResultResponse>,
}

impl Client {
    /// Begins to fetch what a run returned, or a node of it, or one content of that.
    pub async fn download(&self, run: &str, node: &str, content: Option<u32>, raw: bool) -> Result<Download, Fail> {
        let request = v1::DownloadResultRequest { run_id: run.to_owned(), node_id: node.to_owned(), content, raw };
        let mut pieces = self.0.clone().download_result(request).await.map_err(|e| fail(&e))?.into_inner();
        let first = pieces.message().await.map_err(|e| fail(&e))?.and_then(|first| first.part);
        let Some(Part::Form(v1::ResultForm { kind, name, size })) = first else {
            return Err(Fail::new(
                Exit::Failed,
                "the server's answer does not say what comes: is it of another version?",
            ));
        };
        Ok(Download { form: Form { kind, name, size }, pieces })
    }
}

impl Download {
    /// The next piece; `None` past the last.
    pub async fn next(&mut self) -> Result<Option<Vec<u8>>, Fail> {
        match self.pieces.message().await.map_err(|e| fail(&e))? {
            None => Ok(None),
            Some(v1::DownloadResultResponse { part: Some(Part::Chunk(piece)) }) => Ok(Some(piece)),
            Some(_) => Ok(Some(Vec::new())),
        }
    }
}
