//! Results of every shape, sent piece by piece.

use qflow_model::{ids::Digest, value::OutcomeError};
use serde_json::json;

use super::*;

const RUN: RunId = RunId(uuid::Uuid::from_u128(1));

fn inline(text: &str, attachments: Vec<Attachment>) -> ValueRef {
    let bytes = text.as_bytes().to_vec();
    ValueRef { digest: Digest::of(&bytes), size: bytes.len() as u64, inline: Some(bytes), items: None, attachments }
}

fn whole(text: &str) -> Argument {
    Argument::Value { value: inline(text, vec![]), element: None, path: vec![] }
}

async fn sent(blobs: &Arc<Blobs>, result: &Argument, raw: bool) -> String {
    let what = look(blobs, RUN, result, None, raw).await.unwrap();
    String::from_utf8(pieces(blobs, what).await.concat()).unwrap()
}

async fn pieces(blobs: &Arc<Blobs>, what: Download) -> Vec<Bytes> {
    let (to, mut from) = mpsc::channel(1);
    let sending = tokio::spawn(send(Arc::clone(blobs), RUN, what, to));
    let mut all = Vec::new();
    while let Some(piece) = from.recv().await {
        all.push(piece);
    }
    sending.await.unwrap().unwrap();
    all
}

#[tokio::test]
async fn a_result_of_many_parts_is_what_is_shown_of_it() {
    let blobs = Arc::new(Blobs::in_memory());
    let error = OutcomeError { error_type: "E".into(), message: "m".into(), status: "failed".into(), attempts: 2 };
    let values = vec![inline("3", vec![]), inline(r#"{"$":"date","v":"2026-11-24"}"#, vec![])];
    let gathered = Argument::Gathered { values: values.clone(), path: vec![] };
    let last = Argument::Gathered { values, path: vec![Segment::Index(-1)] };
    let text = Argument::Format(vec![Argument::Literal(json!("n=")), whole("4")]);
    let parts = vec![
        gathered,
        last,
        text,
        whole("[1,2.5]"),
        Argument::Literal(json!({"$": "tuple", "v": [1]})),
        Argument::Outcome { value: None, error: Some(Box::new(error)) },
        Argument::Outcome { value: Some(Box::new(whole("true"))), error: None },
    ];
    let result = Argument::Dict(vec![("$all".into(), Argument::Tuple(parts))]);
    let shown = super::super::plain(&blobs, RUN, &result).await.unwrap();
    assert_eq!(sent(&blobs, &result, false).await, shown.to_string());
    assert_eq!(sent(&blobs, &whole(r#""a\nb""#), true).await, "a\nb");
}

#[tokio::test]
async fn what_is_larger_than_an_answer_comes_in_pieces() {
    let blobs = Arc::new(Blobs::in_memory());
    let rows: Vec<Value> = (0..200_000).map(|n| json!({"$": "decimal", "v": format!("{n}.50")})).collect();
    let encoded = value::encode(&Value::Array(rows));
    let (digest, size) = (encoded.digest, encoded.bytes.len() as u64);
    blobs.write(RUN, digest, encoded.bytes).await.unwrap();
    let value = ValueRef { digest, size, inline: None, items: encoded.items, attachments: vec![] };
    let result = Argument::Value { value, element: None, path: vec![] };
    let what = look(&blobs, RUN, &result, None, false).await.unwrap();
    let all = pieces(&blobs, what).await;
    assert!(all.len() > 2 && all.iter().all(|piece| piece.len() <= PIECE_BYTES));
    let read: Vec<String> = serde_json::from_slice(&all.concat()).unwrap();
    assert_eq!((read.len(), read[199_999].as_str()), (200_000, "199999.50"));
    let Argument::Value { value, .. } = result else { unreachable!("it was made so") };
    let last = Argument::Value { value, element: None, path: vec![Segment::Index(-1)] };
    assert_eq!(sent(&blobs, &last, true).await, "199999.50");
}

#[tokio::test]
async fn a_content_comes_as_it_is_and_each_of_several_by_its_number() {
    let blobs = Arc::new(Blobs::in_memory());
    let content = |text: &'static str, kind: &str| {
        let digest = Digest::of(text.as_bytes());
        (digest, text, Attachment { digest, size: text.len() as u64, kind: kind.into() })
    };
    let all = [content("a,b\n", "file"), content("tar", "folder"), content("ipc", "arrow")];
    for (digest, text, _) in &all {
        blobs.write(RUN, *digest, text.as_bytes().to_vec()).await.unwrap();
    }
    let [file, folder, frame] = all.map(|(_, _, attachment)| attachment);
    let one = r#"{"$":"attachment","k":"file","i":0,"n":"a.csv"}"#;
    let two = r#"{"x":[{"$":"attachment","k":"folder","i":0},{"$":"attachment","k":"arrow","i":1}]}"#;
    let single = Argument::Value { value: inline(one, vec![file.clone()]), element: None, path: vec![] };
    let what = look(&blobs, RUN, &single, None, false).await.unwrap();
    assert_eq!(what, Download::Content { attachment: file.clone(), name: "a.csv".into() });
    assert_eq!(pieces(&blobs, what).await.concat(), b"a,b\n");
    let more = Argument::Value { value: inline(two, vec![folder, frame.clone()]), element: None, path: vec![] };
    let both = Argument::List(vec![single, more]);
    let shown = super::super::plain(&blobs, RUN, &both).await.unwrap();
    assert_eq!(shown[1]["x"][1], json!({"attachment": "arrow", "index": 2}));
    assert_eq!(sent(&blobs, &both, false).await, shown.to_string());
    let third = look(&blobs, RUN, &both, Some(2), false).await.unwrap();
    assert_eq!(third, Download::Content { attachment: frame, name: String::new() });
    let none = look(&blobs, RUN, &both, Some(3), false).await.unwrap_err();
    assert_eq!(none.to_string(), "it holds 3 contents, counted from 0, so none numbered 3");
}
