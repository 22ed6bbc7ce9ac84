//! Event → webhook type and `data` (contract: event streams).

use serde_json::{Value, json};

use super::{Event, TokenIssue, kind};
use crate::anomaly::Severity;
use crate::anomaly::alert::Anomaly;
use crate::anomaly::response::{AnomalyResponse, ResponseAction};
use crate::clock::Timestamp;
use crate::id::{EventId, GrantId, WebhookId};

impl Event {
    /// The type under which developers may subscribe to it, and its `data`; `None` for what is not told to developers.
    pub fn webhook(&self) -> Option<(&'static str, Value)> {
        match self {
            Self::GrantCreated {
                grant_id,
                agent_id,
                principal_id,
                scopes,
                expires_at,
                delegation_depth,
                parent_grant_id,
            } => {
                let mut data = json!({
                    "grantId": grant_id, "agentId": agent_id, "principalId": principal_id,
                    "scopes": scopes.as_slice(), "expiresAt": expires_at,
                });
                if let (Some(parent), Some(members)) = (parent_grant_id, data.as_object_mut()) {
                    members.insert("delegationDepth".into(), json!(delegation_depth));
                    members.insert("parentGrantId".into(), json!(parent));
                }
                Some((kind::GRANT_CREATED, data))
            }
            Self::GrantRevoked {
                grant_id,
                revoked_by,
                cascade_count,
                ..
            } => Some((
                kind::GRANT_REVOKED,
                json!({
                    "grantId": grant_id, "cascade": *cascade_count > 0,
                    "revokedBy": revoked_by.as_str(), "cascadeCount": cascade_count,
                }),
            )),
            Self::TokenExchanged(issue) | Self::TokenRefreshed(issue) | Self::TokenDelegated(issue) => {
                Some((kind::TOKEN_ISSUED, issue.data()))
            }
            Self::CodeReuseDetected {
                grant_id,
                agent_id,
                principal_id,
                is_revoked,
            } => Some((
                kind::TOKEN_REUSE_DETECTED,
                json!({"grantId": grant_id, "agentId": agent_id, "principalId": principal_id, "kind": "code", "revoked": is_revoked}),
            )),
            Self::RefreshReuseDetected {
                grant_id,
                agent_id,
                principal_id,
                is_revoked,
            } => Some((
                kind::TOKEN_REUSE_DETECTED,
                json!({
                    "grantId": grant_id, "agentId": agent_id, "principalId": principal_id,
                    "kind": "refresh_token", "revoked": is_revoked,
                }),
            )),
            Self::AuthRequestDenied {
                agent_id,
                principal_id,
                reason,
                scopes,
                ..
            } => {
                let mut data = json!({
                    "agentId": agent_id, "principalId": principal_id, "scopes": scopes.as_slice(), "reason": reason.as_str(),
                });
                if let (Some(by), Some(members)) = (reason.policy(), data.as_object_mut()) {
                    members.insert("policyId".into(), json!(by.to_string()));
                }
                Some((kind::GRANT_DENIED, data))
            }
            Self::PolicyDenied {
                action,
                by,
                agent_id,
                principal_id,
                scopes,
                grant_id,
            } => {
                let mut data = json!({
                    "agentId": agent_id, "principalId": principal_id, "scopes": scopes.as_slice(), "reason": "policy",
                    "policyId": by.to_string(), "action": action.as_str(),
                });
                if let (Some(id), Some(members)) = (grant_id, data.as_object_mut()) {
                    members.insert("grantId".into(), json!(id));
                }
                Some((kind::GRANT_DENIED, data))
            }
            Self::TokenRevoked {
                token_id,
                grant_id,
                agent_id,
                principal_id,
            } => Some((
                kind::TOKEN_REVOKED,
                json!({"tokenId": token_id, "grantId": grant_id, "agentId": agent_id, "principalId": principal_id}),
            )),
            Self::OfflineDelegated {
                delegation,
                agent_id,
                principal_id,
            } => {
                let mut data = delegation.described();
                if let Some(members) = data.as_object_mut() {
                    members.insert("grantId".into(), json!(delegation.grant_id));
                    members.insert("agentId".into(), json!(agent_id));
                    members.insert("principalId".into(), json!(principal_id));
                }
                Some((kind::TOKEN_DELEGATED_OFFLINE, data))
            }
            Self::AnomalyDetected(anomaly) => Some((kind::ANOMALY_DETECTED, anomaly.data())),
            Self::AnomalyResponded(response) => Some((
                match response.action {
                    ResponseAction::RevokeAgentGrants => kind::ANOMALY_AUTO_REVOKED,
                    ResponseAction::SuspendAgent => kind::ANOMALY_AGENT_SUSPENDED,
                },
                response.data(),
            )),
            Self::ResponsePolicyChanged {
                previous,
                mode,
                policies,
            } => Some((
                kind::RESPONSE_POLICY_UPDATED,
                json!({"previousMode": previous.as_str(), "mode": mode.as_str(), "policies": policies}),
            )),
            Self::WebhookDisabled { webhook_id, reason } => Some((
                kind::WEBHOOK_DISABLED,
                json!({"webhookId": webhook_id, "reason": reason.as_str()}),
            )),
            Self::WebhookTested { webhook_id } => Some((kind::WEBHOOK_TEST, json!({"webhookId": webhook_id}))),
            Self::RefreshReplayed { .. }
            | Self::BlockRevoked { .. }
            | Self::TokenExchangeRejected { .. }
            | Self::TokenRefreshRejected { .. }
            | Self::AuthRequestOpened { .. }
            | Self::AuthRequestApproved { .. }
            | Self::AuthorizeRejected { .. }
            | Self::PolicyEvaluated { .. }
            | Self::PolicyBackendFailed { .. }
            | Self::PolicyChanged { .. }
            | Self::PolicyBundleStored { .. }
            | Self::Consent { .. }
            | Self::TokenVerified
            | Self::TokenVerificationFailed { .. }
            | Self::AuditEntryLogged
            | Self::DeveloperSignedUp { .. }
            | Self::ApiKeyRotated { .. }
            | Self::AgentChanged { .. }
            | Self::WebhookChanged { .. }
            | Self::WebhookDelivered { .. }
            | Self::WebhookDeliveryRetried(_)
            | Self::WebhookDeliveryFailed(_)
            | Self::AnomalyChanged { .. }
            | Self::ChannelNotified(_)
            | Self::RateLimitHit { .. }
            | Self::DatabaseConnectionError { .. }
            | Self::DatabaseConnectionRestored { .. } => None,
        }
    }

    /// The grant whose events reach a receiver in their order; `None` for events that stand alone.
    pub fn ordered_by(&self) -> Option<&GrantId> {
        match self {
            Self::GrantCreated { grant_id, .. }
            | Self::GrantRevoked { grant_id, .. }
            | Self::CodeReuseDetected { grant_id, .. }
            | Self::RefreshReuseDetected { grant_id, .. }
            | Self::TokenRevoked { grant_id, .. } => Some(grant_id),
            Self::TokenExchanged(issue) | Self::TokenRefreshed(issue) | Self::TokenDelegated(issue) => {
                Some(&issue.grant_id)
            }
            Self::PolicyDenied { grant_id, .. } => grant_id.as_ref(),
            _ => None,
        }
    }

    /// How bad it is, when it is what channels are told of.
    pub const fn severity(&self) -> Option<Severity> {
        match self {
            Self::AnomalyDetected(anomaly) => Some(anomaly.severity),
            _ => None,
        }
    }

    /// The one endpoint that is told, whatever it subscribed to; `None` when all subscribers are.
    pub fn addressee(&self) -> Option<&WebhookId> {
        match self {
            Self::WebhookTested { webhook_id } => Some(webhook_id),
            _ => None,
        }
    }
}

impl TokenIssue {
    fn data(&self) -> Value {
        json!({
            "tokenId": self.token_id, "grantId": self.grant_id, "agentId": self.agent_id,
            "principalId": self.principal_id, "scopes": self.scopes.as_slice(), "expiresAt": self.expires_at,
        })
    }
}

impl Anomaly {
    fn data(&self) -> Value {
        json!({
            "anomalyId": self.id, "type": self.kind.as_str(), "severity": self.severity.as_str(), "ruleId": self.rule_id,
            "agentId": self.agent_id, "principalId": self.principal_id, "description": self.description,
            "metadata": self.evidence, "detectedAt": self.detected_at,
        })
    }
}

impl AnomalyResponse {
    /// The finding, with what was done. Clients of other servers read `revokedGrants` and `anomalyCount`.
    fn data(&self) -> Value {
        let mut data = self.anomaly.data();
        if let Some(members) = data.as_object_mut() {
            members.insert("action".into(), json!(self.action.as_str()));
            members.insert("effective".into(), json!(self.is_effective));
            if self.action == ResponseAction::RevokeAgentGrants {
                members.insert("anomalyCount".into(), json!(1));
                members.insert("revokedGrants".into(), json!(self.grants));
                members.insert("revokedGrantCount".into(), json!(self.revoked));
            }
        }
        data
    }
}

/// The envelope that is stored, signed and sent, byte for byte.
pub fn envelope(id: &EventId, kind: &str, created_at: Timestamp, data: &Value) -> String {
    json!({"id": id, "type": kind, "createdAt": created_at, "data": data}).to_string()
}
