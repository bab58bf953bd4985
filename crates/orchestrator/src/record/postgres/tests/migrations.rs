//! Tables change under the statements of the version before, which goes on beside this one.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use qflow_blobs::Blobs;
use qflow_model::progress::{RunSpec, RunState};
use qflow_service::SystemClock;
use tokio_postgres::{Client, types::ToSql};
use uuid::Uuid;

use super::{
    super::{
        super::{Submission, backup::Database, conformance::submission},
        connection::migrate,
        rows::text,
    },
    server::{Server, connect},
    *,
};
use crate::backup::{System, create, restore};

/// The tables of the version before, and its statements as it had them, in the order in which its transactions sent them. What it did not
/// change since is left out.
const BEFORE: i64 = 2;
const PUT_SOURCE: &str = "INSERT INTO source (digest, source, at) VALUES ($1, $2, now()) ON CONFLICT DO NOTHING";
const PUT_PLAN: &str = "INSERT INTO plan (digest, plan) VALUES ($1, $2) ON CONFLICT DO NOTHING";
const PUT_RUN: &str = "
INSERT INTO run (id, tenant, username, shard, workflow, plan, status, created_at, spec, head)
VALUES ($1, 'default', 'local', 0, 'daily', $2, 'pending', now(), $3, $4)";
const PUT_WORKFLOWS: &str = "
INSERT INTO workflow (name, digest, at) SELECT put.name, $2::bytea, now() FROM unnest($1::text[]) AS put (name)
WHERE $2::bytea IS DISTINCT FROM (SELECT digest FROM workflow WHERE workflow.name = put.name ORDER BY at DESC LIMIT 1)
ON CONFLICT (name, digest) DO UPDATE SET at = excluded.at";
const PUT_LOCKS: &str = "
INSERT INTO env_lock (spec, at, lock) SELECT spec, now(), lock FROM unnest($1::bytea[], $2::text[]) AS put (spec, lock)
ON CONFLICT (spec, at) DO UPDATE SET lock = excluded.lock";
const SET_POOL: &str = "
INSERT INTO pool (tenant, name, slots, per_minute) VALUES ('default', 'p', 9, 9)
ON CONFLICT (tenant, name) DO UPDATE SET slots = excluded.slots, per_minute = excluded.per_minute";
const TAKE: &str = "
INSERT INTO pool_slot (node, tenant, pool, node_id, attempt, since) VALUES ($1, 'default', 'p', 'a', 1, now())";
const START: &str = "INSERT INTO pool_start (tenant, pool, at) VALUES ('default', 'p', now())";
const OWN: &str = "
INSERT INTO cached_blob (digest, entry) SELECT digest, $2::bigint FROM unnest($1::bytea[]) AS own (digest) ON CONFLICT DO NOTHING";
const NOTE: &str = "
INSERT INTO cached_blob (digest, entry) SELECT digest, 0 FROM cached_blob WHERE entry = ANY($1::bigint[]) ON CONFLICT DO NOTHING";
const READS: [&str; 5] = [
    "SELECT DISTINCT ON (name) name, digest, at FROM workflow ORDER BY name, at DESC",
    "SELECT source FROM source WHERE digest = $1",
    "SELECT plan FROM plan WHERE digest = $1",
    "SELECT lock FROM env_lock WHERE spec = $1 ORDER BY at DESC LIMIT 1",
    "SELECT name, slots, per_minute FROM pool WHERE tenant = 'default' ORDER BY name",
];

/// A submission as the version before would have it: it knows one tenant and one user.
fn of_before(id: u128) -> Submission {
    let run = submission(id, None);
    let spec = RunSpec { tenant: "default".into(), user: "local".into(), ..(*run.spec).clone() };
    Submission { spec: Arc::new(spec), ..run }
}

/// A session of the version before: what it prepared once it goes on with.
struct Session {
    client: Client,
    writes: Vec<tokio_postgres::Statement>,
    reads: Vec<tokio_postgres::Statement>,
}

impl Session {
    async fn begin(url: &str) -> Self {
        let client = connect(url).await;
        client.batch_execute("SET plan_cache_mode = force_generic_plan").await.unwrap();
        let (mut writes, mut reads) = (Vec::new(), Vec::new());
        for sql in [PUT_SOURCE, PUT_PLAN, PUT_RUN, PUT_WORKFLOWS, PUT_LOCKS, SET_POOL, TAKE, START, OWN, NOTE] {
            writes.push(client.prepare(sql).await.unwrap());
        }
        for sql in READS {
            reads.push(client.prepare(sql).await.unwrap());
        }
        Self { client, writes, reads }
    }

    /// A run and all that comes with it, in one transaction; how many of the reads then find something: they take the first of it.
    async fn round(&self, id: u128) -> std::result::Result<usize, tokio_postgres::Error> {
        let Submission { spec, plan, source, .. } = of_before(id);
        let head = RunState::new(Arc::clone(&spec), Arc::clone(&plan)).head;
        let (source_digest, plan_digest, names) = (source.digest(), plan.digest(), vec!["daily".to_owned()]);
        let (source_digest, plan_digest) = (&source_digest.0[..], &plan_digest.0[..]);
        let [source, plan, spec_text, head] =
            [text(&*source), text(&*plan), text(&*spec), text(&head)].map(|text| text.unwrap());
        let (run, node): (Uuid, String) = (spec.id.0, format!("{}/0", spec.id));
        let (digests, entry, entries) = (vec![plan_digest.to_vec()], id as i64, vec![id as i64]);
        let locks = vec!["{}".to_owned()];
        let params: [Vec<&(dyn ToSql + Sync)>; 10] = [
            vec![&source_digest, &source],
            vec![&plan_digest, &plan],
            vec![&run, &plan_digest, &spec_text, &head],
            vec![&names, &source_digest],
            vec![&digests, &locks],
            vec![],
            vec![&node],
            vec![],
            vec![&digests, &entry],
            vec![&entries],
        ];
        self.client.batch_execute("BEGIN").await?;
        for (write, params) in self.writes.iter().zip(&params) {
            self.client.execute(write, params).await?;
        }
        self.client.batch_execute("COMMIT").await?;
        let asked: [&[&(dyn ToSql + Sync)]; 5] = [&[], &[&source_digest], &[&plan_digest], &[&plan_digest], &[]];
        let mut found = 0;
        for (read, params) in self.reads.iter().zip(asked) {
            found += usize::from(!self.client.query(read, params).await?.is_empty());
        }
        Ok(found)
    }
}

/// A database with the tables of the version before.
async fn database_of_before(server: &Server) -> Settings {
    let settings = server.database().await;
    migrate(&super::super::target(&settings).unwrap(), Some(BEFORE)).await.unwrap();
    settings
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_version_before_goes_on_while_the_tables_change_and_beside_the_new_one() {
    let Some(server) = Server::get() else { return };
    let settings = database_of_before(server).await;
    let (rounds, over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
    // Two of its sessions, so that locks of the one and of the other meet those of the migration.
    let at_work = (0..2_u128).map(|session| {
        let (url, rounds, over) = (settings.url.clone(), Arc::clone(&rounds), Arc::clone(&over));
        tokio::spawn(async move {
            let old = Session::begin(&url).await;
            let mut id = 1_000_000 * (session + 1);
            while !over.load(Ordering::Relaxed) {
                let found = old.round(id).await.unwrap_or_else(|error| panic!("round {id}: {error:?}"));
                assert_eq!(found, READS.len(), "it reads what it wrote");
                rounds.fetch_add(1, Ordering::Relaxed);
                id += 1;
            }
            id - 1
        })
    });
    let at_work: Vec<_> = at_work.collect();
    let reach = async |count: u32| {
        while rounds.load(Ordering::Relaxed) < count {
            assert!(at_work.iter().all(|session| !session.is_finished()), "the version before has stopped");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    reach(20).await;
    // Three of the new one at once.
    let opened = futures_util::future::join_all((0..3).map(|_| Postgres::open(&settings))).await;
    let store = opened.into_iter().next().unwrap().unwrap();
    reach(rounds.load(Ordering::Relaxed) + 20).await;

    let (old, source) = (of_before(1_000_000), submission(1, None).source);
    let loaded = store.load(old.spec.id).await.unwrap().expect("a run of before the change");
    assert_eq!(loaded.plan, old.plan);
    let names = store.workflows("default".into()).await.unwrap();
    assert_eq!(names.iter().map(|it| it.name.as_str()).collect::<Vec<_>>(), ["daily"]);
    assert_eq!(store.source("default".into(), source.digest()).await.unwrap(), Some(source));
    assert_eq!(store.pools("default".into()).await.unwrap()[0].pool.slots, 9);
    store.submit(of_before(7)).await.unwrap();
    store.submit(submission(8, None)).await.unwrap();
    assert_eq!(store.load(submission(8, None).spec.id).await.unwrap().unwrap().plan, old.plan);
    reach(rounds.load(Ordering::Relaxed) + 20).await;
    over.store(true, Ordering::Relaxed);
    for session in at_work {
        let last = of_before(session.await.unwrap()).spec.id;
        assert!(
            store.load(last).await.unwrap().is_some(),
            "what the version before writes beside the new one is read by it"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_back_up_of_the_version_before_is_restored_and_brought_up_to_date() {
    let Some(server) = Server::get() else { return };
    let folder = tempfile::tempdir().unwrap();
    let system = async |settings: Settings, name: &str| System {
        database: Database::Postgres(settings),
        blobs: Blobs::in_folder(&folder.path().join(name)).unwrap(),
    };
    let settings = database_of_before(server).await;
    assert_eq!(Session::begin(&settings.url).await.round(1).await.unwrap(), READS.len());
    let (from, to) = (system(settings, "one").await, folder.path().join("backup"));
    let manifest = create(&from, &to, false, &SystemClock, &|_| {}).await.unwrap();
    assert_eq!(manifest.schema, BEFORE);
    let settings = server.database().await;
    restore(&system(settings.clone(), "two").await, &to, false, &|_| {}).await.unwrap();
    let store = Postgres::open(&settings).await.unwrap();
    assert_eq!(store.load(of_before(1).spec.id).await.unwrap().unwrap().plan, of_before(1).plan);
    assert_eq!(store.workflows("default".into()).await.unwrap().len(), 1);
}
