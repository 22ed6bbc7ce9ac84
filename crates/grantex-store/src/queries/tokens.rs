use async_trait::async_trait;
use diesel::dsl::{exists, not};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{DeveloperId, GrantId, TokenId};
use grantex_core::secret::SecretHash;
use grantex_core::store::{TokenReads, TokenWrites};
use grantex_core::token::{RefreshUse, TokenRecord};

use super::ConnTx;
use crate::rows::{GrantRow, RecordRow, RefreshUseChange, TokenRow, record, records};
use crate::schema::{agents, grants, tokens};
use crate::statements::{Fixed, grant_of_token_is_in_force};

#[async_trait]
impl TokenReads for ConnTx<'_> {
    async fn token(&mut self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError> {
        let query = records!().filter(tokens::id.eq(id.as_str().to_owned()));
        get!(self, RecordRow, query)?.map(record).transpose()
    }

    async fn token_by_refresh(&mut self, refresh_hash: &SecretHash) -> Result<Option<TokenRecord>, StoreError> {
        let query = records!().filter(tokens::refresh_hash.eq(refresh_hash.as_str().to_owned()));
        get!(self, RecordRow, query)?.map(record).transpose()
    }

    async fn first_token_of_grant(&mut self, grant: &GrantId) -> Result<Option<TokenRecord>, StoreError> {
        let earlier = diesel::alias!(tokens as earlier);
        let is_successor = earlier
            .filter(earlier.field(tokens::grant_id).eq(tokens::grant_id))
            .filter(earlier.field(tokens::successor_id).eq(tokens::id.nullable()));
        let query = records!()
            .filter(tokens::grant_id.eq(grant.as_str()))
            .filter(not(exists(is_successor)))
            .order((tokens::issued_at, tokens::id));
        let row = query.first::<RecordRow>(self.conn().await?).await.optional();
        self.note(row)?.map(record).transpose()
    }
}

#[async_trait]
impl TokenWrites for ConnTx<'_> {
    async fn use_refresh_token(&mut self, id: &TokenId, used: &RefreshUse) -> Result<bool, StoreError> {
        let unused = tokens::table
            .find(id.as_str())
            .filter(tokens::refresh_used_at.is_null())
            .filter(grant_of_token_is_in_force());
        let update = diesel::update(unused).set(RefreshUseChange::from(used));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn forget_replay(&mut self, id: &TokenId) -> Result<(), StoreError> {
        let update = diesel::update(tokens::table.find(id.as_str())).set(tokens::replay_sealed.eq(None::<String>));
        let count = Fixed(update).execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn revoke_token(
        &mut self,
        developer: &DeveloperId,
        id: &TokenId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let unrevoked = tokens::table
            .find(id.as_str())
            .filter(tokens::developer_id.eq(developer.as_str()))
            .filter(tokens::revoked_at.is_null());
        let update = diesel::update(unrevoked).set(tokens::revoked_at.eq(now.as_millis()));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }
}
