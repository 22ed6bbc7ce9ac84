//! What tests need, of this crate and of those around it: a store in memory, a clock that stands still, randomness that
//! repeats, something that remembers events and log lines, and the suite that proves any [`Store`](crate::store::Store).
//!
//! Nothing here is for production: randomness is predictable, and the store forgets everything.

mod clock;
pub mod conformance;
pub mod fixtures;
mod memory;
mod random;
mod recorder;
#[cfg(feature = "aws-lc")]
mod sandbox;

pub use clock::ManualClock;
pub use memory::{MemoryStore, StoreFailure};
pub use random::SeededRandom;
pub use recorder::{LogLine, LogLines, Recorder};
#[cfg(feature = "aws-lc")]
pub use sandbox::Sandbox;

use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};

/// The value of a future that never waits for anything; `None` when it did wait.
pub(crate) fn poll_once<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

/// Drives futures side by side on the calling task and returns their values in the given order.
///
/// With a store that works on threads of its own this is a race.
pub async fn race<T>(futures: impl IntoIterator<Item = impl Future<Output = T>>) -> Vec<T> {
    let mut running: Vec<(Pin<Box<_>>, Option<T>)> =
        futures.into_iter().map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|cx| {
        let mut is_done = true;
        for (future, value) in &mut running {
            if value.is_none() {
                match future.as_mut().poll(cx) {
                    Poll::Ready(ready) => *value = Some(ready),
                    Poll::Pending => is_done = false,
                }
            }
        }
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.into_iter().filter_map(|(_, value)| value).collect()
}
