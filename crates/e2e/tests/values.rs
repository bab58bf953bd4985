//! Values between nodes, by `qflow run` on processes and in Docker, in every version of Python that both have.

use std::{collections::BTreeSet, process::Command};

use qflow_e2e::{Home, Served, root, said};
use serde_json::{Value, json};

/// What Docker and processes are asked for here: the oldest and the newest, and those between.
const PYTHONS: [&str; 5] = ["3.9", "3.10", "3.11", "3.12", "3.13"];

/// Each of these is a test on processes and one in Docker.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::$name("process"); } )* }
        mod docker { $( #[test] fn $name() { super::$name("docker"); } )* }
    };
}

on_both! { classes_are_rebuilt_as_declared files_and_folders_travel what_does_not_travel_is_told frames_arrays_and_models_travel frames_and_arrays_are_held_to_what_they_declare a_frame_has_its_dtypes_in_another_version_of_python }

/// What the same file gives as ordinary Python.
fn plain(name: &str, call: &str) -> Value {
    let found = Command::new(root().join("deploy/local/pythons")).output().expect("the script starts");
    let all = String::from_utf8_lossy(&found.stdout).into_owned();
    let newest = all.split_whitespace().next_back().expect("a Python is there");
    let program =
        format!("import json, sys\nsys.path[:0] = sys.argv[1:]\nimport {name}\nprint(json.dumps({name}.{call}))");
    let folder = root().join("crates/e2e/cases/between");
    let mut command = Command::new(newest);
    command.args(["-B", "-c", &program]).arg(root().join("python")).arg(folder);
    let output = command.current_dir(tempfile::tempdir().expect("a folder").keep()).output().expect("Python starts");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{name}: {e}: {}", said(&output)))
}

fn classes_are_rebuilt_as_declared(runtime: &'static str) {
    // Processes have an older one than any image that is still made.
    let (versions, offered) = match runtime {
        "process" => ([&["3.8"][..], &PYTHONS].concat(), "3.8,3.9,3.10,3.11,3.12,3.13"),
        _ => (PYTHONS.to_vec(), "3.9,3.10,3.11,3.12,3.13"),
    };
    let served = Served::new(Home::new(runtime).with("QFLOW_PYTHON_VERSIONS", offered));
    let expected = plain("rebuilt", "main('z')");
    for python in versions {
        let file = served.home.case("between/rebuilt.py", python);
        assert_eq!(served.result(&file, "main", &["-p", "name=z"]), expected, "{python}");
    }
}

fn files_and_folders_travel(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    for python in ["3.9", "3.13"] {
        let file = served.home.case("between/files.py", python);
        let lines: Vec<_> = (0..3).map(|day| format!("File {day}.csv {} False", 50_000 * day)).collect();
        assert_eq!(served.result(&file, "main", &[]), json!({"lines": lines, "bytes": 600_000}), "{python}");
    }
}

fn what_does_not_travel_is_told(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    for python in ["3.9", "3.13"] {
        let file = served.home.case("between/refused.py", python);
        assert_eq!(served.result(&file, "base", &[]), json!(["Part", "Part"]));
        for (workflow, more, kind, message) in [
            (
                "base",
                &["-p", "renamed=no"][..],
                "serialization",
                "result['a'][1]: a Priced has the field 'price', which the declared Part has not; declare Priced, or return a Part",
            ),
            ("formless", &[], "serialization", "result['locks'][0]: a value of type _thread.lock has no form"),
            ("link", &[], "serialization", "result/passwords: a symbolic link does not travel; copy what it points to"),
            ("absent", &[], "serialization", "result: [Errno 2] No such file or directory: 'nowhere.csv'"),
        ] {
            let (error, run) = served.failure(&file, workflow, more);
            assert_eq!((&error["error_type"], &error["message"]), (&json!(kind), &json!(message)), "{python}: {run:#}");
        }
        let run = served.run(&file, "path", &[]);
        assert_eq!(run["result"], "report.csv");
        let warned = run["said"].to_string().contains("a Path is a name: what it names does not travel");
        assert!(warned, "{run:#}");
    }
}

#[test]
fn a_generic_node_is_held_to_what_its_variables_stand_for() {
    let served = Served::new(Home::new("process"));
    let file = served.home.case("between/generic.py", "3.12");
    assert_eq!(served.result(&file, "held", &[]), json!([1]));
    for (workflow, message) in
        [("longer", "at [1]: expected int, got float"), ("told", "at [2]: expected int, got str")]
    {
        let (error, run) = served.failure(&file, workflow, &[]);
        assert_eq!((&error["error_type"], &error["message"]), (&json!("output_type"), &json!(message)), "{run:#}");
    }
}

fn frames_and_arrays_are_held_to_what_they_declare(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    let python = if runtime == "docker" { "3.12" } else { "3.11" };
    let file = served.home.case("between/declared.py", python);
    let told = served.result(&file, "main", &[]);
    let shown = "1199970000.0 (20000, 2) {'day': 'datetime64[ns]', 'amount': 'float64', 'region': 'category'} number";
    assert_eq!(told.as_str().map(|told| told.replace("[us]", "[ns]")).as_deref(), Some(shown));
    for (workflow, kind, message) in [
        ("wrong_column", "output_type", "at [\"amount\"]: expected Series[float], got a column of str"),
        (
            "wrong_array",
            "output_type",
            "expected ndarray[Any, dtype[int16]], got an array of int64 with the shape (40000,)",
        ),
        (
            "wrong_argument",
            "argument",
            "argument `frame`: expected DataFrame[Amount], got a frame without the column `amount`",
        ),
        ("wrong_value", "argument", "argument `rows` at [0][\"amount\"]: expected float, got str"),
    ] {
        let (error, run) = served.failure(&file, workflow, &[]);
        assert_eq!((&error["error_type"], &error["message"]), (&json!(kind), &json!(message)), "{run:#}");
    }
}

fn frames_arrays_and_models_travel(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    let python = if runtime == "docker" { "3.12" } else { "3.11" };
    let file = served.home.case("between/scientific.py", python);
    let basket = r#"{"owner":null,"items":[{"name":"a","price":1.5},{"name":"b","price":2.0}],"day":"2026-11-25","labels":{"x":1}}"#;
    let kept = "3.5 7.0";
    let expected =
        json!(["DataFrame", "3.5", "2026", "Series", "2.0", "float32", "(2, 3)", "1", "7", "7.0", "2.0", basket, kept]);
    assert_eq!(served.result(&file, "main", &[]), expected);
    let rolls = served.result(&file, "rolls", &[]);
    let distinct: BTreeSet<String> = rolls.as_array().expect("a list").iter().map(ToString::to_string).collect();
    assert_eq!(distinct.len(), 4, "forks of one process differ in numpy's chance too: {rolls}");
    let (error, run) = served.failure(&file, "mismatch", &[]);
    assert_eq!(error["error_type"], "pickle", "{run:#}");
    let message = "argument `model`: it was pickled in another environment: give both nodes the same python and requirements, or \
                   return its data";
    assert_eq!(error["message"], message);
}

fn a_frame_has_its_dtypes_in_another_version_of_python(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    let file = root().join("crates/e2e/cases/between/dtypes.py").display().to_string();
    let told = served.result(&file, "main", &[]);
    let [expected, newer, older] = told.as_array().map(Vec::as_slice).unwrap_or_default() else { panic!("{told:#}") };
    assert_eq!(expected.as_array().map(Vec::len), Some(13), "{expected:#}");
    assert_eq!((newer, older), (expected, expected), "3.9 to 3.13, and back");
}
