//! Reading the feed: what is revoked or suspended now, and what happened behind a position.

use std::collections::HashSet;

use super::{FeedHead, RevocationAction, RevocationEntry, RevocationHead, Wanted};
use crate::clock::{Lifetime, Timestamp};
use crate::error::StoreError;
use crate::grantex::Grantex;
use crate::id::{DeveloperId, GrantId};
use crate::store::{Reads, Store};

/// Entries of one answer at most.
pub const PAGE: u32 = 1_000;
/// How long entries count beyond the end of what they are about: verifiers whose clocks may be late let tokens live a little longer, and
/// must not forget a revocation before.
pub(super) const BEYOND: Lifetime = Lifetime::minutes(10);
/// The longest text of a position.
const MAX_DIGITS: usize = 18;

/// Where a page of a snapshot begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SnapshotPlace {
    /// Where the feed ended before the first page was read: behind it the client goes on when it has all pages.
    pub cursor: i64,
    /// The last entry of the page before.
    pub after: i64,
}

impl SnapshotPlace {
    /// The wire form.
    pub fn encode(self) -> String {
        format!("{}.{}", self.cursor, self.after)
    }

    /// Reads the wire form.
    pub fn parse(text: &str) -> Option<Self> {
        let (cursor, after) = text.split_once('.')?;
        Some(Self {
            cursor: parse_position(cursor)?,
            after: parse_position(after)?,
        })
    }
}

/// A position: up to 18 decimal digits.
pub fn parse_position(text: &str) -> Option<i64> {
    let is_number = (1..=MAX_DIGITS).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok()).flatten()
}

/// A part of what is revoked or suspended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotPage {
    /// In order of their positions.
    pub entries: Vec<RevocationEntry>,
    /// Behind which position to go on after the last page: the same on every page.
    pub cursor: i64,
    /// Where the next page begins; `None` on the last one.
    pub next: Option<SnapshotPlace>,
    /// Where the feed ended before this page was read.
    pub head: RevocationHead,
}

/// What happened behind a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedChanges {
    /// In order.
    pub entries: Vec<RevocationEntry>,
    /// Behind which position to go on: everything up to it has been told.
    pub cursor: i64,
    /// Where the feed ended before it was read.
    pub head: RevocationHead,
}

/// Why nobody can go on behind a position.
#[derive(Debug, thiserror::Error)]
pub enum FeedError {
    /// The feed does not go that far: the position is of another server, or the database was restored to an earlier time.
    #[error("the feed does not reach this position; take a new snapshot")]
    Ahead,
    /// Entries behind it are no longer kept, for who wants all of them.
    #[error("some entries behind this position are no longer kept")]
    Expired,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Grantex<S> {
    /// What is revoked or suspended now and not over, one page.
    ///
    /// Whatever is changed while pages are read moves to the end, so that it is met on a later page or told behind the cursor: nothing that
    /// is revoked is ever missing in between.
    pub async fn revocation_snapshot(
        &self,
        developer: &DeveloperId,
        place: Option<SnapshotPlace>,
    ) -> Result<SnapshotPage, StoreError> {
        let (developer, now) = (developer.clone(), self.now());
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    // Before the entries: what is committed in between is told behind the cursor.
                    let head = tx.revocation_head(&developer).await?;
                    let place = place.unwrap_or(SnapshotPlace {
                        cursor: head.seq,
                        after: 0,
                    });
                    let wanted = Wanted::InForce(now.minus(BEYOND));
                    let entries = tx.revocations_after(&developer, place.after, wanted, PAGE).await?;
                    let is_full = entries.len() >= PAGE as usize;
                    let last = entries.last().filter(|_| is_full).map(|entry| entry.seq);
                    Ok(SnapshotPage {
                        entries,
                        cursor: place.cursor,
                        next: last.map(|after| SnapshotPlace { after, ..place }),
                        head,
                    })
                })
            })
            .await
    }

    /// What happened behind a position: of each grant and token the latest, and that a grant is resumed only where it can be used
    /// now. Up to [`PAGE`] entries.
    ///
    /// # Errors
    /// [`FeedError::Ahead`] when the feed does not go that far.
    pub async fn revocations_since(&self, developer: &DeveloperId, since: i64) -> Result<FeedChanges, FeedError> {
        let developer = developer.clone();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let mut changes = changes(tx, &developer, since, Wanted::Latest).await?;
                    drop_untrue(tx, &developer, &mut changes.entries).await?;
                    Ok(changes)
                })
            })
            .await
    }

    /// Every entry behind a position, for who checks the chain of hashes rather than tokens. Up to [`PAGE`] entries.
    ///
    /// # Errors
    /// [`FeedError::Ahead`] as above; [`FeedError::Expired`] when some are no longer kept.
    pub async fn all_revocations_since(&self, developer: &DeveloperId, since: i64) -> Result<FeedChanges, FeedError> {
        let developer = developer.clone();
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    let changes = changes(tx, &developer, since, Wanted::All).await?;
                    let is_whole = (since + 1..=changes.cursor).eq(changes.entries.iter().map(|entry| entry.seq));
                    is_whole.then_some(changes).ok_or(FeedError::Expired)
                })
            })
            .await
    }

    /// The newest positions of these developers, and the hashes of their API keys; unknown developers are left out. One look
    /// for all of them.
    pub async fn revocation_heads(&self, developers: Vec<DeveloperId>) -> Result<Vec<FeedHead>, StoreError> {
        self.store
            .read(move |tx| Box::pin(async move { tx.revocation_heads(&developers).await }))
            .await
    }

    /// When the entries at these positions happened, as far as they are kept.
    pub async fn revocation_times(
        &self,
        developer: &DeveloperId,
        seqs: Vec<i64>,
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let developer = developer.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.revocation_times(&developer, &seqs).await }))
            .await
    }
}

async fn changes(
    tx: &mut dyn Reads,
    developer: &DeveloperId,
    since: i64,
    wanted: Wanted,
) -> Result<FeedChanges, FeedError> {
    let head = tx.revocation_head(developer).await?;
    if since > head.seq {
        return Err(FeedError::Ahead);
    }
    let entries = match since == head.seq {
        // What was committed since the head was read is told next time.
        true => Vec::new(),
        false => tx.revocations_after(developer, since, wanted, PAGE).await?,
    };
    let last = entries.last().map_or(since, |entry| entry.seq);
    let is_full = entries.len() >= PAGE as usize;
    let cursor = if is_full { last } else { last.max(head.seq) };
    Ok(FeedChanges { entries, cursor, head })
}

/// Drops what says that a grant can be used again which cannot: because it was interrupted anew and the feed has not come to telling so.
async fn drop_untrue(
    tx: &mut dyn Reads,
    developer: &DeveloperId,
    entries: &mut Vec<RevocationEntry>,
) -> Result<(), StoreError> {
    let resumed: Vec<GrantId> = entries
        .iter()
        .filter(|entry| entry.action == RevocationAction::Resumed)
        .filter_map(|entry| GrantId::parse(&entry.subject))
        .collect();
    if resumed.is_empty() {
        return Ok(());
    }
    let in_force: HashSet<GrantId> = tx.grants_in_force(developer, &resumed).await?.into_iter().collect();
    entries.retain(|entry| {
        entry.action != RevocationAction::Resumed
            || GrantId::parse(&entry.subject).is_some_and(|id| in_force.contains(&id))
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_round_trips_and_rejects_garbage() {
        let place = SnapshotPlace {
            cursor: 12,
            after: 999_999_999_999_999_999,
        };
        assert_eq!(SnapshotPlace::parse(&place.encode()), Some(place));
        for text in [
            "",
            ".",
            "1",
            "1.",
            ".1",
            "-1.1",
            "1.+1",
            "1.1.1",
            "1. 1",
            "1.1000000000000000000",
            "٣.1",
        ] {
            assert_eq!(SnapshotPlace::parse(text), None, "{text}");
        }
    }
}
