//! Secrets are read where they are used, and struck out of whatever user code says.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use qflow_proto::order::Order;
use serde_json::{Map, Value};

/// Shorter secrets are not struck out: they would strike out ordinary words.
const REDACTED_BYTES: usize = 4;

/// Names of a tenant that are told: more than any has, few enough for a message.
const NAMES: usize = 10_000;

/// What lies in a folder, by name; what begins with a dot is not meant.
fn entries(folder: &Path) -> impl Iterator<Item = (String, PathBuf)> + use<> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let named = entries.filter_map(|entry| Some((entry.file_name().into_string().ok()?, entry.path())));
    named.filter(|(name, _)| !name.starts_with('.'))
}

/// A folder of secrets: `TENANT/NAME`.
#[derive(Clone, Debug, Default)]
pub struct Secrets {
    folder: Option<PathBuf>,
}

impl Secrets {
    /// Secrets in a folder, or none at all.
    pub fn new(folder: Option<PathBuf>) -> Self {
        Self { folder }
    }

    /// Names of the secrets that could be read, by tenant; not what they hold.
    pub fn names(&self) -> BTreeMap<String, Vec<String>> {
        let tenants = self.folder.iter().flat_map(|folder| entries(folder));
        let named = tenants.filter(|(_, path)| path.is_dir()).map(|(tenant, path)| {
            let names = entries(&path).filter(|(_, path)| path.is_file()).map(|(name, _)| name);
            let mut names: Vec<String> = names.take(NAMES).collect();
            names.sort();
            (tenant, names)
        });
        named.collect()
    }

    /// The secrets that an order names, or which one is not there.
    pub fn read(&self, order: &Order) -> Result<BTreeMap<String, String>, String> {
        let mut secrets = BTreeMap::new();
        for name in order.secrets.keys() {
            let place = format!("{}/{name}", order.tenant);
            let folder = self.folder.as_ref().ok_or_else(|| {
                format!("secret `{name}` is not here: set QFLOW_SECRETS_DIR to a folder, and write the secret to `{place}` in it")
            })?;
            if [name, &order.tenant].iter().any(|part| part.is_empty() || part.starts_with('.') || part.contains('/')) {
                return Err(format!("`{name}` is not a secret's name"));
            }
            let text = std::fs::read_to_string(folder.join(&order.tenant).join(name)).map_err(|e| match e.kind() {
                std::io::ErrorKind::NotFound => {
                    format!("secret `{name}` is not here: write it to `{place}` in the runner's QFLOW_SECRETS_DIR")
                }
                _ => format!("secret `{name}`, `{place}` in the runner's QFLOW_SECRETS_DIR, does not read: {e}"),
            })?;
            secrets.insert(name.clone(), text.trim_end_matches('\n').to_owned());
        }
        Ok(secrets)
    }
}

/// A text without the secrets in it.
pub fn redact<'a>(text: &str, secrets: impl Iterator<Item = &'a String>) -> String {
    // A secret of several lines, a key say, is written line by line; the longest first, lest a part hide the whole.
    let mut parts: Vec<&str> =
        secrets.flat_map(|s| std::iter::once(s.as_str()).chain(s.lines().map(str::trim))).collect();
    parts.retain(|part| part.len() >= REDACTED_BYTES);
    parts.sort_by_key(|part| std::cmp::Reverse(part.len()));
    parts.into_iter().fold(text.to_owned(), |text, part| text.replace(part, "***"))
}

/// The same of whatever JSON can say: texts, names, and a number that is a secret.
pub fn redact_json(value: Value, redact: &impl Fn(&str) -> String) -> Value {
    match value {
        Value::String(text) => redact(&text).into(),
        Value::Array(parts) => parts.into_iter().map(|part| redact_json(part, redact)).collect(),
        Value::Object(fields) => redact_fields(fields, redact).into(),
        Value::Number(number) => {
            let text = number.to_string();
            let redacted = redact(&text);
            if redacted == text { number.into() } else { redacted.into() }
        }
        other => other,
    }
}

/// The same of facts by name.
pub fn redact_fields(fields: Map<String, Value>, redact: &impl Fn(&str) -> String) -> Map<String, Value> {
    fields.into_iter().map(|(name, value)| (redact(&name), redact_json(value, redact))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_told_by_tenant_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["db", "api", ".hidden"] {
            std::fs::create_dir_all(folder.path().join("default")).unwrap();
            std::fs::write(folder.path().join("default").join(name), "hunter2").unwrap();
        }
        let names = Secrets::new(Some(folder.path().to_owned())).names();
        assert_eq!(names, [("default".to_owned(), vec!["api".to_owned(), "db".to_owned()])].into());
        assert!(Secrets::new(None).names().is_empty());
    }

    #[test]
    fn a_secret_is_struck_out_wherever_it_stands() {
        let secrets = ["hunter2".to_owned(), "ab".to_owned()];
        assert_eq!(redact("key=hunter2, absent", secrets.iter()), "key=***, absent");
    }

    #[test]
    fn each_line_of_a_secret_of_several_is_struck_out() {
        let secrets = ["-----BEGIN\nc2VjcmV0\nbW9yZQ==\n-----END".to_owned()];
        assert_eq!(redact("  c2VjcmV0", secrets.iter()), "  ***");
        assert_eq!(redact(&format!("all: {}", secrets[0]), secrets.iter()), "all: ***");
    }

    #[test]
    fn names_numbers_and_what_is_inside_are_redacted_too() {
        let secrets = ["hunter2".to_owned(), "19283746".to_owned()];
        let redact = |text: &str| super::redact(text, secrets.iter());
        let told = serde_json::json!({"hunter2": 1, "pin": 19_283_746, "in": [{"a": "is hunter2"}, 7, null]});
        let left = serde_json::json!({"***": 1, "pin": "***", "in": [{"a": "is ***"}, 7, null]});
        assert_eq!(redact_json(told, &redact), left);
    }
}
