use async_trait::async_trait;
use diesel::prelude::*;
use diesel::sql_types::BigInt;
use diesel_async::RunQueryDsl;
use grantex_core::error::StoreError;
use grantex_core::id::{BundleId, DeveloperId, PolicyId};
use grantex_core::page::{Cursor, Page, PageRequest};
use grantex_core::policy::{Bundle, BundleFormat, Policy};
use grantex_core::store::{PolicyReads, PolicyTotals, PolicyWrites};

use super::{ConnTx, all, rows, skip};
use crate::rows::{BundleRow, PolicyChanges, PolicyRow};
use crate::schema::{developers, policies, policy_bundles};

#[async_trait]
impl PolicyReads for ConnTx<'_> {
    async fn policy(&mut self, developer: &DeveloperId, id: &PolicyId) -> Result<Option<Policy>, StoreError> {
        let query = policies::table
            .find(id.as_str().to_owned())
            .filter(policies::developer_id.eq(developer.as_str().to_owned()))
            .select(PolicyRow::as_select());
        get!(self, PolicyRow, query)?.map(Policy::try_from).transpose()
    }

    async fn policies(&mut self, developer: &DeveloperId, page: &PageRequest) -> Result<Page<Policy>, StoreError> {
        let mut query = policies::table
            .filter(policies::developer_id.eq(developer.as_str()))
            .order((policies::priority.desc(), policies::id))
            .limit(i64::from(page.size) + 1)
            .offset(skip(page.offset()))
            .select(PolicyRow::as_select())
            .into_boxed();
        if let Some(cursor) = page.after() {
            // The first comparison bounds the index scan, the second decides among rows of the same priority.
            query = query
                .filter(policies::priority.le(cursor.at))
                .filter(policies::priority.lt(cursor.at).or(policies::id.gt(&cursor.id)));
        }
        let found = query.load(self.conn().await?).await;
        let items: Vec<Policy> = all(self.note(found)?)?;
        Ok(Page::from_overfetched(items, page.size, |policy| Cursor {
            at: i64::from(policy.rule.priority),
            id: policy.id.to_string(),
        }))
    }

    async fn all_policies(&mut self, developer: &DeveloperId) -> Result<Vec<Policy>, StoreError> {
        let query = policies::table
            .filter(policies::developer_id.eq(developer.as_str()))
            .select(PolicyRow::as_select());
        let found = query.load(self.conn().await?).await;
        all(self.note(found)?)
    }

    async fn policy_totals(&mut self, developer: &DeveloperId) -> Result<PolicyTotals, StoreError> {
        let weight = diesel::dsl::sql::<BigInt>("CAST(COALESCE(SUM(weight), 0) AS BIGINT)");
        let query = policies::table
            .filter(policies::developer_id.eq(developer.as_str()))
            .select((diesel::dsl::count_star(), weight));
        let found = query.get_result::<(i64, i64)>(self.conn().await?).await;
        let (count, weight) = self.note(found)?;
        Ok(PolicyTotals {
            count: u64::try_from(count).unwrap_or(0),
            weight: u64::try_from(weight).unwrap_or(0),
        })
    }

    async fn policy_version(&mut self, developer: &DeveloperId) -> Result<i64, StoreError> {
        let query = developers::table
            .find(developer.as_str().to_owned())
            .select(developers::policy_version);
        Ok(get!(self, i64, query)?.unwrap_or(0))
    }

    async fn policy_bundles(
        &mut self,
        developer: &DeveloperId,
        format: Option<BundleFormat>,
        limit: u32,
    ) -> Result<Vec<Bundle>, StoreError> {
        let mut query = policy_bundles::table
            .filter(policy_bundles::developer_id.eq(developer.as_str()))
            .order((policy_bundles::created_at.desc(), policy_bundles::id.desc()))
            .limit(i64::from(limit))
            .select(BundleRow::as_select())
            .into_boxed();
        if let Some(format) = format {
            query = query.filter(policy_bundles::format.eq(format.as_str()));
        }
        let found = query.load(self.conn().await?).await;
        all(self.note(found)?)
    }

    async fn active_policy_bundle(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
    ) -> Result<Option<Bundle>, StoreError> {
        let query = policy_bundles::table
            .filter(policy_bundles::developer_id.eq(developer.as_str().to_owned()))
            .filter(policy_bundles::format.eq(format.as_str()))
            .filter(policy_bundles::is_active)
            .select(BundleRow::as_select());
        get!(self, BundleRow, query)?.map(Bundle::try_from).transpose()
    }

    async fn policy_bundle_content(
        &mut self,
        developer: &DeveloperId,
        id: &BundleId,
    ) -> Result<Option<String>, StoreError> {
        let query = policy_bundles::table
            .find(id.as_str().to_owned())
            .filter(policy_bundles::developer_id.eq(developer.as_str().to_owned()))
            .select(policy_bundles::content);
        get!(self, String, query)
    }
}

#[async_trait]
impl PolicyWrites for ConnTx<'_> {
    async fn insert_policy(&mut self, policy: &Policy) -> Result<(), StoreError> {
        let insert = diesel::insert_into(policies::table).values(PolicyRow::from(policy));
        let count = insert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn update_policy(&mut self, policy: &Policy) -> Result<bool, StoreError> {
        let own = policies::table
            .find(policy.id.as_str())
            .filter(policies::developer_id.eq(policy.developer_id.as_str()));
        let update = diesel::update(own).set(PolicyChanges::from(policy));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn remove_policy(&mut self, developer: &DeveloperId, id: &PolicyId) -> Result<bool, StoreError> {
        let own = policies::table
            .find(id.as_str())
            .filter(policies::developer_id.eq(developer.as_str()));
        let count = diesel::delete(own).execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }

    async fn insert_policy_bundle(&mut self, bundle: &Bundle, content: &str) -> Result<(), StoreError> {
        let values = (BundleRow::from(bundle), policy_bundles::content.eq(content));
        let insert = diesel::insert_into(policy_bundles::table).values(values);
        let count = insert.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn deactivate_policy_bundle(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
    ) -> Result<(), StoreError> {
        let active = policy_bundles::table
            .filter(policy_bundles::developer_id.eq(developer.as_str()))
            .filter(policy_bundles::format.eq(format.as_str()))
            .filter(policy_bundles::is_active);
        let update = diesel::update(active).set(policy_bundles::is_active.eq(false));
        let count = update.execute(self.conn().await?).await;
        self.note(count).map(drop)
    }

    async fn remove_old_policy_bundles(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
        keep: u32,
    ) -> Result<u64, StoreError> {
        let idle = policy_bundles::table
            .filter(policy_bundles::developer_id.eq(developer.as_str()))
            .filter(policy_bundles::format.eq(format.as_str()))
            .filter(diesel::dsl::not(policy_bundles::is_active))
            .order((policy_bundles::created_at.desc(), policy_bundles::id.desc()))
            .offset(i64::from(keep))
            .limit(super::CHUNK as i64)
            .select(policy_bundles::id);
        let old = idle.load::<String>(self.conn().await?).await;
        let old = self.note(old)?;
        if old.is_empty() {
            return Ok(0);
        }
        let delete = diesel::delete(policy_bundles::table.filter(policy_bundles::id.eq_any(old)));
        let count = delete.execute(self.conn().await?).await;
        Ok(rows(self.note(count)?))
    }

    async fn advance_policy_version(&mut self, developer: &DeveloperId) -> Result<bool, StoreError> {
        let update = diesel::update(developers::table.find(developer.as_str()))
            .set(developers::policy_version.eq(developers::policy_version + 1));
        let count = update.execute(self.conn().await?).await;
        Ok(self.note(count)? == 1)
    }
}
