//! The page for users, docs/PYTHON.md: its examples are files, and every command on it prints what the page shows.

use std::{
    collections::BTreeSet,
    path::PathBuf,
    process::Command,
    sync::{Mutex, PoisonError},
};

use qflow_e2e::{Home, root, said};
use serde_json::Value;

/// Blocks of commands that run at a time: each waits for containers and processes more than it computes.
const AT_ONCE: usize = 3;

/// A fenced block of the page: the line it begins in, what it is, and its text.
struct Block {
    line: usize,
    kind: String,
    text: String,
}

fn folder() -> PathBuf {
    root().join("docs/examples/python")
}

fn blocks() -> Vec<Block> {
    let page = std::fs::read_to_string(root().join("docs/PYTHON.md")).expect("the page is there");
    let (mut found, mut open): (Vec<Block>, bool) = (Vec::new(), false);
    for (at, line) in page.lines().enumerate() {
        match (line.strip_prefix("```"), open) {
            (Some(_), true) => open = false,
            (Some(kind), false) => {
                found.push(Block { line: at + 1, kind: kind.to_owned(), text: String::new() });
                open = true;
            }
            (None, true) => {
                let text = &mut found.last_mut().expect("a block is open").text;
                text.push_str(line);
                text.push('\n');
            }
            (None, false) => {}
        }
    }
    found
}

#[test]
fn every_example_on_the_page_is_a_file_and_every_file_is_on_the_page() {
    let mut shown = BTreeSet::new();
    for block in blocks() {
        let Some(name) = block.kind.strip_prefix("python file=") else { continue };
        let file = std::fs::read_to_string(folder().join(name)).unwrap_or_else(|e| panic!("{name}: {e}"));
        assert_eq!(block.text, file, "docs/PYTHON.md:{} is {name}", block.line);
        shown.insert(name.to_owned());
    }
    let mut files = BTreeSet::new();
    let mut folders = vec![folder()];
    while let Some(inside) = folders.pop() {
        for entry in std::fs::read_dir(inside).expect("a folder can be listed") {
            let path = entry.expect("a folder can be listed").path();
            let name = path.strip_prefix(folder()).expect("it lies there").display().to_string();
            if path.is_dir() && !name.ends_with("__pycache__") {
                folders.push(path);
            } else if path.extension().is_some_and(|e| e == "py") && !name.ends_with("__init__.py") {
                files.insert(name);
            }
        }
    }
    assert_eq!(shown, files);
}

/// The commands of a block, each with what it prints.
fn commands(block: &Block) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for line in block.text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            found.push((command.to_owned(), String::new()));
        } else {
            let (_, printed) = found.last_mut().expect("a block begins with a command");
            printed.push_str(line);
            printed.push('\n');
        }
    }
    found
}

/// Whether a command needs no runtime: it is run once.
fn anywhere(command: &str) -> bool {
    !command.contains("qflow run")
}

/// Texts of JSON are compared as values: the page does not break lists into lines. Seconds differ from run to run.
fn same(printed: &str, shown: &str) -> bool {
    match (serde_json::from_str::<Value>(printed), serde_json::from_str::<Value>(shown)) {
        (Ok(printed), Ok(shown)) => printed == shown,
        _ => timeless(printed) == timeless(shown),
    }
}

/// A text without the numbers before an `s`.
fn timeless(text: &str) -> Vec<String> {
    let line = |line: &str| {
        let ends_in_seconds = line.strip_suffix(" s").and_then(|rest| rest.rsplit_once(' '));
        ends_in_seconds.map_or_else(|| line.trim_end().to_owned(), |(told, _)| told.trim_end().to_owned())
    };
    text.trim_end().lines().map(line).collect()
}

fn every_command_prints_what_the_page_shows(runtime: &'static str) {
    let home = Home::new(runtime);
    let secrets = home.path().join("secrets/default");
    std::fs::create_dir_all(&secrets).expect("the home takes folders");
    for (name, text) in [("shop-key", "k3y-of-the-shop"), ("shop-db", "p4ssw0rd")] {
        std::fs::write(secrets.join(name), text).expect("the home takes files");
    }
    let env = |command: &mut Command| {
        command.env("QFLOW_SECRETS_DIR", home.path().join("secrets")).env("TMPDIR", home.path()).current_dir(folder());
    };
    let _dev = home.dev_with(env);
    let waiting = Mutex::new(blocks().into_iter().filter(|block| block.kind == "console"));
    let wrong = Mutex::new(Vec::new());
    let next = || waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(block) = next() {
                    let ran = commands(&block).into_iter().filter(|(c, _)| runtime == "process" || !anywhere(c));
                    for (command, shown) in ran {
                        let mut shell = home.shell(&command);
                        env(&mut shell);
                        let output = shell.output().expect("the shell starts");
                        if !same(&String::from_utf8_lossy(&output.stdout), &shown) {
                            let told = format!("docs/PYTHON.md:{} $ {command}\n{}\n", block.line, said(&output));
                            wrong.lock().unwrap_or_else(PoisonError::into_inner).push(told);
                        }
                    }
                }
            });
        }
    });
    let wrong = wrong.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(wrong.is_empty(), "the page shows something else on {runtime}:\n{}", wrong.join("\n"));
}

#[test]
fn every_command_prints_what_the_page_shows_on_processes() {
    every_command_prints_what_the_page_shows("process");
}

#[test]
fn every_command_prints_what_the_page_shows_in_docker() {
    every_command_prints_what_the_page_shows("docker");
}
