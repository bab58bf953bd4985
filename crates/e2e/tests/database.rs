//! What the health-aggregator finds out about a real Postgres by itself: over TLS, as a role without privileges, with a replica.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use qflow_e2e::{Dev, Guarded, Postgres, program, said, wait_seeing};
use serde_json::Value;

/// A health-aggregator that has nothing but a database to ask.
struct Aggregator {
    _program: Dev,
    url: String,
}

impl Aggregator {
    fn start(settings: &[(&str, &str)]) -> Self {
        let mut command = Command::new(program().with_file_name("qflow-health-aggregator"));
        for listen in ["--health-listen", "--health-http", "--health-admin"] {
            command.args([listen, "127.0.0.1:0"]);
        }
        command.env_clear().env("QFLOW_SERVICE_TOKEN", "t0ken").env("QFLOW_PROBE_DATABASE_SECONDS", "1");
        command.envs(settings.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("it is piped")).lines().map_while(Result::ok);
        let url = lines.find_map(|line| {
            let line: Value = serde_json::from_str(&line).expect("each line is an object");
            (line["listener"] == "http").then(|| format!("http://{}", line["address"].as_str().expect("an address")))
        });
        // What it says further is read, so that it is never kept from saying it.
        std::thread::spawn(move || lines.count());
        Self { _program: Dev(child), url: url.expect("it listens") }
    }

    fn database(&self) -> Value {
        let output = Command::new("curl").args(["-sS", &format!("{}/health/database", self.url)]).output();
        let output = output.expect("curl starts");
        serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)))
    }

    /// Waits until something is so of the database.
    fn finds(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        wait_seeing(what, || is_so(&self.database()), || format!("{:#}", self.database()));
        self.database()
    }
}

#[test]
fn a_replica_that_is_behind_is_told_to_whoever_may_see_it_and_connections_to_everybody() {
    let Some(postgres) = Postgres::start() else { return };
    postgres.standby();
    postgres.sql("CREATE ROLE plain LOGIN; CREATE TABLE written (n int)");
    let of = |role: &str| {
        let url = postgres.url_of(role);
        Aggregator::start(&[("QFLOW_DATABASE_URL", &url), ("QFLOW_HEALTH_LAG_SECONDS", "2")])
    };
    let (owner, plain) = (of("qflow"), of("plain"));
    for aggregator in [&owner, &plain] {
        aggregator.finds("a replica is there", |told| told["replicas"] == 1 && told["status"] == "healthy");
    }

    // Whoever has no privileges counts connections of others too.
    let before = plain.database()["active_connections"].as_u64().expect("a number");
    let taken: Vec<_> = (0..8).map(|_| postgres.connection()).collect();
    plain.finds("eight more", |told| told["active_connections"].as_u64() >= Some(before.max(3) + 5));
    drop(taken);
    plain.finds("they have gone", |told| told["active_connections"].as_u64() < Some(before.max(3) + 5));

    // The replica takes what is written, and does not apply it.
    postgres.standby_sql("SELECT pg_wal_replay_pause()");
    postgres.sql("INSERT INTO written SELECT * FROM generate_series(1, 1000)");
    let behind = owner.finds("it is behind", |told| told["error"] == "replica_behind");
    assert_eq!(behind["status"], "degraded", "{behind:#}");
    assert!(behind["replication_lag_seconds"].as_f64() >= Some(2.0), "{behind:#}");
    let told = plain.database();
    assert!(told["status"] == "healthy" && told["replication_lag_seconds"].is_null(), "it may not see that: {told:#}");
    postgres.sql("GRANT pg_monitor TO plain");
    plain.finds("it may see it now", |told| told["error"] == "replica_behind");

    postgres.standby_sql("SELECT pg_wal_replay_resume()");
    for aggregator in [&owner, &plain] {
        aggregator.finds("it has caught up", |told| told["status"] == "healthy");
    }
}

#[test]
fn a_database_is_known_by_its_certificate_and_name_before_it_is_told_the_password() {
    let Some(guarded) = Guarded::start() else { return };
    let authority = guarded.authority.path().display().to_string();
    let start = |host: &str, mode: &str, settings: &[(&str, &str)]| {
        let url = format!("postgres://qflow@{host}:{}/postgres?sslmode={mode}", guarded.port);
        Aggregator::start(&[&[("QFLOW_DATABASE_URL", url.as_str())], settings].concat())
    };
    let (ca, password) = (("QFLOW_DATABASE_CA", authority.as_str()), ("QFLOW_DATABASE_PASSWORD", "secret"));
    let known = start("127.0.0.1", "verify-full", &[ca, password]);
    let well = known.finds("it is known", |told| told["status"] == "healthy");
    assert!(well["size_bytes"].as_u64() > Some(0), "{well:#}");
    for (host, mode, settings, error) in [
        ("127.0.0.1", "verify-full", &[password][..], "not_trusted"),
        ("localhost", "verify-full", &[ca, password], "not_trusted"),
        ("127.0.0.1", "verify-full", &[ca, ("QFLOW_DATABASE_PASSWORD", "wrong")], "unauthorized"),
        ("127.0.0.1", "verify-full", &[ca], "unauthorized"),
        // It takes nobody who may be overheard.
        ("127.0.0.1", "disable", &[password], "unauthorized"),
    ] {
        let refused = start(host, mode, settings);
        let told = refused.finds(error, |told| told["error"] == error);
        assert_eq!(
            (&told["status"], told.as_object().map(|all| all.contains_key("size_bytes"))),
            (&"unhealthy".into(), Some(false))
        );
    }
}
