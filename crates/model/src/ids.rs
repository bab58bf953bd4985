//! Names of things, each a type of its own, so that one cannot be given for another.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// A run of a workflow: a version 7 UUID, so that ids sort by time of creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub uuid::Uuid);

/// How many shards runs hash to; fixed for the life of a store.
pub const SHARDS: u8 = 64;

/// One of the 64 groups of runs that a replica owns as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Shard(pub u8);

/// Grows by one each time a shard changes hands; a write under an older one is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Epoch(pub u64);

impl RunId {
    /// The shard this run belongs to, by its random bits.
    pub fn shard(self) -> Shard {
        Shard(self.0.as_bytes()[15] % SHARDS)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl FromStr for RunId {
    type Err = uuid::Error;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        uuid::Uuid::parse_str(text).map(Self)
    }
}

/// SHA-256 of some content.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The digest of `content`.
    pub fn of(content: &[u8]) -> Self {
        Self(Sha256::digest(content).into())
    }

    /// The digest of several parts, each preceded by its length, so that no two lists of parts meet.
    pub fn of_parts<'a>(parts: impl IntoIterator<Item = &'a [u8]>) -> Self {
        let mut hasher = Sha256::new();
        for part in parts {
            hasher.update((part.len() as u64).to_be_bytes());
            hasher.update(part);
        }
        Self(hasher.finalize().into())
    }

    /// Begins the digest of content that comes in pieces.
    pub fn pieces() -> Pieces {
        Pieces(Sha256::new())
    }

    /// The first 12 hexadecimal digits: enough for names that people read.
    pub fn short(&self) -> String {
        self.to_string()[..12].to_owned()
    }
}

/// The digest of content that comes in pieces.
#[derive(Clone, Debug)]
pub struct Pieces(Sha256);

impl Pieces {
    /// Takes the next piece.
    pub fn update(&mut self, piece: &[u8]) {
        self.0.update(piece);
    }

    /// The digest of all pieces as one.
    pub fn finish(self) -> Digest {
        Digest(self.0.finalize().into())
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digest({})", self.short())
    }
}

/// A text that is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error)]
#[error("a digest has 64 hexadecimal digits")]
pub struct NotADigest;

impl FromStr for Digest {
    type Err = NotADigest;
    fn from_str(text: &str) -> Result<Self, NotADigest> {
        if text.len() != 64 || !text.is_ascii() {
            return Err(NotADigest);
        }
        let mut bytes = [0; 32];
        for (i, byte) in bytes.iter_mut().enumerate() {
            *byte = u8::from_str_radix(&text[2 * i..2 * i + 2], 16).map_err(|_| NotADigest)?;
        }
        Ok(Self(bytes))
    }
}

impl Serialize for Digest {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: serde::Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(serde::de::Error::custom)
    }
}

/// Microseconds since 1970 in UTC, by the database's clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant plus a number of milliseconds, saturating.
    #[must_use]
    pub fn plus_ms(self, ms: u64) -> Self {
        Self(self.0.saturating_add(i64::try_from(ms).unwrap_or(i64::MAX).saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this instant, 0 where it lies after.
    pub fn ms_since(self, earlier: Self) -> u64 {
        u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0) / 1000
    }
}

/// Which step of a plan, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepIx(pub u32);

/// Which instance of a workflow within a run: 0 is the run's own, and each call of a workflow opens the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FrameIx(pub u32);

impl FrameIx {
    /// The run's own.
    pub const ROOT: Self = Self(0);

    /// Whether it is the run's own.
    pub const fn is_root(&self) -> bool {
        self.0 == 0
    }
}

/// One node run: a step of a frame, or an element of a mapped step. Whoever called a frame stands before what is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeKey {
    /// The frame.
    #[serde(default, skip_serializing_if = "FrameIx::is_root")]
    pub frame: FrameIx,
    /// The step.
    pub step: StepIx,
    /// The element's position, where the step is mapped.
    pub index: Option<u32>,
}

impl NodeKey {
    /// A node run of the run's own workflow.
    pub const fn root(step: StepIx, index: Option<u32>) -> Self {
        Self { frame: FrameIx::ROOT, step, index }
    }

    /// The step itself, where this may be an element of it.
    #[must_use]
    pub const fn own(self) -> Self {
        Self { index: None, ..self }
    }

    /// An element of the step.
    #[must_use]
    pub const fn element(self, index: u32) -> Self {
        Self { index: Some(index), ..self }
    }
}

/// An attempt of a node run: what a lease is for and what fences a result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AttemptKey {
    /// The run.
    pub run: RunId,
    /// The node run.
    pub node: NodeKey,
    /// 1 for the first; grows with every retry of either kind.
    pub attempt: u32,
}

impl fmt::Display for AttemptKey {
    /// `RUN[.fFRAME].STEP[.INDEX]@ATTEMPT`: no slash, so that it is a file's name too.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.run)?;
        if !self.node.frame.is_root() {
            write!(f, ".f{}", self.node.frame.0)?;
        }
        write!(f, ".{}", self.node.step.0)?;
        if let Some(index) = self.node.index {
            write!(f, ".{index}")?;
        }
        write!(f, "@{}", self.attempt)
    }
}

/// A text that is not `RUN[.fFRAME].STEP[.INDEX]@ATTEMPT`.
#[derive(Debug, thiserror::Error)]
#[error("an attempt reads RUN[.fFRAME].STEP[.INDEX]@ATTEMPT")]
pub struct NotAnAttempt;

impl FromStr for AttemptKey {
    type Err = NotAnAttempt;
    fn from_str(text: &str) -> Result<Self, NotAnAttempt> {
        let (node, attempt) = text.rsplit_once('@').ok_or(NotAnAttempt)?;
        let mut parts = node.split('.');
        let run = parts.next().and_then(|p| p.parse().ok()).ok_or(NotAnAttempt)?;
        let mut part = parts.next().ok_or(NotAnAttempt)?;
        let mut frame = FrameIx::ROOT;
        if let Some(number) = part.strip_prefix('f') {
            frame = number.parse().map(FrameIx).map_err(|_| NotAnAttempt)?;
            part = parts.next().ok_or(NotAnAttempt)?;
        }
        let step = part.parse().map(StepIx).map_err(|_| NotAnAttempt)?;
        let index = parts.next().map(|p| p.parse().map_err(|_| NotAnAttempt)).transpose()?;
        if parts.next().is_some() {
            return Err(NotAnAttempt);
        }
        let attempt = attempt.parse().map_err(|_| NotAnAttempt)?;
        Ok(Self { run, node: NodeKey { frame, step, index }, attempt })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_reads_back_what_it_prints() {
        for (frame, index, text) in
            [(0, None, "3@2"), (0, Some(7), "3.7@2"), (12, None, "f12.3@2"), (1, Some(0), "f1.3.0@2")]
        {
            let node = NodeKey { frame: FrameIx(frame), step: StepIx(3), index };
            let key = AttemptKey { run: RunId(uuid::Uuid::from_u128(5)), node, attempt: 2 };
            assert_eq!(key.to_string(), format!("{}.{text}", key.run));
            assert_eq!(key.to_string().parse::<AttemptKey>().unwrap(), key);
        }
        for text in ["x@1", "00000000-0000-0000-0000-000000000005.f@1", "00000000-0000-0000-0000-000000000005.1.f2@1"] {
            assert!(text.parse::<AttemptKey>().is_err(), "{text}");
        }
    }

    #[test]
    fn parts_of_a_digest_do_not_run_together() {
        assert_ne!(Digest::of_parts([b"ab".as_slice(), b"c"]), Digest::of_parts([b"a".as_slice(), b"bc"]));
    }
}
