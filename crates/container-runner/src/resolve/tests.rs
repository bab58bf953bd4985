//! What comes to the harness of arguments.

use std::path::Path as FilePath;

use qflow_model::{class::Classes, definition::TypeText, ids::Digest, value::OutcomeError};

use super::*;
use crate::declared::Declared;

fn run() -> RunId {
    RunId(uuid::Uuid::from_u128(1))
}

fn inline(text: &str) -> ValueRef {
    ValueRef {
        digest: Digest::of(text.as_bytes()),
        size: text.len() as u64,
        inline: Some(text.as_bytes().to_vec()),
        items: None,
        attachments: vec![],
    }
}

fn blobs() -> (tempfile::TempDir, Blobs) {
    let folder = tempfile::tempdir().unwrap();
    let blobs = Blobs::in_folder(folder.path()).unwrap();
    (folder, blobs)
}

fn reader(folder: &FilePath) -> Reader {
    Reader {
        folder: folder.join("in"),
        inside: "/run/qflow/in".into(),
        sealed: true,
        lock: "l".into(),
        user: "u".into(),
    }
}

/// Nothing is declared.
fn unchecked() -> Checking<'static> {
    static NONE: Classes = Classes::new();
    Checking::among(&[], &NONE, &BTreeMap::new(), &Declared::default())
}

async fn text(blobs: &Blobs, argument: Argument) -> String {
    let reader = reader(FilePath::new("/nowhere"));
    let resolved = arguments(blobs, run(), &[("x".into(), argument)], &reader, &Converting::default(), &unchecked())
        .await
        .unwrap();
    String::from_utf8(resolved.object.to_vec()).unwrap()
}

#[tokio::test]
async fn a_path_and_an_element_are_applied_beside_the_consumer() {
    let (_folder, blobs) = blobs();
    let value = inline(r#"[{"a":1},{"a":2}]"#);
    let path = vec![Segment::Key("a".into())];
    assert_eq!(text(&blobs, Argument::Value { value, element: Some(1), path }).await, r#"{"x":2}"#);
    let gathered = Argument::Gathered { values: vec![inline("1"), inline("2")], path: vec![Segment::Index(-1)] };
    assert_eq!(text(&blobs, gathered).await, r#"{"x":2}"#);
}

#[tokio::test]
async fn an_element_of_a_long_list_is_read_by_its_range() {
    let (_folder, blobs) = blobs();
    let skeleton = r#"["aa",[1,2],"c"]"#;
    let encoding = format!("{skeleton}\n1,6,12\n{:020}", skeleton.len());
    let digest = Digest::of(encoding.as_bytes());
    let value = ValueRef { digest, size: encoding.len() as u64, inline: None, items: Some(3), attachments: vec![] };
    blobs.write(run(), digest, encoding).await.unwrap();
    for (element, wanted) in [(0, r#"{"x":"aa"}"#), (1, r#"{"x":[1,2]}"#), (2, r#"{"x":"c"}"#)] {
        let argument = Argument::Value { value: value.clone(), element: Some(element), path: vec![] };
        assert_eq!(text(&blobs, argument).await, wanted);
    }
}

#[tokio::test]
async fn attachments_of_several_values_are_numbered_together() {
    let (_folder, blobs) = blobs();
    let mut parts = Vec::new();
    for content in ["one", "two"] {
        let digest = Digest::of(content.as_bytes());
        blobs.write(run(), digest, content).await.unwrap();
        let mut value = inline(r#"{"$":"attachment","k":"bytes","i":0}"#);
        value.attachments = vec![Attachment { digest, size: 3, kind: "bytes".into() }];
        parts.push(Argument::Value { value, element: None, path: vec![] });
    }
    let reader = reader(FilePath::new("/nowhere"));
    let resolved =
        arguments(&blobs, run(), &[("x".into(), Argument::List(parts))], &reader, &Converting::default(), &unchecked())
            .await
            .unwrap();
    let object: Value = serde_json::from_slice(&resolved.object).unwrap();
    assert_eq!((object["x"][0]["i"].as_u64(), object["x"][1]["i"].as_u64()), (Some(0), Some(1)));
    assert_eq!(resolved.attachments, ["one", "two"]);
}

#[tokio::test]
async fn an_outcome_has_its_value_or_its_error() {
    let (_folder, blobs) = blobs();
    let value = Argument::Value { value: inline("[1]"), element: None, path: vec![] };
    let good = Argument::Outcome { value: Some(Box::new(value)), error: None };
    let error = OutcomeError { error_type: "E".into(), message: "m".into(), status: "timed_out".into(), attempts: 3 };
    let bad = Argument::Outcome { value: None, error: Some(Box::new(error)) };
    let list = serde_json::to_vec(&Argument::List(vec![good, bad])).unwrap();
    let digest = Digest::of(&list);
    blobs.write(run(), digest, list.clone()).await.unwrap();
    let kept = ValueRef { digest, size: list.len() as u64, inline: None, items: None, attachments: vec![] };
    let read: Value = serde_json::from_str(&text(&blobs, Argument::Kept(kept)).await).unwrap();
    let error = serde_json::json!({"type": "E", "message": "m", "status": "timed_out", "attempts": 3});
    let error = serde_json::json!({"$": "object", "t": "qflow.OutcomeError", "v": error});
    assert_eq!(read["x"][0], serde_json::json!({"$": "outcome", "v": {"ok": true, "value": [1], "error": null}}));
    assert_eq!(read["x"][1], serde_json::json!({"$": "outcome", "v": {"ok": false, "value": null, "error": error}}));
}

#[tokio::test]
async fn a_path_that_leads_nowhere_names_the_parameter() {
    let (_folder, blobs) = blobs();
    let argument = Argument::Gathered { values: vec![], path: vec![Segment::Index(0)] };
    let reader = reader(FilePath::new("/nowhere"));
    let error = arguments(&blobs, run(), &[("rows".into(), argument)], &reader, &Converting::default(), &unchecked())
        .await
        .unwrap_err();
    assert_eq!(error.to_string(), "argument `rows`: list index out of range");
}

async fn stored(blobs: &Blobs, skeleton: &str, kind: &str, content: Vec<u8>) -> Argument {
    let mut value = inline(skeleton);
    let (digest, size) = (Digest::of(&content), content.len() as u64);
    blobs.write(run(), digest, content).await.unwrap();
    value.attachments = vec![Attachment { digest, size, kind: kind.into() }];
    Argument::Value { value, element: None, path: vec![] }
}

/// What is wrong with an argument of a declared type.
async fn unfit(blobs: &Blobs, argument: Argument, ty: &str, left: bool) -> Option<String> {
    let types = [("x".to_owned(), TypeText(ty.to_owned()))];
    let left = if left { BTreeMap::from([("x".to_owned(), true)]) } else { BTreeMap::new() };
    let classes = Classes::new();
    let checking = Checking::among(&types, &classes, &left, &Declared::default());
    let reader = reader(FilePath::new("/nowhere"));
    let told = arguments(blobs, run(), &[("x".into(), argument)], &reader, &Converting::default(), &checking).await;
    told.err().map(|error| error.to_string())
}

#[tokio::test]
async fn an_argument_is_held_to_its_declared_type() {
    let (_folder, blobs) = blobs();
    let rows = || Argument::Value { value: inline(r#"[{"price":1},{"price":"2"}]"#), element: None, path: vec![] };
    let why = "argument `x` at [1][\"price\"]: expected int, got str";
    assert_eq!(unfit(&blobs, rows(), "list[dict[str, int]]", false).await.as_deref(), Some(why));
    assert_eq!(unfit(&blobs, rows(), "list[dict[str, int | str]]", false).await, None);
    assert_eq!(unfit(&blobs, rows(), "Any", false).await, None);
    // What the harness converts is Python's to refuse.
    assert_eq!(unfit(&blobs, rows(), "DataFrame", true).await, None);
}

#[tokio::test]
async fn a_large_argument_is_held_to_its_type_on_a_thread_of_its_own() {
    let (_folder, blobs) = blobs();
    let rows = |last: &str| {
        let text = format!("[{}{last}]", r#"{"price":1},"#.repeat(20_000));
        Argument::Value { value: inline(&text), element: None, path: vec![] }
    };
    let ty = "list[dict[str, int]]";
    assert_eq!(unfit(&blobs, rows(r#"{"price":2}"#), ty, false).await, None);
    let why = "argument `x` at [20000][\"price\"]: expected int, got str";
    assert_eq!(unfit(&blobs, rows(r#"{"price":"2"}"#), ty, false).await.as_deref(), Some(why));
}

#[tokio::test]
async fn an_array_is_held_to_its_declared_elements_by_its_header() {
    let (_folder, blobs) = blobs();
    let array = b"\x93NUMPY\x01\x00\x36\x00{'descr': '<f8', 'fortran_order': False, 'shape': (2,)}".to_vec();
    for (ty, why) in [
        ("ndarray[Any, dtype[float64]]", None),
        (
            "ndarray[Any, dtype[int64]]",
            Some("argument `x`: expected ndarray[Any, dtype[int64]], got an array of float64 with the shape (2,)"),
        ),
    ] {
        let argument = stored(&blobs, r#"{"$":"attachment","k":"npy","i":0}"#, "npy", array.clone()).await;
        assert_eq!(unfit(&blobs, argument, ty, false).await.as_deref(), why);
    }
}

#[tokio::test]
async fn files_and_what_is_large_are_laid_out_read_only_beside_the_container() {
    let (folder, blobs) = blobs();
    let file = stored(&blobs, r#"{"$":"attachment","k":"file","i":0,"n":"a.csv"}"#, "file", b"1,2".to_vec()).await;
    let odd = stored(&blobs, r#"{"$":"attachment","k":"file","i":0,"n":"../a"}"#, "file", b"3".to_vec()).await;
    let large = stored(&blobs, r#"{"$":"attachment","k":"bytes","i":0}"#, "bytes", vec![7; 70_000]).await;
    let given: Vec<_> = ["x", "y", "z"].map(String::from).into_iter().zip([file, odd, large]).collect();
    for sealed in [true, false] {
        let reader = Reader { sealed, folder: folder.path().join(sealed.to_string()), ..reader(folder.path()) };
        let resolved = arguments(&blobs, run(), &given, &reader, &Converting::default(), &unchecked()).await.unwrap();
        let paths: Vec<_> = resolved.heads.iter().map(|head| head.path.clone().unwrap()).collect();
        assert_eq!(paths, ["/run/qflow/in/0/a.csv", "/run/qflow/in/1/content", "/run/qflow/in/2/content"]);
        assert!(resolved.attachments.is_empty());
        let laid_out = reader.folder.join("0/a.csv");
        assert_eq!(std::fs::read(&laid_out).unwrap(), b"1,2");
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&laid_out).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o444);
        let links = std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(&laid_out).unwrap());
        assert_eq!(links, if sealed { 2 } else { 1 });
    }
}

#[tokio::test]
async fn a_pickle_goes_to_an_equal_environment_of_the_same_user_only() {
    let (folder, blobs) = blobs();
    for (lock, user, why) in [
        ("l", "u", None),
        ("m", "u", Some("argument `x`: it was pickled in another environment")),
        ("l", "v", Some("argument `x`: it was pickled in a run of another user")),
    ] {
        let skeleton = format!(r#"{{"$":"attachment","k":"pickle","i":0,"lock":"{lock}","user":"{user}"}}"#);
        let argument = stored(&blobs, &skeleton, "pickle", b"p".to_vec()).await;
        let told = arguments(
            &blobs,
            run(),
            &[("x".into(), argument)],
            &reader(folder.path()),
            &Converting::default(),
            &unchecked(),
        )
        .await;
        match why {
            None => assert_eq!(told.unwrap().attachments, ["p"]),
            Some(why) => assert!(told.unwrap_err().to_string().starts_with(why)),
        }
    }
}
