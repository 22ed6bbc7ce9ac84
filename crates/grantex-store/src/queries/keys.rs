use async_trait::async_trait;
use diesel::dsl::{exists, select};
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::store::{KeyReads, KeyState, KeyWrites, StoredKey};

use super::{ConnTx, all};
use crate::rows::KeyRow;
use crate::schema::{signing_keys, tokens};

#[async_trait]
impl KeyReads for ConnTx<'_> {
    async fn signing_keys(&mut self) -> Result<Vec<StoredKey>, StoreError> {
        let query = signing_keys::table
            .filter(signing_keys::removed_at.is_null())
            .order((signing_keys::created_at, signing_keys::kid))
            .select(KeyRow::as_select());
        let rows = query.load(self.conn().await?).await;
        all(self.note(rows)?)
    }

    async fn was_signing_key_removed(&mut self, kid: &str) -> Result<bool, StoreError> {
        let removed = signing_keys::table
            .find(kid)
            .filter(signing_keys::removed_at.is_not_null());
        let found = select(exists(removed)).get_result(self.conn().await?).await;
        self.note(found)
    }

    async fn has_live_token(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let live = tokens::table
            .filter(tokens::key_id.eq(kid))
            .filter(tokens::expires_at.gt(now.as_millis()));
        let live_biscuit = tokens::table
            .filter(tokens::biscuit_key_id.eq(kid))
            .filter(tokens::expires_at.gt(now.as_millis()));
        let found = select(exists(live).or(exists(live_biscuit)))
            .get_result(self.conn().await?)
            .await;
        self.note(found)
    }
}

#[async_trait]
impl KeyWrites for ConnTx<'_> {
    async fn insert_signing_key(&mut self, key: &StoredKey, is_first: bool) -> Result<bool, StoreError> {
        if is_first {
            let locked = super::super::lock_signing_keys(self.conn().await?).await;
            self.note(locked)?;
            let active = signing_keys::table
                .filter(signing_keys::algorithm.eq(&key.algorithm))
                .filter(signing_keys::state.eq(KeyState::Active.as_str()));
            let found = select(exists(active)).get_result::<bool>(self.conn().await?).await;
            if self.note(found)? {
                return Ok(false);
            }
        }
        let insert = diesel::insert_into(signing_keys::table)
            .values(KeyRow::from(key))
            .on_conflict(signing_keys::kid)
            .do_nothing();
        let count = insert.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn retire_signing_key(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let active = signing_keys::table
            .find(kid)
            .filter(signing_keys::state.eq(KeyState::Active.as_str()));
        let update = diesel::update(active).set((
            signing_keys::state.eq(KeyState::Retired.as_str()),
            signing_keys::retired_at.eq(now.as_millis()),
        ));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn remove_signing_key(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let retired = signing_keys::table
            .find(kid)
            .filter(signing_keys::state.eq(KeyState::Retired.as_str()))
            .filter(signing_keys::removed_at.is_null());
        let update = diesel::update(retired).set((
            signing_keys::sealed_private_key.eq(""),
            signing_keys::removed_at.eq(now.as_millis()),
        ));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }
}
