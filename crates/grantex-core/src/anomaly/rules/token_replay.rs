//! One token from several networks at about the same time.

use serde_json::json;

use super::{Rule, RuleState, Threshold, View};
use crate::anomaly::activity::REPLAY_MINUTES;
use crate::anomaly::{AnomalyKind, Finding, Severity};

pub(super) const RULE: Rule = Rule {
    id: "AD-009",
    kind: AnomalyKind::TokenReplay,
    name: "Token replay",
    description: "Verifiers saw one token from several networks within minutes.",
    severity: Severity::High,
    formula: "networks of one jti(10 min) ≥ threshold, by the clientIp that verifiers report; a network is the first 24 bits of an \
              IPv4 and the first 48 bits of an IPv6 address; critical when the token went back to a network it had left, or \
              from three networks on",
    is_learnt: false,
    state: RuleState::Active,
    thresholds: &[Threshold {
        name: "threshold",
        default: 2.0,
        min: 2.0,
        max: 4.0,
        help: "networks within 10 minutes",
    }],
    find,
};

fn find(view: &View<'_>) -> Vec<Finding> {
    let threshold = view.count("threshold");
    let replays = view.activity.fresh.replays.iter();
    replays
        .filter(|replay| replay.places.networks.len() as u32 >= threshold)
        .map(|replay| {
            let networks: Vec<String> = replay.places.networks.iter().map(ToString::to_string).collect();
            let count = networks.len() as u32;
            let mut finding = view.hourly(
                format!("one token was used from {count} networks within {REPLAY_MINUTES} minutes"),
                json!({
                    "tokenId": replay.token_id, "networks": networks, "windowMinutes": REPLAY_MINUTES,
                    "threshold": threshold, "backAndForth": replay.places.has_returned,
                }),
            );
            finding.principal_id = Some(replay.principal_id.clone());
            if replay.places.has_returned || count > 2 {
                finding.severity = Severity::Critical;
            }
            finding
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::support::*;
    use super::*;
    use crate::anomaly::signal::{Network, Signal, SignalKind};
    use crate::clock::Timestamp;

    fn used(token: &str, address: &str, at: Timestamp) -> Signal {
        let mut signal = signal(SignalKind::Verification, at);
        signal.token_id = token.to_owned();
        signal.network = Some(Network::of(address.parse().unwrap()));
        signal
    }

    #[test]
    fn two_networks_within_ten_minutes_are_a_replay() {
        let mut tale = Tale::default();
        tale.add(used("tok_1", "198.51.100.7", minutes_before(10)));
        tale.add(used("tok_1", "203.0.113.9", NOON));
        assert_eq!(tale.find(AnomalyKind::TokenReplay), [], "ten minutes lie between them");
        tale.add(used("tok_1", "198.51.100.8", NOON));
        let finding = only(tale.find(AnomalyKind::TokenReplay));
        assert_eq!(finding.severity, Severity::High);
        assert_eq!(
            finding.evidence.get("networks"),
            Some(&json!(["203.0.113.0/24", "198.51.100.0/24"]))
        );
        tale.add(used("tok_1", "203.0.113.9", NOON));
        assert_eq!(only(tale.find(AnomalyKind::TokenReplay)).severity, Severity::Critical);
    }

    #[test]
    fn neighbours_and_different_tokens_are_none() {
        let mut tale = Tale::default();
        tale.add(used("tok_1", "198.51.100.7", NOON));
        tale.add(used("tok_1", "198.51.100.8", NOON));
        tale.add(used("tok_2", "203.0.113.9", NOON));
        tale.add(signal(SignalKind::Verification, NOON));
        assert_eq!(tale.find(AnomalyKind::TokenReplay), []);
    }

    #[test]
    fn three_networks_are_critical() {
        let mut tale = Tale::default();
        for address in ["198.51.100.7", "203.0.113.9", "2001:db8::1"] {
            tale.add(used("tok_1", address, NOON));
        }
        assert_eq!(only(tale.find(AnomalyKind::TokenReplay)).severity, Severity::Critical);
    }
}
