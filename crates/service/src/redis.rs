//! How services are told of a Redis, which is a hint to all of them.

use std::path::{Path, PathBuf};

use fred::{prelude::Config, types::config::TlsConnector};
use qflow_telemetry::Ended;

use crate::{
    auth::{SecretError, read_secret},
    trust,
};

/// A Redis, as a service is told of it.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct RedisArgs {
    /// Where replicas hear of one another's runs, and validators share what they have read: `redis://HOST`, or `rediss://HOST` with TLS;
    /// default: replicas look into the database every second, each validator keeps its own in memory.
    #[arg(long = "redis-url", env = "QFLOW_REDIS_URL", hide_env_values = true)]
    pub url: Option<String>,
    /// Its password, where the address has none.
    #[arg(long = "redis-password", env = "QFLOW_REDIS_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// A file that holds it.
    #[arg(long = "redis-password-file", env = "QFLOW_REDIS_PASSWORD_FILE")]
    pub password_file: Option<PathBuf>,
    /// Certificates by which Redis is known; default: `QFLOW_CA_BUNDLE`, else the system's.
    #[arg(long = "redis-ca", env = "QFLOW_REDIS_CA")]
    pub ca: Option<PathBuf>,
}

/// What is set of a Redis.
#[derive(Clone, Default)]
pub struct RedisSettings {
    /// `redis://[USER@]HOST[:PORT][/DATABASE]`, or `rediss://` for TLS.
    pub url: String,
    /// The password, where it is not the URL's.
    pub password: Option<String>,
    /// A file of certificates to trust; default: the system's.
    pub ca: Option<PathBuf>,
}

/// Which Redis it is, for the spans of its calls.
#[derive(Clone, Debug)]
pub struct RedisPlace {
    address: String,
    port: u16,
    database: u8,
}

impl RedisPlace {
    /// The one that a client is made for: of several hosts the first.
    pub fn of(config: &Config) -> Self {
        let server = config.server.hosts().into_iter().next();
        let (address, port) = server.map_or_else(Default::default, |server| (server.host.to_string(), server.port));
        Self { address, port, database: config.database.unwrap_or_default() }
    }

    /// How a call of it ended: `GET`; `PIPELINE PUBLISH` with how many there were. Keys and values are not told.
    pub fn ended(&self, operation: &str, batch: Option<usize>, error: Option<&fred::error::Error>) -> Ended {
        let mut facts = vec![
            ("db.system.name", "redis".into()),
            ("db.namespace", self.database.to_string().into()),
            ("db.operation.name", operation.into()),
            ("server.address", self.address.as_str().into()),
            ("server.port", self.port.into()),
        ];
        facts.extend(batch.map(|batch| ("db.operation.batch.size", batch.into())));
        Ended { name: operation.to_owned(), facts, error: error.map(|error| error.kind().to_str().to_owned()) }
    }
}

/// Settings of a Redis that do not read. One that is away, or is not who it should be, is none of them.
#[derive(Debug, thiserror::Error)]
pub enum NotRedis {
    /// No address.
    #[error("QFLOW_REDIS_URL is not redis://[USER@]HOST[:PORT][/DATABASE], or rediss:// for TLS")]
    Address(#[source] Option<fred::error::Error>),
    /// No certificates to trust.
    #[error("QFLOW_REDIS_CA names {0}")]
    Certificates(String),
    /// A password that cannot be had.
    #[error("read QFLOW_REDIS_PASSWORD[_FILE]")]
    Password(#[from] SecretError),
}

/// How an address may begin; those with `-` name several hosts.
const SCHEMES: [&str; 6] =
    ["redis://", "rediss://", "redis-cluster://", "rediss-cluster://", "redis-sentinel://", "rediss-sentinel://"];

impl RedisArgs {
    /// What is set; nothing where no address is.
    pub fn settings(&self, ca_bundle: Option<&Path>) -> Result<Option<RedisSettings>, NotRedis> {
        let Some(url) = self.url.clone().filter(|url| !url.is_empty()) else { return Ok(None) };
        let password = read_secret(self.password.clone(), self.password_file.clone())?;
        let ca = self.ca.as_deref().or(ca_bundle).map(Path::to_owned);
        Ok(Some(RedisSettings { url, password, ca }))
    }
}

impl RedisSettings {
    /// Where a client connects to, and how.
    pub fn config(self) -> Result<Config, NotRedis> {
        if !SCHEMES.iter().any(|scheme| self.url.starts_with(scheme)) {
            return Err(NotRedis::Address(None));
        }
        // The URL's `s` would be taken for this system's certificates, read anew: ours are set below.
        let (scheme, rest) = self.url.split_once("://").unwrap_or_default();
        let plain = scheme.strip_prefix("rediss").map(|more| format!("redis{more}://{rest}"));
        let mut config =
            Config::from_url(plain.as_deref().unwrap_or(&self.url)).map_err(|error| NotRedis::Address(Some(error)))?;
        if plain.is_some() {
            let roots = trust::roots(self.ca.as_deref()).map_err(|error| NotRedis::Certificates(error.to_string()))?;
            config.tls = Some(TlsConnector::from(trust::tls(roots)).into());
        }
        if self.password.is_some() {
            config.password = self.password;
        }
        Ok(config)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_told_with_the_place_and_the_command_and_no_value() {
        let settings = RedisSettings { url: "redis://:secret@cache:6380/2".into(), ..RedisSettings::default() };
        let ended = RedisPlace::of(&settings.config().unwrap()).ended("PIPELINE PUBLISH", Some(3), None);
        let facts: Vec<String> = ended.facts.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let wanted = [
            "db.system.name=\"redis\"",
            "db.namespace=\"2\"",
            "db.operation.name=\"PIPELINE PUBLISH\"",
            "server.address=\"cache\"",
            "server.port=6380",
            "db.operation.batch.size=3",
        ];
        assert_eq!((ended.name.as_str(), facts), ("PIPELINE PUBLISH", wanted.map(str::to_owned).to_vec()));
    }

    #[test]
    fn an_empty_address_is_none_and_the_bundle_stands_for_certificates() {
        let args = RedisArgs { url: Some(String::new()), ..RedisArgs::default() };
        assert!(args.settings(None).unwrap().is_none());
        let args = RedisArgs { url: Some("rediss://cache".into()), password: Some("p".into()), ..args };
        let settings = args.settings(Some(Path::new("bundle.pem"))).unwrap().unwrap();
        assert_eq!((settings.password.as_deref(), settings.ca.as_deref()), (Some("p"), Some(Path::new("bundle.pem"))));
        let own = RedisArgs { ca: Some("own.pem".into()), ..args.clone() };
        let settings = own.settings(Some(Path::new("bundle.pem"))).unwrap().unwrap();
        assert_eq!(settings.ca.as_deref(), Some(Path::new("own.pem")));
        let missing = RedisArgs { password: None, password_file: Some("/nowhere".into()), ..args };
        assert_eq!(missing.settings(None).err().unwrap().to_string(), "read QFLOW_REDIS_PASSWORD[_FILE]");
    }
}
