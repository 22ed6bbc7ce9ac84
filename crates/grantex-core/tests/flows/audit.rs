use grantex_core::audit::{AuditError, AuditFilter, AuditStatus, Chain, ChainReport, LogEntry};
use grantex_core::clock::Lifetime;
use grantex_core::page::{PageRequest, PageStart};
use serde_json::{Map, Value, json};

use crate::support::World;

impl World {
    async fn log(&self, action: &str, metadata: Value) -> Result<grantex_core::audit::AuditEntry, AuditError> {
        let metadata: Map<String, Value> = metadata.as_object().cloned().unwrap();
        let entry = LogEntry {
            agent_id: "ag_1".into(),
            agent_did: "did:grantex:ag_1".into(),
            grant_id: "grnt_1".into(),
            principal_id: "user_1".into(),
            action: action.into(),
            metadata,
            status: AuditStatus::Success,
        };
        self.grantex.log_audit(&self.ctx(), &self.developer, entry).await
    }
}

#[tokio::test]
async fn the_callers_chain_holds_the_callers_entries_only() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.log("invoice.paid", json!({"n": 1.50})).await.unwrap();
    world.issue(&agent, &["read"]).await;
    let second = world.log("invoice.sent", json!({})).await.unwrap();
    assert_eq!((first.prev_hash.clone(), first.record.metadata.as_str()), (None, r#"{"n":1.5}"#));
    assert_eq!(second.prev_hash, Some(first.hash));
    assert_eq!(world.server_actions().await, ["grantex.grant.created", "grantex.token.exchanged"]);
    for (chain, checked) in [(Chain::Caller, 2), (Chain::Server, 2)] {
        let report = world.grantex.verify_chain(&world.developer.id, chain).await.unwrap();
        assert_eq!(report, ChainReport { checked, broken: None });
    }
}

#[tokio::test]
async fn what_is_the_servers_to_write_is_refused() {
    let world = World::new().await;
    for action in ["grantex.grant.created", "decision.made", "evidence.kept"] {
        assert!(matches!(world.log(action, json!({})).await, Err(AuditError::ActionReserved)));
    }
    let refused = world.log("a", json!({"grantex:x": 1})).await;
    assert!(matches!(refused, Err(AuditError::MetadataReserved { member }) if member == "grantex:x"));
}

#[tokio::test]
async fn without_a_page_the_newest_entries_come_in_ascending_order() {
    let world = World::new().await;
    for n in 0..5 {
        world.log(&format!("a.{n}"), json!({})).await.unwrap();
        world.clock.advance(Lifetime::seconds(1));
    }
    let actions = async |filter: AuditFilter, page: Option<PageRequest>, size| {
        let page = world.grantex.audit_entries(&world.developer, Chain::Caller, filter, page, size).await.unwrap();
        page.items.into_iter().map(|entry| entry.record.action).collect::<Vec<_>>()
    };
    assert_eq!(actions(AuditFilter::default(), None, 2).await, ["a.3", "a.4"]);
    let second_page = PageRequest { size: 2, from: PageStart::Number(2) };
    assert_eq!(actions(AuditFilter::default(), Some(second_page), 2).await, ["a.2", "a.3"]);
    let window = AuditFilter {
        since: Some(world.now().minus(Lifetime::seconds(4))),
        until: Some(world.now().minus(Lifetime::seconds(2))),
        ..AuditFilter::default()
    };
    assert_eq!(actions(window, None, 10).await, ["a.1", "a.2"]);
}
