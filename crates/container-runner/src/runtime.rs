//! What the runner needs of whatever starts containers, in few verbs.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use async_trait::async_trait;
use qflow_model::{
    definition::{PythonVersion, Resources},
    ids::Digest,
};

pub mod docker;
pub mod process;
mod seccomp;

/// The builder's stdin, in its folder of work.
pub const INPUT: &str = "input";
/// Stands for the folder of packages in a builder's arguments.
pub const SITE: &str = "{site}";

/// A container to start.
#[derive(Clone, Debug, serde::Serialize, serde::Deserialize)]
pub struct ContainerSpec {
    /// Its name, unique on the host.
    pub name: String,
    /// Which runner it belongs to.
    pub runner: String,
    /// The interpreter.
    pub python: PythonVersion,
    /// The folder on the host with its socket `s`, the harness and the SDK.
    pub directory: PathBuf,
    /// What the harness shows when it dials.
    pub token: String,
    /// The environment's lock, where something is installed.
    pub environment: Option<Digest>,
    /// The image by id, or the interpreter's path.
    pub image: String,
    /// What it may use.
    pub resources: Resources,
}

/// How a container ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code.
    pub code: Option<i32>,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// Whether the kernel ended it for its memory.
    pub oom: bool,
}

/// What a container uses now.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// Processor seconds since its start.
    pub cpu_seconds: f64,
    /// Bytes of memory.
    pub memory_bytes: u64,
    /// Bytes in its temporary folder, where it has one of its own; nothing else can be written to.
    pub disk_bytes: Option<u64>,
    /// Seconds throttled.
    pub throttled_seconds: f64,
    /// Processes and threads.
    pub pids: u64,
}

/// What a builder does in an environment's Python.
#[derive(Clone, Debug)]
pub struct Build {
    /// The interpreter.
    pub python: PythonVersion,
    /// The image by id, or the interpreter's path.
    pub image: String,
    /// The folder that the builder reads: its program, and its stdin as [`INPUT`].
    pub work: PathBuf,
    /// The folder or volume that it installs to, where it installs.
    pub environment: Option<Digest>,
    /// The builder's arguments, in which [`SITE`] is replaced by what it is inside.
    pub arguments: Vec<String>,
}

/// What a builder wrote.
#[derive(Clone, Debug, Default)]
pub struct Built {
    /// Whether it exited with 0.
    pub ok: bool,
    /// Its last word on stdout.
    pub stdout: String,
    /// And on stderr.
    pub stderr: String,
}

/// How a runtime is.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Look {
    /// Its version.
    pub version: String,
    /// How long it took to answer.
    pub ping: Duration,
    /// Containers of this runner.
    pub total: u32,
    /// Those of them that run.
    pub running: u32,
    /// Where images and containers lie, as far as this runner sees it.
    pub disk: Option<Disk>,
}

/// A file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Disk {
    /// Bytes in all.
    pub bytes: u64,
    /// Bytes that are free for us.
    pub free: u64,
}

impl Disk {
    /// The file system of a folder; nothing where it is not to be seen.
    pub fn of(folder: &Path) -> Option<Self> {
        let found = rustix::fs::statvfs(folder).ok()?;
        Some(Self { bytes: found.f_blocks * found.f_frsize, free: found.f_bavail * found.f_frsize })
    }
}

/// Why a runtime could not do a thing.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No interpreter or image for a version.
    #[error(
        "no Python {python} is offered here, only {offered}: get its image or interpreter, and name it in QFLOW_PYTHON_VERSIONS"
    )]
    NoPython {
        /// Which.
        python: PythonVersion,
        /// Which are.
        offered: String,
    },
    /// The image is not there.
    #[error("image `{image}` is not there: {message}")]
    NoImage {
        /// Which.
        image: String,
        /// In the runtime's words.
        message: String,
    },
    /// A call to the runtime failed.
    #[error("{doing}: {message}")]
    Call {
        /// What was tried.
        doing: String,
        /// In the runtime's words.
        message: String,
    },
}

impl Error {
    /// An error of a call.
    pub fn call(doing: impl Into<String>, error: &dyn std::fmt::Display) -> Self {
        Self::Call { doing: doing.into(), message: error.to_string() }
    }

    /// A version that is not among those offered.
    pub fn no_python(python: PythonVersion, offered: &[PythonVersion]) -> Self {
        Self::NoPython { python, offered: offered.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ") }
    }

    /// A code for metrics.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoPython { .. } => "no_python",
            Self::NoImage { .. } => "image_missing",
            Self::Call { .. } => "runtime",
        }
    }
}

/// Whatever starts containers.
#[async_trait]
pub trait Runtime: Send + Sync + std::fmt::Debug {
    /// `docker`, `process`.
    fn name(&self) -> &'static str;
    /// Its version.
    fn version(&self) -> String;
    /// Versions of Python that it can start.
    fn pythons(&self) -> Vec<PythonVersion>;
    /// The image by id, or the interpreter's path and version: what a lock pins.
    async fn image(&self, python: PythonVersion) -> Result<String, Error>;
    /// Starts a container whose harness dials `directory/s`; gives its id.
    async fn start(&self, spec: &ContainerSpec) -> Result<String, Error>;
    /// Waits until a container has ended; at once where it is not there.
    async fn wait(&self, id: &str) -> Exit;
    /// Sets memory, processors and processes of a container that is there; all else needs another container.
    async fn update(&self, id: &str, resources: &Resources) -> Result<(), Error>;
    /// What it uses now.
    async fn usage(&self, id: &str) -> Result<Usage, Error>;
    /// Kills and removes a container; no error where it is not there.
    async fn remove(&self, id: &str) -> Result<(), Error>;
    /// Containers of this runner that are there, by id and name.
    async fn list(&self, runner: &str) -> Result<Vec<(String, String)>, Error>;
    /// Runs the builder to its end.
    async fn build(&self, build: &Build) -> Result<Built, Error>;
    /// Whether an environment's folder or volume is there.
    async fn has(&self, environment: Digest) -> bool;
    /// The folder of packages, as seen inside.
    fn site(&self, environment: Digest) -> String;
    /// The container's folder, as seen inside.
    fn inside(&self, spec: &ContainerSpec) -> String;
    /// Where an attempt's files may be laid out, as seen inside.
    fn workdir(&self, spec: &ContainerSpec) -> String;
    /// The mode of the socket: user code in a container is another user.
    fn socket_mode(&self) -> u32 {
        0o600
    }
    /// Whether user code is kept from the host.
    fn isolated(&self) -> bool;
    /// Asks it how it is, and what it has of this runner.
    async fn look(&self, runner: &str) -> Result<Look, Error>;
    /// Whether a version can be started now: its image, or its interpreter, is there.
    async fn is_there(&self, python: PythonVersion) -> Result<bool, Error>;
}
