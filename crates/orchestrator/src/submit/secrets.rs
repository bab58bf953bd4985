//! The check that a submission names only secrets that some runner can read.

use std::collections::BTreeSet;

use qflow_model::{
    definition::{NodeDef, Problem, Source},
    plan::Plan,
};

use super::problem::of_node;
use crate::dispatch::Sight;

/// Secrets that nodes name and that no connected runner has for the tenant; where none is connected they are only warned of.
pub(super) fn missing(sight: &Sight, tenant: &str, plan: &Plan, source: &Source) -> Vec<Problem> {
    let known: BTreeSet<&String> =
        sight.runners.iter().flat_map(|seen| seen.hello.secrets.get(tenant).into_iter().flatten()).collect();
    let nodes = plan.nodes.values();
    let named = nodes.flat_map(|node| node.secrets.keys().map(move |name| (node, name)));
    let missing = named.filter(|(_, name)| !known.contains(name));
    missing.map(|(node, name)| problem(node, tenant, name, source, !sight.runners.is_empty())).collect()
}

fn problem(node: &NodeDef, tenant: &str, name: &str, source: &Source, certain: bool) -> Problem {
    let message = if certain {
        format!("node `{}` asks for the secret `{name}`, which no runner has", node.name)
    } else {
        format!(
            "node `{}` asks for the secret `{name}`; no runner is connected that could tell whether it is there",
            node.name
        )
    };
    let remedy = format!("put it into the file {tenant}/{name} of the runner's folder QFLOW_SECRETS_DIR");
    Problem { warning: !certain, ..of_node(node, source, "unknown-secret", message, remedy) }
}
