//! Anomalies, and what they are found by.

use std::collections::BTreeMap;

use serde_json::{Map, json};

use super::support::{Tenant, odd_texts};
use crate::anomaly::alert::{Anomaly, AnomalyFilter, AnomalyStatus};
use crate::anomaly::book::RuleOverride;
use crate::anomaly::custom::{Condition, CustomRule, Mute};
use crate::anomaly::{AnomalyKind, Finding, Severity};
use crate::clock::{Lifetime, Timestamp};
use crate::id::{AnomalyId, DeveloperId, GrantId};
use crate::page::{PageRequest, PageStart};
use crate::store::{AnomalyCursor, Store};
use crate::testing::fixtures::Fixtures;

fn finding(fixtures: &Fixtures, principal: Option<&str>) -> Finding {
    let start = fixtures.now();
    Finding {
        kind: AnomalyKind::NewPrincipal,
        custom: None,
        severity: Severity::Low,
        principal_id: principal.map(str::to_owned),
        description: "the first of \"it's\" \\ 日本".to_owned(),
        evidence: json!({"windowHours": 24, "deep": {"z": 1, "a": [0.5, null]}})
            .as_object()
            .unwrap()
            .clone(),
        level: u32::MAX,
        window_start: start,
        window_end: start.plus(Lifetime::hours(1)),
    }
}

fn anomaly(fixtures: &Fixtures, developer: &DeveloperId, principal: Option<&str>, after: Lifetime) -> Anomaly {
    let now = fixtures.now().plus(after);
    Anomaly::raise(
        finding(fixtures, principal),
        fixtures.id(),
        developer.clone(),
        "ag_of_somebody",
        "AD-013".to_owned(),
        now,
    )
}

pub async fn an_anomaly_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(301);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    for text in odd_texts() {
        let mut written = anomaly(&fixtures, &tenant.developer.id, Some(&text), Lifetime::millis(0));
        written.kind = AnomalyKind::Custom;
        written.custom_rule = Some(fixtures.id());
        let (developer, stranger, id) = (&tenant.developer.id, &other.developer.id, written.id.clone());
        assert!(commit!(store, [written], |tx| tx.insert_anomaly(&written).await?));
        let found = query!(store, [developer, id], |tx| tx.anomaly(&developer, &id).await?);
        assert_eq!(found.as_ref(), Some(&written));
        assert_eq!(
            query!(store, [stranger, id], |tx| tx.anomaly(&stranger, &id).await?),
            None
        );
        let later = written
            .acknowledge(Some(text.clone()), fixtures.now())
            .resolve(Some(text), fixtures.now().plus(Lifetime::hours(1)));
        commit!(store, [later], |tx| tx.update_anomaly(&later).await?);
        let found = query!(store, [developer, id], |tx| tx.anomaly(&developer, &id).await?);
        assert_eq!(found, Some(later));
    }
}

pub async fn a_finding_is_raised_once_a_window<S: Store>(store: S) {
    let fixtures = Fixtures::new(302);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let first = anomaly(&fixtures, &tenant.developer.id, Some("user"), Lifetime::millis(0));
    let again = Anomaly {
        id: fixtures.id(),
        ..first.clone()
    };
    let next_window = Anomaly {
        id: fixtures.id(),
        window_start: first.window_end,
        ..first.clone()
    };
    let elsewhere = Anomaly {
        id: fixtures.id(),
        developer_id: other.developer.id.clone(),
        ..first.clone()
    };
    let of_another = Anomaly {
        id: fixtures.id(),
        principal_id: None,
        ..first.clone()
    };
    let cases = [
        (first, true),
        (again, false),
        (next_window, true),
        (elsewhere, true),
        (of_another, true),
    ];
    for (anomaly, is_new) in cases {
        assert_eq!(
            commit!(store, [anomaly], |tx| tx.insert_anomaly(&anomaly).await?),
            is_new
        );
    }
}

pub async fn anomalies_are_listed_newest_first_and_filtered<S: Store>(store: S) {
    let fixtures = Fixtures::new(303);
    let tenant = Tenant::create(&store, &fixtures).await;
    let mut all = Vec::new();
    for number in 0..5_i64 {
        let principal = number.to_string();
        let mut one = anomaly(
            &fixtures,
            &tenant.developer.id,
            Some(&principal),
            Lifetime::minutes(number),
        );
        if number == 1 {
            one.severity = Severity::Critical;
        }
        if number == 2 {
            one.agent_id = None;
        }
        if number == 3 {
            one.window_end = fixtures.now();
        }
        if number == 4 {
            one = one.resolve(None, fixtures.now());
        }
        commit!(store, [one], |tx| tx.insert_anomaly(&one).await?);
        all.push(one);
    }
    let ids = |places: &[usize]| -> Vec<AnomalyId> { places.iter().map(|place| all[*place].id.clone()).collect() };
    let developer = &tenant.developer.id;
    let everything = AnomalyFilter::default;
    let cases = [
        (everything(), ids(&[4, 3, 2, 1, 0])),
        (
            AnomalyFilter {
                status: Some(AnomalyStatus::Open),
                ..everything()
            },
            ids(&[3, 2, 1, 0]),
        ),
        (
            AnomalyFilter {
                unresolved: true,
                ..everything()
            },
            ids(&[3, 2, 1, 0]),
        ),
        (
            AnomalyFilter {
                severity: Some(Severity::Critical),
                ..everything()
            },
            ids(&[1]),
        ),
        (
            AnomalyFilter {
                agent_id: Some("ag_of_somebody".into()),
                ..everything()
            },
            ids(&[4, 3, 1, 0]),
        ),
        (
            AnomalyFilter {
                kind: Some(AnomalyKind::RateSpike),
                ..everything()
            },
            ids(&[]),
        ),
        (
            AnomalyFilter {
                since: Some(all[3].detected_at),
                ..everything()
            },
            ids(&[4, 3]),
        ),
        (
            AnomalyFilter {
                current_at: Some(fixtures.now()),
                ..everything()
            },
            ids(&[4, 2, 1, 0]),
        ),
    ];
    for (filter, expected) in cases {
        let page = PageRequest::default();
        let found = query!(store, [developer, filter, page], |tx| tx
            .anomalies(&developer, &filter, &page)
            .await?);
        let found: Vec<AnomalyId> = found.items.into_iter().map(|anomaly| anomaly.id).collect();
        assert_eq!(found, expected, "{filter:?}");
    }
    let (mut seen, mut page) = (
        Vec::new(),
        PageRequest {
            size: 2,
            from: PageStart::Number(1),
        },
    );
    loop {
        let filter = everything();
        let found = query!(store, [developer, filter, page], |tx| tx
            .anomalies(&developer, &filter, &page)
            .await?);
        seen.extend(found.items.into_iter().map(|anomaly| anomaly.id));
        let Some(next) = found.next else { break };
        page.from = PageStart::After(next);
    }
    assert_eq!(seen, ids(&[4, 3, 2, 1, 0]));
}

pub async fn anomalies_are_counted<S: Store>(store: S) {
    let fixtures = Fixtures::new(304);
    let tenant = Tenant::create(&store, &fixtures).await;
    let developer = &tenant.developer.id;
    let base = query!(store, [], |tx| tx.open_anomalies().await?);
    for number in 0..4_i64 {
        let principal = number.to_string();
        let mut one = anomaly(&fixtures, developer, Some(&principal), Lifetime::minutes(number));
        if number == 3 {
            one.agent_id = None;
            one = one.acknowledge(None, fixtures.now());
        }
        commit!(store, [one], |tx| tx.insert_anomaly(&one).await?);
    }
    assert_eq!(query!(store, [], |tx| tx.open_anomalies().await?), base + 3);
    let since = fixtures.now().plus(Lifetime::minutes(1));
    let mut counts: Vec<(AnomalyStatus, u64)> = query!(store, [developer], |tx| tx
        .count_anomalies(&developer, None, since)
        .await?)
    .into_iter()
    .map(|group| (group.status, group.count))
    .collect();
    counts.sort_by_key(|(status, _)| status.as_str());
    assert_eq!(counts, [(AnomalyStatus::Acknowledged, 1), (AnomalyStatus::Open, 2)]);
    let counts = query!(store, [developer], |tx| tx
        .count_anomalies(&developer, Some("ag_of_somebody"), since)
        .await?);
    assert_eq!(counts.iter().map(|group| group.count).sum::<u64>(), 2);
}

pub async fn a_cursor_is_advanced_from_the_version_that_was_seen<S: Store>(store: S) {
    let fixtures = Fixtures::new(305);
    let tenant = Tenant::create(&store, &fixtures).await;
    let developer = &tenant.developer.id;
    let nobody: DeveloperId = fixtures.id();
    assert_eq!(query!(store, [nobody], |tx| tx.anomaly_position(&nobody).await?), None);
    let cursor = |version| AnomalyCursor {
        version,
        caller_seq: 3,
        server_seq: 4,
    };
    for (from, to, wins) in [(7, 8, false), (0, 1, true), (0, 1, false), (1, 2, true), (1, 2, false)] {
        let to = cursor(to);
        let won = commit!(store, [developer], |tx| tx
            .advance_anomaly_cursor(&developer, from, &to)
            .await?);
        assert_eq!(won, wins, "from {from}");
    }
    commit!(store, [developer], |tx| tx.touch_anomaly_cursor(&developer).await?);
    let position = query!(store, [developer], |tx| tx.anomaly_position(&developer).await?).unwrap();
    assert_eq!(position.cursor, cursor(3));
    assert_eq!((position.caller_end, position.server_end), (0, 0));

    let other = Tenant::create(&store, &fixtures).await;
    let second = &other.developer.id;
    commit!(store, [second], |tx| tx.touch_anomaly_cursor(&second).await?);
    let position = query!(store, [second], |tx| tx.anomaly_position(&second).await?).unwrap();
    assert_eq!(position.cursor.version, 1);
}

pub async fn developers_whose_chains_grew_are_found<S: Store>(store: S) {
    let fixtures = Fixtures::new(306);
    let mut grown = Vec::new();
    for number in 0..4 {
        let tenant = Tenant::create(&store, &fixtures).await;
        let id = tenant.developer.id.clone();
        if number > 0 {
            let ledger = tenant
                .write(&store, move |ledger| {
                    ledger.head.caller.seq = if number == 1 { 5 } else { 0 };
                    ledger.head.server.seq = if number == 1 { 0 } else { 5 };
                })
                .await;
            assert_eq!(ledger.developer_id, id);
        }
        let to = AnomalyCursor {
            version: 1,
            caller_seq: 5,
            server_seq: 5,
        };
        if number == 3 {
            assert!(commit!(store, [id], |tx| tx
                .advance_anomaly_cursor(&id, 0, &to)
                .await?));
        }
        if number == 1 || number == 2 {
            grown.push(id);
        }
    }
    grown.sort();
    let mut found = Vec::new();
    loop {
        let after = found.last().cloned();
        let next = query!(store, [after], |tx| tx
            .developers_with_signals(after.as_ref(), 1)
            .await?);
        if next.is_empty() {
            break;
        }
        found.extend(next);
    }
    assert_eq!(found, grown);
}

pub async fn activities_are_replaced_and_forgotten<S: Store>(store: S) {
    let fixtures = Fixtures::new(307);
    let tenant = Tenant::create(&store, &fixtures).await;
    let developer = &tenant.developer.id;
    let now = fixtures.now();
    let pair = |agent: &str, text: &str| (agent.to_owned(), text.to_owned());
    let first = vec![pair("", "AAA"), pair("ag_1", "BBB")];
    let second = vec![pair("ag_1", "CCC"), pair("ag_2", "DDD")];
    commit!(store, [developer, first], |tx| tx
        .put_activities(&developer, &first, now)
        .await?);
    let later = now.plus(Lifetime::millis(1));
    commit!(store, [developer, second], |tx| tx
        .put_activities(&developer, &second, later)
        .await?);
    let wanted: Vec<String> = ["", "ag_1", "ag_2", "ag_3"].map(str::to_owned).to_vec();
    let mut found = query!(store, [developer, wanted], |tx| tx
        .activities(&developer, &wanted)
        .await?);
    found.sort();
    assert_eq!(found, [pair("", "AAA"), pair("ag_1", "CCC"), pair("ag_2", "DDD")]);
    assert_eq!(commit!(store, [], |tx| tx.remove_activities(later, 10).await?), 1);
    let mut found = query!(store, [developer, wanted], |tx| tx
        .activities(&developer, &wanted)
        .await?);
    found.sort();
    assert_eq!(found, [pair("ag_1", "CCC"), pair("ag_2", "DDD")]);
    let end = later.plus(Lifetime::millis(1));
    assert_eq!(
        commit!(store, [], |tx| tx.remove_activities(end, 1).await?),
        1,
        "no more than the limit"
    );
}

pub async fn the_first_grants_are_those_of_their_pair<S: Store>(store: S) {
    let fixtures = Fixtures::new(308);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let mut grants: Vec<_> = (0..4).map(|_| fixtures.grant(&tenant.agent)).collect();
    grants.sort_by(|one, next| one.id.cmp(&next.id));
    for (grant, principal) in grants.iter_mut().zip(["user-1", "user-2", "user-1", "user-2"]) {
        grant.principal_id = principal.to_owned();
    }
    let mut foreign = fixtures.grant(&other.agent);
    foreign.principal_id = "user-1".to_owned();
    tenant.insert_grants(&store, &grants.iter().collect::<Vec<_>>()).await;
    other.insert_grants(&store, &[&foreign]).await;

    let ids: Vec<GrantId> = grants.iter().map(|grant| grant.id.clone()).collect();
    let unknown: GrantId = fixtures.id();
    let first = async |tenant: &Tenant, ids: &[&GrantId]| {
        let (developer, ids) = (&tenant.developer.id, ids.iter().copied().cloned().collect::<Vec<_>>());
        let mut found = query!(store, [developer, ids], |tx| tx.first_grants(&developer, &ids).await?);
        found.sort();
        found
    };
    let [one, two, three, four] = &ids[..] else {
        panic!("four grants");
    };
    assert_eq!(
        first(&tenant, &[four, three, two, one, &foreign.id, &unknown]).await,
        [one.clone(), two.clone()]
    );
    assert_eq!(first(&tenant, &[three, four]).await, []);
    assert_eq!(first(&tenant, &[two]).await, std::slice::from_ref(two));
    assert_eq!(first(&tenant, &[]).await, []);
    assert_eq!(first(&other, &[one, &foreign.id]).await, [foreign.id]);
}

fn rule(fixtures: &Fixtures, rule_id: &str, after: Lifetime) -> CustomRule {
    let text = r#"{"timeWindow":"10m","threshold":5,"scopes":["files:*"]}"#;
    let members: Map<String, serde_json::Value> = serde_json::from_str(text).unwrap();
    CustomRule {
        id: fixtures.id(),
        rule_id: rule_id.to_owned(),
        name: "Files; \"fast\"".to_owned(),
        description: None,
        severity: Severity::Medium,
        condition: Condition::parse(&members).unwrap(),
        condition_text: text.to_owned(),
        is_enabled: true,
        created_at: fixtures.now().plus(after),
    }
}

pub async fn a_rule_book_holds_what_was_put_into_it<S: Store>(store: S) {
    let fixtures = Fixtures::new(309);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (developer, stranger) = (&tenant.developer.id, &other.developer.id);
    let change = |is_enabled, value: f64| RuleOverride {
        kind: AnomalyKind::RateSpike,
        is_enabled,
        thresholds: BTreeMap::from([("threshold".to_owned(), value)]),
    };
    for change in [change(false, 3.5), change(true, 70.0)] {
        commit!(store, [developer, change], |tx| tx
            .put_rule_override(&developer, &change)
            .await?);
    }
    let (old, new) = (
        rule(&fixtures, "old", Lifetime::millis(0)),
        rule(&fixtures, "new", Lifetime::millis(1)),
    );
    let taken = rule(&fixtures, "old", Lifetime::millis(2));
    for (rule, is_new) in [(&old, true), (&new, true), (&taken, false)] {
        let added = commit!(store, [developer, rule], |tx| tx
            .insert_anomaly_rule(&developer, &rule)
            .await?);
        assert_eq!(added, is_new);
    }
    let theirs = rule(&fixtures, "old", Lifetime::millis(0));
    assert!(commit!(store, [stranger, theirs], |tx| tx
        .insert_anomaly_rule(&stranger, &theirs)
        .await?));
    let mute = |hours, kind| Mute {
        id: fixtures.id(),
        kind,
        agent_id: None,
        starts_at: fixtures.now(),
        ends_at: fixtures.now().plus(Lifetime::hours(hours)),
        reason: "a 'deployment'".to_owned(),
        created_at: fixtures.now(),
    };
    let (long, short) = (
        mute(2, None),
        Mute {
            agent_id: Some(tenant.agent.id.clone()),
            ..mute(1, Some(AnomalyKind::Custom))
        },
    );
    for mute in [&long, &short] {
        commit!(store, [developer, mute], |tx| tx
            .insert_anomaly_mute(&developer, &mute)
            .await?);
    }
    let book = query!(store, [developer], |tx| tx.rule_book(&developer).await?);
    assert_eq!(book.overrides, [change(true, 70.0)]);
    assert_eq!(book.custom, [new.clone(), old.clone()]);
    assert_eq!(book.mutes, [short.clone(), long.clone()]);

    let (id, mute_id) = (&old.id, &short.id);
    for (whose, expected) in [(stranger, false), (developer, true)] {
        assert_eq!(
            commit!(store, [whose, id], |tx| tx
                .enable_anomaly_rule(&whose, &id, false)
                .await?),
            expected
        );
        assert_eq!(
            commit!(store, [whose, mute_id], |tx| tx
                .remove_anomaly_mute(&whose, &mute_id)
                .await?),
            expected
        );
    }
    let book = query!(store, [developer], |tx| tx.rule_book(&developer).await?);
    assert_eq!(
        book.custom.iter().map(|rule| rule.is_enabled).collect::<Vec<_>>(),
        [true, false]
    );
    assert_eq!(book.mutes, [long]);
    for (whose, expected) in [(stranger, false), (developer, true), (developer, false)] {
        assert_eq!(
            commit!(store, [whose, id], |tx| tx.remove_anomaly_rule(&whose, &id).await?),
            expected
        );
    }
    let book = query!(store, [developer], |tx| tx.rule_book(&developer).await?);
    assert_eq!(book.custom, [new]);
}

pub async fn what_is_over_is_removed_in_pieces<S: Store>(store: S) {
    let fixtures = Fixtures::new(310);
    let tenant = Tenant::create(&store, &fixtures).await;
    let developer = &tenant.developer.id;
    let now = fixtures.now();
    let before = now.plus(Lifetime::hours(1));
    let mut kept = Vec::new();
    for number in 0..6_i64 {
        let principal = number.to_string();
        let mut one = anomaly(&fixtures, developer, Some(&principal), Lifetime::millis(0));
        match number {
            0 | 1 => one = one.resolve(None, now),
            2 => one = one.resolve(None, before),
            3 => one = one.acknowledge(None, now),
            4 => {}
            _ => one.detected_at = before,
        }
        if number == 2 || number == 5 {
            kept.push(one.id.clone());
        }
        commit!(store, [one], |tx| tx.insert_anomaly(&one).await?);
    }
    kept.reverse();
    let remove = |unresolved: bool, before: Timestamp| {
        let store = &store;
        async move { commit!(store, [], |tx| tx.remove_anomalies(unresolved, before, 1).await?) }
    };
    for (unresolved, expected) in [(false, 1), (false, 1), (false, 0), (true, 1), (true, 1), (true, 0)] {
        assert_eq!(remove(unresolved, before).await, expected);
    }
    let (filter, page) = (AnomalyFilter::default(), PageRequest::default());
    let left = query!(store, [developer, filter, page], |tx| tx
        .anomalies(&developer, &filter, &page)
        .await?);
    assert_eq!(
        left.items.into_iter().map(|anomaly| anomaly.id).collect::<Vec<_>>(),
        kept
    );

    let mute = Mute {
        id: fixtures.id(),
        kind: None,
        agent_id: None,
        starts_at: now,
        ends_at: before,
        reason: String::new(),
        created_at: now,
    };
    commit!(store, [developer, mute], |tx| tx
        .insert_anomaly_mute(&developer, &mute)
        .await?);
    assert_eq!(commit!(store, [], |tx| tx.remove_anomaly_mutes(before, 10).await?), 0);
    let later = before.plus(Lifetime::millis(1));
    assert_eq!(commit!(store, [], |tx| tx.remove_anomaly_mutes(later, 10).await?), 1);
}
