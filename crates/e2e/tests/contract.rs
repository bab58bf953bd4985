//! What operators and users build on: the page of metrics is what the catalogue says, and what is served is what the page says; the
//! page of refusals is what the reader's snapshots say.

use std::{
    collections::BTreeSet,
    fmt::Write as _,
    io::{Read as _, Write as _},
    process::{Command, Stdio},
};

use qflow_e2e::{Home, object, root};
use qflow_telemetry::CATALOGUE;

/// The page, from the catalogue.
fn page() -> String {
    let mut page = "# Metrics\n\nGenerated from `crates/telemetry/src/catalogue.rs` by `UPDATE=1 make contract`; not edited by hand.\n\n\
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
        writeln!(page, "| `{}` | {kind} | {labels} | {} | {} | {help} |", row.name, row.max, row.owner)
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
