//! The rows, and what several queries need of them.

use std::collections::{BTreeMap, BTreeSet};

use super::webhooks::WebhookRow;
use crate::agent::{Agent, AgentStatus};
use crate::anomaly::alert::Anomaly;
use crate::anomaly::book::RuleOverride;
use crate::anomaly::custom::{CustomRule, Mute};
use crate::anomaly::response::{PendingResponse, ResponsePolicy};
use crate::audit::{AuditEntry, AuditFilter, Chain};
use crate::authorize::AuthRequest;
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::offline::OfflineDelegation;
use crate::grant::{Grant, GrantFilter, GrantState};
use crate::id::{
    AgentId, AnomalyId, AnomalyMuteId, AnomalyRuleId, AuthRequestId, BundleId, DeliveryId, DeveloperId, GrantId,
    PolicyId, TokenId, WebhookId,
};
use crate::page::{Cursor, Page, PageRequest};
use crate::policy::{Bundle, Policy};
use crate::secret::SecretHash;
use crate::store::{AnomalyCursor, DeveloperHead, EventRow, StoredKey};
use crate::token::{Token, TokenRecord};
use crate::webhook::Delivery;

/// All rows of a store.
#[derive(Clone, Default)]
pub(super) struct State {
    pub developers: BTreeMap<DeveloperId, DeveloperRow>,
    pub agents: BTreeMap<AgentId, AgentRow>,
    pub auth_requests: BTreeMap<AuthRequestId, AuthRequestRow>,
    pub grants: BTreeMap<GrantId, GrantRow>,
    pub tokens: BTreeMap<TokenId, Token>,
    /// When blocks of Biscuits were revoked.
    pub revoked_blocks: BTreeMap<(DeveloperId, String), Timestamp>,
    pub offline_delegations: BTreeMap<(DeveloperId, String), OfflineDelegation>,
    pub audit: BTreeMap<(DeveloperId, Chain, i64), AuditEntry>,
    pub events: BTreeMap<(DeveloperId, i64), EventRow>,
    pub keys: BTreeMap<String, StoredKey>,
    pub webhooks: BTreeMap<WebhookId, WebhookRow>,
    pub deliveries: BTreeMap<DeliveryId, Delivery>,
    pub anomaly_cursors: BTreeMap<DeveloperId, AnomalyCursor>,
    /// By developer and agent: the stored text, and when it was stored.
    pub activities: BTreeMap<(DeveloperId, String), (String, Timestamp)>,
    pub anomalies: BTreeMap<AnomalyId, Anomaly>,
    pub rule_overrides: BTreeMap<(DeveloperId, usize), (DeveloperId, RuleOverride)>,
    pub anomaly_rules: BTreeMap<AnomalyRuleId, (DeveloperId, CustomRule)>,
    pub anomaly_mutes: BTreeMap<AnomalyMuteId, (DeveloperId, Mute)>,
    pub response_policies: BTreeMap<DeveloperId, ResponsePolicy>,
    pub responses: BTreeMap<AnomalyId, PendingResponse>,
    /// The kids of keys that were removed.
    pub removed_keys: BTreeSet<String>,
    pub policies: BTreeMap<PolicyId, Policy>,
    pub bundles: BTreeMap<BundleId, (Bundle, String)>,
}

#[derive(Clone)]
pub(super) struct DeveloperRow {
    /// Everything but the plan, which the head holds.
    pub developer: Developer,
    pub key_hash: SecretHash,
    pub head: DeveloperHead,
}

impl DeveloperRow {
    pub fn developer(&self) -> Developer {
        Developer {
            plan: self.head.plan,
            ..self.developer.clone()
        }
    }
}

#[derive(Clone)]
pub(super) struct AgentRow {
    pub agent: Agent,
    pub deleted_at: Option<Timestamp>,
    pub cleared_at: Option<Timestamp>,
}

#[derive(Clone)]
pub(super) struct AuthRequestRow {
    pub request: AuthRequest,
    /// Kept beside the state, which forgets it when the code is exchanged.
    pub code_expires_at: Option<Timestamp>,
}

#[derive(Clone)]
pub(super) struct GrantRow {
    pub grant: Grant,
    /// Whether its developer's `active_grants` still includes it.
    pub is_counted: bool,
}

impl GrantRow {
    pub fn is_stored_active(&self) -> bool {
        self.grant.state == GrantState::Active
    }

    pub fn is_in_force(&self, now: Timestamp) -> bool {
        self.is_stored_active() && self.grant.expires_at > now
    }
}

impl State {
    /// An agent that was not deleted.
    pub fn live_agent(&self, id: &AgentId) -> Option<&Agent> {
        self.agents
            .get(id)
            .filter(|row| row.deleted_at.is_none())
            .map(|row| &row.agent)
    }

    pub fn agent_status(&self, id: &AgentId) -> Option<AgentStatus> {
        self.live_agent(id).map(|agent| agent.status)
    }

    pub fn may_act(&self, id: &AgentId) -> bool {
        self.agent_status(id) == Some(AgentStatus::Active)
    }

    /// Whether neither a grant nor one above it is revoked, and all their agents may act.
    pub fn is_authority(&self, id: &GrantId) -> bool {
        let mut next = Some(id);
        while let Some(id) = next {
            let Some(row) = self.grants.get(id) else { return false };
            if !row.is_stored_active() || !self.may_act(&row.grant.agent_id) {
                return false;
            }
            next = row.grant.parent_grant_id.as_ref();
        }
        true
    }

    pub fn record(&self, token: &Token) -> Result<TokenRecord, StoreError> {
        let grant = self.grants.get(&token.grant_id).ok_or_else(|| StoreError::Corrupt {
            table: "tokens",
            column: "grant_id",
            id: token.id.to_string(),
        })?;
        Ok(TokenRecord {
            token: token.clone(),
            grant: grant.grant.clone(),
            agent_status: self.agent_status(&grant.grant.agent_id),
        })
    }

    /// The entries of a chain that pass a filter, ascending.
    pub fn entries<'a>(
        &'a self,
        developer: &DeveloperId,
        chain: Chain,
        filter: &'a AuditFilter,
    ) -> impl DoubleEndedIterator<Item = &'a AuditEntry> {
        let (first, last) = (
            (developer.clone(), chain, i64::MIN),
            (developer.clone(), chain, i64::MAX),
        );
        self.audit
            .range(first..=last)
            .map(|(_, entry)| entry)
            .filter(|entry| passes(entry, filter))
    }
}

fn passes(entry: &AuditEntry, filter: &AuditFilter) -> bool {
    let record = &entry.record;
    is_wanted(filter.agent_id.as_deref(), &record.agent_id)
        && is_wanted(filter.grant_id.as_deref(), &record.grant_id)
        && is_wanted(filter.principal_id.as_deref(), &record.principal_id)
        && is_wanted(filter.action.as_deref(), &record.action)
        && filter.since.is_none_or(|since| entry.timestamp >= since)
        && filter.until.is_none_or(|until| entry.timestamp < until)
}

pub(super) fn matches(grant: &Grant, filter: &GrantFilter, now: Timestamp) -> bool {
    is_wanted(filter.agent_id.as_deref(), grant.agent_id.as_str())
        && is_wanted(filter.principal_id.as_deref(), &grant.principal_id)
        && filter.status.is_none_or(|status| grant.status(now) == status)
}

fn is_wanted(wanted: Option<&str>, value: &str) -> bool {
    wanted.is_none_or(|wanted| wanted == value)
}

/// A page of rows, newest first by time, then id.
pub(super) fn newest_first<T: Clone>(
    mut rows: Vec<&T>,
    page: &PageRequest,
    key: impl Fn(&T) -> (i64, &str),
) -> Page<T> {
    rows.sort_by(|a, b| key(b).cmp(&key(a)));
    let start = page.after();
    let rows = rows
        .into_iter()
        .filter(|row| start.is_none_or(|cursor| key(row) < (cursor.at, cursor.id.as_str())));
    cut(rows, page, |row| {
        let (at, id) = key(row);
        Cursor { at, id: id.to_owned() }
    })
}

/// The page of rows that are in order already and begin behind the page's cursor, if it has one.
pub(super) fn cut<'a, T: Clone + 'a>(
    rows: impl Iterator<Item = &'a T>,
    page: &PageRequest,
    cursor: impl Fn(&T) -> Cursor,
) -> Page<T> {
    let skipped = usize::try_from(page.offset()).unwrap_or(usize::MAX);
    let wanted = index(page.size).saturating_add(1);
    Page::from_overfetched(rows.skip(skipped).take(wanted).cloned().collect(), page.size, cursor)
}

pub(super) fn index(number: u32) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

pub(super) fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}
