//! Each event counts what the catalogue says, and nothing else.
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed unwrap is a failed test"
)]

mod support;

use std::collections::BTreeMap;
use std::time::Duration;

use grantex_core::anomaly::alert::Anomaly;
use grantex_core::anomaly::channel::ChannelKind;
use grantex_core::anomaly::detector::SignalCounts;
use grantex_core::anomaly::response::{AnomalyResponse, ResponseAction};
use grantex_core::anomaly::{AnomalyKind, Evidence, Finding, Severity};
use grantex_core::clock::Timestamp;
use grantex_core::event::{
    AgentChange, AuthorizeStatus, ConsentOutcome, DecidedBy, DecisionStatus, Event, ExchangeStatus, Notification,
    NotificationOutcome, Observer as _, PolicyChange, RefreshStatus, TokenIssue, VerifyStatus,
};
use grantex_core::grant::RevokedBy;
use grantex_core::grant::offline::OfflineDelegation;
use grantex_core::id::{AgentId, AnomalyChannelId, AnomalyId, BundleId, DeveloperId, GrantId, PolicyId, TokenId};
use grantex_core::policy::{BackendKind, BundleFormat, PolicyAction, PolicyRef};
use grantex_core::scope::Scopes;
use support::{by_name, changes, metrics};

fn ulid(prefix: &str) -> String {
    format!("{prefix}_01ARZ3NDEKTSV4RRFFQ69G5FAV")
}

fn grant_id() -> GrantId {
    GrantId::parse(&ulid("grnt")).unwrap()
}

fn agent_id() -> AgentId {
    AgentId::parse(&ulid("ag")).unwrap()
}

fn token_id() -> TokenId {
    TokenId::parse(&ulid("tok")).unwrap()
}

fn policy_id() -> PolicyId {
    PolicyId::parse(&ulid("pol")).unwrap()
}

fn bundle_stored(is_active: bool) -> Event {
    Event::PolicyBundleStored {
        bundle_id: BundleId::parse(&ulid("pbnd")).unwrap(),
        format: BundleFormat::Cedar,
        sha256: String::new(),
        is_active,
    }
}

fn issue() -> TokenIssue {
    TokenIssue {
        token_id: token_id(),
        grant_id: grant_id(),
        agent_id: agent_id(),
        principal_id: "user-1".into(),
        scopes: Scopes::from_stored("read"),
        expires_at: Timestamp::from_millis(0),
    }
}

fn created(delegation_depth: u32) -> Event {
    Event::GrantCreated {
        grant_id: grant_id(),
        agent_id: agent_id(),
        principal_id: "user-1".into(),
        scopes: Scopes::from_stored("read"),
        expires_at: Timestamp::from_millis(0),
        delegation_depth,
        parent_grant_id: (delegation_depth > 0).then(grant_id),
    }
}

fn revoked(cascade_count: u64, root_was_active: bool) -> Event {
    Event::GrantRevoked {
        grant_id: grant_id(),
        agent_id: agent_id(),
        principal_id: "user-1".into(),
        revoked_by: RevokedBy::Developer,
        cascade_count,
        root_was_active,
    }
}

/// Every variant with what it changes.
fn table() -> Vec<(Event, Vec<(&'static str, f64)>)> {
    let reuse = |is_code: bool| {
        let (grant_id, agent_id, principal_id, is_revoked) = (grant_id(), agent_id(), "user-1".to_owned(), true);
        if is_code {
            Event::CodeReuseDetected {
                grant_id,
                agent_id,
                principal_id,
                is_revoked,
            }
        } else {
            Event::RefreshReuseDetected {
                grant_id,
                agent_id,
                principal_id,
                is_revoked,
            }
        }
    };
    vec![
        (
            created(0),
            vec![
                (r#"grantex_grants_created_total{kind="root"}"#, 1.0),
                ("grantex_delegation_depth_count", 1.0),
            ],
        ),
        (
            created(2),
            vec![
                (r#"grantex_grants_created_total{kind="delegated"}"#, 1.0),
                ("grantex_delegation_depth_count", 1.0),
            ],
        ),
        (
            revoked(3, true),
            vec![
                ("grantex_grants_revoked_total", 4.0),
                ("grantex_revocation_cascade_size_count", 1.0),
            ],
        ),
        (
            revoked(3, false),
            vec![
                ("grantex_grants_revoked_total", 3.0),
                ("grantex_revocation_cascade_size_count", 1.0),
            ],
        ),
        (
            Event::TokenExchanged(issue()),
            vec![
                (r#"grantex_token_exchange_total{status="success"}"#, 1.0),
                ("grantex_token_exchange_duration_seconds_count", 1.0),
            ],
        ),
        (
            Event::TokenRefreshed(issue()),
            vec![
                (r#"grantex_token_refresh_total{status="success"}"#, 1.0),
                ("grantex_token_refresh_duration_seconds_count", 1.0),
            ],
        ),
        (
            Event::TokenDelegated(issue()),
            vec![("grantex_token_delegations_total", 1.0)],
        ),
        (
            Event::RefreshReplayed {
                grant_id: grant_id(),
                agent_id: agent_id(),
            },
            vec![
                (r#"grantex_token_refresh_total{status="replayed"}"#, 1.0),
                ("grantex_token_refresh_duration_seconds_count", 1.0),
            ],
        ),
        (reuse(true), vec![(r#"grantex_reuse_detected_total{kind="code"}"#, 1.0)]),
        (
            reuse(false),
            vec![(r#"grantex_reuse_detected_total{kind="refresh_token"}"#, 1.0)],
        ),
        (
            Event::AuthRequestOpened {
                agent_id: agent_id(),
                principal_id: "user-1".into(),
                scopes: Scopes::default(),
            },
            vec![
                (r#"grantex_authorize_total{status="success"}"#, 1.0),
                ("grantex_authorize_duration_seconds_count", 1.0),
            ],
        ),
        (
            Event::AuthRequestDenied {
                agent_id: agent_id(),
                principal_id: "user-1".into(),
                reason: DecidedBy::Principal,
                scopes: Scopes::default(),
                origin: None,
            },
            vec![],
        ),
        (
            Event::AuthRequestApproved {
                agent_id: agent_id(),
                principal_id: "user-1".into(),
                by: DecidedBy::Principal,
                scopes: Scopes::default(),
                origin: None,
            },
            vec![],
        ),
        (
            Event::PolicyDenied {
                action: PolicyAction::Refresh,
                by: PolicyRef::Policy(policy_id()),
                agent_id: agent_id(),
                principal_id: "user-1".into(),
                scopes: Scopes::default(),
                grant_id: Some(grant_id()),
            },
            vec![],
        ),
        (
            Event::PolicyEvaluated {
                decision: DecisionStatus::Deny,
                took: Duration::from_micros(7),
            },
            vec![
                (r#"grantex_policy_decisions_total{decision="deny"}"#, 1.0),
                ("grantex_policy_evaluation_seconds_count", 1.0),
            ],
        ),
        (
            Event::PolicyBackendFailed {
                backend: BackendKind::Opa,
                error: "refused".into(),
            },
            vec![(r#"grantex_policy_backend_errors_total{backend="opa"}"#, 1.0)],
        ),
        (
            Event::PolicyChanged {
                policy_id: policy_id(),
                change: PolicyChange::Updated,
            },
            vec![(r#"grantex_policy_changes_total{change="updated"}"#, 1.0)],
        ),
        (
            bundle_stored(true),
            vec![(r#"grantex_policy_changes_total{change="bundle_activated"}"#, 1.0)],
        ),
        (
            bundle_stored(false),
            vec![(r#"grantex_policy_changes_total{change="bundle_stored"}"#, 1.0)],
        ),
        (
            Event::Consent {
                outcome: ConsentOutcome::Approved,
                decided_after: Some(Duration::from_secs(7)),
            },
            vec![
                (r#"grantex_consent_total{status="approved"}"#, 1.0),
                ("grantex_consent_decision_seconds_count", 1.0),
            ],
        ),
        (
            Event::Consent {
                outcome: ConsentOutcome::Shown,
                decided_after: None,
            },
            vec![(r#"grantex_consent_total{status="shown"}"#, 1.0)],
        ),
        (
            Event::TokenVerified,
            vec![
                (r#"grantex_token_verify_total{status="valid"}"#, 1.0),
                ("grantex_token_verify_duration_seconds_count", 1.0),
            ],
        ),
        (
            Event::TokenRevoked {
                token_id: token_id(),
                grant_id: grant_id(),
                agent_id: agent_id(),
                principal_id: "user-1".into(),
            },
            vec![("grantex_tokens_revoked_total", 1.0)],
        ),
        (
            Event::BlockRevoked {
                revocation_id: "ab".repeat(64),
            },
            vec![("grantex_token_blocks_revoked_total", 1.0)],
        ),
        (
            Event::OfflineDelegated {
                delegation: Box::new(OfflineDelegation {
                    developer_id: DeveloperId::parse(&ulid("dev")).unwrap(),
                    grant_id: grant_id(),
                    token_id: token_id(),
                    revocation_id: "ab".repeat(64),
                    parent_revocation_id: None,
                    agent_did: "did:web:sub.example".into(),
                    depth: 1,
                    scopes: Vec::new(),
                    audience: None,
                    ceilings: Vec::new(),
                    expires_at: Timestamp::from_millis(0),
                    blocks: Vec::new(),
                    first_seen_at: Timestamp::from_millis(0),
                }),
                agent_id: agent_id(),
                principal_id: "user-1".into(),
            },
            vec![("grantex_token_offline_delegations_total", 1.0)],
        ),
        (
            Event::AuditEntryLogged,
            vec![("grantex_audit_entries_logged_total", 1.0)],
        ),
        (
            Event::DeveloperSignedUp {
                developer_id: DeveloperId::parse(&ulid("dev")).unwrap(),
            },
            vec![("grantex_developers_signed_up_total", 1.0)],
        ),
        (
            Event::ApiKeyRotated {
                developer_id: DeveloperId::parse(&ulid("dev")).unwrap(),
            },
            vec![("grantex_api_keys_rotated_total", 1.0)],
        ),
        (
            Event::AgentChanged {
                agent_id: agent_id(),
                change: AgentChange::Suspended,
            },
            vec![(r#"grantex_agent_changes_total{change="suspended"}"#, 1.0)],
        ),
        (
            Event::RateLimitHit {
                ip: "192.0.2.1".into(),
                endpoint: "/v1/token",
                retry_after: 3,
            },
            vec![(r#"grantex_rate_limit_hits_total{endpoint="/v1/token"}"#, 1.0)],
        ),
        (
            Event::RateLimitHit {
                ip: "192.0.2.1".into(),
                endpoint: "/not/a/route",
                retry_after: 3,
            },
            vec![(r#"grantex_rate_limit_hits_total{endpoint="unmatched"}"#, 1.0)],
        ),
        (
            Event::DatabaseConnectionError {
                error: "refused".into(),
                pool: "postgres",
                unlogged: 7,
            },
            vec![(r#"grantex_database_connection_errors_total{pool="postgres"}"#, 1.0)],
        ),
        (
            Event::DatabaseConnectionRestored {
                pool: "postgres",
                unlogged: 7,
            },
            vec![],
        ),
    ]
}

#[test]
fn every_event_counts_what_the_catalogue_says_and_nothing_else() {
    let metrics = metrics();
    // The agent has its series already.
    metrics.observe(&Event::TokenExchanged(issue()), Duration::from_millis(3));
    for (event, expected) in table() {
        let expected = by_name(&expected);
        let changed = changes(&metrics, |metrics| metrics.observe(&event, Duration::from_millis(3)));
        assert_eq!(changed, expected, "{event:?}");
    }
}

#[test]
fn every_rejection_is_counted_and_timed() {
    let metrics = metrics();
    let check = |event: Event, family: &str, status: &str| {
        let changed = changes(&metrics, |metrics| metrics.observe(&event, Duration::from_millis(3)));
        let expected = BTreeMap::from([
            (format!("grantex_{family}_total{{status=\"{status}\"}}"), 1.0),
            (format!("grantex_{family}_duration_seconds_count"), 1.0),
        ]);
        assert_eq!(changed, expected, "{event:?}");
    };
    for status in ExchangeStatus::ALL.iter().copied() {
        check(
            Event::TokenExchangeRejected { status, agent_id: None },
            "token_exchange",
            status.as_str(),
        );
    }
    for status in RefreshStatus::ALL.iter().copied() {
        check(Event::TokenRefreshRejected { status }, "token_refresh", status.as_str());
    }
    for status in AuthorizeStatus::ALL.iter().copied() {
        check(
            Event::AuthorizeRejected { status, agent_id: None },
            "authorize",
            status.as_str(),
        );
    }
    for status in VerifyStatus::ALL.iter().copied() {
        check(
            Event::TokenVerificationFailed { status, token_id: None },
            "token_verify",
            status.as_str(),
        );
    }
}

#[test]
fn durations_fall_into_their_buckets() {
    let metrics = metrics();
    metrics.observe(&Event::TokenExchanged(issue()), Duration::from_micros(700));
    let samples = support::samples(&metrics.render());
    let bucket = |le: &str| samples[&format!("grantex_token_exchange_duration_seconds_bucket{{le=\"{le}\"}}")];
    assert_eq!(
        (bucket("0.0005"), bucket("0.001"), bucket("2"), bucket("+Inf")),
        (0.0, 1.0, 1.0, 1.0)
    );
}

fn detected(kind: AnomalyKind, severity: Severity) -> Event {
    let finding = Finding {
        kind,
        custom: None,
        severity,
        principal_id: None,
        description: String::new(),
        evidence: Evidence::new(),
        level: 1,
        window_start: Timestamp::from_millis(0),
        window_end: Timestamp::from_millis(1),
    };
    let id = AnomalyId::parse(&ulid("anm")).unwrap();
    let developer = DeveloperId::parse(&ulid("dev")).unwrap();
    let rule_id = "AD-000".to_owned();
    let anomaly = Anomaly::raise(finding, id, developer, "", rule_id, Timestamp::from_millis(0));
    Event::AnomalyDetected(Box::new(anomaly))
}

#[test]
fn every_response_to_an_anomaly_is_counted_by_action() {
    let metrics = metrics();
    for action in ResponseAction::ALL {
        let Event::AnomalyDetected(anomaly) = detected(AnomalyKind::RateSpike, Severity::High) else {
            panic!("another event");
        };
        let event = Event::AnomalyResponded(Box::new(AnomalyResponse {
            anomaly: *anomaly,
            agent_id: AgentId::parse(&ulid("ag")).unwrap(),
            action: *action,
            is_effective: true,
            revoked: 0,
            grants: Vec::new(),
        }));
        let changed = changes(&metrics, |metrics| metrics.observe(&event, Duration::ZERO));
        let series = format!("grantex_anomaly_responses_total{{action=\"{}\"}}", action.as_str());
        assert_eq!(changed, BTreeMap::from([(series, 1.0)]));
    }
}

#[test]
fn every_anomaly_is_counted_by_type_and_severity() {
    let metrics = metrics();
    for kind in AnomalyKind::ALL {
        for severity in Severity::ALL {
            let event = detected(*kind, *severity);
            let mut changed = changes(&metrics, |metrics| metrics.observe(&event, Duration::ZERO));
            changed.retain(|name, _| !name.starts_with("grantex_agent_"));
            let series = format!(
                "grantex_anomalies_detected_total{{type=\"{}\",severity=\"{}\"}}",
                kind.as_str(),
                severity.as_str()
            );
            assert_eq!(changed.values().sum::<f64>(), 1.0, "{changed:?}");
            let name = changed.keys().next().unwrap();
            assert_eq!(*name, series);
        }
    }
}

#[test]
fn every_attempt_to_tell_a_channel_is_counted_once() {
    let metrics = metrics();
    for kind in ChannelKind::ALL {
        for outcome in NotificationOutcome::ALL {
            let event = Event::ChannelNotified(Notification {
                channel_id: AnomalyChannelId::parse(&ulid("achan")).unwrap(),
                kind: *kind,
                outcome: *outcome,
                status_code: None,
                attempt: 1,
                error: None,
            });
            let changed = changes(&metrics, |metrics| metrics.observe(&event, Duration::ZERO));
            assert_eq!(changed.len(), 1, "{changed:?}");
            let (name, count) = changed.iter().next().unwrap();
            let is_meant = name.starts_with("grantex_anomaly_notifications_total{")
                && name.contains(kind.as_str())
                && name.contains(outcome.as_str());
            assert!(is_meant && *count == 1.0, "{name} {count}");
        }
    }
}

#[test]
fn detection_tells_how_far_behind_it_is_and_what_became_of_signals() {
    let metrics = metrics();
    let changed = changes(&metrics, |metrics| {
        metrics.anomalies_looked_for(Duration::from_millis(900));
        metrics.set_open_anomalies(4);
        let counts = SignalCounts {
            accepted: 100,
            folded: 7,
            skipped: 2,
            sampled: 50,
            dropped: 3,
        };
        metrics.set_signals(counts, 11);
    });
    let expected = by_name(&[
        ("grantex_anomaly_detection_lag_seconds_count", 1.0),
        ("grantex_anomaly_signals_total{outcome=\"folded\"}", 7.0),
        ("grantex_anomaly_signals_total{outcome=\"skipped\"}", 2.0),
        ("grantex_anomaly_signals_total{outcome=\"sampled\"}", 50.0),
        ("grantex_anomaly_signals_total{outcome=\"dropped\"}", 3.0),
        ("grantex_anomaly_signals_waiting", 11.0),
        ("grantex_anomalies_unacknowledged", 4.0),
    ]);
    assert_eq!(changed, expected);
}
