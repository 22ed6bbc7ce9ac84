//! Root keys as the server publishes them, for those who verify without asking it.

use std::collections::HashMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use biscuit_auth::{Algorithm, PublicKey};
use grantex_core::token::biscuit::{ALGORITHM, Chain};
use serde_json::Value;

use crate::key_number;
use crate::open::Parsed;

/// Published root keys, by the number under which tokens name them.
#[derive(Debug, Clone, Default)]
pub struct PublicRootKeys(HashMap<u32, PublicKey>);

impl PublicRootKeys {
    /// Takes the Ed25519 keys of a JWK set (RFC 8037 §2); others, and those without a `kid`, are passed over.
    ///
    /// A key's number is computed of its `kid`. Where the set says another in `biscuitKeyId`, the key is not taken; two keys of one
    /// number are both refused, because nobody could say which is meant.
    pub fn read(keys: &[Value]) -> Self {
        let mut found: HashMap<u32, Option<PublicKey>> = HashMap::new();
        for (number, key) in keys.iter().filter_map(root_key) {
            found
                .entry(number)
                .and_modify(|twice| *twice = None)
                .or_insert(Some(key));
        }
        let single = found.into_iter().filter_map(|(number, key)| Some((number, key?)));
        Self(single.collect())
    }

    /// Whether there is a key of this number.
    pub fn holds(&self, number: u32) -> bool {
        self.0.contains_key(&number)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Checks form, limits and every signature of a token; `None` for whatever is not a token of these keys, or says something in a
    /// later block that is not understood and so cannot be enforced. Time, audience and revocation are the caller's to look at.
    ///
    /// Costs a signature for the first block and one for each later one.
    pub fn open(&self, token: &str) -> Option<Chain> {
        let parsed = Parsed::of(token)?;
        let key = self.0.get(&parsed.key_number()?)?;
        parsed.is_signed_by(*key).then(|| parsed.chain())?
    }
}

/// The number of a token's root key, of a token that nobody verified; `None` for what cannot be a token.
pub fn root_key_number(token: &str) -> Option<u32> {
    Parsed::of(token)?.key_number()
}

fn root_key(jwk: &Value) -> Option<(u32, PublicKey)> {
    let text = |name: &str| jwk.get(name).and_then(Value::as_str);
    let is_for_this = |name: &str, expected: &str| jwk.get(name).is_none_or(|said| said.as_str() == Some(expected));
    let is_root = text("kty") == Some("OKP")
        && text("crv") == Some("Ed25519")
        && is_for_this("alg", ALGORITHM)
        && is_for_this("use", "sig");
    let number = key_number(text("kid").filter(|kid| is_root && !kid.is_empty())?);
    let is_same = |said: &Value| said.as_u64() == Some(u64::from(number));
    jwk.get("biscuitKeyId").is_none_or(is_same).then_some(())?;
    let bytes = URL_SAFE_NO_PAD.decode(text("x")?).ok()?;
    Some((number, PublicKey::from_bytes(&bytes, Algorithm::Ed25519).ok()?))
}
