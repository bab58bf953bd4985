//! `qflow types`: the answers for people, for programs, and line by line.

use std::{
    io::Write,
    process::{Command, Output, Stdio},
};

use qflow_e2e::{program, said};
use serde_json::{Value, json};

fn qflow(args: &[&str], input: &str) -> Output {
    let mut started = Command::new(program())
        .arg("types")
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("qflow starts");
    // One that ends before it has read all is none the worse for it.
    drop(started.stdin.take().expect("a pipe").write_all(input.as_bytes()));
    started.wait_with_output().expect("qflow ends")
}

fn out(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn answers(output: &Output) -> Vec<Value> {
    out(output).lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn an_answer_is_a_line_for_people_and_json_for_programs() {
    let asked = qflow(&["check", "t.List[bool]", "collections.abc.Sequence[float]"], "");
    assert_eq!((asked.status.code(), out(&asked).as_str()), (Some(0), "compatible\n"), "{}", said(&asked));
    let asked = qflow(&["check", "tuple[int, int, int]", "tuple[int, int]"], "");
    assert_eq!((asked.status.code(), out(&asked).as_str()), (Some(3), "not compatible: tuple length 3 ≠ 2\n"));
    let asked = qflow(&["check", "Optional[int]", "int", "-o", "json"], "");
    let reason = "None not accepted; add Optional or handle it";
    assert_eq!(
        serde_json::from_str::<Value>(&out(&asked)).expect("JSON"),
        json!({"compatible": false, "reason": reason, "conversion": "not"})
    );
    let made = qflow(&["convert", "[\"1\", \"2\"]", "list[int]"], "");
    assert_eq!((made.status.code(), out(&made).as_str()), (Some(0), "[1,2]\n"));
    let made = qflow(&["convert", "-1.5", "Decimal", "--tagged", "-o", "json"], "");
    assert_eq!(
        serde_json::from_str::<Value>(&out(&made)).expect("JSON")["value"],
        json!({"$": "decimal", "v": "-1.5"})
    );
    let described = qflow(&["describe", "dict[str, Decimal] | None", "-o", "json"], "");
    let told = serde_json::from_str::<Value>(&out(&described)).expect("JSON");
    assert_eq!(
        (&told["type"], &told["kind"], &told["optional"]),
        (&json!("dict[str, Decimal] | None"), &json!("Union"), &json!(true))
    );
}

#[test]
fn lines_are_answered_in_order_whatever_they_are() {
    let lines = [
        r#"{"source": "int", "target": "float"}"#,
        r#"{"source": "str", "target": "Literal['a', 'b']"}"#,
        "not JSON",
        r#"{"source": "Lisst[int]", "target": "int"}"#,
        r#"{"source": "int"}"#,
        r#"{"source": "dict[str, str]", "target": "Mapping[str, int]"}"#,
    ];
    let asked = qflow(&["check", "--stdin"], &(lines.join("\n") + "\n"));
    let answers = answers(&asked);
    assert_eq!(asked.status.code(), Some(3), "{}", said(&asked));
    let compatible: Vec<_> = answers.iter().map(|answer| answer["compatible"].as_bool()).collect();
    assert_eq!(compatible, [Some(true), Some(false), Some(false), Some(false), Some(false), Some(false)]);
    let reason = |at: usize| answers[at]["reason"].as_str().unwrap_or_default();
    assert_eq!(reason(0), "");
    assert!(reason(2).starts_with("line 3: expected") && answers[2]["error"] == "not-a-question", "{}", answers[2]);
    assert!(reason(3).contains("no type `Lisst` here") && answers[3]["error"] == "not-a-type", "{}", answers[3]);
    assert!(reason(4).contains("target"), "{}", answers[4]);
    assert_eq!(reason(5), "at […]: str is not int");
}

#[test]
fn values_are_converted_line_by_line() {
    let lines = [
        r#"{"value": "7", "type": "int"}"#,
        r#"{"value": [{"price": "x"}], "type": "list[dict[str, float]]"}"#,
        r#"{"value": "2026-11-24", "type": "date"}"#,
        r#"{"value": [1, 2], "type": "tuple[int, str]"}"#,
        r#"{"value": 1.5, "type": "int"}"#,
        r#"{"value": [36893488147419103233], "type": "list[Decimal]"}"#,
    ];
    let asked = qflow(&["convert", "--stdin"], &lines.join("\n"));
    assert_eq!(asked.status.code(), Some(0), "{}", said(&asked));
    let answers = answers(&asked);
    let told: Vec<_> = answers.iter().map(|answer| (answer["ok"] == true, &answer["value"], &answer["path"])).collect();
    let (none, whole) = (Value::Null, json!(""));
    assert_eq!(told[0], (true, &json!(7), &whole));
    assert_eq!(told[1], (false, &none, &json!("[0][\"price\"]")));
    assert_eq!(told[2], (true, &json!("2026-11-24"), &whole));
    assert_eq!(told[3], (false, &none, &json!("[1]")));
    assert_eq!(told[4], (false, &none, &whole));
    assert_eq!(told[5], (true, &json!(["36893488147419103233"]), &whole));
    let asked = qflow(
        &["convert", "--stdin"],
        "{\"value\": 1}\n{\"value\": 1, \"type\": \"int\", \"value\": 2}\n{\"value\": [{\"a\": 1, \"a\": 1}], \"type\": \"Any\"}\n{\"value\": NaN, \"type\": \"int\"}\n",
    );
    let reasons: Vec<_> =
        self::answers(&asked).iter().map(|answer| answer["reason"].as_str().unwrap_or_default().to_owned()).collect();
    assert_eq!(asked.status.code(), Some(3), "{reasons:?}");
    assert_eq!(
        reasons[..3],
        [
            "line 1: `value` and `type` are needed",
            "line 2: at [\"value\"]: the key \"value\" comes twice",
            "line 3: at [\"value\"][0][\"a\"]: the key \"a\" comes twice"
        ]
    );
    assert!(reasons[3].starts_with("line 4: at [\"value\"]: not JSON: JSON has no `NaN`"), "{reasons:?}");
}

#[test]
fn a_file_brings_its_own_classes_and_is_not_imported() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("sales.py");
    let parts = "from typing import NotRequired, TypedDict\n\nclass Part(TypedDict):\n    price: float\n    note: NotRequired[str]\n";
    let text = "import enum, sys\nfrom dataclasses import dataclass\nimport parts\n\nsys.exit('imported')\n\nRows = list[parts.Part]\n\n\
                class Colour(enum.Enum):\n    RED = 'r'\n\n@dataclass\nclass Order:\n    colour: Colour\n    rows: Rows\n";
    std::fs::write(folder.path().join("parts.py"), parts).expect("it takes files");
    std::fs::write(&file, text).expect("it takes files");
    let path = file.to_str().expect("UTF-8");
    let with = |args: &[&str], input: &str| qflow(&[args, &["--file", path][..]].concat(), input);

    let asked = with(&["check", "Rows", "Sequence[Mapping[str, object]]"], "");
    assert_eq!((asked.status.code(), out(&asked).as_str()), (Some(0), "compatible\n"), "{}", said(&asked));
    let asked = with(&["check", "parts.Part", "dict[str, int]"], "");
    assert_eq!(asked.status.code(), Some(3), "{}", out(&asked));
    let order = r#"{"colour": "RED", "rows": [{"price": 1}]}"#;
    let made = with(&["convert", order, "Order", "--tagged", "-o", "json"], "");
    let made: Value = serde_json::from_str(&out(&made)).expect("JSON");
    assert_eq!(made["value"]["t"], "sales.Order", "{made}");
    assert_eq!(made["value"]["v"]["colour"], json!({"$": "enum", "t": "sales.Colour", "v": "RED"}));
    let wrong = with(&["convert", r#"{"colour": "RED", "rows": [{"cost": 1}]}"#, "Order"], "");
    assert_eq!(wrong.status.code(), Some(3));
    assert!(out(&wrong).starts_with("not converted: at [\"rows\"][0]: expected Part"), "{}", out(&wrong));
    let described = out(&with(&["describe", "parts.Part"], ""));
    assert!(described.contains("field     price: float\n  field     note: str, may be left out\n"), "{described}");
    assert!(out(&with(&["describe", "Colour"], "")).contains("members   RED\n"));

    let lines = with(
        &["check", "--stdin"],
        "{\"source\": \"Order\", \"target\": \"Order\"}\n{\"source\": \"Orders\", \"target\": \"int\"}\n",
    );
    let compatible: Vec<_> = answers(&lines).iter().map(|answer| answer["compatible"] == true).collect();
    assert_eq!(compatible, [true, false], "{}", said(&lines));
    std::fs::write(&file, "class\n").expect("it takes files");
    let broken = with(&["describe", "int"], "");
    assert_eq!(broken.status.code(), Some(3));
    assert!(said(&broken).contains("sales.py:1"), "{}", said(&broken));
    let gone = qflow(&["describe", "int", "--file", "gone.py"], "");
    assert_eq!(gone.status.code(), Some(2), "{}", said(&gone));
}

#[test]
fn what_is_asked_wrongly_says_how() {
    for args in [&["check"][..], &["check", "int"], &["convert", "1"], &["check", "int", "str", "--stdin"]] {
        let asked = qflow(args, "");
        assert_eq!(asked.status.code(), Some(2), "{args:?}: {}", said(&asked));
        assert!(asked.stdout.is_empty() && !asked.stderr.is_empty(), "{args:?}");
    }
    let help = out(&qflow(&["--help"], ""));
    assert!(help.contains("qflow types check 'list[int]' 'Sequence[float]'"), "{help}");
}
