//! What flows may read.

use async_trait::async_trait;

use super::{AnomalyPosition, EventHead, EventRange, KeyState, StoredEvent, StoredKey};
use crate::agent::Agent;
use crate::anomaly::alert::{Anomaly, AnomalyCount, AnomalyFilter};
use crate::anomaly::book::RuleBook;
use crate::anomaly::response::PendingResponse;
use crate::audit::{AuditEntry, AuditFilter, Chain};
use crate::authorize::AuthRequest;
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::history::EventQuery;
use crate::grant::offline::OfflineDelegation;
use crate::grant::{Ancestor, Grant, GrantFilter};
use crate::id::{
    AgentId, AnomalyId, AuditId, AuthRequestId, BundleId, DeliveryId, DeveloperId, EventId, GrantId, PolicyId, TokenId,
    WebhookId,
};
use crate::page::{Cursor, Page, PageRequest};
use crate::policy::{Bundle, BundleFormat, Policy};
use crate::secret::SecretHash;
use crate::token::TokenRecord;
use crate::webhook::{Delivery, DeliveryFilter, Webhook};

/// Everything that can be read.
pub trait Reads:
    DeveloperReads
    + AgentReads
    + AuthRequestReads
    + GrantReads
    + TokenReads
    + BlockReads
    + AuditReads
    + EventReads
    + WebhookReads
    + AnomalyReads
    + KeyReads
    + PolicyReads
    + Send
{
}

impl<T> Reads for T where
    T: DeveloperReads
        + AgentReads
        + AuthRequestReads
        + GrantReads
        + TokenReads
        + BlockReads
        + AuditReads
        + EventReads
        + WebhookReads
        + AnomalyReads
        + KeyReads
        + PolicyReads
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
    /// Grants of an agent that are stored as active, oldest first, behind `after`; a page of `limit`.
    ///
    /// No index leaves the revoked ones out, so whoever revokes what was found goes on behind it.
    async fn active_grants_of_agent(
        &mut self,
        agent: &AgentId,
        after: Option<&Cursor>,
        limit: u32,
    ) -> Result<Page<GrantId>, StoreError>;
    /// How many of an agent's last `among` grants are in force. Reads `among` rows at most.
    async fn count_agent_grants(&mut self, agent: &AgentId, now: Timestamp, among: u64) -> Result<u64, StoreError>;
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

/// Reading what is known of blocks of Biscuits.
#[async_trait]
pub trait BlockReads {
    /// Those of these blocks, in any order, that this developer revoked.
    async fn revoked_blocks_among(
        &mut self,
        developer: &DeveloperId,
        ids: &[String],
    ) -> Result<Vec<String>, StoreError>;
    /// What was handed on of a grant without the server, newest first.
    async fn offline_delegations(
        &mut self,
        developer: &DeveloperId,
        grant: &GrantId,
        page: &PageRequest,
    ) -> Result<Page<OfflineDelegation>, StoreError>;
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
    /// A developer's events, newest first; cursors name a position.
    ///
    /// A store may take it that a developer's events are ordered by time up to a few minutes: by as much as the clocks of
    /// replicas may disagree.
    async fn events(
        &mut self,
        developer: &DeveloperId,
        query: &EventQuery,
        page: &PageRequest,
    ) -> Result<Page<StoredEvent>, StoreError>;
    /// Which of a developer's events are kept. Of an unknown developer none ever was.
    async fn event_range(&mut self, developer: &DeveloperId) -> Result<EventRange, StoreError>;
    /// The position of an event of this developer, if it is kept.
    async fn event_seq(&mut self, developer: &DeveloperId, id: &EventId) -> Result<Option<i64>, StoreError>;
    /// The newest positions and the key hashes of these developers, in any order; unknown ones are left out.
    async fn event_heads(&mut self, developers: &[DeveloperId]) -> Result<Vec<EventHead>, StoreError>;
}

/// What waits to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Backlog {
    /// Deliveries of active endpoints whose time has come.
    pub due: u64,
    /// Deliveries of active endpoints that wait for their time.
    pub scheduled: u64,
    /// Deliveries of endpoints that are paused.
    pub held: u64,
    /// When the event of the oldest delivery happened, among those of active endpoints.
    pub oldest: Option<Timestamp>,
}

/// How many endpoints there are, by how they stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct WebhookCensus {
    /// Served, and the last attempt succeeded, or there was none.
    pub active: u64,
    /// Served, and the last attempts failed.
    pub failing: u64,
    /// Paused by their developers.
    pub paused: u64,
    /// Disabled by the server.
    pub disabled: u64,
}

/// Reading webhook endpoints and deliveries. Deleted endpoints do not exist here.
#[async_trait]
pub trait WebhookReads {
    /// An endpoint of this developer that is no channel.
    async fn webhook(&mut self, developer: &DeveloperId, id: &WebhookId) -> Result<Option<Webhook>, StoreError>;
    /// An endpoint, channels included, whoever the developer is.
    async fn webhook_by_id(&mut self, id: &WebhookId) -> Result<Option<Webhook>, StoreError>;
    /// A developer's endpoints that are no channels, newest first, at most `limit`.
    async fn webhooks(&mut self, developer: &DeveloperId, limit: u32) -> Result<Vec<Webhook>, StoreError>;
    /// A developer's endpoints that are channels, newest first.
    async fn channels(&mut self, developer: &DeveloperId) -> Result<Vec<Webhook>, StoreError>;
    /// Up to `limit` active endpoints that have due deliveries, whose breaker may let one through, and that nobody but `owner`
    /// has claimed.
    async fn webhooks_with_work(
        &mut self,
        owner: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<WebhookId>, StoreError>;
    /// A delivery of this endpoint.
    async fn delivery(&mut self, webhook: &WebhookId, id: &DeliveryId) -> Result<Option<Delivery>, StoreError>;
    /// An endpoint's deliveries, those of the newest events first. Cursors name an event's position.
    async fn deliveries(
        &mut self,
        webhook: &WebhookId,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Page<Delivery>, StoreError>;
    /// How many deliveries pass a filter, counting no further than `limit`.
    async fn count_deliveries_up_to(
        &mut self,
        webhook: &WebhookId,
        filter: &DeliveryFilter,
        limit: u64,
    ) -> Result<u64, StoreError>;
    /// Up to `limit` pending deliveries of an endpoint whose time has come, the longest due first.
    async fn due_deliveries(
        &mut self,
        webhook: &WebhookId,
        now: Timestamp,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError>;
    /// For each of these order keys, the first pending delivery of the endpoint: position and time of its next attempt.
    async fn first_pending(
        &mut self,
        webhook: &WebhookId,
        order_keys: &[String],
    ) -> Result<Vec<(String, i64, Timestamp)>, StoreError>;
    /// The positions of events from `first` to `last` for which the endpoint has a delivery, whatever became of it.
    async fn delivered_positions(&mut self, webhook: &WebhookId, first: i64, last: i64)
    -> Result<Vec<i64>, StoreError>;
    /// What waits to be delivered, in the whole store. Walks an index over everything that waits.
    async fn backlog(&mut self, now: Timestamp) -> Result<Backlog, StoreError>;
    /// What waits for one endpoint.
    async fn backlog_of(&mut self, webhook: &WebhookId, now: Timestamp) -> Result<Backlog, StoreError>;
    /// How many endpoints there are that are no channels.
    async fn webhook_census(&mut self) -> Result<WebhookCensus, StoreError>;
}

/// Reading anomalies and what they are found by.
#[async_trait]
pub trait AnomalyReads {
    /// Where the search for a developer's anomalies stands; `None` for an unknown developer.
    async fn anomaly_position(&mut self, developer: &DeveloperId) -> Result<Option<AnomalyPosition>, StoreError>;
    /// Up to `limit` developers behind `after`, in id order, whose chains are longer than they have been looked through.
    async fn developers_with_signals(
        &mut self,
        after: Option<&DeveloperId>,
        limit: u32,
    ) -> Result<Vec<DeveloperId>, StoreError>;
    /// The stored activities of these agents, in any order; `""` stands for the developer as a whole. Unknown ones are left out.
    async fn activities(
        &mut self,
        developer: &DeveloperId,
        agents: &[String],
    ) -> Result<Vec<(String, String)>, StoreError>;
    /// Those of these grants, in any order, before which their agent had none of their principal.
    async fn first_grants(&mut self, developer: &DeveloperId, grants: &[GrantId]) -> Result<Vec<GrantId>, StoreError>;
    /// How a developer wants to be watched: its own rules newest first, its mutes in the order of their ends.
    async fn rule_book(&mut self, developer: &DeveloperId) -> Result<RuleBook, StoreError>;
    /// An anomaly of this developer.
    async fn anomaly(&mut self, developer: &DeveloperId, id: &AnomalyId) -> Result<Option<Anomaly>, StoreError>;
    /// A developer's anomalies, newest first.
    async fn anomalies(
        &mut self,
        developer: &DeveloperId,
        filter: &AnomalyFilter,
        page: &PageRequest,
    ) -> Result<Page<Anomaly>, StoreError>;
    /// How many anomalies of a developer were raised at `since` or later, by severity and status, all or those about one agent.
    /// Combinations without any are left out.
    async fn count_anomalies(
        &mut self,
        developer: &DeveloperId,
        agent: Option<&str>,
        since: Timestamp,
    ) -> Result<Vec<AnomalyCount>, StoreError>;
    /// Findings of a developer, or of all, about which something is still to be done, the oldest first, behind `after`.
    async fn pending_responses(
        &mut self,
        developer: Option<&DeveloperId>,
        after: Option<&AnomalyId>,
        limit: u32,
    ) -> Result<Vec<(DeveloperId, AnomalyId)>, StoreError>;
    /// What is still to be done about a finding.
    async fn pending_response(
        &mut self,
        developer: &DeveloperId,
        id: &AnomalyId,
    ) -> Result<Option<PendingResponse>, StoreError>;
    /// How many anomalies of all developers are open: what the gauge shows.
    async fn open_anomalies(&mut self) -> Result<i64, StoreError>;
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

/// How much a developer's policies are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PolicyTotals {
    /// How many.
    pub count: u64,
    /// The sum of their [weights](Policy::weight).
    pub weight: u64,
}

/// Reading policies and bundles.
#[async_trait]
pub trait PolicyReads {
    /// A policy of this developer.
    async fn policy(&mut self, developer: &DeveloperId, id: &PolicyId) -> Result<Option<Policy>, StoreError>;
    /// A developer's policies, the highest priority first, then by id, which is by age; cursors name priority and id.
    async fn policies(&mut self, developer: &DeveloperId, page: &PageRequest) -> Result<Page<Policy>, StoreError>;
    /// All policies of a developer as one statement sees them, in any order.
    async fn all_policies(&mut self, developer: &DeveloperId) -> Result<Vec<Policy>, StoreError>;
    /// How much a developer's policies are.
    async fn policy_totals(&mut self, developer: &DeveloperId) -> Result<PolicyTotals, StoreError>;
    /// How often a developer's policies have changed.
    async fn policy_version(&mut self, developer: &DeveloperId) -> Result<i64, StoreError>;
    /// A developer's newest bundles, newest first, at most `limit`; of one format, or of all.
    async fn policy_bundles(
        &mut self,
        developer: &DeveloperId,
        format: Option<BundleFormat>,
        limit: u32,
    ) -> Result<Vec<Bundle>, StoreError>;
    /// A developer's bundle in force.
    async fn active_policy_bundle(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
    ) -> Result<Option<Bundle>, StoreError>;
    /// What a bundle holds, in base64.
    async fn policy_bundle_content(
        &mut self,
        developer: &DeveloperId,
        id: &BundleId,
    ) -> Result<Option<String>, StoreError>;
}
