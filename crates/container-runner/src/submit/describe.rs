//! What a runner says of itself to who asks.

use std::{pin::Pin, sync::Arc, time::Duration};

use futures_util::Stream;
use qflow_model::ids::AttemptKey;
use qflow_proto::v1;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use super::Edge;
use crate::pool::Brief;

/// Between two answers of `Watch`.
const WATCH: Duration = Duration::from_secs(1);

/// `ContainerRunnerService`, over an edge.
#[derive(Clone)]
pub struct Service(pub Arc<Edge>);

/// The routes of the service.
pub fn routes(service: Service) -> tonic::service::Routes {
    tonic::service::Routes::new(v1::container_runner_service_server::ContainerRunnerServiceServer::new(service))
}

#[tonic::async_trait]
impl v1::container_runner_service_server::ContainerRunnerService for Service {
    async fn describe(&self, _: Request<v1::DescribeRequest>) -> Result<Response<v1::DescribeResponse>, Status> {
        let hello = self.0.hello();
        Ok(Response::new(v1::DescribeResponse {
            runner_id: hello.runner_id,
            runtime: hello.runtime,
            runtime_version: hello.runtime_version,
            slots: hello.slots,
            python_versions: hello.python_versions,
        }))
    }

    async fn list_containers(
        &self,
        _: Request<v1::ListContainersRequest>,
    ) -> Result<Response<v1::ListContainersResponse>, Status> {
        Ok(Response::new(v1::ListContainersResponse { containers: self.0.containers() }))
    }

    type WatchStream = Pin<Box<dyn Stream<Item = Result<v1::WatchResponse, Status>> + Send>>;

    async fn watch(&self, _: Request<v1::WatchRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let (tell, told) = mpsc::channel(1);
        let edge = Arc::clone(&self.0);
        tokio::spawn(async move {
            let mut looks = tokio::time::interval(WATCH);
            while !edge.shutdown.is_triggered() {
                looks.tick().await;
                if tell.send(Ok(v1::WatchResponse { containers: edge.containers() })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(Box::pin(ReceiverStream::new(told))))
    }
}

impl Edge {
    fn container(&self, brief: Brief) -> v1::Container {
        let sample = self.samples.of(&brief.id);
        v1::Container {
            container_id: brief.id,
            status: brief.status.to_owned(),
            python_version: brief.python,
            run_id: brief.run.map(|run| run.to_string()).unwrap_or_default(),
            attempt: brief.attempt.map(|key| key.to_string()).unwrap_or_default(),
            cpu_percent: sample.and_then(|s| s.cpu_percent),
            memory_bytes: sample.map(|s| s.memory_bytes),
            started_at_us: brief.started_at.0,
        }
    }

    /// How containers stand, without what they use.
    pub(super) fn stands(&self) -> Vec<(String, &'static str, Option<AttemptKey>)> {
        self.all().map(|brief| (brief.id, brief.status, brief.attempt)).collect()
    }

    pub(super) fn containers(&self) -> Vec<v1::Container> {
        self.all().map(|brief| self.container(brief)).collect()
    }

    /// Containers that are there, and then those that are being started.
    fn all(&self) -> impl Iterator<Item = Brief> {
        let pool = &self.runner.pool;
        pool.list().into_iter().chain(pool.starting())
    }
}
