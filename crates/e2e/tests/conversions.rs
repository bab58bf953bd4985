//! Conversions between nodes: shown and refused by `qflow validate`, made on processes and in Docker in every version of Python.

use std::process::Command;

use qflow_e2e::{Home, Served};
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

on_both! { values_are_converted_in_every_python what_does_not_convert_fails_with_its_path rows_and_models_are_made }

fn versions(runtime: &str) -> (Vec<&'static str>, &'static str) {
    // Processes have an older one than any image that is still made.
    match runtime {
        "process" => ([&["3.8"][..], &PYTHONS].concat(), "3.8,3.9,3.10,3.11,3.12,3.13"),
        _ => (PYTHONS.to_vec(), "3.9,3.10,3.11,3.12,3.13"),
    }
}

fn values_are_converted_in_every_python(runtime: &'static str) {
    let (versions, offered) = versions(runtime);
    let served = Served::new(Home::new(runtime).with("QFLOW_PYTHON_VERSIONS", offered));
    let sure = json!({
        "texts": ["2026-11-24 2026-11-24 2026-11-25", "2026-11-25 2026-11-24 2026-11-25"],
        "list": ["2026-11-24", "1.50", "list"],
        "moment": "datetime.datetime(2026, 11, 24, 0, 0)",
        "literal": "x y",
    });
    let order = "Order(rows=[{'day': datetime.date(2026, 11, 24), 'amount': 3}], colour=<Colour.BLUE: 'b'>, note=None)";
    let asked = json!({
        "total": 4,
        "order": order,
        "doubled": [2, 6],
        "several": "[1, 3] True 3.0 2026-11-24 09:30:00+00:00 1:30:00 01234567-89ab-cdef-0123-456789abcdef b.csv ['RED', 'BLUE']",
    });
    for python in versions {
        let file = served.home.case("conversions/convert.py", python);
        assert_eq!(served.result(&file, "sure", &[]), sure, "{python}");
        assert_eq!(served.result(&file, "asked", &[]), asked, "{python}");
    }
}

fn what_does_not_convert_fails_with_its_path(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    for python in ["3.9", "3.13"] {
        let file = served.home.case("conversions/convert.py", python);
        for (workflow, message) in [
            ("wrong_row", "argument `rows` at [1][\"amount\"]: expected int, got 'many'"),
            ("wrong_order", "argument `order` at [\"rows\"][0][\"amount\"]: expected int, got 'many'"),
        ] {
            let (error, run) = served.failure(&file, workflow, &[]);
            let told = (&error["error_type"], &error["message"], &error["class"]);
            assert_eq!(told, (&json!("argument"), &json!(message), &json!("user")), "{python}: {run:#}");
            let nodes = run["nodes"].as_array().into_iter().flatten();
            let attempts: Vec<&Value> = nodes.map(|node| &node["attempts"]).collect();
            assert_eq!(attempts, [1, 1], "it is not tried again: {run:#}");
        }
        let outcomes = served.result(&file, "wrong_elements", &[]);
        assert_eq!(outcomes[0]["value"], 2, "{outcomes:#}");
        let error = &outcomes[1]["error"];
        assert_eq!(error["message"], "argument `n`: expected int, got 'many'", "{outcomes:#}");
        assert_eq!((&error["type"], &error["attempts"]), (&json!("argument"), &json!(1)), "{outcomes:#}");
    }
}

fn rows_and_models_are_made(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    let file = served.home.case("conversions/frames.py", if runtime == "docker" { "3.12" } else { "3.11" });
    let expected = json!(["['name', 'price'] 3.5", "Basket(rows=[{'price': 1.5}], size=2)"]);
    assert_eq!(served.result(&file, "main", &[]), expected);
    let (error, run) = served.failure(&file, "main", &["-p", "short=yes"]);
    assert_eq!(served.result(&file, "is_handed_on", &[]), 2);
    let written = series(&served.home, "qflow_data_serialization_duration_seconds_count");
    assert!(written.iter().any(|labels| labels.contains("serialization_type=\"arrow\"")), "{written:?}");
    let message = "argument `df` at [1]: expected the columns name, price, got name";
    assert_eq!(error["message"], message, "{run:#}");
}

/// Series of a metric that a server tells of, each as its labels; those that are 0 are left out.
fn series(home: &Home, metric: &str) -> Vec<String> {
    let url = home.metrics();
    let output = Command::new("curl").args(["-fsS", &url]).output().expect("curl starts");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let ours = text.lines().filter_map(|line| line.strip_prefix(metric)?.strip_prefix('{')?.rsplit_once("} "));
    ours.filter(|(_, value)| *value != "0").map(|(labels, _)| labels.to_owned()).collect()
}

#[test]
fn conversions_are_told_by_what_they_are_from_and_to() {
    let served = Served::new(Home::new("process"));
    let file = served.home.case("conversions/kinds.py", "3.11");
    let made = json!(["True", "1", "1.0", "[1, 2]", "[1]", "{1: 2}", "1", "1", "'1'", "Decimal('1')"]);
    assert_eq!(served.result(&file, "each", &[]), made);
    let mut told = series(&served.home, "qflow_type_conversion_duration_seconds_count");
    told.sort();
    let pairs = [
        ("Literal", "int"),
        ("Union", "Union"),
        ("bool", "other"),
        ("dict", "dict"),
        ("float", "int"),
        ("int", "bool"),
        ("set", "set"),
        ("str", "Literal"),
        ("str", "float"),
        ("tuple", "set"),
    ];
    assert_eq!(told, pairs.map(|(from, to)| format!("from_type=\"{from}\",to_type=\"{to}\"")));
}

/// What `qflow validate` says, and the code that it ends with.
fn validate(file: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let (home, file) = (Home::new("process"), format!("crates/e2e/cases/conversions/{file}"));
    let output = home.run(&[&["validate", &file], more].concat());
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    (output.status.code(), stdout, String::from_utf8_lossy(&output.stderr).into_owned())
}

#[test]
fn a_conversion_is_shown_with_both_ends() {
    let (code, table, said) = validate("convert.py", &[]);
    assert_eq!(code, Some(0), "{said}");
    let shown: Vec<&str> = table.lines().filter(|line| line.contains("converts")).collect();
    insta::assert_snapshot!(shown.join("\n"));

    let (_, json, said) = validate("convert.py", &["-o", "json"]);
    let told: Value = serde_json::from_str(&json).unwrap_or_else(|e| panic!("stdout is one object: {e}\n{said}"));
    let steps = &told["definition"]["workflows"]["wrong_row"]["steps"];
    let conversion = &steps[1]["conversions"][0];
    assert_eq!((&conversion["argument"], &conversion["may_fail"]), (&json!("rows"), &json!(true)), "{steps:#}");
    assert_eq!((&conversion["from"], &conversion["to"]), (&json!("list[dict[str, str]]"), &json!("list[Row]")));
}

#[test]
fn strict_allows_no_conversion_and_without_it_some_are_refused() {
    let (code, _, told) = validate("convert.py", &["--strict"]);
    assert_eq!(code, Some(3), "{told}");
    let lines = |told: &str| -> Vec<String> {
        let kept = told.lines().filter(|line| line.starts_with("error[") || line.contains("help:"));
        kept.map(|line| line.trim().to_owned()).collect()
    };
    assert_eq!(
        lines(&told)[..2],
        [
            "error[conversion]: text.day: str ← each of days → date (convert.py:32 → convert.py:42) is a conversion, which --strict refuses",
            "= help: declare date there, or make str of it in a node",
        ]
    );

    let (code, _, told) = validate("refused.py", &[]);
    assert_eq!(code, Some(3), "{told}");
    insta::assert_snapshot!(lines(&told).join("\n"));
}
