//! The verdict on the whole under faults of real components: what is told, with which code, how soon, and that it goes over.

use std::sync::{Mutex, PoisonError};

use qflow_e2e::{Cluster, Docker, Home, object, wait_for, wait_seeing};
use serde_json::{Value, json};

/// One cluster at a time: each is eight programs.
static ONE: Mutex<()> = Mutex::new(());

/// Milliseconds within which an answer comes also while a dependency hangs.
const AT_ONCE_MS: f64 = 50.0;

/// What is to be told of a part.
struct Told {
    /// The page below `/health`, the check, and whether it is critical.
    part: (&'static str, &'static str, bool),
    status: &'static str,
    error: &'static str,
}

impl Told {
    const fn of(part: (&'static str, &'static str, bool), status: &'static str, error: &'static str) -> Self {
        Self { part, status, error }
    }

    /// Only a critical part that is down is no good answer.
    fn code(&self) -> u16 {
        if self.part.2 && self.status == "unhealthy" { 503 } else { 200 }
    }

    fn whole(&self) -> &'static str {
        if self.code() == 503 { "unhealthy" } else { "degraded" }
    }

    /// Waits until it is told, on its page, for the whole and as a metric; answers come at once meanwhile. What is told of the whole.
    fn is_told(&self, cluster: &Cluster) -> Value {
        let (path, name, critical) = self.part;
        wait_for(&format!("{name} is told to be {} for {}", self.status, self.error), || {
            let (code, body) = cluster.health(path);
            code == self.code() && body["status"] == self.status && body["error"] == self.error
        });
        let ms = cluster.health_ms();
        assert!(ms < AT_ONCE_MS, "{name}: {ms} ms while it is {}", self.status);
        let (code, whole) = cluster.health("");
        assert_eq!((code, &whole["status"]), (self.code(), &json!(self.whole())), "{whole:#}");
        assert!(whole["checks"][name]["consecutive_failures"].as_u64() > Some(0), "{whole:#}");
        let series = format!(r#"qflow_dependency_up{{dependency="{name}",critical="{critical}"}}"#);
        let up = if self.status == "unhealthy" { "0" } else { "1" };
        let metrics = cluster.metrics("ha");
        assert!(metrics.contains(&format!("{series} {up}\n")), "{series} is {up}: {metrics}");
        whole
    }
}

/// Waits until all is well again, and the metric of a part with it.
fn recovers(cluster: &Cluster, (path, name, critical): (&str, &str, bool)) {
    wait_for(&format!("{name} is well again, and all with it"), || {
        let (code, whole) = cluster.health("");
        let well = code == 200 && whole["status"] == "healthy";
        well && cluster.health(path).1["status"] == "healthy"
    });
    let series = format!(r#"qflow_dependency_up{{dependency="{name}",critical="{critical}"}} 1"#);
    assert!(cluster.metrics("ha").contains(&series), "{series}");
}

const DATABASE: (&str, &str, bool) = ("/database", "database", true);
const REDIS: (&str, &str, bool) = ("/redis", "redis", false);
const CONTAINERS: (&str, &str, bool) = ("/containers", "docker", true);
const PYTHON: (&str, &str, bool) = ("/python", "python_environments", false);
const ORCHESTRATOR: (&str, &str, bool) = ("/orchestrator", "orchestrator", true);
const TYPE_VALIDATOR: (&str, &str, bool) = ("/type_validator", "type_validator", true);
const CONTAINER_RUNNER: (&str, &str, bool) = ("/container_runner", "container_runner", false);

/// The tests look at metrics now and then, and that they no longer do is no trouble.
fn looked_at() -> (String, String) {
    ("QFLOW_HEALTH_SCRAPE_SECONDS".to_owned(), "3600".to_owned())
}

/// A cluster in good health, its nodes processes.
fn cluster() -> Cluster {
    let cluster = Cluster::with("process", vec![looked_at()]);
    recovers(&cluster, DATABASE);
    cluster
}

#[test]
fn a_database_that_is_stopped_hangs_is_slow_or_is_full_is_told_as_that() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = cluster();
    let (_, well) = cluster.health("/database");
    assert_eq!((&well["backend"], &well["critical"]), (&json!("postgres"), &json!(true)), "{well:#}");
    for number in ["active_connections", "max_connections", "size_bytes", "connect_ms", "response_time_ms"] {
        assert!(well[number].as_f64() > Some(0.0), "{number}: {well:#}");
    }

    // It hangs: every process of it stands still, and connections are taken by the kernel alone.
    cluster.signal_postgres("-STOP");
    let whole = Told::of(DATABASE, "unhealthy", "timeout").is_told(&cluster);
    // What stands on it is told under it, and what does not is told as it is.
    wait_for("the orchestrators miss it too", || {
        let checks = &cluster.health("").1["checks"];
        checks["workflows"]["cause"] == "database" && cluster.readyz("a1").0 == 503
    });
    let (docker, redis) = (&whole["checks"]["docker"], &whole["checks"]["redis"]);
    assert!(docker["status"] == "healthy" || docker["cause"] == "database", "{whole:#}");
    assert_eq!(redis["status"], "healthy", "{whole:#}");
    let explains = cluster.health("/database").1["explains"].clone();
    assert!(explains.as_array().is_some_and(|all| all.contains(&json!("workflows"))), "{explains}");
    assert_eq!(cluster.readyz("a2").1["checks"]["store"], false);
    cluster.signal_postgres("-CONT");
    recovers(&cluster, DATABASE);
    wait_for("the orchestrators are ready again", || cluster.readyz("a1").0 == 200 && cluster.readyz("a2").0 == 200);

    // It is slow: each new connection waits for a second before it is looked at.
    cluster.sql("ALTER SYSTEM SET pre_auth_delay = 1");
    cluster.sql("SELECT pg_reload_conf()");
    Told::of(DATABASE, "degraded", "slow").is_told(&cluster);
    assert!(cluster.health("/database").1["connect_ms"].as_f64() >= Some(1000.0));
    cluster.sql("ALTER SYSTEM RESET pre_auth_delay");
    cluster.sql("SELECT pg_reload_conf()");
    recovers(&cluster, DATABASE);

    // It has no connection left.
    let taken = cluster.take_connections();
    assert!(taken.len() > 10, "it had some: {}", taken.len());
    Told::of(DATABASE, "unhealthy", "too_many_connections").is_told(&cluster);
    drop(taken);
    recovers(&cluster, DATABASE);

    // It is stopped.
    cluster.stop_postgres();
    let whole = Told::of(DATABASE, "unhealthy", "unreachable").is_told(&cluster).to_string();
    // Codes go outward, and nothing of where it is or who asks.
    let inside = cluster.path().display().to_string();
    assert!(!whole.contains(&inside) && !whole.contains("PGSQL") && !whole.contains("qflow@"), "{whole}");
    cluster.again();
    recovers(&cluster, DATABASE);
}

#[test]
fn a_redis_that_hangs_or_is_gone_degrades_the_whole_and_stops_nothing() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = cluster();
    let (_, well) = cluster.health("/redis");
    assert!(well["memory_usage"].as_str().is_some_and(|text| text.ends_with(['K', 'M', 'G'])), "{well:#}");
    assert!(well["memory_bytes"].as_u64() > Some(0), "{well:#}");
    cluster.signal("redis", "-STOP");
    Told::of(REDIS, "unhealthy", "timeout").is_told(&cluster);
    cluster.signal("redis", "-CONT");
    recovers(&cluster, REDIS);
    cluster.kill("redis");
    Told::of(REDIS, "unhealthy", "unreachable").is_told(&cluster);
    cluster.again();
    recovers(&cluster, REDIS);
}

#[test]
fn a_service_that_is_killed_is_told_by_how_many_of_it_are_left() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = cluster();
    let versions = json!([env!("CARGO_PKG_VERSION")]);
    for (part, replicas) in [(ORCHESTRATOR, 2), (TYPE_VALIDATOR, 1), (CONTAINER_RUNNER, 2)] {
        let (_, told) = cluster.health(part.0);
        let (is, all) = ((&told["serving"], &told["versions"]), (&json!(replicas), &versions));
        assert_eq!(is, all, "{told:#}");
    }

    cluster.kill("type-validator");
    Told::of(TYPE_VALIDATOR, "unhealthy", "unreachable").is_told(&cluster);
    cluster.again();
    recovers(&cluster, TYPE_VALIDATOR);

    // One of two runners, and then both: what they start is told under them.
    cluster.kill("runner-2");
    Told::of(CONTAINER_RUNNER, "degraded", "replica_away").is_told(&cluster);
    cluster.kill("runner-1");
    let whole = Told::of(CONTAINERS, "unhealthy", "no_runner").is_told(&cluster);
    assert_eq!(whole["checks"]["docker"]["cause"], "container_runner", "{whole:#}");
    assert_eq!(whole["checks"]["python_environments"]["cause"], "container_runner", "{whole:#}");
    // Without a runner nobody makes the environment of a run, and that is a queue wherever one is told.
    let started = cluster.run(1, &["run", "examples/hello.py", "-p", "name=Ada", "--detach", "-o", "json"]);
    let run = object(&started, 0)["run_id"].clone();
    wait_for("the run waits in the queue", || {
        let workflows = cluster.health("/workflows").1;
        workflows["queued"] == 1 && workflows["oldest_queued_seconds"].as_f64() > Some(0.0)
    });
    let status = object(&cluster.overseer(&["status", "-o", "json"]), 0);
    assert_eq!((&status["queue_depth"], &status["workflows"][0]["queued"]), (&json!(1), &json!(1)), "{status:#}");
    assert!(
        status["oldest_queued_seconds"].as_f64() > Some(0.0) && status["workflows"][0]["run_id"] == run,
        "{status:#}"
    );
    let sum = |metric: &str| cluster.metric("a1", metric) + cluster.metric("a2", metric);
    wait_for("the metrics say so", || sum("qflow_queue_depth") > 0.5 && sum("qflow_queue_oldest_age_seconds") > 0.0);
    cluster.again();
    recovers(&cluster, CONTAINERS);
    wait_for("it is served", || {
        cluster.health("/workflows").1["queued"] == 0 && sum("qflow_queue_oldest_age_seconds") == 0.0
    });

    // One that hangs keeps its connections, and is missed by the verdict and by the status alike.
    let heard = || {
        let status = object(&cluster.overseer(&["status", "-o", "json"]), 0);
        (status["orchestrators_heard"].as_u64(), status["active_containers"].as_u64() > Some(0))
    };
    wait_for("both are heard, and their runners' containers seen", || heard() == (Some(2), true));
    cluster.signal("orchestrator-2", "-STOP");
    Told::of(ORCHESTRATOR, "degraded", "replica_away").is_told(&cluster);
    wait_for("one is heard, and what it sees", || heard() == (Some(1), true));
    cluster.signal("orchestrator-2", "-CONT");
    recovers(&cluster, ORCHESTRATOR);
    wait_for("both are heard again", || heard().0 == Some(2));

    cluster.kill("orchestrator-2");
    Told::of(ORCHESTRATOR, "degraded", "replica_away").is_told(&cluster);
    cluster.kill("orchestrator-1");
    let whole = Told::of(ORCHESTRATOR, "unhealthy", "unreachable").is_told(&cluster);
    // Database and Redis are asked directly too, and are as they were.
    let (database, python) = (&whole["checks"]["database"], &whole["checks"]["python_environments"]);
    assert_eq!((&database["status"], &python["error"]), (&json!("healthy"), &json!("not_known")), "{whole:#}");
    assert_eq!(python["cause"], "orchestrator", "{whole:#}");
    cluster.again();
    recovers(&cluster, ORCHESTRATOR);
}

#[test]
fn a_docker_that_hangs_or_is_gone_or_lacks_an_image_is_told_as_that() {
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let images = ["python:3.11-slim", "python:3.12-slim"];
    let Some(docker) = Docker::start(&images) else { return };
    let settings = [
        ("DOCKER_HOST", docker.host().as_str()),
        ("QFLOW_PYTHON_VERSIONS", "3.11,3.12"),
        ("QFLOW_SMOKE_SECONDS", "30"),
    ]
    .map(|(name, value)| (name.to_owned(), value.to_owned()));
    let cluster = Cluster::with("docker", settings.into_iter().chain([looked_at()]).collect());
    recovers(&cluster, CONTAINERS);
    let (_, well) = cluster.health("/containers");
    assert_eq!((&well["runtimes"], &well["runners"]), (&json!(["docker"]), &json!(2)), "{well:#}");
    assert!(well["docker_version"].is_string() && well["ping_ms"].as_f64() > Some(0.0), "{well:#}");
    for runner in well["per_runner"].as_array().expect("a list") {
        assert!(runner["disk_free_bytes"].as_u64() > Some(0) && runner["version"].is_string(), "{runner:#}");
    }
    wait_for("containers of it run", || cluster.health("/containers").1["active_containers"].as_u64() > Some(0));
    // Each Python comes up though nobody has asked for it.
    wait_for("every Python has come up", || {
        let environments = &cluster.health("/python").1["environments"];
        let came_up = |version: &str| {
            let told = &environments[version];
            told["status"] == "healthy" && told["smoke_age_seconds"].is_number()
        };
        came_up("3.11") && came_up("3.12")
    });

    // What a container uses that is at work is told of it, and for which run.
    let file = cluster.path().join("busy.py").display().to_string();
    std::fs::write(&file, BUSY).expect("the folder is ours");
    let run = object(&cluster.run(1, &["run", &file, "--detach", "-o", "json"]), 0)["run_id"].clone();
    let container = || {
        let status = object(&cluster.overseer(&["status", "-o", "json"]), 0);
        let all = status["containers"].as_array().cloned().unwrap_or_default();
        all.into_iter().find(|one| one["run_id"] == run).unwrap_or_default()
    };
    let works = |one: Value| one["cpu_usage"].as_f64() > Some(5.0) && one["memory_usage"].as_u64() > Some(64 << 20);
    wait_seeing("its container uses processors and memory", || works(container()), || container().to_string());
    let exported = |metric: &str| cluster.metric("ra1", metric) + cluster.metric("ra2", metric);
    assert!(exported("qflow_container_cpu_usage_percent") > 0.0, "{}", container());
    assert!(exported("qflow_container_memory_usage_bytes") > f64::from(64 << 20), "{}", container());
    let run = run.as_str().expect("a run has an id");
    assert!(cluster.run(1, &["runs", "cancel", run]).status.success());
    wait_for("it has left", || container().is_null());

    docker.lack("python:3.11-slim");
    let whole = Told::of(PYTHON, "degraded", "image_missing").is_told(&cluster);
    let python = &whole["checks"]["python_environments"];
    assert_eq!(python["environments"]["3.11"]["status"], "image_missing", "{python:#}");
    assert_eq!(python["available_versions"], json!(["3.12"]));
    docker.have("python:3.11-slim");
    recovers(&cluster, PYTHON);
    assert_eq!(cluster.health("/python").1["available_versions"], json!(["3.11", "3.12"]));

    docker.signal("-STOP");
    Told::of(CONTAINERS, "unhealthy", "runtime_away").is_told(&cluster);
    wait_for("the runners are not ready", || cluster.readyz("ra1").1["checks"]["runtime"] == false);
    docker.signal("-CONT");
    recovers(&cluster, CONTAINERS);

    docker.kill();
    Told::of(CONTAINERS, "unhealthy", "runtime_away").is_told(&cluster);
    wait_for("no Python is to be had, for that, and no count of containers", || {
        let (told, docker) = (cluster.health("/python").1, cluster.health("/containers").1);
        let explained = told["error"] == "runtime_away" && told["cause"] == "docker";
        explained && told["available_versions"] == json!([]) && docker["active_containers"].is_null()
    });
    docker.again();
    recovers(&cluster, CONTAINERS);
    assert_eq!(cluster.readyz("ra2").0, 200);
}

/// A node that works until it is cancelled, and holds 64 MiB.
const BUSY: &str = "\
# /// script
# [tool.qflow.node]
# python = \"3.12\"
# ///
from qflow import node, workflow


@node
def works() -> int:
    held = bytearray(b'x' * (64 << 20))
    while True:
        held[0] = (held[0] + 1) % 256


@workflow
def main() -> int:
    return works()
";

/// Where a runner's environments lie on a file system of memory, whose free bytes are its own business.
struct Memory(tempfile::TempDir);

impl Memory {
    fn of(home: &Home) -> Self {
        let folder = tempfile::Builder::new().prefix("qf").tempdir_in("/dev/shm").expect("Linux has it");
        let runner = home.path().join("data/runner");
        std::fs::create_dir_all(&runner).expect("the home takes folders");
        std::os::unix::fs::symlink(folder.path(), runner.join("environments")).expect("the home takes links");
        Self(folder)
    }

    /// Takes so many of its bytes.
    fn fill(&self, bytes: usize) {
        std::fs::write(self.0.path().join("filled"), vec![1; bytes]).expect("it has room");
    }

    fn empty(&self) {
        std::fs::remove_file(self.0.path().join("filled")).expect("it was filled");
    }
}

/// The part of an embedded system's health.
fn part(home: &Home, path: &str) -> Value {
    let log = std::fs::read_to_string(home.path().join("dev.log")).expect("the server writes a log");
    let told = log.lines().filter_map(|line| line.trim().strip_prefix("health-aggregator")?.split_once("http://"));
    let url = told.map(|(_, address)| format!("http://{address}")).next().expect("the address is told");
    let output = std::process::Command::new("curl").args(["-sS", &format!("{url}/health{path}")]).output();
    serde_json::from_slice::<Value>(&output.expect("curl starts").stdout).unwrap_or_default()
}

#[test]
fn a_disk_that_runs_full_is_told_before_it_is() {
    const MARGIN: usize = 64 << 20;
    let home = Home::new("process").with("QFLOW_PROBE_SECONDS", "1");
    let memory = Memory::of(&home);
    // How much is free there now, the server itself says.
    let free = {
        let _dev = home.dev();
        wait_for("it is healthy", || part(&home, "/containers")["disk_free_bytes"].is_u64());
        part(&home, "/containers")["disk_free_bytes"].as_u64().expect("a number")
    };
    std::fs::remove_file(home.path().join("dev.log")).expect("it was written");
    let home = home.with("QFLOW_HEALTH_DISK_FREE_BYTES", (free - MARGIN as u64).to_string());
    let _dev = home.dev();
    wait_for("there is enough", || part(&home, "/containers")["status"] == "healthy");
    memory.fill(2 * MARGIN);
    wait_seeing(
        "it is low",
        || {
            (&part(&home, "/containers")["error"], &part(&home, "")["status"])
                == (&json!("disk_low"), &json!("degraded"))
        },
        || part(&home, "/containers").to_string(),
    );
    memory.empty();
    wait_for("there is enough again", || part(&home, "/containers")["status"] == "healthy");
}

#[test]
fn the_embedded_shape_tells_its_own_truth() {
    let home = Home::new("process").with("QFLOW_PROBE_SECONDS", "1");
    let _dev = home.dev();
    let health = || part(&home, "");
    wait_for("it is healthy", || health()["status"] == "healthy");
    let whole = health();
    let checks = &whole["checks"];
    assert_eq!(
        (&checks["database"]["backend"], &checks["database"]["active_connections"]),
        (&json!("sqlite"), &json!(1))
    );
    assert_eq!((&checks["redis"]["status"], &checks["redis"]["bus"]), (&json!("not_configured"), &json!("memory")));
    assert_eq!(
        (&checks["docker"]["docker_version"], &checks["docker"]["runtimes"]),
        (&Value::Null, &json!(["process"]))
    );
    assert!(checks.get("container_runner").is_none() && checks["telemetry"]["status"] == "not_configured", "{whole:#}");
}
