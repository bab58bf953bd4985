//! Ten thousand runs at once, by two clients, each at an orchestrator of its own.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Context;
use qflow_bench::stub::{Options, Stub};
use tokio::task::JoinSet;

use crate::{
    Args,
    client::Client,
    cluster::Cluster,
    memory::{self, Peaks},
    now,
    report::{Report, mib, ms, quantile},
    rows,
};

/// Submissions of a client that are under way at once.
const AT_ONCE: u32 = 32;
/// How long nothing may move before the flood counts as stuck.
const STUCK: Duration = Duration::from_mins(2);
/// Keys that are sent once more afterwards.
const AGAIN: u32 = 100;
/// Memory that a service may have taken more than at rest, at its most and afterwards, in KiB.
const MORE: (u64, u64) = (256 * 1024, 128 * 1024);
/// How long a list may take under load.
const LIST_MS: f64 = 2_000.0;

/// The version that stubs claim to have: none that real nodes run on here.
pub(crate) fn stub_python(cluster: &Cluster) -> &'static str {
    if cluster.python() == "3.9" { "3.10" } else { "3.9" }
}

/// A chain of three nodes: on a version that only stubs have, or on whichever there is.
pub(crate) fn source(name: &str, python: Option<&str>) -> String {
    let option = python.map_or_else(String::new, |python| format!("python=\"{python}\""));
    format!(
        "from qflow import node, workflow\n\n\n@node({option})\ndef one(x: int) -> int:\n    return 1\n\n\n\
         @workflow\ndef {name}(x: int = 0) -> int:\n    a = one(x)\n    b = one(a)\n    return one(b)\n"
    )
}

/// Two stubs that dial both orchestrators.
pub(crate) fn stubs(cluster: &Cluster) -> anyhow::Result<Vec<Stub>> {
    let orchestrators = vec![cluster.services(1)?, cluster.services(2)?];
    let stub = |number: u32| {
        let (orchestrators, name) = (orchestrators.clone(), format!("stub-{number}"));
        Stub::start(&Options { orchestrators, name, python: stub_python(cluster).to_owned(), slots: 64 })
    };
    Ok((1..=2).map(stub).collect())
}

/// What each client is to submit.
struct Load {
    stub: String,
    real: String,
    of_hundred: u32,
}

impl Load {
    /// Every so-manieth on real processes.
    fn digest(&self, number: u32) -> &str {
        if number % 100 < self.of_hundred { &self.real } else { &self.stub }
    }
}

/// Floods the cluster, and looks at what became of it.
pub(crate) async fn flood(cluster: &Cluster, args: &Args, report: &mut Report) -> anyhow::Result<()> {
    let runs = args.runs;
    let about = format!(
        "{runs} runs of three nodes each, submitted at once by two clients, one at each orchestrator, {AT_ONCE} submissions at a time; {} of a \
         hundred on real processes, the rest on runners that answer at once.",
        args.real
    );
    report.section("A flood", &about);
    let _stubs = stubs(cluster)?;
    let (first, second) = (cluster.client(1)?, cluster.client(2)?);
    let stub = first.register(&source("soak", Some(stub_python(cluster)))).await?;
    let real = first.register(&source("soak_real", None)).await?;
    let load = Arc::new(Load { stub, real, of_hundred: args.real });
    // Warm: the environments are locked, a container is there.
    for digest in [&load.stub, &load.real] {
        let run = first.submit(digest, &format!("warm-{digest}")).await?.run;
        anyhow::ensure!(first.ended(&run).await? == "completed", "a first run completes");
    }
    let before = memory::services(cluster)?;
    let (peaks, database) = (Peaks::watch(cluster)?, cluster.database().await?);
    let (stop, lists) = (Arc::new(AtomicBool::new(false)), Arc::new(Mutex::new(Vec::new())));
    let prober = tokio::spawn(probe([first.clone(), second.clone()], Arc::clone(&stop), Arc::clone(&lists)));

    let begun = now();
    let (half, rest) = (runs / 2, runs - runs / 2);
    let (one, other) = tokio::join!(
        submit_all(first.clone(), "a", half, Arc::clone(&load)),
        submit_all(second.clone(), "b", rest, Arc::clone(&load)),
    );
    let (one, other) = (one?, other?);
    let submitted = begun.elapsed();
    wait(&database, i64::from(runs) + 2).await?;
    let took = begun.elapsed();
    stop.store(true, Ordering::Relaxed);
    let failed = prober.await?;

    let (peaks, after) = (peaks.end(), memory::services(cluster)?);
    let by_status = rows::by_status(&database).await?;
    let wanted = i64::from(runs) + 2;
    let completed = by_status.get("completed").copied().unwrap_or_default();
    report.gate(
        "every run of the flood completes",
        format!("{completed} of {wanted}, {by_status:?}"),
        completed == wanted,
    );
    let (keys, named) = rows::keys(&database).await?;
    report.gate(
        "each key names a run of its own",
        format!("{keys} keys, {named} runs"),
        (keys, named) == (wanted, wanted),
    );
    let twice = rows::completed_twice(&database).await?;
    report.gate("no node completes twice in the flood", twice.to_string(), twice == 0);
    again(&first, &load, half.min(AGAIN), report).await?;
    let mut parts = [0.0; 2];
    for (part, orchestrator) in parts.iter_mut().zip(1..) {
        *part = cluster.metric(orchestrator, "qflow_workflow_executions_total").await?;
    }
    let told = format!("{} and {} runs", parts[0], parts[1]);
    report.gate("both orchestrators write runs", told, parts.iter().all(|part| *part > f64::from(runs) / 5.0));

    let mut sample = lists.lock().map(|lists| lists.clone()).unwrap_or_default();
    let (half, most) = (quantile(&mut sample, 0.5), quantile(&mut sample, 0.99));
    let told = format!("p50 {}, p99 {} of {}, {failed} refused", ms(half), ms(most), sample.len());
    report.gate(format!("lists answer under load: p99 within {}", ms(LIST_MS)), told, most <= LIST_MS && failed == 0);
    let mut table = Vec::new();
    for (name, held) in &before {
        let (most, now) = (peaks.get(name).copied().unwrap_or_default(), after[name]);
        let bounded = most <= held.pss + MORE.0 && now.pss <= held.pss + MORE.1;
        let told = format!("{} at rest, {} at most, {} after", mib(held.pss), mib(most), mib(now.pss));
        report.gate(
            format!("memory of {name} is bounded: +{} at most, +{} after", mib(MORE.0), mib(MORE.1)),
            told,
            bounded,
        );
        table.push([(*name).to_owned(), mib(held.pss), mib(most), mib(now.pss), mib(now.most)]);
    }
    report.table(["Service", "PSS at rest", "most", "after", "VmHWM"], &table);
    let refused = one + other;
    report.tell(&format!(
        "All were acknowledged after {:.0} s ({:.0} a second; {refused} calls were refused or broken off, and sent again), and had ended \
         after {:.0} s: {:.0} node runs a second.",
        submitted.as_secs_f64(),
        f64::from(runs) / submitted.as_secs_f64(),
        took.as_secs_f64(),
        f64::from(runs) * 3.0 / took.as_secs_f64(),
    ));
    Ok(())
}

/// Submits so many; how many calls were refused on the way.
async fn submit_all(client: Client, name: &'static str, runs: u32, load: Arc<Load>) -> anyhow::Result<u32> {
    let next = Arc::new(AtomicU32::new(0));
    let mut tasks = JoinSet::new();
    for _ in 0..AT_ONCE {
        let (client, next, load) = (client.clone(), Arc::clone(&next), Arc::clone(&load));
        tasks.spawn(async move {
            let mut refused = 0;
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= runs {
                    return anyhow::Ok(refused);
                }
                refused += client.submit(load.digest(number), &format!("{name}-{number}")).await?.refused;
            }
        });
    }
    let mut refused = 0;
    while let Some(one) = tasks.join_next().await {
        refused += one??;
    }
    Ok(refused)
}

/// Sends keys once more: each names the run that it named, and makes none.
async fn again(client: &Client, load: &Load, keys: u32, report: &mut Report) -> anyhow::Result<()> {
    let mut same = 0;
    for number in 0..keys {
        let (digest, key) = (load.digest(number), format!("a-{number}"));
        let (one, other) = (client.submit(digest, &key).await?, client.submit(digest, &key).await?);
        same += u32::from(one.run == other.run && !one.created && !other.created);
    }
    report.gate("keys that are sent again make no run", format!("{same} of {keys}"), same == keys);
    Ok(())
}

/// Lists runs again and again, at both in turn; how many calls were refused.
async fn probe(clients: [Client; 2], stop: Arc<AtomicBool>, lists: Arc<Mutex<Vec<f64>>>) -> u32 {
    let (mut failed, mut turn) = (0, 0_usize);
    let filters = [("", ""), ("", "running"), ("soak", ""), ("soak", "completed")];
    while !stop.load(Ordering::Relaxed) {
        let (begun, (workflow, status)) = (now(), filters[turn % filters.len()]);
        match clients[turn % 2].list(workflow, status).await {
            Ok(_) => {
                if let Ok(mut lists) = lists.lock() {
                    lists.push(begun.elapsed().as_secs_f64() * 1e3);
                }
            }
            Err(_) => failed += 1,
        }
        turn += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    failed
}

/// Waits until so many runs have ended, as long as something moves.
pub(crate) async fn wait(database: &tokio_postgres::Client, wanted: i64) -> anyhow::Result<()> {
    let (mut moved, mut before) = (now(), -1);
    loop {
        let by_status = rows::by_status(database).await?;
        let open = |status: &&String| ["pending", "running", "paused"].contains(&status.as_str());
        let ended: i64 = by_status.iter().filter(|(status, _)| !open(status)).map(|(_, count)| count).sum();
        if ended >= wanted {
            return Ok(());
        }
        if ended != before {
            (moved, before) = (now(), ended);
            crate::say(&format!("  {ended} of {wanted} have ended"));
        }
        if moved.elapsed() > STUCK {
            let left = rows::left(database).await.context("read what is left")?;
            anyhow::bail!(
                "nothing has moved for {} s at {by_status:?}; left are, among others:\n{left}",
                STUCK.as_secs()
            );
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
