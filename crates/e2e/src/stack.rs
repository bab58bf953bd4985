//! The stack of `make stack`, of a test's own: a cluster, and beside it what observes it, with minutes of rules as seconds.

use std::{
    path::PathBuf,
    process::{Command, Output},
};

use serde_json::Value;

use crate::{Cluster, Home, root, said, wait_seeing};

/// A minute of rules and routes is a second.
const SPEED: &str = "60";

/// A stack that ends with the test.
pub struct Stack {
    /// What is observed.
    pub cluster: Cluster,
    folder: PathBuf,
    parts: &'static str,
    /// The admin port of a `qflow dev` that is observed in the cluster's place.
    embedded: Option<String>,
}

impl Stack {
    /// Starts one, with `parts` of it as the script names them.
    pub fn start(runtime: &'static str, parts: &'static str) -> Self {
        Self::with(runtime, parts, Vec::new())
    }

    /// The same, whose programs see these variables.
    pub fn with(runtime: &'static str, parts: &'static str, settings: Vec<(String, String)>) -> Self {
        Self::of(Cluster::new(runtime, settings), parts, None)
    }

    /// Starts one that observes the server of a home; its cluster is none.
    pub fn embedded(home: &Home) -> Self {
        let told = home.metrics();
        let told = told.strip_prefix("http://").and_then(|url| url.strip_suffix("/metrics"));
        let cluster = Cluster::new("process", Vec::new());
        Self::of(cluster, "metrics", Some(told.expect("the admin address is told").to_owned()))
    }

    fn of(cluster: Cluster, parts: &'static str, embedded: Option<String>) -> Self {
        let stack = Self { folder: cluster.path().join("stack"), cluster, parts, embedded };
        stack.again();
        stack
    }

    /// Starts whatever does not run.
    pub fn again(&self) {
        let output = self.script("up");
        assert!(output.status.success(), "the stack comes up: {}", said(&output));
    }

    fn script(&self, verb: &str) -> Output {
        let mut command = Command::new(root().join("deploy/local/stack"));
        command.arg(verb).env("QFLOW_STACK_DIR", &self.folder);
        command.env("QFLOW_STACK_PARTS", self.parts).env("QFLOW_STACK_SPEED", SPEED);
        // What is sent a signal is a process of this machine.
        command.env("QFLOW_STACK_IMAGES", "never");
        command.envs(self.embedded.iter().map(|address| ("QFLOW_STACK_EMBEDDED", address)));
        self.cluster.settle(&mut command);
        command.output().expect("the script starts")
    }

    /// Ends all of it, and sees that nothing of it is left: no process of the script's or of what that started, whoever its parent is by now.
    pub fn ends(&self) {
        let ended = self.script("down");
        assert!(ended.status.success(), "the stack goes down: {}", said(&ended));
        wait_seeing("nothing is left running", || self.left().is_empty(), || format!("{:#?}", self.left()));
        let status = self.script("status");
        let told = String::from_utf8_lossy(&status.stdout).into_owned();
        let runs: Vec<&str> = told.lines().filter(|line| line.ends_with(" runs")).collect();
        assert!(runs.is_empty() && told.contains("prometheus does not run"), "{told}");
    }

    /// Command lines of the processes that were started for this stack: each sees its folder in its environment, or was told of it.
    fn left(&self) -> Vec<String> {
        let (ours, folder) =
            (format!("QFLOW_STACK_DIR={}", self.folder.display()), self.cluster.path().display().to_string());
        let read = |path: PathBuf| String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned();
        let processes = std::fs::read_dir("/proc").expect("Linux tells of processes").flatten();
        let lines = processes.filter_map(|process| {
            let (environment, line) = (read(process.path().join("environ")), read(process.path().join("cmdline")));
            let is_ours = environment.split('\0').any(|one| one == ours) || line.contains(&folder);
            is_ours.then(|| line.replace('\0', " "))
        });
        lines.collect()
    }

    /// An address that `up` printed, by the word before it.
    pub fn address(&self, name: &str) -> String {
        let said = std::fs::read_to_string(self.folder.join("addresses")).expect("the stack told its addresses");
        let line = said.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
        line.unwrap_or_else(|| panic!("{name} has an address in:\n{said}")).to_owned()
    }

    /// Sends a signal to a part: `jaeger`, `elasticsearch`, `filebeat`, `otel-collector`.
    pub fn signal(&self, part: &str, signal: &str) {
        let pid = std::fs::read_to_string(self.folder.join(part).join(format!("{part}.pid"))).expect("it was started");
        let done = Command::new("kill").args([&format!("-{signal}"), pid.trim()]).status().expect("kill starts");
        assert!(done.success(), "{part} ran");
    }

    /// What Prometheus answers to a path of its API with these parameters.
    pub fn prometheus(&self, path: &str, parameters: &[(&str, &str)]) -> Value {
        let answer = get(&format!("{}/api/v1/{path}", self.address("Prometheus")), parameters);
        assert_eq!(answer["status"], "success", "{path} {parameters:?}: {answer}");
        answer["data"].clone()
    }

    /// The series that an expression gives now.
    pub fn query(&self, expression: &str) -> Vec<Value> {
        let data = self.prometheus("query", &[("query", expression)]);
        data["result"].as_array().cloned().unwrap_or_default()
    }

    /// Waits until nothing but the Watchdog has fired for 15 minutes, which are seconds here, and whoever would say otherwise could: every
    /// target answers, every rule was evaluated and none in vain, and nobody was told of anything that fires.
    ///
    /// What only just starts may be told of before: nothing has been scraped yet, and a minute's patience is a second. What it does not see
    /// is an alert whose `for` is longer than the 15 minutes.
    pub fn is_quiet(&self) {
        // Every sample of the time, not one of each second: what fires for an instant counts.
        let firing = |which: &str| format!("count_over_time(ALERTS{{alertstate=\"firing\",{which}}}[15s])");
        let (watched, others) = (firing("alertname=\"Watchdog\"") + " >= 15", firing("alertname!=\"Watchdog\""));
        let quiet = || {
            let loud = self.query(&others);
            if !loud.is_empty() {
                self.forget_notifications();
            }
            loud.is_empty() && !self.query(&watched).is_empty()
        };
        wait_seeing("nothing but the Watchdog fires", quiet, || format!("{:#?}", self.query(&others)));
        let told: Vec<_> = self.notifications().into_iter().filter(|(by, _)| by != "deadman").collect();
        let fires = told.iter().filter(|(_, said)| said.contains("FIRING")).collect::<Vec<_>>();
        assert!(fires.is_empty(), "somebody was told of what does not fire: {fires:?}");
        let targets = self.prometheus("targets", &[("state", "active")]);
        let targets = targets["activeTargets"].as_array().cloned().unwrap_or_default();
        assert!(!targets.is_empty(), "something is scraped");
        let down: Vec<&Value> = targets.iter().filter(|target| target["health"] != "up").collect();
        assert!(down.is_empty(), "{down:#?}");
        let loaded = self.prometheus("rules", &[]);
        let rules = loaded["groups"].as_array().into_iter().flatten();
        let rules: Vec<&Value> = rules.filter_map(|group| group["rules"].as_array()).flatten().collect();
        assert!(rules.len() > 50, "our rules are loaded: {}", rules.len());
        // Those of the month are asked rarely, and may not have been yet.
        let ill: Vec<&&Value> = rules.iter().filter(|rule| rule["health"] == "err").collect();
        assert!(ill.is_empty(), "{ill:#?}");
    }

    /// Alerts that Alertmanager has: name, severity and state, `active` or `suppressed`.
    pub fn alerts(&self) -> Vec<[String; 3]> {
        let alerts = get(&format!("{}/api/v2/alerts", self.address("Alertmanager")), &[]);
        let one = |alert: &Value| {
            let words = [&alert["labels"]["alertname"], &alert["labels"]["severity"], &alert["status"]["state"]];
            words.map(|word| word.as_str().unwrap_or_default().to_owned())
        };
        alerts.as_array().into_iter().flatten().map(one).collect()
    }

    /// Has receivers begin anew.
    pub fn forget_notifications(&self) {
        std::fs::write(self.folder.join("notifications.jsonl"), "").expect("the stack's folder takes files");
    }

    /// What receivers got so far: whose it is (`email`, `slack`, `deadman`) and its headline.
    pub fn notifications(&self) -> Vec<(String, String)> {
        let said = std::fs::read_to_string(self.folder.join("notifications.jsonl")).unwrap_or_default();
        let lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let one = |line: Value| {
            let headline = [&line["subject"], &line["said"]["attachments"][0]["title"]].map(|v| v.as_str());
            let by = line["by"].as_str().unwrap_or_default().to_owned();
            (by, headline.into_iter().flatten().collect::<String>())
        };
        lines.map(one).collect()
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        self.script("down");
    }
}

/// What an address answers with JSON, asked with parameters.
pub fn get(url: &str, parameters: &[(&str, &str)]) -> Value {
    let mut curl = Command::new("curl");
    curl.arg("--get");
    for (name, value) in parameters {
        curl.arg("--data-urlencode").arg(format!("{name}={value}"));
    }
    answer(curl, url)
}

/// What it answers to an object.
pub fn post(url: &str, object: &Value) -> Value {
    let mut curl = Command::new("curl");
    curl.args(["--header", "Content-Type: application/json", "--data-binary", &object.to_string()]);
    answer(curl, url)
}

fn answer(mut curl: Command, url: &str) -> Value {
    curl.args(["--silent", "--show-error", "--noproxy", "*", "--max-time", "60", url]);
    let output = curl.output().expect("curl is installed");
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{url} answers: {error}: {}", said(&output)))
}
