use async_trait::async_trait;
use grantex_core::error::StoreError;
use grantex_core::id::DeveloperId;
use grantex_core::store::{DeveloperHead, Ledger, LedgerWrites};

use super::ConnTx;

#[async_trait]
impl LedgerWrites for ConnTx<'_> {
    async fn lock_head(&mut self, developer: &DeveloperId) -> Result<Option<DeveloperHead>, StoreError> {
        super::super::lock_head(self, developer).await
    }

    async fn write_ledger(&mut self, ledger: &Ledger) -> Result<(), StoreError> {
        super::super::write_ledger(self, ledger).await
    }
}
