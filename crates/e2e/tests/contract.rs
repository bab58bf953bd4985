//! What operators build on: the page of metrics is what the catalogue says, and what is served is what the page says.

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
