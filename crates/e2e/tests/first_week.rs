//! What users bring in their first week, whole: six workflows of `examples/` with their data, on processes and in Docker.

use std::{
    collections::BTreeMap,
    io::{BufRead as _, BufReader, Write as _},
    net::{IpAddr, TcpListener, TcpStream, UdpSocket},
    path::Path,
    process::Command,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use qflow_e2e::{Home, object, root, said};
use serde_json::{Value, json};

/// Each of these is a test on processes and one in Docker.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::$name("process"); } )* }
        mod docker { $( #[test] fn $name() { super::$name("docker"); } )* }
    };
}

on_both! {
    sales_become_a_parquet_file
    parameters_of_a_classifier_are_searched
    a_batch_keeps_to_what_the_server_allows
    files_are_parsed_one_by_one_and_failures_are_named
    a_nightly_report_has_dates_for_parameters
    a_pipeline_has_several_modules
}

/// What an example prints as ordinary Python, started in a folder of its own.
fn plain(home: &Home, example: &str) -> String {
    let folder = home.path().join("plain");
    std::fs::create_dir_all(&folder).expect("the home takes folders");
    let file = root().join(example);
    let output = home.shell(&format!("python '{}'", file.display())).current_dir(folder).output();
    let output = output.expect("the shell starts");
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
}

/// A run of an example to its end, which is completed.
fn completed(home: &Home, args: &[&str]) -> Value {
    let run = object(&home.run(&[&["run"], args, &["-o", "json"]].concat()), 0);
    assert_eq!(run["status"], "completed", "{run}");
    run
}

/// The state of a node of a run.
fn node<'a>(run: &'a Value, id: &str) -> &'a Value {
    let nodes = run["nodes"].as_array().expect("a list");
    nodes.iter().find(|node| node["node_id"] == id).unwrap_or_else(|| panic!("there is no {id}: {run}"))
}

fn sales_become_a_parquet_file(runtime: &'static str) {
    let run = completed(&Home::new(runtime), &["examples/etl.py", "-p", "sales=@examples/data/sales.csv"]);
    assert_eq!(run["result"]["totals"], json!({ "asia": 15.5, "eu": 33.5, "us": 29.25 }));
    assert_eq!(run["result"]["rows"], 8);
}

fn parameters_of_a_classifier_are_searched(runtime: &'static str) {
    let home = Home::new(runtime);
    let run = completed(&home, &["examples/search.py", "-p", "depths:=[1, 4]", "-p", "trees:=[5, 30]"]);
    assert_eq!(run["result"][0], json!({ "depth": 4, "trees": 30 }), "{run}");
    assert!(run["result"][1].as_f64().is_some_and(|accuracy| accuracy > 0.9), "{run}");
    assert_eq!(node(&run, "score")["status"], "completed");
}

fn files_are_parsed_one_by_one_and_failures_are_named(runtime: &'static str) {
    let home = Home::new(runtime);
    let run = completed(&home, &["examples/logs.py"]);
    let expected =
        json!({ "counts": { "200": 16, "500": 4 }, "failed": { "b.log": "ValueError: line 2 has 2 words, not 3" } });
    assert_eq!(run["result"], expected);
    // The words of Python and of JSON differ in their quotes alone.
    let same: Value =
        serde_json::from_str(&plain(&home, "examples/logs.py").replace('\'', "\"")).expect("a dict of texts");
    assert_eq!(same, expected);
}

fn a_nightly_report_has_dates_for_parameters(runtime: &'static str) {
    let home = Home::new(runtime);
    let run = |args: &[&str]| {
        let output = home.run(&[&["run", "examples/nightly.py", "-o", "raw"], args].concat());
        assert_eq!(output.status.code(), Some(0), "{}", said(&output));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    };
    let three = "Report of 25 November 2026\nSun 22 Nov   0     0.00\nMon 23 Nov  33    82.50\nTue 24 Nov  34    85.00\nsum              167.50";
    assert_eq!(run(&["-p", "day=2026-11-25"]), three);
    assert_eq!(plain(&home, "examples/nightly.py"), three);
    assert_eq!(run(&["-p", "day=2026-11-23", "-p", "back=P1D"]), "Report of 23 November 2026: no revenue");
}

fn a_pipeline_has_several_modules(runtime: &'static str) {
    let home = Home::new(runtime);
    let run = completed(&home, &["examples/shop/main.py", "-p", "year=2025"]);
    let turnover = |id: i64, name: &str, orders: i64, total: f64| json!({ "customer": { "id": id, "name": name }, "orders": orders, "total": total });
    let all = [turnover(1, "Ada", 1, 1.0), turnover(2, "Eve", 1, 500.0), turnover(3, "Zoë", 0, 0.0)];
    assert_eq!(run["result"], json!(["2025: Eve spent 500.00", all]));
    assert!(plain(&home, "examples/shop/main.py").starts_with("('2026: Eve spent 99.00', [Turnover("));
}

/// The key that the server wants.
const KEY: &str = "k3y-of-the-shop";
/// Customers that the server answers at once; it has the others wait for a second.
const AT_ONCE: usize = 3;

/// A server of customers that knows its key and limits its rate.
#[derive(Default)]
struct Server {
    answered: AtomicUsize,
    /// Requests that came before the time that they were told.
    early: AtomicUsize,
    /// When the customers that had to wait were told so.
    told: Mutex<BTreeMap<String, Instant>>,
}

impl Server {
    /// Serves on every address of this machine, for as long as the test's process lives.
    fn start() -> (Arc<Self>, u16) {
        let listener = TcpListener::bind("0.0.0.0:0").expect("a port is free");
        let port = listener.local_addr().expect("it is bound").port();
        let server = Arc::new(Self::default());
        let serving = Arc::clone(&server);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // Who hangs up early is nobody's harm.
                drop(serving.answer(stream.expect("a listener accepts")));
            }
        });
        (server, port)
    }

    fn answer(&self, mut stream: TcpStream) -> std::io::Result<()> {
        let mut lines = BufReader::new(stream.try_clone()?).lines();
        let asked = lines.next().unwrap_or(Ok(String::new()))?;
        let (mut known, mut idempotent) = (false, false);
        for line in lines {
            let line = line?.to_ascii_lowercase();
            known |= line == format!("authorization: bearer {KEY}");
            idempotent |= line.starts_with("idempotency-key: ");
            if line.is_empty() {
                break;
            }
        }
        let name = asked.split(' ').nth(1).and_then(|path| path.strip_prefix("/customers/")).unwrap_or_default();
        let (status, more, body) = if !known || !idempotent {
            ("401 Unauthorized", "", "{}".to_owned())
        } else if self.allows(name) {
            self.answered.fetch_add(1, Ordering::Relaxed);
            ("200 OK", "", json!({ "orders": name.len() }).to_string())
        } else {
            ("429 Too Many Requests", "Retry-After: 1\r\n", "{}".to_owned())
        };
        let length = body.len();
        write!(stream, "HTTP/1.1 {status}\r\n{more}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    }

    fn allows(&self, name: &str) -> bool {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(at) = told.get(name) {
            let waited = at.elapsed() >= Duration::from_secs(1);
            self.early.fetch_add(usize::from(!waited), Ordering::Relaxed);
            return waited;
        }
        if self.answered.load(Ordering::Relaxed) < AT_ONCE {
            return true;
        }
        told.insert(name.to_owned(), now());
        false
    }
}

#[expect(clippy::disallowed_methods, reason = "a server that limits its rate has a clock")]
fn now() -> Instant {
    Instant::now()
}

/// An address of this machine that a container reaches too: that of its way to the outside. Nothing is sent.
fn address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
    socket.connect("192.0.2.1:9").expect("this machine has a route to the outside");
    socket.local_addr().expect("it is bound").ip()
}

fn a_batch_keeps_to_what_the_server_allows(runtime: &'static str) {
    let home = Home::new(runtime).with("QFLOW_EGRESS_ALLOW", address().to_string());
    let (server, port) = Server::start();
    secret(home.path(), KEY);
    let at = format!("server=http://{}:{port}", address());
    let names = r#"names:=["ada", "eve", "zoe", "bob", "joe", "kim", "lea", "max"]"#;
    let run = |command: &mut Command| {
        command.env("QFLOW_SECRETS_DIR", home.path().join("secrets")).output().expect("qflow starts")
    };
    let line = ["run", "examples/batch.py", "-p", &at, "-p", names, "-o", "json"];
    let output = run(&mut home.qflow(&line));
    let done = object(&output, 0);
    assert_eq!(done["result"], json!({ "customers": 8, "orders": 24 }));
    assert_eq!(server.answered.load(Ordering::Relaxed), 8);
    let told = server.told.lock().unwrap_or_else(PoisonError::into_inner).len();
    assert!(told >= 8 - 2 * AT_ONCE, "{told} of 8 had to wait: {done}");
    assert_eq!(server.early.load(Ordering::Relaxed), 0, "nobody came back before its time: {done}");
    assert!(!said(&output).contains(KEY), "the key is shown nowhere");

    // A wrong key is no matter of time.
    secret(home.path(), "another-key");
    let failed = object(
        &run(&mut home.qflow(&["run", "examples/batch.py", "-p", &at, "-p", "names:=[\"ada\"]", "-o", "json"])),
        1,
    );
    assert_eq!(failed["error"]["failure"]["error_type"], "Abort", "{failed}");
    assert_eq!(node(&failed, "lookup[0]")["attempts"], 1, "{failed}");
}

fn secret(home: &Path, text: &str) {
    let folder = home.join("secrets/default");
    std::fs::create_dir_all(&folder).expect("the home takes folders");
    std::fs::write(folder.join("shop-key"), text).expect("the home takes files");
}
