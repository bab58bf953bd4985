//! TEMPORARY until qflow_types::value lands.
use qflow_model::expression::{Answer, Segment};
use serde_json::Value;
pub(crate) fn decode(b: &[u8]) -> Result<Value, serde_json::Error> {
    let end = b.iter().position(|c| *c == b'\n').unwrap_or(b.len());
    serde_json::from_slice(&b[..end])
}
pub(crate) fn at<'a>(v: &'a Value, path: &[Segment]) -> Result<&'a Value, String> {
    path.iter().try_fold(v, |v, s| match s {
        Segment::Index(i) => v.get(*i as usize),
        Segment::Key(k) => v.get(k),
        Segment::Field(f) => v.get("v").and_then(|v| v.get(f)),
    }.ok_or_else(|| "missing".to_owned()))
}
pub(crate) fn check(_: &Value, _: &qflow_types::Ty) -> Result<(), String> { Ok(()) }
pub(crate) fn answer(_: &Value, _: &[Segment]) -> Answer { Answer::default() }
pub(crate) fn to_text(v: &Value) -> String { v.to_string() }
