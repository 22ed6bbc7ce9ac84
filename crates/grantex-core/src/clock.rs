//! Time as the domain sees it: instants in whole milliseconds, and lifetimes.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// An instant, in milliseconds since the Unix epoch (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant `millis` milliseconds after the Unix epoch.
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since the Unix epoch.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds since the Unix epoch, rounded down: the form of JWT times (RFC 7519 §2, NumericDate).
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// The same instant without its milliseconds.
    pub const fn floor_to_second(self) -> Self {
        Self(self.as_seconds() * 1000)
    }

    /// The instant `lifetime` later; saturates at the end of time.
    pub const fn plus(self, lifetime: Lifetime) -> Self {
        Self(self.0.saturating_add(lifetime.as_millis()))
    }

    /// The instant `lifetime` earlier; saturates.
    pub const fn minus(self, lifetime: Lifetime) -> Self {
        Self(self.0.saturating_sub(lifetime.as_millis()))
    }

    /// How long after `earlier` this is; zero when it is not after it.
    pub fn since(self, earlier: Self) -> Lifetime {
        Lifetime::millis(self.0.saturating_sub(earlier.0).max(0))
    }

    /// Reads an RFC 3339 date-time; sub-millisecond digits are dropped.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        DateTime::parse_from_rfc3339(text)
            .ok()
            .map(|at| Self(at.timestamp_millis()))
    }
}

impl fmt::Display for Timestamp {
    /// ISO 8601 in UTC with milliseconds and `Z`, for example `2030-01-02T03:04:05.006Z`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::<Utc>::from_timestamp_millis(self.0) {
            Some(at) => f.write_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true)),
            None => write!(f, "{}", self.0),
        }
    }
}

impl serde::Serialize for Timestamp {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A span of time, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lifetime(i64);

impl Lifetime {
    /// A span of `millis` milliseconds.
    pub const fn millis(millis: i64) -> Self {
        Self(millis)
    }

    /// A span of `seconds` seconds.
    pub const fn seconds(seconds: i64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    /// A span of `minutes` minutes.
    pub const fn minutes(minutes: i64) -> Self {
        Self::seconds(minutes.saturating_mul(60))
    }

    /// A span of `hours` hours.
    pub const fn hours(hours: i64) -> Self {
        Self::minutes(hours.saturating_mul(60))
    }

    /// A span of `days` days.
    pub const fn days(days: i64) -> Self {
        Self::hours(days.saturating_mul(24))
    }

    /// Milliseconds.
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn as_seconds(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// Reads the wire form `<digits><s|m|h|d>`, at least one unit: `30s`, `15m`, `24h`, `7d`.
    pub fn parse(text: &str) -> Option<Self> {
        let unit = text.chars().last()?;
        let digits = text.strip_suffix(unit)?;
        if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        let seconds: i64 = match unit {
            's' => 1,
            'm' => 60,
            'h' => 3_600,
            'd' => 86_400,
            _ => return None,
        };
        let count: i64 = digits.parse().ok()?;
        let millis = count.checked_mul(seconds)?.checked_mul(1000)?;
        // Larger spans cannot be added to a date; the wire calls for a safe integer (2^53 - 1).
        (millis > 0 && millis < (1 << 53)).then_some(Self(millis))
    }
}

impl fmt::Display for Lifetime {
    /// The shortest wire form that is exact to the second: `24h`, `90m`, `45s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.as_seconds();
        for (unit, size) in [('d', 86_400), ('h', 3_600), ('m', 60)] {
            if seconds >= size && seconds % size == 0 && !(unit == 'd' && seconds == size) {
                return write!(f, "{}{unit}", seconds / size);
            }
        }
        write!(f, "{seconds}s")
    }
}

/// The clock that flows are given.
pub trait Clock: Send + Sync + 'static {
    /// The wall-clock time.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment, never stepping back: for durations.
    fn monotonic(&self) -> Duration;
}

/// The machine's clock.
#[derive(Debug)]
pub struct SystemClock {
    started: std::time::Instant,
}

impl SystemClock {
    /// A clock whose monotonic time starts now.
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system clock"
    )]
    pub fn new() -> Self {
        Self {
            started: std::time::Instant::now(),
        }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system clock"
    )]
    fn now(&self) -> Timestamp {
        let since_epoch = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap_or_default();
        Timestamp(i64::try_from(since_epoch.as_millis()).unwrap_or(i64::MAX))
    }

    #[allow(
        clippy::disallowed_methods,
        reason = "this is the one place that reads the system clock"
    )]
    fn monotonic(&self) -> Duration {
        self.started.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifetimes_are_read_in_their_wire_form_only() {
        assert_eq!(Lifetime::parse("24h"), Some(Lifetime::hours(24)));
        assert_eq!(Lifetime::parse("15m"), Some(Lifetime::minutes(15)));
        for text in [
            "",
            "h",
            "0s",
            "-1h",
            "1w",
            "1 h",
            "24",
            "1.5h",
            "٣h",
            "+1h",
            "999999999999999999999d",
            "9007199254740993d",
        ] {
            assert_eq!(Lifetime::parse(text), None, "{text}");
        }
    }

    #[test]
    fn instants_print_as_iso_8601_with_milliseconds() {
        assert_eq!(
            Timestamp::from_millis(1_893_553_445_006).to_string(),
            "2030-01-02T03:04:05.006Z"
        );
        assert_eq!(
            Timestamp::parse_rfc3339("2030-01-02T03:04:05.006Z"),
            Some(Timestamp::from_millis(1_893_553_445_006))
        );
        assert_eq!(Timestamp::parse_rfc3339("yesterday"), None);
    }

    #[test]
    fn lifetimes_print_in_the_largest_exact_unit() {
        assert_eq!(Lifetime::hours(24).to_string(), "24h");
        assert_eq!(Lifetime::days(7).to_string(), "7d");
        assert_eq!(Lifetime::minutes(90).to_string(), "90m");
        assert_eq!(Lifetime::seconds(61).to_string(), "61s");
    }
}
