//! The ports that write.

use async_trait::async_trait;

use super::state::{AgentRow, AuthRequestRow, DeveloperRow, GrantRow, State, count, index};
use crate::agent::Agent;
use crate::authorize::{AuthRequest, AuthRequestState};
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::offline::OfflineDelegation;
use crate::grant::{GrantState, RevokedBy};
use crate::id::{AgentId, AuthRequestId, DeveloperId, GrantId, TokenId, WebhookId};
use crate::plan::Plan;
use crate::secret::SecretHash;
use crate::store::{
    AgentWrites, AuthRequestWrites, BlockWrites, ChainHead, DeveloperHead, DeveloperWrites, GrantWrites, JanitorWrites,
    KeyState, KeyWrites, Ledger, LedgerWrites, RevokedTree, StoredKey, TokenWrites,
};
use crate::token::{RefreshUse, Replay, Token};
use crate::webhook::subscription::Subscriptions;
use crate::webhook::{Delivery, DeliveryStatus};

/// What a database's unique index does.
pub(super) fn unique(is_taken: bool, what: &str) -> Result<(), StoreError> {
    if is_taken {
        return Err(StoreError::unavailable(format!(
            "a second row with this {what} was refused"
        )));
    }
    Ok(())
}

#[async_trait]
impl DeveloperWrites for State {
    async fn insert_developer(&mut self, developer: &Developer, key_hash: &SecretHash) -> Result<bool, StoreError> {
        let rows = || self.developers.values();
        if developer.email.is_some() && rows().any(|row| row.developer.email == developer.email) {
            return Ok(false);
        }
        unique(self.developers.contains_key(&developer.id), "developer id")?;
        unique(rows().any(|row| row.key_hash == *key_hash), "API key hash")?;
        let head = DeveloperHead {
            plan: developer.plan,
            active_grants: 0,
            event_seq: 0,
            caller: ChainHead::default(),
            server: ChainHead::default(),
            subscriptions: Subscriptions::default(),
        };
        let row = DeveloperRow {
            developer: developer.clone(),
            key_hash: key_hash.clone(),
            head,
        };
        self.developers.insert(developer.id.clone(), row);
        Ok(true)
    }

    async fn replace_api_key(
        &mut self,
        id: &DeveloperId,
        old: &SecretHash,
        new: &SecretHash,
    ) -> Result<bool, StoreError> {
        let is_taken = self.developers.values().any(|row| row.key_hash == *new);
        let Some(row) = self.developers.get_mut(id).filter(|row| row.key_hash == *old) else {
            return Ok(false);
        };
        unique(is_taken, "API key hash")?;
        row.key_hash = new.clone();
        Ok(true)
    }

    async fn set_plan(&mut self, id: &DeveloperId, plan: Plan) -> Result<bool, StoreError> {
        let Some(row) = self.developers.get_mut(id) else {
            return Ok(false);
        };
        row.head.plan = plan;
        Ok(true)
    }

    async fn set_fido_rp_name(&mut self, id: &DeveloperId, name: &str) -> Result<bool, StoreError> {
        let Some(row) = self.developers.get_mut(id) else {
            return Ok(false);
        };
        row.developer.fido_rp_name = Some(name.to_owned());
        Ok(true)
    }
}

#[async_trait]
impl AgentWrites for State {
    async fn insert_agent(&mut self, agent: &Agent) -> Result<(), StoreError> {
        unique(self.agents.contains_key(&agent.id), "agent id")?;
        self.agents.insert(
            agent.id.clone(),
            AgentRow {
                agent: agent.clone(),
                deleted_at: None,
                cleared_at: None,
            },
        );
        Ok(())
    }

    async fn update_agent(&mut self, agent: &Agent) -> Result<bool, StoreError> {
        let Some(row) = self.live_agent_row(&agent.developer_id, &agent.id) else {
            return Ok(false);
        };
        row.agent = Agent {
            created_at: row.agent.created_at,
            ..agent.clone()
        };
        Ok(true)
    }

    async fn hide_agent(&mut self, developer: &DeveloperId, id: &AgentId, now: Timestamp) -> Result<bool, StoreError> {
        let Some(row) = self.live_agent_row(developer, id) else {
            return Ok(false);
        };
        row.deleted_at = Some(now);
        Ok(true)
    }

    async fn mark_agent_cleared(&mut self, id: &AgentId, now: Timestamp) -> Result<(), StoreError> {
        if let Some(row) = self.agents.get_mut(id).filter(|row| row.deleted_at.is_some()) {
            row.cleared_at = Some(now);
        }
        Ok(())
    }
}

impl State {
    fn live_agent_row(&mut self, developer: &DeveloperId, id: &AgentId) -> Option<&mut AgentRow> {
        self.agents
            .get_mut(id)
            .filter(|row| row.deleted_at.is_none() && row.agent.developer_id == *developer)
    }

    fn pending_request(&mut self, id: &AuthRequestId, now: Timestamp) -> Option<&mut AuthRequestRow> {
        let is_open =
            |row: &&mut AuthRequestRow| row.request.status == AuthRequestState::Pending && row.request.expires_at > now;
        self.auth_requests.get_mut(id).filter(is_open)
    }
}

#[async_trait]
impl AuthRequestWrites for State {
    async fn insert_auth_request(&mut self, request: &AuthRequest) -> Result<(), StoreError> {
        unique(self.auth_requests.contains_key(&request.id), "authorization request id")?;
        let code_expires_at = match &request.status {
            AuthRequestState::Approved { code_expires_at, .. } => Some(*code_expires_at),
            AuthRequestState::Pending | AuthRequestState::Denied | AuthRequestState::Consumed { .. } => None,
        };
        self.auth_requests.insert(
            request.id.clone(),
            AuthRequestRow {
                request: request.clone(),
                code_expires_at,
            },
        );
        Ok(())
    }

    async fn approve_auth_request(
        &mut self,
        id: &AuthRequestId,
        now: Timestamp,
        code_hash: &SecretHash,
        code_expires_at: Timestamp,
    ) -> Result<bool, StoreError> {
        let Some(row) = self.pending_request(id, now) else {
            return Ok(false);
        };
        row.request.status = AuthRequestState::Approved {
            code_hash: code_hash.clone(),
            code_expires_at,
        };
        row.code_expires_at = Some(code_expires_at);
        Ok(true)
    }

    async fn deny_auth_request(&mut self, id: &AuthRequestId, now: Timestamp) -> Result<bool, StoreError> {
        let Some(row) = self.pending_request(id, now) else {
            return Ok(false);
        };
        row.request.status = AuthRequestState::Denied;
        Ok(true)
    }

    async fn consume_auth_request(
        &mut self,
        id: &AuthRequestId,
        presented: &SecretHash,
        now: Timestamp,
        grant: &GrantId,
    ) -> Result<bool, StoreError> {
        let may_act = |row: &AuthRequestRow| self.may_act(&row.request.agent_id);
        if !self.auth_requests.get(id).is_some_and(may_act) {
            return Ok(false);
        }
        let Some(row) = self.auth_requests.get_mut(id) else {
            return Ok(false);
        };
        let AuthRequestState::Approved {
            code_hash,
            code_expires_at,
        } = &row.request.status
        else {
            return Ok(false);
        };
        if code_hash != presented || *code_expires_at <= now {
            return Ok(false);
        }
        row.request.status = AuthRequestState::Consumed {
            code_hash: code_hash.clone(),
            consumed_at: now,
            grant_id: grant.clone(),
        };
        Ok(true)
    }
}

#[async_trait]
impl GrantWrites for State {
    async fn touch_active_grant(&mut self, id: &GrantId, heir: &AgentId, now: Timestamp) -> Result<bool, StoreError> {
        let is_unexpired = self.grants.get(id).is_some_and(|row| row.is_in_force(now));
        Ok(is_unexpired && self.is_authority(id) && self.may_act(heir))
    }

    async fn revoke_tree(
        &mut self,
        developer: &DeveloperId,
        root: &GrantId,
        _by: RevokedBy,
        now: Timestamp,
    ) -> Result<RevokedTree, StoreError> {
        let mut revoked = RevokedTree::default();
        let mut level: Vec<GrantId> = self
            .grants
            .get(root)
            .filter(|row| row.grant.developer_id == *developer)
            .map(|row| row.grant.id.clone())
            .into_iter()
            .collect();
        while !level.is_empty() {
            for id in &level {
                let Some(row) = self.grants.get_mut(id).filter(|row| row.is_stored_active()) else {
                    continue;
                };
                row.grant.state = GrantState::Revoked { at: now };
                revoked.counted += i64::from(std::mem::take(&mut row.is_counted));
                revoked.grants.push(row.grant.id.clone());
            }
            let is_below = |row: &&GrantRow| {
                row.grant
                    .parent_grant_id
                    .as_ref()
                    .is_some_and(|parent| level.contains(parent))
            };
            level = self
                .grants
                .values()
                .filter(is_below)
                .map(|row| row.grant.id.clone())
                .collect();
        }
        Ok(revoked)
    }

    async fn uncount_expired_grants(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let is_due = |row: &&mut GrantRow| row.is_counted && row.is_stored_active() && row.grant.expires_at <= now;
        let mut uncounted = 0;
        for row in self.grants.values_mut().filter(is_due).take(index(limit)) {
            row.is_counted = false;
            uncounted += 1;
            if let Some(developer) = self.developers.get_mut(&row.grant.developer_id) {
                developer.head.active_grants -= 1;
            }
        }
        Ok(uncounted)
    }
}

/// The answer that is kept for a repeated refresh.
fn kept_answer(token: &mut Token) -> Option<&mut Replay> {
    token
        .refresh_use
        .as_mut()?
        .replay
        .as_mut()
        .filter(|replay| replay.sealed.is_some())
}

#[async_trait]
impl TokenWrites for State {
    async fn use_refresh_token(&mut self, id: &TokenId, used: &RefreshUse) -> Result<bool, StoreError> {
        let is_authority = |token: &Token| self.is_authority(&token.grant_id);
        if !self.tokens.get(id).is_some_and(is_authority) {
            return Ok(false);
        }
        let Some(token) = self.tokens.get_mut(id).filter(|token| token.refresh_use.is_none()) else {
            return Ok(false);
        };
        token.refresh_use = Some(used.clone());
        Ok(true)
    }

    async fn forget_replay(&mut self, id: &TokenId) -> Result<(), StoreError> {
        if let Some(replay) = self.tokens.get_mut(id).and_then(kept_answer) {
            replay.sealed = None;
        }
        Ok(())
    }

    async fn revoke_token(
        &mut self,
        developer: &DeveloperId,
        id: &TokenId,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let is_revocable = |token: &&mut Token| token.developer_id == *developer && token.revoked_at.is_none();
        let Some(token) = self.tokens.get_mut(id).filter(is_revocable) else {
            return Ok(false);
        };
        token.revoked_at = Some(now);
        Ok(true)
    }
}

#[async_trait]
impl BlockWrites for State {
    async fn revoke_block(&mut self, developer: &DeveloperId, id: &str, now: Timestamp) -> Result<bool, StoreError> {
        let place = (developer.clone(), id.to_owned());
        let is_new = !self.revoked_blocks.contains_key(&place);
        self.revoked_blocks.entry(place).or_insert(now);
        Ok(is_new)
    }

    async fn insert_offline_delegation(
        &mut self,
        delegation: &OfflineDelegation,
        limit: u32,
    ) -> Result<bool, StoreError> {
        let place = (delegation.developer_id.clone(), delegation.revocation_id.clone());
        let of_grant = self.offline_delegations.values();
        let count = of_grant.filter(|one| one.grant_id == delegation.grant_id).count();
        if count >= index(limit) || self.offline_delegations.contains_key(&place) {
            return Ok(false);
        }
        self.offline_delegations.insert(place, delegation.clone());
        Ok(true)
    }
}

#[async_trait]
impl LedgerWrites for State {
    async fn lock_head(&mut self, developer: &DeveloperId) -> Result<Option<DeveloperHead>, StoreError> {
        Ok(self.developers.get(developer).map(|row| row.head.clone()))
    }

    async fn write_ledger(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        let Some(row) = self.developers.get_mut(&ledger.developer_id) else {
            return Err(StoreError::Corrupt {
                table: "developers",
                column: "id",
                id: ledger.developer_id.to_string(),
            });
        };
        row.head = DeveloperHead {
            plan: row.head.plan,
            subscriptions: row.head.subscriptions.clone(),
            ..ledger.head.clone()
        };
        for grant in &ledger.grants {
            unique(self.grants.contains_key(&grant.id), "grant id")?;
            self.grants.insert(
                grant.id.clone(),
                GrantRow {
                    grant: grant.clone(),
                    is_counted: true,
                },
            );
        }
        for token in &ledger.tokens {
            unique(self.tokens.contains_key(&token.id), "token id")?;
            unique(
                self.tokens
                    .values()
                    .any(|other| other.refresh_hash == token.refresh_hash),
                "refresh token hash",
            )?;
            self.tokens.insert(token.id.clone(), token.clone());
        }
        for entry in &ledger.audit {
            let place = (entry.developer_id.clone(), entry.chain, entry.seq);
            unique(self.audit.contains_key(&place), "place in the chain")?;
            unique(self.audit.values().any(|other| other.id == entry.id), "audit entry id")?;
            self.audit.insert(place, entry.clone());
        }
        for event in &ledger.events {
            let place = (event.developer_id.clone(), event.seq);
            unique(self.events.contains_key(&place), "event position")?;
            self.events.insert(place, event.clone());
        }
        for delivery in &ledger.deliveries {
            let is_same =
                |other: &Delivery| (&other.webhook_id, other.event_seq) == (&delivery.webhook_id, delivery.event_seq);
            unique(self.deliveries.values().any(is_same), "event of a webhook")?;
            unique(self.deliveries.contains_key(&delivery.id), "delivery id")?;
            self.deliveries.insert(delivery.id.clone(), delivery.clone());
        }
        Ok(())
    }
}

#[async_trait]
impl KeyWrites for State {
    async fn insert_signing_key(&mut self, key: &StoredKey, is_first: bool) -> Result<bool, StoreError> {
        let is_rival = |other: &StoredKey| other.state == KeyState::Active && other.algorithm == key.algorithm;
        let is_known = self.keys.contains_key(&key.kid) || self.removed_keys.contains(&key.kid);
        if is_known || is_first && self.keys.values().any(is_rival) {
            return Ok(false);
        }
        self.keys.insert(key.kid.clone(), key.clone());
        Ok(true)
    }

    async fn retire_signing_key(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let Some(key) = self.keys.get_mut(kid).filter(|key| key.state == KeyState::Active) else {
            return Ok(false);
        };
        key.state = KeyState::Retired;
        key.retired_at = Some(now);
        Ok(true)
    }

    async fn remove_signing_key(&mut self, kid: &str, _now: Timestamp) -> Result<bool, StoreError> {
        if self.keys.get(kid).is_none_or(|key| key.state != KeyState::Retired) {
            return Ok(false);
        }
        self.keys.remove(kid);
        Ok(self.removed_keys.insert(kid.to_owned()))
    }
}

#[async_trait]
impl JanitorWrites for State {
    async fn remove_auth_requests(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let is_over =
            |row: &AuthRequestRow| row.request.expires_at < before && row.code_expires_at.is_none_or(|at| at < before);
        let ids: Vec<_> = self
            .auth_requests
            .iter()
            .filter(|(_, row)| is_over(row))
            .take(index(limit))
            .map(|(id, _)| id.clone())
            .collect();
        ids.iter().for_each(|id| drop(self.auth_requests.remove(id)));
        Ok(count(ids.len()))
    }

    async fn remove_tokens(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let is_over = |token: &Token| token.expires_at < before && token.refresh_expires_at < before;
        let ids: Vec<_> = self
            .tokens
            .iter()
            .filter(|(_, token)| is_over(token))
            .take(index(limit))
            .map(|(id, _)| id.clone())
            .collect();
        ids.iter().for_each(|id| drop(self.tokens.remove(id)));
        Ok(count(ids.len()))
    }

    async fn remove_replays(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let was_used_before = |token: &&mut Token| token.refresh_use.as_ref().is_some_and(|used| used.at < before);
        let kept = self.tokens.values_mut().filter(was_used_before).filter_map(kept_answer);
        let mut removed = 0;
        for replay in kept.take(index(limit)) {
            replay.sealed = None;
            removed += 1;
        }
        Ok(removed)
    }

    async fn remove_revoked_blocks(
        &mut self,
        before: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        let biscuits = self.tokens.values().filter(|token| token.biscuit_key_id.is_some());
        let oldest = biscuits
            .filter(|token| token.expires_at > now)
            .map(|token| token.issued_at)
            .min();
        let old = self
            .revoked_blocks
            .iter()
            .filter(|(_, at)| **at < before && oldest.is_none_or(|oldest| oldest > **at));
        let places: Vec<_> = old.take(index(limit)).map(|(place, _)| place.clone()).collect();
        for place in &places {
            self.revoked_blocks.remove(place);
        }
        Ok(u64::try_from(places.len()).unwrap_or(u64::MAX))
    }

    async fn remove_events(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let places: Vec<_> = self
            .events
            .iter()
            .filter(|(_, event)| event.created_at < before)
            .take(index(limit))
            .map(|(place, _)| place.clone())
            .collect();
        places.iter().for_each(|place| drop(self.events.remove(place)));
        Ok(count(places.len()))
    }

    async fn remove_deliveries(
        &mut self,
        status: DeliveryStatus,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError> {
        Ok(self.remove_deliveries_where(limit, |delivery| {
            delivery.status == status
                && status != DeliveryStatus::Pending
                && delivery.ended_at.is_some_and(|at| at < before)
        }))
    }

    async fn remove_deleted_webhooks(&mut self, limit: u32) -> Result<u64, StoreError> {
        let deleted = self.webhooks.iter().filter(|(_, row)| row.deleted_at.is_some());
        let deleted: Vec<WebhookId> = deleted.map(|(id, _)| id.clone()).collect();
        let removed = self.remove_deliveries_where(limit, |delivery| deleted.contains(&delivery.webhook_id));
        for id in deleted {
            if !self.deliveries.values().any(|delivery| delivery.webhook_id == id) {
                self.webhooks.remove(&id);
            }
        }
        Ok(removed)
    }
}
