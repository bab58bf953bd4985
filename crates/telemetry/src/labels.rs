//! Label values: closed sets, or open ones that a row's `max` holds down.

use std::borrow::Cow;

/// A type whose values may label a metric.
pub trait Label {
    /// Every value, or nothing where the set is open.
    const VALUES: Option<&'static [&'static str]>;
    /// The value as text.
    fn text(&self) -> Cow<'static, str>;
}

macro_rules! closed {
    ($($(#[$doc:meta])* $name:ident = $($text:literal)|+;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub struct $name(&'static str);

        impl $name {
            /// The member of this name; the set's last one where there is none.
            pub fn of(text: &str) -> Self {
                const ALL: &[&str] = &[$($text),+];
                Self(ALL.iter().copied().find(|v| *v == text).unwrap_or(ALL[ALL.len() - 1]))
            }
        }

        impl Label for $name {
            const VALUES: Option<&'static [&'static str]> = Some(&[$($text),+]);
            fn text(&self) -> Cow<'static, str> { Cow::Borrowed(self.0) }
        }
    )*};
}

closed! {
    /// How a run ended.
    RunStatus = "completed" | "failed" | "cancelled" | "timed_out" | "other";
    /// What a run is paused for.
    PauseCause = "asked" | "quarantined" | "needs_attention";
    /// Where a run stands.
    RunState = "pending" | "running" | "paused" | "other";
    /// How a node run ended.
    NodeStatus = "completed" | "failed" | "cancelled" | "timed_out" | "skipped" | "upstream_failed" | "other";
    /// What kind of node.
    NodeType = "python" | "workflow" | "wait" | "approval" | "input" | "output" | "other";
    /// A version of Python.
    Python = "3.8" | "3.9" | "3.10" | "3.11" | "3.12" | "3.13" | "3.14" | "mixed" | "other";
    /// Why an environment did not come about: no versions satisfy its requirements, they were not locked, the lock was not installed.
    EnvironmentFailure = "unsatisfiable" | "not_locked" | "not_installed";
    /// How many packages.
    PackageCount = "0" | "1-5" | "6-20" | "21-50" | "51+";
    /// What a container does.
    ContainerStatus = "starting" | "idle" | "running" | "paused" | "stopping";
    /// What was validated.
    Validation = "edge" | "default" | "parameter" | "value";
    /// A type's root constructor.
    TypeName = "Any" | "None" | "bool" | "int" | "float" | "str" | "bytes" | "list" | "tuple" | "dict" | "set"
        | "Optional" | "Union" | "Literal" | "DataFrame" | "Model" | "other";
    /// What an HTTP request wants done.
    HttpMethod = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE" | "OPTIONS" | "_OTHER";
    /// Yes or no.
    Truth = "true" | "false";
    /// Where the time of an attempt went.
    Phase = "queued" | "environment" | "container" | "import" | "user_code" | "upload";
    /// Whether something was there already.
    Cache = "hit" | "miss";
    /// Which cache: outputs of nodes, definitions of sources, or another.
    CacheName = "node" | "definition" | "other";
    /// Which pool of connections.
    PoolName = "database" | "redis" | "other";
    /// Whose failure.
    Class = "user" | "platform" | "unknown";
    /// Why an attempt is repeated.
    RetryReason = "user" | "timeout" | "runner_lost" | "container_vanished" | "image_missing" | "platform" | "other";
    /// Why a container ended.
    ExitReason = "retired" | "idle" | "run_ended" | "killed" | "oom" | "exited" | "shutdown" | "other";
    /// How data was written.
    Serialization = "tagged" | "arrow" | "pickle" | "other";
    /// A class of size.
    DataSize = "le_1KiB" | "le_64KiB" | "le_1MiB" | "le_16MiB" | "le_256MiB" | "gt_256MiB";
    /// What the whole depends on, by its name in `/health`.
    Dependency = "database" | "redis" | "blobs" | "docker" | "python_environments" | "workflows" | "orchestrator"
        | "type_validator" | "container_runner" | "telemetry" | "other";
    /// What became of a span or a line.
    Delivery = "sent" | "dropped";
}

/// A text from a bounded source, e.g. a definition's name; the row's `max` is its bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open(String);

impl Open {
    /// At most so many characters of a value become a label.
    const LONGEST: usize = 120;

    /// The text, cut where it is too long.
    pub fn of(text: &str) -> Self {
        Self(text.chars().take(Self::LONGEST).collect())
    }
}

impl Label for Open {
    const VALUES: Option<&'static [&'static str]> = None;
    fn text(&self) -> Cow<'static, str> {
        Cow::Owned(self.0.clone())
    }
}

impl PackageCount {
    /// The class of a number of packages.
    pub fn count(packages: u64) -> Self {
        Self::of(match packages {
            0 => "0",
            1..=5 => "1-5",
            6..=20 => "6-20",
            21..=50 => "21-50",
            _ => "51+",
        })
    }
}

impl DataSize {
    /// The class of a number of bytes.
    pub fn bytes(bytes: u64) -> Self {
        Self::of(match bytes {
            0..=0x400 => "le_1KiB",
            0x401..=0x1_0000 => "le_64KiB",
            0x1_0001..=0x10_0000 => "le_1MiB",
            0x10_0001..=0x100_0000 => "le_16MiB",
            0x100_0001..=0x1000_0000 => "le_256MiB",
            _ => "gt_256MiB",
        })
    }
}
