//! Tokens whose signature was checked before. A resource server shows the same token on every call, and checking an ES256
//! signature costs as much as half of the rest of a verification; what a token may do is asked of the store each time all
//! the same.

use std::sync::{Mutex, PoisonError};

use sha2::{Digest, Sha256};

/// SHA-256 of a whole token: header with `kid`, payload and signature.
type Fingerprint = [u8; 32];

/// Places that a fingerprint may be kept in.
const WAYS: usize = 4;
/// Sets of places: in all 32,768 fingerprints, in about 1.1 MiB.
const SETS: usize = 8_192;

/// A bounded memory of good signatures. A fingerprint chooses a set of four places, and a new one takes the place that was
/// filled longest ago: no lists to keep, no lock that all threads want, and never more memory than at the start.
///
/// Only good signatures are remembered, so what is not in here is merely checked again, and nobody without a key can put
/// anything in. A fingerprint says nothing of the key: ask only after the token's `kid` was found among the keys in force.
/// A `kid` is the thumbprint of its key, so it cannot come to mean another one.
pub struct VerifiedTokens(Box<[Mutex<Set>]>);

#[derive(Clone, Copy, Default)]
struct Set {
    places: [Fingerprint; WAYS],
    next: usize,
}

impl Default for VerifiedTokens {
    fn default() -> Self {
        Self((0..SETS).map(|_| Mutex::default()).collect())
    }
}

impl VerifiedTokens {
    /// Whether this very token's signature is good: remembered, or found by `check` and remembered from now on.
    pub fn check(&self, token: &str, check: impl FnOnce() -> bool) -> bool {
        let fingerprint: Fingerprint = Sha256::digest(token.as_bytes()).into();
        let Some(set) = self.set_of(&fingerprint) else {
            return check();
        };
        let is_known = || {
            set.lock()
                .unwrap_or_else(PoisonError::into_inner)
                .places
                .contains(&fingerprint)
        };
        if is_known() {
            return true;
        }
        if !check() {
            return false;
        }
        let mut set = set.lock().unwrap_or_else(PoisonError::into_inner);
        let next = set.next;
        if let Some(place) = set.places.get_mut(next) {
            *place = fingerprint;
        }
        set.next = (next + 1) % WAYS;
        true
    }

    fn set_of(&self, fingerprint: &Fingerprint) -> Option<&Mutex<Set>> {
        let index = usize::from(u16::from_le_bytes([fingerprint[0], fingerprint[1]])) % SETS;
        self.0.get(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_signature_is_checked_once() {
        let verified = VerifiedTokens::default();
        assert!(verified.check("token", || true));
        assert!(verified.check("token", || panic!("it was checked")));
    }

    #[test]
    fn a_bad_signature_is_checked_each_time() {
        let verified = VerifiedTokens::default();
        assert!(!verified.check("token", || false));
        assert!(!verified.check("token", || false));
        assert!(verified.check("token", || true));
    }

    #[test]
    fn another_token_is_not_taken_for_a_known_one() {
        let verified = VerifiedTokens::default();
        assert!(verified.check("header.payload.signature", || true));
        assert!(!verified.check("header.payload.signaturf", || false));
    }

    #[test]
    fn new_tokens_push_out_old_ones() {
        let verified = VerifiedTokens::default();
        assert!(verified.check("first", || true));
        for number in 0..SETS * WAYS * 4 {
            assert!(verified.check(&number.to_string(), || true));
        }
        assert!(!verified.check("first", || false), "it was pushed out");
        let newest = (SETS * WAYS * 4 - 1).to_string();
        assert!(verified.check(&newest, || panic!("it was checked")));
    }
}
