//! Nodes that misbehave, in processes and in Docker: each a clear error with the right class, and neighbours unharmed.

mod support;

use std::time::Duration;

use qflow_model::{
    outcome::{Ending, Failure, Outcome},
    status::FailureClass,
};
use support::{
    failure,
    orchestrator::{Attempt, Played, given},
    produced, text,
};
use tokio::time::Instant;

const RUNTIMES: [&str; 2] = ["process", "docker"];

const NEIGHBOUR: &str = include_str!("python/neighbour.py");
const BAD: &str = include_str!("python/bad.py");
const RECORDS: &str = include_str!("python/records.py");

/// What the control plane tells of the classes above.
const CLASSES: &str = r#"{
    "User": {"name": "flow.User", "kind": "dataclass", "fields": [
        {"name": "name", "type": "str", "required": true}, {"name": "age", "type": "int", "required": true}
    ]},
    "Row": {"name": "flow.Row", "kind": "typed_dict", "fields": [{"name": "amount", "type": "float", "required": true}]},
    "Point": {"name": "flow.Point", "kind": "named_tuple", "fields": [{"name": "x", "type": "int", "required": true}]}
}"#;

/// What failed, once it is seen that the user is at fault.
fn user(outcome: &Outcome) -> &Failure {
    let failure = failure(outcome);
    assert_eq!(failure.class, Some(FailureClass::User), "{failure:?}");
    failure
}

/// A neighbour that is at work in a container of its own.
async fn neighbour(played: &mut Played) -> Attempt {
    let order = played.order(NEIGHBOUR, "neighbour", "int", &[]).await;
    let mut attempt = played.begin(&order).await;
    attempt.wrote("here").await;
    attempt
}

/// The neighbour ends as if nothing had been, and so does the next attempt of the run.
async fn unharmed(played: &mut Played, mut neighbour: Attempt) {
    assert_eq!(text(&neighbour.ended().await), "7");
    assert_eq!(text(&played.call("def f() -> int:\n    return 8\n", "f", "int").await), "8");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_lines_is_cut_at_8_mib_and_counted() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        for function in ["prints", "pours"] {
            let order = played.order(BAD, function, "int", &[]).await;
            let (outcome, lines) = played.through(&order).await;
            assert_eq!(text(&outcome), "1");
            let kept: usize = lines.iter().map(|(_, line)| line.len() + 1).sum();
            assert!((7 << 20..(8 << 20) + 200).contains(&kept), "{function} keeps {kept} bytes");
            assert_eq!(outcome.log_lines - 1 + outcome.log_lines_dropped, 1_000_000, "{function}");
            let wanted =
                format!("qflow: {} lines dropped: an attempt keeps 8 MiB of what it writes", outcome.log_lines_dropped);
            assert_eq!(lines.last().unwrap().1, wanted);
        }
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_without_a_form_is_told_by_its_path_and_type() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let outcome = played.call(BAD, "opaque", "dict").await;
        let failure = user(&outcome);
        assert_eq!(failure.error_type, "serialization");
        assert_eq!(failure.message, "result['rows'][1]: a value of type _io.TextIOWrapper has no form");
        let outcome = played.call(BAD, "wrong", "list[int]").await;
        let failure = user(&outcome);
        assert_eq!(failure.error_type, "output_type");
        assert!(failure.message.contains("[2]") && failure.message.contains("int"), "{failure:?}");
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_object_that_is_not_as_its_class_declares_is_told_by_the_path_of_its_field() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        for (function, returns, message) in [
            ("user", "User", "at .age: expected int, got str"),
            ("users", "dict[str, list[User]]", "at [\"x\"][1].name: expected str, got None"),
            ("rows", "list[Row]", "at [1]: expected Row, got dict without `amount`"),
            ("point", "None | Point", "at .x: expected int, got str"),
        ] {
            let mut order = played.order(RECORDS, function, returns, &[]).await;
            order.classes = serde_json::from_str(CLASSES).unwrap();
            let (outcome, _) = played.through(&order).await;
            let failure = user(&outcome);
            assert_eq!((failure.error_type.as_str(), failure.message.as_str()), ("output_type", message));
            // What is not known of classes is not asked for.
            order = played.order(RECORDS, function, returns, &[]).await;
            assert!(matches!(played.through(&order).await.0.ending, Ending::Completed(_)), "{function}");
        }
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_out_of_memory_is_told_so_and_its_neighbour_is_not() {
    let Some(mut played) = Played::start("docker", &[]).await else { return };
    let beside = neighbour(&mut played).await;
    let mut order = played.order(BAD, "eats", "int", &[]).await;
    order.resources.memory_bytes = 64 << 20;
    let (outcome, _) = played.through(&order).await;
    let failure = user(&outcome);
    assert_eq!(failure.error_type, "oom");
    assert!(failure.certificate.as_ref().unwrap().oom, "{failure:?}");
    unharmed(&mut played, beside).await;
    played.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fork_bomb_stays_within_its_bound_and_is_ended() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let beside = neighbour(&mut played).await;
        let mut order = played.order(BAD, "bomb", "int", &[]).await;
        order.resources.pids = 64;
        order.timeout_ms = Some(1_000);
        let (outcome, _) = played.through(&order).await;
        // A cgroup refuses further processes; where there is none they are counted.
        let wanted = if runtime == "docker" { "timeout" } else { "pids" };
        assert_eq!(user(&outcome).error_type, wanted, "{outcome:?}");
        unharmed(&mut played, beside).await;
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_attempt_leaves_behind_is_ended_and_wiped() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let first = played.call(BAD, "scatters", "int").await;
        assert_eq!(text(&first), "1");
        assert_eq!(text(&played.call(BAD, "fills", "int").await), "1");
        let last = played.call(BAD, "spared", "list[str]").await;
        assert_eq!((text(&last).as_str(), &last.container_id), ("[]", &first.container_id));
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_hear_sigterm_is_killed_after_its_grace() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let mut late = played.order(BAD, "deaf", "int", &[]).await;
        late.timeout_ms = Some(1_000);
        let cancelled = played.order(BAD, "deaf", "int", &[]).await;
        let (mut late, mut cancelled) = (played.begin(&late).await, played.begin(&cancelled).await);
        cancelled.wrote("deaf").await;
        late.wrote("deaf").await;
        let asked = Instant::now();
        played.kill(cancelled.key, "cancelled").await;
        assert_eq!(cancelled.ended().await.ending, Ending::Cancelled);
        let took = asked.elapsed();
        assert!((Duration::from_secs(5)..Duration::from_secs(8)).contains(&took), "{took:?}");
        let outcome = late.ended().await;
        assert!(matches!(outcome.ending, Ending::TimedOut(_)), "{outcome:?}");
        assert_eq!(user(&outcome).certificate.as_ref().unwrap().signal, Some(9));
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_that_breaks_its_lines_or_dies_fails_alone() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let beside = neighbour(&mut played).await;
        let cases = [
            ("garbage", "protocol", "on the attempt's channel", None, Some(9)),
            ("closes", "exit", "exited with code 1", Some(1), None),
            ("quits", "exit", "exited with code 3", Some(3), None),
            ("leaves", "SystemExit", "enough", Some(0), None),
            ("crashes", "exit", "SIGSEGV", None, Some(11)),
            ("orphans", "exit", "killed from within", None, None),
        ];
        for (function, error_type, message, code, signal) in cases {
            let outcome = played.call(BAD, function, "int").await;
            let failure = user(&outcome);
            assert_eq!(failure.error_type, error_type, "{function}: {failure:?}");
            assert!(failure.message.contains(message), "{function}: {failure:?}");
            let certificate = failure.certificate.as_ref().unwrap();
            assert_eq!((certificate.exit_code, certificate.signal), (code, signal), "{function}");
        }
        unharmed(&mut played, beside).await;
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_result_is_a_blob_of_its_own_content() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let outcome = played.call(BAD, "huge", "str").await;
        let value = &produced(&outcome).value;
        assert_eq!((value.size, value.inline.is_none()), ((10 << 20) + 2, true));
        let blob = played.folder.join(format!("blobs/runs/{}/{}", played.run, value.digest));
        assert_eq!(std::fs::metadata(blob).unwrap().len(), value.size);
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_does_not_import_fails_in_that_phase() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        for (source, message) in [
            ("import json\n\nraise RuntimeError('at import')\n", "RuntimeError: at import"),
            ("def f(:\n    pass\n", "SyntaxError"),
            ("import sys\n\nsys.exit(0)\n", "SystemExit: 0"),
        ] {
            let outcome = played.call(source, "f", "int").await;
            let failure = user(&outcome);
            assert_eq!(failure.error_type, "import");
            assert!(failure.message.contains(message), "{failure:?}");
            assert!(failure.mro.contains(&"BaseException".to_owned()), "{failure:?}");
        }
        assert_eq!(text(&played.call("def f() -> int:\n    return 8\n", "f", "int").await), "8");
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_text_in_names_lines_and_errors_does_no_harm() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let mut order = played.order(BAD, "strange", "str", &[]).await;
        order.node_id = "../../\u{202e}st\0range[0]".into();
        let (outcome, lines) = played.through(&order).await;
        let lines: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        assert!(lines.contains(&"\u{fffd}\u{fffd} bytes"), "{lines:?}");
        assert!(lines.contains(&"\u{202e}reversed \u{1b}[31m ? \0 end"), "{lines:?}");
        assert_eq!(user(&outcome).message, "? ünïcode \u{202e}");
        assert!(outcome.log.is_some() && outcome.warnings.is_empty(), "{:?}", outcome.warnings);
        let outcome = played.call(BAD, "ünïcode", "str").await;
        assert_eq!(text(&outcome), r#"{"$":"str","v":"7aCA"}"#);
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn words_without_end_are_thinned_out() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let mut order = played.order(BAD, "chatters", "int", &[]).await;
        order.resources.memory_bytes = 96 << 20;
        assert_eq!(text(&played.through(&order).await.0), "1");
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_argument_that_leads_nowhere_is_told_by_its_name() {
    let Some(mut played) = Played::start("process", &[]).await else { return };
    let mut order = played.order("def f(x: int) -> int:\n    return x\n", "f", "int", &[]).await;
    given(&mut order, "y", 1);
    let outcome = played.through(&order).await.0;
    assert_eq!(user(&outcome).error_type, "TypeError");
    assert!(user(&outcome).message.contains("'y'"), "{outcome:?}");
    played.close().await;
}

/// Environments are locked before any attempt: by the index's word, or the runner's own.
mod environments {
    use super::*;
    use qflow_model::environment::EnvSpec;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_requirement_that_does_not_exist_is_told_in_uvs_words() {
        for runtime in RUNTIMES {
            let Some(played) = Played::start(runtime, &[]).await else { continue };
            let python = *played.pythons.last().unwrap();
            for requirement in ["qflow-does-not-exist-at-all", "idna==0.0.0.1"] {
                let failure =
                    played.lock(&EnvSpec { python, requirements: vec![requirement.into()] }).await.unwrap_err();
                assert_eq!((failure.class, failure.error_type.as_str()), (Some(FailureClass::User), "environment"));
                let name = requirement.split('=').next().unwrap();
                assert!(failure.message.contains(name) && failure.message.contains("No solution"), "{failure:?}");
            }
            played.close().await;
        }
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn a_python_without_an_image_is_told_with_those_there_are() {
        for runtime in RUNTIMES {
            let Some(played) = Played::start(runtime, &[]).await else { continue };
            let failure =
                played.lock(&EnvSpec { python: "3.1".parse().unwrap(), requirements: vec![] }).await.unwrap_err();
            assert_eq!(failure.class, Some(FailureClass::Platform));
            let last = played.pythons.last().unwrap();
            assert!(
                failure.message.contains("no Python 3.1 is") && failure.message.contains(&last.to_string()),
                "{failure:?}"
            );
            played.close().await;
        }
    }
}
