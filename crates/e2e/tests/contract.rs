//! What operators and users build on: the page of metrics is what the catalogue says, and what is served is what the page says; the
//! page of refusals is what the reader's snapshots say.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use qflow_e2e::{Home, object, root, said, sources, wait_for};
use qflow_telemetry::CATALOGUE;

/// The page, from the catalogue.
fn page() -> String {
    let mut page = "# Metrics\n\nGenerated from `crates/telemetry/src/catalogue.rs` by `UPDATE=1 make contract`; not edited by hand.\n\n\
                    A counter or histogram whose labels are all of known values has each of its sets from the start, at 0, so that a rate \
                    misses no first\ntime. A gauge with labels has what was measured alone: at 0 it would say something. Of a row that is \
                    full, further sets have `_other`\nfor each open label, and a counter by metric counts them.\n\n\
                    | Metric | Kind | Labels | Sets at most | From | What it tells |\n|---|---|---|---|---|---|\n"
        .to_owned();
    for row in CATALOGUE {
        let label = |(name, values): &(&str, Option<&[&str]>)| match values {
            Some(values) if values.len() <= 8 => format!("`{name}` ({})", values.join(" ")),
            Some(values) => format!("`{name}` ({} values)", values.len()),
            None => format!("`{name}`"),
        };
        let labels: Vec<String> = row.labels.iter().map(label).collect();
        let kind = format!("{:?}", row.kind).to_lowercase();
        let help = row.help.trim().replace('\n', " ").replace('|', "\\|");
        let labels = labels.join(", ").replace('|', "\\|");
        writeln!(page, "| `{}` | {kind} | {labels} | {} | {} | {help} |", row.name, row.most(), row.owners.join(", "))
            .expect("a text takes lines");
    }
    page
}

#[test]
fn the_page_of_metrics_is_what_the_catalogue_says() {
    let path = root().join("docs/METRICS.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page()).expect("docs takes files");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "docs/METRICS.md is not what the catalogue says: run `UPDATE=1 make contract`");
}

/// A refusal as the reader's snapshots have it: `file:line:columns error code: message`, the excerpt, carets, and the remedy.
struct Refusal {
    code: String,
    message: String,
    written: String,
    remedy: String,
}

/// Every refusal in the snapshots of a file of the reader's tests.
fn refusals(snapshot: &str) -> Vec<Refusal> {
    let (mut found, mut lines) = (Vec::new(), snapshot.lines().peekable());
    while let Some(line) = lines.next() {
        let Some((_, told)) = line.split_once(" error ") else { continue };
        let Some((code, message)) = told.split_once(": ") else { continue };
        let (mut written, mut remedy) = (String::new(), String::new());
        while let Some(next) = lines.next_if(|next| next.starts_with("  ")) {
            match (next.strip_prefix("  → "), next.strip_prefix("  | ")) {
                (Some(text), _) => text.clone_into(&mut remedy),
                (_, Some(text)) if written.is_empty() => text.trim().clone_into(&mut written),
                _ => {}
            }
        }
        found.push(Refusal { code: code.to_owned(), message: message.to_owned(), written, remedy });
    }
    found
}

fn page_of_refusals() -> String {
    let mut page = "# Refusals\n\nGenerated from the tests of `crates/python-source` by `UPDATE=1 make contract`; not edited by hand. \
                    Each line is one that `qflow validate` tells\nwith file, line and column. [PYTHON.md](PYTHON.md) explains the language.\n\n\
                    | Code | Written | Told | Write instead |\n|---|---|---|---|\n"
        .to_owned();
    let folder = root().join("crates/python-source/tests/reading/snapshots");
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).expect("the reader has snapshots") {
        let path = entry.expect("a folder can be listed").path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("reading__refusals__") {
            all.extend(refusals(&std::fs::read_to_string(path).expect("a snapshot is a text")));
        }
    }
    assert!(all.len() > 50, "only {} refusals were found", all.len());
    all.sort_by(|a, b| (&a.code, &a.message, &a.written).cmp(&(&b.code, &b.message, &b.written)));
    // The same words about another line tell nothing new.
    all.dedup_by(|a, b| (&a.code, &a.message, &a.remedy) == (&b.code, &b.message, &b.remedy));
    let cell = |text: &str| text.replace('|', "\\|");
    let code = |text: &str| match text {
        "" => String::new(),
        text if text.contains('`') => format!("`` {} ``", cell(text)),
        text => format!("`{}`", cell(text)),
    };
    for Refusal { code: name, message, written, remedy } in &all {
        writeln!(page, "| {name} | {} | {} | {} |", code(written), cell(message), cell(remedy))
            .expect("a text takes lines");
    }
    page
}

#[test]
fn the_page_of_refusals_is_what_the_reader_says() {
    let path = root().join("docs/REFUSALS.md");
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, page_of_refusals()).expect("docs takes files");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        written == page_of_refusals(),
        "docs/REFUSALS.md is not what the reader says: run `UPDATE=1 make contract`"
    );
}

#[test]
fn every_refusal_tells_what_to_write_instead() {
    let page = page_of_refusals();
    let silent: Vec<&str> = page.lines().filter(|line| line.starts_with("| ") && line.ends_with("|  |")).collect();
    assert_eq!(silent, Vec::<&str>::new());
}

/// The body at an address `http://HOST:PORT/PATH`.
fn fetch(url: &str) -> String {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("an address");
    let mut stream = std::net::TcpStream::connect(host).expect("the admin port answers");
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("a request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer is text");
    let (head, body) = answer.split_once("\r\n\r\n").expect("an answer has a head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

#[test]
fn what_is_served_is_in_the_catalogue_and_passes_promtool() {
    let home = Home::new("process");
    let _dev = home.dev();
    object(&home.run(&["run", "examples/hello.py", "-o", "json"]), 0);
    object(&home.run(&["run", "examples/flaky.py", "-o", "json"]), 1);
    let log = std::fs::read_to_string(home.path().join("dev.log")).expect("the server writes a log");
    let url = log.split_whitespace().find(|word| word.ends_with("/metrics")).expect("the admin address is told");
    let served = fetch(url);
    let told: BTreeSet<&str> =
        served.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next()).collect();
    let known: BTreeSet<&str> = CATALOGUE.iter().map(|row| row.name).collect();
    assert_eq!(
        told.difference(&known).collect::<Vec<_>>(),
        Vec::<&&str>::new(),
        "only what the catalogue has is served"
    );
    for (name, at_least) in [
        ("qflow_workflow_executions_total{status=\"completed\"", 1.0),
        ("qflow_workflow_executions_total{status=\"failed\"", 1.0),
        ("qflow_node_retries_total{reason=\"user\"", 2.0),
        ("qflow_node_executions_total{node_type=\"python\",status=\"completed\"", 3.0),
    ] {
        let line = served.lines().filter(|line| line.starts_with(name));
        let sum: f64 = line.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        assert!(sum >= at_least, "{name} is {sum}, not {at_least} or more:\n{served}");
    }
    let mut promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is installed: deploy/local/test does it");
    promtool.stdin.take().expect("it is piped").write_all(served.as_bytes()).expect("promtool reads");
    let output = promtool.wait_with_output().expect("promtool ends");
    assert!(output.status.success(), "promtool: {}", String::from_utf8_lossy(&output.stderr));
}

/// How a name of an event stands in code: after one of these, and for a line's own after how grave it is.
const TELLS: [&str; 4] = ["Event::info(", "Event::warning(", "Event::error(", " (Level::"];

/// Names of events in a source, or what stands where one should.
fn events(source: &str) -> Vec<Result<&str, &str>> {
    let code = source.split("#[cfg(test)]\nmod").next().unwrap_or_default();
    let told = TELLS.iter().flat_map(|tells| code.match_indices(tells));
    let name = |(at, tells): (usize, &str)| {
        let mut rest = code[at + tells.len()..].trim_start();
        if tells == " (Level::" {
            rest = rest.split_once(',').map_or("", |(_, rest)| rest.trim_start());
        }
        let literal = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        literal.map(|(name, _)| name).ok_or_else(|| rest.lines().next().unwrap_or_default())
    };
    told.map(name).collect()
}

#[test]
fn every_event_is_in_the_schema_of_logs_and_every_one_there_is_told() {
    let text = std::fs::read_to_string(root().join("docs/log.schema.json")).expect("it reads");
    let schema: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    let known = schema["properties"]["event.action"]["enum"].as_array().expect("the names are listed");
    let known: BTreeSet<&str> = known.iter().filter_map(serde_json::Value::as_str).collect();
    let sources = sources();
    let ours = sources.iter().filter(|(path, _)| !path.ends_with("tests.rs") && !path.starts_with("crates/e2e/"));
    let (mut told, mut unnamed) = (BTreeSet::new(), Vec::new());
    for (path, source) in ours.filter(|(path, _)| !path.contains("/tests/") && !path.contains("/conformance/")) {
        for name in events(source) {
            match name {
                Ok(name) => drop(told.insert(name)),
                Err(instead) => unnamed.push(format!("{path}: {instead}")),
            }
        }
    }
    assert_eq!(unnamed, [""; 0], "each event has its name where it is told");
    assert_eq!(told, known, "on the left what is told, on the right what docs/log.schema.json has");
    for rule in schema["allOf"].as_array().expect("events have rules") {
        let of = rule["if"]["properties"]["event.action"]["const"].as_str().expect("a rule is of one event");
        assert!(known.contains(of), "there is a rule for {of}, and no such event");
    }
}

/// An interpreter by its answers, whose harness does not come up.
const BROKEN: &str =
    "#!/bin/sh\ncase $1 in -I) echo \"$0\"; echo 3.12.0 ;; *) echo no harness today >&2; exit 3 ;; esac\n";

#[test]
fn a_container_that_does_not_answer_is_told_as_the_schema_has_it() {
    let home = Home::new("process");
    let python = home.path().join("broken-python");
    std::fs::write(&python, BROKEN).expect("the home takes files");
    let may_run = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&python, may_run).expect("the file is ours");
    let home = home.with("QFLOW_PYTHONS", python.display().to_string()).with("QFLOW_LOG", "debug");
    let dev = home.with("QFLOW_PYTHON_VERSIONS", "3.12").with("QFLOW_LOG_FORMAT", "json");
    let _dev = dev.dev();
    let log = || std::fs::read_to_string(dev.path().join("dev.log")).expect("the server writes a log");
    wait_for("it is told", || log().contains("\"event.action\":\"container_error\""));
    // Its types are checked before anybody misses a container.
    let validated = dev.run(&["validate", "examples/hello.py"]);
    assert!(validated.status.success(), "{}", said(&validated));
    dev.run(&["run", "examples/hello.py", "-p", "name=Ada", "--detach"]);
    wait_for("that is told too", || log().contains("\"event.action\":\"type_validated\""));
    let lines: Vec<serde_json::Value> = log().lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let failed = lines.iter().find(|line| line["event.action"] == "container_error").expect("it is there");
    assert_eq!((&failed["level"], &failed["error_type"]), (&"ERROR".into(), &"no_hello".into()), "{failed:#}");
    assert!(failed["error_message"].as_str().is_some_and(|said| said.contains("no harness today")), "{failed:#}");
    assert!(failed["container_id"].is_string() && failed["python_version"] == "3.12", "{failed:#}");
    let kept = dev.path().join("lines.log");
    let all: String = lines.iter().map(|line| format!("{line}\n")).collect();
    std::fs::write(&kept, all).expect("the home takes files");
    let checked = Command::new(root().join("deploy/local/log-check")).arg(&kept).output().expect("the script starts");
    assert!(checked.status.success(), "{}", said(&checked));
}
