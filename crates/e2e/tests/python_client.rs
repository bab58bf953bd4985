//! `qflow.client` against a server: it runs what `qflow run` runs, and raises what went wrong.

use std::process::Output;

use qflow_e2e::{Dev, Home, object, said};
use serde_json::{Value, json};

/// A server, and a Python beside it that finds it as every client of its data directory does.
struct House {
    home: Home,
    _dev: Dev,
}

impl House {
    fn new() -> Self {
        let home = Home::new("process");
        let dev = home.dev();
        Self { home, _dev: dev }
    }

    fn write(&self, name: &str, text: &str) -> String {
        let path = self.home.path().join(name);
        std::fs::write(&path, text).expect("the home takes files");
        path.display().to_string()
    }

    /// What a program of Python does with these arguments.
    fn python(&self, program: &str, args: &[&str]) -> Output {
        let program = self.write("program.py", program);
        let args: String = args.iter().map(|arg| format!(" '{arg}'")).collect();
        self.home.shell(&format!("python '{program}'{args}")).output().expect("the shell starts")
    }

    /// The digest of a workflow's newest source.
    fn digest(&self, workflow: &str) -> Value {
        let output = self.home.run(&["workflows", "-o", "json"]);
        let all: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
        let found = all.as_array().into_iter().flatten().find(|one| one["name"] == workflow);
        found.unwrap_or_else(|| panic!("no `{workflow}`: {all}"))["digest"].clone()
    }
}

const RUN: &str = "\
import json, sys
from qflow.client import Client

print(json.dumps(Client().run(sys.argv[1], **json.loads(sys.argv[2]))))
";

#[test]
fn the_examples_give_what_qflow_run_gives_of_the_same_files() {
    let house = House::new();
    for (file, workflow, given) in [
        ("examples/hello.py", "hello", json!({"name": "Ada"})),
        ("examples/primes.py", "primes", json!({"upto": 20_000, "slices": 4})),
        ("examples/branch.py", "branch", json!({"amount": 900})),
        ("examples/shop/main.py", "shop", json!({"year": 2026})),
    ] {
        let mut line = vec!["run".to_owned(), file.to_owned(), "-o".to_owned(), "json".to_owned()];
        for (name, value) in given.as_object().into_iter().flatten() {
            let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            line.extend(["-p".to_owned(), format!("{name}={value}")]);
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let (run, sent) = (object(&house.home.run(&line), 0), house.digest(workflow));
        let output = house.python(RUN, &[file, &given.to_string()]);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", said(&output)));
        assert_eq!(result, run["result"], "{file}");
        assert_eq!(house.digest(workflow), sent, "{file}: the same files under the same names");
    }
}

const RAISED: &str = "\
import sys
from qflow.client import Client, QflowError, RunFailed

try:
    Client().run(sys.argv[1])
except RunFailed as failed:
    print(failed.status, failed.error['node_id'], failed.error['failure']['error_type'], len(failed.trace_id))
    print(failed)
except QflowError as refused:
    print(refused.code, refused.status, refused.problems[0]['place']['line'])
    print(refused)
";

#[test]
fn a_run_that_fails_raises_the_traceback_of_the_users_own_line() {
    let house = House::new();
    let output = house.python(RAISED, &["examples/flaky.py"]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.starts_with("failed ratio ZeroDivisionError 32\n"), "{}", said(&output));
    for line in
        ["failed in ratio: ZeroDivisionError:", "File \"flaky.py\", line 19, in ratio", "float division by zero"]
    {
        assert!(told.contains(line), "`{line}` is missing: {told}");
    }
}

#[test]
fn a_source_that_is_refused_raises_each_problem_with_its_place_and_remedy() {
    let house = House::new();
    let wrong = "from qflow import workflow\n\n\n@workflow\ndef w(n: int = 1) -> int:\n    while n:\n        pass\n    return n\n";
    let file = house.write("wrong.py", wrong);
    let output = house.python(RAISED, &[&file]);
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(told.starts_with("invalid_argument 422 6\n"), "{}", said(&output));
    assert!(told.contains("wrong.py:6:5: a workflow has no loops: write map(fn, xs)"), "{told}");
}

const FLOW: &str = "\
from pathlib import Path

from qflow import File, Folder, approval, node, workflow


@node
def gather(rows: File, parts: Folder) -> Folder:
    out = Path('out')
    out.mkdir()
    for part in sorted(parts.iterdir()):
        print('part', part.name)
        (out / part.name).write_text(rows.read_text() + part.read_text())
    return Folder(out)


@node
def nothing(parts: Folder) -> Folder:
    return parts


@workflow
def flow(rows: File, parts: Folder) -> Folder:
    gathered = gather(rows, parts)
    if approval('finance'):
        kept = nothing(gathered)
    else:
        kept = gathered
    return kept
";

const USED: &str = "\
import pathlib, sys
from qflow import File
from qflow.client import Client

flow, home = sys.argv[1], pathlib.Path(sys.argv[2])
(home / 'parts').mkdir()
(home / 'rows.csv').write_text('rows\\n')
for name in ('a', 'b'):
    (home / 'parts' / name).write_text(name)
client = Client()
given = {'rows': File(home / 'rows.csv'), 'parts': home / 'parts'}
started = client.start(flow, parameters=given, idempotency_key='one')
again = client.start(flow, parameters=given, idempotency_key='one')
assert (again['run_id'], again['created']) == (started['run_id'], False), again
run_id = started['run_id']
for run in client.watch(run_id):
    waits = [node for node in client.get(run_id)['nodes'] if node['waits_for']]
    if waits and not waits[0]['answered']:
        client.approve(run_id, comment='fine')
assert client.wait(run_id)['status'] == 'completed'
assert [line['text'] for line in client.logs(run_id, follow=True)] == ['part a', 'part b']
assert [line['text'] for line in client.logs(run_id, node='gather')] == ['part a', 'part b']
assert client.result(run_id) == {'attachment': 'folder', 'index': 0}
out = client.download(run_id, home / 'back')
print(sorted((path.name, path.read_text()) for path in out.iterdir()))
assert [run['run_id'] for run in client.runs(workflow='flow', status='completed')] == [run_id]
";

#[test]
fn files_go_there_and_back_and_a_run_is_followed_and_answered() {
    let house = House::new();
    let flow = house.write("flow.py", FLOW);
    let output = house.python(USED, &[&flow, &house.home.path().display().to_string()]);
    assert!(output.status.success(), "{}", said(&output));
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(told.trim(), "[('a', 'rows\\na'), ('b', 'rows\\nb')]");
}
