//! The cases of a file, as written beside it: pure, from TOML to what must come of each.

use std::{collections::BTreeMap, path::Path, time::Duration};

use qflow_model::definition::Definition;
use qflow_type_validator::validate::choose;
use qflow_types::value::{json, to_plain};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::{
    args::duration,
    exit::{Exit, Fail},
};

/// How long a case may take where nothing is said.
const TIMEOUT: Duration = Duration::from_mins(5);

/// All cases of a file, in their order.
#[derive(Debug)]
pub(super) struct Cases {
    pub(super) all: Vec<Case>,
}

/// One run, and what must come of it.
#[derive(Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) workflow: String,
    /// JSON texts by name.
    pub(super) params: BTreeMap<String, String>,
    pub(super) secrets: BTreeMap<String, String>,
    pub(super) timeout: Duration,
    pub(super) expected: Expected,
}

/// What must come of a case.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    /// It completes.
    Completed,
    /// It completes with this.
    Result { value: Value, tolerance: f64 },
    /// It fails in this way.
    Failure { error_type: String, message: Option<String>, node: Option<String> },
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    timeout: Option<String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
    #[serde(default, rename = "case")]
    cases: Vec<WrittenCase>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCase {
    name: Option<String>,
    #[serde(default)]
    workflow: String,
    #[serde(default)]
    params: toml::Table,
    params_json: Option<String>,
    result: Option<toml::Value>,
    result_json: Option<String>,
    tolerance: Option<f64>,
    failure: Option<String>,
    message: Option<String>,
    node: Option<String>,
    timeout: Option<String>,
    #[serde(default)]
    secrets: BTreeMap<String, String>,
}

/// Reads the file of cases; all that is wrong with it at once.
pub(super) fn read(path: &Path, definition: &Definition) -> Result<Cases, Fail> {
    let shown = path.display();
    let text = std::fs::read_to_string(path).map_err(|e| Fail::usage(format!("read {shown}: {e}")))?;
    parse(&text, definition).map_err(|why| Fail::new(Exit::Invalid, format!("{shown}: {why}")))
}

fn parse(text: &str, definition: &Definition) -> Result<Cases, String> {
    let written: Written = toml::from_str(text).map_err(|e| e.to_string().trim_end().to_owned())?;
    let shared = Shared { timeout: time(written.timeout.as_deref(), TIMEOUT)?, secrets: written.secrets };
    secret_names(&shared.secrets)?;
    let (mut all, mut wrong): (Vec<Case>, Vec<String>) = (Vec::new(), Vec::new());
    for (at, case) in written.cases.into_iter().enumerate() {
        let label = case.name.clone().unwrap_or_else(|| format!("case {}", at + 1));
        match read_case(case, at, &shared, definition) {
            Ok(case) if all.iter().any(|other| other.name == case.name) => {
                wrong.push(format!("two cases are called `{}`", case.name));
            }
            Ok(case) => all.push(case),
            Err(why) => wrong.push(format!("{label}: {why}")),
        }
    }
    if wrong.is_empty() { Ok(Cases { all }) } else { Err(wrong.join("\n")) }
}

/// What holds for every case.
struct Shared {
    timeout: Duration,
    secrets: BTreeMap<String, String>,
}

fn read_case(case: WrittenCase, at: usize, shared: &Shared, definition: &Definition) -> Result<Case, String> {
    let workflow = choose(definition, &case.workflow).map_err(|choice| choice.to_string())?.name.clone();
    let written = case.params.iter().map(|(name, value)| (name.clone(), plain(value).to_string()));
    let mut params: BTreeMap<_, _> = written.collect();
    if let Some(text) = &case.params_json {
        let more = json::fields(text.as_bytes()).map_err(|why| format!("params_json: {why}"))?;
        params.extend(more.into_iter().map(|(name, text)| (name, text.to_owned())));
    }
    let result = match (case.result, &case.result_json) {
        (Some(_), Some(_)) => return Err("it has both result and result_json".to_owned()),
        (Some(value), None) => Some(plain(&value)),
        (None, Some(text)) => {
            let read = json::read(text.as_bytes()).map_err(|why| format!("result_json: {why}"))?;
            Some(to_plain(&read))
        }
        (None, None) => None,
    };
    let only_with = |what: &str, given: bool, with: &str| {
        if given { Err(format!("{what} goes with {with}, which it does not have")) } else { Ok(()) }
    };
    let expected = match (result, case.failure) {
        (Some(_), Some(_)) => return Err("it has both a result and a failure".to_owned()),
        (result, None) => {
            only_with("message", case.message.is_some(), "failure")?;
            only_with("node", case.node.is_some(), "failure")?;
            only_with("tolerance", case.tolerance.is_some() && result.is_none(), "result")?;
            let tolerance = case.tolerance.unwrap_or(0.0);
            result.map_or(Expected::Completed, |value| Expected::Result { value, tolerance })
        }
        (None, Some(error_type)) => {
            only_with("tolerance", case.tolerance.is_some(), "result")?;
            Expected::Failure { error_type, message: case.message, node: case.node }
        }
    };
    secret_names(&case.secrets)?;
    let mut secrets = shared.secrets.clone();
    secrets.extend(case.secrets);
    let name = case.name.unwrap_or_else(|| format!("{workflow} {}", at + 1));
    let timeout = time(case.timeout.as_deref(), shared.timeout)?;
    Ok(Case { name, workflow, params, secrets, timeout, expected })
}

fn time(written: Option<&str>, otherwise: Duration) -> Result<Duration, String> {
    written.map_or(Ok(otherwise), duration)
}

/// Secrets are files by their names.
fn secret_names(secrets: &BTreeMap<String, String>) -> Result<(), String> {
    let good = |name: &&String| {
        !name.is_empty() && !name.starts_with('.') && name.chars().all(|c| c.is_alphanumeric() || "-_.".contains(c))
    };
    match secrets.keys().find(|name| !good(name)) {
        Some(name) => Err(format!("`{name}` is not a secret's name")),
        None => Ok(()),
    }
}

/// A value of TOML in the plain form: times in ISO, numbers that JSON lacks as texts.
fn plain(value: &toml::Value) -> Value {
    match value {
        toml::Value::String(text) => Value::from(text.as_str()),
        toml::Value::Integer(number) => Value::from(*number),
        toml::Value::Float(number) if number.is_nan() => Value::from("nan"),
        toml::Value::Float(number) if number.is_infinite() => Value::from(if *number > 0.0 { "inf" } else { "-inf" }),
        toml::Value::Float(number) => Value::from(*number),
        toml::Value::Boolean(flag) => Value::from(*flag),
        toml::Value::Datetime(at) => Value::from(at.to_string()),
        toml::Value::Array(items) => items.iter().map(plain).collect(),
        toml::Value::Table(fields) => {
            fields.iter().map(|(key, value)| (key.clone(), plain(value))).collect::<Map<_, _>>().into()
        }
    }
}

/// A case for each workflow that needs no parameters.
pub(super) fn without_parameters(definition: &Definition) -> Cases {
    let free = definition.workflows.values().filter(|w| w.params.iter().all(|param| param.default.is_some()));
    let case = |workflow: &qflow_model::definition::WorkflowDef| Case {
        name: workflow.name.clone(),
        workflow: workflow.name.clone(),
        params: BTreeMap::new(),
        secrets: BTreeMap::new(),
        timeout: TIMEOUT,
        expected: Expected::Completed,
    };
    Cases { all: free.map(case).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition() -> Definition {
        let text = "from qflow import node, workflow\n\n@node\ndef f(x: int) -> int:\n    return x\n\n\
                    @workflow\ndef one(x: int) -> int:\n    return f(x)\n\n@workflow\ndef two(x: int = 1) -> int:\n    return f(x)\n";
        let files = [("a.py".to_owned(), text.to_owned())].into();
        let source = qflow_model::definition::Source { entry: "a.py".to_owned(), files };
        qflow_type_validator::validate::validate(&source).0
    }

    fn wrong(text: &str) -> String {
        parse(text, &definition()).unwrap_err()
    }

    #[test]
    fn cases_are_read_with_what_is_shared() {
        let text = "timeout = \"10s\"\nsecrets = { a = \"1\", b = \"2\" }\n\
                    [[case]]\nworkflow = \"one\"\nparams = { day = 2026-11-23, xs = [1, 2.5, inf] }\n\
                    params_json = '{\"y\": 36893488147419103233}'\n\
                    [[case]]\nname = \"bad\"\nworkflow = \"two\"\nfailure = \"ValueError\"\nmessage = \"no\"\ntimeout = \"1m\"\n\
                    secrets = { b = \"3\" }\n[[case]]\nworkflow = \"two\"\nresult_json = 'null'\n";
        let cases = parse(text, &definition()).unwrap().all;
        let names: Vec<_> = cases.iter().map(|case| case.name.as_str()).collect();
        assert_eq!(names, ["one 1", "bad", "two 3"]);
        let params = [("day", "\"2026-11-23\""), ("xs", "[1,2.5,\"inf\"]"), ("y", "36893488147419103233")];
        assert_eq!(cases[0].params, params.map(|(name, text)| (name.to_owned(), text.to_owned())).into());
        assert_eq!((cases[0].timeout, cases[1].timeout), (Duration::from_secs(10), Duration::from_mins(1)));
        assert_eq!((cases[1].secrets["a"].as_str(), cases[1].secrets["b"].as_str()), ("1", "3"));
        let failure = Expected::Failure { error_type: "ValueError".into(), message: Some("no".into()), node: None };
        assert_eq!(cases[1].expected, failure);
        assert_eq!(cases[2].expected, Expected::Result { value: Value::Null, tolerance: 0.0 });
    }

    #[test]
    fn what_is_wrong_with_cases_is_told_at_once() {
        let two = "[[case]]\nworkflow = \"two\"\n";
        for (text, why) in [
            ("[[case]]\nworkflow = \"three\"\n", "case 1: no workflow is called `three`"),
            ("[[case]]\n", "case 1: which workflow is meant: one, two"),
            (&format!("{two}result = 1\nfailure = \"E\"\n"), "both a result and a failure"),
            (&format!("{two}result = 1\nresult_json = '1'\n"), "both result and result_json"),
            (&format!("{two}message = \"x\"\n"), "message goes with failure"),
            (&format!("{two}tolerance = 0.1\n"), "tolerance goes with result"),
            (&format!("{two}timeout = \"long\"\n"), "`long` is not a time"),
            (&format!("{two}resutl = 1\n"), "unknown field `resutl`"),
            (&format!("{two}secrets = {{ \"../x\" = \"\" }}\n"), "not a secret's name"),
            (&format!("{two}name = \"a\"\n{two}name = \"a\"\n"), "two cases are called `a`"),
            (&format!("{two}result_json = '['\n{two}params_json = '1'\n"), "case 2: params_json: not a JSON object"),
            (
                &format!("{two}params_json = '{{\"x\": 1, \"x\": 2}}'\n"),
                "params_json: at [\"x\"]: the key \"x\" comes twice",
            ),
            ("case = 1\n", "case"),
        ] {
            assert!(wrong(text).contains(why), "{text}: {}", wrong(text));
        }
    }

    #[test]
    fn without_cases_only_what_needs_no_parameters_is_run() {
        let names: Vec<_> = without_parameters(&definition()).all.into_iter().map(|case| case.name).collect();
        assert_eq!(names, ["two"]);
    }
}
