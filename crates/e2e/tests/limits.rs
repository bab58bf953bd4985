//! What limits and spares node runs: outputs that are kept, pools, secrets and requirements that are not there.

use qflow_e2e::{Home, object, said, wait_for};
use serde_json::{Value, json};

const RUNTIMES: [&str; 2] = ["process", "docker"];

fn run(home: &Home, file: &str, workflow: &str, more: &[&str]) -> Value {
    let path = format!("crates/e2e/cases/limits/{file}");
    let line = [&["run", &path, "-w", workflow, "-o", "json"][..], more].concat();
    object(&home.run(&line), 0)
}

/// What a call that is refused says on stderr.
fn refused(home: &Home, line: &[&str], code: i32) -> String {
    let output = home.run(line);
    assert_eq!(output.status.code(), Some(code), "{line:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn says(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "says {word:?}: {text}"));
}

fn runs(home: &Home) -> usize {
    object(&home.run(&["runs", "list", "-o", "json"]), 0).as_array().map_or(0, Vec::len)
}

/// The run of each node's value: its own, or that whose value it has.
fn made_by(run: &Value, node_id: &str) -> Value {
    let nodes = run["nodes"].as_array().expect("a list");
    let node = nodes.iter().find(|node| node["node_id"] == node_id).unwrap_or_else(|| panic!("{node_id} is in {run}"));
    if node["reused_from"].is_null() { run["run_id"].clone() } else { node["reused_from"]["run_id"].clone() }
}

/// How many of the intervals overlap at most.
fn overlap(intervals: &[(f64, f64)]) -> usize {
    let at = |point: f64| intervals.iter().filter(|(began, ended)| *began <= point && point < *ended).count();
    intervals.iter().map(|(began, _)| at(*began)).max().unwrap_or_default()
}

fn intervals(run: &Value) -> Vec<(f64, f64)> {
    let pairs = run["result"].as_array().unwrap_or_else(|| panic!("a list: {run}"));
    pairs.iter().map(|pair| (pair[0].as_f64().expect("a time"), pair[1].as_f64().expect("a time"))).collect()
}

#[test]
fn elements_that_were_made_before_are_reused_and_the_new_one_runs() {
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let _dev = home.dev();
        let first = run(&home, "cache.py", "each", &["-p", "names:=[\"a\", \"b\"]"]);
        let output = home.run(&[
            "run",
            "crates/e2e/cases/limits/cache.py",
            "-w",
            "each",
            "-o",
            "json",
            "-p",
            "names:=[\"z\", \"a\", \"b\"]",
        ]);
        let second = object(&output, 0);
        assert_eq!(second["result"][1], first["result"][0], "{runtime}: {second}");
        assert_eq!(second["result"][2], first["result"][1], "{runtime}: {second}");
        assert_eq!(made_by(&second, "stamp[0]"), second["run_id"], "{runtime}: {second}");
        assert_eq!(made_by(&second, "stamp[1]"), first["run_id"], "{runtime}: {second}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        says(&told, &[&format!("reused from run {}", first["run_id"].as_str().expect("an id"))]);

        let anew = run(&home, "cache.py", "each", &["-p", "names:=[\"a\"]", "--no-cache"]);
        assert_ne!(anew["result"][0], first["result"][0], "{runtime}: --no-cache runs it");
        let after = run(&home, "cache.py", "each", &["-p", "names:=[\"a\"]"]);
        assert_eq!(after["result"], anew["result"], "{runtime}: what --no-cache made is kept");
    }
}

#[test]
fn a_kept_output_outlives_the_blobs_of_the_run_that_made_it() {
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let _dev = home.dev();
        let first = run(&home, "cache.py", "large", &[]);
        let id = first["run_id"].as_str().expect("an id");
        std::fs::remove_dir_all(home.path().join("data/blobs/runs").join(id)).expect("the run has blobs");
        let second = run(&home, "cache.py", "large", &[]);
        assert_eq!((&second["result"], made_by(&second, "noise")), (&first["result"], first["run_id"].clone()));
        let other = run(&home, "cache.py", "large", &["-p", "size=100001"]);
        assert_ne!(other["result"], first["result"], "{runtime}: another input is another output");
    }
}

#[test]
fn code_counts_and_comments_do_not_and_failures_are_never_kept() {
    let home = Home::new("process");
    let _dev = home.dev();
    let text = std::fs::read_to_string(qflow_e2e::root().join("crates/e2e/cases/limits/cache.py")).expect("the case");
    let path = home.path().join("cache.py");
    let stamped = |text: String| {
        std::fs::write(&path, text).expect("the home takes files");
        let path = path.to_str().expect("a UTF-8 path");
        object(&home.run(&["run", path, "-w", "each", "-o", "json", "-p", "names:=[\"a\"]"]), 0)["result"].clone()
    };
    let first = stamped(text.clone());
    assert_eq!(stamped(text.replace("import os", "# why\nimport os")), first);
    assert_ne!(stamped(text.replace("[name, str(", "[name, '' + str(")), first);
    for _ in 0..2 {
        let line = ["run", "crates/e2e/cases/limits/cache.py", "-w", "failing", "-o", "json"];
        let failed = object(&home.run(&line), 1);
        assert_eq!(failed["nodes"][0]["attempts"], 1, "{failed}");
    }
}

#[test]
fn a_pool_that_is_not_there_is_a_submit_error_and_then_limits_runs_together() {
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let _dev = home.dev();
        let path = "crates/e2e/cases/limits/pools.py";
        let told = refused(&home, &["run", path, "-w", "loads", "-p", "numbers:=[1]"], 3);
        says(&told, &["pools.py:9", "`database`", "qflow pools set database --slots"]);
        assert_eq!(runs(&home), 0, "nothing is stored");

        let set = object(&home.run(&["pools", "set", "database", "--slots", "2", "-o", "json"]), 0);
        assert_eq!((&set["name"], &set["slots"], &set["held"]), (&"database".into(), &2.into(), &0.into()));
        let line = ["run", path, "-w", "loads", "-p", "numbers:=[1, 2, 3, 4, 5]", "-o", "json"];
        let beside = home.qflow(&line).spawn().expect("qflow starts");
        let output = home.run(&line);
        let beside = beside.wait_with_output().expect("qflow ends");
        let all = [intervals(&object(&output, 0)), intervals(&object(&beside, 0))].concat();
        assert_eq!(all.len(), 10);
        assert_eq!(overlap(&all), 2, "{runtime}: {all:?}");
        let told = [said(&output), said(&beside)].concat();
        says(&told, &["waiting for pool database (2 of 2 slots)"]);
    }
}

#[test]
fn holders_are_listed_and_a_cancelled_run_frees_its_slot() {
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let _dev = home.dev();
        object(&home.run(&["pools", "set", "database", "--slots", "1", "-o", "json"]), 0);
        let detached = run(&home, "pools.py", "loads", &["-p", "numbers:=[1]", "-p", "seconds=600", "--detach"]);
        let pool = || object(&home.run(&["pools", "get", "database", "-o", "json"]), 0);
        wait_for("the node holds its slot", || pool()["held"] == 1);
        let holder = pool()["holders"][0].clone();
        assert_eq!((&holder["run_id"], &holder["node_id"]), (&detached["run_id"], &"load[0]".into()), "{holder}");
        assert!(holder["since"].as_str().is_some_and(|since| since.starts_with("20")), "{holder}");
        let told = refused(&home, &["pools", "remove", "database"], 1);
        says(&told, &["held", "qflow pools get database"]);
        let id = detached["run_id"].as_str().expect("an id");
        object(&home.run(&["runs", "cancel", id, "-o", "json"]), 0);
        assert_eq!(pool()["holders"], json!([]));
        object(&home.run(&["pools", "remove", "database", "-o", "json"]), 0);
        let told = refused(&home, &["pools", "get", "database"], 2);
        says(&told, &["no pool is called `database`"]);
    }
}

#[test]
fn starts_a_minute_are_limited_and_told() {
    let home = Home::new("process");
    let _dev = home.dev();
    let set = ["pools", "set", "api", "--slots", "9", "--per-minute", "2", "-o", "json"];
    assert_eq!(object(&home.run(&set), 0)["per_minute"], 2);
    let detached = run(&home, "pools.py", "calls", &["-p", "numbers:=[1, 2, 3]", "--detach"]);
    let id = detached["run_id"].as_str().expect("an id");
    let shown = || String::from_utf8_lossy(&home.run(&["runs", "get", id]).stdout).into_owned();
    wait_for("the third waits", || shown().contains("waiting for pool api (2 of 2 starts a minute)"));
    let get = object(&home.run(&["runs", "get", id, "-o", "json"]), 0);
    assert_eq!(get["status"], "running", "{get}");
    object(&home.run(&["runs", "cancel", id, "-o", "json"]), 0);
}

#[test]
fn max_parallel_of_a_node_holds_within_a_run() {
    for runtime in RUNTIMES {
        let run = run(&Home::new(runtime), "pools.py", "few", &["-p", "numbers:=[1, 2, 3, 4, 5, 6]"]);
        assert_eq!(overlap(&intervals(&run)), 2, "{runtime}: {run}");
    }
}

#[test]
fn an_unknown_secret_is_a_submit_error_until_it_is_there() {
    let path = "crates/e2e/cases/limits/secrets.py";
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let told = refused(&home, &["run", path], 3);
        says(&told, &["secrets.py:8", "`token`", "QFLOW_SECRETS_DIR", "default/token"]);
        assert_eq!(runs(&home), 0, "nothing is stored");
        let folder = home.path().join("secrets/default");
        std::fs::create_dir_all(&folder).expect("the home takes folders");
        std::fs::write(folder.join("token"), "hunter2\n").expect("the home takes files");
        let output =
            home.qflow(&["run", path, "-o", "json"]).env("QFLOW_SECRETS_DIR", home.path().join("secrets")).output();
        let run = object(&output.expect("qflow starts"), 0);
        assert_eq!(run["result"], 7, "{run}");
    }
}

#[test]
fn a_running_server_hears_of_a_secret_that_is_put_there() {
    let home = Home::new("process");
    let folder = home.path().join("secrets/default");
    std::fs::create_dir_all(&folder).expect("the home takes folders");
    let secrets = home.path().join("secrets");
    let _dev = home.dev_with(|dev| {
        dev.env("QFLOW_SECRETS_DIR", secrets);
    });
    let line = ["run", "crates/e2e/cases/limits/secrets.py", "-o", "json"];
    refused(&home, &line, 3);
    std::fs::write(folder.join("token"), "abc").expect("the home takes files");
    wait_for("the runner tells of it", || home.run(&line).status.success());
}

#[test]
fn requirements_that_do_not_go_together_are_a_submit_error_in_uvs_words() {
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let path = "crates/e2e/cases/limits/conflict.py";
        let told = refused(&home, &["run", path, "-w", "both"], 3);
        says(&told, &["conflict.py:10", "conflict.py:2", "`newer`", "idna>=3.4", "idna<3", "cannot be resolved"]);
        assert_eq!(runs(&home), 0, "nothing is stored");
        let checked = home.run(&["validate", path]);
        assert!(checked.status.success(), "{runtime}: validate asks nobody: {}", said(&checked));
        let output = home.run(&["run", path, "-w", "one", "-o", "json"]);
        let run = object(&output, 0);
        assert!(run["result"].as_str().is_some_and(|version| version.starts_with("2.")), "{run}");
    }
}

#[test]
fn overlaps_are_counted() {
    assert_eq!(overlap(&[(0.0, 1.0), (0.5, 2.0), (1.0, 3.0)]), 2);
}
