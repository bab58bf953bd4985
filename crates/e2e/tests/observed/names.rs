//! A thousand names of workflows, of nodes and of packages, to see how many of them series tell apart.

use qflow_e2e::{Stack, wait_for};
use qflow_proto::v1::{self, orchestrator_service_client::OrchestratorServiceClient, start_run_request::What};
use qflow_telemetry::CATALOGUE;
use tonic::{Request, transport::Endpoint};

use super::{exported::sets, run, text};

/// Workflows that are run, each with a name of its own.
const NAMES: usize = 1000;
/// Nodes that run, each with a name of its own: a definition has no more of them beside its workflow.
const NODES: usize = 999;
/// Packages of each node of one more workflow, each with a name of its own: a thousand.
const PACKAGES: [usize; 12] = [1, 4, 15, 40, 60, 80, 100, 120, 130, 150, 150, 150];
/// Rows that have fewer sets than these names would make, who feeds them, and the label that reads `_other` past that.
const SHORT: [(&str, [&str; 2], &str, usize); 3] = [
    ("qflow_workflow_execution_duration_seconds", ["a1", "a2"], "workflow_id", NAMES),
    ("qflow_node_execution_duration_seconds", ["a1", "a2"], "node_id", NODES),
    ("qflow_python_code_execution_duration_seconds", ["ra1", "ra2"], "node_id", NODES),
];
/// Workflows of one file: a start sends the whole of it.
const TOGETHER: usize = 100;
/// Starts that are under way at once.
const AT_ONCE: usize = 8;

/// A workflow of nodes that do nothing, side by side; each with its decorator.
fn many_nodes(workflow: &str, nodes: &[String]) -> String {
    let mut file = "from qflow import node, workflow\n".to_owned();
    for (n, decorator) in nodes.iter().enumerate() {
        file.push_str(&format!("\n\n{decorator}\ndef {workflow}_{n}() -> int:\n    return {n}\n"));
    }
    file.push_str(&format!("\n\n@workflow\ndef {workflow}() -> list[int]:\n    return ["));
    file.push_str(&(0..nodes.len()).map(|n| format!("{workflow}_{n}()")).collect::<Vec<_>>().join(", "));
    file + "]\n"
}

/// What nodes require of packages that are all different.
fn many_packages() -> Vec<String> {
    let mut names = 1..;
    let of_one = |count: usize| {
        let packages: Vec<String> = names.by_ref().take(count).map(|n: usize| format!("\"played-{n}\"")).collect();
        format!("@node(requirements=[{}])", packages.join(", "))
    };
    PACKAGES.into_iter().map(of_one).collect()
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

/// Runs nodes side by side, to their end.
fn run_nodes(stack: &Stack, workflow: &str, nodes: &[String]) {
    let file = stack.cluster.path().join(format!("{workflow}.py"));
    std::fs::write(&file, many_nodes(workflow, nodes)).expect("the cluster's folder takes files");
    let ended = run(stack, 1, &file.display().to_string(), workflow);
    assert_eq!(text(&ended, "status"), "completed", "{ended:#}");
    assert_eq!(ended["nodes"].as_array().map(Vec::len), Some(nodes.len()));
}

/// Runs all of them.
pub(crate) fn run_many(stack: &Stack) {
    run_nodes(stack, "needs_packages", &many_packages());
    run_nodes(stack, "all_nodes", &vec!["@node".to_owned(); NODES]);
    tokio::runtime::Runtime::new().expect("a runtime starts").block_on(start_all(stack));
    wait_for("all have ended", || {
        ["a1", "a2"].iter().all(|a| stack.cluster.metric(a, "qflow_workflows_in_state") < 0.5)
    });
    let counted = format!("sum(qflow_workflow_executions_total) >= {NAMES}");
    wait_for("and are scraped", || !stack.query(&counted).is_empty());
}

/// What is wrong with how names were told apart, row by row.
pub(crate) fn ill_told(stack: &Stack) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, admins, label, names) in SHORT {
        let row = CATALOGUE.iter().find(|row| row.name == name).expect("a row of the catalogue");
        let (mut all, mut short) = (0.0, 0.0);
        for admin in admins {
            let answer = stack.cluster.metrics(admin);
            let other = |(labels, _): &(&str, f64)| labels.contains(&format!("{label}=\"_other\""));
            let (rest, apart): (Vec<_>, Vec<_>) = sets(&answer, row).into_iter().partition(other);
            let sum = |sets: &[(&str, f64)]| sets.iter().map(|(_, count)| count).sum::<f64>();
            let overflow = format!("qflow_telemetry_label_overflow_total{{metric=\"{name}\"}}");
            let overflow = stack.cluster.metric(admin, &overflow);
            let (told, taken) = (apart.len(), sum(&rest));
            // One run's nodes are all counted by the one orchestrator that writes it.
            if if taken > 0.0 { told != row.max } else { told > row.max } {
                problems.push(format!("{admin} tells {told} sets of {name} apart, {} is the most", row.max));
            }
            if (taken - overflow).abs() > 0.5 {
                problems.push(format!("{admin} has {taken} in _other of {name}, and counts {overflow}"));
            }
            (all, short) = (all + taken + sum(&apart), short + taken);
        }
        if all < names as f64 || short < 1.0 {
            problems.push(format!("of {name} there are {all}, {short} in _other, though {names} came"));
        }
    }
    // It is bounded before it is told, and so not counted as what had no room.
    for admin in ["a1", "a2"] {
        if stack.cluster.metric(admin, "qflow_workflow_success_rate{workflow_id=\"_other\"}") < 0.5 {
            problems.push(format!("{admin} has no rate of the rest of the workflows"));
        }
    }
    let answers = ["ra1", "ra2"].map(|admin| stack.cluster.metrics(admin));
    if answers.iter().any(|answer| answer.contains("played-")) {
        problems.push("a package's name is a label".to_owned());
    }
    let name = "qflow_python_dependency_installation_duration_seconds_count";
    let installed: f64 = ["ra1", "ra2"].map(|admin| stack.cluster.metric(admin, name)).iter().sum();
    if installed < PACKAGES.len() as f64 {
        problems.push(format!("{installed} environments were installed, not {}", PACKAGES.len()));
    }
    problems
}
