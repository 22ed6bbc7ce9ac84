//! Tokens: exchanged, refreshed, asked about, revoked.

use grantex_core::clock::Timestamp;
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::TokenFormat;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::read::{optional_secret, optional_time, secret, time};
use super::{ApiError, Client, Repeat, parse};

/// A code to exchange.
#[derive(Debug, Clone)]
pub struct ExchangeRequest {
    code: Secret<String>,
    agent_id: String,
    code_verifier: Option<Secret<String>>,
    redirect_uri: Option<String>,
    format: TokenFormat,
}

impl ExchangeRequest {
    /// A code, and the agent of the request that it belongs to.
    pub fn new(code: Secret<String>, agent_id: impl Into<String>) -> Self {
        Self {
            code,
            agent_id: agent_id.into(),
            code_verifier: None,
            redirect_uri: None,
            format: TokenFormat::Jwt,
        }
    }

    /// The verifier of the request's code challenge (RFC 7636).
    #[must_use]
    pub fn code_verifier(mut self, verifier: Secret<String>) -> Self {
        self.code_verifier = Some(verifier);
        self
    }

    /// The redirect URI of the request; it is compared.
    #[must_use]
    pub fn redirect_uri(mut self, uri: impl Into<String>) -> Self {
        self.redirect_uri = Some(uri.into());
        self
    }

    /// What the token is to be made as; a JWT by default.
    #[must_use]
    pub const fn format(mut self, format: TokenFormat) -> Self {
        self.format = format;
        self
    }
}

/// A refresh token to exchange.
#[derive(Debug, Clone)]
pub struct RefreshRequest {
    refresh_token: Secret<String>,
    agent_id: String,
    idempotency_key: Option<String>,
}

impl RefreshRequest {
    /// A refresh token, and the agent that it was given to.
    pub fn new(refresh_token: Secret<String>, agent_id: impl Into<String>) -> Self {
        Self {
            refresh_token,
            agent_id: agent_id.into(),
            idempotency_key: None,
        }
    }

    /// A key of 16 to 256 characters under which the service repeats its answer for five minutes. By default each call has a new one; give
    /// your own to repeat a call that your program made before it was restarted.
    #[must_use]
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }
}

/// A grant's tokens.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Tokens {
    /// The access token: a JWT, or a Biscuit if that is all that was asked for.
    #[serde(deserialize_with = "secret")]
    pub grant_token: Secret<String>,
    /// The Biscuit, if both were asked for.
    #[serde(default, deserialize_with = "optional_secret")]
    pub biscuit_token: Option<Secret<String>>,
    /// When the token ends.
    #[serde(deserialize_with = "time")]
    pub expires_at: Timestamp,
    /// What it allows.
    pub scopes: Vec<String>,
    /// For new tokens of the same grant.
    #[serde(deserialize_with = "secret")]
    pub refresh_token: Secret<String>,
    /// The grant.
    pub grant_id: String,
}

/// Whether a token is good, and what it says if so.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
#[non_exhaustive]
pub struct Verdict {
    /// Whether it is good now.
    pub valid: bool,
    /// Its grant.
    #[serde(default)]
    pub grant_id: Option<String>,
    /// What it allows.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// Who consented.
    #[serde(default)]
    pub principal: Option<String>,
    /// Who acts, by DID.
    #[serde(default)]
    pub agent: Option<String>,
    /// When it ends.
    #[serde(default, deserialize_with = "optional_time")]
    pub expires_at: Option<Timestamp>,
    /// Whom it is for; told of Biscuits.
    #[serde(default)]
    pub audience: Option<String>,
}

/// An answer to RFC 7662's question.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Introspection {
    /// Whether the token is good now.
    pub active: bool,
    /// Everything that is told of it, under the names of RFC 7662 §2.2 and of the token's claims.
    #[serde(flatten)]
    pub members: Map<String, Value>,
}

impl Client {
    /// Exchanges an authorization code for a grant and its first tokens.
    ///
    /// # Errors
    /// [`ApiError`]. Never repeated: a code works once, so after an answer that was lost ask the principal again.
    pub async fn exchange(&self, request: &ExchangeRequest) -> Result<Tokens, ApiError> {
        let mut body = json!({
            "code": request.code.expose(), "agentId": request.agent_id, "tokenFormat": request.format.as_str(),
        });
        if let Some(members) = body.as_object_mut() {
            if let Some(verifier) = &request.code_verifier {
                members.insert("codeVerifier".into(), json!(verifier.expose()));
            }
            if let Some(uri) = &request.redirect_uri {
                members.insert("redirectUri".into(), json!(uri));
            }
        }
        self.post(&["v1", "token"], &body, Repeat::Unsafe).await
    }

    /// Exchanges a refresh token for new tokens of the same grant. Repeated safely, under an idempotency key.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn refresh(&self, request: &RefreshRequest) -> Result<Tokens, ApiError> {
        let key = request
            .idempotency_key
            .clone()
            .unwrap_or_else(|| self.idempotency_key());
        let body = json!({"refreshToken": request.refresh_token.expose(), "agentId": request.agent_id});
        let headers = [("idempotency-key", key.as_str())];
        let answer = self
            .send(&["v1", "token", "refresh"], &body, &headers, Repeat::Safe)
            .await?;
        parse(&answer)
    }

    /// Asks whether a token of either format is good now, by the authoritative store.
    ///
    /// # Errors
    /// [`ApiError`]; a token that is not good is no error.
    pub async fn verify_token(&self, token: &Secret<String>, audience: Option<&str>) -> Result<Verdict, ApiError> {
        let mut body = json!({"token": token.expose()});
        if let (Some(members), Some(audience)) = (body.as_object_mut(), audience) {
            members.insert("audience".into(), json!(audience));
        }
        self.post(&["v1", "tokens", "verify"], &body, Repeat::Safe).await
    }

    /// Asks the same in the form of RFC 7662, of access and refresh tokens.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn introspect(&self, token: &Secret<String>) -> Result<Introspection, ApiError> {
        let body = json!({"token": token.expose()});
        self.post(&["v1", "introspect"], &body, Repeat::Safe).await
    }

    /// Revokes a token that is at hand: an access token alone, of a Biscuit its last block, a refresh token with its grant (RFC 7009).
    ///
    /// # Errors
    /// [`ApiError`]; a token that is worth nothing already is no error.
    pub async fn revoke(&self, token: &Secret<String>) -> Result<(), ApiError> {
        let body = json!({"token": token.expose()});
        self.send(&["v1", "revoke"], &body, &[], Repeat::Safe).await.map(|_| ())
    }

    /// Revokes one token by its `jti`. Its grant stays, and a refresh token gives new ones.
    ///
    /// # Errors
    /// [`ApiError`]; 404 when there is no such token, or it is revoked already.
    pub async fn revoke_token(&self, token_id: &str) -> Result<(), ApiError> {
        self.revoke_by(&json!({"jti": token_id}), Repeat::Unsafe).await
    }

    /// Revokes a block of Biscuits, by its revocation id of 128 hexadecimal digits, with all that was derived from it.
    ///
    /// # Errors
    /// [`ApiError`].
    pub async fn revoke_block(&self, revocation_id: &str) -> Result<(), ApiError> {
        self.revoke_by(&json!({"revocationId": revocation_id}), Repeat::Safe)
            .await
    }

    async fn revoke_by(&self, body: &impl Serialize, repeat: Repeat) -> Result<(), ApiError> {
        self.send(&["v1", "tokens", "revoke"], body, &[], repeat)
            .await
            .map(|_| ())
    }
}
