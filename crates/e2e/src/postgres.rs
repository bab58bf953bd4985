//! A Postgres server of a test's own.

use crate::during::During;

/// A server that ends with the test.
pub struct Postgres(During);

impl Postgres {
    /// Starts one; nothing where none is installed and none is required.
    pub fn start() -> Option<Self> {
        During::start("postgres", &[]).map(Self)
    }

    /// What `QFLOW_DATABASE_URL` is to be.
    pub fn url(&self) -> String {
        format!("postgres://qflow@{}/postgres", self.0.folder.display().to_string().replace('/', "%2F"))
    }

    /// Ends it as a power cut would, and starts it again.
    pub fn restart(&self) {
        self.0.script("restart", &[]);
    }
}
