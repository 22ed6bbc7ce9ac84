use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use grantex_core::authorize::AuthRequest;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AuthRequestId, GrantId};
use grantex_core::secret::SecretHash;
use grantex_core::store::{AuthRequestReads, AuthRequestWrites};

use super::ConnTx;
use crate::rows::AuthRequestRow;
use crate::schema::auth_requests::{self, code_expires_at, code_hash, consumed_at, expires_at, grant_id, status};
use crate::statements::{Fixed, requester_is_active};

#[async_trait]
impl AuthRequestReads for ConnTx<'_> {
    async fn auth_request(&mut self, id: &AuthRequestId) -> Result<Option<AuthRequest>, StoreError> {
        let query = auth_requests::table
            .find(id.as_str().to_owned())
            .select(AuthRequestRow::as_select());
        get!(self, AuthRequestRow, query)?
            .map(AuthRequest::try_from)
            .transpose()
    }

    async fn auth_request_by_code(&mut self, hash: &SecretHash) -> Result<Option<AuthRequest>, StoreError> {
        let query = auth_requests::table
            .filter(code_hash.eq(hash.as_str().to_owned()))
            .select(AuthRequestRow::as_select());
        get!(self, AuthRequestRow, query)?
            .map(AuthRequest::try_from)
            .transpose()
    }
}

#[async_trait]
impl AuthRequestWrites for ConnTx<'_> {
    async fn insert_auth_request(&mut self, request: &AuthRequest) -> Result<(), StoreError> {
        super::super::insert_auth_request(self, AuthRequestRow::from(request)).await
    }

    async fn approve_auth_request(
        &mut self,
        id: &AuthRequestId,
        now: Timestamp,
        hash: &SecretHash,
        code_ends_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let undecided = auth_requests::table
            .find(id.as_str())
            .filter(status.eq("pending"))
            .filter(expires_at.gt(now.as_millis()));
        let update = diesel::update(undecided).set((
            status.eq("approved"),
            code_hash.eq(hash.as_str()),
            code_expires_at.eq(code_ends_at.as_millis()),
        ));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn deny_auth_request(&mut self, id: &AuthRequestId, now: Timestamp) -> Result<bool, StoreError> {
        let undecided = auth_requests::table
            .find(id.as_str())
            .filter(status.eq("pending"))
            .filter(expires_at.gt(now.as_millis()));
        let update = diesel::update(undecided).set(status.eq("denied"));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn consume_auth_request(
        &mut self,
        id: &AuthRequestId,
        hash: &SecretHash,
        now: Timestamp,
        grant: &GrantId,
    ) -> Result<bool, StoreError> {
        let redeemable = auth_requests::table
            .find(id.as_str())
            .filter(status.eq("approved"))
            .filter(code_hash.eq(hash.as_str()))
            .filter(code_expires_at.gt(now.as_millis()))
            .filter(requester_is_active());
        let update = diesel::update(redeemable).set((
            status.eq("consumed"),
            consumed_at.eq(now.as_millis()),
            grant_id.eq(grant.as_str()),
        ));
        let count = Fixed(update).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }
}
