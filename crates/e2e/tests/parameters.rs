//! What goes in from the command line and comes back to it: files and folders, enums and records, results of any size.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use qflow_e2e::{Home, Served, said};
use qflow_model::ids::Digest;
use serde_json::{Value, json};

/// Each of these is a test on processes and one in Docker.
macro_rules! on_both {
    ($($name:ident)*) => {
        mod process { $( #[test] fn $name() { super::$name("process"); } )* }
        mod docker { $( #[test] fn $name() { super::$name("docker"); } )* }
    };
}

on_both! { enums_and_records_are_read_by_their_classes a_file_goes_in_and_comes_back_as_it_was folders_go_in_and_come_back what_a_result_holds_is_fetched_apart }

/// More than any message or any buffer on the way holds.
const BYTES: usize = 64 << 20;

fn served(runtime: &'static str) -> (Served, String) {
    let served = Served::new(Home::new(runtime));
    let file = served.home.case("given/contents.py", "3.11");
    (served, file)
}

/// Content that no compression and no repetition would hide an error in.
fn content(path: &Path, bytes: usize) -> Digest {
    let (mut content, mut state) = (Vec::with_capacity(bytes), 0x9e37_79b9_7f4a_7c15_u64);
    while content.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        content.extend(state.to_le_bytes());
    }
    std::fs::write(path, &content).expect("the home takes files");
    Digest::of(&content)
}

fn given(name: &str, path: &Path) -> String {
    format!("{name}=@{}", path.display())
}

/// `qflow ARGS…`, which must end with a code; both streams as text.
fn told(served: &Served, args: &[&str], code: i32) -> String {
    let output = served.home.run(args);
    assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
    said(&output)
}

/// `qflow runs result`, to a path.
fn fetched(served: &Served, run: &Value, more: &[&str], name: &str) -> PathBuf {
    let out = served.home.path().join(name);
    let id = run["run_id"].as_str().expect("a run has an id");
    let to = out.display().to_string();
    told(served, &[&["runs", "result", id, "--out", &to], more].concat(), 0);
    out
}

fn a_file_goes_in_and_comes_back_as_it_was(runtime: &'static str) {
    let (served, file) = served(runtime);
    let path = served.home.path().join("data.bin");
    let digest = content(&path, BYTES);
    let run = served.run(&file, "told", &["-p", &given("x", &path)]);
    assert_eq!(run["result"], json!({"name": "data.bin", "sha256": digest.to_string()}), "{run:#}");

    let run = served.run(&file, "back", &["-p", &given("x", &path)]);
    assert_eq!(run["result"], json!({"attachment": "file", "index": 0}), "{run:#}");
    let id = run["run_id"].as_str().expect("a run has an id");
    assert!(run["said"].to_string().contains(&format!("qflow runs result {id} --out PATH")), "{run:#}");
    let out = fetched(&served, &run, &[], "back.bin");
    assert_eq!(Digest::of(&std::fs::read(&out).expect("it was written")), digest);
    let of_node = fetched(&served, &run, &["--node", "same"], "node.bin");
    assert_eq!(Digest::of(&std::fs::read(of_node).expect("it was written")), digest);

    let again = told(&served, &["runs", "result", id, "--out", &out.display().to_string()], 2);
    assert!(again.contains("back.bin is there already; --force writes over it"), "{again}");
    fetched(&served, &run, &["--force"], "back.bin");
    let unsaid = told(&served, &["runs", "result", id], 2);
    assert!(unsaid.contains("the result is a file: say where it goes with --out data.bin"), "{unsaid}");
    let piped = served.home.run(&["runs", "result", id, "-o", "raw"]);
    assert_eq!(Digest::of(&piped.stdout), digest);
    let unknown = told(&served, &["runs", "result", id, "--node", "nothing"], 2);
    assert!(unknown.contains("has no node `nothing`; it has same"), "{unknown}");
}

fn folders_go_in_and_come_back(runtime: &'static str) {
    let (served, file) = served(runtime);
    let folder = served.home.path().join("in");
    std::fs::create_dir_all(folder.join("deep/er")).expect("the home takes folders");
    std::fs::write(folder.join("b.txt"), "bee").expect("the home takes files");
    std::fs::write(folder.join("deep/er/ä.sh"), "run").expect("the home takes files");
    assert!(Command::new("chmod").arg("+x").arg(folder.join("deep/er/ä.sh")).status().expect("chmod starts").success());
    let given = given("x", &folder);
    let run = served.run(&file, "folder", &["-p", &given]);
    assert_eq!(run["result"], json!(["b.txt False bee", "deep/er/ä.sh True run"]), "{run:#}");

    let run = served.run(&file, "another", &["-p", &given]);
    let out = fetched(&served, &run, &[], "out");
    assert_eq!(std::fs::read_to_string(out.join("deep/names.txt")).expect("it was written"), "b.txt,deep");
    std::fs::write(out.join("deep/names.txt"), "mine").expect("what was fetched is one's own");
    let id = run["run_id"].as_str().expect("a run has an id");
    let again = told(&served, &["runs", "result", id, "--out", &out.display().to_string(), "--force"], 2);
    assert!(again.contains("is a folder and not empty"), "{again}");
}

fn what_a_result_holds_is_fetched_apart(runtime: &'static str) {
    let (served, file) = served(runtime);
    let path = served.home.path().join("a.csv");
    std::fs::write(&path, "a,b\n").expect("the home takes files");
    let run = served.run(&file, "several", &["-p", &given("x", &path)]);
    assert_eq!(run["result"]["first"], json!({"attachment": "file", "index": 0}), "{run:#}");
    let out = fetched(&served, &run, &["--content", "0"], "first.csv");
    assert_eq!(std::fs::read_to_string(out).expect("it was written"), "a,b\n");
    let whole = fetched(&served, &run, &[], "whole.json");
    let whole: Value = serde_json::from_slice(&std::fs::read(whole).expect("it was written")).expect("JSON");
    assert_eq!(whole, run["result"]);

    let run = served.run(&file, "rows", &[]);
    let id = run["run_id"].as_str().expect("a run has an id");
    assert!(run["result"].is_null() && run["reason"].to_string().contains("qflow runs result"), "{}", run["reason"]);
    let rows: Vec<Value> = serde_json::from_slice(&served.home.run(&["runs", "result", id]).stdout).expect("JSON");
    assert_eq!((rows.len(), &rows[49_999]["row"]), (50_000, &json!("49999")));

    let run = served.run(&file, "words", &[]);
    let id = run["run_id"].as_str().expect("a run has an id");
    assert_eq!(served.home.run(&["runs", "result", id, "-o", "raw"]).stdout, b"a text\nof two lines\n");
}

fn enums_and_records_are_read_by_their_classes(runtime: &'static str) {
    let served = Served::new(Home::new(runtime));
    for python in ["3.9", "3.13"] {
        let file = served.home.case("given/shapes.py", python);
        let expected = json!(["<Unit.DAY: 'day'>", "<Level.HIGH: 2>", "[(<Unit.HOUR: 'hour'>, 3)]"]);
        for (unit, level, by) in [("DAY", "2", "{\"HOUR\": 3}"), ("day", "HIGH", "{\"hour\": 3}")] {
            let more = [format!("unit={unit}"), format!("level={level}"), format!("by={by}")];
            let more: Vec<_> = more.iter().flat_map(|given| ["-p", given]).collect();
            assert_eq!(served.result(&file, "enums", &more), expected, "{python}");
        }
        let order = r#"order={"owner": {"name": "ada", "boss": {"name": "bob", "unit": "hour"}}, "pairs": [{"x": 1}]}"#;
        let bob = "Owner(name='bob', since=datetime.date(2020, 1, 1), unit=<Unit.HOUR: 'hour'>, tags=[], boss=None)";
        let ada =
            format!("Owner(name='ada', since=datetime.date(2020, 1, 1), unit=<Unit.DAY: 'day'>, tags=[], boss={bob})");
        let expected = format!("{{'owner': {ada}, 'pairs': [Pair(x=1, y=0.5)]}}");
        assert_eq!(served.result(&file, "records", &["-p", order]), expected, "{python}");
        assert_eq!(served.result(&file, "field_of", &["-p", r#"owner={"name": "ada"}"#]), "ADA");
        for (given, chosen) in
            [("unit=HOUR", "HOUR"), ("unit=day", "THEN AN HOUR"), ("other=hour", "THEN AN HOUR"), ("other=day", "DAY")]
        {
            assert_eq!(served.result(&file, "chosen", &["-p", given]), chosen, "{given}");
        }
        assert_eq!(served.result(&file, "opaque", &["-p", r#"own={"first": 1, "second": 2}"#]), 3);
    }
}

#[test]
fn a_parameter_that_its_class_does_not_take_is_refused_at_submit() {
    let served = Served::new(Home::new("process"));
    let file = served.home.case("given/shapes.py", "3.11");
    for (workflow, parameter, why) in [
        ("enums", "unit=week", "parameter `unit`: `week` is no member of Unit, which has DAY, HOUR"),
        ("enums", "unit:=3", "parameter `unit`: 3 is no member of Unit, which has DAY, HOUR"),
        ("field_of", "owner={}", "parameter `owner`: Owner needs `name`"),
        (
            "field_of",
            r#"owner={"name": "ada", "sinse": null}"#,
            "parameter `owner`: Owner has no field `sinse`; it has name, since, unit, tags, boss",
        ),
        (
            "field_of",
            r#"owner={"name": "ada", "boss": {"name": "bob", "since": "soon"}}"#,
            "parameter `owner`: at .boss.since: expected date, got \"soon\"",
        ),
        (
            "records",
            r#"order={"owner": {"name": "ada"}, "pairs": [{"x": 1}, {"x": "one"}]}"#,
            "parameter `order`: at [\"pairs\"][1].x: expected int, got \"one\"",
        ),
    ] {
        let told = told(&served, &["run", &file, "-w", workflow, "-p", parameter], 3);
        assert!(told.contains(why), "{why}: {told}");
    }
    assert_eq!(told(&served, &["runs", "list", "-o", "json"], 0).matches("run_id").count(), 0);
}

#[test]
fn content_that_cannot_go_says_why_before_anything_runs() {
    let (served, file) = served("process");
    let at = served.home.path().to_owned();
    std::fs::write(at.join("a.csv"), "a,b\n").expect("the home takes files");
    std::fs::File::create(at.join("large")).and_then(|f| f.set_len((1 << 30) + 1)).expect("the home takes files");
    for (workflow, parameter, code, why) in [
        ("told", given("x", &at.join("none.csv")), 2, "none.csv: No such file or directory"),
        ("told", given("x", &at), 2, "parameter `x` is a File: "),
        ("folder", given("x", &at.join("a.csv")), 2, "parameter `x` is a Folder: "),
        ("told", given("x", &at.join("large")), 3, "has 1073741825 bytes; a file or folder has at most 1073741824"),
        ("told", "x=a.csv".to_owned(), 3, "parameter `x`: File is content, which is uploaded: -p x=@PATH"),
    ] {
        let told = told(&served, &["run", &file, "-w", workflow, "-p", &parameter], code);
        assert!(told.contains(why), "{why}: {told}");
    }
    let missing = told(&served, &["run", &file, "-w", "told"], 2);
    assert!(missing.contains("parameter `x` (File) is missing: -p x=@PATH"), "{missing}");
    assert_eq!(served.result(&file, "maybe", &[]), "none");
    assert_eq!(served.result(&file, "maybe", &["-p", &given("x", &at.join("a.csv"))]), "a,b\n");
    assert_eq!(told(&served, &["runs", "list", "-o", "json"], 0).matches("run_id").count(), 2);
}
