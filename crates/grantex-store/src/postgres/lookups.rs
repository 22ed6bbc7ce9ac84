//! What is looked up for many callers at a time.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;

use super::Conn;
use super::loader::Lookup;
use crate::rows::{AgentRow, AuthRequestRow, DeveloperRow, GrantRow, RecordRow, TokenRow, records};
use crate::schema::{agents, auth_requests, developers, grants, tokens};

/// Developers by the hash of their API key.
pub(super) struct DeveloperByKey;

impl Lookup for DeveloperByKey {
    type Row = DeveloperRow;

    async fn load(conn: &mut Conn, keys: &[String]) -> QueryResult<Vec<(String, DeveloperRow)>> {
        developers::table
            .filter(developers::api_key_hash.eq_any(keys))
            .select((developers::api_key_hash, DeveloperRow::as_select()))
            .load(conn)
            .await
    }
}

/// Agents by id, whoever their developer is; deleted ones do not exist.
pub(super) struct AgentById;

impl Lookup for AgentById {
    type Row = AgentRow;

    async fn load(conn: &mut Conn, keys: &[String]) -> QueryResult<Vec<(String, AgentRow)>> {
        agents::table
            .filter(agents::id.eq_any(keys))
            .filter(agents::deleted_at.is_null())
            .select((agents::id, AgentRow::as_select()))
            .load(conn)
            .await
    }
}

/// Authorization requests by the hash of their code, with their agents.
pub(super) struct RequestByCode;

impl Lookup for RequestByCode {
    type Row = (AuthRequestRow, Option<AgentRow>);

    async fn load(conn: &mut Conn, keys: &[String]) -> QueryResult<Vec<(String, Self::Row)>> {
        let agent_of_request = agents::id
            .eq(auth_requests::agent_id)
            .and(agents::developer_id.eq(auth_requests::developer_id))
            .and(agents::deleted_at.is_null());
        auth_requests::table
            .left_join(agents::table.on(agent_of_request))
            .filter(auth_requests::code_hash.eq_any(keys))
            .select((
                auth_requests::code_hash.assume_not_null(),
                (AuthRequestRow::as_select(), Option::<AgentRow>::as_select()),
            ))
            .load(conn)
            .await
    }
}

/// Tokens by id, with grant and agent.
pub(super) struct TokenById;

impl Lookup for TokenById {
    type Row = RecordRow;

    async fn load(conn: &mut Conn, keys: &[String]) -> QueryResult<Vec<(String, RecordRow)>> {
        let rows = records!()
            .filter(tokens::id.eq_any(keys))
            .load::<RecordRow>(conn)
            .await?;
        Ok(rows.into_iter().map(|row| (row.0.id.clone(), row)).collect())
    }
}

/// Tokens by the hash of their refresh token, with grant and agent.
pub(super) struct TokenByRefresh;

impl Lookup for TokenByRefresh {
    type Row = RecordRow;

    async fn load(conn: &mut Conn, keys: &[String]) -> QueryResult<Vec<(String, RecordRow)>> {
        let rows = records!()
            .filter(tokens::refresh_hash.eq_any(keys))
            .load::<RecordRow>(conn)
            .await?;
        Ok(rows.into_iter().map(|row| (row.0.refresh_hash.clone(), row)).collect())
    }
}
