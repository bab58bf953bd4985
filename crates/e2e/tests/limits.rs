//! What is not there is told at submit: secrets, and requirements that no versions satisfy.

use qflow_e2e::{Home, object, said, wait_for};

const RUNTIMES: [&str; 2] = ["process", "docker"];

/// What a call that is refused says on stderr.
fn refused(home: &Home, line: &[&str], code: i32) -> String {
    let output = home.run(line);
    assert_eq!(output.status.code(), Some(code), "{line:?}: {}", said(&output));
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn says(text: &str, words: &[&str]) {
    words.iter().for_each(|word| assert!(text.contains(word), "says {word:?}: {text}"));
}

fn runs(home: &Home) -> usize {
    object(&home.run(&["runs", "list", "-o", "json"]), 0).as_array().map_or(0, Vec::len)
}

#[test]
fn an_unknown_secret_is_a_submit_error_until_it_is_there() {
    let path = "crates/e2e/cases/limits/secrets.py";
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let told = refused(&home, &["run", path], 3);
        says(&told, &["secrets.py:8", "`token`", "QFLOW_SECRETS_DIR", "default/token"]);
        assert_eq!(runs(&home), 0, "nothing is stored");
        let folder = home.path().join("secrets/default");
        std::fs::create_dir_all(&folder).expect("the home takes folders");
        std::fs::write(folder.join("token"), "hunter2\n").expect("the home takes files");
        let output =
            home.qflow(&["run", path, "-o", "json"]).env("QFLOW_SECRETS_DIR", home.path().join("secrets")).output();
        let run = object(&output.expect("qflow starts"), 0);
        assert_eq!(run["result"], 7, "{run}");
    }
}

#[test]
fn a_running_server_hears_of_a_secret_that_is_put_there() {
    let home = Home::new("process");
    let folder = home.path().join("secrets/default");
    std::fs::create_dir_all(&folder).expect("the home takes folders");
    let secrets = home.path().join("secrets");
    let _dev = home.dev_with(|dev| {
        dev.env("QFLOW_SECRETS_DIR", secrets);
    });
    let line = ["run", "crates/e2e/cases/limits/secrets.py", "-o", "json"];
    refused(&home, &line, 3);
    std::fs::write(folder.join("token"), "abc").expect("the home takes files");
    wait_for("the runner tells of it", || home.run(&line).status.success());
}

#[test]
fn requirements_that_do_not_go_together_are_a_submit_error_in_uvs_words() {
    for runtime in RUNTIMES {
        let home = Home::new(runtime);
        let path = "crates/e2e/cases/limits/conflict.py";
        let told = refused(&home, &["run", path, "-w", "both"], 3);
        says(&told, &["conflict.py:10", "conflict.py:2", "`newer`", "idna>=3.4", "idna<3", "cannot be resolved"]);
        assert_eq!(runs(&home), 0, "nothing is stored");
        let checked = home.run(&["validate", path]);
        assert!(checked.status.success(), "{runtime}: validate asks nobody: {}", said(&checked));
        let output = home.run(&["run", path, "-w", "one", "-o", "json"]);
        let run = object(&output, 0);
        assert!(run["result"].as_str().is_some_and(|version| version.starts_with("2.")), "{run}");
    }
}
