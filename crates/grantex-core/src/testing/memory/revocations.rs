//! The ports of the revocation feed.

use async_trait::async_trait;

use super::state::{State, count, index};
use super::writes::unique;
use crate::clock::Timestamp;
use crate::error::StoreError;
use crate::id::{AgentId, DeveloperId, GrantId};
use crate::revocation::{FeedHead, GrantEnd, RevocationAction, RevocationEntry, RevocationHead, Spread, Wanted};
use crate::store::{RevocationReads, RevocationWrites};

#[async_trait]
impl RevocationReads for State {
    async fn revocation_head(&mut self, developer: &DeveloperId) -> Result<RevocationHead, StoreError> {
        Ok(self.revocation_heads.get(developer).cloned().unwrap_or_default())
    }

    async fn revocation_heads(&mut self, developers: &[DeveloperId]) -> Result<Vec<FeedHead>, StoreError> {
        let heads = developers.iter().filter_map(|id| {
            let row = self.developers.get(id)?;
            Some(FeedHead {
                developer_id: id.clone(),
                head: self.revocation_heads.get(id).cloned().unwrap_or_default(),
                key_hash: row.key_hash.clone(),
            })
        });
        Ok(heads.collect())
    }

    async fn revocations_after(
        &mut self,
        developer: &DeveloperId,
        after: i64,
        wanted: Wanted,
        limit: u32,
    ) -> Result<Vec<RevocationEntry>, StoreError> {
        let is_wanted = |(entry, is_latest): &&(RevocationEntry, bool)| match wanted {
            Wanted::All => true,
            Wanted::Latest => *is_latest,
            Wanted::InForce(now) => *is_latest && entry.action != RevocationAction::Resumed && entry.expires_at > now,
        };
        let first = (developer.clone(), after.saturating_add(1));
        let rows = self
            .revocations
            .range(first..)
            .take_while(|((owner, _), _)| owner == developer)
            .map(|(_, row)| row);
        Ok(rows
            .filter(is_wanted)
            .take(index(limit))
            .map(|(entry, _)| entry.clone())
            .collect())
    }

    async fn revocation_times(
        &mut self,
        developer: &DeveloperId,
        seqs: &[i64],
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let found = seqs
            .iter()
            .filter_map(|seq| self.revocations.get(&(developer.clone(), *seq)));
        Ok(found.map(|(entry, _)| (entry.seq, entry.at)).collect())
    }

    async fn grant_ends(&mut self, developer: &DeveloperId, grants: &[GrantId]) -> Result<Vec<GrantEnd>, StoreError> {
        let rows = grants.iter().filter_map(|id| self.grants.get(id));
        Ok(rows
            .filter(|row| row.grant.developer_id == *developer)
            .map(|row| GrantEnd {
                id: row.grant.id.clone(),
                expires_at: row.grant.expires_at,
                is_revoked: !row.is_stored_active(),
            })
            .collect())
    }

    async fn grants_in_force(
        &mut self,
        developer: &DeveloperId,
        grants: &[GrantId],
    ) -> Result<Vec<GrantId>, StoreError> {
        let is_own = |id: &&GrantId| {
            self.grants
                .get(*id)
                .is_some_and(|row| row.grant.developer_id == *developer)
        };
        let own = grants.iter().filter(is_own);
        Ok(own.filter(|id| self.is_authority(id)).cloned().collect())
    }

    async fn child_grants(&mut self, developer: &DeveloperId, parents: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let grants = self.grants.values().map(|row| &row.grant);
        Ok(grants
            .filter(|grant| grant.developer_id == *developer)
            .filter(|grant| grant.parent_grant_id.as_ref().is_some_and(|id| parents.contains(id)))
            .map(|grant| grant.id.clone())
            .collect())
    }

    async fn pending_spreads(
        &mut self,
        after: Option<&AgentId>,
        limit: u32,
    ) -> Result<Vec<(DeveloperId, AgentId)>, StoreError> {
        let behind = self
            .spreads
            .values()
            .filter(|spread| after.is_none_or(|after| spread.agent_id > *after));
        Ok(behind
            .take(index(limit))
            .map(|spread| (spread.developer_id.clone(), spread.agent_id.clone()))
            .collect())
    }

    async fn pending_spread(&mut self, developer: &DeveloperId, agent: &AgentId) -> Result<Option<Spread>, StoreError> {
        let spread = self.spreads.get(agent);
        Ok(spread.filter(|spread| spread.developer_id == *developer).cloned())
    }
}

#[async_trait]
impl RevocationWrites for State {
    async fn append_revocations(
        &mut self,
        developer: &DeveloperId,
        entries: &[RevocationEntry],
    ) -> Result<(), StoreError> {
        for entry in entries {
            let place = (developer.clone(), entry.seq);
            unique(self.revocations.contains_key(&place), "position among revocations")?;
            for ((owner, _), (earlier, is_latest)) in &mut self.revocations {
                if owner == developer && earlier.subject == entry.subject {
                    *is_latest = false;
                }
            }
            self.revocations.insert(place, (entry.clone(), true));
            let head = RevocationHead {
                seq: entry.seq,
                hash: entry.hash.clone(),
            };
            self.revocation_heads.insert(developer.clone(), head);
        }
        Ok(())
    }

    async fn put_spread(&mut self, spread: &Spread) -> Result<(), StoreError> {
        self.spreads.insert(spread.agent_id.clone(), spread.clone());
        Ok(())
    }

    async fn remove_spread(&mut self, agent: &AgentId) -> Result<(), StoreError> {
        self.spreads.remove(agent);
        Ok(())
    }
}

impl State {
    pub(super) fn remove_old_revocations(&mut self, before: Timestamp, limit: u32) -> u64 {
        let is_over = |(entry, is_latest): &(RevocationEntry, bool)| match is_latest {
            true => entry.expires_at < before,
            false => entry.at < before,
        };
        let places: Vec<_> = self
            .revocations
            .iter()
            .filter(|(_, row)| is_over(row))
            .take(index(limit))
            .map(|(place, _)| place.clone())
            .collect();
        places.iter().for_each(|place| drop(self.revocations.remove(place)));
        count(places.len())
    }
}
