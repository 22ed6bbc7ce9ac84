use grantex_core::audit::{AuditError, AuditFilter, AuditStatus, BrokenEntry, Chain, ChainReport, LogEntry};
use grantex_core::clock::Lifetime;
use grantex_core::context::Admission;
use grantex_core::error::StoreError;
use grantex_core::page::{PageRequest, PageStart};
use grantex_core::store::{ChainLink, DeveloperHead, Ledger, Store as _, UnitOptions};
use serde_json::{Map, Value, json};

use crate::support::World;

impl World {
    /// Recomputes the caller's chain.
    async fn verify_callers(&self) -> ChainReport {
        self.grantex
            .verify_chain(&self.developer.id, Chain::Caller)
            .await
            .unwrap()
    }

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

    async fn head(&self) -> DeveloperHead {
        let developer = self.developer.id.clone();
        let options = UnitOptions {
            developer: None,
            admission: Admission::default(),
        };
        let head = self
            .store
            .transact(options, move |tx| {
                Box::pin(async move { tx.lock_head(&developer).await })
            })
            .await;
        head.unwrap().unwrap()
    }

    async fn set_head(&self, head: DeveloperHead) {
        let ledger = Ledger {
            developer_id: self.developer.id.clone(),
            head,
            grants: vec![],
            tokens: vec![],
            audit: vec![],
            events: vec![],
            deliveries: vec![],
        };
        let options = UnitOptions {
            developer: None,
            admission: Admission::default(),
        };
        let written = self
            .store
            .transact(options, move |tx| {
                Box::pin(async move { tx.write_ledger(&ledger).await })
            })
            .await;
        written.map_err(|error: StoreError| error).unwrap();
    }
}

#[tokio::test]
async fn the_callers_chain_holds_the_callers_entries_only() {
    let world = World::new().await;
    let agent = world.agent(&[]).await;
    let first = world.log("invoice.paid", json!({"n": 1.50})).await.unwrap();
    world.issue(&agent, &["read"]).await;
    let second = world.log("invoice.sent", json!({})).await.unwrap();
    assert_eq!(
        (first.prev_hash.clone(), first.record.metadata.as_str()),
        (None, r#"{"n":1.5}"#)
    );
    assert_eq!(second.prev_hash, Some(first.hash));
    assert_eq!(
        world.server_actions().await,
        ["grantex.grant.created", "grantex.token.exchanged"]
    );
    for (chain, checked) in [(Chain::Caller, 2), (Chain::Server, 2)] {
        let report = world.grantex.verify_chain(&world.developer.id, chain).await.unwrap();
        assert_eq!(report, ChainReport { checked, broken: None });
    }
}

#[tokio::test]
async fn what_is_the_servers_to_write_is_refused() {
    let world = World::new().await;
    for action in ["grantex.grant.created", "decision.made", "evidence.kept"] {
        assert!(matches!(
            world.log(action, json!({})).await,
            Err(AuditError::ActionReserved)
        ));
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
        let page = world
            .grantex
            .audit_entries(&world.developer, Chain::Caller, filter, page, size)
            .await
            .unwrap();
        page.items
            .into_iter()
            .map(|entry| entry.record.action)
            .collect::<Vec<_>>()
    };
    assert_eq!(actions(AuditFilter::default(), None, 2).await, ["a.3", "a.4"]);
    let second_page = PageRequest {
        size: 2,
        from: PageStart::Number(2),
    };
    assert_eq!(
        actions(AuditFilter::default(), Some(second_page), 2).await,
        ["a.2", "a.3"]
    );
    let window = AuditFilter {
        since: Some(world.now().minus(Lifetime::seconds(4))),
        until: Some(world.now().minus(Lifetime::seconds(2))),
        ..AuditFilter::default()
    };
    assert_eq!(actions(window, None, 10).await, ["a.1", "a.2"]);
}

#[tokio::test]
async fn a_chain_whose_end_was_cut_off_or_replaced_is_broken() {
    let world = World::new().await;
    for n in 0..3 {
        world.log(&format!("a.{n}"), json!({})).await.unwrap();
    }
    let head = world.head().await;
    let last = head.caller.last.clone().unwrap();
    let broken = |seq| ChainReport {
        checked: 3,
        broken: Some(BrokenEntry {
            id: last.id.clone(),
            seq,
            reason: "link",
        }),
    };

    let mut longer = head.clone();
    longer.caller.seq += 1;
    world.set_head(longer).await;
    assert_eq!(world.verify_callers().await, broken(4));

    let mut other = head;
    other.caller.last = Some(ChainLink {
        hash: "0".repeat(64),
        ..last.clone()
    });
    world.set_head(other).await;
    assert_eq!(world.verify_callers().await, broken(3));
}
