//! `kill -9` of a part every few seconds, while runs are submitted and go on.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use crate::{
    client::Client,
    cluster::Cluster,
    flood::{self, source, stub_python, stubs},
    now,
    report::Report,
    rows,
};

/// Whom it may hit, Postgres besides.
const PARTS: [&str; 7] =
    ["orchestrator-1", "orchestrator-2", "runner-1", "runner-2", "type-validator", "redis", "postgres"];
/// Between two submissions of a client.
const PAUSE: Duration = Duration::from_millis(50);
/// Every so-manieth run is on real processes.
const REAL: u32 = 10;

/// A sequence that follows from its seed (Knuth's MMIX multiplier).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// Kills for a while; then everything that was acknowledged must complete.
pub(crate) async fn chaos(
    cluster: &Cluster,
    time: Duration,
    every: Duration,
    seed: u64,
    report: &mut Report,
) -> anyhow::Result<()> {
    let about = format!(
        "`kill -9` of a part at random (for Postgres an immediate stop and a start) every {} s for {} s, seed {seed}, while two clients submit \
         runs, a tenth of them on real processes. What was killed is started again at once.",
        every.as_secs(),
        time.as_secs()
    );
    report.section("Kills", &about);
    let _stubs = stubs(cluster)?;
    let (first, second) = (cluster.client(1)?, cluster.client(2)?);
    let stub = first.register(&source("soak_killed", Some(stub_python(cluster)))).await?;
    let real = first.register(&source("soak_killed_real", None)).await?;
    let ended: i64 = rows::by_status(&cluster.database().await?).await?.values().sum();
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = [(first, "c"), (second, "d")]
        .into_iter()
        .map(|(client, name)| tokio::spawn(submit(client, name, [stub.clone(), real.clone()], Arc::clone(&stop))))
        .collect();
    let (mut chance, mut bag, mut hits) = (Chance(seed), Vec::new(), BTreeMap::<&str, u32>::new());
    let begun = now();
    while begun.elapsed() < time {
        tokio::time::sleep(every).await;
        // Each comes before any comes again.
        if bag.is_empty() {
            bag.extend(PARTS);
        }
        let part = bag.swap_remove(chance.below(bag.len()));
        crate::say(&format!("  kills {part}"));
        if part == "postgres" {
            cluster.restart_postgres().await?;
        } else {
            cluster.kill(part).await?;
            // An orchestrator that is started while a validator is away and the like: what does not come up at once does later.
            if let Err(error) = cluster.up(&[]).await {
                crate::say(&format!("  {error:#}; once more"));
                cluster.up(&[]).await?;
            }
        }
        *hits.entry(part).or_default() += 1;
    }
    stop.store(true, Ordering::Relaxed);
    let (mut submitted, mut refused) = (0, 0);
    for client in clients {
        let (runs, again) = client.await??;
        submitted += runs;
        refused += again;
    }
    let database = cluster.database().await?;
    flood::wait(&database, ended + i64::from(submitted)).await?;
    let by_status = rows::by_status(&database).await?;
    let completed = by_status.get("completed").copied().unwrap_or_default();
    let wanted = ended + i64::from(submitted);
    report.gate(
        "nothing acknowledged is lost to kills: every run completes",
        format!("{} of {submitted}, {by_status:?}", completed - ended),
        completed == wanted && by_status.len() == 1,
    );
    let twice = rows::completed_twice(&database).await?;
    report.gate("no node completes twice under kills", twice.to_string(), twice == 0);
    let hits: Vec<String> = hits.iter().map(|(part, count)| format!("{part} {count}×")).collect();
    report.tell(&format!(
        "{submitted} runs were acknowledged; {refused} calls were refused or broken off and sent again under their keys. Killed: {}.",
        hits.join(", ")
    ));
    Ok(())
}

/// Submits until told to stop; how many were acknowledged, and how many calls were not.
async fn submit(client: Client, name: &str, digests: [String; 2], stop: Arc<AtomicBool>) -> anyhow::Result<(u32, u32)> {
    let (mut runs, mut refused) = (0, 0);
    while !stop.load(Ordering::Relaxed) {
        let digest = &digests[usize::from(runs % REAL == 0)];
        refused += client.submit(digest, &format!("{name}-{runs}")).await?.refused;
        runs += 1;
        tokio::time::sleep(PAUSE).await;
    }
    Ok((runs, refused))
}
