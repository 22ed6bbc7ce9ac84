//! How an endpoint has been doing, and when to leave it alone.
//!
//! A circuit breaker: after a row of failures nothing is sent for a while; then a single delivery probes; its success closes the
//! breaker, its failure opens it for twice as long. An endpoint that has failed for days is disabled.

use crate::clock::{Lifetime, Timestamp};
use crate::closed;

/// Numbers of the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HealthRules {
    /// Failures in a row that open the breaker.
    pub open_after: u32,
    /// How long it stays open at first; doubled each time that a probe fails.
    pub open_for: Lifetime,
    /// How long it stays open at most.
    pub open_at_most: Lifetime,
    /// How long an endpoint may fail without a success before it is disabled.
    pub disable_after: Lifetime,
}

impl Default for HealthRules {
    fn default() -> Self {
        Self {
            open_after: 10,
            open_for: Lifetime::seconds(30),
            open_at_most: Lifetime::minutes(10),
            disable_after: Lifetime::days(5),
        }
    }
}

/// How an endpoint has been doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Health {
    /// Failures since the last success.
    pub failures: u32,
    /// How often the breaker opened since the last success.
    pub openings: u32,
    /// The first of these failures.
    pub failing_since: Option<Timestamp>,
    /// While the breaker is open or probing: from when on a probe may be sent.
    pub resumes_at: Option<Timestamp>,
    /// The last success.
    pub last_success_at: Option<Timestamp>,
    /// The last failure.
    pub last_failure_at: Option<Timestamp>,
}

impl Health {
    /// As of somebody who gets another chance: the failures are forgotten, the times are not.
    #[must_use]
    pub fn forgiven(self) -> Self {
        Self {
            last_success_at: self.last_success_at,
            last_failure_at: self.last_failure_at,
            ..Self::default()
        }
    }
}

closed! {
    /// What may be sent right now.
    pub enum Breaker {
        /// Anything.
        Closed = "closed",
        /// Nothing.
        Open = "open",
        /// One delivery, to see whether the endpoint is back.
        Probing = "half_open",
    }
}

impl Health {
    /// What may be sent at `now`.
    pub fn breaker(&self, now: Timestamp) -> Breaker {
        match self.resumes_at {
            None => Breaker::Closed,
            Some(at) if now < at => Breaker::Open,
            Some(_) => Breaker::Probing,
        }
    }

    /// The receiver took a delivery.
    pub fn succeeded(&mut self, now: Timestamp) {
        *self = Self {
            last_success_at: Some(now),
            last_failure_at: self.last_failure_at,
            ..Self::default()
        };
    }

    /// An attempt failed; `true` when the endpoint has failed for so long that it is to be disabled.
    pub fn failed(&mut self, now: Timestamp, rules: &HealthRules) -> bool {
        self.failures = self.failures.saturating_add(1);
        self.last_failure_at = Some(now);
        let since = *self.failing_since.get_or_insert(now);
        // What was still under way when the breaker opened tells nothing new.
        if self.failures >= rules.open_after && self.breaker(now) != Breaker::Open {
            self.openings = self.openings.saturating_add(1);
            self.resumes_at = Some(now.plus(rules.pause(self.openings)));
        }
        now.since(since) >= rules.disable_after
    }
}

impl HealthRules {
    fn pause(&self, openings: u32) -> Lifetime {
        let doublings = openings.saturating_sub(1).min(20);
        let pause = self.open_for.as_millis().saturating_mul(1_i64 << doublings);
        Lifetime::millis(pause.min(self.open_at_most.as_millis()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Timestamp = Timestamp::from_millis(1_900_000_000_000);

    fn at(seconds: i64) -> Timestamp {
        START.plus(Lifetime::seconds(seconds))
    }

    fn failed_often(times: u32) -> Health {
        let mut health = Health::default();
        for _ in 0..times {
            assert!(!health.failed(START, &HealthRules::default()));
        }
        health
    }

    #[test]
    fn nine_failures_change_nothing_and_the_tenth_opens_the_breaker() {
        assert_eq!(failed_often(9).breaker(START), Breaker::Closed);
        let health = failed_often(10);
        assert_eq!(health.breaker(at(29)), Breaker::Open);
        assert_eq!(health.breaker(at(30)), Breaker::Probing);
    }

    #[test]
    fn each_failed_probe_doubles_the_pause_up_to_ten_minutes() {
        let mut health = failed_often(10);
        let (mut now, mut pauses) = (at(30), Vec::new());
        for _ in 0..6 {
            health.failed(now, &HealthRules::default());
            let resumes_at = health.resumes_at.unwrap();
            pauses.push(resumes_at.since(now).as_millis() / 1_000);
            now = resumes_at;
        }
        assert_eq!(pauses, [60, 120, 240, 480, 600, 600]);
    }

    #[test]
    fn what_was_under_way_when_the_breaker_opened_does_not_lengthen_the_pause() {
        let health = failed_often(25);
        assert_eq!((health.openings, health.resumes_at), (1, Some(at(30))));
    }

    #[test]
    fn one_success_closes_the_breaker_and_forgets_the_failures() {
        let mut health = failed_often(12);
        health.succeeded(at(40));
        let expected = Health {
            last_success_at: Some(at(40)),
            last_failure_at: Some(START),
            ..Health::default()
        };
        assert_eq!(health, expected);
        assert_eq!(health.breaker(at(40)), Breaker::Closed);
    }

    #[test]
    fn five_days_without_a_success_are_too_many() {
        let rules = HealthRules::default();
        let mut health = failed_often(1);
        assert!(!health.failed(at(5 * 86_400 - 1), &rules));
        assert!(health.failed(at(5 * 86_400), &rules));
        health.succeeded(at(5 * 86_400));
        assert!(!health.failed(at(6 * 86_400), &rules), "a success starts the days anew");
    }
}
