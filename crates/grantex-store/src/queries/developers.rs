use async_trait::async_trait;
use diesel::dsl::{exists, not, select};
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use grantex_core::developer::Developer;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::plan::Plan;
use grantex_core::secret::SecretHash;
use grantex_core::store::{DeveloperReads, DeveloperWrites};

use super::ConnTx;
use crate::rows::{DeveloperRow, NewDeveloper, Place};
use crate::schema::developers;

#[async_trait]
impl DeveloperReads for ConnTx<'_> {
    async fn developer(&mut self, id: &DeveloperId) -> Result<Option<Developer>, StoreError> {
        let query = developers::table
            .find(id.as_str().to_owned())
            .select(DeveloperRow::as_select());
        get!(self, DeveloperRow, query)?.map(Developer::try_from).transpose()
    }

    async fn developer_by_key(&mut self, key_hash: &SecretHash) -> Result<Option<Developer>, StoreError> {
        let query = developers::table
            .filter(developers::api_key_hash.eq(key_hash.as_str().to_owned()))
            .select(DeveloperRow::as_select());
        get!(self, DeveloperRow, query)?.map(Developer::try_from).transpose()
    }

    async fn developer_ids(&mut self, after: Option<&DeveloperId>, limit: u32) -> Result<Vec<DeveloperId>, StoreError> {
        let after = after.map_or("", DeveloperId::as_str);
        let query = developers::table
            .filter(developers::id.gt(after))
            .order(developers::id)
            .limit(i64::from(limit))
            .select(developers::id);
        let ids = query.load::<String>(self.conn().await?).await;
        let ids = self.note(ids)?;
        ids.iter()
            .map(|id| {
                Place {
                    table: "developers",
                    id,
                }
                .expect("id", DeveloperId::parse(id))
            })
            .collect()
    }

    async fn active_grants(&mut self, id: &DeveloperId) -> Result<i64, StoreError> {
        let query = developers::table.find(id.as_str()).select(developers::active_grants);
        let count = query.get_result::<i64>(self.conn().await?).await.optional();
        Ok(self.note(count)?.unwrap_or(0))
    }

    async fn total_active_grants(&mut self) -> Result<i64, StoreError> {
        let total = diesel::dsl::sql::<BigInt>("CAST(COALESCE(SUM(active_grants), 0) AS BIGINT)");
        let total = developers::table.select(total).get_result(self.conn().await?).await;
        self.note(total)
    }

    async fn has_no_developer(&mut self) -> Result<bool, StoreError> {
        let is_empty = select(not(exists(developers::table.select(developers::id))))
            .get_result(self.conn().await?)
            .await;
        self.note(is_empty)
    }
}

#[async_trait]
impl DeveloperWrites for ConnTx<'_> {
    async fn insert_developer(&mut self, developer: &Developer, key_hash: &SecretHash) -> Result<bool, StoreError> {
        let insert = diesel::insert_into(developers::table)
            .values(NewDeveloper::new(developer, key_hash))
            .on_conflict(developers::email)
            .do_nothing();
        let count = insert.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn replace_api_key(
        &mut self,
        id: &DeveloperId,
        old: &SecretHash,
        new: &SecretHash,
    ) -> Result<bool, StoreError> {
        let holder = developers::table
            .find(id.as_str())
            .filter(developers::api_key_hash.eq(old.as_str()));
        let update = diesel::update(holder).set(developers::api_key_hash.eq(new.as_str()));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn set_plan(&mut self, id: &DeveloperId, plan: Plan) -> Result<bool, StoreError> {
        // A head that was locked before carries the plan as it was.
        self.local.forget_head();
        let update = diesel::update(developers::table.find(id.as_str())).set(developers::plan.eq(plan.as_str()));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn set_fido_rp_name(&mut self, id: &DeveloperId, name: &str) -> Result<bool, StoreError> {
        let update = diesel::update(developers::table.find(id.as_str())).set(developers::fido_rp_name.eq(name));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }
}
