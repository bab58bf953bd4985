//! Values in and out of their rows and messages.

use bytes::Bytes;
use qflow_model::{ids::RunId, limits, value::ValueRef};

use crate::{Blobs, Error};

/// Whether a value's bytes are more than a row should have.
fn is_large(value: &ValueRef) -> bool {
    value.inline.as_ref().is_some_and(|bytes| bytes.len() > limits::INLINE_VALUE_BYTES)
}

impl Blobs {
    /// Whether a value that is to be kept for a run comes to lie here, or anything of it.
    pub fn takes(value: &ValueRef) -> bool {
        is_large(value) || !value.attachments.is_empty()
    }

    /// The bytes of a value's encoding.
    pub async fn bytes(&self, run: RunId, value: &ValueRef) -> Result<Bytes, Error> {
        match &value.inline {
            Some(inline) => Ok(inline.clone().into()),
            None => self.read(run, value.digest).await,
        }
    }

    /// Moves a value's bytes out of its row, where they are more than a row should have.
    pub async fn outline(&self, run: RunId, value: &mut ValueRef) -> Result<(), Error> {
        if is_large(value) {
            self.refer(run, value).await?;
        }
        Ok(())
    }

    /// Moves a value's bytes out of its row, however few.
    pub async fn refer(&self, run: RunId, value: &mut ValueRef) -> Result<(), Error> {
        if let Some(bytes) = value.inline.take() {
            let kept = self.write(run, value.digest, bytes.clone()).await;
            if kept.is_err() {
                value.inline = Some(bytes);
            }
            kept?;
        }
        Ok(())
    }
}
