//! When a policy applies: a part of the day, days of the week, and whose clock shows them.

use std::fmt;

pub use super::zone::Zone;
use crate::clock::Timestamp;

/// Minutes of a day.
const DAY: i64 = 24 * 60;

/// A time of day to the minute, 00:00 to 23:59.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TimeOfDay(u16);

impl TimeOfDay {
    /// Reads `HH:MM`, two digits each.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let two_digits = |text: &str, below: u16| {
            let is_plain = text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>().ok().filter(|&number| is_plain && number < below)
        };
        Some(Self(two_digits(hour, 24)? * 60 + two_digits(minute, 60)?))
    }
}

impl fmt::Display for TimeOfDay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:02}:{:02}", self.0 / 60, self.0 % 60)
    }
}

/// A part of the day: from its start, inclusive, to its end, exclusive. When the start is the later of the two, it goes
/// over midnight; when they are equal, it is never.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// The first minute.
    pub start: TimeOfDay,
    /// The minute after the last.
    pub end: TimeOfDay,
}

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weekday {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Weekday {
    /// All of them, from Monday.
    pub const ALL: [Self; 7] = [
        Self::Monday,
        Self::Tuesday,
        Self::Wednesday,
        Self::Thursday,
        Self::Friday,
        Self::Saturday,
        Self::Sunday,
    ];

    /// The wire form: three letters.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Monday => "mon",
            Self::Tuesday => "tue",
            Self::Wednesday => "wed",
            Self::Thursday => "thu",
            Self::Friday => "fri",
            Self::Saturday => "sat",
            Self::Sunday => "sun",
        }
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|day| day.as_str() == text)
    }

    /// The day before.
    const fn before(self) -> Self {
        match self {
            Self::Monday => Self::Sunday,
            Self::Tuesday => Self::Monday,
            Self::Wednesday => Self::Tuesday,
            Self::Thursday => Self::Wednesday,
            Self::Friday => Self::Thursday,
            Self::Saturday => Self::Friday,
            Self::Sunday => Self::Saturday,
        }
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Days of the week; at least one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Weekdays(u8);

impl Weekdays {
    /// These days; `None` when there is none.
    pub fn of(days: impl IntoIterator<Item = Weekday>) -> Option<Self> {
        let bits = days.into_iter().fold(0, |bits, day| bits | day.bit());
        (bits != 0).then_some(Self(bits))
    }

    /// Whether a day is among them.
    pub const fn contains(self, day: Weekday) -> bool {
        self.0 & day.bit() != 0
    }

    /// The days, from Monday.
    pub fn iter(self) -> impl Iterator<Item = Weekday> {
        Weekday::ALL.into_iter().filter(move |day| self.contains(*day))
    }
}

/// What a clock on a wall shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Local {
    /// The day of the week.
    pub day: Weekday,
    /// The time.
    pub time: TimeOfDay,
}

impl Local {
    /// What a clock shows that is so many seconds after the start of the Unix epoch.
    pub(super) fn at(seconds: i64) -> Self {
        let minutes = seconds.div_euclid(60);
        let minute = u16::try_from(minutes.rem_euclid(DAY)).unwrap_or(0);
        // The epoch began on a Thursday.
        let day = usize::try_from((minutes.div_euclid(DAY) + 3).rem_euclid(7)).unwrap_or(0);
        Self {
            day: Weekday::ALL.get(day).copied().unwrap_or(Weekday::Monday),
            time: TimeOfDay(minute),
        }
    }

    /// What a clock shows in UTC.
    pub fn utc(at: Timestamp) -> Self {
        Self::at(at.as_seconds())
    }
}

/// When a policy applies: always, unless something is said.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Schedule {
    /// The part of the day.
    pub window: Option<Window>,
    /// The days. A window that goes over midnight belongs to the day on which it starts.
    pub days: Option<Weekdays>,
    /// Whose clock is meant; UTC when none is named.
    pub zone: Option<Zone>,
}

impl Schedule {
    /// Whether it says anything.
    pub const fn is_always(&self) -> bool {
        self.window.is_none() && self.days.is_none()
    }

    /// What the clock that is meant shows at an instant.
    pub fn local(&self, at: Timestamp) -> Local {
        match &self.zone {
            Some(zone) => zone.local(at),
            None => Local::utc(at),
        }
    }

    /// Whether an instant is in it.
    pub fn contains(&self, at: Timestamp) -> bool {
        self.is_always() || self.contains_local(self.local(at))
    }

    /// Whether what the clock shows is in it.
    pub fn contains_local(&self, now: Local) -> bool {
        let is_day = |day| self.days.is_none_or(|days| days.contains(day));
        let Some(Window { start, end }) = self.window else {
            return is_day(now.day);
        };
        if start <= end {
            return start <= now.time && now.time < end && is_day(now.day);
        }
        (now.time >= start && is_day(now.day)) || (now.time < end && is_day(now.day.before()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        Timestamp::parse_rfc3339(text).unwrap()
    }

    fn window(start: &str, end: &str) -> Option<Window> {
        Some(Window {
            start: TimeOfDay::parse(start).unwrap(),
            end: TimeOfDay::parse(end).unwrap(),
        })
    }

    fn schedule(start: &str, end: &str, zone: Option<&str>) -> Schedule {
        Schedule {
            window: window(start, end),
            days: None,
            zone: zone.map(|name| Zone::parse(name).unwrap()),
        }
    }

    #[test]
    fn times_of_day_are_two_digits_and_two_digits() {
        for text in ["00:00", "09:05", "23:59"] {
            assert_eq!(TimeOfDay::parse(text).unwrap().to_string(), text);
        }
        for text in [
            "",
            "24:00",
            "23:60",
            "9:00",
            "09:5",
            "09:00:00",
            "+9:00",
            "0a:00",
            "09-00",
            "٠٩:٠٠",
        ] {
            assert_eq!(TimeOfDay::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_window_has_its_start_and_not_its_end() {
        let day = schedule("09:00", "17:00", None);
        for (time, is_in) in [
            ("08:59:59.999", false),
            ("09:00:00.000", true),
            ("16:59:59.999", true),
            ("17:00:00.000", false),
        ] {
            assert_eq!(day.contains(at(&format!("2030-01-02T{time}Z"))), is_in, "{time}");
        }
    }

    #[test]
    fn a_window_may_go_over_midnight_and_an_empty_one_is_never() {
        let night = schedule("22:00", "06:00", None);
        for (time, is_in) in [
            ("21:59:59", false),
            ("22:00:00", true),
            ("00:00:00", true),
            ("05:59:59", true),
            ("06:00:00", false),
        ] {
            assert_eq!(night.contains(at(&format!("2030-01-02T{time}Z"))), is_in, "{time}");
        }
        let until_midnight = schedule("18:00", "00:00", None);
        assert!(
            until_midnight.contains(at("2030-01-02T23:59:59Z")) && !until_midnight.contains(at("2030-01-02T00:00:00Z"))
        );
        let never = schedule("09:00", "09:00", None);
        for minute in 0..DAY {
            assert!(!never.contains(Timestamp::from_millis(minute * 60_000)));
        }
    }

    #[test]
    fn a_night_belongs_to_the_day_on_which_it_starts() {
        let mut friday_night = schedule("22:00", "06:00", None);
        friday_night.days = Weekdays::of([Weekday::Friday]);
        for (time, is_in) in [
            ("2030-01-04T05:00:00Z", false), // Friday morning: Thursday's night.
            ("2030-01-04T23:00:00Z", true),
            ("2030-01-05T05:59:00Z", true),
            ("2030-01-05T06:00:00Z", false),
            ("2030-01-05T23:00:00Z", false),
        ] {
            assert_eq!(friday_night.contains(at(time)), is_in, "{time}");
        }
    }

    #[test]
    fn days_are_those_of_the_zone() {
        let weekend = Schedule {
            window: None,
            days: Weekdays::of([Weekday::Saturday, Weekday::Sunday]),
            zone: Zone::parse("Pacific/Auckland"),
        };
        // Friday noon in UTC is Saturday in Auckland, Saturday noon is Sunday, Sunday noon is Monday.
        let noons = ["2030-01-03", "2030-01-04", "2030-01-05", "2030-01-06"];
        let are_in = noons.map(|day| weekend.contains(at(&format!("{day}T12:00:00Z"))));
        assert_eq!(are_in, [false, true, true, false]);
    }

    #[test]
    fn the_clock_of_the_zone_counts_where_it_jumps() {
        let berlin = Some("Europe/Berlin");
        // 2030-03-31: at 01:00 UTC the clock goes from 02:00 to 03:00, so this hour does not exist.
        let lost = schedule("02:00", "03:00", berlin);
        assert!(!lost.contains(at("2030-03-31T00:59:59Z")) && !lost.contains(at("2030-03-31T01:00:00Z")));
        // 2030-10-27: at 01:00 UTC the clock goes from 03:00 back to 02:00, so this hour is there twice.
        let twice = schedule("02:00", "03:00", berlin);
        for (time, is_in) in [
            ("23:59:59", false),
            ("00:00:00", true),
            ("00:59:59", true),
            ("01:00:00", true),
            ("01:59:59", true),
            ("02:00:00", false),
        ] {
            let day = if time.starts_with("23") { "26" } else { "27" };
            assert_eq!(twice.contains(at(&format!("2030-10-{day}T{time}Z"))), is_in, "{time}");
        }
        // Summer and winter: nine o'clock is at 07:00 or 08:00 UTC.
        let morning = schedule("09:00", "10:00", berlin);
        assert!(morning.contains(at("2030-07-01T07:30:00Z")) && !morning.contains(at("2030-07-01T08:30:00Z")));
        assert!(morning.contains(at("2030-01-02T08:30:00Z")) && !morning.contains(at("2030-01-02T07:30:00Z")));
        // Not all zones are whole hours away.
        assert!(schedule("05:45", "05:46", Some("Asia/Kathmandu")).contains(at("2030-01-02T00:00:30Z")));
    }

    #[test]
    fn zones_are_names_of_the_database() {
        assert_eq!(Zone::parse("europe/berlin").unwrap().name(), "Europe/Berlin");
        for name in ["UTC", "Etc/GMT+5", "America/Argentina/Ushuaia", "Asia/Kolkata"] {
            assert_eq!(Zone::parse(name).unwrap().name(), name);
        }
        for name in [
            "",
            "Mars/Olympus",
            "+02:00",
            "Etc/Unknown",
            "Europe/Berlin ",
            "../etc/passwd",
            "\0",
            "Berlin",
            "EST5EDT4",
        ] {
            assert_eq!(Zone::parse(name), None, "{name:?}");
        }
    }

    #[test]
    fn instants_beyond_every_calendar_do_no_harm() {
        let berlin = schedule("00:00", "23:59", Some("Europe/Berlin"));
        for millis in [i64::MIN, i64::MAX, -62_135_596_800_000, 253_402_300_799_999] {
            let _ = berlin.local(Timestamp::from_millis(millis));
        }
    }

    #[test]
    fn utc_days_follow_the_calendar() {
        assert_eq!(Local::utc(at("1970-01-01T00:00:00Z")).day, Weekday::Thursday);
        assert_eq!(Local::utc(at("1969-12-31T23:59:59Z")).day, Weekday::Wednesday);
        assert_eq!(Local::utc(at("2030-01-02T03:04:05Z")).day, Weekday::Wednesday);
    }
}
