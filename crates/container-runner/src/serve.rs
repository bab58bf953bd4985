//! A runner as a service: chooses its runtime, takes in what was left, dials orchestrators, drains.

use std::{path::Path, sync::Arc, time::Duration};

use qflow_blobs::Blobs;
use qflow_model::{definition::PythonVersion, environment::EnvSpec};
use qflow_service::{Auth, Listening, ServeOptions, Shutdown, SystemClock};
use qflow_telemetry::{Event, Telemetry};
use tokio::sync::{mpsc, oneshot};

use crate::{
    adopt,
    config::{Config, RuntimeKind},
    declared::Declared,
    environment::Environments,
    fence,
    held::Held,
    look,
    pool::{Pool, random},
    run::Runner,
    runtime::{Runtime, docker::DockerRuntime, process::ProcessRuntime},
    sample::{self, Samples},
    secrets::Secrets,
    spool::Spool,
    submit::{Edge, Service},
};

/// Words of attempts that may wait for a stream.
const WORDS: usize = 1024;
/// Idle containers beside those at work.
const IDLE: usize = 4;

/// Serves until the order to stop.
pub async fn serve(
    config: Config,
    telemetry: Telemetry,
    shutdown: Shutdown,
    listening: oneshot::Sender<Listening>,
) -> anyhow::Result<()> {
    let telemetry = telemetry.component("container-runner");
    let folder = std::path::absolute(config.data_dir.join("runner"))?;
    let (spool, sockets) = (Spool::open(&folder)?, config.sockets()?);
    private(&sockets)?;
    let runner_id = identity(&folder)?;
    let runtime = choose(&config, &folder, &telemetry).await?;
    let blobs = Blobs::open(&config.blobs()?, config.ca_bundle.as_deref()).await?;
    let slots = config.slots();
    let (words, to_tell) = mpsc::channel(WORDS);
    let bound = slots as usize + IDLE;
    let runner = Arc::new(Runner {
        declared: Declared::default(),
        pool: Pool::new(
            Arc::clone(&runtime),
            spool.clone(),
            sockets.clone(),
            runner_id.clone(),
            bound,
            telemetry.clone(),
            Arc::new(SystemClock),
        ),
        environments: Environments::open(Arc::clone(&runtime), &folder.join("environments"), telemetry.clone())?,
        runtime,
        answers: blobs.watched(qflow_service::tells_of_blobs(&telemetry)),
        blobs,
        spool,
        secrets: Secrets::new(config.secrets_dir.clone()),
        held: Held::default(),
        words,
        telemetry: telemetry.clone(),
        clock: Arc::new(SystemClock),
    });
    adopt::adopt(&runner, &runner_id, &sockets).await;

    let token = qflow_service::read_secret(config.service_token.clone(), config.service_token_file.clone())?;
    let samples = Arc::new(Samples::default());
    let session = random(8)?;
    let edge = Edge::new(
        Arc::clone(&runner),
        Arc::clone(&samples),
        runner_id,
        session,
        slots,
        token.clone(),
        shutdown.clone(),
    );
    tokio::spawn(Arc::clone(&edge).speak(to_tell));
    tokio::spawn(fence::watch(Arc::clone(&edge), shutdown.clone()));
    let (spool, told) = (runner.spool.clone(), telemetry.clone());
    tokio::spawn(async move { spool.sync_late(&told).await });
    tokio::spawn(Arc::clone(&runner).deliver(shutdown.clone()));
    if let Some(python) = runner.runtime.pythons().last() {
        // Most workflows say nothing of their Python: its container is there before the first of them.
        let spec = EnvSpec { python: *python, requirements: Vec::new() };
        if let Ok(lock) = runner.environments.lock(&spec).await {
            runner.pool.warm(lock);
        }
    }
    tokio::spawn(Arc::clone(&runner.pool).keep_warm(shutdown.clone()));
    tokio::spawn(sample::watch(Arc::clone(&runner), samples, shutdown.clone()));
    let smoke = (config.smoke_seconds > 0).then(|| Duration::from_secs(config.smoke_seconds));
    // Required from the first moment: it is there once a look has found it.
    edge.readiness.set(look::RUNTIME, false);
    let (looks, name) = ((Arc::clone(&edge.looks), edge.readiness.clone()), edge.runner_id.clone());
    tokio::spawn(look::watch(Arc::clone(&runner), name, config.versions()?, smoke, looks, shutdown.clone()));
    edge.dial_all(config.orchestrator_urls.iter().cloned());

    let listener = qflow_service::bind(config.listen).await?;
    let readiness = edge.readiness.clone();
    let mut heard = Listening { grpc: listener.local_addr()?, http: None, admin: None };
    if let Some(admin) = config.admin {
        let listener = qflow_service::bind(admin).await?;
        heard.admin = Some(listener.local_addr()?);
        tokio::spawn(qflow_service::admin(listener, telemetry.clone(), readiness.clone(), shutdown.clone()));
    }
    readiness.started();
    // Nobody may wait for the address.
    listening.send(heard).ok();
    let options = ServeOptions { auth: token.map_or(Auth::None, Auth::Token), ..ServeOptions::default() };
    let routes = crate::submit::routes(Service(edge));
    qflow_service::serve_grpc(listener, routes, options, telemetry, shutdown).await?;
    runner.pool.close().await;
    Ok(())
}

/// Docker where it answers and has an image; else processes, and why.
async fn choose(config: &Config, folder: &Path, telemetry: &Telemetry) -> anyhow::Result<Arc<dyn Runtime>> {
    let versions = config.versions()?;
    if config.runtime != RuntimeKind::Process {
        match docker(config, &versions, telemetry).await {
            Ok(docker) => return Ok(Arc::new(docker)),
            Err(why) if config.runtime == RuntimeKind::Docker => anyhow::bail!(why),
            Err(why) => telemetry.emit(Event::warning("runtime_fallback", why)),
        }
    }
    let process = ProcessRuntime::find(config.pythons.as_deref(), folder.join("environments")).await;
    anyhow::ensure!(!process.pythons().is_empty(), "no Python is to be had: neither Docker nor `python3` on PATH");
    telemetry.emit(Event::warning(
        "runtime_not_isolated",
        "user code runs as plain processes of this machine: it is NOT isolated from it, nor kept from the network",
    ));
    Ok(Arc::new(process))
}

/// Docker with at least one image of Python, pulled where it has none; else why not.
async fn docker(config: &Config, versions: &[PythonVersion], telemetry: &Telemetry) -> Result<DockerRuntime, String> {
    let pattern = &config.python_image;
    let connected = DockerRuntime::connect(pattern, versions).await;
    let docker = connected.map_err(|error| format!("Docker is not to be had: {error}"))?;
    let mut docker = docker.reaching(config.egress_allow.clone());
    let (true, Some(newest)) = (docker.pythons().is_empty(), versions.iter().max()) else { return Ok(docker) };
    let image = pattern.replace("{version}", &newest.to_string());
    telemetry.emit(Event::warning("image_pull", format!("Docker has none of the images {pattern}: pulling {image}")));
    match docker.pull(pattern, *newest).await {
        Ok(()) => Ok(docker),
        Err(error) => {
            Err(format!("Docker answers, but has none of the images {pattern}, and none is to be had: {error}"))
        }
    }
}

/// A folder for its owner only.
fn private(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::set_permissions(folder, std::os::unix::fs::PermissionsExt::from_mode(0o700))
}

/// The runner's name, made once and kept.
fn identity(folder: &Path) -> std::io::Result<String> {
    let path = folder.join("id");
    match std::fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        _ => {
            let id = format!("runner-{}", random(4)?);
            std::fs::write(path, &id)?;
            Ok(id)
        }
    }
}
