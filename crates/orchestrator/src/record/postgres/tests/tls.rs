//! The way to the server is encrypted, and the server is who its certificate says.

use std::{net::TcpListener, path::Path, process::Command};

use super::{
    server::{Server, connect},
    *,
};

/// A certificate for 127.0.0.1 by an authority of this test's own, in a folder that the server can read.
pub(crate) fn certify(folder: &Path) {
    let sign = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE' >names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
        chmod 600 server.key";
    let done = Command::new("sh").args(["-ec", sign]).current_dir(folder).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A server that asks for a password wherever it is not reached by its socket.
struct Guarded {
    port: u16,
    ca: tempfile::NamedTempFile,
    _server: Server,
}

impl Guarded {
    async fn start() -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("qflow-pg-").tempdir().unwrap().keep();
        certify(&folder);
        let hosts =
            "local all all trust\nhost all all 127.0.0.1/32 scram-sha-256\nhost all all ::1/128 scram-sha-256\n";
        std::fs::write(folder.join("hosts"), hosts).unwrap();
        // The server takes the folder for its own.
        let ca = tempfile::NamedTempFile::new().unwrap();
        std::fs::copy(folder.join("ca.pem"), ca.path()).unwrap();
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let file = |name: &str| folder.join(name).display().to_string();
        let options = [
            format!("-c listen_addresses=localhost -c port={port} -c hba_file={} -c ssl=on", file("hosts")),
            format!("-c ssl_cert_file={} -c ssl_key_file={}", file("server.pem"), file("server.key")),
        ];
        let server = Server::start_in(&folder, &options)?;
        let admin = connect(&server.url("postgres").replace("/postgres", &format!(":{port}/postgres"))).await;
        admin.batch_execute("ALTER USER qflow PASSWORD 'secret'").await.unwrap();
        Some(Self { port, ca, _server: server })
    }

    async fn open(
        &self,
        host: &str,
        mode: &str,
        password: &str,
        ca: Option<&Path>,
    ) -> std::result::Result<Postgres, String> {
        let url = format!("postgres://qflow@{host}:{}/postgres?sslmode={mode}", self.port);
        let settings = Settings { url, password: Some(password.into()), ca: ca.map(Path::to_owned) };
        Postgres::open(&settings).await.map_err(|error| format!("{:#}", anyhow::Error::from(error)))
    }
}

#[tokio::test]
async fn a_server_is_known_by_its_certificate_and_name_and_knows_us_by_our_password() {
    let Some(guarded) = Guarded::start().await else { return };
    let ca = Some(guarded.ca.path());
    let store = guarded.open("127.0.0.1", "verify-full", "secret", ca).await.unwrap();
    let rows = store.rows("look", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", &[]).await.unwrap();
    assert!(rows[0].get::<_, bool>(0), "the connection is encrypted");
    let refused =
        async |host, mode, password, ca| guarded.open(host, mode, password, ca).await.err().unwrap_or_default();
    let unknown = refused("127.0.0.1", "require", "secret", None).await;
    assert!(unknown.contains("invalid peer certificate: UnknownIssuer"), "{unknown}");
    let elsewhere = refused("localhost", "require", "secret", ca).await;
    assert!(elsewhere.contains("not valid for name \"localhost\""), "{elsewhere}");
    let stranger = refused("127.0.0.1", "verify-full", "wrongsecret", ca).await;
    assert!(stranger.contains("password authentication failed") && !stranger.contains("wrongsecret"), "{stranger}");
    assert!(guarded.open("127.0.0.1", "disable", "secret", None).await.is_ok(), "where it is said so");
}
