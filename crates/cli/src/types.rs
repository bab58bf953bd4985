//! `qflow types`: what goes where, what is converted to what, and what a type is; the same code as the service, without one.

mod names;

use std::{
    io::{BufRead as _, Read as _},
    path::PathBuf,
};

use clap::{Args, Subcommand, ValueEnum};
use qflow_type_validator::types::{self, Form};
use qflow_types::value::json::fields;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Fail},
    outln, print,
};
use names::Names;

/// A line of standard input that is longer is refused.
const LINE_BYTES: u64 = 64 << 20;

/// The error of a line that is no question.
const NO_QUESTION: &str = "not-a-question";

/// Help that follows the verbs.
pub const HELP: &str = "\
Types are written as in Python: list[dict[str, float]], Optional[int], Literal['a', 'b'], tuple[int, *tuple[str, ...]].
The names of typing, collections.abc, datetime, decimal, uuid and pathlib are at hand, and DataFrame, Series, ndarray, File, Folder;
with --file FILE the classes and aliases of that file come before them. It is read, and never imported.

  qflow types check 'list[int]' 'Sequence[float]'
  qflow types convert '[\"1\", \"2\"]' 'list[int]'
  qflow types describe 'dict[str, Decimal] | None'
  qflow types convert '{\"item\": \"tea\"}' Row --file sales.py
  echo '{\"source\": \"int\", \"target\": \"str\"}' | qflow types check --stdin

Ends with 0, or with 3 where a value does not go there, does not convert, or a type does not read; with --stdin 3 only where a line
could not be answered.";

/// What `qflow types` does.
#[derive(Clone, Debug, Subcommand)]
pub enum TypesCommand {
    /// Whether a value of one type goes where another is declared.
    Check {
        /// The type of what is given.
        #[arg(required_unless_present = "stdin", requires = "target")]
        source: Option<String>,
        /// The type that is declared.
        target: Option<String>,
        /// How to answer.
        #[command(flatten)]
        how: How,
    },
    /// Make a value of a type of another value.
    Convert {
        /// The value: JSON, or a text that is none.
        #[arg(required_unless_present = "stdin", requires = "ty", allow_hyphen_values = true)]
        value: Option<String>,
        /// The type that is wanted.
        #[arg(value_name = "TYPE")]
        ty: Option<String>,
        /// Values as they are stored, every type told: {"$": "decimal", "v": "1.50"}.
        #[arg(long)]
        tagged: bool,
        /// How to answer.
        #[command(flatten)]
        how: How,
    },
    /// What a type is: its spelling, its parts, what it converts from.
    Describe {
        /// The type.
        #[arg(value_name = "TYPE", required_unless_present = "stdin")]
        ty: Option<String>,
        /// How to answer.
        #[command(flatten)]
        how: How,
    },
}

/// How to answer.
#[derive(Clone, Debug, Args)]
pub struct How {
    /// Read one JSON object a line from standard input, and answer each with one a line, in order.
    #[arg(long)]
    stdin: bool,
    /// A Python file whose classes and aliases are at hand, with what it imports beside it; read, never imported.
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// The form of the answer.
    #[arg(short, long, default_value = "table")]
    output: Output,
}

/// The form of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people.
    Table,
    /// One JSON value.
    Json,
}

/// A line of `check --stdin`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Pair {
    source: String,
    target: String,
}

/// A line of `describe --stdin`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Named {
    #[serde(rename = "type")]
    ty: String,
}

/// What is said of one question: the answer, whether it holds, and whether it could be asked at all.
struct Said {
    json: Value,
    holds: bool,
    asked: bool,
}

/// Answers.
pub fn types(command: &TypesCommand) -> Result<Exit, Fail> {
    let (TypesCommand::Check { how, .. } | TypesCommand::Convert { how, .. } | TypesCommand::Describe { how, .. }) =
        command;
    Names::with(how.file.as_deref(), |names| asked(command, names))
}

fn asked(command: &TypesCommand, names: &Names<'_>) -> Result<Exit, Fail> {
    match command {
        TypesCommand::Check { source, target, how } => answer(
            how,
            pair(source.as_ref(), target.as_ref()).map(|(source, target)| check(&source, &target, names)),
            |line| {
                read(line).map_or_else(
                    |why| unread(&why, &[("compatible", json!(false))]),
                    |Pair { source, target }| check(&source, &target, names),
                )
            },
        ),
        TypesCommand::Convert { value, ty, tagged, how } => {
            let form = if *tagged { Form::Tagged } else { Form::Plain };
            let given = pair(value.as_ref(), ty.as_ref()).map(|(value, ty)| {
                // A text that is no JSON is a text.
                let text = json!(value).to_string();
                let is_text = matches!(types::read(value.as_bytes(), form), Err(types::NotJson::Syntax(_)));
                convert(if is_text { &text } else { &value }, form, &ty, names)
            });
            answer(how, given, |line| {
                valued(line).map_or_else(
                    |why| unread(&why, &[("ok", json!(false)), ("value", Value::Null), ("path", json!(""))]),
                    |(value, ty)| convert(value, form, &ty, names),
                )
            })
        }
        TypesCommand::Describe { ty, how } => answer(how, ty.as_deref().map(|ty| describe(ty, names)), |line| {
            read(line).map_or_else(|why| unread(&why, &[]), |Named { ty }| describe(&ty, names))
        }),
    }
}

fn pair(one: Option<&String>, other: Option<&String>) -> Option<(String, String)> {
    one.cloned().zip(other.cloned())
}

fn read<'l, Q: Deserialize<'l>>(line: &'l [u8]) -> Result<Q, String> {
    // Fields in their order, without their names, would read as well.
    if line.trim_ascii_start().first().is_some_and(|first| *first == b'[') {
        return Err("expected an object, got a list".to_owned());
    }
    serde_json::from_slice(line).map_err(|error| error.to_string())
}

/// A line of `convert --stdin`: the value as it is written, and a type.
fn valued(line: &[u8]) -> Result<(&str, String), String> {
    let (mut value, mut ty) = (None, None);
    for (name, text) in fields(line).map_err(|why| why.to_string())? {
        match name.as_str() {
            "value" => value = Some(text),
            "type" => ty = Some(serde_json::from_str(text).map_err(|_| format!("`type` is a text, not {text}"))?),
            _ => return Err(format!("unknown field `{name}`, expected `value` or `type`")),
        }
    }
    value.zip(ty).ok_or_else(|| "`value` and `type` are needed".to_owned())
}

fn check(source: &str, target: &str, names: &Names<'_>) -> Said {
    match names.ty(source).and_then(|source| Ok((source, names.ty(target)?))) {
        Ok((source, target)) => {
            let edge = types::edge(&source, &target, &names.classes(&[&source, &target]));
            Said { holds: edge.compatible, asked: true, json: json!(edge) }
        }
        Err(wrong) => {
            Said { json: types::refused(&wrong, &[("compatible", json!(false))]), holds: false, asked: false }
        }
    }
}

fn convert(value: &str, form: Form, ty: &str, names: &Names<'_>) -> Said {
    match names.ty(ty) {
        Ok(ty) => {
            let answer = match types::read(value.as_bytes(), form) {
                Ok(value) => types::convert(&value, form, &ty, &names.classes(&[&ty])),
                Err(why) => types::answer(Err(why.told()), form),
            };
            Said { holds: answer.ok, asked: true, json: json!(answer) }
        }
        Err(wrong) => {
            let keys = [("ok", json!(false)), ("value", Value::Null), ("path", json!(""))];
            Said { json: types::refused(&wrong, &keys), holds: false, asked: false }
        }
    }
}

fn describe(ty: &str, names: &Names<'_>) -> Said {
    match names.ty(ty) {
        Ok(ty) => Said { json: json!(types::describe(&ty, &names.classes(&[&ty]))), holds: true, asked: true },
        Err(wrong) => Said { json: types::refused(&wrong, &[]), holds: false, asked: false },
    }
}

/// A line that is no question.
fn unread(why: &str, keys: &[(&str, Value)]) -> Said {
    let mut told = serde_json::Map::new();
    told.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    told.insert("reason".to_owned(), json!(why));
    told.insert("error".to_owned(), json!(NO_QUESTION));
    Said { json: Value::Object(told), holds: false, asked: false }
}

fn answer(how: &How, one: Option<Said>, of_line: impl Fn(&[u8]) -> Said) -> Result<Exit, Fail> {
    if how.stdin {
        if one.is_some() {
            return Err(Fail::usage("what is asked comes from standard input with --stdin; leave out the arguments"));
        }
        return lines(of_line);
    }
    let Some(said) = one else { return Err(Fail::usage("what to ask? see `qflow types --help`")) };
    match how.output {
        Output::Json => outln!("{:#}", said.json),
        Output::Table => outln!("{}", shown(&said)),
    }
    Ok(if said.holds { Exit::Completed } else { Exit::Invalid })
}

/// Answers line by line, so that a program may talk to it.
fn lines(of_line: impl Fn(&[u8]) -> Said) -> Result<Exit, Fail> {
    let (mut input, mut number, mut all_asked) = (std::io::stdin().lock(), 0_u64, true);
    loop {
        let mut line = Vec::new();
        let read = (&mut input).take(LINE_BYTES).read_until(b'\n', &mut line);
        let read = read.map_err(|error| Fail::new(Exit::Failed, format!("read standard input: {error}")))?;
        if read == 0 {
            return Ok(if all_asked { Exit::Completed } else { Exit::Invalid });
        }
        number += 1;
        if read as u64 == LINE_BYTES && line.last() != Some(&b'\n') {
            return Err(Fail::new(Exit::Invalid, format!("line {number} has more than {LINE_BYTES} bytes")));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        let mut said = of_line(&line);
        if said.json.get("error").is_some_and(|error| error == NO_QUESTION) {
            said.json["reason"] = json!(format!("line {number}: {}", said.json["reason"].as_str().unwrap_or_default()));
        }
        all_asked &= said.asked;
        let mut text = said.json.to_string();
        text.push('\n');
        print::bytes(text.as_bytes());
    }
}

/// An answer for people.
fn shown(said: &Said) -> String {
    let text = |key: &str| said.json[key].as_str().unwrap_or_default().to_owned();
    if let Some(compatible) = said.json.get("compatible").and_then(Value::as_bool) {
        return match (compatible, text("conversion").as_str()) {
            (true, _) => "compatible".to_owned(),
            (_, "converted") => {
                format!("not compatible: {}\nconverted by itself where a node takes it", text("reason"))
            }
            (_, "may_fail") => {
                format!("not compatible: {}\nconverted with @node(convert=True), which may fail", text("reason"))
            }
            _ => format!("not compatible: {}", text("reason")),
        };
    }
    if let Some(ok) = said.json.get("ok").and_then(Value::as_bool) {
        let path = text("path");
        let at = if path.is_empty() { String::new() } else { format!("at {path}: ") };
        return if ok { said.json["value"].to_string() } else { format!("not converted: {at}{}", text("reason")) };
    }
    if said.json.get("error").is_some() {
        return text("reason");
    }
    let yes = |key: &str| if said.json[key] == true { "yes" } else { "no" };
    let list = |key: &str| said.json[key].as_array().cloned().unwrap_or_default();
    let mut out = format!("{}\n  kind      {}\n", text("type"), text("kind"));
    let parts: Vec<_> = list("parts").iter().filter_map(|part| part.as_str().map(str::to_owned)).collect();
    if !parts.is_empty() {
        out += &format!("  parts     {}\n", parts.join(" · "));
    }
    for field in list("fields") {
        let part = |key: &str| field[key].as_str().unwrap_or_default();
        let left_out = if field["required"] == true { "" } else { ", may be left out" };
        out += &format!("  field     {}: {}{left_out}\n", part("name"), part("type"));
    }
    let members: Vec<_> = list("members").iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    if !members.is_empty() {
        out += &format!("  members   {}\n", members.join(" · "));
    }
    out += &format!("  optional  {}\n  checked   {}", yes("optional"), yes("checked"));
    for row in list("converts_from") {
        let may_fail = if row["may_fail"] == true { " (convert=True)" } else { "" };
        let part = |key: &str| row[key].as_str().unwrap_or_default();
        out += &format!("\n  from      {}{may_fail}: {}", part("from"), part("rule"));
    }
    out
}
