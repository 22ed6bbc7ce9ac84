//! Signing keys: made, imported, published, retired and removed.
//!
//! A new key is published as soon as it is stored and signs only after the activation delay, so that verifiers with a cached
//! key set know it by then. A superseded key stays published until the last token it signed has expired.
#![cfg(feature = "aws-lc")]

use std::sync::Arc;

use serde_json::Value;

use crate::clock::{Clock, Lifetime, Timestamp};
use crate::context::Admission;
use crate::error::StoreError;
use crate::principal::MAX_SESSION;
use crate::secret::Secret;
use crate::store::{KeyState, Store, StoredKey, UnitOptions};
use crate::token::biscuit::{self, BiscuitFormat, BiscuitKey, BiscuitKeys};
use crate::token::crypto::{KeyError, KeyPair};
use crate::token::signer::{Algorithm, KeyRing, Sealer, SignError, Signer, Verifier};

/// A token may have been signed right before the retirement of its key and be stored right after it. Sessions are not stored
/// at all, so a key is kept for as long as any session may live, too.
const RETIRED_AT_LEAST: Lifetime = Lifetime::minutes(5);

/// How keys are chosen and rotated.
#[derive(Debug, Clone, Copy)]
pub struct KeySettings {
    /// What signs grant tokens. With ES256 an RSA key is kept beside it, for session tokens.
    pub algorithm: Algorithm,
    /// How long a new key is published before it signs.
    pub activation_delay: Lifetime,
}

/// What came of an import.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imported {
    /// The key was added.
    Now,
    /// It was there already, and is left as it is.
    Before,
    /// It was there, was retired and removed, and stays removed.
    Removed,
}

/// Why keys could not be had.
#[derive(Debug, thiserror::Error)]
pub enum KeyManagerError {
    /// A key could not be made or read.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A key could not be sealed.
    #[error("sealing the signing key failed")]
    Seal(#[from] SignError),
    /// A stored key does not open: the master key is another one, or the row was changed.
    #[error("the signing key {kid} cannot be opened with this master key")]
    WrongMasterKey {
        /// The key.
        kid: String,
    },
    /// There is no active key of an algorithm that is needed.
    #[error("there is no active {algorithm} signing key")]
    NoActiveKey {
        /// The algorithm.
        algorithm: &'static str,
    },
    /// The key is unknown or not active.
    #[error("there is no active signing key {kid}")]
    UnknownKey {
        /// The key.
        kid: String,
    },
    /// The last key that can sign cannot be retired.
    #[error("{kid} is the only key that can sign now; rotate first and wait for the new key to be active")]
    LastKey {
        /// The key.
        kid: String,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Makes, loads and retires the signing keys of a store.
#[derive(Clone)]
pub struct KeyManager<S: Store> {
    store: S,
    sealer: Arc<dyn Sealer>,
    clock: Arc<dyn Clock>,
    settings: KeySettings,
    biscuits: Option<Arc<dyn BiscuitFormat>>,
}

impl<S: Store> KeyManager<S> {
    /// A manager over a store.
    pub fn new(store: S, sealer: Arc<dyn Sealer>, clock: Arc<dyn Clock>, settings: KeySettings) -> Self {
        Self {
            store,
            sealer,
            clock,
            settings,
            biscuits: None,
        }
    }

    /// Keeps root keys of Biscuits as well: made, rotated and removed like the others.
    #[must_use]
    pub fn with_biscuits(mut self, format: impl BiscuitFormat) -> Self {
        self.biscuits = Some(Arc::new(format));
        self
    }

    /// Makes the first keys where there are none. Of several servers that start at once, one wins and the others use its keys.
    ///
    /// The first key of all signs at once. Where other keys are published already, verifiers may have cached them, so that the
    /// first key of another algorithm waits like any new key; RS256 signs in the meantime.
    pub async fn ensure(&self) -> Result<(), KeyManagerError> {
        let active = self.in_state(KeyState::Active).await?;
        for algorithm in self.needed() {
            if !active.iter().any(|key| key.algorithm == algorithm.as_str()) {
                let (pair, der) = KeyPair::generate(algorithm)?;
                self.insert(&pair, &der, self.activation(&active), true).await?;
            }
        }
        // Root keys of Biscuits are published in a place of their own, so nobody knows an older set without the first one.
        if self.biscuits.is_some() && !active.iter().any(|key| key.algorithm == biscuit::ALGORITHM) {
            self.insert_biscuit_key(&BiscuitKey::generate()?, self.clock.now(), true)
                .await?;
        }
        Ok(())
    }

    /// When a new key may sign: at once only if no other is published.
    fn activation(&self, active: &[StoredKey]) -> Timestamp {
        let now = self.clock.now();
        if !active.iter().any(|key| key.algorithm != biscuit::ALGORITHM) {
            now
        } else {
            now.plus(self.settings.activation_delay)
        }
    }

    /// The keys in force now: of the active keys of the algorithm, the newest whose activation has come signs.
    pub async fn ring(&self) -> Result<KeyRing, KeyManagerError> {
        let stored = self.list().await?;
        let mut pairs = Vec::with_capacity(stored.len());
        for key in stored.iter().filter(|key| key.algorithm != biscuit::ALGORITHM) {
            pairs.push(Arc::new(self.open(key)?));
        }
        let now = self.clock.now();
        let signer = |kid: Option<String>, algorithm: Algorithm| -> Result<Arc<dyn Signer>, KeyManagerError> {
            let pair = pairs
                .iter()
                .find(|pair| kid.as_deref() == Some(Signer::key_id(&***pair)))
                .cloned();
            Ok(pair.ok_or(KeyManagerError::NoActiveKey {
                algorithm: algorithm.as_str(),
            })?)
        };
        let tokens = signer(self.token_key(&stored, now), self.settings.algorithm)?;
        let sessions = signer(signing_key(&stored, Algorithm::Rs256.as_str(), now), Algorithm::Rs256)?;
        let verifiers = pairs.iter().map(|pair| Arc::clone(pair) as Arc<dyn Verifier>).collect();
        Ok(KeyRing::new(tokens, sessions, verifiers).with_biscuits(self.biscuit_keys(&stored, now)?))
    }

    fn biscuit_keys(
        &self,
        stored: &[StoredKey],
        now: Timestamp,
    ) -> Result<Option<Arc<dyn BiscuitKeys>>, KeyManagerError> {
        let signing = signing_key(stored, biscuit::ALGORITHM, now);
        let (Some(format), Some(signing)) = (&self.biscuits, signing) else {
            return Ok(None);
        };
        let ours = stored.iter().filter(|key| key.algorithm == biscuit::ALGORITHM);
        let keys: Result<Vec<BiscuitKey>, KeyManagerError> =
            ours.map(|key| Ok(BiscuitKey::from_seed(self.unseal(key)?)?)).collect();
        Ok(Some(format.keys(&keys?, &signing)?))
    }

    /// Every stored key, oldest first.
    pub async fn list(&self) -> Result<Vec<StoredKey>, StoreError> {
        self.store
            .read(|tx| Box::pin(async move { tx.signing_keys().await }))
            .await
    }

    /// The `kid` that signs grant tokens at this moment.
    pub async fn signing_kid(&self) -> Result<Option<String>, StoreError> {
        Ok(self.token_key(&self.list().await?, self.clock.now()))
    }

    /// The key that signs grant tokens: one of the algorithm whose time has come, else RS256's, else whatever there is.
    fn token_key(&self, keys: &[StoredKey], now: Timestamp) -> Option<String> {
        active_key(keys, self.settings.algorithm.as_str(), now)
            .or_else(|| active_key(keys, Algorithm::Rs256.as_str(), now))
            .or_else(|| signing_key(keys, self.settings.algorithm.as_str(), now))
    }

    /// Makes a new key; it signs after the activation delay.
    pub async fn rotate(&self) -> Result<StoredKey, KeyManagerError> {
        let (pair, der) = KeyPair::generate(self.settings.algorithm)?;
        let activates_at = self.clock.now().plus(self.settings.activation_delay);
        let (key, _) = self.insert(&pair, &der, activates_at, false).await?;
        Ok(key)
    }

    /// Makes a new root key of Biscuits; it signs after the activation delay. `None` without Biscuits.
    pub async fn rotate_biscuits(&self) -> Result<Option<StoredKey>, KeyManagerError> {
        if self.biscuits.is_none() {
            return Ok(None);
        }
        let activates_at = self.clock.now().plus(self.settings.activation_delay);
        let key = self
            .insert_biscuit_key(&BiscuitKey::generate()?, activates_at, false)
            .await?;
        Ok(Some(key))
    }

    /// The `kid` that signs Biscuits at this moment.
    pub async fn biscuit_signing_kid(&self) -> Result<Option<String>, StoreError> {
        Ok(signing_key(&self.list().await?, biscuit::ALGORITHM, self.clock.now()))
    }

    /// Imports an RSA or P-256 key (PKCS#8 PEM). Idempotent: a key that is there already is left as it is, and one that was
    /// removed stays so, whichever server removed it; a key that leaked must not come back because a variable was left set.
    ///
    /// The first key of all signs at once, a later one after the activation delay.
    pub async fn import(&self, pem: &Secret<String>) -> Result<(String, Imported), KeyManagerError> {
        let der = KeyPair::pem_to_pkcs8(pem.expose())?;
        let pair = match KeyPair::from_pkcs8(Algorithm::Rs256, &der) {
            Err(KeyError::Malformed) => KeyPair::from_pkcs8(Algorithm::Es256, &der)?,
            other => other?,
        };
        let activates_at = self.activation(&self.in_state(KeyState::Active).await?);
        let (key, is_new) = self.insert(&pair, &der, activates_at, false).await?;
        if is_new {
            return Ok((key.kid, Imported::Now));
        }
        let kid = key.kid.clone();
        let read = self
            .store
            .read(move |tx| Box::pin(async move { tx.was_signing_key_removed(&kid).await }));
        let is_removed: Result<bool, StoreError> = read.await;
        let outcome = if is_removed? {
            Imported::Removed
        } else {
            Imported::Before
        };
        Ok((key.kid, outcome))
    }

    /// Retires a key: it signs no more, and stays published until the last token it signed has expired. The last key that
    /// can sign is kept, unless nothing is signed with its algorithm any more.
    pub async fn retire(&self, kid: &str) -> Result<(), KeyManagerError> {
        let now = self.clock.now();
        let keys = self.list().await?;
        let key = keys.iter().find(|key| key.kid == kid && key.state == KeyState::Active);
        let key = key.ok_or_else(|| KeyManagerError::UnknownKey { kid: kid.to_owned() })?;
        let can_sign = |other: &&StoredKey| {
            other.state == KeyState::Active
                && other.algorithm == key.algorithm
                && other.kid != kid
                && other.activates_at <= now
        };
        let is_needed = self
            .needed()
            .iter()
            .any(|algorithm| algorithm.as_str() == key.algorithm)
            || (self.biscuits.is_some() && key.algorithm == biscuit::ALGORITHM);
        if is_needed && !keys.iter().any(|other| can_sign(&other)) {
            return Err(KeyManagerError::LastKey { kid: kid.to_owned() });
        }
        self.set_retired(kid, now).await?;
        Ok(())
    }

    /// Retires keys that a newer active one has superseded, and removes retired keys without a live token. Returns the kids of
    /// removed keys.
    pub async fn prune(&self) -> Result<Vec<String>, KeyManagerError> {
        let now = self.clock.now();
        let keys = self.list().await?;
        for algorithm in [Algorithm::Rs256.as_str(), Algorithm::Es256.as_str(), biscuit::ALGORITHM] {
            let Some(signing) = signing_key(&keys, algorithm, now) else {
                continue;
            };
            let signs_since = keys.iter().find(|key| key.kid == signing).map(|key| key.activates_at);
            for key in keys
                .iter()
                .filter(|key| key.state == KeyState::Active && key.algorithm == algorithm)
            {
                // Replicas re-read their keys within seconds; until then they may still sign with the old one.
                let is_superseded = key.kid != signing && signs_since.is_some_and(|since| key.activates_at <= since);
                if is_superseded && signs_since.is_some_and(|since| since.plus(Lifetime::minutes(1)) < now) {
                    self.set_retired(&key.kid, now).await?;
                }
            }
        }
        let mut removed = Vec::new();
        for key in self.in_state(KeyState::Retired).await? {
            let is_settled = key
                .retired_at
                .is_some_and(|at| at.plus(RETIRED_AT_LEAST).plus(MAX_SESSION) < now);
            if is_settled && self.remove_if_unused(&key.kid, now).await? {
                removed.push(key.kid);
            }
        }
        Ok(removed)
    }

    async fn remove_if_unused(&self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let id = kid.to_owned();
        let is_live = self
            .store
            .read(move |tx| Box::pin(async move { tx.has_live_token(&id, now).await }))
            .await?;
        if is_live {
            return Ok(false);
        }
        let id = kid.to_owned();
        self.store
            .transact(job(), move |tx| {
                Box::pin(async move { tx.remove_signing_key(&id, now).await })
            })
            .await
    }

    async fn set_retired(&self, kid: &str, now: Timestamp) -> Result<bool, StoreError> {
        let id = kid.to_owned();
        self.store
            .transact(job(), move |tx| {
                Box::pin(async move { tx.retire_signing_key(&id, now).await })
            })
            .await
    }

    async fn in_state(&self, state: KeyState) -> Result<Vec<StoredKey>, StoreError> {
        self.store
            .read(move |tx| Box::pin(async move { tx.signing_keys_in(state).await }))
            .await
    }

    async fn insert(
        &self,
        pair: &KeyPair,
        der: &Secret<Vec<u8>>,
        activates_at: Timestamp,
        is_first: bool,
    ) -> Result<(StoredKey, bool), KeyManagerError> {
        let (kid, algorithm) = (Signer::key_id(pair), Signer::algorithm(pair).as_str());
        self.store_key(kid, algorithm, der, pair.jwk(), activates_at, is_first)
            .await
    }

    async fn insert_biscuit_key(
        &self,
        key: &BiscuitKey,
        activates_at: Timestamp,
        is_first: bool,
    ) -> Result<StoredKey, KeyManagerError> {
        let stored = self.store_key(
            &key.kid,
            biscuit::ALGORITHM,
            &key.seed,
            &key.jwk,
            activates_at,
            is_first,
        );
        Ok(stored.await?.0)
    }

    async fn store_key(
        &self,
        kid: &str,
        algorithm: &str,
        private: &Secret<Vec<u8>>,
        jwk: &Value,
        activates_at: Timestamp,
        is_first: bool,
    ) -> Result<(StoredKey, bool), KeyManagerError> {
        let kid = kid.to_owned();
        let key = StoredKey {
            algorithm: algorithm.to_owned(),
            sealed_private_key: self.sealer.seal(&seal_context(&kid), private.expose())?,
            public_jwk: jwk.to_string(),
            state: KeyState::Active,
            created_at: self.clock.now(),
            activates_at,
            retired_at: None,
            kid,
        };
        let row = key.clone();
        let is_new = self
            .store
            .transact(job(), move |tx| {
                Box::pin(async move { tx.insert_signing_key(&row, is_first).await })
            })
            .await?;
        Ok((key, is_new))
    }

    fn open(&self, key: &StoredKey) -> Result<KeyPair, KeyManagerError> {
        let wrong = || KeyManagerError::WrongMasterKey { kid: key.kid.clone() };
        let der = self.unseal(key)?;
        let algorithm = Algorithm::parse(&key.algorithm).ok_or_else(wrong)?;
        Ok(KeyPair::from_pkcs8(algorithm, &der)?)
    }

    fn unseal(&self, key: &StoredKey) -> Result<Secret<Vec<u8>>, KeyManagerError> {
        let opened = self.sealer.open(&seal_context(&key.kid), &key.sealed_private_key);
        opened
            .map(Secret::new)
            .ok_or_else(|| KeyManagerError::WrongMasterKey { kid: key.kid.clone() })
    }

    /// Session tokens are always RS256, and a key set without an RSA key would break older clients.
    fn needed(&self) -> Vec<Algorithm> {
        match self.settings.algorithm {
            Algorithm::Rs256 => vec![Algorithm::Rs256],
            Algorithm::Es256 => vec![Algorithm::Rs256, Algorithm::Es256],
        }
    }
}

fn job() -> UnitOptions {
    UnitOptions {
        developer: None,
        admission: Admission::default(),
    }
}

fn seal_context(kid: &str) -> String {
    format!("signing-key:{kid}")
}

fn active<'k>(keys: &'k [StoredKey], algorithm: &'k str) -> impl Iterator<Item = &'k StoredKey> {
    keys.iter()
        .filter(move |key| key.state == KeyState::Active && key.algorithm == algorithm)
}

/// The newest active key whose time has come.
fn active_key(keys: &[StoredKey], algorithm: &str, now: Timestamp) -> Option<String> {
    let in_time = active(keys, algorithm).filter(|key| key.activates_at <= now);
    in_time
        .max_by_key(|key| (key.activates_at, &key.kid))
        .map(|key| key.kid.clone())
}

/// The newest active key whose time has come; before any has, the oldest.
fn signing_key(keys: &[StoredKey], algorithm: &str, now: Timestamp) -> Option<String> {
    let oldest = || {
        active(keys, algorithm)
            .min_by_key(|key| (key.activates_at, &key.kid))
            .map(|key| key.kid.clone())
    };
    active_key(keys, algorithm, now).or_else(oldest)
}
