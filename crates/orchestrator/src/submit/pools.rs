//! Pools as clients see and set them, and the check that a submission names only pools that are there.

use qflow_model::{
    access::Caller,
    definition::{Problem, Source},
    plan::Plan,
};
use qflow_proto::v1;
use tonic::Status;

use super::{Server, problem::of_node, show, unavailable};
use crate::record::{
    access::Entry,
    pool::{Holder, Pool, PoolState, Removed},
};

/// Slots, and starts a minute, of a pool: more than any number of runners has.
const MOST: u32 = 100_000;
/// Characters of a pool's name.
const NAME: usize = 100;

fn unknown(name: &str, known: &[PoolState]) -> Status {
    let known: Vec<&str> = known.iter().map(|state| state.pool.name.as_str()).collect();
    let there = if known.is_empty() { "there is none".to_owned() } else { format!("there is {}", known.join(", ")) };
    Status::not_found(format!("no pool is called `{name}`; {there}. Make it: qflow pools set {name} --slots N"))
}

/// A tenant's pool of that name, or all.
pub(super) async fn list(server: &Server, tenant: &str, name: &str) -> Result<Vec<v1::Pool>, Status> {
    let known = server.store.pools(tenant.to_owned()).await.map_err(|e| unavailable(&e))?;
    if !name.is_empty() && !known.iter().any(|state| state.pool.name == name) {
        return Err(unknown(name, &known));
    }
    Ok(known.iter().filter(|state| name.is_empty() || state.pool.name == name).map(shown).collect())
}

/// Makes a pool or changes it; as it stands then.
pub(super) async fn set(server: &Server, caller: &Caller, sent: v1::SetPoolRequest) -> Result<v1::Pool, Status> {
    let v1::SetPoolRequest { name, slots, per_minute } = sent;
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    if name.is_empty() || name.len() > NAME || !name.chars().all(fits) {
        let message = format!("`{name}` is no pool's name: letters, digits, `_`, `-` and `.`, at most {NAME}");
        return Err(Status::invalid_argument(message));
    }
    if slots > MOST || per_minute > MOST {
        return Err(Status::invalid_argument(format!("a pool has at most {MOST} slots, and as many starts a minute")));
    }
    server.store.note(Entry::of(caller, "pool.set", name.as_str())).await.map_err(|e| unavailable(&e))?;
    let per_minute = Some(per_minute).filter(|most| *most > 0);
    let pool = Pool { tenant: caller.tenant.clone(), user: caller.user.clone(), name: name.clone(), slots, per_minute };
    server.store.set_pool(pool).await.map_err(|e| unavailable(&e))?;
    // What waits for it may go on at once.
    server.engine.work_off().await;
    list(server, &caller.tenant, &name)
        .await?
        .pop()
        .ok_or_else(|| Status::aborted(format!("pool `{name}` was removed meanwhile")))
}

/// Removes a pool that nobody holds.
pub(super) async fn remove(server: &Server, caller: &Caller, name: String) -> Result<(), Status> {
    let tenant = caller.tenant.as_str();
    server.store.note(Entry::of(caller, "pool.remove", name.as_str())).await.map_err(|e| unavailable(&e))?;
    match server.store.remove_pool(tenant.to_owned(), name.clone()).await.map_err(|e| unavailable(&e))? {
        Removed::Gone => Ok(()),
        Removed::Unknown => {
            let known = server.store.pools(tenant.to_owned()).await.map_err(|e| unavailable(&e))?;
            Err(unknown(&name, &known))
        }
        Removed::Held(slots) => {
            let message = format!("{slots} slots of pool `{name}` are held: see qflow pools get {name}");
            Err(Status::failed_precondition(message))
        }
    }
}

fn shown(state: &PoolState) -> v1::Pool {
    let holder = |holder: &Holder| v1::PoolHolder {
        run_id: holder.attempt.run.to_string(),
        node_id: holder.node_id.clone(),
        attempt: holder.attempt.attempt,
        since: Some(show::time(holder.since)),
    };
    v1::Pool {
        name: state.pool.name.clone(),
        slots: state.pool.slots,
        per_minute: state.pool.per_minute.unwrap_or_default(),
        started: state.started,
        holders: state.holders.iter().map(holder).collect(),
    }
}

/// Pools that nodes name and that are not there.
pub(super) async fn missing(
    server: &Server,
    tenant: &str,
    plan: &Plan,
    source: &Source,
) -> Result<Vec<Problem>, Status> {
    let named: Vec<_> = plan.nodes.values().filter_map(|node| Some((node, node.pool.as_ref()?))).collect();
    if named.is_empty() {
        return Ok(Vec::new());
    }
    let known = server.store.pools(tenant.to_owned()).await.map_err(|e| unavailable(&e))?;
    let missing = named.into_iter().filter(|(_, pool)| !known.iter().any(|state| state.pool.name == **pool));
    let problem = |(node, pool): (&qflow_model::definition::NodeDef, &String)| {
        let message = format!("node `{}` takes a slot of pool `{pool}`, which is not there", node.name);
        let remedy = format!("make it: qflow pools set {pool} --slots N");
        of_node(node, source, "unknown-pool", message, remedy)
    };
    Ok(missing.map(problem).collect())
}
