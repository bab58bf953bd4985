//! The type-validator as a program: each of its calls over the wire, what it refuses, its spans and its metrics.

#[path = "support/spans.rs"]
mod spans;

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
};

use opentelemetry_proto::tonic::{common::v1::any_value, trace::v1::Span};
use qflow_e2e::{Dev, program, said, wait_seeing};
use qflow_proto::v1::{
    CheckEdgeRequest, CheckEdgeResponse, DescribeTypeRequest, InferSignaturesRequest, Source, SourceFile, ValueRequest,
    ValueResponse, type_validator_service_client::TypeValidatorServiceClient,
};
use serde_json::{Value, json};
use spans::Receiver;
use tokio::runtime::Runtime;
use tonic::{Code, Request, Status, transport::Channel};

/// The caller's trace, and its span there.
const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const TRACEPARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

type Client = TypeValidatorServiceClient<Channel>;

/// A running validator, killed when dropped.
struct Validator {
    client: Client,
    admin: String,
    _program: Dev,
}

impl Validator {
    async fn start(spans: &str) -> Self {
        let listen = ["--type-validator-listen", "127.0.0.1:0", "--type-validator-admin", "127.0.0.1:0"];
        let mut started = Command::new(program().with_file_name("qflow-type-validator"))
            .args(listen)
            .env("OTEL_EXPORTER_OTLP_ENDPOINT", spans)
            .env("QFLOW_LOG_FORMAT", "json")
            .env_remove("QFLOW_SERVICE_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .expect("it starts");
        let lines = BufReader::new(started.stdout.take().expect("it is piped")).lines();
        let (mut grpc, mut admin) = (None, None);
        for line in lines.map_while(Result::ok) {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            let address = line["address"].as_str().map(str::to_owned);
            match line["listener"].as_str() {
                Some("grpc") => grpc = address,
                Some("admin") => admin = address,
                _ => {}
            }
            if grpc.is_some() && admin.is_some() {
                break;
            }
        }
        let url = format!("http://{}", grpc.expect("it tells where it listens"));
        let client = Client::connect(url).await.expect("it answers");
        Self { client, admin: admin.expect("it tells its admin port"), _program: Dev(started) }
    }

    async fn edge(&mut self, source: &str, target: &str) -> Result<CheckEdgeResponse, Status> {
        let asked = CheckEdgeRequest { source_type: source.to_owned(), target_type: target.to_owned() };
        self.client.check_edge(traced(asked)).await.map(tonic::Response::into_inner)
    }

    /// A metric's series, by the labels that they must have.
    fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let url = format!("http://{}/metrics", self.admin);
        let output = Command::new("curl").args(["-fsS", "--noproxy", "*", &url]).output().expect("curl starts");
        assert!(output.status.success(), "{}", said(&output));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let series = text.lines().filter(|line| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        });
        series.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
    }
}

fn traced<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("traceparent", TRACEPARENT.parse().expect("it is of ASCII"));
    request
}

fn value(json: &[u8], ty: &str, tagged: bool) -> Request<ValueRequest> {
    traced(ValueRequest { value_json: json.to_vec(), r#type: ty.to_owned(), tagged })
}

fn told(answer: ValueResponse) -> (bool, String, String, String) {
    (answer.ok, String::from_utf8(answer.value_json).expect("UTF-8"), answer.reason, answer.path)
}

fn read(json: &[u8]) -> Value {
    serde_json::from_slice(json).expect("JSON")
}

fn source(entry: &str, text: &str) -> InferSignaturesRequest {
    let file = SourceFile { path: "a.py".to_owned(), text: text.to_owned() };
    InferSignaturesRequest { source: Some(Source { entry: entry.to_owned(), files: vec![file] }) }
}

fn assert_refused<T: std::fmt::Debug>(answer: Result<T, Status>, why: &str) {
    let status = answer.expect_err("it is refused");
    assert_eq!((status.code(), status.message()), (Code::InvalidArgument, why));
}

#[test]
fn every_call_answers_over_the_wire_and_says_what_is_wrong() {
    let (receiver, calls) = (Receiver::start(), Runtime::new().expect("a runtime starts"));
    let mut validator = calls.block_on(Validator::start(&receiver.url));
    calls.block_on(async {
        edges(&mut validator).await;
        values(&mut validator.client).await;
        types(&mut validator.client).await;
        signatures(&mut validator.client).await;
    });

    let edges = "qflow_type_compatibility_checks_total";
    assert!((validator.metric(edges, &["source_type=\"list\"", "compatible=\"true\""]) - 1.0).abs() < 0.1);
    assert!(
        (validator.metric(edges, &["source_type=\"str\"", "target_type=\"int\"", "compatible=\"false\""]) - 1.0).abs()
            < 0.1
    );
    let took = "qflow_type_validation_duration_seconds_count";
    assert!((validator.metric(took, &["validation_type=\"edge\""]) - 3.0).abs() < 0.1);
    assert!((validator.metric(took, &["validation_type=\"value\""]) - 6.0).abs() < 0.1);

    let ours = || {
        let spans = receiver.of(TRACE).into_iter().filter(|span| span.name == "type_validation");
        spans.map(|span| validated(&span)).collect::<Vec<_>>()
    };
    let expected = [
        ("list", "Sequence", true),
        ("str", "int", false),
        ("list", "list", true),
        ("list", "list", false),
        ("tuple", "tuple", false),
    ];
    let has = |(source, target, compatible): &(&str, &str, bool)| {
        ours().iter().any(|told| (told.0.as_str(), told.1.as_str(), told.2) == (*source, *target, *compatible))
    };
    wait_seeing("all spans come", || expected.iter().all(has), || format!("{:?}", ours()));
}

/// A span's types and whether they go; all that the seed has on it is there.
fn validated(span: &Span) -> (String, String, bool) {
    let events: Vec<&str> = span.events.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(events, ["validation_start", "validation_complete"]);
    let fact = |key: &str| {
        let found = span.attributes.iter().find(|attribute| attribute.key == key);
        found.and_then(|attribute| attribute.value.clone()?.value).unwrap_or_else(|| panic!("{key} is told"))
    };
    // One for each edge, as JSON.
    let types = |key: &str| match fact(key) {
        any_value::Value::StringValue(types) => read(types.as_bytes())[0].as_str().unwrap_or_default().to_owned(),
        other => panic!("{key} is a text: {other:?}"),
    };
    (types("source_type"), types("target_type"), fact("compatible") == any_value::Value::BoolValue(true))
}

async fn edges(validator: &mut Validator) {
    let answer = validator.edge("list[bool]", "t.Sequence[float]").await.expect("an answer");
    assert_eq!((answer.compatible, answer.reason.as_str(), answer.conversion.as_str()), (true, "", "as_it_is"));
    let answer = validator.edge("str", "int").await.expect("an answer");
    assert_eq!(
        (answer.compatible, answer.reason.as_str(), answer.conversion.as_str()),
        (false, "str is not int", "may_fail")
    );
    let answer = validator.edge("tuple[int, int, int]", "tuple[int, int]").await.expect("an answer");
    assert_eq!(answer.reason, "tuple length 3 ≠ 2");
    let remedy = "write a type such as list[dict[str, float]]";
    assert_refused(
        validator.edge("list[", "int").await,
        &format!("`list[` is not a type: the text is not a type: unexpected EOF while parsing; {remedy}"),
    );
    let why = "`Lisst[int]` is not a type: no type `Lisst` here; import it, or define it at the top level";
    assert_refused(validator.edge("int", "Lisst[int]").await, why);
    let deep = format!("{}int{}", "list[".repeat(5_000), "]".repeat(5_000));
    let refused = validator.edge(&deep, "int").await.expect_err("it is too deep");
    assert!(refused.message().contains("a type nested deeper than 200"));
}

async fn values(client: &mut Client) {
    let answer =
        client.convert_value(value(b"[\"1\", 36893488147419103233]", "list[int]", true)).await.expect("an answer");
    let made = "[1,{\"$\":\"int\",\"v\":\"36893488147419103233\"}]";
    assert_eq!(told(answer.into_inner()), (true, made.to_owned(), String::new(), String::new()));
    let answer =
        client.convert_value(value(b"[{\"price\": \"x\"}]", "list[dict[str, float]]", false)).await.expect("an answer");
    let (ok, json, reason, path) = told(answer.into_inner());
    assert_eq!(
        (ok, json.as_str(), reason.as_str(), path.as_str()),
        (false, "", "expected float, got 'x'", "[0][\"price\"]")
    );
    let answer = client.convert_value(value(b"\"2026-11-24\"", "date", false)).await.expect("an answer");
    assert_eq!(told(answer.into_inner()).1, "\"2026-11-24\"");

    let answer = client.check_value(value(b"[1, 2.5]", "list[float]", false)).await.expect("an answer");
    assert_eq!(told(answer.into_inner()), (true, "[1,2.5]".to_owned(), String::new(), String::new()));
    let answer = client.check_value(value(b"[1, \"x\"]", "list[int]", false)).await.expect("an answer");
    assert_eq!(told(answer.into_inner()), (false, String::new(), "expected int, got str".to_owned(), "[1]".to_owned()));
    let tuple = b"{\"$\": \"tuple\", \"v\": [1]}";
    let answer = client.check_value(value(tuple, "tuple[int, int]", true)).await.expect("an answer");
    assert_eq!(told(answer.into_inner()).2, "expected tuple[int, int], got a tuple of 1");

    for (json, why) in [
        (&b"[1, "[..], "at [1]: not JSON: expected a value, and it ends (line 1, column 5)"),
        (b"{\"a\": 1, \"a\": 2}", "at [\"a\"]: the key \"a\" comes twice"),
        (
            b"[NaN]",
            "at [0]: not JSON: JSON has no `NaN`: where a float is declared write \"nan\", \"inf\" or \"-inf\" (line 1, column 2)",
        ),
        (b"[\"\xff\"]", "at [0]: not JSON: these bytes are not UTF-8 (line 1, column 3)"),
    ] {
        for asked in
            [client.convert_value(value(json, "Any", false)).await, client.check_value(value(json, "Any", false)).await]
        {
            assert_refused(asked, &format!("the value does not read: {why}"));
        }
    }
    let why = "`Callable[[int], str]` is not a type: a function does not travel between nodes; name a node instead, or pass what the function needs";
    assert_refused(client.check_value(value(b"1", "Callable[[int], str]", false)).await, why);
}

async fn types(client: &mut Client) {
    let asked = |ty: &str| traced(DescribeTypeRequest { r#type: ty.to_owned() });
    let answer = client.describe_type(asked("Optional[Decimal]")).await.expect("an answer").into_inner();
    let described = read(&answer.description_json);
    assert_eq!(
        (&described["type"], &described["kind"], &described["parts"], &described["optional"], &described["checked"]),
        (&json!("Decimal | None"), &json!("Union"), &json!(["None", "Decimal"]), &json!(true), &json!(true))
    );
    let rows = described["converts_from"].as_array().expect("a list");
    assert!(rows.iter().any(|row| row["from"] == "str" && row["may_fail"] == true), "{rows:?}");
    assert_refused(
        client.describe_type(asked("1 + 1")).await,
        "`1 + 1` is not a type: this is not a type; write a type such as list[dict[str, float]]",
    );
}

async fn signatures(client: &mut Client) {
    let text = "import os\nos.abort()\n\ndef total(rows: list[int], *, scale: float = 1.0) -> float:\n    ...\n\n\
                class Shop:\n    def sell(self, item: str, price) -> None:\n        ...\n\ndef wrong(x: Lisst) -> int:\n    ...\n";
    let answer = client.infer_signatures(traced(source("a.py", text))).await.expect("an answer").into_inner();
    let read_all = read(&answer.signatures_json);
    let one = |signature: &Value| {
        let params = signature["params"].as_array().into_iter().flatten();
        let params: Vec<String> = params.map(|p| format!("{}: {}", p["name"], p["type"]).replace('"', "")).collect();
        format!("{}({}) -> {}", signature["function"], params.join(", "), signature["returns"]).replace('"', "")
    };
    let all: Vec<String> = read_all.as_array().into_iter().flatten().map(one).collect();
    assert_eq!(
        all[..2],
        ["total(rows: list[int], scale: float) -> float", "Shop.sell(item: str, price: Any) -> None"],
        "{read_all:#}"
    );
    let problems = read(&answer.problems_json);
    let codes: Vec<&str> = problems.as_array().into_iter().flatten().filter_map(|p| p["code"].as_str()).collect();
    assert!(codes.contains(&"unknown-type"), "{problems:#}");

    let broken = client.infer_signatures(traced(source("a.py", "def f(:\n"))).await.expect("an answer").into_inner();
    assert_eq!(
        (read(&broken.signatures_json), read(&broken.problems_json)[0]["code"].clone()),
        (json!([]), json!("syntax"))
    );
    assert_refused(client.infer_signatures(traced(source("b.py", ""))).await, "the entry `b.py` is none of the files");
    assert_refused(
        client.infer_signatures(traced(InferSignaturesRequest { source: None })).await,
        "a source is needed",
    );
}
