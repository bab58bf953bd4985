//! What the documents of the API say is so.

use std::process::Command;

use qflow_e2e::{root, said};

use crate::house::House;

#[test]
fn every_example_of_the_page_runs_in_its_order() {
    let house = House::new();
    let page = std::fs::read_to_string(root().join("docs/API.md")).expect("the page is there");
    let mut script = "set -euo pipefail\n".to_owned();
    for block in page.split("```bash\n").skip(1) {
        let (block, _) = block.split_once("\n```").expect("a block ends");
        script += &format!("{}\n", block.replace(">openapi.json", ">/dev/null"));
    }
    assert!(script.matches("$API/").count() > 20, "{script}");
    let mut bash = Command::new("bash");
    bash.args(["-c", &script]).current_dir(root()).env("QFLOW_SERVER", &house.url).env("QFLOW_TOKEN", house.own());
    let output = bash.output().expect("bash starts");
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn schemathesis_finds_no_answer_that_the_document_does_not_have() {
    let made = Command::new(root().join("deploy/local/schemathesis")).output().expect("the script starts");
    let bin = String::from_utf8_lossy(&made.stdout).trim().to_owned();
    assert!(made.status.success() && !bin.is_empty(), "{}", said(&made));
    let house = House::new();
    // Whether every request that the document admits means something is no question here: a name may name nothing.
    let output = Command::new(format!("{bin}/st"))
        .args(["run", &format!("{}/api/v1/openapi.json", house.url), "--max-examples", "10", "--request-timeout", "60"])
        .args(["--header", &format!("Authorization: Bearer {}", house.own()), "--phases", "coverage,fuzzing"])
        .args(["--exclude-checks", "positive_data_acceptance", "--no-color", "--seed", "1"])
        .current_dir(house.home.path())
        .output()
        .expect("it starts");
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    let tested = told.lines().find(|line| line.contains("Tested:")).unwrap_or_default();
    assert!(tested.trim().ends_with("23"), "every operation: {tested}");
}
