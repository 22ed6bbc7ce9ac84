//! When a failed delivery is tried again.

use crate::clock::Lifetime;
use crate::id::Random;

/// The longest time that a receiver's `Retry-After` is honoured.
const MAX_RETRY_AFTER: Lifetime = Lifetime::hours(24);
/// The most attempts a schedule may hold.
const MAX_ATTEMPTS: usize = 50;

/// Delays between the attempts of a delivery. Each is lengthened by up to a tenth, so that receivers that come back are not
/// met by everything at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule(Vec<Lifetime>);

impl Default for Schedule {
    /// Ten attempts in about three days: after 5 s, 30 s, 2 min, 10 min, 1 h, 4 h, 12 h, 24 h and 24 h.
    fn default() -> Self {
        Self(vec![
            Lifetime::seconds(5),
            Lifetime::seconds(30),
            Lifetime::minutes(2),
            Lifetime::minutes(10),
            Lifetime::hours(1),
            Lifetime::hours(4),
            Lifetime::hours(12),
            Lifetime::hours(24),
            Lifetime::hours(24),
        ])
    }
}

impl Schedule {
    /// Five attempts in seven and a half minutes, as other servers of the protocol make them (contract extensions §4.1).
    pub fn short() -> Self {
        Self([30, 60, 120, 240].into_iter().map(Lifetime::seconds).collect())
    }

    /// A schedule of one attempt more than there are delays.
    ///
    /// # Errors
    /// When there are too many, or one is shorter than a tenth of a second or longer than 30 days.
    pub fn new(delays: Vec<Lifetime>) -> Result<Self, String> {
        if delays.len() >= MAX_ATTEMPTS {
            return Err(format!("must hold fewer than {MAX_ATTEMPTS} delays"));
        }
        let is_sensible = |delay: &Lifetime| (100..=Lifetime::days(30).as_millis()).contains(&delay.as_millis());
        if !delays.iter().all(is_sensible) {
            return Err("must hold delays from 100ms to 30d".to_owned());
        }
        Ok(Self(delays))
    }

    /// How many attempts a delivery gets.
    pub fn max_attempts(&self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX).saturating_add(1)
    }

    /// How long to wait after the `attempts`-th attempt failed; `None` when it was the last one. A receiver's `retry_after`
    /// lengthens the wait, never shortens it.
    pub fn delay_after(&self, attempts: u32, retry_after: Option<Lifetime>, random: &dyn Random) -> Option<Lifetime> {
        let index = usize::try_from(attempts).ok()?.checked_sub(1)?;
        let planned = self.0.get(index)?.as_millis();
        let delay = planned.saturating_add(planned / 10 * jitter(random) / 1_000);
        let asked = retry_after.map_or(0, |asked| asked.as_millis().min(MAX_RETRY_AFTER.as_millis()));
        Some(Lifetime::millis(delay.max(asked)))
    }
}

/// A number from 0 to 1000.
fn jitter(random: &dyn Random) -> i64 {
    let mut bytes = [0_u8; 4];
    random.fill(&mut bytes);
    i64::from(u32::from_be_bytes(bytes) % 1_001)
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Always(u8);
    impl Random for Always {
        fn fill(&self, bytes: &mut [u8]) {
            bytes.fill(self.0);
        }
    }

    #[test]
    fn ten_attempts_in_about_three_days() {
        let schedule = Schedule::default();
        assert_eq!(schedule.max_attempts(), 10);
        let delays: Vec<i64> = (1..10)
            .map(|attempt| schedule.delay_after(attempt, None, &Always(0)).unwrap().as_millis() / 1_000)
            .collect();
        assert_eq!(delays, [5, 30, 120, 600, 3_600, 14_400, 43_200, 86_400, 86_400]);
        assert_eq!(delays.iter().sum::<i64>(), 234_755, "2.7 days");
        assert_eq!(schedule.delay_after(10, None, &Always(0)), None);
        assert_eq!(schedule.delay_after(0, None, &Always(0)), None);
    }

    #[test]
    fn the_short_schedule_makes_five_attempts() {
        let delays: Vec<_> = (1..=5)
            .map(|attempt| {
                Schedule::short()
                    .delay_after(attempt, None, &Always(0))
                    .map(Lifetime::as_millis)
            })
            .collect();
        assert_eq!(delays, [Some(30_000), Some(60_000), Some(120_000), Some(240_000), None]);
    }

    #[test]
    fn jitter_adds_at_most_a_tenth() {
        for byte in 0..=255 {
            let delay = Schedule::default()
                .delay_after(4, None, &Always(byte))
                .unwrap()
                .as_millis();
            assert!((600_000..=660_000).contains(&delay), "{delay}");
        }
    }

    #[test]
    fn a_receiver_may_ask_for_more_time_but_not_for_less_or_for_ever() {
        let after = |asked| Schedule::default().delay_after(2, Some(asked), &Always(0)).unwrap();
        assert_eq!(after(Lifetime::seconds(1)), Lifetime::seconds(30));
        assert_eq!(after(Lifetime::minutes(7)), Lifetime::minutes(7));
        assert_eq!(after(Lifetime::days(9_000)), Lifetime::hours(24));
    }

    #[test]
    fn senseless_schedules_are_refused() {
        assert!(Schedule::new(vec![Lifetime::millis(99)]).is_err());
        assert!(Schedule::new(vec![Lifetime::days(31)]).is_err());
        assert!(Schedule::new(vec![Lifetime::seconds(1); 50]).is_err());
        assert_eq!(Schedule::new(Vec::new()).unwrap().max_attempts(), 1);
    }
}
