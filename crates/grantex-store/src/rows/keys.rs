use diesel::prelude::*;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::store::{KeyState, StoredKey};

use super::{Place, instant};
use crate::schema::signing_keys;

#[derive(Queryable, Selectable, Insertable)]
#[diesel(table_name = signing_keys, treat_none_as_default_value = false)]
pub(crate) struct KeyRow {
    kid: String,
    algorithm: String,
    sealed_private_key: String,
    public_jwk: String,
    state: String,
    created_at: i64,
    activates_at: i64,
    retired_at: Option<i64>,
}

impl TryFrom<KeyRow> for StoredKey {
    type Error = StoreError;

    fn try_from(row: KeyRow) -> Result<Self, StoreError> {
        let state = Place {
            table: "signing_keys",
            id: &row.kid,
        }
        .expect("state", KeyState::parse(&row.state))?;
        Ok(Self {
            kid: row.kid,
            algorithm: row.algorithm,
            sealed_private_key: row.sealed_private_key,
            public_jwk: row.public_jwk,
            state,
            created_at: Timestamp::from_millis(row.created_at),
            activates_at: Timestamp::from_millis(row.activates_at),
            retired_at: instant(row.retired_at),
        })
    }
}

impl From<&StoredKey> for KeyRow {
    fn from(key: &StoredKey) -> Self {
        Self {
            kid: key.kid.clone(),
            algorithm: key.algorithm.clone(),
            sealed_private_key: key.sealed_private_key.clone(),
            public_jwk: key.public_jwk.clone(),
            state: key.state.as_str().to_owned(),
            created_at: key.created_at.as_millis(),
            activates_at: key.activates_at.as_millis(),
            retired_at: key.retired_at.map(Timestamp::as_millis),
        }
    }
}
