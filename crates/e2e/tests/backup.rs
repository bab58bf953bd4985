//! What is backed up while it runs comes back as it was, and goes on.

use std::{collections::BTreeMap, path::Path, process::Command};

use qflow_e2e::{Cluster, Home, Postgres, S3, object, said, wait_for};
use serde_json::Value;

/// A line, and a result that is too large for a row.
const LARGE: &str = "from qflow import node, workflow\n\n\n\
                     @node\ndef large() -> str:\n    print(\"made it\")\n    return \"x\" * 100_000\n\n\n\
                     @workflow\ndef main() -> str:\n    return large()\n";
const FAN_OUT: [&str; 7] = ["run", "examples/primes.py", "-p", "upto=600000", "-p", "slices=12", "--detach"];
const PRIMES: i64 = 49_098;

/// Attempts and phases of every node that completed, by its id.
fn ends(run: &Value) -> BTreeMap<String, (Value, Value)> {
    let nodes = run["nodes"].as_array().into_iter().flatten();
    let ended = nodes.filter(|n| n["status"] == "completed");
    ended.map(|n| (n["node_id"].to_string(), (n["attempts"].clone(), n["phases"].clone()))).collect()
}

fn id(run: &Value) -> String {
    run["run_id"].as_str().expect("a run has an id").to_owned()
}

fn large(folder: &Path) -> String {
    let file = folder.join("large.py");
    std::fs::write(&file, LARGE).expect("the folder takes files");
    file.to_str().expect("a UTF-8 path").to_owned()
}

/// A large run that has ended and a fan-out under way, in what `qflow` calls; what had completed before `backed_up` was called.
fn under_way(
    folder: &Path,
    qflow: &dyn Fn(&[&str]) -> Command,
    backed_up: impl FnOnce(),
) -> (String, String, BTreeMap<String, (Value, Value)>) {
    let run = |line: &[&str]| qflow(line).output().expect("qflow starts");
    let done = id(&object(&run(&["run", &large(folder), "-o", "json"]), 0));
    let going = id(&object(&run(&[&FAN_OUT[..], &["-o", "json"]].concat()), 0));
    let mut before = Value::Null;
    wait_for("some nodes have completed", || {
        before = object(&run(&["runs", "get", &going, "-o", "json"]), 0);
        assert_ne!(before["status"], "completed", "it is backed up in its middle: {before}");
        ends(&before).len() >= 3
    });
    backed_up();
    (done, going, ends(&before))
}

/// Both runs as they are after the restore.
fn goes_on(home: &Home, done: &str, going: &str, before: &BTreeMap<String, (Value, Value)>) {
    let _dev = home.dev();
    let result = home.run(&["runs", "result", done]);
    assert!(result.status.success() && result.stdout.len() >= 100_000, "{}", said(&result));
    let lines = home.run(&["runs", "logs", done]);
    assert!(String::from_utf8_lossy(&lines.stdout).contains("made it"), "{}", said(&lines));
    let mut after = Value::Null;
    wait_for("the run ends", || {
        after = object(&home.run(&["runs", "get", going, "-o", "json"]), 0);
        after["status"] != "running" && after["status"] != "pending"
    });
    assert_eq!((&after["status"], &after["result"]), (&"completed".into(), &PRIMES.into()), "{after}");
    let after = ends(&after);
    for (node, was) in before {
        assert_eq!(after.get(node), Some(was), "{node} had completed, and is not run again");
    }
    let since = after.values().filter(|(attempts, _)| attempts.as_u64() > Some(1000));
    assert!(since.count() > 0, "what had not completed went on here, under numbers of its own: {after:?}");
}

#[test]
fn a_cluster_that_is_thrown_away_in_the_middle_of_a_run_goes_on_elsewhere() {
    let Some(postgres) = Postgres::start() else { return };
    let place = tempfile::tempdir().expect("a folder for the back-up");
    let backup = place.path().join("backup");
    let to = backup.to_str().expect("a UTF-8 path");
    let cluster = Cluster::start("process");
    let (done, going, before) = under_way(place.path(), &|line| cluster.qflow(1, line), || {
        let mut create = cluster.qflow(1, &["backup", "create", "--to", to, "-o", "json"]);
        let database = std::fs::read_to_string(cluster.path().join("database")).expect("the cluster has a database");
        create.env("QFLOW_DATABASE_URL", database.trim());
        create.env("QFLOW_BLOBS_URL", format!("file://{}/blobs", cluster.path().display()));
        let made = object(&create.output().expect("qflow starts"), 0);
        assert_eq!(
            (&made["runs"], &made["database"], &made["missing"]),
            (&2.into(), &"postgres".into(), &Value::Array(vec![]))
        );
    });
    drop(cluster);
    let home = Home::new("process").with("QFLOW_DATABASE_URL", postgres.url());
    assert_eq!(object(&home.run(&["backup", "verify", "--from", to, "-o", "json"]), 0)["runs"], 2);
    object(&home.run(&["backup", "restore", "--from", to, "-o", "json"]), 0);
    goes_on(&home, &done, &going, &before);
    let again = home.run(&["backup", "restore", "--from", to]);
    assert_eq!(again.status.code(), Some(2), "it is not empty any more: {}", said(&again));
}

#[test]
fn an_embedded_server_is_backed_up_while_it_serves_and_damage_is_refused() {
    let place = tempfile::tempdir().expect("a folder for the back-up");
    let backup = place.path().join("backup");
    let to = backup.to_str().expect("a UTF-8 path");
    let home = Home::new("process");
    let _dev = home.dev();
    let done = id(&object(&home.run(&["run", &large(place.path()), "-o", "json"]), 0));
    let made = home.run(&["backup", "create", "--to", to]);
    assert!(made.status.success(), "{}", said(&made));
    assert_eq!(home.run(&["backup", "create", "--to", to]).status.code(), Some(2), "it is there already");
    let other = Home::new("process");
    let blobs = std::fs::read_dir(backup.join("blobs/runs").join(&done)).expect("the run has blobs");
    let blob = blobs.flatten().map(|entry| entry.path()).find(|path| path.is_file()).expect("its result is one");
    let whole = std::fs::read(&blob).expect("it can be read");
    std::fs::write(&blob, &whole[1..]).expect("it can be written");
    let refused = other.run(&["backup", "restore", "--from", to]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    assert!(said(&refused).contains("the back-up is damaged"), "{}", said(&refused));
    std::fs::write(&blob, &whole).expect("it can be written");
    let restored = other.run(&["backup", "restore", "--from", to]);
    assert!(restored.status.success(), "{}", said(&restored));
    let result = other.run(&["runs", "result", &done]);
    assert!(result.status.success() && result.stdout.len() >= 100_000, "{}", said(&result));
}

/// A home whose blobs lie in a bucket of that server, below a prefix of its own.
fn on(s3: &S3, prefix: &str) -> Home {
    let named = |home: Home, (name, value): (String, String)| match name.as_str() {
        "QFLOW_BLOBS_URL" => home,
        _ => home.with(name.leak(), value),
    };
    s3.settings().into_iter().fold(Home::new("process"), named).with("QFLOW_BLOBS_URL", format!("s3://qflow/{prefix}"))
}

#[test]
fn blobs_of_a_bucket_are_backed_up_and_restored_into_another() {
    let Some(s3) = S3::start() else { return };
    let place = tempfile::tempdir().expect("a folder for the back-up");
    let backup = place.path().join("backup");
    let to = backup.to_str().expect("a UTF-8 path");
    let from = on(&s3, "old");
    let done = id(&object(&from.run(&["run", &large(place.path()), "-o", "json"]), 0));
    let made = object(&from.run(&["backup", "create", "--to", to, "-o", "json"]), 0);
    assert!(made["blobs"].as_u64() >= Some(2) && made["missing"] == Value::Array(vec![]), "a value and lines: {made}");
    assert_eq!(object(&from.run(&["backup", "verify", "--from", to, "-o", "json"]), 0)["blobs"], made["blobs"]);
    let elsewhere = on(&s3, "new");
    let restored = object(&elsewhere.run(&["backup", "restore", "--from", to, "-o", "json"]), 0);
    assert_eq!(restored["blobs"], made["blobs"]);
    drop(from);
    let result = elsewhere.run(&["runs", "result", &done]);
    assert!(result.status.success() && result.stdout.len() >= 100_000, "{}", said(&result));
    let lines = elsewhere.run(&["runs", "logs", &done]);
    assert!(String::from_utf8_lossy(&lines.stdout).contains("made it"), "{}", said(&lines));
    let bucket = elsewhere.run(&["backup", "create", "--to", "s3://qflow/backup"]);
    assert_eq!(bucket.status.code(), Some(2), "{}", said(&bucket));
}
