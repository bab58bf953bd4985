//! A receiver of spans, which keeps them.

use std::sync::{Arc, Mutex};

use opentelemetry_proto::tonic::{
    collector::trace::v1::{
        ExportTraceServiceRequest, ExportTraceServiceResponse,
        trace_service_server::{TraceService, TraceServiceServer},
    },
    trace::v1::Span,
};
use tonic::{Request, Response, transport::Server};

/// What came.
#[derive(Clone, Default)]
pub(crate) struct Receiver(Arc<Mutex<Vec<Span>>>);

#[tonic::async_trait]
impl TraceService for Receiver {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, tonic::Status> {
        let groups = request.into_inner().resource_spans.into_iter().flat_map(|r| r.scope_spans);
        self.0.lock().expect("no test panics with it").extend(groups.flat_map(|s| s.spans));
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

impl Receiver {
    /// Serves one for as long as the test's runtime lives, and tells its address.
    pub(crate) async fn start() -> (Self, String) {
        let receiver = Self::default();
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let incoming = tokio_stream::wrappers::TcpListenerStream::new(listener);
        let service = TraceServiceServer::new(receiver.clone());
        tokio::spawn(Server::builder().add_service(service).serve_with_incoming(incoming));
        (receiver, format!("http://{address}"))
    }

    /// What came so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.0.lock().expect("no test panics with it").clone()
    }
}
