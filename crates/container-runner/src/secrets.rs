//! Secrets are read where they are used, and struck out of whatever user code says.

use std::{collections::BTreeMap, path::PathBuf};

use qflow_proto::order::Order;

/// Shorter secrets are not struck out: they would strike out ordinary words.
const REDACTED_BYTES: usize = 4;

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

    /// The secrets that an order names, or which one is not there.
    pub fn read(&self, order: &Order) -> Result<BTreeMap<String, String>, String> {
        let mut secrets = BTreeMap::new();
        for name in order.secrets.keys() {
            let folder = self.folder.as_ref().ok_or("this runner has no QFLOW_SECRETS_DIR")?;
            if [name, &order.tenant].iter().any(|part| part.is_empty() || part.starts_with('.') || part.contains('/')) {
                return Err(format!("`{name}` is not a secret's name"));
            }
            let text = std::fs::read_to_string(folder.join(&order.tenant).join(name))
                .map_err(|e| format!("secret `{name}`: {e}"))?;
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
