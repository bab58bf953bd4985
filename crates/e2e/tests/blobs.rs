//! A cluster whose blobs lie in a bucket of a real S3 server: values and logs come from there, wherever they are asked for, and leave with
//! their run.

use std::{collections::BTreeSet, process::Stdio};

use qflow_e2e::{Cluster, S3, object, root, said, wait_for};
use qflow_model::ids::Digest;
use serde_json::Value;

fn case(name: &str) -> String {
    root().join("crates/e2e/cases/blobs").join(name).display().to_string()
}

fn run_id(run: &Value) -> String {
    run["run_id"].as_str().expect("a run has an id").to_owned()
}

/// The lines of a run as an orchestrator tells them, one object each.
fn lines(cluster: &Cluster, orchestrator: u8, run: &str) -> Vec<Value> {
    let output = cluster.run(orchestrator, &["runs", "logs", run, "-o", "json"]);
    assert!(output.status.success(), "{}", said(&output));
    let text = String::from_utf8(output.stdout).expect("lines are UTF-8");
    text.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect()
}

fn texts(lines: &[Value]) -> BTreeSet<String> {
    lines.iter().filter_map(|line| line["text"].as_str().map(str::to_owned)).collect()
}

/// Has the talker's nodes write, breaks what it can while they wait, and lets them end; the run.
fn talk_through_trouble(cluster: &Cluster) -> String {
    let folder = format!("folder={}", cluster.path().display());
    let begun = cluster.run(1, &["run", &case("talk.py"), "-p", &folder, "--detach", "-o", "json"]);
    let run = run_id(&object(&begun, 0));
    let mut follow = cluster.qflow(2, &["runs", "logs", &run, "-f", "-o", "json"]);
    let follower = follow.stdout(Stdio::piped()).spawn().expect("qflow starts");
    let wanted: BTreeSet<_> = (0..4).flat_map(|n| [format!("before {n}"), format!("counted n={n}")]).collect();
    wait_for("all have written", || texts(&lines(cluster, 2, &run)) == wanted);
    cluster.flush_redis();
    cluster.kill("runner-1");
    cluster.kill("runner-2");
    cluster.again();
    std::fs::write(cluster.path().join("go"), "").expect("the folder is ours");
    let followed = follower.wait_with_output().expect("it ends with the run");
    let followed = String::from_utf8_lossy(&followed.stdout).into_owned();
    for n in 0..4 {
        assert_eq!(followed.matches(&format!("\"before {n}\"")).count(), 1, "{followed}");
        assert_eq!(followed.matches(&format!("\"after {n}\"")).count(), 1, "{followed}");
    }
    assert!(!followed.contains("\"gap\""), "{followed}");
    run
}

/// All that the talker wrote, each line once and in order, with its fields.
fn is_whole(lines: &[Value]) {
    assert_eq!(lines.len(), 12, "{lines:#?}");
    for n in 0..4 {
        let node = format!("talk[{n}]");
        let own: Vec<_> = lines.iter().filter(|line| line["node_id"] == node.as_str()).collect();
        let told: Vec<_> =
            own.iter().filter_map(|line| Some((line["sequence"].as_u64()?, line["text"].as_str()?))).collect();
        let wanted = [format!("before {n}"), format!("counted n={n}"), format!("after {n}")];
        assert_eq!(told, [(0, wanted[0].as_str()), (1, &wanted[1]), (2, &wanted[2])]);
        assert_eq!(own[1]["fields"], serde_json::json!({"n": n}));
    }
}

/// Frames and arrays are held to what is declared of them by their headers: of objects in the bucket some kilobytes.
fn held_by_headers(cluster: &Cluster, s3: &S3) {
    let file = root().join("crates/e2e/cases/between/declared.py").display().to_string();
    let ran = |workflow: &str| object(&cluster.run(1, &["run", &file, "-w", workflow, "-o", "json"]), 0);
    let fine = ran("main");
    assert_eq!(fine["status"], "completed", "{fine:#}");
    assert!(s3.objects(&format!("runs/{}", run_id(&fine))).len() >= 3, "{:?}", s3.objects("runs"));
    for (workflow, message) in [
        ("wrong_array", "expected ndarray[Any, dtype[int16]], got an array of int64 with the shape (40000,)"),
        ("wrong_argument", "argument `frame`: expected DataFrame[Amount], got a frame without the column `amount`"),
    ] {
        let output = cluster.run(1, &["run", &file, "-w", workflow, "-o", "json"]);
        assert!(!output.status.success() && said(&output).contains(message), "{}", said(&output));
    }
}

#[test]
fn values_and_logs_lie_in_the_bucket_outlive_their_runner_and_leave_with_their_run() {
    let Some(s3) = S3::start() else { return };
    let mut cluster = Cluster::with("process", s3.settings());

    // Values above a row's and a message's bounds: an upload, a list that is read by ranges, a text, a file.
    let folder = tempfile::tempdir().expect("a folder");
    let (upload, download) = (folder.path().join("in.txt"), folder.path().join("out.txt"));
    let words: Vec<String> = (0..200).map(|n| format!("w{n:03}")).collect();
    std::fs::write(&upload, words.join("\n")).expect("it takes files");
    let file = format!("file=@{}", upload.display());
    let ran = object(&cluster.run(1, &["run", &case("large.py"), "-p", &file, "-o", "json"]), 0);
    assert_eq!(ran["status"], "completed", "{ran:#}");
    let large = run_id(&ran);
    let out = download.to_str().expect("a UTF-8 path");
    let fetched = cluster.run(2, &["runs", "result", &large, "--out", out]);
    assert!(fetched.status.success(), "{}", said(&fetched));
    let shouted: Vec<String> = (0..200).map(|n| format!("W{:02}4000", n / 10)).collect();
    let expected = format!("{}\n{}", shouted.join(","), words.join("\n"));
    assert_eq!(std::fs::read_to_string(&download).expect("it was fetched"), expected);
    let text = cluster.run(2, &["runs", "result", &large, "--node", "fill", "-o", "raw"]);
    assert_eq!(text.stdout.len(), (3 << 20) + 1, "{}", text.status);
    assert!(s3.objects(&format!("runs/{large}")).len() >= 4, "{:?}", s3.objects("runs"));

    // A parameter of several parts: sent in parts, copied by the server, fetched in parts.
    let parts = folder.path().join("parts.bin");
    let part: Vec<u8> = (0..24 << 20).map(|at: u32| (at / 7) as u8 ^ (at >> 11) as u8).collect();
    std::fs::write(&parts, &part).expect("it takes files");
    let file = format!("file=@{}", parts.display());
    let weighed = object(&cluster.run(2, &["run", &case("weigh.py"), "-p", &file, "-o", "json"]), 0);
    assert_eq!(weighed["result"], format!("{} {}", part.len(), Digest::of(&part)));

    held_by_headers(&cluster, &s3);

    // Lines go on after everything between was lost, and are read when whoever wrote them is gone.
    let run = talk_through_trouble(&cluster);
    assert_eq!(s3.objects(&format!("runs/{run}/logs")).len(), 4);
    wait_for("rows of lines that are objects are gone", || cluster.sql("SELECT count(*) FROM log_line") == "0");
    cluster.down();
    for runner in ["runner-1", "runner-2"] {
        std::fs::remove_dir_all(cluster.path().join(runner)).expect("it had a folder");
    }
    cluster.again();
    for orchestrator in [1, 2] {
        is_whole(&lines(&cluster, orchestrator, &run));
    }

    // What has ended for long enough leaves nothing behind.
    cluster.set("QFLOW_RETENTION", "1ms");
    for orchestrator in ["orchestrator-1", "orchestrator-2"] {
        cluster.kill(orchestrator);
    }
    cluster.again();
    wait_for("the bucket has nothing of a run", || s3.objects("runs").is_empty());
    let runs = object(&cluster.run(1, &["runs", "list", "-o", "json"]), 0);
    assert_eq!(runs.as_array().map(Vec::len), Some(0));
}

#[test]
fn an_outage_of_the_bucket_costs_time_and_no_attempt() {
    let Some(s3) = S3::lasting() else { return };
    let cluster = Cluster::with("process", s3.settings());
    let folder = format!("folder={}", cluster.path().display());
    let begun = cluster.run(1, &["run", &case("outage.py"), "-p", &folder, "--detach", "-o", "json"]);
    let run = run_id(&object(&begun, 0));
    let get = || object(&cluster.run(1, &["runs", "get", &run, "-o", "json"]), 0);
    let ended = |node: &Value| node["node_id"] == "fill[0]" && node["status"] == "completed";
    wait_for("one text is in the bucket", || get()["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(ended)));
    wait_for("another is made", || cluster.path().join("begun-1").exists());
    s3.stop();
    std::fs::write(cluster.path().join("go"), "").expect("the folder is ours");

    // It is told what is there, and in one line what is not.
    let lines = cluster.run(2, &["runs", "logs", &run]);
    let (out, error) = (String::from_utf8_lossy(&lines.stdout), String::from_utf8_lossy(&lines.stderr));
    assert!(out.contains("fill[1] | filling 1"), "{}", said(&lines));
    assert_eq!(lines.status.code(), Some(1), "{}", said(&lines));
    let wanted = "lines of attempts that are over cannot be had: the blob store does not answer; try again later";
    assert!(error.trim_end().ends_with(wanted) && error.trim_end().lines().count() == 1, "{error}");

    let logs = || ["runner-1", "runner-2"].map(|runner| cluster.log(runner)).concat();
    wait_for("a runner waits with a result", || logs().contains("waiting for the blob store to take its result"));
    let found = || cluster.health("").1["checks"]["blobs"].clone();
    wait_for("health says so", || found()["status"] == "unhealthy");
    let (code, health) = cluster.health("");
    assert_eq!((code, &health["status"]), (200, &"degraded".into()), "{health:#}");
    assert_eq!(found()["backend"], "s3");
    s3.again();
    let ran = object(&cluster.run(2, &["runs", "watch", &run, "-o", "json"]), 0);
    assert_eq!((&ran["status"], &ran["result"]), (&"completed".into(), &(6 * (3 << 19)).into()), "{ran:#}");
    let nodes = ran["nodes"].as_array().expect("a run has nodes");
    let elements = nodes.iter().filter(|node| node["node_id"].as_str().is_some_and(|id| id.ends_with(']')));
    let attempts: Vec<_> = elements.map(|node| node["attempts"].as_u64()).collect();
    assert_eq!(attempts, [Some(1); 12], "{ran:#}");
    let (waited, over) = (logs().matches("blob_store_awaited").count(), logs().matches("blob_store_wait_over").count());
    assert!(waited > 0 && waited == over, "{waited} {over}");
    wait_for("health says that it is there", || found()["status"] == "healthy");
}
