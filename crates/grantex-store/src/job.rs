//! A unit of work on its way through a queue: what it does, whether it may still begin, and who waits for its result.

use std::panic::AssertUnwindSafe;

use futures_util::FutureExt;
use grantex_core::context::Admission;
use grantex_core::error::StoreError;
use grantex_core::store::{BoxFuture, Writes};
use grantex_core::trace::Recording;
use tokio::sync::oneshot;

/// What became of the transaction that a unit was part of.
#[derive(Debug, Clone)]
pub(crate) enum Fate {
    /// It is durable.
    Committed,
    /// Nothing of it was committed.
    Unavailable(String),
    /// The commit was sent and nobody knows.
    Unknown(String),
}

impl Fate {
    fn error(&self) -> Option<StoreError> {
        match self {
            Self::Committed => None,
            Self::Unavailable(cause) => Some(StoreError::unavailable(cause.clone())),
            Self::Unknown(cause) => Some(StoreError::OutcomeUnknown(cause.clone().into())),
        }
    }
}

/// How a unit's work ended, before anything is committed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// Its changes are to be kept.
    Keep,
    /// Its changes are to be undone.
    Undo,
}

/// A waiting unit, whatever its types.
pub(crate) trait Job: Send {
    /// Whether the unit may begin; asked once, right before its first statement.
    fn begin(&self) -> bool;
    /// Does the work and keeps the result. A panic counts as a failure.
    fn run<'a>(&'a mut self, tx: &'a mut (dyn Writes + 'a)) -> BoxFuture<'a, Outcome>;
    /// Notes how many statements its work made.
    fn made(&self, statements: u64);
    /// Tells the waiting caller. A unit that failed by itself is told its own error, whatever became of the transaction.
    fn finish(self: Box<Self>, fate: &Fate);
    /// Tells the waiting caller that the unit was withdrawn before it began.
    fn refuse(self: Box<Self>);
}

struct Unit<T, E, F> {
    admission: Admission,
    recording: Option<Recording>,
    work: Option<F>,
    result: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Unit<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
{
    fn begin(&self) -> bool {
        self.admission.begin()
    }

    fn run<'a>(&'a mut self, tx: &'a mut (dyn Writes + 'a)) -> BoxFuture<'a, Outcome> {
        Box::pin(async move {
            let Some(work) = self.work.take() else {
                return Outcome::Undo;
            };
            // The savepoint takes back whatever a panicking unit did, so nothing half done is ever seen.
            let worked = AssertUnwindSafe(async move { work(tx).await }).catch_unwind().await;
            let result = worked.unwrap_or_else(|_| Err(StoreError::unavailable("the unit of work panicked").into()));
            let outcome = if result.is_ok() { Outcome::Keep } else { Outcome::Undo };
            self.result = Some(result);
            outcome
        })
    }

    fn made(&self, statements: u64) {
        if let Some(recording) = &self.recording {
            recording.made_statements(statements);
        }
    }

    fn finish(self: Box<Self>, fate: &Fate) {
        let result = match (self.result, fate.error()) {
            (Some(Ok(value)), None) => Ok(value),
            (Some(Err(error)), _) => Err(error),
            (_, Some(error)) => Err(error.into()),
            (None, None) => Err(StoreError::unavailable("the unit of work did not run").into()),
        };
        // A caller that went away is not told.
        let _ = self.reply.send(result);
    }

    fn refuse(self: Box<Self>) {
        let _ = self.reply.send(Err(StoreError::Withdrawn.into()));
    }
}

/// A unit to be queued, and where its result will arrive.
pub(crate) fn unit<T, E, F>(
    admission: Admission,
    recording: Option<Recording>,
    work: F,
) -> (Box<dyn Job>, oneshot::Receiver<Result<T, E>>)
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static,
{
    let (reply, result) = oneshot::channel();
    (
        Box::new(Unit {
            admission,
            recording,
            work: Some(work),
            result: None,
            reply,
        }),
        result,
    )
}

/// What a caller learns when nobody answers: the store is shutting down.
pub(crate) fn unanswered<E: From<StoreError>>() -> E {
    // The job is dropped unanswered only when the queue's end was dropped; whether its group had committed is not known.
    E::from(StoreError::OutcomeUnknown("the store was closed".into()))
}
