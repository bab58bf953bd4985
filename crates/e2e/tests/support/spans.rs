//! A receiver of spans that takes all, and keeps them; or that answers nothing.

use std::sync::{Arc, Mutex, PoisonError};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

#[derive(Clone)]
struct Taken {
    spans: Arc<Mutex<Vec<Span>>>,
    /// Whether calls are left without an answer.
    hangs: bool,
}

impl Taken {
    fn of(hangs: bool) -> Self {
        Self { spans: Arc::default(), hangs }
    }
}

#[tonic::async_trait]
impl TraceService for Taken {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let groups = request.into_inner().resource_spans.into_iter().flat_map(|of| of.scope_spans);
        self.spans.lock().unwrap_or_else(PoisonError::into_inner).extend(groups.flat_map(|of| of.spans));
        if self.hangs {
            std::future::pending::<()>().await;
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// One that ends with the test.
pub(crate) struct Receiver {
    pub(crate) url: String,
    taken: Taken,
    _serves: Runtime,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        Self::that(false)
    }

    /// One that answers, or `hangs`: it hears what is sent, and never says so.
    pub(crate) fn that(hangs: bool) -> Self {
        let (serves, taken) = (Runtime::new().expect("a runtime starts"), Taken::of(hangs));
        let listener = serves.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Server::builder().add_service(TraceServiceServer::new(taken.clone()));
        serves.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url: format!("http://{address}"), taken, _serves: serves }
    }

    /// The spans that have come of a trace.
    pub(crate) fn of(&self, trace: &str) -> Vec<Span> {
        let all = self.taken.spans.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().filter(|span| hex(&span.trace_id) == trace).cloned().collect()
    }
}

/// An id as it is written.
pub(crate) fn hex(id: &[u8]) -> String {
    id.iter().map(|byte| format!("{byte:02x}")).collect()
}
