//! A thousand names of workflows and as many of nodes, to see how many of them series tell apart.

use qflow_e2e::Stack;
use qflow_proto::v1::{self, orchestrator_service_client::OrchestratorServiceClient, start_run_request::What};
use tonic::{Request, transport::Endpoint};

use super::{run, text};

/// Workflows that are run, each with a name of its own.
const NAMES: usize = 1000;
/// Nodes that end, each with a name of its own: a definition has no more of them beside its workflow.
const NODES: usize = 999;
/// Workflows of one file: a start sends the whole of it.
const TOGETHER: usize = 100;
/// Starts that are under way at once.
const AT_ONCE: usize = 8;

/// A workflow whose first node fails, so that none of the others runs: they end all the same.
fn many_nodes() -> String {
    let mut file =
        "from qflow import node, workflow\n\n\n@node\ndef first() -> int:\n    raise ValueError\n".to_owned();
    for n in 1..NODES {
        file.push_str(&format!("\n\n@node\ndef node_{n}(one: int) -> int:\n    return one\n"));
    }
    file.push_str("\n\n@workflow\ndef all_nodes() -> list[int]:\n    one = first()\n    return [");
    file.push_str(&(1..NODES).map(|n| format!("node_{n}(one)")).collect::<Vec<_>>().join(", "));
    file + "]\n"
}

/// Workflows that do nothing.
fn many_workflows(names: std::ops::Range<usize>) -> String {
    let one = |n| format!("\n\n@workflow\ndef workflow_{n}() -> None:\n    sleep(\"1ms\")\n");
    "from qflow import sleep, workflow\n".to_owned() + &names.map(one).collect::<String>()
}

/// Starts every workflow, at both orchestrators by turns.
async fn start_all(stack: &Stack) {
    let token = std::fs::read_to_string(stack.cluster.path().join("token")).expect("the cluster has a token");
    let bearer: tonic::metadata::MetadataValue<_> = format!("Bearer {}", token.trim()).parse().expect("it is a word");
    let channel = |name| {
        let url = format!("http://127.0.0.1:{}", stack.cluster.port(name));
        Endpoint::from_shared(url).expect("an address").connect_lazy()
    };
    let channels = ["h1", "h2"].map(channel);
    let mut starting = tokio::task::JoinSet::new();
    for n in 0..NAMES {
        let first = n - n % TOGETHER;
        let files = vec![v1::SourceFile { path: "many.py".into(), text: many_workflows(first..first + TOGETHER) }];
        let source = v1::Source { entry: "many.py".into(), files };
        let workflow = format!("workflow_{n}");
        let start =
            v1::StartRunRequest { what: Some(What::Source(source)), workflow, ..v1::StartRunRequest::default() };
        let (channel, bearer) = (channels[n % 2].clone(), bearer.clone());
        starting.spawn(async move {
            let known = move |mut request: Request<()>| {
                request.metadata_mut().insert("authorization", bearer.clone());
                Ok(request)
            };
            let mut client = OrchestratorServiceClient::with_interceptor(channel, known);
            client.start_run(start).await.expect("a run is accepted");
        });
        while starting.len() >= AT_ONCE {
            starting.join_next().await.expect("some are under way").expect("a start does not panic");
        }
    }
    while let Some(started) = starting.join_next().await {
        started.expect("a start does not panic");
    }
}

/// Runs all of them.
pub(crate) fn run_many(stack: &Stack) {
    let file = stack.cluster.path().join("many.py");
    std::fs::write(&file, many_nodes()).expect("the cluster's folder takes files");
    let failed = run(stack, 1, &file.display().to_string(), "all_nodes", &[]);
    assert_eq!(text(&failed, "status"), "failed", "{failed:#}");
    assert_eq!(failed["nodes"].as_array().map(Vec::len), Some(NODES));
    tokio::runtime::Runtime::new().expect("a runtime starts").block_on(start_all(stack));
}
