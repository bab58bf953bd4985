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
