//! Time as it is measured, and what a sample of it comes to.

use std::time::{Duration, Instant};

/// The monotonic clock.
#[expect(clippy::disallowed_methods, reason = "to measure is what this program is for")]
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Seconds since 1970, for a file's name.
#[expect(clippy::disallowed_methods, reason = "names a file of results")]
pub(crate) fn now_seconds() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// Milliseconds.
pub(crate) fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

/// A quantile by rank; zero of nothing.
pub(crate) fn quantile(sample: &mut [f64], at: f64) -> f64 {
    sample.sort_unstable_by(f64::total_cmp);
    let rank = (sample.len() as f64 * at) as usize;
    sample.get(rank.min(sample.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The median.
pub(crate) fn median(sample: &mut [f64]) -> f64 {
    quantile(sample, 0.5)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_by_rank() {
        let mut sample: Vec<f64> = (1..=100).rev().map(f64::from).collect();
        assert!((quantile(&mut sample, 0.5) - 51.0).abs() < 1e-9);
        assert!((quantile(&mut sample, 0.99) - 100.0).abs() < 1e-9);
        assert!(quantile(&mut [], 0.5).abs() < 1e-9);
    }
}
