//! Reading what developers were told: in pages, newest first, or in order from a position on, as streams do.

use super::filter::EventFilter;
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grantex::Grantex;
use crate::id::{DeveloperId, EventId};
use crate::page::{Cursor, Page, PageRequest};
use crate::store::{EventHead, Store, StoredEvent};

/// Which events are wanted; members combine with "and".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EventQuery {
    /// Of these types.
    pub filter: EventFilter,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
}

/// The event behind which somebody goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// By its place among the developer's events: 0 is in front of the first one.
    Seq(i64),
    /// By its id.
    Event(EventId),
}

impl Position {
    /// Reads the wire form: up to 18 decimal digits, or an event's id.
    pub fn parse(text: &str) -> Option<Self> {
        let is_number = (1..=18).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        if is_number {
            return text.parse().ok().map(Self::Seq);
        }
        EventId::parse(text).map(Self::Event)
    }
}

/// Where reading begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beginning {
    /// Behind this position.
    pub after: i64,
    /// The position of the newest event at that time.
    pub newest: i64,
}

/// Why nobody can go on behind a position without missing something.
#[derive(Debug, thiserror::Error)]
pub enum ResumeError {
    /// Events behind it are no longer kept.
    #[error("events behind this position are no longer kept; the oldest one that is has position {oldest}")]
    Expired {
        /// The position of the oldest event that is kept; of the next one, when none is.
        oldest: i64,
    },
    /// It is not the id of an event that is kept.
    #[error("the event is not among those that are kept")]
    UnknownEvent,
    /// No event has been there yet.
    #[error("is ahead of the newest event")]
    Ahead,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl StoredEvent {
    /// The cursor that names this event.
    pub fn cursor(&self) -> Cursor {
        Cursor {
            at: self.seq,
            id: self.id.to_string(),
        }
    }
}

impl<S: Store> Grantex<S> {
    /// A developer's events that are kept, newest first, one page.
    pub async fn events(
        &self,
        developer: &Developer,
        query: EventQuery,
        page: PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.events(&developer, &query, &page).await }))
            .await
    }

    /// A developer's events behind `after`, in order, at most `limit`. Their positions have no gaps: where one shows, the
    /// events between are no longer kept.
    pub async fn events_after(
        &self,
        developer: &DeveloperId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let developer = developer.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.events_after(&developer, after, limit).await }))
            .await
    }

    /// Where reading begins: behind the newest event, or behind `after` if everything behind that is still kept.
    ///
    /// # Errors
    /// [`ResumeError`] when something would be missed, or when `after` names nothing.
    pub async fn resume_events(
        &self,
        developer: &DeveloperId,
        after: Option<Position>,
    ) -> Result<Beginning, ResumeError> {
        let developer = developer.clone();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let after = match after {
                        Some(Position::Event(id)) => {
                            let found = tx.event_seq(&developer, &id).await?;
                            Some(found.ok_or(ResumeError::UnknownEvent)?)
                        }
                        Some(Position::Seq(seq)) => Some(seq),
                        None => None,
                    };
                    // Read last, so that an event found by its id cannot be ahead of it.
                    let range = tx.event_range(&developer).await?;
                    let (oldest, newest) = (range.oldest, range.newest);
                    let after = after.unwrap_or(newest);
                    if after > newest {
                        return Err(ResumeError::Ahead);
                    }
                    if after < newest {
                        // Events are removed by their age, which need not be the order of their positions to the second.
                        let next = tx.events_after(&developer, after, 1).await?;
                        if next.first().is_none_or(|next| next.seq != after + 1) {
                            return Err(ResumeError::Expired { oldest });
                        }
                    }
                    Ok(Beginning { after, newest })
                })
            })
            .await
    }

    /// The newest positions of these developers, and the hashes of their API keys; unknown developers are left out. One look
    /// for all of them.
    pub async fn event_heads(&self, developers: Vec<DeveloperId>) -> Result<Vec<EventHead>, StoreError> {
        self.store
            .read(move |tx| Box::pin(async move { tx.event_heads(&developers).await }))
            .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_position_is_a_number_or_an_event() {
        assert_eq!(Position::parse("0"), Some(Position::Seq(0)));
        assert_eq!(
            Position::parse("999999999999999999"),
            Some(Position::Seq(999_999_999_999_999_999))
        );
        let id = "evt_01ARZ3NDEKTSV4RRFFQ69G5FAV";
        assert_eq!(Position::parse(id), EventId::parse(id).map(Position::Event));
        for text in [
            "",
            " 1",
            "-1",
            "+1",
            "1.5",
            "0x1",
            "1000000000000000000",
            "٣",
            "evt_",
            "grnt_01ARZ3NDEKTSV4RRFFQ69G5FAV",
        ] {
            assert_eq!(Position::parse(text), None, "{text}");
        }
    }
}
