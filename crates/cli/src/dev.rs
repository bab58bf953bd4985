//! A server in this process: for `qflow dev`, and for calls that find none.

use std::path::Path;

use crate::{
    args::{DevArgs, ServerArgs},
    discover::{self, Target},
    exit::{Exit, Fail},
    submit::{self, Client},
};

/// A client, and the server that it calls where that was started for it.
#[derive(Debug)]
pub struct Session {
    /// To call with.
    pub client: Client,
    embedded: Option<Embedded>,
}

#[derive(Debug)]
struct Embedded;

impl Session {
    /// Whether the server ends with this call.
    pub fn is_embedded(&self) -> bool {
        self.embedded.is_some()
    }

    /// Stops what was started for this call.
    pub async fn close(self) {}
}

/// Connects to the server that a call goes to, starting one where there is none.
pub async fn session(args: &ServerArgs, data_dir: &Path) -> Result<Session, Fail> {
    match discover::discover(args, data_dir)? {
        Target::Server { url, token } => {
            let client = submit::connect(&url, token.as_deref()).await?;
            Ok(Session { client, embedded: None })
        }
        Target::Embedded => Err(Fail::new(Exit::Unreachable, "no server runs, and this build cannot embed one; start `qflow dev`")),
    }
}

/// `qflow dev`.
pub async fn dev(args: DevArgs, data_dir: &Path) -> Result<Exit, Fail> {
    let _ = (args, data_dir);
    Err(Fail::new(Exit::Failed, "this build has no services"))
}
