//! Everything that happened, as one type, and its projections.
//!
//! [`Event`] is what flows record. [`log`] turns it into a log line, [`webhook`] into a webhook payload, [`audit`] into an
//! entry of the server's chain, and an [`Observer`] into metrics. Each projection is one exhaustive match, so a new variant
//! does not compile until all of them have answered.
//!
//! What developers are told is kept for a while: [`kind`] lists the types, [`filter`] chooses among them, and [`history`] reads
//! what was kept, in pages or from a position on.

pub mod audit;
pub mod filter;
pub mod history;
pub mod kind;
pub mod log;
pub mod signal;
pub mod status;
pub mod webhook;

use std::time::Duration;

pub use status::{
    AuthorizeStatus, ConsentOutcome, DecisionStatus, ExchangeStatus, PolicyChange, RefreshStatus, StreamEnd,
    StreamTransport, VerifyStatus,
};

use crate::anomaly::alert::Anomaly;
use crate::anomaly::channel::ChannelKind;
use crate::anomaly::manage::AnomalyChange;
use crate::anomaly::response::{AnomalyResponse, ResponseMode};
use crate::authorize::Origin;
use crate::clock::Timestamp;
use crate::closed;
use crate::grant::RevokedBy;
use crate::grant::offline::OfflineDelegation;
use crate::id::{AgentId, AnomalyChannelId, BundleId, DeveloperId, GrantId, PolicyId, TokenId, WebhookId};
use crate::policy::{BackendKind, BundleFormat, PolicyAction, PolicyRef};
use crate::scope::Scopes;
use crate::webhook::DisabledReason;

/// Something that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A grant came into being.
    GrantCreated {
        /// The grant.
        grant_id: GrantId,
        /// Its agent.
        agent_id: AgentId,
        /// Its principal.
        principal_id: String,
        /// What it allows.
        scopes: Scopes,
        /// When it ends.
        expires_at: Timestamp,
        /// 0 for a grant by a person.
        delegation_depth: u32,
        /// The grant it was delegated from.
        parent_grant_id: Option<GrantId>,
    },
    /// A grant was revoked, with its descendants.
    GrantRevoked {
        /// The root of the revoked tree.
        grant_id: GrantId,
        /// Its agent.
        agent_id: AgentId,
        /// Its principal.
        principal_id: String,
        /// On whose behalf.
        revoked_by: RevokedBy,
        /// Active descendants that went with it.
        cascade_count: u64,
        /// Whether the root itself was active until now.
        root_was_active: bool,
    },
    /// A code became a grant and its first tokens.
    TokenExchanged(TokenIssue),
    /// A refresh token became new tokens.
    TokenRefreshed(TokenIssue),
    /// A child grant's first tokens were made.
    TokenDelegated(TokenIssue),
    /// An answer to a refresh was repeated for the same idempotency key.
    RefreshReplayed {
        /// The grant.
        grant_id: GrantId,
        /// Its agent.
        agent_id: AgentId,
    },
    /// A code was presented again. The attempt itself is counted by [`Event::TokenExchangeRejected`].
    CodeReuseDetected {
        /// The grant that the code was exchanged for.
        grant_id: GrantId,
        /// Its agent.
        agent_id: AgentId,
        /// Its principal.
        principal_id: String,
        /// Whether the grant was revoked for it.
        is_revoked: bool,
    },
    /// A refresh token was presented again. The attempt itself is counted by [`Event::TokenRefreshRejected`].
    RefreshReuseDetected {
        /// The grant.
        grant_id: GrantId,
        /// Its agent.
        agent_id: AgentId,
        /// Its principal.
        principal_id: String,
        /// Whether the grant was revoked for it.
        is_revoked: bool,
    },
    /// An exchange ended without tokens.
    TokenExchangeRejected {
        /// Why.
        status: ExchangeStatus,
        /// Whose code it was, if the agent that presented it may know.
        agent_id: Option<AgentId>,
    },
    /// A refresh ended without tokens.
    TokenRefreshRejected {
        /// Why.
        status: RefreshStatus,
    },
    /// An authorization request was opened.
    AuthRequestOpened {
        /// The agent that would act.
        agent_id: AgentId,
        /// Who is asked.
        principal_id: String,
        /// What is asked for.
        scopes: Scopes,
    },
    /// An authorization request could not be opened.
    AuthorizeRejected {
        /// Why.
        status: AuthorizeStatus,
        /// The agent, if the developer has it.
        agent_id: Option<AgentId>,
    },
    /// The principal, or a sandbox developer in their place, approved. Counted by [`Event::Consent`].
    AuthRequestApproved {
        /// The agent that may act.
        agent_id: AgentId,
        /// Whose consent it is.
        principal_id: String,
        /// Who approved.
        by: DecidedBy,
        /// What was asked for.
        scopes: Scopes,
        /// Where the principal's decision came from.
        origin: Option<Origin>,
    },
    /// A policy or the principal refused. A refusal by policy is counted by [`Event::AuthorizeRejected`], one by the principal by
    /// [`Event::Consent`].
    AuthRequestDenied {
        /// The agent that would have acted.
        agent_id: AgentId,
        /// Who refused, or would have been asked.
        principal_id: String,
        /// Who or what refused.
        reason: DecidedBy,
        /// What was asked for.
        scopes: Scopes,
        /// Where the principal's decision came from.
        origin: Option<Origin>,
    },
    /// A policy refused a step after the consent. The attempt itself is counted by its rejection.
    PolicyDenied {
        /// What was to be done.
        action: PolicyAction,
        /// What refused.
        by: PolicyRef,
        /// The agent that would have acted.
        agent_id: AgentId,
        /// The person for whom.
        principal_id: String,
        /// The scopes.
        scopes: Scopes,
        /// The grant, where there is one: of a delegation the one that was to be handed on.
        grant_id: Option<GrantId>,
    },
    /// Policies were asked. Only of developers who have some, or where the operator has a policy backend.
    PolicyEvaluated {
        /// What they said.
        decision: DecisionStatus,
        /// How long it took, with reading them when they were not in memory.
        took: Duration,
    },
    /// Policies could not be asked.
    PolicyBackendFailed {
        /// Whom.
        backend: BackendKind,
        /// The cause, for the log.
        error: String,
    },
    /// A policy was made, changed or removed.
    PolicyChanged {
        /// The policy.
        policy_id: PolicyId,
        /// What happened to it.
        change: PolicyChange,
    },
    /// A bundle of policies was stored.
    PolicyBundleStored {
        /// The bundle.
        bundle_id: BundleId,
        /// What it is written in.
        format: BundleFormat,
        /// The hash of what it holds.
        sha256: String,
        /// Whether it is in force now.
        is_active: bool,
    },
    /// Something happened to a consent page.
    Consent {
        /// What.
        outcome: ConsentOutcome,
        /// For a decision: how long it took since the request was opened.
        decided_after: Option<Duration>,
    },
    /// A token was verified and found good.
    TokenVerified,
    /// A token was presented and found bad.
    TokenVerificationFailed {
        /// Why.
        status: VerifyStatus,
        /// Its id, only when the signature was good.
        token_id: Option<TokenId>,
    },
    /// An access token was revoked on its own.
    TokenRevoked {
        /// The token.
        token_id: TokenId,
        /// Its grant.
        grant_id: GrantId,
        /// The grant's agent.
        agent_id: AgentId,
        /// The grant's principal.
        principal_id: String,
    },
    /// A block of Biscuits was revoked, with all that was derived from it.
    BlockRevoked {
        /// The block's signature in hexadecimal digits.
        revocation_id: String,
    },
    /// A Biscuit showed that its authority was handed on without the server.
    OfflineDelegated {
        /// What was handed on.
        delegation: Box<OfflineDelegation>,
        /// The grant's agent.
        agent_id: AgentId,
        /// The grant's principal.
        principal_id: String,
    },
    /// A developer logged an entry.
    AuditEntryLogged,
    /// A developer signed up.
    DeveloperSignedUp {
        /// The developer.
        developer_id: DeveloperId,
    },
    /// A developer's API key was replaced.
    ApiKeyRotated {
        /// The developer.
        developer_id: DeveloperId,
    },
    /// An agent was registered, changed or deleted.
    AgentChanged {
        /// The agent.
        agent_id: AgentId,
        /// What happened to it.
        change: AgentChange,
    },
    /// A webhook endpoint was made, changed or deleted by its developer.
    WebhookChanged {
        /// The endpoint.
        webhook_id: WebhookId,
        /// What happened to it.
        change: WebhookChange,
    },
    /// A developer asked for a test event.
    WebhookTested {
        /// The endpoint under test.
        webhook_id: WebhookId,
    },
    /// The server stopped serving an endpoint.
    WebhookDisabled {
        /// The endpoint.
        webhook_id: WebhookId,
        /// Why.
        reason: DisabledReason,
    },
    /// A receiver took a delivery. The latency that is observed with it is the attempt's.
    WebhookDelivered {
        /// The endpoint.
        webhook_id: WebhookId,
        /// The status that it answered with.
        status_code: u16,
        /// Which attempt it was, from 1.
        attempt: u32,
        /// The time from the event to the receiver's answer.
        since_event: Duration,
        /// The agent that the event is about.
        agent_id: Option<AgentId>,
    },
    /// An attempt failed and will be repeated. The latency that is observed with it is the attempt's.
    WebhookDeliveryRetried(DeliveryFailure),
    /// A delivery was given up. The latency that is observed with it is the last attempt's.
    WebhookDeliveryFailed(DeliveryFailure),
    /// A rule found something, and it was not told before. Its own row keeps it; the chain of the server's acts does not.
    AnomalyDetected(Box<Anomaly>),
    /// Somebody dealt with an anomaly, a rule or a mute.
    AnomalyChanged {
        /// The id of the anomaly, rule or mute.
        subject: String,
        /// What was done.
        change: AnomalyChange,
    },
    /// A channel was told of an anomaly, or could not be.
    ChannelNotified(Notification),
    /// The server did what a developer's response policy says about an anomaly. The changes of agent and grants are events of their own.
    AnomalyResponded(Box<AnomalyResponse>),
    /// A developer changed what is done about anomalies.
    ResponsePolicyChanged {
        /// The mode before.
        previous: ResponseMode,
        /// The mode now.
        mode: ResponseMode,
        /// How many policies there are now.
        policies: usize,
    },
    /// A limit refused a request.
    RateLimitHit {
        /// The client's address.
        ip: String,
        /// The route's template.
        endpoint: &'static str,
        /// Seconds until a retry may succeed.
        retry_after: u64,
    },
    /// A connection to the database failed.
    DatabaseConnectionError {
        /// The cause, for the log.
        error: String,
        /// Which pool: `read`, `write` or `postgres`.
        pool: &'static str,
        /// Failures of this pool since the last line about it, which were counted and not logged.
        unlogged: u64,
    },
    /// Connections to the database work again.
    DatabaseConnectionRestored {
        /// Which pool.
        pool: &'static str,
        /// Failures of this pool since the last line about it, which were counted and not logged.
        unlogged: u64,
    },
}

/// Tokens that were made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenIssue {
    /// The access token.
    pub token_id: TokenId,
    /// Its grant.
    pub grant_id: GrantId,
    /// Its agent.
    pub agent_id: AgentId,
    /// Its principal.
    pub principal_id: String,
    /// What it allows.
    pub scopes: Scopes,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Who or what decided an authorization request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DecidedBy {
    /// A policy: this one.
    Policy(PolicyRef),
    /// The principal, on the consent page.
    Principal,
    /// The developer, in sandbox mode.
    Developer,
}

impl DecidedBy {
    /// The policy that decided.
    pub const fn policy(&self) -> Option<&PolicyRef> {
        match self {
            Self::Policy(by) => Some(by),
            Self::Principal | Self::Developer => None,
        }
    }

    /// The name in log and audit.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Policy(_) => "policy",
            Self::Principal => "principal",
            Self::Developer => "developer",
        }
    }
}

closed! {
    /// What happened to an agent.
    pub enum AgentChange {
        /// It was registered.
        Registered = "registered",
        /// Name, description or scopes changed.
        Updated = "updated",
        /// It was suspended.
        Suspended = "suspended",
        /// It may act again.
        Resumed = "resumed",
        /// It was deleted.
        Deleted = "deleted",
    }
}

/// An attempt to tell a channel of an anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// The channel.
    pub channel_id: AnomalyChannelId,
    /// What it speaks.
    pub kind: ChannelKind,
    /// How it ended.
    pub outcome: NotificationOutcome,
    /// The status of the answer, or the mail server's reply code, if there was one.
    pub status_code: Option<u16>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What went wrong.
    pub error: Option<String>,
}

closed! {
    /// How an attempt to tell a channel ended.
    pub enum NotificationOutcome {
        /// The receiver took it.
        Delivered = "delivered",
        /// It failed and will be tried again.
        Retried = "retried",
        /// It was given up.
        Failed = "failed",
    }
}

/// A delivery attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryFailure {
    /// The endpoint.
    pub webhook_id: WebhookId,
    /// Where it was sent, without query and fragment.
    pub url: String,
    /// The status of the answer, if there was one.
    pub status_code: Option<u16>,
    /// Which attempt it was, from 1.
    pub attempt: u32,
    /// What went wrong.
    pub error: String,
    /// The agent that the event is about.
    pub agent_id: Option<AgentId>,
}

closed! {
    /// What a developer did to a webhook endpoint.
    pub enum WebhookChange {
        /// It was made.
        Created = "created",
        /// URL, events or description changed.
        Updated = "updated",
        /// It was paused.
        Paused = "paused",
        /// It is served again.
        Resumed = "resumed",
        /// Its secret was replaced.
        SecretRotated = "secret_rotated",
        /// It was deleted.
        Deleted = "deleted",
    }
}

/// Learns of every event, after its commit. Must not block.
pub trait Observer: Send + Sync + 'static {
    /// `latency` is the time since the call began.
    fn observe(&self, event: &Event, latency: Duration);
}

/// Observes nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unobserved;

impl Observer for Unobserved {
    fn observe(&self, _event: &Event, _latency: Duration) {}
}
