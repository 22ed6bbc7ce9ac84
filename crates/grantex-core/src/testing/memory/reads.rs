//! The ports that read.

use async_trait::async_trait;

use super::state::{AgentRow, DeveloperRow, GrantRow, State, count, cut, index, matches, newest_first};
use crate::agent::Agent;
use crate::audit::{AuditEntry, AuditFilter, Chain};
use crate::authorize::{AuthRequest, AuthRequestState};
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::history::EventQuery;
use crate::grant::offline::OfflineDelegation;
use crate::grant::{Ancestor, Grant, GrantFilter};
use crate::id::{AgentId, AuditId, AuthRequestId, DeveloperId, EventId, GrantId, TokenId};
use crate::page::{Cursor, Page, PageRequest};
use crate::secret::SecretHash;
use crate::store::{
    AgentReads, AuditReads, AuthRequestReads, BlockReads, DeletedAgent, DeveloperReads, EventHead, EventRange,
    EventReads, EventRow, GrantReads, KeyReads, PrincipalGrant, StoredEvent, StoredKey, TokenReads,
};
use crate::token::TokenRecord;

#[async_trait]
impl DeveloperReads for State {
    async fn developer(&mut self, id: &DeveloperId) -> Result<Option<Developer>, StoreError> {
        Ok(self.developers.get(id).map(|row| row.developer()))
    }

    async fn developer_by_key(&mut self, key_hash: &SecretHash) -> Result<Option<Developer>, StoreError> {
        Ok(self
            .developers
            .values()
            .find(|row| row.key_hash == *key_hash)
            .map(|row| row.developer()))
    }

    async fn developer_ids(&mut self, after: Option<&DeveloperId>, limit: u32) -> Result<Vec<DeveloperId>, StoreError> {
        let ids = self
            .developers
            .keys()
            .filter(|id| after.is_none_or(|after| *id > after));
        Ok(ids.take(index(limit)).cloned().collect())
    }

    async fn active_grants(&mut self, id: &DeveloperId) -> Result<i64, StoreError> {
        Ok(self.developers.get(id).map_or(0, |row| row.head.active_grants))
    }

    async fn total_active_grants(&mut self) -> Result<i64, StoreError> {
        Ok(self.developers.values().map(|row| row.head.active_grants).sum())
    }

    async fn has_no_developer(&mut self) -> Result<bool, StoreError> {
        Ok(self.developers.is_empty())
    }
}

#[async_trait]
impl AgentReads for State {
    async fn agent(&mut self, developer: &DeveloperId, id: &AgentId) -> Result<Option<Agent>, StoreError> {
        Ok(self
            .live_agent(id)
            .filter(|agent| agent.developer_id == *developer)
            .cloned())
    }

    async fn agents(&mut self, developer: &DeveloperId, page: &PageRequest) -> Result<Page<Agent>, StoreError> {
        Ok(newest_first(self.live_agents(developer).collect(), page, |agent| {
            (agent.created_at.as_millis(), agent.id.as_str())
        }))
    }

    async fn count_agents_up_to(&mut self, developer: &DeveloperId, limit: u64) -> Result<u64, StoreError> {
        Ok(count(self.live_agents(developer).count()).min(limit))
    }

    async fn agents_to_clear(&mut self, limit: u32) -> Result<Vec<DeletedAgent>, StoreError> {
        let uncleared = self.agents.values().filter(|row| row.cleared_at.is_none());
        let mut deleted: Vec<DeletedAgent> = uncleared
            .filter_map(
                |AgentRow {
                     agent: Agent { developer_id, id, .. },
                     deleted_at,
                     ..
                 }| {
                    let (developer_id, agent_id) = (developer_id.clone(), id.clone());
                    deleted_at.map(|deleted_at| DeletedAgent {
                        developer_id,
                        agent_id,
                        deleted_at,
                    })
                },
            )
            .collect();
        deleted.sort_by_key(|agent| agent.deleted_at);
        deleted.truncate(index(limit));
        Ok(deleted)
    }
}

impl State {
    fn live_agents<'a>(&'a self, developer: &'a DeveloperId) -> impl Iterator<Item = &'a Agent> {
        self.agents
            .values()
            .filter(|row| row.deleted_at.is_none())
            .map(|row| &row.agent)
            .filter(move |agent| agent.developer_id == *developer)
    }
}

#[async_trait]
impl AuthRequestReads for State {
    async fn auth_request(&mut self, id: &AuthRequestId) -> Result<Option<AuthRequest>, StoreError> {
        Ok(self.auth_requests.get(id).map(|row| row.request.clone()))
    }

    async fn auth_request_by_code(&mut self, wanted: &SecretHash) -> Result<Option<AuthRequest>, StoreError> {
        let mut requests = self.auth_requests.values().map(|row| &row.request);
        let found = requests.find(|request| match &request.status {
            AuthRequestState::Approved { code_hash, .. } | AuthRequestState::Consumed { code_hash, .. } => {
                code_hash == wanted
            }
            AuthRequestState::Pending | AuthRequestState::Denied => false,
        });
        Ok(found.cloned())
    }
}

#[async_trait]
impl GrantReads for State {
    async fn grant(&mut self, developer: &DeveloperId, id: &GrantId) -> Result<Option<Grant>, StoreError> {
        Ok(self
            .grants
            .get(id)
            .map(|row| &row.grant)
            .filter(|grant| grant.developer_id == *developer)
            .cloned())
    }

    async fn grants(
        &mut self,
        developer: &DeveloperId,
        filter: &GrantFilter,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<Grant>, StoreError> {
        let grants = self.grants.values().map(|row| &row.grant);
        let wanted = grants
            .filter(|grant| grant.developer_id == *developer && matches(grant, filter, now))
            .collect();
        Ok(newest_first(wanted, page, |grant| {
            (grant.issued_at.as_millis(), grant.id.as_str())
        }))
    }

    async fn ancestors(&mut self, grant: &Grant) -> Result<Vec<Ancestor>, StoreError> {
        let mut ancestors = Vec::new();
        let mut parent = grant.parent_grant_id.as_ref();
        while let Some(row) = parent.and_then(|id| self.grants.get(id)) {
            ancestors.push(Ancestor {
                grant_id: row.grant.id.clone(),
                state: row.grant.state,
                agent_status: self.agent_status(&row.grant.agent_id),
            });
            parent = row.grant.parent_grant_id.as_ref();
        }
        Ok(ancestors)
    }

    async fn active_grants_of_agent(
        &mut self,
        agent: &AgentId,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<GrantId>, StoreError> {
        let is_behind = |row: &&GrantRow| {
            after.is_none_or(|after| {
                (row.grant.issued_at.as_millis(), row.grant.id.as_str()) > (after.at, after.id.as_str())
            })
        };
        let mut rows: Vec<&GrantRow> = self
            .grants
            .values()
            .filter(|row| row.is_stored_active() && row.grant.agent_id == *agent)
            .filter(is_behind)
            .collect();
        rows.sort_by_key(|row| (row.grant.issued_at, row.grant.id.clone()));
        let page = Page::from_overfetched(rows, limit, |row| Cursor {
            at: row.grant.issued_at.as_millis(),
            id: row.grant.id.to_string(),
        });
        Ok(Page {
            items: page.items.into_iter().map(|row| row.grant.id.clone()).collect(),
            next: page.next,
        })
    }

    async fn count_agent_grants(&mut self, agent: &AgentId, now: Timestamp, among: u64) -> Result<u64, StoreError> {
        let mut grants: Vec<_> = self
            .grants
            .values()
            .filter(|row| row.grant.agent_id == *agent)
            .collect();
        grants.sort_by_key(|row| std::cmp::Reverse((row.grant.issued_at, row.grant.id.clone())));
        let last = grants.iter().take(usize::try_from(among).unwrap_or(usize::MAX));
        let in_force = last.filter(|row| row.is_stored_active() && row.grant.expires_at > now);
        Ok(count(in_force.count()))
    }

    async fn has_active_grant(
        &mut self,
        developer: &DeveloperId,
        principal: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        Ok(self.grants_in_force(developer, principal, now).next().is_some())
    }

    async fn grants_of_principal(
        &mut self,
        developer: &DeveloperId,
        principal: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<PrincipalGrant>, StoreError> {
        let mut grants: Vec<&Grant> = self.grants_in_force(developer, principal, now).collect();
        grants.sort_by(|a, b| (b.issued_at, &b.id).cmp(&(a.issued_at, &a.id)));
        let with_agent = |grant: &Grant| PrincipalGrant {
            grant: grant.clone(),
            agent: self.live_agent(&grant.agent_id).cloned(),
        };
        Ok(grants.into_iter().take(index(limit)).map(with_agent).collect())
    }
}

impl State {
    fn grants_in_force<'a>(
        &'a self,
        developer: &'a DeveloperId,
        principal: &'a str,
        now: Timestamp,
    ) -> impl Iterator<Item = &'a Grant> {
        self.grants
            .values()
            .filter(move |row| row.is_in_force(now))
            .map(|row| &row.grant)
            .filter(move |grant| grant.developer_id == *developer && grant.principal_id == principal)
    }
}

#[async_trait]
impl TokenReads for State {
    async fn token(&mut self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError> {
        self.tokens.get(id).map(|token| self.record(token)).transpose()
    }

    async fn token_by_refresh(&mut self, refresh_hash: &SecretHash) -> Result<Option<TokenRecord>, StoreError> {
        self.tokens
            .values()
            .find(|token| token.refresh_hash == *refresh_hash)
            .map(|token| self.record(token))
            .transpose()
    }

    async fn first_token_of_grant(&mut self, grant: &GrantId) -> Result<Option<TokenRecord>, StoreError> {
        let of_grant = || self.tokens.values().filter(|token| token.grant_id == *grant);
        // Two issuances can share a second and, between replicas, even be out of order: the first is nobody's successor.
        let is_successor = |id: &TokenId| {
            of_grant()
                .filter_map(|token| token.refresh_use.as_ref())
                .any(|used| used.successor == *id)
        };
        let first = of_grant().min_by_key(|token| (is_successor(&token.id), token.issued_at, &token.id));
        first.map(|token| self.record(token)).transpose()
    }
}

#[async_trait]
impl BlockReads for State {
    async fn revoked_blocks_among(
        &mut self,
        developer: &DeveloperId,
        ids: &[String],
    ) -> Result<Vec<String>, StoreError> {
        let is_revoked = |id: &&String| self.revoked_blocks.contains_key(&(developer.clone(), (*id).clone()));
        Ok(ids.iter().filter(is_revoked).cloned().collect())
    }

    async fn offline_delegations(
        &mut self,
        developer: &DeveloperId,
        grant: &GrantId,
        page: &PageRequest,
    ) -> Result<Page<OfflineDelegation>, StoreError> {
        let own = self.offline_delegations.values();
        let wanted = own
            .filter(|one| one.developer_id == *developer && one.grant_id == *grant)
            .collect();
        Ok(newest_first(wanted, page, |one| {
            (one.first_seen_at.as_millis(), one.revocation_id.as_str())
        }))
    }
}

#[async_trait]
impl AuditReads for State {
    async fn audit_entry(&mut self, developer: &DeveloperId, id: &AuditId) -> Result<Option<AuditEntry>, StoreError> {
        Ok(self
            .audit
            .values()
            .find(|entry| entry.developer_id == *developer && entry.id == *id)
            .cloned())
    }

    async fn audit_entries(
        &mut self,
        developer: &DeveloperId,
        chain: Chain,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError> {
        let start = page.after();
        let entries = self
            .entries(developer, chain, filter)
            .filter(|entry| start.is_none_or(|cursor| entry.seq > cursor.at));
        Ok(cut(entries, page, AuditEntry::cursor))
    }

    async fn newest_audit_entries(
        &mut self,
        developer: &DeveloperId,
        chain: Chain,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError> {
        Ok(self
            .entries(developer, chain, filter)
            .rev()
            .take(index(limit))
            .cloned()
            .collect())
    }
}

#[async_trait]
impl EventReads for State {
    async fn events_after(
        &mut self,
        developer: &DeveloperId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError> {
        let rows = self.events_of(developer).filter(|row| row.seq > after);
        Ok(rows.take(index(limit)).map(stored).collect())
    }

    async fn events(
        &mut self,
        developer: &DeveloperId,
        query: &EventQuery,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError> {
        let start = page.after();
        let rows: Vec<StoredEvent> = self
            .events_of(developer)
            .rev()
            .filter(|row| query.filter.admits(row.kind))
            .filter(|row| query.since.is_none_or(|since| row.created_at >= since))
            .filter(|row| query.until.is_none_or(|until| row.created_at < until))
            .filter(|row| start.is_none_or(|cursor| row.seq < cursor.at))
            .map(stored)
            .collect();
        Ok(cut(rows.iter(), page, StoredEvent::cursor))
    }

    async fn event_range(&mut self, developer: &DeveloperId) -> Result<EventRange, StoreError> {
        let newest = self.developers.get(developer).map_or(0, |row| row.head.event_seq);
        let oldest = self.events_of(developer).next().map_or(newest + 1, |row| row.seq);
        Ok(EventRange { oldest, newest })
    }

    async fn event_seq(&mut self, developer: &DeveloperId, id: &EventId) -> Result<Option<i64>, StoreError> {
        Ok(self.events_of(developer).find(|row| row.id == *id).map(|row| row.seq))
    }

    async fn event_heads(&mut self, developers: &[DeveloperId]) -> Result<Vec<EventHead>, StoreError> {
        let known = developers.iter().filter_map(|id| self.developers.get(id));
        let head = |row: &DeveloperRow| EventHead {
            developer_id: row.developer.id.clone(),
            newest: row.head.event_seq,
            key_hash: row.key_hash.clone(),
        };
        Ok(known.map(head).collect())
    }
}

impl State {
    fn events_of(&self, developer: &DeveloperId) -> impl DoubleEndedIterator<Item = &EventRow> {
        let (first, last) = ((developer.clone(), i64::MIN), (developer.clone(), i64::MAX));
        self.events.range(first..=last).map(|(_, row)| row)
    }
}

fn stored(row: &EventRow) -> StoredEvent {
    StoredEvent {
        seq: row.seq,
        id: row.id.clone(),
        kind: row.kind.to_owned(),
        payload: row.payload.clone(),
        created_at: row.created_at,
    }
}

#[async_trait]
impl KeyReads for State {
    async fn signing_keys(&mut self) -> Result<Vec<StoredKey>, StoreError> {
        let mut keys: Vec<StoredKey> = self.keys.values().cloned().collect();
        keys.sort_by(|a, b| (a.created_at, &a.kid).cmp(&(b.created_at, &b.kid)));
        Ok(keys)
    }

    async fn was_signing_key_removed(&mut self, kid: &str) -> Result<bool, StoreError> {
        Ok(self.removed_keys.contains(kid))
    }

    async fn has_live_token(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        Ok(self.tokens.values().any(|token| {
            (token.key_id == kid || token.biscuit_key_id.as_deref() == Some(kid)) && token.expires_at > now
        }))
    }
}
