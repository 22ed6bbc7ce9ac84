//! What can go wrong below every flow: the store.

use std::error::Error;

/// A boxed cause; its text is for the log, never for a client.
pub type Cause = Box<dyn Error + Send + Sync>;

/// The store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Nothing was committed: the store is unreachable, overloaded or refused the statement.
    #[error("the store is unavailable")]
    Unavailable(#[source] Cause),
    /// The caller gave up before the unit of work began; nothing was done.
    #[error("the unit of work was withdrawn before it began")]
    Withdrawn,
    /// The commit was sent and its answer was lost: the change may or may not be there.
    #[error("the outcome of the commit is unknown")]
    OutcomeUnknown(#[source] Cause),
    /// A row holds what it cannot hold.
    #[error("table {table} holds a bad {column} in row {id}")]
    Corrupt {
        /// Table name.
        table: &'static str,
        /// Column name.
        column: &'static str,
        /// The row's id.
        id: String,
    },
}

impl StoreError {
    /// Wraps a cause as [`StoreError::Unavailable`].
    pub fn unavailable(cause: impl Into<Cause>) -> Self {
        Self::Unavailable(cause.into())
    }
}

/// The error and its causes in one line, for the log.
pub fn chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}
