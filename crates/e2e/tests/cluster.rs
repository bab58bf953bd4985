//! The cluster's shape: the same results as embedded, whichever orchestrator is asked; whatever is killed, runs go on.

use std::sync::{Mutex, PoisonError};

use qflow_e2e::{Cluster, Home, object, told, until, wait_for};
use qflow_model::limits::{SHARD_LEASE_MS, SHARD_MOVES_MS};
use serde_json::{Value, json};

/// One cluster at a time: each is eight programs.
static ONE: Mutex<()> = Mutex::new(());

/// What `examples/primes.py` counts with these parameters.
const FAN_OUT: (&[&str], i64) = (&["run", "examples/primes.py", "-p", "upto=600000", "-p", "slices=12"], 49_098);

/// Node runs whose end is in the history of their run.
const ENDED: &str = "SELECT count(*) FROM history WHERE event::json->>'event' = 'node_ended'";
/// Those of them that ended more than once.
const ENDED_TWICE: &str = "SELECT run, event::json->>'node', count(*) FROM history WHERE event::json->>'event' = 'node_ended' \
    GROUP BY 1, 2 HAVING count(*) > 1";

/// What is broken while a run is under way.
enum Breaks<'a> {
    /// An orchestrator is killed, and it is the one that writes the run.
    Orchestrator(u8),
    /// A runner is killed, one that has an attempt of the run, and starts again.
    Runner(&'static str),
    /// Something else.
    Other(&'a mut dyn FnMut(&Cluster)),
}

fn started(cluster: &Cluster, orchestrator: u8) -> String {
    let output = cluster.run(orchestrator, &[FAN_OUT.0, &["--detach", "-o", "json"]].concat());
    object(&output, 0)["run_id"].as_str().expect("a run has an id").to_owned()
}

/// A run that one of the orchestrators writes: which one does is chance.
fn started_at(cluster: &Cluster, writer: u8) -> String {
    for _ in 0..40 {
        let run = started(cluster, 1);
        if writes(cluster, writer, &run) {
            return run;
        }
        cluster.run(1, &["runs", "cancel", &run]);
    }
    panic!("forty runs, and none in a shard of orchestrator-{writer}");
}

/// Whether the run's shard is that orchestrator's, as the database has it.
fn writes(cluster: &Cluster, orchestrator: u8, run: &str) -> bool {
    let port = cluster.port(&format!("g{orchestrator}"));
    cluster.sql(&format!(
        "SELECT count(*) FROM run JOIN shard ON shard.id = run.shard JOIN replica ON replica.owner = shard.owner \
         WHERE run.id = '{run}' AND replica.url LIKE '%:{port}'"
    )) == "1"
}

/// How many attempts of the run are at work at a runner, by its rows; of any, those that it was only given too. One that dies between
/// the order and the first word of its code has lost that attempt, and may: nothing had begun.
fn held(cluster: &Cluster, run: &str, runner: Option<&str>) -> u32 {
    let id = |runner| std::fs::read_to_string(cluster.path().join(runner).join("runner/id")).expect("it has a name");
    let theirs = runner
        .map(|runner| format!("AND status = 'running' AND node::json->'detail'->>'runner' = '{}'", id(runner).trim()));
    let sql = format!(
        "SELECT count(*) FROM node_run WHERE run = '{run}' AND status IN ('leased', 'running') AND element >= 0 {}",
        theirs.unwrap_or_default()
    );
    cluster.sql(&sql).parse().expect("a number")
}

/// Breaks it, and proves that the run was under way just then and needed what is broken.
fn breaks_it(cluster: &Cluster, run: &str, breaks: &mut Breaks<'_>) {
    let status = || cluster.sql(&format!("SELECT status FROM run WHERE id = '{run}'"));
    match breaks {
        Breaks::Orchestrator(number) => {
            let name = format!("orchestrator-{number}");
            // What stands still changes nothing between the look and its end.
            cluster.signal(&name, "-STOP");
            assert!(writes(cluster, *number, run), "{name} writes the run");
            assert!(held(cluster, run, None) > 0, "attempts are under way");
            assert_eq!(status(), "running");
            cluster.kill(&name);
        }
        Breaks::Runner(name) => {
            wait_for("the runner has an attempt as it stands still", || {
                cluster.signal(name, "-STOP");
                let has = held(cluster, run, Some(name)) > 0;
                if !has {
                    cluster.signal(name, "-CONT");
                }
                assert_eq!(status(), "running");
                has
            });
            cluster.kill(name);
            assert!(held(cluster, run, Some(name)) > 0, "{name} has died with an attempt");
            cluster.again();
        }
        Breaks::Other(breaks) => {
            assert!(held(cluster, run, None) > 0, "attempts are under way");
            assert_eq!(status(), "running");
            breaks(cluster);
        }
    }
}

/// The run as one of the orchestrators shows it, once `reached` holds.
fn wait(cluster: &Cluster, orchestrator: u8, run: &str, reached: impl Fn(&Value) -> bool) -> Value {
    until(|| cluster.run(orchestrator, &["runs", "get", run, "-o", "json"]), reached)
}

fn completed(run: &Value) -> usize {
    let nodes = run["nodes"].as_array().map_or(&[][..], Vec::as_slice);
    nodes.iter().filter(|n| n["status"] == "completed").count()
}

/// Breaks something once a few elements are through, and sees the run to its end at an orchestrator that lives.
fn goes_on_after(breaks: Breaks<'_>, asked: u8) -> (Cluster, Value) {
    let is_orchestrator = matches!(breaks, Breaks::Orchestrator(_));
    let (cluster, run) = goes_on(Cluster::start("process"), breaks, asked);
    // Where the database was away for long, leases may have run out.
    if is_orchestrator {
        no_attempt_was_lost(&run);
    }
    (cluster, run)
}

/// What was under way is taken over as it is, not done again.
fn no_attempt_was_lost(run: &Value) {
    let attempts = run["nodes"].as_array().into_iter().flatten().map(|node| node["attempts"].as_u64());
    // A fan-out has none of its own.
    assert_eq!(attempts.max(), Some(Some(1)), "{run:#}");
}

fn goes_on(cluster: Cluster, mut breaks: Breaks<'_>, asked: u8) -> (Cluster, Value) {
    let run = match breaks {
        Breaks::Orchestrator(number) => started_at(&cluster, number),
        Breaks::Runner(_) | Breaks::Other(_) => started(&cluster, 1),
    };
    let before = wait(&cluster, 1, &run, |run| completed(run) >= 3);
    breaks_it(&cluster, &run, &mut breaks);
    let after = wait(&cluster, asked, &run, |run| run["status"] == "completed");
    assert_eq!(after["result"], json!(FAN_OUT.1), "{after:#}");
    // What had completed is as it was: no node completes twice.
    for node in before["nodes"].as_array().into_iter().flatten().filter(|node| node["status"] == "completed") {
        let same = after["nodes"].as_array().into_iter().flatten().find(|other| other["node_id"] == node["node_id"]);
        let (was, is) = (node, same.expect("it is there"));
        assert_eq!((&is["attempts"], &is["phases"]), (&was["attempts"], &was["phases"]), "{}", was["node_id"]);
    }
    // Nor does one that completed after it.
    assert_eq!(cluster.sql(ENDED_TWICE), "", "{after:#}");
    assert_ne!(cluster.sql(ENDED), "0", "{after:#}");
    (cluster, after)
}

#[test]
fn the_examples_give_what_they_give_embedded() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start("process");
    let (home, airports) = (Home::new("process"), &["run", "examples/airports.py", "-o", "json"]);
    // It takes its time beside the others.
    let embedded = home.qflow(airports).spawn().expect("qflow starts");
    for (orchestrator, line, result) in [
        (1, &["run", "examples/hello.py", "-p", "name=Ada"][..], json!("HELLO, ADA!!!")),
        (2, &["run", "examples/hello.py", "-p", "name=Eve"], json!("HELLO, EVE!!!")),
        (2, FAN_OUT.0, json!(FAN_OUT.1)),
    ] {
        let run = object(&cluster.run(orchestrator, &[line, &["-o", "json"]].concat()), 0);
        assert_eq!((&run["status"], &run["result"]), (&json!("completed"), &result), "{run:#}");
        // The other one shows the same run.
        let id = run["run_id"].as_str().expect("a run has an id");
        let other = object(&cluster.run(3 - orchestrator, &["runs", "get", id, "-o", "json"]), 0);
        assert_eq!(other["result"], run["result"]);
    }
    // Two Pythons, and packages from an index: the same as embedded, to the last name.
    let run = object(&cluster.run(2, airports), 0);
    assert_eq!(run["result"]["airports"], 3364, "{run:#}");
    let embedded = embedded.wait_with_output().expect("qflow ends");
    assert_eq!(told(run), told(object(&embedded, 0)));
    // A branch whose sides meet, and a failure after retries with its traceback.
    for (orchestrator, line, code) in
        [(1, ["run", "examples/branch.py", "-o", "json"], 0), (2, ["run", "examples/flaky.py", "-o", "json"], 1)]
    {
        let run = object(&cluster.run(orchestrator, &line), code);
        assert_eq!(told(run), told(object(&home.run(&line), code)));
    }
    for admin in ["ra1", "ra2"] {
        let worked = cluster.metric(admin, "qflow_python_code_execution_duration_seconds_count");
        assert!(worked > 0.0, "the runner at {admin} has worked");
    }
}

#[test]
fn a_killed_orchestrators_runs_go_on_at_the_other() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (cluster, _) = goes_on_after(Breaks::Orchestrator(1), 2);
    // Whoever comes back takes calls again.
    cluster.again();
    let run = object(&cluster.run(1, &["run", "examples/hello.py", "-p", "name=Ada", "-o", "json"]), 0);
    assert_eq!(run["result"], json!("HELLO, ADA!!!"));
}

#[test]
fn the_other_orchestrator_may_be_killed_as_well() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    goes_on_after(Breaks::Orchestrator(2), 1);
}

/// Kills one runner after the other; each comes back.
fn killed_runners(runtime: &'static str) {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    for runner in ["runner-1", "runner-2"] {
        // So few slots that neither has done it all before the other has an attempt.
        let cluster = Cluster::with(runtime, vec![("QFLOW_SLOTS".to_owned(), "1".to_owned())]);
        let (_cluster, run) = goes_on(cluster, Breaks::Runner(runner), 1);
        if runtime == "process" {
            no_attempt_was_lost(&run);
        }
    }
}

#[test]
fn a_killed_runners_work_is_taken_up() {
    killed_runners("process");
}

#[test]
fn a_killed_runners_containers_are_taken_up() {
    killed_runners("docker");
}

#[test]
fn a_runner_that_stays_away_costs_no_run_and_its_lines_end_with_where() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // Fewer slots than talkers: each runner has at least one of these.
    let cluster = Cluster::with("process", vec![("QFLOW_SLOTS".to_owned(), "3".to_owned())]);
    let mut talker = String::new();
    let mut breaks = |cluster: &Cluster| {
        let (file, folder) = ("crates/e2e/cases/blobs/talk.py", format!("folder={}", cluster.path().display()));
        let begun = cluster.run(1, &["run", file, "-p", &folder, "--detach", "-o", "json"]);
        talker = object(&begun, 0)["run_id"].as_str().expect("a run has an id").to_owned();
        let written = || String::from_utf8_lossy(&cluster.run(2, &["runs", "logs", &talker]).stdout).into_owned();
        wait_for("all have written", || written().matches("counted").count() == 4);
        assert!(held(cluster, &talker, Some("runner-2")) > 0, "it has a talker");
        cluster.kill("runner-2");
        std::fs::write(cluster.path().join("go"), "").expect("the folder is ours");
    };
    let (cluster, _) = goes_on(cluster, Breaks::Other(&mut breaks), 2);
    let ended = wait(&cluster, 1, &talker, |run| run["status"] == "completed");
    assert_eq!(ended["result"], json!(6), "{ended:#}");
    let nodes = ended["nodes"].as_array().expect("a run has nodes");
    let again: Vec<_> = nodes.iter().filter(|node| node["attempts"] == 2).map(|node| node["node_id"].clone()).collect();
    assert!(!again.is_empty(), "{ended:#}");
    for orchestrator in [1, 2] {
        let told = cluster.run(orchestrator, &["runs", "logs", &talker, "-o", "json"]);
        let text = String::from_utf8_lossy(&told.stdout).into_owned();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).expect("an object")).collect();
        for node in &again {
            let own = |attempt| lines.iter().filter(move |l| l["node_id"] == *node && l["attempt"] == attempt);
            let first: Vec<_> = own(1).map(|line| (&line["sequence"], &line["stream"])).collect();
            let gap = (&json!(2), &json!("gap"));
            assert_eq!(first, [(&json!(0), &json!("stdout")), (&json!(1), &json!("log")), gap], "{text}");
            assert_eq!(own(2).count(), 3, "{text}");
        }
        assert_eq!(lines.iter().filter(|line| line["stream"] == "gap").count(), again.len(), "{text}");
    }
}

#[test]
fn a_runner_that_starts_again_finds_the_other_orchestrator_though_the_one_it_was_given_is_dead() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start("process");
    let mut third = cluster.runner("runner-3", 1);
    let other = format!("http://127.0.0.1:{}", cluster.port("g2"));
    let kept = || std::fs::read_to_string(cluster.path().join("runner-3/runner/journal")).unwrap_or_default();
    wait_for("it keeps whom it was told of", || kept().contains(&other));
    third.kill();
    for part in ["orchestrator-1", "runner-1", "runner-2"] {
        cluster.kill(part);
    }
    let _third = cluster.runner("runner-3", 1);
    let run = object(&cluster.run(2, &["run", "examples/hello.py", "-p", "name=Ada", "-o", "json"]), 0);
    assert_eq!(run["result"], json!("HELLO, ADA!!!"), "{run:#}");
    assert!(cluster.log("runner-3").contains("orchestrators_remembered"), "it says whom it dials");
}

#[test]
fn postgres_may_be_restarted_in_the_middle() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    goes_on_after(Breaks::Other(&mut Cluster::restart_postgres), 2);
}

#[test]
fn redis_may_be_flushed_in_the_middle() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    goes_on_after(Breaks::Other(&mut Cluster::flush_redis), 2);
}

#[test]
fn redis_may_go_in_the_middle() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let (cluster, _) = goes_on_after(Breaks::Other(&mut |cluster| cluster.kill("redis")), 2);
    // It is told for as long as it is so.
    redis_is(&cluster, "unhealthy", "degraded", 0.0);
    cluster.again();
    redis_is(&cluster, "healthy", "healthy", 1.0);
}

/// Waits until Redis is told to be so and the whole, which goes on, with it.
fn redis_is(cluster: &Cluster, status: &str, whole: &str, up: f64) {
    let told = |path, status| matches!(cluster.health(path), (200, body) if body["status"] == status);
    wait_for(&format!("Redis is {status}"), || told("/redis", status) && told("", whole));
    let series = r#"qflow_dependency_up{dependency="redis",critical="false"}"#;
    assert!((cluster.metric("ha", series) - up).abs() < 0.5, "it is {status}");
}

/// Each change of a shard's owner and each replica that says that it lives for the first time, by the database's own clock.
const NOTE_MOVES: &str = "
CREATE TABLE moves (at timestamptz, shard smallint, before text, after text, lease_ended timestamptz);
CREATE FUNCTION note_move() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO moves VALUES (clock_timestamp(), NEW.id, OLD.owner, NEW.owner, OLD.lease_until); RETURN NULL; END $$;
CREATE TRIGGER note_move AFTER UPDATE ON shard FOR EACH ROW WHEN (OLD.owner IS DISTINCT FROM NEW.owner) EXECUTE FUNCTION note_move();
CREATE TABLE joined (at timestamptz, owner text);
CREATE FUNCTION note_join() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
  INSERT INTO joined VALUES (clock_timestamp(), NEW.owner); RETURN NULL; END $$;
CREATE TRIGGER note_join AFTER INSERT ON replica FOR EACH ROW EXECUTE FUNCTION note_join()";

#[test]
fn shards_move_within_ten_seconds_by_the_databases_clock() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = Cluster::start("process");
    let shares = |wanted: &[&str]| {
        let shares = "SELECT count(*) FROM shard JOIN replica USING (owner) GROUP BY owner";
        wait_for(&format!("shares of {wanted:?}"), || cluster.sql(shares).lines().collect::<Vec<_>>() == wanted);
    };
    let second = || cluster.sql(&format!("SELECT owner FROM replica WHERE url LIKE '%:{}'", cluster.port("g2")));
    // How many moved, and milliseconds to the last.
    let moved = |since: &str, which: &str| {
        let ms = format!("round(extract(epoch FROM max(moves.at - {since})) * 1000)");
        let told = cluster.sql(&format!("SELECT count(DISTINCT shard), {ms} FROM moves {which}"));
        let (count, ms) = told.split_once('|').expect("two columns");
        (count.parse::<u32>().expect("a number"), ms.parse::<u64>().expect("a number"))
    };
    shares(&["32", "32"]);
    cluster.sql(NOTE_MOVES);

    // One is killed: from the end of its leases, which is at most a lease after its death, until another has taken them.
    let died = second();
    cluster.kill("orchestrator-2");
    shares(&["64"]);
    let (count, late) = moved("lease_ended", &format!("WHERE before = '{died}'"));
    assert_eq!(count, 32);
    assert!(late + SHARD_LEASE_MS <= SHARD_MOVES_MS, "{late} ms after the leases of the dead one");

    // One joins: from its first word until it has its share.
    cluster.again();
    shares(&["32", "32"]);
    let joined = second();
    let (count, late) = moved("joined.at", &format!("JOIN joined ON owner = after WHERE after = '{joined}'"));
    assert_eq!(count, 32);
    assert!(late <= SHARD_MOVES_MS, "{late} ms after it joined");

    // One leaves: from when it lets go of the first until another has the last.
    cluster.signal("orchestrator-2", "-TERM");
    shares(&["64"]);
    let left = format!("(SELECT min(at) FROM moves AS let WHERE let.before = '{joined}')");
    let (count, late) = moved(&left, &format!("WHERE after <> '' AND at >= {left}"));
    assert_eq!(count, 32);
    assert!(late <= SHARD_MOVES_MS, "{late} ms after it left");
}
