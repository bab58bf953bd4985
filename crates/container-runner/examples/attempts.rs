//! Times attempts that follow one another in a container: `attempts [N]` prints a line per runtime.

#![expect(clippy::unwrap_used, reason = "an example that cannot go on ends here")]
#![expect(clippy::print_stdout, reason = "it prints what it found")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{sync::Arc, time::Duration};

use qflow_container_runner::runtime::Runtime;
use qflow_model::{definition::Isolation, outcome::Outcome};
use qflow_service::Shutdown;
use support::{Bench, docker, folder, literal, processes, text};
use tokio::time::Instant;

const SOURCE: &str = "def fib(n: int) -> int:\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n";
/// Between two attempts, as long as an orchestrator takes to answer.
const BETWEEN: Duration = Duration::from_millis(2);
/// Attempts at once in a fan-out.
const SLOTS: usize = 4;
/// Attempts before the first that counts.
const WARM: usize = 20;

async fn time(runtime: Arc<dyn Runtime>, attempts: usize, isolation: Isolation) {
    let mut bench = Bench::new(runtime, folder(), SOURCE);
    let shutdown = Shutdown::new();
    let warming = tokio::spawn(Arc::clone(&bench.runner.pool).keep_warm(shutdown.child()));
    let order = bench.order("fib", "int", &[("n", literal(10))]).await;
    bench.runner.pool.warm((*order.lock).clone());
    let (mut took, mut outcome) = (Vec::new(), None::<Outcome>);
    for n in 0..WARM + attempts {
        let mut order = bench.order("fib", "int", &[("n", literal(10))]).await;
        order.isolation = isolation;
        let key = order.key;
        tokio::time::sleep(BETWEEN).await;
        if isolation == Isolation::Node {
            // The first attempt of its kind is what tells the pool to hold more than one.
            warm(&bench, if n == 0 { 1 } else { SLOTS }).await;
        }
        let began = Instant::now();
        let attempt = tokio::spawn(Arc::clone(&bench.runner).run(order));
        bench.until_ended(key).await;
        if n >= WARM {
            took.push(began.elapsed().as_secs_f64() * 1e3);
        }
        attempt.await.unwrap();
        outcome = Some(bench.outcome(key));
        bench.runner.spool.forget(key);
    }
    let outcome = outcome.unwrap();
    assert_eq!(text(&outcome), "55");
    took.sort_by(f64::total_cmp);
    println!(
        "{:8} {isolation:?}: p50 {:.2} ms, p99 {:.2} ms, {} attempts; the last: container {:.2} ms, import {:.2} ms",
        bench.runner.runtime.name(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took.len(),
        outcome.phases.container_ms,
        outcome.phases.import_ms
    );
    shutdown.trigger();
    warming.await.unwrap();
    bench.close().await;
}

/// A fan-out: so many attempts over as many containers as there are slots, each given as soon as one has ended.
async fn fan_out(runtime: Arc<dyn Runtime>, attempts: usize) {
    let mut bench = Bench::new(runtime, folder(), SOURCE);
    let mut took = Duration::ZERO;
    for round in 0..2 {
        let mut orders = Vec::new();
        for _ in 0..attempts {
            orders.push(bench.order("fib", "int", &[("n", literal(10))]).await);
        }
        let (began, mut running) = (Instant::now(), tokio::task::JoinSet::new());
        let mut left = orders.into_iter();
        let mut ended = 0;
        while ended < attempts {
            while running.len() < SLOTS
                && let Some(order) = left.next()
            {
                running.spawn(Arc::clone(&bench.runner).run(order));
            }
            running.join_next().await.unwrap().unwrap();
            ended += 1;
            while bench.words.try_recv().is_ok() {}
        }
        // In the first round its containers start.
        took = if round == 0 { took } else { began.elapsed() };
    }
    let (name, ms) = (bench.runner.runtime.name(), took.as_secs_f64() * 1e3);
    println!("{name:8} fan-out: {attempts} attempts in {ms:.0} ms, {SLOTS} at once");
    bench.close().await;
}

/// Waits until the pool is full: what is timed is an attempt while it holds.
async fn warm(bench: &Bench, count: usize) {
    let idle = |bench: &Bench| bench.runner.pool.list().iter().filter(|c| c.status == "idle").count();
    while idle(bench) < count || idle(bench) < bench.runner.pool.list().len() {
        tokio::time::sleep(BETWEEN).await;
    }
}

#[tokio::main]
async fn main() {
    let attempts = std::env::args().nth(1).map_or(500, |n| n.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    for runtime in [Some(processes(home.path()).await), docker().await].into_iter().flatten() {
        time(Arc::clone(&runtime), attempts, Isolation::Run).await;
        time(Arc::clone(&runtime), attempts / 10, Isolation::Node).await;
        fan_out(runtime, 100).await;
    }
}
