//! Runs that ended longer ago than is wanted go, with their values, whichever database keeps them.

use qflow_e2e::{Home, Postgres, object, said, wait_for};

/// A result that is too large for a row.
const LARGE: &str = "from qflow import node, workflow\n\n\n\
                     @node\ndef large() -> str:\n    return \"x\" * 100_000\n\n\n\
                     @workflow\ndef main() -> str:\n    return large()\n";

/// Files of runs in the blob store.
fn blobs(home: &Home) -> usize {
    let runs = std::fs::read_dir(home.path().join("data/blobs/runs"));
    let files = |folder: std::fs::DirEntry| std::fs::read_dir(folder.path()).map_or(0, Iterator::count);
    runs.map_or(0, |runs| runs.flatten().map(files).sum())
}

fn runs_that_ended_go(home: Home) {
    let file = home.path().join("large.py");
    std::fs::write(&file, LARGE).expect("the home takes files");
    let ran = home.run(&["run", file.to_str().expect("a UTF-8 path")]);
    assert!(ran.status.success(), "{}", said(&ran));
    assert!(blobs(&home) > 0, "the result is a blob");
    let home = home.with("QFLOW_RETENTION", "1ms");
    let _dev = home.dev();
    let runs = || object(&home.run(&["runs", "list", "-o", "json"]), 0);
    wait_for("the run is gone", || runs().as_array().is_some_and(Vec::is_empty));
    assert_eq!(blobs(&home), 0, "and so is its value");
}

#[test]
fn runs_that_ended_go_from_sqlite() {
    runs_that_ended_go(Home::new("process"));
}

#[test]
fn runs_that_ended_go_from_postgres() {
    let Some(postgres) = Postgres::start() else { return };
    runs_that_ended_go(Home::new("process").with("QFLOW_DATABASE_URL", postgres.url()));
}
