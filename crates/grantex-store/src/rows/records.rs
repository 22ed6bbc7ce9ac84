use grantex_core::agent::AgentStatus;
use grantex_core::error::StoreError;
use grantex_core::grant::Grant;
use grantex_core::token::{Token, TokenRecord};

use super::{GrantRow, Place, TokenRow};

/// A token with its grant and its agent's state: what [`records`] selects.
pub(crate) type RecordRow = (TokenRow, GrantRow, Option<String>);

/// The query for tokens with their grants and their agents' states, in one statement.
macro_rules! records {
    () => {
        tokens::table
            .inner_join(grants::table.on(grants::id.eq(tokens::grant_id)))
            .left_join(agents::table.on(agents::id.eq(grants::agent_id).and(agents::deleted_at.is_null())))
            .select((TokenRow::as_select(), GrantRow::as_select(), agents::status.nullable()))
    };
}

pub(crate) use records;

/// What such a row says.
pub(crate) fn record((token, grant, status): RecordRow) -> Result<TokenRecord, StoreError> {
    let agent_status = match status {
        Some(text) => {
            let place = Place {
                table: "agents",
                id: &grant.agent_id,
            };
            Some(place.expect("status", AgentStatus::parse(&text))?)
        }
        None => None,
    };
    Ok(TokenRecord {
        token: Token::try_from(token)?,
        grant: Grant::try_from(grant)?,
        agent_status,
    })
}
