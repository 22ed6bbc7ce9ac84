//! Recomputing a chain.

use super::{AuditEntry, AuditFilter, Chain, chain};
use crate::context::Admission;
use crate::error::StoreError;
use crate::grantex::Grantex;
use crate::id::{AuditId, DeveloperId};
use crate::page::{Cursor, MAX_PAGE_SIZE, PageRequest, PageStart};
use crate::store::{ChainHead, DeveloperHead, Store, UnitOptions};

/// What recomputing a chain found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChainReport {
    /// Entries that were recomputed.
    pub checked: u64,
    /// The first entry that does not fit.
    pub broken: Option<BrokenEntry>,
}

/// An entry that does not fit its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenEntry {
    /// The entry.
    pub id: AuditId,
    /// Its position.
    pub seq: i64,
    /// `link` when it does not follow the entry before it, or is not the last one that the chain's head names; `content` when
    /// its hash is not that of its content.
    pub reason: &'static str,
}

/// Checks entries against the one before them; `None` when all fit.
pub fn first_broken(previous: Option<&AuditEntry>, entries: &[AuditEntry]) -> Option<BrokenEntry> {
    let mut expected = previous.map(|entry| (entry.seq, entry.hash.as_str()));
    for entry in entries {
        let broken = |reason| {
            Some(BrokenEntry {
                id: entry.id.clone(),
                seq: entry.seq,
                reason,
            })
        };
        let follows = match expected {
            Some((seq, hash)) => entry.seq == seq + 1 && entry.prev_hash.as_deref() == Some(hash),
            None => entry.seq == 1 && entry.prev_hash.is_none(),
        };
        if !follows {
            return broken("link");
        }
        if chain::hash(entry) != entry.hash {
            return broken("content");
        }
        expected = Some((entry.seq, entry.hash.as_str()));
    }
    None
}

impl<S: Store> Grantex<S> {
    /// Recomputes one chain of a developer from its first entry, a page at a time, and compares its end with the stored head.
    ///
    /// Entries that are appended meanwhile are checked too; nothing is locked while entries are read.
    pub async fn verify_chain(&self, developer: &DeveloperId, chain: Chain) -> Result<ChainReport, StoreError> {
        let head = self.chain_head(developer, chain).await?;
        let mut checked = 0_u64;
        let mut previous: Option<AuditEntry> = None;
        loop {
            let from = match &previous {
                Some(entry) => PageStart::After(Cursor {
                    at: entry.seq,
                    id: entry.id.to_string(),
                }),
                None => PageStart::Number(1),
            };
            let page = PageRequest {
                size: MAX_PAGE_SIZE,
                from,
            };
            let developer = developer.clone();
            let filter = AuditFilter::default();
            let mut entries = self
                .store
                .read(move |tx| Box::pin(async move { tx.audit_entries(&developer, chain, &filter, &page).await }))
                .await?
                .items;
            if let Some(broken) = first_broken(previous.as_ref(), &entries) {
                return Ok(ChainReport {
                    checked,
                    broken: Some(broken),
                });
            }
            checked += u64::try_from(entries.len()).unwrap_or(0);
            if let Some(replaced) = entries.iter().find(|entry| head.is_contradicted_by(entry)) {
                let broken = BrokenEntry {
                    id: replaced.id.clone(),
                    seq: replaced.seq,
                    reason: "link",
                };
                return Ok(ChainReport {
                    checked,
                    broken: Some(broken),
                });
            }
            match entries.pop() {
                Some(last) => previous = Some(last),
                None => {
                    return Ok(ChainReport {
                        checked,
                        broken: head.missing_behind(previous.as_ref()),
                    });
                }
            }
        }
    }

    /// The head as the developer's row holds it, read before the entries.
    async fn chain_head(&self, developer: &DeveloperId, chain: Chain) -> Result<ChainHead, StoreError> {
        let options = UnitOptions {
            developer: Some(developer.clone()),
            admission: Admission::default(),
        };
        let developer = developer.clone();
        let head = self
            .store
            .transact(options, move |tx| {
                Box::pin(async move { tx.lock_head(&developer).await })
            })
            .await?;
        Ok(head
            .map(|head: DeveloperHead| head.chain(chain).clone())
            .unwrap_or_default())
    }
}

impl ChainHead {
    /// Whether the entry stands where the head's last entry stood, and is another one.
    fn is_contradicted_by(&self, entry: &AuditEntry) -> bool {
        entry.seq == self.seq
            && self
                .last
                .as_ref()
                .is_some_and(|last| last.hash != entry.hash || last.id != entry.id)
    }

    /// The head's last entry, when the entries end before it.
    fn missing_behind(&self, last_found: Option<&AuditEntry>) -> Option<BrokenEntry> {
        let is_missing = last_found.map_or(0, |entry| entry.seq) < self.seq;
        let last = self.last.as_ref().filter(|_| is_missing)?;
        Some(BrokenEntry {
            id: last.id.clone(),
            seq: self.seq,
            reason: "link",
        })
    }
}
