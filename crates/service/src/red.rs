//! Rate, errors and duration of every gRPC call, served and made, and its span; the status is in trailers, which an
//! interceptor cannot see.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use axum::body::Bytes;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use qflow_telemetry::{Call, Ended, Telemetry, TraceContext, traces::Kind};
use serde_json::Value;
use tokio::time::Instant;

/// How much later than the caller's own clock ours may begin for a call.
const SLACK: Duration = Duration::from_millis(20);

/// Which end of a call.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// The one that serves.
    Server,
    /// The one that calls.
    Client,
}

/// A call under way; dropped without an end, it was cancelled, or ran out of the time that it was given.
pub(crate) struct Guard {
    telemetry: Telemetry,
    end: End,
    method: &'static str,
    trace: Option<TraceContext>,
    span: Option<Call>,
    server: Vec<(&'static str, Value)>,
    start: Instant,
    given: Option<Duration>,
    gone: Gone,
    done: bool,
}

impl Guard {
    /// Begins to watch a call of a described method.
    pub(crate) fn new(telemetry: Telemetry, end: End, method: &'static str, trace: Option<TraceContext>) -> Self {
        let kind = if end == End::Server { Kind::Server } else { Kind::Client };
        let span = telemetry.call(trace.as_ref(), kind);
        let (server, gone, start) = (Vec::new(), Gone::default(), Instant::now());
        Self { telemetry, end, method, trace, span, server, start, given: None, gone, done: false }
    }

    /// Where what is done for the call stands, and what it calls itself: below its span, where it has one.
    pub(crate) fn context(&self) -> Option<TraceContext> {
        self.span.as_ref().map(|span| span.context().clone()).or_else(|| self.trace.clone())
    }

    /// With the address that is called.
    pub(crate) fn at(mut self, url: &http::Uri) -> Self {
        if self.span.is_some() {
            self.server.extend(url.host().map(|host| ("server.address", host.into())));
            self.server.extend(url.port_u16().map(|port| ("server.port", port.into())));
        }
        self
    }

    /// Watches what the caller sends: once that has broken off, the caller has gone.
    pub(crate) fn hears<B>(&self, body: B) -> Heard<B> {
        Heard { inner: body, gone: self.gone.clone() }
    }

    /// With the time that the caller gave it.
    pub(crate) fn given(mut self, time: Option<Duration>) -> Self {
        self.given = time;
        self
    }

    /// Tells of the call; only the first word counts.
    pub(crate) fn finish(&mut self, code: &'static str) {
        if std::mem::replace(&mut self.done, true) {
            return;
        }
        // What a handler makes of half a message is no error of its own.
        let code = if code != "OK" && self.gone.0.load(Ordering::Relaxed) { "CANCELLED" } else { code };
        let seconds = self.start.elapsed().as_secs_f64();
        self.telemetry.rpc(self.end == End::Server, self.method, code, seconds, self.trace.as_ref());
        if let Some(span) = self.span.take() {
            span.end(self.ended(code));
        }
    }

    fn ended(&mut self, code: &'static str) -> Ended {
        let failed = match self.end {
            End::Server => OURS.contains(&code),
            End::Client => code != "OK",
        };
        let mut facts = std::mem::take(&mut self.server);
        facts.extend([
            ("rpc.system.name", "grpc".into()),
            ("rpc.method", self.method.into()),
            ("rpc.response.status_code", code.into()),
        ]);
        Ended { name: self.method.to_owned(), facts, error: failed.then(|| code.to_owned()) }
    }
}

/// Statuses that are the server's fault.
const OURS: [&str; 6] = ["UNKNOWN", "DEADLINE_EXCEEDED", "UNIMPLEMENTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"];

/// Whether a caller has gone.
#[derive(Clone, Default)]
struct Gone(Arc<AtomicBool>);

/// The body of a request, watched for its breaking off.
pub(crate) struct Heard<B> {
    inner: B,
    gone: Gone,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Heard<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        if let Poll::Ready(Some(Err(_))) = &polled {
            self.gone.0.store(true, Ordering::Relaxed);
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

impl Drop for Guard {
    fn drop(&mut self) {
        let late = self.given.is_some_and(|given| self.start.elapsed() + SLACK >= given);
        self.finish(if late { "DEADLINE_EXCEEDED" } else { "CANCELLED" });
    }
}

/// The time that a call is given by its `grpc-timeout`: at most eight digits and a unit.
pub(crate) fn given(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let number: u64 = digits.parse().ok().filter(|_| digits.len() <= 8)?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The names of statuses by their numbers.
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

/// The name of a `grpc-status`.
pub(crate) fn code(value: &HeaderValue) -> &'static str {
    let number = value.to_str().ok().and_then(|v| v.parse::<usize>().ok());
    number.and_then(|n| NAMES.get(n)).copied().unwrap_or("UNKNOWN")
}

/// The name of a status.
pub(crate) fn name(code: tonic::Code) -> &'static str {
    NAMES.get(code as usize).copied().unwrap_or("UNKNOWN")
}

/// A response body that watches for the status in its trailers.
pub(crate) struct Watched<B> {
    pub(crate) inner: B,
    pub(crate) guard: Guard,
}

impl<B: Body<Data = Bytes> + Unpin> Body for Watched<B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_that_a_call_is_given_is_read_in_its_units() {
        let read =
            |text: &str| given(&HeaderMap::from_iter([("grpc-timeout".parse().unwrap(), text.parse().unwrap())]));
        for (text, ms) in [("2S", 2000), ("250m", 250), ("1H", 3_600_000), ("99999999u", 99_999), ("1M", 60_000)] {
            assert_eq!(read(text).map(|d| d.as_millis()), Some(ms), "{text}");
        }
        for wrong in ["", "S", "1", "123456789S", "-1S", "1x", "é"] {
            assert_eq!(read(wrong), None, "{wrong}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_dropped_was_late_or_cancelled() {
        let telemetry = Telemetry::silent();
        let second = Duration::from_secs(1);
        for (given, took) in
            [(Some(second), Duration::from_millis(985)), (Some(second), second / 2), (None, 10 * second)]
        {
            let guard = Guard::new(telemetry.clone(), End::Server, "m", None).given(given);
            tokio::time::sleep(took).await;
            drop(guard);
        }
        let text = telemetry.render(None).1;
        for (code, times) in [("DEADLINE_EXCEEDED", 1), ("CANCELLED", 2)] {
            let series = format!("_count{{rpc_method=\"m\",rpc_response_status_code=\"{code}\"}} {times}\n");
            assert!(text.contains(&series), "{series}: {text}");
        }
    }

    #[test]
    fn statuses_have_the_standards_names() {
        assert_eq!((name(tonic::Code::Ok), name(tonic::Code::Unauthenticated)), ("OK", "UNAUTHENTICATED"));
        assert_eq!((code(&"4".parse().unwrap()), code(&"99".parse().unwrap())), ("DEADLINE_EXCEEDED", "UNKNOWN"));
    }
}
