//! What the server must reach, and whether a measurement does.

use crate::measure::Operation;
use crate::report::{OperationReport, RunReport};
use crate::table::whole;

/// The age in milliseconds that 99 of 100 events may have when they arrive, at 200 events a second.
pub const EVENT_AGE_MS: f64 = 250.0;

/// Webhook deliveries a second that a store must reach.
pub fn deliveries_per_second(store: &str) -> f64 {
    if store == "sqlite" { 2_000.0 } else { 1_500.0 }
}

/// Resident memory with [`MANY_STREAMS`] silent event streams.
pub const STREAMS_KIB: u64 = 200 * 1024;
pub const MANY_STREAMS: u64 = 10_000;

/// What 10,000 policies of one developer may add to an authorization, in microseconds.
pub const POLICY_COST_MICROS: f64 = 200.0;

/// The 99th percentile of every operation stays under this.
pub const P99_MS: f64 = 25.0;
pub const IDLE_KIB: u64 = 40 * 1024;
pub const LOADED_KIB: u64 = 120 * 1024;
pub const READY_MS: f64 = 150.0;
pub const MANY_GRANTS: u64 = 1_000_000;
/// With [`MANY_GRANTS`] an operation still runs at this part of its rate with a thousand.
pub const FLAT: f64 = 0.85;

/// What a rate is compared with.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Goal {
    /// A part of the signing rate; the second figure is what that is at 4,700 signatures a second.
    OfSigning(f64, f64),
    /// A rate, or that part of the `/health` rate where it is lower.
    OrOfHealth(f64, f64),
    Rate(f64),
}

/// The goal of an operation on a store with a signing algorithm, if there is one.
pub fn goal(operation: Operation, store: &str, algorithm: &str) -> Option<Goal> {
    let sqlite = match store {
        "sqlite" => true,
        "postgres" => false,
        _ => return None,
    };
    let pick = |on_sqlite: Goal, on_postgres: Goal| Some(if sqlite { on_sqlite } else { on_postgres });
    match (operation, algorithm) {
        (Operation::Exchange | Operation::Refresh, "RS256") => {
            pick(Goal::OfSigning(0.65, 3_000.0), Goal::OfSigning(0.38, 1_800.0))
        }
        (Operation::Exchange, "ES256") => pick(Goal::Rate(6_000.0), Goal::Rate(2_800.0)),
        (Operation::Verify | Operation::Status, _) => pick(Goal::OrOfHealth(16_000.0, 0.4), Goal::Rate(9_000.0)),
        (Operation::Authorize | Operation::Audit, _) => pick(Goal::Rate(7_000.0), Goal::Rate(3_500.0)),
        (Operation::Health | Operation::Exchange | Operation::Refresh, _) => None,
    }
}

impl Goal {
    pub fn describe(self) -> String {
        match self {
            Self::OfSigning(part, rate) => format!("≥ {part:.2} × signing (≥ {})", whole(rate)),
            Self::OrOfHealth(rate, part) => format!("≥ {}, or {part:.1} × health", whole(rate)),
            Self::Rate(rate) => format!("≥ {}", whole(rate)),
        }
    }

    /// What is missing to the goal; empty when it is reached.
    fn shortfall(self, operation: &OperationReport, run: &RunReport) -> Option<String> {
        match self {
            Self::OfSigning(part, _) => {
                let ratio = run.of_signing(operation);
                (ratio < part).then(|| format!("{ratio:.2} × signing"))
            }
            Self::OrOfHealth(rate, part) => {
                let needed = rate.min(part * run.health_per_second);
                (operation.per_second < needed).then(|| format!("under {}/s", whole(needed)))
            }
            Self::Rate(rate) => (operation.per_second < rate).then(|| format!("under {}/s", whole(rate))),
        }
    }

    /// What a reader of "reached" must still know.
    fn reservation(self, operation: &OperationReport, run: &RunReport) -> Option<String> {
        match self {
            Self::OfSigning(_, rate) if operation.per_second < rate => {
                Some(format!("by the ratio; under {}/s", whole(rate)))
            }
            Self::OrOfHealth(rate, part) if operation.per_second < rate => Some(format!(
                "by {part:.1} × health = {}/s",
                whole(part * run.health_per_second)
            )),
            _ => None,
        }
    }
}

/// The judgement of one operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Reached, with what should be known about it.
    Met(Option<String>),
    Missed(Vec<String>),
}

impl Verdict {
    pub fn of(goal: Goal, operation: &OperationReport, run: &RunReport) -> Self {
        let mut missing: Vec<String> = goal.shortfall(operation, run).into_iter().collect();
        if operation.p99_ms >= P99_MS {
            missing.push(format!("p99 not under {P99_MS:.0} ms"));
        }
        if operation.failure_count() > 0 {
            missing.push("failures".to_owned());
        }
        if operation.successes == 0 && operation.per_second <= 0.0 {
            missing.push("nothing measured".to_owned());
        }
        if missing.is_empty() {
            Self::Met(goal.reservation(operation, run))
        } else {
            Self::Missed(missing)
        }
    }

    pub fn is_met(&self) -> bool {
        matches!(self, Self::Met(_))
    }

    pub fn describe(&self) -> String {
        match self {
            Self::Met(None) => "met".to_owned(),
            Self::Met(Some(reservation)) => format!("met ({reservation})"),
            Self::Missed(missing) => format!("**missed**: {}", missing.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::tests::{operation, run};

    fn verdict(kind: Operation, store: &str, algorithm: &str, per_second: f64) -> String {
        let measured = operation(kind, per_second);
        // Signing 4,000/s and /health 40,000/s.
        Verdict::of(goal(kind, store, algorithm).unwrap(), &measured, &run(&[], vec![])).describe()
    }

    #[test]
    fn signing_bound_operations_are_judged_by_the_ratio() {
        assert_eq!(verdict(Operation::Exchange, "sqlite", "RS256", 3_100.0), "met");
        assert_eq!(
            verdict(Operation::Refresh, "sqlite", "RS256", 2_700.0),
            "met (by the ratio; under 3,000/s)"
        );
        assert_eq!(
            verdict(Operation::Exchange, "sqlite", "RS256", 2_500.0),
            "**missed**: 0.62 × signing"
        );
        assert_eq!(verdict(Operation::Exchange, "postgres", "RS256", 1_800.0), "met");
    }

    #[test]
    fn reads_are_judged_by_the_lower_of_rate_and_health() {
        assert_eq!(verdict(Operation::Verify, "sqlite", "ES256", 16_000.0), "met");
        assert_eq!(
            verdict(Operation::Status, "sqlite", "RS256", 15_999.0),
            "**missed**: under 16,000/s"
        );
        assert_eq!(
            verdict(Operation::Status, "postgres", "RS256", 8_999.0),
            "**missed**: under 9,000/s"
        );
        let slow = crate::report::RunReport {
            health_per_second: 30_000.0,
            ..run(&[], vec![])
        };
        let measured = operation(Operation::Verify, 12_500.0);
        let verdict = Verdict::of(goal(Operation::Verify, "sqlite", "RS256").unwrap(), &measured, &slow);
        assert_eq!(verdict.describe(), "met (by 0.4 × health = 12,000/s)");
    }

    #[test]
    fn failures_and_slow_tails_miss_whatever_the_rate() {
        let mut measured = operation(Operation::Audit, 9_000.0);
        measured.p99_ms = 25.0;
        measured.failures.insert("timeout".to_owned(), 1);
        let verdict = Verdict::of(
            goal(Operation::Audit, "sqlite", "RS256").unwrap(),
            &measured,
            &run(&[], vec![]),
        );
        assert_eq!(verdict.describe(), "**missed**: p99 not under 25 ms, failures");
        assert!(!verdict.is_met());
    }

    #[test]
    fn not_everything_has_a_goal() {
        assert_eq!(goal(Operation::Health, "sqlite", "RS256"), None);
        assert_eq!(goal(Operation::Refresh, "sqlite", "ES256"), None);
        assert_eq!(goal(Operation::Exchange, "memory", "RS256"), None);
        assert_eq!(
            goal(Operation::Authorize, "postgres", "ES256"),
            Some(Goal::Rate(3_500.0))
        );
    }
}
