//! Orders: an attempt as its runner is told it, complete and small enough for a message.

use std::{collections::BTreeMap, sync::Arc};

use qflow_blobs::{Blobs, Error};
use qflow_model::{
    class,
    definition::Conversion,
    ids::{AttemptKey, Digest, RunId},
    limits,
    progress::RunState,
    value::{Argument, ValueRef},
};
use qflow_proto::order::{Converted, Order};

use super::{flow, tell::attempt_span};

/// The order of an attempt that is leased; nothing where it is not any more.
pub(super) fn order(
    state: &RunState,
    key: AttemptKey,
    files: Arc<BTreeMap<String, String>>,
    main: &str,
) -> Option<Order> {
    let run = state.node(key.node)?;
    if run.attempt != key.attempt || !run.status.is_held() {
        return None;
    }
    let (plan, spec) = (&state.plan, &state.spec);
    let node = state.definition(key.node)?;
    let trace = &spec.trace;
    let conversions = conversions(state, key);
    // Of a generic node what its variables stand for here.
    let returns = state.planned(key.node).returns.as_ref().unwrap_or(&node.returns);
    Some(Order {
        key,
        node_id: state.node_id(key.node),
        function: node.name.clone(),
        file: node.file.clone(),
        entry: main.to_owned(),
        files,
        workflow: plan.workflow.clone(),
        tenant: spec.tenant.clone(),
        user: spec.user.clone(),
        arguments: state.arguments(key.node),
        sources: flow::into(state, key.node).map(|from| (from.argument, from.node_type.to_owned())).collect(),
        types: node.params.iter().map(|param| (param.name.clone(), param.ty.clone())).collect(),
        returns: returns.clone(),
        classes: class::reached(node.declared().chain([returns]), &plan.classes),
        conversions,
        asks: state.planned(key.node).asks.clone(),
        lock: Arc::clone(state.lock(key.node)?),
        resources: node.resources.clone(),
        env: node.env.clone(),
        secrets: node.secrets.clone(),
        timeout_ms: node.timeout_ms,
        isolation: plan.isolation(state.workflow_of(key.node.frame), key.node.step),
        idempotent: node.idempotent,
        traceparent: format!("00-{}-{}-{:02x}", trace.trace_id, attempt_span(key), trace.flags),
        idempotency_key: Digest::of(AttemptKey { attempt: 0, ..key }.to_string().as_bytes()).short(),
    })
}

fn conversions(state: &RunState, key: AttemptKey) -> Vec<Converted> {
    let planned = state.planned(key.node).conversions.iter();
    let told = planned.map(|Conversion { argument, from, may_fail, .. }| Converted {
        argument: argument.clone(),
        from: from.clone(),
        may_fail: *may_fail,
    });
    told.collect()
}

/// Whether an order carries no more than an attempt may.
pub(super) fn fits(order: &Order) -> bool {
    order.arguments.iter().map(|(_, argument)| inline(argument)).sum::<usize>() <= limits::INLINE_ATTEMPT_BYTES
}

/// Moves inline values of an order into blobs: together they are more than an attempt may carry.
pub(super) async fn fit(order: &mut Order, blobs: &Blobs) -> Result<(), Error> {
    for (_, argument) in &mut order.arguments {
        refer(argument, order.key.run, blobs).await?;
        keep(argument, order.key.run, blobs).await?;
    }
    Ok(())
}

/// Moves an argument of very many parts, each small by now, into a blob as a whole.
async fn keep(argument: &mut Argument, run: RunId, blobs: &Blobs) -> Result<(), Error> {
    if inline(argument) <= limits::INLINE_VALUE_BYTES {
        return Ok(());
    }
    let bytes = serde_json::to_vec(argument).unwrap_or_default();
    let digest = Digest::of(&bytes);
    let kept = ValueRef { digest, size: bytes.len() as u64, inline: None, items: None, attachments: vec![] };
    blobs.write(run, digest, bytes).await?;
    *argument = Argument::Kept(kept);
    Ok(())
}

/// Bytes that a reference to a value takes in a message besides the value's own.
const REFERENCE: usize = 160;

fn inline(argument: &Argument) -> usize {
    let of = |value: &ValueRef| REFERENCE + value.inline.as_ref().map_or(0, Vec::len);
    match argument {
        Argument::Literal(_) | Argument::Manifest { .. } | Argument::Kept(_) => 0,
        Argument::Outcome { value, error } => {
            let error = error.as_ref().map_or(0, |error| error.message.len() + error.error_type.len());
            REFERENCE + error + value.as_deref().map_or(0, inline)
        }
        Argument::Value { value, .. } => of(value),
        Argument::Gathered { values, .. } => values.iter().map(of).sum(),
        Argument::List(parts) | Argument::Tuple(parts) | Argument::Format(parts) => parts.iter().map(inline).sum(),
        Argument::Dict(parts) => parts.iter().map(|(_, part)| inline(part)).sum(),
    }
}

async fn refer(argument: &mut Argument, run: RunId, blobs: &Blobs) -> Result<(), Error> {
    match argument {
        Argument::Literal(_) | Argument::Manifest { .. } | Argument::Kept(_) => {}
        Argument::Outcome { value, .. } => {
            if let Some(value) = value {
                Box::pin(refer(value, run, blobs)).await?;
            }
        }
        Argument::Value { value, .. } => blobs.refer(run, value).await?,
        Argument::Gathered { values, path } => {
            let count = values.len() as u32;
            let bytes = serde_json::to_vec(values).unwrap_or_default();
            let digest = Digest::of(&bytes);
            let list = ValueRef { digest, size: bytes.len() as u64, inline: None, items: None, attachments: vec![] };
            blobs.write(run, digest, bytes).await?;
            *argument = Argument::Manifest { list, count, element: None, path: std::mem::take(path) };
        }
        Argument::List(parts) | Argument::Tuple(parts) | Argument::Format(parts) => {
            for part in parts {
                Box::pin(refer(part, run, blobs)).await?;
            }
        }
        Argument::Dict(parts) => {
            for (_, part) in parts {
                Box::pin(refer(part, run, blobs)).await?;
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use qflow_model::value::OutcomeError;

    #[tokio::test]
    async fn a_large_join_becomes_a_manifest_that_reads_back() {
        let (blobs, run) = (Blobs::in_memory(), RunId(uuid::Uuid::from_u128(1)));
        let bytes = vec![b'1'; 1000];
        let value =
            ValueRef { digest: Digest::of(&bytes), size: 1000, inline: Some(bytes), items: None, attachments: vec![] };
        let values = vec![value; 2000];
        let mut argument = Argument::Gathered { values: values.clone(), path: vec![] };
        assert!(inline(&argument) > limits::INLINE_ATTEMPT_BYTES);
        refer(&mut argument, run, &blobs).await.unwrap();
        let Argument::Manifest { list, count: 2000, .. } = &argument else { panic!("{argument:?}") };
        let read: Vec<ValueRef> = serde_json::from_slice(&blobs.bytes(run, list).await.unwrap()).unwrap();
        assert_eq!(read, values);
        assert_eq!(inline(&argument), 0);
    }

    #[tokio::test]
    async fn a_join_of_very_many_parts_is_kept_as_a_whole() {
        let (blobs, run) = (Blobs::in_memory(), RunId(uuid::Uuid::from_u128(1)));
        let error =
            OutcomeError { error_type: "E".into(), message: "m".repeat(100), status: "failed".into(), attempts: 1 };
        let outcome = Argument::Outcome { value: None, error: Some(Box::new(error)) };
        let whole = Argument::List(vec![outcome; 10_000]);
        let mut argument = whole.clone();
        assert!(inline(&argument) > limits::INLINE_ATTEMPT_BYTES);
        refer(&mut argument, run, &blobs).await.unwrap();
        keep(&mut argument, run, &blobs).await.unwrap();
        let Argument::Kept(kept) = &argument else { panic!("{argument:?}") };
        let read: Argument = serde_json::from_slice(&blobs.bytes(run, kept).await.unwrap()).unwrap();
        assert_eq!((read, inline(&argument)), (whole, 0));
    }
}
