//! What a node finds around it, in processes and in Docker: installed packages, variables, secrets, values with attachments.

mod support;

use qflow_model::{
    outcome::{Ending, Outcome},
    value::Argument,
};
use support::{
    failure,
    orchestrator::{LOOK, Played, given},
    produced, text,
};

const RUNTIMES: [&str; 2] = ["process", "docker"];

const FRAMES: &str = r#"
import numpy
import pandas

def make() -> "pandas.DataFrame":
    return pandas.DataFrame({"day": pandas.to_datetime(["2026-11-23", "2026-11-24"]), "amount": [1.5, 2.5], "who": ["å", None]})

def both(frame: "pandas.DataFrame") -> "tuple[pandas.DataFrame, dict[str, float]]":
    assert list(frame.dtypes.astype(str))[:2] == ["datetime64[ns]", "float64"] or "datetime64" in str(frame.dtypes["day"]), frame.dtypes
    return frame[frame.amount > 2], {"total": float(frame.amount.sum())}

def series(frame: "pandas.DataFrame") -> "pandas.Series":
    return frame["amount"]

def array(series: "pandas.Series") -> "numpy.ndarray":
    assert series.name == "amount"
    return numpy.arange(100_000).reshape(2, -1) * series.sum()

def total(array: "numpy.ndarray", parts: "tuple[pandas.DataFrame, dict[str, float]]") -> list[float]:
    return [float(array.sum()), parts[1]["total"], len(parts[0])]

def where() -> str:
    return pandas.__file__

def writes() -> str:
    try:
        open(pandas.__file__, "a").close()
    except OSError as error:
        return type(error).__name__
    return "written"
"#;

/// The result of an order as an argument of the next.
fn value(outcome: &Outcome) -> Argument {
    Argument::Value { value: produced(outcome).value.clone(), element: None, path: vec![] }
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_and_arrays_travel_between_nodes_with_installed_packages() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let requires = ["pandas", "pyarrow"];
        let mut made = Vec::new();
        let frame = "DataFrame";
        let steps = [
            ("make", frame, vec![]),
            ("both", "tuple[DataFrame, dict[str, float]]", vec![("frame", 0)]),
            ("series", "Series", vec![("frame", 0)]),
            ("array", "ndarray", vec![("series", 2)]),
            ("total", "list[float]", vec![("array", 3), ("parts", 1)]),
        ];
        for (function, returns, arguments) in steps {
            let mut order = played.order(FRAMES, function, returns, &requires).await;
            order.arguments = arguments.iter().map(|(name, from)| ((*name).to_owned(), value(&made[*from]))).collect();
            made.push(played.through(&order).await.0);
        }
        let kinds = |outcome: &Outcome| {
            produced(outcome).value.attachments.iter().map(|a| a.kind.clone()).collect::<Vec<_>>().join(",")
        };
        assert_eq!(made.iter().map(kinds).collect::<Vec<_>>(), ["arrow", "arrow", "arrow", "npy", ""]);
        assert_eq!(text(&made[4]), "[19999800000.0,4.0,1]");
        if runtime == "docker" {
            let order = played.order(FRAMES, "where", "str", &requires).await;
            assert_eq!(text(&played.through(&order).await.0), "\"/opt/qflow/site/pandas/__init__.py\"");
            let order = played.order(FRAMES, "writes", "str", &requires).await;
            let refused = text(&played.through(&order).await.0);
            assert!(["\"OSError\"", "\"PermissionError\""].contains(&refused.as_str()), "{refused}");
        }
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_the_environment_lacks_is_told_where_it_is_used() {
    for runtime in RUNTIMES {
        let Some(mut played) = Played::start(runtime, &[]).await else { continue };
        let outcome = played
            .call(
                "import idna_that_is_not_there\n\ndef bare() -> str:\n    return idna_that_is_not_there.encode('a')\n",
                "bare",
                "str",
            )
            .await;
        assert_eq!(failure(&outcome).error_type, "ModuleNotFoundError");
        assert_eq!(failure(&outcome).message, "idna_that_is_not_there: add it to requirements of node 'bare'");
        played.close().await;
    }
}

const SECRETIVE: &str = r#"
import os
import qflow

REGION = os.environ.get("REGION")

def reads() -> list[str]:
    return [REGION, os.environ["REGION"], str(len(qflow.secret("open-ai"))), str(len(os.environ["QFLOW_SECRET_OPEN_AI"])),
            str(os.environ["KEY"] == qflow.secret("open-ai")), os.environ["TRACEPARENT"][:8]]

def tells() -> None:
    key = qflow.secret("open-ai")
    print("the key is", key)
    with qflow.span("with " + key, key=key):
        raise ValueError("bad key " + key)

def lacks() -> str:
    return "QFLOW_SECRET_OPEN_AI" in os.environ or "KEY" in os.environ or qflow.secret("open-ai")

def around() -> list[str]:
    return sorted(name for name in os.environ if name.startswith(("CARGO", "QFLOW_", "DOCKER", "AWS", "RUST")))
"#;

#[tokio::test(flavor = "multi_thread")]
async fn secrets_reach_the_nodes_that_name_them_and_nobody_else() {
    const SECRET: &str = "sk-very-secret-indeed";
    for runtime in RUNTIMES {
        let secrets = tempfile::tempdir().unwrap();
        std::fs::create_dir(secrets.path().join("default")).unwrap();
        std::fs::write(secrets.path().join("default/open-ai"), format!("{SECRET}\n")).unwrap();
        let folder = secrets.path().display().to_string();
        let Some(mut played) = Played::start(runtime, &["--secrets-dir", &folder]).await else { continue };
        let mut reads = played.order(SECRETIVE, "reads", "list[str]", &[]).await;
        reads.secrets.insert("open-ai".into(), vec!["KEY".into(), "ALSO".into()]);
        reads.env.insert("REGION".into(), "eu".into());
        let (outcome, _) = played.through(&reads).await;
        assert_eq!(text(&outcome), r#"["eu","eu","21","21","True","00-0af76"]"#);

        let mut tells = played.order(SECRETIVE, "tells", "None", &[]).await;
        tells.secrets.insert("open-ai".into(), vec![]);
        let (outcome, lines) = played.through(&tells).await;
        assert_eq!(lines, [("stdout".to_owned(), "the key is ***".to_owned())]);
        assert_eq!(failure(&outcome).message, "bad key ***");
        assert!(!format!("{outcome:?}").contains(SECRET), "{outcome:?}");

        let outcome = played.call(SECRETIVE, "lacks", "str").await;
        assert_eq!(failure(&outcome).error_type, "KeyError");
        assert!(failure(&outcome).message.contains("add it to secrets of the node"), "{outcome:?}");
        let outcome = played.call(SECRETIVE, "around", "list[str]").await;
        assert!(!text(&outcome).contains("CARGO") && !text(&outcome).contains("TOKEN"), "{}", text(&outcome));

        let mut absent = played.order(SECRETIVE, "lacks", "str", &[]).await;
        absent.secrets.insert("nowhere".into(), vec![]);
        let (outcome, _) = played.through(&absent).await;
        assert_eq!(failure(&outcome).error_type, "secret");
        assert!(failure(&outcome).message.contains("`nowhere`"), "{outcome:?}");
        let kept = std::fs::read_to_string(played.folder.join("runner/journal")).unwrap();
        assert!(!kept.contains(SECRET), "a secret is never written down");
        played.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn limits_are_those_of_the_node() {
    let Some(mut played) = Played::start("docker", &[]).await else { return };
    let source = r#"
import os, socket

def read(*names):
    for name in names:
        try:
            return open(name).read().split()[0]
        except OSError:
            pass

def limits() -> list[str]:
    return [read("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"),
            read("/sys/fs/cgroup/cpu.max", "/sys/fs/cgroup/cpu/cpu.cfs_quota_us"),
            read("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"),
            str(os.statvfs("/tmp").f_blocks * os.statvfs("/tmp").f_frsize),
            os.environ["OMP_NUM_THREADS"]]

def reaches() -> str:
    try:
        socket.create_connection(("1.1.1.1", 53), 2)
    except OSError as error:
        return type(error).__name__
    return "reached"
"#;
    let mut containers = Vec::new();
    for (memory, cpus, pids, tmp) in
        [(512_u64 << 20, 1000, 256, 256_u64 << 20), (128 << 20, 500, 64, 256 << 20), (64 << 20, 1500, 32, 16 << 20)]
    {
        let mut order = played.order(source, "limits", "list[str]", &[]).await;
        let limits = &mut order.resources;
        (limits.memory_bytes, limits.cpu_millis, limits.pids, limits.tmp_bytes) = (memory, cpus, pids, tmp);
        let (outcome, _) = played.through(&order).await;
        let threads = cpus.div_ceil(1000);
        assert_eq!(text(&outcome), format!(r#"["{memory}","{}","{pids}","{tmp}","{threads}"]"#, cpus * 100));
        containers.push(outcome.container_id);
    }
    containers.sort();
    containers.dedup();
    assert_eq!(containers.len(), 3, "containers of different classes are not one another's");
    assert_eq!(text(&played.call(source, "reaches", "str").await), "\"OSError\"");
    played.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_import_runs_no_function() {
    let Some(mut played) = Played::start("process", &[]).await else { return };
    let source = "import time\nprint('importing', flush=True)\ntime.sleep(2)\n\ndef f() -> int:\n    open(__file__)\n    return 1\n";
    let order = played.order(source, "f", "int", &[]).await;
    let mut attempt = played.begin(&order).await;
    while played.containers().await.is_empty() {
        tokio::time::sleep(LOOK).await;
    }
    played.kill(attempt.key, "cancelled").await;
    let outcome = attempt.ended().await;
    assert_eq!(outcome.ending, Ending::Cancelled);
    assert!(outcome.phases.user_code_ms == 0.0, "{outcome:?}");
    let mut order = played.order("def f(n: int) -> int:\n    return n\n", "f", "int", &[]).await;
    given(&mut order, "n", 3);
    assert_eq!(text(&played.through(&order).await.0), "3");
    played.close().await;
}
