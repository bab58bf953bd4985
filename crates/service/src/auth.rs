//! Who may call: a bearer token, compared in constant time, or whoever a door lets in; secrets from files.

use std::{fmt, path::PathBuf, sync::Arc};

use http::{HeaderMap, header};
use qflow_model::{access::Caller, ids::Digest};

use crate::door::{Closed, Door, Knock};

/// What a caller must show.
#[derive(Clone, Default)]
pub enum Auth {
    /// Nothing.
    #[default]
    None,
    /// `Authorization: Bearer TOKEN`.
    Token(String),
    /// The same, with either of two: the services' and the clients'.
    Either(String, String),
    /// Whatever somebody else knows, who also says what they may.
    Door(Arc<dyn Door>),
}

impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token(…)",
            Self::Either(..) => "Either(…)",
            Self::Door(_) => "Door(…)",
        })
    }
}

impl Auth {
    /// Who calls, where the headers show what is asked of whoever goes to this route.
    pub async fn enter(&self, headers: &HeaderMap, route: &str) -> Result<Option<Caller>, Closed> {
        let shown = bearer(headers);
        let tokens = match self {
            Self::None => return Ok(Some(Caller::local())),
            Self::Token(token) => [token, token],
            Self::Either(one, other) => [one, other],
            Self::Door(door) => return door.open(Knock { shown, route }).await,
        };
        let is_one = shown.is_some_and(|shown| tokens.into_iter().any(|token| same(shown, token)));
        if is_one { Ok(Some(Caller::local())) } else { Err(Closed::Unknown) }
    }

    /// The token, where there is one.
    pub fn token(&self) -> Option<&str> {
        match self {
            Self::None | Self::Door(_) => None,
            Self::Token(token) | Self::Either(token, _) => Some(token),
        }
    }
}

/// The token of `Authorization: Bearer TOKEN`.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(header::AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    Some(token.trim()).filter(|token| scheme.eq_ignore_ascii_case("bearer") && !token.is_empty())
}

/// Whether two secrets are the same. Digests are compared, so that neither length nor a common beginning shows in the time it takes.
pub fn same(a: &str, b: &str) -> bool {
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
    /// The secret itself is nothing: whoever shows nothing would be let in.
    #[error("the secret is set and empty: unset it or give it a value")]
    Blank,
    /// There is none where one is needed.
    #[error("no service starts without authentication: set {0} or {0}_FILE")]
    Missing(&'static str),
}

/// [`read_secret`] where there must be one, set as `name` in the environment.
pub fn need_secret(name: &'static str, value: Option<String>, file: Option<PathBuf>) -> Result<String, SecretError> {
    read_secret(value, file)?.ok_or(SecretError::Missing(name))
}

/// A secret given itself or by its `_FILE` twin; the newline that ends a file is not part of it.
pub fn read_secret(value: Option<String>, file: Option<PathBuf>) -> Result<Option<String>, SecretError> {
    match (value, file) {
        (Some(value), _) if value.trim().is_empty() => Err(SecretError::Blank),
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

    async fn admits(auth: &Auth, headers: &HeaderMap) -> bool {
        auth.enter(headers, "a.B/C").await.is_ok()
    }

    #[tokio::test]
    async fn only_the_very_token_is_admitted() {
        let auth = Auth::Token("s3cret".into());
        assert!(admits(&auth, &headers("Bearer s3cret")).await);
        for wrong in ["Bearer s3cre", "Bearer s3crett", "Bearer S3cret", "s3cret", "Basic s3cret", "Bearer "] {
            assert!(!admits(&auth, &headers(wrong)).await, "{wrong}");
        }
        assert!(!admits(&auth, &HeaderMap::new()).await);
        assert!(admits(&Auth::None, &HeaderMap::new()).await);
        assert!(!format!("{auth:?}").contains("s3cret"));
    }

    #[test]
    fn a_secret_comes_from_one_place_only() {
        let path = std::env::temp_dir().join(format!("qflow-secret-{}", std::process::id()));
        std::fs::write(&path, "abc\n").unwrap();
        assert_eq!(read_secret(None, Some(path.clone())).unwrap().as_deref(), Some("abc"));
        assert!(matches!(read_secret(Some("x".into()), Some(path.clone())), Err(SecretError::Both(_))));
        std::fs::write(&path, "\n").unwrap();
        assert!(matches!(read_secret(None, Some(path.clone())), Err(SecretError::Empty(_))));
        std::fs::remove_file(&path).unwrap();
        let absent = read_secret(None, Some(path.clone())).unwrap_err();
        assert_eq!(absent.to_string(), format!("read secret file `{}`", path.display()));
    }

    #[tokio::test]
    async fn a_secret_that_is_nothing_is_an_error_and_no_open_door() {
        for blank in ["", " ", "\n"] {
            assert!(matches!(read_secret(Some(blank.into()), None), Err(SecretError::Blank)));
        }
        let missing = need_secret("QFLOW_SERVICE_TOKEN", None, None).unwrap_err();
        assert!(missing.to_string().ends_with("set QFLOW_SERVICE_TOKEN or QFLOW_SERVICE_TOKEN_FILE"), "{missing}");
        assert_eq!(need_secret("X", Some("s".into()), None).unwrap(), "s");
        assert!(!admits(&Auth::Token(String::new()), &headers("Bearer ")).await);
    }
}
