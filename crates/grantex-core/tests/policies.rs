//! What must hold of any policies and any question, whatever they are.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests fail by panicking")]

use grantex_core::clock::Timestamp;
use grantex_core::id::{AgentId, DeveloperId, PolicyId};
use grantex_core::policy::evaluate::decisive;
use grantex_core::policy::set::PolicySet;
use grantex_core::policy::{Effect, Policy, PolicyAction, PolicyQuestion, RuleDraft};
use grantex_core::scope::Scopes;
use proptest::prelude::*;
use proptest::sample::select;

const PRINCIPALS: [&str; 3] = ["user-1", "user-2", ""];
const SCOPES: [&str; 7] = ["a", "a:b", "a:b:c", "a:c", "b", "b:c", "a:"];
const PATTERNS: [&str; 9] = ["a", "a:b", "a:b:c", "b", "b:c", "a:*", "a:b:*", "b:*", "*"];
const TIMES: [&str; 4] = ["00:00", "06:00", "12:00", "23:59"];
const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn agent(number: u8) -> AgentId {
    AgentId::parse(&format!("ag_01ARZ3NDEKTSV4RRFFQ69G5FA{number}")).unwrap()
}

fn developer() -> DeveloperId {
    DeveloperId::parse("dev_01ARZ3NDEKTSV4RRFFQ69G5FAV").unwrap()
}

/// A question that owns what it asks about.
#[derive(Debug, Clone)]
struct Asked {
    developer: DeveloperId,
    agent: AgentId,
    principal: String,
    scopes: Scopes,
    audience: Option<&'static str>,
    at: Timestamp,
}

impl Asked {
    fn question(&self) -> PolicyQuestion<'_> {
        PolicyQuestion {
            action: PolicyAction::Authorize,
            developer_id: &self.developer,
            agent_id: &self.agent,
            principal_id: &self.principal,
            scopes: &self.scopes,
            audience: self.audience,
            at: self.at,
        }
    }

    fn with_scopes(&self, scopes: Vec<String>) -> Self {
        Self {
            scopes: Scopes::parse(scopes).unwrap(),
            ..self.clone()
        }
    }
}

fn texts(from: &'static [&'static str], count: std::ops::RangeInclusive<usize>) -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(select(from).prop_map(str::to_owned), count)
}

fn asked() -> impl Strategy<Value = Asked> {
    (
        0..3_u8,
        select(&PRINCIPALS[..]),
        texts(&SCOPES, 0..=4),
        prop::option::of(select(&["x", "y"][..])),
        0..7 * 24 * 60_i64,
    )
        .prop_map(|(number, principal, scopes, audience, minute)| Asked {
            developer: developer(),
            agent: agent(number),
            principal: principal.to_owned(),
            scopes: Scopes::parse(scopes).unwrap(),
            audience,
            at: Timestamp::from_millis(1_893_456_000_000 + minute * 60_000),
        })
}

fn draft() -> impl Strategy<Value = RuleDraft> {
    let who = (
        prop::option::weighted(0.3, (0..3_u8).prop_map(|number| agent(number).to_string())),
        prop::option::weighted(0.3, select(&PRINCIPALS[..2]).prop_map(str::to_owned)),
        prop::option::weighted(0.2, select(&["x", "y"][..]).prop_map(str::to_owned)),
        prop::option::weighted(0.6, texts(&PATTERNS, 1..=3)),
    );
    let when = (
        prop::option::weighted(0.3, (select(&TIMES[..]), select(&TIMES[..]))),
        prop::option::weighted(0.3, select(&["UTC", "Asia/Kathmandu", "America/New_York"][..])),
        prop::option::weighted(0.2, prop::sample::subsequence(&DAYS[..], 1..=7)),
    );
    (any::<bool>(), -1..=1_i64, who, when).prop_map(
        |(is_deny, priority, (agent_id, principal_id, audience, scopes), (window, zone, days))| RuleDraft {
            name: "rule".into(),
            effect: if is_deny { Effect::Deny } else { Effect::Allow },
            priority,
            agent_id,
            principal_id,
            scopes,
            audience,
            time_of_day_start: window.map(|(start, _)| start.to_owned()),
            time_of_day_end: window.map(|(_, end)| end.to_owned()),
            time_zone: zone.map(str::to_owned),
            days_of_week: days.map(|days| days.into_iter().map(str::to_owned).collect()),
        },
    )
}

/// Policies of different ages, some of them made in the same millisecond.
fn policies() -> impl Strategy<Value = Vec<Policy>> {
    prop::collection::vec((draft(), 0..3_i64), 0..12).prop_map(|drafts| {
        let policy = |(number, (draft, age)): (usize, (RuleDraft, i64))| Policy {
            id: PolicyId::parse(&format!("pol_01ARZ3NDEKTSV4RRFFQ69G5F{number:02}")).unwrap(),
            developer_id: developer(),
            rule: draft.check().unwrap(),
            created_at: Timestamp::from_millis(age),
            updated_at: Timestamp::from_millis(age),
        };
        drafts.into_iter().enumerate().map(policy).collect()
    })
}

fn effect(policies: &[Policy], asked: &Asked) -> Option<Effect> {
    decisive(policies, &asked.question()).map(|policy| policy.rule.effect)
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    #[test]
    fn the_index_decides_like_the_definition(policies in policies(), asked in prop::collection::vec(asked(), 8)) {
        let set = PolicySet::new(policies.clone());
        for asked in asked {
            let question = asked.question();
            prop_assert_eq!(set.decisive(&question), decisive(&policies, &question), "{:?}", asked);
        }
    }

    #[test]
    fn the_order_of_the_rows_does_not_matter(policies in policies(), asked in asked(), turn in any::<prop::sample::Index>()) {
        let mut turned = policies.clone();
        turned.rotate_left(turn.index(policies.len() + 1));
        turned.reverse();
        prop_assert_eq!(decisive(&turned, &asked.question()), decisive(&policies, &asked.question()));
    }

    #[test]
    fn one_deny_more_never_allows_anything(policies in policies(), mut more in draft(), asked in asked()) {
        more.effect = Effect::Deny;
        let before = effect(&policies, &asked);
        let mut with_more = policies;
        with_more.push(Policy { rule: more.check().unwrap(), ..late() });
        let after = effect(&with_more, &asked);
        prop_assert!(after == before || after == Some(Effect::Deny), "{:?} became {:?}", before, after);
    }

    #[test]
    fn one_allow_more_never_lifts_a_refusal(policies in policies(), mut more in draft(), asked in asked()) {
        more.effect = Effect::Allow;
        more.priority = i64::from(i32::MAX);
        let before = effect(&policies, &asked);
        let mut with_more = policies;
        with_more.push(Policy { rule: more.check().unwrap(), ..late() });
        let after = effect(&with_more, &asked);
        prop_assert!(after == before || before.is_none() && after == Some(Effect::Allow), "{:?} became {:?}", before, after);
    }

    #[test]
    fn one_scope_more_never_dodges_a_refusal(policies in policies(), asked in asked(), more in select(&SCOPES[..])) {
        if effect(&policies, &asked) == Some(Effect::Deny) {
            let mut scopes = asked.scopes.as_slice().to_vec();
            scopes.push(more.to_owned());
            prop_assert_eq!(effect(&policies, &asked.with_scopes(scopes)), Some(Effect::Deny));
        }
    }

    #[test]
    fn naming_no_audience_never_dodges_a_refusal(policies in policies(), asked in asked()) {
        if effect(&policies, &asked) == Some(Effect::Deny) {
            let anywhere = Asked { audience: None, ..asked };
            prop_assert_eq!(effect(&policies, &anywhere), Some(Effect::Deny));
        }
    }

    #[test]
    fn a_part_of_what_is_allowed_is_allowed(policies in policies(), asked in asked(), kept in any::<prop::sample::Index>()) {
        if effect(&policies, &asked) == Some(Effect::Allow) && !asked.scopes.is_empty() {
            let scopes = asked.scopes.as_slice();
            let part = scopes[..=kept.index(scopes.len())].to_vec();
            prop_assert_eq!(effect(&policies, &asked.with_scopes(part)), Some(Effect::Allow));
        }
    }

    #[test]
    fn a_policy_matches_when_every_finding_holds(draft in draft(), asked in asked()) {
        let rule = draft.check().unwrap();
        let findings = rule.explain(&asked.question());
        prop_assert_eq!(findings.iter().all(|finding| finding.holds), rule.matches(&asked.question()));
    }
}

fn late() -> Policy {
    let draft = RuleDraft {
        name: "late".into(),
        effect: Effect::Deny,
        priority: 0,
        agent_id: None,
        principal_id: None,
        scopes: None,
        audience: None,
        time_of_day_start: None,
        time_of_day_end: None,
        time_zone: None,
        days_of_week: None,
    };
    Policy {
        id: PolicyId::parse("pol_01ARZ3NDEKTSV4RRFFQ69G5FZZ").unwrap(),
        developer_id: developer(),
        rule: draft.check().unwrap(),
        created_at: Timestamp::from_millis(9),
        updated_at: Timestamp::from_millis(9),
    }
}
