//! Reads the values of options: names, numbers, durations, sizes, versions, requirements.

use qflow_model::definition::{Isolation, PythonVersion};
use serde_json::Value;

use super::{Bad, bad};
use crate::units;

/// More processors than a machine has.
const MAX_CPUS: f64 = 1024.0;
/// More memory than a machine has.
const MAX_BYTES: u64 = 64 << 40;

/// A value as a message shows it.
pub(crate) fn shown(value: &Value) -> String {
    let text = match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        other => other.to_string(),
    };
    let short: String = text.chars().take(40).collect();
    if short.len() < text.len() { format!("`{short}…`") } else { format!("`{short}`") }
}

/// The known name that a misspelt one most likely stands for.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    /// Longer names are not misspelt, they are made up.
    const LONGEST: usize = 60;
    if name.chars().count() > LONGEST {
        return None;
    }
    let scored = known.into_iter().filter(|k| k.chars().count() <= LONGEST).map(|k| (distance(name, k), k));
    let allowed = 1 + name.chars().count() / 4;
    scored.min_by_key(|(distance, _)| *distance).filter(|(distance, _)| *distance <= allowed).map(|(_, k)| k)
}

/// Edits between two names, by Levenshtein.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

pub(super) fn is_name(text: &str) -> bool {
    let good = |c: char| c.is_alphanumeric() || matches!(c, '_' | '-' | '.');
    (1..=100).contains(&text.chars().count()) && text.chars().all(good) && !text.starts_with(['.', '-'])
}

pub(super) fn python(value: &Value) -> Result<PythonVersion, Bad> {
    let read = value.as_str().and_then(|text| text.parse::<PythonVersion>().ok()).filter(|v| v.major == 3);
    read.ok_or_else(|| {
        let remedy = match value {
            Value::Number(number) => format!("write it as a text: python=\"{number}\""),
            _ => "write python=\"3.11\"".to_owned(),
        };
        bad("python", value, remedy)
    })
}

pub(super) fn flag(name: &str, value: &Value) -> Result<bool, Bad> {
    value.as_bool().ok_or_else(|| bad(name, value, format!("write {name}=True or {name}=False")))
}

pub(super) fn text(name: &str, value: &Value, remedy: &str) -> Result<String, Bad> {
    let text = value.as_str().filter(|t| !t.trim().is_empty() && t.len() <= 256 && !t.contains(char::is_control));
    text.map(str::to_owned).ok_or_else(|| bad(name, value, remedy))
}

/// How long outputs are reused: a duration, True for ever, False for not at all.
pub(super) fn cache(name: &str, value: &Value) -> Result<Option<u64>, Bad> {
    match value {
        Value::Bool(true) => Ok(Some(u64::MAX)),
        Value::Bool(false) => Ok(None),
        _ => match duration(name, value) {
            Ok(ms) if ms > 0 => Ok(Some(ms)),
            _ => Err(bad(name, value, "write cache=\"7d\", or cache=True for ever")),
        },
    }
}

pub(super) fn pool(name: &str, value: &Value) -> Result<String, Bad> {
    const REMEDY: &str = "write pool=\"database\", of letters, digits, `_`, `-` and `.`, at most 100";
    value.as_str().filter(|text| is_name(text)).map(str::to_owned).ok_or_else(|| bad(name, value, REMEDY))
}

pub(super) fn isolation(name: &str, value: &Value) -> Result<Isolation, Bad> {
    match value.as_str() {
        Some("run") => Ok(Isolation::Run),
        Some("node") => Ok(Isolation::Node),
        Some("shared") => Ok(Isolation::Shared),
        _ => Err(bad(name, value, "write isolation=\"run\", \"node\" or \"shared\"")),
    }
}

pub(super) fn whole(name: &str, value: &Value, least: u64, most: u64) -> Result<u64, Bad> {
    let number = value.as_u64().filter(|n| (least..=most).contains(n));
    number.ok_or_else(|| bad(name, value, format!("write a whole number from {least} to {most}")))
}

pub(super) fn cpus(value: &Value) -> Result<u32, Bad> {
    let number = value.as_f64().filter(|n| (0.01..=MAX_CPUS).contains(n));
    number.map(|n| (n * 1000.0).round() as u32).ok_or_else(|| bad("cpus", value, "write cpus=1.0, at least 0.01"))
}

pub(super) fn duration(name: &str, value: &Value) -> Result<u64, Bad> {
    let read = match value {
        Value::String(text) => units::duration_ms(text),
        Value::Number(number) => number.as_f64().and_then(units::seconds_ms),
        _ => None,
    };
    read.ok_or_else(|| bad(name, value, format!("write {name}=\"90s\" or {name}=\"2m\"")))
}

pub(super) fn positive(name: &str, value: &Value) -> Result<u64, Bad> {
    let ms = duration(name, value)?;
    if ms == 0 { Err(bad(name, value, format!("write more than nothing, {name}=\"2m\""))) } else { Ok(ms) }
}

pub(super) fn size(name: &str, value: &Value, least: u64) -> Result<u64, Bad> {
    let read = match value {
        Value::String(text) => units::bytes(text),
        Value::Number(number) => number.as_u64(),
        _ => None,
    };
    let remedy = || {
        let least = if least > 1 { format!(", at least \"{}MiB\"", least >> 20) } else { String::new() };
        format!("write {name}=\"512MiB\"{least}")
    };
    read.filter(|bytes| (least..=MAX_BYTES).contains(bytes)).ok_or_else(|| bad(name, value, remedy()))
}

pub(super) fn names(name: &str, value: &Value, remedy: &str) -> Result<Vec<String>, Bad> {
    let one = value.as_str().map(|_| std::slice::from_ref(value));
    let items = value.as_array().map(Vec::as_slice).or(one).ok_or_else(|| bad(name, value, remedy))?;
    let read = |item: &Value| item.as_str().filter(|t| is_name(t)).map(str::to_owned);
    items.iter().map(|item| read(item).ok_or_else(|| bad(name, item, remedy))).collect()
}

/// Requirements as PEP 508 has them, as far as their shape shows; options of installers are none.
pub(crate) fn requirements(value: &Value) -> Result<Vec<String>, String> {
    let items = value.as_array().ok_or_else(|| format!("{} is not a list of requirements", shown(value)))?;
    let read = |item: &Value| {
        let text = item.as_str().map(str::trim).filter(|text| is_requirement(text));
        text.map(str::to_owned).ok_or_else(|| format!("{} is not a requirement", shown(item)))
    };
    items.iter().map(read).collect()
}

/// Whether a text reads `name[extra]>=1,<2; marker` or `name @ address`.
fn is_requirement(text: &str) -> bool {
    const BYTES: usize = 500;
    let split = |text: &'_ str, at: usize| (text[..at].to_owned(), text[at..].trim_start().to_owned());
    if text.len() > BYTES || text.contains(char::is_control) {
        return false;
    }
    let (name, rest) = split(text, text.find(|c: char| !is_named(c)).unwrap_or(text.len()));
    if !name.starts_with(|c: char| c.is_ascii_alphanumeric()) || !name.ends_with(|c: char| c.is_ascii_alphanumeric()) {
        return false;
    }
    let rest = match rest.strip_prefix('[').map(|extras| extras.split_once(']')) {
        None => rest,
        Some(Some((extras, rest)))
            if extras.split(',').all(|e| !e.trim().is_empty() && e.trim().chars().all(is_named)) =>
        {
            rest.trim_start().to_owned()
        }
        Some(_) => return false,
    };
    if let Some(address) = rest.strip_prefix('@') {
        return address.contains("://");
    }
    let (clauses, marker) = rest.split_once(';').map_or((&*rest, None), |(clauses, marker)| (clauses, Some(marker)));
    let clauses = clauses.trim();
    let clauses = clauses.strip_prefix('(').and_then(|inner| inner.strip_suffix(')')).unwrap_or(clauses);
    (clauses.is_empty() || clauses.split(',').all(is_clause)) && marker.is_none_or(|marker| !marker.trim().is_empty())
}

fn is_named(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')
}

/// Whether a text is one operator and a version.
fn is_clause(clause: &str) -> bool {
    let clause = clause.trim();
    let version = clause.trim_start_matches(['<', '>', '=', '!', '~']);
    let operator = &clause[..clause.len() - version.len()];
    let version = version.trim();
    matches!(operator, ">=" | ">" | "<=" | "<" | "==" | "!=" | "~=" | "===")
        && !version.is_empty()
        && version.chars().all(|c| is_named(c) || matches!(c, '*' | '+' | '!'))
}

/// Whether a text is a version specifier of PEP 440, as far as its shape shows.
pub(crate) fn is_specifier(clauses: &str) -> bool {
    clauses.split(',').map(str::trim).all(|clause| {
        let bound = clause.trim_start_matches(['<', '>', '=', '!', '~']);
        let operator = &clause[..clause.len() - bound.len()];
        let numbers = bound.trim().strip_suffix(".*").unwrap_or(bound.trim());
        matches!(operator, ">=" | ">" | "<=" | "<" | "==" | "!=" | "~=")
            && !numbers.is_empty()
            && numbers.split('.').all(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_specifier_has_clauses_and_nothing_else() {
        for good in [">=3.11", ">=3.9,<3.13", "==3.*", "~=3.8", ">= 3.10"] {
            assert!(is_specifier(good), "{good}");
        }
        for wrong in ["", "3.11", ">=3.x", "latest", ">=3.11,"] {
            assert!(!is_specifier(wrong), "{wrong}");
        }
    }
}
