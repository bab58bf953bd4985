//! Counters of fractions (seconds), which the exporter's whole numbers cannot hold, and their text.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// A counter of fractions; clones count together.
#[derive(Clone, Debug, Default)]
pub struct Sum(Arc<AtomicU64>);

impl Sum {
    /// Counts `more`; what is no number or would count backwards is left out.
    pub fn add(&self, more: f64) {
        self.change(|total| if more > 0.0 { total + more } else { total });
    }

    /// Takes over a total that someone else counts; a smaller one than before is left out.
    pub fn raise_to(&self, total: f64) {
        self.change(|now| if total > now { total } else { now });
    }

    /// What was counted so far.
    pub fn total(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    fn change(&self, to: impl Fn(f64) -> f64) {
        let next = |bits| Some(to(f64::from_bits(bits))).filter(|next| next.is_finite()).map(f64::to_bits);
        // Without a next value the total stays as it is.
        let _ = self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next);
    }
}

/// A metric's HELP, and its sums by rendered labels.
type Family = (&'static str, BTreeMap<String, Sum>);

/// Every sum by its metric's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sums(Arc<Mutex<BTreeMap<&'static str, Family>>>);

impl Sums {
    /// The sum of a metric and its rendered labels.
    pub(crate) fn get(&self, name: &'static str, help: &'static str, labels: String) -> Sum {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name).or_insert_with(|| (help, BTreeMap::new())).1.entry(labels).or_default().clone()
    }

    /// Appends them as text 0.0.4.
    pub(crate) fn render(&self, out: &mut String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, (help, sums)) in &*all {
            // A text takes every line.
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} counter", help.trim());
            for (labels, sum) in sums {
                let _ = match labels.as_str() {
                    "" => writeln!(out, "{name} {}", sum.total()),
                    labels => writeln!(out, "{name}{{{labels}}} {}", sum.total()),
                };
            }
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_only_grows_and_takes_no_nonsense() {
        let sum = Sum::default();
        for more in [0.25, -1.0, f64::NAN, f64::INFINITY, 0.5] {
            sum.add(more);
        }
        assert!((sum.total() - 0.75).abs() < f64::EPSILON);
        for total in [0.5, f64::NAN, 2.0] {
            sum.raise_to(total);
        }
        assert!((sum.total() - 2.0).abs() < f64::EPSILON);
    }

    #[test]
    fn sums_are_told_with_and_without_labels() {
        let sums = Sums::default();
        sums.get("a_seconds_total", "Help.", String::new()).add(0.5);
        sums.get("b_seconds_total", "Help.", "x=\"y\"".into()).add(1.0);
        let mut text = String::new();
        sums.render(&mut text);
        assert!(text.contains("# TYPE a_seconds_total counter\na_seconds_total 0.5\n"), "{text}");
        assert!(text.contains("b_seconds_total{x=\"y\"} 1\n"), "{text}");
    }
}
