//! What a reader of a run's lines was told so far, and what is missing in between. Pure.

use std::{collections::BTreeMap, ops::Range};

use qflow_model::ids::Timestamp;

use crate::record::StoredLine;

/// The stream of a line that stands for lines which are missing.
pub const GAP: &str = "gap";

/// What was told of each attempt, by node and number.
#[derive(Debug, Default)]
pub struct Told(BTreeMap<(String, u32), Place>);

#[derive(Debug, Default)]
struct Place {
    next: u64,
    missed: Vec<Range<u64>>,
}

impl Told {
    /// A line to tell, after a gap where some before it are missing; nothing of one that was told. A line that was missing may come later.
    pub fn next(&mut self, line: StoredLine) -> impl Iterator<Item = StoredLine> + use<> {
        let place = self.place(&line.node_id, line.attempt);
        let (gap, line) = if line.sequence < place.next {
            (None, place.found(line.sequence).then_some(line))
        } else {
            let missing = place.next..line.sequence;
            place.next = line.sequence + 1;
            let gap = (!missing.is_empty()).then(|| gap(&line, missing.start, Some(missing.end - missing.start)));
            place.missed.extend((!missing.is_empty()).then_some(missing));
            (gap, Some(line))
        };
        gap.into_iter().chain(line)
    }

    /// Whether anything was told of an attempt.
    pub fn knows(&self, node_id: &str, attempt: u32) -> bool {
        self.0.contains_key(&(node_id.to_owned(), attempt))
    }

    /// The last line of an attempt of which nobody knows how many are missing.
    pub fn torn(&mut self, node_id: &str, attempt: u32, at: Timestamp, why: &str) -> StoredLine {
        let from = self.place(node_id, attempt).next;
        let mut line = gap(&blank(node_id, attempt, at), from, None);
        line.text = format!("lines may be missing: from sequence {from}, {why}");
        line
    }

    fn place(&mut self, node_id: &str, attempt: u32) -> &mut Place {
        self.0.entry((node_id.to_owned(), attempt)).or_default()
    }
}

impl Place {
    /// Whether a line was missing; it is not any more.
    fn found(&mut self, sequence: u64) -> bool {
        let Some(at) = self.missed.iter().position(|range| range.contains(&sequence)) else { return false };
        let Range { start, end } = self.missed.swap_remove(at);
        let left = [start..sequence, sequence + 1..end];
        self.missed.extend(left.into_iter().filter(|range| !range.is_empty()));
        true
    }
}

fn blank(node_id: &str, attempt: u32, at: Timestamp) -> StoredLine {
    StoredLine {
        node_id: node_id.to_owned(),
        attempt,
        sequence: 0,
        at,
        stream: String::new(),
        text: String::new(),
        fields: serde_json::Map::new(),
    }
}

/// Stands before a line, for those that are missing there.
fn gap(before: &StoredLine, from: u64, missing: Option<u64>) -> StoredLine {
    let count = missing.unwrap_or_default();
    let (lines, are) = if count == 1 { ("line", "is") } else { ("lines", "are") };
    let mut fields = serde_json::Map::new();
    fields.extend(missing.map(|count| ("missing".to_owned(), count.into())));
    fields.insert("from".to_owned(), from.into());
    StoredLine {
        sequence: from,
        stream: GAP.to_owned(),
        text: format!("{count} {lines} {are} missing: from sequence {from}"),
        fields,
        ..blank(&before.node_id, before.attempt, before.at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(sequence: u64) -> StoredLine {
        StoredLine { sequence, text: format!("l{sequence}"), ..blank("a", 1, Timestamp(7)) }
    }

    fn texts(told: &mut Told, sequences: &[u64]) -> Vec<String> {
        sequences.iter().flat_map(|sequence| told.next(line(*sequence))).map(|line| line.text).collect()
    }

    #[test]
    fn a_line_is_told_once_and_what_is_missing_by_its_sequence() {
        let mut told = Told::default();
        assert_eq!(texts(&mut told, &[0, 1, 1, 0]), ["l0", "l1"]);
        assert_eq!(
            texts(&mut told, &[3, 6]),
            ["1 line is missing: from sequence 2", "l3", "2 lines are missing: from sequence 4", "l6"]
        );
        // What was missing comes late, and once.
        assert_eq!(texts(&mut told, &[5, 5, 2, 4, 3, 7]), ["l5", "l2", "l4", "l7"]);
    }

    #[test]
    fn a_gap_says_in_its_fields_how_many_and_from_where() {
        let gap = Told::default().next(line(3)).next().unwrap();
        assert_eq!((gap.stream.as_str(), gap.sequence, gap.at), (GAP, 0, Timestamp(7)));
        assert_eq!(serde_json::Value::Object(gap.fields), serde_json::json!({"missing": 3, "from": 0}));
    }

    #[test]
    fn attempts_are_told_apart_and_a_torn_one_ends_with_where() {
        let mut told = Told::default();
        assert!(!told.knows("a", 1));
        assert_eq!(texts(&mut told, &[0, 1]).len(), 2);
        assert!(told.knows("a", 1) && !told.knows("a", 2));
        let torn = told.torn("a", 1, Timestamp(9), "where the runner was lost");
        assert_eq!(torn.text, "lines may be missing: from sequence 2, where the runner was lost");
        assert_eq!(told.torn("a", 2, Timestamp(9), "x").sequence, 0);
    }
}
