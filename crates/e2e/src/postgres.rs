//! A Postgres server of a test's own.

use std::{
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use crate::{
    during::{During, folder},
    said,
};

/// A server that ends with the test.
pub struct Postgres(During);

impl Postgres {
    /// Starts one; nothing where none is installed and none is required.
    pub fn start() -> Option<Self> {
        During::start("postgres", &[]).map(Self)
    }

    /// What `QFLOW_DATABASE_URL` is to be.
    pub fn url(&self) -> String {
        self.url_of("qflow")
    }

    /// The same for another role.
    pub fn url_of(&self, role: &str) -> String {
        format!("postgres://{role}@{}/postgres", self.0.folder.display().to_string().replace('/', "%2F"))
    }

    /// Ends it as a power cut would, and starts it again.
    pub fn restart(&self) {
        self.0.script("restart", &[]);
    }

    /// Gives it a standby, which says every second how far it is.
    pub fn standby(&self) {
        self.0.script("standby", &["-c wal_receiver_status_interval=1"]);
    }

    /// What it answers to statements; a line a row.
    pub fn sql(&self, statements: &str) -> String {
        answer(psql(&self.0.folder).args(["-c", statements]))
    }

    /// The same of its standby.
    pub fn standby_sql(&self, statements: &str) -> String {
        answer(psql(&self.0.folder.join("standby")).args(["-c", statements]))
    }

    /// A connection that does nothing until it is dropped.
    pub fn connection(&self) -> Connection {
        let mut psql = psql(&self.0.folder);
        Connection(psql.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("psql starts"))
    }
}

/// Somebody who is connected.
pub struct Connection(Child);

impl Drop for Connection {
    fn drop(&mut self) {
        // With its input it ends.
        drop(self.0.stdin.take());
        self.0.wait().ok();
    }
}

fn psql(folder: &Path) -> Command {
    let mut psql = Command::new("psql");
    psql.args(["-U", "qflow", "-d", "postgres", "-v", "ON_ERROR_STOP=1", "-tA", "-h"]).arg(folder);
    psql
}

fn answer(psql: &mut Command) -> String {
    let output = psql.output().expect("psql starts");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A server that is reached on 127.0.0.1 over TLS alone, and there asks `qflow` for its password, `secret`.
pub struct Guarded {
    /// Where.
    pub port: u16,
    /// Whose certificate it has.
    pub authority: tempfile::NamedTempFile,
    _server: Postgres,
}

impl Guarded {
    /// Starts one; nothing where none is installed and none is required.
    pub fn start() -> Option<Self> {
        let folder = folder("postgres");
        certify(&folder);
        std::fs::write(folder.join("hosts"), "local all all trust\nhostssl all all all scram-sha-256\n")
            .expect("it is ours");
        // The server takes the folder for its own.
        let authority = tempfile::NamedTempFile::new().expect("a file can be made");
        std::fs::copy(folder.join("ca.pem"), authority.path()).expect("it was made");
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a port is free").port();
        let file = |name: &str| folder.join(name).display().to_string();
        let options = [
            format!("-c listen_addresses=localhost -c port={port} -c hba_file={} -c ssl=on", file("hosts")),
            format!("-c ssl_cert_file={} -c ssl_key_file={}", file("server.pem"), file("server.key")),
        ];
        let server = During::start_in(folder, "postgres", &[options[0].as_str(), options[1].as_str()]).map(Postgres)?;
        answer(psql(&server.0.folder).args(["-p", &port.to_string(), "-c", "ALTER USER qflow PASSWORD 'secret'"]));
        Some(Self { port, authority, _server: server })
    }
}

/// A certificate for 127.0.0.1 by an authority of this test's own.
fn certify(folder: &Path) {
    let sign = "
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority
        openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout server.key -out server.csr -subj /CN=server
        printf 'subjectAltName=IP:127.0.0.1\\nbasicConstraints=CA:FALSE' >names
        openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile names -out server.pem
        chmod 600 server.key";
    let done = Command::new("sh").args(["-ec", sign]).current_dir(folder).output().expect("sh starts");
    assert!(done.status.success(), "{}", said(&done));
}
