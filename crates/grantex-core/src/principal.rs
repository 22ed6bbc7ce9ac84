//! Principals: what a person may see and take back, in a session that their developer opened for them.

use serde_json::{Value, json};

use crate::audit::{AuditEntry, AuditFilter, Chain};
use crate::clock::{Lifetime, Timestamp};
use crate::context::Context;
use crate::developer::Developer;
use crate::error::StoreError;
use crate::grantex::Grantex;
use crate::id::DeveloperId;
use crate::secret::Secret;
use crate::store::{PrincipalGrant, Store};
use crate::token::signer::SignError;

/// The claim that tells session tokens from all others.
const PURPOSE: &str = "principal_dashboard";
/// No session lives longer; longer wishes are cut.
pub(crate) const MAX_SESSION: Lifetime = Lifetime::hours(24);
/// The most grants a principal is shown.
const MAX_GRANTS: u32 = 1_000;
/// The most audit entries a principal is shown.
const MAX_ENTRIES: u32 = 100;

/// Whose session it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// The developer who opened it; the principal sees this developer's grants only.
    pub developer_id: DeveloperId,
    /// The principal.
    pub principal_id: String,
}

/// A session as handed out.
#[derive(Debug, Clone)]
pub struct OpenedSession {
    /// The token: a bearer secret.
    pub token: Secret<String>,
    /// When it ends.
    pub expires_at: Timestamp,
}

/// Why no session was opened.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The principal has no grant in force under this developer.
    #[error("the principal has no active grant")]
    NoActiveGrant,
    /// The token could not be signed.
    #[error("signing the session token failed")]
    Signing(#[from] SignError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl<S: Store> Grantex<S> {
    /// Opens a session in which a principal can look at and revoke their grants. Lives 24 hours at most.
    pub async fn open_session(
        &self,
        _ctx: &Context,
        developer: &Developer,
        principal_id: String,
        lifetime: Lifetime,
    ) -> Result<OpenedSession, SessionError> {
        let now = self.now();
        let (id, principal) = (developer.id.clone(), principal_id.clone());
        let has_grant = self
            .store
            .read(move |tx| Box::pin(async move { tx.has_active_grant(&id, &principal, now).await }))
            .await?;
        if !has_grant {
            return Err(SessionError::NoActiveGrant);
        }
        let expires_at = now.plus(lifetime.min(MAX_SESSION)).floor_to_second();
        let payload = json!({
            "iss": self.parts.settings.issuer, "sub": principal_id, "dev": developer.id, "purpose": PURPOSE,
            "iat": now.as_seconds(), "exp": expires_at.as_seconds(),
        });
        Ok(OpenedSession {
            token: self.sign_session(&payload.to_string())?,
            expires_at,
        })
    }

    /// The session of a token; `None` for anything but an unexpired session token of this server.
    pub fn session(&self, token: &str) -> Option<Session> {
        let claims = self.open_session_token(token, PURPOSE)?;
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        Some(Session {
            developer_id: DeveloperId::parse(text("dev")?)?,
            principal_id: text("sub")?.to_owned(),
        })
    }

    /// The principal's grants in force, newest first.
    pub async fn principal_grants(&self, session: &Session) -> Result<Vec<PrincipalGrant>, StoreError> {
        let (session, now) = (session.clone(), self.now());
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    tx.grants_of_principal(&session.developer_id, &session.principal_id, now, MAX_GRANTS)
                        .await
                })
            })
            .await
    }

    /// What agents did for the principal, newest first, as far as the developer logged it.
    pub async fn principal_audit(&self, session: &Session) -> Result<Vec<AuditEntry>, StoreError> {
        let session = session.clone();
        let filter = AuditFilter {
            principal_id: Some(session.principal_id),
            ..AuditFilter::default()
        };
        self.store
            .read(move |tx| {
                Box::pin(async move {
                    tx.newest_audit_entries(&session.developer_id, Chain::Caller, &filter, MAX_ENTRIES)
                        .await
                })
            })
            .await
    }
}
