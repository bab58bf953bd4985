//! A store in memory: for tests of what stands on it. Nothing outlives the process.

mod access;
mod cache;
mod pool;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use qflow_model::{
    definition::Source,
    environment::EnvLock,
    ids::{Digest, Epoch, NodeKey, RunId, Shard, Timestamp},
    limits,
    plan::Plan,
    progress::{Happening, NodeRun, RunHead, RunSpec, RunState},
    status::{FailureClass, RunStatus},
};
use qflow_service::Clock;

use super::{
    Batch, Command, Error, Filter, InboxRow, Listed, Loaded, Registered, Result, Store, StoredLine, Submission,
    Submitted, Totals,
    access::Entry,
    all_shards,
    cache::{Expired, Hit, Scope},
    member::{Attending, Member, Standing},
    pool::{Pool, PoolState, Removed},
};

/// A store in memory.
pub struct Memory {
    clock: Arc<dyn Clock>,
    tables: Mutex<Tables>,
}

#[derive(Default)]
struct Tables {
    shards: BTreeMap<Shard, Owned>,
    members: BTreeMap<String, Member>,
    runs: BTreeMap<RunId, Row>,
    inbox: Vec<InboxRow>,
    last_inbox: i64,
    keys: BTreeMap<(String, String), (RunId, Timestamp)>,
    /// These three by tenant.
    sources: BTreeMap<(String, Digest), Arc<Source>>,
    workflows: BTreeMap<(String, String), (Digest, Timestamp)>,
    locks: BTreeMap<(String, Digest), (Arc<EnvLock>, Timestamp)>,
    pools: pool::Pools,
    cache: cache::Cache,
    access: access::Kept,
}

/// A shard as its row says.
struct Owned {
    owner: String,
    epoch: Epoch,
    until: Timestamp,
}

struct Row {
    spec: Arc<RunSpec>,
    plan: Arc<Plan>,
    head: RunHead,
    nodes: BTreeMap<NodeKey, NodeRun>,
    history: Vec<(Timestamp, Happening)>,
    /// By their positions.
    lines: BTreeMap<i64, StoredLine>,
    last_line: i64,
}

impl Memory {
    /// An empty one.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let shards = all_shards().into_iter().map(|shard| (shard, Owned::nobodys())).collect();
        Self { clock, tables: Mutex::new(Tables { shards, ..Tables::default() }) }
    }

    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Owned {
    fn nobodys() -> Self {
        Self { owner: String::new(), epoch: Epoch(0), until: Timestamp(0) }
    }

    /// Nobody's; its epoch stays, so that it only grows.
    fn free(&mut self) {
        (self.owner, self.until) = (String::new(), Timestamp(0));
    }
}

impl Tables {
    fn post(&mut self, run: RunId, command: Command) -> i64 {
        self.last_inbox += 1;
        self.inbox.push(InboxRow { id: self.last_inbox, run, command });
        self.last_inbox
    }

    /// The shards that are held under these epochs.
    fn held_under(&mut self, held: &BTreeMap<Shard, Epoch>) -> impl Iterator<Item = (Shard, &mut Owned)> {
        let ours = |(shard, owned): (&Shard, &mut Owned)| held.get(shard) == Some(&owned.epoch);
        self.shards.iter_mut().filter_map(move |(shard, owned)| ours((shard, owned)).then_some((*shard, owned)))
    }

    /// Whether somebody wants something of a run.
    fn is_asked(&self, row: &Row) -> bool {
        self.inbox.iter().any(|asked| asked.run == row.spec.id)
    }

    fn keep(&mut self, tenant: &str, source: Arc<Source>, workflows: &[String], now: Timestamp) {
        let digest = source.digest();
        self.sources.insert((tenant.to_owned(), digest), source);
        self.workflows.extend(workflows.iter().map(|name| ((tenant.to_owned(), name.clone()), (digest, now))));
    }
}

#[async_trait]
impl Store for Memory {
    fn kind(&self) -> &'static str {
        "memory"
    }

    async fn now(&self) -> Result<Timestamp> {
        Ok(self.clock.now())
    }

    async fn attend(&self, Attending { replica, held, stranded }: Attending<'_>) -> Result<Standing> {
        let (mut tables, now) = (self.tables(), self.clock.now());
        let until = now.plus_ms(limits::SHARD_LEASE_MS);
        let missed = tables.members.extract_if(.., |_, member| member.until <= now).map(|(owner, _)| owner).collect();
        let member = Member { replica: replica.clone(), until, stranded };
        tables.members.insert(replica.owner.clone(), member);
        let renewed = tables.held_under(held).map(|(shard, owned)| {
            owned.until = until;
            shard
        });
        let held = renewed.collect();
        let (members, stranded) = Member::told(tables.members.values());
        Ok(Standing { members, stranded, held, missed })
    }

    async fn leave(&self, owner: &str) -> Result<()> {
        let mut tables = self.tables();
        tables.members.remove(owner);
        tables.shards.values_mut().filter(|owned| owned.owner == owner).for_each(Owned::free);
        Ok(())
    }

    async fn take_shards(&self, owner: &str, most: usize) -> Result<BTreeMap<Shard, Epoch>> {
        let (mut tables, now) = (self.tables(), self.clock.now());
        let free = tables.shards.iter_mut().filter(|(_, owned)| owned.until <= now);
        let taken = free.take(most).map(|(shard, owned)| {
            let epoch = Epoch(owned.epoch.0 + 1);
            *owned = Owned { owner: owner.to_owned(), epoch, until: now.plus_ms(limits::SHARD_LEASE_MS) };
            (*shard, epoch)
        });
        Ok(taken.collect())
    }

    async fn release(&self, held: &BTreeMap<Shard, Epoch>) -> Result<()> {
        self.tables().held_under(held).for_each(|(_, owned)| owned.free());
        Ok(())
    }

    async fn submit(&self, submission: Submission) -> Result<Submitted> {
        let (mut tables, now) = (self.tables(), self.clock.now());
        let Submission { spec, plan, source, idempotency_key, relock, asked } = submission;
        tables.keys.retain(|_, (_, at)| now.ms_since(*at) < limits::IDEMPOTENCY_MS);
        if let Some(key) = idempotency_key.map(|key| (spec.tenant.clone(), key)) {
            if let Some((run, _)) = tables.keys.get(&key) {
                return Ok(Submitted::Existing(*run));
            }
            tables.keys.insert(key, (spec.id, now));
        }
        let ours = |row: &&Row| row.spec.tenant == spec.tenant && row.spec.user == spec.user;
        let queued =
            tables.runs.values().filter(ours).filter(|row| row.head.status == RunStatus::Pending).count() as u32;
        if queued >= limits::QUEUED_RUNS {
            return Err(Error::TooManyQueued { queued, bound: limits::QUEUED_RUNS });
        }
        tables.keep(&spec.tenant, source, std::slice::from_ref(&plan.workflow), now);
        let spec = Arc::new(RunSpec { created_at: now, ..(*spec).clone() });
        let head = RunState::new(spec.clone(), plan.clone()).head;
        tables.post(spec.id, Command::Start { relock });
        asked.into_iter().for_each(|asked| tables.access.note(asked, now));
        let row = Row {
            plan,
            head,
            nodes: BTreeMap::new(),
            history: Vec::new(),
            lines: BTreeMap::new(),
            last_line: 0,
            spec: spec.clone(),
        };
        tables.runs.insert(spec.id, row);
        Ok(Submitted::Created(now))
    }

    async fn register(&self, owner: Scope, source: Arc<Source>, workflows: Vec<String>) -> Result<()> {
        let now = self.clock.now();
        self.tables().keep(&owner.tenant, source, &workflows, now);
        Ok(())
    }

    async fn post(&self, run: RunId, command: Command, asked: Option<Entry>) -> Result<i64> {
        let now = self.clock.now();
        Ok(self.tables().ask(run, command, asked, now))
    }

    async fn inbox(&self, shards: &BTreeSet<Shard>) -> Result<Vec<InboxRow>> {
        Ok(self.tables().inbox.iter().filter(|row| shards.contains(&row.run.shard())).cloned().collect())
    }

    async fn is_posted(&self, row: i64) -> Result<bool> {
        Ok(self.tables().inbox.iter().any(|known| known.id == row))
    }

    async fn commit(&self, batch: Batch) -> Result<Timestamp> {
        let (mut tables, now) = (self.tables(), self.clock.now());
        let lost = |(shard, epoch): &(&Shard, &Epoch)| {
            tables.shards.get(shard).is_none_or(|owned| owned.epoch != **epoch || owned.owner.is_empty())
        };
        if let Some((shard, _)) = batch.fences.iter().find(lost) {
            return Err(Error::Fenced(*shard));
        }
        let until = now.plus_ms(limits::SHARD_LEASE_MS);
        tables.held_under(&batch.fences).for_each(|(_, owned)| owned.until = until);
        tables.pools.exchange(batch.changes.iter().flat_map(|change| &change.slots), now)?;
        batch.cached.into_iter().for_each(|cached| tables.cache.put(cached, now));
        for change in batch.changes {
            let Some(row) = tables.runs.get_mut(&change.run) else { continue };
            row.head = change.head.unwrap_or_else(|| row.head.clone());
            row.nodes.extend(change.nodes);
            row.history.extend(change.history.into_iter().map(|event| (now, event)));
        }
        tables.inbox.retain(|row| !batch.done.contains(&row.id));
        tables.locks.extend(batch.locks.into_iter().map(|it| ((it.owner.tenant, it.lock.spec), (it.lock, now))));
        Ok(now)
    }

    async fn unfinished(&self, shards: &BTreeSet<Shard>) -> Result<Vec<RunId>> {
        let tables = self.tables();
        let open =
            tables.runs.iter().filter(|(id, row)| !row.head.status.is_terminal() && shards.contains(&id.shard()));
        Ok(open.map(|(id, _)| *id).collect())
    }

    async fn load(&self, run: RunId) -> Result<Option<Loaded>> {
        Ok(self.tables().runs.get(&run).map(|row| Loaded {
            spec: row.spec.clone(),
            plan: row.plan.clone(),
            head: row.head.clone(),
            nodes: row.nodes.iter().map(|(key, node)| (*key, node.clone())).collect(),
        }))
    }

    async fn known(&self, runs: Vec<RunId>) -> Result<BTreeSet<RunId>> {
        let tables = self.tables();
        Ok(runs.into_iter().filter(|run| tables.runs.contains_key(run)).collect())
    }

    async fn node(&self, run: RunId, key: NodeKey) -> Result<Option<NodeRun>> {
        Ok(self.tables().runs.get(&run).and_then(|row| row.nodes.get(&key).cloned()))
    }

    async fn history(&self, run: RunId) -> Result<Vec<(Timestamp, Happening)>> {
        Ok(self.tables().runs.get(&run).map(|row| row.history.clone()).unwrap_or_default())
    }

    async fn list(&self, filter: Filter) -> Result<Vec<Listed>> {
        let tables = self.tables();
        let wanted = |row: &&Row| {
            row.spec.tenant == filter.tenant
                && filter.workflow.as_ref().is_none_or(|name| row.plan.workflow == *name)
                && filter.status.is_none_or(|status| row.head.status == status)
                && filter.before.is_none_or(|run| row.spec.id < run)
        };
        let listed =
            |row: &Row| Listed { spec: row.spec.clone(), workflow: row.plan.workflow.clone(), head: row.head.clone() };
        Ok(tables.runs.values().rev().filter(wanted).take(filter.limit as usize).map(listed).collect())
    }

    async fn workflows(&self, tenant: String) -> Result<Vec<Registered>> {
        let tables = self.tables();
        let theirs = tables.workflows.iter().filter(|((whose, _), _)| *whose == tenant);
        let registered =
            theirs.map(|((_, name), (digest, at))| Registered { name: name.clone(), digest: *digest, at: *at });
        Ok(registered.collect())
    }

    async fn source(&self, tenant: String, digest: Digest) -> Result<Option<Arc<Source>>> {
        Ok(self.tables().sources.get(&(tenant, digest)).cloned())
    }

    async fn lock(&self, tenant: String, spec: Digest, since: Timestamp) -> Result<Option<Arc<EnvLock>>> {
        Ok(self.tables().locks.get(&(tenant, spec)).filter(|(_, at)| *at >= since).map(|(lock, _)| lock.clone()))
    }

    async fn append_lines(&self, run: RunId, lines: Vec<StoredLine>) -> Result<()> {
        let mut tables = self.tables();
        let Some(row) = tables.runs.get_mut(&run) else { return Ok(()) };
        for line in lines {
            let same =
                |l: &StoredLine| (&l.node_id, l.attempt, l.sequence) == (&line.node_id, line.attempt, line.sequence);
            if !row.lines.values().any(same) {
                row.last_line += 1;
                row.lines.insert(row.last_line, line);
            }
        }
        Ok(())
    }

    async fn lines(&self, run: RunId, after: i64) -> Result<(Vec<StoredLine>, i64)> {
        let tables = self.tables();
        let Some(row) = tables.runs.get(&run) else { return Ok((Vec::new(), after)) };
        let lines = || row.lines.range(after + 1..);
        Ok((lines().map(|(_, line)| line.clone()).collect(), lines().next_back().map_or(after, |(last, _)| *last)))
    }

    async fn drop_lines(&self, run: RunId, attempts: Vec<(String, u32)>) -> Result<()> {
        if let Some(row) = self.tables().runs.get_mut(&run) {
            row.lines.retain(|_, line| !attempts.contains(&(line.node_id.clone(), line.attempt)));
        }
        Ok(())
    }

    async fn set_pool(&self, pool: Pool) -> Result<()> {
        self.tables().pools.set(pool);
        Ok(())
    }

    async fn remove_pool(&self, tenant: String, name: String) -> Result<Removed> {
        Ok(self.tables().pools.remove(&(tenant, name)))
    }

    async fn pools(&self, tenant: String) -> Result<Vec<PoolState>> {
        let now = self.clock.now();
        Ok(self.tables().pools.all(&tenant, now))
    }

    async fn cached(&self, scope: Scope, keys: Vec<Digest>) -> Result<Vec<Option<Hit>>> {
        let now = self.clock.now();
        Ok(self.tables().cache.find(&scope, &keys, now))
    }

    async fn expire(&self, limit: u32) -> Result<Expired> {
        let now = self.clock.now();
        Ok(self.tables().cache.expire(limit as usize, now))
    }

    async fn forget(&self, blobs: Vec<Digest>) -> Result<()> {
        self.tables().cache.forget(&blobs);
        Ok(())
    }

    async fn expire_runs(&self, older_ms: u64, limit: u32) -> Result<Vec<RunId>> {
        let (tables, now) = (self.tables(), self.clock.now());
        let over = |row: &&Row| row.head.ended_at.is_some_and(|at| at.plus_ms(older_ms) < now) && !tables.is_asked(row);
        let mut over: Vec<_> = tables.runs.values().filter(over).map(|row| (row.head.ended_at, row.spec.id)).collect();
        over.sort();
        Ok(over.into_iter().map(|(_, run)| run).take(limit as usize).collect())
    }

    async fn forget_runs(&self, runs: Vec<RunId>) -> Result<()> {
        let mut tables = self.tables();
        for run in runs {
            if tables.runs.get(&run).is_some_and(|row| row.head.ended_at.is_some() && !tables.is_asked(row)) {
                tables.runs.remove(&run);
            }
        }
        Ok(())
    }

    async fn totals(&self) -> Result<Totals> {
        let (tables, now) = (self.tables(), self.clock.now());
        let mut totals = Totals::default();
        for row in tables.runs.values() {
            totals.pending += u64::from(row.head.status == RunStatus::Pending);
            totals.running += u64::from(row.head.status == RunStatus::Running);
            let is_recent = row.head.ended_at.is_some_and(|at| now.ms_since(at) < 3_600_000);
            if is_recent && row.head.status != RunStatus::Cancelled {
                totals.ended_last_hour += 1;
                let failed = matches!(row.head.status, RunStatus::Failed | RunStatus::TimedOut);
                let class = row.head.error.as_ref().filter(|_| failed).and_then(|error| error.failure.class);
                totals.failed_last_hour += u64::from(failed);
                totals.failed_user_last_hour += u64::from(class == Some(FailureClass::User));
                totals.failed_platform_last_hour += u64::from(class == Some(FailureClass::Platform));
            }
        }
        Ok(totals)
    }
}
