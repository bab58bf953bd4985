//! What a node run follows from, as a digest: equal keys give equal outputs. Pure.

use std::{collections::HashMap, sync::Arc};

use qflow_model::{
    definition::NodeDef,
    expression::{Path, Segment},
    ids::{Digest, NodeKey},
    progress::RunState,
    value::{Argument, Attachment, ValueRef},
};
use qflow_types::value;
use serde_json::{Value, json};

/// The node of a node run, where its output is kept for reuse; for how many milliseconds.
pub fn kept(state: &RunState, node: NodeKey) -> Option<(&NodeDef, Digest, u64)> {
    let definition = state.definition(node)?;
    Some((definition, definition.code?, definition.cache_ms?))
}

/// Small values that were read for a part of them: the elements of one list are asked for one after the other.
#[derive(Default)]
pub struct Read(HashMap<Digest, Option<Arc<Value>>>);

/// The key of a node run whose output is kept: its code, its environment, and what it is given.
///
/// Whole values and parts of large ones count by the digest of what they lie in; a part of a value that stands in its row counts by
/// itself, so that a list with one more element finds the others' outputs.
pub fn key(state: &RunState, node: NodeKey, read: &mut Read) -> Option<Digest> {
    let (definition, code, _) = kept(state, node)?;
    let lock = state.lock(node)?;
    let arguments: Vec<(String, Value)> =
        state.arguments(node).iter().map(|(name, argument)| (name.clone(), read.argument(argument))).collect();
    let types: Vec<&str> = definition.params.iter().map(|param| param.ty.0.as_str()).collect();
    let mut whole = json!({
        "function": definition.name,
        "file": definition.file,
        "code": code,
        "lock": lock.digest(),
        "python": lock.python,
        "arguments": arguments,
        "types": types,
        "returns": definition.returns,
        "convert": definition.convert,
        "env": definition.env,
        "secrets": definition.secrets,
        // An output carries answers to what its workflow asks of it.
        "asks": state.planned(node).asks,
    });
    // The same value may be given by one edge as it is, and by another converted.
    let conversions = &state.planned(node).conversions;
    if !conversions.is_empty() {
        let told =
            conversions.iter().map(|conversion| json!([conversion.argument, conversion.from, conversion.may_fail]));
        whole["conversions"] = told.collect();
    }
    Some(Digest::of(whole.to_string().as_bytes()))
}

impl Read {
    fn argument(&mut self, argument: &Argument) -> Value {
        match argument {
            Argument::Literal(literal) => json!({"value": value::encode(literal).digest}),
            Argument::Value { value, element, path } => self.part(value, *element, path),
            Argument::Gathered { values, path } => {
                let values: Vec<Value> = values.iter().map(whole).collect();
                json!({"gathered": values, "path": path})
            }
            Argument::Manifest { list, element, path, .. } => {
                json!({"manifest": list.digest, "element": element, "path": path})
            }
            Argument::List(parts) => json!({"list": self.each(parts)}),
            Argument::Tuple(parts) => json!({"tuple": self.each(parts)}),
            Argument::Format(parts) => json!({"format": self.each(parts)}),
            Argument::Outcome { value, error } => {
                json!({"outcome": value.as_deref().map(|value| self.argument(value)), "error": error})
            }
            Argument::Kept(kept) => json!({"kept": kept.digest}),
            Argument::Dict(parts) => {
                let parts: Vec<(&String, Value)> = parts.iter().map(|(key, part)| (key, self.argument(part))).collect();
                json!({"dict": parts})
            }
        }
    }

    fn each(&mut self, parts: &[Argument]) -> Vec<Value> {
        parts.iter().map(|part| self.argument(part)).collect()
    }

    /// A value, or the part of it that is meant.
    fn part(&mut self, of: &ValueRef, element: Option<u32>, path: &Path) -> Value {
        if element.is_none() && path.is_empty() {
            return whole(of);
        }
        let mut full: Path = element.map(|index| Segment::Index(i64::from(index))).into_iter().collect();
        full.extend(path.iter().cloned());
        if let Some(read) = self.inline(of)
            && let Ok(part) = value::at(&read, &full)
        {
            let mut used = Vec::new();
            attachments(part, &of.attachments, &mut used);
            let mut part = part.clone();
            renumber(&mut part, &mut 0);
            return described(value::encode(&part).digest, &used);
        }
        json!({"of": whole(of), "path": full})
    }

    fn inline(&mut self, of: &ValueRef) -> Option<Arc<Value>> {
        let read = || of.inline.as_ref().and_then(|bytes| value::decode(bytes).ok()).map(Arc::new);
        self.0.entry(of.digest).or_insert_with(read).clone()
    }
}

fn whole(of: &ValueRef) -> Value {
    let used: Vec<Digest> = of.attachments.iter().map(|part| part.digest).collect();
    described(of.digest, &used)
}

fn described(digest: Digest, attachments: &[Digest]) -> Value {
    if attachments.is_empty() { json!({"value": digest}) } else { json!({"value": digest, "with": attachments}) }
}

/// The number of an attachment that stands here.
fn attachment(value: &Value) -> Option<usize> {
    let object = value.as_object().filter(|object| object.get("$").and_then(Value::as_str) == Some("attachment"))?;
    object.get("i").and_then(Value::as_u64).map(|i| i as usize)
}

/// Digests of the attachments that a part names, in its order.
fn attachments(part: &Value, all: &[Attachment], used: &mut Vec<Digest>) {
    match (attachment(part), part) {
        (Some(index), _) => used.extend(all.get(index).map(|one| one.digest)),
        (None, Value::Array(parts)) => parts.iter().for_each(|part| attachments(part, all, used)),
        (None, Value::Object(parts)) => parts.values().for_each(|part| attachments(part, all, used)),
        _ => {}
    }
}

/// Numbers a part's attachments from 0: where it lay in its list does not count.
fn renumber(part: &mut Value, next: &mut usize) {
    if attachment(part).is_some() {
        part["i"] = (*next).into();
        *next += 1;
        return;
    }
    match part {
        Value::Array(parts) => parts.iter_mut().for_each(|part| renumber(part, next)),
        Value::Object(parts) => parts.values_mut().for_each(|part| renumber(part, next)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stored(text: &str, inline: bool) -> ValueRef {
        let encoded = value::encode(&serde_json::from_str(text).unwrap());
        ValueRef {
            digest: encoded.digest,
            size: encoded.bytes.len() as u64,
            inline: inline.then_some(encoded.bytes),
            items: encoded.items,
            attachments: vec![],
        }
    }

    fn element(of: &ValueRef, element: u32) -> Value {
        let argument = Argument::Value { value: of.clone(), element: Some(element), path: vec![] };
        Read::default().argument(&argument)
    }

    #[test]
    fn an_element_of_a_small_list_counts_by_itself_whatever_stands_beside_it() {
        let (short, long) = (stored(r#"["a"]"#, true), stored(r#"["z","a"]"#, true));
        assert_eq!(element(&short, 0), element(&long, 1));
        assert_ne!(element(&long, 0), element(&long, 1));
        let literal = Read::default().argument(&Argument::Literal(json!("a")));
        assert_eq!(element(&short, 0), literal, "a value is one however it came");
    }

    #[test]
    fn an_element_of_a_large_list_counts_by_the_list_and_its_place() {
        let (one, other) = (stored(r#"["a"]"#, false), stored(r#"["z","a"]"#, false));
        assert_ne!(element(&one, 0), element(&other, 1));
        assert_ne!(element(&other, 0), element(&other, 1));
    }

    #[test]
    fn parts_count_with_the_attachments_that_they_name() {
        let file = |content: &[u8]| Attachment { digest: Digest::of(content), size: 1, kind: "file".into() };
        let both = r#"[{"$":"attachment","k":"file","i":0},{"$":"attachment","k":"file","i":1}]"#;
        let mut list = stored(both, true);
        list.attachments = vec![file(b"a"), file(b"b")];
        let mut swapped = list.clone();
        swapped.attachments.reverse();
        assert_eq!(element(&list, 0), element(&swapped, 1));
        assert_ne!(element(&list, 0), element(&list, 1));
        let whole = |of: &ValueRef| {
            Read::default().argument(&Argument::Value { value: of.clone(), element: None, path: vec![] })
        };
        assert_ne!(whole(&list), whole(&swapped));
    }

    #[test]
    fn the_same_values_in_another_order_or_form_are_another_input() {
        let describe = |argument: Argument| Read::default().argument(&argument);
        let (a, b) = (Argument::Literal(json!(1)), Argument::Literal(json!(2)));
        let list = describe(Argument::List(vec![a.clone(), b.clone()]));
        assert_ne!(list, describe(Argument::List(vec![b.clone(), a.clone()])));
        assert_ne!(list, describe(Argument::Tuple(vec![a, b])));
    }
}
