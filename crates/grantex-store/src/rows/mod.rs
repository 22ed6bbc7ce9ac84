//! Rows, and what they mean in the domain. Compiled once: they know nothing of a backend.

mod agents;
mod anomalies;
mod audit;
mod auth_requests;
mod developers;
mod events;
mod grants;
mod keys;
mod offline;
mod policies;
mod records;
mod responses;
mod tokens;
mod webhooks;

pub(crate) use agents::{AgentChanges, AgentRow};
pub(crate) use anomalies::{AnomalyChange, AnomalyRow, CustomRuleRow, MuteRow, OverrideRow};
pub(crate) use audit::AuditRow;
pub(crate) use auth_requests::AuthRequestRow;
pub(crate) use developers::{BesideHead, DeveloperRow, HeadRow, NewDeveloper};
pub(crate) use events::EventRow;
pub(crate) use grants::{GrantRow, state as grant_state};
pub(crate) use keys::KeyRow;
pub(crate) use offline::OfflineDelegationRow;
pub(crate) use policies::{BundleRow, PolicyChanges, PolicyRow};
pub(crate) use records::{RecordRow, record, records};
pub(crate) use responses::{ResponsePolicyRow, ResponseRow};
pub(crate) use tokens::{RefreshUseChange, TokenRow};
pub(crate) use webhooks::{DeliveryChangeRow, DeliveryRow, HealthChange, WebhookChange, WebhookRow};

use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;

/// A row whose columns are to be understood; remembers which one it is for the error.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    pub table: &'static str,
    pub id: &'a str,
}

impl Place<'_> {
    /// What was read from a column, or the complaint that it holds something else.
    pub fn expect<T>(self, column: &'static str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| StoreError::Corrupt {
            table: self.table,
            column,
            id: self.id.to_owned(),
        })
    }
}

/// An optional instant from its column.
pub(crate) fn instant(millis: Option<i64>) -> Option<Timestamp> {
    millis.map(Timestamp::from_millis)
}
