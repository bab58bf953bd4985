//! `/metrics`: text 0.0.4, or `OpenMetrics` with exemplars.

use std::{collections::HashMap, fmt::Write as _, sync::PoisonError};

use crate::histogram::{Exemplars, Slots};

const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The content type and the text, as `Accept` asks.
pub(crate) fn render(text: String, exemplars: &Exemplars, accept: Option<&str>) -> (&'static str, String) {
    if accept.is_some_and(|a| a.contains("application/openmetrics-text")) {
        (OPENMETRICS, openmetrics(&text, exemplars))
    } else {
        (TEXT, text)
    }
}

/// Text 0.0.4 as `OpenMetrics` 1.0: families without `_total`, no blank lines, exemplars at buckets, an end.
fn openmetrics(text: &str, exemplars: &Exemplars) -> String {
    // A copy of the map of shared cells: recording never waits for the rendering.
    let store: HashMap<_, _> = exemplars.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let store: HashMap<(&str, &str), _> = store.iter().map(|((n, l), s)| ((*n, l.as_str()), s)).collect();
    let mut out = String::with_capacity(text.len() + text.len() / 4);
    let (mut series, mut bucket) = ((String::new(), String::new()), 0);
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some((word, rest)) = line.strip_prefix("# ").and_then(|l| l.split_once(' ')) {
            let (name, more) = rest.split_once(' ').unwrap_or((rest, ""));
            let _ = writeln!(out, "# {word} {} {more}", name.strip_suffix("_total").unwrap_or(name));
            continue;
        }
        out.push_str(line);
        if let Some((name, rest)) = line.split_once("_bucket{")
            && let Some(at) = rest.find("le=\"")
        {
            let labels = rest[..at].trim_end_matches(',');
            if series.0 != name || series.1 != labels {
                series = (name.to_owned(), labels.to_owned());
                bucket = 0;
            }
            if let Some(slots) = store.get(&(name, labels)) {
                exemplar(&mut out, slots, bucket);
            }
            bucket += 1;
        }
        out.push('\n');
    }
    out.push_str("# EOF\n");
    out
}

fn exemplar(out: &mut String, slots: &Slots, bucket: usize) {
    let cell = slots.cells.get(bucket).and_then(|c| c.try_lock().ok().and_then(|c| c.clone()));
    if let Some(e) = cell {
        let (trace, span) = (&e.trace.trace_id, &e.trace.span_id);
        let _ = write!(out, " # {{trace_id=\"{trace}\",span_id=\"{span}\"}} {} {:.3}", e.value, e.at_seconds);
    }
}
