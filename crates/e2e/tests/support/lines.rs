//! Hostile lines of logs, and what becomes of each: a table that the pipeline of a real Elasticsearch is held to here, and Logstash's script by
//! `deploy/local/logstash-check`.

use qflow_e2e::{Stack, post, root};
use serde_json::{Value, json};

/// The table: the event in which Filebeat sends a line, and the lines with the document, its index and its id.
fn table() -> Value {
    let text = std::fs::read(root().join("deploy/elk/lines.json")).expect("the table is there");
    serde_json::from_slice(&text).expect("the table is JSON")
}

fn lines(table: &Value) -> &[Value] {
    table["lines"].as_array().map_or(&[], Vec::as_slice)
}

/// The table's lines that Filebeat reads from a file, and two that are too long for it; and of how many the index takes the document.
pub(crate) fn hostile() -> (Vec<String>, usize) {
    let table = table();
    // What Docker wrote is not in a file of ours.
    let of_files: Vec<&Value> = lines(&table).iter().filter(|line| line["event"].is_null()).collect();
    let taken = of_files.iter().filter(|line| line["index"] == "qflow-logs" && line["refused"] != true).count();
    let text = |line: &&Value| line["line"].as_str().expect("a line is a text").to_owned();
    let fine: Value = serde_json::from_str(&text(&of_files[0])).expect("the first is fine");
    let (mut long, mut many) = (fine.clone(), fine);
    long["message"] = "x".repeat(1_000_000).into();
    (0..2000).for_each(|n| many[format!("k{n}")] = n.into());
    let all = of_files.iter().map(text).chain([long.to_string(), many.to_string()]);
    (all.collect(), taken + 2)
}

/// Whether the pipeline makes of each line of the table what is written there.
pub(crate) fn assert_documents(stack: &Stack) {
    let table = table();
    let sent = |line: &Value| {
        let mut event = table["event"].clone();
        for (name, value) in line["event"].as_object().into_iter().flatten() {
            event[name] = value.clone();
        }
        event["message"] = line["line"].clone();
        json!({"_index": "qflow-logs", "_source": event})
    };
    let docs: Vec<Value> = lines(&table).iter().map(sent).collect();
    let url = format!("{}/_ingest/pipeline/qflow-logs/_simulate", stack.address("Elasticsearch"));
    let said = post(&url, &json!({"docs": docs}));
    let mut wrong = Vec::new();
    for (number, line) in lines(&table).iter().enumerate() {
        let mut made = said["docs"][number]["doc"].clone();
        if line["index"] == "qflow-dead-letter" {
            let why = made["_source"]["error"].as_object_mut().and_then(|error| error.remove("message"));
            if why.is_none_or(|why| why.as_str().is_none_or(str::is_empty)) {
                wrong.push(format!("{}: it does not say why: {made:#}", line["what"]));
            }
        }
        let is = json!({"index": made["_index"], "id": made["_id"], "document": made["_source"]});
        let wanted = json!({"index": line["index"], "id": line["id"], "document": line["document"]});
        if is != wanted {
            wrong.push(format!("{}: {is:#} and not {wanted:#}", line["what"]));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The id that the pipeline gives a line of a file, there and with what Docker says of it.
fn id(stack: &Stack, path: &str, offset: u32, line: &str, docker: Option<&str>) -> String {
    let mut event = json!({
        "@timestamp": "2026-01-01T00:00:00.000Z", "message": line, "host": {"name": "here"},
        "log": {"file": {"path": path}, "offset": offset},
    });
    if let Some(time) = docker {
        (event["@timestamp"], event["stream"]) = (time.into(), "stderr".into());
    }
    let url = format!("{}/_ingest/pipeline/qflow-logs/_simulate", stack.address("Elasticsearch"));
    let said = post(&url, &json!({"docs": [{"_index": "qflow-logs", "_source": event}]}));
    let id = said["docs"][0]["doc"]["_id"].as_str().unwrap_or_default().to_owned();
    assert_eq!(id.len(), 64, "{said:#}");
    id
}

/// What is one line has one id wherever it is read, and what are two have two.
pub(crate) fn assert_ids(stack: &Stack) {
    let line = r#"{"@timestamp": "2026-01-01T00:00:00.000001Z", "message": "fine"}"#;
    let (panic, log) = ("thread 'main' panicked at src/main.rs:1", "/c/1/1-json.log");
    let later = line.replace("01Z", "02Z");
    let of = |path, offset, line, docker| id(stack, path, offset, line, docker);
    assert_eq!(of(log, 7, line, None), of("/elsewhere", 7, line, None));
    assert_ne!(of(log, 7, line, None), of(log, 7, &later, None), "another time");
    assert_eq!(of(log, 7, panic, Some("T1")), of("/c/1/1-json.log.12", 7, panic, Some("T1")), "after a rotation");
    for (path, offset, time) in [(log, 8, "T1"), ("/c/2/2-json.log", 7, "T1"), (log, 7, "T2")] {
        assert_ne!(of(log, 7, panic, Some("T1")), of(path, offset, panic, Some(time)), "{path} {offset} {time}");
    }
}
