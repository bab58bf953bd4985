//! What the surface allows around nodes: spellings of names, defaults of a file, requirements, secrets.

use qflow_model::definition::{Definition, Isolation};

use crate::{codes, source};

/// The definition of one file without a word against it.
fn definition(text: &str) -> Definition {
    let read = qflow_python_source::read(&source("w.py", text));
    assert_eq!(read.problems, vec![], "{text}");
    read.definition
}

const WORKFLOW: &str = "\n\n@workflow\ndef w(x: int = 1) -> int:\n    return f(x)\n";

#[test]
fn names_are_resolved_through_imports_and_never_by_spelling() {
    for (import, decorator, workflow) in [
        ("from qflow import node, workflow", "node", "workflow"),
        ("from qflow import node as task, workflow as flow", "task", "flow"),
        ("import qflow", "qflow.node", "qflow.workflow"),
        ("import qflow as q", "q.node", "q.workflow"),
        ("from qflow import *", "node", "workflow"),
        ("from qflow import node, workflow\ntask = node\nflow = workflow", "task", "flow"),
        ("try:\n    from qflow import node, workflow\nexcept ImportError:\n    raise", "node", "workflow"),
    ] {
        for call in ["", "()", "(timeout=\"1m\")"] {
            let text = format!(
                "{import}\n\n@{decorator}{call}\ndef f(x: int) -> int: ...\n\n@{workflow}{call}\ndef w(x: int = 1) -> int:\n    return f(x)\n"
            );
            let found = definition(&text);
            assert_eq!((found.nodes.len(), found.workflows["w"].steps.len()), (1, 1), "{text}");
        }
    }
    let other = "from tasks import node\nimport time\nfrom qflow import workflow\n\n@node\ndef f(x: int) -> int: ...\n";
    assert_eq!(codes(&format!("{other}\n@workflow\ndef w() -> None: ...\n")), ["empty-workflow"]);
    let inside = "import time\nfrom qflow import node, workflow\n\n@node\ndef f(x: int) -> int:\n    time.sleep(1)\n    return x\n";
    assert_eq!(definition(&format!("{inside}{WORKFLOW}")).nodes.len(), 1);
}

#[test]
fn a_files_defaults_hold_for_nodes_that_do_not_say_otherwise() {
    let text = "# /// script
# requires-python = \">=3.10\"
# dependencies = [\"pandas>=2.2\", \"rich\"]
# [tool.qflow.node]
# python = \"3.11\"
# requirements = [\"attrs\"]
# retries = 2
# timeout = \"1m\"
# memory = \"1GiB\"
# env = { REGION = \"eu\" }
# secrets = [\"db\"]
# cache = \"7d\"
# pool = \"box\"
# isolation = \"node\"
# ///
from qflow import node, secret, workflow

@node
def f(x: int) -> int: ...

@node(python=\"3.12\", requirements=[\"httpx\"], inherit=False, retries=0, env={\"REGION\": \"us\", \"KEY\": secret(\"openai\")}, cache=False, isolation=\"run\")
def g(x: int) -> int: ...
";
    let nodes = definition(&format!("{text}{WORKFLOW}")).nodes;
    let (f, g) = (&nodes["f"], &nodes["g"]);
    assert_eq!(f.python.map(|v| v.minor), Some(11));
    assert_eq!(f.requirements, ["attrs", "pandas>=2.2", "rich"]);
    assert_eq!((f.retry.retries, f.timeout_ms, f.cache_ms), (2, Some(60_000), Some(604_800_000)));
    assert_eq!((f.pool.as_deref(), f.isolation), (Some("box"), Some(Isolation::Node)));
    assert_eq!((&*f.env["REGION"], f.secrets.keys().map(String::as_str).collect::<Vec<_>>()), ("eu", vec!["db"]));
    assert_eq!(g.python.map(|v| v.minor), Some(12));
    assert_eq!(g.requirements, ["httpx"]);
    assert_eq!((g.retry.retries, g.cache_ms, g.isolation), (0, None, Some(Isolation::Run)));
    assert_eq!((&*g.env["REGION"], &g.secrets["openai"]), ("us", &vec!["KEY".to_owned()]));
}

#[test]
fn requirements_are_taken_as_pep_508_writes_them() {
    let every = [
        "httpx",
        "httpx>=0.27,<1",
        "httpx[http2]~=0.27",
        "pandas ; python_version < '3.12'",
        "mine @ https://example.org/mine-1.0.tar.gz#sha256=00",
        "ruamel.yaml==0.18.*",
    ];
    let list = every.map(|requirement| format!("\"{requirement}\"")).join(", ");
    let text = format!(
        "from qflow import node, workflow\n\n@node(requirements=[{list}])\ndef f(x: int) -> int: ...\n{WORKFLOW}"
    );
    assert_eq!(definition(&text).nodes["f"].requirements.len(), every.len());
    for wrong in ["-r file.txt", "--index-url=x", "", "./here", "httpx\\n--pre", "httpx >> 2", "httpx[", "==1"] {
        let text = format!(
            "from qflow import node, workflow\n\n@node(requirements=[\"{wrong}\"])\ndef f(x: int) -> int: ...\n{WORKFLOW}"
        );
        assert_eq!(codes(&text), ["bad-option"], "{wrong}");
    }
}

#[test]
fn secrets_and_variables_are_read_in_each_form() {
    for (option, secrets, env) in [
        ("secrets=[\"openai\", \"db\"]", "db openai", ""),
        ("secrets=(\"openai\",)", "openai", ""),
        ("secrets=\"openai\"", "openai", ""),
        ("env={\"K\": qflow.secret(\"openai\"), \"A\": \"b\"}", "openai:K", "A=b"),
        ("env={\"K\": secret(name=\"openai\")}", "openai:K", ""),
        ("env={\"K\": secret(\"openai\"), \"L\": secret(\"openai\")}, secrets=[\"openai\"]", "openai:K,L", ""),
        ("env={\"DAY\": DAY}", "", "DAY=x"),
        ("env=SETTINGS", "", "A=b"),
    ] {
        let text = format!(
            "import qflow\nfrom qflow import node, secret, workflow\n\nDAY = \"x\"\nSETTINGS = {{\"A\": \"b\"}}\n\n@node({option})\ndef f(x: int) -> int: ...\n{WORKFLOW}"
        );
        let node = &definition(&text).nodes["f"];
        let one = |(name, variables): (&String, &Vec<String>)| match &variables[..] {
            [] => name.clone(),
            some => format!("{name}:{}", some.join(",")),
        };
        assert_eq!(node.secrets.iter().map(one).collect::<Vec<_>>().join(" "), secrets, "{option}");
        let env = node.env.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ") == env;
        assert!(env, "{option}");
    }
}

#[test]
fn a_default_may_be_a_path_of_parts() {
    let text = "from pathlib import Path\n\nfrom qflow import node, workflow\n\n@node\ndef f(x: Path) -> int: ...\n\n\
                @workflow\ndef w(x: Path = Path(\"data\", \"in\") ) -> int:\n    return f(x)\n";
    let definition = definition(text);
    let default = definition.workflows["w"].params[0].default.clone();
    let path = serde_json::json!({"$": "path", "v": "data/in"});
    assert_eq!(default, Some(qflow_model::definition::ParamDefault::Value(path)));
}

#[test]
fn nodes_may_be_async() {
    let text = "from qflow import node, workflow\n\n@node\nasync def f(x: int) -> int:\n    async with a as b:\n        return [await c async for c in b]\n";
    assert_eq!(definition(&format!("{text}{WORKFLOW}")).nodes.len(), 1);
}

#[test]
fn a_workflows_isolation_holds_for_its_nodes_that_do_not_say() {
    use qflow_model::{
        definition::PythonVersion,
        ids::{Digest, StepIx},
        plan::WorkflowIx,
    };
    let text = "from qflow import node, workflow\n\n@node\ndef f(x: int) -> int: ...\n@node(isolation=\"shared\")\ndef g(x: int) -> int: ...\n\n\
                @workflow(isolation=\"node\")\ndef w(x: int) -> int:\n    return f(g(x))\n\n@workflow\ndef v(x: int) -> int:\n    return f(g(x))\n";
    let definition = definition(text);
    for (workflow, of_f) in [("w", Isolation::Node), ("v", Isolation::Run)] {
        let python = [PythonVersion { major: 3, minor: 12 }];
        let plan = qflow_model::plan::plan(&definition, workflow, Digest::of(b""), &python).expect("it is sound");
        let isolation = |step: u32| plan.isolation(WorkflowIx(0), StepIx(step));
        assert_eq!((isolation(0), isolation(1)), (Isolation::Shared, of_f), "{workflow}");
    }
}

#[test]
fn a_plain_path_between_nodes_is_warned_of() {
    let text = |gives: &str, body: &str| {
        format!(
            "from pathlib import Path\n\nfrom qflow import File, node, workflow\n\n@node\ndef make(x: int) -> {gives}: ...\n\n\
             @node\ndef use(path: {gives}) -> int: ...\n\n@workflow\ndef w(x: int) -> {gives}:\n    made = make(x)\n{body}    return made\n"
        )
    };
    for gives in ["Path", "list[Path]", "dict[str, Path] | None"] {
        assert_eq!(codes(&text(gives, "    use(made)\n")), ["path-between-nodes"], "{gives}");
        assert_eq!(codes(&text(gives, "")), Vec::<String>::new(), "{gives} that only the user reads");
    }
    assert_eq!(codes(&text("File", "    use(made)\n")), Vec::<String>::new());
    let problems = crate::problems(&text("Path", "    use(made)\n"));
    insta::assert_snapshot!("path_between_nodes", problems.iter().map(crate::shown::problem).collect::<String>());
}
