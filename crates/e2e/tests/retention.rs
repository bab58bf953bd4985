//! Runs that ended longer ago than is wanted go, with their values, whichever database keeps them; so do values of runs that are not there.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
};

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

/// A parameter that may be too large for a row.
const TAKES: &str = "from qflow import node, workflow\n\n\n\
                     @node\ndef size(text: str) -> int:\n    return len(text)\n\n\n\
                     @workflow\ndef main(text: str) -> int:\n    return size(text)\n";

/// What lies in a folder of the blob store, by name.
fn names(home: &Home, folder: &str) -> Vec<String> {
    let there = std::fs::read_dir(home.path().join("data/blobs").join(folder)).into_iter().flatten().flatten();
    let mut names: Vec<String> = there.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.sort();
    names
}

/// Has nobody write to the table of runs, until it is killed.
fn locked(postgres: &Postgres) -> Child {
    let mut psql = Command::new("psql");
    let psql = psql.arg(postgres.url()).arg("-qtA").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut psql = psql.spawn().expect("psql starts");
    let line = b"BEGIN; LOCK TABLE run IN EXCLUSIVE MODE; SELECT 'locked';\n";
    psql.stdin.as_mut().expect("it is piped").write_all(line).expect("psql listens");
    let mut said = String::new();
    let stdout = psql.stdout.take().expect("it is piped");
    BufReader::new(stdout).read_line(&mut said).expect("psql speaks");
    assert_eq!(said.trim(), "locked");
    psql
}

/// Has all below a folder be two days old.
fn aged(folder: &Path) {
    let find = ["-type", "f", "-exec", "touch", "-d", "2 days ago", "{}", "+"];
    let done = Command::new("find").arg(folder).args(find).status().expect("find starts");
    assert!(done.success());
}

#[test]
fn what_was_kept_for_a_run_that_was_never_accepted_goes_a_day_later_and_nothing_else_does() {
    let Some(postgres) = Postgres::start() else { return };
    let home = Home::new("process").with("QFLOW_DATABASE_URL", postgres.url());
    let file = home.path().join("takes.py");
    std::fs::write(&file, TAKES).expect("the home takes files");
    let text = format!("text={}", "x".repeat(100_000));
    let line = ["run", file.to_str().expect("a UTF-8 path"), "-p", &text, "-o", "json"];
    let mut dev = home.dev();
    let ran = object(&home.run(&line), 0);
    assert_eq!(ran["result"], 100_000, "{ran:#}");
    let accepted = [ran["run_id"].as_str().expect("a run has an id")];
    wait_for("an accepted run is in no doubt", || names(&home, "doubts").is_empty());
    assert_eq!(names(&home, "runs"), accepted);

    // The orchestrator dies once it has written a parameter, and before it has a row.
    let mut lock = locked(&postgres);
    let mut client = home.qflow(&line).spawn().expect("qflow starts");
    wait_for("the parameter is written", || names(&home, "runs").len() == 2);
    assert_eq!(names(&home, "doubts").len(), 1);
    dev.kill();
    for child in [&mut client, &mut lock] {
        child.kill().expect("it runs");
        child.wait().expect("it can be waited for");
    }
    drop(dev);
    let dev = home.dev();
    assert_eq!(names(&home, "runs").len(), 2, "what is young may be under way");
    drop(dev);

    aged(&home.path().join("data/blobs"));
    let _dev = home.dev();
    wait_for("the rest of it is gone", || names(&home, "doubts").is_empty());
    assert_eq!(names(&home, "runs"), accepted, "and what has a row stays, however old");
    let log = std::fs::read_to_string(home.path().join("dev.log")).expect("it has a log");
    assert!(log.contains("strays_removed"), "{log}");
}
