//! The way to Redis is encrypted, and Redis is who its certificate says.

use std::{
    io::Write,
    path::Path,
    sync::{Mutex, PoisonError},
};

use qflow_telemetry::{Level, TelemetryConfig};

use super::*;
use crate::record::certify;

/// Lines that are told.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<u8>>>);

impl Write for Told {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Told {
    fn telemetry(&self) -> Telemetry {
        let config = TelemetryConfig {
            service: "test",
            version: "0",
            json: true,
            level: Level::Info,
            muted: &[],
            to_stderr: false,
            otlp_endpoint: None,
        };
        Telemetry::writing(config, Box::new(self.clone()))
    }

    /// The line by which it is told that Redis is away.
    async fn away(&self) -> String {
        let line = async {
            loop {
                let told = String::from_utf8(self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()).unwrap();
                if let Some(line) = told.lines().find(|line| line.contains("redis_away")) {
                    return line.to_owned();
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, line).await.expect("it is told")
    }
}

fn spawn(port: u16, folder: &Path) -> std::io::Result<Child> {
    let port = port.to_string();
    let words = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", "0", "--tls-port", &port];
    let tls = ["--tls-cert-file", "server.pem", "--tls-key-file", "server.key", "--tls-ca-cert-file", "ca.pem"];
    let mut command = Command::new("redis-server");
    command.args(words).args(tls).args(["--tls-auth-clients", "no", "--requirepass", "secret"]);
    command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_is_known_by_its_certificate_and_name_and_knows_us_by_our_password() {
    let Some(server) = Server::start_by(|port, folder| {
        certify(folder);
        spawn(port, folder)
    }) else {
        return;
    };
    let (shutdown, ca) = (Shutdown::new(), server.folder.path().join("ca.pem"));
    let open = |owner: &str, host: &str, password: &str, ca: Option<&Path>, told: &Told| {
        let url = format!("rediss://{host}:{}", server.port);
        let settings = RedisSettings { url, password: Some(password.into()), ca: ca.map(Path::to_owned) };
        Redis::open(settings, owner, &told.telemetry(), &shutdown)
    };
    let told = Told::default();
    let here = open("a", "127.0.0.1", "secret", Some(&ca), &told).unwrap();
    let there = open("b", "127.0.0.1", "secret", Some(&ca), &told).unwrap();
    drop(meet(&here, &there, run(1)).await);
    // Redis is no more than a hint: who serves goes on without it, and says why it is not there.
    let other = server.folder.path().join("server.pem");
    for (host, password, ca, why) in [
        ("127.0.0.1", "secret", Some(&*other), "UnknownIssuer"),
        ("localhost", "secret", Some(&*ca), "NotValidForName"),
        ("127.0.0.1", "wrongsecret", Some(&*ca), "WRONGPASS"),
        ("nowhere.invalid", "wrongsecret", Some(&*ca), "failed to lookup address information"),
    ] {
        let told = Told::default();
        let bus = open("a", host, password, ca, &told).unwrap();
        let line = told.away().await;
        assert!(line.contains(why) && !line.contains("wrongsecret"), "{why}: {line}");
        // Whose it is, and not as a programmer sees it.
        assert!(line.contains(&format!("Redis at rediss://{host}:{} is away", server.port)), "{line}");
        assert!(!line.contains("kind:"), "{line}");
        let mut near = bus.watch(run(1));
        bus.changed(run(1), &nothing);
        hears(&mut near, is_change).await;
    }
    let none = open("a", "127.0.0.1", "secret", Some(&server.folder.path().join("server.key")), &Told::default());
    let none = none.err().map(|error| error.to_string()).unwrap_or_default();
    assert!(none.starts_with("QFLOW_REDIS_CA names `") && none.ends_with("it holds no certificate"), "{none}");
    shutdown.trigger();
}
