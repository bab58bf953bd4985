//! The architecture's promises that a reader of sources can hold: who depends on whom, and what stands where.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
    process::Command,
};

use qflow_e2e::{root, sources};

/// What each crate may depend on, besides what lies outside the workspace.
const MAY_DEPEND_ON: &[(&str, &[&str])] = &[
    ("model", &[]),
    ("types", &["model"]),
    ("proto", &["model", "types"]),
    ("python-source", &["model", "types"]),
    ("blobs", &["model"]),
    ("telemetry", &["model"]),
    ("service", &["model", "telemetry", "proto"]),
    ("orchestrator", &["model", "blobs", "types", "proto", "service", "telemetry"]),
    ("container-runner", &["model", "blobs", "types", "proto", "service", "telemetry"]),
    ("type-validator", &["model", "types", "proto", "python-source", "service", "telemetry"]),
    ("health-aggregator", &["model", "proto", "service", "telemetry"]),
    (
        "cli",
        &[
            "model",
            "types",
            "proto",
            "python-source",
            "service",
            "telemetry",
            "orchestrator",
            "container-runner",
            "type-validator",
            "health-aggregator",
        ],
    ),
    ("e2e", &["model", "proto", "telemetry"]),
    ("bench", &["model", "types", "proto", "service", "telemetry"]),
];

#[test]
fn crates_depend_in_one_direction() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("cargo metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages is a list");
    let allowed: BTreeMap<_, BTreeSet<_>> =
        MAY_DEPEND_ON.iter().map(|(name, deps)| (*name, deps.iter().copied().collect())).collect();
    assert_eq!(packages.len(), allowed.len(), "a crate is missing here");
    for package in packages {
        let name = package["name"].as_str().and_then(|n| n.strip_prefix("qflow-")).expect("crates are named qflow-*");
        let dependencies = package["dependencies"].as_array().expect("dependencies is a list");
        for dependency in dependencies.iter().filter(|d| d["kind"].is_null() || name == "e2e") {
            if let Some(dependency) = dependency["name"].as_str().and_then(|n| n.strip_prefix("qflow-")) {
                assert!(allowed[name].contains(dependency), "qflow-{name} may not depend on qflow-{dependency}");
            }
        }
    }
}

/// The code of a line: what stands before a comment.
fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or("")
}

/// Fails with every line that holds one of `words` in a file that `applies` names.
fn never(words: &[&str], why: &str, applies: impl Fn(&str) -> bool) {
    let mut found = Vec::new();
    for (path, text) in sources().into_iter().filter(|(path, _)| applies(path)) {
        for (number, line) in text.lines().enumerate() {
            if words.iter().any(|word| code(line).contains(word)) {
                found.push(format!("{path}:{}: {}", number + 1, line.trim()));
            }
        }
    }
    assert!(found.is_empty(), "{why}:\n{}", found.join("\n"));
}

#[test]
fn pure_files_contain_no_async_and_read_no_clock() {
    let pure = ["progress", "plan", "lifecycle", "verdict", "assignable"];
    let words = ["async ", ".await", "::now()", "Instant"];
    never(&words, "these files decide, and leave acting to their shell", |path| {
        Path::new(path).with_extension("").iter().any(|part| part.to_str().is_some_and(|p| pure.contains(&p)))
    });
}

#[test]
fn only_the_edge_names_wire_types() {
    // The service crate is the edge's own machinery: it names the transport, and no message.
    let words = ["qflow_proto::v1", "proto::v1", "tonic::Status", "Status::invalid", "Status::internal"];
    never(&words, "only submit.rs translates the wire", |path| {
        let edge = path.ends_with("/submit.rs") || path.contains("/submit/");
        !edge && !path.starts_with("crates/proto/") && !path.starts_with("crates/service/")
    });
}

#[test]
fn sql_stands_only_under_record() {
    let words =
        ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM ", "\"CREATE TABLE", "rusqlite::", "tokio_postgres::"];
    never(&words, "SQL belongs under record/", |path| {
        !path.contains("/record/") && path != "crates/health-aggregator/src/probe/postgres.rs"
    });
}

#[test]
fn bollard_stands_only_in_the_docker_runtime() {
    never(&["bollard::"], "bollard belongs in runtime/docker.rs", |path| !path.contains("/runtime/docker"));
}

#[test]
fn nobody_waits_for_telemetry() {
    // What leaves waits in bounded queues, which drop; a scope for a future, and a provider of spans' own thread, are no waiting.
    never(&["pub async fn", "impl Future", "blocking_send"], "work only tells, and goes on", |path| {
        path.starts_with("crates/telemetry/src/") && path != "crates/telemetry/src/traces.rs"
    });
}

#[test]
fn metrics_are_named_only_in_the_catalogue() {
    let catalogue =
        fs::read_to_string(root().join("crates/telemetry/src/catalogue.rs")).expect("the catalogue is there");
    let names: Vec<String> = catalogue
        .split('"')
        .filter(|t| t.starts_with("qflow_") && t.bytes().all(|b| b == b'_' || b.is_ascii_lowercase()))
        .map(|name| format!("\"{name}\""))
        .collect();
    assert!(names.len() >= 15, "the catalogue has rows");
    let words: Vec<&str> = names.iter().map(String::as_str).collect();
    never(&words, "a metric is named in the catalogue alone", |path| {
        path != "crates/telemetry/src/catalogue.rs" && !path.starts_with("crates/e2e/")
    });
}

#[test]
fn what_deploy_sets_of_a_service_is_a_setting() {
    let read = |file: &str| fs::read_to_string(root().join("deploy").join(file)).expect("it is there");
    let (compose, images) = (read("compose.yml"), read("images/Dockerfile"));
    let set = compose.lines().filter_map(|line| line.trim().split_once(": ")).map(|(name, _)| name);
    let set = set.chain(images.split_whitespace().filter_map(|word| word.split_once('=')).map(|(name, _)| name));
    let set: BTreeSet<String> =
        set.filter(|name| name.starts_with("QFLOW_")).map(|name| format!("\"{name}\"")).collect();
    assert!(set.len() >= 20, "services are told much: {set:?}");
    let sources = sources();
    let unknown: Vec<_> = set.iter().filter(|name| !sources.iter().any(|(_, text)| text.contains(*name))).collect();
    assert!(unknown.is_empty(), "no program reads {unknown:?}");
}
