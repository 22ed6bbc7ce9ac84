//! What is usual for an agent, learnt from its own past days.

use super::codec::{Malformed, Reader, Writer};

/// Past days that are remembered, besides today.
const DAYS: usize = 7;
/// Past days with activity before anything learnt is trusted.
pub const WARM_UP_DAYS: usize = 3;
/// The first hour (UTC) of the night, as published clients know it.
pub const NIGHT_BEGINS: u32 = 22;
/// The first hour (UTC) after the night.
pub const NIGHT_ENDS: u32 = 6;

/// Whether an hour of the day is at night.
pub const fn is_night(hour_of_day: u32) -> bool {
    hour_of_day >= NIGHT_BEGINS || hour_of_day < NIGHT_ENDS
}

/// One day of an agent, by its extremes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Day {
    /// Days since the epoch.
    pub number: u32,
    /// Signals.
    pub signals: u32,
    /// The most signals in five minutes.
    pub peak_five_minutes: u32,
    /// The most audit entries in an hour.
    pub peak_entries: u32,
    /// The most sessions of one principal at once.
    pub peak_sessions: u32,
    /// Audit entries at night.
    pub night_entries: u32,
    /// Principals that the agent had never acted for.
    pub newcomers: u32,
    /// A learnt rule found something grave: the day is no example of what is usual.
    pub is_suspect: bool,
}

/// What is usual for an agent.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Baseline {
    /// Oldest first; the last one is today, or the agent's last day.
    days: Vec<Day>,
    /// The deepest delegation so far.
    pub deepest: u32,
}

impl Baseline {
    /// Opens the day that an hour (since the epoch) belongs to, if it is new, and counts signals in it. Signals of a day before
    /// that come late are left out.
    pub fn count(&mut self, hour: u32, signals: u32) {
        let number = hour / 24;
        if self.days.last().is_none_or(|day| day.number < number) {
            self.days.push(Day {
                number,
                ..Day::default()
            });
            let surplus = self.days.len().saturating_sub(DAYS + 1);
            self.days.drain(..surplus);
        }
        if let Some(day) = self.days.last_mut().filter(|day| day.number == number) {
            day.signals = day.signals.saturating_add(signals);
        }
    }

    /// Today, or the agent's last day.
    pub fn today(&mut self) -> Option<&mut Day> {
        self.days.last_mut()
    }

    /// The newest day as it is.
    pub fn newest(&self) -> Day {
        self.days.last().copied().unwrap_or_default()
    }

    fn past(&self) -> impl Iterator<Item = &Day> {
        let count = self.days.len().saturating_sub(1);
        self.days.iter().take(count).filter(|day| !day.is_suspect)
    }

    /// Whether enough was learnt to say what is usual.
    pub fn is_warm(&self) -> bool {
        self.past().count() >= WARM_UP_DAYS
    }

    /// The highest value of the remembered days before today.
    pub fn peak(&self, of: impl Fn(&Day) -> u32) -> u32 {
        self.past().map(of).max().unwrap_or(0)
    }

    /// New principals a day, on average, rounded down.
    pub fn newcomers_per_day(&self) -> u32 {
        let (days, sum) = self.past().fold((0, 0_u32), |(days, sum), day| {
            (days + 1, sum.saturating_add(day.newcomers))
        });
        sum.checked_div(days).unwrap_or(0)
    }

    /// Whether at least half of the remembered days before today had more than `few` audit entries at night.
    pub fn works_at_night(&self, few: u32) -> bool {
        let (nights, days) = self.past().fold((0, 0), |(nights, days), day| {
            (nights + u32::from(day.night_entries > few), days + 1)
        });
        days > 0 && nights * 2 >= days
    }

    /// Writes it.
    pub fn write(&self, out: &mut Writer) {
        out.number(self.days.len() as u64);
        for day in &self.days {
            for value in [
                day.number,
                day.signals,
                day.peak_five_minutes,
                day.peak_entries,
                day.peak_sessions,
                day.night_entries,
                day.newcomers,
                u32::from(day.is_suspect),
            ] {
                out.number(u64::from(value));
            }
        }
        out.number(u64::from(self.deepest));
    }

    /// Reads what [`Baseline::write`] wrote.
    pub fn read(from: &mut Reader<'_>) -> Result<Self, Malformed> {
        let mut baseline = Self::default();
        for _ in 0..from.length(DAYS + 1)? {
            baseline.days.push(Day {
                number: from.narrow()?,
                signals: from.narrow()?,
                peak_five_minutes: from.narrow()?,
                peak_entries: from.narrow()?,
                peak_sessions: from.narrow()?,
                night_entries: from.narrow()?,
                newcomers: from.narrow()?,
                is_suspect: from.narrow()? != 0,
            });
        }
        baseline.deepest = from.narrow()?;
        Ok(baseline)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn days(count: u32) -> Baseline {
        let mut baseline = Baseline::default();
        for day in 0..count {
            baseline.count((20_000 + day) * 24 + 10, 1);
            baseline.today().unwrap().peak_entries = day + 1;
        }
        baseline
    }

    #[test]
    fn three_past_days_make_it_warm_and_today_is_none_of_them() {
        assert!(!days(3).is_warm());
        assert!(days(4).is_warm());
        assert_eq!(days(4).peak(|day| day.peak_entries), 3);
    }

    #[test]
    fn only_the_last_week_is_remembered() {
        let baseline = days(30);
        assert_eq!(baseline.days.len(), 8);
        assert_eq!(baseline.past().map(|day| day.peak_entries).min(), Some(23));
    }

    #[test]
    fn a_suspect_day_is_no_example() {
        let mut baseline = days(4);
        baseline.today().unwrap().is_suspect = true;
        baseline.count(20_004 * 24, 1);
        assert_eq!(baseline.peak(|day| day.peak_entries), 3);
    }

    #[test]
    fn the_night_is_22_to_6() {
        assert!([22, 23, 0, 5].into_iter().all(is_night));
        assert!(![6, 12, 21].into_iter().any(is_night));
        let mut baseline = days(5);
        assert!(!baseline.works_at_night(5));
        for day in baseline.days.iter_mut().take(2) {
            day.night_entries = 6;
        }
        assert!(baseline.works_at_night(5), "two of four days before today");
    }
}
