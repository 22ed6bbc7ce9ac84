//! What cases share: running units, a tenant to work for, and texts that are hard to keep.

use crate::agent::Agent;
use crate::clock::Timestamp;
use crate::context::Admission;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::Grant;
use crate::id::DeveloperId;
use crate::secret::SecretHash;
use crate::store::{DeveloperHead, Ledger, Store, UnitOptions};
use crate::testing::fixtures::Fixtures;
use crate::token::Token;

/// Runs an expression over `tx` as one unit of work, which must succeed, with clones of the named values.
macro_rules! commit {
    ($store:expr, [$($name:ident),*], |$tx:ident| $work:expr) => {{
        $(let $name = $name.clone();)*
        let options = crate::testing::conformance::support::options();
        let outcome: Result<_, crate::error::StoreError> =
            $store.transact(options, move |$tx| Box::pin(async move { Ok($work) })).await;
        outcome.unwrap()
    }};
}

/// Runs an expression over `tx` with read access, which must succeed, with clones of the named values.
macro_rules! query {
    ($store:expr, [$($name:ident),*], |$tx:ident| $work:expr) => {{
        $(let $name = $name.clone();)*
        let outcome: Result<_, crate::error::StoreError> = $store.read(move |$tx| Box::pin(async move { Ok($work) })).await;
        outcome.unwrap()
    }};
}

/// A unit that nobody withdraws.
pub fn options() -> UnitOptions {
    UnitOptions {
        developer: None,
        admission: Admission::default(),
    }
}

/// A unit that appends to a developer's chains.
pub fn options_for(developer: &DeveloperId) -> UnitOptions {
    UnitOptions {
        developer: Some(developer.clone()),
        admission: Admission::default(),
    }
}

/// A developer with an agent, stored.
pub struct Tenant {
    pub developer: Developer,
    pub key_hash: SecretHash,
    pub agent: Agent,
}

impl Tenant {
    pub async fn create<S: Store>(store: &S, fixtures: &Fixtures) -> Self {
        let (developer, key_hash) = (fixtures.developer(), fixtures.hash());
        let agent = fixtures.agent(&developer);
        let is_new = commit!(store, [developer, key_hash, agent], |tx| {
            let is_new = tx.insert_developer(&developer, &key_hash).await?;
            tx.insert_agent(&agent).await?;
            is_new
        });
        assert!(is_new);
        Self {
            developer,
            key_hash,
            agent,
        }
    }

    /// Writes a ledger over the developer's present head.
    pub async fn write<S: Store>(&self, store: &S, fill: impl FnOnce(&mut Ledger) + Send + 'static) -> Ledger {
        self.try_write(store, fill).await.unwrap()
    }

    pub async fn try_write<S: Store>(
        &self,
        store: &S,
        fill: impl FnOnce(&mut Ledger) + Send + 'static,
    ) -> Result<Ledger, StoreError> {
        let developer_id = self.developer.id.clone();
        store
            .transact(options_for(&self.developer.id), move |tx| {
                Box::pin(async move {
                    let head = tx.lock_head(&developer_id).await?.unwrap();
                    let mut ledger = empty_ledger(developer_id, head);
                    fill(&mut ledger);
                    tx.write_ledger(&ledger).await?;
                    Ok(ledger)
                })
            })
            .await
    }

    /// Stores grants and counts them as active.
    pub async fn insert_grants<S: Store>(&self, store: &S, grants: &[&Grant]) {
        let grants: Vec<Grant> = grants.iter().copied().cloned().collect();
        self.write(store, move |ledger| {
            ledger.head.active_grants += i64::try_from(grants.len()).unwrap();
            ledger.grants = grants;
        })
        .await;
    }

    /// Stores tokens of grants that are there.
    pub async fn insert_tokens<S: Store>(&self, store: &S, tokens: &[&Token]) {
        let tokens: Vec<Token> = tokens.iter().copied().cloned().collect();
        self.write(store, move |ledger| ledger.tokens = tokens).await;
    }

    pub async fn head<S: Store>(&self, store: &S) -> DeveloperHead {
        let id = self.developer.id.clone();
        commit!(store, [id], |tx| tx.lock_head(&id).await?).unwrap()
    }
}

pub fn empty_ledger(developer_id: DeveloperId, head: DeveloperHead) -> Ledger {
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

/// Texts that go wrong where a store escapes, folds, trims, normalizes or cuts.
pub fn odd_texts() -> Vec<String> {
    vec![
        String::new(),
        " leading and trailing ".into(),
        "quotes ' \" ` and \\ and % _ and ; --".into(),
        "lines\r\nand\ttabs".into(),
        "Zoë 日本語 🦀 \u{202e}right to left".into(),
        // The same letter, precomposed and decomposed: two texts.
        "\u{e9} e\u{301}".into(),
        "NULL".into(),
        "0123456789abcdef".repeat(16),
        "🦀".repeat(256),
    ]
}

/// The last instant that RFC 3339 can write.
pub const FAR: Timestamp = Timestamp::from_millis(253_402_300_799_999);
