//! Containers of Docker, hardened: user code is taken to be hostile.

mod builder;
mod look;
mod network;

use std::{
    collections::HashMap,
    path::Path,
    sync::{PoisonError, RwLock},
    time::Duration,
};

use async_trait::async_trait;
use bollard::{
    Docker,
    models::{
        ContainerCreateBody, ContainerMemoryStats, ContainerUpdateBody, HostConfig, HostConfigLogConfig, Mount,
        MountType, MountVolumeOptions, ResourcesUlimits,
    },
    query_parameters::{
        CreateContainerOptionsBuilder, CreateImageOptionsBuilder, RemoveContainerOptionsBuilder, StartContainerOptions,
        StatsOptionsBuilder, WaitContainerOptions,
    },
};
use futures_util::StreamExt;
use network::EGRESS;
use qflow_model::{
    definition::{PythonVersion, Resources},
    ids::Digest,
};

use super::{Build, Built, ContainerSpec, Error, Exit, Look, Runtime, Usage, seccomp};
use crate::{config::Reach, python};

/// The user of every container: nobody's on the host.
const USER: &str = "65532:65532";
/// The container's folder, inside.
const INSIDE: &str = "/run/qflow";
/// The environment's volume, inside.
const ENVIRONMENT: &str = "/opt/qflow";
/// Files and pipes that a process may have open.
const OPEN_FILES: i64 = 256;
/// How long an image may take to come: past it the registry is out of reach for practical purposes.
const PULL: Duration = Duration::from_secs(600);
/// Between looks at a container whose daemon does not answer.
const LOOK: Duration = Duration::from_secs(1);
/// The label that names a container's runner.
const LABEL_RUNNER: &str = "qflow.runner";
/// The label that names a container's folder.
const LABEL_NAME: &str = "qflow.name";

/// Starts containers of Docker.
#[derive(Debug)]
pub struct DockerRuntime {
    docker: Docker,
    version: String,
    pattern: String,
    images: RwLock<HashMap<PythonVersion, String>>,
    reach: Vec<Reach>,
}

fn call(doing: &str) -> impl Fn(bollard::errors::Error) -> Error {
    move |error| Error::call(doing, &error)
}

impl DockerRuntime {
    /// Asks the daemon for the images of the configured versions.
    pub async fn connect(pattern: &str, versions: &[PythonVersion]) -> Result<Self, Error> {
        let docker = Docker::connect_with_defaults().map_err(call("reach Docker"))?;
        let docker = docker.negotiate_version().await.map_err(call("reach Docker"))?;
        let version = docker.version().await.map_err(call("ask Docker's version"))?.version.unwrap_or_default();
        let mut images = HashMap::new();
        for python in versions {
            let name = pattern.replace("{version}", &python.to_string());
            if let Ok(image) = docker.inspect_image(&name).await
                && let Some(id) = image.id
            {
                images.insert(*python, id);
            }
        }
        Ok(Self { docker, version, pattern: pattern.to_owned(), images: RwLock::new(images), reach: Vec::new() })
    }

    /// The same, its containers with a network reaching these private addresses too.
    #[must_use]
    pub fn reaching(mut self, reach: Vec<Reach>) -> Self {
        self.reach = reach;
        self
    }

    /// Has the daemon pull a version's image, where it has none of any: nothing else is pulled unasked.
    pub async fn pull(&mut self, pattern: &str, python: PythonVersion) -> Result<(), Error> {
        let name = pattern.replace("{version}", &python.to_string());
        let doing = format!("pull {name}");
        let options = CreateImageOptionsBuilder::new().from_image(&name).build();
        let mut pulling = self.docker.create_image(Some(options), None, None);
        let pulled = async {
            while let Some(step) = pulling.next().await {
                step?;
            }
            self.docker.inspect_image(&name).await
        };
        let pulled = tokio::time::timeout(PULL, pulled).await;
        let image = pulled.map_err(|_| Error::call(&doing, &"it took too long"))?.map_err(call(&doing))?;
        self.offered().extend(image.id.map(|id| (python, id)));
        Ok(())
    }

    fn volume(environment: Digest) -> String {
        format!("qflow-env-{environment}")
    }

    /// What every container has, whatever runs in it.
    fn hardened() -> HostConfig {
        HostConfig {
            cap_drop: Some(vec!["ALL".into()]),
            security_opt: Some(vec!["no-new-privileges:true".into(), seccomp::OPTION.clone()]),
            readonly_rootfs: Some(true),
            init: Some(true),
            ipc_mode: Some("private".into()),
            ..HostConfig::default()
        }
    }

    async fn create(&self, name: &str, body: ContainerCreateBody) -> Result<String, Error> {
        let options = CreateContainerOptionsBuilder::new().name(name).build();
        let image = body.image.clone().unwrap_or_default();
        match self.docker.create_container(Some(options), body).await {
            Ok(created) => Ok(created.id),
            Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, message }) => {
                Err(Error::NoImage { image, message })
            }
            Err(error) => Err(Error::call("create the container", &error)),
        }
    }

    async fn begin(&self, id: &str) -> Result<(), Error> {
        let started = self.docker.start_container(id, None::<StartContainerOptions>).await;
        if let Err(error) = started {
            // It did not start; that it cannot be removed would say nothing more.
            self.remove(id).await.ok();
            return Err(Error::call("start the container", &error));
        }
        Ok(())
    }
}

fn bind(source: &Path, target: &str) -> Mount {
    Mount {
        typ: Some(MountType::BIND),
        source: Some(source.display().to_string()),
        target: Some(target.to_owned()),
        read_only: Some(true),
        ..Mount::default()
    }
}

fn volume(name: String, target: &str, read_only: bool) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name),
        target: Some(target.to_owned()),
        read_only: Some(read_only),
        volume_options: Some(MountVolumeOptions { no_copy: Some(true), ..MountVolumeOptions::default() }),
        ..Mount::default()
    }
}

fn ulimit(name: &str, bound: i64) -> ResourcesUlimits {
    ResourcesUlimits { name: Some(name.to_owned()), soft: Some(bound), hard: Some(bound) }
}

/// Bytes that cannot be taken back at once: without pages of files that nobody has looked at for long.
fn working_set(memory: ContainerMemoryStats) -> u64 {
    let stats = memory.stats.unwrap_or_default();
    let inactive = stats.get("total_inactive_file").or_else(|| stats.get("inactive_file"));
    memory.usage.unwrap_or_default().saturating_sub(inactive.copied().unwrap_or_default())
}

/// Bytes in tmpfs: version 2 of cgroups says them, in version 1 they are the cache that is no file's.
fn written(memory: &ContainerMemoryStats) -> Option<u64> {
    let stats = memory.stats.as_ref()?;
    let of = |name: &str| stats.get(name).copied();
    let files = || Some(of("total_active_file")? + of("total_inactive_file")?);
    of("shmem").or_else(|| Some(of("total_cache")?.saturating_sub(files()?)))
}

fn small_log() -> HostConfigLogConfig {
    let bounds = [("max-size", "1m"), ("max-file", "1")].map(|(k, v)| (k.to_owned(), v.to_owned()));
    HostConfigLogConfig { typ: Some("json-file".into()), config: Some(bounds.into()) }
}

#[async_trait]
impl Runtime for DockerRuntime {
    fn name(&self) -> &'static str {
        "docker"
    }

    fn version(&self) -> String {
        self.version.clone()
    }

    fn pythons(&self) -> Vec<PythonVersion> {
        let images = self.images.read().unwrap_or_else(PoisonError::into_inner);
        let mut pythons: Vec<PythonVersion> = images.keys().copied().collect();
        pythons.sort();
        pythons
    }

    async fn image(&self, python: PythonVersion) -> Result<String, Error> {
        self.image_id(python).ok_or_else(|| Error::no_python(python, &self.pythons()))
    }

    async fn start(&self, spec: &ContainerSpec) -> Result<String, Error> {
        let resources = &spec.resources;
        if resources.network {
            self.egress().await?;
        }
        // The socket's folder is read by another user; its token keeps others out.
        std::fs::set_permissions(&spec.directory, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .map_err(|e| Error::call("open the container's folder", &e))?;
        let mut mounts = vec![bind(&spec.directory, INSIDE)];
        mounts.extend(spec.environment.map(|environment| volume(Self::volume(environment), ENVIRONMENT, true)));
        let env = vec![
            format!("QFLOW_SOCKET={INSIDE}/s"),
            format!("QFLOW_TOKEN={}", spec.token),
            format!("QFLOW_SDK={INSIDE}"),
            "HOME=/tmp".to_owned(),
            "USER=qflow".to_owned(),
            "LOGNAME=qflow".to_owned(),
            "TZ=UTC".to_owned(),
            "LANG=C.UTF-8".to_owned(),
            "PYTHONDONTWRITEBYTECODE=1".to_owned(),
            "QFLOW_WIPED=/tmp:/dev/shm".to_owned(),
        ];
        let tmp = format!("rw,noexec,nosuid,nodev,mode=1777,size={}", resources.tmp_bytes);
        let host = HostConfig {
            network_mode: Some(if resources.network { EGRESS } else { "none" }.into()),
            pids_limit: Some(resources.pids.into()),
            memory: Some(resources.memory_bytes as i64),
            memory_swap: Some(resources.memory_bytes as i64),
            nano_cpus: Some(i64::from(resources.cpu_millis) * 1_000_000),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), tmp)])),
            ulimits: Some(vec![ulimit("nofile", OPEN_FILES), ulimit("core", 0)]),
            mounts: Some(mounts),
            log_config: Some(small_log()),
            ..Self::hardened()
        };
        let labels = [(LABEL_RUNNER, &spec.runner), (LABEL_NAME, &spec.name)];
        let body = ContainerCreateBody {
            image: Some(spec.image.clone()),
            user: Some(USER.into()),
            working_dir: Some("/tmp".into()),
            entrypoint: Some(vec!["python3".into()]),
            cmd: Some(vec![format!("{INSIDE}/{}", python::HARNESS)]),
            env: Some(env),
            labels: Some(labels.map(|(name, text)| (name.to_owned(), text.clone())).into()),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let id = self.create(&format!("qflow-{}", spec.name), body).await?;
        self.begin(&id).await?;
        if resources.network
            && let Err(error) = self.wall_in(&id, &spec.image).await
        {
            // It never ran; that it cannot be removed would say nothing more.
            self.remove(&id).await.ok();
            return Err(error);
        }
        Ok(id)
    }

    async fn wait(&self, id: &str) -> Exit {
        loop {
            let mut waits = self.docker.wait_container(id, None::<WaitContainerOptions>);
            // It ends with an error for every code but 0: what matters is read from the container itself.
            while let Some(Ok(_)) = waits.next().await {}
            match self.docker.inspect_container(id, None).await {
                Ok(found) => {
                    let state = found.state.unwrap_or_default();
                    if state.running != Some(true) {
                        let oom = state.oom_killed.unwrap_or_default();
                        return Exit { code: state.exit_code.map(|code| code as i32), signal: None, oom };
                    }
                }
                Err(bollard::errors::Error::DockerResponseServerError { status_code: 404, .. }) => {
                    return Exit::default();
                }
                // The daemon is away: what it does not tell is unknown, not dead.
                Err(_) => {}
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    async fn update(&self, id: &str, resources: &Resources) -> Result<(), Error> {
        let body = ContainerUpdateBody {
            memory: Some(resources.memory_bytes as i64),
            memory_swap: Some(resources.memory_bytes as i64),
            nano_cpus: Some(i64::from(resources.cpu_millis) * 1_000_000),
            pids_limit: Some(resources.pids.into()),
            ..ContainerUpdateBody::default()
        };
        self.docker.update_container(id, body).await.map_err(call("set the container's limits"))
    }

    async fn usage(&self, id: &str) -> Result<Usage, Error> {
        let options = StatsOptionsBuilder::new().stream(false).one_shot(true).build();
        let stats = self.docker.stats(id, Some(options)).next().await;
        let stats = stats.ok_or_else(|| Error::call("read usage", &"no answer"))?.map_err(call("read usage"))?;
        let cpu = stats.cpu_stats.unwrap_or_default();
        let seconds = |ns: Option<u64>| ns.unwrap_or_default() as f64 / 1e9;
        Ok(Usage {
            cpu_seconds: seconds(cpu.cpu_usage.and_then(|usage| usage.total_usage)),
            disk_bytes: stats.memory_stats.as_ref().and_then(written),
            memory_bytes: stats.memory_stats.map(working_set).unwrap_or_default(),
            throttled_seconds: seconds(cpu.throttling_data.and_then(|data| data.throttled_time)),
            pids: stats.pids_stats.and_then(|pids| pids.current).unwrap_or_default(),
        })
    }

    async fn remove(&self, id: &str) -> Result<(), Error> {
        let options = RemoveContainerOptionsBuilder::new().force(true).v(true).build();
        match self.docker.remove_container(id, Some(options)).await {
            Ok(()) | Err(bollard::errors::Error::DockerResponseServerError { status_code: 404 | 409, .. }) => Ok(()),
            Err(error) => Err(Error::call("remove the container", &error)),
        }
    }

    async fn list(&self, runner: &str) -> Result<Vec<(String, String)>, Error> {
        let found = self.ours(runner).await?;
        let named = found.into_iter().filter_map(|container| {
            let name = container.labels.unwrap_or_default().remove(LABEL_NAME)?;
            Some((container.id?, name))
        });
        Ok(named.collect())
    }

    async fn build(&self, build: &Build) -> Result<Built, Error> {
        self.run_builder(build).await
    }

    async fn has(&self, environment: Digest) -> bool {
        self.docker.inspect_volume(&Self::volume(environment)).await.is_ok()
    }

    fn site(&self, _environment: Digest) -> String {
        format!("{ENVIRONMENT}/site")
    }

    fn inside(&self, _spec: &ContainerSpec) -> String {
        INSIDE.to_owned()
    }

    fn workdir(&self, _spec: &ContainerSpec) -> String {
        "/tmp/work".to_owned()
    }

    fn socket_mode(&self) -> u32 {
        0o666
    }

    fn isolated(&self) -> bool {
        true
    }

    async fn look(&self, runner: &str) -> Result<Look, Error> {
        self.found(runner).await
    }

    async fn is_there(&self, python: PythonVersion) -> Result<bool, Error> {
        self.has_image(python).await
    }
}
