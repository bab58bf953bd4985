//! What users type around a run: a new file, its tests, its parameters.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use qflow_e2e::{Home, object, root, said};
use serde_json::{Value, json};

/// A folder of files, with state of its own beside it.
struct Desk(Home);

impl Desk {
    fn new(files: &[(&str, &str)]) -> Self {
        let desk = Self(Home::new("process"));
        std::fs::create_dir_all(desk.folder()).expect("the home takes folders");
        files.iter().for_each(|(path, text)| desk.write(path, text));
        desk
    }

    fn folder(&self) -> PathBuf {
        self.0.path().join("desk")
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.folder().join(path);
        std::fs::create_dir_all(path.parent().expect("a file lies in a folder")).expect("the home takes folders");
        std::fs::write(path, text).expect("the home takes files");
    }

    /// `qflow ARGS…` in the folder.
    fn qflow(&self, args: &[&str]) -> Output {
        self.0.qflow(args).current_dir(self.folder()).output().expect("qflow starts")
    }

    /// [`Self::qflow`], which must end with a code; both streams as text.
    fn told(&self, args: &[&str], code: i32) -> String {
        let output = self.qflow(args);
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
        said(&output)
    }
}

/// The oldest and the newest Python of this machine, but 3.8, whose annotations the templates need not suit.
fn pythons() -> [String; 2] {
    let found = Command::new(root().join("deploy/local/pythons")).output().expect("the script starts");
    let text = String::from_utf8_lossy(&found.stdout).into_owned();
    let all: Vec<String> = text.split_whitespace().map(str::to_owned).collect();
    let is_old = |python: &String| {
        let version = Command::new(python).arg("--version").output().expect("Python starts");
        String::from_utf8_lossy(&version.stdout).contains(" 3.8.")
    };
    let kept: Vec<String> = all.into_iter().filter(|python| !is_old(python)).collect();
    [kept[0].clone(), kept[kept.len() - 1].clone()]
}

/// What a file prints last as ordinary Python.
fn plain(python: &str, file: &Path) -> String {
    let output =
        Command::new(python).arg(file).env("PYTHONPATH", root().join("python")).output().expect("Python starts");
    assert!(output.status.success(), "{python}: {}", said(&output));
    String::from_utf8_lossy(&output.stdout).lines().last().unwrap_or_default().to_owned()
}

#[test]
fn every_template_runs_as_it_stands() {
    let desk = Desk::new(&[]);
    for (template, file) in [("default", "hello.py"), ("etl", "jobs/sales.py"), ("fan-out", "wide.py")] {
        let told = desk.told(&["new", file, "--template", template], 0);
        assert!(told.contains(&format!("qflow run {file}")), "{told}");
        desk.told(&["validate", "--strict", file], 0);
        let run = object(&desk.qflow(&["run", file, "-o", "json"]), 0);
        let told = desk.told(&["test", file], 0);
        assert!(told.contains("1 passed, 0 failed"), "{told}");
        for python in pythons() {
            let printed = plain(&python, &desk.folder().join(file)).replace('\'', "\"");
            let printed = serde_json::from_str(&printed).unwrap_or(Value::String(printed));
            assert_eq!(run["result"], printed, "{template} on {python}");
        }
    }
    let told = desk.told(&["new", "hello"], 2);
    assert!(told.contains("hello.py is there already") && told.contains("--force"), "{told}");
}

const SHOP: &str = "import qflow\nfrom qflow import node, workflow\n\n\n\
@node(secrets=[\"key\"])\ndef price(item: str) -> dict[str, float]:\n    print(\"pricing\", item)\n    \
if item == \"gone\":\n        raise LookupError(f\"no {item} here\")\n    \
return {\"net\": 1.0, \"gross\": 1.19, \"key\": float(len(qflow.secret(\"key\")))}\n\n\n\
@workflow\ndef shop(item: str = \"tea\") -> dict[str, float]:\n    return price(item)\n";

const CASES: &str = "secrets = { key = \"four\" }\n\n\
[[case]]\nname = \"as it should be\"\nresult = { net = 1, gross = 1.2, key = 4 }\ntolerance = 0.02\n\n\
[[case]]\nname = \"with another key\"\nsecrets = { key = \"three\" }\nresult = { net = 1.0, gross = 1.19, key = 5.0 }\n\n\
[[case]]\nname = \"what is not there\"\nparams = { item = \"gone\" }\nfailure = \"LookupError\"\nmessage = \"no gone\"\nnode = \"price\"\n";

const WRONG: &str = "\n[[case]]\nname = \"another price\"\nresult = { net = 2.0, gross = 1.19, key = 4.0 }\n\n\
[[case]]\nname = \"it should fail\"\nfailure = \"ValueError\"\n\n\
[[case]]\nname = \"it should not\"\nparams = { item = \"gone\" }\n\n\
[[case]]\nname = \"no such parameter\"\nparams = { colour = \"red\" }\n";

#[test]
fn the_cases_of_a_file_are_run_and_told_as_by_a_test_runner() {
    let desk = Desk::new(&[("shop.py", SHOP), ("shop.test.toml", CASES)]);
    let told = desk.told(&["test", "shop.py"], 0);
    assert!(told.contains("3 passed, 0 failed"), "{told}");

    desk.write("shop.test.toml", &format!("{CASES}{WRONG}"));
    let told = desk.told(&["test", "shop.py", "--junit", "report.xml"], 1);
    for line in [
        "ok    as it should be",
        "FAIL  another price",
        "-   \"net\": 2.0,",
        "+   \"net\": 1.0,",
        "price | pricing tea",
        "ValueError was expected; the run completed with {",
        "the run failed",
        "File \"shop.py\", line 9, in price",
        "LookupError: no gone here",
        "no parameter `colour`",
        "3 passed, 4 failed",
    ] {
        assert!(told.contains(line), "`{line}` is missing: {told}");
    }
    let junit = std::fs::read_to_string(desk.folder().join("report.xml")).expect("the report is written");
    assert!(junit.contains("tests=\"7\" failures=\"4\"") && junit.contains("classname=\"shop.shop\""), "{junit}");

    let report = object(&desk.qflow(&["test", "shop.py", "-k", "price", "-o", "json"]), 1);
    assert_eq!((report["passed"].clone(), report["failed"].clone()), (json!(0), json!(1)), "{report}");
    assert_eq!(report["cases"][0]["name"], "another price");
    assert_eq!(report["cases"][0]["result"]["net"], 1.0);
}

#[test]
fn what_cannot_be_tested_says_why() {
    let file = "from qflow import node, workflow\n\n@node\ndef f(x: int) -> int:\n    return x\n\n\
                @workflow\ndef w(x: int) -> int:\n    return f(x)\n";
    let desk = Desk::new(&[
        ("f.py", file),
        ("bad.py", "from qflow import workflow\n\n@workflow\ndef w() -> int:\n    for x in y: pass\n"),
    ]);
    let told = desk.told(&["test", "f.py"], 2);
    assert!(told.contains("1 left out: they need parameters") && told.contains("write one in f.test.toml"), "{told}");
    desk.told(&["test", "absent.py"], 2);
    let told = desk.told(&["test", "bad.py"], 3);
    assert!(told.contains("bad.py:5:5"), "{told}");
    desk.write("f.test.toml", "[[case]]\nresutl = 1\n");
    let told = desk.told(&["test", "f.py"], 3);
    assert!(told.contains("unknown field `resutl`"), "{told}");
    desk.write("f.test.toml", "[[case]]\nparams = { x = 1 }\ntimeout = \"1ms\"\n");
    let told = desk.told(&["test", "f.py"], 1);
    assert!(told.contains("not ended within 1ms; it was cancelled"), "{told}");
    let told = desk.told(&["test", "f.py", "-k", "nothing"], 2);
    assert!(told.contains("none of 1 cases holds `nothing`"), "{told}");
}

#[test]
fn a_full_disk_is_told_and_a_reader_that_has_gone_is_not() {
    let version = || {
        let mut command = Command::new(qflow_e2e::program());
        command.args(["version", "-o", "json"]);
        command
    };
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let told = version().stdout(full).output().expect("qflow starts");
    assert_eq!(told.status.code(), Some(1), "{}", said(&told));
    let error = String::from_utf8_lossy(&told.stderr).into_owned();
    assert_eq!(error, "error: write to standard output: No space left on device (os error 28)\n");
    // Nor does what ran for it stay behind.
    let home = Home::new("process");
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
    let ran = home.qflow(&["run", "examples/hello.py", "-p", "name=Ada"]).stdout(full).output().expect("qflow starts");
    assert_eq!(ran.status.code(), Some(1), "{}", said(&ran));
    let named = |line: &Vec<u8>| String::from_utf8_lossy(line).contains(&*home.path().to_string_lossy());
    let processes = std::fs::read_dir("/proc").expect("Linux has it").flatten();
    let left = processes.filter_map(|process| std::fs::read(process.path().join("cmdline")).ok()).find(named);
    assert_eq!(left.map(|line| String::from_utf8_lossy(&line).into_owned()), None);
    let (reader, writer) = std::io::pipe().expect("there are pipes");
    drop(reader);
    let gone = version().stdout(writer).output().expect("qflow starts");
    assert_eq!((gone.status.code(), gone.stderr.as_slice()), (Some(141), &b""[..]));
}
