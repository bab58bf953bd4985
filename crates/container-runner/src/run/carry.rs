//! How much goes from node to node.

use qflow_model::value::{Argument, ValueRef};
use qflow_proto::order::Order;
use qflow_telemetry::{Metrics, TraceContext, labels::NodeType};

/// Bytes of a value with what belongs to it.
pub(super) fn size(value: &ValueRef) -> u64 {
    value.size + value.attachments.iter().map(|attachment| attachment.size).sum::<u64>()
}

/// Bytes of the values that an argument is made of; an element counts as its part of the list that it stands in.
fn carried(argument: &Argument) -> u64 {
    match argument {
        Argument::Value { value, element: Some(_), .. } => size(value) / u64::from(value.items.unwrap_or(1).max(1)),
        Argument::Value { value, .. } | Argument::Kept(value) | Argument::Manifest { list: value, .. } => size(value),
        Argument::Gathered { values, .. } => values.iter().map(size).sum(),
        Argument::Outcome { value, .. } => value.as_deref().map_or(0, carried),
        Argument::List(parts) | Argument::Tuple(parts) | Argument::Format(parts) => parts.iter().map(carried).sum(),
        Argument::Dict(parts) => parts.iter().map(|(_, part)| carried(part)).sum(),
        Argument::Literal(_) => 0,
    }
}

/// Tells how much each argument of an attempt brings, and from what kind of node.
pub(super) fn measure(metrics: &Metrics, order: &Order) {
    let trace = TraceContext::parse(&order.traceparent);
    for (name, node_type) in &order.sources {
        let Some((_, argument)) = order.arguments.iter().find(|(argument, _)| argument == name) else { continue };
        let transfer = metrics.transfer_size(NodeType::of(node_type), NodeType::of("python"));
        transfer.record_in(carried(argument) as f64, trace.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use qflow_model::{ids::Digest, value::Attachment};

    use super::*;

    fn value(size: u64, items: Option<u32>) -> ValueRef {
        ValueRef { digest: Digest::of(b"v"), size, inline: None, items, attachments: vec![] }
    }

    #[test]
    fn an_argument_is_as_large_as_what_it_is_made_of() {
        let file = Attachment { digest: Digest::of(b"f"), size: 1000, kind: "file".into() };
        let whole = Argument::Value {
            value: ValueRef { attachments: vec![file], ..value(50, None) },
            element: None,
            path: vec![],
        };
        let part = Argument::Value { value: value(400, Some(4)), element: Some(1), path: vec![] };
        let gathered = Argument::Gathered { values: vec![value(1, None), value(2, None)], path: vec![] };
        assert_eq!([&whole, &part, &gathered].map(carried), [1050, 100, 3]);
        let literal = Argument::Literal(serde_json::Value::Null);
        assert_eq!(carried(&Argument::List(vec![whole, part, literal])), 1150);
    }
}
