use diesel::prelude::*;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{DeveloperId, GrantId, TokenId};
use grantex_core::secret::SecretHash;
use grantex_core::token::{RefreshUse, Replay, Token};

use super::{Place, instant};
use crate::schema::tokens;

#[derive(Clone, Queryable, Selectable, Insertable)]
#[diesel(table_name = tokens, treat_none_as_default_value = false)]
pub(crate) struct TokenRow {
    pub id: String,
    pub grant_id: String,
    pub developer_id: String,
    pub key_id: String,
    pub issued_at: i64,
    pub expires_at: i64,
    pub revoked_at: Option<i64>,
    pub refresh_hash: String,
    pub refresh_expires_at: i64,
    pub refresh_used_at: Option<i64>,
    pub successor_id: Option<String>,
    pub replay_key_hash: Option<String>,
    pub replay_sealed: Option<String>,
    pub ends_at: i64,
    pub biscuit_key_id: Option<String>,
}

impl TryFrom<TokenRow> for Token {
    type Error = StoreError;

    fn try_from(row: TokenRow) -> Result<Self, StoreError> {
        let place = Place {
            table: "tokens",
            id: &row.id,
        };
        let replay_sealed = row.replay_sealed;
        let replay = row.replay_key_hash.map(|key_hash| Replay {
            key_hash: SecretHash::from_stored(key_hash),
            sealed: replay_sealed,
        });
        let refresh_use = match row.refresh_used_at {
            Some(at) => Some(RefreshUse {
                at: Timestamp::from_millis(at),
                successor: place.expect("successor_id", row.successor_id.as_deref().and_then(TokenId::parse))?,
                replay,
            }),
            None => None,
        };
        Ok(Self {
            id: place.expect("id", TokenId::parse(&row.id))?,
            grant_id: place.expect("grant_id", GrantId::parse(&row.grant_id))?,
            developer_id: place.expect("developer_id", DeveloperId::parse(&row.developer_id))?,
            key_id: row.key_id,
            biscuit_key_id: row.biscuit_key_id,
            issued_at: Timestamp::from_millis(row.issued_at),
            expires_at: Timestamp::from_millis(row.expires_at),
            revoked_at: instant(row.revoked_at),
            refresh_hash: SecretHash::from_stored(row.refresh_hash),
            refresh_expires_at: Timestamp::from_millis(row.refresh_expires_at),
            refresh_use,
        })
    }
}

impl From<&Token> for TokenRow {
    fn from(token: &Token) -> Self {
        let used = token.refresh_use.as_ref();
        let replay = used.and_then(|used| used.replay.as_ref());
        Self {
            id: token.id.as_str().to_owned(),
            grant_id: token.grant_id.as_str().to_owned(),
            developer_id: token.developer_id.as_str().to_owned(),
            key_id: token.key_id.clone(),
            issued_at: token.issued_at.as_millis(),
            expires_at: token.expires_at.as_millis(),
            revoked_at: token.revoked_at.map(Timestamp::as_millis),
            refresh_hash: token.refresh_hash.as_str().to_owned(),
            refresh_expires_at: token.refresh_expires_at.as_millis(),
            refresh_used_at: used.map(|used| used.at.as_millis()),
            successor_id: used.map(|used| used.successor.as_str().to_owned()),
            replay_key_hash: replay.map(|replay| replay.key_hash.as_str().to_owned()),
            replay_sealed: replay.and_then(|replay| replay.sealed.clone()),
            ends_at: token.expires_at.max(token.refresh_expires_at).as_millis(),
            biscuit_key_id: token.biscuit_key_id.clone(),
        }
    }
}

/// What the use of a refresh token leaves behind.
#[derive(AsChangeset)]
#[diesel(table_name = tokens, treat_none_as_null = true)]
pub(crate) struct RefreshUseChange<'a> {
    refresh_used_at: Option<i64>,
    successor_id: Option<&'a str>,
    replay_key_hash: Option<&'a str>,
    replay_sealed: Option<&'a str>,
}

impl<'a> From<&'a RefreshUse> for RefreshUseChange<'a> {
    fn from(used: &'a RefreshUse) -> Self {
        let replay = used.replay.as_ref();
        Self {
            refresh_used_at: Some(used.at.as_millis()),
            successor_id: Some(used.successor.as_str()),
            replay_key_hash: replay.map(|replay| replay.key_hash.as_str()),
            replay_sealed: replay.and_then(|replay| replay.sealed.as_deref()),
        }
    }
}
