//! What developers want done about anomalies, and what is still to be done.

use super::support::Tenant;
use crate::anomaly::Severity;
use crate::anomaly::response::{PendingResponse, ResponseAction, ResponseMode, ResponsePolicy, ResponseRule};
use crate::id::{AnomalyId, DeveloperId};
use crate::page::Cursor;
use crate::store::Store;
use crate::testing::fixtures::Fixtures;

pub async fn a_response_policy_is_read_back_as_it_was_written<S: Store>(store: S) {
    let fixtures = Fixtures::new(321);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (developer, stranger) = (&tenant.developer.id, &other.developer.id);
    let book = query!(store, [developer], |tx| tx.rule_book(&developer).await?);
    assert_eq!(book.response, ResponsePolicy::default());
    let rule = |rules: &[&str], severities: &[Severity], action| ResponseRule {
        rules: rules.iter().map(|rule| (*rule).to_owned()).collect(),
        severities: severities.to_vec(),
        action,
    };
    let rules = vec![
        rule(&["AD-011", "files \"at\" night's"], Severity::ALL, None),
        rule(&[], &[Severity::Critical], Some(ResponseAction::SuspendAgent)),
        rule(&[], &[], Some(ResponseAction::RevokeAgentGrants)),
    ];
    for policy in [
        ResponsePolicy {
            mode: ResponseMode::RevokeAgentGrants,
            rules,
        },
        ResponsePolicy::default(),
    ] {
        commit!(store, [developer, policy], |tx| tx
            .put_response_policy(&developer, &policy)
            .await?);
        let book = query!(store, [developer], |tx| tx.rule_book(&developer).await?);
        assert_eq!(book.response, policy);
    }
    let theirs = query!(store, [stranger], |tx| tx.rule_book(&stranger).await?);
    assert_eq!(theirs.response, ResponsePolicy::default());
}

fn pending(fixtures: &Fixtures, tenant: &Tenant, action: ResponseAction) -> PendingResponse {
    PendingResponse {
        anomaly_id: fixtures.id(),
        developer_id: tenant.developer.id.clone(),
        agent_id: tenant.agent.id.clone(),
        action,
        after: None,
        revoked: 0,
        grants: Vec::new(),
        created_at: fixtures.now(),
    }
}

pub async fn what_is_to_be_done_waits_until_it_is_done<S: Store>(store: S) {
    let fixtures = Fixtures::new(322);
    let tenant = Tenant::create(&store, &fixtures).await;
    let other = Tenant::create(&store, &fixtures).await;
    let (developer, stranger) = (&tenant.developer.id, &other.developer.id);
    let mut all = [
        pending(&fixtures, &tenant, ResponseAction::RevokeAgentGrants),
        pending(&fixtures, &tenant, ResponseAction::SuspendAgent),
        pending(&fixtures, &other, ResponseAction::SuspendAgent),
    ];
    all.sort_by(|a, b| a.anomaly_id.cmp(&b.anomaly_id));
    for one in &all {
        commit!(store, [one], |tx| tx.insert_response(&one).await?);
    }
    let names = |wanted: &dyn Fn(&PendingResponse) -> bool| -> Vec<(DeveloperId, AnomalyId)> {
        let wanted = all.iter().filter(|one| wanted(one));
        wanted
            .map(|one| (one.developer_id.clone(), one.anomaly_id.clone()))
            .collect()
    };
    let ours = names(&|one| one.developer_id == *developer);
    let everyones = names(&|_| true);
    let found = query!(store, [developer], |tx| tx
        .pending_responses(Some(&developer), None, 10)
        .await?);
    assert_eq!(found, ours);
    let mut found = query!(store, [], |tx| tx.pending_responses(None, None, 2).await?);
    let last = found.last().unwrap().1.clone();
    found.extend(query!(store, [last], |tx| tx
        .pending_responses(None, Some(&last), 2)
        .await?));
    assert_eq!(found, everyones);

    let mut one = all
        .iter()
        .find(|one| one.action == ResponseAction::RevokeAgentGrants)
        .unwrap()
        .clone();
    one.after = Some(Cursor {
        at: 7,
        id: "grnt_last".to_owned(),
    });
    one.revoked = 200;
    one.grants = vec![fixtures.id(), fixtures.id()];
    commit!(store, [one], |tx| tx.update_response(&one).await?);
    let id = &one.anomaly_id;
    let found = query!(store, [developer, id], |tx| tx
        .pending_response(&developer, &id)
        .await?);
    assert_eq!(found.as_ref(), Some(&one));
    let theirs = query!(store, [stranger, id], |tx| tx.pending_response(&stranger, &id).await?);
    assert_eq!(theirs, None);
    for is_there in [true, false] {
        assert_eq!(commit!(store, [id], |tx| tx.remove_response(&id).await?), is_there);
    }
    let found = query!(store, [developer], |tx| tx
        .pending_responses(Some(&developer), None, 10)
        .await?);
    assert_eq!(found.len(), 1);
}
