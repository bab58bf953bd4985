//! Calls of workflows and waits, as users see and answer them.

use qflow_e2e::{Home, object, said};
use serde_json::Value;

fn detached(home: &Home, args: &[&str]) -> String {
    let run = object(&home.run(&[&["run"], args, &["--detach", "-o", "json"]].concat()), 0);
    run["run_id"].as_str().expect("a run has an id").to_owned()
}

fn node<'a>(run: &'a Value, id: &str) -> Option<&'a Value> {
    run["nodes"].as_array()?.iter().find(|node| node["node_id"] == id)
}

fn asks(run: &Value) -> bool {
    node(run, "release/approval").is_some_and(|node| node["waits_for"] == "finance")
}

fn an_approval_is_asked_for_survives_a_crash_and_is_answered_once(runtime: &'static str) {
    let home = Home::new(runtime);
    let mut dev = home.dev();
    let run = detached(&home, &["crates/e2e/cases/waits.py", "-p", "report=q3"]);
    let waiting = home.wait(&run, asks);
    assert_eq!(
        (&waiting["status"], &node(&waiting, "release/sleep").expect("it slept")["type"]),
        (&"running".into(), &"wait".into())
    );
    let list = said(&home.run(&["runs", "list"]));
    assert!(list.contains(&format!("waits for approval `finance`: qflow approve {run} release/approval")), "{list}");
    let shown = said(&home.run(&["runs", "get", &run]));
    assert!(shown.contains("waits for approval `finance` until 20"), "{shown}");
    dev.kill();
    let _dev = home.dev();
    let wrong = home.run(&["approve", &run, "legal"]);
    assert!(
        said(&wrong).contains("it waits for release/approval (`finance`)") && !wrong.status.success(),
        "{}",
        said(&wrong)
    );
    for args in [["approve", &run, "finance", "-m", "fine"].as_slice(), &["runs", "approve", &run, "release/approval"]]
    {
        let answered = home.run(args);
        assert!(answered.status.success(), "the same answer may come again: {}", said(&answered));
    }
    let other = home.run(&["approve", &run, "finance", "--reject"]);
    assert!(
        said(&other).contains("`release/approval` was already approved at 20") && !other.status.success(),
        "{}",
        said(&other)
    );
    let after = home.wait(&run, |run| run["status"] == "completed");
    assert_eq!(after["result"], "published q3");
    let answered = &node(&after, "release/approval").expect("it is there")["answered"];
    assert_eq!(
        (&answered["approved"], &answered["by"], &answered["comment"]),
        (&true.into(), &"local".into(), &"fine".into())
    );
    let shown = said(&home.run(&["runs", "get", &run]));
    assert!(shown.contains("approved by local: fine"), "{shown}");
}

fn a_rejection_takes_the_other_side(runtime: &'static str) {
    let home = Home::new(runtime);
    let _dev = home.dev();
    let run = detached(&home, &["crates/e2e/cases/waits.py", "-p", "report=q3"]);
    home.wait(&run, asks);
    let rejected = home.run(&["approve", &run, "--reject"]);
    assert!(rejected.status.success(), "the only one that waits needs no name: {}", said(&rejected));
    let after = home.wait(&run, |run| run["status"] == "completed");
    assert_eq!(
        (&after["result"], &node(&after, "release/publish").expect("it is there")["status"]),
        (&"kept".into(), &"skipped".into())
    );
}

fn a_single_call_without_a_terminal_says_that_nobody_can_answer(runtime: &'static str) {
    let home = Home::new(runtime);
    let output = home.run(&["run", "crates/e2e/cases/waits.py", "-p", "report=q3", "--timeout", "15s"]);
    let told = said(&output);
    assert!(told.contains("waits for approval `finance` (release/approval), which nobody can give"), "{told}");
    assert!(told.contains("qflow dev") && !output.status.success(), "{told}");
}

/// Runs a command on a pseudo-terminal, types a line once it is asked, and prints what the terminal showed.
const TYPED: &str = r#"
import os, pty, sys
line, out, *command = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.dup2(os.open(out, os.O_WRONLY | os.O_CREAT), 1)
    os.execv(command[0], command)
shown, left = b"", [line.encode() + b"\n"]
while True:
    try:
        data = os.read(terminal, 4096)
    except OSError:  # its last user has gone
        break
    shown += data
    if left and b"[y/N]" in shown:
        os.write(terminal, left.pop())
    if not data:
        break
sys.stdout.buffer.write(shown)
sys.exit(os.WEXITSTATUS(os.waitpid(pid, 0)[1]))
"#;

/// Calls `qflow` on a terminal where `typed` is typed once it asks; what the terminal showed, and what it wrote to stdout.
fn on_a_terminal(home: &Home, typed: &str, call: &str) -> (String, String) {
    let (script, out) = (home.path().join("typed.py"), home.path().join("stdout"));
    std::fs::write(&script, TYPED).expect("the home takes files");
    std::fs::write(&out, "").expect("the home takes files");
    let (script, written, program) = (script.display(), out.display(), qflow_e2e::program());
    let line = format!("python '{script}' '{typed}' '{written}' '{}' {call}", program.display());
    let told = home.shell(&line).output().expect("the shell starts");
    assert!(told.status.success(), "{typed}: {}", said(&told));
    let written = std::fs::read_to_string(&out).expect("stdout is a file");
    (String::from_utf8_lossy(&told.stdout).into_owned(), written.trim().to_owned())
}

fn a_single_call_asks_on_its_terminal(runtime: &'static str) {
    let home = Home::new(runtime);
    for (typed, result) in [("y", "published q3"), ("YES", "published q3"), ("n", "kept"), ("", "kept")] {
        let call = "run crates/e2e/cases/waits.py -p report=q3 -o raw --timeout 60s";
        let (shown, written) = on_a_terminal(&home, typed, call);
        assert!(shown.contains("approve `finance` (release/approval)? [y/N]"), "{shown}");
        assert_eq!(written, result, "{typed:?}: {shown}");
    }
}

fn an_answer_without_a_server_asks_for_what_comes_next(runtime: &'static str) {
    let home = Home::new(runtime);
    let dev = home.dev();
    let run = detached(&home, &["crates/e2e/cases/approvals.py"]);
    home.wait(&run, |run| node(run, "approval").is_some_and(|node| node["waits_for"] == "legal"));
    drop(dev);
    let (shown, written) = on_a_terminal(&home, "y", &format!("approve {run} legal -o raw"));
    assert!(shown.contains("approved approval") && shown.contains("approve `finance` (approval-2)? [y/N]"), "{shown}");
    let result: Value = serde_json::from_str(&written).unwrap_or_else(|e| panic!("the result: {e}: {written}"));
    assert_eq!(result, serde_json::json!([true, true]), "{shown}");
}

fn nodes_below_calls_have_ids_and_logs(runtime: &'static str) {
    let home = Home::new(runtime);
    let _dev = home.dev();
    let run = detached(&home, &["crates/e2e/cases/nested.py", "-p", "count=3"]);
    let after = home.wait(&run, |run| run["status"] == "completed");
    assert_eq!(after["result"], 8);
    for (id, kind) in
        [("one", Some("workflow")), ("one[1]", Some("workflow")), ("one[1]/square", None), ("one[2]/more", None)]
    {
        let node = node(&after, id).unwrap_or_else(|| panic!("{id}: {after}"));
        assert_eq!((node["status"].as_str(), node["type"].as_str()), (Some("completed"), kind), "{id}");
    }
    let lines = |node: &str| said(&home.run(&["runs", "logs", &run, "--node", node]));
    assert!(lines("one[1]/square").contains("one[1]/square | squares 1"), "{}", lines("one[1]/square"));
    assert!(!lines("one[1]/square").contains("squares 2") && lines("one").contains("squares 2"));
    assert!(lines("one/nothing").contains("it has one/square, one/more"), "{}", lines("one/nothing"));
}

macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::$name("process"); } )* }
        mod docker { $( #[test] fn $name() { super::$name("docker"); } )* }
    };
}

on_both! {
    an_approval_is_asked_for_survives_a_crash_and_is_answered_once
    a_rejection_takes_the_other_side
    a_single_call_without_a_terminal_says_that_nobody_can_answer
    a_single_call_asks_on_its_terminal
    an_answer_without_a_server_asks_for_what_comes_next
    nodes_below_calls_have_ids_and_logs
}
