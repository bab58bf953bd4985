//! What the `catalogue!` macro makes of its rows: families of typed handles with bounded label sets and exemplars.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, PoisonError, RwLock},
};

use metrics::{Key, KeyName, Level, Metadata, Recorder as _};
use metrics_exporter_prometheus::PrometheusRecorder;

use crate::{
    catalogue::OVERFLOW,
    histogram::{Exemplars, Histogram, Slots},
    live::{Live, Lives},
    sums::{Sum, Sums},
};

/// What kind of metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Only grows.
    Counter,
    /// Goes up and down.
    Gauge,
    /// A distribution.
    Histogram,
}

/// What the rest of the repository may know about a metric.
#[derive(Debug)]
pub struct MetricDef {
    /// Its public name.
    pub name: &'static str,
    /// Its kind.
    pub kind: Kind,
    /// HELP.
    pub help: &'static str,
    /// Its labels, and their values where the set is closed.
    pub labels: &'static [(&'static str, Option<&'static [&'static str]>)],
    /// Upper bounds, of a histogram.
    pub buckets: &'static [f64],
    /// The most label sets it may have.
    pub max: usize,
    /// The services that feed it, and export it; `Every` where each does.
    pub owners: &'static [&'static str],
}

impl MetricDef {
    /// The most label sets that a process ever has of it: those that are told apart, and those that take the rest.
    pub fn most(&self) -> usize {
        self.product().unwrap_or(usize::MAX).min(self.max + SPARE + 1)
    }

    /// Whether a service feeds it; a program that is none of the four is all of them in one.
    pub(crate) fn is_of(&self, service: &str) -> bool {
        let owner = match service {
            "qflow-orchestrator" => "Orchestrator",
            "qflow-container-runner" => "ContainerRunner",
            "qflow-type-validator" => "TypeValidator",
            "qflow-health-aggregator" => "HealthAggregator",
            _ => return true,
        };
        self.owners.iter().any(|one| *one == owner || *one == "Every")
    }

    /// Whether sets may come that have no room.
    pub fn overflows(&self) -> bool {
        self.product().is_none_or(|sets| sets > self.max)
    }

    /// How many sets its labels make, where all are closed.
    fn product(&self) -> Option<usize> {
        self.labels.iter().map(|(_, values)| values.map(<[_]>::len)).product()
    }
}

const METADATA: Metadata<'static> = Metadata::new("qflow", Level::INFO, None);
/// What an open label reads past the bound.
const OTHER: &str = "_other";
/// How many sets past a row's `max` may tell their closed labels apart.
const SPARE: usize = 8;
/// What makes handles.
#[derive(Clone)]
pub(crate) struct Source {
    pub(crate) recorder: Arc<PrometheusRecorder>,
    pub(crate) exemplars: Exemplars,
    pub(crate) sums: Sums,
    pub(crate) lives: Lives,
    /// Whether handles record at all.
    pub(crate) records: bool,
    /// The service whose rows are exported.
    pub(crate) service: &'static str,
}

impl Source {
    /// Counts the sets of a row that have no room; there at 0 for each row that this may happen to.
    fn overflow(&self, def: &'static MetricDef) -> metrics::Counter {
        if !self.records || !def.overflows() || def.name == OVERFLOW {
            return metrics::Counter::noop();
        }
        let label = metrics::Label::from_static_parts("metric", def.name);
        self.recorder.register_counter(&Key::from_parts(OVERFLOW, vec![label]), &METADATA)
    }
}

/// A kind of handle.
pub(crate) trait Handle: Clone {
    fn describe(source: &Source, def: &'static MetricDef);
    fn make(source: &Source, def: &'static MetricDef, key: &Key) -> Self;
    /// Whether what it tells of is gone, and its set may be forgotten.
    fn gone(&self) -> bool {
        false
    }
}

impl Handle for metrics::Counter {
    fn describe(source: &Source, def: &'static MetricDef) {
        source.recorder.describe_counter(KeyName::from_const_str(def.name), None, def.help.trim().into());
    }
    fn make(source: &Source, _: &'static MetricDef, key: &Key) -> Self {
        if source.records { source.recorder.register_counter(key, &METADATA) } else { Self::noop() }
    }
}

impl Handle for metrics::Gauge {
    fn describe(source: &Source, def: &'static MetricDef) {
        source.recorder.describe_gauge(KeyName::from_const_str(def.name), None, def.help.trim().into());
    }
    fn make(source: &Source, _: &'static MetricDef, key: &Key) -> Self {
        if source.records { source.recorder.register_gauge(key, &METADATA) } else { Self::noop() }
    }
}

impl Handle for Histogram {
    fn describe(source: &Source, def: &'static MetricDef) {
        source.recorder.describe_histogram(KeyName::from_const_str(def.name), None, def.help.trim().into());
    }
    fn make(source: &Source, def: &'static MetricDef, key: &Key) -> Self {
        if !source.records {
            return Self::noop();
        }
        let mut store = source.exemplars.lock().unwrap_or_else(PoisonError::into_inner);
        let slots = store.entry((def.name, rendered(key))).or_insert_with(|| Arc::new(Slots::new(def.buckets)));
        Self::new(source.recorder.register_histogram(key, &METADATA), Arc::clone(slots))
    }
}

impl Handle for Sum {
    fn describe(_: &Source, _: &'static MetricDef) {}
    fn make(source: &Source, def: &'static MetricDef, key: &Key) -> Self {
        if source.records { source.sums.get(def.name, def.help, rendered(key)) } else { Self::default() }
    }
}

impl Handle for Live {
    fn describe(_: &Source, _: &'static MetricDef) {}
    fn make(source: &Source, def: &'static MetricDef, key: &Key) -> Self {
        if source.records { source.lives.get(def.name, def.help, rendered(key)) } else { Self::default() }
    }
    fn gone(&self) -> bool {
        self.value().is_none()
    }
}

/// Labels as the exporter writes them.
fn rendered(key: &Key) -> String {
    use metrics_exporter_prometheus::formatting::{sanitize_label_key, sanitize_label_value};
    let one = |l: &metrics::Label| format!("{}=\"{}\"", sanitize_label_key(l.key()), sanitize_label_value(l.value()));
    key.labels().map(one).collect::<Vec<_>>().join(",")
}

type Values = Vec<Cow<'static, str>>;

/// All handles of one row.
pub(crate) struct Family<H> {
    def: &'static MetricDef,
    source: Source,
    overflow: metrics::Counter,
    sets: RwLock<HashMap<Values, H>>,
}

impl<H: Handle> Family<H> {
    /// Of a row that another service feeds the handles do nothing: it is told there, and nowhere else at 0.
    pub(crate) fn new(def: &'static MetricDef, source: &Source) -> Self {
        let source = Source { records: source.records && def.is_of(source.service), ..source.clone() };
        if source.records {
            H::describe(&source, def);
        }
        let family = Self { def, overflow: source.overflow(def), source, sets: RwLock::default() };
        family.precreate();
        family
    }

    /// Sets that are all known exist from the start, at 0. Not of gauges with labels: of what was not measured nothing is told.
    fn precreate(&self) {
        let Some(closed) = self.def.labels.iter().map(|(_, values)| *values).collect::<Option<Vec<_>>>() else {
            return;
        };
        let product: usize = closed.iter().map(|values| values.len()).product();
        if product > self.def.max || (self.def.kind == Kind::Gauge && !closed.is_empty()) {
            return;
        }
        for n in 0..product {
            let mut rest = n;
            let pick = |values: &&'static [&'static str]| {
                let value = values[rest % values.len()];
                rest /= values.len();
                Cow::Borrowed(value)
            };
            let set: Values = closed.iter().map(pick).collect();
            self.get(set);
        }
    }

    /// Folds a set that has no room: open labels read `_other`; where there are none, or the spare sets are used up,
    /// closed ones read the last of their values, so that a row never has more than `max + SPARE + 1` sets.
    fn fold(&self, values: &mut Values, used: usize) {
        let any_open = self.def.labels.iter().any(|(_, closed)| closed.is_none());
        let fold_closed = !any_open || used >= self.def.max + SPARE;
        for (value, (_, closed)) in values.iter_mut().zip(self.def.labels) {
            match closed {
                None => *value = Cow::Borrowed(OTHER),
                Some(all) if fold_closed => *value = Cow::Borrowed(all[all.len() - 1]),
                Some(_) => {}
            }
        }
    }

    /// The handle of a label set; past the row's bound its open labels read `_other`.
    pub(crate) fn get(&self, mut values: Values) -> H {
        if let Some(handle) = self.sets.read().unwrap_or_else(PoisonError::into_inner).get(&values) {
            return handle.clone();
        }
        let mut sets = self.sets.write().unwrap_or_else(PoisonError::into_inner);
        if sets.len() >= self.def.max {
            sets.retain(|values, handle| {
                let gone = handle.gone();
                if gone {
                    self.source.lives.forget(self.def.name, &rendered(&self.key(values)));
                }
                !gone
            });
        }
        if sets.len() >= self.def.max && !sets.contains_key(&values) {
            self.overflow.increment(1);
            self.fold(&mut values, sets.len());
        }
        if let Some(handle) = sets.get(&values) {
            return handle.clone();
        }
        let handle = H::make(&self.source, self.def, &self.key(&values));
        sets.insert(values, handle.clone());
        handle
    }

    fn key(&self, values: &Values) -> Key {
        let label =
            |(&(name, _), value): (&(&'static str, _), &Cow<'static, str>)| metrics::Label::new(name, value.clone());
        Key::from_parts(self.def.name, self.def.labels.iter().zip(values).map(label).collect::<Vec<_>>())
    }
}

macro_rules! buckets {
    () => {
        &[]
    };
    ($buckets:expr) => {
        $buckets
    };
}
pub(crate) use buckets;

macro_rules! handle {
    (Counter) => {
        metrics::Counter
    };
    (Gauge) => {
        metrics::Gauge
    };
    (Histogram) => {
        $crate::histogram::Histogram
    };
    (Sum) => {
        $crate::sums::Sum
    };
    (Live) => {
        $crate::live::Live
    };
}
pub(crate) use handle;

macro_rules! kind {
    (Sum) => {
        Kind::Counter
    };
    (Live) => {
        Kind::Gauge
    };
    ($kind:ident) => {
        Kind::$kind
    };
}
pub(crate) use kind;

macro_rules! catalogue {
    ($( $(#[doc = $help:literal])+ $field:ident : $kind:ident $(($buckets:expr))? = $name:literal
        { $($label:ident : $ty:ty),* $(,)? } max $max:literal, owner $owner:ident $(+ $and:ident)* )*) => {
        $( #[expect(non_upper_case_globals, reason = "named as its row")]
           static $field: MetricDef = MetricDef {
            name: $name, kind: $crate::define::kind!($kind), help: concat!($($help),+),
            labels: &[$((stringify!($label), <$ty as Label>::VALUES)),*],
            buckets: $crate::define::buckets!($($buckets)?),
            max: $max, owners: &[stringify!($owner) $(, stringify!($and))*],
        }; )*

        /// Every metric that Qflow exports.
        pub static CATALOGUE: &[&MetricDef] = &[$(&$field),*];

        /// Typed handles, one for each row of the catalogue.
        pub struct Metrics { $($field: $crate::define::Family<$crate::define::handle!($kind)>),* }

        impl Metrics {
            pub(crate) fn new(source: &$crate::define::Source) -> Self {
                Self { $($field: $crate::define::Family::new(&$field, source)),* }
            }
            $( $(#[doc = $help])+ pub fn $field(&self, $($label: $ty),*) -> $crate::define::handle!($kind) {
                self.$field.get(vec![$($label.text()),*])
            } )*
        }
    };
}
pub(crate) use catalogue;
