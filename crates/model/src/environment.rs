//! What an attempt's Python has installed: as asked for, and as locked.

use serde::{Deserialize, Serialize};

use crate::{
    definition::{PythonVersion, Resources},
    ids::Digest,
};

/// An environment as written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct EnvSpec {
    /// The interpreter.
    pub python: PythonVersion,
    /// Requirements as written, sorted, without repeats.
    pub requirements: Vec<String>,
}

impl EnvSpec {
    /// Names the spec.
    pub fn digest(&self) -> Digest {
        let python = self.python.to_string();
        Digest::of_parts(std::iter::once(python.as_bytes()).chain(self.requirements.iter().map(String::as_bytes)))
    }
}

/// An environment as resolved once, kept with every run that uses it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct EnvLock {
    /// The spec it answers.
    pub spec: Digest,
    /// The interpreter.
    pub python: PythonVersion,
    /// `requirements.txt` with hashes; empty where nothing is required.
    pub lock: String,
    /// The image by id (`sha256:…`), or the interpreter's path and version on the process runtime.
    pub image: String,
    /// The harness's content.
    pub harness: Digest,
    /// The version of uv that made it; empty where none was needed.
    pub uv: String,
    /// `linux/amd64`, …
    pub platform: String,
    /// How many packages the lock holds.
    pub packages: u32,
}

impl EnvLock {
    /// Names what is installed: equal locks share a volume.
    pub fn digest(&self) -> Digest {
        let python = self.python.to_string();
        Digest::of_parts([python.as_bytes(), self.lock.as_bytes(), self.image.as_bytes(), self.platform.as_bytes()])
    }
}

/// What a container must be like: environment × limits. Attempts of one class may follow one another in a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerClass {
    /// [`EnvLock::digest`].
    pub environment: Digest,
    /// What it may use.
    pub resources: Resources,
    /// Names of its secrets.
    pub secrets: Vec<String>,
}
