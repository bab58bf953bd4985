//! Why nothing was accepted, as callers are told it.

use tonic::Status;

use crate::record;

/// What the store's errors mean for a caller.
pub(super) fn unavailable(error: &record::Error) -> Status {
    if let record::Error::TooManyQueued { .. } = error {
        return Status::resource_exhausted(format!("{error}; try again when some have ended"));
    }
    let cause = std::error::Error::source(error).map_or_else(String::new, |cause| format!(": {cause}"));
    Status::unavailable(format!("{error}{cause}; nothing was accepted, try again"))
}
