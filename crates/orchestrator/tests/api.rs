//! `docs/API.md` and `docs/openapi.json` are what the code says of itself. `UPDATE=1` writes them.

use std::{collections::BTreeMap, fmt::Write as _, path::PathBuf};

use serde_json::Value;

/// How each route is called, in the order of the page: an example leaves behind what later ones need.
const EXAMPLES: [(&str, &str); 25] = [
    ("GET /whoami", "call $API/whoami"),
    ("GET /openapi.json", "call $API/openapi.json >openapi.json"),
    ("POST /workflows", "DIGEST=$(source_of examples/hello.py | call $API/workflows --json @- | field digest)"),
    ("GET /workflows", "call $API/workflows"),
    (
        "POST /runs",
        "RUN=$(call $API/runs -H 'Idempotency-Key: hello-of-today' \\\n  --json \"{\\\"digest\\\": \\\"$DIGEST\\\", \\\"parameters\\\": {\\\"name\\\": \\\"Ada\\\"}}\" | field run_id)",
    ),
    ("GET /runs/{run_id}/events", "call --no-buffer $API/runs/$RUN/events"),
    ("GET /runs/{run_id}", "call $API/runs/$RUN"),
    ("GET /runs", "call \"$API/runs?workflow=hello&status=completed&limit=10\""),
    ("GET /runs/{run_id}/logs", "call \"$API/runs/$RUN/logs?follow=true\""),
    ("GET /runs/{run_id}/result", "call $API/runs/$RUN/result"),
    ("POST /runs/{run_id}/cancel", "call -X POST $API/runs/$RUN/cancel"),
    (
        "POST /runs/{run_id}/pause",
        "RUN=$(source_of docs/examples/api/ask.py | call $API/runs --json @- | field run_id)\ncall -X POST $API/runs/$RUN/pause",
    ),
    ("POST /runs/{run_id}/resume", "call -X POST $API/runs/$RUN/resume"),
    (
        "POST /runs/{run_id}/approve",
        "call $API/runs/$RUN/approve --json '{\"approved\": true, \"comment\": \"looks good\"}'",
    ),
    (
        "POST /runs/{run_id}/retry",
        "RUN=$(source_of docs/examples/api/fails.py | call $API/runs --json @- | field run_id)\ncall --no-buffer $API/runs/$RUN/events >/dev/null\ncall -X POST $API/runs/$RUN/retry",
    ),
    ("POST /uploads", "call $API/uploads -H 'Content-Type: application/octet-stream' --data-binary @README.md"),
    ("PUT /pools/{name}", "call -X PUT $API/pools/database --json '{\"slots\": 4, \"per_minute\": 60}'"),
    ("GET /pools/{name}", "call $API/pools/database"),
    ("GET /pools", "call $API/pools"),
    ("DELETE /pools/{name}", "call -X DELETE $API/pools/database"),
    (
        "POST /tokens",
        "call $API/tokens --json '{\"user\": \"ci\", \"role\": \"author\", \"name\": \"the nightly build\", \"lifetime_seconds\": 7776000}'",
    ),
    ("GET /tokens", "TOKEN=$(call $API/tokens | field tokens 0 id)"),
    ("DELETE /tokens/{id}", "call -X DELETE $API/tokens/$TOKEN"),
    ("GET /audit", "call \"$API/audit?limit=20\""),
    ("HEAD /runs", "call --head $API/runs"),
];

const HEAD: &str = r#"# HTTP API

Everything that the command line does with a server, in JSON over HTTP/1.1 and HTTP/2, under `/api/v1` of the clients' port (7400). This page is
generated from the code, as [openapi.json](openapi.json) is (OpenAPI 3.1, also served at `/api/v1/openapi.json`); every example on it runs, in this
order, against `qflow dev`.

- **Who calls** shows `Authorization: Bearer TOKEN`: the server's own token, or one that `qflow token create` or `POST /tokens` made. Each route
  names the least role that may take it; a role may all that lower ones may (viewer, operator, author, admin). What is another tenant's is `404`.
- **Errors** are problem details (RFC 9457, `application/problem+json`) with a `code`, and the trace's id. A source that is wrong is `422`
  with every problem in `problems`: place, message, remedy. `401` nobody knows the token, `403` the role is too low, `409` it is not in a state for that,
  `429` too many runs are queued and `503` something is away: nothing was accepted, and `Retry-After` says when to try again.
- **Bodies** are JSON of at most 4 MiB, unknown names refused; uploads are streams of at most 1 GiB. Numbers keep every digit.
- **Lists** have pages: `next` of one is `cursor` of the next.
- **No browser** of another origin gets anything: there is no CORS. `qflow dev` refuses a foreign `Host` and `Origin` too.

```bash
API=$QFLOW_SERVER/api/v1
call() { curl --silent --show-error --fail-with-body -H "Authorization: Bearer $QFLOW_TOKEN" "$@"; }
source_of() { python3 -c 'import json, sys; print(json.dumps({"source": {"entry": "w.py", "files": {"w.py": open(sys.argv[1]).read()}}}))' "$1"; }
field() { python3 -c 'import json, sys
value = json.load(sys.stdin)
for name in sys.argv[1:]:
    value = value[int(name) if name.isdigit() else name]
print(value)' "$@"; }
```
"#;

fn docs(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs").join(name)
}

/// An operation of the document, by `METHOD /path`.
fn operations(document: &Value) -> BTreeMap<String, Value> {
    let paths = document["paths"].as_object().unwrap();
    let each = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (format!("{} {path}", method.to_uppercase()), operation.clone()))
    });
    each.collect()
}

/// Cells of a table: a line each.
fn line(text: &str) -> String {
    text.replace('\n', " ").replace('|', "\\|")
}

fn kind(schema: &Value) -> String {
    if let Some(name) = schema["$ref"].as_str() {
        return name.rsplit('/').next().unwrap_or(name).to_owned();
    }
    if let Some(any) = schema["oneOf"].as_array().or(schema["anyOf"].as_array()) {
        let kinds: Vec<String> = any.iter().map(kind).filter(|kind| kind != "null").collect();
        return kinds.join(" or ");
    }
    let names: Vec<String> = match &schema["type"] {
        Value::String(name) => vec![name.clone()],
        Value::Array(names) => {
            names.iter().filter_map(Value::as_str).filter(|name| *name != "null").map(str::to_owned).collect()
        }
        _ => vec!["any JSON".to_owned()],
    };
    match names.first().map(String::as_str) {
        Some("array") => format!("list of {}", kind(&schema["items"])),
        Some("object") if schema["additionalProperties"].is_object() => {
            format!("{} by name", kind(&schema["additionalProperties"]))
        }
        _ => names.join(" or "),
    }
}

fn fields(schema: &Value, page: &mut String) {
    let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    page.push_str("\n| Name | Is | |\n|---|---|---|\n");
    for (name, field) in schema["properties"].as_object().into_iter().flatten() {
        let must = if required.contains(&name.as_str()) { "required. " } else { "" };
        let told = line(field["description"].as_str().unwrap_or_default());
        writeln!(page, "| `{name}` | {} | {must}{told} |", kind(field)).unwrap();
    }
}

fn body<'a>(holder: &'a Value, document: &'a Value) -> Option<(&'a str, &'a Value)> {
    let schema = &holder["content"]["application/json"]["schema"];
    let name = schema["$ref"].as_str()?.rsplit('/').next()?;
    Some((name, &document["components"]["schemas"][name]))
}

fn one(route: &str, example: &str, operation: Option<&Value>, document: &Value, page: &mut String) {
    let (method, path) = route.split_once(' ').unwrap();
    write!(page, "\n### `{method} /api/v1{path}`\n\n").unwrap();
    let Some(operation) = operation else {
        let told = if method == "HEAD" {
            "Whatever `GET` takes: the answer's head alone. Role: as `GET`.\n"
        } else {
            "The document that describes all of this. Role: viewer.\n"
        };
        write!(page, "{told}\n```bash\n{example}\n```\n").unwrap();
        return;
    };
    let told = [&operation["summary"], &operation["description"]]
        .map(|text| text.as_str().unwrap_or_default().trim().to_owned());
    let told: Vec<String> = told.into_iter().filter(|text| !text.is_empty()).collect();
    writeln!(page, "{} Role: {}.", told.join(" "), operation["x-qflow-role"].as_str().unwrap()).unwrap();
    let parameters = operation["parameters"].as_array().into_iter().flatten();
    for parameter in parameters.filter(|parameter| parameter["in"] != "path") {
        let (place, name) = (parameter["in"].as_str().unwrap(), parameter["name"].as_str().unwrap());
        let told = parameter["description"].as_str().unwrap_or_default();
        write!(page, "\n- `{name}` ({place}) {}", line(told)).unwrap();
    }
    if operation["parameters"].as_array().is_some_and(|all| all.iter().any(|parameter| parameter["in"] != "path")) {
        page.push('\n');
    }
    if let Some((name, schema)) = body(&operation["requestBody"], document) {
        write!(page, "\nTakes `{name}`:\n").unwrap();
        fields(schema, page);
    }
    let answers = operation["responses"].as_object().unwrap().iter().filter(|(status, _)| *status != "default");
    let answers = answers.map(|(status, answer)| {
        let shape = body(answer, document).map(|(name, _)| format!(" `{name}`")).unwrap_or_default();
        let told = answer["description"].as_str().unwrap_or_default();
        let told = if told.is_empty() { String::new() } else { format!(" ({})", line(told.trim_end_matches('.'))) };
        format!("{status}{shape}{told}")
    });
    write!(page, "\nAnswers {}.\n\n```bash\n{example}\n```\n", answers.collect::<Vec<_>>().join("; ")).unwrap();
}

fn page(document: &Value) -> String {
    let (mut page, operations) = (HEAD.to_owned(), operations(document));
    page.push_str("\n## Routes\n");
    for (route, example) in EXAMPLES {
        one(route, example, operations.get(route), document, &mut page);
    }
    page.push_str("\n## Shapes of answers\n");
    for name in [
        "Run",
        "Node",
        "Started",
        "Registered",
        "Workflow",
        "Line",
        "Pool",
        "Holder",
        "Token",
        "Made",
        "Entry",
        "Who",
        "Uploaded",
        "Problem",
    ] {
        let schema = &document["components"]["schemas"][name];
        write!(page, "\n### {name}\n\n{}\n", schema["description"].as_str().unwrap_or_default()).unwrap();
        fields(schema, &mut page);
    }
    page
}

fn document() -> Value {
    serde_json::to_value(qflow_orchestrator::submit::http::document()).unwrap()
}

#[test]
fn every_route_has_an_example() {
    let shown: Vec<&str> = EXAMPLES.iter().map(|(route, _)| *route).collect();
    let missing: Vec<String> =
        operations(&document()).into_keys().filter(|route| !shown.contains(&route.as_str())).collect();
    assert!(missing.is_empty(), "{missing:?}");
}

#[test]
fn the_pages_are_what_the_code_says() {
    let document = document();
    let written = serde_json::to_string_pretty(&document).unwrap() + "\n";
    for (name, is) in [("openapi.json", written), ("API.md", page(&document))] {
        if std::env::var_os("UPDATE").is_some() {
            std::fs::write(docs(name), is).unwrap();
            continue;
        }
        let was = std::fs::read_to_string(docs(name)).unwrap_or_default();
        assert!(
            was == is,
            "docs/{name} is not what the code says: UPDATE=1 cargo test -p qflow-orchestrator --test api"
        );
    }
}
