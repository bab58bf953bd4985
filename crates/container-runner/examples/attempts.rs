//! Times attempts that follow one another in a container: `attempts [N]` prints a line per runtime.

#![expect(clippy::unwrap_used, reason = "an example that cannot go on ends here")]
#![expect(clippy::print_stdout, reason = "it prints what it found")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::{sync::Arc, time::Duration};

use qflow_container_runner::runtime::Runtime;
use qflow_model::{definition::Isolation, outcome::Outcome};
use support::{Bench, docker, folder, literal, processes, text};
use tokio::time::Instant;

const SOURCE: &str = "def fib(n: int) -> int:\n    return n if n < 2 else fib(n - 1) + fib(n - 2)\n";
/// Between two attempts, as long as an orchestrator takes to answer.
const BETWEEN: Duration = Duration::from_millis(2);
/// Attempts before the first that counts.
const WARM: usize = 20;

async fn time(runtime: Arc<dyn Runtime>, attempts: usize, isolation: Isolation) {
    let mut bench = Bench::new(runtime, folder(), SOURCE);
    let (mut took, mut outcome) = (Vec::new(), None::<Outcome>);
    for n in 0..WARM + attempts {
        let mut order = bench.order("fib", "int", &[("n", literal(10))]).await;
        order.isolation = isolation;
        let key = order.key;
        tokio::time::sleep(BETWEEN).await;
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
    assert_eq!(text(&outcome.unwrap()), "55");
    took.sort_by(f64::total_cmp);
    println!(
        "{:8} {isolation:?}: p50 {:.2} ms, p99 {:.2} ms, {} attempts",
        bench.runner.runtime.name(),
        took[took.len() / 2],
        took[took.len() * 99 / 100],
        took.len()
    );
    bench.close().await;
}

#[tokio::main]
async fn main() {
    let attempts = std::env::args().nth(1).map_or(500, |n| n.parse().unwrap());
    let home = tempfile::tempdir().unwrap();
    time(processes(home.path()).await, attempts, Isolation::Run).await;
    if let Some(docker) = docker().await {
        time(docker, attempts, Isolation::Run).await;
    }
}
