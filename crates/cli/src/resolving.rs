//! While a run is being accepted: its environments are resolved before the answer comes, which may take a while.

use std::{collections::BTreeSet, future::Future, time::Duration};

use qflow_model::definition::Definition;

use crate::render::printable;

/// How long an answer may take without a word: most come at once.
const QUIET: Duration = Duration::from_millis(700);
/// Requirements that are named; the rest is counted.
const NAMED: usize = 8;

/// Waits for an answer, and says what takes its time.
pub(crate) async fn told<T>(starting: impl Future<Output = T>, definition: &Definition) -> T {
    tokio::pin!(starting);
    let Some(text) = resolving(definition) else { return starting.await };
    tokio::select! {
        answer = &mut starting => answer,
        () = tokio::time::sleep(QUIET) => {
            eprintln!("{text}");
            starting.await
        }
    }
}

/// `resolving pandas>=2, httpx …`; nothing where no node requires anything.
fn resolving(definition: &Definition) -> Option<String> {
    let all: BTreeSet<&str> =
        definition.nodes.values().flat_map(|node| node.requirements.iter().map(String::as_str)).collect();
    let named = all.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = all.len().saturating_sub(NAMED);
    let more = if more == 0 { String::new() } else { format!(" and {more} more") };
    (!all.is_empty()).then(|| format!("resolving {}{more} …", printable(&named)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn definition(requirements: &[&str]) -> Definition {
        let node = serde_json::from_value(serde_json::json!({
            "name": "a", "file": "w.py", "params": [], "returns": "Any", "convert": false, "idempotent": true,
            "isolation": "run", "frames": false, "place": {"file": "w.py", "line": 1, "column": 1},
            "retry": qflow_model::definition::Retry::default(), "requirements": requirements,
            "resources": qflow_model::definition::Resources::default(),
        }))
        .unwrap();
        Definition { nodes: [("a".to_owned(), node)].into(), ..Definition::default() }
    }

    #[test]
    fn what_is_resolved_is_named_and_the_rest_counted() {
        assert_eq!(resolving(&definition(&["pandas>=2", "httpx"])).unwrap(), "resolving httpx, pandas>=2 …");
        assert_eq!(resolving(&definition(&[])), None);
        let many: Vec<String> = (0..10).map(|n| format!("p{n}")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        assert!(resolving(&definition(&many)).unwrap().ends_with("p7 and 2 more …"));
    }
}
