//! Many units at once, and units that misbehave, on both databases.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

mod agents;
mod codes;
mod grants;
mod reads;
#[path = "../support/mod.rs"]
mod support;
mod together;
mod units;

use std::sync::Arc;

use grantex_core::agent::Agent;
use grantex_core::developer::Developer;
use grantex_core::grant::{Grant, GrantFilter, GrantStatus};
use grantex_core::id::DeveloperId;
use grantex_core::page::PageRequest;
use grantex_core::store::{DeveloperHead, Ledger};
use grantex_core::testing::fixtures::Fixtures;
use grantex_store::AnyStore;
use support::{Databases, insert_agent, insert_developer, read};

/// Each rule, against each database.
macro_rules! on_both {
    ($($area:ident { $($rule:ident,)+ })+) => {
        mod sqlite {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $rule() {
                let databases = super::Databases::sqlite();
                super::$area::$rule(databases.replicas().await).await;
                databases.remove().await;
            })+)+
        }
        mod postgres {
            $($(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $rule() {
                let databases = super::Databases::postgres().await;
                super::$area::$rule(databases.replicas().await).await;
                databases.remove().await;
            })+)+
        }
    };
}

on_both! {
    agents {
        no_change_of_an_agent_undoes_another,
        no_change_of_an_agent_survives_its_deletion,
    }
    codes {
        one_of_200_redeems_a_code,
        one_of_100_uses_a_refresh_token,
        no_refresh_token_is_used_after_its_grant_has_ended,
    }
    grants {
        no_child_survives_the_revocation_of_its_parent,
        a_sweep_beside_exchanges_counts_every_grant_once,
    }
    reads {
        each_of_many_callers_gets_what_he_asked_for,
        a_change_is_seen_by_whoever_asks_after_it,
    }
    units {
        a_unit_that_fails_harms_nobody_else,
        a_unit_that_panics_harms_nobody_else,
        a_unit_whose_statement_failed_is_not_kept_whatever_it_says,
        a_unit_that_waits_for_something_else_is_not_kept,
        a_unit_whose_ledger_is_refused_is_not_kept_and_nobody_is_told_wrong,
        a_withdrawn_unit_never_runs,
        many_developers_make_progress_together,
    }
}

/// Two servers on one database; callers take turns.
type Replicas = [AnyStore; 2];

/// What most rules need.
struct Tenant {
    fixtures: Arc<Fixtures>,
    developer: Developer,
    agent: Agent,
}

impl Tenant {
    async fn new(store: &AnyStore, seed: u64) -> Self {
        let fixtures = Arc::new(Fixtures::new(seed));
        let developer = insert_developer(store, &fixtures).await;
        let agent = insert_agent(store, &fixtures, &developer).await;
        Self {
            fixtures,
            developer,
            agent,
        }
    }
}

/// The grants of a developer that are in force.
async fn active(store: &AnyStore, developer: &Developer, fixtures: &Fixtures) -> Vec<Grant> {
    let (id, now) = (developer.id.clone(), fixtures.now());
    let filter = GrantFilter {
        status: Some(GrantStatus::Active),
        ..GrantFilter::default()
    };
    let page = PageRequest {
        size: 1_000,
        ..PageRequest::default()
    };
    read(store, move |tx| {
        Box::pin(async move { tx.grants(&id, &filter, &page, now).await })
    })
    .await
    .items
}

/// A ledger that inserts nothing.
fn empty(developer_id: DeveloperId, head: DeveloperHead) -> Ledger {
    Ledger {
        developer_id,
        head,
        grants: Vec::new(),
        tokens: Vec::new(),
        audit: Vec::new(),
        events: Vec::new(),
        deliveries: Vec::new(),
    }
}
