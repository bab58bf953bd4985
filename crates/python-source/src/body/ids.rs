//! Ids of steps: what is called, and in source order which of its calls it is.

use std::collections::{HashMap, HashSet};

/// Ids that are given out.
#[derive(Default)]
pub(super) struct Ids {
    /// How often each name was called.
    counts: HashMap<String, usize>,
    taken: HashSet<String>,
}

impl Ids {
    /// `fetch`, `fetch-2`, …; one that a workflow has as its name is left out.
    pub(super) fn next(&mut self, callee: &str) -> String {
        let count = self.counts.entry(callee.to_owned()).or_default();
        loop {
            *count += 1;
            let id = if *count == 1 { callee.to_owned() } else { format!("{callee}-{count}") };
            if self.taken.insert(id.clone()) {
                return id;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_counted_by_name_and_never_given_twice() {
        let mut ids = Ids::default();
        let given: Vec<_> = ["fetch", "fetch", "fetch-2", "fetch", "fetch-2"].map(|name| ids.next(name)).into();
        assert_eq!(given, ["fetch", "fetch-2", "fetch-2-2", "fetch-3", "fetch-2-3"]);
    }
}
