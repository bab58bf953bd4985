//! Who may call: a bearer token, compared in constant time; secrets from files.

use std::{fmt, path::PathBuf};

use http::{HeaderMap, header};
use qflow_model::ids::Digest;

/// What a caller must show.
#[derive(Clone, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// `Authorization: Bearer TOKEN`.
    Token(String),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
        })
    }
}

impl Auth {
    /// Whether the headers show what is asked.
    pub fn admits(&self, headers: &HeaderMap) -> bool {
        let Self::Token(token) = self else { return true };
        let shown = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok());
        let shown = shown.and_then(|v| v.split_once(' ')).filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
        shown.is_some_and(|(_, shown)| same(shown.trim(), token))
    }

    /// The token, where there is one.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::None => None,
            Self::Token(token) => Some(token),
        }
    }
}

/// Compares digests, so that neither length nor a common beginning shows in the time it takes.
fn same(a: &str, b: &str) -> bool {
    let (a, b) = (Digest::of(a.as_bytes()).0, Digest::of(b.as_bytes()).0);
    a.iter().zip(b).fold(0, |differs, (a, b)| differs | (a ^ b)) == 0
}

/// Why a secret cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Both ways were used.
    #[error("give either the secret or its file `{0}`, not both")]
    Both(PathBuf),
    /// The file cannot be read.
    #[error("read secret file `{path}`")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The file holds nothing.
    #[error("secret file `{0}` is empty")]
    Empty(PathBuf),
}

/// A secret given itself or by its `_FILE` twin; the newline that ends a file is not part of it.
pub fn read_secret(value: Option<String>, file: Option<PathBuf>) -> Result<Option<String>, SecretError> {
    match (value, file) {
        (Some(_), Some(file)) => Err(SecretError::Both(file)),
        (value, None) => Ok(value),
        (None, Some(path)) => match std::fs::read_to_string(&path) {
            Err(source) => Err(SecretError::Read { path, source }),
            Ok(text) if text.trim().is_empty() => Err(SecretError::Empty(path)),
            Ok(text) => Ok(Some(text.trim_end_matches(['\n', '\r']).to_owned())),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())])
    }

    #[test]
    fn only_the_very_token_is_admitted() {
        let auth = Auth::Token("s3cret".into());
        assert!(auth.admits(&headers("Bearer s3cret")));
        for wrong in ["Bearer s3cre", "Bearer s3crett", "s3cret", "Basic s3cret", "Bearer "] {
            assert!(!auth.admits(&headers(wrong)), "{wrong}");
        }
        assert!(!auth.admits(&HeaderMap::new()));
        assert!(Auth::None.admits(&HeaderMap::new()));
        assert!(!format!("{auth:?}").contains("s3cret"));
    }

    #[test]
    fn a_secret_comes_from_one_place_only() {
        let path = std::env::temp_dir().join(format!("qflow-secret-{}", std::process::id()));
        std::fs::write(&path, "abc\n").unwrap();
        assert_eq!(read_secret(None, Some(path.clone())).unwrap().as_deref(), Some("abc"));
        assert!(read_secret(Some("x".into()), Some(path.clone())).is_err());
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_secret(None, Some(path.clone())), Err(SecretError::Empty(_))));
        std::fs::remove_file(&path).unwrap();
        assert!(matches!(read_secret(None, Some(path)), Err(SecretError::Read { .. })));
    }
}
