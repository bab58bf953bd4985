//! Rate, errors and duration of every HTTP route, and its span.

use axum::{
    extract::{MatchedPath, Request},
    response::Response,
};
use qflow_telemetry::{Call, Ended, Telemetry, TraceContext, traces};
use tokio::time::Instant;

/// What a path that no route has is called: the caller's own text is never a label.
const OTHER: &str = "_OTHER";
/// The status of a request that was not answered, since whoever asked has gone: as other servers write it.
const GONE: u16 = 499;

/// A request under way; dropped without an end, whoever asked has gone.
struct Asked<'a> {
    telemetry: &'a Telemetry,
    method: String,
    route: String,
    path: String,
    trace: Option<TraceContext>,
    span: Option<Call>,
    start: Instant,
    status: u16,
}

impl<'a> Asked<'a> {
    fn new(telemetry: &'a Telemetry, request: &Request) -> Self {
        let route = request.extensions().get::<MatchedPath>().map_or(OTHER, MatchedPath::as_str);
        let trace = traces::extract(request.headers());
        Self {
            telemetry,
            method: request.method().as_str().to_owned(),
            route: route.to_owned(),
            path: request.uri().path().to_owned(),
            span: telemetry.call(trace.as_ref(), traces::Kind::Server),
            trace,
            start: Instant::now(),
            status: GONE,
        }
    }

    /// Where what is done for it stands.
    fn context(&self) -> Option<TraceContext> {
        self.span.as_ref().map(|span| span.context().clone()).or_else(|| self.trace.clone())
    }
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        let seconds = self.start.elapsed().as_secs_f64();
        self.telemetry.http(&self.method, &self.route, self.status, seconds, self.trace.as_ref());
        let Some(span) = self.span.take() else { return };
        span.end(Ended {
            name: format!("{} {}", self.method, self.route),
            facts: vec![
                ("http.request.method", self.method.as_str().into()),
                ("http.route", self.route.as_str().into()),
                ("url.path", self.path.as_str().into()),
                ("http.response.status_code", self.status.into()),
            ],
            error: (self.status >= 500).then(|| self.status.to_string()),
        });
    }
}

/// Has a request answered, and tells of it.
pub(crate) async fn watch<F>(telemetry: &Telemetry, request: Request, answer: impl FnOnce(Request) -> F) -> Response
where
    F: Future<Output = Response>,
{
    let mut asked = Asked::new(telemetry, &request);
    let response = traces::within(asked.context(), answer(request)).await;
    asked.status = response.status().as_u16();
    response
}

#[cfg(test)]
mod tests {
    use axum::{Router, body::Body, routing::get};
    use http::StatusCode;
    use tower::ServiceExt as _;

    use super::*;
    use crate::{Auth, Edge, protect};

    fn protected(telemetry: &Telemetry) -> Router {
        let router = Router::new().route("/runs/{id}", get(async || StatusCode::NOT_FOUND));
        protect(router, Edge { auth: Auth::None, loopback_only: false, telemetry: telemetry.clone() })
    }

    async fn ask(router: Router, method: &str, path: &str) -> Response {
        let request = http::Request::builder().method(method).uri(path);
        let request = request.header("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01");
        let Ok(response) = router.oneshot(request.body(Body::empty()).unwrap()).await;
        response
    }

    #[tokio::test]
    async fn a_route_is_told_as_it_is_declared_and_a_callers_own_words_are_no_label() {
        let telemetry = Telemetry::silent();
        let router = protected(&telemetry);
        for path in ["/runs/a", "/runs/b", "/evil"] {
            ask(router.clone(), "GET", path).await;
        }
        ask(router, "BREW", "/runs/a").await;
        let text = telemetry.render(None).1;
        for (method, route, code, times) in
            [("GET", "/runs/{id}", 404, 2), ("GET", OTHER, 404, 1), ("_OTHER", "/runs/{id}", 405, 1)]
        {
            let labels =
                format!("http_request_method=\"{method}\",http_route=\"{route}\",http_response_status_code=\"{code}\"");
            let line = format!("http_server_request_duration_seconds_count{{{labels}}} {times}\n");
            assert!(text.contains(&line), "{line}: {text}");
        }
        assert!(!text.contains("evil") && !text.contains("BREW"), "{text}");
    }

    #[tokio::test]
    async fn a_request_in_a_trace_is_a_span_of_it_and_what_is_done_for_it_stands_below() {
        let (telemetry, collected) = Telemetry::collecting();
        let inner = telemetry.clone();
        let answer = get(async move || {
            let call = inner.call(traces::current().as_ref(), traces::Kind::Client).unwrap();
            call.end(Ended { name: "below".into(), ..Ended::default() });
            StatusCode::SERVICE_UNAVAILABLE
        });
        let router = Router::new().route("/health", answer);
        let edge = Edge { auth: Auth::None, loopback_only: false, telemetry };
        ask(protect(router, edge), "GET", "/health").await;
        let spans = collected.spans();
        let names: Vec<&str> = spans.iter().map(|span| span.name.as_ref()).collect();
        assert_eq!(names, ["below", "GET /health"]);
        assert_eq!(spans[1].parent_span_id.to_string(), "b7ad6b7169203331");
        assert_eq!(spans[0].parent_span_id, spans[1].span_context.span_id());
        assert!(format!("{:?}", spans[1].status).contains("503"), "{:?}", spans[1].status);
    }

    #[tokio::test]
    async fn whoever_leaves_before_the_answer_is_told_as_such() {
        let telemetry = Telemetry::silent();
        let router = Router::new().route("/slow", get(std::future::pending::<()>));
        let edge = Edge { auth: Auth::None, loopback_only: false, telemetry: telemetry.clone() };
        let asking = ask(protect(router, edge), "GET", "/slow");
        drop(tokio::time::timeout(std::time::Duration::from_millis(1), asking).await);
        let text = telemetry.render(None).1;
        assert!(text.contains("http_route=\"/slow\",http_response_status_code=\"499\"} 1\n"), "{text}");
    }
}
