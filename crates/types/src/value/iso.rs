//! Dates and times as ISO 8601 writes them, as far as every version of Python reads them without losing anything.

/// More digits of a second than these are lost in Python.
const FRACTION_DIGITS: usize = 6;

/// `YYYY-MM-DD`
pub(super) fn is_date(text: &str) -> bool {
    let shaped = text.len() == 10
        && text.bytes().enumerate().all(|(i, b)| if matches!(i, 4 | 7) { b == b'-' } else { b.is_ascii_digit() });
    let numbers: Vec<u32> = text.splitn(3, '-').filter_map(|part| part.parse().ok()).collect();
    let [year, month, day] = numbers[..] else { return false };
    shaped && year > 0 && (1..=12).contains(&month) && day >= 1 && day <= days(year, month)
}

/// A date, `T` or a space, and a time.
pub(super) fn is_datetime(text: &str) -> bool {
    text.is_char_boundary(10) && text.len() > 10 && {
        let (date, rest) = text.split_at(10);
        is_date(date) && rest.strip_prefix(['T', ' ']).is_some_and(is_time)
    }
}

/// `HH:MM[:SS[.f]]`, with an offset where there is one.
pub(super) fn is_time(text: &str) -> bool {
    let (clock, offset) = text.find(['Z', 'z', '+', '-']).map_or((text, None), |at| (&text[..at], Some(&text[at..])));
    let (clock, fraction) = clock.split_once('.').map_or((clock, None), |(clock, digits)| (clock, Some(digits)));
    let digits = |digits: &str| {
        (1..=FRACTION_DIGITS).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit()) && clock.len() == 8
    };
    is_clock(clock) && fraction.is_none_or(digits) && offset.is_none_or(is_offset)
}

/// `HH:MM` or `HH:MM:SS`
fn is_clock(text: &str) -> bool {
    let within = |part: &str, below: u32| {
        part.len() == 2 && part.bytes().all(|b| b.is_ascii_digit()) && part.parse::<u32>().is_ok_and(|n| n < below)
    };
    match text.split(':').collect::<Vec<_>>()[..] {
        [hour, minute] => within(hour, 24) && within(minute, 60),
        [hour, minute, second] => within(hour, 24) && within(minute, 60) && within(second, 60),
        _ => false,
    }
}

fn is_offset(text: &str) -> bool {
    matches!(text, "Z" | "z") || text.strip_prefix(['+', '-']).is_some_and(is_clock)
}

fn days(year: u32, month: u32) -> u32 {
    match month {
        2 if year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400)) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_python_reads_without_loss_is_a_time() {
        for text in ["09:30", "23:59:59", "09:30:00.5", "09:30:00.123456", "09:30Z", "09:30:00+01:00", "09:30-00:30:15"]
        {
            assert!(is_time(text), "{text}");
            assert!(is_datetime(&format!("2026-11-24T{text}")), "{text}");
        }
        for text in
            ["9:30", "24:00", "09", "09:30:60", "09:30.5", "09:30:00.1234567", "09:30+1", "09:30:00+0100", "noon"]
        {
            assert!(!is_time(text), "{text}");
            assert!(!is_datetime(&format!("2026-11-24 {text}")), "{text}");
        }
        for text in ["2026-02-29", "2026-1-1", "0000-01-01", "2026-11-24T", "20261124", "+026-11-24"] {
            assert!(!is_date(text) && !is_datetime(text), "{text}");
        }
        assert!(is_date("2024-02-29"));
    }
}
