//! A server in this process: for `qflow dev`, and for calls that find none.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use qflow_service::{Listening, Shutdown};
use qflow_telemetry::Telemetry;
use tokio::{sync::oneshot, task::JoinSet};

use crate::{
    args::{DevArgs, Ports, ServerArgs},
    discover::{self, ServerFile, Target},
    exit::{Exit, Fail},
    parts,
    status::AskArgs,
    submit::{self, Client, Compress, Overseer},
    top::TopArgs,
};

/// How long services may take to stop: past it the process ends, which the store's design bears.
const STOP: Duration = Duration::from_secs(12);

/// A client, and the server that it calls where that was started for it.
#[derive(Debug)]
pub struct Session {
    /// To call with.
    pub client: Client,
    embedded: Option<Server>,
}

impl Session {
    /// Whether the server ends with this call.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Stops what was started for this call.
    pub async fn close(self) {
        if let Some(server) = self.embedded {
            server.stop().await;
        }
    }
}

/// Connects to the server that a call goes to, starting one where there is none.
pub async fn session(args: &ServerArgs, data_dir: &Path) -> Result<Session, Fail> {
    match discover::discover(args, data_dir)? {
        Target::Server { url, token, .. } => {
            Ok(Session { client: submit::connect(&url, token.as_deref(), args.compress).await?, embedded: None })
        }
        Target::Embedded => {
            if let Some(client) = published(data_dir).await {
                return Ok(Session { client, embedded: None });
            }
            embedded(Server::start(data_dir, Ports::Any, false, parts::telemetry(true), None).await?).await
        }
    }
}

/// A client of the health-aggregator, and the server that it is part of where that was started for this call.
#[derive(Debug)]
pub struct Overseen {
    /// To ask.
    pub overseer: Overseer,
    embedded: Option<Server>,
}

impl Overseen {
    /// Whether the server ends with this call.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Stops what was started for this call.
    pub async fn close(self) {
        if let Some(server) = self.embedded {
            server.stop().await;
        }
    }
}

/// Connects to the health-aggregator of the server that a call goes to, starting one where there is none. The server itself may be away.
pub async fn overseen(ask: &AskArgs, data_dir: &Path) -> Result<Overseen, Fail> {
    let token = discover::token(&ask.server, data_dir)?;
    let known = match (&ask.health_server, discover::discover(&ask.server, data_dir)?) {
        (Some(url), _) => Some(url.clone()),
        (None, Target::Server { url, health, .. }) => Some(health.unwrap_or_else(|| discover::beside(&url))),
        (None, Target::Embedded) => None,
    };
    if let Some(url) = known {
        return Ok(Overseen { overseer: submit::oversee(&url, token.as_deref()).await?, embedded: None });
    }
    if published(data_dir).await.is_some() {
        let overseer = submit::oversee(&discover::beside(PUBLISHED_URL), token.as_deref()).await?;
        return Ok(Overseen { overseer, embedded: None });
    }
    let server = Server::start(data_dir, Ports::Any, false, parts::telemetry(true), None).await?;
    match submit::oversee(&server.health, Some(&server.token)).await {
        Ok(overseer) => Ok(Overseen { overseer, embedded: Some(server) }),
        Err(fail) => {
            server.stop().await;
            Err(fail)
        }
    }
}

/// Clients of a server that runs and of its health-aggregator, and the server's address: what is watched must be there already.
pub async fn running(args: &TopArgs, data_dir: &Path) -> Result<(Client, Overseer, String), Fail> {
    let token = discover::token(&args.server, data_dir)?;
    let (url, health) = match discover::discover(&args.server, data_dir)? {
        Target::Server { url, health, .. } => (url, health),
        Target::Embedded if published(data_dir).await.is_some() => (PUBLISHED_URL.to_owned(), None),
        Target::Embedded => {
            let message = "no server runs here: start `qflow dev`, or name one with --server or QFLOW_SERVER";
            return Err(Fail::new(Exit::Unreachable, message));
        }
    };
    let health = args.health_server.clone().or(health).unwrap_or_else(|| discover::beside(&url));
    let client = submit::connect(&url, token.as_deref(), args.server.compress).await?;
    Ok((client, submit::oversee(&health, token.as_deref()).await?, url))
}

/// What a server for one call is told over the settings of this machine.
#[derive(Clone, Debug)]
pub struct Overrides {
    /// Docker, else processes.
    pub docker: bool,
    /// Where secrets are.
    pub secrets_dir: PathBuf,
    /// Where sockets are.
    pub run_dir: PathBuf,
}

/// Starts a server that shares nothing with any other, for this call.
pub async fn apart(folder: &Path, overrides: Overrides) -> Result<Session, Fail> {
    let server =
        Server::start(&folder.join("data"), Ports::Any, false, parts::telemetry(true), Some(overrides)).await?;
    embedded(server).await
}

async fn embedded(server: Server) -> Result<Session, Fail> {
    match submit::connect(&server.http, Some(&server.token), Compress::Never).await {
        Ok(client) => Ok(Session { client, embedded: Some(server) }),
        Err(fail) => {
            server.stop().await;
            Err(fail)
        }
    }
}

/// The published address.
const PUBLISHED_URL: &str = "http://127.0.0.1:7400";
/// How long a server on the published port may take to say whether the token is its own.
const PUBLISHED: Duration = Duration::from_millis(300);

/// A server on the published port that takes this data directory's token: one in a container or of another user's account.
async fn published(data_dir: &Path) -> Option<Client> {
    let token = discover::read_token(data_dir)?;
    let asked = async {
        let client = submit::connect(PUBLISHED_URL, Some(&token), Compress::Never).await.ok()?;
        client.runtime().await.ok().map(|_| client)
    };
    tokio::time::timeout(PUBLISHED, asked).await.ok()?
}

/// `qflow dev`: serves until SIGTERM or an interrupt.
pub async fn dev(args: DevArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let signals = Shutdown::on_signals().map_err(anyhow::Error::from)?;
    let mut server = Server::start(data_dir, args.ports, true, parts::telemetry(false), None).await?;
    let (http, health) = (server.http.clone(), server.health.clone());
    let file = ServerFile { pid: std::process::id(), http, health };
    eprintln!("qflow {} serves {}", env!("CARGO_PKG_VERSION"), data_dir.display());
    for (name, address) in &server.addresses {
        eprintln!("  {name:<24} {address}");
    }
    eprintln!("  {:<24} {}", "token", data_dir.join("token").display());
    eprintln!("run something: qflow run FILE");
    // Last: who finds this file finds the addresses told as well.
    discover::write_server(data_dir, &file).map_err(anyhow::Error::from)?;
    let ended = tokio::select! {
        () = signals.wait() => None,
        ended = server.tasks.join_next() => Some(ended),
    };
    discover::remove_server(data_dir);
    server.stop().await;
    match ended {
        None => Ok(Exit::Completed),
        Some(Some(Ok((name, Err(error))))) => Err(Fail::new(Exit::Failed, format!("{name}: {error:#}"))),
        Some(_) => Err(Fail::new(Exit::Failed, "a service ended by itself")),
    }
}

/// A service's end, by its name.
pub type Ended = (&'static str, anyhow::Result<()>);

/// The four services in this process.
#[derive(Debug)]
pub struct Server {
    /// Where clients call.
    pub http: String,
    /// Where its health-aggregator is called.
    pub health: String,
    /// What they show.
    pub token: String,
    /// Every address by its name.
    pub addresses: Vec<(&'static str, String)>,
    tasks: JoinSet<Ended>,
    shutdown: Shutdown,
    telemetry: Flush,
}

/// Flushes telemetry once the services have stopped.
struct Flush(Telemetry);

impl std::fmt::Debug for Flush {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Flush")
    }
}

impl Server {
    /// Starts them, each once those that it calls listen.
    async fn start(
        data_dir: &Path,
        ports: Ports,
        admin: bool,
        telemetry: Telemetry,
        overrides: Option<Overrides>,
    ) -> Result<Self, Fail> {
        let token = discover::ensure_token(data_dir).map_err(|e| {
            Fail::usage(format!("{}: {e}; set QFLOW_DATA_DIR to a folder that you may write", data_dir.display()))
        })?;
        let mut starting = Starting {
            ports,
            admin,
            overrides,
            tasks: JoinSet::new(),
            shutdown: Shutdown::new(),
            telemetry: telemetry.clone(),
            addresses: Vec::new(),
        };
        let started = parts::start(&mut starting, data_dir, &token).await;
        let Starting { tasks, shutdown, addresses, .. } = starting;
        let (http, health) = (String::new(), String::new());
        let mut server = Self { http, health, token, addresses, tasks, shutdown, telemetry: Flush(telemetry) };
        match started {
            Ok(parts::Listens { clients, health }) => {
                (server.http, server.health) = (clients, health);
                Ok(server)
            }
            Err(error) => {
                server.stop().await;
                Err(Fail::from(error))
            }
        }
    }

    /// Has them stop, and waits for it.
    pub async fn stop(mut self) {
        self.shutdown.trigger();
        let all = async { while self.tasks.join_next().await.is_some() {} };
        // Past the bound what still runs is dropped with the process: nothing acknowledged is lost by that.
        drop(tokio::time::timeout(STOP, all).await);
        self.telemetry.0.shutdown();
    }
}

/// The services while they start.
pub struct Starting {
    ports: Ports,
    admin: bool,
    /// What the runner is told over its settings.
    pub(crate) overrides: Option<Overrides>,
    tasks: JoinSet<Ended>,
    shutdown: Shutdown,
    telemetry: Telemetry,
    addresses: Vec<(&'static str, String)>,
}

impl Starting {
    /// The published port, or any, on loopback.
    pub fn address(&self, published: u16) -> SocketAddr {
        let port = if self.ports == Ports::Any { 0 } else { published };
        (Ipv4Addr::LOCALHOST, port).into()
    }

    /// The admin port of all four, in the first of them; none for a single call, which nobody scrapes.
    pub fn admin(&self, published: u16) -> Option<SocketAddr> {
        self.admin.then(|| self.address(published))
    }

    /// Starts one service and waits until it listens.
    pub async fn launch<F>(
        &mut self,
        name: &'static str,
        serve: impl FnOnce(Telemetry, Shutdown, oneshot::Sender<Listening>) -> F,
    ) -> anyhow::Result<Listening>
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (sender, receiver) = oneshot::channel();
        let serving = serve(self.telemetry.component(name), self.shutdown.clone(), sender);
        self.tasks.spawn(async move { (name, serving.await) });
        if let Ok(listening) = receiver.await {
            self.addresses.push((name, format!("grpc {}", listening.grpc)));
            if let Some(http) = listening.http {
                self.addresses.push((name, format!("http://{http}")));
            }
            if let Some(admin) = listening.admin {
                self.addresses.push(("admin", format!("http://{admin}/metrics")));
            }
            return Ok(listening);
        }
        // It ended without listening: its own error says why.
        while let Some(ended) = self.tasks.join_next().await {
            let (ended, result) = ended?;
            if ended == name {
                return Err(result.err().unwrap_or_else(|| anyhow::anyhow!("it ended at once")).context(name));
            }
        }
        Err(anyhow::anyhow!("{name} ended at once"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn starting() -> Starting {
        Starting {
            ports: Ports::Any,
            admin: false,
            overrides: None,
            tasks: JoinSet::new(),
            shutdown: Shutdown::new(),
            telemetry: Telemetry::silent(),
            addresses: Vec::new(),
        }
    }

    #[tokio::test]
    async fn a_service_that_cannot_start_says_why_under_its_name() {
        let launched = starting().launch("part", |_, _, _sender| async { anyhow::bail!("no port is free") }).await;
        assert_eq!(format!("{:#}", launched.unwrap_err()), "part: no port is free");
    }

    #[tokio::test]
    async fn published_ports_are_taken_unless_any_will_do() {
        assert_eq!(starting().address(7400).port(), 0);
        assert_eq!(Starting { ports: Ports::Default, ..starting() }.address(7400).port(), 7400);
    }
}
