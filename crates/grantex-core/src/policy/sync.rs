//! Bundles: taking them in, checked, and putting one in force.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use super::bundle::MAX_BUNDLE_BYTES;
use super::engine::BundleProblem;
use super::{Bundle, BundleFormat};
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::event::Event;
use crate::grantex::Grantex;
use crate::id::new_id;
use crate::secret::hex;
use crate::store::Store;

/// Bundles of one format that are kept beside the one in force, and the length of a listing.
const KEPT: u32 = 50;

/// The wish to store a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncBundle {
    /// What it is written in.
    pub format: BundleFormat,
    /// What its author calls this state of it.
    pub version: String,
    /// What it holds.
    pub content: Vec<u8>,
    /// How many files it was made of.
    pub file_count: u32,
    /// Whether it is to be in force.
    pub activate: bool,
}

/// A bundle that can be stored: made by [`Grantex::check_sync`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckedBundle(SyncBundle);

/// Why a bundle was not stored.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// It holds nothing, or too much.
    #[error("must hold 1 to {MAX_BUNDLE_BYTES} bytes")]
    Size,
    /// It cannot be evaluated; at least one problem.
    #[error("cannot be evaluated")]
    Invalid(Vec<BundleProblem>),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Grantex<S> {
    /// Stores a bundle and, if that is wanted, puts it in force in place of the one before, in one step. Of the bundles that are not in force the newest 50 of each
    /// format are kept.
    pub async fn sync_bundle(
        &self,
        ctx: &Context,
        developer: &Developer,
        CheckedBundle(command): CheckedBundle,
    ) -> Result<Bundle, BundleError> {
        let now = self.now();
        let bundle = Bundle {
            id: new_id(&*self.parts.random, now),
            developer_id: developer.id.clone(),
            format: command.format,
            version: command.version,
            sha256: hex(&Sha256::digest(&command.content)),
            file_count: command.file_count,
            is_active: command.activate,
            created_at: now,
        };
        let content = STANDARD.encode(&command.content);
        self.transact(ctx, Some(&developer.id), move |unit| {
            Box::pin(async move {
                unit.lock_head().await?;
                if bundle.is_active {
                    unit.tx
                        .deactivate_policy_bundle(&bundle.developer_id, bundle.format)
                        .await?;
                    unit.advance_policy_version().await?;
                }
                unit.tx.insert_policy_bundle(&bundle, &content).await?;
                unit.tx
                    .remove_old_policy_bundles(&bundle.developer_id, bundle.format, KEPT)
                    .await?;
                unit.record(Event::PolicyBundleStored {
                    bundle_id: bundle.id.clone(),
                    format: bundle.format,
                    sha256: bundle.sha256.clone(),
                    is_active: bundle.is_active,
                });
                Ok(bundle)
            })
        })
        .await
    }

    /// Checks a bundle before [`Grantex::sync_bundle`] stores it: Cedar is parsed and validated, which takes up to a second of computing
    /// for the largest bundles, so call it where that holds nobody up.
    ///
    /// # Errors
    /// [`BundleError::Size`] and [`BundleError::Invalid`].
    pub fn check_sync(&self, command: SyncBundle) -> Result<CheckedBundle, BundleError> {
        self.check_bundle(command.format, &command.content)?;
        Ok(CheckedBundle(command))
    }

    /// Checks a bundle as [`Grantex::check_sync`] does; returns what should be known of it although it works.
    ///
    /// # Errors
    /// [`BundleError::Size`] and [`BundleError::Invalid`].
    pub fn check_bundle(&self, format: BundleFormat, content: &[u8]) -> Result<Vec<BundleProblem>, BundleError> {
        if content.is_empty() || content.len() > MAX_BUNDLE_BYTES {
            return Err(BundleError::Size);
        }
        if !format.is_evaluated() {
            return Ok(Vec::new());
        }
        let text = std::str::from_utf8(content)
            .map_err(|_| BundleError::Invalid(vec![BundleProblem::of_all("is not UTF-8 text")]))?;
        let compiled = self.parts.policy_engine.compile(text).map_err(BundleError::Invalid)?;
        Ok(compiled.warnings().to_vec())
    }

    /// A developer's newest bundles, newest first, at most 50; of one format, or of all.
    pub async fn bundles(
        &self,
        developer: &Developer,
        format: Option<BundleFormat>,
    ) -> Result<Vec<Bundle>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.policy_bundles(&developer, format, KEPT).await }))
            .await
    }

    /// A developer's bundle in force.
    pub async fn active_bundle(
        &self,
        developer: &Developer,
        format: BundleFormat,
    ) -> Result<Option<Bundle>, StoreError> {
        let developer = developer.id.clone();
        self.store
            .read(move |tx| Box::pin(async move { tx.active_policy_bundle(&developer, format).await }))
            .await
    }
}
