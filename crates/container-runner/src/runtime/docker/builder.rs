//! Builders: containers that lock requirements, and install a lock into an environment's volume.

use std::{collections::HashMap, path::Path};

use bollard::{
    models::{ContainerCreateBody, HostConfig, VolumeCreateRequest},
    query_parameters::LogsOptionsBuilder,
};
use futures_util::StreamExt;

use super::{
    super::{Build, Built, Error, INPUT, Runtime, SITE},
    DockerRuntime, ENVIRONMENT, bind, call, volume,
};
use crate::python;

/// Wheels that builders have fetched before, inside and outside.
const CACHE: &str = "/cache";
const CACHE_VOLUME: &str = "qflow-uv-cache";
/// Variables that a builder sees of the runner's: how to reach an index.
const PASSED: &[&str] = &["QFLOW_INDEX_URL", "QFLOW_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"];
/// And those that begin so.
const PASSED_PREFIXES: &[&str] =
    &["UV_", "PIP_", "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY", "no_proxy", "NO_PROXY"];

/// And those that name a file with certificates, which is mounted too.
const BUNDLES: [&str; 4] = ["QFLOW_CA_BUNDLE", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "PIP_CERT"];

impl DockerRuntime {
    /// Runs a builder to its end.
    pub(super) async fn run_builder(&self, build: &Build) -> Result<Built, Error> {
        let mut mounts = vec![bind(&build.work, "/work"), volume(CACHE_VOLUME.to_owned(), CACHE, false)];
        if let Some(environment) = build.environment {
            let request =
                VolumeCreateRequest { name: Some(Self::volume(environment)), ..VolumeCreateRequest::default() };
            self.docker.create_volume(request).await.map_err(call("create the environment's volume"))?;
            mounts.push(volume(Self::volume(environment), ENVIRONMENT, false));
        }
        let passed = |name: &str| PASSED.contains(&name) || PASSED_PREFIXES.iter().any(|p| name.starts_with(p));
        let mut env: Vec<String> =
            std::env::vars().filter(|(name, _)| passed(name)).map(|(name, text)| format!("{name}={text}")).collect();
        env.extend(["HOME=/tmp".to_owned(), format!("UV_CACHE_DIR={CACHE}")]);
        for bundle in BUNDLES.iter().filter_map(std::env::var_os) {
            let path = Path::new(&bundle);
            let target = path.display().to_string();
            if path.is_file() && !mounts.iter().any(|m| m.target.as_ref() == Some(&target)) {
                mounts.push(bind(path, &target));
            }
        }
        let script = format!("exec python3 /work/{} \"$@\" < /work/{INPUT}", python::BUILDER);
        let mut words = vec!["-c".to_owned(), script, "builder".to_owned()];
        words.extend(build.arguments.iter().map(|a| a.replace(SITE, &format!("{ENVIRONMENT}/site"))));
        let host = HostConfig {
            // It installs wheels by hash and runs none of their code; indexes of the host's network must be in reach.
            network_mode: Some("host".into()),
            tmpfs: Some(HashMap::from([("/tmp".to_owned(), "rw,exec,nosuid,nodev,mode=1777".to_owned())])),
            mounts: Some(mounts),
            ..Self::hardened()
        };
        let body = ContainerCreateBody {
            image: Some(build.image.clone()),
            entrypoint: Some(vec!["sh".into()]),
            cmd: Some(words),
            env: Some(env),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let name = crate::pool::random(6).map_err(|e| Error::call("read randomness", &e))?;
        let id = self.create(&format!("qflow-build-{name}"), body).await?;
        self.begin(&id).await?;
        let exit = self.wait(&id).await;
        let output = self.output(&id).await;
        self.remove(&id).await?;
        let (stdout, stderr) = output?;
        Ok(Built { ok: exit.code == Some(0), stdout, stderr })
    }

    pub(super) async fn output(&self, id: &str) -> Result<(String, String), Error> {
        let options = LogsOptionsBuilder::new().stdout(true).stderr(true).build();
        let mut logs = self.docker.logs(id, Some(options));
        let (mut stdout, mut stderr) = (String::new(), String::new());
        while let Some(line) = logs.next().await {
            match line.map_err(call("read the builder's words"))? {
                bollard::container::LogOutput::StdErr { message } => {
                    stderr.push_str(&String::from_utf8_lossy(&message));
                }
                other => stdout.push_str(&String::from_utf8_lossy(&other.into_bytes())),
            }
        }
        Ok((stdout, stderr))
    }
}
