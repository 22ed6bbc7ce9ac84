//! Accounts: signing up, presenting a key, replacing it, changing the plan.

use crate::clock::Timestamp;
use crate::context::Context;
use crate::developer::{Developer, Mode};
use crate::error::StoreError;
use crate::event::Event;
use crate::grantex::Grantex;
use crate::id::{DeveloperId, new_id, new_secret};
use crate::plan::Plan;
use crate::secret::{Secret, SecretHash};
use crate::store::Store;

/// Keys are this long at least; shorter ones are refused without a look into the store.
const MIN_KEY_LENGTH: usize = 16;
/// Keys are this long at most.
const MAX_KEY_LENGTH: usize = 512;

/// The wish for an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signup {
    /// Name.
    pub name: String,
    /// E-mail, trimmed and in lower case.
    pub email: Option<String>,
    /// Live or sandbox.
    pub mode: Mode,
}

/// A new account.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct SignedUp {
    /// The developer.
    pub developer: Developer,
    /// The API key: shown here and never again.
    pub api_key: Secret<String>,
}

/// Why there is no new account.
#[derive(Debug, thiserror::Error)]
pub enum SignupError {
    /// Another account has this e-mail.
    #[error("an account with this e-mail exists")]
    EmailTaken,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A replaced key.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RotatedKey {
    /// The new API key: shown here and never again.
    pub api_key: Secret<String>,
    /// When the old one stopped working.
    pub rotated_at: Timestamp,
}

/// Why a key was not replaced.
#[derive(Debug, thiserror::Error)]
pub enum RotateKeyError {
    /// The presented key was replaced meanwhile.
    #[error("the API key was already replaced")]
    Stale,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why a plan was not set.
#[derive(Debug, thiserror::Error)]
pub enum SetPlanError {
    /// There is no such developer.
    #[error("there is no such developer")]
    UnknownDeveloper,
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Grantex<S> {
    /// Makes an account. It works at once.
    pub async fn signup(&self, ctx: &Context, command: Signup) -> Result<SignedUp, SignupError> {
        let api_key = new_secret(&*self.parts.random, command.mode.key_prefix());
        self.signup_with_key(ctx, command, api_key).await
    }

    /// Makes an account with a key that the operator chose.
    pub async fn signup_with_key(
        &self,
        ctx: &Context,
        command: Signup,
        api_key: Secret<String>,
    ) -> Result<SignedUp, SignupError> {
        let now = self.now();
        let developer = Developer {
            id: new_id(&*self.parts.random, now),
            name: command.name,
            email: command.email,
            mode: command.mode,
            plan: self.parts.settings.default_plan,
            fido_rp_name: None,
            policy_version: 0,
            created_at: now,
        };
        let (row, key_hash) = (developer.clone(), api_key.sha256());
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                if !unit.tx.insert_developer(&row, &key_hash).await? {
                    return Err(SignupError::EmailTaken);
                }
                unit.record(Event::DeveloperSignedUp { developer_id: row.id });
                Ok(())
            })
        })
        .await?;
        Ok(SignedUp { developer, api_key })
    }

    /// The developer whose API key this is. One point read; a key of impossible length costs none.
    pub async fn authenticate(&self, key: &str) -> Result<Option<Developer>, StoreError> {
        if !(MIN_KEY_LENGTH..=MAX_KEY_LENGTH).contains(&key.len()) {
            return Ok(None);
        }
        self.store.developer_by_key(SecretHash::of(key)).await
    }

    /// A developer by id: for programs that know their callers by other means than API keys. One point read.
    pub async fn developer(&self, id: DeveloperId) -> Result<Option<Developer>, StoreError> {
        self.store
            .read(move |tx| Box::pin(async move { tx.developer(&id).await }))
            .await
    }

    /// Replaces the API key. The old one stops working with the commit.
    pub async fn rotate_api_key(
        &self,
        ctx: &Context,
        developer: &Developer,
        presented: &Secret<String>,
    ) -> Result<RotatedKey, RotateKeyError> {
        let api_key = new_secret(&*self.parts.random, developer.mode.key_prefix());
        let (id, old, new) = (developer.id.clone(), presented.sha256(), api_key.sha256());
        let rotated_at = self
            .transact(ctx, None, move |unit| {
                Box::pin(async move {
                    if !unit.tx.replace_api_key(&id, &old, &new).await? {
                        return Err(RotateKeyError::Stale);
                    }
                    unit.record(Event::ApiKeyRotated { developer_id: id });
                    Ok(unit.now)
                })
            })
            .await?;
        Ok(RotatedKey { api_key, rotated_at })
    }

    /// Sets a developer's plan.
    pub async fn set_plan(&self, ctx: &Context, id: DeveloperId, plan: Plan) -> Result<(), SetPlanError> {
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                unit.tx
                    .set_plan(&id, plan)
                    .await?
                    .then_some(())
                    .ok_or(SetPlanError::UnknownDeveloper)
            })
        })
        .await
    }

    /// Sets the name under which passkeys would be registered.
    pub async fn set_fido_rp_name(&self, ctx: &Context, developer: &Developer, name: String) -> Result<(), StoreError> {
        let id = developer.id.clone();
        self.transact(ctx, None, move |unit| {
            Box::pin(async move {
                unit.tx.set_fido_rp_name(&id, &name).await?;
                Ok(())
            })
        })
        .await
    }

    /// The sum of all developers' counted active grants.
    pub async fn total_active_grants(&self) -> Result<i64, StoreError> {
        self.store
            .read(|tx| Box::pin(async move { tx.total_active_grants().await }))
            .await
    }

    /// Whether nobody has signed up yet.
    pub async fn has_no_developer(&self) -> Result<bool, StoreError> {
        self.store
            .read(|tx| Box::pin(async move { tx.has_no_developer().await }))
            .await
    }
}
