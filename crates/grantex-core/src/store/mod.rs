//! The port to storage: what flows may read, what they may write, and how one unit of work commits.
//!
//! A store implements one small trait per aggregate ([`DeveloperReads`], [`GrantWrites`], …) on its connection, and [`Store`]
//! itself. [`Reads`] and [`Writes`] gather them and come for free. Prove an implementation with
//! [`crate::testing::conformance`].

mod reads;
mod writes;

pub use reads::{
    AgentReads, AnomalyReads, AuditReads, AuthRequestReads, Backlog, BlockReads, DeletedAgent, DeveloperReads,
    EventReads, GrantReads, KeyReads, PolicyReads, PolicyTotals, PrincipalGrant, Reads, RevocationReads, TokenReads,
    WebhookCensus, WebhookReads,
};
pub use writes::{
    AgentWrites, AnomalyWrites, AuthRequestWrites, BlockWrites, DeveloperWrites, GrantWrites, JanitorWrites, KeyWrites,
    LedgerWrites, PolicyWrites, RevocationWrites, RevokedTree, TokenWrites, WebhookWrites, Writes,
};

use std::future::Future;
use std::pin::Pin;

use crate::agent::Agent;
use crate::audit::{AuditEntry, Chain};
use crate::authorize::AuthRequest;
use crate::clock::Timestamp;
use crate::closed;
use crate::context::Admission;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::Grant;
use crate::id::{AgentId, AuditId, DeveloperId, EventId, TokenId};
use crate::plan::Plan;
use crate::secret::SecretHash;
use crate::token::{Token, TokenRecord};
use crate::trace::Recording;
use crate::webhook::Delivery;
use crate::webhook::subscription::Subscriptions;

/// A boxed future, as the units of work return it.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How a unit of work is to be run.
#[derive(Debug, Clone)]
pub struct UnitOptions {
    /// The developer whose chain the unit appends to, if any. A store may combine waiting units of one developer into one
    /// transaction, each behind a savepoint.
    pub developer: Option<DeveloperId>,
    /// Asked right before the unit's first statement.
    pub admission: Admission,
}

/// Storage.
pub trait Store: Clone + Send + Sync + 'static {
    /// The same store, for one call: what is asked of it is told to `recording`. A store that does not record is as good.
    #[must_use]
    fn recorded(&self, recording: &Recording) -> Self {
        let _ = recording;
        self.clone()
    }

    /// Runs `work` with read access. Each statement sees what was committed before it; there is no snapshot over several.
    fn read<T, E, F>(&self, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Reads) -> BoxFuture<'a, Result<T, E>> + Send + 'static;

    /// Runs `work` as one atomic unit: committed when it returns `Ok`, rolled back when it returns `Err`.
    ///
    /// When the returned future resolves with `Ok`, the unit is durable and visible to every later read on every replica.
    /// `work` awaits nothing but the store. Dropping the future does not undo a unit that has begun.
    ///
    /// # Errors
    /// [`StoreError::Withdrawn`] when the admission was withdrawn before the unit began; [`StoreError::Unavailable`] when
    /// nothing was committed; [`StoreError::OutcomeUnknown`] when the commit's answer was lost.
    fn transact<T, E, F>(&self, options: UnitOptions, work: F) -> impl Future<Output = Result<T, E>> + Send
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'a> FnOnce(&'a mut dyn Writes) -> BoxFuture<'a, Result<T, E>> + Send + 'static;

    /// [`DeveloperReads::developer_by_key`] on its own.
    ///
    /// This and the next four are the reads that most calls begin with. They have methods of their own so that a store may
    /// answer many waiting callers with one query; each still sees whatever was committed before it was asked.
    fn developer_by_key(
        &self,
        key_hash: SecretHash,
    ) -> impl Future<Output = Result<Option<Developer>, StoreError>> + Send {
        self.read(move |tx| Box::pin(async move { tx.developer_by_key(&key_hash).await }))
    }

    /// [`AgentReads::agent`] on its own.
    fn agent(
        &self,
        developer: DeveloperId,
        id: AgentId,
    ) -> impl Future<Output = Result<Option<Agent>, StoreError>> + Send {
        self.read(move |tx| Box::pin(async move { tx.agent(&developer, &id).await }))
    }

    /// The request whose code has this hash, with its agent.
    fn request_of_code(
        &self,
        code_hash: SecretHash,
    ) -> impl Future<Output = Result<Option<(AuthRequest, Option<Agent>)>, StoreError>> + Send {
        self.read(move |tx| {
            Box::pin(async move {
                let Some(request) = tx.auth_request_by_code(&code_hash).await? else {
                    return Ok(None);
                };
                let agent = tx.agent(&request.developer_id, &request.agent_id).await?;
                Ok(Some((request, agent)))
            })
        })
    }

    /// [`TokenReads::token`] on its own.
    fn token(&self, id: TokenId) -> impl Future<Output = Result<Option<TokenRecord>, StoreError>> + Send {
        self.read(move |tx| Box::pin(async move { tx.token(&id).await }))
    }

    /// [`TokenReads::token_by_refresh`] on its own.
    fn token_by_refresh(
        &self,
        refresh_hash: SecretHash,
    ) -> impl Future<Output = Result<Option<TokenRecord>, StoreError>> + Send {
        self.read(move |tx| Box::pin(async move { tx.token_by_refresh(&refresh_hash).await }))
    }

    /// Answers when the store can serve a read.
    fn ping(&self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// The last link of one audit chain.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ChainHead {
    /// Entries in the chain.
    pub seq: i64,
    /// The last entry's hash, id and time; `None` in an empty chain.
    pub last: Option<ChainLink>,
}

/// What the next entry of a chain builds on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainLink {
    /// Hash.
    pub hash: String,
    /// Id.
    pub id: AuditId,
    /// Time.
    pub at: Timestamp,
}

/// The part of a developer's row that units of work serialize on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeveloperHead {
    /// The plan.
    pub plan: Plan,
    /// Grants that count as active: created, not revoked, not yet counted as expired.
    pub active_grants: i64,
    /// The last event's sequence number.
    pub event_seq: i64,
    /// The caller's chain.
    pub caller: ChainHead,
    /// The server's chain.
    pub server: ChainHead,
    /// Endpoints that are told of events. Not written with the head: [`WebhookWrites::set_subscriptions`] does that.
    pub subscriptions: Subscriptions,
}

impl DeveloperHead {
    /// The head of one chain.
    pub fn chain(&self, chain: Chain) -> &ChainHead {
        match chain {
            Chain::Caller => &self.caller,
            Chain::Server => &self.server,
        }
    }

    /// The head of one chain, to advance it.
    pub fn chain_mut(&mut self, chain: Chain) -> &mut ChainHead {
        match chain {
            Chain::Caller => &mut self.caller,
            Chain::Server => &mut self.server,
        }
    }
}

/// Everything that a unit of work inserts, written together as its last step: one round trip where the database allows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ledger {
    /// Whose row is advanced.
    pub developer_id: DeveloperId,
    /// The head as it is to be.
    pub head: DeveloperHead,
    /// New grants.
    pub grants: Vec<Grant>,
    /// New tokens.
    pub tokens: Vec<Token>,
    /// New audit entries, in order.
    pub audit: Vec<AuditEntry>,
    /// New events, in order.
    pub events: Vec<EventRow>,
    /// New deliveries.
    pub deliveries: Vec<Delivery>,
}

/// How far a developer's chains have been looked through for anomalies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct AnomalyCursor {
    /// Goes up with every change of the developer's activities, rules, mutes and acknowledgements: whoever changes them on the
    /// ground of what they were names the version that they saw.
    pub version: i64,
    /// The last entry of the caller's chain that was looked at.
    pub caller_seq: i64,
    /// The last entry of the server's chain that was looked at.
    pub server_seq: i64,
}

/// Where the search for anomalies stands, and where the chains end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnomalyPosition {
    /// How far the chains have been looked through; version 0 before the first time.
    pub cursor: AnomalyCursor,
    /// Entries in the caller's chain.
    pub caller_end: i64,
    /// Entries in the server's chain.
    pub server_end: i64,
}

/// An event as it is stored for webhooks and streams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The tenant.
    pub developer_id: DeveloperId,
    /// Position among the developer's events, from 1, in commit order, without gaps.
    pub seq: i64,
    /// Identifier; carries `created_at`, by which a store may look it up.
    pub id: EventId,
    /// Type, for example `grant.revoked`.
    pub kind: &'static str,
    /// The exact bytes that are signed and sent: the event envelope as JSON.
    pub payload: String,
    /// When it happened.
    pub created_at: Timestamp,
}

/// An event as it is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// Position among the developer's events.
    pub seq: i64,
    /// Identifier.
    pub id: EventId,
    /// Type.
    pub kind: String,
    /// The envelope.
    pub payload: String,
    /// When it happened.
    pub created_at: Timestamp,
}

/// Which of a developer's events are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EventRange {
    /// The position of the oldest one; `newest + 1` when none is kept.
    pub oldest: i64,
    /// The position of the newest one there ever was; 0 before the first.
    pub newest: i64,
}

/// What an open stream wants to know of its developer again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventHead {
    /// The developer.
    pub developer_id: DeveloperId,
    /// The position of the newest event.
    pub newest: i64,
    /// The hash of the API key in force.
    pub key_hash: SecretHash,
}

closed! {
    /// The state of a signing key.
    pub enum KeyState {
        /// Signs, from its activation on, unless a newer key is active too.
        Active = "active",
        /// Signs no more; published until the last token it signed has expired.
        Retired = "retired",
    }
}

/// A signing key as it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// RFC 7638 thumbprint of the public key.
    pub kid: String,
    /// `RS256` or `ES256`.
    pub algorithm: String,
    /// The private key as PKCS#8, sealed with the master key under the kid, in base64.
    pub sealed_private_key: String,
    /// The public JWK as JSON text.
    pub public_jwk: String,
    /// Active or retired.
    pub state: KeyState,
    /// When it was made or imported.
    pub created_at: Timestamp,
    /// From when it may sign.
    pub activates_at: Timestamp,
    /// When it was retired.
    pub retired_at: Option<Timestamp>,
}
