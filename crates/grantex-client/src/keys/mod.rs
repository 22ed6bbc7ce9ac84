//! Keys of the service: what its key sets hold, and when they are fetched.

mod cache;

use std::collections::HashMap;
use std::sync::Arc;

use grantex_core::token::public_key::PublicKey;
use grantex_core::token::signer::Verifier as _;
use serde_json::Value;

pub(crate) use cache::{CacheSettings, KeyCache, KeyFailure};

/// The most entries of a key set that are looked at.
pub(crate) const MAX_KEYS: usize = 128;

/// A set of keys, as a token names them.
pub(crate) trait KeySet: Send + Sync + Sized + 'static {
    /// How a token names its key.
    type Id: ?Sized;
    /// Takes from a JWK set what can be used.
    fn read(keys: &[Value]) -> Self;
    /// Whether there is a key of this name.
    fn holds(&self, id: &Self::Id) -> bool;
}

/// The keys of JWTs, by `kid`.
pub(crate) struct JwtKeys(HashMap<String, Arc<PublicKey>>);

impl JwtKeys {
    pub(crate) fn get(&self, kid: &str) -> Option<&PublicKey> {
        self.0.get(kid).map(|key| &**key)
    }
}

impl KeySet for JwtKeys {
    type Id = str;

    /// Two keys of one `kid` are both refused, because nobody could say which is meant.
    fn read(keys: &[Value]) -> Self {
        let mut found: HashMap<String, Option<Arc<PublicKey>>> = HashMap::new();
        for key in keys.iter().filter_map(PublicKey::from_jwk) {
            let kid = key.key_id().to_owned();
            found
                .entry(kid)
                .and_modify(|twice| *twice = None)
                .or_insert_with(|| Some(Arc::new(key)));
        }
        Self(found.into_iter().filter_map(|(kid, key)| Some((kid, key?))).collect())
    }

    fn holds(&self, id: &str) -> bool {
        self.0.contains_key(id)
    }
}

#[cfg(feature = "biscuit")]
impl KeySet for grantex_biscuit::PublicRootKeys {
    type Id = u32;

    fn read(keys: &[Value]) -> Self {
        Self::read(keys)
    }

    fn holds(&self, id: &u32) -> bool {
        self.holds(*id)
    }
}

/// The entries of a JWK set (RFC 7517 §5); `None` when the text is none, or has more entries than are looked at.
pub(crate) fn entries(text: &[u8]) -> Option<Vec<Value>> {
    let mut set: serde_json::Map<String, Value> = serde_json::from_slice(text).ok()?;
    match set.remove("keys")? {
        Value::Array(keys) if keys.len() <= MAX_KEYS => Some(keys),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use grantex_core::token::crypto::KeyPair;
    use grantex_core::token::signer::Algorithm;
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn usable_keys_are_taken_and_others_passed_over() {
        let (first, _) = KeyPair::generate(Algorithm::Es256).unwrap();
        let (second, _) = KeyPair::generate(Algorithm::Es256).unwrap();
        let set =
            json!({"keys": [first.jwk(), second.jwk(), {"kty": "OKP"}, 7, null, second.jwk()], "more": 1}).to_string();
        let keys = JwtKeys::read(&entries(set.as_bytes()).unwrap());
        assert!(keys.holds(grantex_core::token::signer::Verifier::key_id(&first)));
        assert!(
            !keys.holds(grantex_core::token::signer::Verifier::key_id(&second)),
            "two keys of one name"
        );
        assert_eq!(keys.0.len(), 1);
    }

    #[test]
    fn a_set_that_is_none_or_too_long_is_refused() {
        for text in ["", "[]", "{}", r#"{"keys":{}}"#, r#"{"keys":null}"#, "keys", "\u{0}"] {
            assert_eq!(entries(text.as_bytes()), None, "{text}");
        }
        let set = |count: usize| json!({"keys": vec![json!({}); count]}).to_string();
        assert!(entries(set(MAX_KEYS).as_bytes()).is_some());
        assert_eq!(entries(set(MAX_KEYS + 1).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn no_text_panics(text in prop::collection::vec(any::<u8>(), 0..200), member in "[a-zA-Z0-9_-]{0,50}") {
            let _ = entries(&text);
            let keys = json!([{"kty": "RSA", "n": member, "e": member, "kid": "k"}, {"kty": "EC", "crv": "P-256", "x": member, "y": member, "kid": "k"}]);
            prop_assert!(!JwtKeys::read(keys.as_array().unwrap()).holds("k"));
        }
    }
}
