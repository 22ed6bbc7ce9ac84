//! What accompanies one call through its flow: logger, request id, start of the clock, what is recorded of it, and the right
//! to give up.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use std::time::Duration;

use slog::Logger;

use crate::trace::Recording;

/// The company of one call. Cheap to clone; all clones share the admission.
#[derive(Debug, Clone)]
pub struct Context(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    logger: Logger,
    request_id: String,
    started: Duration,
    recording: Recording,
    admission: Admission,
    entered: AtomicBool,
}

impl Context {
    /// A context for a call that began at `started` on the monotonic clock. `logger` should already carry the request id.
    pub fn new(logger: Logger, request_id: String, started: Duration, recording: Recording) -> Self {
        Self(Arc::new(Inner {
            logger,
            request_id,
            started,
            recording,
            admission: Admission::default(),
            entered: AtomicBool::new(false),
        }))
    }

    /// The call's logger.
    pub fn logger(&self) -> &Logger {
        &self.0.logger
    }

    /// The call's request id.
    pub fn request_id(&self) -> &str {
        &self.0.request_id
    }

    /// When the call began, on the monotonic clock.
    pub fn started(&self) -> Duration {
        self.0.started
    }

    /// What is recorded of the call.
    pub fn recording(&self) -> &Recording {
        &self.0.recording
    }

    /// The right to withdraw this call's unit of work.
    pub fn admission(&self) -> &Admission {
        &self.0.admission
    }

    /// Notes that a flow which reports its own outcome has begun.
    pub(crate) fn enter(&self) {
        self.0.entered.store(true, Ordering::Relaxed);
    }

    /// Whether a flow that reports its own outcome has begun; if not, the caller reports the refusal.
    pub fn was_entered(&self) -> bool {
        self.0.entered.load(Ordering::Relaxed)
    }
}

const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const WITHDRAWN: u8 = 2;

/// Decides, once, whether a unit of work runs or its caller has given up.
///
/// A store calls [`Admission::begin`] right before the unit's first statement; a caller whose deadline has passed calls
/// [`Admission::withdraw`]. Exactly one of them wins, so a caller that was told "nothing was done" is told the truth.
#[derive(Debug, Clone, Default)]
pub struct Admission(Arc<AtomicU8>);

impl Admission {
    /// Begins the unit; `false` means that the caller is gone and nothing may be done.
    pub fn begin(&self) -> bool {
        // A call may run several units one after another; the first one to begin ends the right to withdraw.
        self.0
            .compare_exchange(WAITING, BEGUN, Ordering::AcqRel, Ordering::Acquire)
            != Err(WITHDRAWN)
    }

    /// Gives up; `true` means that no unit has begun and none will.
    pub fn withdraw(&self) -> bool {
        self.0
            .compare_exchange(WAITING, WITHDRAWN, Ordering::AcqRel, Ordering::Acquire)
            != Err(BEGUN)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn either_the_unit_begins_or_the_caller_withdraws() {
        let begun = Admission::default();
        assert!(begun.begin());
        assert!(begun.begin(), "a second unit of the same call runs too");
        assert!(!begun.withdraw());

        let withdrawn = Admission::default();
        assert!(withdrawn.withdraw());
        assert!(withdrawn.withdraw());
        assert!(!withdrawn.begin());
    }
}
