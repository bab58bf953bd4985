//! A receiver of spans that takes all.

use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
    trace_service_server::{TraceService, TraceServiceServer},
};
use tokio::{net::TcpListener, runtime::Runtime};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, transport::Server};

struct Sink;

#[tonic::async_trait]
impl TraceService for Sink {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// One that ends with the test.
pub(crate) struct Receiver {
    pub(crate) url: String,
    _serves: Runtime,
}

impl Receiver {
    pub(crate) fn start() -> Self {
        let serves = Runtime::new().expect("a runtime starts");
        let listener = serves.block_on(TcpListener::bind("127.0.0.1:0")).expect("loopback has a free port");
        let address = listener.local_addr().expect("a bound socket has an address");
        let server = Server::builder().add_service(TraceServiceServer::new(Sink));
        serves.spawn(server.serve_with_incoming(TcpListenerStream::new(listener)));
        Self { url: format!("http://{address}"), _serves: serves }
    }
}
