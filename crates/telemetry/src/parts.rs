//! How telemetry is put together from its parts.

use std::{
    io::Write,
    sync::{Arc, Mutex},
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder};

use crate::{
    CATALOGUE, Metrics, Recorded, Shared, Telemetry, TelemetryConfig, define, emit, export, histogram, labels, live,
    log, outbox, pipeline, rates, sums, upkeep,
};

/// Telemetry while it is put together.
pub(super) struct Parts {
    pub(super) config: TelemetryConfig,
    pub(super) service: String,
    metrics: Metrics,
    records: bool,
    recorded: Recorded,
    pipeline: pipeline::Counted,
    pub(super) spans: Option<export::Spans>,
}

impl Parts {
    pub(super) fn new(config: TelemetryConfig) -> Self {
        Self::that(config, true)
    }

    /// The same, which keeps metrics or does not.
    pub(super) fn that(config: TelemetryConfig, records: bool) -> Self {
        let mut builder = PrometheusBuilder::new();
        for def in CATALOGUE.iter().filter(|def| !def.buckets.is_empty()) {
            let matcher = Matcher::Full(def.name.to_owned());
            // The one error is an empty list, which the filter leaves out.
            builder = builder.set_buckets_for_metric(matcher, def.buckets).unwrap_or_default();
        }
        let recorder = Arc::new(builder.build_recorder());
        let recorded = Recorded {
            handle: recorder.handle(),
            exemplars: histogram::Exemplars::default(),
            sums: sums::Sums::default(),
            lives: live::Lives::default(),
        };
        let (exemplars, sums, lives) = (Arc::clone(&recorded.exemplars), recorded.sums.clone(), recorded.lives.clone());
        let source = define::Source { recorder, exemplars, sums, lives, records, service: config.service };
        let metrics = Metrics::new(&source);
        metrics.build_info(labels::Open::of(config.service), labels::Open::of(config.version)).set(1.0);
        let (service, pipeline) = (config.service.to_owned(), pipeline::Counted::default());
        Self { service, config, metrics, records, recorded, pipeline, spans: None }
    }

    pub(super) fn fate_of_spans(&self) -> outbox::Fate {
        let of = |text| self.metrics.spans(labels::Delivery::of(text));
        outbox::Fate { sent: of("sent"), dropped: self.pipeline.spans(of("dropped")) }
    }

    fn fate_of_lines(&self) -> log::Fate {
        let of = |text| self.metrics.log_lines(labels::Delivery::of(text));
        let dropped = self.pipeline.lines(of("dropped"));
        log::Fate { sent: of("sent"), dropped, lost: self.metrics.log_lines_dropped() }
    }

    pub(super) fn build(self, out: Option<Box<dyn Write + Send>>, keep_up: bool) -> Telemetry {
        let service = self.config.json.then(|| self.service.clone());
        let text = move |told: emit::Told| told.text(service.as_deref());
        let log = out.map(|out| log::Log::to(out, self.fate_of_lines(), text));
        let handle = self.recorded.handle.clone();
        let upkeep = keep_up.then(|| upkeep::Upkeep::start(upkeep::EVERY, move || handle.run_upkeep()));
        let Self { config, service: _, metrics, records, recorded, pipeline, spans } = self;
        let component = config.service.strip_prefix("qflow-").unwrap_or(config.service);
        let (collectors, runtime) = (Mutex::default(), tokio::runtime::Handle::try_current().ok());
        let rates = rates::Rates::new();
        let shared = Shared {
            config,
            metrics,
            records,
            recorded,
            rates,
            collectors,
            runtime,
            pipeline,
            log,
            spans,
            _upkeep: upkeep,
        };
        Telemetry { shared: Arc::new(shared), component }
    }
}
