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
    let long = secrets.filter(|s| s.len() >= REDACTED_BYTES);
    long.fold(text.to_owned(), |text, secret| text.replace(secret.as_str(), "***"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_struck_out_wherever_it_stands() {
        let secrets = ["hunter2".to_owned(), "ab".to_owned()];
        assert_eq!(redact("key=hunter2, absent", secrets.iter()), "key=***, absent");
    }
}
