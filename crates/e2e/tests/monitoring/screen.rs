//! `qflow top` under a terminal of its own: what stands on its screen, and what keys do to that.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use qflow_e2e::{Dev, Home, Served, object, program, until, wait_for, wait_seeing};

/// Rows and columns.
type Size = (u16, u16);

const WIDE: Size = (36, 132);

/// A program on a terminal.
struct Terminal {
    child: Dev,
    screen: Arc<Mutex<vt100::Parser>>,
}

impl Terminal {
    /// `qflow top` as a command has it, but on a terminal of that size; `script` has the terminal.
    fn start(top: &Command, (rows, columns): Size) -> Self {
        let line = format!("stty rows {rows} cols {columns}; exec '{}' top", program().display());
        let mut command = Command::new("script");
        command.args(["-qefc", &line, "/dev/null"]).current_dir(qflow_e2e::root());
        for (name, value) in top.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command.env("TERM", "xterm-256color").env_remove("NO_COLOR");
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child: Child = command.spawn().expect("script starts");
        let screen = Arc::new(Mutex::new(vt100::Parser::new(rows, columns, 0)));
        let (mut told, shown) = (child.stdout.take().expect("it is piped"), Arc::clone(&screen));
        std::thread::spawn(move || {
            let mut bytes = [0; 4096];
            while let Ok(read @ 1..) = told.read(&mut bytes) {
                shown.lock().unwrap_or_else(PoisonError::into_inner).process(&bytes[..read]);
            }
        });
        Self { child: Dev(child), screen }
    }

    fn parser(&self) -> MutexGuard<'_, vt100::Parser> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn text(&self) -> String {
        self.parser().screen().contents()
    }

    fn press(&mut self, keys: &str) {
        let to = self.child.0.stdin.as_mut().expect("it is piped");
        to.write_all(keys.as_bytes()).and_then(|()| to.flush()).expect("the terminal takes keys");
    }

    fn shows(&self, what: &str, parts: &[&str]) -> String {
        wait_seeing(what, || parts.iter().all(|part| self.text().contains(part)), || self.text());
        self.text()
    }
}

/// The screen without what differs from call to call, and without what stands in the tables at its foot below their heads.
fn masked(screen: &str, server: &str, run: &str) -> String {
    let mut told = String::new();
    let mut below = false;
    for line in screen.lines() {
        let line = line.replace(server, "http://SERVER").replace(run, &"R".repeat(run.len()));
        // Of a narrow screen the end of it alone.
        let line = line.replace(&run[run.len() - 12..], "RRRRRRRRRRRR");
        let line: String = line.chars().map(|c| if c.is_ascii_digit() { '#' } else { c }).collect();
        let words: Vec<&str> = line.split_whitespace().collect();
        let is_foot = words.first() == Some(&"Enter");
        // How many rows are empty depends on how many containers there are.
        if (!below && !words.is_empty()) || is_foot {
            let line = words.join(" ");
            let line = ["healthy", "degraded", "unhealthy"].iter().fold(line, |line, word| {
                line.split(' ').map(|part| if part == *word { "VERDICT" } else { part }).collect::<Vec<_>>().join(" ")
            });
            told += &line.replace("##", "#").replace("##", "#");
            told.push('\n');
        }
        below |= words.first() == Some(&"ID");
    }
    // Where the totals go on in a next line depends on their numbers.
    let (head, tables) = told.split_once("\nruns #").expect("the runs come first");
    let (first, totals) = head.split_once('\n').expect("the totals come second");
    format!("{first}\n{}\nruns #{tables}", totals.replace('\n', " "))
}

/// Hands connections on to an address, as `kubectl port-forward` does; where.
fn forwarded(address: &str) -> String {
    let to = address.strip_prefix("http://").expect("an address").to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let here = listener.local_addr().expect("it is bound");
    let copy = |mut from: TcpStream, mut to: TcpStream| {
        std::thread::spawn(move || {
            std::io::copy(&mut from, &mut to).ok();
            to.shutdown(Shutdown::Write).ok();
        });
    };
    // It ends with the process of the test.
    std::thread::spawn(move || {
        for near in listener.incoming().map_while(Result::ok) {
            let Ok(far) = TcpStream::connect(&to) else { continue };
            let both = |stream: &TcpStream| stream.try_clone().expect("a socket can be shared");
            copy(both(&near), both(&far));
            copy(far, near);
        }
    });
    format!("http://{here}")
}

#[test]
fn top_status_and_health_work_through_ports_that_are_forwarded() {
    let served = Served::new(Home::new("process"));
    let line = ["run", "crates/e2e/cases/watched.py", "-p", "name=Ada", "--detach", "-o", "json"];
    let run = object(&served.home.run(&line), 0)["run_id"].as_str().expect("a run has an id").to_owned();
    let data = served.home.path().join("data");
    let told = std::fs::read_to_string(data.join("server.json")).expect("it serves");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let [server, health] = ["http", "health"].map(|name| forwarded(told[name].as_str().expect("an address")));
    // Another machine: it has neither the data directory nor the ports.
    let far = Home::new("process");
    let qflow = |args: &[&str]| {
        let mut command = far.qflow(args);
        command.env("QFLOW_SERVER", &server).env("QFLOW_HEALTH_SERVER", &health);
        command.env("QFLOW_TOKEN_FILE", data.join("token"));
        command
    };
    let status = || qflow(&["status", "-o", "json"]).output().expect("qflow starts");
    until(status, |status| status["workflows"][0]["run_id"] == run.as_str());
    let health = object(&qflow(&["health", "-o", "json"]).output().expect("qflow starts"), 0);
    assert_eq!(health["checks"]["database"]["status"], "healthy", "{health:#}");

    let mut top = Terminal::start(&qflow(&["top"]), WIDE);
    top.shows("the first screen", &[&run, "1/3", "database", "1 runs of 1 users", &server]);
    top.press("\r");
    top.shows("its log", &["greet | hello Ada", "waits for approval `go`"]);
    let answered = qflow(&["approve", &run]).output().expect("qflow starts");
    assert!(answered.status.success(), "{}", qflow_e2e::said(&answered));
    top.shows("the run ends before one's eyes", &["3/3 nodes"]);
    top.press("q");
    wait_for("it ends", || matches!(top.child.0.try_wait(), Ok(Some(status)) if status.success()));
}

#[test]
fn top_shows_what_is_under_way_and_a_run_is_looked_into() {
    let served = Served::new(Home::new("process"));
    let line = ["run", "crates/e2e/cases/watched.py", "-p", "name=Ada", "--detach", "-o", "json"];
    let run = object(&served.home.run(&line), 0)["run_id"].as_str().expect("a run has an id").to_owned();
    let shown = served.home.wait(&run, |run| {
        let greets = |node: &serde_json::Value| node["node_id"] == "greet" && node["status"] == "completed";
        run["nodes"].as_array().is_some_and(|nodes| nodes.iter().any(greets))
    });
    let told = std::fs::read_to_string(served.home.path().join("data/server.json")).expect("it serves");
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let server = told["http"].as_str().expect("an address");

    // On every terminal all of the columns that it shows are whole, and the run with its state, progress and age is there.
    for size in [(24, 80), (40, 120)] {
        let small = Terminal::start(&served.home.qflow(&["top"]), size);
        let screen = small.shows("a small screen", &[&run[run.len() - 12..], "running", "1/3 33", "database", " s"]);
        insta::assert_snapshot!(format!("{}x{}", size.1, size.0), masked(&screen, server, &run));
    }

    let mut top = Terminal::start(&served.home.qflow(&["top"]), WIDE);
    let first = top.shows("the first screen", &[&run, "1/3", "database", "3.1", "1 runs of 1 users"]);
    insta::assert_snapshot!(masked(&first, server, &run));

    top.press("?");
    top.shows("the keys", &["look into the run"]);
    top.press("?");
    top.press("/nothing");
    top.shows("no run that holds it", &["runs 0, with `nothing`"]);
    top.press("\x1b");
    top.shows("the run again", &[&run]);
    top.press("s");
    top.shows("another order", &["by progress"]);

    top.press("\r");
    let trace = shown["trace_id"].as_str().expect("a run has a trace");
    let into = top.shows("its nodes, its log and its trace", &[trace, "greet | hello Ada", "waits for approval `go`"]);
    assert!(into.contains("greet") && into.contains("completed"), "{into}");
    let answered = served.home.run(&["approve", &run]);
    assert!(answered.status.success());
    top.shows("the run ends before one's eyes", &["3/3 nodes"]);
    top.press("\x1b");
    top.shows("it has left the list", &["runs 0, by progress"]);
    top.press("q");
    wait_for("it ends", || matches!(top.child.0.try_wait(), Ok(Some(status)) if status.success()));
    assert!(!top.parser().screen().alternate_screen(), "the terminal is as it was");
}

#[test]
fn a_signal_that_ends_top_gives_the_terminal_back() {
    let served = Served::new(Home::new("process"));
    for signal in ["-TERM", "-HUP"] {
        let mut top = Terminal::start(&served.home.qflow(&["top"]), WIDE);
        top.shows("the first screen", &["runs 0", "database"]);
        assert!(top.parser().screen().alternate_screen(), "it has the terminal");
        let script = top.child.0.id();
        let children = std::fs::read_to_string(format!("/proc/{script}/task/{script}/children")).expect("script runs");
        let killed = Command::new("kill").args([signal, children.trim()]).status().expect("kill is there");
        assert!(killed.success(), "{children}");
        wait_for("it ends", || matches!(top.child.0.try_wait(), Ok(Some(status)) if status.code() == Some(130)));
        wait_for("the terminal is as it was", || !top.parser().screen().alternate_screen());
    }
}
