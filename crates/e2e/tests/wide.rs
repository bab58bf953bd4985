//! A frame of 200 MB from one node to another: it arrives as it was, and goes through no orchestrator.

use qflow_e2e::{Cluster, object, root, said};
use serde_json::Value;

/// Rows of 200 bytes.
const ROWS: u64 = 1_000_000;
/// KiB that an orchestrator's peak may grow by: what it holds anyway comes and goes, the frame is four times that.
const ORCHESTRATOR_KIB: u64 = 48 << 10;
/// KiB that a runner's peak may grow by: the parts that it reads and writes at once, as docs/BLOBS.md has them.
const RUNNER_KIB: u64 = 64 << 10;

#[test]
fn a_frame_of_200_mb_travels_by_reference() {
    let cluster = Cluster::start("process");
    let file = root().join("crates/e2e/cases/between/wide.py").display().to_string();
    let run = |rows: u64| {
        let output = cluster.run(1, &["run", &file, "-p", &format!("rows={rows}"), "-o", "json"]);
        let ran = object(&output, 0);
        assert_eq!(ran["status"], "completed", "{ran:#}");
        let [found, expected] = ran["result"].as_array().map(Vec::as_slice).unwrap_or_default() else {
            panic!("two are told: {}", said(&output))
        };
        assert_eq!(found, expected, "the frame is what it was");
        found.as_str().unwrap_or_default().to_owned()
    };
    // What a process has after its first run it keeps.
    run(1_000);
    let all = ["orchestrator-1", "orchestrator-2", "runner-1", "runner-2"];
    let before = all.map(|name| cluster.peak_kib(name));
    let told = run(ROWS);
    assert!(told.contains(&format!(" {ROWS} {} ", ROWS * 200)), "{told}");
    for (name, before) in all.into_iter().zip(before) {
        let grown = cluster.peak_kib(name) - before;
        println!("{name}: {before} KiB before, {grown} KiB more at its peak");
        let most = if name.starts_with("orchestrator") { ORCHESTRATOR_KIB } else { RUNNER_KIB };
        assert!(grown < most, "{name} has grown by {grown} KiB");
    }
    // It lies in the store once.
    let large: Vec<u64> = sizes(&cluster).into_iter().filter(|size| *size > ROWS * 150).collect();
    assert_eq!(large.len(), 1, "{large:?}");
    let runs: Value = object(&cluster.run(2, &["runs", "list", "-o", "json"]), 0);
    assert_eq!(runs.as_array().map(Vec::len), Some(2));
}

/// Bytes of each file of the store.
fn sizes(cluster: &Cluster) -> Vec<u64> {
    let mut folders = vec![cluster.path().join("blobs")];
    let mut sizes = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
            match entry.metadata() {
                Ok(found) if found.is_dir() => folders.push(entry.path()),
                Ok(found) => sizes.push(found.len()),
                // It has gone meanwhile.
                Err(_) => {}
            }
        }
    }
    sizes
}
