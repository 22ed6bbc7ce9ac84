use diesel::prelude::*;
use grantex_core::audit::Chain;
use grantex_core::clock::Timestamp;
use grantex_core::developer::{Developer, Mode};
use grantex_core::error::StoreError;
use grantex_core::id::{AuditId, DeveloperId};
use grantex_core::plan::Plan;
use grantex_core::secret::SecretHash;
use grantex_core::store::{ChainHead, ChainLink, DeveloperHead};
use grantex_core::webhook::subscription::Subscriptions;

use super::Place;
use crate::schema::developers;

const TABLE: &str = "developers";

#[derive(Clone, Queryable, Selectable)]
#[diesel(table_name = developers)]
pub(crate) struct DeveloperRow {
    id: String,
    name: String,
    email: Option<String>,
    mode: String,
    plan: String,
    fido_rp_name: Option<String>,
    policy_version: i64,
    created_at: i64,
}

impl TryFrom<DeveloperRow> for Developer {
    type Error = StoreError;

    fn try_from(row: DeveloperRow) -> Result<Self, StoreError> {
        let place = Place {
            table: TABLE,
            id: &row.id,
        };
        Ok(Self {
            id: place.expect("id", DeveloperId::parse(&row.id))?,
            mode: place.expect("mode", Mode::parse(&row.mode))?,
            plan: place.expect("plan", Plan::parse(&row.plan))?,
            policy_version: row.policy_version,
            created_at: Timestamp::from_millis(row.created_at),
            name: row.name,
            email: row.email,
            fido_rp_name: row.fido_rp_name,
        })
    }
}

/// A developer to be added; the head starts from the columns' defaults.
#[derive(Insertable)]
#[diesel(table_name = developers, treat_none_as_default_value = false)]
pub(crate) struct NewDeveloper<'a> {
    id: &'a str,
    name: &'a str,
    email: Option<&'a str>,
    mode: &'a str,
    plan: &'a str,
    fido_rp_name: Option<&'a str>,
    api_key_hash: &'a str,
    created_at: i64,
}

impl<'a> NewDeveloper<'a> {
    pub fn new(developer: &'a Developer, key_hash: &'a SecretHash) -> Self {
        Self {
            id: developer.id.as_str(),
            name: &developer.name,
            email: developer.email.as_deref(),
            mode: developer.mode.as_str(),
            plan: developer.plan.as_str(),
            fido_rp_name: developer.fido_rp_name.as_deref(),
            api_key_hash: key_hash.as_str(),
            created_at: developer.created_at.as_millis(),
        }
    }
}

/// What stands beside the head: plan and subscriptions.
pub(crate) type BesideHead = (String, String);

/// The part of a developer's row that ledgers advance.
#[derive(Queryable, Selectable)]
#[diesel(table_name = developers)]
pub(crate) struct HeadRow {
    pub active_grants: i64,
    pub event_seq: i64,
    pub caller_seq: i64,
    pub caller_hash: Option<String>,
    pub caller_id: Option<String>,
    pub caller_at: Option<i64>,
    pub server_seq: i64,
    pub server_hash: Option<String>,
    pub server_id: Option<String>,
    pub server_at: Option<i64>,
}

impl HeadRow {
    /// The head with what stands beside it and is not advanced with it: plan and subscriptions.
    pub fn into_head(self, developer: &DeveloperId, beside: &BesideHead) -> Result<DeveloperHead, StoreError> {
        let (plan, subscriptions) = beside;
        let place = Place {
            table: TABLE,
            id: developer.as_str(),
        };
        Ok(DeveloperHead {
            plan: place.expect("plan", Plan::parse(plan))?,
            subscriptions: place.expect("subscriptions", Subscriptions::from_stored(subscriptions))?,
            active_grants: self.active_grants,
            event_seq: self.event_seq,
            caller: chain_head(
                place,
                "caller_id",
                self.caller_seq,
                self.caller_hash,
                self.caller_id,
                self.caller_at,
            )?,
            server: chain_head(
                place,
                "server_id",
                self.server_seq,
                self.server_hash,
                self.server_id,
                self.server_at,
            )?,
        })
    }
}

fn chain_head(
    place: Place<'_>,
    column: &'static str,
    seq: i64,
    hash: Option<String>,
    id: Option<String>,
    at: Option<i64>,
) -> Result<ChainHead, StoreError> {
    let last = match (hash, id, at) {
        (Some(hash), Some(id), Some(at)) => {
            let id = place.expect(column, AuditId::parse(&id))?;
            Some(ChainLink {
                hash,
                id,
                at: Timestamp::from_millis(at),
            })
        }
        _ => None,
    };
    Ok(ChainHead { seq, last })
}

impl From<&DeveloperHead> for HeadRow {
    fn from(head: &DeveloperHead) -> Self {
        let link = |chain| head.chain(chain).last.as_ref();
        let hash = |chain| link(chain).map(|link| link.hash.clone());
        let id = |chain| link(chain).map(|link| link.id.as_str().to_owned());
        let at = |chain| link(chain).map(|link| link.at.as_millis());
        Self {
            active_grants: head.active_grants,
            event_seq: head.event_seq,
            caller_seq: head.caller.seq,
            caller_hash: hash(Chain::Caller),
            caller_id: id(Chain::Caller),
            caller_at: at(Chain::Caller),
            server_seq: head.server.seq,
            server_hash: hash(Chain::Server),
            server_id: id(Chain::Server),
            server_at: at(Chain::Server),
        }
    }
}
