//! What an operator may set of a container-runner.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
};

use qflow_model::definition::PythonVersion;

/// Which runtime starts containers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum RuntimeKind {
    /// Docker if its socket answers and an image is there, else processes.
    #[default]
    Auto,
    /// Docker, or nothing.
    Docker,
    /// Processes of this machine: not isolated.
    Process,
}

/// What nodes with a network may reach although it is private.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// Everything.
    Any,
    /// An address, or a network in CIDR's notation, as written.
    Network(String),
}

/// A text that is neither an address nor a network.
#[derive(Debug, thiserror::Error)]
#[error("write an address like 10.1.2.3, a network like 10.1.0.0/16, or `any`")]
pub struct NotReach;

impl std::str::FromStr for Reach {
    type Err = NotReach;
    fn from_str(text: &str) -> Result<Self, NotReach> {
        let text = text.trim();
        if text == "any" {
            return Ok(Self::Any);
        }
        let (address, length) = text.split_once('/').map_or((text, None), |(address, length)| (address, Some(length)));
        let address: IpAddr = address.parse().map_err(|_| NotReach)?;
        let bits = if address.is_ipv4() { 32 } else { 128 };
        let fits = length.is_none_or(|length| length.parse().is_ok_and(|length: u8| length <= bits));
        if fits { Ok(Self::Network(text.to_owned())) } else { Err(NotReach) }
    }
}

/// Settings of a container-runner.
#[derive(Clone, Debug, clap::Args)]
pub struct Config {
    /// Where its own gRPC listens.
    #[arg(long = "runner-listen", env = "QFLOW_RUNNER_LISTEN", default_value = "127.0.0.1:7402")]
    pub listen: SocketAddr,
    /// Where /metrics and the probes are; absent where another part of the process serves them.
    #[arg(long = "runner-admin", env = "QFLOW_RUNNER_ADMIN")]
    pub admin: Option<SocketAddr>,
    /// Orchestrators to get work from; one suffices, it names the others.
    #[arg(long, env = "QFLOW_ORCHESTRATOR_URLS", value_delimiter = ',', default_value = "http://127.0.0.1:7401")]
    pub orchestrator_urls: Vec<String>,
    /// The token that services show one another.
    #[arg(long, env = "QFLOW_SERVICE_TOKEN", hide_env_values = true)]
    pub service_token: Option<String>,
    /// A file with that token.
    #[arg(long, env = "QFLOW_SERVICE_TOKEN_FILE")]
    pub service_token_file: Option<PathBuf>,
    /// What starts containers.
    #[arg(long, env = "QFLOW_RUNTIME", value_enum, default_value_t)]
    pub runtime: RuntimeKind,
    /// Versions of Python to offer.
    #[arg(long, env = "QFLOW_PYTHON_VERSIONS", value_delimiter = ',', default_value = "3.8,3.9,3.10,3.11,3.12")]
    pub python_versions: Vec<String>,
    /// Interpreters for the process runtime, `3.11=/path,…`; else those on PATH.
    #[arg(long, env = "QFLOW_PYTHONS")]
    pub pythons: Option<String>,
    /// The image of a version of Python.
    #[arg(long, env = "QFLOW_PYTHON_IMAGE", default_value = "python:{version}-slim")]
    pub python_image: String,
    /// Where large values and logs are, the same as the orchestrators': `file://FOLDER`, or `s3://BUCKET[/PREFIX]`, which the `AWS_…`
    /// of the environment describe (docs/BLOBS.md); default: `blobs` in the data directory.
    #[arg(long, env = "QFLOW_BLOBS_URL")]
    pub blobs_url: Option<String>,
    /// Certificates to trust.
    #[arg(long, env = "QFLOW_CA_BUNDLE", hide = true)]
    pub ca_bundle: Option<PathBuf>,
    /// Where state is kept.
    #[arg(long, env = "QFLOW_DATA_DIR", default_value = ".qflow")]
    pub data_dir: PathBuf,
    /// Where sockets are: a short path, since a socket's ends at 107 bytes.
    #[arg(long, env = "QFLOW_RUN_DIR")]
    pub run_dir: Option<PathBuf>,
    /// Secrets, as `TENANT/NAME`.
    #[arg(long, env = "QFLOW_SECRETS_DIR")]
    pub secrets_dir: Option<PathBuf>,
    /// Private addresses and networks that nodes with `network=True` may reach all the same, `10.1.2.3,10.2.0.0/16`; `any` for all.
    /// The others, and what serves a cloud's metadata, are kept from them (Docker only).
    #[arg(long, env = "QFLOW_EGRESS_ALLOW", value_delimiter = ',')]
    pub egress_allow: Vec<Reach>,
    /// How many attempts run at once; default: twice the processors.
    #[arg(long, env = "QFLOW_SLOTS")]
    pub slots: Option<u32>,
    /// Seconds after which a container of each Python that is there is started and removed again, where none was started meanwhile: that
    /// it comes up is told in `/health/python`; 0: never.
    #[arg(long, env = "QFLOW_SMOKE_SECONDS", default_value_t = 900)]
    pub smoke_seconds: u64,
}

impl Config {
    /// How many attempts run at once.
    pub fn slots(&self) -> u32 {
        let processors = || std::thread::available_parallelism().map_or(2, |n| n.get() as u32 * 2);
        self.slots.unwrap_or_else(processors).max(1)
    }

    /// Versions of Python to offer.
    pub fn versions(&self) -> anyhow::Result<Vec<PythonVersion>> {
        let version = |text: &String| text.trim().parse();
        Ok(self.python_versions.iter().map(version).collect::<Result<_, _>>()?)
    }

    /// Where blobs are.
    pub fn blobs(&self) -> anyhow::Result<String> {
        match &self.blobs_url {
            Some(url) => Ok(url.clone()),
            None => Ok(format!("file://{}", std::path::absolute(self.data_dir.join("blobs"))?.display())),
        }
    }

    /// Where sockets are.
    pub fn sockets(&self) -> std::io::Result<PathBuf> {
        std::path::absolute(self.run_dir.clone().unwrap_or_else(|| self.data_dir.join("run")))
    }
}

#[cfg(test)]
mod tests {
    use super::Reach;

    #[test]
    fn what_may_be_reached_is_an_address_or_a_network() {
        for text in ["10.1.2.3", "10.0.0.0/8", "fd00::/8", " 192.168.1.1/32"] {
            assert_eq!(text.parse::<Reach>().ok(), Some(Reach::Network(text.trim().to_owned())));
        }
        assert_eq!("any".parse::<Reach>().ok(), Some(Reach::Any));
        for text in ["", "10.0.0.0/33", "10.0.0", "db.internal", "10.0.0.0/8/8", "fd00::/129"] {
            let error = text.parse::<Reach>().unwrap_err().to_string();
            assert_eq!(error, "write an address like 10.1.2.3, a network like 10.1.0.0/16, or `any`");
        }
    }
}
