//! Goals with their gates, as `6-performance.md` of the design numbers them; pure.

use comfy_table::{Table, presets};
use serde::Serialize;

use crate::{floors::Floors, system::Measured};

/// A goal, what its gate is in this minute, and what was measured.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Goal {
    /// Its number in the design.
    pub(crate) number: &'static str,
    /// What is measured.
    pub(crate) what: &'static str,
    /// The gate's rule.
    pub(crate) rule: &'static str,
    /// The gate in milliseconds.
    pub(crate) gate_ms: f64,
    /// What was measured, in milliseconds.
    pub(crate) measured_ms: f64,
    /// Whether it is within the gate.
    pub(crate) met: bool,
}

/// The goals of the embedded shape.
pub(crate) fn goals(floors: &Floors, measured: &Measured) -> Vec<Goal> {
    let goal = |number, what, rule, gate_ms, measured_ms| Goal {
        number,
        what,
        rule,
        gate_ms,
        measured_ms,
        met: measured_ms <= gate_ms,
    };
    let p50 = 2.0 * (floors.fork_ms + floors.commit_ms + 2.0 * floors.unary_ms);
    vec![
        goal("1", "node overhead, sequential, p50", "2 × (F + K + 2R)", p50, measured.node_p50_ms),
        goal("1", "node overhead, sequential, p99", "5 × p50", 5.0 * measured.node_p50_ms, measured.node_p99_ms),
        goal("6", "start to first node", "1.0 s", 1000.0, measured.first_node_ms),
    ]
}

fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

/// The floors of before and after.
pub(crate) fn floors(before: &Floors, after: &Floors) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["FLOOR", "BEFORE", "AFTER"]);
    let row = |name: &str, of: fn(&Floors) -> f64, unit: &str| {
        [name.to_owned(), format!("{:.3}{unit}", of(before)), format!("{:.3}{unit}", of(after))]
    };
    table.add_row(row("F fork of a warm Python", |f| f.fork_ms, " ms"));
    table.add_row(row("K commit to SQLite", |f| f.commit_ms, " ms"));
    table.add_row(row("C commits a second", |f| f.commits_s, ""));
    table.add_row(row("R unary call", |f| f.unary_ms, " ms"));
    lines(&table)
}

/// The goals as a table.
pub(crate) fn table(goals: &[Goal]) -> String {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(["GOAL", "WHAT", "GATE", "", "MEASURED", "RATIO", ""]);
    for goal in goals {
        table.add_row([
            goal.number.to_owned(),
            goal.what.to_owned(),
            format!("{:.2} ms", goal.gate_ms),
            goal.rule.to_owned(),
            format!("{:.2} ms", goal.measured_ms),
            format!("{:.2}", goal.measured_ms / goal.gate_ms),
            if goal.met { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    lines(&table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_follows_from_the_floors_of_the_minute() {
        let floors = Floors { fork_ms: 1.0, commit_ms: 0.5, commits_s: 2000.0, unary_ms: 0.1 };
        let measured = Measured { node_p50_ms: 3.5, node_p99_ms: 8.0, chain_ms: 140.0, first_node_ms: 900.0 };
        let goals = goals(&floors, &measured);
        assert_eq!(goals.iter().map(|goal| goal.met).collect::<Vec<_>>(), [false, true, true]);
        assert!((goals[0].gate_ms - 3.4).abs() < 1e-9);
        assert!(table(&goals).contains("MISSED"));
    }
}
