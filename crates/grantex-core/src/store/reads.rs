//! What flows may read.

use async_trait::async_trait;

use super::{KeyState, StoredEvent, StoredKey};
use crate::agent::Agent;
use crate::audit::{AuditEntry, AuditFilter, Chain};
use crate::authorize::AuthRequest;
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::{Ancestor, Grant, GrantFilter};
use crate::id::{AgentId, AuditId, AuthRequestId, DeveloperId, GrantId, TokenId};
use crate::page::{Page, PageRequest};
use crate::secret::SecretHash;
use crate::token::TokenRecord;

/// Everything that can be read.
pub trait Reads:
    DeveloperReads + AgentReads + AuthRequestReads + GrantReads + TokenReads + AuditReads + EventReads + KeyReads + Send
{
}

impl<T> Reads for T where
    T: DeveloperReads
        + AgentReads
        + AuthRequestReads
        + GrantReads
        + TokenReads
        + AuditReads
        + EventReads
        + KeyReads
        + Send
{
}

/// Reading developers.
#[async_trait]
pub trait DeveloperReads {
    /// The developer with this id.
    async fn developer(&mut self, id: &DeveloperId) -> Result<Option<Developer>, StoreError>;
    /// The developer whose API key has this hash.
    async fn developer_by_key(&mut self, key_hash: &SecretHash) -> Result<Option<Developer>, StoreError>;
    /// Up to `limit` developer ids behind `after`, in id order: for jobs that visit all of them.
    async fn developer_ids(&mut self, after: Option<&DeveloperId>, limit: u32) -> Result<Vec<DeveloperId>, StoreError>;
    /// A developer's counted active grants, without locking anything.
    async fn active_grants(&mut self, id: &DeveloperId) -> Result<i64, StoreError>;
    /// The sum of all developers' counted active grants: what the gauge shows.
    async fn total_active_grants(&mut self) -> Result<i64, StoreError>;
    /// Whether there is no developer at all: a first start.
    async fn has_no_developer(&mut self) -> Result<bool, StoreError>;
}

/// An agent that was deleted and whose grants are still to be revoked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeletedAgent {
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The agent.
    pub agent_id: AgentId,
    /// When it was deleted.
    pub deleted_at: Timestamp,
}

/// Reading agents. Deleted agents do not exist here.
#[async_trait]
pub trait AgentReads {
    /// An agent of this developer.
    async fn agent(&mut self, developer: &DeveloperId, id: &AgentId) -> Result<Option<Agent>, StoreError>;
    /// A developer's agents, newest first.
    async fn agents(&mut self, developer: &DeveloperId, page: &PageRequest) -> Result<Page<Agent>, StoreError>;
    /// How many agents a developer has, counting no further than `limit`.
    async fn count_agents_up_to(&mut self, developer: &DeveloperId, limit: u64) -> Result<u64, StoreError>;
    /// Deleted agents whose grants are still to be revoked, at most `limit`.
    async fn agents_to_clear(&mut self, limit: u32) -> Result<Vec<DeletedAgent>, StoreError>;
}

/// Reading authorization requests.
#[async_trait]
pub trait AuthRequestReads {
    /// The request with this id.
    async fn auth_request(&mut self, id: &AuthRequestId) -> Result<Option<AuthRequest>, StoreError>;
    /// The request whose code has this hash.
    async fn auth_request_by_code(&mut self, code_hash: &SecretHash) -> Result<Option<AuthRequest>, StoreError>;
}

/// A grant with what the principal wants to know of its agent; `None` when the agent was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PrincipalGrant {
    /// The grant.
    pub grant: Grant,
    /// The agent.
    pub agent: Option<Agent>,
}

/// Reading grants.
#[async_trait]
pub trait GrantReads {
    /// A grant of this developer.
    async fn grant(&mut self, developer: &DeveloperId, id: &GrantId) -> Result<Option<Grant>, StoreError>;
    /// A developer's grants, newest first. `now` decides which are expired.
    async fn grants(
        &mut self,
        developer: &DeveloperId,
        filter: &GrantFilter,
        page: &PageRequest,
        now: Timestamp,
    ) -> Result<Page<Grant>, StoreError>;
    /// What stands above a grant, nearest first, up to the root.
    async fn ancestors(&mut self, grant: &Grant) -> Result<Vec<Ancestor>, StoreError>;
    /// Up to `limit` grants of an agent that are stored as active.
    async fn active_grants_of_agent(&mut self, agent: &AgentId, limit: u32) -> Result<Vec<GrantId>, StoreError>;
    /// Whether a principal has a grant in force.
    async fn has_active_grant(
        &mut self,
        developer: &DeveloperId,
        principal: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError>;
    /// A principal's grants in force, newest first, at most `limit`.
    async fn grants_of_principal(
        &mut self,
        developer: &DeveloperId,
        principal: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<PrincipalGrant>, StoreError>;
}

/// Reading tokens.
#[async_trait]
pub trait TokenReads {
    /// A token with its grant and agent, whoever the developer is.
    async fn token(&mut self, id: &TokenId) -> Result<Option<TokenRecord>, StoreError>;
    /// The token that came with the refresh token of this hash, with its grant and agent.
    async fn token_by_refresh(&mut self, refresh_hash: &SecretHash) -> Result<Option<TokenRecord>, StoreError>;
    /// The first token of a grant: the one that the code was exchanged for.
    async fn first_token_of_grant(&mut self, grant: &GrantId) -> Result<Option<TokenRecord>, StoreError>;
}

/// Reading audit entries.
#[async_trait]
pub trait AuditReads {
    /// An entry of this developer, from either chain.
    async fn audit_entry(&mut self, developer: &DeveloperId, id: &AuditId) -> Result<Option<AuditEntry>, StoreError>;
    /// Entries of one chain, ascending, from the page's start; cursors name a sequence number.
    async fn audit_entries(
        &mut self,
        developer: &DeveloperId,
        chain: Chain,
        filter: &AuditFilter,
        page: &PageRequest,
    ) -> Result<Page<AuditEntry>, StoreError>;
    /// The newest `limit` matching entries of one chain, newest first.
    async fn newest_audit_entries(
        &mut self,
        developer: &DeveloperId,
        chain: Chain,
        filter: &AuditFilter,
        limit: u32,
    ) -> Result<Vec<AuditEntry>, StoreError>;
}

/// Reading events.
#[async_trait]
pub trait EventReads {
    /// A developer's events behind `after`, in order, at most `limit`.
    async fn events_after(
        &mut self,
        developer: &DeveloperId,
        after: i64,
        limit: u32,
    ) -> Result<Vec<StoredEvent>, StoreError>;
}

/// Reading signing keys.
#[async_trait]
pub trait KeyReads {
    /// All keys, oldest first. Removed keys are none.
    async fn signing_keys(&mut self) -> Result<Vec<StoredKey>, StoreError>;
    /// Whether there was a key with this kid that has been removed.
    async fn was_signing_key_removed(&mut self, kid: &str) -> Result<bool, StoreError>;
    /// Whether a token signed by this key is still unexpired at `now`.
    async fn has_live_token(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// The keys in a state, oldest first.
    async fn signing_keys_in(&mut self, state: KeyState) -> Result<Vec<StoredKey>, StoreError> {
        Ok(self
            .signing_keys()
            .await?
            .into_iter()
            .filter(|key| key.state == state)
            .collect())
    }
}
