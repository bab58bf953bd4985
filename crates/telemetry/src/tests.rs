use std::process::{Command, Stdio};

use super::*;
use crate::labels::{Dependency, NodeStatus, NodeType, Open, Truth};

fn run() -> RunRef {
    let trace = Some(TraceContext::root());
    RunRef { run_id: "r1".into(), workflow: "etl".into(), user_id: "u".into(), python_version: "3.11".into(), trace }
}

fn ended(status: qflow_model::status::RunStatus) -> Event {
    Event::RunEnded { run: run(), status, took_ms: 1500, error: None }
}

fn promtool_accepts(text: &str) {
    let mut promtool = Command::new("promtool");
    let started = promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        assert!(std::env::var_os("QFLOW_REQUIRE_PROMTOOL").is_none(), "promtool is required, and not installed");
        return;
    };
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    // The seed's public name `_percent` is not a base unit, and stays.
    assert!(out.status.success(), "{said}");
}

#[test]
fn the_rendered_text_passes_promtool_and_bounded_series_stand_at_zero() {
    let telemetry = Telemetry::silent();
    telemetry.emit(ended(qflow_model::status::RunStatus::Completed));
    let (kind, text) = telemetry.render(None);
    assert!(kind.starts_with("text/plain"));
    let failed = r#"qflow_workflow_executions_total{status="failed",python_version="3.8"} 0"#;
    assert!(text.contains(failed), "{text}");
    let done = r#"qflow_workflow_executions_total{status="completed",python_version="3.11"} 1"#;
    assert!(text.contains(done), "{text}");
    assert!(text.contains(r#"qflow_build_info{service="test",version="0"} 1"#), "{text}");
    promtool_accepts(&text);
}

#[test]
fn a_service_exports_the_rows_that_it_feeds_and_no_others() {
    let of = |service| {
        let config = TelemetryConfig { service, ..TelemetryConfig::test() };
        let telemetry = Telemetry::writing(config, Box::new(std::io::sink()));
        telemetry.emit(ended(qflow_model::status::RunStatus::Completed));
        telemetry.metrics().container_cpu_seconds().add(1.0);
        telemetry.metrics().dependency_up(Dependency::of("redis"), Truth::of("false")).set(1.0);
        telemetry.metrics().type_validation(crate::labels::Validation::of("value")).record(0.1);
        let text = telemetry.render(None).1;
        let row = |def: &&&define::MetricDef| {
            text.lines().any(|line| {
                line.split(['{', ' ']).any(|word| word == def.name || word == format!("{}_count", def.name))
            })
        };
        CATALOGUE.iter().filter(row).map(|def| def.name).collect::<std::collections::BTreeSet<_>>()
    };
    let owned = |service: &str| {
        CATALOGUE.iter().filter(|def| def.is_of(service)).map(|def| def.name).collect::<std::collections::BTreeSet<_>>()
    };
    for service in
        ["qflow-orchestrator", "qflow-container-runner", "qflow-type-validator", "qflow-health-aggregator", "qflow-dev"]
    {
        let told = of(service);
        assert!(
            told.is_subset(&owned(service)),
            "{service}: {:?}",
            told.difference(&owned(service)).collect::<Vec<_>>()
        );
        let there_from_the_start = |def: &&&define::MetricDef| {
            def.kind == define::Kind::Counter && def.labels.iter().all(|(_, values)| values.is_some())
        };
        for def in CATALOGUE.iter().filter(there_from_the_start).filter(|def| def.most() <= def.max) {
            assert_eq!(told.contains(def.name), def.is_of(service), "{service}: {}", def.name);
        }
    }
    let shared = CATALOGUE.iter().filter(|def| def.owners.len() > 1).map(|def| def.name);
    let told = of("qflow-container-runner");
    assert!(shared.clone().count() > 0 && shared.into_iter().all(|name| told.contains(name)), "{told:?}");
    let all: std::collections::BTreeSet<_> = CATALOGUE.iter().map(|def| def.name).collect();
    assert_eq!(owned("qflow-dev"), all);
}

#[test]
fn what_objectives_count_is_there_before_the_first_failure() {
    let telemetry = Telemetry::silent();
    let zero = [
        r#"qflow_workflow_failures_by_class_total{failure_class="platform"} 0"#,
        "qflow_rpc_server_faults_total 0",
        r#"qflow_type_compatibility_checks_total{source_type="Any",target_type="Any",compatible="true"} 0"#,
    ];
    let text = telemetry.render(None).1;
    zero.iter().for_each(|line| assert!(text.contains(line), "{line}: {text}"));
    for (server, code) in [(true, "UNAVAILABLE"), (true, "NOT_FOUND"), (false, "INTERNAL"), (true, "INTERNAL")] {
        telemetry.rpc(server, "m", code, 0.1, None);
    }
    assert!(telemetry.render(None).1.contains("qflow_rpc_server_faults_total 2"));
}

#[test]
fn without_metrics_nothing_is_kept_and_no_series_is_told() {
    let telemetry = Telemetry::deaf();
    telemetry.emit(ended(qflow_model::status::RunStatus::Completed));
    telemetry.metrics().container_cpu_seconds().add(1.0);
    telemetry.collect(|metrics| metrics.build_info(Open::of("a"), Open::of("b")).set(1.0));
    let (_, text) = telemetry.render(Some("application/openmetrics-text"));
    assert!(text.lines().all(|line| line.is_empty() || line.starts_with('#')), "{text}");
    assert!(telemetry.shared.recorded.exemplars.lock().unwrap().is_empty());
}

#[test]
fn an_exemplar_names_the_trace_in_its_bucket_and_openmetrics_ends() {
    let telemetry = Telemetry::silent();
    let event = ended(qflow_model::status::RunStatus::Completed);
    let Event::RunEnded { run, .. } = &event else { unreachable!() };
    let trace = run.trace.clone().unwrap().trace_id;
    telemetry.emit(event);
    let (kind, text) = telemetry.render(Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5"));
    assert!(kind.starts_with("application/openmetrics-text"));
    let line = text.lines().find(|l| l.contains(&trace)).expect("an exemplar");
    assert!(
        line.starts_with("qflow_workflow_execution_duration_seconds_bucket{") && line.contains(r#"le="2.5""#),
        "{line}"
    );
    assert!(text.ends_with("# EOF\n") && text.contains("# TYPE qflow_workflow_executions counter"));
}

#[test]
fn a_thousand_names_stay_within_the_bound_and_are_counted() {
    let telemetry = Telemetry::silent();
    for n in 0..1000 {
        let handle = telemetry.metrics().node_duration(
            NodeType::of("python"),
            Open::of(&format!("n{n}")),
            NodeStatus::of("failed"),
        );
        handle.record(0.1);
    }
    let (_, text) = telemetry.render(None);
    let series = text.lines().filter(|l| l.starts_with("qflow_node_execution_duration_seconds_count")).count();
    assert_eq!(series, 201);
    assert!(text.contains(r#"node_id="_other""#));
    for line in [
        "qflow_telemetry_label_overflow_total{metric=\"qflow_node_execution_duration_seconds\"} 800\n",
        "qflow_telemetry_label_overflow_total{metric=\"qflow_workflow_execution_duration_seconds\"} 0\n",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

#[test]
fn a_row_of_closed_labels_keeps_its_bound_too() {
    let telemetry = Telemetry::silent();
    let types = ["Any", "None", "bool", "int", "float", "str", "bytes", "list", "tuple", "dict", "set", "Union"];
    for (from, to) in types.iter().flat_map(|from| types.iter().map(move |to| (from, to))) {
        telemetry.metrics().type_conversion(labels::TypeName::of(from), labels::TypeName::of(to)).record(0.1);
    }
    let (_, text) = telemetry.render(None);
    let sets = text.lines().filter(|l| l.starts_with("qflow_type_conversion_duration_seconds_count")).count();
    assert_eq!(sets, 46);
}

#[test]
fn containers_that_are_gone_make_room_and_have_no_series() {
    let telemetry = Telemetry::silent();
    let cpu = |n: u32| telemetry.metrics().container_cpu(Open::of(&format!("c{n}")), labels::Python::of("3.11"));
    for n in 0..1000 {
        cpu(n).set(50.0);
        if n >= 2 {
            cpu(n - 2).clear();
        }
    }
    let (_, text) = telemetry.render(None);
    let series: Vec<&str> = text.lines().filter(|l| l.starts_with("qflow_container_cpu_usage_percent{")).collect();
    let of = |n| format!("qflow_container_cpu_usage_percent{{container_id=\"c{n}\",python_version=\"3.11\"}} 50");
    assert_eq!(series, [of(998), of(999)]);
    let overflow = "qflow_telemetry_label_overflow_total{metric=\"qflow_container_cpu_usage_percent\"} 0\n";
    assert!(text.contains(overflow), "{text}");
    promtool_accepts(&text);
}

#[test]
fn all_rows_together_stay_within_twenty_thousand_series() {
    let lines = |def: &define::MetricDef| if def.buckets.is_empty() { 1 } else { def.buckets.len() + 3 };
    let sum: usize = CATALOGUE.iter().map(|def| def.most() * lines(def)).sum();
    assert!(sum <= 20_000, "{sum}");
}

#[test]
fn what_counts_sets_without_room_has_room_for_every_row_that_may_lack_it() {
    let rows = CATALOGUE.iter().filter(|def| def.overflows() && def.name != catalogue::OVERFLOW).count();
    let of_itself = CATALOGUE.iter().find(|def| def.name == catalogue::OVERFLOW).unwrap();
    assert!(rows <= of_itself.max, "{rows}");
}

#[test]
fn a_line_is_one_json_object_with_the_keys_of_ecs_and_of_the_seed() {
    let shelf = Shelf::default();
    let telemetry = Telemetry::writing(TelemetryConfig::test(), Box::new(shelf.clone())).component("orchestrator");
    telemetry.emit(ended(qflow_model::status::RunStatus::Cancelled));
    telemetry.emit(Event::info("odd", "two\nlines \u{202e}").with("message", "cannot replace it").with("n", 3));
    telemetry.shutdown();
    let text = shelf.text();
    let lines: Vec<serde_json::Value> = text.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    assert_eq!(lines.len(), 2);
    for key in [
        "@timestamp",
        "log.level",
        "message",
        "ecs.version",
        "service.name",
        "event.action",
        "trace.id",
        "timestamp",
        "level",
        "module",
        "event_type",
        "workflow_id",
        "user_id",
        "python_version",
        "duration_ms",
        "status",
    ] {
        assert!(lines[0].get(key).is_some(), "{key}: {}", lines[0]);
    }
    assert_eq!((&lines[0]["event_type"], &lines[0]["level"]), (&"workflow_cancelled".into(), &"WARNING".into()));
    assert_eq!(lines[1]["message"], "two\nlines \u{202e}");
    assert_eq!(lines[1]["n"], 3);
}

#[tokio::test]
async fn a_line_names_the_span_in_which_it_is_told_unless_it_is_anothers() {
    let shelf = Shelf::default();
    let telemetry = Telemetry::writing(TelemetryConfig::test(), Box::new(shelf.clone()));
    let (around, own) = (TraceContext::root(), ended(qflow_model::status::RunStatus::Completed));
    let Event::RunEnded { run: RunRef { trace: Some(of_run), .. }, .. } = own.clone() else { unreachable!() };
    telemetry.emit(Event::info("outside", "of any span"));
    traces::within(Some(around.clone()), async {
        telemetry.emit(Event::info("inside", "of a span"));
        telemetry.emit(own);
    })
    .await;
    telemetry.shutdown();
    let ids = |line: &str| {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        ["trace.id", "span.id"].map(|key| line[key].as_str().unwrap_or_default().to_owned())
    };
    let of = |span: TraceContext| [span.trace_id, span.span_id];
    let told: Vec<_> = shelf.text().lines().map(ids).collect();
    assert_eq!(told, [[String::new(), String::new()], of(around), of(of_run)]);
}

#[test]
fn a_trace_that_is_to_be_kept_says_so_before_what_others_say_and_once() {
    let of = |state: &str| TraceContext { sampled: false, tracestate: state.into(), ..TraceContext::root() }.kept();
    for (before, after) in
        [("", "qflow=keep"), ("a=1, b=2", "qflow=keep,a=1,b=2"), ("a=1,qflow=drop,qflow=keep", "qflow=keep,a=1")]
    {
        assert_eq!((of(before).tracestate.as_str(), of(before).sampled), (after, true));
    }
    let full = (0..32).map(|n| format!("v{n}=1")).collect::<Vec<_>>().join(",");
    assert_eq!(of(&full).tracestate.split(',').count(), 32, "no list has more");
}

#[test]
fn a_traceparent_reads_back_and_a_wrong_one_does_not_read() {
    let context = TraceContext::root();
    assert_eq!(TraceContext::parse(&context.traceparent()).as_ref(), Some(&context));
    let zeros = format!("00-{}-{}-01", "0".repeat(32), "1".repeat(16));
    for wrong in ["", "00-x-y-01", zeros.as_str(), "ff-0123456789abcdef0123456789abcdef-0123456789abcdef-01"] {
        assert!(TraceContext::parse(wrong).is_none(), "{wrong}");
    }
    let mut headers = http::HeaderMap::new();
    traces::inject(&mut headers, &context);
    assert_eq!(traces::extract(&headers), Some(context));
}

#[test]
fn a_dependency_is_labelled_by_its_name() {
    let telemetry = Telemetry::silent();
    telemetry.metrics().dependency_up(Dependency::of("database"), Truth::of("true")).set(1.0);
    assert!(telemetry.render(None).1.contains(r#"qflow_dependency_up{dependency="database",critical="true"} 1"#));
}

#[tokio::test]
async fn the_process_and_its_runtime_are_told_when_asked_for() {
    let telemetry = Telemetry::silent();
    telemetry.collect(|metrics| metrics.health_check_age(Dependency::of("redis")).set(4.5));
    let (_, text) = telemetry.render(None);
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("{name}: {text}")).parse::<f64>().unwrap()
    };
    for positive in [
        "process_resident_memory_bytes",
        "process_virtual_memory_bytes",
        "process_open_fds",
        "process_threads",
        "process_start_time_seconds",
        "tokio_workers",
    ] {
        assert!(value(positive) > 0.0, "{positive}");
    }
    assert!(value("process_cpu_seconds_total") >= 0.0 && value("tokio_busy_seconds_total") >= 0.0);
    assert!(text.contains("qflow_health_check_age_seconds{dependency=\"redis\"} 4.5\n"), "{text}");
    let (_, open) = telemetry.render(Some("application/openmetrics-text"));
    assert!(open.contains("# TYPE process_cpu_seconds counter\nprocess_cpu_seconds_total "), "{open}");
    promtool_accepts(&text);
}

/// Takes nothing: a pipe that nobody reads.
struct Closed;

impl Write for Closed {
    fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
        Err(std::io::ErrorKind::BrokenPipe.into())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_line_that_nobody_reads_is_counted_as_dropped() {
    let telemetry = Telemetry::writing(TelemetryConfig::test(), Box::new(Closed));
    telemetry.emit(Event::info("odd", "lost"));
    telemetry.shutdown();
    let (_, text) = telemetry.render(None);
    for line in [
        r#"qflow_telemetry_log_lines_total{outcome="sent"} 0"#,
        r#"qflow_telemetry_log_lines_total{outcome="dropped"} 1"#,
        "qflow_log_lines_dropped_total 1",
    ] {
        assert!(text.contains(line), "{line}: {text}");
    }
}

/// Holds what is written until the sender is gone, and says of it first.
struct Stuck(std::sync::mpsc::Receiver<()>, std::sync::mpsc::Sender<Vec<u8>>);

impl Write for Stuck {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let _ = self.1.send(bytes.to_vec());
        let _ = self.0.recv();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_reader_that_is_stuck_holds_up_nobody_and_the_lines_past_the_bound_are_counted() {
    let (release, stuck) = std::sync::mpsc::channel();
    let (says, writes) = std::sync::mpsc::channel();
    let telemetry = Telemetry::writing(TelemetryConfig::test(), Box::new(Stuck(stuck, says)));
    for _ in 0..10_000 {
        telemetry.emit(Event::info("odd", "waits"));
    }
    let dropped = |text: &str| {
        let line = text.lines().find_map(|l| l.strip_prefix("qflow_log_lines_dropped_total "));
        line.unwrap().parse::<u64>().unwrap()
    };
    // The writer holds what it writes together, 64 KiB and a line at most, besides those that wait.
    let written = writes.recv().unwrap();
    let held = String::from_utf8_lossy(&written).lines().count() as u64;
    let line = written.len() as u64 / held;
    assert!(written.len() as u64 <= 64 * 1024 + line, "{}", written.len());
    let lost = dropped(&telemetry.render(None).1);
    assert!((10_000 - 8192 - held..=10_000 - 8192).contains(&lost), "{lost} with {held} held");
    drop(release);
    telemetry.shutdown();
    let sent = format!("qflow_telemetry_log_lines_total{{outcome=\"sent\"}} {}", 10_000 - lost);
    assert!(telemetry.render(None).1.contains(&sent), "{sent}");
}
