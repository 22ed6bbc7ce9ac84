use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::Bool;
use diesel_async::RunQueryDsl;
use grantex_core::audit::{AuditEntry, AuditFilter, Chain};
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AuditId, DeveloperId};
use grantex_core::page::{Page, PageRequest};
use grantex_core::store::AuditReads;

use super::super::Db;
use super::{ConnTx, all, skip};
use crate::rows::AuditRow;
use crate::schema::audit_entries::{
    self, action, agent_id, chain as chain_name, developer_id, grant_id, principal_id, seq, timestamp,
};

/// Actions that the index of actions leaves out.
const FREQUENT_ACTIONS: [&str; 3] = [
    "grantex.grant.created",
    "grantex.token.exchanged",
    "grantex.token.refreshed",
];
/// The condition of that index: with it in a query, both databases see that the index holds every match.
const IS_INFREQUENT: &str =
    "action NOT IN ('grantex.grant.created', 'grantex.token.exchanged', 'grantex.token.refreshed')";

type Listing<'a> = audit_entries::BoxedQuery<'a, Db, diesel::dsl::SqlTypeOf<diesel::dsl::AsSelect<AuditRow, Db>>>;

#[async_trait]
impl AuditReads for ConnTx<'_> {
    async fn audit_entry(&mut self, developer: &DeveloperId, id: &AuditId) -> Result<Option<AuditEntry>, StoreError> {
        let query = audit_entries::table
            .filter(audit_entries::id.eq(id.as_str()))
            .filter(developer_id.eq(developer.as_str()))
            .select(AuditRow::as_select());
        let row = query.get_result(self.conn().await?).await.optional();
        self.note(row)?.map(AuditEntry::try_from).transpose()
    }

    async fn audit_entries(
        &mut self,
        developer: &DeveloperId,
        chain: Chain,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let mut query = self
            .matching(developer, chain, filter)
            .await?
            .order(seq.asc())
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()));
        if let Some(cursor) = page.after() {
            query = query.filter(seq.gt(cursor.at));
        }
        let rows = query.load::<AuditRow>(self.conn().await?).await;
        let items: Vec<AuditEntry> = all(self.note(rows)?)?;
        Ok(Page::from_overfetched(items, page.size, AuditEntry::cursor))
    }

    async fn newest_audit_entries(
        &mut self,
        developer: &DeveloperId,
        chain: Chain,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        let query = self
            .matching(developer, chain, filter)
            .await?
            .order(seq.desc())
            .limit(i64::from(limit));
        let rows = query.load::<AuditRow>(self.conn().await?).await;
        all(self.note(rows)?)
    }
}

impl ConnTx<'_> {
    /// One chain's entries that pass a filter. Times become bounds of `seq`, by which every index of the table is sorted.
    async fn matching<'q>(
        &mut self,
        developer: &'q DeveloperId,
        chain: Chain,
        filter: &'q AuditFilter,
    ) -> Result<Listing<'q>, StoreError> {
        let mut query = audit_entries::table
            .filter(developer_id.eq(developer.as_str()))
            .filter(chain_name.eq(chain.as_str()))
            .select(AuditRow::as_select())
            .into_boxed();
        if let Some(since) = filter.since {
            query = query.filter(seq.ge(self.first_seq_at(developer, chain, since).await?));
        }
        if let Some(until) = filter.until {
            query = query.filter(seq.lt(self.first_seq_at(developer, chain, until).await?));
        }
        if let Some(text) = &filter.agent_id {
            query = query.filter(agent_id.eq(text));
        }
        if let Some(text) = &filter.grant_id {
            query = query.filter(grant_id.eq(text));
        }
        if let Some(text) = &filter.principal_id {
            query = query.filter(principal_id.eq(text));
        }
        if let Some(text) = &filter.action {
            query = query.filter(action.eq(text));
            if !FREQUENT_ACTIONS.contains(&text.as_str()) {
                query = query.filter(diesel::dsl::sql::<Bool>(IS_INFREQUENT));
            }
        }
        Ok(query)
    }

    /// The position of the first entry that is not older than `at`; behind the last one when all are older.
    ///
    /// Times never run backwards within a chain, so this is a binary search by the primary key: some twenty point reads in
    /// a long chain, instead of one more index that every entry would have to be written to.
    async fn first_seq_at(&mut self, developer: &DeveloperId, chain: Chain, at: Timestamp) -> Result<i64, StoreError> {
        let entries = || {
            audit_entries::table
                .filter(developer_id.eq(developer.as_str()))
                .filter(chain_name.eq(chain.as_str()))
                .select((seq, timestamp))
        };
        let last = entries()
            .order(seq.desc())
            .first::<(i64, i64)>(self.conn().await?)
            .await
            .optional();
        let (mut low, mut high) = (1, self.note(last)?.map_or(0, |(last, _)| last) + 1);
        while low < high {
            let middle = low + (high - low) / 2;
            let query = entries().filter(seq.ge(middle)).order(seq.asc());
            let entry = query.first::<(i64, i64)>(self.conn().await?).await.optional();
            match self.note(entry)? {
                Some((found, time)) if time < at.as_millis() => low = found + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }
}
