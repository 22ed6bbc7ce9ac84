//! Activities for the tests of rules.

use super::*;
use crate::anomaly::signal::{Signal, SignalKind, Subject};
use crate::clock::Lifetime;
use crate::id::AgentId;

/// Wednesday, 2026-03-04, noon.
pub const NOON: Timestamp = Timestamp::from_millis(1_772_625_600_000);

pub fn agent() -> Subject {
    Subject::Agent(AgentId::parse("ag_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap())
}

pub fn signal(kind: SignalKind, at: Timestamp) -> Signal {
    let mut signal = Signal::new(kind, agent(), at);
    signal.principal_id = "user-1".to_owned();
    signal
}

pub fn minutes_before(count: i64) -> Timestamp {
    NOON.minus(Lifetime::minutes(count))
}

/// A tale of signals, and what its last moment shows.
#[derive(Default)]
pub struct Tale {
    pub activity: Activity,
    pub book: RuleBook,
}

impl Tale {
    /// An agent with four past days of ten signals at noon each, which are settled.
    pub fn of_a_settled_agent() -> Self {
        let mut tale = Self::default();
        for day in (1..=4).rev() {
            for _ in 0..10 {
                tale.add(signal(SignalKind::Refresh, NOON.minus(Lifetime::days(day))));
            }
        }
        tale.activity.settle();
        tale
    }

    pub fn add(&mut self, signal: Signal) -> &mut Self {
        self.activity.fold(&signal, false, &[]);
        self
    }

    pub fn add_many(&mut self, count: u32, signal: &Signal) -> &mut Self {
        for _ in 0..count {
            self.add(signal.clone());
        }
        self
    }

    pub fn find_at(&self, kind: AnomalyKind, now: Timestamp) -> Vec<Finding> {
        let rule = rule_of(kind).unwrap();
        (rule.find)(&View::new(&self.activity, now, rule, &self.book))
    }

    pub fn find(&self, kind: AnomalyKind) -> Vec<Finding> {
        self.find_at(kind, NOON)
    }
}

/// The one finding.
pub fn only(mut findings: Vec<Finding>) -> Finding {
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}
