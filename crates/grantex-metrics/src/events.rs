//! Event → counters and histograms: one exhaustive match, so that a new event does not compile until it is counted, or
//! deliberately not.

use std::time::Duration;

use grantex_core::anomaly::alert::Anomaly;
use grantex_core::anomaly::channel::ChannelKind;
use grantex_core::anomaly::response::ResponseAction;
use grantex_core::anomaly::{AnomalyKind, Severity};
use grantex_core::event::{
    AgentChange, AuthorizeStatus, ConsentOutcome, DecisionStatus, Event, ExchangeStatus, NotificationOutcome, Observer,
    PolicyChange, RefreshStatus, VerifyStatus,
};
use grantex_core::id::AgentId;
use grantex_core::policy::BackendKind;
use grantex_core::webhook::DisabledReason;
use metrics::{Counter, Histogram};

use crate::catalogue::{agents, anomalies, authorize, consent, database, grants, limits, policies, tokens, webhooks};
use crate::exporter::Registry;
use crate::family::Counters;
use crate::label::{GrantKind, Pool, ReuseKind, WebhookStatus};
use crate::{Metrics, catalogue::UNMATCHED};

/// The handles that events change.
pub(crate) struct EventMetrics {
    exchanges: Counters<ExchangeStatus>,
    exchange_duration: Histogram,
    refreshes: Counters<RefreshStatus>,
    refresh_duration: Histogram,
    verifications: Counters<VerifyStatus>,
    verify_duration: Histogram,
    delegations: Counter,
    tokens_revoked: Counter,
    blocks_revoked: Counter,
    offline_delegations: Counter,
    reuse: Counters<ReuseKind>,
    authorizations: Counters<AuthorizeStatus>,
    authorize_duration: Histogram,
    consent: Counters<ConsentOutcome>,
    consent_decision: Histogram,
    grants_created: Counters<GrantKind>,
    grants_revoked: Counter,
    delegation_depth: Histogram,
    cascade_size: Histogram,
    agent_changes: Counters<AgentChange>,
    sign_ups: Counter,
    key_rotations: Counter,
    audit_entries: Counter,
    deliveries: Counters<WebhookStatus>,
    attempt_duration: Histogram,
    end_to_end: Histogram,
    webhooks_disabled: Counters<DisabledReason>,
    policy_decisions: Counters<DecisionStatus>,
    policy_evaluation: Histogram,
    policy_backend_errors: Counters<BackendKind>,
    policy_changes: Counters<PolicyChange>,
    anomalies: Vec<(Severity, Counters<AnomalyKind>)>,
    notifications: Vec<(NotificationOutcome, Counters<ChannelKind>)>,
    responses: Counters<ResponseAction>,
    rate_limit_hits: Vec<(&'static str, Counter)>,
    rate_limit_hits_elsewhere: Counter,
    connection_errors: Counters<Pool>,
}

impl EventMetrics {
    pub(crate) fn of(registry: &Registry, routes: &[&'static str]) -> Self {
        let counter = |metric| registry.counter(metric, &[]);
        let histogram = |metric| registry.histogram(metric, &[]);
        Self {
            exchanges: Counters::of(registry, &tokens::EXCHANGES, &[]),
            exchange_duration: histogram(&tokens::EXCHANGE_DURATION),
            refreshes: Counters::of(registry, &tokens::REFRESHES, &[]),
            refresh_duration: histogram(&tokens::REFRESH_DURATION),
            verifications: Counters::of(registry, &tokens::VERIFICATIONS, &[]),
            verify_duration: histogram(&tokens::VERIFY_DURATION),
            delegations: counter(&tokens::DELEGATIONS),
            tokens_revoked: counter(&tokens::TOKENS_REVOKED),
            blocks_revoked: counter(&tokens::BLOCKS_REVOKED),
            offline_delegations: counter(&tokens::OFFLINE_DELEGATIONS),
            reuse: Counters::of(registry, &tokens::REUSE, &[]),
            authorizations: Counters::of(registry, &authorize::REQUESTS, &[]),
            authorize_duration: histogram(&authorize::DURATION),
            consent: Counters::of(registry, &consent::OUTCOMES, &[]),
            consent_decision: histogram(&consent::DECISION),
            grants_created: Counters::of(registry, &grants::CREATED, &[]),
            grants_revoked: counter(&grants::REVOKED),
            delegation_depth: histogram(&grants::DEPTH),
            cascade_size: histogram(&grants::CASCADE),
            agent_changes: Counters::of(registry, &agents::CHANGES, &[]),
            sign_ups: counter(&agents::SIGN_UPS),
            key_rotations: counter(&agents::KEY_ROTATIONS),
            audit_entries: counter(&agents::AUDIT_ENTRIES),
            deliveries: Counters::of(registry, &webhooks::DELIVERIES, &[]),
            attempt_duration: histogram(&webhooks::ATTEMPT_DURATION),
            end_to_end: histogram(&webhooks::END_TO_END),
            webhooks_disabled: Counters::of(registry, &webhooks::DISABLED, &[]),
            policy_decisions: Counters::of(registry, &policies::DECISIONS, &[]),
            policy_evaluation: histogram(&policies::EVALUATION),
            policy_backend_errors: Counters::of(registry, &policies::BACKEND_ERRORS, &[]),
            policy_changes: Counters::of(registry, &policies::CHANGES, &[]),
            anomalies: Severity::ALL
                .iter()
                .map(|severity| {
                    let fixed = [("severity", severity.as_str())];
                    (*severity, Counters::of(registry, &anomalies::DETECTED, &fixed))
                })
                .collect(),
            notifications: NotificationOutcome::ALL
                .iter()
                .map(|outcome| {
                    let fixed = [("outcome", outcome.as_str())];
                    (*outcome, Counters::of(registry, &anomalies::NOTIFICATIONS, &fixed))
                })
                .collect(),
            responses: Counters::of(registry, &anomalies::RESPONSES, &[]),
            rate_limit_hits: routes
                .iter()
                .map(|route| (*route, registry.counter(&limits::HITS, &[("endpoint", route)])))
                .collect(),
            rate_limit_hits_elsewhere: registry.counter(&limits::HITS, &[("endpoint", UNMATCHED)]),
            connection_errors: Counters::of(registry, &database::ERRORS, &[]),
        }
    }

    fn anomaly(&self, anomaly: &Anomaly) {
        let counters = self
            .anomalies
            .iter()
            .find(|(severity, _)| *severity == anomaly.severity);
        if let Some((_, counters)) = counters {
            counters.increment(anomaly.kind);
        }
    }

    /// Unknown templates are not let in, so that the label stays closed.
    fn rate_limit_hit(&self, endpoint: &str) {
        let known = self.rate_limit_hits.iter().find(|(route, _)| *route == endpoint);
        known
            .map_or(&self.rate_limit_hits_elsewhere, |(_, counter)| counter)
            .increment(1);
    }

    fn exchange(&self, status: ExchangeStatus, latency: Duration) {
        self.exchanges.increment(status);
        self.exchange_duration.record(latency);
    }

    fn refresh(&self, status: RefreshStatus, latency: Duration) {
        self.refreshes.increment(status);
        self.refresh_duration.record(latency);
    }

    fn authorize(&self, status: AuthorizeStatus, latency: Duration) {
        self.authorizations.increment(status);
        self.authorize_duration.record(latency);
    }

    fn attempt(&self, status: WebhookStatus, latency: Duration) {
        self.deliveries.increment(status);
        self.attempt_duration.record(latency);
    }

    fn verify(&self, status: VerifyStatus, latency: Duration) {
        self.verifications.increment(status);
        self.verify_duration.record(latency);
    }
}

impl Observer for Metrics {
    fn observe(&self, event: &Event, latency: Duration) {
        self.0.agents.observe(event, latency);
        let to = &self.0.events;
        match event {
            Event::GrantCreated {
                delegation_depth,
                parent_grant_id,
                ..
            } => {
                to.grants_created.increment(if parent_grant_id.is_some() {
                    GrantKind::Delegated
                } else {
                    GrantKind::Root
                });
                to.delegation_depth.record(f64::from(*delegation_depth));
            }
            Event::GrantRevoked {
                cascade_count,
                root_was_active,
                ..
            } => {
                to.grants_revoked.increment(u64::from(*root_was_active) + cascade_count);
                to.cascade_size.record(*cascade_count as f64);
            }
            Event::TokenExchanged(_) => to.exchange(ExchangeStatus::Success, latency),
            Event::TokenExchangeRejected { status, .. } => to.exchange(*status, latency),
            Event::TokenRefreshed(_) => to.refresh(RefreshStatus::Success, latency),
            Event::RefreshReplayed { .. } => to.refresh(RefreshStatus::Replayed, latency),
            Event::TokenRefreshRejected { status } => to.refresh(*status, latency),
            Event::TokenDelegated(_) => to.delegations.increment(1),
            // The attempt itself is counted by the rejection that follows; these count the consequence.
            Event::CodeReuseDetected { .. } => to.reuse.increment(ReuseKind::Code),
            Event::RefreshReuseDetected { .. } => to.reuse.increment(ReuseKind::RefreshToken),
            Event::AuthRequestOpened { .. } => to.authorize(AuthorizeStatus::Success, latency),
            Event::AuthorizeRejected { status, .. } => to.authorize(*status, latency),
            // A policy's refusal is counted by the rejection that follows, a person's decision by the consent.
            Event::AuthRequestApproved { .. } | Event::AuthRequestDenied { .. } | Event::PolicyDenied { .. } => {}
            Event::PolicyEvaluated { decision, took } => {
                to.policy_decisions.increment(*decision);
                to.policy_evaluation.record(*took);
            }
            Event::PolicyBackendFailed { backend, .. } => to.policy_backend_errors.increment(*backend),
            Event::PolicyChanged { change, .. } => to.policy_changes.increment(*change),
            Event::PolicyBundleStored { is_active, .. } => to.policy_changes.increment(if *is_active {
                PolicyChange::BundleActivated
            } else {
                PolicyChange::BundleStored
            }),
            Event::Consent { outcome, decided_after } => {
                to.consent.increment(*outcome);
                if let Some(took) = decided_after {
                    to.consent_decision.record(*took);
                }
            }
            Event::TokenVerified => to.verify(VerifyStatus::Valid, latency),
            Event::TokenVerificationFailed { status, .. } => to.verify(*status, latency),
            Event::TokenRevoked { .. } => to.tokens_revoked.increment(1),
            Event::BlockRevoked { .. } => to.blocks_revoked.increment(1),
            Event::OfflineDelegated { .. } => to.offline_delegations.increment(1),
            Event::AuditEntryLogged => to.audit_entries.increment(1),
            Event::DeveloperSignedUp { .. } => to.sign_ups.increment(1),
            Event::ApiKeyRotated { .. } => to.key_rotations.increment(1),
            Event::AgentChanged { change, .. } => to.agent_changes.increment(*change),
            Event::WebhookDelivered { since_event, .. } => {
                to.attempt(WebhookStatus::Delivered, latency);
                to.end_to_end.record(*since_event);
            }
            Event::WebhookDeliveryRetried(_) => to.attempt(WebhookStatus::Retried, latency),
            Event::WebhookDeliveryFailed(_) => to.attempt(WebhookStatus::Failed, latency),
            Event::WebhookDisabled { reason, .. } => to.webhooks_disabled.increment(*reason),
            // What developers do to their endpoints is in the log; how endpoints stand is a gauge.
            Event::WebhookChanged { .. } | Event::WebhookTested { .. } => {}
            Event::AnomalyDetected(anomaly) => {
                to.anomaly(anomaly);
                let agent = anomaly.agent_id.as_deref().and_then(AgentId::parse);
                self.agent_anomaly(agent.as_ref(), anomaly.severity);
            }
            Event::ChannelNotified(told) => {
                let counters = to.notifications.iter().find(|(outcome, _)| *outcome == told.outcome);
                if let Some((_, counters)) = counters {
                    counters.increment(told.kind);
                }
            }
            // What people do about anomalies is in the log; how many are open is a gauge.
            Event::AnomalyChanged { .. } | Event::ResponsePolicyChanged { .. } => {}
            Event::AnomalyResponded(response) => to.responses.increment(response.action),
            Event::RateLimitHit { endpoint, .. } => to.rate_limit_hit(endpoint),
            Event::DatabaseConnectionError { pool, .. } => {
                if let Some(pool) = Pool::parse(pool) {
                    to.connection_errors.increment(pool);
                }
            }
            Event::DatabaseConnectionRestored { .. } => {}
        }
    }
}
