//! The generic cell rate algorithm, in this process's memory.

use std::sync::Arc;
use std::time::Duration;

use governor::clock::Clock as GovernorClock;
use governor::middleware::StateInformationMiddleware;
use governor::{Quota, RateLimiter};
use grantex_core::clock::Clock;

use super::memory::{Key, Memory, Shared};
use super::{Bucket, Caller, Decision, Limiter, RateLimits};

/// Core's monotonic clock, as the algorithm wants it.
#[derive(Clone)]
struct Monotonic(Arc<dyn Clock>);

impl GovernorClock for Monotonic {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.monotonic()
    }
}

type Counter = RateLimiter<Key, Shared, Monotonic, StateInformationMiddleware>;

struct Rule {
    bucket: Bucket,
    limit: u32,
    interval: Duration,
    started: Duration,
    counter: Counter,
}

/// Limits by the generic cell rate algorithm: an allowance that refills evenly, a minute's worth at most.
pub struct Gcra {
    rules: Vec<Rule>,
    memory: Arc<Memory>,
    clock: Monotonic,
}

impl Gcra {
    /// A limiter with these allowances.
    pub fn new(limits: &RateLimits, clock: Arc<dyn Clock>) -> Self {
        let memory = Arc::new(Memory::new(
            usize::try_from(limits.remembered.get()).unwrap_or(usize::MAX),
        ));
        let clock = Monotonic(clock);
        let rules = Bucket::ALL
            .into_iter()
            .map(|bucket| {
                let per_minute = limits.per_minute(bucket);
                let quota = Quota::per_minute(per_minute);
                let counter = Counter::new(quota, Shared(Arc::clone(&memory)), clock.clone());
                Rule {
                    bucket,
                    limit: per_minute.get(),
                    interval: quota.replenish_interval(),
                    started: clock.now(),
                    counter,
                }
            })
            .collect();
        Self { rules, memory, clock }
    }

    fn rule(&self, bucket: Bucket) -> Option<&Rule> {
        self.rules.iter().find(|rule| rule.bucket == bucket)
    }
}

impl Rule {
    fn refused(&self, wait: Duration) -> Decision {
        let full_again = wait + self.interval * self.limit.saturating_sub(1);
        Decision {
            limit: self.limit,
            remaining: 0,
            reset: whole_seconds(full_again),
            retry_after: Some(whole_seconds(wait).max(1)),
        }
    }
}

impl Limiter for Gcra {
    fn take(&self, bucket: Bucket, caller: Caller) -> Decision {
        let Some(rule) = self.rule(bucket) else {
            return Decision {
                limit: u32::MAX,
                remaining: u32::MAX,
                reset: 0,
                retry_after: None,
            };
        };
        match rule.counter.check_key(&(bucket, caller)) {
            Ok(state) => {
                let remaining = state.remaining_burst_capacity();
                let reset = whole_seconds(rule.interval * rule.limit.saturating_sub(remaining));
                Decision {
                    limit: rule.limit,
                    remaining,
                    reset,
                    retry_after: None,
                }
            }
            Err(not_until) => rule.refused(not_until.wait_time_from(self.clock.now())),
        }
    }

    fn is_exhausted(&self, bucket: Bucket, caller: Caller) -> Option<Decision> {
        let rule = self.rule(bucket)?;
        // The theoretical arrival time of the next request; one may come as much earlier as the rest of a minute's allowance.
        let arrival = Duration::from_nanos(self.memory.peek(&(bucket, caller))?.as_u64());
        let earliest = arrival.saturating_sub(rule.interval * rule.limit.saturating_sub(1));
        let wait = earliest.saturating_sub(self.clock.now().saturating_sub(rule.started));
        (!wait.is_zero()).then(|| rule.refused(wait))
    }
}

fn whole_seconds(span: Duration) -> u64 {
    span.as_secs() + u64::from(span.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

    use std::num::NonZeroU32;
    use std::sync::Mutex;

    use grantex_core::clock::Timestamp;

    use super::*;

    struct Manual(Mutex<Duration>);

    impl Clock for Manual {
        fn now(&self) -> Timestamp {
            Timestamp::from_millis(0)
        }
        fn monotonic(&self) -> Duration {
            *self.0.lock().unwrap()
        }
    }

    impl Manual {
        fn advance(&self, by: Duration) {
            *self.0.lock().unwrap() += by;
        }
    }

    fn limiter(limits: &RateLimits) -> (Gcra, Arc<Manual>) {
        let clock = Arc::new(Manual(Mutex::new(Duration::from_secs(5))));
        (Gcra::new(limits, Arc::clone(&clock) as Arc<dyn Clock>), clock)
    }

    fn caller(last: u8) -> Caller {
        Caller::address(std::net::IpAddr::from([192, 0, 2, last]))
    }

    #[test]
    fn a_minutes_allowance_refills_evenly() {
        let (limiter, clock) = limiter(&RateLimits {
            signup: NonZeroU32::new(3).unwrap(),
            ..RateLimits::default()
        });
        let take = || limiter.take(Bucket::Signup, caller(1));
        assert_eq!(
            take(),
            Decision {
                limit: 3,
                remaining: 2,
                reset: 20,
                retry_after: None
            }
        );
        assert_eq!(
            take(),
            Decision {
                limit: 3,
                remaining: 1,
                reset: 40,
                retry_after: None
            }
        );
        assert_eq!(limiter.is_exhausted(Bucket::Signup, caller(1)), None);
        assert_eq!(
            take(),
            Decision {
                limit: 3,
                remaining: 0,
                reset: 60,
                retry_after: None
            }
        );
        let refused = Decision {
            limit: 3,
            remaining: 0,
            reset: 60,
            retry_after: Some(20),
        };
        assert_eq!(take(), refused);
        assert_eq!(limiter.is_exhausted(Bucket::Signup, caller(1)), Some(refused));
        assert_eq!(
            limiter.take(Bucket::Signup, caller(2)).remaining,
            2,
            "others have their own"
        );
        assert_eq!(
            limiter.take(Bucket::Consent, caller(1)).remaining,
            59,
            "and so has every bucket"
        );
        clock.advance(Duration::from_millis(19_500));
        assert_eq!(take().retry_after, Some(1));
        clock.advance(Duration::from_millis(500));
        assert_eq!(limiter.is_exhausted(Bucket::Signup, caller(1)), None);
        assert_eq!(take().retry_after, None);
    }

    #[test]
    fn a_million_addresses_do_not_fill_the_memory() {
        let (limiter, _) = limiter(&RateLimits {
            remembered: NonZeroU32::new(1_000).unwrap(),
            ..RateLimits::default()
        });
        for number in 0..1_000_000_u32 {
            limiter.take(
                Bucket::Ip,
                Caller::address(std::net::IpAddr::from(number.to_be_bytes())),
            );
        }
        assert!(
            limiter.memory.len() <= 1_008,
            "{} keys are remembered",
            limiter.memory.len()
        );
    }
}
