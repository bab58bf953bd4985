//! What a service says of its blob store.

use qflow_telemetry::{Event, Telemetry};

/// Tells that the blob store does not answer any more, and why, or that it does again.
pub fn tells_of_blobs(telemetry: &Telemetry) -> impl Fn(Result<(), &str>) + Send + 'static {
    let telemetry = telemetry.clone();
    move |found| {
        telemetry.emit(match found {
            Ok(()) => Event::info("blobs_there", "the blob store answers again"),
            Err(why) => Event::warning(
                "blobs_away",
                format!(
                    "the blob store does not answer or takes nothing, so what needs large values waits for it: {why}"
                ),
            ),
        });
    }
}
