//! Bounds of the system, each with the reason for it. Past one: an error that names the bound and the value.

/// Node runs in a run: keeps a run's state in one replica's memory.
pub const NODE_RUNS: u32 = 100_000;
/// Steps in a definition: more is written by a program, which should use `map`.
pub const STEPS: usize = 1_000;
/// References between steps in a definition: bounds the time of validation.
pub const EDGES: usize = 10_000;
/// Nesting of expressions and types: bounds every recursion over them.
pub const DEPTH: usize = 200;
/// Workflows called one below the other: bounds every walk from a value to where it comes from.
pub const CALLS_DEEP: usize = 50;
/// Paths that a workflow's bodies ask about in values: each travels with every outcome it is asked of.
pub const ASKS: usize = 10_000;
/// Elements of a list whose parts an outcome's header answers for: keeps a header well within one message.
pub const ASKED_ELEMENTS: usize = 10_000;
/// Elements of a mapped workflow under way at once: more than runners have slots for, and few enough for one commit.
pub const OPEN_FRAMES: u32 = 256;
/// Bytes of one source file: a workflow is code, not data.
pub const SOURCE_BYTES: usize = 256 * 1024;
/// Files in a submission: keeps a submission within one message.
pub const FILES: usize = 500;
/// Bytes of all files of a submission: keeps a submission within one message.
pub const SUBMISSION_BYTES: usize = 2 * 1024 * 1024;
/// Bytes of a gRPC message: bounds what a peer can make us hold.
pub const MESSAGE_BYTES: usize = 4 * 1024 * 1024;
/// Bytes of a value stored in its row: larger ones would make every read of a run slow.
pub const INLINE_VALUE_BYTES: usize = 32 * 1024;
/// Bytes of all inline values of one attempt: keeps an attempt well within one message.
pub const INLINE_ATTEMPT_BYTES: usize = 1024 * 1024;
/// Bytes of one value by reference: larger data belongs into a file in the user's own store.
pub const VALUE_BYTES: u64 = 1024 * 1024 * 1024;
/// Bytes of stdout and stderr of an attempt that are kept: past it lines are counted and dropped.
pub const STDIO_BYTES: u64 = 8 * 1024 * 1024;
/// Queued runs of a user: past it a submission is refused until some end.
pub const QUEUED_RUNS: u32 = 10_000;
/// Bytes of a text that an outcome's header may carry as a scalar: comparisons are with short texts.
pub const SCALAR_TEXT_BYTES: usize = 256;
/// Infrastructure retries of a node run: past it the platform is at fault and says so.
pub const INFRASTRUCTURE_RETRIES: u32 = 3;
/// Crashes of the orchestrator in one run's processing after which that run is paused: it must not stop the others.
pub const CRASHES: u32 = 3;
/// Milliseconds without a word from the run's orchestrator after which a runner kills an attempt that must not be made twice: it is
/// dead before the orchestrator takes it for lost.
pub const FENCE_MS: u64 = 25_000;
/// Milliseconds without a word from a runner after which its attempts are given anew.
pub const ATTEMPT_LEASE_MS: u64 = 30_000;
/// Milliseconds between heartbeats on a work stream: several fit into a lease.
pub const HEARTBEAT_MS: u64 = 5_000;
/// Milliseconds that a shard lease lasts.
pub const SHARD_LEASE_MS: u64 = 6_000;
/// Milliseconds between renewals of a shard lease.
pub const SHARD_RENEW_MS: u64 = 2_000;
/// Milliseconds after the death of a replica within which its shards are others': so long callers of its runs wait.
pub const SHARD_MOVES_MS: u64 = 10_000;
/// Milliseconds after a node's own time-out at which the orchestrator enforces it itself.
pub const TIMEOUT_GRACE_MS: u64 = 10_000;
/// Milliseconds between SIGTERM and SIGKILL.
pub const KILL_GRACE_MS: u64 = 5_000;
/// Milliseconds for which a runner keeps the lines of an attempt that is over, where the blob store does not take them: it will be mended
/// within a day, and nobody reads older ones who did not ask for a run to be kept.
pub const LINES_LATE_MS: u64 = 24 * 3600 * 1000;
/// Bytes of such lines that a runner keeps: the oldest go first.
pub const LINES_LATE_BYTES: u64 = 1 << 30;
/// Milliseconds for which a lock of an environment is reused by new runs.
pub const LOCK_REUSE_MS: u64 = 24 * 3600 * 1000;
/// Milliseconds for which an idempotency key is remembered.
pub const IDEMPOTENCY_MS: u64 = 24 * 3600 * 1000;
/// Milliseconds after its start within which a slot is on time: longer than a shard takes to move, shorter than what
/// anybody would call missed.
pub const SLOT_GRACE_MS: u64 = 60_000;
/// Missed slots that are fired at once where all are caught up: so many runs fit into one commit, and the rest comes in the next.
pub const CATCH_UP_SLOTS: usize = 100;
/// Missed slots that are counted one by one: past it "at least so many" says as much, and counting would hold up others.
pub const MISSED_COUNTED: usize = 10_000;
/// Slots that wait while a run of their schedule is open: more wait for nothing, their schedule is faster than its runs.
pub const WAITING_SLOTS: u32 = 100;
/// Milliseconds by which a start may be spread: further is another time of the day, which is better written.
pub const JITTER_MS: u64 = 24 * 3600 * 1000;
