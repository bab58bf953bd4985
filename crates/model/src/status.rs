//! The states of a run and of a node, by the names that users, metrics and the store share.

use serde::{Deserialize, Serialize};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$vdoc:meta])* $variant:ident = $text:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name { $($(#[$vdoc])* $variant),* }

        impl $name {
            /// Every value, in order.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The name, as users, metrics and the store spell it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result { f.pad(self.as_str()) }
        }

        impl std::str::FromStr for $name {
            type Err = UnknownName;
            fn from_str(text: &str) -> Result<Self, UnknownName> {
                Self::ALL.iter().copied().find(|v| v.as_str() == text)
                    .ok_or_else(|| UnknownName { text: text.to_owned(), known: Self::ALL.iter().map(|v| v.as_str()).collect() })
            }
        }
    };
}

pub(crate) use named;

/// A name outside a closed set.
#[derive(Debug, thiserror::Error)]
#[error("`{text}` is not one of {}", known.join(", "))]
pub struct UnknownName {
    /// What was written.
    pub text: String,
    /// What may be written.
    pub known: Vec<&'static str>,
}

named! {
    /// Where a run stands.
    RunStatus {
        /// Accepted; nothing has begun.
        Pending = "pending",
        /// Nodes run or may run.
        Running = "running",
        /// Nothing new is leased until it is resumed; the reason says why.
        Paused = "paused",
        /// Ended with a result.
        Completed = "completed",
        /// Ended because a node failed.
        Failed = "failed",
        /// Ended by request.
        Cancelled = "cancelled",
        /// Ended because its own time, or the deciding node's, was up.
        TimedOut = "timed_out",
    }
}

named! {
    /// Where a node run stands.
    NodeStatus {
        /// Something it depends on has not ended.
        Waiting = "waiting",
        /// May be leased.
        Ready = "ready",
        /// Given to a runner, which has not begun it.
        Leased = "leased",
        /// A runner has begun it.
        Running = "running",
        /// Will be ready again at a time to come.
        Retrying = "retrying",
        /// Ended with a value.
        Completed = "completed",
        /// Ended with an error.
        Failed = "failed",
        /// Ended by request.
        Cancelled = "cancelled",
        /// Ended because its time was up.
        TimedOut = "timed_out",
        /// On the side of a branch that was not taken.
        Skipped = "skipped",
        /// Never ran: something it depends on did not complete.
        UpstreamFailed = "upstream_failed",
    }
}

named! {
    /// Whose failure it was.
    FailureClass {
        /// The workflow's author can mend it.
        User = "user",
        /// The platform's operator can mend it.
        Platform = "platform",
    }
}

impl RunStatus {
    /// Whether the run has ended: such a state never changes.
    pub const fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut)
    }
}

impl NodeStatus {
    /// Whether the node run has ended: such a state never changes but by a retry of the whole run.
    pub const fn is_terminal(self) -> bool {
        matches!(
            self,
            Self::Completed | Self::Failed | Self::Cancelled | Self::TimedOut | Self::Skipped | Self::UpstreamFailed
        )
    }

    /// Whether a runner holds an attempt of it.
    pub const fn is_held(self) -> bool {
        matches!(self, Self::Leased | Self::Running)
    }
}
