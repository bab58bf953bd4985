//! Parameters of a run: read by their declared types, defaults filled in, the body's questions answered. Pure.

use std::collections::BTreeMap;

use qflow_model::{
    class::Classes,
    definition::{Definition, Param, ParamDefault, WorkflowDef},
    expression::Path,
    plan::param_asks,
    value::{Attachment, Produced, ValueRef},
};
use qflow_types::{Ty, value};
use serde::Serialize;
use serde_json::{Value, json};

/// A parameter as the client sent it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    /// Its name.
    pub name: String,
    /// Its value.
    pub text: Text,
}

/// How a value was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Text {
    /// To be read by the declared type.
    Plain(String),
    /// Plain JSON.
    Json(String),
    /// Content that was uploaded: it goes with the value, which says what it is called.
    Upload {
        /// What it is.
        content: Attachment,
        /// What nodes see it as.
        name: String,
    },
}

/// Why a parameter cannot be taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParameterError {
    /// `unknown-parameter`, `missing-parameter` or `wrong-value`.
    pub code: &'static str,
    /// For people.
    pub message: String,
    /// The parameter.
    pub name: String,
}

/// Every parameter of the workflow by name, or all that is wrong with what was given. Of a name given twice the last counts.
pub fn read(
    definition: &Definition,
    workflow: &WorkflowDef,
    given: Vec<Given>,
) -> Result<BTreeMap<String, Produced>, Vec<ParameterError>> {
    let (mut by_name, mut errors) = (BTreeMap::new(), Vec::new());
    for Given { name, text } in given {
        if workflow.params.iter().any(|param| param.name == name) {
            by_name.insert(name, text);
        } else {
            let known: Vec<_> = workflow.params.iter().map(|param| param.name.as_str()).collect();
            let takes = if known.is_empty() { "no parameters".to_owned() } else { known.join(", ") };
            let message = format!("`{}` has no parameter `{name}`; it takes {takes}", workflow.name);
            errors.push(ParameterError { code: "unknown-parameter", message, name });
        }
    }
    let (asks, mut read) = (param_asks(definition, workflow), BTreeMap::new());
    for param in &workflow.params {
        match one(param, by_name.get(&param.name), &definition.classes) {
            Ok(value) => {
                let asks = asks.get(&param.name).map(Vec::as_slice).unwrap_or_default();
                let content = match by_name.get(&param.name) {
                    Some(Text::Upload { content, .. }) => vec![content.clone()],
                    _ => Vec::new(),
                };
                read.insert(param.name.clone(), produced(&value, content, asks));
            }
            Err(error) => errors.push(error),
        }
    }
    if errors.is_empty() { Ok(read) } else { Err(errors) }
}

fn one(param: &Param, given: Option<&Text>, classes: &Classes) -> Result<Value, ParameterError> {
    let (name, ty) = (&param.name, param.ty.0.parse().unwrap_or(Ty::Any));
    let wrong = |why: String| ParameterError {
        code: "wrong-value",
        message: format!("parameter `{name}`: {why}"),
        name: name.clone(),
    };
    let read = |read: Result<Value, value::ValueError>| {
        // What reads is not yet what is declared, e.g. a mapping for a list.
        let checked = read.and_then(|value| value::check_written(&value, &ty, classes).map(|()| value));
        checked.map_err(|error| wrong(error.to_string()))
    };
    let converted = |text: &str, error| converted(text, &ty, classes).ok_or(error);
    match (given, &param.default) {
        (Some(Text::Plain(text)), _) => read(value::from_text(text, &ty, classes)).or_else(|error| {
            if content(&ty) {
                return Err(wrong(format!("{ty} is content, which is uploaded: -p {name}=@PATH")));
            }
            converted(text, error)
        }),
        (Some(Text::Json(text)), _) => {
            read(value::from_json(text.as_bytes(), &ty, classes)).or_else(|error| converted(text, error))
        }
        (Some(Text::Upload { content, name }), _) => {
            if !matches!(content.kind.as_str(), "file" | "folder") {
                return Err(wrong(format!("`{}` is neither `file` nor `folder`", content.kind)));
            }
            if name.is_empty() || name.contains(['/', '\0']) || name == "." || name == ".." {
                return Err(wrong(format!("`{name}` is not the name of a file")));
            }
            read(Ok(json!({"$": "attachment", "k": content.kind, "i": 0, "n": name})))
        }
        (None, Some(ParamDefault::Value(value))) => Ok(value.clone()),
        // A workflow's default is always known; one that only Python knows cannot be filled in.
        (None, Some(ParamDefault::Python) | None) => Err(ParameterError {
            code: "missing-parameter",
            message: format!("parameter `{name}` of type {ty} is needed: -p {name}=VALUE"),
            name: name.clone(),
        }),
    }
}

/// What is made of JSON that does not read as its type, by the table of conversions: nobody declares what a parameter is given as, so
/// there is nobody to ask for it.
fn converted(text: &str, ty: &Ty, classes: &Classes) -> Option<Value> {
    let given = value::json::read_digits(text.as_bytes()).ok()?;
    let made = value::json::as_floats(value::convert(&given, ty, classes).ok()?);
    value::check_written(&made, ty, classes).is_ok().then_some(made)
}

/// Whether a type takes content and no text.
fn content(ty: &Ty) -> bool {
    ty.members().iter().all(|member| matches!(member, Ty::None) || matches!(member.root(), "File" | "Folder"))
}

fn produced(value: &Value, attachments: Vec<Attachment>, asks: &[Path]) -> Produced {
    let encoded = value::encode(value);
    let value_ref = ValueRef {
        digest: encoded.digest,
        size: encoded.bytes.len() as u64,
        inline: Some(encoded.bytes),
        items: encoded.items,
        attachments,
    };
    Produced { value: value_ref, answers: asks.iter().map(|path| value::answer(value, path)).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::validate::tests::{param, workflow};
    use qflow_model::{
        expression::{Expr, Scalar},
        ids::Digest,
    };

    fn two() -> WorkflowDef {
        let mut limit = param("limit", "int");
        limit.default = Some(ParamDefault::Value(json!(3)));
        let result = Expr::Param { name: "limit".into(), path: vec![] };
        WorkflowDef { params: vec![param("rows", "list[float]"), limit], result, ..workflow("main", vec![]) }
    }

    fn given(name: &str, text: Text) -> Given {
        Given { name: name.into(), text }
    }

    #[test]
    fn defaults_are_filled_in_and_questions_answered() {
        let read = read(&Definition::default(), &two(), vec![given("rows", Text::Json("[1, 2.5]".into()))]).unwrap();
        assert_eq!(read["rows"].value.inline.as_deref(), Some(b"[1.0,2.5]".as_slice()));
        assert_eq!((read["rows"].value.items, read["rows"].answers.len()), (Some(2), 0));
        assert_eq!(read["limit"].value.inline.as_deref(), Some(b"3".as_slice()));
        assert_eq!(read["limit"].answers[0].scalar, Some(Scalar::Int(3)));
    }

    #[test]
    fn what_does_not_read_as_its_type_is_converted_or_refused_in_the_words_of_its_type() {
        let read = |ty: &str, text: Text| {
            let workflow = WorkflowDef { params: vec![param("x", ty)], ..workflow("main", vec![]) };
            let read = read(&Definition::default(), &workflow, vec![given("x", text)]);
            let inline = |read: BTreeMap<String, Produced>| read["x"].value.inline.clone().unwrap();
            read.map(|read| String::from_utf8(inline(read)).unwrap()).map_err(|e| e[0].message.clone())
        };
        let (plain, json) = (|text: &str| Text::Plain(text.to_owned()), |text: &str| Text::Json(text.to_owned()));
        for (ty, text, made) in [
            ("Decimal", json("1.5"), r#"{"$":"decimal","v":"1.5"}"#),
            ("Decimal", json("1.50"), r#"{"$":"decimal","v":"1.50"}"#),
            ("Decimal", json("1e2"), r#"{"$":"decimal","v":"1E+2"}"#),
            ("list[Decimal]", json("[100.00, 2.0]"), r#"[{"$":"decimal","v":"100.00"},{"$":"decimal","v":"2.0"}]"#),
            ("Decimal", json("99999999999999999.99"), r#"{"$":"decimal","v":"99999999999999999.99"}"#),
            (
                "dict[str, Decimal | None]",
                plain(r#"{"a": 0.12345678901234567890123}"#),
                r#"{"a":{"$":"decimal","v":"0.12345678901234567890123"}}"#,
            ),
            ("float", json("0.12345678901234567890123"), "0.12345678901234568"),
            (
                "tuple[Decimal, Any]",
                json("[1, 0.12345678901234567890123]"),
                r#"{"$":"tuple","v":[{"$":"decimal","v":"1"},0.12345678901234568]}"#,
            ),
            ("list[int]", plain(r#"["1", 2]"#), "[1,2]"),
            ("list[int]", json(r#"["1", 2.0]"#), "[1,2]"),
            ("bool", json("1"), "true"),
            ("int", plain("1.0"), "1"),
            ("dict[str, Decimal]", plain(r#"{"a": 2.5}"#), r#"{"a":{"$":"decimal","v":"2.5"}}"#),
            ("int | None", json("\"7\""), "7"),
        ] {
            assert_eq!(read(ty, text.clone()).as_deref(), Ok(made), "{text:?} as {ty}");
        }
        for (ty, text, why) in [
            ("int", plain("1.5"), "parameter `x`: expected int, got `1.5`"),
            ("int", json("1.5"), "parameter `x`: expected int, got 1.5"),
            ("list[int]", json(r#"["a"]"#), "parameter `x`: at [0]: expected int, got \"a\""),
            ("bool", json("2"), "parameter `x`: expected bool, got 2"),
        ] {
            assert_eq!(read(ty, text.clone()), Err(why.to_owned()), "{text:?} as {ty}");
        }
    }

    #[test]
    fn an_upload_is_the_content_of_a_file_and_of_nothing_else() {
        let content = |kind: &str| Attachment { digest: Digest::of(b"x"), size: 1, kind: kind.into() };
        let upload = |kind: &str, name: &str| Text::Upload { content: content(kind), name: name.into() };
        let file = WorkflowDef { params: vec![param("x", "File | None")], ..workflow("main", vec![]) };
        let taken = read(&Definition::default(), &file, vec![given("x", upload("file", "a.csv"))]).unwrap();
        assert_eq!(
            taken["x"].value.inline.as_deref(),
            Some(br#"{"$":"attachment","k":"file","i":0,"n":"a.csv"}"#.as_slice())
        );
        assert_eq!(taken["x"].value.attachments, [content("file")]);
        for (sent, why) in [
            (upload("folder", "a"), "parameter `x`: expected File | None, got Folder"),
            (upload("file", "../a"), "parameter `x`: `../a` is not the name of a file"),
            (upload("arrow", "a"), "parameter `x`: `arrow` is neither `file` nor `folder`"),
        ] {
            assert_eq!(read(&Definition::default(), &file, vec![given("x", sent)]).unwrap_err()[0].message, why);
        }
    }

    #[test]
    fn a_text_for_content_says_how_content_is_given() {
        let file = WorkflowDef { params: vec![param("x", "File | None")], ..workflow("main", vec![]) };
        let error = read(&Definition::default(), &file, vec![given("x", Text::Plain("a.csv".into()))]).unwrap_err();
        assert_eq!(error[0].message, "parameter `x`: File | None is content, which is uploaded: -p x=@PATH");
        assert!(read(&Definition::default(), &file, vec![given("x", Text::Plain("null".into()))]).is_ok());
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let sent = vec![given("limit", Text::Plain("many".into())), given("x", Text::Plain("1".into()))];
        let told: Vec<_> =
            read(&Definition::default(), &two(), sent).unwrap_err().into_iter().map(|e| (e.code, e.name)).collect();
        let wrong = ["unknown-parameter", "missing-parameter", "wrong-value"];
        assert_eq!(told, wrong.into_iter().zip(["x", "rows", "limit"].map(String::from)).collect::<Vec<_>>());
        let broken = read(&Definition::default(), &two(), vec![given("rows", Text::Json("[".into()))]).unwrap_err();
        let why = "parameter `rows`: at [0]: not JSON: expected a value, and it ends (line 1, column 2)";
        assert_eq!(broken[0].message, why);
    }

    #[test]
    fn json_is_read_exactly_or_refused_with_its_place() {
        let any = WorkflowDef { params: vec![param("x", "Any")], ..workflow("main", vec![]) };
        let read = |text: Text| {
            let read = read(&Definition::default(), &any, vec![given("x", text)]);
            read.map(|read| String::from_utf8(read["x"].value.inline.clone().unwrap()).unwrap())
                .map_err(|errors| errors[0].message.clone())
        };
        let large = r#"{"n":{"$":"int","v":"36893488147419103233"}}"#;
        for text in [Text::Plain, Text::Json] {
            assert_eq!(read(text(r#"{"n": 36893488147419103233}"#.into())).as_deref(), Ok(large));
            let twice = "parameter `x`: at [\"n\"][0][\"a\"]: the key \"a\" comes twice";
            assert_eq!(read(text(r#"{"n": [{"a": 1, "a": 1}]}"#.into())), Err(twice.to_owned()));
        }
        let nan = "parameter `x`: at [0]: not JSON: JSON has no `NaN`: where a float is declared write \"nan\", \"inf\" or \"-inf\" \
                   (line 1, column 2)";
        assert_eq!(read(Text::Json("[NaN]".into())), Err(nan.to_owned()));
        let deep = format!("{}{}", "[".repeat(128), "]".repeat(128));
        assert!(read(Text::Json(deep)).unwrap_err().ends_with("nested deeper than 127 levels (line 1, column 128)"));
    }
}
