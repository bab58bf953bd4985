//! What clients ask of a run, and where it waits until the run's writer has worked it off.

use qflow_model::ids::{NodeKey, RunId};

/// A command that was acknowledged and not yet worked off.
#[derive(Clone, Debug, PartialEq)]
pub struct InboxRow {
    /// Its row.
    pub id: i64,
    /// The run it is for.
    pub run: RunId,
    /// What it says.
    pub command: Command,
}

/// What clients ask of a run.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Command {
    /// Begin.
    Start {
        /// Resolve environments anew.
        relock: bool,
    },
    /// Stop.
    Cancel {
        /// Who asked.
        by: String,
    },
    /// Start nothing more.
    Pause {
        /// Who asked.
        by: String,
    },
    /// Go on; node runs that need attention are tried again, or fail.
    Resume {
        /// Those to try again.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        retry: Vec<NodeKey>,
        /// Those that fail.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        fail: Vec<NodeKey>,
        /// Who asked.
        by: String,
    },
    /// An orchestrator crashed in the run's processing, as it found when it started again.
    Crashed,
    /// Run again from its failed nodes.
    RetryFailed {
        /// Who asked.
        by: String,
    },
    /// Answer an approval.
    Approve {
        /// Which.
        node: NodeKey,
        /// Yes or no.
        approved: bool,
        /// Who answers.
        by: String,
        /// What they say to it.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        comment: String,
    },
}
