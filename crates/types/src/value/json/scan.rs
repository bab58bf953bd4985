//! The words of JSON: texts, numbers, names, and where they stand.

use serde_json::Value;

use super::super::{ValueError, decimal::Decimal, tagged, text};

/// Characters of a word in an error.
const SHOWN_CHARS: usize = 40;

/// A text, and how far it is read.
pub(super) struct Scan<'t> {
    text: &'t str,
    at: usize,
    /// Whether a number of more digits than a float tells apart keeps them, under a tag that no value has.
    keeps_digits: bool,
}

impl<'t> Scan<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, at: 0, keeps_digits: false }
    }

    pub(super) fn keeping_digits(text: &'t str) -> Self {
        Self { keeps_digits: true, ..Self::new(text) }
    }

    /// Bytes that are read.
    pub(super) fn at(&self) -> usize {
        self.at
    }

    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    pub(super) fn take(&mut self) {
        self.at += 1;
    }

    pub(super) fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.peek() {
            self.at += 1;
        }
    }

    /// Whether a sign comes next, which is read then.
    pub(super) fn is_next(&mut self, sign: u8) -> bool {
        self.skip_blanks();
        let is_it = self.peek() == Some(sign);
        self.at += usize::from(is_it);
        is_it
    }

    /// What is wrong where reading has come to.
    pub(super) fn wrong(&self, message: &str) -> ValueError {
        if self.at >= self.text.len() {
            return self.wrong_at(self.at, &format!("{message}, and it ends"));
        }
        self.wrong_at(self.at, message)
    }

    /// What is wrong at a byte: lines and columns as editors count them.
    pub(super) fn wrong_at(&self, at: usize, message: &str) -> ValueError {
        let before = &self.text[..at];
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        ValueError::new(format!("{message} (line {line}, column {column})"))
    }

    /// A text, its first `"` being next.
    pub(super) fn text(&mut self) -> Result<String, ValueError> {
        let (start, bytes) = (self.at, self.text.as_bytes());
        let (mut end, mut is_plain) = (start + 1, true);
        loop {
            match bytes.get(end) {
                Some(b'"') => break,
                Some(b'\\') => {
                    is_plain = false;
                    end += 2;
                }
                Some(0..0x20) => {
                    return Err(
                        self.wrong_at(end, "a line break or another sign of control in a text: write \\n, \\u000a")
                    );
                }
                Some(_) => end += 1,
                None => return Err(self.wrong_at(self.text.len(), "a text without its `\"`")),
            }
        }
        self.at = end + 1;
        if is_plain {
            return Ok(self.text[start + 1..end].to_owned());
        }
        // Escapes are as serde_json has them.
        serde_json::from_str(&self.text[start..=end]).map_err(|error| {
            let told = error.to_string();
            let told = told.split(" at line ").next().unwrap_or_default();
            self.wrong_at(start, &format!("a text that does not read: {told}"))
        })
    }

    /// A number or a name.
    pub(super) fn scalar(&mut self) -> Result<Value, ValueError> {
        let rest = &self.text[self.at..];
        let is_part = |c: char| c.is_alphanumeric() || matches!(c, '+' | '-' | '.' | '_');
        let word = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
        let value = match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            "NaN" | "Infinity" | "-Infinity" => {
                let message =
                    format!("JSON has no `{word}`: where a float is declared write \"nan\", \"inf\" or \"-inf\"");
                return Err(self.wrong(&message));
            }
            "None" | "True" | "False" => {
                return Err(self.wrong(&format!("`{word}` is Python's: write `null`, `true` or `false`")));
            }
            "" => return Err(self.wrong("expected a value")),
            _ => number(word, self.keeps_digits).map_err(|why| self.wrong(&format!("`{}` {why}", shown(word))))?,
        };
        self.at += word.len();
        Ok(value)
    }
}

/// A number by its text: exactly where it is whole, else the float that is nearest.
fn number(word: &str, keeps_digits: bool) -> Result<Value, &'static str> {
    match is_whole(word) {
        None => Err("is no value"),
        Some(true) => text::integer(word).ok_or("has more digits than a value may have"),
        Some(false) => {
            let value = text::read_float(word).ok_or("is too large or too small for a float")?;
            // Zeros at the end are digits of a `Decimal`, too.
            let said = |read: Option<Decimal>| read.map(|read| read.to_string());
            let is_all = || said(Decimal::shortest(value)) == said(Decimal::read(word));
            if keeps_digits && !is_all() { Ok(tagged(super::NUMBER, word.into())) } else { Ok(value.into()) }
        }
    }
}

/// Whether a word is a number of JSON, and a whole one: without a point, without an exponent.
fn is_whole(word: &str) -> Option<bool> {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let sound = digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && fraction.is_none_or(digits)
        && exponent.is_none_or(|exponent| digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)));
    sound.then_some(fraction.is_none() && exponent.is_none())
}

fn shown(word: &str) -> String {
    word.char_indices().nth(SHOWN_CHARS).map_or_else(|| word.to_owned(), |(end, _)| format!("{}…", &word[..end]))
}
