//! The one place that reads clocks.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator measures time; it has no core Clock"
)]
pub fn now() -> Instant {
    Instant::now()
}

/// The wall clock, in milliseconds since the Unix epoch: for ages of what a server on the same machine dated.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator measures time; it has no core Clock"
)]
pub fn epoch_millis() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}
