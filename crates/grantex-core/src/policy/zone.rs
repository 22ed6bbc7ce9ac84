//! Time zones, from a database that is built in: what it says changes with the version of this program, never with the machine.
//!
//! Without the feature `time-zones` there is one zone, UTC.

use std::fmt;

use super::schedule::Local;
use crate::clock::Timestamp;

/// A time zone of the IANA database.
#[derive(Clone)]
pub struct Zone {
    name: String,
    rules: rules::Rules,
}

impl Zone {
    /// The zone of this name, in any case; `None` when the database does not hold it. Offsets such as `+02:00` are no names.
    pub fn parse(name: &str) -> Option<Self> {
        let (name, rules) = rules::find(name)?;
        Some(Self { name, rules })
    }

    /// The name as the database spells it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What a clock in this zone shows. Where the clock goes back an hour is shown twice, where it goes forward never.
    pub(super) fn local(&self, at: Timestamp) -> Local {
        let seconds = at.as_seconds();
        Local::at(seconds + rules::offset(&self.rules, seconds))
    }
}

impl fmt::Debug for Zone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl PartialEq for Zone {
    fn eq(&self, other: &Self) -> bool {
        self.name == other.name
    }
}

impl Eq for Zone {}

#[cfg(feature = "time-zones")]
mod rules {
    use jiff::Timestamp;
    use jiff::tz::{TimeZone, TimeZoneDatabase};

    pub type Rules = TimeZone;

    pub fn find(name: &str) -> Option<(String, Rules)> {
        let zone = TimeZoneDatabase::bundled().get(name).ok()?;
        // Among others `Etc/Unknown`, which stands for the lack of a zone, has no name.
        let name = zone.iana_name()?.to_owned();
        Some((name, zone))
    }

    /// Seconds ahead of UTC at an instant; beyond the calendar, as at its end.
    pub fn offset(rules: &Rules, seconds: i64) -> i64 {
        let end = if seconds < 0 { Timestamp::MIN } else { Timestamp::MAX };
        let at = Timestamp::from_second(seconds).unwrap_or(end);
        i64::from(rules.to_offset(at).seconds())
    }
}

#[cfg(not(feature = "time-zones"))]
mod rules {
    pub type Rules = ();

    pub fn find(name: &str) -> Option<(String, Rules)> {
        name.eq_ignore_ascii_case("UTC").then(|| ("UTC".to_owned(), ()))
    }

    pub const fn offset(_rules: &Rules, _seconds: i64) -> i64 {
        0
    }
}
