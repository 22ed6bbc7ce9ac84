use async_trait::async_trait;
use diesel::dsl::min;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use grantex_core::clock::{Lifetime, Timestamp};
use grantex_core::error::StoreError;
use grantex_core::event::history::EventQuery;
use grantex_core::event::kind::{GRANT_CREATED, TOKEN_ISSUED};
use grantex_core::id::{DeveloperId, EventId};
use grantex_core::page::{Page, PageRequest};
use grantex_core::secret::SecretHash;
use grantex_core::store::{EventHead, EventRange, EventReads, StoredEvent};

use super::{CHUNK, ConnTx, all, skip};
use crate::rows::{EventRow, Place};
use crate::schema::{developers, events};

/// How far a developer's events may be out of order by time: the clocks of replicas, at their worst.
const DISORDER: Lifetime = Lifetime::minutes(5);
/// Types that the index of types leaves out.
const FREQUENT_KINDS: [&str; 2] = [GRANT_CREATED, TOKEN_ISSUED];
/// The condition of that index: with it in a query, both databases see that the index holds every match.
const IS_INFREQUENT: &str = "kind NOT IN ('grant.created', 'token.issued')";

#[async_trait]
impl EventReads for ConnTx<'_> {
    async fn events_after(
        &mut self,
        developer: &DeveloperId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let query = events::table
            .filter(events::developer_id.eq(developer.as_str()))
            .filter(events::seq.gt(after))
            .order(events::seq)
            .limit(i64::from(limit))
            .select(EventRow::as_select());
        let rows = query.load(self.conn().await?).await;
        all(self.note(rows)?)
    }

    async fn events(
        &mut self,
        developer: &DeveloperId,
        query: &EventQuery,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let mut listing = events::table
            .filter(events::developer_id.eq(developer.as_str()))
            .select(EventRow::as_select())
            .order(events::seq.desc())
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()))
            .into_boxed();
        if let Some(cursor) = page.after() {
            listing = listing.filter(events::seq.lt(cursor.at));
        }
        // Bounds of `seq` spare the walk through what is too new or too old; the exact condition is the time itself.
        if let Some(since) = query.since {
            let first = self.first_event_at(developer, since.minus(DISORDER)).await?;
            listing = listing
                .filter(events::seq.ge(first))
                .filter(events::created_at.ge(since.as_millis()));
        }
        if let Some(until) = query.until {
            let first = self.first_event_at(developer, until.plus(DISORDER)).await?;
            listing = listing
                .filter(events::seq.lt(first))
                .filter(events::created_at.lt(until.as_millis()));
        }
        if let Some(kinds) = query.filter.kinds() {
            if !kinds.iter().any(|kind| FREQUENT_KINDS.contains(kind)) {
                listing = listing.filter(diesel::dsl::sql::<Bool>(IS_INFREQUENT));
            }
            listing = listing.filter(events::kind.eq_any(kinds));
        }
        let rows = listing.load::<EventRow>(self.conn().await?).await;
        let items: Vec<StoredEvent> = all(self.note(rows)?)?;
        Ok(Page::from_overfetched(items, page.size, StoredEvent::cursor))
    }

    async fn event_range(&mut self, developer: &DeveloperId) -> Result<EventRange, StoreError> {
        // The newest first: an event that is committed in between must not look like one that is no longer kept.
        let newest = developers::table.find(developer.as_str()).select(developers::event_seq);
        let newest = newest.get_result::<i64>(self.conn().await?).await.optional();
        let newest = self.note(newest)?.unwrap_or(0);
        let oldest = events::table
            .filter(events::developer_id.eq(developer.as_str()))
            .select(min(events::seq));
        let oldest = oldest.get_result::<Option<i64>>(self.conn().await?).await;
        let oldest = self.note(oldest)?;
        Ok(EventRange {
            oldest: oldest.unwrap_or(newest + 1),
            newest,
        })
    }

    async fn event_seq(&mut self, developer: &DeveloperId, id: &EventId) -> Result<Option<i64>, StoreError> {
        // There is an index of times and none of ids: an event that carries its time needs no second one.
        let Some(time) = id.time() else { return Ok(None) };
        let query = events::table
            .filter(events::created_at.eq(time.as_millis()))
            .filter(events::id.eq(id.as_str()))
            .filter(events::developer_id.eq(developer.as_str()))
            .select(events::seq);
        let seq = query.first::<i64>(self.conn().await?).await.optional();
        self.note(seq)
    }

    async fn event_heads(&mut self, ids: &[DeveloperId]) -> Result<Vec<EventHead>, StoreError> {
        let mut heads = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let query = developers::table
                .filter(developers::id.eq_any(chunk.iter().map(DeveloperId::as_str)))
                .select((developers::id, developers::event_seq, developers::api_key_hash));
            let rows = query.load::<(String, i64, String)>(self.conn().await?).await;
            for (id, newest, key_hash) in self.note(rows)? {
                let place = Place {
                    table: "developers",
                    id: &id,
                };
                heads.push(EventHead {
                    developer_id: place.expect("id", DeveloperId::parse(&id))?,
                    newest,
                    key_hash: SecretHash::from_stored(key_hash),
                });
            }
        }
        Ok(heads)
    }
}

impl ConnTx<'_> {
    /// About the position of the first event that is not older than `at`: every event in front of it is older than `at` by
    /// up to the disorder, every event behind it is not. A binary search by the primary key, some twenty point reads.
    async fn first_event_at(&mut self, developer: &DeveloperId, at: Timestamp) -> Result<i64, StoreError> {
        let places = || {
            events::table
                .filter(events::developer_id.eq(developer.as_str()))
                .select((events::seq, events::created_at))
        };
        let last = places().order(events::seq.desc());
        let last = last.first::<(i64, i64)>(self.conn().await?).await.optional();
        let (mut low, mut high) = (1, self.note(last)?.map_or(0, |(last, _)| last) + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let query = places().filter(events::seq.ge(middle)).order(events::seq.asc());
            let place = query.first::<(i64, i64)>(self.conn().await?).await.optional();
            match self.note(place)? {
                Some((found, time)) if time < at.as_millis() => low = found + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
