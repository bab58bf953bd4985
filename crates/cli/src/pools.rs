//! `qflow pools …`: what node runs of any number of runs share, who holds it, and how much of it there is.

use std::path::Path;

use clap::Subcommand;
use serde_json::{Value, json};

use crate::{
    args::{ListArgs, Output},
    exit::{Exit, Fail},
    out, outln, render,
    run::call,
    submit::{Client, Pool},
};

/// `qflow pools`.
#[derive(Clone, Debug, Subcommand)]
pub enum PoolsCommand {
    /// All pools.
    List(ListArgs),
    /// One pool, with who holds its slots.
    Get(OnePool),
    /// Make a pool, or change it.
    Set {
        /// How many attempts hold it at once, at most; 0 lets none begin.
        #[arg(long, value_parser = clap::value_parser!(u32).range(0..=100_000))]
        slots: u32,
        /// How many attempts begin within a minute, at most; any number where it is left out.
        #[arg(long, value_name = "M", value_parser = clap::value_parser!(u32).range(1..=100_000))]
        per_minute: Option<u32>,
        /// Which.
        #[command(flatten)]
        pool: OnePool,
    },
    /// Remove a pool that nobody holds.
    Remove(OnePool),
}

/// A pool, the form and the server.
#[derive(Clone, Debug, clap::Args)]
pub struct OnePool {
    /// The pool's name, as in `@node(pool="NAME")`.
    pub name: String,
    /// Form and server.
    #[command(flatten)]
    pub list: ListArgs,
}

/// Does what was asked.
pub async fn pools(command: PoolsCommand, data_dir: &Path) -> Result<Exit, Fail> {
    match command {
        PoolsCommand::List(list) => {
            let pools = call(&list, data_dir, async |client| client.pools("").await).await?;
            show_all(&pools, list.output);
        }
        PoolsCommand::Get(one) => {
            let name = one.name.clone();
            let pools = call(&one.list, data_dir, async move |client| client.pools(&name).await).await?;
            pools.iter().for_each(|pool| show(pool, one.list.output));
        }
        PoolsCommand::Set { slots, per_minute, pool: one } => {
            let name = one.name.clone();
            let set = async move |client: Client| client.set_pool(&name, slots, per_minute).await;
            show(&call(&one.list, data_dir, set).await?, one.list.output);
        }
        PoolsCommand::Remove(one) => {
            let name = one.name.clone();
            call(&one.list, data_dir, async move |client| client.remove_pool(&name).await).await?;
            if one.list.output == Output::Json {
                outln!("{:#}", json!({ "name": one.name, "removed": true }));
            }
        }
    }
    Ok(Exit::Completed)
}

fn show_all(pools: &[Pool], output: Output) {
    match output {
        Output::Json => outln!("{:#}", pools.iter().map(pool_json).collect::<Value>()),
        Output::Raw => pools.iter().for_each(|pool| outln!("{}", pool.name)),
        Output::Table => out!("{}", table(pools)),
    }
}

fn show(pool: &Pool, output: Output) {
    match output {
        Output::Json => outln!("{:#}", pool_json(pool)),
        Output::Raw => outln!("{}", pool.name),
        Output::Table => out!("{}{}", table(std::slice::from_ref(pool)), holders(pool)),
    }
}

/// A pool in its published JSON form.
fn pool_json(pool: &Pool) -> Value {
    let holders: Vec<Value> = pool
        .holders
        .iter()
        .map(|h| json!({ "run_id": h.run_id, "node_id": h.node_id, "attempt": h.attempt, "since": h.since }))
        .collect();
    json!({
        "name": pool.name,
        "slots": pool.slots,
        "held": pool.holders.len(),
        "per_minute": pool.per_minute,
        "started": pool.per_minute.map(|_| pool.started),
        "holders": holders,
    })
}

fn table(pools: &[Pool]) -> String {
    let minute =
        |pool: &Pool| pool.per_minute.map_or_else(|| "-".to_owned(), |most| format!("{} of {most}", pool.started));
    let rows =
        pools.iter().map(|pool| [pool.name.clone(), format!("{} of {}", pool.holders.len(), pool.slots), minute(pool)]);
    render::table(["POOL", "HELD", "LAST MINUTE"], rows)
}

fn holders(pool: &Pool) -> String {
    if pool.holders.is_empty() {
        return String::new();
    }
    let rows = pool.holders.iter().map(|h| [h.run_id.clone(), h.node_id.clone(), h.since.clone().unwrap_or_default()]);
    format!("\n{}", render::table(["RUN", "NODE", "SINCE"], rows))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::submit::Holder;

    fn pool() -> Pool {
        let holder = Holder {
            run_id: "0198".into(),
            node_id: "load[3]".into(),
            attempt: 2,
            since: Some("2026-11-23T10:00:00Z".into()),
        };
        Pool { name: "database".into(), slots: 2, per_minute: Some(60), started: 7, holders: vec![holder] }
    }

    #[test]
    fn a_pool_is_shown_with_who_holds_it_and_since_when() {
        let shown = format!("{}{}", table(&[pool()]), holders(&pool()));
        for part in ["database", "1 of 2", "7 of 60", "0198", "load[3]", "2026-11-23T10:00:00Z"] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
        let free = Pool { per_minute: None, holders: vec![], ..pool() };
        assert!(holders(&free).is_empty());
        assert_eq!(pool_json(&free)["started"], Value::Null, "what is not limited is not counted");
    }
}
