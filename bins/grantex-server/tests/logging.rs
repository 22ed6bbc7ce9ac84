//! `docs/logging.md` tells the truth about every event.

#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::collections::BTreeSet;
use std::time::Duration;

use grantex_core::anomaly::alert::Anomaly;
use grantex_core::anomaly::channel::ChannelKind;
use grantex_core::anomaly::manage::AnomalyChange;
use grantex_core::anomaly::response::{AnomalyResponse, ResponseAction, ResponseMode};
use grantex_core::anomaly::{AnomalyKind, Evidence, Finding, Severity};
use grantex_core::authorize::Origin;
use grantex_core::clock::Timestamp;
use grantex_core::event::{
    AgentChange, AuthorizeStatus, ConsentOutcome, DecidedBy, DecisionStatus, DeliveryFailure, Event, ExchangeStatus,
    Notification, NotificationOutcome, PolicyChange, RefreshStatus, TokenIssue, VerifyStatus, WebhookChange,
};
use grantex_core::grant::RevokedBy;
use grantex_core::grant::offline::OfflineDelegation;
use grantex_core::id::{
    AgentId, AnomalyChannelId, AnomalyId, BundleId, DeveloperId, GrantId, PolicyId, TokenId, WebhookId,
};
use grantex_core::policy::{BackendKind, BundleFormat, PolicyAction, PolicyRef};
use grantex_core::scope::Scopes;
use grantex_core::testing::LogLines;
use grantex_core::webhook::DisabledReason;
use slog::Level;

const DOCS: &str = include_str!("../../../docs/logging.md");

/// Every event, with all the fields it can have.
fn events() -> Vec<Event> {
    let ulid = "01ARZ3NDEKTSV4RRFFQ69G5FAV";
    let grant_id = GrantId::parse(&format!("grnt_{ulid}")).unwrap();
    let agent_id = AgentId::parse(&format!("ag_{ulid}")).unwrap();
    let token_id = TokenId::parse(&format!("tok_{ulid}")).unwrap();
    let developer_id = DeveloperId::parse(&format!("dev_{ulid}")).unwrap();
    let webhook_id = WebhookId::parse(&format!("wh_{ulid}")).unwrap();
    let failure = DeliveryFailure {
        webhook_id: webhook_id.clone(),
        url: "https://app.example/hooks".into(),
        status_code: Some(503),
        attempt: 2,
        error: "the receiver answered 503".into(),
        agent_id: Some(agent_id.clone()),
    };
    let policy_id = PolicyId::parse(&format!("pol_{ulid}")).unwrap();
    let policy = PolicyRef::Policy(policy_id.clone());
    let principal_id = "user-1".to_owned();
    let scopes = Scopes::from_stored("read write");
    let issue = TokenIssue {
        token_id: token_id.clone(),
        grant_id: grant_id.clone(),
        agent_id: agent_id.clone(),
        principal_id: principal_id.clone(),
        scopes: scopes.clone(),
        expires_at: Timestamp::from_millis(0),
    };
    let finding = Finding {
        kind: AnomalyKind::RateSpike,
        custom: None,
        severity: Severity::High,
        principal_id: None,
        description: "much".into(),
        evidence: Evidence::new(),
        level: 51,
        window_start: Timestamp::from_millis(0),
        window_end: Timestamp::from_millis(1),
    };
    let anomaly = Anomaly::raise(
        finding,
        AnomalyId::parse(&format!("anm_{ulid}")).unwrap(),
        developer_id.clone(),
        agent_id.as_str(),
        "AD-011".into(),
        Timestamp::from_millis(0),
    );
    vec![
        Event::GrantCreated {
            grant_id: grant_id.clone(),
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            scopes: scopes.clone(),
            expires_at: Timestamp::from_millis(0),
            delegation_depth: 1,
            parent_grant_id: Some(grant_id.clone()),
        },
        Event::GrantRevoked {
            grant_id: grant_id.clone(),
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            revoked_by: RevokedBy::Developer,
            cascade_count: 2,
            root_was_active: true,
        },
        Event::TokenExchanged(issue.clone()),
        Event::TokenRefreshed(issue.clone()),
        Event::TokenDelegated(issue),
        Event::RefreshReplayed {
            grant_id: grant_id.clone(),
            agent_id: agent_id.clone(),
        },
        Event::CodeReuseDetected {
            grant_id: grant_id.clone(),
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            is_revoked: true,
        },
        Event::RefreshReuseDetected {
            grant_id: grant_id.clone(),
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            is_revoked: true,
        },
        Event::TokenExchangeRejected {
            status: ExchangeStatus::Pkce,
            agent_id: Some(agent_id.clone()),
        },
        Event::TokenRefreshRejected {
            status: RefreshStatus::Expired,
        },
        Event::AuthRequestOpened {
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            scopes: scopes.clone(),
        },
        Event::AuthorizeRejected {
            status: AuthorizeStatus::PlanLimit,
            agent_id: Some(agent_id.clone()),
        },
        Event::AuthRequestApproved {
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            by: DecidedBy::Principal,
            scopes: scopes.clone(),
            origin: Some(Origin::new([192, 0, 2, 1].into(), Some("browser"))),
        },
        Event::AuthRequestDenied {
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            reason: DecidedBy::Policy(policy.clone()),
            scopes: scopes.clone(),
            origin: None,
        },
        Event::PolicyDenied {
            action: PolicyAction::Refresh,
            by: policy,
            agent_id: agent_id.clone(),
            principal_id: principal_id.clone(),
            scopes,
            grant_id: Some(grant_id.clone()),
        },
        Event::PolicyEvaluated {
            decision: DecisionStatus::Allow,
            took: Duration::from_micros(12),
        },
        Event::PolicyBackendFailed {
            backend: BackendKind::Opa,
            error: "refused".into(),
        },
        Event::PolicyChanged {
            policy_id,
            change: PolicyChange::Updated,
        },
        Event::PolicyBundleStored {
            bundle_id: BundleId::parse(&format!("pbnd_{ulid}")).unwrap(),
            format: BundleFormat::Cedar,
            sha256: "00".repeat(32),
            is_active: true,
        },
        Event::Consent {
            outcome: ConsentOutcome::Approved,
            decided_after: Some(Duration::from_secs(1)),
        },
        Event::TokenVerified,
        Event::TokenVerificationFailed {
            status: VerifyStatus::Revoked,
            token_id: Some(token_id.clone()),
        },
        Event::TokenRevoked {
            token_id,
            grant_id: grant_id.clone(),
            agent_id: agent_id.clone(),
            principal_id,
        },
        Event::BlockRevoked {
            revocation_id: "ab".repeat(64),
        },
        Event::OfflineDelegated {
            delegation: Box::new(OfflineDelegation {
                developer_id: developer_id.clone(),
                grant_id: grant_id.clone(),
                token_id: TokenId::parse("tok_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
                revocation_id: "ab".repeat(64),
                parent_revocation_id: None,
                agent_did: "did:web:sub.example".to_owned(),
                depth: 1,
                scopes: Vec::new(),
                audience: None,
                ceilings: Vec::new(),
                expires_at: Timestamp::from_millis(0),
                blocks: Vec::new(),
                first_seen_at: Timestamp::from_millis(0),
            }),
            agent_id: agent_id.clone(),
            principal_id: "user-1".to_owned(),
        },
        Event::AuditEntryLogged,
        Event::DeveloperSignedUp {
            developer_id: developer_id.clone(),
        },
        Event::ApiKeyRotated { developer_id },
        Event::AgentChanged {
            agent_id: agent_id.clone(),
            change: AgentChange::Deleted,
        },
        Event::WebhookChanged {
            webhook_id: webhook_id.clone(),
            change: WebhookChange::Created,
        },
        Event::WebhookTested {
            webhook_id: webhook_id.clone(),
        },
        Event::WebhookDisabled {
            webhook_id: webhook_id.clone(),
            reason: DisabledReason::Gone,
        },
        Event::WebhookDelivered {
            webhook_id,
            status_code: 204,
            attempt: 1,
            since_event: Duration::from_millis(12),
            agent_id: Some(agent_id.clone()),
        },
        Event::WebhookDeliveryRetried(failure.clone()),
        Event::WebhookDeliveryFailed(failure),
        Event::AnomalyResponded(Box::new(AnomalyResponse {
            anomaly: anomaly.clone(),
            agent_id: agent_id.clone(),
            action: ResponseAction::RevokeAgentGrants,
            is_effective: true,
            revoked: 1,
            grants: vec![grant_id],
        })),
        Event::ResponsePolicyChanged {
            previous: ResponseMode::AlertOnly,
            mode: ResponseMode::RevokeAgentGrants,
            policies: 2,
        },
        Event::AnomalyDetected(Box::new(anomaly)),
        Event::AnomalyChanged {
            subject: format!("anm_{ulid}"),
            change: AnomalyChange::Acknowledged,
        },
        notification(NotificationOutcome::Delivered, None),
        notification(NotificationOutcome::Retried, Some("the receiver answered 503")),
        notification(NotificationOutcome::Failed, Some("the receiver answered 410")),
        Event::RateLimitHit {
            ip: "192.0.2.1".into(),
            endpoint: "/v1/token",
            retry_after: 3,
        },
        Event::DatabaseConnectionError {
            error: "refused".into(),
            pool: "postgres",
            unlogged: 7,
        },
        Event::DatabaseConnectionRestored {
            pool: "postgres",
            unlogged: 7,
        },
    ]
}

fn notification(outcome: NotificationOutcome, error: Option<&str>) -> Event {
    Event::ChannelNotified(Notification {
        channel_id: AnomalyChannelId::parse("achan_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap(),
        kind: ChannelKind::Slack,
        outcome,
        status_code: Some(200),
        attempt: 2,
        error: error.map(str::to_owned),
    })
}

/// The rows of the table of events: message, level, fields.
fn documented() -> Vec<(String, String, BTreeSet<String>)> {
    let (_, rest) = DOCS.split_once("## Events").unwrap();
    let (table, _) = rest.split_once("\n## ").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
        let [message, level, fields] = cells.try_into().unwrap();
        let fields = fields
            .split(", ")
            .map(|field| field.trim_matches(['(', ')']).to_owned())
            .collect();
        (message.trim_matches('`').to_owned(), level.to_owned(), fields)
    })
    .collect()
}

#[test]
fn every_event_is_logged_as_documented() {
    let rows = documented();
    let mut told = BTreeSet::new();
    for event in events() {
        let lines = LogLines::default();
        event.log(&lines.logger(), Duration::from_millis(45));
        let [line] = lines.take().try_into().unwrap();
        let level = match line.level {
            Level::Critical | Level::Error => "error",
            Level::Warning => "warn",
            Level::Info => "info",
            Level::Debug | Level::Trace => "debug",
        };
        let fields: BTreeSet<String> = line.fields.keys().cloned().collect();
        let row = (line.message.clone(), level.to_owned(), fields);
        assert!(rows.contains(&row), "docs/logging.md lacks {row:?}");
        told.insert(line.message);
    }
    let documented: BTreeSet<String> = rows.into_iter().map(|(message, _, _)| message).collect();
    assert_eq!(told, documented);
}

/// What operators were promised: whoever built alerts on these lines must find them.
#[test]
fn the_published_lines_are_there() {
    let published = [
        ("grant.created", "info", "grantId, agentId, principalId, scopes"),
        ("grant.revoked", "info", "grantId, revokedBy, cascadeCount"),
        ("token.exchanged", "info", "grantId, agentId"),
        ("token.refreshed", "info", "grantId, agentId"),
        ("token.verification_failed", "warn", "reason, tokenId"),
        ("auth_request.denied", "warn", "agentId, principalId, reason"),
        ("rate_limit.hit", "warn", "ip, endpoint, retryAfter"),
        (
            "webhook.delivery_failed",
            "error",
            "webhookId, url, statusCode, attempt",
        ),
        ("database.connection_error", "error", "error, pool"),
    ];
    let rows = documented();
    for (message, level, fields) in published {
        let row = rows.iter().find(|(known, ..)| known == message);
        let (_, known_level, known_fields) = row.unwrap();
        assert_eq!(known_level, level, "{message}");
        let missing: Vec<&str> = fields
            .split(", ")
            .filter(|field| !known_fields.contains(*field))
            .collect();
        assert!(missing.is_empty(), "{message}: {missing:?}");
    }
}
