use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{EventReads, StoredEvent};

use super::{ConnTx, all};
use crate::rows::EventRow;
use crate::schema::events;

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
}
