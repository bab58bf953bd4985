//! What decorators and `[tool.qflow.node]` may say, checked value by value.

use std::collections::BTreeMap;

use qflow_model::definition::{Isolation, NodeDef, OnFailure, PythonVersion, Resources, Retry};
use serde_json::Value;

use crate::units;

/// More retries than anyone waits for.
const MAX_RETRIES: u64 = 100;
/// More processors than a machine has.
const MAX_CPUS: f64 = 1024.0;
/// Less memory than Python itself needs.
const MIN_MEMORY: u64 = 16 << 20;
/// More memory than a machine has.
const MAX_BYTES: u64 = 64 << 40;
/// More processes than a kernel has.
const MAX_PIDS: u64 = 4 << 20;
/// More attempts at once than a run has node runs.
const MAX_PARALLEL: u64 = qflow_model::limits::NODE_RUNS as u64;
/// The key under which a decorator's `secret("name")` stands.
pub(crate) const SECRET: &str = "$secret";

/// A value that an option does not take.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Bad {
    pub(crate) code: &'static str,
    pub(crate) message: String,
    pub(crate) remedy: String,
}

fn bad(name: &str, value: &Value, remedy: impl Into<String>) -> Bad {
    Bad { code: "bad-option", message: format!("{name} does not take {}", shown(value)), remedy: remedy.into() }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("`{short}…`") } else { format!("`{short}`") }
}

/// The options of a node; what a file's defaults leave open, its decorator may set.
#[derive(Clone, Debug)]
pub(crate) struct NodeOptions {
    pub(crate) python: Option<PythonVersion>,
    pub(crate) requirements: Vec<String>,
    pub(crate) inherit: bool,
    pub(crate) retry: Retry,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) resources: Resources,
    pub(crate) env: BTreeMap<String, String>,
    pub(crate) secrets: BTreeMap<String, Option<String>>,
    pub(crate) pool: Option<String>,
    pub(crate) max_parallel: Option<u32>,
    pub(crate) cache_ms: Option<u64>,
    pub(crate) convert: bool,
    pub(crate) idempotent: bool,
    pub(crate) isolation: Isolation,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            python: None,
            requirements: Vec::new(),
            inherit: true,
            retry: Retry::default(),
            timeout_ms: None,
            resources: Resources::default(),
            env: BTreeMap::new(),
            secrets: BTreeMap::new(),
            pool: None,
            max_parallel: None,
            cache_ms: None,
            convert: false,
            idempotent: true,
            isolation: Isolation::default(),
        }
    }
}

/// Every name that `@node` takes, for suggestions.
const NODE: &[&str] = &[
    "python",
    "requirements",
    "inherit",
    "retries",
    "backoff",
    "retry_on",
    "timeout",
    "memory",
    "cpus",
    "pids",
    "tmp",
    "network",
    "env",
    "secrets",
    "pool",
    "max_parallel",
    "cache",
    "convert",
    "idempotent",
    "isolation",
];
/// Every name that `@workflow` takes.
const WORKFLOW: &[&str] = &["name", "max_parallel", "timeout", "schedule", "isolation", "on_failure", "notify"];

impl NodeOptions {
    /// Sets one option.
    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), Bad> {
        match name {
            "python" => self.python = Some(python(value)?),
            "requirements" => {
                let read = requirements(value);
                self.requirements = read.map_err(|_| bad(name, value, "write requirements=[\"httpx>=0.27\"]"))?;
            }
            "inherit" => self.inherit = flag(name, value)?,
            "retries" => self.retry.retries = whole(name, value, 0, MAX_RETRIES)? as u32,
            "backoff" => self.retry.backoff_ms = duration(name, value)?,
            "retry_on" => self.retry.on = names(name, value, "write retry_on=[\"ConnectionError\"]")?,
            "timeout" => self.timeout_ms = Some(positive(name, value)?),
            "memory" => self.resources.memory_bytes = size(name, value, MIN_MEMORY)?,
            "cpus" => self.resources.cpu_millis = cpus(value)?,
            "pids" => self.resources.pids = whole(name, value, 1, MAX_PIDS)? as u32,
            "tmp" => self.resources.tmp_bytes = size(name, value, 1)?,
            "network" => self.resources.network = flag(name, value)?,
            "env" => self.env(value)?,
            "secrets" => {
                for secret in names(name, value, "write secrets=[\"openai\"]")? {
                    self.secrets.entry(secret).or_default();
                }
            }
            "pool" => self.pool = Some(text(name, value, "write pool=\"name\"")?),
            "max_parallel" => self.max_parallel = Some(whole(name, value, 1, MAX_PARALLEL)? as u32),
            "cache" => {
                self.cache_ms = match value {
                    Value::Bool(true) => Some(u64::MAX),
                    Value::Bool(false) => None,
                    _ => Some(positive(name, value)?),
                }
            }
            "convert" => self.convert = flag(name, value)?,
            "idempotent" => self.idempotent = flag(name, value)?,
            "isolation" => {
                self.isolation = match value.as_str() {
                    Some("run") => Isolation::Run,
                    Some("node") => Isolation::Node,
                    Some("shared") => Isolation::Shared,
                    _ => return Err(bad(name, value, "write isolation=\"run\", \"node\" or \"shared\"")),
                }
            }
            other => return Err(unknown("@node", other, NODE)),
        }
        Ok(())
    }

    fn env(&mut self, value: &Value) -> Result<(), Bad> {
        const REMEDY: &str = "write env={\"REGION\": \"eu\", \"KEY\": secret(\"name\")}";
        let fields = value.as_object().ok_or_else(|| bad("env", value, REMEDY))?;
        for (variable, value) in fields {
            let named = !variable.is_empty()
                && variable.bytes().all(|b| b == b'_' || b.is_ascii_alphanumeric())
                && !variable.starts_with(|c: char| c.is_ascii_digit());
            if !named {
                return Err(bad("env", &Value::from(variable.as_str()), "a variable has letters, digits and _"));
            }
            match (value.as_str(), value.get(SECRET).and_then(Value::as_str)) {
                (Some(text), _) if !text.contains('\0') => drop(self.env.insert(variable.clone(), text.to_owned())),
                (_, Some(secret)) if is_name(secret) => {
                    self.secrets.insert(secret.to_owned(), Some(variable.clone()));
                }
                _ => return Err(bad("env", value, REMEDY)),
            }
        }
        Ok(())
    }

    /// Writes the options into a definition; requirements are the node's own and, where inherited, the file's.
    pub(crate) fn apply(self, node: &mut NodeDef, dependencies: &[String]) {
        let inherited = if self.inherit { dependencies } else { &[] };
        let mut requirements = [inherited, &self.requirements].concat();
        requirements.sort();
        requirements.dedup();
        node.python = self.python;
        node.requirements = requirements;
        node.retry = self.retry;
        node.timeout_ms = self.timeout_ms;
        node.resources = self.resources;
        node.env = self.env;
        node.secrets = self.secrets;
        node.pool = self.pool;
        node.max_parallel = self.max_parallel;
        node.cache_ms = self.cache_ms;
        node.convert = self.convert;
        node.idempotent = self.idempotent;
        node.isolation = self.isolation;
    }
}

/// The options of a workflow.
#[derive(Clone, Debug, Default)]
pub(crate) struct WorkflowOptions {
    pub(crate) name: Option<String>,
    pub(crate) max_parallel: Option<u32>,
    pub(crate) timeout_ms: Option<u64>,
    pub(crate) on_failure: OnFailure,
}

impl WorkflowOptions {
    /// Sets one option.
    pub(crate) fn set(&mut self, name: &str, value: &Value) -> Result<(), Bad> {
        match name {
            "name" => {
                let text = text(name, value, "write name=\"daily-sales\"")?;
                if !is_name(&text) {
                    return Err(bad(name, value, "a name has letters, digits, `_`, `-` and `.`, at most 100"));
                }
                self.name = Some(text);
            }
            "max_parallel" => self.max_parallel = Some(whole(name, value, 1, MAX_PARALLEL)? as u32),
            "timeout" => self.timeout_ms = Some(positive(name, value)?),
            "on_failure" => {
                self.on_failure = match value.as_str() {
                    Some("finish") => OnFailure::Finish,
                    Some("stop") => OnFailure::Stop,
                    _ => return Err(bad(name, value, "write on_failure=\"finish\" or \"stop\"")),
                }
            }
            "isolation" => return Err(not_yet(name, "write isolation= on the nodes")),
            "schedule" | "notify" => return Err(not_yet(name, "leave it out and start runs by hand or by API")),
            other => return Err(unknown("@workflow", other, WORKFLOW)),
        }
        Ok(())
    }
}

/// Whether an option's value needs no reading because it is refused as it stands.
pub(crate) fn refused_as_written(name: &str) -> Option<Bad> {
    WorkflowOptions::default().set(name, &Value::Null).err().filter(|bad| bad.code == "not-yet")
}

fn not_yet(name: &str, remedy: &str) -> Bad {
    Bad { code: "not-yet", message: format!("`{name}` is not there yet"), remedy: remedy.to_owned() }
}

fn unknown(decorator: &str, name: &str, known: &[&str]) -> Bad {
    let (message, remedy) = if name == "gpu" {
        ("`gpu` is reserved and not there yet".to_owned(), "leave it out".to_owned())
    } else {
        let remedy = nearest(name, known.iter().copied())
            .map_or_else(|| format!("it takes {}", known.join(", ")), |near| format!("did you mean `{near}`?"));
        (format!("{decorator} takes no `{name}`"), remedy)
    };
    Bad { code: "unknown-option", message, remedy }
}

/// The known name that a misspelt one most likely stands for.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer names are not misspelt, they are made up.
    const LONGEST: usize = 60;
    if name.chars().count() > LONGEST {
        return None;
    }
    let scored = known.into_iter().filter(|k| k.chars().count() <= LONGEST).map(|k| (distance(name, k), k));
    let allowed = 1 + name.chars().count() / 4;
    scored.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= allowed).map(|(_, k)| k)
}

/// Edits between two names, by Levenshtein.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=100).contains(&text.chars().count()) && text.chars().all(good) && !text.starts_with(['.', '-'])
}

fn python(value: &Value) -> Result<PythonVersion, Bad> {
    let read = value.as_str().and_then(|text| text.parse::<PythonVersion>().ok()).filter(|v| v.major == 3);
    read.ok_or_else(|| {
        let remedy = match value {
            Value::Number(number) => format!("write it as a text: python=\"{number}\""),
            _ => "write python=\"3.11\"".to_owned(),
        };
        bad("python", value, remedy)
    })
}

fn flag(name: &str, value: &Value) -> Result<bool, Bad> {
    value.as_bool().ok_or_else(|| bad(name, value, format!("write {name}=True or {name}=False")))
}

fn text(name: &str, value: &Value, remedy: &str) -> Result<String, Bad> {
    let text = value.as_str().filter(|t| !t.trim().is_empty() && t.len() <= 256 && !t.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| bad(name, value, remedy))
}

fn whole(name: &str, value: &Value, least: u64, most: u64) -> Result<u64, Bad> {
    let number = value.as_u64().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| bad(name, value, format!("write a whole number from {least} to {most}")))
}

fn cpus(value: &Value) -> Result<u32, Bad> {
    let number = value.as_f64().filter(|n| (0.01..=MAX_CPUS).contains(n));
    number.map(|n| (n * 1000.0).round() as u32).ok_or_else(|| bad("cpus", value, "write cpus=1.0, at least 0.01"))
}

fn duration(name: &str, value: &Value) -> Result<u64, Bad> {
    let read = match value {
        Value::String(text) => units::duration_ms(text),
        Value::Number(number) => number.as_f64().and_then(units::seconds_ms),
        _ => None,
    };
    read.ok_or_else(|| bad(name, value, format!("write {name}=\"90s\" or {name}=\"2m\"")))
}

fn positive(name: &str, value: &Value) -> Result<u64, Bad> {
    let ms = duration(name, value)?;
    if ms == 0 { Err(bad(name, value, format!("write more than nothing, {name}=\"2m\""))) } else { Ok(ms) }
}

fn size(name: &str, value: &Value, least: u64) -> Result<u64, Bad> {
    let read = match value {
        Value::String(text) => units::bytes(text),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    let remedy = || {
        let least = if least > 1 { format!(", at least \"{}MiB\"", least >> 20) } else { String::new() };
        format!("write {name}=\"512MiB\"{least}")
    };
    read.filter(|bytes| (least..=MAX_BYTES).contains(bytes)).ok_or_else(|| bad(name, value, remedy()))
}

fn names(name: &str, value: &Value, remedy: &str) -> Result<Vec<String>, Bad> {
    let one = value.as_str().map(|_| std::slice::from_ref(value));
    let items = value.as_array().map(Vec::as_slice).or(one).ok_or_else(|| bad(name, value, remedy))?;
    let read = |item: &Value| item.as_str().filter(|t| is_name(t)).map(str::to_owned);
    items.iter().map(|item| read(item).ok_or_else(|| bad(name, item, remedy))).collect()
}

/// Requirements as PEP 508 has them, as far as their beginning shows; options of installers are none.
pub(crate) fn requirements(value: &Value) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| format!("{} is not a list of requirements", shown(value)))?;
    let read = |item: &Value| {
        let text = item.as_str().map(str::trim).filter(|text| {
            text.starts_with(|c: char| c.is_ascii_alphanumeric())
                && !text.contains(char::is_control)
                && text.len() <= 500
        });
        text.map(str::to_owned).ok_or_else(|| format!("{} is not a requirement", shown(item)))
    };
    items.iter().map(read).collect()
}

/// Whether a text is a version specifier of PEP 440, as far as its shape shows.
pub(crate) fn is_specifier(clauses: &str) -> bool {
    clauses.split(',').map(str::trim).all(|clause| {
        let bound = clause.trim_start_matches(['<', '>', '=', '!', '~']);
        let operator = &clause[..clause.len() - bound.len()];
        let numbers = bound.trim().strip_suffix(".*").unwrap_or(bound.trim());
        matches!(operator, ">=" | ">" | "<=" | "<" | "==" | "!=" | "~=")
            && !numbers.is_empty()
            && numbers.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn every_option_takes_what_the_design_shows() {
        let mut options = NodeOptions::default();
        for (name, value) in [
            ("python", json!("3.11")),
            ("requirements", json!(["httpx"])),
            ("inherit", json!(false)),
            ("retries", json!(3)),
            ("backoff", json!("100ms")),
            ("retry_on", json!(["ValueError", "requests.Timeout"])),
            ("timeout", json!("2m")),
            ("memory", json!("1GiB")),
            ("cpus", json!(0.5)),
            ("pids", json!(64)),
            ("tmp", json!("64MiB")),
            ("network", json!(true)),
            ("env", json!({"REGION": "eu", "KEY": {SECRET: "openai"}})),
            ("secrets", json!(["db"])),
            ("pool", json!("gpu-box")),
            ("max_parallel", json!(8)),
            ("cache", json!("7d")),
            ("convert", json!(true)),
            ("idempotent", json!(false)),
            ("isolation", json!("node")),
        ] {
            assert_eq!(options.set(name, &value), Ok(()), "{name}");
        }
        assert_eq!(options.cache_ms, Some(7 * 24 * 3_600_000));
        assert_eq!(options.resources.cpu_millis, 500);
        assert_eq!(options.secrets["openai"].as_deref(), Some("KEY"));
        assert_eq!(NODE.len(), 20, "all of them are above");
    }

    #[test]
    fn what_an_option_does_not_take_is_refused_with_what_to_write() {
        let mut options = NodeOptions::default();
        for (name, value, remedy) in [
            ("python", json!(3.11), "write it as a text: python=\"3.11\""),
            ("python", json!("2.7"), "write python=\"3.11\""),
            ("retries", json!(-1), "write a whole number from 0 to 100"),
            ("retries", json!(true), "write a whole number from 0 to 100"),
            ("timeout", json!("soon"), "write timeout=\"90s\" or timeout=\"2m\""),
            ("timeout", json!("0s"), "write more than nothing, timeout=\"2m\""),
            ("memory", json!("1MiB"), "write memory=\"512MiB\", at least \"16MiB\""),
            ("requirements", json!(["--index-url=x"]), "write requirements=[\"httpx>=0.27\"]"),
            ("isolation", json!("vm"), "write isolation=\"run\", \"node\" or \"shared\""),
            ("retires", json!(1), "did you mean `retries`?"),
            ("gpu", json!(1), "leave it out"),
        ] {
            assert_eq!(options.set(name, &value).unwrap_err().remedy, remedy, "{name}");
        }
    }

    #[test]
    fn a_specifier_has_clauses_and_nothing_else() {
        for good in [">=3.11", ">=3.9,<3.13", "==3.*", "~=3.8", ">= 3.10"] {
            assert!(is_specifier(good), "{good}");
        }
        for wrong in ["", "3.11", ">=3.x", "latest", ">=3.11,"] {
            assert!(!is_specifier(wrong), "{wrong}");
        }
    }
}
