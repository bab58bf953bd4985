//! From an exemplar to its trace in a real Jaeger and to its lines in a real Elasticsearch; and what hangs or is gone there holds no
//! run up. Not in `make test`: `make test-stack` builds what these need first.

#[path = "support/lines.rs"]
mod lines;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use qflow_e2e::{Stack, get, object, told, wait_for, wait_seeing};
use serde_json::{Value, json};

/// One stack at a time: each is fifteen programs.
static ONE: Mutex<()> = Mutex::new(());

const CASE: &str = "crates/e2e/cases/observed.py";

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_default()
}

fn list(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// A workflow of the case, to its end.
fn run(stack: &Stack, workflow: &str, code: i32) -> Value {
    object(&stack.cluster.run(1, &["run", CASE, "-w", workflow, "-o", "json"]), code)
}

/// The spans that Jaeger has of a trace.
fn spans(stack: &Stack, trace: &str) -> Vec<Value> {
    let found = get(&format!("{}/api/traces/{trace}", stack.address("Jaeger")), &[]);
    list(&found["data"]).iter().flat_map(|trace| list(&trace["spans"])).cloned().collect()
}

/// What a client looks on by: how often is a matter of time.
const LOOKS: [&str; 4] = ["Overview", "WatchRun", "StreamLogs", "GetRun"];

/// Spans as a tree of names, siblings by name, each with its part of Qflow.
fn tree(spans: &[Value]) -> String {
    fn write(of: &str, depth: usize, children: &BTreeMap<String, Vec<&Value>>, out: &mut String) {
        for span in children.get(of).map_or(&[][..], Vec::as_slice) {
            let tag = list(&span["tags"]).iter().find(|tag| tag["key"] == "qflow.component");
            let part = tag.map_or("", |tag| text(tag, "value"));
            out.push_str(&format!("{}{} ({part})\n", "  ".repeat(depth), text(span, "operationName")));
            write(text(span, "spanID"), depth + 1, children, out);
        }
    }
    let mut children: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    let there: BTreeSet<&str> = spans.iter().map(|span| text(span, "spanID")).collect();
    let looks = |span: &Value| LOOKS.iter().any(|look| text(span, "operationName").ends_with(&format!("/{look}")));
    for span in spans.iter().filter(|span| !looks(span)) {
        let parent = list(&span["references"]).iter().find(|reference| reference["refType"] == "CHILD_OF");
        // The caller's own span is not here.
        let parent = parent.map(|parent| text(parent, "spanID")).filter(|parent| there.contains(parent));
        children.entry(parent.unwrap_or_default().to_owned()).or_default().push(span);
    }
    children.values_mut().for_each(|c| c.sort_by_key(|s| text(s, "operationName").to_owned()));
    let mut out = String::new();
    write("", 0, &children, &mut out);
    out
}

/// Events of a span, by time.
fn events(span: &Value) -> Vec<&str> {
    let mut logs: Vec<&Value> = list(&span["logs"]).iter().collect();
    logs.sort_by_key(|log| log["timestamp"].as_u64());
    let fields = logs.iter().flat_map(|log| list(&log["fields"])).filter(|field| field["key"] == "event");
    fields.map(|field| text(field, "value")).collect()
}

/// Documents of an index of Elasticsearch that a query finds.
fn documents(stack: &Stack, index: &str, query: &str) -> Vec<Value> {
    let url = format!("{}/{index}/_search", stack.address("Elasticsearch"));
    let found = get(&url, &[("q", query), ("size", "1000")]);
    list(&found["hits"]["hits"]).iter().map(|hit| hit["_source"].clone()).collect()
}

/// Events of the lines of a trace that Elasticsearch has, and what user code wrote among them.
fn lines(stack: &Stack, trace: &str) -> Vec<(String, String)> {
    let found = documents(stack, "qflow-logs", &format!("trace.id:{trace}"));
    found.iter().map(|line| (text(line, "event.action").to_owned(), text(line, "message").to_owned())).collect()
}

#[test]
fn an_exemplar_leads_to_its_trace_and_that_to_its_lines() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::start("docker", "metrics traces logs");
    let mut call = stack.cluster.qflow(1, &["run", CASE, "-w", "is_traced", "-o", "json"]);
    let called = call.env("TRACEPARENT", format!("00-{TRACE}-b7ad6b7169203331-01")).output().expect("qflow starts");
    let run = object(&called, 0);
    let trace = text(&run, "trace_id");
    assert_eq!(trace, TRACE, "the caller's trace is the run's");
    let query = "qflow_workflow_execution_duration_seconds_bucket{workflow_id=\"is_traced\"}";
    let exemplars = || {
        let now = stack.prometheus("query", &[("query", "time()")]);
        let end = text(&json!({"now": now["result"][1]}), "now").to_owned();
        let found = stack.prometheus("query_exemplars", &[("query", query), ("start", "0"), ("end", &end)]);
        let series = list(&found).iter().flat_map(|series| list(&series["exemplars"]).to_vec());
        series.map(|exemplar| text(&exemplar["labels"], "trace_id").to_owned()).collect::<Vec<_>>()
    };
    wait_for("the run's exemplar is scraped", || !exemplars().is_empty());
    assert_eq!(exemplars(), [trace], "the exemplar names the run's trace");
    wait_seeing("Jaeger has the whole trace", || tree(&spans(&stack, trace)) == TREE, || tree(&spans(&stack, trace)));
    for (name, system) in [("INSERT run", "postgresql"), ("GET", "redis")] {
        let spans = spans(&stack, trace);
        let span = spans.iter().find(|span| span["operationName"] == name).expect("it is in the tree");
        let said = list(&span["tags"]).iter().find(|tag| tag["key"] == "db.system.name");
        assert_eq!(said.map(|tag| text(tag, "value")), Some(system), "{span:#}");
    }
    let spans = spans(&stack, trace);
    let container =
        spans.iter().find(|span| span["operationName"] == "container_management").expect("it is in the tree");
    assert_eq!(events(container), ["container_created", "container_started", "container_stopped"], "{container:#}");
    let has = |event: &str, message: &str| {
        lines(&stack, trace).iter().any(|(action, said)| action == event && said.contains(message))
    };
    wait_for("Elasticsearch has the run's lines and the user's", || {
        has("workflow_start", "") && has("workflow_complete", "") && has("user_line", "splits 'one trace'")
    });
    stack.ends();
}

/// The caller's trace.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";

/// What is below the caller's span: a run of one node in a new container, with a span of the user's; the first after the start.
const TREE: &str = "\
qflow.v1.OrchestratorService/RegisterWorkflow (orchestrator)
  INSERT audit (orchestrator)
  INSERT workflow (orchestrator)
  qflow.v1.TypeValidatorService/ValidateWorkflow (orchestrator)
    qflow.v1.TypeValidatorService/ValidateWorkflow (type-validator)
      GET (type-validator)
      type_validation (type-validator)
qflow.v1.OrchestratorService/StartRun (orchestrator)
  SELECT clock (orchestrator)
  SELECT source (orchestrator)
  workflow_execution (orchestrator)
    BATCH node_run (orchestrator)
    INSERT run (orchestrator)
    PIPELINE PUBLISH (orchestrator)
    node_execution (orchestrator)
      container_management (container-runner)
      split words (container-runner)
    qflow.v1.TypeValidatorService/ValidateWorkflow (orchestrator)
      qflow.v1.TypeValidatorService/ValidateWorkflow (type-validator)
        type_validation (type-validator)
";

#[test]
fn whatever_lines_come_arrive_or_are_dead_letters() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::start("process", "logs");
    let (hostile, taken) = lines::hostile();
    let file = stack.cluster.path().join("by-hand.log");
    std::fs::write(&file, hostile.join("\n") + "\n").expect("the folder takes files");
    let of_ours = |index: &str| {
        let all = documents(&stack, index, "*:*");
        all.into_iter().filter(|document| document.to_string().contains("/by-hand")).collect::<Vec<_>>()
    };
    // As many arrive as lie in what is searched: Filebeat sends a line once more where it is not sure.
    wait_for("every line is somewhere", || {
        of_ours("qflow-logs").len() + of_ours("qflow-dead-letter").len() >= hostile.len()
    });
    let (arrived, dead) = (of_ours("qflow-logs"), of_ours("qflow-dead-letter"));
    assert_eq!(arrived.len(), taken, "what can be searched: {arrived:#?}");
    assert_eq!(dead.len(), hostile.len() - taken, "{dead:#?}");
    for letter in &dead {
        let why = [&letter["error.message"], &letter["error"]["message"]];
        assert!(why.iter().any(|why| why.as_str().is_some_and(|why| !why.is_empty())), "it says why: {letter}");
    }
    // The same lines from another file, as a rotation by copying leaves them, and one more: whatever came before it has been sent again.
    let last = json!({"@timestamp": "2026-01-01T00:00:00.000002Z", "message": "last", "event.action": "x"});
    let copy = hostile.join("\n") + "\n" + &last.to_string() + "\n";
    std::fs::write(file.with_file_name("by-hand-1.log"), copy).expect("the folder takes files");
    let sent_again = || of_ours("qflow-logs").iter().any(|line| line["message"] == "last");
    wait_for("the copy is read", || sent_again() && of_ours("qflow-dead-letter").len() == 2 * dead.len());
    assert_eq!(of_ours("qflow-logs").len(), arrived.len() + 1, "each line is there once: {:#?}", of_ours("qflow-logs"));
    lines::assert_documents(&stack);
    lines::assert_ids(&stack);
    stack.ends();
}

/// Spans that were dropped so far.
fn dropped(stack: &Stack) -> f64 {
    ["a1", "a2", "ra1", "ra2", "tva", "ha"]
        .map(|admin| stack.cluster.metric(admin, "qflow_telemetry_spans_total{outcome=\"dropped\"}"))
        .iter()
        .sum()
}

/// A run while something does not answer: it ends as ever, at the first attempt.
fn runs_on(stack: &Stack) -> Value {
    let run = run(stack, "is_traced", 0);
    assert_eq!(run["status"], "completed", "{run:#}");
    assert_eq!(run["nodes"][0]["attempts"], 1, "{run:#}");
    run
}

/// Lines of each log of the cluster's.
fn written(stack: &Stack) -> BTreeMap<String, usize> {
    let files = std::fs::read_dir(stack.cluster.path()).expect("the cluster has a folder").flatten();
    let logs = files.map(|file| file.path().display().to_string());
    let logs = logs.filter(|path| path.ends_with(".log") && path.rsplit('/').next().is_some_and(|f| f.contains('-')));
    logs.map(|path| {
        let lines = std::fs::read(&path).expect("a log reads").iter().filter(|byte| **byte == b'\n').count();
        (path, lines)
    })
    .collect()
}

/// Documents of each of these logs, of lines and of dead letters.
fn arrived(stack: &Stack, logs: &BTreeMap<String, usize>) -> BTreeMap<String, usize> {
    let count = |index: &str, field: &str, path: &str| {
        let url = format!("{}/{index}/_count", stack.address("Elasticsearch"));
        let found = get(&url, &[("q", &format!("{field}:\"{path}\""))]);
        found["count"].as_u64().unwrap_or_default() as usize
    };
    let both = |path: &String| {
        count("qflow-logs", "qflow.read.file.path", path) + count("qflow-dead-letter", "log.file.path", path)
    };
    logs.keys().map(|path| (path.clone(), both(path))).collect()
}

/// What may hang or be gone without anybody's waiting for it.
const RECEIVERS: [&str; 3] = ["elasticsearch", "jaeger", "otel-collector"];

#[test]
fn what_hangs_or_is_gone_holds_no_run_up_and_loses_no_line() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let stack = Stack::start("process", "metrics traces logs collector");
    // What failed is kept whole by the collector's tail sampling.
    let kept = |run: &Value| tree(&spans(&stack, text(run, "trace_id"))).contains("workflow_execution");
    let ended = |run: &Value| {
        let events = ["workflow_complete", "workflow_error"];
        lines(&stack, text(run, "trace_id")).iter().any(|(event, _)| events.contains(&event.as_str()))
    };
    let failed = run(&stack, "fails", 1);
    wait_for("the collector sends a failed run on", || kept(&failed));
    // And whatever was asked for, of which it keeps a tenth else.
    let asked = ["run", CASE, "-w", "is_traced", "--trace", "always", "-o", "json"];
    let asked = || object(&stack.cluster.run(1, &asked), 0);
    let three = [(); 3].map(|()| asked());
    wait_for("the collector sends on what was asked for", || three.iter().all(kept));
    assert!(dropped(&stack) < 1.0, "what is taken is not dropped");
    // The names that the rules ask a collector for are those that it has: what it sent has the same ending.
    let sent = "sum(otelcol_exporter_sent_spans_total{job=\"otel-collector\"}) > 0";
    wait_for("what the collector does is scraped", || !stack.query(sent).is_empty());
    let seen = |run: &Value| {
        let (has, lines) = (tree(&spans(&stack, text(run, "trace_id"))), lines(&stack, text(run, "trace_id")).len());
        format!("{} spans are dropped, {lines} lines are there and of spans:\n{has}", dropped(&stack))
    };

    // The same to the last field, but for when: nothing of a run is otherwise while nobody takes what it tells. That it is not slower either
    // is asserted by an order, where the exporter has an hour's patience: `a_run_completes_before_anything_that_it_told_has_left` in trace.rs.
    let taken = told(runs_on(&stack));
    for part in RECEIVERS {
        stack.signal(part, "STOP");
        assert_eq!(told(runs_on(&stack)), taken, "{part} hangs");
        let meanwhile = asked();
        stack.signal(part, "CONT");
        // The collector keeps for Jaeger what that does not take, and files what Elasticsearch does not.
        if part != "otel-collector" {
            let arrived = || kept(&meanwhile) && ended(&meanwhile);
            wait_seeing(&format!("what {part} did not take arrives"), arrived, || seen(&meanwhile));
        }
    }
    // What waited has left or was dropped once what came after it is there.
    let arrives = || {
        let after = asked();
        wait_seeing("spans arrive again", || kept(&after), || seen(&after));
    };
    arrives();

    let before = dropped(&stack);
    stack.signal("jaeger", "KILL");
    assert_eq!(told(runs_on(&stack)), taken, "Jaeger is gone");
    let meanwhile = asked();
    stack.again();
    wait_seeing("what it was not there for arrives", || kept(&meanwhile), || seen(&meanwhile));
    assert!(dropped(&stack) - before < 1.0, "a collector between them keeps what nobody takes");

    RECEIVERS.iter().for_each(|part| stack.signal(part, "STOP"));
    let hung = runs_on(&stack);
    assert_eq!(told(hung.clone()), taken, "all of them hang");
    wait_for("spans that a hung collector does not take are counted", || {
        runs_on(&stack);
        dropped(&stack) >= 1.0
    });
    let lost = "sum(qflow_telemetry_spans_total{outcome=\"dropped\"}) > 0";
    wait_for("Prometheus sees that", || !stack.query(lost).is_empty());
    RECEIVERS.iter().for_each(|part| stack.signal(part, "CONT"));
    wait_for("lines of the time in between arrive", || ended(&hung));
    arrives();

    let before = dropped(&stack);
    RECEIVERS.iter().for_each(|part| stack.signal(part, "KILL"));
    let alone = runs_on(&stack);
    assert_eq!(told(alone.clone()), taken, "all of them are gone");
    wait_for("spans that nobody is there to take are counted", || dropped(&stack) > before);
    // What it has sent and not yet noted as sent it sends once more.
    stack.signal("filebeat", "KILL");
    stack.again();
    wait_for("lines of the time without them arrive", || ended(&alone));

    stack.cluster.down();
    let written = written(&stack);
    assert!(written.len() >= 6 && written.values().all(|lines| *lines > 0), "{written:?}");
    wait_seeing(
        "every line of every log is there once",
        || arrived(&stack, &written) == written,
        || format!("of {written:?} there are {:?}", arrived(&stack, &written)),
    );
    stack.ends();
}
