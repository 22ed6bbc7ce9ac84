//! Grants as Biscuits: core's [`BiscuitFormat`], with the Biscuit library.
//!
//! The first block of a token says what the grant allows, in the facts of [`words`]. Whoever holds the token may append blocks
//! without asking, and each of them may only take away: a scope, time, an audience, an amount, or the freedom to be anybody.
//! What a later block may say is a short list of forms (module `read`), each of them a check that any Biscuit verifier enforces, or
//! a fact that grants nothing. Here the forms are recognised and never executed: a block that says anything else makes the
//! token worthless to this server, so no rule is left unenforced, and no Datalog of a stranger runs.
//!
//! Tokens are measured before they are decoded ([`outline`]), and signatures are checked before any block is read.

mod mint;
pub mod narrow;
mod open;
pub mod outline;
mod public;
mod read;
pub mod words;

use std::sync::Arc;

use biscuit_auth::{Algorithm, KeyPair, PrivateKey, PublicKey};
use grantex_core::secret::Secret;
use grantex_core::token::biscuit::{BiscuitFormat, BiscuitKey, BiscuitKeys, Chain, Root};
use grantex_core::token::signer::SignError;
use grantex_core::token::verified::VerifiedTokens;
use open::Parsed;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

pub use public::{PublicRootKeys, root_key_number};

/// The format; remembers good signatures over changes of keys.
#[derive(Default)]
pub struct Biscuits {
    verified: Arc<VerifiedTokens>,
}

/// Root keys, parsed.
struct Keys {
    signing: RootKey,
    all: Vec<RootKey>,
    published: Vec<Value>,
    verified: Arc<VerifiedTokens>,
}

#[derive(Clone)]
struct RootKey {
    kid: String,
    number: u32,
    pair: Arc<KeyPair>,
    public: PublicKey,
}

/// The number by which a token names its root key: four bytes of the SHA-256 of the key's `kid`.
pub fn key_number(kid: &str) -> u32 {
    let digest: [u8; 32] = Sha256::digest(kid.as_bytes()).into();
    u32::from_be_bytes([digest[0], digest[1], digest[2], digest[3]])
}

impl BiscuitFormat for Biscuits {
    fn keys(&self, keys: &[BiscuitKey], signing: &str) -> Result<Arc<dyn BiscuitKeys>, SignError> {
        let all = keys.iter().map(RootKey::parse).collect::<Result<Vec<_>, SignError>>()?;
        let found = all.iter().find(|key| key.kid == signing).cloned();
        let published = keys.iter().map(|key| {
            let mut jwk = key.jwk.clone();
            if let Some(members) = jwk.as_object_mut() {
                members.insert("biscuitKeyId".to_owned(), json!(key_number(&key.kid)));
            }
            jwk
        });
        Ok(Arc::new(Keys {
            signing: found.ok_or_else(|| SignError("there is no such root key".into()))?,
            published: published.collect(),
            all,
            verified: Arc::clone(&self.verified),
        }))
    }
}

impl RootKey {
    fn parse(key: &BiscuitKey) -> Result<Self, SignError> {
        let private = PrivateKey::from_bytes(key.seed.expose(), Algorithm::Ed25519)
            .map_err(|error| SignError(Box::new(error)))?;
        let pair = KeyPair::from(&private);
        Ok(Self {
            kid: key.kid.clone(),
            number: key_number(&key.kid),
            public: pair.public(),
            pair: Arc::new(pair),
        })
    }
}

impl BiscuitKeys for Keys {
    fn signing_kid(&self) -> &str {
        &self.signing.kid
    }

    fn mint(&self, root: &Root) -> Result<Secret<String>, SignError> {
        mint::mint(&self.signing, root).map_err(|error| SignError(Box::new(error)))
    }

    fn open(&self, token: &str) -> Option<Chain> {
        let parsed = Parsed::of(token)?;
        let key = self.all.iter().find(|key| Some(key.number) == parsed.key_number())?;
        // The key is part of what is remembered: the number that the token holds is shorter than a key's thumbprint.
        let remembered = format!("{} {token}", key.kid);
        let is_authentic = self.verified.check(&remembered, || parsed.is_signed_by(key.public));
        is_authentic.then(|| parsed.chain())?
    }

    fn published(&self) -> &[Value] {
        &self.published
    }
}
