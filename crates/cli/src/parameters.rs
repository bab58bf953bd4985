//! Parameters from the command line: what was typed, held to what the workflow declares, read or uploaded.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use qflow_model::definition::{Definition, WorkflowDef};
use qflow_type_validator::validate::choose;
use qflow_types::{Ty, value::json::fields};

use crate::{
    args::{Parameter, RunArgs, Written},
    content::{Content, Kind},
    exit::{Exit, Fail},
    render,
    submit::{Client, Given},
};

/// Bytes of all parameters: they travel in one message, and leave room in it.
const PARAMETER_BYTES: usize = qflow_model::limits::MESSAGE_BYTES / 2;
/// Bytes from which on an upload is shown: what takes no time needs no bar.
const SHOWN_BYTES: u64 = 4 << 20;

/// The parameters as typed: those of `--params`, and over them those of `-p`.
pub fn written(args: &RunArgs) -> Result<Vec<(String, Written)>, Fail> {
    let mut all = BTreeMap::new();
    if let Some(path) = &args.params {
        all.extend(of_file(path)?);
    }
    let mut named = BTreeSet::new();
    for Parameter { name, value } in &args.param {
        if !named.insert(name) {
            return Err(Fail::usage(format!(
                "parameter `{name}` is given twice; a list is one value: -p {name}:='[…]'"
            )));
        }
        if let Written::File(path) = value {
            std::fs::metadata(path).map_err(|e| unread(path, &e))?;
        }
        all.insert(name.clone(), value.clone());
    }
    Ok(all.into_iter().collect())
}

/// The parameters of a JSON object in a file, each as it is written there.
fn of_file(path: &Path) -> Result<Vec<(String, Written)>, Fail> {
    let text = std::fs::read(path).map_err(|e| unread(path, &e))?;
    let fields = fields(&text).map_err(|why| Fail::usage(format!("{}: {why}", path.display())))?;
    Ok(fields.into_iter().map(|(name, json)| (name, Written::Json(json.to_owned()))).collect())
}

/// The parameters as sent: files are read, or uploaded where the workflow declares a `File` or a `Folder`.
pub async fn given(
    client: &Client,
    workflow: &WorkflowDef,
    written: Vec<(String, Written)>,
) -> Result<Vec<(String, Given)>, Fail> {
    let (mut all, mut contents) = (Vec::new(), Vec::new());
    for (name, value) in written {
        let param = workflow.params.iter().find(|param| param.name == name);
        let kinds = param.map(|param| kinds(&param.ty.0)).unwrap_or_default();
        match value {
            Written::Text(text) => all.push((name, Given::Text(text))),
            Written::Json(json) => all.push((name, Given::Json(json))),
            Written::File(path) if kinds.is_empty() => all.push((name, Given::Text(read(&path)?))),
            Written::File(path) => contents.push((Content::look(&name, &path, &kinds)?, name)),
        }
    }
    within(&all)?;
    // What stands against one is told before any of them goes.
    for (content, name) in contents {
        all.push((name, Given::Upload(upload(client, content).await?)));
    }
    Ok(all)
}

async fn upload(client: &Client, content: Content) -> Result<crate::submit::Uploaded, Fail> {
    let target = if content.bytes < SHOWN_BYTES { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
    let bar = bar(Some(content.bytes), &content.name, target);
    let telling = bar.clone();
    let uploaded = client.upload(content, move |bytes| telling.inc(bytes)).await;
    bar.finish_and_clear();
    uploaded
}

/// How far content has come; shown on a terminal only.
pub(crate) fn bar(bytes: Option<u64>, name: &str, target: ProgressDrawTarget) -> ProgressBar {
    const STEADY: Duration = Duration::from_millis(200);
    let template = match bytes {
        Some(_) => "{msg} {bar:30} {bytes}/{total_bytes} {bytes_per_sec} {eta}",
        None => "{msg} {bytes} {bytes_per_sec}",
    };
    let bar = ProgressBar::with_draw_target(bytes, target).with_message(render::printable(name));
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(STEADY);
    bar
}

/// What content a declared type takes; none where it is of anything else too.
fn kinds(ty: &str) -> Vec<Kind> {
    let ty: Ty = ty.parse().unwrap_or(Ty::Any);
    let members = ty.members().iter().filter(|member| **member != Ty::None);
    let kind = |member: &Ty| match member {
        Ty::Class(name) if name == "File" => Some(Kind::File),
        Ty::Class(name) if name == "Folder" => Some(Kind::Folder),
        _ => None,
    };
    members.map(kind).collect::<Option<Vec<_>>>().unwrap_or_default()
}

/// Whether parameters keep their bound.
fn within(all: &[(String, Given)]) -> Result<(), Fail> {
    let size = |(name, given): &(String, Given)| match given {
        Given::Text(text) | Given::Json(text) => name.len() + text.len(),
        Given::Upload(_) => name.len(),
    };
    let bytes: usize = all.iter().map(size).sum();
    if bytes > PARAMETER_BYTES {
        let message = format!(
            "parameters of {bytes} bytes; at most {PARAMETER_BYTES} go: declare a `File` and give it as -p NAME=@FILE, or pass the address of the data"
        );
        return Err(Fail::new(Exit::Invalid, message));
    }
    Ok(())
}

fn unread(path: &Path, error: &std::io::Error) -> Fail {
    Fail::usage(format!("read {}: {error}", path.display()))
}

fn read(path: &Path) -> Result<String, Fail> {
    std::fs::read_to_string(path).map_err(|e| unread(path, &e))
}

/// Whether the workflow is there and the parameters are its own: usage, told before anything starts.
pub fn check_names<'d>(
    definition: &'d Definition,
    workflow: Option<&str>,
    given: &[(String, Written)],
) -> Result<&'d WorkflowDef, Fail> {
    let chosen = choose(definition, workflow.unwrap_or_default()).map_err(|choice| {
        let known = definition.workflows.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        Fail::usage(format!("{choice}; there is {known}"))
    })?;
    let mut wrong = Vec::new();
    let params = || chosen.params.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
    for (name, _) in given {
        if !chosen.params.iter().any(|p| p.name == *name) {
            wrong.push(if chosen.params.is_empty() {
                format!("`{}` takes no parameters, so not `{name}`", chosen.name)
            } else {
                format!("`{}` has no parameter `{name}`; it has {}", chosen.name, params())
            });
        }
    }
    for param in &chosen.params {
        if param.default.is_none() && !given.iter().any(|(name, _)| *name == param.name) {
            let sign = if kinds(&param.ty.0).is_empty() { "…" } else { "@PATH" };
            wrong.push(format!("parameter `{0}` ({1}) is missing: -p {0}={sign}", param.name, param.ty.0));
        }
    }
    if wrong.is_empty() { Ok(chosen) } else { Err(Fail::usage(wrong.join("\n"))) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::definition::{Param, ParamDefault, Place, TypeText, WorkflowDef};

    fn definition() -> Definition {
        let param = |name: &str, default| Param {
            name: name.to_owned(),
            ty: TypeText("int".to_owned()),
            default,
            place: Place::default(),
        };
        let workflow = WorkflowDef {
            name: "w".to_owned(),
            function: "w".to_owned(),
            params: vec![param("a", None), param("b", Some(ParamDefault::Value(1.into())))],
            returns: TypeText::any(),
            steps: Vec::new(),
            branches: Vec::new(),
            result: serde_json::from_str(r#"{"literal":null}"#).unwrap(),
            max_parallel: None,
            timeout_ms: None,
            on_failure: qflow_model::definition::OnFailure::default(),
            isolation: None,
            place: Place::default(),
        };
        Definition { workflows: [("w".to_owned(), workflow)].into(), ..Definition::default() }
    }

    #[test]
    fn every_unknown_and_missing_parameter_is_told_at_once_as_usage() {
        let given = [("x".to_owned(), Written::Text("1".to_owned()))];
        let fail = check_names(&definition(), None, &given).unwrap_err();
        assert_eq!(fail.exit, Exit::Usage);
        assert!(fail.message.contains("`x`; it has a, b") && fail.message.contains("`a` (int) is missing"), "{fail}");
        let given = [("a".to_owned(), Written::Text("1".to_owned()))];
        assert!(check_names(&definition(), Some("w"), &given).is_ok());
    }

    #[test]
    fn a_file_of_parameters_is_taken_as_it_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("params.json");
        let read = |text: &[u8]| {
            std::fs::write(&path, text).unwrap();
            of_file(&path).map_err(|fail| fail.message.replace(&path.display().to_string(), "FILE"))
        };
        let written = |name: &str, text: &str| (name.to_owned(), Written::Json(text.to_owned()));
        let text = br#"{"n": 36893488147419103233, "rows": [{"x": 0.1}]}"#;
        assert_eq!(read(text), Ok(vec![written("n", "36893488147419103233"), written("rows", r#"[{"x": 0.1}]"#)]));
        for (text, why) in [
            (&br#"{"n": {"a": 1, "a": 2}}"#[..], "FILE: at [\"n\"][\"a\"]: the key \"a\" comes twice"),
            (br#"{"n": 1, "n": 2}"#, "FILE: at [\"n\"]: the key \"n\" comes twice"),
            (b"{\"n\": \"\xff\"}", "FILE: at [\"n\"]: not JSON: these bytes are not UTF-8 (line 1, column 8)"),
            (b"[1]", "FILE: not a JSON object"),
        ] {
            assert_eq!(read(text), Err(why.to_owned()));
        }
    }

    #[test]
    fn an_unknown_workflow_names_those_that_there_are() {
        let fail = check_names(&definition(), Some("v"), &[]).unwrap_err();
        assert_eq!((fail.exit, fail.message.as_str()), (Exit::Usage, "no workflow is called `v`; there is w"));
    }

    #[test]
    fn content_is_uploaded_where_nothing_else_is_taken() {
        assert_eq!(kinds("File"), [Kind::File]);
        assert_eq!(kinds("Folder | None"), [Kind::Folder]);
        assert_eq!(kinds("File | Folder"), [Kind::File, Kind::Folder]);
        for other in ["str", "File | str", "list[File]", "Any", "Path"] {
            assert_eq!(kinds(other), [], "{other}");
        }
    }
}
