//! A database as its URL names it: where it is, who asks, and whether the way there is encrypted.

use std::time::Duration;

use qflow_service::{
    database,
    trust::{self, Untrusted},
};
use rustls::RootCertStore;
use tokio_postgres::config::{Host, SslMode};
use tokio_postgres_rustls::MakeRustlsConnect;

use crate::record::traced::Place;

/// How long a host may take to answer at all: past it callers are better told that it is away.
const CONNECT: Duration = Duration::from_secs(2);
/// How long sent bytes may stay unacknowledged: a silent partition is noticed within it.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);
/// What every session sets: bounds on what a statement may take and wait for, and no compiling for what takes a millisecond. Plans
/// are made once, maybe when tables were empty: each statement has an index in the order that it reads, and is to use it.
const OPTIONS: &str = "-c statement_timeout=10s -c lock_timeout=5s -c idle_in_transaction_session_timeout=10s -c jit=off \
                       -c plan_cache_mode=force_generic_plan -c enable_seqscan=off -c enable_bitmapscan=off";
/// Why no database can be opened by what was set.
#[derive(Debug, thiserror::Error)]
pub(super) enum Wrong {
    /// No URL of a database.
    #[error("QFLOW_DATABASE_URL is not postgres://USER@HOST[:PORT]/DATABASE[?sslmode=verify-full]: {0}")]
    Url(String),
    /// Neither encrypted nor not.
    #[error(
        "QFLOW_DATABASE_URL says sslmode={0}, which may be overheard: say verify-full, or disable where the network between is yours"
    )]
    Undecided(String),
    /// No certificates to trust.
    #[error("QFLOW_DATABASE_CA names {0}")]
    Certificates(#[from] Untrusted),
}

/// What is set of a database.
#[derive(Clone, Default)]
pub struct Settings {
    /// `postgres://USER@HOST[:PORT]/DATABASE[?sslmode=…]`.
    pub url: String,
    /// The password, where it is not the URL's.
    pub password: Option<String>,
    /// A file of certificates to trust; default: the system's.
    pub ca: Option<std::path::PathBuf>,
}

impl std::fmt::Debug for Settings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The URL may carry a password.
        f.debug_struct("Settings").field("ca", &self.ca).finish_non_exhaustive()
    }
}

/// Where to connect, and how.
#[derive(Clone)]
pub(super) struct Target {
    pub(super) config: tokio_postgres::Config,
    pub(super) tls: MakeRustlsConnect,
    /// `HOST:PORT/DATABASE`, for messages: nothing secret in it.
    pub(super) shown: String,
}

impl Settings {
    pub(super) fn target(&self) -> Result<Target, Wrong> {
        let (url, mode) = database::without_mode(&self.url);
        let mut config: tokio_postgres::Config =
            url.parse().map_err(|error| Wrong::Url(super::transaction::told(&error).to_string()))?;
        if let Some(password) = &self.password {
            config.password(password);
        }
        let stays_here = config.get_hosts().iter().all(is_local);
        let encrypted = database::encrypted(mode.as_deref(), stays_here).map_err(Wrong::Undecided)?;
        let options = [config.get_options(), Some(OPTIONS)].into_iter().flatten().collect::<Vec<_>>().join(" ");
        config
            .ssl_mode(if encrypted { SslMode::Require } else { SslMode::Disable })
            .options(options)
            .application_name("qflow-orchestrator")
            .connect_timeout(CONNECT)
            .tcp_user_timeout(UNACKNOWLEDGED)
            .keepalives(true)
            .keepalives_idle(Duration::from_secs(5))
            .keepalives_interval(Duration::from_secs(2))
            .keepalives_retries(2);
        let roots = if encrypted { trust::roots(self.ca.as_deref())? } else { RootCertStore::empty() };
        let tls = trust::tls(roots);
        let shown = shown(&config);
        Ok(Target { config, tls: MakeRustlsConnect::new(tls), shown })
    }
}

impl Target {
    /// Which database it is, for spans: of several hosts the first.
    pub(super) fn place(&self) -> Place {
        let port = self.config.get_ports().first().copied().unwrap_or(5432);
        let address = self.config.get_hosts().first().map(|host| match host {
            Host::Tcp(name) => name.clone(),
            Host::Unix(path) => path.display().to_string(),
        });
        let namespace = self.config.get_dbname().or(self.config.get_user()).unwrap_or_default().to_owned();
        Place { system: "postgresql", namespace, server: address.map(|address| (address, port)) }
    }
}

/// Whether nobody can listen on the way.
fn is_local(host: &Host) -> bool {
    match host {
        Host::Unix(_) => true,
        Host::Tcp(name) => database::is_here(name),
    }
}

fn shown(config: &tokio_postgres::Config) -> String {
    let port = |n: usize| config.get_ports().get(n).or_else(|| config.get_ports().first()).copied().unwrap_or(5432);
    let host = |(n, host): (usize, &Host)| match host {
        Host::Tcp(name) => format!("{name}:{}", port(n)),
        Host::Unix(path) => path.display().to_string(),
    };
    let hosts: Vec<String> = config.get_hosts().iter().enumerate().map(host).collect();
    format!("{}/{}", hosts.join(","), config.get_dbname().or(config.get_user()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(url: &str) -> Result<(SslMode, String), String> {
        let settings = Settings { url: url.into(), ..Settings::default() };
        settings.target().map(|it| (it.config.get_ssl_mode(), it.shown)).map_err(|wrong| wrong.to_string())
    }

    #[test]
    fn the_way_is_encrypted_unless_it_stays_on_this_machine_or_is_said_not_to_be() {
        for (url, encrypted) in [
            ("postgres://q@db/q", true),
            ("postgres://q@db/q?sslmode=require", true),
            ("postgres://q@db/q?application_name=x&sslmode=verify-full", true),
            ("postgres://q@db/q?sslmode=disable", false),
            ("postgres://q@127.0.0.1/q", false),
            ("postgres://q@127.0.0.1/q?sslmode=verify-full", true),
            ("postgres://q@%2Fvar%2Frun%2Fpostgresql/q", false),
        ] {
            let mode = if encrypted { SslMode::Require } else { SslMode::Disable };
            assert_eq!(target(url).map(|(mode, _)| mode), Ok(mode), "{url}");
        }
        let undecided = target("postgres://q@db/q?sslmode=prefer").unwrap_err();
        assert!(undecided.contains("say verify-full, or disable"), "{undecided}");
    }

    #[test]
    fn what_is_shown_of_a_database_holds_no_password() {
        assert_eq!(target("postgres://q:secret@db:5433/runs").unwrap().1, "db:5433/runs");
        let wrong = target("postgres://q:secret@db:none/runs").unwrap_err();
        assert!(!wrong.contains("secret"), "{wrong}");
        let settings = Settings { url: "postgres://q:secret@db/runs".into(), ..Settings::default() };
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn the_place_of_a_database_is_its_first_host_and_its_name() {
        let place = |url: &str| {
            let settings = Settings { url: url.into(), ..Settings::default() };
            let place = settings.target().unwrap().place();
            (place.namespace, place.server)
        };
        assert_eq!(place("postgres://q:secret@db:5433/runs"), ("runs".into(), Some(("db".into(), 5433))));
        assert_eq!(place("postgres://q@%2Frun%2Fpg/q"), ("q".into(), Some(("/run/pg".into(), 5432))));
    }

    #[test]
    fn a_file_without_certificates_is_named() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let settings = Settings { url: "postgres://q@db/q".into(), password: None, ca: Some(file.path().to_owned()) };
        let wrong = settings.target().err().map(|wrong| wrong.to_string()).unwrap_or_default();
        assert!(wrong.contains("holds no certificate"), "{wrong}");
    }
}
