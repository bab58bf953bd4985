//! The standard's own settings, `OTEL_*`, as far as Qflow follows them. What is told wrong is said, and left out.
//!
//! Headers and the time-out of the exporter (`OTEL_EXPORTER_OTLP_[TRACES_]HEADERS`, `…_TIMEOUT`) and
//! `OTEL_RESOURCE_ATTRIBUTES` are read by the SDK itself; the time-out here too, so that nobody else gives up before.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use opentelemetry::TraceId;

/// What the environment says.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Otel {
    /// `OTEL_SERVICE_NAME`, or the `service.name` of `OTEL_RESOURCE_ATTRIBUTES`.
    pub(crate) service: Option<String>,
    /// Whether spans leave at all: `OTEL_SDK_DISABLED`, `OTEL_TRACES_EXPORTER=none`.
    pub(crate) exports: bool,
    /// Whether metrics are kept for `/metrics`: `OTEL_METRICS_EXPORTER=none` says no.
    pub(crate) metrics: bool,
    /// Which traces that begin here are recorded.
    pub(crate) sampler: Sampler,
    /// The authority that a receiver's certificate is held to.
    pub(crate) certificate: Option<PathBuf>,
    /// How long one call of the exporter may take: `OTEL_EXPORTER_OTLP_[TRACES_]TIMEOUT`, in milliseconds.
    pub(crate) timeout: Duration,
    /// Settings that say nothing that Qflow can follow.
    pub(crate) wrong: Vec<String>,
}

/// Which traces that begin here are recorded; a caller's own decision always stands.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Sampler {
    /// Every one.
    All,
    /// None.
    None,
    /// So great a share, by the trace's id: every process that takes the same share takes the same traces.
    Share(f64),
}

impl Sampler {
    /// Whether a trace that begins is recorded.
    pub(crate) fn takes(self, trace: TraceId) -> bool {
        match self {
            Self::All => true,
            Self::None => false,
            Self::Share(share) => {
                let random = u128::from_be_bytes(trace.to_bytes()) as u64 >> 1;
                // As the standard's SDKs do it: 63 bits of the id against the share of their range.
                random < (share * (1_u64 << 63) as f64) as u64
            }
        }
    }
}

/// The sampler of this process.
pub(crate) fn sampler() -> Sampler {
    static SAMPLER: LazyLock<Sampler> = LazyLock::new(|| Otel::from_env().sampler);
    *SAMPLER
}

/// How long a call may take where nothing else is said: the standard's default.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Otel {
    /// As the process was started.
    pub(crate) fn from_env() -> Self {
        Self::read(|name| std::env::var(name).ok())
    }

    fn read(setting: impl Fn(&str) -> Option<String>) -> Self {
        let setting = |name: &str| setting(name).map(|v| v.trim().to_owned()).filter(|v| !v.is_empty());
        let mut wrong = Vec::new();
        let sampler = sampler_of(
            setting("OTEL_TRACES_SAMPLER").as_deref(),
            setting("OTEL_TRACES_SAMPLER_ARG").as_deref(),
            &mut wrong,
        );
        let exporter = setting("OTEL_TRACES_EXPORTER").unwrap_or_else(|| "otlp".to_owned());
        if !matches!(exporter.as_str(), "otlp" | "none") {
            wrong.push(format!("OTEL_TRACES_EXPORTER is `{exporter}`, neither `otlp` nor `none`; spans go by otlp"));
        }
        let metrics = setting("OTEL_METRICS_EXPORTER").unwrap_or_else(|| "prometheus".to_owned());
        if !matches!(metrics.as_str(), "prometheus" | "none") {
            wrong.push(format!(
                "OTEL_METRICS_EXPORTER is `{metrics}`, neither `prometheus` nor `none`; metrics are at /metrics"
            ));
        }
        let protocol = setting("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL").or_else(|| setting("OTEL_EXPORTER_OTLP_PROTOCOL"));
        if let Some(protocol) = protocol.filter(|p| p != "grpc") {
            wrong.push(format!("OTEL_EXPORTER_OTLP_PROTOCOL is `{protocol}`; spans go by `grpc`"));
        }
        // As the SDK reads it: one of traces that is no number is none.
        let ms = |name: &str| setting(name).and_then(|text| text.parse().ok());
        let timeout = ms("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT").or_else(|| ms("OTEL_EXPORTER_OTLP_TIMEOUT"));
        let attributes = setting("OTEL_RESOURCE_ATTRIBUTES").unwrap_or_default();
        let named = attributes.split(',').find_map(|pair| pair.trim().strip_prefix("service.name=").map(str::to_owned));
        Self {
            service: setting("OTEL_SERVICE_NAME").or(named),
            exports: exporter != "none"
                && !setting("OTEL_SDK_DISABLED").is_some_and(|v| v.eq_ignore_ascii_case("true")),
            metrics: metrics != "none",
            sampler,
            certificate: setting("OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE")
                .or_else(|| setting("OTEL_EXPORTER_OTLP_CERTIFICATE"))
                .map(PathBuf::from),
            timeout: timeout.map_or(TIMEOUT, Duration::from_millis),
            wrong,
        }
    }
}

fn sampler_of(name: Option<&str>, share: Option<&str>, wrong: &mut Vec<String>) -> Sampler {
    match name {
        None | Some("always_on" | "parentbased_always_on") => Sampler::All,
        Some("always_off" | "parentbased_always_off") => Sampler::None,
        Some("traceidratio" | "parentbased_traceidratio") => match share.map(str::parse::<f64>) {
            None => Sampler::All,
            Some(Ok(share)) if (0.0..=1.0).contains(&share) => Sampler::Share(share),
            Some(_) => {
                let share = share.unwrap_or_default();
                wrong.push(format!("OTEL_TRACES_SAMPLER_ARG is `{share}`, not a number from 0 to 1; all are recorded"));
                Sampler::All
            }
        },
        Some(other) => {
            wrong.push(format!("OTEL_TRACES_SAMPLER is `{other}`, which Qflow does not know; all are recorded"));
            Sampler::All
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(settings: &[(&str, &str)]) -> Otel {
        Otel::read(|name| settings.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    #[test]
    fn nothing_said_records_and_sends_everything() {
        let plain = Otel {
            service: None,
            exports: true,
            metrics: true,
            sampler: Sampler::All,
            certificate: None,
            timeout: Duration::from_secs(10),
            wrong: Vec::new(),
        };
        assert_eq!(read(&[]), plain);
        assert_eq!(read(&[("OTEL_TRACES_SAMPLER", " "), ("OTEL_SERVICE_NAME", "")]), plain);
    }

    #[test]
    fn the_standards_settings_are_followed() {
        let share = [("OTEL_TRACES_SAMPLER", "parentbased_traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "0.25")];
        assert_eq!(read(&share).sampler, Sampler::Share(0.25));
        assert_eq!(read(&[("OTEL_TRACES_SAMPLER", "always_off")]).sampler, Sampler::None);
        assert!(!read(&[("OTEL_SDK_DISABLED", "TRUE")]).exports);
        assert!(!read(&[("OTEL_TRACES_EXPORTER", "none")]).exports);
        assert!(!read(&[("OTEL_METRICS_EXPORTER", "none")]).metrics);
        let attributes = ("OTEL_RESOURCE_ATTRIBUTES", "a=b, service.name=mine");
        assert_eq!(read(&[attributes]).service.as_deref(), Some("mine"));
        assert_eq!(read(&[attributes, ("OTEL_SERVICE_NAME", "first")]).service.as_deref(), Some("first"));
        let timeouts = [("OTEL_EXPORTER_OTLP_TIMEOUT", "30000"), ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "45000")];
        assert_eq!(read(&timeouts[..1]).timeout, Duration::from_secs(30));
        assert_eq!(read(&timeouts).timeout, Duration::from_secs(45));
        assert_eq!(read(&[("OTEL_EXPORTER_OTLP_CERTIFICATE", "/ca")]).certificate, Some(PathBuf::from("/ca")));
    }

    #[test]
    fn a_wrong_setting_is_told_and_records_everything() {
        for wrong in [
            &[("OTEL_TRACES_SAMPLER", "jaeger_remote")][..],
            &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "1.5")],
            &[("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "half")],
            &[("OTEL_TRACES_EXPORTER", "zipkin")],
            &[("OTEL_METRICS_EXPORTER", "otlp")],
            &[("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")],
        ] {
            let otel = read(wrong);
            assert_eq!((otel.wrong.len(), otel.sampler, otel.exports), (1, Sampler::All, true), "{otel:?}");
            assert!(otel.wrong[0].contains(wrong.last().unwrap().1), "{otel:?}");
        }
    }

    #[test]
    fn a_share_goes_by_the_traces_id() {
        let low = TraceId::from_hex("ffffffffffffffff0000000000000001").unwrap();
        let high = TraceId::from_hex("0000000000000000ffffffffffffffff").unwrap();
        assert!(Sampler::Share(0.01).takes(low) && !Sampler::Share(0.99).takes(high));
        assert!(Sampler::Share(1.0).takes(high) && !Sampler::Share(0.0).takes(low));
    }
}
