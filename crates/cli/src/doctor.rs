//! `qflow doctor`: what this machine has and lacks, and how to get it.

use std::{path::Path, process::Stdio, time::Duration};

use tokio::process::Command;

use crate::{args::Output, exit::Exit, out, outln, render};

/// How long one question may take: a daemon that hangs is told as absent.
const ASK: Duration = Duration::from_secs(10);
/// What the process runtime looks for.
const PYTHONS: [&str; 7] = ["3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14"];

/// One line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// What was looked for.
    pub what: String,
    /// Whether it is there.
    pub found: bool,
    /// Whether nothing runs without it.
    pub needed: bool,
    /// What was found, or how to get it.
    pub detail: String,
}

/// Looks, prints, and fails where something needed is missing.
pub async fn doctor(output: Output, data_dir: &Path) -> Exit {
    let findings = look(data_dir).await;
    if output == Output::Json {
        outln!("{:#}", serde_json::json!(findings));
    } else {
        let state = |f: &Finding| match (f.found, f.needed) {
            (true, _) => "ok",
            (false, true) => "MISSING",
            (false, false) => "absent",
        };
        let rows = findings.iter().map(|f| [f.what.clone(), state(f).to_owned(), f.detail.clone()]);
        out!("{}", render::table(["WHAT", "STATE", "DETAIL"], rows));
    }
    verdict(&findings)
}

fn verdict(findings: &[Finding]) -> Exit {
    if findings.iter().any(|f| f.needed && !f.found) { Exit::Failed } else { Exit::Completed }
}

async fn look(data_dir: &Path) -> Vec<Finding> {
    let mut findings = vec![writable(data_dir)];
    let docker = ask("docker", &["version", "--format", "{{.Server.Version}}"]).await;
    let images = match &docker {
        Some(_) => ask("docker", &["image", "ls", "--format", "{{.Repository}}:{{.Tag}}"]).await.unwrap_or_default(),
        None => String::new(),
    };
    let images: Vec<&str> = images.lines().filter(|i| i.starts_with("python:") && i.ends_with("-slim")).collect();
    let mut pythons = Vec::new();
    for version in PYTHONS {
        if let Some(answer) = ask(&format!("python{version}"), &["--version"]).await {
            pythons.push(answer.trim_start_matches("Python ").to_owned());
        }
    }
    findings.push(Finding {
        what: "docker".to_owned(),
        found: docker.is_some(),
        needed: docker.is_none() && pythons.is_empty(),
        detail: docker.clone().unwrap_or_else(|| {
            "no daemon answers; nodes run as processes, without isolation. Install it: https://docs.docker.com/engine/install".to_owned()
        }),
    });
    findings.push(Finding {
        what: "images".to_owned(),
        found: !images.is_empty(),
        needed: false,
        detail: if images.is_empty() {
            "docker pull python:3.11-slim, or `make python-images`".to_owned()
        } else {
            images.join(" ")
        },
    });
    findings.push(Finding {
        what: "pythons".to_owned(),
        found: !pythons.is_empty(),
        needed: docker.is_none(),
        detail: if pythons.is_empty() {
            "apt-get install python3, or use Docker".to_owned()
        } else {
            pythons.join(" ")
        },
    });
    let uv = std::env::var("QFLOW_UV").unwrap_or_else(|_| "uv".to_owned());
    let uv = ask(&uv, &["--version"]).await;
    findings.push(Finding {
        what: "uv".to_owned(),
        found: uv.is_some(),
        needed: false,
        detail: uv.unwrap_or_else(|| {
            "fetched by hash when a node has `requirements`; to use your own: pip install uv, or set QFLOW_UV"
                .to_owned()
        }),
    });
    findings
}

/// What a program says, where it is there and content.
async fn ask(program: &str, args: &[&str]) -> Option<String> {
    let mut command = Command::new(program);
    command.args(args).stdin(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(ASK, command.output()).await.ok()?.ok()?;
    let text = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

fn writable(data_dir: &Path) -> Finding {
    let probe = data_dir.join(format!(".doctor-{}", std::process::id()));
    let tried = std::fs::create_dir_all(data_dir)
        .and_then(|()| std::fs::write(&probe, b""))
        .and_then(|()| std::fs::remove_file(&probe));
    let detail = match &tried {
        Ok(()) => data_dir.display().to_string(),
        Err(e) => format!("{}: {e}; set QFLOW_DATA_DIR to a folder that you may write", data_dir.display()),
    };
    Finding { what: "data directory".to_owned(), found: tried.is_ok(), needed: true, detail }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_needed_and_missing_fails() {
        let finding = |found, needed| Finding { what: String::new(), found, needed, detail: String::new() };
        assert_eq!(verdict(&[finding(false, false), finding(true, true)]), Exit::Completed);
        assert_eq!(verdict(&[finding(false, true)]), Exit::Failed);
    }

    #[test]
    fn a_data_directory_that_cannot_be_made_is_told_with_the_remedy() {
        let home = tempfile::tempdir().unwrap();
        assert!(writable(&home.path().join("new")).found);
        let file = home.path().join("file");
        std::fs::write(&file, b"").unwrap();
        let finding = writable(&file.join("below"));
        assert!(!finding.found && finding.detail.contains("QFLOW_DATA_DIR"));
    }
}
