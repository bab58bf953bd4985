//! The catalogue of metrics, events, logs, traces and /metrics.
