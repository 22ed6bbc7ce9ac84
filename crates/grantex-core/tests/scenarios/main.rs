//! Recorded lives of agents, ordinary and hostile, and what the rules must and must not find in them.
//!
//! Run with `--nocapture` to see precision and recall of each rule.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod lives;
mod stories;

use std::collections::{BTreeMap, BTreeSet};

use grantex_core::anomaly::AnomalyKind;
use grantex_core::anomaly::rules::rule_of;

use lives::{Profile, ordinary};
use stories::Story;

/// Stories of each plot, with other numbers each time.
const VARIANTS: u64 = 20;

#[derive(Default)]
struct Score {
    hits: u32,
    misses: u32,
    false_alarms: u32,
}

impl Score {
    fn precision(&self) -> f64 {
        share(self.hits, self.hits + self.false_alarms)
    }

    fn recall(&self) -> f64 {
        share(self.hits, self.hits + self.misses)
    }
}

fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 {
        1.0
    } else {
        f64::from(part) / f64::from(whole)
    }
}

#[test]
fn stories_end_with_the_findings_that_they_must() {
    let mut scores: BTreeMap<&str, Score> = BTreeMap::new();
    let mut wrong = Vec::new();
    for plot in stories::PLOTS {
        for seed in 0..VARIANTS {
            let Story {
                signals,
                from,
                must,
                may,
            } = plot(seed);
            let found: BTreeSet<&str> = lives::live(&signals, from).iter().map(|kind| kind.as_str()).collect();
            let must: BTreeSet<&str> = must.iter().map(|kind| kind.as_str()).collect();
            let may: BTreeSet<&str> = may.iter().map(|kind| kind.as_str()).collect();
            for kind in AnomalyKind::ALL.iter().map(|kind| kind.as_str()) {
                let score = scores.entry(kind).or_default();
                match (must.contains(kind), found.contains(kind)) {
                    (true, true) => score.hits += 1,
                    (true, false) => {
                        score.misses += 1;
                        wrong.push(format!(
                            "missed {kind} (variant {seed} of a story that must have {must:?})"
                        ));
                    }
                    (false, true) if !may.contains(kind) => {
                        score.false_alarms += 1;
                        wrong.push(format!(
                            "false {kind} (variant {seed} of a story that must have {must:?})"
                        ));
                    }
                    _ => {}
                }
            }
        }
    }
    println!(
        "{:<22} {:>5} {:>7} {:>6} {:>10} {:>7}",
        "rule", "hits", "misses", "false", "precision", "recall"
    );
    for (kind, score) in &scores {
        let (precision, recall) = (score.precision(), score.recall());
        println!(
            "{kind:<22} {:>5} {:>7} {:>6} {precision:>10.3} {recall:>7.3}",
            score.hits, score.misses, score.false_alarms
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_week_of_a_thousand_ordinary_agents_is_quiet() {
    const AGENTS: u64 = 1_000;
    const DAYS: u32 = 7;
    let profiles = [
        Profile::Office,
        Profile::Office,
        Profile::Service,
        Profile::Consumer,
        Profile::Batch,
    ];
    let mut findings: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..AGENTS {
        let profile = profiles[(seed % 5) as usize];
        let signals = ordinary(seed, profile, DAYS);
        for kind in lives::live_all(&signals) {
            *findings.entry(kind.as_str()).or_default() += 1;
        }
    }
    let agent_months = AGENTS as f64 * f64::from(DAYS) / 30.0;
    println!("findings in {agent_months:.0} months of ordinary agents: {findings:?}");
    let learnt: u32 = findings
        .iter()
        .filter(|(kind, _)| {
            AnomalyKind::parse(kind)
                .and_then(rule_of)
                .is_some_and(|rule| rule.is_learnt)
        })
        .map(|(_, count)| count)
        .sum();
    assert!(
        f64::from(learnt) < agent_months,
        "{learnt} false findings of learnt rules: {findings:?}"
    );
}
