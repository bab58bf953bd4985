//! Postgres, asked directly: whether it takes a connection and answers, how soon, and how much of it is used.

use std::{error::Error, io, path::Path, time::Duration};

use async_trait::async_trait;
use qflow_service::{
    database,
    trust::{self, Untrusted},
};
use serde_json::{Map, Value, json};
use tokio::{task::JoinSet, time::Instant};
use tokio_postgres::{
    Config, Row,
    config::{Host, SslMode},
    error::SqlState,
};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::Probe;
use crate::{
    settings::Thresholds,
    verdict::{Reading, Status, TIMEOUT, UNREACHABLE},
};

const NAMES: &[(&str, bool)] = &[("database", true)];
/// One row of what can be told to a role without privileges, which sees in `pg_stat_activity` its own connections alone; of replicas' lag
/// only where the role may see it.
const FACTS: &str = "
SELECT pg_is_in_recovery(), (SELECT sum(numbackends) FROM pg_stat_database)::bigint,
  current_setting('max_connections')::bigint, pg_database_size(current_database()),
  (SELECT count(*) FROM pg_stat_replication), (SELECT extract(epoch FROM max(replay_lag))::float8 FROM pg_stat_replication)";

/// Why no database can be asked by what was set.
#[derive(Debug, thiserror::Error)]
pub enum Wrong {
    /// No URL of a database; what was set may hold a password.
    #[error("QFLOW_DATABASE_URL is not postgres://USER@HOST[:PORT]/DATABASE[?sslmode=verify-full]")]
    Url,
    /// Neither encrypted nor not.
    #[error("QFLOW_DATABASE_URL says sslmode={0}, which may be overheard: say verify-full, or disable")]
    Undecided(String),
    /// No certificates to trust.
    #[error("QFLOW_DATABASE_CA names {0}")]
    Certificates(#[from] Untrusted),
}

/// Asks a Postgres.
pub struct PostgresProbe {
    config: Config,
    tls: MakeRustlsConnect,
    slow_ms: f64,
    connections_percent: f64,
    lag_seconds: f64,
}

/// What it told.
#[derive(Clone, Debug, Default)]
struct Found {
    connect_ms: f64,
    query_ms: f64,
    in_recovery: bool,
    connections: i64,
    max_connections: i64,
    size_bytes: i64,
    replicas: i64,
    lag_seconds: Option<f64>,
}

impl PostgresProbe {
    /// One that asks where the settings lead, with the certificates of `ca`, else the system's.
    pub fn new(url: &str, password: Option<&str>, ca: Option<&Path>, thresholds: &Thresholds) -> Result<Self, Wrong> {
        if !["postgres://", "postgresql://"].iter().any(|scheme| url.starts_with(scheme)) {
            return Err(Wrong::Url);
        }
        let (url, mode) = database::without_mode(url);
        let mut config: Config = url.parse().map_err(|_| Wrong::Url)?;
        if let Some(password) = password {
            config.password(password);
        }
        let is_here = |host: &Host| match host {
            Host::Unix(_) => true,
            Host::Tcp(name) => database::is_here(name),
        };
        let stays_here = config.get_hosts().iter().all(is_here);
        let encrypted = database::encrypted(mode.as_deref(), stays_here).map_err(Wrong::Undecided)?;
        let patience = Duration::from_millis(thresholds.probe_timeout_ms);
        config
            .ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable })
            .options(format!("-c statement_timeout={}", thresholds.probe_timeout_ms))
            .application_name("qflow-health-aggregator")
            .connect_timeout(patience)
            .tcp_user_timeout(patience);
        let roots = if encrypted { trust::roots(ca)? } else { rustls::RootCertStore::empty() };
        Ok(Self {
            config,
            tls: MakeRustlsConnect::new(trust::tls(roots)),
            slow_ms: thresholds.slow_ms,
            connections_percent: thresholds.connections_percent,
            lag_seconds: thresholds.lag_seconds,
        })
    }

    /// Connects anew: that it still takes connections is a part of the answer.
    async fn ask(&self) -> Result<Found, tokio_postgres::Error> {
        let begun = Instant::now();
        let (client, connection) = self.config.connect(self.tls.clone()).await?;
        let connect_ms = ms(begun);
        // It ends with the answer, also where nobody waits for that any more.
        let mut driving = JoinSet::new();
        driving.spawn(connection);
        let begun = Instant::now();
        client.simple_query("SELECT 1").await?;
        let query_ms = ms(begun);
        let row = client.query_one(FACTS, &[]).await?;
        read(&row, connect_ms, query_ms)
    }

    fn reading(&self, found: &Found) -> Reading {
        let used = found.connections as f64 * 100.0 / found.max_connections.max(1) as f64;
        let (status, error) = if found.in_recovery {
            (Status::Unhealthy, Some("read_only"))
        } else if found.connect_ms.max(found.query_ms) >= self.slow_ms {
            (Status::Degraded, Some("slow"))
        } else if used >= self.connections_percent {
            (Status::Degraded, Some("connections_nearly_used"))
        } else if found.lag_seconds.is_some_and(|lag| lag >= self.lag_seconds) {
            (Status::Degraded, Some("replica_behind"))
        } else {
            (Status::Healthy, None)
        };
        let facts = json!({
            "active_connections": found.connections,
            "max_connections": found.max_connections,
            "connect_ms": (found.connect_ms * 100.0).round() / 100.0,
            "size_bytes": found.size_bytes,
            "replicas": found.replicas,
            "replication_lag_seconds": found.lag_seconds,
        });
        let facts = if let Value::Object(facts) = facts { facts } else { Map::new() };
        Reading { status, error, facts, response_time_ms: found.query_ms, ..Reading::healthy("database", true) }
    }
}

fn read(row: &Row, connect_ms: f64, query_ms: f64) -> Result<Found, tokio_postgres::Error> {
    Ok(Found {
        connect_ms,
        query_ms,
        in_recovery: row.try_get(0)?,
        connections: row.try_get(1)?,
        max_connections: row.try_get(2)?,
        size_bytes: row.try_get(3)?,
        replicas: row.try_get(4)?,
        lag_seconds: row.try_get(5)?,
    })
}

fn ms(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// What the client says where Postgres asks for a password and none was set; it has no kind that can be matched.
const NO_PASSWORD: &str = "password missing";

/// Why it did not answer, as a code: of an error only its class goes outward.
fn code(state: Option<&SqlState>, source: Option<&(dyn Error + 'static)>) -> &'static str {
    match state {
        None if source.is_some_and(|source| source.to_string() == NO_PASSWORD) => "unauthorized",
        None if source.is_some_and(is_of_its_certificate) => "not_trusted",
        None if source.is_some_and(is_late) => TIMEOUT,
        None => UNREACHABLE,
        Some(state) if *state == SqlState::TOO_MANY_CONNECTIONS => "too_many_connections",
        Some(state) if *state == SqlState::CANNOT_CONNECT_NOW => "starting",
        Some(state) if *state == SqlState::QUERY_CANCELED => TIMEOUT,
        Some(state) if *state == SqlState::INVALID_CATALOG_NAME => "no_such_database",
        Some(state) if state.code().starts_with("28") => "unauthorized",
        Some(state) if state.code().starts_with("57P") => "stopping",
        Some(_) => "failed",
    }
}

/// Whether connecting took too long.
fn is_late(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::TimedOut)
}

/// Whether its certificate was refused, however deep that lies: an error of input hides the one in it from `source`.
fn is_of_its_certificate(error: &(dyn Error + 'static)) -> bool {
    if let Some(rustls::Error::InvalidCertificate(_)) = error.downcast_ref() {
        return true;
    }
    match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
        Some(within) => is_of_its_certificate(within),
        None => error.source().is_some_and(is_of_its_certificate),
    }
}

#[async_trait]
impl Probe for PostgresProbe {
    fn names(&self) -> &'static [(&'static str, bool)] {
        NAMES
    }

    async fn probe(&self) -> Vec<Reading> {
        vec![match self.ask().await {
            Ok(found) => self.reading(&found),
            Err(error) => Reading::unhealthy("database", true, code(error.code(), error.source())),
        }]
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt as _;

    use super::*;
    use crate::settings::tests::usual;

    fn probe(url: &str) -> Result<PostgresProbe, String> {
        PostgresProbe::new(url, None, None, &usual()).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_worst_of_its_numbers_is_told_with_all_of_them() {
        let probe = probe("postgres://q@127.0.0.1/q").unwrap();
        let well = Found { connect_ms: 2.0, query_ms: 0.5, connections: 89, max_connections: 100, ..Found::default() };
        let of = |found: Found| {
            let reading = probe.reading(&found);
            (reading.status, reading.error)
        };
        assert_eq!(of(well.clone()), (Status::Healthy, None));
        assert_eq!(of(Found { query_ms: 500.0, ..well.clone() }), (Status::Degraded, Some("slow")));
        assert_eq!(of(Found { connect_ms: 500.0, ..well.clone() }), (Status::Degraded, Some("slow")));
        let nearly = Found { connections: 90, ..well.clone() };
        assert_eq!(of(nearly), (Status::Degraded, Some("connections_nearly_used")));
        let behind = Found { replicas: 1, lag_seconds: Some(30.0), ..well.clone() };
        assert_eq!(of(behind), (Status::Degraded, Some("replica_behind")));
        assert_eq!(of(Found { in_recovery: true, ..well.clone() }), (Status::Unhealthy, Some("read_only")));
        let told = probe.reading(&well);
        assert_eq!((told.response_time_ms, &told.facts["active_connections"]), (0.5, &json!(89)));
        assert_eq!(told.facts["replication_lag_seconds"], Value::Null);
    }

    #[test]
    fn an_error_is_told_by_its_class_alone() {
        let of = |state: &str| code(Some(&SqlState::from_code(state)), None);
        assert_eq!(code(None, None), "unreachable");
        let of_kind = |kind| code(None, Some(&io::Error::from(kind)));
        let told = [io::ErrorKind::TimedOut, io::ErrorKind::ConnectionRefused].map(of_kind);
        assert_eq!(told, ["timeout", "unreachable"]);
        let told = ["53300", "57P03", "57014", "3D000", "28P01", "28000", "57P01", "XX000"].map(of);
        let codes = [
            "too_many_connections",
            "starting",
            "timeout",
            "no_such_database",
            "unauthorized",
            "unauthorized",
            "stopping",
            "failed",
        ];
        assert_eq!(told, codes);
    }

    #[test]
    fn a_certificate_that_is_not_trusted_is_told_so_however_deep_it_lies() {
        let refused = rustls::Error::InvalidCertificate(rustls::CertificateError::UnknownIssuer);
        let within = io::Error::new(io::ErrorKind::InvalidData, refused);
        assert_eq!(code(None, Some(&within)), "not_trusted");
        assert_eq!(code(None, Some(&io::Error::other(within))), "not_trusted");
        let cut = io::Error::new(io::ErrorKind::InvalidData, rustls::Error::HandshakeNotComplete);
        assert_eq!(code(None, Some(&cut)), "unreachable");
        assert_eq!(code(None, Some(&io::Error::from(io::ErrorKind::ConnectionRefused))), "unreachable");
    }

    #[tokio::test]
    async fn a_password_that_is_wanted_and_not_set_is_told_as_not_authorized() {
        let (ours, mut theirs) = tokio::io::duplex(1024);
        // Authentication, of 8 bytes: say the password as it is.
        theirs.write_all(&[b'R', 0, 0, 0, 8, 0, 0, 0, 3]).await.unwrap();
        let config: Config = "postgres://q@127.0.0.1/q".parse().unwrap();
        let error = config.connect_raw(ours, tokio_postgres::NoTls).await.err().unwrap();
        assert_eq!(code(error.code(), error.source()), "unauthorized", "{error:?}");
    }

    #[test]
    fn what_does_not_read_is_told_without_what_it_holds() {
        let wrong = probe("postgres://q:secret@db:none/q").err().unwrap();
        assert!(!wrong.contains("secret") && wrong.contains("QFLOW_DATABASE_URL"), "{wrong}");
        assert!(probe("postgres://q@db/q?sslmode=prefer").err().unwrap().contains("sslmode=prefer"));
    }
}
