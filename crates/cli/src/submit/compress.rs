//! Whether what goes over the wire is compressed: it pays where the wire is slower than zstd. See `docs/adr/021-zstd.md`.

use std::net::IpAddr;

use clap::ValueEnum;
use tonic::transport::Uri;

/// Whether messages are compressed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Compress {
    /// Where the server is far: neither this machine, nor on a private network by its address or its name.
    #[default]
    Auto,
    /// Whatever the server is.
    Always,
    /// Never.
    Never,
}

impl Compress {
    /// Whether calls of a server are.
    pub(super) fn is_on(self, server: &Uri) -> bool {
        match self {
            Self::Auto => !is_near(server.host().unwrap_or_default()),
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// Whether a wire to a host is likely faster than zstd: on this machine, or in one building.
fn is_near(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    match bare.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) => ip.is_loopback() || ip.is_private() || ip.is_link_local(),
        Ok(IpAddr::V6(ip)) => ip.is_loopback() || ip.is_unique_local() || ip.is_unicast_link_local(),
        Err(_) => match bare.rsplit_once('.') {
            Some((_, last)) => matches!(last, "localhost" | "local" | "internal"),
            // A name of a network of its own: `localhost`, a service of compose.
            None => true,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_stays_near_is_not_compressed_unless_said() {
        for (url, far) in [
            ("http://127.0.0.1:7400", false),
            ("http://[::1]:7400", false),
            ("http://localhost:7400", false),
            ("http://orchestrator:7400", false),
            ("http://10.0.0.7:7400", false),
            ("http://[fd00::1]:7400", false),
            ("https://qflow.prod.internal:443", false),
            ("https://qflow.example:443", true),
            ("http://203.0.113.7:7400", true),
            ("http://10.example:7400", true),
        ] {
            let url: Uri = url.parse().unwrap();
            let on = [Compress::Auto, Compress::Always, Compress::Never].map(|compress| compress.is_on(&url));
            assert_eq!(on, [far, true, false], "{url}");
        }
    }
}
