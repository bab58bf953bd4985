//! Reports as tables; pure.

use comfy_table::{Table, presets};

use crate::{compare::Change, floors::Floor, report::Report};

fn lines(table: &Table) -> String {
    table.lines().map(|line| line.trim_end().to_owned() + "\n").collect()
}

fn begin<const N: usize>(head: [&str; N]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(head);
    table
}

/// A number as people read it: three digits, or all where there are more.
fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        small if small < 1.0 => format!("{value:.3}"),
        _ => format!("{value:.2}"),
    }
}

/// What was measured of the machine: first and last.
pub(crate) fn floors(report: &Report) -> String {
    let mut table = begin(["FLOOR", "", "FIRST", "LAST"]);
    for floor in Floor::ALL {
        let (what, unit) = floor.what();
        let said = |value: Option<&f64>| value.map_or_else(String::new, |value| format!("{} {unit}", number(*value)));
        match (report.floors.measured.get(&floor), report.floors.missing.get(&floor)) {
            (Some(all), _) => {
                table.add_row([format!("{floor:?}"), what.to_owned(), said(all.first()), said(all.last())]);
            }
            (None, Some(why)) => {
                table.add_row([format!("{floor:?}"), what.to_owned(), format!("not measured: {why}"), String::new()]);
            }
            (None, None) => {}
        }
    }
    lines(&table)
}

/// The goals with their gates.
pub(crate) fn goals(report: &Report) -> String {
    let mut table = begin(["GOAL", "WHAT", "GATE", "", "MEASURED", "RATIO", ""]);
    for row in &report.goals {
        table.add_row([
            row.goal.to_string(),
            row.what.clone(),
            format!("{} {}", number(row.gate), row.unit),
            row.rule.clone(),
            format!("{} {}", number(row.measured), row.unit),
            format!("{:.2}", row.ratio()),
            if row.is_met() { "met" } else { "MISSED" }.to_owned(),
        ]);
    }
    let mut said = lines(&table);
    // Below it: a reason is longer than any column.
    for (goal, why) in &report.failed {
        said.push_str(&format!(" {goal:<4}  NOT MEASURED: {}\n", why.lines().next().unwrap_or_default()));
    }
    said
}

/// What changed from one report to another.
pub(crate) fn changes(changes: &[Change]) -> String {
    let mut table = begin(["GOAL", "WHAT", "RATIO BEFORE", "NOW", "CHANGE", ""]);
    for change in changes {
        let ratio = |value: Option<f64>| value.map_or_else(|| "–".to_owned(), |value| format!("{value:.2}"));
        let by = change.by().map_or_else(String::new, |by| format!("{:+.0} %", (by - 1.0) * 100.0));
        table.add_row([
            change.goal.to_string(),
            change.what.clone(),
            ratio(change.before),
            ratio(change.now),
            by,
            change.verdict().to_owned(),
        ]);
    }
    lines(&table)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::goals::Row;

    #[test]
    fn a_report_says_what_was_missed_and_what_was_not_measured() {
        let mut report = Report { goals: vec![Row::most(1, "overhead", "2 K", "ms", 4.0, 5.0)], ..Report::default() };
        report.failed.insert(7, "no network\nat all".to_owned());
        let said = goals(&report);
        assert!(said.contains("MISSED") && said.contains("1.25"), "{said}");
        assert!(said.contains("no network") && !said.contains("at all"), "{said}");
    }

    #[test]
    fn a_floor_that_is_missing_says_why() {
        let mut report = Report::default();
        report.floors.note(Floor::K, Ok(0.5));
        report.floors.note(Floor::Z, Err(anyhow::anyhow!("needs root")));
        let said = floors(&report);
        assert!(said.contains("0.500 ms") && said.contains("not measured: needs root"), "{said}");
    }
}
