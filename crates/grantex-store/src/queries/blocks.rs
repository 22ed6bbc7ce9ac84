use async_trait::async_trait;
use diesel::dsl::exists;
use diesel::prelude::*;
use diesel::select;
use diesel_async::RunQueryDsl;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{BlockReads, BlockWrites};

use super::ConnTx;
use crate::schema::revoked_blocks;
use crate::statements::Fixed;

#[async_trait]
impl BlockReads for ConnTx<'_> {
    async fn is_any_block_revoked(&mut self, developer: &DeveloperId, ids: &[String]) -> Result<bool, StoreError> {
        let revoked = revoked_blocks::table
            .filter(revoked_blocks::developer_id.eq(developer.as_str()))
            .filter(revoked_blocks::revocation_id.eq_any(ids));
        let found = select(exists(revoked)).get_result(self.conn().await?).await;
        self.note(found)
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
}
