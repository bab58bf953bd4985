//! What every cache of definitions promises, in the same words for each; and what one over Redis does when others write there.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use fred::{
    interfaces::{ClientLike, KeysInterface},
    prelude::{Builder, Client, Config},
};
use qflow_service::{RedisSettings, Shutdown};
use qflow_telemetry::{Telemetry, TraceContext, traces};

use super::*;
use crate::validate::inspect;

fn source(text: &str) -> Source {
    Source { entry: "w.py".into(), files: [("w.py".into(), text.into())].into() }
}

const SOUND: &str = "from qflow import node, workflow\n\n@node\ndef a() -> int:\n    return 1\n\n\
                     @node\ndef b(x: int) -> str:\n    return str(x)\n\n@workflow\ndef w() -> str:\n    return b(a())\n";

fn program() -> Digest {
    Digest::of(b"this build")
}

/// What is kept is found, and is what reading gives: with its problems too.
async fn what_is_kept_is_what_reading_gives(cache: &dyn Cache) {
    for text in [SOUND, "from qflow import workflow\n\n@workflow\ndef w(x) -> str:\n    return open(x)\n"] {
        let (source, key) = (source(text), key(&source(text), program()));
        assert!(cache.get(key).await.is_none());
        let read = Arc::new(inspect(&source));
        cache.put(key, &read);
        assert_eq!(cache.get(key).await.as_deref(), Some(&*read));
    }
}

/// Another source, or another build, finds nothing of it.
async fn another_source_or_build_finds_nothing(cache: &dyn Cache) {
    let of = |text: &str| source(text);
    cache.put(key(&of(SOUND), program()), &Arc::new(inspect(&of(SOUND))));
    assert!(cache.get(key(&of(SOUND), Digest::of(b"another build"))).await.is_none());
    assert!(cache.get(key(&of(&SOUND.replace("return 1", "return 2")), program())).await.is_none());
    let renamed = Source { entry: "v.py".into(), files: [("v.py".into(), SOUND.into())].into() };
    assert!(cache.get(key(&renamed, program())).await.is_none());
}

macro_rules! conformance {
    ($($promise:ident),* $(,)?) => {
        mod in_memory {
            $(#[tokio::test] async fn $promise() {
                super::$promise(&super::Local::default()).await;
            })*
        }
        mod on_redis {
            $(#[tokio::test(flavor = "multi_thread")] async fn $promise() {
                let Some(server) = super::Server::start().await else { return };
                let shutdown = super::Shutdown::new();
                super::$promise(&server.cache("token", &shutdown)).await;
                shutdown.trigger();
            })*
        }
    };
}

conformance!(what_is_kept_is_what_reading_gives, another_source_or_build_finds_nothing);

/// A real Redis of this test's own, and a client of it.
struct Server {
    process: Child,
    port: u16,
    client: Client,
    _folder: tempfile::TempDir,
}

impl Server {
    /// Starts one on a port that was free; nothing where the program is not installed and not required.
    async fn start() -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let folder = tempfile::tempdir().unwrap();
        let words = ["--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--port", &port.to_string()];
        let mut command = Command::new("redis-server");
        let started =
            command.args(words).current_dir(folder.path()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) => {
                assert!(std::env::var_os("QFLOW_REQUIRE_REDIS").is_none(), "redis-server is required: {error}");
                eprintln!("redis-server is not to be had here: {error}");
                return None;
            }
        };
        let mut config = Config::from_url(&format!("redis://127.0.0.1:{port}")).unwrap();
        config.fail_fast = false;
        let client = Builder::from_config(config)
            .set_policy(fred::types::config::ReconnectPolicy::new_constant(0, 20))
            .build()
            .unwrap();
        client.init().await.unwrap();
        Some(Self { process, port, client, _folder: folder })
    }

    fn cache(&self, token: &str, shutdown: &Shutdown) -> Redis {
        self.telling(token, &Telemetry::silent(), shutdown)
    }

    fn telling(&self, token: &str, telemetry: &Telemetry, shutdown: &Shutdown) -> Redis {
        Redis::open(at(format!("redis://127.0.0.1:{}", self.port)), Seal::new(token), telemetry, shutdown).unwrap()
    }
}

fn at(url: String) -> RedisSettings {
    RedisSettings { url, ..RedisSettings::default() }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already.
        self.process.kill().ok();
        self.process.wait().ok();
    }
}

/// Waits until something lies under a key.
async fn kept(server: &Server, key: Digest) -> Vec<u8> {
    let look = async {
        loop {
            let entry: Option<Vec<u8>> = server.client.get(format!("qflow:definition:{key}")).await.unwrap();
            if let Some(entry) = entry {
                return entry;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.expect("it comes to Redis")
}

/// Asks until there is an answer: a connection takes a moment.
async fn found(cache: &Redis, key: Digest) -> Arc<Inspected> {
    let look = async {
        loop {
            if let Some(found) = cache.get(key).await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), look).await.expect("it is found")
}

/// Puts an entry until it is there: what is put while there is no connection yet is lost.
async fn put(server: &Server, cache: &Redis, key: Digest, read: &Arc<Inspected>) -> Vec<u8> {
    let putting = async {
        loop {
            cache.put(key, read);
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! { entry = kept(server, key) => entry, () = putting => unreachable!("it goes on until it is there") }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_validator_finds_it_and_whoever_lacks_the_token_puts_nothing_in() {
    let Some(server) = Server::start().await else { return };
    let shutdown = Shutdown::new();
    let (key, read) = (key(&source(SOUND), program()), Arc::new(inspect(&source(SOUND))));
    let entry = put(&server, &server.cache("token", &shutdown), key, &read).await;
    let (telemetry, collected) = Telemetry::collecting();
    let trace = TraceContext::root();
    let looks = server.telling("token", &telemetry, &shutdown);
    assert_eq!(traces::within(Some(trace.clone()), found(&looks, key)).await, read);
    let spans = collected.spans();
    let last = spans.last().expect("a look is a span");
    assert_eq!((last.name.as_ref(), last.parent_span_id.to_string()), ("GET", trace.span_id));
    assert!(!format!("{last:?}").contains(&key.to_string()), "no key is told");

    // A plan of somebody who can write to Redis and does not have the token; a damaged one; and ours, moved to another source.
    let (foreign, moved) = (server.cache("another token", &shutdown), Digest::of(b"another source"));
    let mut damaged = entry.clone();
    *damaged.last_mut().unwrap() ^= 1;
    let forged = Seal::new("another token").close(key, &Inspected::default()).unwrap();
    let mine = server.cache("token", &shutdown);
    for (key, entry) in
        [(key, forged), (key, damaged), (key, entry[..40].to_vec()), (key, vec![]), (moved, entry.clone())]
    {
        let _: () =
            server.client.set(format!("qflow:definition:{key}"), entry.as_slice(), None, None, false).await.unwrap();
        assert_eq!(mine.get(key).await, None);
    }
    let _: () =
        server.client.set(format!("qflow:definition:{key}"), entry.as_slice(), None, None, false).await.unwrap();
    assert_eq!(foreign.get(key).await, None);
    assert_eq!(found(&mine, key).await, read);

    // Emptied in the middle: what is in memory stays, another validator reads the source.
    let _: () = server.client.flushall(false).await.unwrap();
    assert_eq!(mine.get(key).await, Some(Arc::clone(&read)));
    assert_eq!(server.cache("token", &shutdown).get(key).await, None);
    shutdown.trigger();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_away_costs_a_moment_and_memory_serves_on() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shutdown = Shutdown::new();
    let (telemetry, collected) = Telemetry::collecting();
    let cache = Redis::open(at(format!("redis://127.0.0.1:{port}")), Seal::new("t"), &telemetry, &shutdown).unwrap();
    let (key, read) = (key(&source(SOUND), program()), Arc::new(inspect(&source(SOUND))));
    assert_eq!(traces::within(Some(TraceContext::root()), cache.get(key)).await, None);
    cache.put(key, &read);
    assert_eq!(cache.get(key).await, Some(read));
    let spans = collected.spans();
    assert!(spans.len() == 1 && format!("{:?}", spans[0].status).starts_with("Error"), "{spans:?}");
    shutdown.trigger();
}

#[tokio::test]
async fn an_address_that_is_none_says_what_one_looks_like() {
    for none in ["http://cache", "redisfoo://cache"] {
        let opened = Redis::open(at(none.to_owned()), Seal::new("t"), &Telemetry::silent(), &Shutdown::new());
        let error = opened.err().map(|error| error.to_string());
        assert!(error.is_some_and(|text| text.contains("redis://")), "{none}");
    }
}
