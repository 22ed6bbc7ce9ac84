//! Rows as tests need them: sensible, distinct, and the same in every run.
//!
//! ```
//! use grantex_core::agent::Agent;
//! use grantex_core::testing::fixtures::Fixtures;
//!
//! let fixtures = Fixtures::new(1);
//! let developer = fixtures.developer();
//! let agent = Agent { name: "Mail reader".into(), ..fixtures.agent(&developer) };
//! assert_eq!(fixtures.grant(&agent).developer_id, developer.id);
//! ```

use super::{ManualClock, SeededRandom};
use crate::agent::{Agent, AgentStatus};
use crate::audit::{AuditEntry, AuditRecord, AuditStatus, Chain, chain};
use crate::authorize::{AuthRequest, AuthRequestState};
use crate::clock::{Clock, Lifetime, Timestamp};
use crate::developer::{Developer, Mode};
use crate::event::filter::EventFilter;
use crate::grant::{Grant, GrantState};
use crate::id::{AgentId, Id, new_id, new_secret, new_ulid};
use crate::plan::Plan;
use crate::policy::schedule::Schedule;
use crate::policy::{Bundle, BundleFormat, Effect, Policy, Rule};
use crate::scope::Scopes;
use crate::secret::SecretHash;
use crate::store::{ChainHead, EventRow, KeyState, StoredKey};
use crate::token::{RefreshUse, Token};
use crate::trace::{TraceContext, TraceId};
use crate::webhook::health::Health;
use crate::webhook::{Counts, Delivery, DeliveryStatus, Webhook, WebhookState};

/// Makes rows. Each is a millisecond younger than the one before it, and no id or secret repeats.
#[derive(Debug, Clone)]
pub struct Fixtures {
    clock: ManualClock,
    random: SeededRandom,
}

impl Fixtures {
    /// Fixtures whose ids depend on `seed` only; their clock starts at [`ManualClock::START`].
    pub fn new(seed: u64) -> Self {
        Self {
            clock: ManualClock::default(),
            random: SeededRandom::new(seed),
        }
    }

    /// The clock that the rows are dated by.
    pub fn clock(&self) -> &ManualClock {
        &self.clock
    }

    /// The randomness that ids and secrets are made of.
    pub fn random(&self) -> &SeededRandom {
        &self.random
    }

    /// The time on the fixtures' clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A new id.
    pub fn id<I: Id>(&self) -> I {
        new_id(&self.random, self.now())
    }

    /// The hash of a new secret.
    pub fn hash(&self) -> SecretHash {
        new_secret(&self.random, "").sha256()
    }

    /// A live developer without limits.
    pub fn developer(&self) -> Developer {
        let created_at = self.tick();
        let id: crate::id::DeveloperId = self.id();
        let email = Some(format!("{}@example.com", id.as_str().to_lowercase()));
        let name = "Acme".to_owned();
        Developer {
            id,
            name,
            email,
            mode: Mode::Live,
            plan: Plan::Enterprise,
            fido_rp_name: None,
            policy_version: 0,
            created_at,
        }
    }

    /// An active agent that may read and write.
    pub fn agent(&self, developer: &Developer) -> Agent {
        let created_at = self.tick();
        Agent {
            id: self.id(),
            developer_id: developer.id.clone(),
            name: "Assistant".into(),
            description: "Reads and writes".into(),
            scopes: read_and_write(),
            is_restricted: true,
            status: AgentStatus::Active,
            created_at,
            updated_at: created_at,
        }
    }

    /// A pending request for a grant of a day, which can be decided for 15 minutes.
    pub fn auth_request(&self, agent: &Agent) -> AuthRequest {
        let created_at = self.tick();
        AuthRequest {
            id: self.id(),
            developer_id: agent.developer_id.clone(),
            agent_id: agent.id.clone(),
            principal_id: "user-1".into(),
            scopes: read_and_write(),
            redirect_uri: None,
            state: None,
            expires_in: Lifetime::hours(24),
            audience: None,
            code_challenge: None,
            created_at,
            expires_at: created_at.plus(Lifetime::minutes(15)),
            status: AuthRequestState::Pending,
        }
    }

    /// An active grant by a person, for a day.
    pub fn grant(&self, agent: &Agent) -> Grant {
        let issued_at = self.tick();
        Grant {
            id: self.id(),
            developer_id: agent.developer_id.clone(),
            agent_id: agent.id.clone(),
            principal_id: "user-1".into(),
            scopes: read_and_write(),
            audience: None,
            state: GrantState::Active,
            issued_at,
            expires_at: issued_at.floor_to_second().plus(Lifetime::hours(24)),
            parent_grant_id: None,
            delegation_depth: 0,
            delegators: Vec::new(),
        }
    }

    /// A grant that was delegated from `parent` to `agent`.
    pub fn child(&self, parent: &Grant, agent: &Agent) -> Grant {
        let delegators: Vec<AgentId> = std::iter::once(&parent.agent_id)
            .chain(&parent.delegators)
            .cloned()
            .collect();
        Grant {
            principal_id: parent.principal_id.clone(),
            scopes: parent.scopes.clone(),
            audience: parent.audience.clone(),
            expires_at: parent.expires_at,
            parent_grant_id: Some(parent.id.clone()),
            delegation_depth: parent.delegation_depth + 1,
            delegators,
            ..self.grant(agent)
        }
    }

    /// Tokens of a grant: an access token that lives as long as the grant, a refresh token for 30 days.
    pub fn token(&self, grant: &Grant) -> Token {
        let issued_at = self.tick().floor_to_second();
        Token {
            id: self.id(),
            grant_id: grant.id.clone(),
            developer_id: grant.developer_id.clone(),
            key_id: "key-1".into(),
            issued_at,
            expires_at: grant.expires_at,
            revoked_at: None,
            refresh_hash: self.hash(),
            refresh_expires_at: issued_at.plus(Lifetime::days(30)),
            refresh_use: None,
            biscuit_key_id: None,
        }
    }

    /// The use of a refresh token, now, for `successor`; no answer is kept.
    pub fn refresh_use(&self, successor: &Token) -> RefreshUse {
        RefreshUse {
            at: self.tick(),
            successor: successor.id.clone(),
            replay: None,
        }
    }

    /// What an audited call may look like.
    pub fn audit_record(&self) -> AuditRecord {
        AuditRecord {
            agent_id: String::new(),
            agent_did: String::new(),
            grant_id: String::new(),
            principal_id: "user-1".into(),
            action: "email.sent".into(),
            metadata: "{}".into(),
            status: AuditStatus::Success,
        }
    }

    /// The next entry of a chain; advances `head`.
    pub fn audit_entry(
        &self,
        developer: &Developer,
        chain: Chain,
        head: &mut ChainHead,
        record: AuditRecord,
    ) -> AuditEntry {
        let entry = chain::append(head, developer.id.clone(), chain, record, self.tick(), |at| {
            new_ulid(&self.random, at)
        });
        AuditEntry {
            trace_id: TraceId::parse("0af7651916cd43dd8448eb211c80319c"),
            ..entry
        }
    }

    /// A developer's event at position `seq`.
    pub fn event(&self, developer: &Developer, seq: i64) -> EventRow {
        EventRow {
            developer_id: developer.id.clone(),
            seq,
            created_at: self.tick(),
            id: self.id(),
            kind: "grant.created",
            payload: format!(r#"{{"n":{seq}}}"#),
        }
    }

    /// An active endpoint that wants everything.
    pub fn webhook(&self, developer: &Developer) -> Webhook {
        let created_at = self.tick();
        Webhook {
            id: self.id(),
            developer_id: developer.id.clone(),
            url: "https://receiver.example/hook".into(),
            events: EventFilter::everything(),
            description: None,
            state: WebhookState::Active,
            sealed_secret: "sealed".into(),
            previous_secret: None,
            health: Health::default(),
            counts: Counts::default(),
            created_at,
            updated_at: created_at,
            channel: None,
        }
    }

    /// A pending delivery of an event that sets no order, due when it happened.
    pub fn delivery(&self, webhook: &Webhook, seq: i64) -> Delivery {
        let created_at = self.tick();
        Delivery {
            id: self.id(),
            webhook_id: webhook.id.clone(),
            developer_id: webhook.developer_id.clone(),
            event_id: self.id(),
            event_seq: seq,
            kind: "grant.created".into(),
            order_key: String::new(),
            payload: format!(r#"{{"n":{seq}}}"#),
            status: DeliveryStatus::Pending,
            attempts: 0,
            next_attempt_at: created_at,
            last_status: None,
            last_error: None,
            sent_to: None,
            created_at,
            ended_at: None,
            trace: TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        }
    }

    /// An active signing key; its texts only look like keys.
    pub fn signing_key(&self) -> StoredKey {
        let created_at = self.tick();
        let kid = self.hash().as_str().to_owned();
        StoredKey {
            public_jwk: format!(r#"{{"kty":"RSA","kid":"{kid}"}}"#),
            sealed_private_key: format!("sealed {kid}"),
            kid,
            algorithm: "RS256".into(),
            state: KeyState::Active,
            created_at,
            activates_at: created_at,
            retired_at: None,
        }
    }

    /// A policy that allows everything.
    pub fn policy(&self, developer: &Developer) -> Policy {
        let created_at = self.tick();
        Policy {
            id: self.id(),
            developer_id: developer.id.clone(),
            rule: Rule {
                name: "Everything".into(),
                effect: Effect::Allow,
                priority: 0,
                agent_id: None,
                principal_id: None,
                scopes: None,
                audience: None,
                schedule: Schedule::default(),
            },
            created_at,
            updated_at: created_at,
        }
    }

    /// A bundle in force.
    pub fn bundle(&self, developer: &Developer, format: BundleFormat) -> Bundle {
        let created_at = self.tick();
        Bundle {
            id: self.id(),
            developer_id: developer.id.clone(),
            format,
            version: "v1.2.3 – β".into(),
            sha256: self.hash().as_str().to_owned(),
            file_count: 3,
            is_active: true,
            created_at,
        }
    }

    fn tick(&self) -> Timestamp {
        self.clock.advance(Lifetime::millis(1));
        self.now()
    }
}

fn read_and_write() -> Scopes {
    Scopes::from_stored("read write")
}
