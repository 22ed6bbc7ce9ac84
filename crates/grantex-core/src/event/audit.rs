//! Event → entry of the server's audit chain.

use serde_json::{Value, json};

use super::{Event, PolicyChange};
use crate::audit::canonical;
use crate::audit::{AuditRecord, AuditStatus};
use crate::authorize::Origin;
use crate::id::{AgentId, GrantId};
use crate::policy::PolicyRef;

impl Event {
    /// What the server's chain records of it: grants created, tokens exchanged and refreshed, revocations, reuse, consent
    /// given or refused, refusals by policy, and what was done because of anomalies.
    pub fn audit(&self) -> Option<AuditRecord> {
        match self {
            Self::GrantCreated {
                grant_id,
                agent_id,
                principal_id,
                scopes,
                expires_at,
                delegation_depth,
                parent_grant_id,
            } => Some(record(
                "grantex.grant.created",
                AuditStatus::Success,
                Some(agent_id),
                Some(grant_id),
                principal_id,
                &json!({
                    "scopes": scopes.as_slice(), "expiresAt": expires_at,
                    "delegationDepth": delegation_depth, "parentGrantId": parent_grant_id,
                }),
            )),
            Self::GrantRevoked {
                grant_id,
                agent_id,
                principal_id,
                revoked_by,
                cascade_count,
                ..
            } => Some(record(
                "grantex.grant.revoked",
                AuditStatus::Success,
                Some(agent_id),
                Some(grant_id),
                principal_id,
                &json!({"revokedBy": revoked_by.as_str(), "cascadeCount": cascade_count}),
            )),
            Self::TokenExchanged(issue) | Self::TokenRefreshed(issue) | Self::TokenDelegated(issue) => Some(record(
                match self {
                    Self::TokenExchanged(_) => "grantex.token.exchanged",
                    Self::TokenRefreshed(_) => "grantex.token.refreshed",
                    _ => "grantex.token.delegated",
                },
                AuditStatus::Success,
                Some(&issue.agent_id),
                Some(&issue.grant_id),
                &issue.principal_id,
                &json!({"tokenId": issue.token_id}),
            )),
            Self::CodeReuseDetected {
                grant_id,
                agent_id,
                principal_id,
                is_revoked,
            } => Some(record(
                "grantex.code.reuse_detected",
                AuditStatus::Blocked,
                Some(agent_id),
                Some(grant_id),
                principal_id,
                &json!({"revoked": is_revoked}),
            )),
            Self::RefreshReuseDetected {
                grant_id,
                agent_id,
                principal_id,
                is_revoked,
            } => Some(record(
                "grantex.token.reuse_detected",
                AuditStatus::Blocked,
                Some(agent_id),
                Some(grant_id),
                principal_id,
                &json!({"revoked": is_revoked}),
            )),
            Self::AuthRequestApproved {
                agent_id,
                principal_id,
                by,
                scopes,
                origin,
            } => Some(record(
                "grantex.grant.approved",
                AuditStatus::Success,
                Some(agent_id),
                None,
                principal_id,
                &with_origin(
                    json!({"approvedBy": by.as_str(), "scopes": scopes.as_slice()}),
                    origin.as_ref(),
                ),
            )),
            Self::AuthRequestDenied {
                agent_id,
                principal_id,
                reason,
                scopes,
                origin,
            } => Some(record(
                "grantex.grant.denied",
                AuditStatus::Blocked,
                Some(agent_id),
                None,
                principal_id,
                &with_origin(
                    denial(
                        reason.policy(),
                        json!({"reason": reason.as_str(), "scopes": scopes.as_slice()}),
                    ),
                    origin.as_ref(),
                ),
            )),
            Self::PolicyDenied {
                action,
                by,
                agent_id,
                principal_id,
                scopes,
                grant_id,
            } => Some(record(
                "grantex.policy.denied",
                AuditStatus::Blocked,
                Some(agent_id),
                grant_id.as_ref(),
                principal_id,
                &denial(
                    Some(by),
                    json!({"action": action.as_str(), "scopes": scopes.as_slice()}),
                ),
            )),
            Self::PolicyChanged { policy_id, change } => Some(record(
                match change {
                    PolicyChange::Created => "grantex.policy.created",
                    PolicyChange::Deleted => "grantex.policy.deleted",
                    PolicyChange::Updated | PolicyChange::BundleStored | PolicyChange::BundleActivated => {
                        "grantex.policy.updated"
                    }
                },
                AuditStatus::Success,
                None,
                None,
                "",
                &json!({"policyId": policy_id}),
            )),
            Self::PolicyBundleStored {
                bundle_id,
                format,
                sha256,
                is_active,
            } => Some(record(
                "grantex.policy_bundle.stored",
                AuditStatus::Success,
                None,
                None,
                "",
                &json!({"bundleId": bundle_id, "format": format, "sha256": sha256, "active": is_active}),
            )),
            Self::TokenRevoked {
                token_id,
                grant_id,
                agent_id,
                principal_id,
            } => Some(record(
                "grantex.token.revoked",
                AuditStatus::Success,
                Some(agent_id),
                Some(grant_id),
                principal_id,
                &json!({"tokenId": token_id}),
            )),
            Self::BlockRevoked { revocation_id } => Some(record(
                "grantex.token.block_revoked",
                AuditStatus::Success,
                None,
                None,
                "",
                &json!({"revocationId": revocation_id}),
            )),
            Self::OfflineDelegated {
                delegation,
                agent_id,
                principal_id,
            } => Some(record(
                "grantex.token.delegated_offline",
                AuditStatus::Success,
                Some(agent_id),
                Some(&delegation.grant_id),
                principal_id,
                &delegation.described(),
            )),
            Self::AnomalyResponded(response) => Some(record(
                "grantex.anomaly.responded",
                AuditStatus::Success,
                Some(&response.agent_id),
                None,
                response.anomaly.principal_id.as_deref().unwrap_or_default(),
                &json!({
                    "anomalyId": response.anomaly.id, "type": response.anomaly.kind.as_str(),
                    "severity": response.anomaly.severity.as_str(), "ruleId": response.anomaly.rule_id,
                    "description": response.anomaly.description, "evidence": response.anomaly.evidence,
                    "action": response.action.as_str(), "effective": response.is_effective,
                    "revokedGrants": response.revoked,
                }),
            )),
            Self::ResponsePolicyChanged {
                previous,
                mode,
                policies,
            } => Some(record(
                "grantex.response_policy.updated",
                AuditStatus::Success,
                None,
                None,
                "",
                &json!({"previousMode": previous.as_str(), "mode": mode.as_str(), "policies": policies}),
            )),
            Self::RefreshReplayed { .. }
            | Self::TokenExchangeRejected { .. }
            | Self::TokenRefreshRejected { .. }
            | Self::AuthRequestOpened { .. }
            | Self::AuthorizeRejected { .. }
            | Self::PolicyEvaluated { .. }
            | Self::PolicyBackendFailed { .. }
            | Self::Consent { .. }
            | Self::TokenVerified
            | Self::TokenVerificationFailed { .. }
            | Self::AuditEntryLogged
            | Self::DeveloperSignedUp { .. }
            | Self::ApiKeyRotated { .. }
            | Self::AgentChanged { .. }
            | Self::WebhookChanged { .. }
            | Self::WebhookTested { .. }
            | Self::WebhookDisabled { .. }
            | Self::WebhookDelivered { .. }
            | Self::WebhookDeliveryRetried(_)
            | Self::WebhookDeliveryFailed(_)
            | Self::AnomalyDetected(_)
            | Self::AnomalyChanged { .. }
            | Self::ChannelNotified(_)
            | Self::RateLimitHit { .. }
            | Self::DatabaseConnectionError { .. }
            | Self::DatabaseConnectionRestored { .. } => None,
        }
    }
}

/// Metadata with where a decision came from, if that is known.
fn with_origin(mut metadata: Value, origin: Option<&Origin>) -> Value {
    if let (Some(members), Some(origin)) = (metadata.as_object_mut(), origin) {
        origin.describe(members);
    }
    metadata
}

/// What is told of a refusal, with the policy that stands for it.
fn denial(by: Option<&PolicyRef>, mut metadata: Value) -> Value {
    if let (Some(by), Some(members)) = (by, metadata.as_object_mut()) {
        members.insert("policyId".into(), json!(by.to_string()));
    }
    metadata
}

fn record(
    action: &str,
    status: AuditStatus,
    agent: Option<&AgentId>,
    grant: Option<&GrantId>,
    principal: &str,
    metadata: &Value,
) -> AuditRecord {
    AuditRecord {
        agent_id: agent.map(ToString::to_string).unwrap_or_default(),
        agent_did: agent.map(AgentId::did).unwrap_or_default(),
        grant_id: grant.map(ToString::to_string).unwrap_or_default(),
        principal_id: if principal.is_empty() {
            "platform".to_owned()
        } else {
            principal.to_owned()
        },
        action: action.to_owned(),
        metadata: canonical::object_text(metadata),
        status,
    }
}
