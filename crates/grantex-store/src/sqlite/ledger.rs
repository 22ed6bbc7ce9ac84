//! A ledger, row by row.

use diesel::prelude::*;
use grantex_core::error::StoreError;
use grantex_core::store::Ledger;

use super::queries::ConnTx;
use crate::rows::{AuditRow, EventRow, GrantRow, HeadRow, TokenRow};
use crate::schema::{audit_entries, developers, events, grants, tokens};

/// Writes a ledger in one visit to the connection.
pub(super) async fn write_ledger(tx: &mut ConnTx<'_>, ledger: &Ledger) -> Result<(), StoreError> {
    let new_grants: Vec<GrantRow> = ledger.grants.iter().map(GrantRow::from).collect();
    let new_tokens: Vec<TokenRow> = ledger.tokens.iter().map(TokenRow::from).collect();
    let new_audit: Vec<AuditRow> = ledger.audit.iter().map(AuditRow::from).collect();
    let new_events: Vec<EventRow> = ledger.events.iter().map(EventRow::from).collect();
    let (developer, head) = (ledger.developer_id.as_str().to_owned(), HeadRow::from(&ledger.head));
    let written = tx.conn.spawn_blocking(move |conn| {
        for row in &new_grants {
            diesel::insert_into(grants::table).values(row).execute(conn)?;
        }
        for row in &new_tokens {
            diesel::insert_into(tokens::table).values(row).execute(conn)?;
        }
        for row in &new_audit {
            diesel::insert_into(audit_entries::table).values(row).execute(conn)?;
        }
        for row in &new_events {
            diesel::insert_into(events::table).values(row).execute(conn)?;
        }
        diesel::update(developers::table.find(&developer))
            .set(&head)
            .execute(conn)
    });
    let written = written.await.and_then(|count| {
        if count == 1 {
            Ok(())
        } else {
            Err(diesel::result::Error::NotFound)
        }
    });
    tx.note(written)
}
