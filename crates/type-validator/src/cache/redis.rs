//! Definitions that validators share over Redis, the newest in memory too. What Redis loses is read again from its source.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use fred::{
    error::{Error, ErrorKind},
    interfaces::{ClientLike, KeysInterface},
    prelude::Client,
    types::{
        Builder, Expiration,
        config::{ReconnectPolicy, UnresponsiveConfig},
    },
};
use qflow_model::ids::Digest;
use qflow_service::{AtWork, NotRedis, RedisPlace, RedisSettings, Shutdown};
use qflow_telemetry::{Telemetry, traces};
use tokio::sync::mpsc;

use super::{Cache, KEPT, Local, Seal};
use crate::validate::Inspected;

/// How long a look may take: reading a source takes milliseconds.
const PATIENCE: Duration = Duration::from_millis(200);
/// How long a connection may take to come up.
const CONNECT: Duration = Duration::from_secs(3);
/// First and longest wait before connecting again, in milliseconds.
const BACKOFF_MS: (u32, u32) = (100, 5_000);
/// Entries that may wait to be written; past it they are lost, as when Redis is away.
const QUEUE: usize = 64;

/// A definition as it is kept, on its way.
type Entry = (Digest, Vec<u8>);

/// What is kept in Redis, and the newest of it in memory.
pub struct Redis {
    local: Local,
    client: Client,
    seal: Seal,
    out: mpsc::Sender<Entry>,
    place: RedisPlace,
    telemetry: Telemetry,
    at_work: AtWork,
}

fn name(key: Digest) -> String {
    format!("qflow:definition:{key}")
}

impl Redis {
    /// Connects when it can, and again whenever the connection is lost; nobody waits for that.
    pub fn open(
        settings: RedisSettings,
        seal: Seal,
        telemetry: &Telemetry,
        shutdown: &Shutdown,
    ) -> Result<Self, NotRedis> {
        let mut config = settings.config()?;
        let place = RedisPlace::of(&config);
        // A look while there is no connection finds nothing, at once.
        config.fail_fast = true;
        let mut builder = Builder::from_config(config);
        builder
            .with_connection_config(|connection| {
                connection.connection_timeout = CONNECT;
                connection.internal_command_timeout = CONNECT;
                connection.max_command_attempts = 1;
                connection.max_command_buffer_len = QUEUE;
                connection.reconnect_on_auth_error = true;
                let silent = UnresponsiveConfig { max_timeout: Some(CONNECT), interval: Duration::from_secs(1) };
                connection.unresponsive = silent;
            })
            .with_performance_config(|performance| performance.default_command_timeout = PATIENCE)
            .set_policy(ReconnectPolicy::new_exponential(0, BACKOFF_MS.0, BACKOFF_MS.1, 2));
        let client = builder.build().map_err(|error| NotRedis::Address(Some(error)))?;
        let (out, entries) = mpsc::channel(QUEUE);
        let up = client.clone();
        let at_work = AtWork::of(telemetry, move || usize::from(up.is_connected()));
        tokio::spawn(write(client.clone(), entries, at_work.clone(), shutdown.clone()));
        Ok(Self { local: Local::default(), client, seal, out, place, telemetry: telemetry.clone(), at_work })
    }
}

async fn write(client: Client, mut entries: mpsc::Receiver<Entry>, at_work: AtWork, shutdown: Shutdown) {
    let connection = client.connect();
    loop {
        tokio::select! {
            entry = entries.recv() => match entry {
                Some((key, entry)) => {
                    let expires = Some(Expiration::EX(KEPT.as_secs() as i64));
                    // Where Redis is away the next that wants it reads the source.
                    let asked = at_work.asks(0.0);
                    let set: Result<(), _> = client.set(name(key), entry.as_slice(), expires, None, false).await;
                    drop(asked);
                    if set.is_err() {
                        at_work.failed();
                    }
                }
                None => break,
            },
            () = shutdown.wait() => break,
        }
    }
    connection.abort();
}

#[async_trait]
impl Cache for Redis {
    fn kind(&self) -> &'static str {
        "redis"
    }

    async fn get(&self, key: Digest) -> Option<Arc<Inspected>> {
        if let Some(found) = self.local.known(key) {
            return Some(found);
        }
        let span = self.telemetry.call(traces::current().as_ref(), traces::Kind::Client);
        let asked = self.at_work.asks(0.0);
        let looked = tokio::time::timeout(PATIENCE, self.client.get::<Option<Vec<u8>>, _>(name(key))).await;
        let looked = looked.unwrap_or_else(|_| Err(Error::new(ErrorKind::Timeout, "no answer in time")));
        drop(asked);
        if looked.is_err() {
            self.at_work.failed();
        }
        if let Some(span) = span {
            span.end(self.place.ended("GET", None, looked.as_ref().err()));
        }
        let found = self.seal.open(key, &looked.ok()??)?;
        self.local.keep(key, &found);
        Some(found)
    }

    fn put(&self, key: Digest, found: &Arc<Inspected>) {
        self.local.keep(key, found);
        if let Some(entry) = self.seal.close(key, found)
            && self.out.try_send((key, entry)).is_err()
        {
            self.at_work.failed();
        }
    }
}
