//! `audit verify`.

use grantex_core::Grantex;
use grantex_core::audit::Chain;
use grantex_core::id::DeveloperId;
use grantex_core::store::Store as _;
use grantex_store::AnyStore;

use super::{line, silent};
use crate::app::Assembly;
use crate::config::Config;
use crate::error::Failure;

/// Developers that are asked for at a time.
const BATCH: u32 = 500;

/// Recomputes both chains of one developer, or of all.
pub async fn verify(config: Config, developer: Option<String>) -> Result<(), Failure> {
    let grantex = Assembly::open(&config, &silent(), None).await?.grantex;
    let mut total = Total::default();
    match developer {
        Some(text) => {
            let id = DeveloperId::parse(&text).ok_or(Failure::Found(
                "a developer's id looks like dev_01ARZ3NDEKTSV4RRFFQ69G5FAV",
            ))?;
            total.verify(&grantex, &id).await?;
        }
        None => total.verify_all(&grantex).await?,
    }
    line(&format!(
        "{} developers, {} entries checked",
        total.developers, total.entries
    ))?;
    if total.broken == 0 {
        return line("every chain is intact");
    }
    Err(Failure::Found("an audit chain is broken"))
}

#[derive(Default)]
struct Total {
    developers: u64,
    entries: u64,
    broken: u64,
}

impl Total {
    async fn verify_all(&mut self, grantex: &Grantex<AnyStore>) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let from = after.take();
            let ids = grantex
                .store()
                .read(move |tx| Box::pin(async move { tx.developer_ids(from.as_ref(), BATCH).await }))
                .await
                .map_err(Failure::of("listing the developers"))?;
            for id in &ids {
                self.verify(grantex, id).await?;
            }
            after = ids.last().cloned();
            if after.is_none() {
                return Ok(());
            }
        }
    }

    async fn verify(&mut self, grantex: &Grantex<AnyStore>, developer: &DeveloperId) -> Result<(), Failure> {
        self.developers += 1;
        for (chain, name) in [(Chain::Caller, "caller"), (Chain::Server, "server")] {
            let report = grantex
                .verify_chain(developer, chain)
                .await
                .map_err(Failure::of("reading a chain"))?;
            self.entries += report.checked;
            if let Some(broken) = report.broken {
                self.broken += 1;
                let (id, seq, reason) = (broken.id, broken.seq, broken.reason);
                line(&format!(
                    "{developer}: the {name} chain is broken at entry {seq}, {id}: its {reason} does not fit"
                ))?;
            }
        }
        Ok(())
    }
}
