//! Keys as flows see them: one that signs, those that verify, and a seal for what is kept.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::biscuit::BiscuitKeys;
use crate::closed;
use crate::error::Cause;
use crate::secret::hex;

closed! {
    /// A JWS algorithm of this server (RFC 7518 §3).
    pub enum Algorithm {
        /// RSASSA-PKCS1-v1_5 with SHA-256.
        Rs256 = "RS256",
        /// ECDSA with P-256 and SHA-256.
        Es256 = "ES256",
    }
}

/// A signature could not be made.
#[derive(Debug, thiserror::Error)]
#[error("signing failed")]
pub struct SignError(#[source] pub Cause);

/// A private key.
pub trait Signer: Send + Sync + 'static {
    /// The `kid`: the RFC 7638 thumbprint of the public key.
    fn key_id(&self) -> &str;
    /// The algorithm.
    fn algorithm(&self) -> Algorithm;
    /// Signs; about 200 µs for RSA-2048.
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError>;
}

/// A public key.
pub trait Verifier: Send + Sync + 'static {
    /// The `kid`.
    fn key_id(&self) -> &str;
    /// The algorithm.
    fn algorithm(&self) -> Algorithm;
    /// Whether the signature is this key's.
    fn verify(&self, message: &[u8], signature: &[u8]) -> bool;
    /// The public JWK with `alg`, `use` and `kid`.
    fn jwk(&self) -> &Value;
}

/// Seals what is kept but must not be readable in the store.
pub trait Sealer: Send + Sync + 'static {
    /// Encrypts and authenticates, bound to `context`; base64 text.
    fn seal(&self, context: &str, plain: &[u8]) -> Result<String, SignError>;
    /// Opens what was sealed under the same `context`; `None` when it was not, or was changed.
    fn open(&self, context: &str, sealed: &str) -> Option<Vec<u8>>;
}

/// The keys in force: which one signs tokens, which one signs sessions, and all whose signatures are accepted.
#[derive(Clone)]
pub struct KeyRing {
    tokens: Arc<dyn Signer>,
    sessions: Arc<dyn Signer>,
    verifiers: HashMap<String, Arc<dyn Verifier>>,
    public: Vec<Value>,
    jwks: String,
    etag: String,
    biscuits: Option<Arc<dyn BiscuitKeys>>,
}

impl std::fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyRing")
            .field("signing", &self.tokens.key_id())
            .field("published", &self.verifiers.len())
            .finish()
    }
}

impl KeyRing {
    /// A ring. `verifiers` are published in the given order; each key once.
    pub fn new(tokens: Arc<dyn Signer>, sessions: Arc<dyn Signer>, verifiers: Vec<Arc<dyn Verifier>>) -> Self {
        let public: Vec<Value> = verifiers.iter().map(|key| key.jwk().clone()).collect();
        let jwks = json!({"keys": public}).to_string();
        let digest = hex(&Sha256::digest(jwks.as_bytes()));
        let etag = format!("\"{}\"", digest.get(..32).unwrap_or(&digest));
        let verifiers = verifiers
            .into_iter()
            .map(|key| (key.key_id().to_owned(), key))
            .collect();
        Self {
            tokens,
            sessions,
            verifiers,
            public,
            jwks,
            etag,
            biscuits: None,
        }
    }

    /// The same ring with root keys of Biscuits; without them there are no Biscuits.
    #[must_use]
    pub fn with_biscuits(mut self, biscuits: Option<Arc<dyn BiscuitKeys>>) -> Self {
        self.biscuits = biscuits;
        self
    }

    /// The root keys of Biscuits, if they are offered. They are not part of the JWK set, whose clients expect keys of JWTs.
    pub fn biscuits(&self) -> Option<&Arc<dyn BiscuitKeys>> {
        self.biscuits.as_ref()
    }

    /// Whether another ring signs and publishes the same: what a server asks that reads its keys again.
    pub fn is_same_as(&self, other: &Self) -> bool {
        let roots = |ring: &Self| {
            let biscuits = ring.biscuits.as_ref();
            biscuits.map(|biscuits| (biscuits.signing_kid().to_owned(), biscuits.published().to_vec()))
        };
        self.etag == other.etag
            && self.tokens.key_id() == other.tokens.key_id()
            && self.sessions.key_id() == other.sessions.key_id()
            && roots(self) == roots(other)
    }

    /// The key that signs grant tokens.
    pub fn token_signer(&self) -> &Arc<dyn Signer> {
        &self.tokens
    }

    /// The key that signs session tokens: always RS256.
    pub fn session_signer(&self) -> &Arc<dyn Signer> {
        &self.sessions
    }

    /// The public key with this `kid`.
    pub fn verifier(&self, key_id: &str) -> Option<&Arc<dyn Verifier>> {
        self.verifiers.get(key_id)
    }

    /// The JWK set as JSON text (RFC 7517 §5).
    pub fn jwks(&self) -> &str {
        &self.jwks
    }

    /// A strong entity tag of [`KeyRing::jwks`].
    pub fn jwks_etag(&self) -> &str {
        &self.etag
    }

    /// The published public keys.
    pub fn public_keys(&self) -> &[Value] {
        &self.public
    }
}
