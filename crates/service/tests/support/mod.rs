//! A service over real sockets whose answers wait until the test lets them go.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on ends there")]
#![allow(dead_code, reason = "each test needs some of it")]

use std::{net::SocketAddr, pin::Pin, sync::Arc};

use qflow_proto::v1::{
    HealthGetRequest, HealthGetResponse, HealthWatchRequest, HealthWatchResponse,
    health_aggregator_service_server::{HealthAggregatorService, HealthAggregatorServiceServer},
};
use qflow_service::{Readiness, ServeError, ServeOptions, Shutdown, bind};
use qflow_telemetry::Telemetry;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    sync::Semaphore,
    task::JoinHandle,
};
use tokio_stream::Stream;
use tonic::{Request, Response, Status, service::Routes};

/// `Get` answers once it is let go; `Watch` never ends.
#[derive(Clone)]
pub(crate) struct Slow {
    pub(crate) entered: Arc<Semaphore>,
    pub(crate) let_go: Arc<Semaphore>,
}

impl Default for Slow {
    fn default() -> Self {
        Self { entered: Arc::new(Semaphore::new(0)), let_go: Arc::new(Semaphore::new(0)) }
    }
}

#[tonic::async_trait]
impl HealthAggregatorService for Slow {
    async fn get(&self, _: Request<HealthGetRequest>) -> Result<Response<HealthGetResponse>, Status> {
        self.entered.add_permits(1);
        self.let_go.acquire().await.unwrap().forget();
        Ok(Response::new(HealthGetResponse::default()))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<HealthWatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<HealthWatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        Ok(Response::new(Box::pin(tokio_stream::pending())))
    }
}

/// The service, served with an admin port.
pub(crate) struct Serving {
    pub(crate) slow: Slow,
    pub(crate) address: SocketAddr,
    pub(crate) admin: SocketAddr,
    pub(crate) shutdown: Shutdown,
    pub(crate) telemetry: Telemetry,
    pub(crate) served: JoinHandle<Result<(), ServeError>>,
    pub(crate) administered: JoinHandle<std::io::Result<()>>,
}

impl Serving {
    pub(crate) async fn start(options: ServeOptions) -> Self {
        let (slow, shutdown, telemetry) = (Slow::default(), Shutdown::new(), Telemetry::silent());
        let listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let admin_listener = bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let (address, admin) = (listener.local_addr().unwrap(), admin_listener.local_addr().unwrap());
        let readiness = Readiness::new();
        readiness.started();
        let routes = Routes::new(HealthAggregatorServiceServer::new(slow.clone()));
        let served =
            tokio::spawn(qflow_service::serve_grpc(listener, routes, options, telemetry.clone(), shutdown.clone()));
        let administered =
            tokio::spawn(qflow_service::admin(admin_listener, telemetry.clone(), readiness, shutdown.clone()));
        Self { slow, address, admin, shutdown, telemetry, served, administered }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// The status and the body that the admin port answers.
    pub(crate) async fn ask(&self, path: &str, accept: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.admin).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nAccept: {accept}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }
}
