//! The one place that reads a clock.

use std::time::Instant;

/// The monotonic clock.
#[expect(
    clippy::disallowed_methods,
    reason = "a load generator measures time; it has no core Clock"
)]
pub fn now() -> Instant {
    Instant::now()
}
