//! Durations (`90s`, `2m`, `1h30m`) and sizes (`512MiB`) as people write them.

/// Longer than anything waits; also keeps sums within 64 bits.
const MAX_MS: f64 = 3_650.0 * 24.0 * 3_600_000.0;

/// Milliseconds of a duration.
pub(crate) fn duration_ms(text: &str) -> Option<u64> {
    let mut rest = text.trim();
    let mut total = 0.0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (number, after) = number(rest)?;
        let letters = after.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(after.len());
        let ms = match &after[..letters] {
            "ms" => 1.0,
            "s" => 1_000.0,
            "m" => 60_000.0,
            "h" => 3_600_000.0,
            "d" => 86_400_000.0,
            _ => return None,
        };
        total += number * ms;
        rest = after[letters..].trim_start();
    }
    (total <= MAX_MS).then_some(total as u64)
}

/// Milliseconds of a number of seconds.
pub(crate) fn seconds_ms(seconds: f64) -> Option<u64> {
    let ms = seconds * 1000.0;
    (0.0..=MAX_MS).contains(&ms).then_some(ms as u64)
}

/// Bytes of a size.
pub(crate) fn bytes(text: &str) -> Option<u64> {
    let (number, unit) = number(text.trim())?;
    let factor = match unit {
        "B" => 1.0,
        "KiB" => 1024.0,
        "MiB" => 1_048_576.0,
        "GiB" => 1_073_741_824.0,
        "TiB" => 1_099_511_627_776.0,
        "KB" | "kB" => 1e3,
        "MB" => 1e6,
        "GB" => 1e9,
        "TB" => 1e12,
        _ => return None,
    };
    Some((number * factor) as u64)
}

/// The number that a text begins with, and what follows it without space.
fn number(text: &str) -> Option<(f64, &str)> {
    let len = text.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(text.len());
    let number = text[..len].parse().ok().filter(|_| text.starts_with(|c: char| c.is_ascii_digit()))?;
    Some((number, text[len..].trim_start()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_sizes_are_read_as_written() {
        for (text, ms) in [("100ms", 100), ("90s", 90_000), ("2m", 120_000), ("1h30m", 5_400_000), ("1.5s", 1500)] {
            assert_eq!(duration_ms(text), Some(ms), "{text}");
        }
        for text in ["", "s", "5", "5 parsecs", "-1s", "99999999d"] {
            assert_eq!(duration_ms(text), None, "{text}");
        }
        assert_eq!(bytes("128MiB"), Some(128 << 20));
        assert_eq!(bytes("1.5 GB"), Some(1_500_000_000));
        assert_eq!(bytes("12"), None);
    }
}
