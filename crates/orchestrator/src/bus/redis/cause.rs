//! Which Redis is meant and why it is away, as people read it.

/// An address without its password and options: `redis://USER@HOST:PORT/DATABASE`.
pub(super) fn address(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or_default();
    // A password may hold an `@`: the last one ends it. Options may hold passwords as well.
    let (who, place) = rest.rsplit_once('@').map_or(("", rest), |(who, place)| (who, place));
    let (user, place) = (who.split(':').next().unwrap_or_default(), place.split('?').next().unwrap_or_default());
    if user.is_empty() { format!("{scheme}://{place}") } else { format!("{scheme}://{user}@{place}") }
}

/// What went wrong, in its own words: of an error of the system the client keeps the debugging form alone.
pub(super) fn plain(details: &str) -> String {
    let of_system = details.strip_prefix("Os { ").and_then(|rest| quoted(rest.split_once("message: ")?.1));
    let other = details.strip_prefix("Custom { ").and_then(|rest| {
        let error = rest.split_once("error: ")?.1;
        Some(quoted(error).unwrap_or_else(|| error.strip_suffix(" }").unwrap_or(error).to_owned()))
    });
    match of_system.or(other) {
        Some(said) => said,
        None if details == "Canceled." => "it closed the connection".to_owned(),
        None => details.trim_end_matches('.').to_owned(),
    }
}

/// A text between quotation marks, as it was before it was quoted.
fn quoted(text: &str) -> Option<String> {
    let text = text.strip_prefix('"')?;
    let end = text.rfind('"')?;
    Some(text[..end].replace("\\\"", "\"").replace("\\\\", "\\"))
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn a_cause_is_told_in_its_own_words() {
        for (error, said) in [
            (
                Error::other("failed to lookup address information: Name or service not known"),
                "failed to lookup address information: Name or service not known",
            ),
            (Error::from_raw_os_error(111), "Connection refused"),
            (Error::new(ErrorKind::InvalidData, r#"a "word""#), r#"a "word""#),
        ] {
            // As `fred` keeps it.
            assert_eq!(plain(&format!("{error:?}")), said);
        }
        let tls = "Custom { kind: InvalidData, error: InvalidCertificate(UnknownIssuer) }";
        assert_eq!(plain(tls), "InvalidCertificate(UnknownIssuer)");
        assert_eq!(plain("Request timed out."), "Request timed out");
        assert_eq!(plain("Canceled."), "it closed the connection");
    }

    #[test]
    fn an_address_is_told_without_what_is_secret() {
        for (url, told) in [
            ("redis://cache", "redis://cache"),
            ("rediss://cache:6380/2", "rediss://cache:6380/2"),
            ("redis://:secret@cache", "redis://cache"),
            ("redis://me:se@cret@cache:6379", "redis://me@cache:6379"),
            ("redis-sentinel://me:secret@a:1?node=b:2&sentinelPassword=secret", "redis-sentinel://me@a:1"),
        ] {
            assert_eq!(address(url), told);
        }
    }
}
