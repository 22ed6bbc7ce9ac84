//! What a developer wants done about a finding, beyond being told: nothing, unless it says so.

use super::Severity;
use super::alert::Anomaly;
use crate::clock::Timestamp;
use crate::closed;
use crate::id::{AgentId, AnomalyId, DeveloperId, GrantId};
use crate::page::Cursor;

/// Policies that one developer may have.
pub const MAX_RESPONSE_RULES: usize = 20;
/// Rules that one policy may name.
pub const MAX_NAMED_RULES: usize = 40;
/// Revoked grants that one event names; it counts all.
pub const MAX_NAMED_GRANTS: usize = 100;

closed! {
    /// What is done about findings that no policy speaks of.
    pub enum ResponseMode {
        /// They are told.
        AlertOnly = "alert_only",
        /// The grants of the agent are revoked, if the finding is high or critical.
        RevokeAgentGrants = "revoke_agent_grants",
    }
}

closed! {
    /// What the server does to an agent because of a finding.
    pub enum ResponseAction {
        /// It is suspended: its tokens fail until the developer makes it active again.
        SuspendAgent = "suspend_agent",
        /// Its grants are revoked, with everything delegated from them.
        RevokeAgentGrants = "revoke_agent_grants",
    }
}

/// One policy: which findings it speaks of, and what is to be done about them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponseRule {
    /// The ids of the rules, as findings carry them; none means all.
    pub rules: Vec<String>,
    /// The severities; none means all.
    pub severities: Vec<Severity>,
    /// What is done; `None`: the finding is told, and nothing else.
    pub action: Option<ResponseAction>,
}

impl ResponseRule {
    fn speaks_of(&self, anomaly: &Anomaly) -> bool {
        (self.rules.is_empty() || self.rules.contains(&anomaly.rule_id))
            && (self.severities.is_empty() || self.severities.contains(&anomaly.severity))
    }
}

/// What a developer wants done about findings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResponsePolicy {
    /// For findings that no rule speaks of.
    pub mode: ResponseMode,
    /// The first one that speaks of a finding decides.
    pub rules: Vec<ResponseRule>,
}

impl Default for ResponsePolicy {
    fn default() -> Self {
        Self {
            mode: ResponseMode::AlertOnly,
            rules: Vec::new(),
        }
    }
}

impl ResponsePolicy {
    /// What is to be done about a finding.
    pub fn action(&self, anomaly: &Anomaly) -> Option<ResponseAction> {
        if let Some(rule) = self.rules.iter().find(|rule| rule.speaks_of(anomaly)) {
            return rule.action;
        }
        let is_grave = anomaly.severity >= Severity::High;
        (self.mode == ResponseMode::RevokeAgentGrants && is_grave).then_some(ResponseAction::RevokeAgentGrants)
    }

    /// The response to a finding as it is raised; `None` when nothing is to be done, or there is no agent to do it to.
    pub fn respond(&self, anomaly: &Anomaly, now: Timestamp) -> Option<PendingResponse> {
        Some(PendingResponse {
            action: self.action(anomaly)?,
            agent_id: anomaly.agent_id.as_deref().and_then(AgentId::parse)?,
            anomaly_id: anomaly.id.clone(),
            developer_id: anomaly.developer_id.clone(),
            after: None,
            revoked: 0,
            grants: Vec::new(),
            created_at: now,
        })
    }
}

/// A response that is decided and not done with. It is stored with its finding, and gone when it is done, so that neither a crash
/// loses it nor two servers do it twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingResponse {
    /// The finding.
    pub anomaly_id: AnomalyId,
    /// The tenant.
    pub developer_id: DeveloperId,
    /// The agent.
    pub agent_id: AgentId,
    /// What is to be done.
    pub action: ResponseAction,
    /// The last grant of the agent that was visited.
    pub after: Option<Cursor>,
    /// Grants that were revoked so far, without what was delegated from them.
    pub revoked: u64,
    /// The first of them.
    pub grants: Vec<GrantId>,
    /// When the finding was raised.
    pub created_at: Timestamp,
}

/// A response that is done, with the finding that it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AnomalyResponse {
    /// The finding.
    pub anomaly: Anomaly,
    /// The agent.
    pub agent_id: AgentId,
    /// What was done.
    pub action: ResponseAction,
    /// Whether it made a difference: the agent was active, or had grants.
    pub is_effective: bool,
    /// Grants that were revoked, without what was delegated from them.
    pub revoked: u64,
    /// The first of them.
    pub grants: Vec<GrantId>,
}

#[cfg(test)]
mod tests {
    use serde_json::Map;

    use super::*;
    use crate::anomaly::{AnomalyKind, Finding};

    const T0: Timestamp = Timestamp::from_millis(0);
    const AGENT: &str = "ag_01ARZ3NDEKTSV4RRFFQ69G5FAV";

    fn anomaly(rule_id: &str, severity: Severity, agent: &str) -> Anomaly {
        let finding = Finding {
            kind: AnomalyKind::Custom,
            custom: None,
            severity,
            principal_id: None,
            description: String::new(),
            evidence: Map::new(),
            level: 1,
            window_start: T0,
            window_end: T0,
        };
        let id = AnomalyId::parse("anm_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        let developer = DeveloperId::parse("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap();
        Anomaly::raise(finding, id, developer, agent, rule_id.to_owned(), T0)
    }

    fn rule(rules: &[&str], severities: &[Severity], action: Option<ResponseAction>) -> ResponseRule {
        ResponseRule {
            rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
            severities: severities.to_vec(),
            action,
        }
    }

    #[test]
    fn nothing_is_done_unless_a_developer_says_so() {
        for severity in Severity::ALL {
            let found = anomaly("AD-011", *severity, AGENT);
            assert_eq!(ResponsePolicy::default().action(&found), None);
        }
    }

    #[test]
    fn the_mode_speaks_of_grave_findings() {
        let policy = ResponsePolicy {
            mode: ResponseMode::RevokeAgentGrants,
            rules: Vec::new(),
        };
        let revoke = Some(ResponseAction::RevokeAgentGrants);
        for (severity, expected) in [
            (Severity::Low, None),
            (Severity::Medium, None),
            (Severity::High, revoke),
            (Severity::Critical, revoke),
        ] {
            assert_eq!(policy.action(&anomaly("AD-011", severity, AGENT)), expected);
        }
    }

    #[test]
    fn the_first_policy_that_speaks_of_a_finding_decides() {
        let (suspend, revoke) = (
            Some(ResponseAction::SuspendAgent),
            Some(ResponseAction::RevokeAgentGrants),
        );
        let policy = ResponsePolicy {
            mode: ResponseMode::RevokeAgentGrants,
            rules: vec![
                rule(&["AD-011", "mine"], &[], None),
                rule(&["AD-009"], &[Severity::Critical], suspend),
                rule(&["AD-009"], &[], revoke),
                rule(&[], &[Severity::Low], suspend),
            ],
        };
        for (rule, severity, expected) in [
            ("AD-011", Severity::Critical, None),
            ("mine", Severity::Low, None),
            ("AD-009", Severity::Critical, suspend),
            ("AD-009", Severity::Low, revoke),
            ("AD-001", Severity::Low, suspend),
            ("AD-001", Severity::Medium, None),
            ("AD-001", Severity::High, revoke),
        ] {
            assert_eq!(
                policy.action(&anomaly(rule, severity, AGENT)),
                expected,
                "{rule} {severity:?}"
            );
        }
    }

    #[test]
    fn without_an_agent_there_is_nothing_to_do() {
        let policy = ResponsePolicy {
            mode: ResponseMode::RevokeAgentGrants,
            rules: Vec::new(),
        };
        assert_eq!(policy.respond(&anomaly("AD-008", Severity::Critical, ""), T0), None);
        assert_eq!(policy.respond(&anomaly("AD-008", Severity::Critical, "me"), T0), None);
        let pending = policy
            .respond(&anomaly("AD-008", Severity::Critical, AGENT), T0)
            .unwrap();
        assert_eq!(
            (pending.agent_id.as_str(), pending.action),
            (AGENT, ResponseAction::RevokeAgentGrants)
        );
    }
}
