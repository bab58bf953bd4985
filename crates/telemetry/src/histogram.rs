//! A histogram's handle, which keeps the newest sampled trace of each bucket as its exemplar.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use crate::traces::{self, TraceContext};

/// The newest sampled observation of a bucket.
#[derive(Clone, Debug)]
pub(crate) struct Exemplar {
    pub(crate) value: f64,
    pub(crate) trace: TraceContext,
    pub(crate) at_seconds: f64,
}

/// One cell a bucket.
pub(crate) struct Slots {
    bounds: &'static [f64],
    pub(crate) cells: Vec<Mutex<Option<Exemplar>>>,
}

/// Exemplars by metric and rendered labels.
pub(crate) type Exemplars = Arc<Mutex<HashMap<(&'static str, String), Arc<Slots>>>>;

impl Slots {
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, cells: (0..=bounds.len()).map(|_| Mutex::new(None)).collect() }
    }
}

/// A handle of a histogram; one without slots records nothing.
#[derive(Clone)]
pub struct Histogram {
    inner: metrics::Histogram,
    slots: Option<Arc<Slots>>,
}

impl Histogram {
    pub(crate) fn new(inner: metrics::Histogram, slots: Arc<Slots>) -> Self {
        Self { inner, slots: Some(slots) }
    }

    pub(crate) fn noop() -> Self {
        Self { inner: metrics::Histogram::noop(), slots: None }
    }

    /// Records a value, with the current task's trace as exemplar.
    pub fn record(&self, value: f64) {
        if self.slots.is_some() {
            self.record_in(value, traces::current().as_ref());
        }
    }

    /// Records a value with a trace as exemplar.
    #[expect(clippy::disallowed_methods, reason = "an exemplar carries the wall time of its observation")]
    pub fn record_in(&self, value: f64, trace: Option<&TraceContext>) {
        let Some(slots) = self.slots.as_ref().filter(|_| value.is_finite()) else {
            return; // one NaN would poison the sum for good
        };
        self.inner.record(value);
        let Some(trace) = trace.filter(|t| t.sampled) else { return };
        let cell = &slots.cells[slots.bounds.partition_point(|bound| *bound < value)];
        // An exemplar is a sample: recording never waits for it.
        if let Ok(mut cell) = cell.try_lock() {
            let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            *cell = Some(Exemplar { value, trace: trace.clone(), at_seconds: since.as_secs_f64() });
        }
    }
}
