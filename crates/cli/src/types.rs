//! `qflow types`: what goes where, what is converted to what, and what a type is; the same code as the service, without one.

use std::io::{BufRead as _, Read as _};

use clap::{Args, Subcommand, ValueEnum};
use qflow_type_validator::types::{self, Form};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    exit::{Exit, Fail},
    outln, print,
};

/// A line of standard input that is longer is refused.
const LINE_BYTES: u64 = 64 << 20;

/// Help that follows the verbs.
pub const HELP: &str = "\
Types are written as in Python: list[dict[str, float]], Optional[int], Literal['a', 'b'], tuple[int, *tuple[str, ...]].
The names of typing, collections.abc, datetime, decimal, uuid and pathlib are at hand, and DataFrame, Series, ndarray, File, Folder.

  qflow types check 'list[int]' 'Sequence[float]'
  qflow types convert '[\"1\", \"2\"]' 'list[int]'
  qflow types describe 'dict[str, Decimal] | None'
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

/// A line of `convert --stdin`.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Valued {
    value: Value,
    #[serde(rename = "type")]
    ty: String,
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
    match command {
        TypesCommand::Check { source, target, how } => {
            answer(how, pair(source, target).map(|(source, target)| check(&source, &target)), |line| {
                line.map(|Pair { source, target }| check(&source, &target))
                    .unwrap_or_else(|why| unread(&why, &[("compatible", json!(false))]))
            })
        }
        TypesCommand::Convert { value, ty, tagged, how } => {
            let form = if *tagged { Form::Tagged } else { Form::Plain };
            let given = pair(value, ty).map(|(value, ty)| {
                let value = serde_json::from_str(&value).unwrap_or(Value::String(value));
                convert(&value, form, &ty)
            });
            answer(how, given, |line| {
                line.map(|Valued { value, ty }| convert(&value, form, &ty)).unwrap_or_else(|why| {
                    unread(&why, &[("ok", json!(false)), ("value", Value::Null), ("path", json!(""))])
                })
            })
        }
        TypesCommand::Describe { ty, how } => answer(how, ty.as_deref().map(describe), |line| {
            line.map(|Named { ty }| describe(&ty)).unwrap_or_else(|why| unread(&why, &[]))
        }),
    }
}

fn pair(one: &Option<String>, other: &Option<String>) -> Option<(String, String)> {
    one.clone().zip(other.clone())
}

fn check(source: &str, target: &str) -> Said {
    let read = qflow_python_source::annotation;
    match read(source).and_then(|source| Ok((source, read(target)?))) {
        Ok((source, target)) => {
            let edge = types::edge(&source, &target);
            Said { holds: edge.compatible, asked: true, json: json!(edge) }
        }
        Err(wrong) => {
            Said { json: types::refused(&wrong, &[("compatible", json!(false))]), holds: false, asked: false }
        }
    }
}

fn convert(value: &Value, form: Form, ty: &str) -> Said {
    match types::convert(value, form, ty) {
        Ok(answer) => Said { holds: answer.ok, asked: true, json: json!(answer) },
        Err(wrong) => {
            let keys = [("ok", json!(false)), ("value", Value::Null), ("path", json!(""))];
            Said { json: types::refused(&wrong, &keys), holds: false, asked: false }
        }
    }
}

fn describe(ty: &str) -> Said {
    match qflow_python_source::annotation(ty) {
        Ok(ty) => Said { json: json!(types::describe(&ty)), holds: true, asked: true },
        Err(wrong) => Said { json: types::refused(&wrong, &[]), holds: false, asked: false },
    }
}

/// A line that is no question.
fn unread(why: &str, keys: &[(&str, Value)]) -> Said {
    let mut told = serde_json::Map::new();
    told.extend(keys.iter().map(|(key, value)| ((*key).to_owned(), value.clone())));
    told.insert("reason".to_owned(), json!(why));
    told.insert("error".to_owned(), json!("not-a-question"));
    Said { json: Value::Object(told), holds: false, asked: false }
}

fn answer<Q: for<'de> Deserialize<'de>>(
    how: &How,
    one: Option<Said>,
    of_line: impl Fn(Result<Q, String>) -> Said,
) -> Result<Exit, Fail> {
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
fn lines<Q: for<'de> Deserialize<'de>>(of_line: impl Fn(Result<Q, String>) -> Said) -> Result<Exit, Fail> {
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
        let question = serde_json::from_slice(&line).map_err(|error| format!("line {number}: {error}"));
        let said = of_line(question);
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
    out += &format!("  optional  {}\n  checked   {}", yes("optional"), yes("checked"));
    for row in list("converts_from") {
        let may_fail = if row["may_fail"] == true { " (convert=True)" } else { "" };
        let part = |key: &str| row[key].as_str().unwrap_or_default();
        out += &format!("\n  from      {}{may_fail}: {}", part("from"), part("rule"));
    }
    out
}
