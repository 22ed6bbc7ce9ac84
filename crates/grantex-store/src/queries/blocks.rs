use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::grant::offline::OfflineDelegation;
use grantex_core::id::{DeveloperId, GrantId};
use grantex_core::page::{Cursor, Page, PageRequest};
use grantex_core::store::{BlockReads, BlockWrites};

use super::{CHUNK, ConnTx, all, skip};
use crate::rows::OfflineDelegationRow;
use crate::schema::{offline_delegations, revoked_blocks};
use crate::statements::Fixed;

#[async_trait]
impl BlockReads for ConnTx<'_> {
    async fn revoked_blocks_among(
        &mut self,
        developer: &DeveloperId,
        ids: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let mut revoked = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            let query = revoked_blocks::table
                .filter(revoked_blocks::developer_id.eq(developer.as_str()))
                .filter(revoked_blocks::revocation_id.eq_any(chunk))
                .select(revoked_blocks::revocation_id);
            let found = query.load::<String>(self.conn().await?).await;
            revoked.extend(self.note(found)?);
        }
        Ok(revoked)
    }

    async fn offline_delegations(
        &mut self,
        developer: &DeveloperId,
        grant: &GrantId,
        page: &PageRequest,
    ) -> Result<Page<OfflineDelegation>, StoreError> {
        let mut query = offline_delegations::table
            .filter(offline_delegations::developer_id.eq(developer.as_str()))
            .filter(offline_delegations::grant_id.eq(grant.as_str()))
            .order((
                offline_delegations::first_seen_at.desc(),
                offline_delegations::revocation_id.desc(),
            ))
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()))
            .select(OfflineDelegationRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.after() {
            query = query.filter(offline_delegations::first_seen_at.le(cursor.at)).filter(
                offline_delegations::first_seen_at
                    .lt(cursor.at)
                    .or(offline_delegations::revocation_id.lt(&cursor.id)),
            );
        }
        let rows = query.load::<OfflineDelegationRow>(self.conn().await?).await;
        let items: Vec<OfflineDelegation> = all(self.note(rows)?)?;
        Ok(Page::from_overfetched(items, page.size, |one| Cursor {
            at: one.first_seen_at.as_millis(),
            id: one.revocation_id.clone(),
        }))
    }
}

#[async_trait]
impl BlockWrites for ConnTx<'_> {
    async fn revoke_block(&mut self, developer: &DeveloperId, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let row = (
            revoked_blocks::developer_id.eq(developer.as_str()),
            revoked_blocks::revocation_id.eq(id),
            revoked_blocks::revoked_at.eq(now.as_millis()),
        );
        let insert = diesel::insert_into(revoked_blocks::table)
            .values(row)
            .on_conflict_do_nothing();
        let count = Fixed(insert).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn insert_offline_delegation(
        &mut self,
        delegation: &OfflineDelegation,
        limit: u32,
    ) -> Result<bool, StoreError> {
        let of_grant = offline_delegations::table
            .filter(offline_delegations::grant_id.eq(delegation.grant_id.as_str()))
            .count();
        let count = of_grant.get_result::<i64>(self.conn().await?).await;
        if self.note(count)? >= i64::from(limit) {
            return Ok(false);
        }
        let insert = diesel::insert_into(offline_delegations::table)
            .values(OfflineDelegationRow::from(delegation))
            .on_conflict_do_nothing();
        let count = Fixed(insert).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }
}
