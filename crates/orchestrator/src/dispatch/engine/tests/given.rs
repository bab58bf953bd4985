//! What the tests are about: plans, locks, outcomes.

use super::*;

/// A chain of `length` steps `a`, `a-2`, …, each after the one before.
pub(super) fn plan(length: u32) -> Arc<Plan> {
    plan_of(length, &json!({}))
}

/// The same of a node with further options.
pub(super) fn plan_of(length: u32, options: &serde_json::Value) -> Arc<Plan> {
    let definition = serde_json::from_value(definition(length, options)).unwrap();
    let python = ["3.11".parse().unwrap()];
    Arc::new(qflow_model::plan::plan(&definition, "w", source().digest(), &python).unwrap())
}

pub(super) fn definition(length: u32, options: &serde_json::Value) -> serde_json::Value {
    let mut node = json!({
        "name": "a", "file": "w.py", "params": [], "returns": "Any", "convert": false, "idempotent": true,
        "isolation": "run", "frames": false, "place": {"file": "w.py", "line": 1, "column": 1},
        "retry": {"retries": 0, "backoff_ms": 0, "exponential": false},
        "resources": qflow_model::definition::Resources::default(),
    });
    for (name, value) in options.as_object().into_iter().flatten() {
        node[name] = value.clone();
    }
    let id = |ix: u32| if ix == 0 { "a".to_owned() } else { format!("a-{}", ix + 1) };
    let place = json!({"file": "w.py", "line": 9, "column": 1});
    let step = |ix: u32| {
        json!({"id": id(ix), "kind": {"node": {"function": "a"}}, "arguments": [], "guards": [], "place": place,
               "after": if ix == 0 { vec![] } else { vec![ix - 1] }})
    };
    json!({
        "nodes": {"a": node},
        "workflows": {"w": {
            "name": "w", "function": "w", "params": [], "returns": "Any", "branches": [], "on_failure": "finish",
            "steps": (0..length).map(step).collect::<Vec<_>>(), "place": place,
            "result": {"result": {"step": length - 1}},
        }},
    })
}

pub(super) fn source() -> Source {
    Source { entry: "w.py".into(), files: [("w.py".into(), "…".into())].into() }
}

pub(super) fn lock(spec: &EnvSpec) -> EnvLock {
    EnvLock {
        spec: spec.digest(),
        python: spec.python,
        lock: String::new(),
        image: "/usr/bin/python".into(),
        harness: Digest::of(b""),
        uv: String::new(),
        platform: "linux/amd64".into(),
        packages: 0,
    }
}

pub(super) fn outcome(ending: Ending) -> Box<Outcome> {
    Box::new(Outcome {
        ending,
        phases: Phases::default(),
        container_id: "c".into(),
        peak_memory_bytes: 0,
        cpu_seconds: 0.0,
        log_lines: 0,
        log_lines_dropped: 0,
        log: None,
        warnings: vec![],
    })
}

pub(super) fn done() -> Box<Outcome> {
    let bytes = b"1".to_vec();
    let value = ValueRef { digest: Digest::of(&bytes), size: 1, inline: Some(bytes), items: None, attachments: vec![] };
    outcome(Ending::Completed(Box::new(Produced { value, answers: vec![] })))
}
