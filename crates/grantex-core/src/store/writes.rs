//! What a unit of work may write. Every compare-and-set tells whether it won.

use async_trait::async_trait;

use super::{AnomalyCursor, DeveloperHead, Ledger, Reads, StoredKey};
use crate::agent::Agent;
use crate::anomaly::alert::Anomaly;
use crate::anomaly::book::RuleOverride;
use crate::anomaly::custom::{CustomRule, Mute};
use crate::anomaly::response::{PendingResponse, ResponsePolicy};
use crate::authorize::AuthRequest;
use crate::clock::Timestamp;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::RevokedBy;
use crate::grant::offline::OfflineDelegation;
use crate::id::{
    AgentId, AnomalyId, AnomalyMuteId, AnomalyRuleId, AuthRequestId, DeliveryId, DeveloperId, GrantId, PolicyId,
    TokenId, WebhookId,
};
use crate::plan::Plan;
use crate::policy::{Bundle, BundleFormat, Policy};
use crate::secret::SecretHash;
use crate::token::RefreshUse;
use crate::webhook::health::Health;
use crate::webhook::subscription::Subscriptions;
use crate::webhook::work::DeliveryChange;
use crate::webhook::{Counts, DeliveryStatus, Webhook};

/// Everything that a unit of work may do.
pub trait Writes:
    Reads
    + DeveloperWrites
    + AgentWrites
    + AuthRequestWrites
    + GrantWrites
    + TokenWrites
    + BlockWrites
    + LedgerWrites
    + WebhookWrites
    + AnomalyWrites
    + KeyWrites
    + PolicyWrites
    + JanitorWrites
{
}

impl<T> Writes for T where
    T: Reads
        + DeveloperWrites
        + AgentWrites
        + AuthRequestWrites
        + GrantWrites
        + TokenWrites
        + BlockWrites
        + LedgerWrites
        + WebhookWrites
        + AnomalyWrites
        + KeyWrites
        + PolicyWrites
        + JanitorWrites
{
}

/// Writing developers.
#[async_trait]
pub trait DeveloperWrites {
    /// Adds a developer; `false` when the e-mail is taken.
    async fn insert_developer(&mut self, developer: &Developer, key_hash: &SecretHash) -> Result<bool, StoreError>;
    /// Replaces the API key if it still is the one with `old`; `false` when it is not.
    async fn replace_api_key(
        &mut self,
        id: &DeveloperId,
        old: &SecretHash,
        new: &SecretHash,
    ) -> Result<bool, StoreError>;
    /// Sets the plan; `false` for an unknown developer.
    async fn set_plan(&mut self, id: &DeveloperId, plan: Plan) -> Result<bool, StoreError>;
    /// Sets the passkey display name.
    async fn set_fido_rp_name(&mut self, id: &DeveloperId, name: &str) -> Result<bool, StoreError>;
}

/// Writing agents.
#[async_trait]
pub trait AgentWrites {
    /// Adds an agent.
    async fn insert_agent(&mut self, agent: &Agent) -> Result<(), StoreError>;
    /// Replaces name, description, scopes, `is_restricted`, status and `updated_at`; `false` when the agent is gone.
    async fn update_agent(&mut self, agent: &Agent) -> Result<bool, StoreError>;
    /// Hides an agent from every read; its rows stay. `false` when it is gone already.
    async fn hide_agent(&mut self, developer: &DeveloperId, id: &AgentId, now: Timestamp) -> Result<bool, StoreError>;
    /// Notes that all grants of a deleted agent are revoked.
    async fn mark_agent_cleared(&mut self, id: &AgentId, now: Timestamp) -> Result<(), StoreError>;
}

/// Writing authorization requests.
#[async_trait]
pub trait AuthRequestWrites {
    /// Adds a request, pending or already approved.
    async fn insert_auth_request(&mut self, request: &AuthRequest) -> Result<(), StoreError>;
    /// Pending and unexpired → approved.
    async fn approve_auth_request(
        &mut self,
        id: &AuthRequestId,
        now: Timestamp,
        code_hash: &SecretHash,
        code_expires_at: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Pending and unexpired → denied.
    async fn deny_auth_request(&mut self, id: &AuthRequestId, now: Timestamp) -> Result<bool, StoreError>;
    /// Approved with this code, unexpired, its agent active → consumed. Of several racers exactly one wins.
    ///
    /// In a unit that names its developer the agent stays as it is until the unit ends.
    async fn consume_auth_request(
        &mut self,
        id: &AuthRequestId,
        code_hash: &SecretHash,
        now: Timestamp,
        grant: &GrantId,
    ) -> Result<bool, StoreError>;
}

/// Writing grants. New grants are inserted by [`LedgerWrites::write_ledger`].
#[async_trait]
pub trait GrantWrites {
    /// Locks a grant against revocation until the unit ends, if it is unexpired and in force (see
    /// [`TokenWrites::use_refresh_token`]) and `heir`, to whom it is to be handed on, is active; `false` when not.
    async fn touch_active_grant(&mut self, id: &GrantId, heir: &AgentId, now: Timestamp) -> Result<bool, StoreError>;
    /// Revokes a grant and all its descendants, level by level, whatever state lies in between; returns the grants that were
    /// active (in the order in which they were revoked) and how many of them counted as active.
    async fn revoke_tree(
        &mut self,
        developer: &DeveloperId,
        root: &GrantId,
        by: RevokedBy,
        now: Timestamp,
    ) -> Result<RevokedTree, StoreError>;
    /// Takes up to `limit` expired grants out of the active counts of their developers; returns how many. One unit,
    /// which keeps the store's lock order; where units lock their developer first, so does this one, in the order of ids.
    async fn uncount_expired_grants(&mut self, now: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// What a cascade did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RevokedTree {
    /// The grants that were active until now.
    pub grants: Vec<GrantId>,
    /// How many of them counted as active.
    pub counted: i64,
}

/// Writing tokens. New tokens are inserted by [`LedgerWrites::write_ledger`].
#[async_trait]
pub trait TokenWrites {
    /// Marks the refresh token of this issuance used, if it is unused and its grant is in force: neither it nor a grant above
    /// it is revoked, and none of their agents is suspended or deleted. `false` when not. Expiry is left to the caller.
    ///
    /// In a unit that names its developer the grant stays in force until the unit ends: whatever ends it names the same
    /// developer, and units of one developer run one after another.
    async fn use_refresh_token(&mut self, id: &TokenId, used: &RefreshUse) -> Result<bool, StoreError>;
    /// Forgets the kept answer of a used refresh token; the hash of its key stays.
    async fn forget_replay(&mut self, id: &TokenId) -> Result<(), StoreError>;
    /// Revokes an access token of this developer, if it is not revoked yet; `false` when there is nothing to revoke.
    async fn revoke_token(&mut self, developer: &DeveloperId, id: &TokenId, now: Timestamp)
    -> Result<bool, StoreError>;
}

/// Writing what is known of blocks of Biscuits.
#[async_trait]
pub trait BlockWrites {
    /// Revokes a block for this developer; `false` when it is revoked already.
    async fn revoke_block(&mut self, developer: &DeveloperId, id: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// Inserts what was handed on without the server; `false` when it is known already, or when its grant has `limit` of them. Units at
    /// the same moment may go beyond the limit by as many as they are.
    async fn insert_offline_delegation(
        &mut self,
        delegation: &OfflineDelegation,
        limit: u32,
    ) -> Result<bool, StoreError>;
}

/// The developer's counters and chains: always the last thing that a unit touches.
#[async_trait]
pub trait LedgerWrites {
    /// Locks a developer's head until the unit ends.
    async fn lock_head(&mut self, developer: &DeveloperId) -> Result<Option<DeveloperHead>, StoreError>;
    /// Writes everything that a unit inserts and the advanced head.
    async fn write_ledger(&mut self, ledger: &Ledger) -> Result<(), StoreError>;
}

/// Writing webhook endpoints and deliveries. New deliveries are inserted by [`LedgerWrites::write_ledger`].
#[async_trait]
pub trait WebhookWrites {
    /// Adds an endpoint.
    async fn insert_webhook(&mut self, webhook: &Webhook) -> Result<(), StoreError>;
    /// Replaces what developers may change, the state and the secrets; `false` when the endpoint is gone.
    async fn update_webhook(&mut self, webhook: &Webhook) -> Result<bool, StoreError>;
    /// Replaces what deliveries change.
    async fn update_webhook_health(
        &mut self,
        id: &WebhookId,
        health: &Health,
        counts: &Counts,
    ) -> Result<(), StoreError>;
    /// Hides an endpoint from every read; `false` when it is gone already.
    async fn hide_webhook(&mut self, id: &WebhookId, now: Timestamp) -> Result<bool, StoreError>;
    /// Replaces the subscriptions in a developer's head.
    async fn set_subscriptions(&mut self, developer: &DeveloperId, all: &Subscriptions) -> Result<(), StoreError>;
    /// Claims an active endpoint for `owner` until `until`, unless somebody else has claimed it and that has not run out at
    /// `now`; `false` when it was not claimed.
    async fn claim_webhook(
        &mut self,
        id: &WebhookId,
        owner: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError>;
    /// Gives a claim back, if it is still `owner`'s.
    async fn release_webhook(&mut self, id: &WebhookId, owner: &str) -> Result<(), StoreError>;
    /// Takes down what became of deliveries.
    async fn change_deliveries(&mut self, changes: &[DeliveryChange]) -> Result<(), StoreError>;
    /// Has pending deliveries wait until `until`.
    async fn postpone_deliveries(&mut self, ids: &[DeliveryId], until: Timestamp) -> Result<(), StoreError>;
    /// Makes the pending deliveries with this order key due at `now`.
    async fn advance_deliveries(
        &mut self,
        webhook: &WebhookId,
        order_key: &str,
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Gives up to `limit` pending deliveries of an endpoint up, with this reason; returns how many.
    async fn fail_pending(
        &mut self,
        webhook: &WebhookId,
        reason: &str,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;
    /// Makes up to `limit` failed deliveries of an endpoint, of events since `since`, pending and due at `now`, with all their
    /// attempts before them; returns how many.
    async fn requeue_failed(
        &mut self,
        webhook: &WebhookId,
        since: Timestamp,
        now: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;
}

/// Writing anomalies and what they are found by. A unit advances or touches the developer's cursor first, which it holds until
/// it ends: all of these units of one developer run one after another.
#[async_trait]
pub trait AnomalyWrites {
    /// Sets a developer's cursor, if its version still is `from`; `false` when it is not. Before the first time it is 0.
    async fn advance_anomaly_cursor(
        &mut self,
        developer: &DeveloperId,
        from: i64,
        to: &AnomalyCursor,
    ) -> Result<bool, StoreError>;
    /// Raises the version of a developer's cursor by one.
    async fn touch_anomaly_cursor(&mut self, developer: &DeveloperId) -> Result<(), StoreError>;
    /// Stores the activities of these agents, in place of older ones.
    async fn put_activities(
        &mut self,
        developer: &DeveloperId,
        activities: &[(String, String)],
        now: Timestamp,
    ) -> Result<(), StoreError>;
    /// Adds an anomaly; `false` when there is one of the same developer, subject key and window.
    async fn insert_anomaly(&mut self, anomaly: &Anomaly) -> Result<bool, StoreError>;
    /// Replaces status, times and notes.
    async fn update_anomaly(&mut self, anomaly: &Anomaly) -> Result<(), StoreError>;
    /// Stores what a developer changed about a rule of the server.
    async fn put_rule_override(&mut self, developer: &DeveloperId, change: &RuleOverride) -> Result<(), StoreError>;
    /// Adds a rule; `false` when the developer has one of this `rule_id`.
    async fn insert_anomaly_rule(&mut self, developer: &DeveloperId, rule: &CustomRule) -> Result<bool, StoreError>;
    /// Switches a rule of this developer on or off; `false` when there is none.
    async fn enable_anomaly_rule(
        &mut self,
        developer: &DeveloperId,
        id: &AnomalyRuleId,
        is_enabled: bool,
    ) -> Result<bool, StoreError>;
    /// Removes a rule of this developer; `false` when there is none.
    async fn remove_anomaly_rule(&mut self, developer: &DeveloperId, id: &AnomalyRuleId) -> Result<bool, StoreError>;
    /// Adds a mute.
    async fn insert_anomaly_mute(&mut self, developer: &DeveloperId, mute: &Mute) -> Result<(), StoreError>;
    /// Removes a mute of this developer; `false` when there is none.
    async fn remove_anomaly_mute(&mut self, developer: &DeveloperId, id: &AnomalyMuteId) -> Result<bool, StoreError>;
    /// Stores what a developer wants done about findings.
    async fn put_response_policy(&mut self, developer: &DeveloperId, policy: &ResponsePolicy)
    -> Result<(), StoreError>;
    /// Adds what is to be done about a finding.
    async fn insert_response(&mut self, response: &PendingResponse) -> Result<(), StoreError>;
    /// Replaces how far it is done.
    async fn update_response(&mut self, response: &PendingResponse) -> Result<(), StoreError>;
    /// Removes what was to be done about a finding; `false` when there is nothing.
    async fn remove_response(&mut self, id: &AnomalyId) -> Result<bool, StoreError>;
    /// Removes up to `limit` activities that were last stored before `before`; returns how many.
    async fn remove_activities(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Removes up to `limit` anomalies that were resolved, or, when `unresolved`, only raised, before `before`; returns how many.
    async fn remove_anomalies(&mut self, unresolved: bool, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Removes up to `limit` mutes that ended before `before`; returns how many.
    async fn remove_anomaly_mutes(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
}

/// Writing signing keys.
#[async_trait]
pub trait KeyWrites {
    /// Adds a key. `false` when the kid is there already or was removed, or when `is_first` and there is any active key of its
    /// algorithm: the loser of a race between first starts loads the winner's.
    async fn insert_signing_key(&mut self, key: &StoredKey, is_first: bool) -> Result<bool, StoreError>;
    /// Retires a key; `false` when it is not active.
    async fn retire_signing_key(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError>;
    /// Removes a retired key for good: only its kid stays, so that it is never added again. `false` when it is not retired.
    async fn remove_signing_key(&mut self, kid: &str, now: Timestamp) -> Result<bool, StoreError>;
}

/// Writing policies and bundles. Whoever changes what is in force also advances the developer's policy version, in the same
/// unit and behind the lock on the developer's head.
#[async_trait]
pub trait PolicyWrites {
    /// Adds a policy.
    async fn insert_policy(&mut self, policy: &Policy) -> Result<(), StoreError>;
    /// Replaces what a policy says and `updated_at`; `false` when it is gone.
    async fn update_policy(&mut self, policy: &Policy) -> Result<bool, StoreError>;
    /// Removes a policy; `false` when it is gone already.
    async fn remove_policy(&mut self, developer: &DeveloperId, id: &PolicyId) -> Result<bool, StoreError>;
    /// Adds a bundle with what it holds, in base64.
    async fn insert_policy_bundle(&mut self, bundle: &Bundle, content: &str) -> Result<(), StoreError>;
    /// Takes the bundle in force, if there is one, out of force.
    async fn deactivate_policy_bundle(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
    ) -> Result<(), StoreError>;
    /// Removes a developer's bundles of a format that are not in force, but for the newest `keep`; returns how many.
    async fn remove_old_policy_bundles(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
        keep: u32,
    ) -> Result<u64, StoreError>;
    /// Adds one to a developer's policy version; `false` for an unknown developer.
    async fn advance_policy_version(&mut self, developer: &DeveloperId) -> Result<bool, StoreError>;
}

/// Removing what is over. Each call removes at most `limit` rows and tells how many; none touches audit entries or grants.
#[async_trait]
pub trait JanitorWrites {
    /// Requests that could last be used before `before`: those decided or not, whose request and code have expired.
    async fn remove_auth_requests(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Tokens whose access token and refresh token both ended before `before`.
    async fn remove_tokens(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Kept refresh answers (not the hash of their key) of refresh tokens used before `before`.
    async fn remove_replays(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Revocations of blocks from before `before`, unless a Biscuit that is good at `now` was issued before them: it may hold the block.
    async fn remove_revoked_blocks(&mut self, before: Timestamp, now: Timestamp, limit: u32)
    -> Result<u64, StoreError>;
    /// Events that happened before `before`.
    async fn remove_events(&mut self, before: Timestamp, limit: u32) -> Result<u64, StoreError>;
    /// Deliveries that ended before `before`: delivered ones, or failed ones. Pending ones never.
    async fn remove_deliveries(
        &mut self,
        status: DeliveryStatus,
        before: Timestamp,
        limit: u32,
    ) -> Result<u64, StoreError>;
    /// Deliveries of deleted endpoints, and the endpoints themselves once nothing of them is left.
    async fn remove_deleted_webhooks(&mut self, limit: u32) -> Result<u64, StoreError>;
}
