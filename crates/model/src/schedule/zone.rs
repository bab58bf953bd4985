//! Time zones by the database that is built in: every replica and every reader of a schedule knows the same, whatever
//! its host has.

use std::{fmt, str::FromStr, sync::LazyLock};

use jiff::{
    Timestamp,
    tz::{TimeZone, TimeZoneDatabase},
};
use serde::{Deserialize, Serialize};

static DATABASE: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
static NAMES: LazyLock<Vec<String>> = LazyLock::new(|| DATABASE.available().map(|name| name.to_string()).collect());

/// A time zone of the IANA database, by a name that is spelt as there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone {
    name: String,
    tz: TimeZone,
}

/// A name that the database does not have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no time zone is called `{0}`")]
pub struct UnknownZone(pub String);

/// A time for which a zone's offset stays the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stretch {
    /// Its first second, since 1970.
    pub(super) start: i64,
    /// The first second after it.
    pub(super) end: i64,
    /// Seconds by which the clock is ahead of UTC in it.
    pub(super) offset: i64,
    /// The same before it.
    pub(super) before: i64,
}

impl Zone {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Every name there is.
    pub fn names() -> impl Iterator<Item = &'static str> {
        NAMES.iter().map(String::as_str)
    }

    /// The stretch that a second lies in.
    pub(super) fn stretch(&self, second: i64) -> Stretch {
        let instant = |second: i64| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        let offset_at = |second: i64| i64::from(self.tz.to_offset(instant(second)).seconds());
        let offset = offset_at(second);
        let end = self.tz.following(instant(second)).next().map_or(i64::MAX, |change| change.timestamp().as_second());
        // Only what lies before an instant precedes it: one that begins with this second must.
        let begun = self.tz.preceding(instant(second + 1)).next().map(|change| change.timestamp().as_second());
        let before = begun.map_or(offset, |start| offset_at(start - 1));
        Stretch { start: begun.unwrap_or(i64::MIN), end, offset, before }
    }
}

impl FromStr for Zone {
    type Err = UnknownZone;

    fn from_str(name: &str) -> Result<Self, UnknownZone> {
        // Python's own database tells cases apart, and so must a name that values carry.
        let known = NAMES.iter().any(|known| known == name).then(|| DATABASE.get(name).ok()).flatten();
        known.map(|tz| Self { name: name.to_owned(), tz }).ok_or_else(|| UnknownZone(name.to_owned()))
    }
}

impl fmt::Display for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl TryFrom<String> for Zone {
    type Error = UnknownZone;
    fn try_from(name: String) -> Result<Self, UnknownZone> {
        name.parse()
    }
}

impl From<Zone> for String {
    fn from(zone: Zone) -> Self {
        zone.name
    }
}
