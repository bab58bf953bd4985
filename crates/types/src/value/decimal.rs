//! Decimal numbers: digits and a power of ten, exactly.

use std::fmt;

/// Python's own bound of an exponent.
const EXPONENT: i64 = 999_999_999_999_999_999;
/// Digits of a whole number that is written out: what has more is past the 2²⁰ bits that a value may have.
const WHOLE_DIGITS: i64 = 315_652;

/// A finite decimal number.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Decimal {
    negative: bool,
    /// Without leading zeros; `0` for zero.
    digits: String,
    exponent: i64,
}

impl Decimal {
    /// `-1.50`, `.5`, `5.`, `1e3`; no words, no `_`.
    pub(super) fn read(text: &str) -> Option<Self> {
        let (negative, unsigned) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, Self::exponent(exponent)?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = format!("{whole}{fraction}");
        if all.is_empty() || !all.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        let digits = all.trim_start_matches('0');
        let digits = if digits.is_empty() { "0".to_owned() } else { digits.to_owned() };
        let exponent = exponent - fraction.len() as i64;
        let adjusted = exponent + digits.len() as i64 - 1;
        (adjusted.abs() <= EXPONENT && exponent >= -EXPONENT).then_some(Self { negative, digits, exponent })
    }

    fn exponent(text: &str) -> Option<i64> {
        let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
        let all = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        if all { text.parse().ok().filter(|exponent: &i64| exponent.abs() <= EXPONENT) } else { None }
    }

    /// The shortest decimal that reads back as the same float; nothing of what is not finite.
    pub(super) fn shortest(value: f64) -> Option<Self> {
        if value.is_finite() { Self::read(&format!("{value:?}")) } else { None }
    }

    /// What a float is to its last bit.
    pub(super) fn exact(value: f64) -> Option<Self> {
        if !value.is_finite() {
            return None;
        }
        let bits = value.to_bits();
        let (exponent, mantissa) = ((bits >> 52 & 0x7ff) as i64, bits & ((1 << 52) - 1));
        let mantissa = if exponent == 0 { mantissa } else { mantissa | 1 << 52 };
        // Each halving has one more digit behind the point.
        let halvings = 1075 - exponent.max(1) - i64::from(mantissa.trailing_zeros().min(52));
        Self::read(&format!("{value:.*}", halvings.max(0) as usize))
    }

    /// The same number, by the fewest digits: equal numbers are equal so.
    #[must_use]
    pub(super) fn reduced(mut self) -> Self {
        let kept = self.digits.trim_end_matches('0').len();
        if kept == 0 {
            return Self { negative: false, digits: "0".to_owned(), exponent: 0 };
        }
        self.exponent += (self.digits.len() - kept) as i64;
        self.digits.truncate(kept);
        self
    }

    /// Digits of a whole number; nothing where it is none, or has too many.
    pub(super) fn whole(self) -> Option<String> {
        let reduced = self.reduced();
        if reduced.exponent < 0 || reduced.exponent + reduced.digits.len() as i64 > WHOLE_DIGITS {
            return None;
        }
        let sign = if reduced.negative { "-" } else { "" };
        Some(format!("{sign}{}{}", reduced.digits, "0".repeat(reduced.exponent as usize)))
    }

    /// The float whose shortest decimal is equal to this one.
    pub(super) fn float(&self) -> Option<f64> {
        let value: f64 = self.to_string().parse().ok()?;
        let back = Self::shortest(value)?.reduced();
        (back == self.clone().reduced()).then_some(value)
    }
}

/// As Python's `str()` has it.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let length = self.digits.len() as i64;
        let left = self.exponent + length;
        let point = if self.exponent <= 0 && left > -6 { left } else { 1 };
        f.write_str(if self.negative { "-" } else { "" })?;
        if point <= 0 {
            write!(f, "0.{}{}", "0".repeat(-point as usize), self.digits)?;
        } else if point >= length {
            f.write_str(&self.digits)?;
        } else {
            let (whole, fraction) = self.digits.split_at(point as usize);
            write!(f, "{whole}.{fraction}")?;
        }
        if left == point { Ok(()) } else { write!(f, "E{:+}", left - point) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn it_is_written_as_python_writes_it() {
        // As `str(Decimal(text))` says in CPython 3.11.
        for (text, written) in [
            ("1.50", "1.50"),
            ("1e3", "1E+3"),
            ("-.5", "-0.5"),
            ("5.", "5"),
            ("007", "7"),
            ("0.00", "0.00"),
            ("-0", "-0"),
            ("0e5", "0E+5"),
            ("0e-8", "0E-8"),
            ("1e-7", "1E-7"),
            ("0.000001", "0.000001"),
            ("0.0000001", "1E-7"),
            ("123e-9", "1.23E-7"),
            ("12.3E+7", "1.23E+8"),
        ] {
            assert_eq!(Decimal::read(text).map(|read| read.to_string()).as_deref(), Some(written), "{text}");
        }
        for text in ["", ".", "e3", "1e", "1_0", "+-5", "nan", "1e9999999999999999999", "1 ", "0x1"] {
            assert_eq!(Decimal::read(text), None, "{text}");
        }
    }

    #[test]
    fn a_float_is_what_it_is_to_its_last_bit() {
        let exact = |value: f64| Decimal::exact(value).unwrap().reduced().to_string();
        assert_eq!(exact(0.1), "0.1000000000000000055511151231257827021181583404541015625");
        assert_eq!(exact(1e23), "99999999999999991611392");
        assert_eq!((exact(-2.5), exact(0.0), exact(-0.0)), ("-2.5".to_owned(), "0".to_owned(), "0".to_owned()));
        assert!(
            exact(5e-324).starts_with("4.940656458412465441765687928682213723650598026143247644255856825006755072")
        );
    }

    proptest! {
        #[test]
        fn a_float_reads_back_from_its_decimals(value in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO) {
            let short = Decimal::shortest(value).unwrap();
            prop_assert_eq!(short.float(), Some(value));
            prop_assert_eq!(short.to_string().parse::<f64>().ok(), Some(value));
            prop_assert_eq!(Decimal::exact(value).unwrap().to_string().parse::<f64>().ok(), Some(value));
        }

        #[test]
        fn what_is_written_reads_back(text in "[+-]?[0-9]{1,20}(\\.[0-9]{0,20})?(e[+-]?[0-9]{1,3})?") {
            let read = Decimal::read(&text).unwrap();
            prop_assert_eq!(Decimal::read(&read.to_string()), Some(read));
        }
    }
}
