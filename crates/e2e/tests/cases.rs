//! The language: every case gives by `qflow run` what the same file gives as ordinary Python.

use std::{path::Path, process::Command};

use qflow_e2e::{Home, object, root, said};
use serde_json::Value;

/// Runs a file's cases as ordinary Python, and prints what each gives, as Qflow's plain form has it.
const PLAIN: &str = "
import dataclasses, importlib, json, sys
sys.path[:0] = [sys.argv[1], sys.argv[2]]
module = importlib.import_module(sys.argv[3])
cases = json.loads(sys.argv[4]) if len(sys.argv) > 4 else module.CASES
print(json.dumps([[case, module.main(**case)] for case in cases], default=dataclasses.asdict))
";

/// Each case of a file with what plain Python says of it.
fn plain(python: &str, name: &str, cases: Option<Value>) -> Vec<(Value, Value)> {
    let folder = root().join("crates/e2e/cases");
    let mut command = Command::new(python);
    command.args(["-c", PLAIN]).arg(root().join("python")).arg(folder).arg(name);
    command.args(cases.map(|cases| cases.to_string()));
    let output = command.output().expect("Python starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{name}: {e}: {}", said(&output)))
}

fn same_as_python(home: &Home, name: &str, cases: Option<Value>, before: impl Fn()) {
    let file = format!("crates/e2e/cases/{name}.py");
    before();
    let expected = plain(&python(), name, cases);
    for (case, expected) in expected {
        before();
        let mut line = vec!["run".to_owned(), file.clone(), "-o".to_owned(), "json".to_owned()];
        for (parameter, value) in case.as_object().expect("a case is an object") {
            line.extend(["-p".to_owned(), format!("{parameter}:={value}")]);
        }
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let run = object(&home.run(&line), 0);
        assert_eq!(run["result"], expected, "{name} {case}");
    }
}

/// A Python that knows all of the cases' syntax.
fn python() -> String {
    let found = Command::new(root().join("deploy/local/pythons")).output().expect("the script starts");
    let all = String::from_utf8_lossy(&found.stdout).into_owned();
    all.split_whitespace().next_back().expect("a Python is there").to_owned()
}

/// Each of these is a test on processes and one in Docker.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::same_as_python(&qflow_e2e::Home::new("process"), stringify!($name), None, || {}); } )* }
        mod docker { $( #[test] fn $name() { super::same_as_python(&qflow_e2e::Home::new("docker"), stringify!($name), None, || {}); } )* }
    };
}

on_both! { returns lists parts conditions values children failures handed narrowing classes }

/// What the cases give is the same in a version's image as in plain Python.
fn holds_in_the_image_of(version: &str) {
    let home = Home::new("docker").with("QFLOW_PYTHON_VERSIONS", version);
    for name in ["returns", "lists", "parts", "conditions", "values", "children", "handed", "narrowing", "classes"] {
        let (case, expected) = plain(&python(), name, None).remove(0);
        let given = case.as_object().expect("a case is an object").iter();
        let given = given.flat_map(|(parameter, value)| ["-p".to_owned(), format!("{parameter}:={value}")]);
        let line = ["run".to_owned(), format!("crates/e2e/cases/{name}.py"), "-o".to_owned(), "json".to_owned()];
        let line: Vec<String> = line.into_iter().chain(given).collect();
        let run = object(&home.run(&line.iter().map(String::as_str).collect::<Vec<_>>()), 0);
        assert_eq!(run["result"], expected, "{name} in {version}");
    }
}

macro_rules! in_images_of {
    ($($name:ident $version:literal)*) => {
        mod image_of { $( #[test] fn $name() { super::holds_in_the_image_of($version); } )* }
    };
}

in_images_of! { python_3_9 "3.9" python_3_10 "3.10" python_3_11 "3.11" python_3_12 "3.12" python_3_13 "3.13" }

/// A package in `src`, its files named through their folders, and a data file beside them.
fn a_project_in_the_src_layout(home: &Home) {
    let file = "crates/e2e/cases/layout/flows/daily.py";
    let run = object(&home.run(&["run", file, "-o", "json"]), 0);
    let expected = serde_json::json!({"total": "6.8", "first": {"name": "tea", "amount": "2.9"}, "version": 2});
    assert_eq!(run["result"], expected, "{run:#}");
    let command = format!("PYTHONPATH=crates/e2e/cases/layout/src python {file}");
    let plain = home.shell(&command).output().expect("the shell starts");
    let printed = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(printed.contains("Price(name='tea', amount=Decimal('2.9'))"), "{}", said(&plain));
}

mod src_layout {
    #[test]
    fn runs_on_processes() {
        super::a_project_in_the_src_layout(&qflow_e2e::Home::new("process"));
    }

    #[test]
    fn runs_in_docker() {
        super::a_project_in_the_src_layout(&qflow_e2e::Home::new("docker"));
    }
}

/// Functions of one name in several files: each call is of the file that it names, and counted by the name.
fn names_that_several_files_have(home: &Home) {
    let file = "crates/e2e/cases/modules/report.py";
    let run = object(&home.run(&["run", file, "-o", "json"]), 0);
    let each = serde_json::json!(["customers sales 1", "customers customers 1"]);
    let expected = serde_json::json!([["sales 1", "customers 1"], each, "sales 1", "customers 1"]);
    assert_eq!(run["result"], expected, "{run:#}");
    let nodes = run["nodes"].as_array().expect("a run has nodes").iter();
    let ids: std::collections::BTreeSet<_> = nodes.filter_map(|node| node["node_id"].as_str()).collect();
    for id in ["load", "load-2", "load-3", "summary", "summary-2"] {
        assert!(ids.contains(id), "{id}: {ids:?}");
    }
    let other = home.run(&["run", file, "-w", "customers.summary", "-p", "x=7", "-o", "json"]);
    assert_eq!(object(&other, 0)["result"], "customers 7");
    let plain = home.shell(&format!("python {file}")).output().expect("the shell starts");
    let printed = String::from_utf8_lossy(&plain.stdout).into_owned();
    assert!(printed.starts_with("[['sales 1', 'customers 1'], ['customers sales 1'"), "{}", said(&plain));
}

mod one_name {
    #[test]
    fn runs_on_processes() {
        super::names_that_several_files_have(&qflow_e2e::Home::new("process"));
    }

    #[test]
    fn runs_in_docker() {
        super::names_that_several_files_have(&qflow_e2e::Home::new("docker"));
    }
}

#[test]
fn calls_by_themselves_run_in_order() {
    let home = Home::new("process");
    let folder = home.path().join("notes-of-order");
    std::fs::create_dir_all(&folder).expect("the home takes folders");
    let cases = serde_json::json!([{ "folder": folder.to_str() }]);
    let fresh = |path: &Path| drop(std::fs::remove_file(path.join("notes")));
    same_as_python(&home, "order", Some(cases), || fresh(&folder));
}
