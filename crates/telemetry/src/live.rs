//! Gauges of what comes and goes: a series is there while its thing is, and the exporter's own never end.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// The value of one thing, or nothing where it is gone; clones are the same.
#[derive(Clone, Debug)]
pub struct Live(Arc<AtomicU64>);

impl Default for Live {
    fn default() -> Self {
        Self(Arc::new(AtomicU64::new(GONE.to_bits())))
    }
}

const GONE: f64 = f64::NAN;

impl Live {
    /// Sets the value; the thing is there. What is no number is left out.
    pub fn set(&self, value: f64) {
        if value.is_finite() {
            self.0.store(value.to_bits(), Ordering::Relaxed);
        }
    }

    /// The thing is gone, and its series with it.
    pub fn clear(&self) {
        self.0.store(GONE.to_bits(), Ordering::Relaxed);
    }

    /// Sets the value, or says that the thing is gone.
    pub fn set_or_clear(&self, value: Option<f64>) {
        match value {
            Some(value) => self.set(value),
            None => self.clear(),
        }
    }

    /// The value, while the thing is there.
    pub fn value(&self) -> Option<f64> {
        Some(f64::from_bits(self.0.load(Ordering::Relaxed))).filter(|value| !value.is_nan())
    }
}

/// A metric's HELP, and its values by rendered labels.
type Family = (&'static str, BTreeMap<String, Live>);

/// Every live value by its metric's name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lives(Arc<Mutex<BTreeMap<&'static str, Family>>>);

impl Lives {
    /// The value of a metric and its rendered labels.
    pub(crate) fn get(&self, name: &'static str, help: &'static str, labels: String) -> Live {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(name).or_insert_with(|| (help, BTreeMap::new())).1.entry(labels).or_default().clone()
    }

    /// Forgets a thing that is gone.
    pub(crate) fn forget(&self, name: &'static str, labels: &str) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, values)) = all.get_mut(name) {
            values.remove(labels);
        }
    }

    /// Appends what is there as text 0.0.4.
    pub(crate) fn render(&self, out: &mut String) {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (name, (help, values)) in &*all {
            let mut there = values.iter().filter_map(|(labels, live)| Some((labels, live.value()?))).peekable();
            if there.peek().is_none() {
                continue;
            }
            // A text takes every line.
            let _ = writeln!(out, "# HELP {name} {}\n# TYPE {name} gauge", help.trim());
            for (labels, value) in there {
                let _ = writeln!(out, "{name}{{{labels}}} {value}");
            }
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_is_there_while_its_thing_is() {
        let lives = Lives::default();
        let (a, b) = (lives.get("a_ratio", "Help.", "x=\"1\"".into()), lives.get("a_ratio", "Help.", "x=\"2\"".into()));
        let text = || {
            let mut text = String::new();
            lives.render(&mut text);
            text
        };
        assert_eq!(text(), "");
        a.set(0.5);
        b.set(0.0);
        a.set(f64::INFINITY);
        assert_eq!(text(), "# HELP a_ratio Help.\n# TYPE a_ratio gauge\na_ratio{x=\"1\"} 0.5\na_ratio{x=\"2\"} 0\n\n");
        a.clear();
        assert!(!text().contains("x=\"1\""), "{}", text());
        lives.forget("a_ratio", "x=\"2\"");
        assert_eq!(text(), "");
    }
}
