use std::collections::HashMap;

use async_trait::async_trait;
use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use grantex_core::clock::Timestamp;
use grantex_core::error::StoreError;
use grantex_core::id::{AgentId, DeveloperId, GrantId};
use grantex_core::revocation::{FeedHead, GrantEnd, RevocationAction, RevocationEntry, RevocationHead, Spread, Wanted};
use grantex_core::secret::SecretHash;
use grantex_core::store::{RevocationReads, RevocationWrites};

use super::{CHUNK, ConnTx, all};
use crate::rows::{Place, RevocationRow, SpreadRow};
use crate::schema::{developers, grants, revocation_heads, revocation_spreads, revocations};
use crate::statements::grant_is_in_force;

#[async_trait]
impl RevocationReads for ConnTx<'_> {
    async fn revocation_head(&mut self, developer: &DeveloperId) -> Result<RevocationHead, StoreError> {
        let query = revocation_heads::table
            .find(developer.to_string())
            .select((revocation_heads::seq, revocation_heads::hash));
        let row = get!(self, (i64, String), query)?;
        Ok(row.map_or_else(RevocationHead::default, |(seq, hash)| RevocationHead { seq, hash }))
    }

    async fn revocation_heads(&mut self, ids: &[DeveloperId]) -> Result<Vec<FeedHead>, StoreError> {
        let mut heads = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let keys = developers::table
                .filter(developers::id.eq_any(chunk.iter().map(DeveloperId::as_str)))
                .select((developers::id, developers::api_key_hash));
            let keys = keys.load::<(String, String)>(self.conn().await?).await;
            let keys = self.note(keys)?;
            let newest = revocation_heads::table
                .filter(revocation_heads::developer_id.eq_any(chunk.iter().map(DeveloperId::as_str)))
                .select((
                    revocation_heads::developer_id,
                    revocation_heads::seq,
                    revocation_heads::hash,
                ));
            let newest = newest.load::<(String, i64, String)>(self.conn().await?).await;
            let newest = self.note(newest)?.into_iter();
            let mut newest: HashMap<String, RevocationHead> = newest
                .map(|(id, seq, hash)| (id, RevocationHead { seq, hash }))
                .collect();
            for (id, key_hash) in keys {
                let place = Place {
                    table: "developers",
                    id: &id,
                };
                heads.push(FeedHead {
                    developer_id: place.expect("id", DeveloperId::parse(&id))?,
                    head: newest.remove(&id).unwrap_or_default(),
                    key_hash: SecretHash::from_stored(key_hash),
                });
            }
        }
        Ok(heads)
    }

    async fn revocations_after(
        &mut self,
        developer: &DeveloperId,
        after: i64,
        wanted: Wanted,
        limit: u32,
    ) -> Result<Vec<RevocationEntry>, StoreError> {
        let mut query = revocations::table
            .filter(revocations::developer_id.eq(developer.as_str()))
            .filter(revocations::seq.gt(after))
            .order(revocations::seq)
            .limit(i64::from(limit))
            .select(RevocationRow::as_select())
            .into_boxed();
        if wanted != Wanted::All {
            query = query.filter(revocations::is_latest);
        }
        if let Wanted::InForce(now) = wanted {
            query = query
                .filter(revocations::action.ne(RevocationAction::Resumed.as_str()))
                .filter(revocations::expires_at.gt(now.as_millis()));
        }
        let rows = query.load::<RevocationRow>(self.conn().await?).await;
        all(self.note(rows)?)
    }

    async fn revocation_times(
        &mut self,
        developer: &DeveloperId,
        seqs: &[i64],
    ) -> Result<Vec<(i64, Timestamp)>, StoreError> {
        let mut times = Vec::with_capacity(seqs.len());
        for chunk in seqs.chunks(CHUNK) {
            let query = revocations::table
                .filter(revocations::developer_id.eq(developer.as_str()))
                .filter(revocations::seq.eq_any(chunk.iter().copied()))
                .select((revocations::seq, revocations::at));
            let rows = query.load::<(i64, i64)>(self.conn().await?).await;
            let rows = self.note(rows)?;
            times.extend(rows.into_iter().map(|(seq, at)| (seq, Timestamp::from_millis(at))));
        }
        Ok(times)
    }

    async fn grant_ends(&mut self, developer: &DeveloperId, ids: &[GrantId]) -> Result<Vec<GrantEnd>, StoreError> {
        let mut ends = Vec::with_capacity(ids.len());
        for chunk in ids.chunks(CHUNK) {
            let query = grants::table
                .filter(grants::id.eq_any(chunk.iter().map(GrantId::as_str)))
                .filter(grants::developer_id.eq(developer.as_str()))
                .select((grants::id, grants::expires_at, grants::revoked_at));
            let rows = query.load::<(String, i64, Option<i64>)>(self.conn().await?).await;
            for (id, expires_at, revoked_at) in self.note(rows)? {
                ends.push(GrantEnd {
                    id: grant_id(&id)?,
                    expires_at: Timestamp::from_millis(expires_at),
                    is_revoked: revoked_at.is_some(),
                });
            }
        }
        Ok(ends)
    }

    async fn grants_in_force(&mut self, developer: &DeveloperId, ids: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let mut found = Vec::new();
        for chunk in ids.chunks(CHUNK) {
            let query = grants::table
                .filter(grants::id.eq_any(chunk.iter().map(GrantId::as_str)))
                .filter(grants::developer_id.eq(developer.as_str()))
                .filter(grant_is_in_force())
                .select(grants::id);
            let rows = query.load::<String>(self.conn().await?).await;
            for id in self.note(rows)? {
                found.push(grant_id(&id)?);
            }
        }
        Ok(found)
    }

    async fn child_grants(&mut self, developer: &DeveloperId, parents: &[GrantId]) -> Result<Vec<GrantId>, StoreError> {
        let parents: Vec<String> = parents.iter().map(GrantId::to_string).collect();
        let ids = self.children_of(developer, &parents).await?;
        ids.iter().map(|id| grant_id(id)).collect()
    }

    async fn pending_spreads(
        &mut self,
        after: Option<&AgentId>,
        limit: u32,
    ) -> Result<Vec<(DeveloperId, AgentId)>, StoreError> {
        let query = revocation_spreads::table
            .filter(revocation_spreads::agent_id.gt(after.map_or("", AgentId::as_str)))
            .order(revocation_spreads::agent_id)
            .limit(i64::from(limit))
            .select(SpreadRow::as_select());
        let rows = query.load::<SpreadRow>(self.conn().await?).await;
        let spreads: Vec<Spread> = all(self.note(rows)?)?;
        Ok(spreads
            .into_iter()
            .map(|spread| (spread.developer_id, spread.agent_id))
            .collect())
    }

    async fn pending_spread(&mut self, developer: &DeveloperId, agent: &AgentId) -> Result<Option<Spread>, StoreError> {
        let query = revocation_spreads::table
            .find(agent.to_string())
            .filter(revocation_spreads::developer_id.eq(developer.to_string()))
            .select(SpreadRow::as_select());
        get!(self, SpreadRow, query)?.map(Spread::try_from).transpose()
    }
}

#[async_trait]
impl RevocationWrites for ConnTx<'_> {
    async fn append_revocations(
        &mut self,
        developer: &DeveloperId,
        entries: &[RevocationEntry],
    ) -> Result<(), StoreError> {
        let Some(last) = entries.last() else { return Ok(()) };
        let subjects: Vec<&str> = entries.iter().map(|entry| entry.subject.as_str()).collect();
        for chunk in subjects.chunks(CHUNK) {
            let earlier = revocations::table
                .filter(revocations::developer_id.eq(developer.as_str()))
                .filter(revocations::subject.eq_any(chunk.iter().copied()))
                .filter(revocations::is_latest);
            let update = diesel::update(earlier).set(revocations::is_latest.eq(false));
            let count = update.execute(self.conn().await?).await;
            self.note(count)?;
        }
        let rows = entries
            .iter()
            .map(|entry| RevocationRow::new(developer, entry))
            .collect();
        super::super::insert_revocations(self, rows).await?;
        let head = (
            revocation_heads::developer_id.eq(developer.as_str()),
            revocation_heads::seq.eq(last.seq),
            revocation_heads::hash.eq(last.hash.as_str()),
        );
        let upsert = diesel::insert_into(revocation_heads::table)
            .values(head)
            .on_conflict(revocation_heads::developer_id)
            .do_update()
            .set((
                revocation_heads::seq.eq(last.seq),
                revocation_heads::hash.eq(last.hash.as_str()),
            ));
        let count = upsert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn put_spread(&mut self, spread: &Spread) -> Result<(), StoreError> {
        let row = SpreadRow::from(spread);
        let changes = (
            revocation_spreads::developer_id.eq(row.developer_id.clone()),
            revocation_spreads::action.eq(row.action.clone()),
            revocation_spreads::after_at.eq(row.after_at),
            revocation_spreads::after_id.eq(row.after_id.clone()),
        );
        let upsert = diesel::insert_into(revocation_spreads::table)
            .values(row)
            .on_conflict(revocation_spreads::agent_id)
            .do_update()
            .set(changes);
        let count = upsert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn remove_spread(&mut self, agent: &AgentId) -> Result<(), StoreError> {
        let delete = diesel::delete(revocation_spreads::table.find(agent.as_str()));
        let count = delete.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }
}

fn grant_id(id: &str) -> Result<GrantId, StoreError> {
    Place { table: "grants", id }.expect("id", GrantId::parse(id))
}
