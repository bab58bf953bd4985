//! Orchestrators that the runner was told of: kept on the disk, since the one that it was given may be gone when it starts again.

use std::collections::BTreeSet;

use super::Spool;

/// Their name in the journal.
const PEERS: &str = "peers";

impl Spool {
    /// Keeps the addresses of orchestrators in place of those before, on the disk when this returns.
    pub async fn keep_peers(&self, urls: &BTreeSet<String>) -> std::io::Result<()> {
        self.journal.put(PEERS, serde_json::to_vec(urls)?)?;
        self.journal.sync().await
    }

    /// The addresses that were kept last.
    pub fn peers(&self) -> BTreeSet<String> {
        let kept = self.journal.get(PEERS);
        kept.and_then(|urls| serde_json::from_slice(&urls).ok()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_newest_peers_outlast_the_runner() {
        let folder = tempfile::tempdir().unwrap();
        let set = |urls: &[&str]| urls.iter().map(|url| (*url).to_owned()).collect::<BTreeSet<_>>();
        let spool = Spool::open(folder.path()).unwrap();
        assert_eq!(spool.peers(), set(&[]));
        spool.keep_peers(&set(&["http://a:1", "http://b:1"])).await.unwrap();
        spool.keep_peers(&set(&["http://b:1", "http://c:1"])).await.unwrap();
        assert_eq!(Spool::open(folder.path()).unwrap().peers(), set(&["http://b:1", "http://c:1"]));
    }
}
