//! The ports of policies and bundles.

use std::cmp::Reverse;

use async_trait::async_trait;

use super::state::{State, count, cut, index};
use super::writes::unique;
use crate::error::StoreError;
use crate::id::{BundleId, DeveloperId, PolicyId};
use crate::page::{Cursor, Page, PageRequest};
use crate::policy::{Bundle, BundleFormat, Policy};
use crate::store::{PolicyReads, PolicyTotals, PolicyWrites};

fn place(policy: &Policy) -> (Reverse<i64>, &str) {
    (Reverse(i64::from(policy.rule.priority)), policy.id.as_str())
}

#[async_trait]
impl PolicyReads for State {
    async fn policy(&mut self, developer: &DeveloperId, id: &PolicyId) -> Result<Option<Policy>, StoreError> {
        Ok(self.policies_of(developer).find(|policy| policy.id == *id).cloned())
    }

    async fn policies(&mut self, developer: &DeveloperId, page: &PageRequest) -> Result<Page<Policy>, StoreError> {
        let mut policies: Vec<&Policy> = self.policies_of(developer).collect();
        policies.sort_by(|a, b| place(a).cmp(&place(b)));
        let start = page.after();
        let is_behind =
            |policy: &&Policy| start.is_none_or(|cursor| place(policy) > (Reverse(cursor.at), cursor.id.as_str()));
        Ok(cut(policies.into_iter().filter(is_behind), page, |policy| Cursor {
            at: i64::from(policy.rule.priority),
            id: policy.id.to_string(),
        }))
    }

    async fn all_policies(&mut self, developer: &DeveloperId) -> Result<Vec<Policy>, StoreError> {
        Ok(self.policies_of(developer).cloned().collect())
    }

    async fn policy_totals(&mut self, developer: &DeveloperId) -> Result<PolicyTotals, StoreError> {
        Ok(PolicyTotals {
            count: count(self.policies_of(developer).count()),
            weight: self.policies_of(developer).map(Policy::weight).sum(),
        })
    }

    async fn policy_version(&mut self, developer: &DeveloperId) -> Result<i64, StoreError> {
        Ok(self
            .developers
            .get(developer)
            .map_or(0, |row| row.developer.policy_version))
    }

    async fn policy_bundles(
        &mut self,
        developer: &DeveloperId,
        format: Option<BundleFormat>,
        limit: u32,
    ) -> Result<Vec<Bundle>, StoreError> {
        let mut bundles: Vec<&Bundle> = self.bundles_of(developer).collect();
        bundles.retain(|bundle| format.is_none_or(|format| bundle.format == format));
        bundles.sort_by(|a, b| (b.created_at, &b.id).cmp(&(a.created_at, &a.id)));
        Ok(bundles.into_iter().take(index(limit)).cloned().collect())
    }

    async fn active_policy_bundle(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
    ) -> Result<Option<Bundle>, StoreError> {
        let mut bundles = self.bundles_of(developer);
        Ok(bundles
            .find(|bundle| bundle.format == format && bundle.is_active)
            .cloned())
    }

    async fn policy_bundle_content(
        &mut self,
        developer: &DeveloperId,
        id: &BundleId,
    ) -> Result<Option<String>, StoreError> {
        let found = self
            .bundles
            .get(id)
            .filter(|(bundle, _)| bundle.developer_id == *developer);
        Ok(found.map(|(_, content)| content.clone()))
    }
}

impl State {
    fn policies_of<'a>(&'a self, developer: &'a DeveloperId) -> impl Iterator<Item = &'a Policy> {
        self.policies
            .values()
            .filter(move |policy| policy.developer_id == *developer)
    }

    fn bundles_of<'a>(&'a self, developer: &'a DeveloperId) -> impl Iterator<Item = &'a Bundle> {
        self.bundles
            .values()
            .map(|(bundle, _)| bundle)
            .filter(move |bundle| bundle.developer_id == *developer)
    }
}

#[async_trait]
impl PolicyWrites for State {
    async fn insert_policy(&mut self, policy: &Policy) -> Result<(), StoreError> {
        unique(self.policies.contains_key(&policy.id), "policy id")?;
        self.policies.insert(policy.id.clone(), policy.clone());
        Ok(())
    }

    async fn update_policy(&mut self, policy: &Policy) -> Result<bool, StoreError> {
        let is_own = |row: &&mut Policy| row.developer_id == policy.developer_id;
        let Some(row) = self.policies.get_mut(&policy.id).filter(is_own) else {
            return Ok(false);
        };
        *row = Policy {
            created_at: row.created_at,
            ..policy.clone()
        };
        Ok(true)
    }

    async fn remove_policy(&mut self, developer: &DeveloperId, id: &PolicyId) -> Result<bool, StoreError> {
        if self
            .policies
            .get(id)
            .is_none_or(|policy| policy.developer_id != *developer)
        {
            return Ok(false);
        }
        self.policies.remove(id);
        Ok(true)
    }

    async fn insert_policy_bundle(&mut self, bundle: &Bundle, content: &str) -> Result<(), StoreError> {
        unique(self.bundles.contains_key(&bundle.id), "bundle id")?;
        let is_rival = |other: &Bundle| other.format == bundle.format && other.is_active;
        let is_taken = bundle.is_active && self.bundles_of(&bundle.developer_id).any(is_rival);
        unique(is_taken, "active bundle of a format")?;
        self.bundles
            .insert(bundle.id.clone(), (bundle.clone(), content.to_owned()));
        Ok(())
    }

    async fn deactivate_policy_bundle(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
    ) -> Result<(), StoreError> {
        let bundles = self.bundles.values_mut().map(|(bundle, _)| bundle);
        bundles
            .filter(|bundle| bundle.developer_id == *developer && bundle.format == format)
            .for_each(|bundle| bundle.is_active = false);
        Ok(())
    }

    async fn remove_old_policy_bundles(
        &mut self,
        developer: &DeveloperId,
        format: BundleFormat,
        keep: u32,
    ) -> Result<u64, StoreError> {
        let newest = self.policy_bundles(developer, Some(format), u32::MAX).await?;
        let idle = newest.into_iter().filter(|bundle| !bundle.is_active);
        let old: Vec<BundleId> = idle.skip(index(keep)).map(|bundle| bundle.id).collect();
        old.iter().for_each(|id| drop(self.bundles.remove(id)));
        Ok(count(old.len()))
    }

    async fn advance_policy_version(&mut self, developer: &DeveloperId) -> Result<bool, StoreError> {
        let Some(row) = self.developers.get_mut(developer) else {
            return Ok(false);
        };
        row.developer.policy_version += 1;
        Ok(true)
    }
}
