//! What a Postgres URL says of the way there, in more words than the driver knows.

/// The URL without its `sslmode`, which the driver knows less of than we promise, and that.
pub fn without_mode(url: &str) -> (String, Option<String>) {
    let Some((base, query)) = url.split_once('?') else { return (url.to_owned(), None) };
    let (modes, others): (Vec<&str>, Vec<&str>) = query.split('&').partition(|part| part.starts_with("sslmode="));
    let mode = modes.last().and_then(|part| part.strip_prefix("sslmode=")).map(str::to_owned);
    (if others.is_empty() { base.to_owned() } else { format!("{base}?{}", others.join("&")) }, mode)
}

/// Whether the way is to be encrypted: as the mode says, and without one where it leaves this machine. `Err`: the mode leaves it open.
pub fn encrypted(mode: Option<&str>, stays_here: bool) -> Result<bool, String> {
    match mode {
        Some("disable") => Ok(false),
        Some("require" | "verify-ca" | "verify-full") => Ok(true),
        None => Ok(!stays_here),
        Some(other) => Err(other.to_owned()),
    }
}

/// Whether nobody can listen on the way to a host of that name.
pub fn is_here(name: &str) -> bool {
    name == "localhost" || name.parse().is_ok_and(|ip: std::net::IpAddr| ip.is_loopback())
}
