//! The network of containers that reach one.

use bollard::{models::NetworkCreateRequest, query_parameters::InspectNetworkOptions};

use super::{DockerRuntime, Error};

/// The bridge, and its interface, of containers that reach a network: what they may reach is the host's to filter.
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
