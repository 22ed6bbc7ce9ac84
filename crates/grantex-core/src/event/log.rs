//! Event → log line. Constant message, values in fields, in the form that `docs/logging.md` lists.
#![allow(
    clippy::useless_conversion,
    reason = "a key is a plain text only while nobody enables slog's feature dynamic-keys"
)]

use std::time::Duration;

use slog::{KV, Level, Logger, Record, Serializer};

use super::{DeliveryFailure, Event, NotificationOutcome, TokenIssue};
use crate::anomaly::manage::AnomalyChange;
use crate::id::AgentId;
use crate::scope::Scopes;

impl Event {
    /// The constant message of the log line.
    pub const fn message(&self) -> &'static str {
        match self {
            Self::GrantCreated { .. } => "grant.created",
            Self::GrantRevoked { .. } => "grant.revoked",
            Self::TokenExchanged(_) => "token.exchanged",
            Self::TokenRefreshed(_) => "token.refreshed",
            Self::TokenDelegated(_) => "token.delegated",
            Self::RefreshReplayed { .. } => "token.refresh_replayed",
            Self::CodeReuseDetected { .. } => "code.reuse_detected",
            Self::RefreshReuseDetected { .. } => "token.reuse_detected",
            Self::TokenExchangeRejected { .. } => "token.exchange_rejected",
            Self::TokenRefreshRejected { .. } => "token.refresh_rejected",
            Self::AuthRequestOpened { .. } => "auth_request.opened",
            Self::AuthorizeRejected { .. } => "auth_request.rejected",
            Self::AuthRequestApproved { .. } => "auth_request.approved",
            Self::AuthRequestDenied { .. } => "auth_request.denied",
            Self::PolicyDenied { .. } => "policy.denied",
            Self::PolicyEvaluated { .. } => "policy.evaluated",
            Self::PolicyBackendFailed { .. } => "policy.backend_failed",
            Self::PolicyChanged { .. } => "policy.changed",
            Self::PolicyBundleStored { .. } => "policy.bundle_stored",
            Self::Consent { .. } => "consent",
            Self::TokenVerified => "token.verified",
            Self::TokenVerificationFailed { .. } => "token.verification_failed",
            Self::TokenRevoked { .. } => "token.revoked",
            Self::BlockRevoked { .. } => "token.block_revoked",
            Self::OfflineDelegated { .. } => "token.delegated_offline",
            Self::AuditEntryLogged => "audit.logged",
            Self::DeveloperSignedUp { .. } => "developer.signed_up",
            Self::ApiKeyRotated { .. } => "developer.key_rotated",
            Self::AgentChanged { .. } => "agent.changed",
            Self::WebhookChanged { .. } => "webhook.changed",
            Self::WebhookTested { .. } => "webhook.tested",
            Self::WebhookDisabled { .. } => "webhook.disabled",
            Self::WebhookDelivered { .. } => "webhook.delivered",
            Self::WebhookDeliveryRetried(_) => "webhook.delivery_retried",
            Self::WebhookDeliveryFailed(_) => "webhook.delivery_failed",
            Self::AnomalyDetected(_) => "anomaly.detected",
            Self::AnomalyChanged { .. } => "anomaly.changed",
            Self::ChannelNotified(told) => match told.outcome {
                NotificationOutcome::Delivered => "anomaly.notified",
                NotificationOutcome::Retried => "anomaly.notification_retried",
                NotificationOutcome::Failed => "anomaly.notification_failed",
            },
            Self::AnomalyResponded(_) => "anomaly.responded",
            Self::ResponsePolicyChanged { .. } => "response_policy.changed",
            Self::RateLimitHit { .. } => "rate_limit.hit",
            Self::DatabaseConnectionError { .. } => "database.connection_error",
            Self::DatabaseConnectionRestored { .. } => "database.connection_restored",
        }
    }

    /// The level of the log line. Events that happen on every call without telling an operator anything are `debug`.
    pub const fn level(&self) -> Level {
        match self {
            Self::AnomalyChanged {
                change: AnomalyChange::ChannelDisabled,
                ..
            } => Level::Warning,
            Self::ChannelNotified(told) => match told.outcome {
                NotificationOutcome::Delivered => Level::Debug,
                NotificationOutcome::Retried => Level::Warning,
                NotificationOutcome::Failed => Level::Error,
            },
            Self::GrantCreated { .. }
            | Self::GrantRevoked { .. }
            | Self::TokenExchanged(_)
            | Self::TokenRefreshed(_)
            | Self::TokenDelegated(_)
            | Self::RefreshReplayed { .. }
            | Self::TokenRevoked { .. }
            | Self::BlockRevoked { .. }
            | Self::OfflineDelegated { .. }
            | Self::DeveloperSignedUp { .. }
            | Self::ApiKeyRotated { .. }
            | Self::AgentChanged { .. }
            | Self::WebhookChanged { .. }
            | Self::WebhookTested { .. }
            | Self::AnomalyChanged { .. }
            | Self::ResponsePolicyChanged { .. }
            | Self::DatabaseConnectionRestored { .. }
            | Self::PolicyChanged { .. }
            | Self::PolicyBundleStored { .. } => Level::Info,
            Self::CodeReuseDetected { .. }
            | Self::RefreshReuseDetected { .. }
            | Self::TokenExchangeRejected { .. }
            | Self::TokenRefreshRejected { .. }
            | Self::AuthorizeRejected { .. }
            | Self::AuthRequestDenied { .. }
            | Self::PolicyDenied { .. }
            | Self::TokenVerificationFailed { .. }
            | Self::WebhookDisabled { .. }
            | Self::WebhookDeliveryRetried(_)
            | Self::AnomalyDetected(_)
            | Self::AnomalyResponded(_)
            | Self::RateLimitHit { .. } => Level::Warning,
            Self::WebhookDeliveryFailed(_)
            | Self::DatabaseConnectionError { .. }
            | Self::PolicyBackendFailed { .. } => Level::Error,
            Self::AuthRequestOpened { .. }
            | Self::AuthRequestApproved { .. }
            | Self::PolicyEvaluated { .. }
            | Self::Consent { .. }
            | Self::TokenVerified
            | Self::AuditEntryLogged
            | Self::WebhookDelivered { .. } => Level::Debug,
        }
    }

    /// Writes the line. slog fixes the level in a static record, hence one arm per level.
    pub fn log(&self, logger: &Logger, latency: Duration) {
        let line = Line { event: self, latency };
        match self.level() {
            Level::Critical | Level::Error => slog::error!(logger, "{}", self.message(); line),
            Level::Warning => slog::warn!(logger, "{}", self.message(); line),
            Level::Info => slog::info!(logger, "{}", self.message(); line),
            Level::Debug | Level::Trace => slog::debug!(logger, "{}", self.message(); line),
        }
    }
}

/// The scopes of a grant as a JSON array.
#[derive(Clone, serde::Serialize)]
struct ScopeList(Vec<String>);

impl slog::Value for ScopeList {
    fn serialize(&self, _: &Record<'_>, key: slog::Key, serializer: &mut dyn Serializer) -> slog::Result {
        serializer.emit_serde(key, self)
    }
}

impl slog::SerdeValue for ScopeList {
    fn as_serde(&self) -> &dyn erased_serde::Serialize {
        &self.0
    }
    fn to_sendable(&self) -> Box<dyn slog::SerdeValue + Send + 'static> {
        Box::new(self.clone())
    }
}

struct Line<'a> {
    event: &'a Event,
    latency: Duration,
}

impl KV for Line<'_> {
    fn serialize(&self, record: &Record<'_>, out: &mut dyn Serializer) -> slog::Result {
        let scopes = |out: &mut dyn Serializer, scopes: &Scopes| {
            slog::Value::serialize(&ScopeList(scopes.as_slice().to_vec()), record, "scopes".into(), out)
        };
        match self.event {
            Event::GrantCreated {
                grant_id,
                agent_id,
                principal_id,
                scopes: granted,
                delegation_depth,
                parent_grant_id,
                ..
            } => {
                out.emit_str("grantId".into(), grant_id.as_str())?;
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("principalId".into(), principal_id)?;
                scopes(out, granted)?;
                if let Some(parent) = parent_grant_id {
                    out.emit_u32("delegationDepth".into(), *delegation_depth)?;
                    out.emit_str("parentGrantId".into(), parent.as_str())?;
                }
            }
            Event::GrantRevoked {
                grant_id,
                agent_id,
                revoked_by,
                cascade_count,
                ..
            } => {
                out.emit_str("grantId".into(), grant_id.as_str())?;
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("revokedBy".into(), revoked_by.as_str())?;
                out.emit_u64("cascadeCount".into(), *cascade_count)?;
            }
            Event::TokenExchanged(issue) | Event::TokenRefreshed(issue) | Event::TokenDelegated(issue) => {
                issue.fields(out)?
            }
            Event::RefreshReplayed { grant_id, agent_id } => {
                out.emit_str("grantId".into(), grant_id.as_str())?;
                out.emit_str("agentId".into(), agent_id.as_str())?;
            }
            Event::CodeReuseDetected {
                grant_id,
                agent_id,
                is_revoked,
                ..
            }
            | Event::RefreshReuseDetected {
                grant_id,
                agent_id,
                is_revoked,
                ..
            } => {
                out.emit_str("grantId".into(), grant_id.as_str())?;
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_bool("revoked".into(), *is_revoked)?;
            }
            Event::TokenExchangeRejected { status, agent_id } => {
                agent(out, agent_id.as_ref())?;
                out.emit_str("reason".into(), status.as_str())?;
            }
            Event::TokenRefreshRejected { status } => out.emit_str("reason".into(), status.as_str())?,
            Event::AuthorizeRejected { status, agent_id } => {
                agent(out, agent_id.as_ref())?;
                out.emit_str("reason".into(), status.as_str())?;
            }
            Event::AuthRequestOpened {
                agent_id,
                principal_id,
                scopes: asked,
            } => {
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("principalId".into(), principal_id)?;
                scopes(out, asked)?;
            }
            Event::AuthRequestApproved {
                agent_id,
                principal_id,
                by,
                ..
            } => {
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("principalId".into(), principal_id)?;
                out.emit_str("approvedBy".into(), by.as_str())?;
            }
            Event::AuthRequestDenied {
                agent_id,
                principal_id,
                reason,
                ..
            } => {
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("principalId".into(), principal_id)?;
                out.emit_str("reason".into(), reason.as_str())?;
                if let Some(by) = reason.policy() {
                    out.emit_arguments("policyId".into(), &format_args!("{by}"))?;
                }
            }
            Event::PolicyDenied {
                action,
                by,
                agent_id,
                principal_id,
                grant_id,
                ..
            } => {
                out.emit_str("action".into(), action.as_str())?;
                out.emit_arguments("policyId".into(), &format_args!("{by}"))?;
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("principalId".into(), principal_id)?;
                if let Some(id) = grant_id {
                    out.emit_str("grantId".into(), id.as_str())?;
                }
            }
            Event::PolicyEvaluated { decision, took } => {
                out.emit_str("decision".into(), decision.as_str())?;
                let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
                out.emit_u64("tookMicros".into(), micros)?;
            }
            Event::PolicyBackendFailed { backend, error } => {
                out.emit_str("backend".into(), backend.as_str())?;
                out.emit_str("error".into(), error)?;
            }
            Event::PolicyChanged { policy_id, change } => {
                out.emit_str("policyId".into(), policy_id.as_str())?;
                out.emit_str("change".into(), change.as_str())?;
            }
            Event::PolicyBundleStored {
                bundle_id,
                format,
                sha256,
                is_active,
            } => {
                out.emit_str("bundleId".into(), bundle_id.as_str())?;
                out.emit_str("format".into(), format.as_str())?;
                out.emit_str("sha256".into(), sha256)?;
                out.emit_bool("active".into(), *is_active)?;
            }
            Event::Consent { outcome, .. } => out.emit_str("outcome".into(), outcome.as_str())?,
            Event::TokenVerified | Event::AuditEntryLogged => {}
            Event::TokenVerificationFailed { status, token_id } => {
                out.emit_str("reason".into(), status.as_str())?;
                if let Some(id) = token_id {
                    out.emit_str("tokenId".into(), id.as_str())?;
                }
            }
            Event::TokenRevoked {
                token_id,
                grant_id,
                agent_id,
                ..
            } => {
                out.emit_str("tokenId".into(), token_id.as_str())?;
                out.emit_str("grantId".into(), grant_id.as_str())?;
                out.emit_str("agentId".into(), agent_id.as_str())?;
            }
            Event::BlockRevoked { revocation_id } => out.emit_str("revocationId".into(), revocation_id)?,
            Event::OfflineDelegated {
                delegation, agent_id, ..
            } => {
                out.emit_str("tokenId".into(), delegation.token_id.as_str())?;
                out.emit_str("grantId".into(), delegation.grant_id.as_str())?;
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("delegatedTo".into(), &delegation.agent_did)?;
                out.emit_u32("delegationDepth".into(), delegation.depth)?;
                out.emit_str("revocationId".into(), &delegation.revocation_id)?;
            }
            Event::DeveloperSignedUp { developer_id } | Event::ApiKeyRotated { developer_id } => {
                out.emit_str("developerId".into(), developer_id.as_str())?;
            }
            Event::AgentChanged { agent_id, change } => {
                out.emit_str("agentId".into(), agent_id.as_str())?;
                out.emit_str("change".into(), change.as_str())?;
            }
            Event::WebhookChanged { webhook_id, change } => {
                out.emit_str("webhookId".into(), webhook_id.as_str())?;
                out.emit_str("change".into(), change.as_str())?;
            }
            Event::WebhookTested { webhook_id } => out.emit_str("webhookId".into(), webhook_id.as_str())?,
            Event::WebhookDisabled { webhook_id, reason } => {
                out.emit_str("webhookId".into(), webhook_id.as_str())?;
                out.emit_str("reason".into(), reason.as_str())?;
            }
            Event::WebhookDelivered {
                webhook_id,
                status_code,
                attempt,
                agent_id,
                ..
            } => {
                out.emit_str("webhookId".into(), webhook_id.as_str())?;
                agent(out, agent_id.as_ref())?;
                out.emit_u32("statusCode".into(), u32::from(*status_code))?;
                out.emit_u32("attempt".into(), *attempt)?;
            }
            Event::WebhookDeliveryRetried(failure) | Event::WebhookDeliveryFailed(failure) => failure.fields(out)?,
            Event::AnomalyDetected(anomaly) => {
                out.emit_str("anomalyId".into(), anomaly.id.as_str())?;
                out.emit_str("type".into(), anomaly.kind.as_str())?;
                out.emit_str("severity".into(), anomaly.severity.as_str())?;
                if let Some(agent) = &anomaly.agent_id {
                    out.emit_str("agentId".into(), agent)?;
                }
            }
            Event::AnomalyChanged { subject, change } => {
                out.emit_str("id".into(), subject)?;
                out.emit_str("change".into(), change.as_str())?;
            }
            Event::ChannelNotified(told) => {
                out.emit_str("channelId".into(), told.channel_id.as_str())?;
                out.emit_str("type".into(), told.kind.as_str())?;
                match told.status_code {
                    Some(status) => out.emit_u32("statusCode".into(), u32::from(status))?,
                    None => out.emit_none("statusCode".into())?,
                }
                out.emit_u32("attempt".into(), told.attempt)?;
                if let Some(error) = &told.error {
                    out.emit_str("error".into(), error)?;
                }
            }
            Event::AnomalyResponded(response) => {
                out.emit_str("anomalyId".into(), response.anomaly.id.as_str())?;
                out.emit_str("type".into(), response.anomaly.kind.as_str())?;
                out.emit_str("severity".into(), response.anomaly.severity.as_str())?;
                out.emit_str("agentId".into(), response.agent_id.as_str())?;
                out.emit_str("action".into(), response.action.as_str())?;
                out.emit_bool("effective".into(), response.is_effective)?;
                out.emit_u64("revokedGrants".into(), response.revoked)?;
            }
            Event::ResponsePolicyChanged {
                previous,
                mode,
                policies,
            } => {
                out.emit_str("previousMode".into(), previous.as_str())?;
                out.emit_str("mode".into(), mode.as_str())?;
                out.emit_usize("policies".into(), *policies)?;
            }
            Event::RateLimitHit {
                ip,
                endpoint,
                retry_after,
            } => {
                out.emit_str("ip".into(), ip)?;
                out.emit_str("endpoint".into(), endpoint)?;
                out.emit_u64("retryAfter".into(), *retry_after)?;
            }
            Event::DatabaseConnectionError { error, pool, unlogged } => {
                out.emit_str("error".into(), error)?;
                out.emit_str("pool".into(), pool)?;
                unlogged_count(out, *unlogged)?;
            }
            Event::DatabaseConnectionRestored { pool, unlogged } => {
                out.emit_str("pool".into(), pool)?;
                unlogged_count(out, *unlogged)?;
            }
        }
        out.emit_u64(
            "latencyMs".into(),
            u64::try_from(self.latency.as_millis()).unwrap_or(u64::MAX),
        )
    }
}

impl DeliveryFailure {
    fn fields(&self, out: &mut dyn Serializer) -> slog::Result {
        out.emit_str("webhookId".into(), self.webhook_id.as_str())?;
        agent(out, self.agent_id.as_ref())?;
        out.emit_str("url".into(), &self.url)?;
        match self.status_code {
            Some(status) => out.emit_u32("statusCode".into(), u32::from(status))?,
            None => out.emit_none("statusCode".into())?,
        }
        out.emit_u32("attempt".into(), self.attempt)?;
        out.emit_str("error".into(), &self.error)
    }
}

fn agent(out: &mut dyn Serializer, id: Option<&AgentId>) -> slog::Result {
    id.map_or(Ok(()), |id| out.emit_str("agentId".into(), id.as_str()))
}

fn unlogged_count(out: &mut dyn Serializer, count: u64) -> slog::Result {
    if count > 0 {
        out.emit_u64("unlogged".into(), count)?;
    }
    Ok(())
}

impl TokenIssue {
    fn fields(&self, out: &mut dyn Serializer) -> slog::Result {
        out.emit_str("grantId".into(), self.grant_id.as_str())?;
        out.emit_str("agentId".into(), self.agent_id.as_str())?;
        out.emit_str("tokenId".into(), self.token_id.as_str())
    }
}
