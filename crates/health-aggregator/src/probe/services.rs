//! Whether a service serves, by the health protocol that every service speaks.

use async_trait::async_trait;
use qflow_service::AuthedChannel;
use serde_json::Map;

use super::Probe;
use crate::{
    submit,
    verdict::{Reading, Status},
};

/// A service by its name.
#[derive(Clone, Debug)]
pub struct Service {
    /// The one name it is told under, and whether nothing works without it.
    pub name: &'static [(&'static str, bool)],
    /// How to reach each of its replicas: one that serves is enough.
    pub channels: Vec<AuthedChannel>,
}

/// The orchestrator's name.
pub const ORCHESTRATOR: &[(&str, bool)] = &[("orchestrator", true)];
/// The type-validator's name: without it nothing is submitted.
pub const TYPE_VALIDATOR: &[(&str, bool)] = &[("type_validator", true)];

#[async_trait]
impl Probe for Service {
    fn names(&self) -> &'static [(&'static str, bool)] {
        self.name
    }

    async fn probe(&self) -> Vec<Reading> {
        let answer = submit::any(&self.channels, submit::serving).await;
        let reading = |(name, critical): &(&'static str, bool)| match answer {
            Ok(()) => Reading {
                name,
                status: Status::Healthy,
                critical: *critical,
                response_time_ms: 0.0,
                error: None,
                facts: Map::new(),
            },
            Err(error) => Reading::unhealthy(name, *critical, error),
        };
        self.name.iter().map(reading).collect()
    }
}
