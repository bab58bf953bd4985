//! A server, and calls of it by HTTP.

use std::process::Command;

use qflow_e2e::{Dev, Home, root, said, wait_for};
use serde_json::{Value, json};

/// A server, and who calls it.
pub(crate) struct House {
    pub(crate) home: Home,
    _dev: Dev,
    pub(crate) url: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) text: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

impl House {
    pub(crate) fn new() -> Self {
        let home = Home::new("process");
        let dev = home.dev();
        let server = std::fs::read_to_string(home.path().join("data/server.json")).expect("it serves");
        let server: Value = serde_json::from_str(&server).expect("an object");
        let url = server["http"].as_str().expect("an address").trim_end_matches('/').to_owned();
        Self { home, _dev: dev, url }
    }

    pub(crate) fn own(&self) -> String {
        std::fs::read_to_string(self.home.path().join("data/token")).expect("it has a token").trim().to_owned()
    }

    /// A token of somebody in a tenant.
    pub(crate) fn token(&self, user: &str, role: &str, tenant: &str) -> String {
        let line = ["token", "create", user, "--role", role, "--tenant", tenant, "-o", "raw"];
        let output = self.home.run(&line);
        assert!(output.status.success(), "{}", said(&output));
        String::from_utf8(output.stdout).expect("a token is text").trim().to_owned()
    }

    /// Asks by HTTP/1.1; nobody shows a token that is empty.
    pub(crate) fn ask(&self, method: &str, path: &str, token: &str, more: &[&str]) -> Answer {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--show-error", "--max-time", "60", "--include", "-H", "Expect:", "-X", method]);
        if !token.is_empty() {
            curl.args(["-H", &format!("Authorization: Bearer {token}")]);
        }
        let output = curl.args(more).arg(format!("{}{path}", self.url)).output().expect("curl is here");
        let text = String::from_utf8_lossy(&output.stdout).replace("\r\n", "\n");
        let (head, text) = text.split_once("\n\n").unwrap_or_else(|| panic!("{}", said(&output)));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        Answer { status: status.expect("a status"), head: head.to_owned(), text: text.to_owned() }
    }

    pub(crate) fn get(&self, path: &str, token: &str) -> Answer {
        self.ask("GET", path, token, &[])
    }

    pub(crate) fn send(&self, method: &str, path: &str, token: &str, body: &Value) -> Answer {
        self.ask(method, path, token, &["-H", "Content-Type: application/json", "--data-raw", &body.to_string()])
    }

    /// A run of `examples/hello.py`, started by HTTP.
    pub(crate) fn hello(&self, token: &str, more: &Value) -> Answer {
        let text = std::fs::read_to_string(root().join("examples/hello.py")).expect("the example is there");
        let mut body =
            json!({"source": {"entry": "hello.py", "files": {"hello.py": text}}, "parameters": {"name": "Ada"}});
        for (name, value) in more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        self.send("POST", "/api/v1/runs", token, &body)
    }

    pub(crate) fn ended(&self, run: &str, token: &str) -> Value {
        wait_for("the run ends", || !self.get(&format!("/api/v1/runs/{run}"), token).json()["ended_at"].is_null());
        self.get(&format!("/api/v1/runs/{run}"), token).json()
    }
}

pub(crate) fn id(started: &Answer) -> String {
    started.json()["run_id"].as_str().unwrap_or_else(|| panic!("no run: {started:?}")).to_owned()
}
