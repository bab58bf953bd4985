//! Being woken by other replicas: they say on a shard's channel that its inbox has something; a look every so often stands behind.

use std::{
    collections::BTreeSet,
    future::poll_fn,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use deadpool_postgres::Pool;
use qflow_model::ids::{SHARDS, Shard};
use tokio::{sync::Notify, task::JoinHandle, time::Instant};
use tokio_postgres::AsyncMessage;

use super::{rows::query, url::Target};

/// Between two looks at the inbox without being told.
const LOOK: Duration = Duration::from_millis(250);
/// Before the listener connects again.
const AGAIN: Duration = Duration::from_millis(500);
const TELL: &str = "SELECT pg_notify('qflow_shard_' || $1::smallint, '')";

/// Listens for as long as it lives.
pub(super) struct Wake {
    told: Arc<Notify>,
    looked: Mutex<Instant>,
    /// A bit for each shard that this replica owns: whoever posts here wakes the engine here, and tells nobody.
    own: AtomicU64,
    listening: JoinHandle<()>,
}

impl Wake {
    pub(super) fn listen(target: Target) -> Self {
        let told = Arc::new(Notify::new());
        let to = Arc::clone(&told);
        let listening = tokio::spawn(async move {
            loop {
                // Without it the looks go on: a listener that cannot connect is no fault of the store.
                hear(&target, &to).await.ok();
                tokio::time::sleep(AGAIN).await;
            }
        });
        Self { told, looked: Mutex::new(Instant::now()), own: AtomicU64::new(0), listening }
    }

    /// Says that the inbox is looked at now.
    pub(super) fn looked(&self) {
        *self.looked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Returns once another replica has said that there is something, or the last look was a while ago.
    pub(super) async fn woken(&self) {
        let next = *self.looked.lock().unwrap_or_else(PoisonError::into_inner) + LOOK;
        tokio::select! {
            () = self.told.notified() => {}
            () = tokio::time::sleep_until(next) => {}
        }
        // Whoever was woken looks: asked again before it has, it is to wait.
        self.looked();
    }

    /// Notes which shards are this replica's own. One that it has taken since is told of once too often, one that it has lost
    /// meanwhile is looked at by its owner a little later.
    pub(super) fn owns(&self, shards: &BTreeSet<Shard>) {
        self.own.store(shards.iter().copied().map(bit).fold(0, |all, bit| all | bit), Ordering::Relaxed);
    }

    /// Tells the shard's owner, in a transaction of its own after the one that it is about: within that, all that notify would
    /// commit one after the other. Nobody waits for it, and where it is lost the owner looks by itself.
    pub(super) fn tell(&self, pool: &Pool, shard: Shard) {
        if self.own.load(Ordering::Relaxed) & bit(shard) != 0 {
            return;
        }
        let pool = pool.clone();
        tokio::spawn(async move {
            if let Ok(client) = pool.get().await {
                query(&client, TELL, &[&i16::from(shard.0)]).await.ok();
            }
        });
    }
}

const fn bit(shard: Shard) -> u64 {
    1 << (shard.0 % u64::BITS as u8)
}

#[cfg(test)]
impl Wake {
    /// Returns once it is told, and not by the passing of time: the first time by itself, when it has begun to listen.
    pub(super) async fn told(&self) {
        self.told.notified().await;
    }
}

impl Drop for Wake {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Hears what is said until the connection ends.
async fn hear(target: &Target, told: &Notify) -> Result<(), tokio_postgres::Error> {
    let (client, mut connection) = target.config.connect(target.tls.clone()).await?;
    let listen: String = (0..SHARDS).map(|shard| format!("LISTEN qflow_shard_{shard};")).collect();
    let driving = async {
        while let Some(message) = poll_fn(|cx| connection.poll_message(cx)).await {
            if let AsyncMessage::Notification(_) = message? {
                told.notify_one();
            }
        }
        Ok(())
    };
    let listening = async {
        client.batch_execute(&listen).await?;
        // Something may have been said while nobody listened.
        told.notify_one();
        std::future::pending::<Result<(), tokio_postgres::Error>>().await
    };
    tokio::select! {
        ended = driving => ended,
        failed = listening => failed,
    }
}
