//! Looking at grants.

use crate::developer::Developer;
use crate::error::StoreError;
use crate::grant::{Grant, GrantStatus};
use crate::grantex::Grantex;
use crate::id::GrantId;
use crate::page::{Page, PageRequest};
use crate::store::Store;

/// Which grants are wanted; members combine with "and".
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct GrantFilter {
    /// Of this agent, by the id as the client wrote it.
    pub agent_id: Option<String>,
    /// Of this principal.
    pub principal_id: Option<String>,
    /// In this state at the time of the listing.
    pub status: Option<GrantStatus>,
}

impl<S: Store> Grantex<S> {
    /// A grant of this developer.
    pub async fn grant(&self, developer: &Developer, id: GrantId) -> Result<Option<Grant>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.grant(&developer, &id).await }))
            .await
    }

    /// A developer's grants, newest first, one page.
    pub async fn grants(
        &self,
        developer: &Developer,
        filter: GrantFilter,
        page: PageRequest,
    ) -> Result<Page<Grant>, StoreError> {
        let (developer, now) = (developer.id.clone(), self.now());
        self.store
            .read(move |tx| Box::pin(async move { tx.grants(&developer, &filter, &page, now).await }))
            .await
    }
}
