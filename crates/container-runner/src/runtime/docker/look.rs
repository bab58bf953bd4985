//! How Docker is, what it has of a runner, and which images are there now.

use std::{
    collections::HashMap,
    path::Path,
    sync::{PoisonError, RwLockWriteGuard},
};

use bollard::{
    models::{ContainerSummary, ContainerSummaryStateEnum},
    query_parameters::ListContainersOptionsBuilder,
};
use qflow_model::definition::PythonVersion;
use tokio::time::Instant;

use super::{DockerRuntime, LABEL_RUNNER, call};
use crate::runtime::{Disk, Error, Look};

impl DockerRuntime {
    /// Whether it answers, and what it has of a runner.
    pub(super) async fn found(&self, runner: &str) -> Result<Look, Error> {
        let begun = Instant::now();
        self.docker.ping().await.map_err(call("ping Docker"))?;
        let ping = begun.elapsed();
        let version = self.docker.version().await.map_err(call("ask Docker's version"))?.version.unwrap_or_default();
        let ours = self.ours(runner).await?;
        let runs = |one: &&ContainerSummary| one.state == Some(ContainerSummaryStateEnum::RUNNING);
        let info = self.docker.info().await.map_err(call("ask Docker where its files are"))?;
        let disk = info.docker_root_dir.and_then(|folder| Disk::of(Path::new(&folder)));
        let running = ours.iter().filter(runs).count() as u32;
        Ok(Look { version, ping, total: ours.len() as u32, running, disk })
    }

    /// Whether a version's image is there. One that has come since, or has come again, is the one to start from.
    pub(super) async fn has_image(&self, python: PythonVersion) -> Result<bool, Error> {
        if let Some(id) = self.image_id(python)
            && self.find(&id).await?.is_some()
        {
            return Ok(true);
        }
        let found = self.find(&self.pattern.replace("{version}", &python.to_string())).await?;
        let is_there = found.is_some();
        self.offered().extend(found.map(|id| (python, id)));
        Ok(is_there)
    }

    pub(super) fn offered(&self) -> RwLockWriteGuard<'_, HashMap<PythonVersion, String>> {
        self.images.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// The image that a version is started from.
    pub(super) fn image_id(&self, python: PythonVersion) -> Option<String> {
        self.images.read().unwrap_or_else(PoisonError::into_inner).get(&python).cloned()
    }

    /// The id of an image, where there is one of that name.
    async fn find(&self, name: &str) -> Result<Option<String>, Error> {
        match self.docker.inspect_image(name).await {
            Ok(image) => Ok(image.id),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => Ok(None),
            Err(error) => Err(Error::call("look for an image", &error)),
        }
    }

    /// Containers of a runner that are there.
    pub(super) async fn ours(&self, runner: &str) -> Result<Vec<ContainerSummary>, Error> {
        let filters = HashMap::from([("label", vec![format!("{LABEL_RUNNER}={runner}")])]);
        let options = ListContainersOptionsBuilder::new().all(true).filters(&filters).build();
        self.docker.list_containers(Some(options)).await.map_err(call("list containers"))
    }
}
