//! Entries, and the events of a stream, as the published clients read them.

use grantex_core::clock::Timestamp;
use grantex_core::revocation::RevocationEntry;
use serde::Serialize;
use utoipa::ToSchema;

/// One thing that happened.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Entry<'a> {
    /// Position in the developer's feed, from 1, in commit order.
    seq: i64,
    /// `revoked`, `suspended`, `resumed` or `token_revoked`.
    action: &'static str,
    /// The grant; `null` for `token_revoked`.
    #[schema(required)]
    grant_id: Option<&'a str>,
    /// Only for `token_revoked`: the token's `jti`, or the revocation id of a block of Biscuits.
    #[schema(required)]
    jti: Option<&'a str>,
    /// From when on it could not be used anyway; never before the end of any token that it is about.
    #[schema(value_type = String, format = DateTime)]
    expires_at: Timestamp,
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// With `complete=true`: the SHA-256 over the hash before and this entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    hash: Option<&'a str>,
}

impl<'a> Entry<'a> {
    pub(crate) fn of(entry: &'a RevocationEntry, has_hash: bool) -> Self {
        Self {
            seq: entry.seq,
            action: entry.action.as_str(),
            grant_id: entry.grant_id(),
            jti: entry.jti(),
            expires_at: entry.expires_at,
            at: entry.at,
            hash: has_hash.then_some(&*entry.hash),
        }
    }
}

/// The stream has begun.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Ready<'a> {
    pub cursor: i64,
    pub server_time: Timestamp,
    pub head: &'a str,
}

/// The feed was read, and everything up to the cursor has been told.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Heartbeat<'a> {
    pub cursor: i64,
    pub fresh_at: Timestamp,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head: Option<&'a str>,
}

/// An event of a stream. What is written here has nothing but strings and numbers, and cannot fail to be JSON.
pub(super) fn frame(event: &str, data: &impl Serialize) -> String {
    let data = serde_json::to_string(data).unwrap_or_default();
    format!("event: {event}\ndata: {data}\n\n")
}
