//! The developer's head and ledgers, in plain diesel: a visit to the connection runs several statements, and their types
//! find them prepared without building their texts.

use diesel::connection::Connection;
use diesel::prelude::*;
use diesel::result::Error;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{DeveloperHead, Ledger};

use super::queries::ConnTx;
use crate::rows::{AuditRow, EventRow, GrantRow, HeadRow, TokenRow};
use crate::schema::{audit_entries, developers, events, grants, tokens};
use crate::statements::HeadUpdate;

/// Reads a developer's head. There is one writer, so this is as good as a lock.
pub(super) async fn lock_head(
    tx: &mut ConnTx<'_>,
    developer: &DeveloperId,
) -> Result<Option<DeveloperHead>, StoreError> {
    let id = developer.as_str().to_owned();
    let row = tx.conn.spawn_blocking(move |conn| {
        let query = developers::table
            .find(&id)
            .select((HeadRow::as_select(), developers::plan));
        query.get_result::<(HeadRow, String)>(conn).optional()
    });
    let row = row.await;
    tx.note(row)?
        .map(|(head, plan)| head.into_head(developer, &plan))
        .transpose()
}

/// Writes a ledger row by row.
pub(super) async fn write_ledger(tx: &mut ConnTx<'_>, ledger: &Ledger) -> Result<(), StoreError> {
    let new_grants: Vec<GrantRow> = ledger.grants.iter().map(GrantRow::from).collect();
    let new_tokens: Vec<TokenRow> = ledger.tokens.iter().map(TokenRow::from).collect();
    let new_audit: Vec<AuditRow> = ledger.audit.iter().map(AuditRow::from).collect();
    let new_events: Vec<EventRow> = ledger.events.iter().map(EventRow::from).collect();
    let head = HeadUpdate::from(ledger);
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
        match conn.execute_returning_count(&head)? {
            1 => Ok(()),
            _ => Err(Error::NotFound),
        }
    });
    let written = written.await;
    tx.note(written)
}
