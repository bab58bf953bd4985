//! A package index of a test's own: a thousand small packages, and one that does not install.

use std::{
    io::{BufRead as _, BufReader},
    process::{Child, Command, Stdio},
};

/// An index that ends with the test.
pub struct Index {
    /// Its address, as `UV_INDEX` takes it.
    pub url: String,
    server: Child,
}

impl Index {
    /// Starts one.
    pub fn start() -> Self {
        let mut python = Command::new("python3");
        python.arg(crate::root().join("crates/e2e/src/index.py")).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut server = python.spawn().expect("python3 starts");
        let mut url = String::new();
        let stdout = server.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut url).expect("the index speaks");
        Self { url: url.trim().to_owned(), server }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        drop(self.server.stdin.take());
        drop(self.server.wait());
    }
}
