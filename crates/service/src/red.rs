//! Rate, errors and duration of every gRPC call; the status is in trailers, which an interceptor cannot see.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use axum::body::{Body, Bytes};
use http::HeaderValue;
use http_body::Frame;
use qflow_telemetry::{Telemetry, TraceContext};
use tokio::time::Instant;

/// A call under way; dropped without an end, it was cancelled.
pub(crate) struct Guard {
    telemetry: Telemetry,
    method: Arc<str>,
    trace: Option<TraceContext>,
    start: Instant,
    done: bool,
}

impl Guard {
    pub(crate) fn new(telemetry: Telemetry, method: Arc<str>, trace: Option<TraceContext>) -> Self {
        Self { telemetry, method, trace, start: Instant::now(), done: false }
    }

    pub(crate) fn finish(&mut self, code: &'static str) {
        if !std::mem::replace(&mut self.done, true) {
            let seconds = self.start.elapsed().as_secs_f64();
            self.telemetry.rpc(true, &self.method, code, seconds, self.trace.as_ref());
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.finish("CANCELLED");
    }
}

/// The name of a `grpc-status`.
pub(crate) fn code(value: &HeaderValue) -> &'static str {
    const NAMES: [&str; 17] = [
        "OK",
        "CANCELLED",
        "UNKNOWN",
        "INVALID_ARGUMENT",
        "DEADLINE_EXCEEDED",
        "NOT_FOUND",
        "ALREADY_EXISTS",
        "PERMISSION_DENIED",
        "RESOURCE_EXHAUSTED",
        "FAILED_PRECONDITION",
        "ABORTED",
        "OUT_OF_RANGE",
        "UNIMPLEMENTED",
        "INTERNAL",
        "UNAVAILABLE",
        "DATA_LOSS",
        "UNAUTHENTICATED",
    ];
    let number = value.to_str().ok().and_then(|v| v.parse::<usize>().ok());
    number.and_then(|n| NAMES.get(n)).copied().unwrap_or("UNKNOWN")
}

/// A response body that watches for the status in its trailers.
pub(crate) struct Watched {
    pub(crate) inner: Body,
    pub(crate) guard: Guard,
}

impl http_body::Body for Watched {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(trailers) = frame.trailers_ref() {
                    self.guard.finish(trailers.get("grpc-status").map_or("UNKNOWN", code));
                }
            }
            Poll::Ready(Some(Err(_))) => self.guard.finish("UNAVAILABLE"),
            Poll::Ready(None) => self.guard.finish("UNKNOWN"),
            Poll::Pending => {}
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.inner.size_hint()
    }
}
