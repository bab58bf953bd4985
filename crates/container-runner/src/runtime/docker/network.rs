//! The network of containers that reach one: the outside, not one another, nor private addresses.

use bollard::{
    models::{ContainerCreateBody, HostConfig, NetworkCreateRequest},
    query_parameters::InspectNetworkOptions,
};

use super::{super::Runtime as _, DockerRuntime, Error, small_log};
use crate::{config::Reach, python};

/// The bridge, and its interface, of containers that reach a network.
pub(super) const EGRESS: &str = "qflow-egress";
/// What a bridge allows containers among themselves.
const APART: &str = "com.docker.network.bridge.enable_icc";

impl DockerRuntime {
    /// The bridge of containers that reach a network: to the outside, not to one another.
    pub(super) async fn egress(&self) -> Result<(), Error> {
        if let Some(kept_apart) = self.keeps_apart().await {
            return kept_apart;
        }
        let options = [(APART, "false"), ("com.docker.network.bridge.name", EGRESS)];
        let request = NetworkCreateRequest {
            name: EGRESS.to_owned(),
            driver: Some("bridge".to_owned()),
            options: Some(options.map(|(name, text)| (name.to_owned(), text.to_owned())).into()),
            ..NetworkCreateRequest::default()
        };
        let made = self.docker.create_network(request).await;
        // Where it failed, another runner of this host may have been first: there is one interface of that name.
        self.keeps_apart()
            .await
            .unwrap_or_else(|| made.map(|_| ()).map_err(|error| Error::call("make the network of containers", &error)))
    }

    /// Keeps a container from private addresses, before any code of a user runs in it: a second container, gone within a moment, adds
    /// rules to the first one's routing, which that one lacks the capability to change.
    pub(super) async fn wall_in(&self, container: &str, image: &str) -> Result<(), Error> {
        let allowed = self.reach.iter().map(|reach| match reach {
            Reach::Any => None,
            Reach::Network(text) => Some(text.clone()),
        });
        let Some(allowed) = allowed.collect::<Option<Vec<_>>>() else { return Ok(()) };
        let host = HostConfig {
            network_mode: Some(format!("container:{container}")),
            cap_add: Some(vec!["NET_ADMIN".into()]),
            log_config: Some(small_log()),
            ..Self::hardened()
        };
        let script = python::text(python::EGRESS);
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            user: Some("0:0".into()),
            entrypoint: Some(["python3", "-I", "-c", script].map(str::to_owned).into()),
            cmd: Some(allowed),
            host_config: Some(host),
            ..ContainerCreateBody::default()
        };
        let id = self.create(&format!("qflow-wall-{}", container.get(..12).unwrap_or(container)), body).await?;
        self.begin(&id).await?;
        let exit = self.wait(&id).await;
        let output = self.output(&id).await;
        self.remove(&id).await?;
        if exit.code == Some(0) {
            return Ok(());
        }
        let why = output?.1.trim().to_owned();
        let remedy = "QFLOW_EGRESS_ALLOW=any lets nodes reach them";
        Err(Error::call("keep the container from private addresses", &format!("{why}; {remedy}")))
    }

    /// Whether the bridge, where it is there, keeps containers from one another.
    async fn keeps_apart(&self) -> Option<Result<(), Error>> {
        let network = self.docker.inspect_network(EGRESS, None::<InspectNetworkOptions>).await.ok()?;
        let apart = network.options.unwrap_or_default().remove(APART).is_some_and(|text| text == "false");
        let refused = || {
            Error::call("use the network of containers", &format!("`{EGRESS}` lets them reach one another: remove it"))
        };
        Some(if apart { Ok(()) } else { Err(refused()) })
    }
}
