//! How one developer wants to be watched: which rules run with which thresholds, rules of its own, and when to be silent.

use std::collections::BTreeMap;

use super::AnomalyKind;
use super::custom::{CustomRule, Mute};
use super::response::ResponsePolicy;
use super::rules::Rule;
use crate::clock::Timestamp;

/// What a developer changed about a rule of the server.
#[derive(Debug, Clone, PartialEq)]
pub struct RuleOverride {
    /// The rule.
    pub kind: AnomalyKind,
    /// Whether it runs.
    pub is_enabled: bool,
    /// Thresholds by name, where they are not the defaults.
    pub thresholds: BTreeMap<String, f64>,
}

/// A developer's wishes. The default watches with every rule and its default thresholds.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RuleBook {
    /// Changed rules of the server.
    pub overrides: Vec<RuleOverride>,
    /// Rules of its own.
    pub custom: Vec<CustomRule>,
    /// When to be silent.
    pub mutes: Vec<Mute>,
    /// What is done about findings.
    pub response: ResponsePolicy,
}

impl RuleBook {
    /// What was changed about a rule.
    pub fn override_of(&self, kind: AnomalyKind) -> Option<&RuleOverride> {
        self.overrides.iter().find(|change| change.kind == kind)
    }

    /// Whether a rule runs.
    pub fn is_enabled(&self, rule: &Rule) -> bool {
        self.override_of(rule.kind).is_none_or(|change| change.is_enabled)
    }

    /// A threshold of a rule: the developer's, or the default.
    pub fn threshold(&self, rule: &Rule, name: &str) -> f64 {
        let wish = self
            .override_of(rule.kind)
            .and_then(|change| change.thresholds.get(name));
        let default = || rule.thresholds.iter().find(|threshold| threshold.name == name);
        wish.copied()
            .or_else(|| default().map(|threshold| threshold.default))
            .unwrap_or(f64::INFINITY)
    }

    /// Whether a finding about an agent is not to be raised now.
    pub fn is_muted(&self, kind: AnomalyKind, agent: &str, now: Timestamp) -> bool {
        self.mutes.iter().any(|mute| mute.silences(kind, agent, now))
    }
}
