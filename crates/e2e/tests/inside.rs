//! What a node finds around it, what it may say and how it may end, by `qflow run` on processes and in Docker.

use std::{collections::BTreeSet, io::Write as _, net::TcpListener, path::Path};

use qflow_e2e::{Home, Served, said};
use serde_json::{Value, json};

/// Each of these is a test on processes and one in Docker.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::$name("process"); } )* }
        mod docker { $( #[test] fn $name() { super::$name("docker"); } )* }
    };
}

on_both! {
    a_node_finds_its_surroundings
    what_a_node_says_arrives
    a_secret_is_struck_out_wherever_it_stands
    a_missing_secret_is_told_with_its_remedy
    abort_and_retry_are_obeyed
    a_node_past_its_time_or_cancelled_tidies_up
    errors_name_the_users_lines_in_every_file
    too_much_memory_and_no_network_are_told
    a_file_that_starts_threads_is_imported_afresh
    processes_of_a_node_and_what_it_says_are_its_own
    containers_are_shared_as_asked
    a_network_is_reached_where_the_node_says_so
}

const SECRET: &str = "s3cret-t0ken";

/// A server whose runner has secrets, and a variable that no node may see.
fn served(runtime: &'static str) -> Served {
    let home = Home::new(runtime).with("LEAKED", "from the runner");
    let secrets = home.path().join("secrets");
    std::fs::create_dir_all(secrets.join("default")).expect("the home takes folders");
    for name in ["db", "api-key"] {
        std::fs::write(secrets.join("default").join(name), format!("{SECRET}\n")).expect("the home takes files");
    }
    let secrets = secrets.display().to_string();
    let own = address().map_or_else(|| "127.0.0.1".to_owned(), |address| address.to_string());
    Served::new(home.with("QFLOW_SECRETS_DIR", secrets).with("QFLOW_EGRESS_ALLOW", own))
}

fn a_node_finds_its_surroundings(runtime: &'static str) {
    let served = served(runtime);
    for python in ["3.9", "3.13"] {
        let file = served.home.case("inside/surroundings.py", python);
        let around = served.result(&file, "main", &[]);
        let expected = json!({
            "region": ["eu", "3", "eu"],
            "secrets": [12, 12, 12],
            "home": true,
            "who": ["qflow", "qflow", "UTC"],
            "threads": ["2", "2", "2"],
            "inherited": [],
            "current": ["main", "around", null, 1, 36, 12, 32, null, "20", "+00:00"],
        });
        assert_eq!(around, expected, "{python}");
        let rolls = served.result(&file, "rolls", &[]);
        let rolls = rolls.as_array().expect("a list");
        let (random, uuids): (BTreeSet<_>, BTreeSet<_>) =
            rolls.iter().map(|roll| (roll[0].to_string(), roll[1].to_string())).unzip();
        assert_eq!((random.len(), uuids.len()), (4, 4), "forks of one process differ in chance: {rolls:?}");
        assert_eq!((&rolls[2][2], &rolls[2][3]), (&json!("dice[2]"), &json!("2")));
        let keys = served.run(&file, "keys", &[]);
        let key = keys["result"].as_str().expect("a key");
        assert_eq!(served.lines(&keys).matches(&format!("key {key}")).count(), 2, "one key for both attempts");
    }
}

fn what_a_node_says_arrives(runtime: &'static str) {
    let served = served(runtime);
    for python in ["3.9", "3.13"] {
        let file = served.home.case("inside/surroundings.py", python);
        let run = served.run(&file, "tell", &[]);
        assert_eq!(run["result"], "told", "{run:#}");
        let lines = served.lines(&run);
        assert!(lines.contains("printed by the file itself"), "{lines}");
        assert!(lines.contains("parsed rows=3 file=a b.csv"), "{lines}");
        // What JSON has no number for is a text.
        let fields = json!({"rows": 3, "file": "a b.csv", "loss": "nan", "most": format!("1{}", "0".repeat(400))});
        assert_eq!(fields_of_lines(&served, &run), [fields]);
        assert_eq!(served.result(&file, "together", &[]), 6);
    }
    // The line with its fields, as whoever collects the runner's own lines gets it.
    let log = std::fs::read_to_string(served.home.path().join("dev.log")).expect("the server writes");
    assert!(log.contains("rows") && log.contains("a b.csv"), "{log}");
}

/// The fields of a run's lines, of those that have some.
fn fields_of_lines(served: &Served, run: &Value) -> Vec<Value> {
    let id = run["run_id"].as_str().expect("a run has an id");
    let told = served.home.run(&["runs", "logs", id, "-o", "json"]);
    let lines = String::from_utf8_lossy(&told.stdout).into_owned();
    let lines = lines.lines().map(|line| serde_json::from_str::<Value>(line).expect("a line is an object"));
    lines.filter_map(|line| line.get("fields").cloned()).collect()
}

fn a_secret_is_struck_out_wherever_it_stands(runtime: &'static str) {
    let served = served(runtime);
    let file = served.home.case("inside/surroundings.py", "3.11");
    let (error, run) = served.failure(&file, "leak", &[]);
    assert_eq!((&error["error_type"], &error["message"]), (&json!("RuntimeError"), &json!("no: ***")), "{run:#}");
    let lines = served.lines(&run);
    assert!(lines.contains("the secret is ***") && lines.contains("leak value=***"), "{lines}");
    let log = std::fs::read_to_string(served.home.path().join("dev.log")).expect("the server writes");
    for told in [run.to_string(), lines, log] {
        assert!(!told.contains(SECRET), "{told}");
    }
    // Nothing of it is left on disk but where the operator has put it.
    let places = found(&served.home.path().join("data"), SECRET);
    assert!(places.is_empty(), "{places:?}");
}

/// Files below a folder that hold a text.
fn found(folder: &Path, text: &str) -> Vec<String> {
    let mut places = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() {
            places.extend(found(&entry.path(), text));
        } else if std::fs::read(entry.path()).is_ok_and(|bytes| bytes.windows(text.len()).any(|w| w == text.as_bytes()))
        {
            places.push(entry.path().display().to_string());
        }
    }
    places
}

fn a_missing_secret_is_told_with_its_remedy(runtime: &'static str) {
    let served = served(runtime);
    let file = served.home.case("inside/surroundings.py", "3.11");
    let refused = served.home.run(&["run", &file, "-w", "want"]);
    assert_eq!(refused.status.code(), Some(3), "{}", said(&refused));
    let told = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(told.contains("`nowhere`") && told.contains("QFLOW_SECRETS_DIR"), "{told}");
    let (error, _) = served.failure(&file, "undeclare", &[]);
    assert!(error["message"].as_str().is_some_and(|m| m.contains("add it to secrets of the node")), "{error}");
}

fn abort_and_retry_are_obeyed(runtime: &'static str) {
    let served = served(runtime);
    let file = served.home.case("inside/endings.py", "3.12");
    let (error, run) = served.failure(&file, "abort", &[]);
    assert_eq!((&error["error_type"], &run["nodes"][0]["attempts"]), (&json!("Abort"), &json!(1)), "{run:#}");
    assert_eq!(served.result(&file, "retry", &[]), 2, "its own time counts, not the back-off of an hour");
    assert_eq!(served.result(&file, "hurry", &[]), 2, "a time-out counts as a TimeoutError");
    assert_eq!(served.result(&file, "at_once", &[]), 2, "a time that is over is now");
    let (error, run) = served.failure(&file, "spent", &[]);
    assert_eq!((&error["error_type"], &run["nodes"][0]["attempts"]), (&json!("Retry"), &json!(1)), "{run:#}");
    assert_eq!(error["message"], "asked for what is not left");
}

fn a_node_past_its_time_or_cancelled_tidies_up(runtime: &'static str) {
    let served = served(runtime);
    for python in ["3.9", "3.13"] {
        let file = served.home.case("inside/endings.py", python);
        let late = served.run(&file, "late", &[]);
        assert_eq!(late["status"], "timed_out", "{late:#}");
        let lines = served.lines(&late);
        assert!(lines.contains("cancelled") && lines.contains("tidied up"), "{lines}");
        let late = served.run(&file, "late_task", &[]);
        assert_eq!(late["status"], "timed_out", "{late:#}");
        let lines = served.lines(&late);
        assert!(lines.contains("the other task tidied up"), "{lines}");
    }
    let file = served.home.case("inside/endings.py", "3.11");
    let begun = served.home.run(&["run", &file, "-w", "hang", "--detach", "-o", "json"]);
    let run: Value = serde_json::from_slice(&begun.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&begun)));
    while !served.lines(&run).contains("hanging") {}
    let id = run["run_id"].as_str().expect("a run has an id");
    let cancelled = served.home.run(&["runs", "cancel", id]);
    assert_eq!(cancelled.status.code(), Some(0), "{}", said(&cancelled));
    while !served.lines(&run).contains("tidied up") {}
}

fn errors_name_the_users_lines_in_every_file(runtime: &'static str) {
    let served = served(runtime);
    for python in ["3.9", "3.13"] {
        let file = served.home.case("inside/endings.py", python);
        let (error, run) = served.failure(&file, "traced", &[]);
        let trace = error["traceback"].as_str().unwrap_or_else(|| panic!("a traceback: {run:#}"));
        assert!(trace.contains("File \"endings.py\", line") && trace.contains("in there"), "{trace}");
        assert!(trace.contains("File \"deep/er.py\", line 5, in fails_there"), "{trace}");
        assert!(!trace.contains("qflow_") && !trace.contains("/tmp/") && !trace.contains("importlib"), "{trace}");
        let (error, _) = served.failure(&file, "missing", &[]);
        assert_eq!(error["error_type"], "ModuleNotFoundError");
        assert_eq!(error["message"], "idna: add it to requirements of node 'bare'");
        let needs = served.home.case("inside/needs.py", python);
        let (error, run) = served.failure(&needs, "main", &[]);
        assert_eq!(error["error_type"], "import", "{run:#}");
        let said = "ModuleNotFoundError: idna: add it to requirements of node 'plain', or use it inside the nodes that have it";
        assert!(error["message"].as_str().is_some_and(|message| message.starts_with(said)), "{error}");
        assert!(error["traceback"].as_str().is_some_and(|t| t.contains("File \"needs.py\", line 10")), "{error}");
        let broken = served.home.case("inside/broken.py", python);
        let (error, run) = served.failure(&broken, "main", &[]);
        assert_eq!(error["error_type"], "import");
        assert_eq!(error["message"], "ValueError: invalid literal for int() with base 10: 'many'");
        // The block before it has four lines.
        assert!(error["traceback"].as_str().is_some_and(|t| t.contains("File \"broken.py\", line 10")), "{error}");
        assert!(served.lines(&run).contains("before it breaks"));
    }
}

fn too_much_memory_and_no_network_are_told(runtime: &'static str) {
    let served = served(runtime);
    let file = served.home.case("inside/endings.py", "3.11");
    let (error, run) = served.failure(&file, "offline", &[]);
    let message = error["message"].as_str().unwrap_or_default();
    assert!(message.ends_with("a node reaches a network only with network=True"), "{run:#}");
    if runtime == "docker" {
        // Nothing bounds the memory of a process of this machine.
        let (error, run) = served.failure(&file, "oom", &[]);
        assert_eq!(error["error_type"], "oom", "{run:#}");
        assert_eq!(error["certificate"]["oom"], true, "{run:#}");
    } else {
        assert!(run["said"].to_string().contains("it reaches for qflow.invalid without network=True"), "{run:#}");
    }
}

fn a_file_that_starts_threads_is_imported_afresh(runtime: &'static str) {
    let served = served(runtime);
    for python in ["3.9", "3.13"] {
        let file = served.home.case("inside/threads.py", python);
        let run = served.run(&file, "main", &[]);
        assert_eq!(run["result"], json!([2, 3]), "its thread lives in each attempt: {run:#}");
        let warned = run["said"].to_string().contains("the file starts threads when imported, so attempts start fresh");
        assert!(warned, "{run:#}");
    }
}

fn processes_of_a_node_and_what_it_says_are_its_own(runtime: &'static str) {
    let served = served(runtime);
    for python in ["3.9", "3.13"] {
        let file = served.home.case("inside/children.py", python);
        let made = served.result(&file, "main", &[]);
        assert_eq!(made, json!([[[1, 2], [1, 2], [1, 2]], "3.10\n", "x", 102]), "{python}");
        let (error, _) = served.failure(&file, "deep", &[]);
        assert_eq!(error["error_type"], "serialization");
        let told = error["message"].as_str().is_some_and(|m| m.contains("a value has at most 100 levels"));
        assert!(told, "{error}");
    }
}

fn containers_are_shared_as_asked(runtime: &'static str) {
    let served = served(runtime);
    let file = served.home.case("inside/isolated.py", "3.11");
    let run = served.result(&file, "run", &[]);
    assert_eq!(run[0], run[1], "attempts of a run follow one another");
    let each = served.result(&file, "each", &[]);
    assert_ne!(each[0], each[1], "a fresh container for each attempt");
    assert_eq!(served.result(&file, "again", &[]), served.result(&file, "again", &[]), "runs share what is shared");
}

/// Where this machine is reached from a container on a bridge: what it says to be its address towards others.
fn address() -> Option<std::net::IpAddr> {
    // No packet is sent: the system only says which of its addresses it would use.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").ok()?;
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip())
}

fn a_network_is_reached_where_the_node_says_so(runtime: &'static str) {
    let Some(address) = address() else { return };
    let served = served(runtime);
    let listener = TcpListener::bind((address, 0)).expect("its own address has free ports");
    let port = listener.local_addr().expect("a bound socket has an address").port();
    let answering = std::thread::spawn(move || {
        if let Ok((mut stream, _)) = listener.accept() {
            // Whoever asked may have gone: its own test says so.
            drop(stream.write_all(b"HTTP/1.0 200 OK\r\ncontent-length: 5\r\n\r\nhello"));
            let mut rest = [0; 1024];
            drop(std::io::Read::read(&mut stream, &mut rest));
        }
    });
    let text = format!(
        "import urllib.request\n\nfrom qflow import node, workflow\n\n\n@node(network=True)\ndef reach() -> str:\n    \
         return urllib.request.urlopen(\"http://{address}:{port}/\", timeout=10).read().decode()\n\n\n\
         @node\ndef kept() -> str:\n    try:\n        urllib.request.urlopen(\"http://{address}:{port}/\", timeout=3)\n    \
         except OSError as error:\n        return \"kept from it\"\n    return \"reached\"\n\n\n\
         @node(network=True)\ndef asks() -> str:\n    \
         return urllib.request.urlopen(\"http://169.254.169.254/\", timeout=10).read().decode()\n\n\n\
         @workflow\ndef main() -> list[str]:\n    return [kept(), reach()]\n\n\n\
         @workflow\ndef metadata() -> str:\n    return asks()\n"
    );
    let file = served.home.path().join("reach.py");
    std::fs::write(&file, text).expect("the home takes files");
    let file = file.display().to_string();
    if runtime == "docker" {
        assert_eq!(served.result(&file, "main", &[]), json!(["kept from it", "hello"]));
        let run = served.run(&file, "metadata", &[]);
        let message = run["error"]["failure"]["message"].as_str().unwrap_or_default();
        assert!(message.ends_with("only where the runner's QFLOW_EGRESS_ALLOW lists it"), "{run:#}");
        drop(answering.join());
    } else {
        let run = served.run(&file, "main", &[]);
        assert!(
            run["said"].to_string().contains("without network=True: a container would keep it from any network"),
            "{run:#}"
        );
    }
}
